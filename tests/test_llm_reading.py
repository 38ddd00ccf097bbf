"""Tests of how answers of language models are read: nothing guessed, no value by mistake."""

import json

import pytest

from dallm.ack.ack import Answer, Citation
from dallm.engines.base import Case, Draft, Quote
from dallm.engines.llm import strict_json
from dallm.engines.llm.drafts import draft_to_plain, failed_draft, plain_to_draft, to_draft
from dallm.engines.llm.fence import case_key
from dallm.engines.llm.reading import (
    CellAnswer,
    FillError,
    FillReader,
    read_citations,
    read_features,
    read_fill,
)
from dallm.engines.llm.schema import answer_schema, discover_schema, fill_schema
from dallm.engines.llm.stated import NotAValueError, value_of
from dallm.engines.llm.wire import AnswerError, Reply
from dallm.features import Feature
from dallm.knowledge.passage import Hit, Passage

FEVER, COUGH = Feature("fever", "boolean"), Feature("dry cough", "boolean")
TEMPERATURE = Feature("temperature", "numeric", unit="degC")
PAIN = Feature("chest pain severity", "ordinal", levels=("none", "mild", "severe"))
FEATURES = (FEVER, COUGH, TEMPERATURE, PAIN)
CASE = Case(
    1,
    {"indication": "Febrile to 101.3 F, no cough.", "findings": "Clear lungs."},
    {"temp": 101.3, "gender": "F"},
    {"temp": "degF"},
)
KEY = case_key(CASE)


def cell(value=None, quote=None, field=None, basis=None, rationale=""):
    basis = basis or ("neither" if value is None else "report")
    return {"value": value, "quote": quote, "field": field, "rationale": rationale, "basis": basis}


def answer(**changed):
    cells = {
        "fever": cell(True, "Febrile to 101.3 F", "indication"),
        "dry cough": cell(False, "no cough", "indication"),
        "temperature": cell(38.5, None, "temp", "row"),
        "chest pain severity": cell(),
    }
    cells.update({name.replace("_", " "): given for name, given in changed.items()})
    return {"case": KEY, "features": {n: c for n, c in cells.items() if c != "absent"}}


def read(text, form="json_schema", features=FEATURES, **reply):
    return read_fill(
        Reply(text if isinstance(text, str) else json.dumps(text), **reply), form, features, CASE
    )


def fault_of(text, **more):
    with pytest.raises(FillError) as caught:
        read(text, **more)
    return caught.value


# ---- JSON


def test__loads__fences_prose_thoughts_around__gives_the_object():
    inner = '{"a": [1, {"b": "x}"}]}'
    for text in (
        inner,
        f"```json\n{inner}\n```",
        f"Here is {{the}} answer:\n{inner}\nI hope it helps [1].",
        f'<think>perhaps {{"a": 2}}</think>{inner}',
        f"no tag to begin with</think>\n{inner}",
    ):
        assert strict_json.loads(text) == {"a": [1, {"b": "x}"}]}, text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"value": 1, "value": 1}', "'value' stands twice"),
        ('{"x": {"Jane Doe": 1, "Jane Doe": 2}}', "^a key stands twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "too large"),
        (f'{{"a": {"9" * 5000}}}', "too long"),
        ('{"a": 1} {"a": 2}', "more than one"),
        ('{"a": 1}}', "does not belong"),
        ('[{"a": 1}]', "does not belong"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"a": "' + "\ud800" + '"}', "half a character"),
        ('{"a": ' + "[" * 100_000, "nested too deeply|cut off"),
        ("{'a': 1}", "no JSON object"),
        ("true", "no JSON object"),
        ('{"a": 1,}', "broken"),
        ('{"a": tru}', "broken"),
        ("<think>so she has", "only thoughts"),
    ],
)
def test__loads__what_is_not_plain_json__is_a_fault(text, fault):
    with pytest.raises(AnswerError, match=fault):
        strict_json.loads(text)


