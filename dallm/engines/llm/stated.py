"""One stated value: from JSON or from words, typed as its feature, or not read at all."""

from __future__ import annotations

import functools
import math
import re
from typing import Any, NamedTuple

from dallm.engines.base import CellValue
from dallm.errors import CohortError
from dallm.features import Feature, normalise_name
from dallm.vitals import known_vital

_TOO_LARGE = 10**300  # beyond it an integer is no float


class NotAValueError(ValueError):
    """What stands there is no value of the feature; the text says what was expected."""


class Stated(NamedTuple):
    """A value and the words that follow it; `reasoned` if "because" stands between them."""

    value: CellValue
    rest: str
    reasoned: bool


_BLANKS = r"[\s_\-\u2010-\u2015]+"  # what normalise_name takes for one space
_NOTHING = (
    r"null|nil|none|unknown|unspecified|undocumented|n/a|<na>|"
    r"not[\s_]+(?:stated|documented|mentioned|specified|reported|given|known|available|applicable)"
)
_WHOLE_NOTHING = re.compile(_NOTHING, re.IGNORECASE)
_OPENERS = r"[\s*_`{\[(\"'“‘]*"
_CLOSERS = r"[ \t*_`}\])\"'”’]*+"
_END = r"(?:\s*$|\s*[,;:]|\s*\.(?=\s|$)|\s*\n|\s*(?=\()|\s*-\s|\s*[–—]|\s*(?=\bbecause\b))"
_BECAUSE = re.compile(r"[\s,;.:]*\bbecause\b(?:\s+of\b)?\s*[:,]?\s*", re.IGNORECASE)
_NUMBER = re.compile(
    _OPENERS
    + r"(?P<number>[+\-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?!\d|\.\d))"
)
_AFTER_NUMBER = re.compile(r",?\s{0,8}\bbecause\b|,\s|;|\n|\s\(|\s[-–—]\s|$", re.IGNORECASE)


def value_of(feature: Feature, raw: Any) -> CellValue:
    """Return the value that JSON gives for a feature; None where it is not stated.

    Raises
    ------
    NotAValueError
        If it is no value of the feature.

    Examples
    --------
    >>> value_of(Feature("fever", "boolean"), True), value_of(Feature("fever", "boolean"), "{True}")
    (True, True)
    >>> value_of(Feature("temperature", "numeric", unit="degC"), "101.3 F")
    38.5
    >>> value_of(Feature("fever", "boolean"), "true/false")
    Traceback (most recent call last):
    ...
    dallm.engines.llm.stated.NotAValueError: is not true, false or null
    """
    if raw is None:
        return None
    kind = feature.kind
    if kind == "boolean":
        if raw is True or raw is False:
            return bool(raw)
    elif kind == "numeric":
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            if -_TOO_LARGE < raw < _TOO_LARGE:  # false for NaN too
                return float(raw)
            raise NotAValueError(expected(feature))
    elif isinstance(raw, str) and feature.levels and raw in feature.levels:
        return raw
    if not isinstance(raw, str):
        raise NotAValueError(expected(feature))
    stated = stated_in(feature, raw)
    if stated.rest and not stated.reasoned:
        raise NotAValueError(expected(feature))
    return stated.value


def stated_in(feature: Feature, text: str) -> Stated:
    """Return the value with which a text begins, and what follows it.

    Bold, braces, brackets and quotation marks around the value do not matter. A text that offers a choice
    ("true/false", "mild to moderate") states none.

    Raises
    ------
    NotAValueError
        If the text does not begin with exactly one value of the feature.

    Examples
    --------
    >>> stated_in(Feature("fever", "boolean"), "**True**, because she says so")
    Stated(value=True, rest='she says so', reasoned=True)
    >>> stated_in(Feature("rate", "numeric", unit="/min"), "22 /min because it was counted").value
    22.0
    """
    choice = _choice(feature.levels if feature.kind in ("ordinal", "categorical") else None)
    pattern = _nothing() if feature.kind == "numeric" else choice
    found = pattern.match(text)
    if found is None:
        if feature.kind == "numeric":
            return _number_in(feature, text)
        raise NotAValueError(expected(feature))
    rest = text[found.end() :]
    stated = _reason(_named(feature, found["value"]), rest)
    if not stated.reasoned and _another(feature).match(rest):
        raise NotAValueError(expected(feature))
    return stated


