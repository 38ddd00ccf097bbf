"""Figures on some of the cases only, from predictions that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.fits import METRICS
from dallm.evaluation.statistics.resampling import Draws, centred_limits, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 400
"""How many resamples an interval on part of the cases rests on, unless told otherwise."""

_WITHIN_FOLDS = ("roc_auc",)

VALUES = (
    "feature_set",
    "model",
    "target",
    "metric",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
)
"""Columns of what :func:`on_cases` returns."""


def on_cases(
    predictions: pd.DataFrame,
    chosen: NDArray[np.bool_],
    groups: pd.Series[Any] | None,
    baseline: str | None,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
    pooled: bool = True,
) -> pd.DataFrame:
    """Return metrics and gains on some of the cases, with intervals by resampling patients.

    No model is fitted again. Differences are taken resample by resample. The ROC AUC is the mean over test
    folds that have both classes: over folds the probabilities of one model are not comparable, as a fold with
    more positives was predicted by training cases with fewer, which brings a model that knows nothing well
    below one half. All other metrics take the cases of all folds of a repeat together: one fold has few.

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`, out of fold.
    chosen : array of bool, shape (n_cases,)
    groups : Series or None
        The patient of each case.
    baseline : str or None
        The feature set that the others are held against.
    metrics, resamples, seed, level
        As in :func:`.statistics.intervals`.
    pooled : bool
        Whether means over targets are wanted too.

    Returns
    -------
    DataFrame
        Columns :data:`VALUES`. `difference` is the feature set minus the baseline, also where smaller is
        better; NaN for the baseline itself and where something is not defined.

    Raises
    ------
    UserError
        If the baseline has no predictions.

    Examples
    --------
    >>> frame = pd.DataFrame({"feature_set": "a", "model": "tree", "target": "finding", "repeat": 0,
    ...                       "fold": 0, "row": range(4), "truth": [True, False, True, False],
    ...                       "probability": [0.9, 0.2, 0.4, 0.6], "decision": [True, False, False, True]})
    >>> kept = np.array([True, True, True, False])
    >>> on_cases(frame, kept, None, None, metrics=["accuracy"])["value"].round(3).tolist()[0]
    0.667
    """
    if baseline is not None and not (predictions["feature_set"] == baseline).any():
        there = predictions["feature_set"].unique().tolist()
        raise UserError(
            f"The baseline {baseline!r} has no predictions; there are those of {there}."
            f"{did_you_mean(baseline, there)}"
        )
    part = predictions[chosen[predictions["row"].to_numpy(dtype=np.intp)]]
    if part.empty:
        return pd.DataFrame(columns=list(VALUES))
    everyone = pd.Series(np.arange(len(chosen))) if groups is None else groups
    tables = []
    for whole_repeat in (False, True):
        wanted = [m for m in metrics if (m not in _WITHIN_FOLDS) == whole_repeat]
        if wanted:
            used = part.assign(fold=0) if whole_repeat else part
            # patients without a chosen case are drawn too: how many there are is a matter of chance
            drawn = draw(used, everyone, metrics=wanted, resamples=resamples, seed=seed, pooled=pooled)
            tables.append(_told(drawn, baseline, level))
    found = pd.concat(tables, ignore_index=True)
    order = {name: i for i, name in enumerate(metrics)}
    rows = found.groupby(["feature_set", "model", "target"], sort=False).ngroup()
    place = np.lexsort((found["metric"].map(order), rows))
    return found.iloc[place].reset_index(drop=True)


def _told(drawn: Draws, baseline: str | None, level: float) -> pd.DataFrame:
    """Return values and gains with their intervals."""
    rows, metrics = drawn.rows, len(drawn.metrics)
    low, high = centred_limits(drawn.values, drawn.points, level)
    place = {key: i for i, key in enumerate(zip(*(rows[c] for c in rows.columns), strict=True))}
    others = [
        place.get((baseline, model, target), -1) if name not in (baseline, NO_FEATURES) else -1
        for name, model, target in place
    ]
    ours = np.flatnonzero(np.asarray(others) >= 0)
    theirs = np.asarray(others)[ours]
    gains = np.full((3, len(rows), metrics), np.nan)
    if len(ours):
        gains[0, ours] = drawn.points[ours] - drawn.points[theirs]
        gains[1:, ours] = centred_limits(drawn.values[ours] - drawn.values[theirs], gains[0, ours], level)
    tidy = rows.loc[rows.index.repeat(metrics)].reset_index(drop=True)
    tidy["metric"] = np.tile(np.asarray(drawn.metrics, dtype=object), len(rows))
    tidy["value"] = drawn.points.reshape(-1)
    tidy["low"], tidy["high"] = np.clip(low, 0, 1).reshape(-1), np.clip(high, 0, 1).reshape(-1)
    for name, found in zip(("difference", "difference_low", "difference_high"), gains, strict=True):
        tidy[name] = found.reshape(-1)
    return tidy[list(VALUES)]