def test__loads__object_cut_at_any_character__says_so():
    text = json.dumps({"case": "a1b2", "f": {"value": True, "n": -1.5e3, "q": 'a "b" \\ \n é'}})
    for end in range(1, len(text)):
        with pytest.raises(strict_json.CutOffError, match="cut off after"):
            strict_json.loads(text[:end])


def test__loads__pair_of_surrogates__is_one_character():
    assert strict_json.loads('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


# ---- schema


def test__fill_schema__each_kind__is_strict_without_references():
    schema = fill_schema(FEATURES, ("indication", "temp"))
    text = json.dumps(schema)
    assert "$ref" not in text
    assert "anyOf" not in text

    def walk(node):
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
            for inner in node["properties"].values():
                walk(inner)

    walk(schema)
    assert list(schema["properties"]) == ["case", "features"]
    cells = schema["properties"]["features"]["properties"]
    assert list(cells) == [f.name for f in FEATURES]
    assert cells["temperature"]["properties"]["value"] == {"type": ["number", "null"]}
    assert cells["chest pain severity"]["properties"]["value"]["enum"] == ["none", "mild", "severe", None]
    assert cells["fever"]["properties"]["field"]["enum"] == ["indication", "temp", None]


def test__fill_schema__many_features__enumerates_no_fields():
    features = [Feature(f"f{n}", "boolean") for n in range(60)]
    cells = fill_schema(features, ("findings", "impression"))["properties"]["features"]["properties"]
    assert "enum" not in cells["f7"]["properties"]["field"]


def test__fill_schema__shared__says_the_same_in_few_words():
    features = [Feature(f"f{n}", "boolean") for n in range(50)] + list(FEATURES)
    plain, shared = fill_schema(features), fill_schema(features, shared=True)
    cells = shared["properties"]["features"]["properties"]
    for name, cell_ in plain["properties"]["features"]["properties"].items():
        assert shared["$defs"][cells[name]["$ref"].removeprefix("#/$defs/")] == cell_
    assert len(shared["$defs"]) == 3
    assert 4 * len(json.dumps(shared)) < len(json.dumps(plain))


def test__other_schemas__objects__are_closed():
    feature = discover_schema()["properties"]["features"]["items"]
    assert feature["additionalProperties"] is False
    assert "citations" in feature["required"]
    assert answer_schema()["required"] == ["answer", "supported"]


# ---- filling, JSON


def test__read_fill__right_answer__is_typed():
    cells = read(answer())
    assert cells["fever"] == CellAnswer(True, "Febrile to 101.3 F", "indication", "", "report")
    assert cells["dry cough"].value is False
    assert cells["temperature"] == CellAnswer(38.5, None, "temp", "", "row")
    assert cells["chest pain severity"] == CellAnswer(None)


def test__read_fill__other_spelling_and_order_of_names__is_read_in_the_order_asked():
    given = answer()
    given["features"] = {name.upper().replace(" ", "_"): c for name, c in reversed(given["features"].items())}
    assert list(read(given)) == [f.name for f in FEATURES]


@pytest.mark.parametrize(
    ("feature", "raw", "value"),
    [
        (FEVER, "True because she is hot", True),
        (FEVER, "{True}", True),
        (FEVER, "**True**", True),
        (FEVER, "False", False),
        (FEVER, "not stated", None),
        (TEMPERATURE, "101.3 F", 38.5),
        (TEMPERATURE, "38.2", 38.2),
        (TEMPERATURE, 38, 38.0),
        (TEMPERATURE, "None", None),
        (PAIN, "Mild", "mild"),
        (PAIN, "none", "none"),
        (PAIN, "unknown", None),
        (Feature("leukocytes", "numeric", unit="/uL"), "12,000 /uL", 12000.0),
        (Feature("spo2", "numeric", unit="%"), "92%", 92.0),
    ],
)
def test__value_of__tolerated_words__are_the_value(feature, raw, value):
    given = value_of(feature, raw)
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("feature", "raw"),
    [
        (FEVER, "true/false"),
        (FEVER, "{True / False}"),
        (FEVER, "True or False"),
        (FEVER, "False, not stated"),
        (FEVER, "not true"),
        (FEVER, "no"),
        (FEVER, "no information"),
        (FEVER, "untrue"),
        (FEVER, "False positive"),
        (FEVER, ""),
        (FEVER, 0),
        (FEVER, 1),
        (FEVER, []),
        (FEVER, {"very": "likely"}),
        (TEMPERATURE, True),
        (TEMPERATURE, 10**400),
        (TEMPERATURE, "38-39"),
        (TEMPERATURE, "38 to 39"),
        (TEMPERATURE, "38,2"),
        (TEMPERATURE, "1.2.3"),
        (TEMPERATURE, "38 mmHg"),
        (TEMPERATURE, "> 38"),
        (TEMPERATURE, "nan"),
        (PAIN, "moderate"),
        (PAIN, "mild to severe"),
        (PAIN, "mild, severe"),
        (PAIN, 1),
        (PAIN, True),
    ],
)
def test__value_of__anything_else__is_a_fault(feature, raw):
    with pytest.raises(NotAValueError):
        value_of(feature, raw)


