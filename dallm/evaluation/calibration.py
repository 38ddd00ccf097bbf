"""How far probabilities are from rates: bins, calibration error, reliability curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from dallm.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Binning = Literal["mass", "width"]

BINS = 10
"""How many bins a calibration error and a reliability curve have, unless told otherwise."""


def bin_of(probability: ArrayLike, bins: int = BINS, binning: Binning = "mass") -> NDArray[np.intp]:
    """Return the bin of each case.

    Parameters
    ----------
    probability : array-like of float, shape (n_cases,)
        In [0, 1].
    bins : int
        At most; with equal mass fewer where cases share a probability or there are fewer cases.
    binning : {"mass", "width"}
        As many cases in each bin (equal probabilities stay together), or as much of [0, 1].

    Returns
    -------
    array of int, shape (n_cases,)

    Raises
    ------
    UserError
        If `bins` is below 1 or `binning` is unknown.

    Examples
    --------
    >>> bin_of([0.1, 0.11, 0.3, 0.9], bins=2)
    array([0, 0, 1, 1])
    >>> bin_of([0.1, 0.11, 0.3, 0.9], bins=2, binning="width")
    array([0, 0, 0, 1])
    """
    values = np.asarray(probability, dtype=float)
    if bins < 1:
        raise UserError(f"A calibration error needs at least one bin; got bins={bins}. Use {BINS}.")
    if binning == "width":
        return np.clip((values * bins).astype(np.intp), 0, bins - 1)
    if binning != "mass":
        raise UserError(f"`binning` is 'mass' or 'width'; got {binning!r}.")
    rank = np.searchsorted(np.sort(values), values, side="left")
    return np.asarray(rank * bins // max(1, len(values)), dtype=np.intp)


def calibration_error(
    truth: ArrayLike, probability: ArrayLike, bins: int = BINS, binning: Binning = "mass"
) -> float:
    """Return the expected calibration error.

    The mean over bins, weighted by their cases, of the distance between the rate of positives and the mean
    probability. Bins of equal mass are the default: with bins of equal width most cases of a rare finding
    fall into one. Few cases make it large by chance alone: with 16 cases a bin and a rate of one in four
    it is about .09 for perfect probabilities, so compare only what was measured on as many cases.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015 (bins of equal width).

    Examples
    --------
    >>> calibration_error([0, 0, 1, 1], [0.2, 0.2, 0.8, 0.8], bins=2)
    0.2
    """
    curve = reliability_curve(truth, probability, bins, binning)
    if curve.empty:
        return float("nan")
    weights = curve["cases"].to_numpy(dtype=float)
    distance = (curve["rate"] - curve["probability"]).abs().to_numpy(dtype=float)
    return round(float(np.average(distance, weights=weights)), 15)


def reliability_curve(
    truth: ArrayLike, probability: ArrayLike, bins: int = BINS, binning: Binning = "mass"
) -> pd.DataFrame:
    """Return what stands in each bin that has a case.

    Returns
    -------
    DataFrame
        Columns ``probability`` (mean), ``rate`` (share of positives), ``cases``; by rising probability.

    Examples
    --------
    >>> reliability_curve([0, 1, 1, 1], [0.1, 0.2, 0.7, 0.9], bins=2)
       probability  rate  cases
    0         0.15   0.5      2
    1         0.80   1.0      2
    """
    values = np.asarray(probability, dtype=float)
    frame = pd.DataFrame({"probability": values, "rate": np.asarray(truth, dtype=float)})
    curve = frame.groupby(bin_of(values, bins, binning)).mean()
    curve["cases"] = frame.groupby(bin_of(values, bins, binning)).size().astype("int64")
    return curve.reset_index(drop=True)
