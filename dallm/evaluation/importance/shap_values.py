"""SHAP values of models that have exact ones, where the package ``shap`` is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

SHAP_CASES = 100
"""Test cases of a fold that are explained: a forest takes a tenth of a second for each, fitted to 8,000."""

NOT_INSTALLED = "SHAP values were not computed: the package shap is not installed (pip install shap)."


def shap_is_installed() -> bool:
    """Return whether the package is there."""
    return importlib.util.find_spec("shap") is not None


def mean_shap(
    model: Any, test: pd.DataFrame, train: pd.DataFrame | None = None, *, seed: int = 0
) -> dict[str, float] | None:
    """Return the mean absolute SHAP value per column of the table; None where a model has no exact ones.

    Trees, forests, boosted trees and linear models have; of a tuned model the one that was chosen counts.
    What a model makes of one column (indicators of levels, of missing values) counts together: its values
    are added case by case before the absolute value is taken.

    Parameters
    ----------
    model : fitted :class:`dallm.evaluation.models.TableClassifier`, or one on plain numbers
    test : DataFrame
        Of more than :data:`SHAP_CASES` rows so many are drawn.
    train : DataFrame, optional
        What a linear model was fitted to: its values are held against the mean of it (of `test` if None).
    seed : int
        Of the draw.

    Notes
    -----
    In the unit of the model's output: probability for scikit-learn's trees and forests, log-odds for boosted
    trees and logistic regression. Source: Lundberg et al., Nature Machine Intelligence 2020, 2:56-67.
    """
    inner, encoder = _parts(model)
    if inner is None:
        return None
    if len(test) > SHAP_CASES:
        drawn = np.random.default_rng(seed).choice(len(test), SHAP_CASES, replace=False)
        test = test.iloc[np.sort(drawn)]
    numbers, sources = _numbers(encoder, test), np.arange(test.shape[1])
    if encoder is not None:
        sources = np.asarray(encoder.origin_)
    values = _values(inner, numbers, numbers if train is None else _numbers(encoder, train))
    if values is None:
        return None
    sums = [np.abs(values[:, sources == place].sum(axis=1)).mean() for place in range(test.shape[1])]
    return {str(name): float(value) for name, value in zip(test.columns, sums, strict=True)}


def _parts(model: Any) -> tuple[Any, Any]:
    """Return the classifier that is given numbers and what makes them; None where there is none."""
    from dallm.evaluation.models import TableClassifier, TabNetClassifier, TunedClassifier

    while isinstance(model, TunedClassifier):
        model = model.estimator_
    if isinstance(model, TabNetClassifier) or not hasattr(model, "predict_proba"):
        return None, None
    if not isinstance(model, TableClassifier):
        return model, None
    return (None, None) if model.encode == "none" else (model.estimator_, model.encoder_)


def _numbers(encoder: Any, table: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray(table if encoder is None else encoder.transform(table), dtype=np.float64)


def _values(
    inner: Any, numbers: NDArray[np.float64], background: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the values of the class yes, shape (cases, numbers); None for other kinds of models."""
    import shap

    if hasattr(inner, "coef_"):
        mean = background.mean(axis=0, keepdims=True)  # all that exact values of a linear model depend on
        return np.asarray(shap.LinearExplainer(inner, mean).shap_values(numbers), dtype=float)
    try:
        explainer = shap.TreeExplainer(inner)
    except Exception as error:
        if type(error).__name__ != "InvalidModelError":  # shap's own, for models that are no trees
            raise
        return None
    values = np.asarray(explainer.shap_values(numbers), dtype=float)
    return values[:, :, -1] if values.ndim == 3 else values  # (cases, numbers, classes) of scikit-learn
