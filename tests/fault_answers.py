"""Answers that the fault server gives: right ones by a plain rule, and each fault made out of a right one.

The rule knows no medicine: a feature whose name stands in a sentence of the case's text is True there, False
where the sentence denies, and unknown where it stands nowhere. Standard library only: it runs in the server's
own process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

TRANSPORT = ("rate_limit", "server", "overloaded", "reset", "hang")
"""Faults in which no answer arrives: 429 with Retry-After, 500, 503, reset in mid-answer, silence."""
CONTENT = (
    "cut_off",
    "breaks_schema",
    "fences",
    "empty",
    "refusal",
    "length",
    "nan",
    "duplicate_keys",
    "other_case",
)
"""Faults of an answer that arrives with status 200; ``fences`` is a right answer with prose around it."""
MIXED = (*TRANSPORT, *CONTENT)
SPECIAL = ("quota", "cut_body", "error_200", "no_choices", "html", "not_json")
"""Further ones, given only where a test names them."""
NONE_LEFT = ("fences",)
"""Faults after which nothing has to be asked again."""

FIELDS = ("indication", "history", "technique", "comparison", "findings", "impression", "report")
"""Report fields to look for where nothing is fenced."""

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\d)[^.!?\n]*)*[.!?]?")
_DENIED = re.compile(
    r"\b(?:no|not|without|denies|denied|absent|negative for|free of|normal|resolved)\b", re.I
)
_OPEN = re.compile(
    r"\b(?:possible|possibly|probable|may|might|suspected|questionable|cannot exclude)\b", re.I
)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_KEY = re.compile(r"\bcase(?:[ _-]?(?:key|id))?\W{1,4}((?=[\w-]*\d)[0-9A-Za-z][\w-]{2,})", re.I)
_OWN_KEY = re.compile(r"\bcase ([0-9a-f]{12})\b")
_PASSAGE = re.compile(r"^\W{0,3}\[(\d+)\]\s*(.*)$", re.M)
_NUMBERED = re.compile(r"^\s*(\d+)[.)]\s+([^:\n]+?)\s*(?::\s*(.*))?$", re.M)
_UNIT = re.compile(r"number in ([^,/]+?)(?:,| /|$)")
_LIST = re.compile(r"^features\b[^\n]*$", re.M | re.I)
_FENCED = re.compile(r"^<<<(.+) (\S+)\n(.*?)\n\2 \1>>>$", re.M | re.S)


@dataclass(frozen=True)
class Asked:
    """What a request asks for, as far as an answer needs it.

    `text` is the message with the case, `parts` what is fenced in it (all of it where nothing is), by field.
    """

    row: str
    text: str
    parts: tuple[tuple[str, str], ...]
    prompt: str
    schema: Mapping[str, Any] | None
    tool: str

    @property
    def in_words(self) -> bool:
        """Whether the answer is wanted as numbered lines rather than as JSON."""
        return self.schema is None


def asked(body: Mapping[str, Any]) -> Asked:
    """Read a chat request.

    The row is the case that it speaks of, whichever attempt it is: the key that the prompt names, else the
    end of the last message before the first answer of the assistant.
    """
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    first = next((i for i, message in enumerate(messages) if message["role"] == "assistant"), len(messages))
    text = _content(messages[max(0, first - 1)])
    schema, tool = _schema(body)
    key = _OWN_KEY.search(text) or _KEY.search(text)
    row = key.group(1) if key else text[-400:]
    parts = tuple((name, inner) for name, _, inner in _FENCED.findall(text)) or (("", text),)
    prompt = "\n".join(_content(message) for message in messages[:first])
    return Asked(row, text, parts, prompt, schema, tool)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def _schema(body: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return wanted["json_schema"]["schema"], ""
    tools = body.get("tools") or ()
    if tools:
        function = tools[0]["function"]
        return function.get("parameters", {"type": "object", "properties": {}}), function["name"]
    return None, ""


# ---- right answers


def right(ask: Asked) -> str:
    """Return the right answer: JSON by its schema, or numbered lines, or a sentence with its citation."""
    if ask.schema is not None:
        return json.dumps(value_of(ask), ensure_ascii=False)
    numbered = _NUMBERED.findall(_after_heading(ask.prompt))
    if not numbered:
        return _cited(ask)
    lines = [f"case {ask.row}"]
    for number, name, offered in numbered:
        unit = _UNIT.search(offered)
        levels = [level.strip(" {}") for level in offered.split("/")]
        wanted: dict[str, Any] = {"type": ["boolean", "null"]}
        if unit:
            wanted = {"type": ["number", "null"]}
        elif "True" not in levels and len(levels) > 1:
            wanted = {"enum": levels}
        value = _cell(name, {"value": wanted}, ask.parts, ())
        cell = value | {"value": "not stated" if value["value"] is None else value["value"]}
        said = f"{cell['value']:g} {unit[1]}" if unit and value["value"] is not None else str(cell["value"])
        why = f', because "{cell["quote"]}" [{cell["field"]}]' if cell["quote"] else ""
        lines.append(f"{number}. {name}: {said}{why}")
    return "\n".join(lines)


def _after_heading(prompt: str) -> str:
    """Return what follows the last heading of a list of features; rules before it may show such lines."""
    headings = list(_LIST.finditer(prompt))
    return prompt[headings[-1].end() :] if headings else prompt


def value_of(ask: Asked) -> Any:
    """Return the right answer to a request with a schema, as a value."""
    assert ask.schema is not None
    return _value(ask.schema, "", ask)


def _value(schema: Mapping[str, Any], name: str, ask: Asked) -> Any:
    if "const" in schema:
        return schema["const"]
    kinds = _kinds(schema)
    if "object" in kinds:
        properties = schema.get("properties", {})
        if "value" in properties and "quote" in properties:
            return _cell(name, properties, ask.parts, tuple(properties))
        return {key: _value(inner, key, ask) for key, inner in properties.items()}
    if "array" in kinds:
        return [_value(schema.get("items", {"type": "integer"}), name, ask)]
    if "string" in kinds and "case" in name:
        return ask.row
    if "enum" in schema:
        return schema["enum"][0]
    if "boolean" in kinds:
        return True
    if "null" in kinds:
        return None
    if "integer" in kinds or "number" in kinds:
        return schema.get("minimum", 1)
    return _cited(ask) if name in ("answer", "text") else "pleural effusion"


def _kinds(schema: Mapping[str, Any]) -> tuple[str, ...]:
    if "anyOf" in schema:
        return tuple(kind for inner in schema["anyOf"] for kind in _kinds(inner))
    kind = schema.get("type", "string")
    return (kind,) if isinstance(kind, str) else tuple(kind)


def _cited(ask: Asked) -> str:
    passage = _PASSAGE.search(ask.prompt)
    if passage is None:
        return ""
    sentence = _SENTENCE.search(passage.group(2))
    return f"{sentence.group(0).strip() if sentence else 'See'} [{passage.group(1)}]"


Parts = tuple[tuple[str, str], ...]


def _cell(name: str, properties: Mapping[str, Any], parts: Parts, keys: Sequence[str]) -> dict[str, Any]:
    wanted = properties.get("value", {"type": "boolean"})
    value, sentence, named = None, "", ""
    for part, text in parts:
        value, sentence, at = _found(name.replace("_", " "), wanted, text)
        if value is not None:
            named = part or max(FIELDS, key=lambda field: text.rfind(field, 0, at))
            break
    known = value is not None
    full = {
        "value": value,
        "quote": sentence if known else None,
        "field": named if known else None,
        "rationale": "The sentence says so." if known else "The report does not speak of it.",
        "basis": "report" if known else "neither",
    }
    if not keys:
        return full
    made = {key: full.get(key) for key in keys}
    for key in keys:  # a schema that knows no null gets an empty text
        if made[key] is None and key != "value" and not _takes_null(properties[key]):
            made[key] = ""
    return made


def _takes_null(schema: Mapping[str, Any]) -> bool:
    return "null" in _kinds(schema) or None in schema.get("enum", ())


@lru_cache(maxsize=512)
def _sentences(text: str) -> tuple[tuple[str, str, int], ...]:
    """Return each sentence of a text, folded too, and where it begins."""
    found = ((m.group(0).strip(), m.start()) for m in _SENTENCE.finditer(text))
    return tuple((sentence, sentence.casefold(), at) for sentence, at in found if sentence)


@lru_cache(maxsize=512)
def _folded(text: str) -> str:
    return text.casefold()


def _found(name: str, wanted: Mapping[str, Any], text: str) -> tuple[Any, str, int]:
    kinds, levels = _kinds(wanted), [level for level in wanted.get("enum", ()) if isinstance(level, str)]
    sought = name.casefold()
    if sought not in _folded(text):
        return None, "", 0
    for sentence, folded, at in _sentences(text):
        where = folded.find(sought)
        if where < 0:
            continue
        if levels:
            level = next((level for level in levels if level.casefold() in folded), None)
            if level is not None:
                return level, sentence, at
        elif "boolean" in kinds:
            return not _DENIED.search(sentence), sentence, at
        else:
            number = _NUMBER.search(sentence, where + len(name))
            if number is not None:
                return float(number.group(0)), sentence, at
    return None, "", 0


# ---- faulty answers


def faulty(kind: str, ask: Asked, other: Asked) -> tuple[str, str, str]:
    """Return (content, finish reason, refusal) of an answer with one of the `CONTENT` faults.

    Parameters
    ----------
    kind : str
        The fault.
    ask, other : Asked
        The request, and one of another case.
    """
    text = right(ask)
    if kind == "cut_off":
        return text[: len(text) * 2 // 3], "stop", ""
    if kind == "length":
        return text[: len(text) // 2], "length", ""
    if kind == "fences":
        return (
            f"Here is what the report says:\n```json\n{text}\n```\nLet me know if you need more.",
            "stop",
            "",
        )
    if kind == "empty":
        return "", "stop", ""
    if kind == "refusal":
        return "", "stop", "I'm sorry, but I can't help with that."
    if kind == "other_case":
        return right(other), "stop", ""
    return (_bent_words(kind, text) if ask.in_words else _bent_json(kind, ask)), "stop", ""


def _bent_json(kind: str, ask: Asked) -> str:
    value = value_of(ask)
    cells = [cell for cell in _objects(value) if "value" in cell] or [_objects(value)[0]]
    cell = cells[len(cells) // 2]
    key = "value" if "value" in cell else next(iter(cell))
    if kind == "breaks_schema":
        cell[key] = {"very": "likely"}
        return json.dumps(value, ensure_ascii=False)
    kept = cell[key]
    cell[key] = "\0here\0"
    text = json.dumps(value, ensure_ascii=False)
    mark = json.dumps("\0here\0")
    if kind == "nan":
        return text.replace(mark, "NaN")
    lie = json.dumps(not kept if isinstance(kept, bool) or kept is None else [])
    return text.replace(mark, f"{json.dumps(kept, ensure_ascii=False)}, {json.dumps(key)}: {lie}")


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(inner for v in value.values() for inner in _objects(v))]
    return [inner for v in value for inner in _objects(v)] if isinstance(value, list) else []


def _bent_words(kind: str, text: str) -> str:
    lines = text.split("\n")
    if kind == "duplicate_keys":
        head, _, said = lines[1].partition(": ")
        return "\n".join([*lines, f"{head}: {'False' if said.startswith('True') else 'True'}"])
    lines[1] = lines[1].split(":")[0] + (": NaN" if kind == "nan" else ": true/false")
    return "\n".join(lines)
