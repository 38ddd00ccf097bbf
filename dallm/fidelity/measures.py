"""What is measured of a filled column, with intervals from resampled patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEASURES = ("normalised_error", "mae", "bias", "correlation", "acceptable", "coverage", "unknown_rate")
"""Names of the measures, in the order of the report."""

_BLOCK = 1_000_000  # weights held at once

# What is summed per row, and from which every measure follows.
_SUMS = (
    "known",
    "truth",
    "truth2",
    "asked",
    "unknown",
    "filled",
    "error",
    "error_abs",
    "error2",
    "ok",
    "t",
    "f",
    "t2",
    "f2",
    "tf",
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One filled column beside what was measured, over all rows of the truth.

    Attributes
    ----------
    truth, filled : array of shape (rows,)
        NaN where nothing was measured, or nothing filled.
    asked : array of bool, shape (rows,)
        Which rows the filled table holds.
    ok : array of bool, shape (rows,), or None
        Where the difference is acceptable; None where no difference is defined.
    """

    truth: Floats
    filled: Floats
    asked: NDArray[np.bool_]
    ok: NDArray[np.bool_] | None = None


def sums_of(column: Column, groups: NDArray[np.intp], n_groups: int) -> Floats:
    """Sum over each group what the measures are made of.

    Returns
    -------
    array of shape (n_groups, 15)
    """
    known = ~np.isnan(column.truth)
    pairs = known & ~np.isnan(column.filled)
    centre = column.truth[known].mean()  # sums of squares around it lose no digits
    t = np.where(known, column.truth - centre, 0.0)
    f = np.where(pairs, column.filled - centre, 0.0)
    error = np.where(pairs, f - t, 0.0)
    paired = np.where(pairs, t, 0.0)
    ok = pairs & column.ok if column.ok is not None else np.zeros(len(t), dtype=bool)
    asked = column.asked & known
    rows: dict[str, Callable[[], NDArray[Any]]] = {
        "known": lambda: known,
        "truth": lambda: t,
        "truth2": lambda: t * t,
        "asked": lambda: asked,
        "unknown": lambda: asked & ~pairs,
        "filled": lambda: pairs,
        "error": lambda: error,
        "error_abs": lambda: np.abs(error),
        "error2": lambda: error * error,
        "ok": lambda: ok,
        "t": lambda: paired,
        "f": lambda: f,
        "t2": lambda: paired * paired,
        "f2": lambda: f * f,
        "tf": lambda: paired * f,
    }
    # made one after the other: all at once they are twice a table of six vitals
    weights = (np.asarray(rows[name](), dtype=np.float64) for name in _SUMS)
    return np.column_stack([np.bincount(groups, weights=one, minlength=n_groups) for one in weights])


def measures_of(sums: Floats) -> Floats:
    """Return the measures that follow from sums over rows.

    Parameters
    ----------
    sums : array of shape (..., 15)

    Returns
    -------
    array of shape (..., 7)
        In the order of :data:`MEASURES`, NaN where a measure is not defined.
    """
    s = {name: sums[..., i] for i, name in enumerate(_SUMS)}
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = s["truth2"] / s["known"] - (s["truth"] / s["known"]) ** 2
        n = s["filled"]
        shared = s["tf"] - s["t"] * s["f"] / n
        spread_t = s["t2"] - s["t"] ** 2 / n
        spread_f = s["f2"] - s["f"] ** 2 / n
        # A constant filling has no correlation; rounding leaves it a spread of some 1e-12 of its squares.
        flat = (spread_f <= 1e-10 * np.maximum(s["f2"], 1e-300)) | (spread_t <= 1e-10 * s["t2"]) | (n < 2)
        found = [
            s["error2"] / n / np.where(variance > 0, variance, np.nan),
            s["error_abs"] / n,
            s["error"] / n,
            np.where(flat, np.nan, shared / np.sqrt(np.where(flat, 1.0, spread_t * spread_f))),
            s["ok"] / n,
            n / s["known"],
            s["unknown"] / s["asked"],
        ]
    made = np.stack(found, axis=-1)
    made[~np.isfinite(made)] = np.nan
    return made


def counts_of(sums: Floats) -> tuple[int, int, int]:
    """Return how many rows were filled, asked and measured."""
    filled, asked, known = (round(float(sums[_SUMS.index(name)])) for name in ("filled", "asked", "known"))
    return filled, asked, known


def resampled(n_groups: int, times: int, seed: int) -> Iterator[Floats]:
    """Yield how often each group is drawn, in blocks of shape (draws, n_groups)."""
    rng = np.random.default_rng(seed)
    block = max(1, min(times, _BLOCK // max(n_groups, 1)))
    for start in range(0, times, block):
        draws = min(block, times - start)
        drawn = rng.integers(0, n_groups, size=(draws, n_groups))
        offsets = np.arange(draws)[:, None] * n_groups
        counts = np.bincount((drawn + offsets).ravel(), minlength=draws * n_groups)
        yield counts.reshape(draws, n_groups).astype(np.float64)


def interval(draws: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the percentile interval over the first axis, NaN where fewer than half of the draws count."""
    tail = (1 - confidence) / 2
    usable = np.isfinite(draws).sum(axis=0) * 2 >= len(draws)
    filler = np.where(usable, draws, 0.0)
    low, high = np.nanquantile(filler, [tail, 1 - tail], axis=0)
    return np.where(usable, low, np.nan), np.where(usable, high, np.nan)
