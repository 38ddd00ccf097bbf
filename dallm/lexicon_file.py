"""What a lexicon file holds: the ``Concept`` record, and reading and checking a file of them.

A file is TOML or JSON with a list ``concept`` and, if wanted, a table ``groups`` of words for patterns.
Everything is checked on reading: an error names the file, the concept and the field.
"""

from __future__ import annotations

import functools
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from dallm.errors import LexiconError, did_you_mean
from dallm.feature import CATEGORIES, KINDS, Kind

_TEXT = ("name", "kind", "category", "unit", "sex")
_LISTS = (
    "terms",
    "abbreviations",
    "misspellings",
    "aliases",
    "shared",
    "value_terms",
    "patterns",
    "normal",
    "is_a",
    "levels",
    "ignore",
)
_TABLES = ("level_terms", "units")
_NUMBERS = ("low", "high")
_FLAGS = ("match_name", "severity", "discover", "replace")
FIELDS = (*_TEXT, *_LISTS, *_TABLES, *_NUMBERS, *_FLAGS)
_LOWER = frozenset({"terms", "shared", "value_terms", "misspellings", "patterns", "normal", "ignore"})

_ELEMENT = re.compile(
    r"!?(?:\.\.\.|~|\{(?P<group>[a-z][a-z0-9_]*)\}|[a-z0-9][\w'%/.+-]*(?:\|[a-z0-9][\w'%/.+-]*)*)"
)
_GAPS = ("...", "~")
_LINEAR = re.compile(
    r"\s*(?:(?P<a>[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*\*\s*)?x\s*(?:(?P<sign>[+-])\s*(?P<b>\d+(?:\.\d+)?))?\s*"
)
_NOT_KEY = re.compile(r"[^\w%]+|_+")


@functools.lru_cache(maxsize=16_384)
def name_key(name: str) -> str:
    """Return the form in which names are compared: casefolded, all but letters, digits and ``%`` a space.

    Examples
    --------
    >>> name_key("Spirometry (FVC)*"), name_key("pleural_effusion")
    ('spirometry fvc', 'pleural effusion')
    """
    return _NOT_KEY.sub(" ", name.casefold()).strip()


