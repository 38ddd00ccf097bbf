"""Prompts for language models: templates, assembly, length, splitting, and the search for targets in them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import typer
from fault_answers import CONTENT
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import dallm
from dallm.ack.ack import Ack, Answer, Citation
from dallm.engines.base import Case, CaseAnswer, Draft, Quote
from dallm.engines.llm.assemble import (
    FillPrompt,
    answer_messages,
    discover_messages,
    fill_messages,
    repair_message,
)
from dallm.engines.llm.audit import audit_prompts
from dallm.engines.llm.briefing import knowledge_text
from dallm.engines.llm.fence import case_key, safe_text
from dallm.engines.llm.listing import numbered_answers
from dallm.engines.llm.prompts import copy_templates, template, template_names
from dallm.engines.llm.published import NO_CONDITION, labels_of, lesion_groups, published_messages
from dallm.engines.llm.split import merge_answers, split_report
from dallm.engines.llm.tokens import TokenCount, estimate_messages, estimate_tokens
from dallm.engines.llm.wire import Message, transcript
from dallm.errors import UserError
from dallm.features import Feature, FeatureSet
from dallm.knowledge.passage import Hit, Passage

pytest_plugins = ("llm_fixtures",)

PAPER = (
    "atelectasis",
    "consolidation",
    "enlarged cardiac silhouette",
    "pleural effusion",
    "pleural abnormality",
)
CASE = Case(
    "patient-4711",
    {"indication": "Febrile since Monday.", "findings": "Clear lungs."},
    {"temperature": 101.3, "gender": "F"},
    {"temperature": "degF"},
)
FEVER = Feature("fever", "boolean", aliases=("febrile",))
HEAT = Feature("body temperature", "numeric", unit="degF", low=75, high=115)
PAIN = Feature("pain", "ordinal", levels=("mild", "severe"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A generated cohort, an ACK from the primer, and 60 features discovered from it."""
    cohort = dallm.make_cohort(40, 3)
    store = dallm.open_store(tmp_path_factory.mktemp("store") / "k", encoder=None)
    dallm.ingest(store, dallm.Primer(), conditions=list(PAPER))
    ack = dallm.build_ack(store, list(PAPER))
    store.close()
    features = tuple(dallm.discover_features(ack, cohort=cohort))[:60]
    assert len(features) == 60
    return cohort, ack, features


# templates


@pytest.mark.parametrize("name", template_names())
def test__template__of_the_project__wording_and_version_go_together(name):
    used = template(name)
    recorded = _recorded()[name]["sha256"]
    assert used.sha256 == recorded, f"{name}.jinja was changed: raise its version, and record its new sha256"


def test__template__file_in_a_users_folder__replaces_that_one_only(tmp_path):
    (tmp_path / "repair.jinja").write_text("{% block case %}Again, please: {{ fault }}{% endblock %}")
    assert template("repair", tmp_path).version == "own"
    assert (
        template("repair", tmp_path).render("case", fault="x", missing="", form="text") == "Again, please: x"
    )
    assert template("fill", tmp_path) == template("fill")


FAULTY = [
    ("{% block case %}{{ key }}{% endblock %}", r"block 'case', lacks the variable 'record'"),
    (
        "{% block case %}{{ key }}{{ record }}{{ lables }}{% endblock %}",
        "uses 'lables', which does not exist",
    ),
    (
        "{% block case %}{{ key }}{{ record }}{% endblock %}{% block cases %}{% endblock %}",
        "has a block 'cases' that nothing uses. Did you mean 'case'",
    ),
    ("{% block case %}{{ key }", r"fill\.jinja, line 1"),
]


@pytest.mark.parametrize(("block", "said"), FAULTY)
def test__template__faulty_file__is_named_with_the_variable(tmp_path, block, said):
    rest = "{% block system %}{% endblock %}{% block shared %}{{ features }}{% endblock %}"
    (tmp_path / "fill.jinja").write_text(rest + block)
    with pytest.raises(UserError, match=said) as caught:
        template("fill", tmp_path)
    assert "fill.jinja" in str(caught.value)


