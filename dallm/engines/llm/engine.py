"""The language-model engine: the same three methods as every engine, answered by a chat model."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dallm.egress import refuse_patient_text
from dallm.engines.base import Case, CaseAnswer, KnowledgeAnswer
from dallm.engines.llm.batch.making import batch_filling, check_batch
from dallm.engines.llm.budget import Budget
from dallm.engines.llm.cache.store import AnswerCache
from dallm.engines.llm.filling import Filling
from dallm.engines.llm.gateway import Gateway, Purse
from dallm.engines.llm.guarded_chat import guarded_gateway
from dallm.engines.llm.knowledge_questions import KnowledgeQuestions
from dallm.engines.llm.ledger import Ledger, ledger_of
from dallm.engines.llm.parts import cache_of, client_of, key_of
from dallm.engines.llm.prices import Prices
from dallm.engines.llm.purse import purse_of
from dallm.engines.llm.settings import Settings
from dallm.engines.llm.units import Planner
from dallm.engines.llm.verdicts import keep_verdict
from dallm.engines.llm.wire import ChatClient
from dallm.errors import UserError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from dallm.ack.ack import Ack
    from dallm.cohort import Cohort
    from dallm.egress.guard import HasDataUse
    from dallm.engines.llm.forecast import Forecast
    from dallm.features import Feature, FeatureSet
    from dallm.knowledge.passage import Hit

_OPENAI = "api.openai.com"


@dataclass(frozen=True)
class _Unknown:
    """Cases whose cohort nobody named are treated as the most careful cohort's."""

    data_use: str = "credentialed"


