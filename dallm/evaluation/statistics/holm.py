"""Many comparisons at once: Holm's adjustment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values adjusted so that the chance of any false claim among them stays at its level.

    Parameters
    ----------
    p : array-like of float, shape (n,)
        NaN where a comparison could not be computed: it stays NaN and does not count among the others.

    Returns
    -------
    array of float, shape (n,)

    Notes
    -----
    Source: Holm, Scandinavian Journal of Statistics 1979, 6:65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, float("nan"), 0.03])
    array([0.03, 0.06,  nan, 0.06])
    """
    values = np.asarray(p, dtype=float)
    adjusted = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return adjusted
