"""One job from its first request to its outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from dallm.egress.addresses import is_public
from dallm.engines.llm.budget import HeldError
from dallm.engines.llm.clients.faults import FormError, without_user
from dallm.engines.llm.jobs import Job, Outcome
from dallm.engines.llm.retry import Course
from dallm.engines.llm.wire import AnswerError, CallError, Form, Reply
from dallm.errors import BudgetError, EngineError

if TYPE_CHECKING:
    from dallm.engines.llm.gateway import Gateway

T = TypeVar("T")

_FORMS: tuple[Form, ...] = ("json_schema", "tool", "template")
_UNREAD = 3  # jobs whose answers in one form could not be read, with none that could, before it is given up
_HELD_S = 0.05  # how often a call looks whether others have given back what they set aside
_ALONE_S = 0.25  # how long the first call of all goes alone: a wrong key is told sooner than an answer comes
_ALONE_NEAR_S = 0.08  # the same for a server on this machine or beside it


class _GivenUpError(Exception):
    """A call came to nothing."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class _Asking:
    """One job under way."""

    def __init__(self, gateway: Gateway, job: Job[Any]) -> None:
        self.gateway, self.job = gateway, job
        self.request = job.request
        self.attempts = 0
        self.reply: Reply | None = None

    def outcome(self, value: Any = None, **failure: Any) -> Outcome[Any]:
        return Outcome(
            self.job.key, value, self.reply, attempts=self.attempts, request=self.request, **failure
        )

    async def answer(self) -> Reply:
        """Return the server's answer to the request, after as many attempts as it takes."""
        gateway = self.gateway
        course = Course(gateway.standing, gateway.tries, gateway.patience_s)
        again = False
        while True:
            try:
                return await self._attempt(course.failures + course.refusals, again=again)
            except FormError as error:
                if next_form(error.form, gateway.refused_forms) is None:
                    raise EngineError(
                        f"{gateway.client.model} at {_address(gateway)}: {error.detail}."
                    ) from None
                gateway.refused_forms.add(error.form)
                wait: float | None = 0.0
            except CallError as error:
                wait = course.wait_after(error, gateway.client.model, _address(gateway))
                if wait is None:
                    raise _GivenUpError(error.kind, error.detail) from None
            again = True
            if wait:
                await asyncio.sleep(wait)

    def other_form(self) -> bool:
        """Turn to another form where no answer in this one could be read: some servers ignore it."""
        gateway, form = self.gateway, self.request.form
        if form in gateway.forms_read or self.reply is None:
            return False
        if self.reply.finish == "length" or self.reply.refusal or not self.reply.text:
            return False
        gateway.forms_unread[form] += 1
        if gateway.forms_unread[form] < _UNREAD or next_form(form, gateway.refused_forms) is None:
            return False
        gateway.refused_forms.add(form)
        self.request = self.job.request
        return True

    def _fit_form(self) -> None:
        """Ask in a form that the server has not refused."""
        form = self.request.form
        if form not in self.gateway.refused_forms:
            return
        other = next_form(form, self.gateway.refused_forms)
        if other is None:
            raise EngineError(f"{self.gateway.client.model} takes none of the forms {', '.join(_FORMS)}.")
        make = self.job.in_form
        self.request = make(other) if make is not None else replace(self.request, form=other)

    async def _attempt(self, failures: int, *, again: bool) -> Reply:
        gateway, limiter = self.gateway, self.gateway.limiter
        reservation = await self._enter(again=again)
        if not limiter.opened:
            near = gateway.client.endpoints and not any(map(is_public, gateway.client.endpoints))
            limiter.open_in(_ALONE_NEAR_S if near else _ALONE_S)
        started = time.monotonic()
        request, budget, kind = self.request, gateway.budget, "cancelled"
        reply: Reply | None = None
        try:
            call_id = gateway.ledger.intend(request, self.job.key) if gateway.ledger is not None else None
            self.attempts += 1
            try:
                reply = await gateway.client.send(budget.limited(request) if budget is not None else request)
            except CallError as error:
                kind = error.kind
                if gateway.ledger is not None:
                    gateway.ledger.failed(call_id, error.kind)
                self._tell_limiter(error, started)
                raise
            finally:  # whatever ended the call, what was set aside for it is free again, or spent
                cost = budget.settle(reservation, reply, kind) if budget is not None else None
            if gateway.ledger is not None:
                gateway.ledger.done(call_id, reply, cost, failures)
            gateway.standing.answered()
            limiter.succeeded(reply.usage.read + reply.usage.written)
            return reply
        finally:
            limiter.leave()

    async def _enter(self, *, again: bool) -> Any:
        """Pass the gate, with what the call may cost set aside."""
        gateway, limiter = self.gateway, self.gateway.limiter
        while True:
            await self._afford()
            await limiter.enter(again=again)
            try:
                self._fit_form()  # not before its turn: the call before it may have found the form refused
                return gateway.budget.reserve(self.request) if gateway.budget is not None else None
            except HeldError:  # another call was quicker
                limiter.leave()
                again = True
            except BudgetError as error:
                limiter.leave()
                raise _GivenUpError("budget", str(error)) from None
            except BaseException:
                limiter.leave()
                raise

    async def _afford(self) -> None:
        """Wait, before the gate, until what the call may cost is not set aside for others."""
        budget = self.gateway.budget
        while budget is not None:
            try:
                budget.look(self.request)
                break
            except HeldError:
                await asyncio.sleep(_HELD_S)
            except BudgetError as error:
                raise _GivenUpError("budget", str(error)) from None

    def _tell_limiter(self, error: CallError, started: float) -> None:
        limiter = self.gateway.limiter
        if error.kind in ("rate_limit", "overloaded", "timeout"):
            limiter.refused(started, wait_s=error.retry_after_s)
        elif error.retry_after_s is not None:
            limiter.pause(error.retry_after_s)
        if error.may_pass and error.kind != "connection":
            limiter.open()


async def ask(
    gateway: Gateway, job: Job[T], on_reply: Callable[[Job[T], T, Reply], object] | None
) -> Outcome[T]:
    """Return what becomes of a job: asked, read, and asked once more if it could not be read.

    Raises
    ------
    EngineError
        If no other job can succeed either.
    """
    asking = _Asking(gateway, job)
    fault: AnswerError | None = None
    while True:
        try:
            asking.reply = await asking.answer()
            value = job.read(asking.reply)
            break
        except AnswerError as error:
            if fault is None:
                fault = error
                asking.request = job.again(asking.request, asking.reply or Reply(""), error)
            elif asking.other_form():
                fault = None
            else:
                return asking.outcome(error=str(error), kind="unreadable", fault=error)
        except _GivenUpError as given_up:
            return asking.outcome(error=given_up.detail, kind=given_up.kind, fault=fault)
    gateway.forms_read.add(asking.request.form)
    job.sent = asking.request
    if on_reply is not None:
        on_reply(job, value, asking.reply)
    return asking.outcome(value)


def next_form(form: Form, refused: set[Form]) -> Form | None:
    """The next form to ask in; None after the last."""
    if form not in _FORMS:
        return None
    later = _FORMS[_FORMS.index(form) + 1 :]
    return next((other for other in later if other not in refused), None)


def _address(gateway: Gateway) -> str:
    return ", ".join(without_user(address) for address in gateway.client.endpoints) or "its endpoint"
