"""The nine metrics, of one set of predictions or of many resamples of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dallm.evaluation.calibration import bin_of
from dallm.evaluation.fits import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.floating]

SMALLER_IS_BETTER = frozenset({"brier", "ece"})
"""Metrics whose gain is a negative difference."""

DECIDED = frozenset({"f1", "precision", "recall", "accuracy", "balanced_accuracy"})
"""Metrics of decisions, which depend on the threshold."""

_WIDE = 16  # resamples from which on rows are added one by one
_MANY = 200_000  # cases from which on the bins of the calibration error are summed one after the other


def metrics_of(
    truth: ArrayLike,
    probability: ArrayLike,
    decision: ArrayLike,
    metrics: Sequence[str] = METRICS,
) -> dict[str, float]:
    """Return the metrics of one set of predictions.

    Parameters
    ----------
    truth, decision : array-like of bool, shape (n_cases,)
    probability : array-like of float, shape (n_cases,)
        In [0, 1].
    metrics : sequence of str

    Returns
    -------
    dict of str to float
        As :func:`resampled_metrics` defines them.

    Examples
    --------
    >>> metrics_of([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [0, 0, 0, 1], ["roc_auc", "f1"])
    {'roc_auc': 0.75, 'f1': 0.6666666666666666}
    """
    weights = np.ones((np.size(truth), 1))
    found = resampled_metrics(truth, probability, decision, weights, metrics)
    return {name: float(values[0]) for name, values in found.items()}


def resampled_metrics(
    truth: ArrayLike,
    probability: ArrayLike,
    decision: ArrayLike,
    weights: Floats,
    metrics: Sequence[str] = METRICS,
) -> dict[str, Floats]:
    """Return the metrics of many resamples of the same predictions.

    What is not defined is NaN, and no mean over folds counts it: recall, F1 and average precision without a
    positive case, ROC AUC and balanced accuracy where the cases are of one class, and every metric where
    there is no case. scikit-learn has 0 for the first three and the recall of one class for balanced
    accuracy: a resampled fold that happens to have no positive case would then count as a failure of the
    model, most often where a target is rare. As in scikit-learn with ``zero_division=0``, precision without
    a positive decision is 0. The calibration error has ten bins of equal mass (:mod:`.calibration`), which
    stay those of the whole when its cases are resampled.

    Parameters
    ----------
    truth, decision : array-like of bool, shape (n_cases,)
    probability : array-like of float, shape (n_cases,)
    weights : array of float, shape (n_cases, n_resamples)
        How often each case stands in each resample, whole numbers. Computed in the precision of this
        array: 32 bits count exactly to 16 million.
    metrics : sequence of str

    Returns
    -------
    dict of str to array, shape (n_resamples,)

    Examples
    --------
    >>> twice = np.array([[1.0, 2], [1, 0], [1, 1], [1, 1]])
    >>> resampled_metrics([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [0, 0, 0, 1], twice, ["roc_auc"])
    {'roc_auc': array([0.75, 1.  ])}
    """
    yes = np.asarray(truth, dtype=bool)
    shares = np.asarray(probability, dtype=float)
    said = np.asarray(decision, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _counted(yes, said, weights)
        if "roc_auc" in metrics or "average_precision" in metrics:
            found |= _ranked(yes, shares, weights)
        if "brier" in metrics:
            square = ((shares - yes) ** 2).astype(weights.dtype)
            found["brier"] = (square @ weights) / weights.sum(axis=0)
        if "ece" in metrics:
            found["ece"] = _calibration_error(yes, shares, weights)
    return {name: found[name] for name in metrics}


def _counted(yes: NDArray[np.bool_], said: NDArray[np.bool_], weights: Floats) -> dict[str, Floats]:
    """Return what follows from the four counts of right and wrong decisions."""
    masks = (yes & said, ~yes & said, yes & ~said, ~yes & ~said)
    if weights.shape[1] < _WIDE:  # one after the other: the sums are of whole numbers, so exact in any order
        hit, alarm, missed, quiet = (mask.astype(weights.dtype) @ weights for mask in masks)
    else:
        hit, alarm, missed, quiet = np.stack(masks).astype(weights.dtype) @ weights
    n = hit + alarm + missed + quiet
    positive, negative, said_yes = hit + missed, quiet + alarm, hit + alarm
    recall = hit / positive  # 0 / 0 is NaN
    none_said = np.where(n > 0, 0.0, np.nan).astype(weights.dtype)
    return {
        "precision": np.where(said_yes > 0, hit / np.where(said_yes > 0, said_yes, 1), none_said),
        "recall": recall,
        "f1": np.where(positive > 0, 2 * hit / (positive + said_yes), np.nan).astype(weights.dtype),
        "accuracy": (hit + quiet) / n,
        "balanced_accuracy": (recall + quiet / negative) / 2,
    }


def _ranked(yes: NDArray[np.bool_], shares: NDArray[np.float64], weights: Floats) -> dict[str, Floats]:
    """Return what follows from the order of the probabilities; equal ones stand side by side."""
    if len(shares) and (shares == shares[0]).all():  # those of baselines, a fifth of a report's rows
        rate = weights[yes].sum(axis=0) / weights.sum(axis=0)
        defined = (rate > 0) & (rate < 1)
        half = np.where(defined, 0.5, np.nan).astype(weights.dtype)
        return {"roc_auc": half, "average_precision": np.where(rate > 0, rate, np.nan).astype(weights.dtype)}
    order = np.argsort(shares, kind="stable")
    positive, negative = order[yes[order]], order[~yes[order]]
    w_positive = weights[positive]
    below = _sums_below(weights[negative])
    first = np.searchsorted(shares[negative], shares[positive], side="left")
    last = np.searchsorted(shares[negative], shares[positive], side="right")
    n_positive, n_negative = w_positive.sum(axis=0), below[-1]
    smaller = below[first]
    pairs = np.einsum("ij,ij->j", w_positive, smaller + below[last]) / 2
    # at the threshold of a positive case: all positives that are as likely or more, all such negatives
    itself = np.searchsorted(shares[positive], shares[positive], side="left")
    hits = n_positive - _sums_below(w_positive)[itself]
    said = hits + n_negative - smaller
    precision = hits / np.maximum(said, 1)  # weights are counts: said is 0, then hits are too, or 1 and more
    area = np.einsum("ij,ij->j", w_positive, precision)
    return {"roc_auc": pairs / (n_positive * n_negative), "average_precision": area / n_positive}


def _sums_below(weights: Floats) -> Floats:
    """Return the sums of the first 0, 1, ... rows."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]), dtype=weights.dtype)
    if weights.shape[1] < _WIDE:
        np.cumsum(weights, axis=0, out=sums[1:])
    else:  # NumPy accumulates column by column, which takes seven times as long on wide rows
        for i, row in enumerate(weights):
            np.add(sums[i], row, out=sums[i + 1])
    return sums


def _calibration_error(yes: NDArray[np.bool_], shares: NDArray[np.float64], weights: Floats) -> Floats:
    """Return the mean distance of rate and mean probability over bins, by weight of the bins."""
    bins = bin_of(shares)
    if len(bins) > _MANY:
        off = (shares - yes).astype(weights.dtype)
        sums = [np.where(bins == one, off, 0).astype(weights.dtype) @ weights for one in np.unique(bins)]
        return np.asarray(np.abs(np.stack(sums)).sum(axis=0) / weights.sum(axis=0))
    member = (bins[None, :] == np.unique(bins)[:, None]).astype(weights.dtype)
    distance = np.abs((member * (shares - yes).astype(weights.dtype)) @ weights)
    return np.asarray(distance.sum(axis=0) / weights.sum(axis=0))
