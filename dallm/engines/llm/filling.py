"""A run of filling: what is held is taken, the rest is asked, answers come back in the order of the cases."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from dallm.engines.base import Case, CaseAnswer, Draft
from dallm.engines.llm.cache.store import AnswerCache, CellRecord, answer_key, context_key
from dallm.engines.llm.cache.wordless import wordless
from dallm.engines.llm.cell_answer import FillError
from dallm.engines.llm.drafts import failed_draft
from dallm.engines.llm.gateway import Gateway, Job, Outcome
from dallm.engines.llm.split import merge_answers
from dallm.engines.llm.tokens import estimate_tokens
from dallm.engines.llm.units import Cells, Planner, Unit, look_up
from dallm.engines.llm.wire import AnswerError, Form, Reply
from dallm.errors import UserError

_STRETCH = 5_000  # cases planned at a time: their cells are looked up together
_LEAST_PART = 200  # tokens: a context that is too small for this is no context for reports


class Filling:
    """Fills features of cases through a gateway and a cache.

    Parameters
    ----------
    gateway : Gateway
    planner : Planner
    cache : AnswerCache or None
    model_key : str
        The name of model and place in the cache.
    """

    def __init__(self, gateway: Gateway, planner: Planner, cache: AnswerCache | None, model_key: str) -> None:
        self.gateway = gateway
        self.planner = planner
        self.cache = cache
        self.model_key = model_key

    def run(self, cases: Iterable[Case]) -> Iterator[CaseAnswer]:
        """Yield one answer per case, in the order of `cases`."""
        waiting = iter(cases)
        while stretch := list(itertools.islice(waiting, _STRETCH)):
            yield from self._stretch(stretch)

    def _stretch(self, cases: Sequence[Case]) -> Iterator[CaseAnswer]:
        units = [unit for number, case in enumerate(cases) for unit in self.planner.units(number, case)]
        if self.cache is not None:
            look_up(units, self.planner, self.cache.cells)
        pending = _Pending(cases, units)
        for unit in units:
            if not unit.missing:
                pending.settle(unit, self.planner.drafts(unit, {}, ""))
        yield from pending.ready()
        too_long = self._known_too_long(units)
        in_parts = set(map(id, too_long))
        whole = [unit for unit in units if id(unit) not in in_parts]
        unread: list[Outcome[Cells]] = []
        for outcome in self.gateway.run(self._jobs(whole, pending), on_reply=self._keep):
            if outcome.kind == "context" and _can_be_cut(outcome.key):
                too_long.append(outcome.key)
                self._mark_too_long(outcome.key)
            elif outcome.kind == "unreadable" and self._unproven(self._form(outcome)):
                unread.append(outcome)  # perhaps the server does not know the form: the others will show it
            else:
                pending.settle(outcome.key, self._drafts(outcome))
                yield from pending.ready()
        for outcome in self._in_other_form(unread):
            pending.settle(outcome.key, self._drafts(outcome))
            yield from pending.ready()
        for unit in too_long:
            pending.settle(unit, self._in_parts(unit))
            yield from pending.ready()
        yield from pending.ready()  # those that were settled without a call, behind the last one

    def _known_too_long(self, units: Sequence[Unit]) -> list[Unit]:
        """The units that an earlier run found too long: they are not asked in one piece again."""
        if self.cache is None:
            return []
        marks = [(_too_long(unit), unit) for unit in units if unit.missing and _can_be_cut(unit)]
        found = self.cache.cells(mark for mark, _ in marks)
        return [unit for mark, unit in marks if mark in found]

    def _mark_too_long(self, unit: Unit, limit: int | None = None) -> None:
        if self.cache is not None:
            self.cache.put_cells(_too_long(unit, limit), "", {})

    def _in_other_form(self, unread: Sequence[Outcome[Cells]]) -> Iterator[Outcome[Cells]]:
        """Ask again in another form, while no answer in theirs could be read; the others stay as they are."""
        gateway = self.gateway
        again: list[Outcome[Cells]] = []
        for outcome in unread:
            if self._unproven(self._form(outcome)) and gateway.give_up_form(outcome):
                again.append(outcome)
            else:
                yield outcome
        if not again:
            gateway.try_forms_again()
            return
        for outcome in again:
            outcome.key.asked_again = False
        still: list[Outcome[Cells]] = []
        for outcome in gateway.run((self.planner.job(o.key) for o in again), on_reply=self._keep):
            if outcome.kind == "unreadable" and self._unproven(self._form(outcome)):
                still.append(outcome)
            else:
                yield outcome
        yield from self._in_other_form(still)

    def _unproven(self, form: Form | None) -> bool:
        return form in ("json_schema", "tool") and form not in self.gateway.forms_read

    @staticmethod
    def _form(outcome: Outcome[Cells]) -> Form | None:
        return outcome.request.form if outcome.request is not None else None

    def _jobs(self, units: Iterable[Unit], pending: _Pending) -> Iterator[Job[Cells]]:
        for unit in units:
            if not unit.missing:
                continue
            job = self.planner.job(unit)
            known = self._known(job)
            if known is None:
                yield job
            else:  # the very request was answered before, by a run that kept no cells of it
                sha256 = job.request.sha256
                self._keep_cells(unit, known, job.request.sha256, answer_key(job.request, self.model_key))
                pending.settle(unit, self.planner.drafts(unit, known, sha256))

    def _known(self, job: Job[Cells]) -> Cells | None:
        reply = self.cache.answer(job.request, self.model_key) if self.cache is not None else None
        if reply is None:
            return None
        try:
            return job.read(reply)
        except AnswerError:
            return None

    def _keep(self, job: Job[Cells], cells: Cells, reply: Reply) -> None:
        """Write an answer down the moment that it was read, before anybody sees it."""
        if self.cache is None:
            return
        sent = job.sent or job.request  # after a fault it was put in other words
        unit: Unit = job.key
        records = self._records(unit, cells, sent.sha256, self.cache)
        self.cache.put_filled(sent, self.model_key, reply, unit.context, records)

    def _keep_cells(self, unit: Unit, cells: Cells, request_sha256: str, key: str) -> None:
        assert self.cache is not None
        self.cache.put_cells(unit.context, key, self._records(unit, cells, request_sha256, self.cache))

    def _records(
        self, unit: Unit, cells: Cells, request_sha256: str, cache: AnswerCache
    ) -> dict[str, CellRecord]:
        records = self.planner.records(cells, request_sha256)
        if cache.cache_text:
            return records
        alike = {id(record): record for record in records.values()}
        alike = {key: wordless(record, unit.case) for key, record in alike.items()}
        return {digest: alike[id(record)] for digest, record in records.items()}

    def _drafts(self, outcome: Outcome[Cells]) -> dict[str, Draft]:
        unit: Unit = outcome.key
        sha256 = outcome.request.sha256 if outcome.request is not None else ""
        if outcome.value is not None:
            return self.planner.drafts(unit, outcome.value, sha256)
        read = dict(outcome.fault.read) if isinstance(outcome.fault, FillError) else {}
        if self.cache is not None and outcome.fault and outcome.reply and outcome.request:
            fault = str(outcome.fault)
            key = self.cache.put_rejected(outcome.request, self.model_key, outcome.reply, fault)
            if read:  # cells of an answer that was readable in part are paid for, too
                self._keep_cells(unit, read, sha256, key)
        drafts = self.planner.drafts(unit, read, sha256)
        reason = f"{outcome.kind or 'unreadable'}: {outcome.error}"
        for feature in unit.missing:
            if feature.name not in drafts:
                drafts[feature.name] = failed_draft(reason, prompt_sha256=sha256 or None)
        return drafts

    def _in_parts(self, unit: Unit) -> dict[str, Draft]:
        """Ask about a report in parts that its model found too long, halving them until they fit."""
        limit = sum(map(estimate_tokens, unit.case.report.values())) // 2
        while limit >= _LEAST_PART:
            if self.cache is not None and self.cache.cells([_too_long(unit, limit)]):
                limit //= 2
                continue
            try:
                parts = [
                    part
                    for part in self.planner.units(unit.number, unit.case, limit)
                    if part.condition == unit.condition
                ]
            except UserError:
                break
            if self.cache is not None:
                look_up(parts, self.planner, self.cache.cells)
            jobs = [self.planner.job(part) for part in parts if part.missing]
            outcomes = {id(o.key): o for o in self.gateway.run(jobs, on_reply=self._keep)}
            if all(outcome.kind != "context" for outcome in outcomes.values()):
                answers = []
                for part in parts:
                    outcome = outcomes.get(id(part))
                    drafts = self.planner.drafts(part, {}, "") if outcome is None else self._drafts(outcome)
                    answers.append(CaseAnswer("", drafts))
                return dict(merge_answers(answers, [part.case for part in parts]).drafts)
            self._mark_too_long(unit, limit)
            limit //= 2
        reason = "context: the model's context is too small for this case beside its instructions"
        return {feature.name: failed_draft(reason) for feature in unit.features}


class _Pending:
    """The units of a stretch of cases, until every unit of a case is settled and its turn has come."""

    def __init__(self, cases: Sequence[Case], units: Iterable[Unit]) -> None:
        self._cases = cases
        self._of: list[list[Unit]] = [[] for _ in cases]
        for unit in units:
            self._of[unit.number].append(unit)
        self._left = [len(of) for of in self._of]
        self._drafts: dict[int, dict[str, Draft]] = {}
        self._next = 0

    def settle(self, unit: Unit, drafts: dict[str, Draft]) -> None:
        self._drafts[id(unit)] = drafts
        self._left[unit.number] -= 1

    def ready(self) -> Iterator[CaseAnswer]:
        while self._next < len(self._cases) and self._left[self._next] == 0:
            units, self._of[self._next] = self._of[self._next], []
            yield self._answer(self._cases[self._next], units)
            self._next += 1

    def _answer(self, case: Case, units: Sequence[Unit]) -> CaseAnswer:
        # parts of one report are merged; groups of features lie side by side
        by_condition: dict[str, list[Unit]] = {}
        for unit in units:
            by_condition.setdefault(unit.condition, []).append(unit)
        merged: dict[str, Draft] = {}
        for parts in by_condition.values():
            answers = [CaseAnswer(case.case_id, self._drafts.pop(id(part))) for part in parts]
            merged |= merge_answers(answers, [part.case for part in parts]).drafts
        return CaseAnswer(case.case_id, merged)


def _can_be_cut(unit: Unit) -> bool:
    return sum(map(estimate_tokens, unit.case.report.values())) >= 2 * _LEAST_PART


def _too_long(unit: Unit, limit: int | None = None) -> bytes:
    """Where the cache keeps that a unit, whole or in parts of `limit` tokens, is too long for its model."""
    return context_key("too long", str(limit), unit.context.hex())
