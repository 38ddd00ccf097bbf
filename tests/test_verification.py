"""Tests of the checks that every answer passes: quotes, assertions, values, relations, persons."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

import dallm
from dallm.augment.verification import KINDS, Verifier, kind_of, locate, verified
from dallm.engines.base import Case, CaseAnswer, Draft, Quote
from dallm.features import Feature, FeatureSet

REPORT = {
    "indication": "65 year old man, fever to 101.3 F, BP 150/85. Denies cough. Former smoker. "
    "Symptoms for 2 weeks.",
    "findings": "Heart size is normal. Small left effusion.\nNo effusion on the right.  "
    "Cannot exclude pneumonia. Bruising over both arms. A 1.2 cm nodule with spiculated borders. HR 120.",
}
FEATURES = FeatureSet(
    [
        *(
            Feature(name, "boolean")
            for name in (
                "fever",
                "pleural effusion",
                "cardiomegaly",
                "pneumonia",
                "cough",
                "dry cough",
                "edema",
            )
        ),
        *(Feature(name, "boolean") for name in ("asymptomatic", "pregnancy", "tachycardia", "ecchymosis")),
        Feature("spiculated margin", "boolean", aliases=("spiculated",)),
        Feature("temperature", "numeric", unit="degC"),
        Feature("systolic blood pressure", "numeric", unit="mmHg"),
        Feature("diastolic blood pressure", "numeric", unit="mmHg"),
        Feature("nodule size", "numeric", unit="mm"),
        Feature("age", "numeric", unit="years"),
        Feature("duration of symptoms", "numeric", unit="days"),
        Feature("smoking status", "categorical", levels=("never", "former", "current")),
        Feature("chest pain", "boolean"),
        Feature("chest pain severity", "ordinal", levels=("mild", "moderate", "severe")),
    ]
)
CASE = Case(
    1, REPORT, {"gender": "M", "age": 65.0, "temperature": 38.5}, {"age": "years", "temperature": "degC"}
)


@pytest.fixture(scope="module")
def verifier():
    return Verifier(FEATURES)


def said(value, text, field="findings"):
    """A documented answer whose offsets nobody has worked out yet."""
    return Draft(value, "documented", "report", quotes=(Quote(text, field, 0, 0, "", ""),))


def check(verifier, case=CASE, **drafts):
    named = {name.replace("_", " "): draft for name, draft in drafts.items()}
    return verifier.checked(case, CaseAnswer(case.case_id, named)).drafts


@pytest.mark.parametrize(
    ("feature", "value", "text", "field"),
    [
        ("fever", True, "fever to 101.3 F", "indication"),
        ("temperature", 38.5, "fever to 101.3 F", "indication"),
        ("systolic blood pressure", 150.0, "BP 150/85", "indication"),
        ("diastolic blood pressure", 85.0, "BP 150/85", "indication"),
        ("cough", False, "Denies cough.", "indication"),
        ("dry cough", False, "Denies cough", "indication"),
        ("smoking status", "former", "Former smoker", "indication"),
        ("duration of symptoms", 14.0, "Symptoms for 2 weeks", "indication"),
        ("age", 65.0, "65 year old man", "indication"),
        ("cardiomegaly", False, "Heart size is normal.", "findings"),
        ("pleural effusion", True, "Small left effusion.", "findings"),
        ("tachycardia", True, "HR 120", "findings"),
        ("ecchymosis", True, "Bruising over both arms", "findings"),
        ("spiculated margin", True, "spiculated borders", "findings"),
        ("nodule size", 12.0, "1.2 cm nodule", "findings"),
    ],
)
def test__checked__correct_answer__keeps_value_and_gets_the_reports_offsets(
    verifier, feature, value, text, field
):
    draft = check(verifier, **{feature: said(value, text, field)})[feature]
    assert (draft.status, draft.value, draft.reason) == ("documented", value, "")
    quote = draft.quotes[0]
    assert REPORT[quote.field][quote.start : quote.end] == quote.quote
    assert quote.assertion == ("negated" if value is False else "present")


@pytest.mark.parametrize(
    ("feature", "value", "text", "field", "status", "kind"),
    [
        ("fever", True, "She was febrile all night", "indication", "failed", "quote"),
        ("cough", True, "Denies cough", "indication", "conflicting", "assertion"),
        ("fever", False, "fever to 101.3 F", "indication", "conflicting", "assertion"),
        ("cardiomegaly", True, "Heart size is normal.", "findings", "conflicting", "assertion"),
        ("tachycardia", False, "HR 120", "findings", "conflicting", "assertion"),
        ("spiculated margin", False, "spiculated borders", "findings", "conflicting", "assertion"),
        ("smoking status", "current", "Former smoker", "indication", "conflicting", "assertion"),
        ("edema", True, "Small left effusion.", "findings", "failed", "topic"),
        ("diastolic blood pressure", 150.0, "BP 150/85", "indication", "failed", "topic"),
        ("temperature", 101.3, "fever to 101.3 F", "indication", "failed", "range"),
        ("temperature", 385.0, "fever to 101.3 F", "indication", "failed", "range"),
        ("nodule size", 1.2, "1.2 cm nodule", "findings", "failed", "unit"),
        ("nodule size", 21.0, "1.2 cm nodule", "findings", "conflicting", "value"),
        ("temperature", 38.5, "fever", "indication", "failed", "value"),
        ("fever", "yes", "fever", "indication", "failed", "value"),
        ("smoking status", "often", "Former smoker", "indication", "failed", "value"),
        ("pregnancy", True, "Bruising over both arms", "findings", "failed", "person"),
        ("age", 56.0, "65 year old man", "indication", "conflicting", "person"),
    ],
)
def test__checked__planted_fault__is_refused_with_its_kind(
    verifier, feature, value, text, field, status, kind
):
    draft = check(verifier, **{feature: said(value, text, field)})[feature]
    assert draft.value is None
    assert (draft.status, kind_of(draft.reason)) == (status, kind)
    assert not draft.quotes or draft.status == "conflicting"


@pytest.mark.parametrize("value", [True, False])
def test__checked__finding_only_considered__is_uncertain(verifier, value):
    draft = check(verifier, pneumonia=said(value, "Cannot exclude pneumonia."))["pneumonia"]
    assert (draft.status, draft.value, draft.reason) == ("uncertain", None, "the report only considers it")


def test__checked__words_that_stand_twice__the_place_that_agrees_counts(verifier):
    at = REPORT["findings"].rindex("effusion")
    draft = check(verifier, pleural_effusion=said(False, "effusion"))["pleural effusion"]
    assert (draft.value, draft.quotes[0].start) == (False, at)


def test__checked__wrong_field__is_corrected_with_a_note(verifier):
    draft = check(verifier, cough=said(False, "Denies cough", "findings"))["cough"]
    assert (draft.value, draft.quotes[0].field) == (False, "indication")
    assert "said to stand in 'findings'" in draft.quotes[0].rule


@pytest.mark.parametrize(
    ("quote", "exactness"),
    [
        ("Small left effusion.", "exact"),
        ("small LEFT  effusion. No effusion on the right", "normalised"),
        ("“Small left effusion”", "normalised"),
        ("Heart size ... normal", "normalised"),
        ("A 1.2 cm nodul with spiculated border", "fuzzy"),
    ],
)
def test__locate__same_words__are_found(quote, exactness):
    assert locate(quote, "findings", REPORT).exactness == exactness


@pytest.mark.parametrize(
    "quote",
    [
        "A 1.3 cm nodule with spiculated borders",
        "Small right effusion.",
        "No small left effusion.",
        "Heart size is abnormal.",
        "Bruising over both legs.",
        "  ",
    ],
)
def test__locate__another_number_side_or_denial__is_not_found(quote):
    assert locate(quote, "findings", REPORT) is None


def test__locate__another_field__only_word_for_word():
    assert locate("A 1.2 cm nodul with spiculated border", "indication", REPORT) is None
    assert locate("a 1.2 cm nodule", "indication", REPORT).field == "findings"


@pytest.mark.parametrize(
    ("drafts", "refused"),
    [
        (
            {
                "cough": said(False, "Denies cough", "indication"),
                "dry_cough": Draft(True, "inferred", "prior"),
            },
            {"dry cough"},
        ),
        (
            {
                "systolic_blood_pressure": Draft(80.0, "inferred", "prior"),
                "diastolic_blood_pressure": said(85.0, "BP 150/85", "indication"),
            },
            {"systolic blood pressure"},
        ),
        (
            {"asymptomatic": Draft(True, "inferred", "prior"), "cough": Draft(True, "inferred", "prior")},
            {"asymptomatic", "cough"},
        ),
        (
            {
                "chest_pain": Draft(False, "inferred", "prior"),
                "chest_pain_severity": Draft("mild", "inferred", "prior"),
            },
            {"chest pain", "chest pain severity"},
        ),
        ({"cough": Draft(False, "inferred", "prior"), "dry_cough": Draft(False, "inferred", "prior")}, set()),
    ],
)
def test__checked__cells_that_contradict_each_other__what_is_less_sure_is_refused(verifier, drafts, refused):
    checked = check(verifier, **drafts)
    assert {
        n for n, d in checked.items() if d.status == "conflicting" and kind_of(d.reason) == "relation"
    } == refused


def test__checked__answer_from_the_row__must_be_what_was_measured(verifier):
    right = check(
        verifier, temperature=Draft(38.5, "documented", "row"), fever=Draft(True, "documented", "row")
    )
    assert [d.value for d in right.values()] == [38.5, True]
    wrong = check(
        verifier, temperature=Draft(37.0, "documented", "row"), fever=Draft(False, "documented", "row")
    )
    assert {kind_of(d.reason) for d in wrong.values()} == {"row"}


class Told:
    """An engine that answers what it is told."""

    name, model = "told", None

    def __init__(self, drafts):
        self.drafts = drafts

    def fill(self, cases, features, knowledge=None):
        return (CaseAnswer(case.case_id, self.drafts) for case in cases)


def test__fill_values__refusals__are_counted_by_kind_in_the_summary():
    frame = pd.DataFrame({"case": [1, 2], **{k: [v, v] for k, v in REPORT.items()}})
    cohort = dallm.Cohort(frame, id="case", report=list(REPORT), data_use="open")
    drafts = {
        "cough": said(True, "Denies cough", "indication"),
        "edema": said(True, "Small left effusion."),
        "fever": said(True, "fever", "indication"),
    }
    summary = dallm.fill_values(cohort, FEATURES, engine=Told(drafts)).summary()
    assert summary["refused_assertion"].sum() == summary.loc["cough", "refused_assertion"] == 2
    assert summary.loc["edema", "refused_topic"] == 2
    assert [c for c in summary.columns if c.startswith("refused_")] == ["refused_topic", "refused_assertion"]
    assert summary.loc["fever", "documented"] == 2
    assert {"quote", "topic", "assertion", "value", "unit", "range"} <= set(KINDS)


def test__verified__answers_of_the_extractive_engine__pass_unchanged():
    features = FeatureSet(f for f in FEATURES if f.name != "nodule size")
    cases = list(dallm.make_cohort(40, seed=3).cases())
    engine = dallm.engine("extractive")
    given = list(engine.fill(cases, features))
    assert list(verified(given, cases, features, engine=engine)) == given


def test__verified__range__holds_for_the_extractive_engine_too():
    rate = Feature("heart rate", "numeric", unit="/min", low=100, high=200)
    case = Case(1, {"findings": "HR 88"})
    draft = Draft(
        88.0, "documented", "report", quotes=(Quote("HR 88", "findings", 0, 5, "present", "stated"),)
    )
    answers = verified(
        [CaseAnswer(1, {"heart rate": draft})], [case], FeatureSet([rate]), engine=dallm.engine("extractive")
    )
    assert next(answers).drafts["heart rate"].reason == "range: the value lies outside 100 to 200 /min"


def test__benchmark__planted_faults__at_least_95_percent_caught_and_2_percent_accused(capsys, monkeypatch):
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("verification_benchmark", folder / "verification.py")
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)
    spec.loader.exec_module(benchmark)
    for make in (benchmark.synthetic_samples, benchmark.phrase_samples):
        result = benchmark.measure("test", *make(120, 5), 5, 0)
        assert result.accused <= 0.02 * result.cells
        assert len(result.planted) >= 5
        for kind, count in result.planted.items():
            assert result.caught[kind] >= 0.95 * count, kind
