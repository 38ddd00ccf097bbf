"""What an evaluation refuses, and what it says of what it takes."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import UserError
from dallm.evaluation.inputs import NO_GROUPS, check_inputs
from dallm.evaluation.labels import read_targets

CASES = pd.Index(["a", "b", "c", "d"], name="case")
TABLE = pd.DataFrame({"age": [60.0, 71.0, 55.0, 43.0], "male": [True, False, True, True]}, index=CASES)
EDEMA = pd.Series([1, 0, 1, 0], index=CASES, name="edema")
PATIENTS = pd.Series([1, 1, 2, 3], index=CASES)


def test__check_inputs__fitting_tables__are_passed_on_without_a_copy_or_note():
    inputs = check_inputs({"x": TABLE}, EDEMA, PATIENTS)
    assert inputs.sets["x"] is TABLE
    assert inputs.targets.dtypes.tolist() == ["boolean"]
    assert inputs.notes == ()


def test__check_inputs__no_groups__stands_in_the_notes():
    inputs = check_inputs({"x": TABLE}, EDEMA)
    assert inputs.groups is None
    assert inputs.notes == (NO_GROUPS,)


def test__check_inputs__another_order__is_aligned_by_label_with_a_note():
    inputs = check_inputs({"x": TABLE, "y": TABLE.iloc[::-1]}, EDEMA.iloc[[2, 0, 1, 3]], PATIENTS.iloc[::-1])
    pd.testing.assert_frame_equal(inputs.sets["y"], TABLE)
    assert inputs.targets["edema"].tolist() == [True, False, True, False]
    assert inputs.groups is not None
    assert inputs.groups.tolist() == [1, 1, 2, 3]
    assert sum("another order" in note for note in inputs.notes) == 3


@pytest.mark.parametrize(
    ("sets", "targets", "groups", "said"),
    [
        ({"x": TABLE, "y": TABLE.drop("c")}, EDEMA, PATIENTS, r"set 'y'.*1 label missing \('c'\)"),
        ({"x": TABLE}, pd.concat([EDEMA, pd.Series({"e": 1})]), PATIENTS, r"targets.*1 too many \('e'\)"),
        ({"x": TABLE.set_axis(["a", "a", "c", "d"])}, EDEMA, None, "set 'x' has 1 label more than once: 'a'"),
        ({"x": TABLE}, EDEMA.reset_index(drop=True), None, "One index is of type"),
        ({"x": TABLE.assign(dose=[1, np.inf, -np.inf, 2])}, EDEMA, None, r"'x'.*infinite.*'dose' \(2 values"),
        ({"x": TABLE.set_axis(["age", "age"], axis=1)}, EDEMA, None, "'x' has 1 column name.*'age'"),
        ({"x": TABLE.assign(edema=EDEMA)}, EDEMA, None, "'x' holds the target 'edema'"),
        ({"x": TABLE.iloc[:0]}, EDEMA, None, "'x' is empty: 0 rows"),
        ({"x": TABLE[[]]}, EDEMA, None, "'x' is empty: 4 rows, 0 columns"),
        ({}, EDEMA, None, "mapping of names to DataFrames"),
        ({"x": TABLE.assign(when=pd.Timestamp("2020"))}, EDEMA, None, "dates or durations in 'when'"),
        ({"x": TABLE[["age"]] * np.nan}, EDEMA, None, "'x' has no column with a value"),
        ({"x": TABLE}, EDEMA * 0, None, "'edema' has one class only: all its 4 known labels are False"),
        ({"x": TABLE}, EDEMA * np.nan, None, "No label is known for 'edema'"),
        ({"x": TABLE}, EDEMA, PATIENTS * 0, "one patient for all cases"),
        ({"x": TABLE}, EDEMA, PATIENTS.where(PATIENTS > 1), "no patient for 2 cases, the first is 'a'"),
        ({"x": TABLE}, EDEMA, [1, 2], "2 values for 4 cases"),
        ({"x": TABLE}, EDEMA, "agee", "Did you mean 'age'"),
    ],
)
def test__check_inputs__unusable__names_what_and_where(sets, targets, groups, said):
    with pytest.raises(UserError, match=said):
        check_inputs(sets, targets, groups)


def test__check_inputs__column_without_a_value__is_dropped_with_a_note():
    inputs = check_inputs({"x": TABLE.assign(spo2=pd.array([None] * 4, dtype="Float64"))}, EDEMA, PATIENTS)
    assert list(inputs.sets["x"]) == ["age", "male"]
    assert "'spo2'" in inputs.notes[0]


def test__check_inputs__target_allowed_among_features__is_kept():
    sets = {"x": TABLE.assign(edema=EDEMA)}
    assert "edema" in check_inputs(sets, EDEMA, PATIENTS, allow_leaks=["edema"]).sets["x"]


def test__check_inputs__groups_by_name__are_no_feature():
    inputs = check_inputs({"x": TABLE.assign(patient=PATIENTS)}, EDEMA, "patient")
    assert list(inputs.sets["x"]) == ["age", "male"]
    assert inputs.groups is not None
    assert inputs.groups.tolist() == [1, 1, 2, 3]


def test__check_inputs__augmented__gives_its_predictors_and_the_cohort_its_patients():
    cohort = dallm.make_cohort(30, seed=1)
    features = [dallm.Feature("cough", "boolean"), dallm.Feature("fever", "boolean")]
    augmented = dallm.fill_values(cohort, features)
    targets = cohort.frame.set_axis(cohort.ids)[list(cohort.targets)[:1]]
    inputs = check_inputs(augmented, targets, cohort=cohort)
    assert list(inputs.sets) == ["original", "augmented"]
    assert set(inputs.sets["augmented"]) - set(inputs.sets["original"]) == {"cough", "fever"}
    assert inputs.groups is not None
    assert not inputs.notes


@pytest.mark.parametrize(
    "given", [[True, False, None], [1.0, 0.0, np.nan], pd.array([1, 0, None], dtype="Int8"), [1, False, None]]
)
def test__read_targets__any_coding_of_yes_and_no__reads_alike(given):
    read = read_targets(pd.Series(given, name="t"), pd.RangeIndex(3))
    assert read["t"].tolist() == [True, False, pd.NA]
    assert read["t"].dtype == "boolean"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["yes", "no", None], r"holds 'no', 'yes'.*map\(\{\"yes\": True, \"no\": False\}\)"),
        ([1, 0, -1], "value -1"),
        ([0.2, 0.7, 0.1], "value 0.2"),
    ],
)
def test__read_targets__other_values__are_refused_with_a_hint(given, said):
    with pytest.raises(UserError, match=said):
        read_targets(pd.Series(given, name="t"), pd.RangeIndex(3))


def test__check_inputs__million_rows__memory_stays_far_below_the_table_and_nothing_warns():
    n = 1_000_000
    table = pd.DataFrame(np.zeros((n, 10)), columns=[f"f{i}" for i in range(10)])
    labels = pd.Series(np.arange(n) % 2, name="t")
    patients = pd.Series(np.arange(n) // 2)
    size = int(table.memory_usage().sum())
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_inputs({"a": table, "b": table}, labels, patients)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size  # labels and group codes, one column at a time


def test__check_inputs__five_thousand_columns__are_checked_by_name():
    table = pd.DataFrame(np.ones((20, 5000))).rename(columns=lambda i: f"f{i}")
    table.loc[3, "f4711"] = np.inf
    with pytest.raises(UserError, match="'f4711' \\(1 value\\)"):
        check_inputs({"wide": table}, pd.Series([0, 1] * 10))
