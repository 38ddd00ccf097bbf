"""What goes to a language model and what comes back: plain values, the same for every client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from dallm.lazy import computed_once

Role = Literal["system", "user", "assistant"]
Form = Literal["json_schema", "tool", "template", "text"]
"""How an answer's form is asked for: by the server's JSON schema, a tool call, in words, or not at all."""


class Message(NamedTuple):
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True)
class Request:
    """One call to a model, complete: nothing else decides its answer.

    Attributes
    ----------
    model : str
        The name that the server knows it by.
    messages : tuple of Message
        Stable parts first, the patient last.
    schema : mapping or None
        JSON schema of the answer; None asks for text.
    form : {"json_schema", "tool", "template", "text"}
        How the schema is asked for.
    max_output_tokens, temperature
        Not sent where None.
    extra : mapping
        Further parameters of the call, for example ``seed``.
    """

    model: str
    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    form: Form = "text"
    max_output_tokens: int | None = None
    temperature: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @computed_once
    def sha256(self) -> str:
        """Digest of all of it."""
        parts = {
            "model": self.model,
            "messages": [list(message) for message in self.messages],
            "schema": _digest_of(self.schema),
            "form": self.form,
            "max_output_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "extra": dict(self.extra),
        }
        text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


_digests: dict[int, tuple[Mapping[str, Any], str]] = {}  # the schema is kept, so that its id stays its own


def _digest_of(schema: Mapping[str, Any] | None) -> str:
    """Digest of a schema; all cases of a run share one, which is large."""
    if schema is None:
        return ""
    held = _digests.get(id(schema))
    if held is None:
        text = json.dumps(schema, sort_keys=True, ensure_ascii=True)
        held = (schema, hashlib.sha256(text.encode()).hexdigest())
        if len(_digests) >= 256:
            _digests.clear()
        _digests[id(schema)] = held
    return held[1]


class Usage(NamedTuple):
    """Tokens of one call; `cached` of the `read` ones came from the server's prefix cache."""

    read: int = 0
    cached: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered, before anybody has looked into it.

    Attributes
    ----------
    text : str
        The content, or the arguments of the tool call.
    finish : str
        Why the model stopped: ``stop``, ``length``, ``content_filter``, ``tool_calls``.
    refusal : str
        The model's refusal in its own words; empty otherwise.
    """

    text: str
    finish: str = "stop"
    refusal: str = ""
    usage: Usage = field(default_factory=Usage)
    request_id: str = ""
    model: str = ""
    latency_s: float = 0.0


class CallError(Exception):
    """One attempt at a call failed.

    Attributes
    ----------
    kind : str
        For one that may pass: ``rate_limit``, ``overloaded``, ``server``, ``timeout``, ``connection``,
        ``cut_off``.
        For one that cannot: ``key``, ``model``, ``context``, ``request``, ``no_api``, ``egress``.
    retry_after_s : float or None
        What the server asked for.
    """

    PASSING = frozenset(("rate_limit", "overloaded", "server", "timeout", "connection", "cut_off"))

    def __init__(
        self, kind: str, detail: str, *, retry_after_s: float | None = None, status: int | None = None
    ):
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.retry_after_s, self.status = kind, detail, retry_after_s, status

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed later."""
        return self.kind in self.PASSING


class AnswerError(ValueError):
    """An answer arrived that cannot be read; its text is the fault, in words that the model can be told."""


class ChatClient(Protocol):
    """A chat model at an endpoint: one attempt per call, no retries of its own."""

    model: str
    endpoints: tuple[str, ...]

    async def send(self, request: Request) -> Reply:
        """Make one attempt.

        Raises
        ------
        CallError
            If no answer arrived in full.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def transcript(messages: Sequence[Message]) -> str:
    """Return messages as one text, for showing and counting."""
    return "\n\n".join(f"[{m.role}]\n{m.content}" for m in messages)
