"""How row rules are written: their file, and what it is read into."""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dallm.errors import CohortError, UserError, did_you_mean
from dallm.features import normalise_name
from dallm.vitals import Vital, known_vital, vitals

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_RULE_KEYS = {"feature", "names", "any", "settled_by", "guideline", "denies"}
_TEST_KEYS = {"measure", "op", "value", "unit"}
_COPY_KEYS = {"feature", "names", "measure", "columns", "values"}


@dataclass(frozen=True)
class Threshold:
    """One comparison of a measured value: ``measure op value`` in `unit`."""

    measure: str
    op: str
    value: float
    unit: str


@dataclass(frozen=True)
class Rule:
    """A boolean feature that is true where any threshold holds.

    It is false where none holds and every measure is there, or one of `settled_by` is; else unknown.
    """

    names: tuple[str, ...]
    thresholds: tuple[Threshold, ...]
    guideline: str
    settled_by: tuple[str, ...] = ()
    denies: bool = True


@dataclass(frozen=True)
class Copy:
    """A feature that is a measured value, or a column whose codes are spelt out as levels."""

    names: tuple[str, ...]
    measure: str | None = None
    columns: tuple[str, ...] = ()
    values: Mapping[str, str] | None = None


def read_rules(path: str | Path) -> tuple[list[Rule], list[Copy]]:
    """Read the rules and the copied values of a TOML file.

    Raises
    ------
    UserError
        If the file cannot be used; the message names the file, the rule and the field.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"Row rules {str(path)!r} cannot be read: {error}") from error
    for key in table:
        if key not in ("rule", "copy"):
            raise UserError(f"Row rules {str(path)!r}: unknown table {key!r}; use [[rule]] and [[copy]].")
    rules = [_read_rule(entry, str(path)) for entry in table.get("rule", [])]
    copies = [_read_copy(entry, str(path)) for entry in table.get("copy", [])]
    _refuse_shared_names([*rules, *copies], str(path))
    return rules, copies


def _read_rule(entry: Mapping[str, Any], path: str) -> Rule:
    where = _checked_keys(entry, _RULE_KEYS, "rule", path)
    tests = entry.get("any")
    if not isinstance(tests, list) or not tests:
        raise UserError(f"{where}: field 'any' must be a list of thresholds.")
    thresholds = tuple(_read_threshold(test, where) for test in tests)
    settled_by = tuple(entry.get("settled_by", ()))
    for measure in settled_by:
        if measure not in {t.measure for t in thresholds}:
            raise UserError(f"{where}: field 'settled_by' names {measure!r}, which no threshold of it reads.")
    guideline = entry.get("guideline")
    if not isinstance(guideline, str) or not guideline.strip():
        raise UserError(f"{where}: field 'guideline' is missing; name one, or write 'convention, editable'.")
    names = (entry["feature"], *entry.get("names", ()))
    return Rule(names, thresholds, guideline, settled_by, bool(entry.get("denies", True)))


def _read_threshold(test: Mapping[str, Any], where: str) -> Threshold:
    unknown = [key for key in test if key not in _TEST_KEYS]
    missing = [key for key in sorted(_TEST_KEYS) if key not in test]
    if unknown or missing:
        what = f"unknown field {unknown[0]!r}" if unknown else f"field {missing[0]!r} is missing"
        raise UserError(f"{where}: {what}; a threshold has measure, op, value and unit.")
    vital = _measure(test["measure"], where)
    if test["op"] not in OPERATORS:
        raise UserError(f"{where}: field 'op' must be one of {list(OPERATORS)}. Got: {test['op']!r}.")
    if isinstance(test["value"], bool) or not isinstance(test["value"], (int, float)):
        raise UserError(f"{where}: field 'value' must be a number. Got: {test['value']!r}.")
    try:
        unit = vital.unit_of(test["unit"])
    except CohortError as error:
        raise UserError(f"{where}: field 'unit': {error}") from error
    return Threshold(vital.name, test["op"], float(test["value"]), unit.name)


def _read_copy(entry: Mapping[str, Any], path: str) -> Copy:
    where = _checked_keys(entry, _COPY_KEYS, "copy", path)
    if ("measure" in entry) == ("columns" in entry):
        raise UserError(f"{where}: give either 'measure' (a number) or 'columns' (a category).")
    measure = _measure(entry["measure"], where).name if "measure" in entry else None
    values = {
        normalise_name(code): level
        for level, codes in entry.get("values", {}).items()
        for code in (level, *codes)
    }
    names = (entry["feature"], *entry.get("names", ()))
    return Copy(names, measure, tuple(entry.get("columns", ())), values or None)


def _checked_keys(entry: Mapping[str, Any], known: set[str], kind: str, path: str) -> str:
    if not isinstance(entry.get("feature"), str):
        raise UserError(f"Row rules {path!r}: a [[{kind}]] has no field 'feature'.")
    where = f"Row rules {path!r}, {kind} {entry['feature']!r}"
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown field {key!r}.{did_you_mean(key, known)}")
    return where


def _measure(name: str, where: str) -> Vital:
    vital = known_vital(name)
    if vital is None:
        known = [v.name for v in vitals()]
        raise UserError(f"{where}: {name!r} is no measure that dallm knows.{did_you_mean(name, known)}")
    return vital


def _refuse_shared_names(entries: Sequence[Rule | Copy], path: str) -> None:
    seen: dict[tuple[str, str], str] = {}
    for entry in entries:
        for name in entry.names:
            key = (type(entry).__name__, normalise_name(name))
            if key in seen:
                raise UserError(
                    f"Row rules {path!r}: the name {name!r} stands at {seen[key]!r} and at "
                    f"{entry.names[0]!r}; keep one."
                )
            seen[key] = entry.names[0]