def test__read_fill__some_cells_bad__keeps_the_others_and_names_what_is_missing():
    fault = fault_of(answer(fever=cell("maybe"), dry_cough="absent"))
    assert fault.kind == "cells"
    assert fault.missing == ("fever", "dry cough")
    assert fault.read.keys() == {"temperature", "chest pain severity"}
    assert "lacks 'dry cough'" in str(fault)
    assert "'fever' has a value that is not true" in str(fault)


@pytest.mark.parametrize(
    "bad",
    [
        True,
        "true",
        [],
        {},
        cell(True, 7, "findings"),
        cell(True, "Febrile", ["findings"]),
        cell(True, "Febrile", "findings", "guess"),
        cell(True, "Febrile", "findings", ["report"]),
        {"value": True},
    ],
)
def test__read_fill__cell_of_another_shape__is_missing(bad):
    assert fault_of(answer(fever=bad)).missing == ("fever",)


def test__read_fill__bare_null__is_not_stated():
    assert read(answer(fever=None))["fever"] == CellAnswer(None)


def test__read_fill__unasked_feature__is_ignored_and_counted():
    reader = FillReader("json_schema", FEATURES, CASE)
    assert reader(Reply(json.dumps(answer(headache=cell(True))))).keys() == {f.name for f in FEATURES}
    assert reader.ignored == 1


def test__read_fill__unasked_in_place_of_asked__is_told():
    fault = fault_of(answer(dry_cough="absent", dry_caugh=cell()))
    assert fault.missing == ("dry cough",)
    assert "Did you mean 'dry cough'?" in str(fault)


def test__read_fill__one_feature_under_two_spellings__is_missing():
    assert fault_of(answer(Fever=cell(False))).missing == ("fever",)


def test__read_fill__answer_for_another_case__is_refused_whole():
    for key in ("000000000001", "case deadbeef0001"):
        fault = fault_of({**answer(), "case": key})
        assert fault.kind == "other_case"
        assert not fault.read
        assert len(fault.missing) == 4
        assert str(fault) == "the answer is for another case"


def test__read_fill__key_left_out__counts_if_all_its_quotes_stand_in_the_report():
    given = answer()
    del given["case"]
    assert read(given)["fever"].value is True
    given = answer(dry_cough=cell(True, "coughs", "indication"))
    assert fault_of({**given, "case": ""}).kind == "other_case"
    given = answer(
        fever=cell(True, "hot and shivering", "indication"), dry_cough=cell(True, "coughs", "indication")
    )
    assert fault_of({**given, "case": "?"}).kind == "other_case"


