"""A request as OpenAI's interface wants it, and its answer as a `Reply`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from dallm.engines.llm.wire import CallError, Reply, Request, Usage

TOOL = "answer"
"""Name of the one function that a model is made to call, and of the schema."""

_SHAPED = ("response_format", "tools")
_MOST_SHARED = 64  # a case of which some cells are held is asked with a schema of its own
_ABSURD = 1e12  # tokens; JSON as Python reads it may hold an infinity


def body_of(request: Request, left_out: Collection[str] = (), *, new_names: bool = False) -> dict[str, Any]:
    """Return the body of ``POST /chat/completions``.

    Parameters
    ----------
    request : Request
        What to ask.
    left_out : collection of str
        Parameters that the model refused: dropped, or given by their other name; ``"system"`` puts the system
        message at the head of the first user message, ``"strict"`` asks for a schema less strictly.
    new_names : bool
        Whether to say ``max_completion_tokens`` rather than ``max_tokens``.

    Examples
    --------
    >>> from dallm.engines.llm.wire import Message
    >>> asked = Request("m", (Message("user", "hello"),), max_output_tokens=5)
    >>> body_of(asked)
    {'model': 'm', 'messages': [{'role': 'user', 'content': 'hello'}], 'max_tokens': 5}
    """
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request, "system" in left_out)}
    if request.schema is not None and request.form == "json_schema":
        schema = {"name": TOOL, "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request.schema is not None and request.form == "tool":
        function = {"name": TOOL, "description": "Give the answer.", "parameters": request.schema}
        body["tools"] = [{"type": "function", "function": function}]
        body["tool_choice"] = {"type": "function", "function": {"name": TOOL}}
    if request.max_output_tokens is not None:
        names = (
            ("max_completion_tokens", "max_tokens") if new_names else ("max_tokens", "max_completion_tokens")
        )
        name = next((n for n in names if n not in left_out), None)
        if name is not None:
            body[name] = request.max_output_tokens
    if request.temperature is not None and "temperature" not in left_out:
        body["temperature"] = request.temperature
    body.update((name, value) for name, value in request.extra.items() if name not in left_out)
    return body


def encoded(body: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> bytes:
    """Return a body as the JSON that is sent.

    Parameters
    ----------
    body : mapping
    schema : mapping, optional
        A part of the body that many calls share, this very object; it is encoded once.

    Examples
    --------
    >>> encoded({"model": "m", "messages": [{"role": "user", "content": "37 °C"}]}).decode()
    '{"model":"m","messages":[{"role":"user","content":"37 °C"}]}'
    """
    if schema is None:
        return _json(body).encode()
    shaped = (
        f"{_json(name)}:{_around(value, schema) if name in _SHAPED else _json(value)}"
        for name, value in body.items()
    )
    return f"{{{','.join(shaped)}}}".encode()


def reply_of(data: Mapping[str, Any], request_id: str, latency_s: float) -> Reply:
    """Return what the body of an answer holds.

    Raises
    ------
    CallError
        If it holds no choice, or one of another shape: ``server``.
    """
    try:
        choice = data["choices"][0]
        message = choice["message"]
        content, calls = message.get("content"), message.get("tool_calls")
        text = calls[0]["function"]["arguments"] if calls else _text(content)
        refusal = message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise CallError("server", "the answer holds no choice with a message", status=200) from None
    if isinstance(text, dict):  # some servers give a tool's arguments as an object
        text = json.dumps(text)
    if not isinstance(text, str):
        raise CallError("server", "the answer's content is no text", status=200)
    return Reply(
        text,
        finish=str(choice.get("finish_reason") or "stop"),
        refusal=str(refusal),
        usage=usage_of(data.get("usage")),
        request_id=request_id or str(data.get("id") or ""),
        model=str(data.get("model") or ""),
        latency_s=latency_s,
    )


def usage_of(usage: Any) -> Usage:
    """Return the tokens that a server reports; zeros where it reports none.

    Examples
    --------
    >>> usage_of({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}})
    Usage(read=9, cached=4, written=2)
    """
    if not isinstance(usage, Mapping):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")  # DeepSeek's name for it
    return Usage(_count(usage.get("prompt_tokens")), _count(cached), _count(usage.get("completion_tokens")))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


_shared: dict[int, tuple[Mapping[str, Any], str]] = {}  # a schema is kept, so that its id stays its own


def _around(value: Any, schema: Mapping[str, Any]) -> str:
    """The JSON of a value that holds a schema somewhere."""
    if value is schema:
        held = _shared.get(id(schema))
        if held is None:
            if len(_shared) >= _MOST_SHARED:
                _shared.clear()
            held = _shared[id(schema)] = (schema, _json(schema))
        return held[1]
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(name)}:{_around(each, schema)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(_around(each, schema) for each in value)}]"
    return _json(value)


def _messages(request: Request, merge_system: bool) -> list[dict[str, str]]:
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    if not merge_system:
        return messages
    orders = [m["content"] for m in messages if m["role"] == "system"]
    rest = [m for m in messages if m["role"] != "system"]
    if rest:
        rest[0] = {"role": rest[0]["role"], "content": "\n\n".join([*orders, rest[0]["content"]])}
    return rest


def _text(content: Any) -> Any:
    if content is None:
        return ""
    if isinstance(content, list):  # content in parts
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < _ABSURD else 0
