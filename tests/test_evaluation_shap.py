"""SHAP values of every kind of model, held against shap called directly."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.evaluation.importance import PermutationImportance
from dallm.evaluation.importance import shap_values as ours
from dallm.evaluation.importance.shap_values import SHAP_CASES, mean_shap
from dallm.evaluation.models import Tuned, resolve_models

shap = pytest.importorskip("shap")

KINDS = {
    "decision_tree": "decision_tree",
    "random_forest": "random_forest",
    "xgboost": "xgboost",
    "xgboost:paper": "xgboost:paper",
    "hist_gradient_boosting": "hist_gradient_boosting",
    "tuned": Tuned("decision_tree", fits=6),
    "logistic_regression": "logistic_regression",
}


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    n = 240
    X = pd.DataFrame(
        {
            "told": rng.normal(size=n),
            "sex": pd.Categorical(rng.choice(["F", "M", "other"], n)),
            "flag": pd.array(rng.random(n) < 0.4, dtype="boolean"),
            "gaps": rng.normal(size=n),
            "untold": rng.normal(size=n),
        }
    )
    X["flag"] = X["flag"].mask(rng.random(n) < 0.2)
    X.loc[::7, "gaps"] = np.nan
    truth = X["told"] + X["flag"].fillna(False).astype(float) + rng.normal(0, 0.4, n) > 0.4
    return X, truth.to_numpy(dtype=int)


def fitted(given: object, table: tuple[pd.DataFrame, np.ndarray]) -> object:
    model = next(iter(resolve_models({"m": given}, device="cpu").values())).build(0, "cpu")
    return model.fit(table[0].iloc[:160], table[1][:160], groups=np.arange(160))


@pytest.mark.parametrize("kind", KINDS)
def test__mean_shap__kind_of_model__is_what_shap_gives_per_column(table, kind):
    train, test = table[0].iloc[:160], table[0].iloc[160:]
    model = fitted(KINDS[kind], table)
    found = mean_shap(model, test, train)
    assert list(found) == list(test.columns)
    assert max(found, key=found.get) == "told"
    bare = getattr(model, "estimator_", model) if kind == "tuned" else model
    numbers = bare.encoder_.transform(test)
    if kind == "logistic_regression":
        weights = bare.estimator_.coef_[0]
        values = weights * (numbers - bare.encoder_.transform(train).mean(axis=0))
    else:
        explained = shap.TreeExplainer(bare.estimator_)(numbers)
        values = explained.values[..., 1] if explained.values.ndim == 3 else explained.values
    for place, name in enumerate(test.columns):
        of_column = values[:, np.asarray(bare.encoder_.origin_) == place].sum(axis=1)
        assert found[name] == pytest.approx(np.abs(of_column).mean(), rel=1e-5, abs=1e-9)


def test__mean_shap__xgboost__are_the_contributions_that_it_gives_itself(table):
    import xgboost

    test = table[0].iloc[160:]
    model = fitted("xgboost", table)
    numbers = model.encoder_.transform(test)
    own = model.estimator_.get_booster().predict(xgboost.DMatrix(numbers), pred_contribs=True)[:, :-1]
    told = np.abs(own[:, np.asarray(model.encoder_.origin_) == 0].sum(axis=1)).mean()
    assert mean_shap(model, test)["told"] == pytest.approx(told, rel=1e-4)


def test__mean_shap__no_exact_values__is_none(table):
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import LinearSVC

    for given in (GaussianNB(), LinearSVC()):
        assert mean_shap(fitted(given, table), table[0].iloc[160:]) is None


def test__mean_shap__many_cases__explains_a_sample_that_follows_from_the_seed(table):
    model = fitted("decision_tree", table)
    many = pd.concat([table[0]] * 3, ignore_index=True)
    assert len(many) > SHAP_CASES
    first, again, other = (mean_shap(model, many, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first["told"] == pytest.approx(mean_shap(model, table[0].head(SHAP_CASES))["told"], rel=0.3)


def test__evaluate__importances__hold_shap_values_and_say_which_models_have_none(table, tmp_path):
    from sklearn.naive_bayes import GaussianNB

    X, truth = table
    report = dallm.evaluate(
        {"few": X[["gaps"]], "all": X},
        pd.Series(truth, name="edema"),
        np.arange(len(X)) // 2,
        models=["decision_tree", "xgboost", "logistic_regression", GaussianNB()],
        protocol=dallm.LeakFree(repeats=1, folds=2),
        controls=(),
        importances=PermutationImportance(noise=2, permutations=1, repeats=1),
        n_jobs=2,
        progress=False,
    )
    shown = report.importances().query("feature_set == 'all'").set_index("feature")
    for name in ("decision_tree", "xgboost", "logistic_regression"):
        values = shown.loc[shown["model"] == name, "shap"]
        assert values.idxmax() == "told"
        assert values.notna().all()
    assert shown.loc[shown["model"] == "GaussianNB", "shap"].isna().all()
    assert report.importance_note.endswith(
        "Mean absolute SHAP values stand beside them, but for GaussianNB, which have no exact ones."
    )
    report.save(tmp_path / "kept")
    again = dallm.EvaluationReport.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(again.importances(), report.importances())


def test__importances__shap_fails__are_kept_and_a_warning_says_so(table, monkeypatch):
    def fails(*_: object) -> None:
        raise ValueError("could not convert string to float: '[5E-1]'")

    monkeypatch.setattr(ours, "_values", fails)
    X, truth = table
    model = fitted("decision_tree", table)
    split = type("One", (), {"target": "edema", "repeat": 0, "fold": 0})()
    measure = PermutationImportance(noise=1, permutations=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = measure(
            lambda part: model.fit(part, truth[:160]),
            X.iloc[:160],
            X.iloc[160:],
            truth[160:].astype(bool),
            split,
            0,
        )
    assert list(found) == [*X.columns, "noise column 1"]
    assert [str(w.message) for w in caught] == [
        "SHAP values were not computed: ValueError: could not convert string to float: '[5E-1]'"
    ]
