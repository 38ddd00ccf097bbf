"""Cohort: what it refuses and how it says so, what it finds implausible, what an engine gets to see."""

from __future__ import annotations

import pickle
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from dallm import Cohort
from dallm.engines.base import Case
from dallm.errors import CohortError, DataQualityWarning
from dallm.vitals import known_vital, vitals

ROLES = {
    "id": "case",
    "group": "patient",
    "report": ["findings", "impression"],
    "numeric": {"temperature": "degF", "score": "1"},
    "categorical": "gender",
    "targets": ["effusion"],
}


def table(**changes):
    frame = pd.DataFrame(
        {
            "case": ["a", "b", "c"],
            "patient": [1, 1, 2],
            "findings": ["  Café: no effusion.\n", " \n", None],
            "impression": ["Clear.", "", "Wet."],
            "temperature": [98.6, np.nan, 101.0],
            "score": [1, 2, 3],
            "gender": ["F", None, "M"],
            "effusion": [0, 1, 0],
            "note": ["x", "y", "z"],
        }
    )
    return frame.assign(**changes)


def make(frame=None, **changes):
    return Cohort(table() if frame is None else frame, **{**ROLES, **changes})


def test__cases__in_row_order__hold_no_target_group_or_missing_value():
    cases = list(make().cases())
    units = {"temperature": "degF", "score": "1"}
    assert cases[0] == Case(
        "a",
        {"findings": "  Café: no effusion.\n", "impression": "Clear."},
        {"temperature": 98.6, "score": 1.0, "gender": "F"},
        units,
    )
    assert cases[1] == Case("b", {}, {"score": 2.0}, units)
    assert dict(cases[2].report) == {"impression": "Wet."}
    assert {type(v) for c in cases for v in c.row.values()} == {float, str}


def test__cohort__given_table__is_copied_and_never_changed():
    frame = table()
    frame.index = [10, 20, 30]
    before = frame.copy()
    cohort = make(frame)
    list(cohort.cases())
    frame.loc[10, "findings"] = "changed"
    assert next(cohort.cases()).report["findings"].startswith("  Café")
    assert cohort.frame.index.tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(before.reset_index(drop=True), cohort.frame)


REFUSED = [
    ({"case": ["a", "b", "a"]}, {}, r"id column 'case': 'a' stands in 2 rows \(0, 2\)"),
    ({"case": ["a", None, "c"]}, {}, "id column 'case': 1 row without an id; row 1"),
    ({"case": ["a", " ", np.nan]}, {}, "2 rows without an id; rows 1, 2"),
    ({"case": [1.5, 2, 3]}, {}, "row 0 holds the fraction"),
    ({"case": [1e300, 2, 3]}, {}, "too large"),
    ({}, {"id": "cas"}, "no column 'cas'. Did you mean 'case'"),
    ({}, {"report": ["findings", "impresion"]}, "no column 'impresion'. Did you mean 'impression'"),
    ({}, {"report": ["findings", "findings"]}, "'findings' is named twice, as report"),
    ({}, {"categorical": ["findings"]}, "'findings' is named twice, as report and categorical"),
    ({}, {"targets": ["score"]}, "'score' is named twice, as numeric and targets.*target"),
    ({}, {"targets": "findings"}, "'findings' is named twice, as report and targets.*target"),
    ({"findings": ["x", 7, "y"]}, {}, "report column 'findings': row 1 holds a value of type int"),
    ({"findings": ["x", "y", "\ud800"]}, {}, "row 2 holds half of a character"),
    ({"note": ["x", "\ud800", "y"]}, {}, "column 'note': row 1 holds half of a character"),
    ({"case": [b"a", b"b", b"c"]}, {}, "id column 'case' holds values of type bytes"),
    ({"impression": [1.0, 2.0, 3.0]}, {}, "report column 'impression': row 0"),
    ({"score": [1, "two hundred and twenty-two", "x"]}, {}, "2 values.*row 1: a text of 26 characters"),
    ({"score": ["1", "2", "3"]}, {}, r"'score': 3 numbers written as text.*row 0.*pd\.to_numeric"),
    ({"score": [True, False, True]}, {}, "'score': row 0 holds a value of type bool"),
    ({"gender": ["F", ["M"], "F"]}, {}, "categorical column 'gender': row 1 holds a value of type list"),
    ({"effusion": [0, 3, 1]}, {}, "target 'effusion': row 1 holds '3'.*Binarise"),
    ({"effusion": ["0", "1", "0"]}, {}, "target 'effusion': row 0"),
    ({"patient": [1, None, 2]}, {}, "group column 'patient': 1 row without a group; row 1"),
    ({}, {"numeric": {"temperature": "degX"}}, "'degX' is no unit of temperature.*Did you mean"),
    ({}, {"numeric": {"score": ""}}, "'score' has no unit"),
    ({}, {"numeric": ["score"]}, "numeric must map each column to its unit"),
    ({}, {"report": 5}, "report must be a column name or a list"),
    ({}, {"data_use": "opn"}, "data_use.*Did you mean 'open'"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "roles", "said"), REFUSED, ids=[r[2][:40] for r in REFUSED])
