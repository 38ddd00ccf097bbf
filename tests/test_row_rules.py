"""Tests of the rules that fill features from a case's row, and of their merge with the report."""

from __future__ import annotations

import pickle
import re
import tomllib

import pytest

from dallm.augment.row_rules import RowRules, merge
from dallm.engines.base import Case, Draft, Quote
from dallm.errors import FeatureError, UserError
from dallm.features import Feature
from dallm.resources import data_path

RULE = '[[rule]]\nfeature = "x"\nguideline = "g"\n'
FEVER = Feature("fever", "boolean")
UNITS = {
    "temperature": "degF",
    "o2sat": "%",
    "sbp": "mmHg",
    "dbp": "mmHg",
    "heartrate": "bpm",
    "age": "years",
}
NEGATED = Draft(
    False, "documented", "report", quotes=(Quote("No fever", "indication", 0, 8, "negated", "no"),)
)
AFFIRMED = Draft(
    True, "documented", "report", quotes=(Quote("Fever", "indication", 0, 5, "present", "default"),)
)
HIGH = Draft(True, "documented", "row", rationale="temperature 38.6 degC >= 38 degC")
NORMAL = Draft(False, "documented", "row", rationale="temperature 36.6 degC is not >= 38 degC")


def drafts(row, features, units=UNITS):
    case = Case("a", {}, row, {c: u for c, u in units.items() if c in row})
    return RowRules.default().apply(case, features)


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("fever", {"temperature": 100.4}, True),
        ("fever", {"temperature": 100.3}, False),
        ("pyrexia", {"temperature": 103.0}, True),
        ("hypoxemia", {"o2sat": 89.0}, True),
        ("hypoxemia", {"o2sat": 90.0}, False),
        ("tachycardia", {"heartrate": 101.0}, True),
        ("tachycardia", {"heartrate": 100.0}, False),
        ("hypertensive crisis", {"sbp": 190.0, "dbp": 80.0}, True),
        ("hypertensive crisis", {"sbp": 190.0}, True),
        ("hypertensive crisis", {"sbp": 180.0, "dbp": 120.0}, False),
        ("hypotension", {"sbp": 85.0}, True),
        ("hypotension", {"sbp": 120.0}, False),
    ],
)
def test__apply__threshold__decides_at_the_bound(name, row, expected):
    draft = drafts(row, [Feature(name, "boolean")])[name]
    assert (draft.value, draft.status, draft.source) == (expected, "documented", "row")


def test__apply__half_of_the_blood_pressure_is_normal__stays_unknown():
    assert drafts({"sbp": 130.0}, [Feature("hypertensive crisis", "boolean")]) == {}


def test__apply__no_column_or_other_kind__gives_nothing():
    assert drafts({"o2sat": 80.0}, [FEVER]) == {}
    assert drafts({"temperature": 103.0}, [Feature("fever", "ordinal", levels=("low", "high"))]) == {}


def test__apply__celsius_column__compares_in_its_own_unit():
    row, units = {"Temp": 38.0}, {"Temp": "degC"}
    draft = drafts(row, [FEVER], units)["fever"]
    assert draft.value is True
    assert draft.rationale.startswith("Temp 38 degC >= 38 degC (CDC")


def test__apply__rows_with_other_columns_present__are_each_read_right():
    rules, features = RowRules.default(), [FEVER, Feature("hypoxemia", "boolean")]
    first = rules.apply(Case(1, {}, {"temperature": 104.0}, UNITS), features)
    second = rules.apply(Case(2, {}, {"o2sat": 80.0}, UNITS), features)
    third = rules.apply(
        Case(3, {}, {"temperature": 37.0, "o2sat": 99.0}, {**UNITS, "temperature": "degC"}), features
    )
    assert [{n: d.value for n, d in found.items()} for found in (first, second, third)] == [
        {"fever": True},
        {"hypoxemia": True},
        {"fever": False, "hypoxemia": False},
    ]


def test__apply__numeric_feature__is_copied_in_its_own_unit():
    feature = Feature("body temperature", "numeric", unit="degC", low=30, high=45)
    assert drafts({"temperature": 101.3}, [feature])["body temperature"].value == pytest.approx(38.5)


def test__apply__numeric_value_outside_the_features_range__fails_with_the_reason():
    draft = drafts({"o2sat": 40.0}, [Feature("o2sat", "numeric", unit="%", low=50, high=100)])["o2sat"]
    assert (draft.value, draft.status) == (None, "failed")
    assert "40 % is outside 50 to 100" in draft.reason


def test__apply__unit_that_cannot_be__names_feature_and_field():
    with pytest.raises(FeatureError, match="'heart rate', field 'unit': 'mmHg'"):
        drafts({"heartrate": 80.0}, [Feature("heart rate", "numeric", unit="mmHg")])