def test__template__missing_block__is_named(tmp_path):
    (tmp_path / "fill.jinja").write_text("{% block case %}{{ key }}{{ record }}{% endblock %}")
    with pytest.raises(UserError, match=r"fill\.jinja lacks the block 'system'"):
        template("fill", tmp_path)


def test__template__file_that_replaces_nothing__is_refused(tmp_path):
    (tmp_path / "fil.jinja").write_text("x")
    with pytest.raises(UserError, match=r"replaces no prompt.*Did you mean 'fill'"):
        template("fill", tmp_path)


@pytest.mark.parametrize("expression", ["record.__class__.__mro__", "record / 2", "record.nothing"])
def test__render__what_cannot_be_filled__names_file_and_block_not_the_record(tmp_path, expression):
    (tmp_path / "fill.jinja").write_text(
        "{% block system %}{% endblock %}{% block shared %}{{ features }}{% endblock %}"
        "{% block case %}{{ key }}{{ record }}{{ " + expression + " }}{% endblock %}"
    )
    with pytest.raises(UserError, match=r"fill\.jinja, block 'case'") as caught:
        fill_messages(CASE, [FEVER], template=template("fill", tmp_path))
    assert "Febrile" not in str(caught.value)


def test__copy_templates__then_used_as_a_folder__gives_the_same_prompts(tmp_path):
    written = copy_templates(tmp_path / "mine")
    assert [path.name for path in written] == [f"{name}.jinja" for name in template_names()]
    own = template("fill", tmp_path / "mine")
    assert own.version == "own"
    assert own.sha256 == template("fill").sha256
    with pytest.raises(UserError, match="is there already"):
        copy_templates(tmp_path / "mine")


# filling


def test__fill_messages__one_case__rules_first_and_the_case_last():
    system, user = fill_messages(CASE, [FEVER, HEAT])
    assert (system.role, user.role) == ("system", "user")
    assert "Febrile" not in system.content
    assert user.content.index("Features (2):") < user.content.index("<<<measured values")
    assert user.content.rstrip().endswith(f"Now answer for case {case_key(CASE)}, all 2 features.")
    assert "temperature: 101.3 degF\ngender: F" in user.content
    assert '- "fever": yes/no; also called febrile' in user.content
    assert '- "body temperature": number in degF, 75 to 115' in user.content


def test__fill_messages__id_of_the_case__is_not_in_the_prompt():
    assert "4711" not in transcript(fill_messages(CASE, [FEVER]))


def test__fill_messages__infer__only_then_offers_knowledge_as_a_basis():
    assert 'basis "knowledge"' not in fill_messages(CASE, [FEVER])[0].content
    assert 'basis "knowledge"' in fill_messages(CASE, [FEVER], infer=True)[0].content


def test__fill_messages__template_form__asks_for_numbered_lines():
    system, user = fill_messages(CASE, [FEVER, PAIN], form="template")
    assert "JSON" not in system.content
    assert (
        "1. fever: True / False / not stated (also called febrile)\n2. pain: mild / severe / not stated"
        in (user.content)
    )


def test__fill_messages__empty_record__says_so():
    assert "(Nothing is recorded.)" in fill_messages(Case("a", {}), [FEVER])[1].content


def test__fill_messages__report_with_empty_lines_and_template_signs__stands_there_exactly():
    text = 'Line one.\n\n\n\n{{ key }} {% raw %} 3 < 5 & "x"\n   indented'
    assert f"\n{text}\n" in fill_messages(Case("a", {"findings": text}), [FEVER])[1].content


def test__fill_messages__unknown_layout__is_refused():
    with pytest.raises(UserError, match=r"layout must be one of.*Did you mean 'as_published'"):
        fill_messages(CASE, [FEVER], layout="as_publishd")


