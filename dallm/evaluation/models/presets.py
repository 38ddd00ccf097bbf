"""The models by name: what each stands for in its presets, and what `tuned` may try.

The plain name is the preset `defaults`: the published rows of the paper's table follow from the libraries'
defaults, not from the settings that it states (docs/evaluation_models.md).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from dallm.errors import ExtraMissingError, UserError
from dallm.evaluation.models.table import Encode, TableClassifier
from dallm.evaluation.models.tabnet.classifier import TabNetClassifier
from dallm.evaluation.models.tuned import TunedClassifier

PRESETS = ("defaults", "paper", "tuned")
"""Presets of the paper's four models."""

PAPER_MODELS = ("decision_tree", "random_forest", "xgboost", "tabnet")
REFERENCES = ("logistic_regression", "hist_gradient_boosting", "tabpfn")

_PAPER: dict[str, dict[str, Any]] = {
    "decision_tree": {"max_depth": 10},
    "random_forest": {"n_estimators": 100, "criterion": "gini"},
    "xgboost": {
        "learning_rate": 0.01,
        "max_depth": 6,
        "n_estimators": 100,
        "objective": "binary:logistic",
    },
    "tabnet": {"learning_rate": 0.02, "batch_size": 1024, "n_d": 8, "n_steps": 2},
}

_SPACES: dict[str, dict[str, Sequence[Any]]] = {
    "decision_tree": {
        "max_depth": [2, 3, 4, 6, 10, None],
        "min_samples_leaf": [1, 5, 10, 20, 40],
        "criterion": ["gini", "entropy"],
    },
    "random_forest": {
        "n_estimators": [300],
        "max_depth": [4, 8, None],
        "min_samples_leaf": [1, 3, 5, 10],
        "max_features": ["sqrt", 0.2, 0.5],
    },
    "xgboost": {
        "n_estimators": [50, 100, 200, 400],
        "learning_rate": [0.01, 0.03, 0.1, 0.3],
        "max_depth": [2, 3, 4, 6],
        "min_child_weight": [1, 3, 10],
        "subsample": [0.6, 0.8, 1.0],
        "colsample_bytree": [0.5, 0.8, 1.0],
        "reg_lambda": [1.0, 5.0, 20.0],
    },
    "tabnet": {
        "n_steps": [1, 2, 3],
        "n_d": [4, 8, 16],
        "gamma": [1.0, 1.3, 1.5],
        "lambda_sparse": [1e-4, 1e-3, 1e-2],
        "learning_rate": [0.01, 0.02, 0.05],
        "batch_size": [128, 256, 1024],
        "momentum": [0.02, 0.1, 0.3],
    },
}

_TUNED_FITS = {"decision_tree": 60, "random_forest": 30, "xgboost": 45, "tabnet": 24}


class Tuned(NamedTuple):
    """A tuned model with a budget and a space of one's own, to be given in place of a name.

    Attributes
    ----------
    model : str
        One of the paper's four.
    fits : int, optional
        Inner fits at most; the preset's own number by default.
    seconds : float, optional
        Begin no further candidate after so long.
    space : mapping of str to sequence, optional
        Values to try per parameter of the classifier.
    """

    model: str
    fits: int | None = None
    seconds: float | None = None
    space: Mapping[str, Sequence[Any]] | None = None


def named(model: str, seed: int, device: str) -> Any:
    """Return the classifier of a name without preset."""
    return _preset(model, {}, seed, device)


def paper(model: str, seed: int, device: str) -> Any:
    """Return the classifier with the settings that the paper states."""
    return _preset(model, _PAPER[model], seed, device)


def tuned(choice: Tuned, seed: int, device: str) -> Any:
    """Return the classifier that searches its settings inside the training fold."""
    base = named(choice.model, seed, device)
    own = choice.space if choice.space is not None else _SPACES[choice.model]
    prefix = "" if choice.model == "tabnet" else "estimator__"
    space = {f"{prefix}{name}": list(values) for name, values in own.items()}
    fits = choice.fits if choice.fits is not None else _TUNED_FITS[choice.model]
    return TunedClassifier(base, space, fits=fits, seconds=choice.seconds, random_state=seed)


def check_installed(model: str) -> None:
    """Refuse a model whose package is missing, or whose weights cannot be loaded.

    Raises
    ------
    ExtraMissingError
        With the command that installs it.
    UserError
        If the weights of TabPFN, which are no part of its package, are not there.
    """
    if model == "tabpfn":
        _check_tabpfn()
        _load_weights()


def _check_tabpfn() -> None:
    if importlib.util.find_spec("tabpfn") is None:
        raise ExtraMissingError("The model 'tabpfn' needs the package tabpfn: pip install tabpfn")


@lru_cache(maxsize=1)
def _load_weights() -> None:
    """Fit TabPFN to a few rows, which loads its weights; done once, before anything else is fitted."""
    from tabpfn import TabPFNClassifier

    rows = np.arange(16, dtype=float).reshape(8, 2)
    try:
        TabPFNClassifier().fit(rows, np.arange(8) % 2)
    except Exception as error:  # whatever keeps it from loading them: network, licence, disk, versions
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserError(
            f"The model 'tabpfn' cannot be used, as its weights were not loaded: {type(error).__name__}"
            f"{': ' + said if said else ''}. They are fetched at first use, once its licence is accepted: do "
            "that on a machine with network, with TABPFN_TOKEN set, and name the folder of the weights in "
            "TABPFN_MODEL_CACHE_DIR; or leave 'tabpfn' out of models=."
        ) from error


def _preset(model: str, settings: Mapping[str, Any], seed: int, device: str) -> Any:
    if model == "tabnet":
        return TabNetClassifier(**settings, random_state=seed, device=device)
    estimator, encode = _library(model)
    return TableClassifier(estimator.set_params(**settings), encode=encode, random_state=seed, device=device)


def _library(model: str) -> tuple[Any, Encode]:
    """The classifier as its library makes it, and how it takes its table."""
    if model == "decision_tree":
        from sklearn.tree import DecisionTreeClassifier

        return DecisionTreeClassifier(), "trees"
    if model == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(), "trees"
    if model == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(), "trees"
    if model == "hist_gradient_boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(), "keep"
    if model == "logistic_regression":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000), "scale"
    _check_tabpfn()
    from tabpfn import TabPFNClassifier

    return TabPFNClassifier(), "keep"
