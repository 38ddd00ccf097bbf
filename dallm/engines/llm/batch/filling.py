"""A run of filling in batch mode: asked in one go, waited for or left, collected by the same call."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dallm.engines.base import Case, CaseAnswer, Draft
from dallm.engines.llm.batch.gateway import WAITING, BatchGateway
from dallm.engines.llm.batch.inbox import Inbox, ends_in
from dallm.engines.llm.cache.store import AnswerCache
from dallm.engines.llm.filling import Filling
from dallm.engines.llm.jobs import Job, Outcome
from dallm.engines.llm.units import Cells, Planner, Unit
from dallm.errors import BatchPendingError

_FIRST_S, _LONGEST_S = 0.5, 30.0  # between two looks at a batch


class BatchFilling(Filling):
    """Fills features of cases through batches.

    The cases are gone through as often as it takes: what has an answer goes into the cache, what has none
    into a batch, and when nothing waits any more, the answers are given out.

    Parameters
    ----------
    gateway : BatchGateway
    inbox : Inbox
    planner : Planner
    cache : AnswerCache
    model_key : str
    wait_s : float
        How long to wait for answers before the caller is told to come back.
    """

    gateway: BatchGateway

    def __init__(
        self,
        gateway: BatchGateway,
        inbox: Inbox,
        planner: Planner,
        cache: AnswerCache,
        model_key: str,
        *,
        wait_s: float,
    ) -> None:
        super().__init__(gateway, planner, cache, model_key)
        self.inbox, self.wait_s = inbox, wait_s
        self._failed: dict[bytes, dict[str, Draft]] = {}

    def run(self, cases: Iterable[Case]) -> Iterator[CaseAnswer]:
        """Yield one answer per case, in the order of `cases`, once all are there.

        Raises
        ------
        BatchPendingError
            If they are not yet; the same call collects them later.
        EngineError
            If the server refuses a batch, or has no such interface.
        """
        listed = list(cases)
        try:
            self._ask_until_there(listed)
            self.gateway.last_pass = True
            yield from super().run(listed)
            self.gateway.records.settle(self.gateway.settled)
        finally:
            self.gateway.outbox.clear()

    def _ask_until_there(self, cases: Sequence[Case]) -> None:
        until = time.monotonic() + self.wait_s
        gateway, outbox, inbox = self.gateway, self.gateway.outbox, self.inbox
        while True:
            with gateway.records.alone():
                outbox.recover()
                inbox.look()
                if inbox.too_much:
                    outbox.most = max(1, inbox.too_much // 2)
                if not (inbox.too_much and inbox.with_server):  # else the others go first
                    gateway.begin_pass()
                    for _ in super().run(cases):
                        pass
                    outbox.hand_over()
                    if not gateway.waiting:
                        return
                inbox.too_much = 0
            if not gateway.stuck():
                self._wait(until)

    def _wait(self, until: float) -> None:
        """Return when a batch is over."""
        pause = _FIRST_S
        while True:
            with self.gateway.records.alone():
                if self.inbox.look() or not self.inbox.with_server:
                    return
            left = until - time.monotonic()
            if left <= 0:
                raise BatchPendingError(self._pending())
            time.sleep(min(pause, left))
            pause = min(_LONGEST_S, 1.5 * pause)

    def _pending(self) -> str:
        waiting = self.inbox.with_server
        done, count = sum(b.done for b in waiting), sum(b.requests for b in waiting)
        batches = "1 batch is" if len(waiting) == 1 else f"{len(waiting):,} batches are"
        return (
            f"{batches} with {self.inbox.service.address} ({', '.join(b.id for b in waiting[:4])}"
            f"{', ...' if len(waiting) > 4 else ''}), {done:,} of {count:,} requests done. Come back "
            f"later: the same call collects the answers{ends_in(waiting)}; nothing is asked or paid twice."
        )

    def _jobs(self, units: Iterable[Unit], pending: Any) -> Iterator[Job[Cells]]:
        wanted = []
        for unit in units:
            if unit.missing and unit.context in self._failed:  # in this run it was asked to the end
                pending.settle(unit, self._failed[unit.context])
            else:
                wanted.append(unit)
        yield from super()._jobs(wanted, pending)

    def _drafts(self, outcome: Outcome[Cells]) -> dict[str, Draft]:
        if outcome.kind == WAITING:
            return {}  # this pass is for asking only
        drafts = super()._drafts(outcome)
        if outcome.value is None and outcome.kind != "budget":
            self._failed[outcome.key.context] = drafts
        return drafts
