"""Whether a value fits its feature, and whether a number stands in the words quoted for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dallm.augment.verification.kinds import Refusal
from dallm.augment.verification.units import foreign, unit_named
from dallm.engines.base import CellValue
from dallm.engines.extractive.measure import _unit_at as unit_at
from dallm.features import Feature, normalise_name
from dallm.lexicon import Concept

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?")
_NEAR = 0.005  # of the value: what rounding loses between two units
_SPELT = {
    word: float(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
} | {
    word: 10.0 * number
    for number, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), 3)
}


class Stated(NamedTuple):
    """A number that words state: as written, in the feature's unit (None: it has another), and where."""

    written: float
    value: float | None
    unit: str | None
    start: int
    end: int


def plain(value: object) -> CellValue:
    """Return a value as Python has it, also where an array gave it."""
    item = getattr(value, "item", None)
    found = item() if callable(item) else value
    return found if found is None or isinstance(found, (bool, int, float, str)) else repr(found)


def misfit(value: CellValue, feature: Feature, concept: Concept) -> Refusal | None:
    """Return why a value is none of its feature: wrong type, unknown level, out of range.

    Examples
    --------
    >>> from dallm.lexicon import Lexicon
    >>> rate = Feature("heart rate", "numeric", unit="/min")
    >>> misfit(900.0, rate, Lexicon.default().concept_for(rate)).reason
    'range: the value lies outside 10 to 350 /min'
    """
    if feature.kind == "boolean":
        if isinstance(value, bool):
            return None
        return Refusal("value", "failed", "it is not true or false")
    if feature.kind == "numeric":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return Refusal("value", "failed", "it is not a finite number")
        low = _bound(feature.low, concept.low, float("-inf"))
        high = _bound(feature.high, concept.high, float("inf"))
        if low <= value <= high:
            return None
        found = f"the value lies outside {low:g} to {high:g} {feature.unit}"
        return Refusal("range", "failed", found)
    known = {normalise_name(level) for level in feature.levels or ()}
    if isinstance(value, str) and normalise_name(value) in known:
        return None
    return Refusal("value", "failed", f"it is none of the levels {', '.join(feature.levels or ())}")


def _bound(own: float | None, known: float | None, default: float) -> float:
    return own if own is not None else known if known is not None else default


def close(one: float, other: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return abs(one - other) <= max(_NEAR * max(abs(one), abs(other)), 1e-9)


def numbers_in(words: tuple[str, ...], concept: Concept) -> Iterator[Stated]:
    """Yield the numbers among words, each in the concept's unit.

    Examples
    --------
    >>> from dallm.engines.extractive.text import tokenise
    >>> from dallm.lexicon import Lexicon
    >>> heat = Lexicon.default().concept_for(Feature("temperature", "numeric", unit="degC"))
    >>> [(n.written, n.value, n.unit) for n in numbers_in(tokenise("febrile to 101.3 F").words, heat)]
    [(101.3, 38.5, 'F')]
    """
    at = 0
    while at < len(words):
        word = words[at]
        written = _SPELT.get(word)
        end = at + 1
        if (
            written is not None
            and written >= 20
            and words[end : end + 1]
            and 0 < _SPELT.get(words[end], 0) < 10
        ):
            written += _SPELT[words[end]]
            end += 1
        if written is None and _NUMBER.fullmatch(word):
            written = _read(word)
        if written is None:
            at += 1
            continue
        unit, after = unit_at(words, end, concept)
        if unit is None and after < len(words):
            unit = _named(words[after], concept)
            after += unit is not None
        yield Stated(written, _converted(written, unit, concept), unit, at, after)
        at = end


def _read(word: str) -> float:
    thousands = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", word)
    return float(word.replace(",", "" if thousands else "."))


def _named(word: str, concept: Concept) -> str | None:
    """The unit that a word is, where it is a known one: the concept's, one that leads to it, or another's."""
    named = unit_named(word)
    if named is None:
        return None
    if concept.unit is not None and named == unit_named(concept.unit):
        return concept.unit
    return named if named in concept.units or foreign(word, concept) else None


def _converted(written: float, unit: str | None, concept: Concept) -> float | None:
    if unit is None or unit == concept.unit:
        return written
    conversion = concept.units.get(unit)
    return None if conversion is None else conversion[0] * written + conversion[1]


def readings_of(stated: Stated, concept: Concept) -> Iterable[float]:
    """Return what a number may mean in the concept's unit: without a unit it may be in any known one."""
    if stated.unit is not None:
        return () if stated.value is None else (stated.value,)
    low = float("-inf") if concept.low is None else concept.low
    high = float("inf") if concept.high is None else concept.high
    if low <= stated.written <= high or not concept.units:
        return (stated.written,)
    return [scale * stated.written + shift for scale, shift in concept.units.values()]
