"""One call from feature sets and targets to a report."""

from __future__ import annotations

import json
import platform

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import UserError
from dallm.evaluation.report import EvaluationReport

FAST = {"models": "logistic_regression", "controls": (), "progress": False}


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(120), 2)
    sick = rng.random(240) < 0.4
    index = pd.Index([f"case {n}" for n in range(240)], name="case")
    few = pd.DataFrame({"age": rng.normal(60, 9, 240)}, index=index)
    more = few.assign(cough=sick + rng.normal(0, 0.9, 240), noise=rng.normal(size=240))
    labels = pd.DataFrame({"pneumonia": pd.array(sick, dtype="boolean")}, index=index)
    return {"original": few, "augmented": more}, labels, pd.Series(patient, index=index)


def protocol(repeats=2, folds=4):
    return dallm.LeakFree(repeats=repeats, folds=folds)


def test__evaluate__columns_that_help__says_so_with_controls(tables):
    sets, labels, patients = tables
    report = dallm.evaluate(
        sets,
        labels,
        patients,
        models=["logistic_regression", "decision_tree"],
        controls=("random", "permuted", "tfidf"),
        protocol=dallm.LeakFree(repeats=5, folds=5),
        progress=False,
    )
    found = (
        report.comparisons().query("metric == 'roc_auc' and feature_set == 'augmented'").set_index("model")
    )
    assert found.loc["logistic_regression", "difference"] > 0.1
    assert found.loc["logistic_regression", "p_adjusted"] < 0.05
    said = " ".join(report.verdict())
    assert "'augmented' is better than 'original'" in said
    assert "Control 'tfidf' was not run, because" in said
    assert set(report.feature_sets) == {"original", "augmented", "random", "permuted"}
    table = report.table()
    assert {"always_no", "prevalence", "mean"} <= set(table.index.get_level_values("model"))
    assert report.leakage().query("severity == 'refuse'").empty


def test__evaluate__two_sets_with_new_columns__have_controls_of_their_own(tables):
    sets, labels, patients = tables
    three = {**sets, "other": sets["original"].assign(third=np.arange(240) % 7)}
    report = dallm.evaluate(
        three, labels, patients, protocol=protocol(), **{**FAST, "controls": ("random", "original")}
    )
    assert dict(report.controls) == {
        "random (augmented)": "",
        "random (other)": "",
        "original": report.controls["original"],
    }
    assert any("random (other)" in line for line in report.verdict())


def test__evaluate__twice__gives_the_same_scores_and_keeps_fits(tables, tmp_path):
    sets, labels, patients = tables
    first = dallm.evaluate(sets, labels, patients, protocol=protocol(), folder=tmp_path, n_jobs=1, **FAST)
    second = dallm.evaluate(sets, labels, patients, protocol=protocol(), folder=tmp_path, n_jobs=2, **FAST)
    other = dallm.evaluate(sets, labels, patients, protocol=protocol(), n_jobs=2, **FAST)
    pd.testing.assert_frame_equal(first.scores, second.scores)
    pd.testing.assert_frame_equal(first.scores, other.scores)


def test__evaluate__settings__say_what_the_result_follows_from_and_not_when(tables, tmp_path):
    sets, targets, patients = tables
    asked = {"protocol": protocol(1, 3), "subgroups": ["age_band"], **FAST, "controls": ("permuted",)}
    reports = [dallm.evaluate(sets, targets, patients, **asked, seed=seed) for seed in (0, 0)]
    first, second = (json.dumps(report.settings, allow_nan=False) for report in reports)
    assert first == second
    found = reports[0].settings
    assert found["cases"] == len(targets)
    assert found["patients"] == patients.nunique()
    assert found["controls"] == ["permuted"]
    assert found["subgroups"] == ["age_band"]
    assert found["bootstrap_draws"]["intervals"] == 2000
    assert found["models"]["logistic_regression"]["parameters"]["estimator__C"] == 1.0
    assert found["versions"]["python"] == platform.python_version()
    assert {"targets", "groups", *sets} == set(found["data_sha256"])
    assert set(reports[0].run) == {"date", "platform"}
    reports[0].to_parquet(tmp_path)
    assert EvaluationReport.load(tmp_path).run == reports[0].run
    page = reports[0].to_html()
    for words in (reports[0].run["date"][:10], platform.python_version(), "estimator__C"):
        assert words in page
    moved = dallm.evaluate(sets, targets, patients.to_numpy()[::-1].copy(), **asked)
    assert moved.settings["data_sha256"]["groups"] != found["data_sha256"]["groups"]


