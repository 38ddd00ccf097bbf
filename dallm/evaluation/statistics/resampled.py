"""The corrected resampled t-test of two learners on the same folds, and how much the folds share."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

METHOD = "corrected resampled t-test (Nadeau and Bengio)"
"""Name of the method in tables."""


_REPEATS = 5
"""From so many repeats on their means say how far they differ; two leave one degree of freedom."""


class Spread(NamedTuple):
    """A mean difference and how far off it may be.

    Attributes
    ----------
    difference, variance, freedom : float
        The mean, the variance of the mean, the degrees of freedom of that variance.
    reason : str
        Why variance and freedom are NaN; empty where they are not.
    """

    difference: float
    variance: float
    freedom: float
    reason: str = ""


def corrected_spread(differences: ArrayLike, test_share: float, patients: float = math.inf) -> Spread:
    r"""Return the mean difference over folds, with a variance that allows for what the folds share.

    Nadeau and Bengio put ``variance of the folds * (1/J + n_test/n_train)`` for the variance of the mean of
    J folds. That takes two folds to share what their test cases share, and holds where the scores differ
    because the test cases do. Where a model has little to learn, what it learns differs as well, and a case
    counts twice: once as it is trained on, once as it is tested. With `q` the share of the test cases, two
    repeats then correlate by ``2 q (1 - q)``, not `q`, two folds of a repeat by ``q / (1 - q)``, not 0, and
    the test is not conservative (on columns of pure noise and a linear model: 12 of 100 p below .05). Such
    learning shows: repeats come out differently by ``2 q^2`` of its variance, whereas the test cases alone
    give all repeats the same mean. So the variance is the larger of Nadeau and Bengio's and

    ``q * within + b * between``, with
    ``b = (2 q (1 - q) + 2 q^2 / R - q (1 - 2 q) / (1 - q)) / (2 q^2)``,

    within: the mean variance of the folds of a repeat, between: the variance of the means of the R repeats;
    at most the variance that follows if all differences come from learning. With fewer than five repeats the
    means of the repeats tell too little of `between`, and the latter is used.

    With few patients the variance is raised by ``k / (k - 1)``, `k` the patients of the rarer class, and the
    degrees of freedom are at most k - 1, as is usual where variances come from clusters.

    Source: Nadeau and Bengio, Machine Learning 2003, 52:239-281, for the first; ``docs/power.md`` shows how
    the second was derived and measured.

    Parameters
    ----------
    differences : array-like of float, shape (n_repeats, n_folds)
        NaN where a fold gave none.
    test_share : float
        Share of the cases in a test fold, above 0 and below 1.
    patients : float
        Of the rarer class; unbounded if not given.

    Returns
    -------
    Spread
        With a reason instead of a variance where it cannot be computed: fewer than two folds.

    Examples
    --------
    >>> corrected_spread([[0.1, 0.2], [0.1, 0.0]], 0.5).difference
    0.1
    >>> corrected_spread([[0.1]], 0.2).reason
    'one fold only'
    """
    spread = _spread(differences, test_share)
    if math.isnan(spread.variance) or spread.variance == 0:
        return spread
    if patients < 2:
        return Spread(spread.difference, math.nan, math.nan, "fewer than two patients of a class")
    more = 1.0 if math.isinf(patients) else patients / (patients - 1)
    return spread._replace(variance=spread.variance * more, freedom=min(spread.freedom, patients - 1))


def _spread(differences: ArrayLike, test_share: float) -> Spread:
    folds = np.atleast_2d(np.asarray(differences, dtype=float))
    known = folds[~np.isnan(folds)]
    if not len(known):
        return Spread(math.nan, math.nan, math.nan, "no fold in which both are defined")
    mean = float(known.mean())
    if len(known) < 2:
        return Spread(mean, math.nan, math.nan, "one fold only")
    if np.ptp(known) == 0:
        return Spread(mean, 0.0, float(len(known) - 1))
    q, count = test_share, len(known)
    total = float(known.var(ddof=1))
    plain = total * (1 / count + q / (1 - q))
    shared = 2 * q * (1 - q)
    repeats = folds[(~np.isnan(folds)).sum(axis=1) >= 2]
    if len(repeats) < 2:  # folds of one repeat tell nothing of another's
        if q >= 0.5:
            return Spread(mean, math.nan, math.nan, "one repeat of two folds only")
        return Spread(mean, max(plain, total * shared / (1 - 2 * q)), float(count - 1))
    r = len(repeats)
    ceiling = total * (1 / count + shared / (1 - shared))
    if r < _REPEATS:
        return Spread(mean, max(plain, ceiling), float(count - 1))
    within = float(np.nanvar(repeats, axis=1, ddof=1).mean())
    between = float(np.nanmean(repeats, axis=1).var(ddof=1))
    b = (shared + 2 * q**2 / r - q * (1 - 2 * q) / (1 - q)) / (2 * q**2)
    learning = q * within + b * between
    if learning <= plain:
        return Spread(mean, plain, float(count - 1))
    parts = (q * within) ** 2 / (count - r) + (b * between) ** 2 / (r - 1)
    freedom = min(float(count - 1), learning**2 / parts)  # Satterthwaite
    return Spread(mean, min(learning, ceiling), freedom)


def two_sided(spread: Spread) -> float:
    """Return the p of a mean difference against none, NaN where it cannot be computed.

    Where all folds show the same difference there is no variance: p is 1 if that is none, else that of the
    sign test, 2 to the power of 1 - folds.

    Examples
    --------
    >>> two_sided(Spread(0.0, 0.0, 9.0)), round(two_sided(Spread(2.0, 1.0, 9.0)), 4)
    (1.0, 0.0766)
    """
    from scipy import stats

    if math.isnan(spread.variance):
        return math.nan
    if spread.variance == 0:
        if spread.difference == 0:
            return 1.0
        return 0.5**spread.freedom if math.isfinite(spread.freedom) else math.nan
    return float(2 * stats.t.sf(abs(spread.difference) / math.sqrt(spread.variance), spread.freedom))


def limits(spread: Spread, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean difference, NaN where it cannot be computed.

    Examples
    --------
    >>> low, high = limits(Spread(2.0, 1.0, 9.0))
    >>> round(low, 3), round(high, 3)
    (-0.262, 4.262)
    """
    if math.isnan(spread.variance):
        return math.nan, math.nan
    if spread.variance == 0:
        return spread.difference, spread.difference
    reach = _quantile((1 + level) / 2, spread.freedom) * math.sqrt(spread.variance)
    return spread.difference - reach, spread.difference + reach


@lru_cache(maxsize=4096)
def _quantile(share: float, freedom: float) -> float:
    """Return a quantile of Student's t, kept: many features and folds have the same degrees of freedom."""
    from scipy import stats

    return float(stats.t.ppf(share, freedom))