@pytest.mark.parametrize("key", ["", "?", "case", None, 7, "3fa94", "patient one"])
def test__read_fill__silence_about_a_case_that_it_does_not_name__is_no_answer(key):
    silent = {"case": key, "features": {feature.name: cell() for feature in FEATURES}}
    assert fault_of(silent).kind == "other_case"
    measured = {**silent, "features": {**silent["features"], "temperature": cell(38.5, None, "temp", "row")}}
    assert fault_of(measured).kind == "other_case"  # any case may have that temperature
    assert read({**silent, "case": KEY})["fever"] == CellAnswer(None, basis="neither")
    unnamed = "\n".join(f"{n}. {f.name}: not stated" for n, f in enumerate(FEATURES, 1))
    assert fault_of(unnamed, form="template").kind == "other_case"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(""), "empty"),
        (Reply(" \n"), "empty"),
        (Reply("", refusal="I can't help with that."), "refusal"),
        (Reply(json.dumps(answer()), finish="content_filter"), "refusal"),
        (Reply(json.dumps(answer()), finish="length"), "cut_off"),
        (Reply("I'm sorry."), "format"),
        (Reply('{"case": "x"}'), "format"),
        (Reply(json.dumps(answer()).replace("38.5", "NaN")), "format"),
        (Reply(json.dumps(answer()).replace('"value": true', '"value": true, "value": false')), "format"),
    ],
)
def test__read_fill__answer_that_cannot_be_used__reads_nothing(reply, kind):
    with pytest.raises(FillError) as caught:
        read_fill(reply, "json_schema", FEATURES, CASE)
    assert (caught.value.kind, caught.value.read, len(caught.value.missing)) == (kind, {}, 4)
    assert "Febrile" not in str(caught.value)


def test__read_fill__cut_off_anywhere__keeps_only_cells_that_are_whole():
    text, whole = json.dumps(answer()), read(answer())
    most = 0
    for end in range(1, len(text)):
        fault = fault_of(text[:end], finish="length")
        assert fault.kind == "cut_off"
        assert fault.missing
        assert fault.read == {name: whole[name] for name in fault.read}
        assert set(fault.missing) | fault.read.keys() == whole.keys()
        most = max(most, len(fault.read))
    assert most == 3


def test__read_fill__cut_off_answer_for_another_case__reads_nothing():
    text = json.dumps({**answer(), "case": "000000000001"})
    assert fault_of(text[:-40]).kind == "other_case"


def test__fill_reader__second_answer_to_what_was_missing__completes_the_first():
    reader = FillReader("json_schema", FEATURES, CASE)
    with pytest.raises(FillError):
        reader(Reply(json.dumps(answer(fever=cell("?"), temperature="absent"))))
    assert reader.missing == ("fever", "temperature")
    second = {"case": KEY, "features": {"fever": cell(), "temperature": cell("warm")}}
    with pytest.raises(FillError) as caught:
        reader(Reply(json.dumps(second)))
    assert caught.value.missing == ("temperature",)
    assert list(caught.value.read) == ["fever", "dry cough", "chest pain severity"]


# ---- filling, numbered lines

LINES = f"""case {KEY}
1. fever: True, because "Febrile to 101.3 F" [indication] which is high
2. dry cough: False, because "no cough" [indication]
3. temperature: 101.3 F, because row [temp]
4. chest pain severity: not stated, because nothing says so
"""


def lines(text, features=FEATURES, **reply):
    return read(text, form="template", features=features, **reply)


def test__lines__form_of_the_prompt__is_read():
    cells = lines(LINES)
    assert cells["fever"] == CellAnswer(True, "Febrile to 101.3 F", "indication", "which is high", "report")
    assert cells["dry cough"] == CellAnswer(False, "no cough", "indication", "", "report")
    assert cells["temperature"] == CellAnswer(38.5, None, "temp", "", "row")
    assert cells["chest pain severity"] == CellAnswer(None, None, None, "nothing says so", "neither")


def test__lines__asked_as_json__are_read_too():
    assert read(LINES) == lines(LINES)
    assert lines(f"```json\n{json.dumps(answer())}\n```") == read(answer())


