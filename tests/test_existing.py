"""Tests of filling columns that the table already has from what its reports state."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.engines.base import CaseAnswer, Draft, Quote
from dallm.errors import CohortError, UserError

LEXICON = """
[[concept]]
name = "oxygen saturation"
kind = "numeric"
category = "vital"
terms = ["o2 sat", "saturating"]
aliases = ["o2sat"]
unit = "%"
low = 20
high = 100

[[concept]]
name = "temperature"
kind = "numeric"
category = "vital"
terms = ["temp"]
unit = "degF"
low = 75
high = 115
units = { degC = "1.8*x+32" }

[[concept]]
name = "gender"
kind = "categorical"
category = "demographic"
levels = ["female", "male"]
level_terms = { female = ["woman"], male = ["man"] }

[[concept]]
name = "smoking"
kind = "boolean"
category = "history"
terms = ["smoker"]
aliases = ["smoker"]
"""
FRAME = pd.DataFrame(
    {
        "case": [1, 2, 3],
        "o2sat": [None, 97.0, None],
        "temperature": [36.6, None, None],
        "gender": ["F", "M", None],
        "smoker": [True, None, None],
        "ward": ["a", "b", "c"],
        "sick": [1, 0, 1],
        "findings": [
            "Saturating 92 % on room air.",
            "Saturating 95 % on room air. Temp 38.5 C. 60 year old man.",
            "72 year old woman with temp 101.3 F. Smoker.",
        ],
    }
)


class Answers:
    """An engine that answers from a table of case to drafts, and keeps what it was shown."""

    name = "answers"
    model = None

    def __init__(self, drafts):
        self.drafts = drafts
        self.cases, self.features = [], ()

    def fill(self, cases, features, knowledge=None):
        self.features = tuple(features)
        for case in cases:
            self.cases.append(case)
            yield CaseAnswer(case.case_id, self.drafts.get(case.case_id, {}))


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory):
    path = tmp_path_factory.mktemp("lexicon") / "small.toml"
    path.write_text(LEXICON, encoding="utf-8")
    return dallm.Lexicon.load(path, base=None)


@pytest.fixture
def cohort():
    return dallm.Cohort(
        FRAME,
        id="case",
        report="findings",
        numeric={"o2sat": "%", "temperature": "degC"},
        categorical=["gender", "smoker"],
        targets="sick",
    )


def stated(value, quote="Sat"):
    quotes = (Quote(quote, "findings", 0, len(quote), "present", "rule"),)
    return Draft(value, "documented", "report", quotes=quotes)


def test__fill_existing__missing__fills_only_what_is_missing(cohort, lexicon):
    filled = dallm.fill_existing(cohort, ["o2sat", "temperature"], lexicon=lexicon)
    frame = filled.frame
    assert frame["o2sat__filled"].astype("float").tolist() == pytest.approx(
        [92.0, np.nan, np.nan], nan_ok=True
    )
    assert frame["temperature__filled"].astype("float").tolist() == pytest.approx(
        [np.nan, 38.5, 38.5], nan_ok=True
    )
    assert str(frame["o2sat__filled"].dtype) == "Float64"
    pd.testing.assert_series_equal(frame["o2sat"].reset_index(drop=True), FRAME["o2sat"])
    assert filled.cells["status"].astype(str).tolist() == [
        *("documented", "not_applicable"),
        *("not_applicable", "documented"),
        *("not_documented", "documented"),
    ]


def test__fill_existing__filled_cell__quotes_the_report(cohort, lexicon):
    filled = dallm.fill_existing(cohort, "o2sat", lexicon=lexicon)
    cell, quote = filled.cells.iloc[0], filled.evidence.iloc[0]
    assert (cell["source"], cell["n_evidence"]) == ("report", 1)
    assert FRAME["findings"][0][quote["start"] : quote["end"]] == quote["quote"]
    assert "92" in quote["quote"]


def test__fill_existing__lexicon_that_comes_with_dallm__knows_the_usual_columns():
    text = "72 year old woman with temp 101.3 F, HR 110, RR 24, BP 180/95, SpO2 88%."
    units = {"o2sat": "%", "temperature": "degC", "heartrate": "bpm", "resprate": "/min", "sbp": "mmHg"}
    units |= {"dbp": "mmHg", "age": "years"}
    frame = pd.DataFrame({"case": [1], "findings": [text], **dict.fromkeys(units)})
    cohort = dallm.Cohort(frame, id="case", report="findings", numeric=units)
    assert dallm.fill_existing(cohort, list(units)).X("new").iloc[0].tolist() == [
        88,
        38.5,
        110,
        24,
        180,
        95,
        72,
    ]


def test__fill_existing__masked__asks_every_case_without_the_column(cohort, lexicon):
    filled = dallm.fill_existing(cohort, "o2sat", which="masked", lexicon=lexicon)
    assert filled.frame["o2sat__filled"].tolist()[:2] == [92.0, 95.0]  # 97 was measured, 95 is stated
    engine = Answers({})
    dallm.fill_existing(cohort, "o2sat", which="masked", engine=engine, lexicon=lexicon)
    assert [set(case.row) & {"o2sat"} for case in engine.cases] == [set()] * 3
    assert "temperature" in engine.cases[0].row
    assert all("sick" not in case.row and "ward" not in case.row for case in engine.cases)


def test__fill_existing__missing__shows_the_engine_no_case_that_has_all(cohort, lexicon):
    engine = Answers({})
    dallm.fill_existing(cohort, "o2sat", engine=engine, lexicon=lexicon)
    assert [case.case_id for case in engine.cases] == [1, 3]


def test__fill_existing__levels__come_in_the_columns_own_codes(cohort, lexicon):
    filled = dallm.fill_existing(cohort, ["gender", "smoker"], which="masked", lexicon=lexicon)
    assert filled.frame["gender__filled"].astype(object).tolist()[1:] == ["M", "F"]
    assert filled.frame["smoker__filled"].tolist()[2] is True


def test__fill_existing__impossible_value__fails_with_the_reason(cohort, lexicon):
    engine = Answers({1: {"o2sat": stated(920.0)}, 3: {"o2sat": stated(88.0, "72")}})
    filled = dallm.fill_existing(cohort, "o2sat", engine=engine, lexicon=lexicon)
    first = filled.cells.iloc[0]
    assert (first["status"], first["reason"]) == ("failed", "range: the value lies outside 20 to 100 %")
    third = filled.cells.iloc[2]
    assert (third["status"], third["reason"]) == ("conflicting", "value: another number stands in the quote")


def test__fill_existing__quote_that_is_not_in_the_report__fails(cohort, lexicon):
    engine = Answers({1: {"o2sat": stated(92.0, "Sat 92")}})
    cell = dallm.fill_existing(cohort, "o2sat", engine=engine, lexicon=lexicon).cells.iloc[0]
    assert (cell["status"], "does not stand" in cell["reason"]) == ("failed", True)


def test__fill_existing__impossible_measured_value__counts_as_missing(lexicon):
    frame = FRAME.assign(o2sat=[999.0, 97.0, 96.0])
    with pytest.warns(dallm.errors.DataQualityWarning):
        cohort = dallm.Cohort(frame, id="case", report="findings", numeric={"o2sat": "%"})
    filled = dallm.fill_existing(cohort, "o2sat", lexicon=lexicon)
    assert filled.frame["o2sat__filled"].tolist()[0] == 92.0
    assert filled.frame["o2sat"].tolist()[0] == 999.0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("o2sta", "no column 'o2sta'. Did you mean 'o2sat'"),
        ("ward", "'ward' has no role"),
        ("findings", "'findings' is the cohort's report column"),
        ("sick", "'sick' is the cohort's target column"),
        (["o2sat", "o2sat"], "'o2sat' is named twice"),
        ([], "no column"),
    ],
)
def test__fill_existing__column_of_no_use__is_named(cohort, lexicon, columns, message):
    with pytest.raises(CohortError, match=message):
        dallm.fill_existing(cohort, columns, lexicon=lexicon)


def test__fill_existing__unknown_which__says_the_two(cohort):
    with pytest.raises(UserError, match=r"'missing', 'masked'.*got 'mask'.*Did you mean 'masked'"):
        dallm.fill_existing(cohort, "o2sat", which="mask")


def test__fill_existing__column_declared_with_another_kind__is_refused(lexicon):
    frame = FRAME.assign(smoker=[1.0, 0.0, 1.0], gender=["x", "y", "z"])
    cohort = dallm.Cohort(frame, id="case", report="findings", numeric={"smoker": "1"}, categorical="gender")
    with pytest.raises(CohortError, match="'smoker' is declared numeric, but smoking is boolean"):
        dallm.fill_existing(cohort, "smoker", lexicon=lexicon)
    with pytest.raises(CohortError, match="'gender': none of its values is a level of gender"):
        dallm.fill_existing(cohort, "gender", lexicon=lexicon)


def test__fill_existing__engine_that_skips_a_case__is_refused(cohort, lexicon):
    class Skips(Answers):
        def fill(self, cases, features, knowledge=None):
            yield from list(super().fill(cases, features))[1:]

    with pytest.raises(dallm.errors.DallmError, match="did not answer case 1"):
        dallm.fill_existing(cohort, "o2sat", engine=Skips({}), lexicon=lexicon)
