"""Properties of reading: a true answer is read back, garbage gives no value that does not stand in it."""

import contextlib
import json
import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dallm.engines.base import Case
from dallm.engines.llm import strict_json
from dallm.engines.llm.fence import case_key
from dallm.engines.llm.reading import CellAnswer, FillError, read_fill
from dallm.engines.llm.wire import AnswerError, Reply
from dallm.feature import Feature, normalise_name

WORDS = st.text("abcdefgxyzäéß", min_size=1, max_size=6)
NAMES = st.lists(
    st.tuples(WORDS, st.sampled_from(["", " ", "-", ": ", " (%) ", "/", "_", ", ", " 2 ", "1. "])),
    min_size=1,
    max_size=3,
).map(lambda parts: "".join(a + b for a, b in parts).strip(" :,-_/"))
LEVELS = st.lists(
    st.lists(WORDS, min_size=1, max_size=2).map(" ".join), min_size=2, max_size=4, unique_by=normalise_name
)
UNITS = st.sampled_from(["mg/dL", "/min", "%", "1", "mm Hg", "10^9/L"])
NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 4)) | st.integers(-1000, 1000).map(float)
# what a report holds, quotation marks and the form's own signs too
REPORTS = st.text('abc "[].,:1\n{}“é', min_size=5, max_size=60).map(lambda t: f"x{t}x")
SIGNS = (
    "true false True False not stated because fever cough rate pain mild severe case row knowledge 1. 2. 3) "
    '22 3.5 /min { } [ ] ( ) " : , / | or and - ** ` null none NaN "value" "features" : { }}'
)
HEADS = ["\n", ": ", '{"', '": ', "\n1. fever: ", "\n2. cough: ", "\n3. rate: ", "\n4. pain: "]
TOKENS = st.sampled_from([*SIGNS.split(), *HEADS])


@st.composite
def features_and_values(draw):
    names = draw(st.lists(NAMES.filter(normalise_name), min_size=1, max_size=5, unique_by=normalise_name))
    features, values = [], []
    for name in names:
        kind = draw(st.sampled_from(["boolean", "numeric", "ordinal"]))
        if kind == "numeric":
            feature, value = Feature(name, "numeric", unit=draw(UNITS)), draw(NUMBERS)
        elif kind == "ordinal":
            levels = draw(LEVELS)
            feature, value = Feature(name, "ordinal", levels=tuple(levels)), draw(st.sampled_from(levels))
        else:
            feature, value = Feature(name, "boolean"), draw(st.booleans())
        features.append(feature)
        values.append(draw(st.just(value) | st.none()))
    return features, values


def quote_of(draw, report):
    start = draw(st.integers(0, len(report) - 1))
    return report[start : draw(st.integers(start + 1, len(report)))]


@st.composite
def answers(draw):
    """Features, a case, and what a model that makes no mistake says."""
    features, values = draw(features_and_values())
    report = draw(REPORTS)
    said = {}
    for feature, value in zip(features, values, strict=True):
        basis = draw(st.sampled_from(["report", "row", "knowledge"])) if value is not None else "neither"
        quote = quote_of(draw, report) if basis == "report" else None
        field = {"report": "findings", "row": "temp"}.get(basis)
        said[feature.name] = CellAnswer(value, quote, field, "", basis)
    return features, Case(1, {"findings": report}, {"temp": 38.0}), said


def rendered(said, features, case):
    """The numbered form that the prompt asks for."""
    lines = [f"case {case_key(case)}"]
    for number, feature in enumerate(features, start=1):
        cell = said[feature.name]
        value, unit = cell.value, feature.unit if feature.unit not in (None, "1") else ""
        text = "not stated" if value is None else f"{value} {unit}".strip() if unit else str(value)
        why = {
            "report": f'"{cell.quote}" [{cell.field}]',
            "row": f"row [{cell.field}]",
            "knowledge": "knowledge: usual",
            "neither": "nothing says so",
        }[cell.basis]
        lines.append(f"{number}. {feature.name}: {text}, because {why}")
    return "\n".join(lines)


@given(answers())
def test__json__true_answer__is_read_back(answer):
    features, case, said = answer
    text = json.dumps({"case": case_key(case), "features": {n: c._asdict() for n, c in said.items()}})
    assert read_fill(Reply(text), "json_schema", features, case) == said
    around = f"Here it is:\n```json\n{text}\n```\nDone."
    assert read_fill(Reply(around), "tool", features, case) == said


@given(answers())
def test__lines__true_answer__is_read_back(answer):
    features, case, said = answer
    assume(all(not cell.quote or "\n" not in cell.quote for cell in said.values()))
    cells = read_fill(Reply(rendered(said, features, case)), "template", features, case)
    assert {n: c[:3] for n, c in cells.items()} == {n: c[:3] for n, c in said.items()}
    assert {n: c.basis for n, c in cells.items()} == {n: c.basis for n, c in said.items()}


