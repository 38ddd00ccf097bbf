"""Tests of the extractive engine: from a case's report and row to answers with evidence."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dallm
from dallm import Case, Feature
from dallm.errors import UserError

ENGINE = dallm.engine("extractive")


def boolean(*names):
    return [Feature(name, "boolean") for name in names]


def answer(report, features, row=None, units=None):
    report = {"findings": report} if isinstance(report, str) else report
    case = Case(1, report, row or {}, units or {})
    drafts = next(iter(ENGINE.fill([case], features))).drafts
    for draft in drafts.values():
        for quote in draft.quotes:
            assert case.report[quote.field][quote.start : quote.end] == quote.quote
    return drafts


@pytest.mark.parametrize(
    ("text", "feature", "status", "value"),
    [
        ("Small left effusion.", "pleural effusion", "documented", True),
        ("No effusion.", "pleural effusion", "documented", False),
        ("The costophrenic angles are sharp.", "pleural effusion", "documented", False),
        ("The effusion has resolved.", "pleural effusion", "documented", False),
        ("Effusion cannot be excluded.", "pleural effusion", "uncertain", None),
        ("Effusion. Later in the text: no effusion.", "pleural effusion", "conflicting", None),
        ("No large effusion. Small effusion.", "pleural effusion", "documented", True),
        (
            "Heart size, mediastinal contours and hila are within normal limits.",
            "cardiomegaly",
            "documented",
            False,
        ),
        ("The heart shadow appears mildly enlarged.", "cardiomegaly", "documented", True),
        ("Heart at the upper limits of normal today.", "cardiomegaly", "documented", False),
        ("Subcutaneous emphysema.", "emphysema", None, None),
        ("Knee joint effusion.", "pleural effusion", None, None),
        ("Body mass index 31.", "mass", None, None),
        ("Bilateral lower extremity edema.", "pulmonary edema", None, None),
        ("Bilateral lower extremity edema.", "leg swelling", "documented", True),
        ("History of COPD.", "chronic obstructive pulmonary disease", "documented", True),
        ("Mother has COPD.", "chronic obstructive pulmonary disease", "not_documented", None),
        ("Dry cough.", "cough", "documented", True),
        ("No cough.", "dry cough", "documented", False),
        ("Cardiomegoly and pleural effsuion.", "pleural effusion", None, None),
        ("Pnuemonia in the left lung.", "pneumonia", "documented", True),
        ("Consolidtaion.", "consolidation", "documented", True),
        ("The hemithorax is opaque.", "hemothorax", None, None),
    ],
)
def test__fill__finding__status_and_value(text, feature, status, value):
    draft = answer(text, boolean(feature)).get(feature)
    assert (draft.status if draft else None) == status
    assert (draft.value if draft else None) == value


def test__fill__reason_for_examination__is_no_finding():
    drafts = answer(
        {"indication": "Evaluate for pneumonia, r/o effusion"}, boolean("pneumonia", "pleural effusion")
    )
    assert {d.status for d in drafts.values()} == {"not_documented"}
    assert "hypothetical" in drafts["pneumonia"].reason


def test__fill__symptom_and_history_in_the_indication__are_documented():
    drafts = answer({"indication": "Cough, h/o asthma"}, boolean("cough", "asthma"))
    assert {name: d.value for name, d in drafts.items()} == {"cough": True, "asthma": True}


@pytest.mark.parametrize(
    ("indication", "findings", "value"),
    [
        ("Heart failure", "No evidence of heart failure.", False),
        ("Heart failure", "Lungs are clear.", True),
        ("History of heart failure", "No heart failure.", True),
        ("Congestive heart failure", "No congestive heart failure.", None),
    ],
)
def test__fill__disease_asked_for__what_was_found_decides(indication, findings, value):
    drafts = answer({"indication": indication, "findings": findings}, boolean("heart failure"))
    assert (drafts["heart failure"].value if drafts else None) is value


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("Pain worse lying down.", "chest pain"),
        ("Pain worse lying down.", "positional chest pain"),
        ("Pain worse on inspiration.", "chest pain"),
        ("Denies chest pain.", "worsening of pain by lying down"),
        ("Chest pain and worsening shortness of breath.", "worsening of pain by inspiration"),
        ("Breathing is worse and he has chest pain.", "worsening of pain by inspiration"),
        ("Supine radiograph for increased pain.", "worsening of pain by lying down"),
        ("No complaints of cough.", "asymptomatic"),
        ("Asymptomatic except for cough.", "asymptomatic"),
        ("Lethargic.", "fatigue"),
        ("Dry mouth and cough.", "dry cough"),
        ("She came back because her chest hurts.", "back pain"),
        ("Chest is clear and the ankle is painful.", "chest pain"),
        ("Leg pain and pulmonary edema.", "leg swelling"),
        ("Extremities without edema.", "pulmonary edema"),
        ("Bones intact and dense consolidation.", "high bone density"),
        ("EKG leads and degenerative changes.", "specific electrocardiogram changes"),
        ("No pericardial effusion.", "cardiac tamponade"),
        ("No ST changes on EKG.", "electrical alternans"),
        ("No rib fracture.", "fracture"),
        ("Smoking status unknown.", "smoking"),
    ],
)
def test__fill__words_about_something_else__say_nothing(text, feature):
    assert feature not in answer(text, boolean(feature))


def test__fill__comparison__is_not_read_as_finding():
    assert (
        answer({"comparison": "CT of pneumonia"}, boolean("pneumonia"))["pneumonia"].status
        == "not_documented"
    )


@pytest.mark.parametrize(
    ("text", "name", "unit", "value"),
    [
        ("Saturating 92 % on room air.", "oxygen saturation", "%", 92.0),
        ("Temp 38.5 C today", "temperature", "degF", 101.3),
        ("temperature 101.2", "temperature", "degF", 101.2),
        ("BP 120/80, HR 88", "systolic blood pressure", "mmHg", 120.0),
        ("BP 120/80, HR 88", "diastolic blood pressure", "mmHg", 80.0),
        ("BP 120/80, HR 88", "heart rate", "/min", 88.0),
    ],
)
def test__fill__measurement__is_converted_to_the_unit(text, name, unit, value):
    draft = answer(text, [Feature(name, "numeric", unit=unit)])[name]
    assert draft.status == "documented"
    assert draft.value == pytest.approx(value)


def test__fill__two_values__conflict():
    feature = Feature("heart rate", "numeric", unit="/min")
    assert answer("HR 80. Later heart rate 120.", [feature])["heart rate"].status == "conflicting"


def test__fill__level__is_taken_from_the_words():
    feature = Feature("chest pain severity", "ordinal", levels=("mild", "moderate", "severe"))
    assert answer("Severe chest pain.", [feature])["chest pain severity"].value == "severe"
    assert answer("No chest pain.", [feature])["chest pain severity"].status == "not_applicable"


def test__fill__feature_in_no_lexicon__is_looked_for_by_name_and_alias():
    feature = Feature("zebra stripe sign", "boolean", aliases=("striped look",))
    assert answer("Striped looks at the base.", [feature])["zebra stripe sign"].value is True
    assert answer("No zebra stripe sign.", [feature])["zebra stripe sign"].value is False


def test__fill__two_names_of_one_concept__agree():
    drafts = answer("Dyspnea.", boolean("dyspnea", "shortness of breath", "breathing difficulty"))
    assert [d.value for d in drafts.values()] == [True, True, True]


def test__fill__measured_fever__comes_from_the_row():
    drafts = answer({}, boolean("fever"), {"temperature": 102.0}, {"temperature": "degF"})
    assert (drafts["fever"].value, drafts["fever"].source) == (True, "row")


def test__fill__non_ascii__quotes_stand_at_their_offsets():
    text = "Ünïcode 𝛼𝛽 İ — «no» pneumothorax.\r\nKleiner Erguß… small effusion 😀."
    drafts = answer(text, boolean("pneumothorax", "pleural effusion"))
    assert drafts["pleural effusion"].value is True


ALPHABET = st.sampled_from(
    [
        *("no ", "effusion ", "pneumonia", " may represent ", "fever", ", ", ". ", "\n", "and ", "İ", "😀"),
        *(
            "heart size ",
            "enlarged ",
            "is ",
            "not seen",
            "history of ",
            "?",
            ":",
            "FINDINGS: ",
            "92 %",
            "sat ",
        ),
        *("\x00", "mother ", "38.5 C temp "),
    ]
)


MANY = [
    *boolean("pleural effusion", "pneumonia", "fever", "cardiomegaly"),
    Feature("oxygen saturation", "numeric", unit="%"),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(ALPHABET, max_size=40).map("".join))
def test__fill__any_text__never_fails_and_quotes_itself(text):
    features = MANY
    for draft in answer(text, features).values():
        assert draft.status != "documented" or draft.quotes


def test__fill__report_of_a_megabyte__is_read():
    text = "No effusion. " * 80_000 + "Small pneumothorax."
    assert answer(text, boolean("pneumothorax"))["pneumothorax"].value is True


@pytest.mark.parametrize(
    "text", ["\x00\x01\x02" * 50, "Keine Auffälligkeiten im Röntgenbild.", "胸部X線写真", "....", "%%%"]
)
def test__fill__nothing_to_read__gives_nothing(text):
    assert answer(text, boolean("pleural effusion", "fever")) == {}


def test__engine__pickled__answers_the_same():
    engine = dallm.engine("extractive")
    case = Case(1, {"findings": "No effusion."})
    before = next(iter(engine.fill([case], boolean("pleural effusion"))))
    again = next(iter(pickle.loads(pickle.dumps(engine)).fill([case], boolean("pleural effusion"))))
    assert again == before


@pytest.mark.parametrize(("name", "options"), [("extractiv", {}), ("extractive", {"lexikon": 1})])
def test__engine__unknown_name_or_option__suggests_the_near_one(name, options):
    with pytest.raises(UserError, match="Did you mean"):
        dallm.engine(name, **options)
