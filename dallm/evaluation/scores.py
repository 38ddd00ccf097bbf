"""From out-of-fold predictions to the tidy table of scores: per target, macro and pooled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.evaluation.fits import METRICS, PREDICTIONS
from dallm.evaluation.metrics import metrics_of
from dallm.evaluation.predictions import grouped, plain_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

MACRO = "macro"
"""Name in the column ``target`` of the mean over targets."""

POOLED = "pooled"
"""Name in the column ``target`` of the decisions of all targets taken together."""

WHOLE_REPEAT = -1
"""The `fold` of what is measured over all folds of a repeat."""

SCORES = ("feature_set", "model", "target", "repeat", "fold", "metric", "value")
"""Columns of the tidy scores."""


def score_predictions(predictions: pd.DataFrame, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return every metric of every test fold, and over all targets of every repeat.

    Two names are added in the column ``target``, with fold -1, as the folds of different targets hold
    different cases: ``macro`` is the mean over targets of the mean over folds (of those where the metric is
    defined), ``pooled`` the metric of all decisions of a repeat, of all targets together. Pooled ROC AUC and
    average precision also reward knowing which target is the commoner: the baseline ``prevalence`` shows how
    much that is worth.

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`.
    metrics : sequence of str

    Returns
    -------
    DataFrame
        Columns :data:`SCORES`; NaN where a metric is not defined (:func:`undefined_notes` counts these).

    Raises
    ------
    UserError
        If a column is missing, or a target is called like what is added.

    Examples
    --------
    >>> frame = pd.DataFrame({"feature_set": "a", "model": "tree", "target": "finding", "repeat": 0,
    ...                       "fold": 0, "row": [0, 1, 2], "truth": [True, False, True],
    ...                       "probability": [0.9, 0.2, 0.4], "decision": [True, False, False]})
    >>> score_predictions(frame, ["accuracy"])[["target", "fold", "metric", "value"]]
        target  fold    metric     value
    0  finding     0  accuracy  0.666667
    1    macro    -1  accuracy  0.666667
    2   pooled    -1  accuracy  0.666667
    """
    check_predictions(predictions)
    folds = _scored(predictions, ["feature_set", "model", "target", "repeat", "fold"], metrics)
    macro = macro_of(folds)
    pooled = _scored(predictions, ["feature_set", "model", "repeat"], metrics)
    pooled["target"], pooled["fold"] = POOLED, WHOLE_REPEAT
    return pd.concat([folds, macro, pooled[list(SCORES)]], ignore_index=True)


def check_predictions(predictions: pd.DataFrame) -> None:
    """Refuse predictions that cannot be scored.

    Raises
    ------
    UserError
        If a column is missing, or a target is called ``macro`` or ``pooled``.
    """
    lacking = [name for name in PREDICTIONS if name not in predictions.columns]
    if lacking:
        raise UserError(f"Predictions lack the column {lacking[0]!r}; they have {list(predictions.columns)}.")
    for name in (MACRO, POOLED):
        if (predictions["target"] == name).any():
            raise UserError(
                f"A target is called {name!r}, which names a mean over all targets in the tables; rename it."
            )


def macro_of(folds: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over targets of the mean over folds, by feature set, model, repeat and metric.

    Parameters
    ----------
    folds : DataFrame
        Columns :data:`SCORES`, per target only.
    """
    keys = ["feature_set", "model", "repeat", "metric"]
    means = folds.groupby([*keys, "target"], sort=False, observed=True)["value"].mean()
    macro = means.groupby(keys, sort=False, observed=True).mean().reset_index()
    macro["target"], macro["fold"] = MACRO, WHOLE_REPEAT
    return macro[list(SCORES)]


def undefined_notes(scores: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each target with metrics that were not defined somewhere.

    Examples
    --------
    >>> scores = pd.DataFrame([["a", "tree", "finding", 0, 0, "roc_auc", float("nan")]], columns=list(SCORES))
    >>> undefined_notes(scores)
    ('roc_auc of finding is not defined in 1 of 1 test folds: their cases are of one class.',)
    """
    folds = scores[scores["fold"] != WHOLE_REPEAT].drop_duplicates(["target", "repeat", "fold", "metric"])
    missing = folds["value"].isna().groupby([folds["target"], folds["metric"]], sort=False)
    alike: dict[tuple[str, int, int], list[str]] = {}
    for (target, metric), part in missing:
        if part.any():
            alike.setdefault((str(target), int(part.sum()), len(part)), []).append(str(metric))
    return tuple(
        f"{', '.join(names)} of {target} {'is' if len(names) == 1 else 'are'} not defined in {lacking} of "
        f"{every} test folds: their cases are of one class."
        for (target, lacking, every), names in alike.items()
    )


def _scored(predictions: pd.DataFrame, keys: list[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Return the metrics of each group of predictions, one row per group and metric."""
    truth = predictions["truth"].to_numpy(dtype=bool)
    probability = predictions["probability"].to_numpy(dtype=float)
    decision = predictions["decision"].to_numpy(dtype=bool)
    groups = grouped(predictions, keys)
    values = np.empty((len(groups), len(metrics)))
    for i, rows in enumerate(groups.values()):
        found = metrics_of(truth[rows], probability[rows], decision[rows], metrics)
        values[i] = [found[name] for name in metrics]
    firsts = [rows.start if isinstance(rows, slice) else int(rows[0]) for rows in groups.values()]
    heads = plain_keys(predictions[keys].iloc[firsts].reset_index(drop=True))
    tidy = heads.loc[heads.index.repeat(len(metrics))].reset_index(drop=True)
    tidy["metric"] = np.tile(np.asarray(metrics, dtype=object), len(groups))
    tidy["value"] = values.reshape(-1)
    return tidy