def test__fill_prompt__sixty_features__most_is_shared_and_it_is_half_of_the_published_tokens(study):
    cohort, ack, features = study
    prompt = FillPrompt(features, ack)
    chats = [prompt.messages(case) for case in cohort.cases()]
    texts = [transcript(chat) for chat in chats]
    shared = texts[0][: min(_agreeing(texts[0], text) for text in texts)]
    shares = [estimate_tokens(shared) / estimate_tokens(text) for text in texts]
    assert min(shares) >= 0.8
    entry = '"%s": {"value": null, "quote": null, "field": null, "rationale": "", "basis": "neither"},'
    answer = sum(estimate_tokens(entry % feature.name) for feature in features) + 15 * 20  # quotes
    assert max(map(estimate_messages, chats)) + answer <= 8_500


def test__fill_prompt__part_of_the_features__are_listed_alone(study):
    cohort, ack, features = study
    user = FillPrompt(features, ack).messages(next(cohort.cases()), features[:3])[1].content
    assert "Features (3):" in user
    assert f'"{features[2].name}"' in user
    assert f'- "{features[3].name}"' not in user


def test__case_key__depends_on_what_is_shown_only():
    same = Case("other id", CASE.report, CASE.row, CASE.units)
    assert case_key(same) == case_key(CASE)
    for changed in (
        Case("patient-4711", {**CASE.report, "findings": "Clear lungs. "}, CASE.row, CASE.units),
        Case("patient-4711", CASE.report, {**CASE.row, "gender": "M"}, CASE.units),
        Case("patient-4711", CASE.report, CASE.row, {"temperature": "degC"}),
    ):
        assert case_key(changed) != case_key(CASE)


def test__repair_message__names_fault_and_features():
    message = repair_message("no value for two features", missing=["fever", "pain"])
    assert message.role == "user"
    assert "no value for two features" in message.content
    assert '"fever", "pain"' in message.content


# knowledge


def _ack(*texts: str, notice: str = "", condition: str = "asthma") -> Ack:
    citation = Citation("Page", "Signs", "folder", "a.md", "q", "t", "0" * 64, notice=notice)
    return Ack(
        Answer(condition, f"question_{n}", "group", f"What of {n}?", text, (citation,))
        for n, text in enumerate(texts)
    )


def test__knowledge_text__long_answers__are_cut_after_sentences_and_keep_the_notice():
    ack = _ack("Short one.", "Wheezing is common. " * 60, notice="draft, not reviewed")
    text = knowledge_text(ack, tokens=60)
    assert "Notice: draft, not reviewed" in text
    assert "Short one." in text
    cut = next(line for line in text.splitlines() if line.startswith("- group, question 1"))
    assert cut.endswith("Wheezing is common.")
    assert 30 < estimate_tokens(cut) < 80


def test__knowledge_text__unanswered_questions_and_marks__are_left_out():
    text = knowledge_text(_ack("Wheezing [1], often at night [1].", ""))
    assert "question 1" not in text
    assert "Wheezing, often at night." in text


@pytest.mark.parametrize("ack", [None, _ack("")])
def test__knowledge_text__nothing_known__is_empty_and_the_prompt_says_nothing_of_it(ack):
    assert knowledge_text(ack) == ""
    assert "Background" not in fill_messages(CASE, [FEVER], ack)[1].content


def test__knowledge_text__long_knowledge_of_the_study__fits_its_tokens(study):
    _, ack, _ = study
    for tokens in (300, 1000, 2000):
        body = knowledge_text(ack, tokens=tokens)
        headings = sum(estimate_tokens(line.partition(":")[0]) for line in body.splitlines())
        assert estimate_tokens(body) <= 2 * tokens + headings


# answering and discovering


def _hit(text: str, title: str = "Asthma") -> Hit:
    return Hit(Passage(text, title, "Signs", "folder", "a.md", None, None, (), "", (), "0" * 64), 1.0)


