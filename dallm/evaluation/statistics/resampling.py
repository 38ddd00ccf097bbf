"""Bootstrap of out-of-fold predictions: patients are drawn, their cases stay together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.evaluation.fits import METRICS
from dallm.evaluation.metrics import SMALLER_IS_BETTER, resampled_metrics
from dallm.evaluation.predictions import grouped
from dallm.evaluation.running.room import give_back
from dallm.evaluation.scores import MACRO, POOLED, check_predictions
from dallm.evaluation.statistics.part import MOST_CASES, aligned, narrowed, part_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dallm.evaluation.predictions import Positions

    Floats = NDArray[np.floating]

RESAMPLES = 2000
"""How many resamples an interval rests on, unless told otherwise."""

_CHUNK_BYTES = 32_000_000  # of weights held at once
_UNIT = ["feature_set", "model", "target"]


class Draws(NamedTuple):
    """What resampling gave.

    Attributes
    ----------
    rows : DataFrame
        ``feature_set``, ``model``, ``target`` (with ``macro`` and ``pooled``), one row per combination.
    metrics : tuple of str
    values : array, shape (n_rows, n_metrics, n_resamples)
        The mean over repeats and folds of the metric, in each resample.
    points : array, shape (n_rows, n_metrics)
        The same of the predictions as they are.
    """

    rows: pd.DataFrame
    metrics: tuple[str, ...]
    values: NDArray[np.float64]
    points: NDArray[np.float64]


def draw(
    predictions: pd.DataFrame,
    groups: pd.Series | None,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    pooled: bool = True,
) -> Draws:
    """Return every metric over resamples of the patients.

    Of more cases than :data:`.part.MOST_CASES` the patients of a random part are resampled, and the spread
    is brought to that of all (:mod:`.part`).

    All feature sets, models, targets and repeats see the same resamples, so that differences and means may
    be taken resample by resample. What is resampled is the very figure of the tables: the metric of each test
    fold, averaged over folds and repeats (folds that a resample leaves without a class do not count).

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`.
    groups : Series or None
        The patient of each case, in the order of the inputs; without it each case is a patient of its own.
    metrics : sequence of str
    resamples, seed : int
    pooled : bool
        Whether macro and pooled are wanted too.

    Raises
    ------
    UserError
        If there are fewer than two resamples or the groups are fewer than the cases.

    Examples
    --------
    >>> frame = pd.DataFrame({"feature_set": "a", "model": "tree", "target": "finding", "repeat": 0,
    ...                       "fold": 0, "row": [0, 1, 2], "truth": [True, False, True],
    ...                       "probability": [0.9, 0.2, 0.4], "decision": [True, False, False]})
    >>> draw(frame, None, metrics=["accuracy"], resamples=50).values.shape
    (3, 1, 50)
    """
    check_predictions(predictions)
    if resamples < 2:
        raise UserError(f"An interval needs at least two resamples; got {resamples}. Use {RESAMPLES}.")
    cases = int(predictions["row"].max()) + 1 if len(predictions) else 0
    if groups is not None and len(groups) < cases:
        raise UserError(
            f"Groups stand for {len(groups)} cases, predictions for {cases}; pass those of all cases."
        )
    patients = np.arange(cases) if groups is None else numbered(groups)
    units = _Units(predictions, tuple(metrics), pooled)
    points = units.values(np.ones((len(patients), 1)))[:, :, 0]
    if len(patients) > MOST_CASES:
        part = part_of(predictions, patients, seed)
        give_back()
        drawn = _Units(part.predictions, tuple(metrics), pooled)
        shares = patient_weights(part.patients, resamples, seed, part.others)
        found = np.concatenate([drawn.values(weights) for weights in shares], axis=2)
        spread = narrowed(found, part.narrower)
        return Draws(units.rows, units.metrics, aligned(units.rows, drawn.rows, spread), points)
    values = [units.values(weights) for weights in patient_weights(patients, resamples, seed)]
    return Draws(units.rows, units.metrics, np.concatenate(values, axis=2), points)


def intervals(
    predictions: pd.DataFrame,
    groups: pd.Series | None,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return each metric with its interval by resampling patients.

    The interval holds the middle `level` of the resampled values, moved so that their mean is the figure
    itself (resampled folds have fewer distinct cases, which shifts F1 and the calibration error), and ends
    at the bounds of the metric. Where the resampled values are so lopsided that their mean lies outside of
    their middle, it is stretched to the figure; it always holds it. Folds that a resample leaves without the
    classes that a metric needs do not count. It says how sure the figure is for the models as they were
    fitted; how much another training sample would change it, the comparisons allow for.

    Parameters
    ----------
    predictions, groups, metrics, resamples, seed
        As in :func:`draw`.
    level : float

    Returns
    -------
    DataFrame
        Columns ``feature_set``, ``model``, ``target``, ``metric``, ``value``, ``low``, ``high``.

    Examples
    --------
    >>> frame = pd.DataFrame({"feature_set": "a", "model": "tree", "target": "finding", "repeat": 0,
    ...                       "fold": 0, "row": range(4), "truth": [True, False, True, False],
    ...                       "probability": [0.9, 0.2, 0.4, 0.1], "decision": [True, False, False, False]})
    >>> intervals(frame, None, metrics=["accuracy"]).iloc[0].to_dict()["value"]
    0.75
    """
    return intervals_of(draw(predictions, groups, metrics=metrics, resamples=resamples, seed=seed), level)


def intervals_of(draws: Draws, level: float = 0.95) -> pd.DataFrame:
    """Return the intervals of what was drawn already; see :func:`intervals`."""
    low, high = centred_limits(draws.values, draws.points, level)
    tidy = draws.rows.loc[draws.rows.index.repeat(len(draws.metrics))].reset_index(drop=True)
    tidy["metric"] = np.tile(np.asarray(draws.metrics, dtype=object), len(draws.rows))
    tidy["value"] = draws.points.reshape(-1)
    tidy["low"], tidy["high"] = np.clip(low, 0, 1).reshape(-1), np.clip(high, 0, 1).reshape(-1)
    return tidy


def centred_limits(
    values: NDArray[np.float64], points: NDArray[np.float64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle `level` of the last axis, moved so that its mean is the point, which it holds.

    Examples
    --------
    >>> low, high = centred_limits(np.array([[1.0] * 99 + [0.8], [0.5] * 100]), np.array([0.8, 0.5]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.8, 0.5], [0.802, 0.5])
    """
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    sums = np.where(known, values, 0.0).sum(axis=-1)
    mean = np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.where(count[..., None] > 0, values, 0.0), ends, axis=-1)
    gaps = (count > 0) & (count < values.shape[-1])  # without the values that are not defined
    if gaps.any():
        low[gaps], high[gaps] = np.nanquantile(values[gaps], ends, axis=-1)
    moved = points - mean
    return np.minimum(low + moved, points), np.maximum(high + moved, points)


def patient_weights(
    patients: NDArray[np.intp], resamples: int, seed: int, others: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield how often each case stands in each resample, some resamples at a time.

    Parameters
    ----------
    patients : array of int, shape (n_cases,)
        From 0.
    resamples, seed : int
    others : int, optional
        Patients beside these, who are drawn too and have no case here; with it fewer resamples at a time.

    Yields
    ------
    array of float32, shape (n_cases, n)
        Rows of one patient are equal; each column draws as many patients as there are.

    Examples
    --------
    >>> weights = next(patient_weights(np.array([0, 0, 1]), 4, seed=0))
    >>> weights.shape, bool((weights[0] == weights[1]).all()), set(weights[1] + weights[2])
    ((3, 4), True, {np.float32(2.0)})
    """
    n = int(patients.max()) + 1 if len(patients) else 0
    rng = np.random.default_rng(seed)
    room = _CHUNK_BYTES if others is None else _CHUNK_BYTES // 4
    step = max(1, min(resamples, room // (4 * max(1, len(patients)))))
    for start in range(0, resamples, step):
        width = min(step, resamples - start)
        if others is not None:
            counts = np.empty((width, n), dtype=np.float32)
            for row in counts:
                row[:] = np.bincount(
                    rng.integers(0, n, rng.binomial(n + others, n / (n + others))), minlength=n
                )
            yield np.ascontiguousarray(counts.T)[patients]
            continue
        drawn = rng.integers(0, n, size=(width, n)) + np.arange(width)[:, None] * n
        times = np.bincount(drawn.reshape(-1), minlength=width * n).reshape(width, n)
        yield np.ascontiguousarray(times.T.astype(np.float32))[patients]


def gain(metric: str) -> int:
    """Return 1 for metrics that are better when larger, -1 for the others.

    Examples
    --------
    >>> gain("f1"), gain("brier")
    (1, -1)
    """
    return -1 if metric in SMALLER_IS_BETTER else 1


def numbered(groups: pd.Series) -> NDArray[np.intp]:
    """Return the patients as numbers from 0; a case without one is a patient of its own."""
    codes, _ = pd.factorize(groups)
    lone = np.flatnonzero(codes < 0)
    codes[lone] = codes.max(initial=-1) + 1 + np.arange(len(lone))
    return np.asarray(codes, dtype=np.intp)


class _Units:
    """The predictions, laid out so that a resample of all of them is a few loops over test folds."""

    def __init__(self, predictions: pd.DataFrame, metrics: tuple[str, ...], pooled: bool) -> None:
        self.metrics = metrics
        row = predictions["row"].to_numpy()
        self._row = row if row.dtype.kind == "i" else row.astype(np.intp)
        self._truth = predictions["truth"].to_numpy(dtype=bool)
        self._probability = predictions["probability"].to_numpy(dtype=float)
        self._decision = predictions["decision"].to_numpy(dtype=bool)
        folds = grouped(predictions, [*_UNIT, "repeat", "fold"])
        self._folds: dict[tuple[str, ...], list[Positions]] = {}
        for key, where in folds.items():
            self._folds.setdefault(key[:3], []).append(where)
        names = list(self._folds)
        self._pooled: dict[tuple[str, ...], list[Positions]] = {}
        if pooled:
            for key, where in grouped(predictions, ["feature_set", "model", "repeat"]).items():
                self._pooled.setdefault((*key[:2], POOLED), []).append(where)
        self._macros = list(dict.fromkeys(key[:2] for key in names)) if pooled else []
        everything = [*names, *((*pair, MACRO) for pair in self._macros), *self._pooled]
        self.rows = pd.DataFrame(everything, columns=_UNIT)

    def values(self, weights: Floats) -> NDArray[np.float64]:
        """Return the mean of every metric over folds and repeats, shape (rows, metrics, resamples)."""
        singles = {key: self._mean(folds, weights) for key, folds in self._folds.items()}
        macros = [
            _mean_of_known([values for key, values in singles.items() if key[:2] == pair])
            for pair in self._macros
        ]
        pooled = [self._mean(folds, weights) for folds in self._pooled.values()]
        return np.stack([*singles.values(), *macros, *pooled])

    def _mean(self, folds: list[Positions], weights: Floats) -> NDArray[np.float64]:
        total = np.zeros((len(self.metrics), weights.shape[1]))
        count = np.zeros_like(total)
        for where in folds:
            found = resampled_metrics(
                self._truth[where],
                self._probability[where],
                self._decision[where],
                weights[self._row[where]],
                self.metrics,
            )
            for i, name in enumerate(self.metrics):
                known = ~np.isnan(found[name])
                total[i] += np.where(known, found[name], 0.0)
                count[i] += known
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _mean_of_known(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of what is not NaN, NaN where nothing is."""
    stacked = np.stack(parts)
    known = ~np.isnan(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
