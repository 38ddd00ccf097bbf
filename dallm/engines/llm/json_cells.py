"""The cells of an answer in JSON: each feature's object, typed and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dallm.engines.llm.cell_answer import BASES, Basis, CellAnswer
from dallm.engines.llm.stated import NotAValueError, value_of
from dallm.features import Feature, normalise_name

_BASES: dict[str, Basis] = {basis: basis for basis in BASES}


def cells_of(
    given: Mapping[str, Any], features: Sequence[Feature]
) -> tuple[dict[str, CellAnswer], dict[str, str], list[str]]:
    """Return cells and faults by feature, and the names that nobody asked for.

    Parameters
    ----------
    given : mapping of str to object
        What stands under each name.
    features : sequence of Feature
        What was asked; names are compared as :func:`normalise_name` does.

    Examples
    --------
    >>> given = {"Fever": {"value": "perhaps"}, "cough": {"value": None}, "mood": {"value": True}}
    >>> cells_of(given, [Feature("fever", "boolean"), Feature("cough", "boolean")])[1:]
    ({'fever': 'has a value that is not true, false or null'}, ['mood'])
    """
    cells: dict[str, CellAnswer] = {}
    faults: dict[str, str] = {}
    taken = _by_feature(given, features)
    strangers = [key for key in given if key not in taken.values()] if len(given) > len(taken) else []
    again = {normalise_name(key) for key in strangers}
    alike: dict[CellAnswer, CellAnswer] = {}  # most cells say nothing: they are one object, handled once
    for feature in features:
        key = taken.get(feature.name)
        if key is None:
            continue
        if again and feature.key in again:
            faults[feature.name] = "stands there twice under names that mean the same"
            continue
        try:
            cell = _cell(feature, given[key])
            cells[feature.name] = alike.setdefault(cell, cell) if cell.value is None else cell
        except NotAValueError as error:
            faults[feature.name] = str(error)
    return cells, faults, strangers


def _by_feature(given: Mapping[str, Any], features: Sequence[Feature]) -> dict[str, str]:
    """Which of the given names stands for which feature."""
    taken = {feature.name: feature.name for feature in features if feature.name in given}
    if len(taken) < len(features) and len(given) > len(taken):
        spelt: dict[str, str] = {
            normalise_name(key): key for key in reversed(list(given)) if key not in taken
        }
        for feature in features:
            if feature.name not in taken and feature.key in spelt:
                taken[feature.name] = spelt[feature.key]
    return taken


def _cell(feature: Feature, given: Any) -> CellAnswer:
    if not isinstance(given, dict):
        if given is None:
            return CellAnswer(None)
        raise NotAValueError("has a value without quote and basis")
    if "value" not in given:
        raise NotAValueError("has no value")
    try:
        value = value_of(feature, given["value"])
    except NotAValueError as error:
        raise NotAValueError(f"has a value that {error}") from None
    quote, field, rationale = given.get("quote"), given.get("field"), given.get("rationale")
    basis = given.get("basis")
    for said in (quote, field, rationale):
        if said is not None and said.__class__ is not str:
            raise NotAValueError("has a quote, field or rationale that is no text")
    known = _BASES.get(basis) if isinstance(basis, str) else None
    if known is None:
        if value is not None and (basis is not None or not quote):
            raise NotAValueError("has no basis")
        known = "neither" if value is None else "report"
    return CellAnswer(value, quote or None, field or None, rationale or "", known)