def test__answer_messages__passages__are_numbered_and_fenced():
    system, user = answer_messages("Which signs?", [_hit("Wheezing."), _hit("Cough.", "Bronchitis")])
    assert "NOT SUPPORTED" not in system.content
    assert "<<<passage [2] " in user.content
    assert "Bronchitis: Signs\nCough." in user.content
    assert user.content.endswith("Question: Which signs?")
    assert "NOT SUPPORTED" in answer_messages("Which signs?", [], form="text")[0].content


def test__discover_messages__answers__carry_the_numbers_that_citations_mean():
    ack = _ack("Wheezing.", "", "Smoking.") + _ack("Fever.", condition="pneumonia")
    user = discover_messages(ack)[1].content
    assert [answer.text for answer in numbered_answers(ack)] == ["Wheezing.", "Smoking.", "Fever."]
    assert "[2] asthma, question 2: Smoking." in user
    only = discover_messages(ack, conditions=["pneumonia"])[1].content
    assert "[3] pneumonia, question 0: Fever." in only
    assert "Smoking." not in only


def test__discover_messages__examples__are_objects_of_the_answers_shape():
    user = discover_messages(_ack("Wheezing."))[1].content
    lines = [json.loads(line) for line in user.splitlines() if line.startswith("{")]
    assert len(lines) >= 3
    assert {"name", "kind", "unit", "levels", "aliases", "category", "conditions", "citations"} < set(
        lines[0]
    )


# the published layout


def test__published_messages__one_condition__part_report_knowledge_list():
    ack = _ack("Wheezing.") + _ack("Dullness.", condition="pleural effusion")
    system, user = published_messages(CASE, [FEVER, PAIN], "pleural effusion", ack)
    assert "radiologist" in system.content
    order = [user.content.index(part) for part in ("REPORT", "PRIOR KNOWLEDGE", "FEATURES")]
    assert order == sorted(order)
    assert "Dullness." in user.content
    assert "Wheezing." not in user.content
    assert "LESIONS" not in user.content
    assert "PRIOR KNOWLEDGE" not in published_messages(CASE, [FEVER], "pleural effusion", None)[1].content


def test__labels_of__warns_loudly_and_is_the_only_way_to_the_lesions_line():
    frame = pd.DataFrame({"case": [1, 2], "text": ["a", "b"], "atelectasis": [1, None]})
    cohort = dallm.Cohort(frame, id="case", report="text", targets="atelectasis", data_use="open")
    with pytest.warns(UserWarning, match="TARGETS GO INTO THE PROMPTS"):
        labels = labels_of(cohort)
    assert labels == {1: "atelectasis: True", 2: "atelectasis: unknown"}
    asked = Feature("fever", "boolean", conditions=("lung collapse",))
    chat = fill_messages(
        next(cohort.cases()), [asked], layout="as_published", condition="atelectasis", labels=labels[1]
    )
    assert "LESIONS: atelectasis: True" in chat[1].content
    assert {f.kind for f in audit_prompts(cohort, [chat], features=[asked])} == {"value"}


def test__lesion_groups__every_feature_once():
    both = Feature("cough", "boolean", conditions=("CHF", "pneumonia"))
    one = Feature("rales", "boolean", conditions=("pneumonia",))
    groups = lesion_groups([FEVER, both, one])
    assert groups == [("heart failure", (both,)), ("pneumonia", (one,)), (NO_CONDITION, (FEVER,))]


# tokens


def test__estimate_tokens__against_the_vocabulary_of_a_real_model__is_not_too_low(study):
    import urllib.request

    from llm_server import NoModelError, llm_server, model_required

    cohort, ack, features = study
    prompt = FillPrompt(features, ack)
    texts = [transcript(prompt.messages(next(cohort.cases())))]
    texts += ["\n".join(case.report.values()) for case in cohort.cases()]
    try:
        with llm_server() as server:
            url = server.base_url.removesuffix("/v1") + "/tokenize"
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.key}"}
            ratios = []
            for text in texts:
                body = json.dumps({"content": text}).encode()
                with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
                    ratios.append(estimate_tokens(text) / len(json.load(reply)["tokens"]))
    except NoModelError as error:
        if model_required():
            raise
        pytest.skip(str(error))
    assert np.mean(np.array(ratios) >= 1) > 0.95
    assert min(ratios) > 0.9
    assert max(ratios) < 1.6