@pytest.mark.parametrize(
    "line",
    [
        '1. fever: {True}, because "Febrile" [indication]',
        '1. **fever**: **True** because "Febrile" [indication]',
        '**1. Fever:** True, because "Febrile" [indication].',
        '- 7) FEVER (also called febrile): True - "Febrile" [indication]',
        'fever: True. "Febrile" [indication]',
        '| 1. `fever`:\n   True, because\n   "Febrile" [indication]',
        "1. fever: True, because “Febrile” [indication]",
        'Fever is discussed below.\n1. fever: True / False / not stated\n\n1. fever: True, because "Febrile" '
        "[indication]\n\n9. headache: True\nNote: fever: see above.",
    ],
)
def test__lines__sloppy_but_plain__are_read(line):
    cells = lines(line, (FEVER,))
    assert cells["fever"][:3] == (True, "Febrile", "indication")


@pytest.mark.parametrize(
    "line",
    [
        "1. fever: True / False",
        "1. fever: {True / False}, because she is hot",
        "1. fever: true/false",
        "1. fever: maybe",
        "1. fever: not true",
        "1. fever: no",
        "1. fever:",
        "1. fever",
        "1. True",
        "1. feverish: True",
        "1. no fever: True",
        "1. fever: NaN",
        "1. fever: True\n2. fever: False",
        "1. fever: True\n1. fever: maybe",
        "1. fever: True, or False if it fell",
        "1. fever: headache: True",
    ],
)
def test__lines__ambiguous_or_absent__is_a_fault_and_never_a_value(line):
    fault = fault_of(line, form="template", features=(FEVER, COUGH))
    assert "fever" in fault.missing
    assert "fever" not in fault.read


def test__lines__missing_and_misnumbered__names_decide():
    fault = fault_of(
        f"case {KEY}\n1. dry cough: not stated\n2. temperature: 38 C\n5. fever: not stated", form="template"
    )
    assert fault.missing == ("chest pain severity",)
    assert fault.read["temperature"].value == 38.0


def test__lines__names_with_colons_and_parts_of_names__are_told_apart():
    features = (Feature("pain", "boolean"), Feature("pain: chest", "boolean"), Feature("FEV1 (%)", "boolean"))
    cells = lines(f"case {KEY}\n1. pain: False\n2. pain: chest: True\n3. FEV1 (%): not stated", features)
    assert [c.value for c in cells.values()] == [False, True, None]


def test__lines__quote_with_quotation_marks__ends_at_the_field():
    line = f'case {KEY}\n1. fever: True, because "says "hot" [sic] and "cold"" [indication], as she "feels"'
    assert lines(line, (FEVER,))["fever"].quote == 'says "hot" [sic] and "cold"'


def test__lines__quote_without_field__ends_where_the_report_says():
    report = {"indication": 'Says "hot" and "cold" today.'}
    for text, quote in (
        ('"Says "hot" and "cold"" clearly', 'Says "hot" and "cold"'),
        ('"today", which means "now"', "today"),
    ):
        reply = Reply(f"1. fever: True, because {text}")
        assert read_fill(reply, "template", (FEVER,), Case(1, report))["fever"].quote == quote


def test__lines__for_another_case__are_refused():
    assert fault_of(LINES.replace(KEY, "000000000001"), form="template").kind == "other_case"


def test__lines__cut_off__last_line_does_not_count():
    fault = fault_of(LINES[: LINES.index(" F, because row")], form="template", finish="length")
    assert fault.kind == "cut_off"
    assert fault.read.keys() == {"fever", "dry cough"}


def test__lines__knowledge__is_its_own_basis():
    given = lines(f"case {KEY}\n1. fever: True, because knowledge: usual in pneumonia", (FEVER,))["fever"]
    assert given == CellAnswer(True, None, None, "usual in pneumonia", "knowledge")


# ---- drafts