def expected(feature: Feature) -> str:
    """Say what was expected of a feature's value."""
    if feature.kind == "boolean":
        return "is not true, false or null"
    if feature.kind == "numeric":
        unit = "" if feature.unit in (None, "1") else f" in {feature.unit}"
        return f"is no number{unit} and not null"
    return f"is none of {', '.join(feature.levels or ())}, and not null"


def spelling(name: str) -> str:
    """Return a pattern for a name as :func:`normalise_name` compares names, case aside."""
    words = filter(None, re.split(_BLANKS, name))
    return f"{_BLANKS}".join(map(re.escape, words))


def in_unit_of(feature: Feature, value: float, unit: str) -> float | None:
    """Return a number with a unit in the unit of its feature; None where that unit is not known.

    Examples
    --------
    >>> in_unit_of(Feature("temp", "numeric", unit="degF"), 38.5, "°C")
    101.3
    >>> in_unit_of(Feature("age", "numeric", unit="years"), 65, "year old")
    65
    """
    own = feature.unit or ""
    if _squeezed(unit) == _squeezed(own):
        return value
    for name in (feature.name, *feature.aliases):
        vital = known_vital(name)
        if vital is None:
            continue
        try:
            return round(vital.convert(value, unit, to=own), 6)
        except CohortError:
            return None
    return None


def _number_in(feature: Feature, text: str) -> Stated:
    found = _NUMBER.match(text)
    if found is None:
        raise NotAValueError(expected(feature))
    end = _AFTER_NUMBER.search(text, found.end())
    stop = end.start() if end is not None else len(text)
    unit = re.sub(r"[\s*_`}\])\"'”’]+$", "", re.sub(r"^[\s*_`}\])\"'”’]+", "", text[found.end() : stop]))
    unit = unit.removesuffix(".").strip()
    value = float(found["number"].replace(",", "").replace("−", "-"))
    converted = in_unit_of(feature, value, unit) if unit else value
    if converted is None or not math.isfinite(converted):
        raise NotAValueError(expected(feature))
    rest = text[stop:]
    stated = _reason(float(converted), rest)
    if not stated.reasoned and _ANOTHER_NUMBER.match(rest):
        raise NotAValueError(expected(feature))
    return stated


_ANOTHER_NUMBER = re.compile(r"[\s,;]*+(?:(?:or|and|to)\b)?\s*+[-–—(]?\s*\d", re.IGNORECASE)


def _reason(value: CellValue, rest: str) -> Stated:
    because = _BECAUSE.match(rest)
    if because is not None:
        return Stated(value, rest[because.end() :].strip(), True)
    return Stated(value, rest.lstrip(" \t\n,;.–—-").rstrip(), False)


def _named(feature: Feature, word: str) -> CellValue:
    key = normalise_name(word)
    if feature.kind == "boolean" and key in ("true", "false"):
        return key == "true"
    for level in feature.levels or ():
        if normalise_name(level) == key:
            return level
    if _WHOLE_NOTHING.fullmatch(word) is None:  # letters that are equal in one sense and not in the other
        raise NotAValueError(expected(feature))
    return None


@functools.lru_cache(maxsize=512)
def _choice(levels: tuple[str, ...] | None) -> re.Pattern[str]:
    return re.compile(f"{_OPENERS}(?P<value>{_alternatives(levels)})(?!\\w){_CLOSERS}{_END}", re.IGNORECASE)


@functools.lru_cache(maxsize=1)
def _nothing() -> re.Pattern[str]:
    return re.compile(f"{_OPENERS}(?P<value>{_NOTHING})(?!\\w){_CLOSERS}{_END}", re.IGNORECASE)


def _another(feature: Feature) -> re.Pattern[str]:
    return _another_of(feature.levels if feature.kind in ("ordinal", "categorical") else None)


@functools.lru_cache(maxsize=512)
def _another_of(levels: tuple[str, ...] | None) -> re.Pattern[str]:
    """What makes of a stated value an offer: a second one right behind it."""
    return re.compile(
        rf"[\s,;(]*+(?:(?:or|and|to|but)\b|[/|])?{_OPENERS}(?:{_alternatives(levels)})(?=\W*$|\s*[,.;/|)]|\s+because\b)"
        r"|[\s,;(]*+or\b",
        re.IGNORECASE,
    )


def _alternatives(levels: tuple[str, ...] | None) -> str:
    words = sorted(levels or ("true", "false"), key=len, reverse=True)
    return "|".join((*map(spelling, words), _NOTHING))


def _squeezed(unit: str) -> str:
    plain = re.sub(r"[\s.]+", "", unit).casefold().replace("μ", "µ")
    return plain.removesuffix("old").removesuffix("s")