class LLMEngine:
    """Answers by a chat model, behind one gateway: bounded, resumable, verified, cached.

    Parameters
    ----------
    chat_model : BaseChatModel or ChatClient
        Any LangChain chat model. ``dallm.engine("provider:model")`` makes one by name.
    max_concurrency : int, default=32
        Never more calls at once.
    cache : path, AnswerCache, True or None, default=True
        Where answers are kept: a folder, or the user's cache. None keeps nothing, and pays for every repeat.
    cache_text : bool, default=True
        False keeps cells without words of a report; quotes are taken from the cohort again.
    budget : Budget, optional
        What the calls may cost together: ``dallm.Budget(cost=5.0)``.
    prices : path or mapping, optional
        Prices of your own, per million tokens; by default the file that ``DALLM_PRICES`` names.
    ledger : Ledger, path or None
        Where calls are written down; by default beside the cache.
    temperature, max_output_tokens, layout, mode, batch_wait_s, infer, knowledge, context_tokens, prompts
        See :class:`dallm.engines.llm.settings.Settings`.
    allow_egress : str, collection or mapping of str, optional
        Hosts that a credentialed cohort's text may be sent to; see ``docs/patient_text.md``.
    timeout_s, tries
        Of one call.
    show_labels : bool, default=False
        Put the targets into the prompts of the published layout, to reproduce its leak; warns.
    label : str, optional
        What the model is called in results.

    Raises
    ------
    UserError
        If an option cannot be used.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> model = FakeListChatModel(responses=['{"answer": "", "supported": false}'])
    >>> LLMEngine(model, cache=None).answer("What causes gout?", []).text
    ''
    """

    name = "llm"

    def __init__(
        self,
        chat_model: BaseChatModel | ChatClient,
        *,
        max_concurrency: int = 32,
        cache: str | os.PathLike[str] | AnswerCache | bool | None = True,
        cache_text: bool = True,
        budget: Budget | Purse | None = None,
        prices: Prices | None = None,
        ledger: Any = True,
        temperature: float | None = None,
        max_output_tokens: int | None = None,
        layout: Literal["per_case", "as_published"] = "per_case",
        mode: Literal["live", "batch"] = "live",
        batch_wait_s: float = 60.0,
        infer: bool = False,
        knowledge: bool = True,
        context_tokens: int = 100_000,
        prompts: str | os.PathLike[str] | None = None,
        allow_egress: bool | str | Collection[str] | Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
        tries: int = 6,
        show_labels: bool = False,
        label: str | None = None,
    ) -> None:
        self.settings = Settings(
            temperature=temperature,
            max_output_tokens=max_output_tokens,
            layout=layout,
            mode=mode,
            batch_wait_s=batch_wait_s,
            infer=infer,
            knowledge=knowledge,
            context_tokens=context_tokens,
            prompts=prompts,
        )
        self.client = client_of(chat_model, timeout_s)
        self.model: str | None = label or self.client.model
        self.cache = cache_of(cache, cache_text=cache_text)
        self.budget = budget
        self.purse = purse_of(budget, self.model, self.client.endpoints, prices)
        beside = self.cache.folder if self.cache is not None else None
        self.ledger = ledger_of(ledger, beside, self.client.endpoints)
        self.allow_egress = allow_egress
        self._gateway = Gateway(
            self.client, max_concurrency=max_concurrency, tries=tries, ledger=self.ledger, budget=self.purse
        )
        if show_labels and layout != "as_published":
            raise UserError("show_labels reproduces the published layout only: layout='as_published'.")
        self.show_labels = show_labels
        self._cohort: Any = None
        self._reserved: dict[str, Any] = {}  # what batches under way may cost; copies share it
        if mode == "batch":
            check_batch(self.client, self.cache)
        self._guarded: list[Gateway] = []  # one for patients' text, made when first needed; copies share it

    def __repr__(self) -> str:
        return f"LLMEngine({self.model!r}, layout={self.settings.layout!r}, infer={self.settings.infer})"

    @property
    def model_key(self) -> str:
        """The model and where it is served, as the cache tells answers apart."""
        return key_of(self.client)

    @property
    def digest(self) -> str:
        """Digest of all that answers depend on besides the cohort, the features and the knowledge."""
        text = (
            f"{self.settings.digest()}\x1f{self.settings.knowledge}\x1f{self.show_labels}\x1f{self.model_key}"
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def for_cohort(self, cohort: HasDataUse) -> LLMEngine:
        """Return this engine for the cases of a cohort, after checking that their text may go to the model.

        Raises
        ------
        EgressError
            If the cohort is credentialed and the model is at a public address that is not allowed.
        """
        refuse_patient_text(cohort, self.client, self.allow_egress)
        made = copy.copy(self)
        made._cohort = cohort
        if cohort.data_use != "open":
            if not self._guarded:
                self._guarded.append(guarded_gateway(self._gateway, cohort.data_use, self.allow_egress))
            made._gateway = self._guarded[0]
            made.client = made._gateway.client
        return made

    def answer(self, question: str, passages: Sequence[Hit]) -> KnowledgeAnswer:
        """Answer an expert query from retrieved passages, each statement with its passage."""
        return self._questions.answer(question, passages)

    def propose_features(self, ack: Ack) -> FeatureSet:
        """Propose the clinical features that the knowledge corpus names, condition by condition."""
        return self._questions.features(ack)

    def fill(
        self, cases: Iterable[Case], features: Sequence[Feature], knowledge: Ack | None = None
    ) -> Iterator[CaseAnswer]:
        """Yield one answer per case, in the order of `cases`; what the cache holds is not asked again.

        Raises
        ------
        EgressError
            If the cases' text may not go to the model.
        EngineError
            If the model cannot be asked at all.
        """
        if self._cohort is None:
            return self.for_cohort(_Unknown()).fill(cases, features, knowledge)
        refuse_patient_text(self._cohort, self.client, self.allow_egress)
        filling = self._batch_filling if self.settings.mode == "batch" else self._filling
        return filling(features, knowledge).run(cases)

    def judged(self, answer: CaseAnswer) -> None:
        """Keep with an answer how many of its cells verification refused."""
        if self.cache is not None:
            keep_verdict(self.cache, self.model_key, answer)

    def forecast(
        self,
        cohort: Cohort,
        features: Sequence[Feature],
        ack: Ack | None = None,
        *,
        measure: int = 0,
    ) -> Forecast:
        """Say what filling the features of a cohort will take: calls, tokens, money and time.

        Parameters
        ----------
        cohort : Cohort
        features : sequence of Feature
        ack : Ack, optional
        measure : int, default=0
            Calls to be made for it, whose answers are kept for the run; 0 makes none, and sends nothing.

        Raises
        ------
        EgressError
            If calls are to be made and the cases' text may not go to the model.
        """
        from dallm.engines.llm.forecast import forecast

        bound = self.for_cohort(cohort) if measure else copy.copy(self)
        bound._cohort = cohort
        return forecast(
            bound._filling(features, ack),
            cohort.cases(),
            model=self.model or self.client.model,
            price=getattr(self.purse, "price", None),
            concurrency=self._gateway.max_concurrency,
            measure=measure,
            batch=self.settings.mode == "batch",
        )

    def _filling(self, features: Sequence[Feature], knowledge: Ack | None) -> Filling:
        return Filling(self._gateway, self._planner(features, knowledge), self.cache, self.model_key)

    def _batch_filling(self, features: Sequence[Feature], knowledge: Ack | None) -> Filling:
        return batch_filling(
            self._gateway,
            self._planner(features, knowledge),
            self.cache,
            self.model_key,
            reserved=self._reserved,
            wait_s=self.settings.batch_wait_s,
        )

    def _planner(self, features: Sequence[Feature], knowledge: Ack | None) -> Planner:
        # who bills the schema resolves its references; other servers may not
        billed = any(_OPENAI in address for address in self.client.endpoints)
        return Planner(
            self.settings,
            self.client.model,
            self.model_key,
            tuple(features),
            knowledge,
            shared_schema=billed,
            labels=self._labels(),
        )

    def close(self) -> None:
        """Close the connections and the cache."""
        for gateway in (self._gateway, *self._guarded):
            gateway.close()
        if self.cache is not None:
            self.cache.close()
        if isinstance(self.ledger, Ledger):
            self.ledger.close()

    @property
    def _questions(self) -> KnowledgeQuestions:
        return KnowledgeQuestions(
            self._gateway, self.settings, self.cache, self.model_key, self.model or self.client.model
        )

    def _labels(self) -> Mapping[str | int, str]:
        if not self.show_labels or isinstance(self._cohort, _Unknown):
            return {}
        from dallm.engines.llm.published import labels_of

        return labels_of(self._cohort)
