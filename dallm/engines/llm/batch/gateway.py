"""A gateway whose answers come out of batches: what is there is read, the rest is put into the next one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, TypeVar, cast

from dallm.engines.llm.asking import next_form
from dallm.engines.llm.batch.inbox import reply_within
from dallm.engines.llm.batch.outbox import Outbox
from dallm.engines.llm.batch.records import BatchRecords, Row
from dallm.engines.llm.budget import HeldError
from dallm.engines.llm.cache.store import answer_key
from dallm.engines.llm.clients import faults
from dallm.engines.llm.clients.body import body_of
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.gateway import Gateway
from dallm.engines.llm.jobs import CallLog, Job, Outcome, Purse
from dallm.engines.llm.wire import AnswerError, CallError, ChatClient, Form, Reply, Request
from dallm.errors import BudgetError, EngineError

T = TypeVar("T")

WAITING = "waiting"
"""Kind of the outcome of a job whose answer is not there yet."""

_TRIES = 3  # batches in which a request may come to nothing
_FORM = "form:"
_SENT_ONLY = ("model", "messages")


class BatchGateway(Gateway):
    """Answers jobs from batches.

    The course of a job is the same as of a call: an answer that cannot be read is asked for once more, then
    in another form if no answer in this one could be read. Every step is a request of its own, which follows
    from the answer before; so a later process finds its way by what is kept, and sends nothing twice.

    Parameters
    ----------
    chat : OpenAIChat
    outbox : Outbox
    model_key : str
    ledger : CallLog or None
    budget : Purse or None
        With the prices of the batch interface.
    reserved : mutable mapping
        What was set aside for requests, by key; it outlives the gateway.
    """

    def __init__(
        self,
        chat: OpenAIChat,
        outbox: Outbox,
        model_key: str,
        *,
        ledger: CallLog | None = None,
        budget: Purse | None = None,
        reserved: MutableMapping[str, Any] | None = None,
    ) -> None:
        super().__init__(cast("ChatClient", chat), max_concurrency=1, ledger=ledger, budget=budget)
        self.chat, self.outbox, self.model_key = chat, outbox, model_key
        self.records: BatchRecords = outbox.records
        self.waiting = 0
        self.last_pass = False
        self.settled: set[str] = set()
        self._reserved = {} if reserved is None else reserved
        self._counted: set[str] = set()
        self._refused: dict[str, str] = {}
        self._held = False
        for what in self.records.learnt(model_key):
            if what.startswith(_FORM):
                self.refused_forms.add(what.removeprefix(_FORM))  # type: ignore[arg-type]
            else:
                chat._left_out.add(what)

    def begin_pass(self) -> None:
        """Count what waits anew."""
        self._held = self._held and not self.records.batches(self.model_key, "submitted")
        self.waiting = 0

    def run(
        self, jobs: Iterable[Job[T]], *, on_reply: Callable[[Job[T], T, Reply], object] | None = None
    ) -> Iterator[Outcome[T]]:
        """Yield the outcome of every job; of those that wait, one of the kind :data:`WAITING`."""
        for job in jobs:
            outcome = self._outcome(job, on_reply)
            if outcome is None and self.last_pass:
                outcome = Outcome(job.key, None, None, "no batch brought an answer", "server")
            if outcome is None:
                self.waiting += 1
                outcome = Outcome(job.key, None, None, "the answer is not there yet", WAITING)
            yield outcome

    def close(self) -> None:
        """The connections are the client's, whose gateway closes them."""

    def _outcome(
        self, job: Job[T], on_reply: Callable[[Job[T], T, Reply], object] | None
    ) -> Outcome[T] | None:
        request, fault, asked = job.request, None, []
        attempts = 0
        while True:
            request = self._in_known_form(job, request)
            key = answer_key(request, self.model_key)
            asked.append(key)
            row = self.records.row(key)
            if row is None or row.state != "arrived":
                return self._not_there(job, request, key, row)
            attempts += 1
            try:
                reply = self._reply(request, row)
            except CallError as error:
                self._count(key, request, None, error.kind)
                if isinstance(error, faults.FormError):
                    self._refuse_form(error)
                    request, fault = job.request, None
                elif error.may_pass or isinstance(error, faults.ParameterError):
                    self._learn(error)
                    self.records.lost(key)
                else:
                    return self._failed(job, request, error, asked, attempts)
                continue
            self._count(key, request, reply, "")
            try:
                value = job.read(reply)
            except AnswerError as error:
                if fault is None:
                    fault = error
                    request = job.again(request, reply, error)
                    continue
                self.settled.update(asked)
                return Outcome(job.key, None, reply, str(error), "unreadable", attempts, request, error)
            self.forms_read.add(request.form)
            job.sent = request
            if on_reply is not None:
                on_reply(job, value, reply)
            self.settled.update(asked)
            return Outcome(job.key, value, reply, attempts=attempts, request=request)

    def _not_there(self, job: Job[T], request: Request, key: str, row: Row | None) -> Outcome[T] | None:
        """Put a request into the next batch, if it is in none; None where its answer may come."""
        if row is not None and row.state == "asked":
            return None
        if row is not None:
            self._count(key, request, None, "not_sent")
            if row.tries >= _TRIES:
                self.settled.add(key)
                why = f"{row.tries} batches ended without an answer to this request"
                return Outcome(job.key, None, None, why, "server", row.tries, request)
        if self.last_pass and key in self._refused:
            return Outcome(job.key, None, None, self._refused[key], "budget", 0, request)
        if self.last_pass or key in self.outbox:
            return None
        sent = request
        if self.budget is not None:
            try:
                self._reserved[key] = self.budget.reserve(request)
            except BudgetError as error:
                if isinstance(error, HeldError) and not self._held:
                    return None  # what comes back of batches under way may do
                self._refused[key] = str(error)
                return Outcome(job.key, None, None, str(error), "budget", 0, request)
            sent = self.budget.limited(request)
        body = body_of(sent, self.chat._left_out, new_names=self.chat._new_names)
        self.outbox.add(key, request, body)
        return None

    def stuck(self) -> bool:
        """Tell whether what waits does so in vain: no batch is under way that could give back of a budget."""
        if self._held or self.records.batches(self.model_key, "submitted"):
            return False
        self._held = True
        return True

    def _reply(self, request: Request, row: Row) -> Reply:
        """The answer in a row of results, or the error that stands there."""
        status, body = row.body.get("status"), row.body.get("body")
        try:
            return reply_within(status, body, str(row.body.get("request_id") or ""))
        except CallError as error:
            if not isinstance(status, int) or not 300 <= status < 600:
                raise
            text = body if isinstance(body, str) else json.dumps(body)
            told = faults.of_status(
                status,
                {},
                text,
                request,
                address=self.chat._shown,
                sent=[name for name in body_of(request) if name not in _SENT_ONLY],
            )
            if isinstance(told, faults.FilteredError):
                return Reply("", finish="content_filter", refusal=told.detail, model=request.model)
            raise told from error

    def _failed(
        self, job: Job[T], request: Request, error: CallError, asked: list[str], attempts: int
    ) -> Outcome[T]:
        if error.kind in ("key", "model", "no_api"):
            self.records.settle(asked)  # once that is mended it can be asked again
            raise EngineError(f"{self.chat.model} at {self.chat._shown}: {error}.")
        self.settled.update(asked)
        return Outcome(job.key, None, None, error.detail, error.kind, attempts, request)

    def _in_known_form(self, job: Job[T], request: Request) -> Request:
        form = request.form
        if form not in self.refused_forms:
            return request
        other = next_form(form, self.refused_forms)
        if other is None or job.in_form is None:
            raise EngineError(
                f"{self.chat.model} at {self.chat._shown} takes none of the forms of an answer."
            )
        return job.in_form(other)

    def _refuse_form(self, error: faults.FormError) -> None:
        form: Form = error.form
        if next_form(form, self.refused_forms) is None:
            raise EngineError(f"{self.chat.model} at {self.chat._shown}: {error.detail}.")
        self.refused_forms.add(form)
        self.records.learn(self.model_key, _FORM + form)

    def _learn(self, error: CallError) -> None:
        """Leave out from now on what the model refused."""
        if isinstance(error, faults.ParameterError) and error.parameter not in self.chat._left_out:
            self.chat._left_out.add(error.parameter)
            self.records.learn(self.model_key, error.parameter)

    def _count(self, key: str, request: Request, reply: Reply | None, kind: str) -> None:
        """Count a request against the budget, once, when it is known what it came to."""
        if self.budget is None or (key in self._counted and key not in self._reserved):
            return
        self._counted.add(key)
        reservation = self._reserved.pop(key, None)
        if reservation is None and reply is None:
            return
        self.budget.settle((-1, request) if reservation is None else reservation, reply, kind)