@dataclass(frozen=True, slots=True)
class Concept:
    """One clinical concept: what it is, and how reports write it.

    Parameters
    ----------
    name : str
        Canonical name, lower case.
    kind : {"boolean", "ordinal", "categorical", "numeric"}
        What a value of it looks like.
    category : str
        One of ``CATEGORIES``.
    terms : tuple of str
        Surface forms, lower case and singular, the name first (unless the file says ``match_name = false``).
    abbreviations : tuple of str
        Forms matched in exactly this case.
    misspellings : tuple of str
        Wrong spellings matched like terms.
    aliases : tuple of str
        Further names: of columns, labels, or of the test that shows it. Used for look-up and to find the
        concept in knowledge texts, never matched in a report.
    shared : tuple of str
        Those of `terms` that stand for another concept as well, on purpose.
    value_terms : tuple of str
        Numeric: words that name it only beside a number and else are another's ("febrile to 102").
    patterns, normal : tuple of str
        Patterns whose match states the concept, or states that it is absent (docs/lexicon.md).
    is_a : tuple of str
        Parents: present here means present there, negated there means negated here.
    unit : str or None
        Unit of a numeric value, of `low` and of `high`.
    low, high : float or None
        The physically possible range, both ends allowed.
    levels : tuple of str
        Ordinal: mildest first. Categorical: in any order.
    level_terms : dict of str to tuple of str
        Surface forms that state one level.
    units : dict of str to (float, float)
        Other units found in text: ``value_in_unit = a * x + b`` for the pair ``(a, b)``.
    severity : bool
        The level is the modifier next to the term ("mild chest pain").
    sex : {"female", "male"} or None
        Set only where the concept can hold for one sex alone.
    ignore : tuple of str
        Longer phrases that hold a term and are not this concept.
    discover : bool
        Whether discovery may propose it as a feature; a user can ask for it in any case.
    """

    name: str
    kind: Kind
    category: str
    terms: tuple[str, ...] = ()
    abbreviations: tuple[str, ...] = ()
    misspellings: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    value_terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    is_a: tuple[str, ...] = ()
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()
    level_terms: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    units: dict[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    severity: bool = False
    sex: str | None = None
    ignore: tuple[str, ...] = ()
    discover: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which the concept can be looked up, the canonical one first."""
        every = (self.name, *self.terms, *self.aliases, *self.misspellings, *self.abbreviations)
        return tuple(dict.fromkeys(every))


def parse_linear(text: str) -> tuple[float, float] | None:
    """Read a conversion ``"a*x+b"``; None where it is not one.

    Examples
    --------
    >>> parse_linear("1.8*x+32"), parse_linear("x - 273.15"), parse_linear("x*x")
    ((1.8, 32.0), (1.0, -273.15), None)
    """
    match = _LINEAR.fullmatch(text)
    if match is None:
        return None
    shift = float(match["b"] or 0.0)
    return float(match["a"] or 1.0), -shift if match["sign"] == "-" else shift


def pattern_groups(pattern: str) -> tuple[str, ...]:
    """Return the word groups that a (checked) pattern uses.

    Examples
    --------
    >>> pattern_groups("{heart} is !{enlarged}")
    ('heart', 'enlarged')
    """
    return tuple(re.findall(r"\{([a-z][a-z0-9_]*)\}", pattern))


def read_file(path: str | Path) -> tuple[dict[str, tuple[str, ...]], list[dict[str, Any]]]:
    """Read and check one lexicon file.

    Parameters
    ----------
    path : str or path
        A ``.toml`` or ``.json`` file, UTF-8.

    Returns
    -------
    groups : dict of str to tuple of str
    entries : list of dict
        One per concept, in the file's order: the fields given (lists as tuples, conversions as
        pairs) and ``"file"``.

    Raises
    ------
    LexiconError
        If the file cannot be read, or a concept or field in it cannot be used.
    """
    path = Path(path)
    content = _parse(path)
    for key in content:
        if key not in ("concept", "groups"):
            hint = did_you_mean(key, ("concept", "groups"))
            raise LexiconError(
                f"{path}: unknown top-level key {key!r}; known are 'concept' and 'groups'.{hint}"
            )
    groups = _groups(content.get("groups", {}), path)
    concepts = content.get("concept", [])
    if not isinstance(concepts, list):
        raise LexiconError(f"{path}: 'concept' must be a list of tables; write [[concept]] before each.")
    return groups, [_entry(raw, path, position) for position, raw in enumerate(concepts, 1)]


def _parse(path: Path) -> dict[str, Any]:
    """The file's content as a mapping."""
    if path.suffix.lower() not in (".toml", ".json"):
        raise LexiconError(f"{path}: a lexicon file ends in .toml or .json, this one in {path.suffix!r}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise LexiconError(f"{path}: the lexicon file cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise LexiconError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from error
    except ValueError as error:
        raise LexiconError(f"{path}: not valid {path.suffix[1:].upper()}: {error}.") from error
    if not isinstance(content, dict):
        raise LexiconError(f"{path}: expected an object with 'concept' and 'groups', got a list.")
    return content


def _groups(raw: object, path: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(raw, Mapping):
        raise LexiconError(f"{path}: 'groups' must be a table of lists of phrases.")
    groups: dict[str, tuple[str, ...]] = {}
    for name, phrases in raw.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise LexiconError(
                f"{path}: group {name!r}: a group's name is lower case letters, digits and '_'."
            )
        values = _phrases(phrases, f"{path}: group {name!r}", lower=True)
        if not values:
            raise LexiconError(f"{path}: group {name!r} is empty; give at least one phrase.")
        groups[name] = values
    return groups


def _phrases(raw: object, where: str, *, lower: bool) -> tuple[str, ...]:
    """A list of phrases as a tuple without repetitions."""
    if not isinstance(raw, list):
        raise LexiconError(f"{where} must be a list of strings, got {type(raw).__name__}.")
    for item in raw:
        if not isinstance(item, str) or not item.strip():
            raise LexiconError(f"{where}: every item must be a non-empty string, got {item!r}.")
        if item != " ".join(item.split()):
            raise LexiconError(
                f"{where}: {item!r} has spaces at its ends or several in a row; use single ones."
            )
        if lower and item != item.lower():
            raise LexiconError(
                f"{where}: {item!r} must be lower case; what counts in one case only is for 'abbreviations'."
            )
    return tuple(dict.fromkeys(raw))


def _entry(raw: object, path: Path, position: int) -> dict[str, Any]:
    """Check one concept's table, field by field."""
    if not isinstance(raw, Mapping):
        raise LexiconError(f"{path}: concept {position} must be a table, got {type(raw).__name__}.")
    name = raw.get("name")
    if not isinstance(name, str) or not name_key(name):
        raise LexiconError(f"{path}: concept {position} needs a 'name' (a non-empty string), got {name!r}.")
    where = f"{path}: concept {name!r}"
    if name != name.lower() or name != " ".join(name.split()):
        raise LexiconError(f"{where}: field 'name' must be lower case with single spaces.")
    entry: dict[str, Any] = {"file": str(path)}
    for key, value in raw.items():
        entry[key] = _value(key, value, f"{where}, field {key!r}")
        if key not in FIELDS:
            raise LexiconError(f"{where}: unknown field {key!r}.{did_you_mean(key, FIELDS)}")
    _choice(entry, "kind", KINDS, where)
    _choice(entry, "category", CATEGORIES, where)
    _choice(entry, "sex", ("female", "male"), where)
    for key in ("patterns", "normal"):
        for pattern in entry.get(key, ()):
            _check_pattern(pattern, f"{where}, field {key!r}")
    return entry


def _value(key: str, value: object, where: str) -> Any:
    """One field's value in the form in which it is kept."""
    if key in _LISTS:
        return _phrases(value, where, lower=key in _LOWER)
    if key in _TEXT:
        if not isinstance(value, str) or not value.strip():
            raise LexiconError(f"{where} must be a non-empty string, got {value!r}.")
    elif key in _FLAGS:
        if not isinstance(value, bool):
            raise LexiconError(f"{where} must be true or false, got {value!r}.")
    elif key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise LexiconError(f"{where} must be a finite number, got {value!r}.")
        return float(value)
    elif key in _TABLES:
        if not isinstance(value, Mapping):
            raise LexiconError(f"{where} must be a table, got {type(value).__name__}.")
        if key == "level_terms":
            return {str(k): _phrases(v, f"{where}, level {k!r}", lower=True) for k, v in value.items()}
        return {str(k): _conversion(v, f"{where}, unit {k!r}") for k, v in value.items()}
    return value


def _conversion(value: object, where: str) -> tuple[float, float]:
    parsed = parse_linear(value) if isinstance(value, str) else None
    if parsed is None or parsed[0] == 0:
        raise LexiconError(f"{where}: expected a linear conversion such as '1.8*x+32', got {value!r}.")
    return parsed


def _choice(entry: Mapping[str, Any], key: str, known: Iterable[str], where: str) -> None:
    if key in entry and entry[key] not in tuple(known):
        hint = did_you_mean(entry[key], known)
        raise LexiconError(
            f"{where}, field {key!r}: {entry[key]!r} is not one of {', '.join(map(repr, known))}.{hint}"
        )


def _check_pattern(pattern: str, where: str) -> None:
    """Refuse a pattern that could match nothing, or anything."""
    elements = pattern.split(" ")
    for element in elements:
        if not _ELEMENT.fullmatch(element) or element[1:] in _GAPS:
            raise LexiconError(
                f"{where}: {pattern!r}: {element!r} is not an element; use a word, a|b, {{group}}, ... or ~."
            )
    gaps = [element in _GAPS for element in elements]
    if gaps[0] or gaps[-1] or (True, True) in pairwise(gaps):
        raise LexiconError(f"{where}: {pattern!r}: '...' stands between two other elements, and so does '~'.")
    if sum(element.startswith("!") for element in elements) > 1:
        raise LexiconError(f"{where}: {pattern!r}: only one element can be the anchor ('!').")


def make_concept(entry: Mapping[str, Any]) -> Concept:
    """Make a concept of a complete entry of :func:`read_file`.

    Raises
    ------
    LexiconError
        If a field is missing, or does not go with the concept's kind.
    """
    where = f"{entry['file']}: concept {entry['name']!r}"
    for key in ("kind", "category"):
        if key not in entry:
            raise LexiconError(f"{where} needs the field {key!r}.")
    kind = cast(Kind, entry["kind"])
    levels = entry.get("levels", ())
    if kind in ("ordinal", "categorical"):
        if len(levels) < 2:
            raise LexiconError(f"{where}: field 'levels': an {kind} concept needs two levels or more.")
    elif levels or entry.get("level_terms") or entry.get("severity"):
        raise LexiconError(
            f"{where}: 'levels', 'level_terms' and 'severity' go with ordinal and categorical only."
        )
    for level in entry.get("level_terms", {}):
        if level not in levels:
            hint = did_you_mean(level, levels)
            raise LexiconError(f"{where}, field 'level_terms': {level!r} is not one of its levels.{hint}")
    if kind == "numeric":
        if "unit" not in entry:
            raise LexiconError(f"{where}: field 'unit': a numeric concept needs one ('1' for a ratio).")
        if entry.get("low", -math.inf) >= entry.get("high", math.inf):
            raise LexiconError(f"{where}: field 'low' must be below 'high'.")
    else:
        for key in ("unit", "low", "high", "units", "value_terms"):
            if key in entry:
                raise LexiconError(f"{where}: field {key!r} goes with numeric concepts only, this is {kind}.")
    fields = {k: v for k, v in entry.items() if k not in ("file", "match_name", "replace")}
    own = (entry["name"],) if entry.get("match_name", True) else ()
    fields["terms"] = tuple(dict.fromkeys((*own, *entry.get("terms", ()), *entry.get("shared", ()))))
    return Concept(**fields)
