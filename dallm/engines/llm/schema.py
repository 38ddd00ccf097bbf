"""JSON schemas of the answers, as strict as servers know how to be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dallm.engines.llm.cell_answer import BASES
from dallm.feature import CATEGORIES, KINDS, Feature

# servers take some hundred enumerated values per schema, and every one is a part of the prompt
_MOST_NAMED = 100


def fill_schema(
    features: Sequence[Feature], fields: Sequence[str] = (), *, shared: bool = False
) -> dict[str, Any]:
    """Return the schema of an answer that fills features; the same for every case of a run.

    Parameters
    ----------
    features : sequence of Feature
        In the order in which they are to be answered.
    fields : sequence of str, default=()
        Report fields and columns of the row. They are enumerated where the features are few; otherwise any
        text may stand there, and reading checks it.
    shared : bool, default=False
        Describe cells that are alike once, and refer to that. For 60 features that is a quarter of the
        tokens, where the server counts the schema, but not every server resolves references.

    Examples
    --------
    >>> schema = fill_schema([Feature("fever", "boolean")])
    >>> schema["properties"]["features"]["properties"]["fever"]["properties"]["value"]
    {'type': ['boolean', 'null']}
    """
    named = fields and len(features) * (len(fields) + 1) <= _MOST_NAMED
    place = _one_of(tuple(fields)) if named else {"type": ["string", "null"]}
    cells = {feature.name: _cell(feature, place) for feature in features}
    defined: dict[str, Any] = {}
    if shared:
        cells, defined = _named_once(cells)
    schema = _object({"case": {"type": "string"}, "features": _object(cells)})
    return {**schema, "$defs": defined} if shared else schema


def answer_schema() -> dict[str, Any]:
    """Return the schema of an answer from numbered passages."""
    return _object({"answer": {"type": "string"}, "supported": {"type": "boolean"}})


def discover_schema() -> dict[str, Any]:
    """Return the schema of a proposal of features."""
    text, texts = {"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}
    number = {"type": ["number", "null"]}
    feature = _object(
        {
            "name": {"type": "string"},
            "kind": {"type": "string", "enum": list(KINDS)},
            "unit": text,
            "low": number,
            "high": number,
            "levels": {"type": ["array", "null"], "items": {"type": "string"}},
            "aliases": texts,
            "category": _one_of(CATEGORIES),
            "conditions": texts,
            "citations": {"type": "array", "items": {"type": "integer"}},
        }
    )
    return _object({"features": {"type": "array", "items": feature}})


def _cell(feature: Feature, place: dict[str, Any]) -> dict[str, Any]:
    if feature.kind == "boolean":
        value: dict[str, Any] = {"type": ["boolean", "null"]}
    elif feature.kind == "numeric":
        value = {"type": ["number", "null"]}
    else:
        value = _one_of(feature.levels or ())
    return _object(
        {
            "value": value,
            "quote": {"type": ["string", "null"]},
            "field": place,
            "rationale": {"type": "string"},
            "basis": {"type": "string", "enum": list(BASES)},
        }
    )


def _named_once(cells: dict[str, dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """References in place of the cells, and what they refer to."""
    kinds: dict[str, str] = {}
    defined: dict[str, Any] = {}
    references = {}
    for name, cell in cells.items():
        kind = kinds.setdefault(json.dumps(cell), f"cell{len(kinds)}")
        defined[kind] = cell
        references[name] = {"$ref": f"#/$defs/{kind}"}
    return references, defined


def _one_of(texts: Sequence[str]) -> dict[str, Any]:
    return {"type": ["string", "null"], "enum": [*texts, None]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
