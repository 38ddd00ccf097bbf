"""Measurements known by their column's name: units, conversion, and what a living person can show.

The table is ``data/vitals.toml``; its bounds are the project's convention and may be edited.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dallm.errors import CohortError, did_you_mean
from dallm.features import normalise_name
from dallm.resources import data_path


@dataclass(frozen=True)
class Unit:
    """A unit of a measurement: ``canonical = value * scale + offset``."""

    name: str
    aliases: tuple[str, ...] = ()
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Vital:
    """A measurement that is recognised by its column's name.

    Parameters
    ----------
    name : str
        For example ``"temperature"``.
    aliases : tuple of str
        Other names of its column.
    low, high : float
        Bounds of what can be, in the canonical unit, both allowed.
    units : tuple of Unit
        The canonical unit first.
    """

    name: str
    aliases: tuple[str, ...]
    low: float
    high: float
    units: tuple[Unit, ...]

    @property
    def unit(self) -> str:
        """The canonical unit."""
        return self.units[0].name

    def unit_of(self, text: str) -> Unit:
        """Return the unit that `text` spells.

        Raises
        ------
        CohortError
            If the measurement is not known in that unit.

        Examples
        --------
        >>> known_vital("temp").unit_of("Fahrenheit").name
        'degF'
        """
        spelt = _squeezed(text)
        for unit in self.units:
            if spelt in map(_squeezed, (unit.name, *unit.aliases)):
                return unit
        names = [u.name for u in self.units]
        spellings = [s for u in self.units for s in (u.name, *u.aliases)]
        raise CohortError(
            f"{text!r} is no unit of {self.name} that dallm knows; use one of {names}."
            f"{did_you_mean(text, spellings)}"
        )

    def convert(self, value: float, unit: str, to: str | None = None) -> float:
        """Return `value` in another unit (the canonical one by default).

        Examples
        --------
        >>> round(known_vital("temperature").convert(100.4, "degF"), 1)
        38.0
        >>> round(known_vital("temperature").convert(38, "degC", to="degF"), 1)
        100.4
        """
        start = self.unit_of(unit)
        end = self.units[0] if to is None else self.unit_of(to)
        return (value * start.scale + start.offset - end.offset) / end.scale

    def possible(self, unit: str) -> tuple[float, float]:
        """Return the lowest and the highest possible value in `unit`, both allowed.

        Examples
        --------
        >>> known_vital("o2sat").possible("fraction")
        (0.2, 1.0)
        """
        spelt = self.unit_of(unit)
        low, high = ((bound - spelt.offset) / spelt.scale for bound in (self.low, self.high))
        return round(low, 6), round(high, 6)  # a bound itself must pass, whatever its conversion loses


@functools.cache
def vitals() -> tuple[Vital, ...]:
    """Return every known measurement, in the order of the table."""
    with data_path("vitals.toml").open("rb") as file:
        table = tomllib.load(file)
    return tuple(_vital(entry) for entry in table["vital"])


def known_vital(column: str) -> Vital | None:
    """Return the measurement that a column's name says it holds, or None.

    Case, ``_``, ``-``, spaces and a bracketed unit do not matter.

    Examples
    --------
    >>> known_vital("SpO2 (%)").name, known_vital("HEART_RATE").name, known_vital("shoe_size")
    ('oxygen saturation', 'heart rate', None)
    """
    return _by_name().get(normalise_name(re.sub(r"[(\[].*?[)\]]", " ", column)))


@functools.cache
def _by_name() -> Mapping[str, Vital]:
    return {normalise_name(name): vital for vital in vitals() for name in (vital.name, *vital.aliases)}


def _vital(entry: dict[str, Any]) -> Vital:
    units = tuple(
        Unit(u["name"], tuple(u.get("aliases", ())), float(u.get("scale", 1)), float(u.get("offset", 0)))
        for u in entry["units"]
    )
    return Vital(entry["name"], tuple(entry["aliases"]), float(entry["low"]), float(entry["high"]), units)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).casefold().replace("μ", "µ")