def test__to_draft__quote__is_looked_up_in_the_field_named_then_elsewhere():
    case = Case(1, {"findings": "Clear lungs.", "impression": "Fever. Clear."})
    right = to_draft(CellAnswer(True, "Fever", "impression", "r", "report"), case, FEVER, False)
    assert (right.value, right.status, right.source, right.rationale) == (True, "documented", "report", "r")
    assert right.quotes[0][:4] == ("Fever", "impression", 0, 5)
    elsewhere = to_draft(CellAnswer(True, "Fever", "findings", "", "report"), case, FEVER, False)
    assert elsewhere.quotes[0][:4] == ("Fever", "impression", 0, 5)


@pytest.mark.parametrize(
    ("said", "infer", "status", "value"),
    [
        (CellAnswer(None, None, None, "", "neither"), True, "not_documented", None),
        (CellAnswer(None, "Febrile", "indication", "", "report"), False, "not_documented", None),
        (CellAnswer(True, None, None, "", "report"), True, "failed", None),
        (CellAnswer(True, None, None, "", "knowledge"), False, "not_documented", None),
        (CellAnswer(True, "Febrile", "indication", "", "knowledge"), False, "not_documented", None),
        (CellAnswer(False, None, None, "", "neither"), False, "not_documented", None),
        (CellAnswer(False, None, None, "", "knowledge"), True, "inferred", False),
        (CellAnswer(False, None, None, "", "neither"), True, "inferred", False),
        (CellAnswer(True, None, "temp", "", "row"), False, "documented", True),
        (CellAnswer(True, None, "bmi", "", "row"), True, "failed", None),
    ],
)
def test__to_draft__what_it_rests_on__decides_the_status(said, infer, status, value):
    draft = to_draft(said, CASE, FEVER, infer)
    assert (draft.status, draft.value) == (status, value)
    assert draft.reason or draft.value is not None or said.value is None


def test__to_draft__inferred__says_from_what():
    guess = CellAnswer(True, None, None, "", "knowledge")
    assert to_draft(guess, CASE, FEVER, True).source == "knowledge"
    assert to_draft(guess, CASE, FEVER, True, knowledge=False).source == "prior"
    assert to_draft(guess._replace(basis="neither"), CASE, FEVER, True).source == "prior"


def test__to_draft__quote_but_for_case_and_blanks__stands_in_the_reports_own_words():
    case = Case(1, {"findings": "A small\nleft EFFUSION.", "the <rest>": "Fever."})
    effusion = Feature("pleural effusion", "boolean")
    quote = to_draft(
        CellAnswer(True, "small left effusion", "impression", "", "report"), case, effusion, False
    ).quotes[0]
    assert quote[:4] == ("small\nleft EFFUSION", "findings", 2, 21)
    assert quote.rule == "quoted; normalised match; said to stand in 'impression'"
    quote = to_draft(CellAnswer(True, "Fever", "the rest", "", "report"), case, FEVER, False).quotes[0]
    assert (quote.field, quote.rule) == ("the <rest>", "quoted")


@pytest.mark.parametrize(
    ("said", "source"),
    [
        (CellAnswer(True, "Febrile", "indication", "", "row"), "report"),
        (CellAnswer(True, None, "temp", "", "report"), "row"),
        (CellAnswer(True, "Febrile", "temp", "", "report"), "report"),
        (CellAnswer(True, None, "TEMP, gender", "", "row"), "row"),
    ],
)
def test__to_draft__basis_and_place_that_differ__the_place_counts(said, source):
    draft = to_draft(said, CASE, FEVER, False)
    assert (draft.status, draft.source) == ("documented", source)


def test__plain__any_draft__comes_back_through_json():
    quote = Quote("Fever", "findings", 0, 5, "present", "quoted")
    for draft in (
        Draft(True, "documented", "report", "r", "because", 0.5, (quote,), "a1", True),
        Draft(None, "not_documented", None),
        failed_draft("unreadable", prompt_sha256="b2"),
    ):
        assert plain_to_draft(json.loads(json.dumps(draft_to_plain(draft)))) == draft


# ---- knowledge


def hit(text):
    return Hit(Passage(text, "Title", "", "", "", None, None, (), "", (), text), 1.0)


