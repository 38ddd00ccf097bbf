"""What an evaluation is asked for: slips are told early, what is allowed passes and is named."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import UserError
from dallm.evaluation.inputs import check_inputs

FAST = {"models": "logistic_regression", "controls": (), "progress": False, "n_jobs": 1}


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    few = pd.DataFrame({"age": rng.normal(60, 9, 90)})
    sick = pd.Series(rng.random(90) < 0.4, name="edema")
    return (
        {"original": few, "augmented": few.assign(cough=rng.normal(size=90))},
        sick,
        pd.Series(range(90)) // 2,
    )


MARKS = pd.Series(np.where(np.arange(90) % 3 == 0, "test", "train"))  # parts most pairs of cases


@pytest.mark.parametrize(
    "switch",
    [
        {"allow_leaks": ["patient"]},
        {"allow_leaks": "patient"},
        {"on_leak": "report"},
        {"protocol": dallm.Holdout(MARKS, allow_shared_patients=True)},
    ],
)
def test__evaluate__patients_on_both_sides_of_a_holdout__one_switch_lets_them_pass_as_a_leak(tables, switch):
    report = dallm.evaluate(*tables, **{**FAST, "protocol": dallm.Holdout(MARKS), **switch})
    assert report.leakage()[["severity", "kind", "column"]].to_numpy().tolist() == [
        ["refuse", "shared patient", "patient"]
    ]
    assert any("Leakage" in line and "patient" in line for line in report.verdict())


def test__evaluate__patients_on_both_sides_of_a_holdout__message_names_both_ways(tables):
    with pytest.raises(UserError, match=r"for example 0\..*allow_leaks=\['patient'\].*--allow-leak patient"):
        dallm.evaluate(*tables, protocol=dallm.Holdout(MARKS), **FAST)


def test__holdout__marks_without_a_name__are_called_given(tables):
    with pytest.raises(UserError, match=r"the given marks are 'a'"):
        dallm.evaluate(*tables, protocol=dallm.Holdout(pd.Series(["a"] * 90)), **FAST)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": None}, "seed=None: give a whole number"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "a"}, "seed='a'"),
        ({"allow_leaks": ["caugh"]}, "allow_leaks= names 'caugh'.*Did you mean 'cough'"),
        ({"allow_leaks": ["patients"]}, "Did you mean 'patient'"),
        ({"targets": ["t"]}, "targets= names 't', columns of a cohort, and there is no cohort"),
        ({"models": ["xgboost", "tabnt"]}, "'tabnt' is not known"),
    ],
)
def test__evaluate__slip__is_told_without_loading_torch(tables, change, said, monkeypatch):
    from dallm.evaluation.models import device

    def loaded() -> int:
        raise AssertionError("torch is loaded before a slip is told")

    monkeypatch.setattr(device, "_gpus", loaded)
    sets, labels, patients = tables
    given = {"targets": labels, **FAST, **change}
    with pytest.raises(UserError, match=said):
        dallm.evaluate(sets, groups=patients, **given)


@pytest.fixture(scope="module")
def of_reports():
    """A cohort of reports without a measured column, its filled columns, and labels that these tell."""
    made = dallm.make_cohort(240, seed=1)
    frame = made.frame.drop(columns=list(made.targets))
    rng = np.random.default_rng(0)
    frame["fever"] = rng.random(240) < 0.4
    cohort = dallm.Cohort(
        frame[["case_id", "patient_id", *made.report, "fever"]],
        id="case_id",
        group="patient_id",
        report=list(made.report),
        targets=["fever"],
        data_use="open",
    )
    return cohort, dallm.fill_values(
        cohort, [dallm.Feature(n, "boolean") for n in ("consolidation", "edema")]
    )


def test__evaluate__cohort_of_reports_only__new_columns_are_held_against_random_ones(of_reports):
    cohort, augmented = of_reports
    assert cohort.measured().shape[1] == 0
    kw = {**FAST, "protocol": dallm.LeakFree(2, 3), "controls": ("tfidf", "random", "permuted")}
    for given in (augmented, {"original": augmented.X("original"), "augmented": augmented}):
        report = dallm.evaluate(given, **kw)
        assert (report.sets, report.baseline) == (("augmented",), "random")
        assert set(report.comparisons()["baseline"]) == {"random"}
        assert report.controls == {"tfidf": "", "permuted": ""}
        assert any("'original' is left out" in note for note in report.notes)
        assert any("held against the control 'random'" in note for note in report.notes)
        silent = report.silent_reports()
        assert set(silent["feature_set"].dropna()) == {"augmented", "random"}
    bare = dallm.evaluate(
        {"new": augmented.X("new")}, cohort=cohort, augmented=augmented, **{**kw, "controls": ()}
    )
    assert bare.baseline == "new"
    assert bare.silent_reports()["feature_set"].tolist() == ["new"]


def test__evaluate__silent_reports_not_looked_at__says_why(of_reports):
    cohort, augmented = of_reports
    report = dallm.evaluate({"new": augmented.X("new")}, cohort=cohort, protocol=dallm.LeakFree(1, 2), **FAST)
    assert report.silent_reports() is None
    assert any("silent was not tested" in note and "augmented=" in note for note in report.notes)


def test__evaluate__empty_or_reserved_set__says_what_to_do(tables):
    sets, labels, patients = tables
    with pytest.raises(UserError, match=r"'o' is empty: 90 rows, 0 columns\. Leave it out"):
        dallm.evaluate({"o": sets["original"][[]], "n": sets["augmented"]}, labels, patients, **FAST)
    with pytest.raises(UserError, match=r"called 'none'.*rename"):
        dallm.evaluate({"none": sets["original"], "n": sets["augmented"]}, labels, patients, **FAST)


UNUSABLE = {
    "lists": ([[1, 2]] * 90, "lists, tables or other objects in 'odd'"),
    "inf in objects": ([float("inf"), *["x"] * 89], r"infinite values in 'odd' \(1 value\)"),
    "-inf": ([-np.inf, *[1.0] * 89], r"infinite values in 'odd' \(1 value\)"),
    "periods": (pd.period_range("2020-01", periods=90, freq="M"), "dates or durations in 'odd'"),
    "huge": ([1e39, *[1.0] * 89], "numbers beyond single precision in 'odd'"),
    "complex": ([1 + 2j] * 90, "complex numbers in 'odd'"),
    "complex objects": (pd.Series([1 + 2j, None] * 45, dtype=object), "complex numbers in 'odd'"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test__check_inputs__column_that_no_model_takes__is_named_with_the_remedy(tables, kind):
    values, said = UNUSABLE[kind]
    sets, labels, patients = tables
    with pytest.raises(UserError, match=said):
        check_inputs({"all": sets["original"].assign(odd=values)}, labels, patients)


def test__check_inputs__text_ids_and_blank_patients__stand_in_the_notes(tables):
    sets, labels, _ = tables
    index = pd.Index([f"case {n}" for n in range(90)])
    patients = pd.Series([f"p{n // 2}" for n in range(90)])
    table = sets["original"].assign(
        text=[f"words {n}" for n in range(90)], who=patients, case=index, ward=["a", "b", "c"] * 30
    )
    inputs = check_inputs({"all": table.set_axis(index)}, labels.set_axis(index), patients.set_axis(index))
    assert len(inputs.notes) == 2
    assert "a text of its own in 'text'." in inputs.notes[0]
    assert "'who', 'case' names the patient or case" in inputs.notes[1]
    assert list(inputs.sets["all"]) == list(table)
    blank = check_inputs(sets, labels, patients.mask(pd.Series(range(90)) < 5, " "))
    assert "groups= is an empty text for 5 cases" in blank.notes[0]


def test__evaluate__tabpfn_without_weights__says_so_before_any_fit(tables, tmp_path, monkeypatch):
    from dallm.evaluation.models import presets

    code = """
    class TabPFNClassifier:
        def fit(self, X, y):
            open({!r}, "a").write(f"{{len(X)}} ")
            raise RuntimeError("Failed to download the weights.\\nMore lines")
    """
    calls = tmp_path / "calls"
    (tmp_path / "tabpfn.py").write_text(textwrap.dedent(code).format(str(calls)), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("tabpfn", None)
    presets._load_weights.cache_clear()
    with pytest.raises(UserError, match=r"weights were not loaded: RuntimeError: Failed .*TABPFN_TOKEN"):
        dallm.evaluate(*tables, **{**FAST, "models": ["decision_tree", "tabpfn"]})
    assert calls.read_text(encoding="utf-8").split() == ["8"]
    sys.modules.pop("tabpfn")
