"""SHAP values of tree models, where the package ``shap`` is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NOT_INSTALLED = "SHAP values were not computed: the package shap is not installed (pip install shap)."


def shap_is_installed() -> bool:
    """Return whether the package is there."""
    return importlib.util.find_spec("shap") is not None


def mean_shap(model: Any, test: pd.DataFrame) -> dict[str, float] | None:
    """Return the mean absolute SHAP value per column of the table; None where a model gives none.

    What a model makes of one column (indicators of levels, of missing values) counts together: its values
    are added case by case before the absolute value is taken.

    Parameters
    ----------
    model : fitted :class:`dallm.evaluation.models.TableClassifier`, or a tree model on plain numbers
    test : DataFrame

    Notes
    -----
    In the unit of the model's output: probability for scikit-learn's trees, log-odds for XGBoost. Source:
    Lundberg et al., Nature Machine Intelligence 2020, 2:56-67.
    """
    import shap

    inner, encoded, sources = _inner(model, test)
    if inner is None:
        return None
    try:
        values = np.asarray(shap.TreeExplainer(inner).shap_values(encoded), dtype=float)
    except Exception:  # shap raises types of its own and of others for models that are no trees
        return None
    if values.ndim == 3:  # (cases, columns, classes) of scikit-learn's classifiers
        values = values[:, :, -1]
    if values.shape != encoded.shape:
        return None
    found = {}
    for name in test.columns:
        members = [i for i, source in enumerate(sources) if source == name]
        found[str(name)] = float(np.abs(values[:, members].sum(axis=1)).mean()) if members else 0.0
    return found


def _inner(model: Any, test: pd.DataFrame) -> tuple[Any, np.ndarray[Any, Any], list[Any]]:
    """Return the classifier, its numbers, and the column of the table that each of them comes from."""
    encoder = getattr(model, "encoder_", None)
    if encoder is None:
        return model, np.asarray(test, dtype=float), list(test.columns)
    inner = getattr(model, "estimator_", None)
    return inner, encoder.transform(test), [test.columns[i] for i in encoder.origin_]