HITS = [hit("Fever."), hit("Cough."), hit("Pain.")]


@pytest.mark.parametrize(
    ("text", "read_as", "used"),
    [
        ("Cough [2], fever [1] and cough [2].", "Cough [1], fever [2] and cough [1].", [1, 0]),
        ("All of it [1-3].", "All of it [1][2][3].", [0, 1, 2]),
        ("Two [3, 1] and none [9] .", "Two [1][2] and none.", [2, 0]),
    ],
)
def test__read_citations__marks__are_numbered_by_their_passages(text, read_as, used):
    for said in (text, json.dumps({"answer": text, "supported": True})):
        found = read_citations(Reply(said), HITS)
        assert (found.text, found.hits) == (read_as, tuple(HITS[n] for n in used))


@pytest.mark.parametrize(
    "text",
    ['{"answer": "Fever [1]", "supported": false}', '{"answer": "", "supported": true}', "Not supported."],
)
def test__read_citations__not_supported__has_no_text(text):
    assert read_citations(Reply(text), HITS).text == ""


@pytest.mark.parametrize(
    "reply",
    [
        Reply("Fever, surely."),
        Reply("Fever [7]."),
        Reply('{"answer": 3, "supported": true}'),
        Reply('{"answer": "Fever [1]", "supported": "yes"}'),
        Reply(""),
        Reply("Fever [1]", finish="length"),
        Reply("Fever [1]", refusal="no"),
    ],
)
def test__read_citations__not_to_be_used__is_a_fault(reply):
    with pytest.raises(AnswerError):
        read_citations(reply, HITS)


def proposal(**given):
    return {"kind": "boolean", "unit": None, "low": None, "high": None, "levels": None, **given}


def test__read_features__proposals__are_typed_or_dropped_with_the_reason():
    cited = Citation("Pneumonia", "Signs", "primer", "", "Fever.", "Fever.", "a1")
    answers = [
        Answer("pneumonia", "signs", "g", "?", "Fever [1].", (cited,)),
        Answer("asthma", "signs", "g", "?", "Wheeze."),
    ]
    items = [
        proposal(name="Fever", conditions=["Pneumonia", "gout"], citations=[1, 9], category="sign"),
        proposal(name="fever", aliases=["febrile", "fever"], conditions=["asthma"], citations=[2]),
        proposal(name="resprate", kind="numeric", low=5, high=60, citations=[2]),
        proposal(name="severity", kind="ordinal", levels=["mild", "severe"], unit="", category="mood"),
        proposal(name="asthma", levels=["yes", "no"]),
        proposal(name="shoe size", kind="numeric"),
        proposal(name="pain", kind="ordinal", levels=["mild"]),
        proposal(name="ferritin", kind="numeric", unit="ng/mL", low=9, high=1),
        proposal(name="ferritin", kind="numeric", unit="ng/mL", low=10**400),
        proposal(name="x" * 81),
        proposal(name="Fever", kind="categorical", levels=["a", "b"]),
        proposal(name="odd", kind="text"),
        {"kind": "boolean"},
        "cough",
    ]
    found = read_features(Reply(json.dumps({"features": items})), answers)
    assert found.names == ("Fever", "resprate", "severity", "asthma")
    fever = found["fever"]
    assert fever.conditions == ("pneumonia", "asthma")
    assert fever.aliases == ("febrile",)
    assert fever.citations == (cited.reference,)
    assert fever.category == "sign"
    assert (found["resprate"].unit, found["resprate"].conditions) == ("/min", ("asthma",))
    assert found["severity"].category is None
    assert found["asthma"].restates == "asthma"
    assert len(found.dropped) == 9
    assert all(dropped.why for dropped in found.dropped)


@pytest.mark.parametrize("text", ["{}", '{"features": {}}', '{"features": [{"name": "x"}]}', "none"])
def test__read_features__nothing_usable__is_a_fault(text):
    with pytest.raises(AnswerError):
        read_features(Reply(text))