@pytest.mark.parametrize("text", ["\u80ba\u90e8\u6e05\u6670", "\u0627\u0644\u0631\u0626\u0629", "\U0001f600"])
def test__estimate_tokens__other_scripts__count_by_the_letter(text):
    assert estimate_tokens(text) >= len(text)


def test__token_count__reports_of_the_server__correct_the_rule():
    count = TokenCount()
    count.observe(100, 0)
    assert count.corrected(100) == 100
    for _ in range(5):
        count.observe(100, 130)
    assert count.factor == pytest.approx(1.3)
    assert count.corrected(1000) == 1300
    for _ in range(40):
        count.observe(100, 80)
    assert count.factor == pytest.approx(0.8, abs=0.01)


# long reports


def test__split_report__that_fits__is_the_case_itself():
    assert split_report(CASE, 500) == [CASE]


def test__split_report__fields_too_long_together__are_cut_between_them():
    case = Case("a", {"history": "Cough since May. " * 5, "findings": "Clear. " * 20}, {"age": 50.0})
    parts = split_report(case, 50)
    assert [tuple(part.report) for part in parts] == [("history",), ("findings",)]
    assert all(part.case_id == "a" and part.row == {"age": 50.0} for part in parts)
    assert len({case_key(part) for part in parts}) == 2


def test__split_report__one_field_with_headings__is_cut_before_a_heading():
    body = "The lungs are clear and the heart is normal in size. " * 6
    case = Case("a", {"text": f"FINDINGS: {body}\nIMPRESSION: {body}\n\nHistory: {body}"})
    starts = [part.report["text"][:8] for part in split_report(case, 120)]
    assert starts == ["FINDINGS", "IMPRESSI", "History:"]


@given(
    texts=st.lists(st.text("ab .\n:AB-é肺 1", max_size=700), min_size=1, max_size=3),
    limit=st.integers(32, 120),
)
@settings(max_examples=60, deadline=None)
def test__split_report__any_text__is_all_there_and_every_part_fits(texts, limit):
    case = Case("a", {f"field {n}": text for n, text in enumerate(texts)})
    parts = split_report(case, limit)
    for name, text in case.report.items():
        assert "".join(part.report.get(name, "") for part in parts) == text
    for part in parts:
        # at a seam two pieces may count a token less apart than together
        assert sum(map(estimate_tokens, part.report.values())) <= limit + 2 * len(part.report) + 8


def test__split_report__limit_without_sense__is_refused():
    with pytest.raises(UserError, match="at least 32 tokens"):
        split_report(CASE, 10)


QUOTE, OTHER = Quote("febrile", "f", 0, 7, "present", "llm"), Quote("afebrile", "f", 9, 17, "negated", "llm")
TRUE = Draft(True, "documented", "report", quotes=(QUOTE,))
FALSE = Draft(False, "documented", "report", quotes=(OTHER,))
SILENT = Draft(None, "not_documented", None)
FAILED = Draft(None, "failed", None, reason="unreadable")
MAYBE = Draft(None, "uncertain", "report", quotes=(QUOTE,))
GUESS, GUESSED = Draft(True, "inferred", "knowledge"), Draft(False, "inferred", "knowledge")
MERGED = [
    ((SILENT, TRUE), True, "documented", "2 parts"),
    ((TRUE, TRUE), True, "documented", "2 parts"),
    ((TRUE, FALSE), None, "conflicting", "different values"),
    ((MAYBE, TRUE), True, "documented", "2 parts"),
    ((MAYBE, SILENT), None, "uncertain", "2 parts"),
    ((FAILED, SILENT), None, "failed", "unreadable"),
    ((FAILED, TRUE), True, "documented", "one part could not be read"),
    ((FAILED, GUESS), None, "failed", "unreadable"),
    ((GUESS, SILENT), True, "inferred", "2 parts"),
    ((GUESS, GUESSED), None, "not_documented", "different values"),
    ((SILENT, SILENT), None, "not_documented", "2 parts"),
    ((Draft(1.0, "documented", "row"), Draft(True, "documented", "row")), None, "conflicting", "different"),
]


