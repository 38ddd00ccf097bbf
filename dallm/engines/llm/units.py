"""What is asked of a model: one unit per call, with the features that nothing is held of yet."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dallm.ack.ack import Ack
from dallm.engines.base import Case, Draft
from dallm.engines.llm.assemble import FillPrompt, repair_message
from dallm.engines.llm.cache.store import Held, context_key
from dallm.engines.llm.cache.wordless import is_restorable, restored
from dallm.engines.llm.cell_answer import CellAnswer, FillError
from dallm.engines.llm.drafts import to_draft
from dallm.engines.llm.jobs import Job
from dallm.engines.llm.published import lesion_groups, published_messages
from dallm.engines.llm.reading import FillReader, Naming
from dallm.engines.llm.schema import fill_schema
from dallm.engines.llm.settings import Settings
from dallm.engines.llm.split import split_report
from dallm.engines.llm.tokens import estimate_tokens
from dallm.engines.llm.wire import AnswerError, Form, Message, Reply, Request
from dallm.features import Feature, FeatureSet

_FIELDS = ("value", "quote", "field", "rationale", "basis")
Cells = dict[str, CellAnswer]


@dataclass(slots=True)
class Unit:
    """One call: a case or a part of one, and a group of features.

    `number` is the place of the case in its stretch; `held` what the cache gave, by the feature's name.
    """

    number: int
    case: Case
    condition: str
    features: tuple[Feature, ...]
    context: bytes
    held: dict[str, Held]
    asked_again: bool = False

    @property
    def missing(self) -> tuple[Feature, ...]:
        """The features to ask for."""
        if not self.held:
            return self.features
        return tuple(feature for feature in self.features if feature.name not in self.held)


class Planner:
    """Makes units of cases, and jobs of units; what all cases share is made once.

    Parameters
    ----------
    settings : Settings
    model, model_key : str
        The name that the server knows, and the name of model and place in the cache.
    features : tuple of Feature
    ack : Ack or None
    shared_schema : bool, default=False
        Whether cells that are alike are described once, with references: for servers that bill the schema
        and resolve them.
    labels : mapping, optional
        Each case's line with its targets, to reproduce the published leak.
    """

    def __init__(
        self,
        settings: Settings,
        model: str,
        model_key: str,
        features: tuple[Feature, ...],
        ack: Ack | None,
        *,
        shared_schema: bool = False,
        labels: Mapping[str | int, str] | None = None,
    ) -> None:
        self.labels = labels or {}
        self.settings = settings
        self.model = model
        self.features = features
        self.ack = ack if settings.knowledge else None
        self.digests = {feature.name: _digest(feature) for feature in features}
        self._published = settings.template("published")
        self._repair = settings.template("repair")
        self._shared = (self.ack.digest if self.ack else "", settings.digest(), model_key)
        published = settings.layout == "as_published"
        self.form: Form = "template" if published else "json_schema"
        self._groups = lesion_groups(features) if published else [("", features)]
        self._prompt = functools.lru_cache(maxsize=8)(self._prompt_in)
        self._schema = functools.lru_cache(maxsize=256)(functools.partial(fill_schema, shared=shared_schema))
        self._limit: int | None = None
        self._naming = Naming()

    def units(self, number: int, case: Case, limit: int | None = None) -> list[Unit]:
        """Return the calls for one case; a report over the limit is cut into parts."""
        room = limit or self._room()
        long = sum(map(len, case.report.values())) > room  # no token is shorter than a character
        parts = split_report(case, room) if long else [case]
        return [
            Unit(number, part, condition, group, self._context(part, condition), {})
            for part in parts
            for condition, group in self._groups
        ]

    def hold(self, unit: Unit, held: Mapping[str, Held]) -> None:
        """Give a unit what the cache holds of its features."""
        if not held:
            return
        for feature in unit.features:
            found = held.get(self.digests[feature.name])
            if found is not None and is_restorable(found.record, unit.case):
                unit.held[feature.name] = found

    def job(self, unit: Unit) -> Job[Cells]:
        """Return the call for what a unit still misses."""
        missing = unit.missing
        reader = FillReader(self.form, missing, unit.case, self._naming)

        def in_form(form: Form) -> Request:
            reader.form = form
            return self._request(unit, missing, form)

        def again(request: Request, reply: Reply, fault: AnswerError) -> Request:
            unit.asked_again = True
            left = fault.missing if isinstance(fault, FillError) else reader.missing
            return self._again(request, reply, fault, left, missing)

        return Job(unit, self._request(unit, missing, self.form), reader, again, in_form)

    def records(self, cells: Mapping[str, CellAnswer], request_sha256: str) -> dict[str, dict[str, Any]]:
        """Return cells as the cache keeps them, by the feature's digest."""
        alike: dict[int, dict[str, Any]] = {}  # cells that are one object become one record
        for cell in cells.values():
            if id(cell) not in alike:
                alike[id(cell)] = {**dict(zip(_FIELDS, cell, strict=True)), "request": request_sha256}
        return {self.digests[name]: alike[id(cell)] for name, cell in cells.items()}

    def drafts(self, unit: Unit, cells: Mapping[str, CellAnswer], request_sha256: str) -> dict[str, Draft]:
        """Return a unit's cells as drafts: those held, and those just read."""
        made: dict[str, Draft] = {}
        unsaid: dict[int, Draft] = {}  # cells of which nothing is stated are one draft where they are alike
        for feature in unit.features:
            held = unit.held.get(feature.name)
            source: Held | CellAnswer | None = held or cells.get(feature.name)
            if source is None:
                continue
            draft = unsaid.get(id(source))
            if draft is None:
                draft = self._draft(unit, feature, source, request_sha256)
                if draft is None:
                    continue
                if draft.status == "not_documented" and not draft.reason:
                    unsaid[id(source)] = draft
            made[feature.name] = draft
        return made

    def _draft(self, unit: Unit, feature: Feature, source: Held | CellAnswer, sha256: str) -> Draft | None:
        cached = isinstance(source, Held)
        cell: CellAnswer | None
        if isinstance(source, Held):
            cell, sha256 = restored(source.record, unit.case), str(source.record.get("request", ""))
        else:
            cell = source
        if cell is None:
            return None
        draft = to_draft(
            cell,
            unit.case,
            feature,
            self.settings.infer,
            knowledge=self.ack is not None,
            prompt_sha256=sha256 or None,
        )
        return replace(draft, cached=True) if cached else draft

    def _context(self, case: Case, condition: str) -> bytes:
        shown = json.dumps(
            [dict(case.report), {k: str(v) for k, v in case.row.items()}, dict(case.units)],
            sort_keys=True,
            ensure_ascii=True,
        )
        return context_key(shown, condition, self.labels.get(case.case_id, ""), *self._shared)

    def _prompt_in(self, form: Form) -> FillPrompt:
        return FillPrompt(
            self.features,
            self.ack,
            form=form,
            infer=self.settings.infer,
            template=self.settings.template("fill"),
        )

    def _messages(self, unit: Unit, features: tuple[Feature, ...], form: Form) -> tuple[Message, ...]:
        if self.settings.layout == "as_published":
            return published_messages(
                unit.case,
                features,
                unit.condition,
                self.ack,
                infer=self.settings.infer,
                labels=self.labels.get(unit.case.case_id, ""),
                template=self._published,
            )
        return self._prompt(form).messages(unit.case, features)

    def _request(self, unit: Unit, features: tuple[Feature, ...], form: Form) -> Request:
        structured = form in ("json_schema", "tool")
        return Request(
            self.model,
            self._messages(unit, features, form),
            self._schema(features, ()) if structured else None,
            form,
            self.settings.max_output_tokens,
            self.settings.sent_temperature,
        )

    def _again(
        self,
        request: Request,
        reply: Reply,
        fault: AnswerError,
        left: Sequence[str],
        asked: Sequence[Feature],
    ) -> Request:
        if reply.finish == "length" and request.max_output_tokens is not None:
            request = replace(request, max_output_tokens=2 * request.max_output_tokens)
        wanted = tuple(feature for feature in asked if feature.name in set(left)) or tuple(asked)
        repair = repair_message(
            str(fault),
            missing=[feature.name for feature in wanted] if len(wanted) < len(asked) else (),
            form=request.form,
            template=self._repair,
        )
        said = Message("assistant", reply.text or reply.refusal or "(no answer)")
        schema = self._schema(wanted, ()) if request.schema is not None else None
        return replace(request, messages=(*request.messages, said, repair), schema=schema)

    def _room(self) -> int:
        """Estimated tokens that the report may take beside what all cases share."""
        if self._limit is None:
            empty = Case("", {})
            shared = sum(
                estimate_tokens(m.content)
                for m in self._messages(Unit(0, empty, "", self.features, b"", {}), self.features, self.form)
            )
            self._limit = self.settings.context_tokens - shared
        return self._limit


def look_up(
    units: Iterable[Unit], planner: Planner, find: Callable[[list[bytes]], Mapping[bytes, Any]]
) -> None:
    """Give every unit what the cache holds of it."""
    listed = list(units)
    found = find([unit.context for unit in listed])
    for unit in listed:
        planner.hold(unit, found.get(unit.context, {}))


def _digest(feature: Feature) -> str:
    return hashlib.sha256(str(FeatureSet([feature]).to_json()).encode()).hexdigest()[:32]
