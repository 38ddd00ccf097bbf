"""Difference of two ROC AUCs on the same test cases, some of which are of one patient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

METHOD = "clustered DeLong (Obuchowski)"
"""Name of the method in tables."""


class AreaDifference(NamedTuple):
    """The difference of two areas and the variance of that difference; NaN where there is none."""

    difference: float
    variance: float


def clustered_delong(
    truth: ArrayLike, probability: ArrayLike, other: ArrayLike, patients: ArrayLike
) -> AreaDifference:
    """Return ROC AUC of `probability` minus that of `other`, with its variance.

    Parameters
    ----------
    truth : array-like of bool, shape (n_cases,)
    probability, other : array-like of float, shape (n_cases,)
        Of two models for the same cases.
    patients : array-like, shape (n_cases,)
        Whose case it is. With one case a patient the variance is nearly that of DeLong et al.; positives and
        negatives then share no patient, but are still drawn together.

    Returns
    -------
    AreaDifference
        The variance is NaN unless two patients or more have a positive case, and two or more a negative one.

    Notes
    -----
    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 1988, 44:837-845; Obuchowski, Biometrics 1997,
    53:567-578.

    Examples
    --------
    >>> found = clustered_delong([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [0.2, 0.1, 0.3, 0.3], range(4))
    >>> found.difference
    -0.25
    """
    yes = np.asarray(truth, dtype=bool)
    if yes.all() or not yes.any():
        return AreaDifference(math.nan, math.nan)
    codes = np.unique(np.asarray(patients), return_inverse=True)[1].reshape(-1)
    first, second = (_components(yes, np.asarray(p, dtype=float)) for p in (probability, other))
    components = first - second
    difference = float(components[yes].mean())
    off = components - difference
    n = int(codes.max()) + 1
    positive = np.bincount(codes[yes], weights=off[yes], minlength=n)
    negative = np.bincount(codes[~yes], weights=off[~yes], minlength=n)
    with_positive, with_negative = len(np.unique(codes[yes])), len(np.unique(codes[~yes]))
    if with_positive < 2 or with_negative < 2:
        return AreaDifference(difference, math.nan)
    m, k = int(yes.sum()), int((~yes).sum())
    variance = (
        with_positive / (with_positive - 1) * float(positive @ positive) / m**2
        + with_negative / (with_negative - 1) * float(negative @ negative) / k**2
        + 2 * n / (n - 1) * float(positive @ negative) / (m * k)
    )
    return AreaDifference(difference, max(0.0, variance))


def _components(yes: NDArray[np.bool_], probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each case the share of the other class on the right side of it; ties count half."""
    found = np.empty(len(yes))
    positive, negative = np.sort(probability[yes]), np.sort(probability[~yes])
    for own, others, sign in ((yes, negative, 1), (~yes, positive, -1)):
        left = np.searchsorted(others, probability[own], side="left")
        right = np.searchsorted(others, probability[own], side="right")
        below = (left + right) / (2 * len(others))
        found[own] = below if sign == 1 else 1 - below
    return found