@given(answers())
def test__lines__true_answer_with_quotes_over_lines__is_read_right_or_not_at_all(answer):
    features, case, said = answer
    try:
        cells = read_fill(Reply(rendered(said, features, case)), "template", features, case)
    except FillError as fault:
        cells = fault.read
    assert {n: c.value for n, c in cells.items()} == {n: said[n].value for n in cells}


@given(answers(), st.data())
def test__any_form__cut_off__reads_right_or_not_at_all(answer, data):
    features, case, said = answer
    whole = json.dumps({"case": case_key(case), "features": {n: c._asdict() for n, c in said.items()}})
    text, form = data.draw(st.sampled_from([(whole, "tool"), (rendered(said, features, case), "template")]))
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(FillError) as caught:
        read_fill(Reply(text[:end], finish="length"), form, features, case)
    assert caught.value.missing
    assert {n: c.value for n, c in caught.value.read.items()} == {n: said[n].value for n in caught.value.read}


FEVER, COUGH, RATE, PAIN = FEATURES = (
    Feature("fever", "boolean"),
    Feature("cough", "boolean"),
    Feature("rate", "numeric", unit="/min"),
    Feature("pain", "ordinal", levels=("mild", "severe")),
)
CASE = Case(1, {"findings": "Fever. No cough."})


def held_in(text, value):
    """Whether a value stands in a text at all."""
    if value is None:
        return re.search("null|not|none|nothing", text, re.I) is not None
    if isinstance(value, float):
        numbers = re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?", text)
        return any(abs(float(n.replace(",", ""))) == abs(value) for n in numbers)
    return str(value).casefold() in text.casefold()


def read_from(text, form):
    try:
        return read_fill(Reply(text), form, FEATURES, CASE)
    except FillError as fault:
        return fault.read


@settings(max_examples=400)
@given(st.lists(TOKENS, max_size=40).map(" ".join), st.sampled_from(["template", "json_schema"]))
def test__garbage__any__gives_no_value_that_is_not_in_it(text, form):
    for cell in read_from(text, form).values():
        assert held_in(text, cell.value)


@settings(max_examples=300)
@given(st.sampled_from(FEATURES), st.lists(TOKENS, max_size=6).map(" ".join))
def test__line__anything_after_the_colon__one_value_or_none(feature, said):
    cells = read_from(f"1. {feature.name}: {said}", "template")
    if feature.name in cells and cells[feature.name].value is not None:
        value = cells[feature.name].value
        assert held_in(said.split("because")[0], value)
        if isinstance(value, bool):  # the other one does not stand beside it as an answer
            other = "false" if value else "true"
            assert not re.search(rf"{value}[\s*`)}}\]]*(?:/|\||or\b)[\s*`({{\[]*{other}", said, re.I)


@settings(max_examples=300)
@given(st.data())
def test__json__damaged__is_read_as_it_was_or_as_what_stands_there(data):
    cells = {
        "fever": CellAnswer(True, "Fever", "findings", "", "report"),
        "cough": CellAnswer(None),
        "rate": CellAnswer(22.0, None, "rr", "", "row"),
        "pain": CellAnswer("mild", None, None, "", "knowledge"),
    }
    text = json.dumps({"case": case_key(CASE), "features": {n: c._asdict() for n, c in cells.items()}})
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    put = data.draw(
        st.sampled_from(["", text[start:end] * 2, "NaN", "}", '"', "{", ",", "1", "\ud800", "]]"])
    )
    damaged = text[:start] + put + text[end:]
    for cell in read_from(damaged, "json_schema").values():
        assert cell.value is not False
        assert held_in(damaged, cell.value)


@given(st.text(max_size=80) | st.lists(TOKENS, max_size=30).map("".join))
def test__loads__any_text__is_an_object_or_a_fault(text):
    with contextlib.suppress(AnswerError):
        assert isinstance(strict_json.loads(text), dict)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test__loads__any_json_object__is_what_json_reads(value):
    text = json.dumps({"answer": value})
    assert strict_json.loads(text) == json.loads(text)


RUNAWAY = [*' *_-\n\t{[("a', '{"a":', "1. ", "1. fever: ", "case ", "True ", "/ ", "\\u", ", because "]
RUNAWAY += ["<think>", '\n1. fever: True, because "']


@pytest.mark.parametrize("sign", RUNAWAY)
@pytest.mark.parametrize("before", ["", "1. fever: ", "1. fever: True", "1. rate: 22", '{"case": "'])
def test__runaway_answer__any__is_read_in_no_time(sign, before):
    text = before + sign * (60_000 // len(sign))
    start = time.process_time()
    for form in ("template", "json_schema"):
        with pytest.raises(FillError):
            read_fill(Reply(text), form, FEATURES, CASE)
    assert time.process_time() - start < 1.5
