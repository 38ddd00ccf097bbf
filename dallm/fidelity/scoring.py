"""The tidy scores of every method and column, with intervals that draw the same patients for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dallm.fidelity.acceptable import Acceptable
from dallm.fidelity.measures import MEASURES, Column, counts_of, interval, measures_of, resampled, sums_of
from dallm.fidelity.result import MEAN, SCORES

Floats = NDArray[np.float64]
Limits = Mapping[str, tuple[str, Acceptable | None]]
_MOST_BLOCKS = 5_000
_ACCEPTABLE = MEASURES.index("acceptable")


def method_sums(
    measured: pd.DataFrame,
    columns: Mapping[str, pd.Series[float]],
    limits: Limits,
    blocks: NDArray[np.intp],
) -> Floats:
    """Sum over blocks of patients what the scores of one method are made of.

    Parameters
    ----------
    measured : DataFrame of shape (rows, features)
    columns : mapping
        Feature to what was filled, over the rows that were asked.
    limits : mapping
        Feature to its unit and its acceptable difference.
    blocks : array of int, shape (rows,)
        As :func:`blocks_of` returns them.

    Returns
    -------
    array of shape (features, blocks, sums)
    """
    n_groups = int(blocks.max()) + 1
    return np.stack(
        [
            sums_of(_column(measured[f], columns.get(f), limits[f][1]), blocks, n_groups)
            for f in measured.columns
        ]
    )


def score(
    methods: Mapping[str, Floats],
    features: Sequence[str],
    limits: Limits,
    *,
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Measure every method on every column.

    Parameters
    ----------
    methods : mapping
        Method to what :func:`method_sums` gave.
    features : sequence of str
    limits : mapping
        Feature to its unit and its acceptable difference.
    n_bootstrap, confidence, seed
        As in :func:`dallm.value_fidelity`.

    Returns
    -------
    DataFrame
        With the columns :data:`dallm.fidelity.result.SCORES`.
    """
    cells = [(method, feature) for method in methods for feature in features]
    sums = [one for method in methods.values() for one in method]
    n_groups = len(sums[0])
    stacked = np.stack(sums)  # (cells, groups, sums)
    totals = stacked.sum(axis=1)
    has_limit = np.array([limits[feature][1] is not None for _, feature in cells])
    points = _measured(totals, has_limit)
    low, high = np.full((2, *points.shape), np.nan)
    means = _means_of(points, list(methods))
    mean_low, mean_high = np.full((2, *means.shape), np.nan)
    if n_bootstrap and n_groups > 1:
        flat = stacked.transpose(1, 0, 2).reshape(n_groups, -1)
        draws = np.concatenate(
            [
                _measured((weights @ flat).reshape(len(weights), *totals.shape), has_limit)
                for weights in resampled(n_groups, n_bootstrap, seed)
            ]
        )
        low, high = interval(draws, confidence)
        mean_low, mean_high = interval(_means_of(draws, list(methods)), confidence)
    rows: list[tuple[Any, ...]] = []
    for place, (method, feature) in enumerate(cells):
        counts, unit = counts_of(totals[place]), limits[feature][0]
        for at, measure in enumerate(MEASURES):
            shown = unit if measure in ("mae", "bias") else ""
            figures = (points[place, at], low[place, at], high[place, at])
            rows.append((method, feature, measure, *figures, *counts, shown))
    for place, method in enumerate(methods):
        figures = (means[place], mean_low[place], mean_high[place])
        rows.append((method, MEAN, MEASURES[0], *figures, pd.NA, pd.NA, pd.NA, ""))
    made = pd.DataFrame(rows, columns=list(SCORES))
    whole = dict.fromkeys(("n_filled", "n_asked", "n_truth"), "Int64")
    return made.astype(dict.fromkeys(("value", "low", "high"), "Float64") | whole)


def blocks_of(groups: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Put very many patients into blocks at random, which are then drawn in their place.

    A mean over patients varies alike whether patients or random blocks of them are drawn, and the memory no
    longer grows with their number.
    """
    n_groups = int(groups.max()) + 1
    if n_groups <= _MOST_BLOCKS:
        return groups
    block_of = np.random.default_rng(seed).permutation(n_groups) % _MOST_BLOCKS
    return np.asarray(block_of[groups], dtype=np.intp)


def _means_of(figures: Floats, methods: Sequence[str]) -> Floats:
    """Return the plain mean of the normalised errors of each method, along the last but one axis.

    It is NaN where a column is lacking: a mean over fewer columns would not compare with the others.
    """
    errors = figures[..., 0]
    made: Floats = errors.reshape(*errors.shape[:-1], len(methods), -1).mean(axis=-1)
    return made


def _measured(sums: Floats, has_limit: NDArray[np.bool_]) -> Floats:
    made = measures_of(sums)
    made[..., _ACCEPTABLE] = np.where(has_limit, made[..., _ACCEPTABLE], np.nan)
    return made


def _column(truth: pd.Series[float], filled: pd.Series[float] | None, limit: Acceptable | None) -> Column:
    values = np.asarray(truth, dtype=np.float64)
    if filled is None:
        return Column(values, np.full(len(values), np.nan), np.zeros(len(values), dtype=bool))
    if filled.index.equals(truth.index):
        new, asked = np.asarray(filled, dtype=np.float64), np.ones(len(values), dtype=bool)
    else:
        new = np.asarray(filled.reindex(truth.index), dtype=np.float64)
        asked = np.asarray(truth.index.isin(filled.index), dtype=bool)
    return Column(values, new, asked, None if limit is None else limit.within(values, new))
