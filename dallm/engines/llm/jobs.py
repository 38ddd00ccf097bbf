"""A question to a model, what becomes of it, and what a gateway needs of those who keep count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from dallm.engines.llm.wire import AnswerError, Form, Message, Reply, Request

T = TypeVar("T")


def ask_again(request: Request, reply: Reply, fault: AnswerError) -> Request:
    """Return a request for a better answer: the fault is named, a cut-off answer gets more room.

    Examples
    --------
    >>> asked = Request("m", (Message("user", "How many?"),))
    >>> again = ask_again(asked, Reply("many"), AnswerError("'many' is no number"))
    >>> [message.role for message in again.messages]
    ['user', 'assistant', 'user']
    """
    if reply.finish == "length" and request.max_output_tokens is not None:
        return replace(request, max_output_tokens=2 * request.max_output_tokens)
    words = f"This answer cannot be used: {fault}. Give the whole answer again, in the form asked for."
    said = Message("assistant", reply.text or reply.refusal or "(no answer)")
    return replace(request, messages=(*request.messages, said, Message("user", words)))


@dataclass(slots=True)
class Job(Generic[T]):
    """One question to a model.

    Parameters
    ----------
    key : object
        Whose question it is; handed back with the outcome, and written into the ledger.
    request : Request
        What is sent.
    read : callable
        Makes a value of the reply, or raises AnswerError; called in the loop's thread.
    again : callable
        Makes the second request, ``again(request, reply, fault)``, after an answer that could not be read.
    in_form : callable or None
        Makes the request in another form, ``in_form(form)``, for a server that does not take the first one;
        without it the same messages are sent.
    sent : Request or None
        The request that was answered, known when `on_reply` is called: it may be a second one.
    """

    key: Any
    request: Request
    read: Callable[[Reply], T]
    again: Callable[[Request, Reply, AnswerError], Request] = ask_again
    in_form: Callable[[Form], Request] | None = None
    sent: Request | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of a job.

    Attributes
    ----------
    key : object
        The job's.
    value
        What `read` made of the reply; None where it failed.
    reply : Reply or None
        The last answer that arrived, if one did.
    error, kind : str
        Empty, or what went wrong: ``unreadable``, ``budget``, or the kind of a CallError.
    attempts : int
        Requests that were sent.
    request : Request
        The last one.
    fault : AnswerError or None
        What `read` raised for the last answer, with all that it carries.
    """

    key: Any
    value: T | None
    reply: Reply | None
    error: str = ""
    kind: str = ""
    attempts: int = 0
    request: Request | None = None
    fault: AnswerError | None = None


class CallLog(Protocol):
    """What a gateway needs of a ledger; called in the loop's thread."""

    def intend(self, request: Request, key: Any) -> Any:
        """Write down that a call is about to be sent."""
        ...

    def done(self, call_id: Any, reply: Reply, cost: float | None, retries: int) -> object:
        """Write down that its answer arrived."""
        ...

    def failed(self, call_id: Any, kind: str) -> object:
        """Write down that none did."""
        ...


class Purse(Protocol):
    """What a gateway needs of a budget; called in the loop's thread."""

    def limited(self, request: Request) -> Request:
        """Return the request as it is sent, with a bound on its answer where one is needed."""
        ...

    def look(self, request: Request) -> None:
        """Raise what `reserve` would raise, and set nothing aside."""
        ...

    def reserve(self, request: Request) -> Any:
        """Set aside what a call may cost at most; HeldError or BudgetError."""
        ...

    def settle(self, reservation: Any, reply: Reply | None, kind: str = "") -> float | None:
        """Replace what was set aside by what the call did cost, and return that; None: not known."""
        ...