def test__apply__gender_codes__become_the_features_levels():
    feature = Feature("sex", "categorical", levels=("male", "female"))
    assert drafts({"gender": "F"}, [feature])["sex"].value == "female"
    assert (
        drafts({"gender": "m"}, [Feature("gender", "categorical", levels=("F", "M"))])["gender"].value == "M"
    )
    assert drafts({"gender": 1.0}, [feature]) == {}  # 1 does not say which


def test__apply__column_of_the_features_own_name__is_copied():
    feature = Feature("bnp", "numeric", unit="pg/mL")
    assert drafts({"BNP": 540.0}, [feature], {"BNP": "pg/mL"})["bnp"].value == 540.0
    assert drafts({"BNP": 540.0}, [feature], {"BNP": "ng/L"}) == {}


def test__default__every_threshold__names_a_guideline_or_says_convention():
    table = tomllib.loads(data_path("row_rules.toml").read_text(encoding="utf-8"))
    guideline = re.compile(r"convention, editable$|[A-Z][\w/-]+[ ,:].*\d")  # a body, and the figure it gives
    assert [r["feature"] for r in table["rule"] if not guideline.match(r["guideline"])] == []


def test__pickle__rules_that_were_used__still_work():
    rules = RowRules.default()
    case = Case(1, {}, {"temperature": 104.0}, UNITS)
    rules.apply(case, [FEVER])
    assert pickle.loads(pickle.dumps(rules)).apply(case, [FEVER])["fever"].value is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[rule]]\nfeature = "x"\nany = []\nguideline = "g"', "rule 'x': field 'any'"),
        ('[[rule]]\nfeature = "x"\nguidline = "g"', "unknown field 'guidline'. Did you mean 'guideline'"),
        (
            RULE + 'any = [{measure = "hart rate", op = ">", value = 1, unit = "/min"}]',
            "no measure that dallm knows. Did you mean 'heart rate'",
        ),
        (
            RULE + 'any = [{measure = "heart rate", op = "=", value = 1, unit = "/min"}]',
            "field 'op' must be one of",
        ),
        (
            '[[rule]]\nfeature = "x"\nany = [{measure = "heart rate", op = ">", value = 1, unit = "/min"}]',
            "field 'guideline' is missing",
        ),
        ('[[copy]]\nfeature = "x"', "give either 'measure'"),
        ('[[copy]]\nfeature = "x"\ncolumns = ["x"]\n[[copy]]\nfeature = "X"\ncolumns = ["x"]', "keep one"),
        ("[[rules]]\nfeature = 1", "unknown table 'rules'"),
        ("rule =", "cannot be read"),
    ],
)
def test__load__bad_file__names_rule_and_field(tmp_path, text, message):
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        RowRules.load(path)


def test__load__own_threshold__is_used(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(
        '[[rule]]\nfeature = "fever"\nguideline = "ward rule"\n'
        'any = [{ measure = "temperature", op = ">", value = 37.5, unit = "degC" }]\n',
        encoding="utf-8",
    )
    case = Case(1, {}, {"temperature": 99.8}, UNITS)
    draft = RowRules.load(path).apply(case, [FEVER])["fever"]
    assert (draft.value, draft.rationale) == (True, "temperature 99.8 degF > 99.5 degF (ward rule)")


@pytest.mark.parametrize(
    ("report", "row", "value", "status", "source"),
    [
        (None, HIGH, True, "documented", "row"),
        (AFFIRMED, None, True, "documented", "report"),
        (Draft(None, "not_documented", None), NORMAL, False, "documented", "row"),
        (Draft(None, "failed", None, reason="cut off"), HIGH, True, "documented", "row"),
        (NEGATED, HIGH, None, "conflicting", "report"),
        (AFFIRMED, HIGH, True, "documented", "report"),
        (AFFIRMED, NORMAL, True, "documented", "report"),
        (Draft(None, "uncertain", "report"), NORMAL, None, "uncertain", "report"),
        (Draft(None, "uncertain", "report"), HIGH, True, "documented", "row"),
        (Draft(None, "conflicting", "report"), HIGH, None, "conflicting", "report"),
        (Draft(92.0, "documented", "report"), Draft(97.0, "documented", "row"), 97.0, "documented", "row"),
        (
            Draft("male", "documented", "report"),
            Draft("female", "documented", "row"),
            None,
            "conflicting",
            "report",
        ),
        (Draft(92.0, "documented", "report"), Draft(None, "failed", "row"), 92.0, "documented", "report"),
    ],
)
def test__merge__report_and_row__follow_the_table(report, row, value, status, source):
    merged = merge(report, row)
    assert (merged.value, merged.status, merged.source) == (value, status, source)


def test__merge__conflict__keeps_the_quote_and_tells_both_sides():
    merged = merge(NEGATED, HIGH)
    assert merged.quotes == NEGATED.quotes
    assert "38.6" in merged.rationale
    assert merge(None, None) is None
