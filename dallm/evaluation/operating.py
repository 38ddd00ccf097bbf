"""From which probability on a model says yes, found on cases of the training fold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from dallm.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Criterion = Literal["f1", "youden", "accuracy"] | float
"""What an operating point is the best of, or the threshold itself."""

DEFAULT_THRESHOLD = 0.5
"""The threshold where there is nothing to choose by."""

_EQUAL = 1e-12  # sums of the same counts in another order differ by less


def check_criterion(criterion: Criterion) -> Criterion:
    """Return an operating point's criterion if there is such a one.

    Raises
    ------
    UserError
        Otherwise, with the list.

    Examples
    --------
    >>> check_criterion("f1"), check_criterion(0.3)
    ('f1', 0.3)
    """
    if isinstance(criterion, str):
        if criterion in ("f1", "youden", "accuracy"):
            return criterion
    elif not isinstance(criterion, bool) and 0 <= criterion <= 1:
        return float(criterion)
    raise UserError(
        f"The operating point {criterion!r} is not known; use 'f1', 'youden', 'accuracy' or a "
        "probability from 0 to 1."
    )


def choose_threshold(truth: ArrayLike, probability: ArrayLike, criterion: Criterion = "f1") -> float:
    """Return the threshold from which on a probability counts as yes (``probability >= threshold``).

    Tried are the middles between neighbouring probabilities, saying yes to all and yes to none. Of equally
    good thresholds the one nearest to one half is taken, of two as near the lower.

    Parameters
    ----------
    truth : array-like of bool, shape (n_cases,)
        Cases of the training fold only.
    probability : array-like of float, shape (n_cases,)
        Preferably of a model that was not fitted to these cases.
    criterion : {"f1", "youden", "accuracy"} or float
        What is to be as high as can be: F1, recall + specificity - 1, or the share of right decisions. A
        number is the threshold itself.

    Returns
    -------
    float
        One half if the cases are of one class: nothing can be chosen then.

    Raises
    ------
    UserError
        If `criterion` is none of these.

    Examples
    --------
    >>> round(choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 3)
    0.225
    >>> round(choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], "accuracy"), 3)
    0.6
    >>> choose_threshold([0, 0], [0.1, 0.4])
    0.5
    """
    checked = check_criterion(criterion)
    if not isinstance(checked, str):
        return checked
    yes, shares = np.asarray(truth, dtype=bool), np.asarray(probability, dtype=float)
    if yes.all() or not yes.any():
        return DEFAULT_THRESHOLD
    values, where = np.unique(shares, return_inverse=True)
    hit = np.bincount(where, weights=yes)
    alarm = np.bincount(where, weights=~yes)
    # candidate i says yes to the values from i on; the last says yes to none
    hits = np.append(np.cumsum(hit[::-1])[::-1], 0.0)
    alarms = np.append(np.cumsum(alarm[::-1])[::-1], 0.0)
    worth = _worth(hits, alarms, checked)
    best = np.flatnonzero(worth >= worth.max() - _EQUAL)
    thresholds = _candidates(values)[best]
    return float(thresholds[np.argmin(np.abs(thresholds - DEFAULT_THRESHOLD))])


def _candidates(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one threshold below each value, and one above all."""
    middles = (values[1:] + values[:-1]) / 2
    middles = np.where(middles > values[:-1], middles, values[1:])  # neighbours with no number between
    lowest = min(values[0], DEFAULT_THRESHOLD)
    above = max(math.nextafter(values[-1], math.inf), DEFAULT_THRESHOLD)
    return np.concatenate([[lowest], middles, [above]])


def _worth(hits: NDArray[np.float64], alarms: NDArray[np.float64], criterion: str) -> NDArray[np.float64]:
    """Return the criterion of each candidate from its right and wrong decisions for yes."""
    positives, negatives = hits[0], alarms[0]
    if criterion == "f1":
        return np.asarray(2 * hits / (hits + alarms + positives))
    if criterion == "youden":
        return np.asarray(hits / positives - alarms / negatives)
    return np.asarray((hits + negatives - alarms) / (positives + negatives))