def test__evaluate__leak__is_refused_by_name_unless_allowed_or_reported(tables):
    sets, labels, patients = tables
    leaky = {
        **sets,
        "augmented": sets["augmented"].assign(again=labels["pneumonia"].map({True: "y", False: "n"})),
    }
    with pytest.raises(UserError, match="'again' gives away the target 'pneumonia'"):
        dallm.evaluate(leaky, labels, patients, protocol=protocol(), **FAST)
    allowed = dallm.evaluate(leaky, labels, patients, protocol=protocol(), allow_leaks=["again"], **FAST)
    assert "again" in set(allowed.leakage()["column"])
    named = {**sets, "augmented": sets["augmented"].assign(pneumonia=labels["pneumonia"])}
    with pytest.raises(UserError, match="holds the target 'pneumonia'"):
        dallm.evaluate(named, labels, patients, protocol=protocol(), **FAST)
    told = dallm.evaluate(named, labels, patients, protocol=protocol(), on_leak="report", **FAST)
    assert told.leakage().query("severity == 'refuse'")["column"].tolist() == ["pneumonia"]


def test__evaluate__holdout_column_of_the_targets__is_no_target(tables):
    sets, labels, patients = tables
    marks = np.where(patients < 90, "train", "test")
    report = dallm.evaluate(
        sets, labels.assign(split=marks), patients, protocol=dallm.Holdout("split"), **FAST
    )
    assert report.targets == ("pneumonia",)
    methods = report.comparisons().query("metric == 'roc_auc'")["method"]
    assert methods.str.contains("DeLong").all()


def test__evaluate__augmented__takes_cohort_targets_groups_and_reports():
    made = dallm.make_cohort(160, seed=5)
    filled = dallm.fill_values(
        made, [dallm.Feature(n, "boolean") for n in ("cough", "fever", "pleural effusion")]
    )
    report = dallm.evaluate(
        filled,
        made.targets[0],
        protocol=protocol(1, 3),
        models="logistic_regression",
        controls=("tfidf",),
        subgroups=["gender", "age_band"],
        on_leak="report",
        progress=False,
    )
    assert report.sets == ("original", "augmented")
    assert "tfidf" in report.feature_sets
    assert report.groups is not None
    assert {"gender", "age_band"} <= set(report.subgroups()["subgroup"])
    assert not report.silent_reports().empty


def test__evaluate__saved_and_loaded__gives_the_same_table(tables, tmp_path):
    sets, labels, patients = tables
    report = dallm.evaluate(sets, labels, patients, protocol=protocol(), **FAST)
    report.save(tmp_path / "run")
    again = dallm.EvaluationReport.load(tmp_path / "run")
    pd.testing.assert_frame_equal(report.table(), again.table())
    assert again.verdict() == report.verdict()
    page = tmp_path / "report.html"
    report.to_html(page)
    assert "http://" not in page.read_text(encoding="utf-8").replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"on_leak": "ignore"}, "on_leak= is 'raise' or 'report'"),
        ({"controls": "random"}, r"write \['random'\]"),
        ({"controls": ("rndom",)}, "no control 'rndom'"),
        ({"protocol": "holdout"}, r"dallm\.Holdout"),
        ({"protocol": "leak-free"}, "leak_free"),
        ({"baseline": "orignal"}, "'orignal' is no feature set"),
        ({"models": "forest"}, "'forest' is not known"),
        ({"operating_point": "f2"}, "'f2' is not known"),
        ({"subgroups": ["ward"]}, "ward"),
    ],
)
def test__evaluate__bad_choice__is_told_before_anything_is_fitted(tables, change, said):
    sets, labels, patients = tables
    with pytest.raises(UserError, match=said):
        dallm.evaluate(sets, labels, patients, **{**FAST, "protocol": protocol(), **change})


def test__evaluate__without_targets_or_cohort__says_what_to_give(tables):
    with pytest.raises(UserError, match="No targets were given"):
        dallm.evaluate(tables[0])
    made = dallm.make_cohort(30, seed=1)
    with pytest.raises(UserError, match="no column 'edema9' to be a target"):
        dallm.evaluate(tables[0], "edema9", cohort=made)
