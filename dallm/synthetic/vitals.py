"""Synthetic vital signs: a person's baseline, moved by the reason of the visit and by single findings."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dallm.resources import data_path

# Name: unit, mean and spread between people, spread within a person, lowest and highest value made.
_RANGES: dict[str, tuple[str, float, float, float, float, float]] = {
    "temperature": ("degF", 98.1, 0.35, 0.35, 95.4, 106.0),
    "heartrate": ("/min", 78.0, 10.0, 6.0, 40.0, 175.0),
    "resprate": ("/min", 16.5, 1.4, 1.2, 9.0, 44.0),
    "o2sat": ("%", 98.2, 0.9, 0.8, 70.0, 100.0),
    "sbp": ("mmHg", 126.0, 14.0, 9.0, 72.0, 240.0),
    "dbp": ("mmHg", 75.0, 8.0, 6.0, 38.0, 135.0),
}
VITALS = tuple(_RANGES)
UNITS = {name: entry[0] for name, entry in _RANGES.items()}
_MISSING_ALONE = 0.03  # chance that one vital was not written down, beside visits without any

# The reports' words follow these, so that no one is called febrile at 98 F. 100.4 F is the fever of the
# Infectious Diseases Society of America; the two saturations are this cohort's convention.
FEVER_F = 100.4
HYPOXEMIA_BELOW = 92.0


@cache
def _effects() -> dict[str, dict[str, tuple[float, float]]]:
    table: dict[str, Any] = tomllib.loads(
        data_path("synthetic", "conditions.toml").read_text(encoding="utf-8")
    )
    return {f: {v: (m, s) for v, (m, s) in moves.items()} for f, moves in table["effect"].items()}


def make_vitals(
    rng: np.random.Generator,
    base: NDArray[np.float64],
    age: NDArray[np.float64],
    shift: NDArray[np.float64],
    present: NDArray[np.bool_],
    features: tuple[str, ...],
    missing: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Make the vitals of one visit.

    Parameters
    ----------
    base : (patient, vital) standard normal; each person's own deviation
    age : (patient,) years
    shift : (patient, vital) mean shift of the reason for the visit, in the vital's unit
    present : (patient, feature) findings
    features : names of the findings
    missing : (patient,) chance that no vital was written down

    Returns
    -------
    values, measured : (patient, vital)
        Values in the units of :data:`UNITS`, rounded as charted; which of them were written down.
    """
    _, mean, between, within, low, high = (np.array(x) for x in zip(*_RANGES.values(), strict=True))
    severity = rng.uniform(0.3, 1.7, (len(age), 1))
    noise = rng.standard_normal(base.shape)
    values = mean + between * base + shift * severity + within * noise
    at = {name: i for i, name in enumerate(VITALS)}
    values[:, at["sbp"]] += 0.35 * (age - 55)
    for feature, moves in _effects().items():
        has = present[:, features.index(feature)]
        for vital, (move, spread) in moves.items():
            values[:, at[vital]] += has * rng.normal(move, spread, len(age))
    fever, hypoxemia = (present[:, features.index(f)] for f in ("fever", "hypoxemia"))
    t, o, s, d = (at[v] for v in ("temperature", "o2sat", "sbp", "dbp"))
    values[:, t] = np.where(
        fever, np.maximum(values[:, t], FEVER_F + 0.1), np.minimum(values[:, t], FEVER_F - 0.2)
    )
    beside = rng.uniform(0, 3, len(age))  # beside the limit, so that values do not pile up on it
    low_side = np.where(values[:, o] >= HYPOXEMIA_BELOW, HYPOXEMIA_BELOW - 1 - beside, values[:, o])
    high_side = np.where(values[:, o] < HYPOXEMIA_BELOW, HYPOXEMIA_BELOW + beside, values[:, o])
    values[:, o] = np.where(hypoxemia, np.minimum(low_side, HYPOXEMIA_BELOW - 1), high_side)
    values[:, d] = np.minimum(values[:, d], values[:, s] - 18)
    values = np.clip(values, low, high)
    values = np.where(np.arange(len(VITALS)) == t, np.round(values, 1), np.round(values))
    nothing = rng.random(len(age)) < missing
    measured = ~nothing[:, None] & (rng.random(base.shape) >= _MISSING_ALONE)
    return values, measured
