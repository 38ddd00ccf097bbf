"""The one way to a chat model: many calls at once, bounded, repeated where that can help, each answer read.

Jobs are drawn in the caller's thread, as few as keep the server busy; calls run in the background loop;
outcomes come back as they complete.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from dallm.engines.llm.asking import ask, next_form
from dallm.engines.llm.background import background_loop
from dallm.engines.llm.jobs import CallLog, Job, Outcome, Purse, ask_again
from dallm.engines.llm.limiter import Limiter
from dallm.engines.llm.retry import Standing
from dallm.engines.llm.wire import ChatClient, Form, Reply
from dallm.errors import EngineError, UserError

__all__ = ["CallLog", "Gateway", "Job", "Outcome", "Purse", "ask_again"]

T = TypeVar("T")

_LOOK_S = 0.5  # how often a waiting caller looks whether the loop is still there
_CANCEL_S = 0.5  # how long a caller who leaves waits for calls to be cancelled


class Gateway:
    """Sends jobs to a chat model.

    Parameters
    ----------
    client : ChatClient
        The model.
    max_concurrency : int
        Never more calls at once, over all runs of this gateway.
    tries : int
        Failures after which a call that might have passed is given up.
    ledger, budget : optional
        Where calls are written down before they are sent, and what they may cost together.
    patience_s : float
        A call is not begun again later than so long after its first attempt.

    Examples
    --------
    >>> class Parrot:
    ...     model, endpoints = "parrot", ()
    ...     async def send(self, request):
    ...         return Reply(request.messages[-1].content)
    ...     async def close(self):
    ...         pass
    >>> from dallm.engines.llm.wire import Message, Request
    >>> asked = [Request("parrot", (Message("user", str(n)),)) for n in (1, 2)]
    >>> jobs = [Job(n, request, lambda reply: int(reply.text)) for n, request in enumerate(asked)]
    >>> sorted(outcome.value for outcome in Gateway(Parrot()).run(jobs))
    [1, 2]
    """

    def __init__(
        self,
        client: ChatClient,
        *,
        max_concurrency: int = 32,
        tries: int = 6,
        ledger: CallLog | None = None,
        budget: Purse | None = None,
        patience_s: float = 900.0,
    ) -> None:
        for name, number in (("max_concurrency", max_concurrency), ("tries", tries)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise UserError(f"{name} must be a whole number of at least 1; got {number!r}.")
        self.client = client
        self.max_concurrency = max_concurrency
        self.tries = tries
        self.patience_s = patience_s
        self.ledger = ledger
        self.budget = budget
        self.standing = Standing()
        self.refused_forms: set[Form] = set()
        self.forms_read: set[Form] = set()
        self.forms_unread: Counter[Form] = Counter()
        self._given_up: set[Form] = set()
        self._limiter: Limiter | None = None
        self._process = 0

    @property
    def limiter(self) -> Limiter:
        """The gate of this process; a forked child starts with one of its own."""
        if self._limiter is None or self._process != os.getpid():
            self._limiter, self._process = Limiter(self.max_concurrency), os.getpid()
            if hasattr(self.client, "on_headers"):
                self.client.on_headers = self._limiter.saw
        return self._limiter

    def begin(self) -> None:
        """Take nothing for granted that an earlier run saw: the server may be gone, the key revoked."""
        if self.limiter.idle:
            self.standing = Standing()
            self.limiter.opened = False

    def run(
        self, jobs: Iterable[Job[T]], *, on_reply: Callable[[Job[T], T, Reply], object] | None = None
    ) -> Iterator[Outcome[T]]:
        """Yield the outcome of every job, in the order in which they complete.

        Jobs are drawn as they are needed, at most twice `max_concurrency` ahead. Leaving the iterator early,
        or an interrupt from the keyboard, cancels what is under way.

        Parameters
        ----------
        jobs : iterable of Job
            Drawn in the caller's thread.
        on_reply : callable, optional
            ``on_reply(job, value, reply)``, called in the loop's thread the moment that an answer was read.

        Raises
        ------
        EngineError
            If no call can succeed: a wrong key or model, no server, no chat API at the address.
        EgressError
            If the client may not send the text where it would go.
        """
        if (prepare := getattr(self.client, "prepare", None)) is not None:
            prepare()  # in this thread: its imports would keep the loop's from all else
        run: _Run[T] = _Run(self, on_reply)
        source, drawn_all, open_jobs = iter(jobs), False, 0
        try:
            while True:
                while not drawn_all and open_jobs < 2 * self.max_concurrency:
                    try:
                        job = next(source)
                    except StopIteration:
                        drawn_all = True
                        break
                    run.start(job)
                    open_jobs += 1
                    if not run.outcomes.empty():
                        break
                if not open_jobs:
                    return
                outcome = run.next_outcome()
                open_jobs -= 1
                yield outcome
        finally:
            run.cancel()

    def ask(self, job: Job[T]) -> Outcome[T]:
        """Return the outcome of one job."""
        return next(iter(self.run([job])))

    def give_up_form(self, outcome: Outcome[Any]) -> bool:
        """Give up the form of an answer that could not be read, if none in that form ever could be.

        Some servers take a form and ignore it. Returns whether asking again in another form is worth a call:
        what the model refused, cut off or left empty would be no better there.
        """
        request, reply = outcome.request, outcome.reply
        if request is None or reply is None or reply.refusal or reply.finish == "length" or not reply.text:
            return False
        if request.form in self.refused_forms:  # another run of this gateway found it so
            return True
        if request.form in self.forms_read or next_form(request.form, self.refused_forms) is None:
            return False
        self.refused_forms.add(request.form)
        self._given_up.add(request.form)
        return True

    def try_forms_again(self) -> None:
        """Take back what was given up, if no other form did better: the fault was not the form's."""
        if not self.forms_read:
            self.refused_forms -= self._given_up
        self._given_up.clear()

    def close(self) -> None:
        """Close the client's connections."""
        background_loop().submit(self.client.close()).result(_LOOK_S)