@pytest.mark.parametrize(("drafts", "value", "status", "said"), MERGED)
def test__merge_answers__two_parts__settle_by_the_rule(drafts, value, status, said):
    for ordered in (drafts, drafts[::-1]):
        merged = merge_answers([CaseAnswer("a", {"fever": draft}) for draft in ordered]).drafts["fever"]
        assert (merged.value, merged.status) == (value, status)
        assert said in merged.reason
        if status == "conflicting" and drafts[0].quotes:
            assert set(merged.quotes) == {QUOTE, OTHER}


def test__merge_answers__one_part__is_left_alone():
    answer = CaseAnswer("a", {"fever": TRUE})
    assert merge_answers([answer]) is answer


# targets


def _prompts(cohort, ack, features):
    """Every kind of prompt that a run sends."""
    case_prompts = []
    for form in ("json_schema", "template"):
        for infer in (False, True):
            prompt = FillPrompt(features, ack, form, infer)
            case_prompts += [prompt.messages(case) for case in cohort.cases()]
            case_prompts += [prompt.messages(case, features[5:9]) for case in cohort.cases()]
    for case in cohort.cases():
        for condition, group in lesion_groups(features):
            case_prompts.append(published_messages(case, group, condition, ack))
        case_prompts += [FillPrompt(features, ack).messages(part) for part in split_report(case, 40)]
    asked = [fill_messages(next(cohort.cases()), features, ack)]
    asked[0] += (Message("assistant", "{}"), repair_message("no value", missing=[features[0].name]))
    knowledge_prompts = [
        discover_messages(ack),
        answer_messages(ack.answers[0].question, [_hit(c.text, c.title) for c in ack.answers[0].citations]),
    ]
    return case_prompts + asked + knowledge_prompts


def test__audit_prompts__every_prompt_of_a_run__holds_no_target(study):
    cohort, ack, features = study
    prompts = _prompts(cohort, ack, features)
    assert len(prompts) > 500
    passages = prompts[-1:]
    found = audit_prompts(cohort, prompts[:-1], features=features, knowledge=ack)
    assert found == []
    # passages are knowledge that the answers were made from, not from the cohort: they may name a target
    assert {f.kind for f in audit_prompts(cohort, passages, features=features, knowledge=ack)} <= {
        "name",
        "value",
    }


def test__prompts__of_a_cohort_with_other_targets__are_the_same(study):
    cohort, ack, features = study
    frame = cohort.frame.copy()
    for name in cohort.targets:
        frame[name] = 1 - frame[name].fillna(0).astype(int)
    frame = frame.rename(columns={name: f"{name}_of_2019" for name in cohort.targets})
    other = dallm.Cohort(
        frame,
        id=cohort.id,
        group=cohort.group,
        report=list(cohort.report),
        numeric=cohort.numeric,
        categorical=list(cohort.categorical),
        targets=[f"{name}_of_2019" for name in cohort.targets],
        data_use="open",
    )
    assert _prompts(cohort, ack, features) == _prompts(other, ack, features)


def _small(text=("Clear lungs.", "Dull at the left base."), **columns):
    frame = pd.DataFrame({"case": [1, 2], "text": text, "temp": [98.6, 101.0], **columns})
    return dallm.Cohort(
        frame, id="case", report="text", numeric={"temp": "degF"}, targets=list(columns), data_use="open"
    )


LEAKS = [
    ("LESIONS: Pleural Effusion = 1", "value"),
    ("The pleural_effusions column says present", "name"),
    ("Known: pleural fluid", "name"),
    ("hydrothorax: True", "value"),
    ("labels 0 1 0 0 1", "unexplained"),
    ("1", "unexplained"),
]


