"""Measured values that cannot be right: found and named, so that they are not used in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dallm.errors import CohortError
from dallm.features import normalise_name
from dallm.vitals import Vital, known_vital

Floats = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

COLUMNS = ("column", "problem", "count", "rows", "detail")
_SHOWN_ROWS = 10
_WHICH_OF_SEVERAL = frozenset(
    "min max minimum maximum mean median avg average lowest highest worst first last initial baseline "
    "triage admission adm arrival ed er icu ward hosp hospital body patient pt vital vitals sign signs "
    "value raw measured degf degc fahrenheit celsius".split()
)


def inspect(values: dict[str, Floats], units: dict[str, str]) -> tuple[pd.DataFrame, dict[str, Mask]]:
    """Find impossible values in numeric columns.

    Parameters
    ----------
    values : dict of str to ndarray of shape (n_cases,)
        Column to its values, NaN where missing.
    units : dict of str to str
        Column to its declared unit.

    Returns
    -------
    quality : DataFrame
        One row per column and problem: column, problem (``not_finite``, ``looks_like_<unit>``,
        ``impossible``, ``pressures_swapped``), count, rows (the first ten positions), detail.
    bad : dict of str to ndarray of bool
        Column to the positions of values that are not to be used.
    """
    rows: list[dict[str, Any]] = []
    bad = {column: np.zeros(len(v), dtype=bool) for column, v in values.items()}

    def note(column: str, problem: str, where: Mask, detail: str) -> None:
        if where.any():
            bad[column] |= where
            first = tuple(int(r) for r in np.flatnonzero(where)[:_SHOWN_ROWS])
            found = (column, problem, int(where.sum()), first, detail)
            rows.append(dict(zip(COLUMNS, found, strict=True)))

    for column, v in values.items():
        infinite = np.isinf(v)
        note(column, "not_finite", infinite, f"{int(infinite.sum()):,} infinite values; set them to missing")
        vital = _measurement(column, units[column])
        if vital is not None:
            for problem, where, detail in _impossible(vital, column, v, units[column]):
                note(column, problem, where, detail)
    for high, low, where in _swapped(values, units, bad):
        for column in (high, low):
            note(
                column,
                "pressures_swapped",
                where,
                f"systolic pressure ({high!r}) is not above diastolic ({low!r}) in {int(where.sum()):,} of "
                f"{len(where):,} rows; neither value is used",
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"count": "int64"}), bad


def _measurement(column: str, unit: str) -> Vital | None:
    """Return what a column measures, also where its name says which of several values it holds."""
    vital = known_vital(column)
    if vital is not None:
        return vital
    words = normalise_name(column).split()
    plain = " ".join(w for w in words if w not in _WHICH_OF_SEVERAL)
    vital = known_vital(plain) if plain else None
    try:
        if vital is not None:
            vital.unit_of(unit)
    except CohortError:
        return None  # the name may mean something else; only a known name makes the unit a mistake
    return vital


def _impossible(vital: Vital, column: str, v: Floats, unit: str) -> list[tuple[str, Mask, str]]:
    declared = vital.unit_of(unit)
    low, high = vital.possible(unit)
    outside = np.isfinite(v) & ((v < low) | (v > high))
    present = int(np.isfinite(v).sum())
    found = []
    for other in vital.units:
        other_low, other_high = vital.possible(other.name)
        # where the two ranges overlap (years and months) a value says nothing about its unit
        if other == declared or (other_high >= low and other_low <= high):
            continue
        where = outside & (v >= other_low) & (v <= other_high)
        outside &= ~where
        count = int(where.sum())
        mend = (
            f"declare numeric={{{column!r}: {other.name!r}}}"
            if count > present / 2
            else f"convert them to {declared.name} or set them to missing"
        )
        detail = f"{count:,} of {present:,} values look like {other.name}; {mend}"
        found.append((f"looks_like_{other.name}", where, detail))
    count = int(outside.sum())
    detail = f"{count:,} of {present:,} values lie outside {low:g} to {high:g} {declared.name}"
    return [*found, ("impossible", outside, detail)]


def _swapped(
    values: dict[str, Floats], units: dict[str, str], bad: dict[str, Mask]
) -> list[tuple[str, str, Mask]]:
    """Return (systolic column, diastolic column, rows where systolic is not above diastolic)."""
    pairs: dict[str, list[tuple[str, Vital]]] = {"systolic": [], "diastolic": []}
    for column in values:
        vital = known_vital(column)
        if vital is not None and vital.name.endswith(" blood pressure"):
            pairs[vital.name.split()[0]].append((column, vital))
    if len(pairs["systolic"]) != 1 or len(pairs["diastolic"]) != 1:
        return []  # several of one kind: which belong together cannot be told
    (high, vital), (low, _) = pairs["systolic"][0], pairs["diastolic"][0]
    factor = vital.unit_of(units[high]).scale, vital.unit_of(units[low]).scale
    usable = ~(bad[high] | bad[low])
    return [(high, low, usable & (values[high] * factor[0] <= values[low] * factor[1]))]
