"""Questions about knowledge: expert queries and the features of a condition. They hold no patient's text."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from dallm.engines.base import KnowledgeAnswer
from dallm.engines.llm.assemble import answer_messages, discover_messages
from dallm.engines.llm.cache.store import AnswerCache
from dallm.engines.llm.gateway import Gateway, Job, Outcome
from dallm.engines.llm.listing import numbered_answers
from dallm.engines.llm.reading_knowledge import read_citations, read_features
from dallm.engines.llm.schema import answer_schema, discover_schema
from dallm.engines.llm.settings import Settings
from dallm.engines.llm.wire import AnswerError, Form, Message, Reply, Request
from dallm.errors import EngineError, KnowledgeWarning

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.features import Feature, FeatureSet
    from dallm.knowledge.passage import Hit

T = TypeVar("T")

_CALLERS = 5  # frames between the user's call and a warning


@dataclass(frozen=True)
class KnowledgeQuestions:
    """Asks a model about knowledge, one question at a time; what the cache holds is not asked again.

    Parameters
    ----------
    gateway : Gateway
    settings : Settings
    cache : AnswerCache or None
    model_key : str
        The name of model and place in the cache.
    shown : str
        What the model is called in messages.
    """

    gateway: Gateway
    settings: Settings
    cache: AnswerCache | None
    model_key: str
    shown: str

    def answer(self, question: str, passages: Sequence[Hit]) -> KnowledgeAnswer:
        """Answer an expert query from passages, each statement with its passage."""
        hits = list(passages)
        template = self.settings.template("answer")
        found = self._ask(
            lambda form: answer_messages(question, hits, form=form, template=template),
            answer_schema(),
            lambda reply: read_citations(reply, hits),
            f"the question {question!r}",
        )
        return found or KnowledgeAnswer("")

    def features(self, ack: Ack) -> FeatureSet:
        """Propose the features that the answers name, condition by condition."""
        from dallm.features import FeatureSet

        template = self.settings.template("discover")
        answers = numbered_answers(ack)
        found: dict[str, Feature] = {}
        for condition in ack.conditions:
            if not any(a.condition == condition and a.text for a in answers):
                continue

            def read(reply: Reply, condition: str = condition) -> Any:
                return read_features(reply, answers, [condition])

            def messages(form: Form, condition: str = condition) -> tuple[Message, ...]:
                return discover_messages(ack, conditions=[condition], form=form, template=template)

            proposed = self._ask(messages, discover_schema(), read, f"the features of {condition}")
            for feature in proposed or ():
                first = found.get(feature.key)
                if first is None:
                    found[feature.key] = feature
                elif first.kind == feature.kind:
                    found[feature.key] = _both(first, feature)
        return FeatureSet(found.values())

    def _ask(
        self,
        messages: Callable[[Form], tuple[Message, ...]],
        schema: Mapping[str, Any],
        read: Callable[[Reply], T],
        what: str,
    ) -> T | None:
        """Ask one question; None for an answer that cannot be read."""

        def in_form(form: Form) -> Request:
            structured = form in ("json_schema", "tool")
            return Request(
                self.gateway.client.model,
                messages(form),
                schema if structured else None,
                form,
                self.settings.max_output_tokens,
                self.settings.sent_temperature,
            )

        request = in_form("json_schema")
        if self.cache is not None and (held := self.cache.answer(request, self.model_key)) is not None:
            try:
                return read(held)
            except AnswerError:  # a later version reads more strictly than the one that kept it
                pass
        outcome: Outcome[T] = self.gateway.ask(Job(what, request, read, in_form=in_form))
        while outcome.kind == "unreadable" and self.gateway.give_up_form(outcome):
            outcome = self.gateway.ask(Job(what, request, read, in_form=in_form))
        self.gateway.try_forms_again()
        if outcome.kind == "unreadable":
            warnings.warn(
                f"{self.shown} gave no answer to {what} that can be used: {outcome.error}",
                KnowledgeWarning,
                stacklevel=_CALLERS,
            )
            return None
        if outcome.value is None or outcome.reply is None:
            raise EngineError(f"{self.shown} gave no answer to {what}: {outcome.error}")
        if self.cache is not None and outcome.request == request:
            self.cache.put_answer(request, self.model_key, outcome.reply)
        return outcome.value


def _both(first: Feature, second: Feature) -> Feature:
    """One feature of two conditions: typed as the first says, with the names and sources of both."""
    return replace(
        first,
        aliases=tuple(dict.fromkeys((*first.aliases, *second.aliases))),
        conditions=tuple(dict.fromkeys((*first.conditions, *second.conditions))),
        citations=tuple(dict.fromkeys((*first.citations, *second.citations))),
    )