@pytest.mark.parametrize(("line", "kind"), LEAKS)
def test__audit_prompts__planted_leak__is_found(line, kind):
    cohort = _small(pleural_effusion=[0, 1])
    for place, case in enumerate(cohort.cases()):
        text = transcript(fill_messages(case, [FEVER]))
        before = text.replace("\n\nThe record of case", f"\n{line}\n\nThe record of case")
        for leaky in (text + "\n" + line, before):
            found = audit_prompts(cohort, [leaky], features=[FEVER])
            assert [(f.kind, f.case_id) for f in found] == [(kind, place + 1)]


def test__audit_prompts__target_inside_the_fence_of_a_report__is_found():
    cohort = _small(pleural_effusion=[0, 1])
    text = transcript(fill_messages(next(cohort.cases()), [FEVER]))
    found = audit_prompts(cohort, [text.replace("Clear lungs.", "Clear lungs.\n1")], features=[FEVER])
    assert [f.kind for f in found] == ["foreign record"]
    found = audit_prompts(
        cohort, [text.replace("temp: 98.6 degF", "temp: 98.6 degF\nx: 0")], features=[FEVER]
    )
    assert [f.kind for f in found] == ["foreign record"]


def test__audit_prompts__report_features_and_knowledge_that_name_the_target__are_allowed():
    cohort = _small(pleural_effusion=[0, 1], text=["No pleural effusion.", "Pleural effusion: True"])
    restated = Feature("pleural effusion", "boolean", conditions=("pleural effusion",))
    ack = _ack("Pleural effusion dulls the note.", condition="pleural effusion")
    prompts = [fill_messages(case, [restated], ack) for case in cohort.cases()]
    assert audit_prompts(cohort, prompts, features=[restated], knowledge=ack) == []
    told = audit_prompts(cohort, prompts)
    assert {f.target for f in told if f.target} == {"pleural_effusion"}


def test__audit_prompts__hidden_column__is_still_the_cases_record():
    cohort = _small(pleural_effusion=[0, 1])
    case = next(cohort.cases())
    masked = Case(case.case_id, case.report, {}, case.units)
    assert audit_prompts(cohort, [fill_messages(masked, [FEVER])], features=[FEVER]) == []


def test__audit_prompts__users_own_template__may_say_what_it_likes(tmp_path):
    (tmp_path / "fill.jinja").write_text(
        "{% block system %}Mind hydrothorax.{% endblock %}{% block shared %}{{ features }}{% endblock %}"
        "{% block case %}{{ key }}\n{{ record }}{% endblock %}"
    )
    own = template("fill", tmp_path)
    cohort = _small(pleural_effusion=[0, 1])
    prompts = [fill_messages(case, [FEVER], template=own) for case in cohort.cases()]
    assert audit_prompts(cohort, prompts, features=[FEVER], templates=[own]) == []
    assert {f.kind for f in audit_prompts(cohort, prompts, features=[FEVER])} == {"name", "unexplained"}


def test__audit_prompts__no_prompt__is_refused():
    with pytest.raises(UserError, match="no prompt"):
        audit_prompts(_small(pleural_effusion=[0, 1]), [])


# commands


@pytest.fixture
def command():
    from dallm.cli import audit_prompts as audit
    from dallm.cli import prompts

    app = typer.Typer()
    app.command("prompts")(prompts.prompts)
    app.command("audit-prompts")(audit.audit_prompts)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test__dallm_prompts__lists_shows_and_copies(command, tmp_path):
    assert all(name in command("prompts").output for name in template_names())
    shown = command("prompts", "fill").output
    assert template("fill").sha256 in shown
    assert "{% block case %}" in shown
    assert command("prompts", "--copy", tmp_path / "own", "fill").exit_code == 0
    assert (tmp_path / "own" / "fill.jinja").read_text() == template("fill").source
    assert "own" in command("prompts", "--prompts", tmp_path / "own").output
    assert isinstance(command("prompts", "fil").exception, UserError)


