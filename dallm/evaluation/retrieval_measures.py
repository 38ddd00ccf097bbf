"""Measures of a ranking: recall@k, nDCG@k, MRR@k, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUTOFF = 10
"""Where nDCG and MRR stop looking, in distinct documents."""

_CHUNK = 2_000_000  # resampling weights held at once


def recall_at(ranks: Sequence[float], k: int) -> float:
    """Return the share of a question's right documents among its first `k` distinct documents.

    Parameters
    ----------
    ranks : sequence of float
        The rank of each right document, from 1; infinity where it was not found.
    k : int

    Examples
    --------
    >>> recall_at([3, float("inf")], 4)
    0.5
    """
    return float(np.mean(np.asarray(ranks, dtype=float) <= k))


def ndcg_at(ranks: Sequence[float], k: int = CUTOFF) -> float:
    """Return the normalised discounted cumulative gain over the first `k` distinct documents.

    Every right document gains 1, discounted by the binary logarithm of its rank + 1, over the best order's.

    Source: Järvelin and Kekäläinen, ACM Trans Inf Syst 2002, 20:422-446.

    Examples
    --------
    >>> ndcg_at([1]), ndcg_at([3]), ndcg_at([11])
    (1.0, 0.5, 0.0)
    """
    found = np.asarray(ranks, dtype=float)
    gain = float(np.sum(1 / np.log2(found[found <= k] + 1)))
    best = float(np.sum(1 / np.log2(np.arange(1, min(len(found), k) + 1) + 1)))
    return gain / best


def reciprocal_rank_at(ranks: Sequence[float], k: int = CUTOFF) -> float:
    """Return 1 over the rank of the first right document, 0 where none is among the first `k`.

    The mean over questions is MRR@k.

    Examples
    --------
    >>> reciprocal_rank_at([2, 5]), reciprocal_rank_at([11])
    (0.5, 0.0)
    """
    first = min(ranks)
    return float(1 / first) if first <= k else 0.0


def bootstrap_means(values: NDArray[np.float64], n_boot: int, seed: int) -> NDArray[np.float64]:
    """Return the means of `n_boot` samples of the questions, drawn with replacement.

    All columns see the same samples, so that their differences may be taken sample by sample.

    Parameters
    ----------
    values : array, shape (n_questions, n_columns)
    n_boot, seed : int

    Returns
    -------
    array, shape (n_boot, n_columns)

    Examples
    --------
    >>> bootstrap_means(np.ones((3, 2)), n_boot=4, seed=0).shape
    (4, 2)
    """
    n = len(values)
    rng = np.random.default_rng(seed)
    per_chunk = max(1, _CHUNK // n)
    means = []
    for start in range(0, n_boot, per_chunk):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=min(per_chunk, n_boot - start))
        means.append(counts @ values / n)
    return np.concatenate(means)


def interval(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 2.5th and 97.5th percentile of resampled means, by column."""
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high
