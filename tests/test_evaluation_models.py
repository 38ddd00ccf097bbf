"""The models of an evaluation: the scores of scikit-learn's own pipelines, on tables of any columns."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from dallm.errors import ExtraMissingError, UserError
from dallm.evaluation.models import TableEncoder, Tuned, TunedClassifier, resolve_device, resolve_models
from dallm.evaluation.models.device import DeviceError, is_full

NAMES = [
    "decision_tree",
    "decision_tree:paper",
    "random_forest",
    "xgboost",
    "xgboost:paper",
    "tabnet:paper",
    "logistic_regression",
    "hist_gradient_boosting",
]


def mixed(n: int = 80, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": pd.array(rng.integers(20, 90, n), dtype="Int64"),
            "o2": pd.array(rng.normal(95, 3, n), dtype="Float64"),
            "fever": pd.array(rng.random(n) > 0.5, dtype="boolean"),
            "pain": pd.Categorical(
                rng.choice(["none", "mild", "severe"], n), ["none", "mild", "severe"], ordered=True
            ),
            "sex": pd.Categorical(rng.choice(["F", "M"], n)),
            "ward": rng.choice(["A", "B", "C"], n),
            "plain": rng.normal(size=n),
            "flag": rng.random(n) > 0.5,
        }
    )
    for column in ("age", "o2", "fever", "pain", "ward"):
        frame.loc[rng.random(n) < 0.2, column] = pd.NA
    y = (frame["plain"].to_numpy() + rng.normal(size=n) * 0.3 > 0).astype(int)
    return frame, y


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("decision_tree", DecisionTreeClassifier(random_state=3)),
        ("decision_tree:paper", DecisionTreeClassifier(max_depth=10, random_state=3)),
        ("random_forest", RandomForestClassifier(random_state=3)),
        ("xgboost", XGBClassifier(random_state=3, n_jobs=1)),
        (
            "xgboost:paper",
            XGBClassifier(
                learning_rate=0.01,
                max_depth=6,
                n_estimators=100,
                objective="binary:logistic",
                random_state=3,
                n_jobs=1,
            ),
        ),
        ("hist_gradient_boosting", HistGradientBoostingClassifier(random_state=3)),
        (
            "logistic_regression",
            make_pipeline(
                SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=1000)
            ),
        ),
    ],
)
def test__named_models__plain_numbers__predict_as_the_library_does(name, plain):
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    train, test = np.arange(0, 569, 2), np.arange(1, 569, 2)
    model = resolve_models(name, device="cpu")[name].build(3, "cpu")
    model.fit(X.iloc[train], y.iloc[train])
    plain.fit(X.iloc[train].to_numpy(), y.iloc[train])
    expected = plain.predict_proba(X.iloc[test].to_numpy())
    assert np.allclose(model.predict_proba(X.iloc[test]), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test__named_models__mixed_table_with_gaps__fit_predict_clone_pickle(name):
    frame, y = mixed()
    model = resolve_models(name, device="cpu")[name].build(0, "cpu")
    if "tabnet" in name:
        model.set_params(max_epochs=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(frame, y, groups=np.arange(len(y)) // 2)
        unseen = frame.iloc[:5].assign(ward="never seen", sex=pd.Categorical(["X"] * 5))
        shares = model.predict_proba(unseen)
    assert shares.shape == (5, 2)
    assert np.isfinite(shares).all()
    assert set(model.predict(unseen)) <= {0, 1}
    assert model.device_ == "cpu"
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(unseen), shares)
    assert np.array_equal(
        clone(model).fit(frame, y, groups=np.arange(len(y)) // 2).predict_proba(unseen), shares
    )
    if name != "hist_gradient_boosting":
        assert model.feature_importances_.shape == (8,)
        if "tabnet" not in name:
            assert model.feature_importances_.argmax() == list(frame.columns).index("plain")


def test__encoder__levels_ranks_and_gaps__are_encoded_by_the_training_rows():
    train = pd.DataFrame(
        {
            "pain": pd.Categorical(["none", "severe", None], ["none", "mild", "severe"], ordered=True),
            "ward": ["B", "A", "B"],
            "empty": pd.array([None] * 3, dtype="Float64"),
            "same": [1.5, 1.5, 1.5],
        }
    )
    encoder = TableEncoder().fit(train)
    assert list(encoder.get_feature_names_out()) == ["pain", "ward=B", "ward=A", "same"]
    assert encoder.left_out_ == ["empty"]
    other = pd.DataFrame(
        {
            "pain": pd.Categorical(["mild", "new"], ["new", "mild"], ordered=True),
            "ward": ["Z", None],
            "empty": [3.0, 4.0],
            "same": [7.0, np.nan],
        }
    )
    expected = np.array([[1, 0, 0, 7], [np.nan, 0, 0, np.nan]])
    assert np.array_equal(encoder.transform(other), expected, equal_nan=True)
    assert list(encoder.to_inputs([1, 2, 3, 4])) == [1, 5, 0, 4]
    assert TableEncoder(fill=True, scale=True).fit(train).left_out_ == ["empty", "same"]


@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test__encoder__texts_of_any_dtype__same_columns(dtype):
    ward = pd.DataFrame({"ward": pd.Series(["A", "B", None, "A"], dtype=dtype)})
    encoder = TableEncoder().fit(ward)
    assert list(encoder.get_feature_names_out()) == ["ward=A", "ward=B", "ward is missing"]
    assert encoder.transform(ward).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test__encoder__objects_that_are_numbers__stay_numbers():
    frame = pd.DataFrame({"flag": pd.Series([True, None, False], dtype=object)})
    out = TableEncoder().fit_transform(frame)
    assert np.array_equal(out, [[1], [np.nan], [0]], equal_nan=True)


@pytest.mark.parametrize(
    ("column", "said"),
    [(pd.to_datetime(["2020-01-01", "2020-01-02"]), "days since"), ([np.inf, 1.0], "infinite")],
)
def test__encoder__column_that_no_model_takes__is_named(column, said):
    with pytest.raises(UserError, match=f"'seen'.*{said}"):
        TableEncoder().fit(pd.DataFrame({"seen": column}))


def test__encoder__renamed_columns_at_prediction__are_refused():
    frame, _ = mixed(10)
    with pytest.raises(ValueError, match="feature names"):
        TableEncoder().fit(frame).transform(frame.rename(columns={"age": "years"}))


def test__encoder__5000_columns__within_seconds():
    import time

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 5000))).add_prefix("c")
    started = time.process_time()
    TableEncoder(fill=True, scale=True).fit_transform(frame)
    assert time.process_time() - started < 10


def test__tuned__beats_or_equals_the_defaults_inside_and_is_seeded():
    frame, y = mixed(120)
    groups = np.arange(120) // 2
    choice = Tuned("decision_tree", fits=18)
    spec = resolve_models({"tree": choice}, device="cpu")["tree"]
    model = spec.build(1, "cpu").fit(frame, y, groups=groups)
    assert len(model.trials_) == 6
    assert model.trials_[0][0] == {}
    assert max(score for _, score in model.trials_) >= model.trials_[0][1]
    again = spec.build(1, "cpu").fit(frame, y, groups=groups)
    assert again.trials_ == model.trials_
    assert np.array_equal(again.predict_proba(frame), model.predict_proba(frame))


def test__tuned__no_time__keeps_the_settings_as_given_and_says_so():
    frame, y = mixed(60)
    model = TunedClassifier(
        resolve_models("decision_tree", device="cpu")["decision_tree"].build(0, "cpu"),
        {"estimator__max_depth": [1, 2, 3]},
        seconds=0.0,
    ).fit(frame, y)
    assert len(model.trials_) == 1
    assert "stopped by time" in model.notes_[0]


@pytest.mark.parametrize(("name", "fits"), [("xgboost", 6), ("tabnet", 6), ("random_forest", 6)])
def test__tuned__every_space__has_parameters_of_its_model(name, fits):
    model = resolve_models(Tuned(name, fits=fits), device="cpu")[f"{name}:tuned"].build(0, "cpu")
    known = model.estimator.get_params()
    assert set(model.space) <= set(known)


def test__own_estimators__seeded_one_thread_and_prepared():
    frame, y = mixed()
    specs = resolve_models(
        {
            "forest": RandomForestClassifier(n_estimators=5, n_jobs=-1),
            "bayes": GaussianNB(),
            "margin": make_pipeline(StandardScaler(), LinearSVC()),
            "ridge": RidgeClassifier(),
        },
        device="cpu",
    )
    for spec in specs.values():
        first = spec.build(4, "cpu").fit(frame, y, groups=np.arange(len(y)))
        again = spec.build(4, "cpu").fit(frame, y, groups=np.arange(len(y)))
        assert np.array_equal(first.predict_proba(frame), again.predict_proba(frame))
        assert roc_auc_score(y, first.predict_proba(frame)[:, 1]) > 0.8
    forest = specs["forest"].build(4, "cpu").fit(frame, y)
    assert (forest.estimator_.random_state, forest.estimator_.n_jobs) == (4, None)


def test__own_pipeline__that_picks_columns__gets_the_table_as_it_is():
    frame, y = mixed()
    own = make_pipeline(
        ColumnTransformer(
            [("s", OneHotEncoder(handle_unknown="ignore"), ["sex"]), ("n", "passthrough", ["plain"])]
        ),
        LogisticRegression(),
    )
    model = resolve_models(own, device="cpu")["LogisticRegression"].build(0, "cpu").fit(frame, y)
    assert np.array_equal(model.predict_proba(frame), clone(own).fit(frame, y).predict_proba(frame))


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("xgbost", "Did you mean 'xgboost'"),
        ("xgboost:tunned", "Did you mean 'tuned'"),
        ("logistic_regression:paper", "no preset 'paper'"),
        (GaussianNB, r"give an instance: GaussianNB\(\)"),
        (Ridge(), "no classifier"),
        ([GaussianNB(), GaussianNB()], "mapping of names"),
        ({"x": object()}, r"it has no fit\(\)"),
        ([], "No model"),
        (Tuned("tabpfn"), "no search"),
    ],
)
def test__resolve_models__what_cannot_be_used__says_what_to_do(models, said):
    with pytest.raises(UserError, match=said):
        resolve_models(models, device="cpu")


def test__resolve_models__package_not_installed__gives_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExtraMissingError, match="pip install tabpfn"):
        resolve_models("tabpfn", device="cpu")


def test__fit__one_class__is_refused():
    frame, y = mixed(20)
    model = resolve_models("decision_tree", device="cpu")["decision_tree"].build(0, "cpu")
    with pytest.raises(UserError, match="one class"):
        model.fit(frame, np.zeros_like(y))


def test__device__no_gpu__auto_is_the_cpu_and_by_name_fails(monkeypatch):
    monkeypatch.setattr("dallm.evaluation.models.device._gpus", lambda: 0)
    assert resolve_device("auto", "tabnet").device == "cpu"
    with pytest.raises(DeviceError, match="no such GPU"):
        resolve_models("xgboost", device="cuda")
    with pytest.raises(UserError, match="'gpu' is not known"):
        resolve_device("gpu")


def test__device__gpu_without_cuml__forest_says_why_it_is_on_the_cpu(monkeypatch):
    monkeypatch.setattr("dallm.evaluation.models.device._gpus", lambda: 1)
    specs = resolve_models(["random_forest", "xgboost", "decision_tree"], device="cuda")
    assert [spec.device for spec in specs.values()] == ["cpu", "cuda:0", "cpu"]
    assert "cuML" in specs["random_forest"].notes[0]


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (ValueError("cudaErrorMemoryAllocation: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (MemoryError(), False),
        (KeyError("gpu memory"), False),
    ],
)
def test__is_full__errors_of_gpus__are_told_from_others(error, full):
    assert is_full(error) is full


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="no GPU")
def test__xgboost__on_the_gpu__close_to_the_cpu():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    spec = resolve_models("xgboost", device="cuda")["xgboost"]
    model = spec.build(0, spec.device).fit(X, y)
    other = spec.build(0, "cpu").fit(X, y)
    assert (model.device_, other.device_) == ("cuda:0", "cpu")
    assert np.allclose(model.predict_proba(X), other.predict_proba(X), atol=0.05)
