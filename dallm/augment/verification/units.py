"""Units behind a number, beyond those that the lexicon lists for its concepts."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from dallm.lexicon import Concept, Lexicon


class _Unit(NamedTuple):
    """A unit: ``base = scale * value + shift`` in the base unit of its dimension."""

    dimension: str
    scale: float
    shift: float
    spellings: tuple[str, ...]


def _unit(dimension: str, scale: float, spellings: str, shift: float = 0.0) -> _Unit:
    return _Unit(dimension, scale, shift, tuple(spellings.split()))


_UNITS = {
    "mm": _unit("length", 0.001, "mm millimeter millimetre"),
    "cm": _unit("length", 0.01, "cm cms centimeter centimetre"),
    "m": _unit("length", 1.0, "m meter metre"),
    "in": _unit("length", 0.0254, "inch inches"),
    "g": _unit("mass", 0.001, "g gram gramme"),
    "kg": _unit("mass", 1.0, "kg kilo kilogram kgs"),
    "lb": _unit("mass", 0.45359237, "lb lbs pound"),
    "mL": _unit("volume", 0.001, "ml cc milliliter millilitre"),
    "L": _unit("volume", 1.0, "l liter litre"),
    "min": _unit("time", 1 / 1440, "min mins minute"),
    "h": _unit("time", 1 / 24, "h hr hrs hour"),
    "d": _unit("time", 1.0, "d day"),
    "wk": _unit("time", 7.0, "wk wks week"),
    "mo": _unit("time", 30.4375, "mo mos month"),
    "years": _unit("time", 365.25, "y yr yrs yo year a"),
    "degC": _unit("temperature", 1.0, "c degc celsius centigrade °c"),
    "degF": _unit("temperature", 5 / 9, "f degf fahrenheit °f", -160 / 9),
    "%": _unit("share", 0.01, "% percent pct"),
    "mmHg": _unit("pressure", 1.0, "mmhg"),
}
_OF_SPELLING = {
    form: name for name, unit in _UNITS.items() for word in unit.spellings for form in (word, word + "s")
} | {name.lower(): name for name in _UNITS}


def unit_named(word: str) -> str | None:
    """Return the unit that a word spells.

    Examples
    --------
    >>> unit_named("Fahrenheit"), unit_named("weeks"), unit_named("effusion")
    ('degF', 'wk', None)
    """
    return _OF_SPELLING.get(word.lower())


def foreign(word: str, concept: Concept) -> bool:
    """Whether a word right behind a number makes it another quantity's than the concept's.

    Examples
    --------
    >>> heat = Concept("temperature", "numeric", "vital", unit="degC")
    >>> foreign("%", heat), foreign("c", heat), foreign("today", heat)
    (True, False, False)
    """
    named = unit_named(word)
    if named is None or concept.unit is None or concept.unit == "1":
        return False
    own = unit_named(concept.unit)
    if own is not None:
        return _UNITS[own].dimension != _UNITS[named].dimension
    # of a unit not known here ("g/dL", "/min") only what is no part of it tells
    return len(named) > 1 and named.lower() not in concept.unit.lower()


@lru_cache(maxsize=4_096)
def _conversions(unit: str) -> tuple[tuple[str, tuple[float, float]], ...]:
    own = _UNITS[unit]
    return tuple(
        (name, (other.scale / own.scale, (other.shift - own.shift) / own.scale))
        for name, other in _UNITS.items()
        if other.dimension == own.dimension and name != unit
    )


def with_units(concept: Concept) -> Concept:
    """Return the concept with the units of its dimension that the lexicon does not list.

    Examples
    --------
    >>> with_units(Concept("nodule size", "numeric", "imaging finding", unit="mm")).units["cm"]
    (10.0, 0.0)
    """
    own = unit_named(concept.unit) if concept.unit else None
    if concept.kind != "numeric" or own is None:
        return concept
    return replace(concept, units={**dict(_conversions(own)), **concept.units})


def with_range(concept: Concept, lexicon: Lexicon) -> Concept:
    """Return the concept with the lexicon's range, brought into the unit that the feature has.

    Examples
    --------
    >>> from dallm.features import Feature
    >>> lexicon = Lexicon.default()
    >>> heat = lexicon.concept_for(Feature("temperature", "numeric", unit="degC"))
    >>> heat.low, round(with_range(heat, lexicon).low)
    (None, 24)
    """
    known = lexicon.find(concept.name)
    if known is None or known.unit == concept.unit or known.unit not in concept.units:
        return concept
    scale, shift = concept.units[known.unit]
    low, high = (None if bound is None else scale * bound + shift for bound in (known.low, known.high))
    own_low, own_high = concept.low, concept.high
    return replace(
        concept, low=low if own_low is None else own_low, high=high if own_high is None else own_high
    )