def test__cohort__cannot_be_used__names_column_and_row(columns, roles, said):
    frame = table()
    for name, values in columns.items():
        frame[name] = pd.Series(values, dtype=object) if "\ud800" in values else values
    with pytest.raises(CohortError, match=said):
        make(frame, **roles)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"case": [1]}, "DataFrame, got dict"),
        (table().iloc[:0], "empty"),
        (table().set_axis([*"abcdefgh", "a"], axis=1), "column 'a' more than once"),
        (table().rename(columns={"note": 3}), "found 3"),
        (table().set_index("case"), "index; pass frame.reset_index"),
    ],
)
def test__cohort__no_usable_table__is_refused(frame, said):
    with pytest.raises(CohortError, match=said):
        make(frame)


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ([3, 1, 2], [3, 1, 2]),
        (np.array([3.0, 1.0, 2.0]), [3, 1, 2]),
        (pd.array([3, 1, 2], dtype="Int64"), [3, 1, 2]),
        (["007", "7", "é"], ["007", "7", "é"]),
        ([1, "b", 2.0], ["1", "b", "2"]),
        (pd.Categorical(["x", "y", "z"]), ["x", "y", "z"]),
        ([2**70, 1, 2], [str(2**70), "1", "2"]),
    ],
)
def test__ids__of_any_usable_type__are_whole_numbers_or_text(given, ids):
    cohort = make(table(case=given))
    assert cohort.ids.tolist() == ids
    assert cohort.ids.name == "case"
    assert [c.case_id for c in cohort.cases()] == ids
    assert {type(c.case_id) for c in cohort.cases()} == {type(ids[0])}


def test__ids__mixed_types_that_are_one_id__are_refused():
    with pytest.raises(CohortError, match="'1' stands in 2 rows"):
        make(table(case=[1, "1", "x"]))


@pytest.mark.parametrize("role", [{"id": "note"}, {"numeric": {"note": "%"}}, {"targets": "note"}])
def test__cohort__report_named_in_a_wrong_role__is_not_quoted(role):
    frame = table(note=["John Doe, 61, seen for effusion"] * 3)
    with pytest.raises(CohortError, match="a text of 31 characters") as caught:
        Cohort(frame, **{"id": "case", **role})
    assert "John" not in str(caught.value)


@pytest.mark.parametrize("cell", ["high", "98,6 F", ">100"])
def test__cohort__short_cell_of_a_numeric_column__is_shown(cell):
    with pytest.raises(CohortError, match=f"row 1: '{cell}'"):
        make(table(score=["1", cell, "3"]))


@pytest.mark.parametrize("values", [[0, 1, None], [True, False, True], [0.0, 1.0, np.nan]])
def test__target__boolean_like__is_accepted(values):
    assert make(table(effusion=values)).targets == ("effusion",)


