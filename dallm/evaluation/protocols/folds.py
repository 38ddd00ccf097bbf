"""Folds that keep groups together and classes in balance, without a loop over the cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ORDER_NOISE = 0.5
"""How far the order strays from that by size. Without, two of 30 patients of unlike size met in nearly all
repeats or in none; from here on they meet about as often as by chance. More noise costs balance."""


def deal_folds(
    labels: NDArray[np.bool_], groups: NDArray[np.intp], k: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Give every case a fold: groups stay whole, every fold has about the same share of each class.

    Groups that hold the same number of cases of each class can stand for each other: of every such kind each
    fold gets the same number, drawn at random. What remains, fewer than `k` groups of a kind, goes one after
    the other to the fold that it leaves in best balance, large ones early, in an order that is drawn: by size
    alone the same groups would meet in every repeat, and repeats would tell nothing of each other.

    Parameters
    ----------
    labels : array of bool, shape (n_cases,)
    groups : array of int, shape (n_cases,)
    k : int
        Number of folds.
    rng : Generator

    Returns
    -------
    array of int, shape (n_cases,)
        From 0 to ``k - 1``.

    Examples
    --------
    >>> labels = np.array([True, True, False, False, False, False])
    >>> folds = deal_folds(labels, np.array([0, 1, 2, 2, 3, 3]), 2, np.random.default_rng(0))
    >>> bool(folds[2] == folds[3]), [int(labels[folds == f].sum()) for f in (0, 1)]
    (True, [1, 1])
    """
    _, codes = np.unique(groups, return_inverse=True)
    n_groups = int(codes.max()) + 1
    positive = np.bincount(codes, weights=labels, minlength=n_groups).astype(np.int64)
    negative = np.bincount(codes, minlength=n_groups) - positive
    fold_of = np.full(n_groups, -1, dtype=np.int16)
    shuffled = rng.permutation(n_groups)
    kinds = np.lexsort((negative[shuffled], positive[shuffled]))
    ordered = shuffled[kinds]  # groups of one kind side by side, in random order
    kind = np.stack([positive[ordered], negative[ordered]])
    starts = np.flatnonzero(np.r_[True, (kind[:, 1:] != kind[:, :-1]).any(axis=0)])
    sizes = np.diff(np.r_[starts, n_groups])
    place = np.arange(n_groups) - np.repeat(starts, sizes)
    dealt = place < np.repeat(sizes - sizes % k, sizes)
    fold_of[ordered[dealt]] = place[dealt] % k
    _settle(fold_of, ordered[~dealt], np.stack([positive, negative]), k, rng)
    return fold_of[codes]


def _settle(
    fold_of: NDArray[np.int16],
    rest: NDArray[np.intp],
    counts: NDArray[np.int64],
    k: int,
    rng: np.random.Generator,
) -> None:
    done = fold_of >= 0
    filled = np.stack([np.bincount(fold_of[done], weights=row[done], minlength=k) for row in counts])
    totals = np.maximum(counts.sum(axis=1), 1).astype(float)[:, None]
    size = (counts[:, rest] / totals).max(axis=0)
    order = np.argsort(-(np.log(size) + _ORDER_NOISE * rng.gumbel(size=len(rest))), kind="stable")
    for group in rest[order]:
        added = counts[:, group][:, None] / totals
        shares = filled / totals
        cost = ((2 * shares + added) * added).sum(axis=0)  # growth of the sum of squares, least where empty
        best = np.flatnonzero(cost <= cost.min() + 1e-12)
        fold = int(rng.choice(best))
        fold_of[group] = fold
        filled[:, fold] += counts[:, group]


def both_classes_everywhere(labels: NDArray[np.bool_], folds: NDArray[np.int16], k: int) -> bool:
    """Whether every fold, and everything outside of it, has cases of both classes."""
    sizes = np.bincount(folds, minlength=k)
    positive = np.bincount(folds, weights=labels, minlength=k)
    total, n = positive.sum(), len(labels)
    inside = (positive > 0) & (positive < sizes)
    outside = (total - positive > 0) & (total - positive < n - sizes)
    return bool((inside & outside).all())
