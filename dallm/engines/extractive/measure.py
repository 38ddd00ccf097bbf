"""Numbers beside the words that name them: "saturating 92 % on room air", "BP 120/80", "temp 38.2 C"."""

from __future__ import annotations

import re
from typing import NamedTuple

from dallm.engines.extractive.text import Tokens
from dallm.lexicon import Concept

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+(?:[.,]\d+)?")
_REACH = 6  # words between a name and its number
_STOPS = frozenset((";", "and", "with", "but"))
_LINKS = frozenset(
    "is was of at to a an the = : around about approximately approx measured measuring measures in on reading read "
    "recorded found came back level value up down ~ > < currently now today initially noted , sat sats".split()
)
_UNIT_NAMES: dict[str, tuple[str, ...]] = {
    "%": ("%", "percent", "per cent", "pct"),
    "degF": ("f", "degf", "fahrenheit", "° f", "degrees f", "degrees fahrenheit", "deg f"),
    "degC": ("c", "degc", "celsius", "° c", "degrees c", "degrees celsius", "deg c", "centigrade"),
    "/min": ("bpm", "/ min", "per minute", "beats per minute", "breaths per minute", "a minute"),
    "mmHg": ("mmhg", "mm hg"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre", "centimetres", "cms"),
    "years": ("year", "years", "yo", "y / o", "yr", "yrs", "year old", "years old", "y", "yrs old"),
}


class Measurement(NamedTuple):
    """A value in the concept's unit, and the tokens that state it."""

    value: float
    start: int
    end: int


def measure(tokens: Tokens, start: int, end: int, concept: Concept) -> Measurement | None:
    """Return the number that belongs to the mention of a numeric concept, converted to its unit.

    The number follows the name within a few linking words, or stands right before it with its unit. A number
    outside the concept's possible range, or one with another quantity's unit, is none.
    """
    words = tokens.words
    pair = _pair_part(concept)
    at = end
    while at < min(len(words), end + _REACH):
        word = words[at]
        if _NUMBER.fullmatch(word):
            return _reading(words, at, concept, pair)
        if word in _STOPS or (word not in _LINKS and not word.isalpha()):
            break
        at += 1
    for at in range(start - 1, max(-1, start - 4), -1):
        if _NUMBER.fullmatch(words[at]):
            found = _reading(words, at, concept, pair)
            # before the name only a number with its unit counts: "chest 2 views" is no chest of 2
            return found if found is not None and found.end > at + 1 else None
        if words[at] in _STOPS or words[at] == ",":
            break
    return None


def _pair_part(concept: Concept) -> int | None:
    if concept.unit != "mmHg":
        return None
    return 0 if concept.name.startswith("systolic") else 1 if concept.name.startswith("diastolic") else None


def _number(word: str) -> float:
    if re.fullmatch(r"\d{1,3}(,\d{3})+", word):
        return float(word.replace(",", ""))
    return float(word.replace(",", "."))


def _reading(words: tuple[str, ...], at: int, concept: Concept, pair: int | None) -> Measurement | None:
    value, end = _number(words[at]), at + 1
    if end + 1 < len(words) and words[end] == "/" and _NUMBER.fullmatch(words[end + 1]):
        if pair is None:
            return None
        if pair == 1:
            value = _number(words[end + 1])
        end += 2
    unit, end = _unit_at(words, end, concept)
    if unit is None:
        converted = _convert(value, concept)
    elif unit == concept.unit:
        converted = value
    else:
        scale, shift = concept.units[unit]
        converted = scale * value + shift
    if converted is None or not _possible(converted, concept):
        return None
    return Measurement(round(converted, 4), at, end)


def _unit_at(words: tuple[str, ...], end: int, concept: Concept) -> tuple[str | None, int]:
    for unit in (concept.unit, *concept.units):
        if unit is None:
            continue
        for name in (
            *_UNIT_NAMES.get(unit, ()),
            " ".join(re.findall(r"[^\W\d_]+|[^\w\s]|\d+", unit.lower())),
        ):
            parts = tuple(name.split())
            if parts and words[end : end + len(parts)] == parts:
                return unit, end + len(parts)
    return None, end


def _convert(value: float, concept: Concept) -> float | None:
    """A number without unit is in the concept's own, or in the one other unit in which it is possible."""
    if _possible(value, concept):
        return value
    for scale, shift in concept.units.values():
        if _possible(scale * value + shift, concept):
            return scale * value + shift
    return None


def _possible(value: float, concept: Concept) -> bool:
    low = concept.low if concept.low is not None else float("-inf")
    high = concept.high if concept.high is not None else float("inf")
    return low <= value <= high