def test__report__all_missing__is_accepted_and_left_out():
    cohort = make(table(impression=[np.nan] * 3))
    assert [set(c.report) for c in cohort.cases()] == [{"findings"}, set(), set()]


def vitals_table(**columns):
    return pd.DataFrame({"case": range(len(next(iter(columns.values())))), **columns})


def test__quality__celsius_under_fahrenheit__is_named_and_not_used():
    frame = vitals_table(temperature=[36.6] * 9 + [98.6])
    with pytest.warns(DataQualityWarning, match="'temperature': 9 of 10 values look like degC") as caught:
        cohort = Cohort(frame, id="case", numeric={"temperature": "degF"})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    [problem] = cohort.quality.to_dict("records")
    assert problem == {
        "column": "temperature",
        "problem": "looks_like_degC",
        "count": 9,
        "rows": tuple(range(9)),
        "detail": "9 of 10 values look like degC; declare numeric={'temperature': 'degC'}",
    }
    assert cohort.measured()["temperature"].isna().sum() == 9
    assert cohort.measured()["temperature"].dtype == "Float64"
    assert [dict(c.row) for c in cohort.cases()][-2:] == [{}, {"temperature": 98.6}]
    assert cohort.frame["temperature"].tolist()[0] == 36.6, "the table stays as given"


@pytest.mark.parametrize(
    ("column", "unit", "values", "problem", "rows"),
    [
        ("Temp_C", "celsius", [98.6, 37, 37], "looks_like_degF", (0,)),
        ("temperature", "F", [0, 98, 99], "impossible", (0,)),
        ("SpO2", "%", [0.97, 97, 1], "looks_like_fraction", (0, 2)),
        ("o2sat", "percent", [101, 97, 98], "impossible", (0,)),
        ("heartrate", "bpm", [80, 0, 90], "impossible", (1,)),
        ("age", "years", [-1, 121, 120], "impossible", (0, 1)),
        ("anything", "widgets", [1, np.inf, 2], "not_finite", (1,)),
    ],
)
def test__quality__impossible_value__is_reported_with_rows(column, unit, values, problem, rows):
    with pytest.warns(DataQualityWarning, match=f"'{column}'"):
        cohort = Cohort(vitals_table(**{column: values}), id="case", numeric={column: unit})
    [found] = cohort.quality.to_dict("records")
    assert (found["column"], found["problem"], found["count"], found["rows"]) == (
        column,
        problem,
        len(rows),
        rows,
    )
    used = cohort.measured()[column]
    assert set(np.flatnonzero(used.isna())) == set(rows)


@pytest.mark.parametrize(
    ("column", "unit", "value", "problem"),
    [
        ("Temp_triage", "degF", 37.0, "looks_like_degC"),
        ("max body temperature", "degC", 98.6, "looks_like_degF"),
        ("heart_rate_min", "/min", 0, "impossible"),
        ("spo2_first", "%", 0.97, "looks_like_fraction"),
    ],
)
def test__quality__one_of_several_values__is_known_by_its_name_too(column, unit, value, problem):
    with pytest.warns(DataQualityWarning):
        cohort = Cohort(vitals_table(**{column: [value]}), id="case", numeric={column: unit})
    assert cohort.quality["problem"].tolist() == [problem]


@pytest.mark.parametrize(
    ("column", "unit"), [("temp_change", "degF"), ("heart_rate_min", "ms"), ("first", "1"), ("er", "%")]
)
def test__quality__name_that_means_something_else__is_let_be(column, unit):
    assert Cohort(vitals_table(**{column: [1.0]}), id="case", numeric={column: unit}).quality.empty