class _Run(Generic[T]):
    """The jobs of one call of `run`, between the caller's thread and the loop's."""

    def __init__(self, gateway: Gateway, on_reply: Callable[[Job[T], T, Reply], object] | None) -> None:
        self.gateway = gateway
        self.on_reply = on_reply
        self.outcomes: queue.SimpleQueue[Outcome[T] | BaseException] = queue.SimpleQueue()
        self._loop = background_loop().loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self._loop.call_soon_threadsafe(gateway.begin)

    def start(self, job: Job[T]) -> None:
        self._loop.call_soon_threadsafe(self._start, job)

    def next_outcome(self) -> Outcome[T]:
        while True:
            try:
                found = self.outcomes.get(timeout=_LOOK_S)
            except queue.Empty:
                if not self._loop.is_running():
                    raise EngineError(
                        "The calls were ended from outside: the process is being shut down."
                    ) from None
                continue
            if isinstance(found, BaseException):
                raise found
            return found

    def cancel(self) -> None:
        """Cancel what is under way; waits for that, but not for long."""
        if not self._loop.is_running():
            return
        gone = threading.Event()
        self._loop.call_soon_threadsafe(self._cancel, gone)
        gone.wait(_CANCEL_S)

    def _start(self, job: Job[T]) -> None:
        if self._over:
            return
        task = self._loop.create_task(self._finish(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, job: Job[T]) -> None:
        try:
            self.outcomes.put(await ask(self.gateway, job, self.on_reply))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever it is, the caller's thread is where it belongs
            self._over = True
            self.outcomes.put(error)
            for task in self._tasks - {asyncio.current_task(self._loop)}:
                task.cancel()

    def _cancel(self, gone: threading.Event) -> None:
        self._over = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            gone.set()
            return
        ending = asyncio.gather(*tasks, return_exceptions=True)
        ending.add_done_callback(lambda _: gone.set())
