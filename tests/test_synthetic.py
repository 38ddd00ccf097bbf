"""Tests of the synthetic cohort: shape, chance, vitals, and that its truth is what its reports say."""

import re

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import DallmError, UserError
from dallm.synthetic.cohort import Simulation, simulate
from dallm.synthetic.ledger import Claim, Ledger
from dallm.synthetic.phrases import Draw, compile_template, load_bank, render
from dallm.synthetic.reports import SECTIONS
from dallm.synthetic.vitals import VITALS

COLUMNS = [
    *("case_id", "patient_id", "indication", "comparison", "findings", "impression"),
    *("temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp", "age", "gender"),
    *(
        "atelectasis",
        "consolidation",
        "enlarged cardiac silhouette",
        "pleural effusion",
        "pleural abnormality",
    ),
]
DENIAL = re.compile(
    r"\b(?:no|not|none|nor|neither|never|without|deny|denies|negative|free|absent|excluded|ruled|fails|nothing|against"
    r"|resol\w+|clear\w*|disappeared|afebrile|\w*non\w+|except|nad|preserved|normal|intact|argues|dry)\b|\(-\)",
    re.IGNORECASE,
)
HEDGE = re.compile(
    r"\b(?:may|maybe|might|could|possib\w+|perhaps|question\w*|unclear|uncertain|cannot|suspicious|suspected|suspicion"
    r"|concerning|worrisome|concern|equivocal|differential|excluded?|versus|or|consider\w*|likely|probabl\w+"
    r"|suggest\w*|favored|presumably|difficult|hard|rule|explanation)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def made() -> Simulation:
    return simulate(3000, seed=7)


@pytest.fixture(scope="module")
def sentences(made: Simulation) -> pd.DataFrame:
    """The statements with their sentences; slips of the pen make a few unreadable to the tests' patterns."""
    text = made.cohort.frame.set_index("case_id")
    told = made.statements.copy()
    told["text"] = [
        text.at[row.case_id, row.field][row.start : row.end] for row in told.itertuples(index=False)
    ]
    return told


def test__make_cohort__same_seed__is_identical_to_the_byte():
    first, again = (dallm.make_cohort(60, seed=3).frame for _ in range(2))
    assert first.to_csv(index=False).encode() == again.to_csv(index=False).encode()
    assert not first.equals(dallm.make_cohort(60, seed=4).frame)


def test__make_cohort__larger_n__begins_with_the_smaller_cohort(made):
    small, truth = dallm.make_cohort(40, seed=7, return_truth=True)
    pd.testing.assert_frame_equal(small.frame, made.cohort.frame.head(40))
    pd.testing.assert_frame_equal(truth, made.truth.head(40))


def test__make_cohort__columns_and_roles__are_those_of_the_paper(made):
    cohort = made.cohort
    assert list(cohort.frame.columns) == COLUMNS
    assert (cohort.report, cohort.data_use, cohort.group) == (SECTIONS, "open", "patient_id")
    assert cohort.numeric["temperature"] == "degF"
    assert set(cohort.categorical) == {"gender"}
    assert list(cohort.targets) == COLUMNS[-5:]
    assert len(cohort.quality) == 0


def test__make_cohort__wherever_it_is_shown__says_synthetic(made):
    cohort = made.cohort
    for shown in (repr(cohort), cohort._repr_html_(), repr(cohort.take([0, 1])), cohort.notes[0]):
        assert "synthetic" in shown.lower()
    assert cohort.frame["case_id"].str.startswith("synthetic-").all()
    assert "Synthetic" in made.truth.attrs["note"]


@pytest.mark.parametrize(
    ("n", "seed", "name"), [(0, 0, "n"), (2.5, 0, "n"), (True, 0, "n"), (5, -1, "seed"), (5, "a", "seed")]
)
def test__make_cohort__bad_number__is_named(n, seed, name):
    with pytest.raises(UserError, match=f"`{name}` must be a whole number"):
        dallm.make_cohort(n, seed)


def test__make_cohort__one_case__works():
    cohort, truth = dallm.make_cohort(1, return_truth=True)
    assert (len(cohort), len(truth)) == (1, 1)


def test__patients__have_one_to_six_studies_and_do_not_grow_younger(made):
    frame = made.cohort.frame.iloc[:-6]
    groups = frame.groupby("patient_id")
    sizes = groups.size()
    assert (sizes.min(), sizes.max()) == (1, 6)
    assert 0.3 < (sizes > 1).mean() < 0.7
    assert groups["age"].apply(lambda age: age.is_monotonic_increasing).all()
    assert (groups["gender"].nunique() == 1).all()
    assert frame["age"].between(18, 110).all()


def test__vitals__move_with_what_the_report_says(made):
    vitals, truth = made.vitals, made.truth

    def shift(feature: str, vital: str) -> float:
        has = truth[feature].fillna(False)
        return float(vital_mean(has, vital) - vital_mean(~has, vital))

    def vital_mean(rows: pd.Series, vital: str) -> float:
        return float(vitals.loc[rows.to_numpy(bool), vital].mean())

    assert shift("fever", "temperature") > 2
    assert shift("fever", "heartrate") > 5
    assert shift("hypoxemia", "o2sat") < -5
    assert shift("shortness of breath", "resprate") > 2
    assert shift("hypertensive crisis", "sbp") > 40
    assert shift("cardiac tamponade", "sbp") < -8


def test__vitals__are_possible_and_partly_missing(made):
    frame = made.cohort.frame
    missing = frame[list(VITALS)].isna()
    assert missing.mean().between(0.04, 0.2).all()
    assert 0.02 < missing.all(axis=1).mean() < 0.15
    assert (made.vitals["sbp"] > made.vitals["dbp"]).all()
    assert made.vitals["o2sat"].between(70, 100).all()
    kept = frame["o2sat"].notna().to_numpy()
    np.testing.assert_array_equal(frame["o2sat"][kept], made.vitals["o2sat"][kept])


def test__truth__at_least_forty_features__have_every_answer_and_status(made):
    assert all(str(dtype) == "boolean" for dtype in made.truth.dtypes)
    assert made.truth.index.equals(made.cohort.ids)
    everything = [
        f
        for f in made.truth
        if made.truth[f].eq(True).sum() >= 10
        and made.truth[f].eq(False).sum() >= 10
        and made.status[f].eq("uncertain").sum() >= 5
        and made.status[f].eq("not_documented").sum() >= 10
    ]
    assert len(everything) >= 60
    chest_xray14 = (
        *("atelectasis", "cardiomegaly", "pleural effusion", "infiltration", "mass", "nodule", "pneumonia"),
        *("pneumothorax", "consolidation", "pulmonary edema", "emphysema", "pulmonary fibrosis"),
        *("pleural thickening", "hernia"),
    )
    assert set(chest_xray14) <= set(everything)


def test__status__documented__is_where_the_truth_is_known(made):
    assert (made.truth.notna() == (made.status == "documented")).all(axis=None)
    assert ((made.status == "not_documented") == made.strength.isna()).all(axis=None)


def test__statements__never_contradict_the_truth(made):
    expected = {
        "present": "present",
        "negated": "negated",
        "resolved": "negated",
        "possible": "possible",
        "probable": "probable",
    }
    told = made.statements[made.statements["stance"].isin(expected)]
    strength = made.strength.astype("string")
    found = [strength.at[row.case_id, row.feature] for row in told.itertuples(index=False)]
    assert found == told["stance"].map(expected).tolist()
    assert (told.assign(said=found).groupby(["case_id", "feature"])["said"].nunique() == 1).all()


def test__statements__every_answer__has_one(made):
    bank = load_bank()
    linked = {*bank.is_a, *bank.is_a.values(), *(name for names in bank.same.values() for name in names)}
    told = made.statements[
        made.statements["stance"].isin(["present", "negated", "resolved", "possible", "probable"])
    ]
    for feature in [f for f in made.truth if f not in linked]:
        spoken = set(told.loc[told["feature"] == feature, "case_id"])
        assert spoken == set(made.status.index[made.status[feature] != "not_documented"])


def test__statements__questions_and_other_people__leave_the_truth_open(made):
    for stance in ("hypothetical", "other_person", "historical"):
        asides = made.statements[made.statements["stance"] == stance]
        assert len(asides) > 50
        status = [made.status.at[row.case_id, row.feature] for row in asides.itertuples(index=False)]
        assert status.count("not_documented") > 0.3 * len(status)


def test__truth__narrower_and_broader_features__agree(made):
    for narrow, broad in load_bank().is_a.items():
        assert not (made.truth[narrow].eq(True) & ~made.truth[broad].eq(True).fillna(False)).any()
        assert not (made.truth[broad].eq(False) & ~made.truth[narrow].eq(False).fillna(False)).any()
    assert made.truth["dyspnea"].equals(made.truth["shortness of breath"])


def test__wording__denials_and_hedges__read_as_such(sentences):
    checks = {"negated": DENIAL, "resolved": DENIAL, "possible": HEDGE, "probable": HEDGE}
    for stance, pattern in checks.items():
        told = sentences[(sentences["stance"] == stance) & (sentences["how"] == "stated")]
        unread = told[~told["text"].str.contains(pattern)]
        assert len(unread) < 0.012 * len(told), unread["text"].head(20).tolist()


def test__wording__what_is_stated__is_not_hedged(sentences):
    single = sentences.groupby(["case_id", "field", "start"])["feature"].transform("size") == 1
    told = sentences[single & (sentences["stance"] == "present")]
    hedged = told[told["text"].str.contains(HEDGE)]
    assert {word.lower() for text in hedged["text"] for word in HEDGE.findall(text)} <= {
        "cannot"
    }  # "cannot catch her breath"


def test__reports__are_written_out_and_vary(made):
    frame = made.cohort.frame
    text = frame[list(SECTIONS)].agg("\n".join, axis=1)
    assert not text.str.contains(r"[{}\[\]|$~]").any()
    assert not text.str.contains("  ").any()
    assert frame["findings"].nunique() > 0.85 * len(frame)
    for section in SECTIONS:
        assert 0.02 < (frame[section] == "").mean() < 0.25
    for words in (
        "XXXX",
        "___",
        "No acute cardiopulmonary process",
        "on room air",
        "[Ff]ather|[Bb]rother",
        r"\d mm",
    ):
        assert text.str.contains(words).sum() > 20


def test__targets__follow_the_findings_but_not_exactly(made):
    label = made.cohort.frame.set_index("case_id")["pleural effusion"]
    said = made.truth["pleural effusion"]
    assert 0.75 < label[said.eq(True).fillna(False)].mean() < 0.97
    assert 0.0 < label[said.eq(False).fillna(False)].mean() < 0.2


def test__ledger__contradiction__is_refused():
    ledger = Ledger(load_bank())
    assert ledger.add([Claim("heart failure", "negated")])
    assert not ledger.add([Claim("congestive heart failure", "present")])
    assert ledger.add([Claim("cough", "hypothetical")])
    assert "cough" not in ledger.said


def test__ledger__doubt_about_a_narrower_feature__gives_way_to_a_statement():
    ledger = Ledger(load_bank())
    assert ledger.add([Claim("dry cough", "possible")])
    assert ledger.said["cough"] == "possible"
    assert ledger.add([Claim("cough", "present")])
    assert not ledger.allows([Claim("cough", "negated")])
    assert ledger.said == {"dry cough": "possible", "cough": "present"}


@pytest.mark.parametrize("text", ["a [small", "a small]", "a | b"])
def test__compile_template__stray_bracket__is_refused(text):
    with pytest.raises(DallmError, match="bracket or bar"):
        compile_template(text)


def test__render__nested_choice__takes_one_of_each():
    template = compile_template("[a [x|y]|b] {n}")
    assert {render(template, Draw(str(i)), {"n": "1"}) for i in range(40)} == {"a x 1", "a y 1", "b 1"}