def test__quality__systolic_not_above_diastolic__uses_neither_in_any_unit():
    frame = vitals_table(sbp=[120, 70, np.nan], dbp=[10.6, 10.6, 10.6])  # 10.6 kPa are 79.5 mmHg
    with pytest.warns(DataQualityWarning, match="in 1 of 3 rows"):
        cohort = Cohort(frame, id="case", numeric={"sbp": "mmHg", "dbp": "kPa"})
    assert cohort.quality["problem"].tolist() == ["pressures_swapped"] * 2
    assert [dict(c.row) for c in cohort.cases()] == [{"sbp": 120.0, "dbp": 10.6}, {}, {"dbp": 10.6}]


def test__quality__plausible_values__say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cohort = make()
    assert len(cohort.quality) == 0
    assert cohort.quality.columns.tolist() == ["column", "problem", "count", "rows", "detail"]


def test__take__positions_or_mask__keeps_roles_and_says_nothing_again():
    with pytest.warns(DataQualityWarning):
        cohort = make(table(temperature=[0, 98.0, 99.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = cohort.take([2, 0])
        assert cohort.take(np.array([True, False, False])).ids.tolist() == ["a"]
    assert part.ids.tolist() == ["c", "a"]
    assert part.quality["rows"].tolist() == [(1,)]
    assert (part.group, part.targets, part.numeric) == ("patient", ("effusion",), ROLES["numeric"])
    for wrong, said in (
        ([3], "outside"),
        ([], "no position"),
        ([0, 0], "stands in 2 rows"),
        ([0.5], "whole"),
    ):
        with pytest.raises(CohortError, match=said):
            cohort.take(wrong)


def test__measured__holds_predictors_only__typed_and_indexed_by_id():
    measured = make().measured()
    assert measured.columns.tolist() == ["temperature", "score", "gender"]
    assert measured.index.tolist() == ["a", "b", "c"]
    assert [str(t) for t in measured.dtypes] == ["Float64", "Float64", "category"]


def test__shown__roles_and_counts__no_patient_text():
    cohort = make()
    for shown in (repr(cohort), cohort._repr_html_()):
        assert "Cohort of 3 cases" in shown
        assert "temperature [degF]" in shown
        assert "Café" not in shown
    assert len(cohort) == 3


def test__sha256__changes_with_what_an_engine_sees__not_with_targets():
    digest = make().sha256
    assert make(table(effusion=[1, 1, 1])).sha256 == digest
    assert make(table(impression=["Clear!", "", "Wet."])).sha256 != digest
    assert make(numeric={"temperature": "degF", "score": "points"}).sha256 != digest


def test__pickle__cohort__is_equal():
    cohort = make()
    again = pickle.loads(pickle.dumps(cohort))
    pd.testing.assert_frame_equal(again.frame, cohort.frame)
    assert list(again.cases()) == list(cohort.cases())


def test__cases__many_rows__take_about_a_second():
    n = 100_000
    numeric = dict.fromkeys(("a", "b", "c", "d", "e", "f", "g"), "1")
    frame = pd.DataFrame({"case": range(n), **{c: np.arange(n) / 7 for c in numeric}, "text": ["Clear."] * n})
    cohort = Cohort(frame, id="case", report="text", numeric=numeric)
    started = time.process_time()
    assert sum(1 for _ in cohort.cases()) == n
    assert time.process_time() - started < 3, "a loop over rows would take far longer"


def test__vitals__every_unit__converts_there_and_back():
    assert known_vital("temp").convert(98.6, "degF") == pytest.approx(37.0)
    assert known_vital("glucose").convert(5.55, "mmol/L") == pytest.approx(100, abs=0.1)
    for vital in vitals():
        for unit in vital.units:
            assert vital.convert(vital.convert(7.5, unit.name), vital.unit, unit.name) == pytest.approx(7.5)
            low, high = vital.possible(unit.name)
            assert low < high


def test__vitals__names__belong_to_one_measurement_only():
    names = [name for vital in vitals() for name in {vital.name, *vital.aliases}]
    assert len(names) == len(set(names))
    for column in ("temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp", "age"):
        assert known_vital(column) is not None
