"""JSON as a model may give it, read without guessing: what is not plainly there is a fault."""

from __future__ import annotations

import json
import math
import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any

from dallm.engines.llm.wire import AnswerError


class CutOffError(AnswerError):
    """The answer ends in the middle; `start` is where its JSON begins in `text`."""

    def __init__(self, fault: str, text: str, start: int) -> None:
        super().__init__(fault)
        self.text, self.start = text, start


_THOUGHTS_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_OPEN_THOUGHTS = re.compile(r"\s*<(?:think|thinking|reasoning)>", re.IGNORECASE)
_OBJECT = re.compile(r'\{\s*(?:["}]|$)')
_SHAPE = ("case", "features", "value", "quote", "field", "rationale", "basis", "answer", "supported")
_HALF_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_SPACE = re.compile(r"\s*")
_WORD_CUT_OFF = re.compile(r"(?:t|tr|tru|f|fa|fal|fals|n|nu|nul|-|\.|[eE][+-]?)\Z")


def loads(text: str) -> dict[str, Any]:
    r"""Return the one JSON object in a text, whatever prose or code fence stands around it.

    Raises
    ------
    CutOffError
        If the object ends in the middle.
    AnswerError
        If there is no object, or more than one, a key comes twice, a number is no finite one, a text holds
        half a character, or it is nested too deeply.

    Examples
    --------
    >>> loads('Here it is:\n```json\n{"fever": true}\n```')
    {'fever': True}
    >>> loads('{"value": true, "value": false}')
    Traceback (most recent call last):
    ...
    dallm.engines.llm.wire.AnswerError: the key 'value' stands twice in one object
    """
    found: dict[str, Any] | None = None
    text = without_thoughts(text)
    before = after = 0
    at = _OBJECT.search(text)
    while at is not None:
        value, end = _object_at(text, at.start())
        if found is not None:
            raise AnswerError("the answer holds more than one JSON object")
        found, before, after = value, at.start(), end
        at = _OBJECT.search(text, end)
    if found is None:
        raise AnswerError("the answer holds no JSON object")
    if text[:before].rstrip().endswith(("[", "{")) or text[after:].lstrip().startswith(tuple("}],:\"'{[")):
        raise AnswerError("something stands around the JSON object that does not belong to it")
    _check_characters(text[before:after], found)
    return found


def holds_object(text: str) -> bool:
    """Tell whether a JSON object begins anywhere in a text."""
    return _OBJECT.search(text) is not None


def without_thoughts(text: str) -> str:
    """Return an answer without the thoughts that some servers leave in front of it.

    Raises
    ------
    AnswerError
        If there is nothing but thoughts.
    """
    if text.lstrip().startswith(("{", "`")):
        return text
    *_, end = (None, *_THOUGHTS_END.finditer(text))
    if end is not None:
        return text[end.end() :]
    if _OPEN_THOUGHTS.match(text):
        raise AnswerError("the answer is cut off before it begins: there are only thoughts")
    return text


def complete_members(text: str, start: int) -> tuple[list[tuple[str, Any]], str | None, int]:
    """Return what is complete of an object that is cut off.

    Parameters
    ----------
    text : str
        What arrived.
    start : int
        Where the object's brace stands.

    Returns
    -------
    members : list of (str, object)
        Those that a comma or a brace follows.
    open_key : str or None
        The key whose value is not complete.
    open_at : int
        Where that value begins.

    Examples
    --------
    >>> text = '{"case": "a1", "features": {"fever": tr'
    >>> complete_members(text, 0)
    ([('case', 'a1')], 'features', 27)
    """
    members: list[tuple[str, Any]] = []
    at = start
    while text[at : at + 1] in ("{", ","):
        at = _after_space(text, at + 1)
        if text[at : at + 1] != '"':
            break
        try:
            key, at = scanstring(text, at + 1, False)
        except ValueError:
            break
        at = _after_space(text, at)
        if text[at : at + 1] != ":":
            break
        at = _after_space(text, at + 1)
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return members, key, at
        end = _after_space(text, end)
        if text[end : end + 1] not in (",", "}"):
            return members, key, at
        members.append((key, value))
        at = end
    return members, None, at


def _object_at(text: str, start: int) -> tuple[dict[str, Any], int]:
    try:
        return _DECODER.raw_decode(text, start)
    except JSONDecodeError as error:
        if _is_cut_off(text, error):
            raise CutOffError(
                f"the answer is cut off after {len(text) - start} characters", text, start
            ) from None
        raise AnswerError(
            f"the JSON is broken at character {error.pos - start}: {error.msg.lower()}"
        ) from None
    except RecursionError:
        raise AnswerError("the JSON is nested too deeply") from None
    except AnswerError:
        raise
    except ValueError:  # a whole number of thousands of digits
        raise AnswerError("the JSON holds a number that is too long") from None


def _is_cut_off(text: str, error: JSONDecodeError) -> bool:
    rest = text[error.pos :].rstrip()
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Invalid"):  # an escape sequence
        return len(rest) < len(r"\uffff")
    return _WORD_CUT_OFF.match(rest) is not None


def _check_characters(text: str, value: dict[str, Any]) -> None:
    if ("\\u" not in text and text.isascii()) or _HALF_SURROGATE.search(text) is None:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise AnswerError("a text holds half a character (a lone surrogate)") from None
    except RecursionError:
        raise AnswerError("the JSON is nested too deeply") from None


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it always matches


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        known = [key for key, _ in pairs if key in _SHAPE]
        twice = next((key for key in known if known.count(key) > 1), None)
        # any other key is a model's own word: it may repeat a patient's
        raise AnswerError(f"{f'the key {twice!r}' if twice else 'a key'} stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise AnswerError(f"{name} is no number that JSON knows")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise AnswerError("the JSON holds a number that is too large")
    return number


# line breaks inside a text are not to the letter of JSON, but leave nothing in doubt
_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct, parse_constant=_no_constant, parse_float=_finite, strict=False
)