@pytest.fixture
def run_files(tmp_path):
    cohort = _small(pleural_effusion=[0, 1])
    cohort.frame.to_csv(tmp_path / "cases.csv", index=False)
    FeatureSet([FEVER]).to_json(tmp_path / "features.json")
    roles = ["--id", "case", "--report", "text", "--numeric", "temp=degF", "--target", "pleural_effusion"]
    return (
        tmp_path,
        cohort,
        ["audit-prompts", tmp_path / "cases.csv", *roles, "--features", tmp_path / "features.json"],
    )


@pytest.mark.parametrize("layout", ["per_case", "as_published"])
def test__dallm_audit_prompts__clean_run__says_so(command, run_files, layout):
    done = command(*run_files[2], "--layout", layout)
    assert done.exit_code == 0, done.output
    assert "2 prompts, 1 targets: none of them is in a prompt." in done.output


def test__dallm_audit_prompts__leak_in_prompts_as_sent__exits_with_1(command, run_files):
    folder, cohort, arguments = run_files
    chats = [[m._asdict() for m in fill_messages(case, [FEVER])] for case in cohort.cases()]
    chats[1][1]["content"] += "\nLESIONS: pleural_effusion: True"
    sent = folder / "sent.jsonl"
    sent.write_text("".join(json.dumps({"body": {"messages": chat}}) + "\n" for chat in chats))
    done = command(*arguments, "--sent", sent)
    assert done.exit_code == 1
    assert "stands in 1 of 2 prompts" in done.output
    sent.write_text('{"messages": 3}\n')
    assert "line 1" in str(command(*arguments, "--sent", sent).exception)


def _agreeing(one: str, other: str) -> int:
    """How many first characters two texts have in common."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _recorded():
    import tomllib

    from dallm.resources import data_path

    return tomllib.loads(data_path("prompts", "prompts.toml").read_text(encoding="utf-8"))


def test__recorded_digest__is_of_the_file_as_it_lies_there():
    from dallm.resources import data_path

    for name in template_names():
        raw = data_path("prompts", f"{name}.jinja").read_bytes().replace(b"\r\n", b"\n")
        assert hashlib.sha256(raw).hexdigest() == template(name).sha256


def test__safe_text__ordinary_report__is_unchanged():
    text = 'Temp 38.2 °C, SpO2 <92 %, "sharp" pain >5/10 [see 1]; µg/mL – naïve\n\tBP 120/80'
    assert safe_text(text) == text


def test__merge_answers__quotes_with_offsets_of_their_part__count_from_the_whole_field():
    case = Case("a", {"x": "Lungs clear. " * 12 + "Febrile today.", "y": "Cough."})
    parts = split_report(case, 40)
    answers = []
    for part in parts:
        at = part.report.get("x", "").find("Febrile")
        quotes = (Quote("Febrile", "x", at, at + 7, "present", "llm"),) if at >= 0 else ()
        answers.append(
            CaseAnswer(
                "a", {"fever": Draft(True, "documented", "report", quotes=quotes) if quotes else SILENT}
            )
        )
    assert len(parts) > 1
    (quote,) = merge_answers(answers, parts).drafts["fever"].quotes
    assert case.report["x"][quote.start : quote.end] == "Febrile"


@pytest.mark.parametrize("layout", ["per_case", "as_published"])
def test__audit_prompts__all_that_a_server_got_in_a_run__holds_no_target(study, faults, tmp_path, layout):
    cohort, ack, features = study
    faults.set(keep=True, share=0.2, kinds=list(CONTENT), seed=2)
    engine = dallm.engine(
        "openai:tiny", base_url=faults.base_url, api_key="any", cache=str(tmp_path / "c"), layout=layout
    )
    dallm.fill_values(cohort, features[:9], ack=ack, engine=engine)
    bodies = faults.requests()
    assert len(bodies) > len(cohort)
    chats = [tuple(Message(m["role"], m["content"]) for m in body["messages"]) for body in bodies]
    assert any(len(chat) > 2 for chat in chats)  # some were asked again
    assert audit_prompts(cohort, chats, features=features, knowledge=ack) == []
