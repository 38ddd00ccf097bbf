"""Experiment II of the DALL-M paper (Table 3): the same questions to every store and every set of sources."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dallm.ack.build import cited_answer, engine_of
from dallm.ack.queries import ExpertQuery
from dallm.engines.base import Engine
from dallm.errors import UserError
from dallm.evaluation.answer_scores import score
from dallm.evaluation.rubric import FactFinder, Rubric, check_concepts
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.stores.base import KnowledgeStore
from dallm.paper.arm_stores import STORES, ArmStores
from dallm.paper.comparison import RetrievalComparison, ScoredAnswer
from dallm.paper.five_questions import FIVE_QUESTIONS, ScoredQuestion, scored
from dallm.paper.source_sets import HITS, Sources, SourceSet, read_sets

if TYPE_CHECKING:
    from dallm.knowledge.encoder import Encoder

__all__ = ["FIVE_QUESTIONS", "compare_retrieval"]


def compare_retrieval(
    sources: Sources | None = None,
    stores: Sequence[str] = STORES,
    hits: Sequence[str] = HITS,
    condition: str = "atelectasis",
    questions: Iterable[ScoredQuestion | ExpertQuery] = FIVE_QUESTIONS,
    engine: Engine | str | None = "extractive",
    *,
    neo4j: str | Mapping[str, Any] | None = None,
    rubric: Rubric | str | os.PathLike[str] | None = None,
    k: int = 6,
    encoder: str | os.PathLike[str] | Encoder | None = "auto",
    progress: bool = False,
) -> RetrievalComparison:
    """Answer questions about a condition from every set of sources in every store, and measure the answers.

    Each source alone and all of them together are put into an empty store of each kind; every store is asked
    the same questions, the engine answers from the `k` passages that it finds, and the answer is measured by
    completeness, support and relevance (docs/experiment2.md). Stores and namespaces are made for the purpose
    and removed at the end. What cannot be had stands in the table as not run, with the reason.

    Parameters
    ----------
    sources : mapping of str to Source or callable, optional
        By name; a callable gets ``"first"`` or ``"page"`` (the first hit, the first result page) and returns
        the source, a source as it is stands for both. The built-in primer by default, which reads nothing
        from a network.
    stores : sequence of {"networkx", "neo4j_graph", "neo4j_vector", "local"}
    hits : sequence of {"first", "page"}
    condition : str, default="atelectasis"
    questions : iterable of ScoredQuestion or ExpertQuery
        The five of the paper by default.
    engine : Engine or str, default="extractive"
        Who answers.
    neo4j : str or mapping, optional
        A server: its address, or ``uri, user, password, database``. What is left out is taken from the
        environment as :func:`dallm.open_store` does. Without it the Neo4j stores are not run.
    rubric : Rubric or path, optional
        The facts that are expected; the project's own for the condition by default. A condition without one
        is measured by support and relevance alone.
    k : int, default=6
        How many passages an answer may rest on.
    encoder : "auto", path, object or None, default="auto"
        As in :func:`dallm.open_store`.
    progress : bool, default=False
        Show progress on standard error.

    Returns
    -------
    RetrievalComparison
        ``table()``, ``answers``, ``facts``, ``plot(path)``, ``save(folder)``.

    Raises
    ------
    UserError
        If an argument cannot be used, or no source could be read, or none of the stores can be had.

    Examples
    --------
    >>> import dallm
    >>> made = compare_retrieval({"primer": dallm.Primer()}, stores=["local"], encoder=None)
    >>> made.table()[["sources", "hits", "store", "answered"]].to_dict("records")
    [{'sources': 'primer', 'hits': 'as given', 'store': 'local', 'answered': 5}]
    """
    asked = scored(questions)
    about = resolve_condition(condition)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k is the number of passages, 1 or more; got {k!r}.")
    who = engine_of(engine)
    expected = _rubric(rubric, about)
    finder = FactFinder()
    if expected is not None:
        check_concepts(expected.facts, finder.lexicon)
    arms = ArmStores(stores, neo4j, encoder)
    sets = read_sets(_sources(sources), hits, about, progress=progress)
    if not any(one.sources for one in sets):
        raise UserError(f"No source could be read: {'; '.join(dict.fromkeys(one.reason for one in sets))}.")
    run = _Run(asked, about, expected, finder, who, k)
    found = _answers(run, sets, arms, progress)
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in arms.missing.items())
        raise UserError(f"None of the stores can be had: {reasons}.")
    return RetrievalComparison(
        scored=tuple(found),
        not_run=tuple(
            (one.name, one.hits, name, one.reason or arms.missing[name])
            for one in sets
            for name in arms.names
            if one.reason or name in arms.missing
        ),
        condition=about,
        questions=tuple((question.id, question.query.question(about)) for question in asked),
        says={(fact.question, fact.id): fact.says for fact in (expected.facts if expected else ())},
        engine=f"{who.name} ({who.model})" if who.model else who.name,
        k=k,
        encoder=arms.encoder.identity if arms.encoder else None,
    )


class _Run:
    """What stays the same over all arms."""

    def __init__(
        self,
        questions: Sequence[ScoredQuestion],
        condition: str,
        rubric: Rubric | None,
        finder: FactFinder,
        engine: Engine,
        k: int,
    ) -> None:
        self.questions, self.condition, self.rubric = questions, condition, rubric
        self.finder, self.engine, self.k = finder, engine, k

    def ask(self, store: KnowledgeStore, one: SourceSet, name: str) -> list[ScoredAnswer]:
        """Ask all questions of one store."""
        passages = list(store.passages(self.condition))
        made = []
        for question in self.questions:
            query = question.query
            text = query.question(self.condition)
            # the plain search of the store: what stage II adds to it would even out what is compared here
            given = self.engine.answer(text, store.search(text, k=self.k, condition=self.condition))
            facts = self.rubric.of(question.id) if self.rubric else ()
            made.append(
                ScoredAnswer(
                    sources=one.name,
                    hits=one.hits,
                    store=name,
                    question=question.id,
                    answer=cited_answer(self.condition, query, text, given, ""),
                    scores=score(given, self.condition, facts, question.aspect, self.finder),
                    expected=tuple(fact.id for fact in facts),
                    in_sources=tuple(
                        fact.id for fact in facts if any(self.finder.stated(fact, p.text) for p in passages)
                    ),
                    documents=one.documents,
                    passages=len(passages),
                )
            )
        return made


def _answers(run: _Run, sets: Sequence[SourceSet], arms: ArmStores, progress: bool) -> list[ScoredAnswer]:
    import warnings

    from dallm.knowledge.ingest import ingest
    from dallm.knowledge.progress import progress_of

    readable = [one for one in sets if one.sources]
    found: list[ScoredAnswer] = []
    with progress_of("Compare", len(readable) * len(arms.names), show=progress) as step:
        for one in readable:
            for name in arms.names:
                with arms.opened(name) as store:
                    if store is not None:
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore")  # the same documents go into every store
                            ingest(store, one.sources)
                        found += run.ask(store, one, name)
                step(f"{one.name}, {one.hits}, {name}")
    return found


def _sources(given: Sources | None) -> Sources:
    if given is not None:
        return given
    from dallm.knowledge.sources.primer import Primer

    return {"primer": Primer()}


def _rubric(given: Rubric | str | os.PathLike[str] | None, condition: str) -> Rubric | None:
    if given is None:
        return Rubric.default(condition) if condition in Rubric.conditions() else None
    rubric = given if isinstance(given, Rubric) else Rubric.load(given)
    if rubric.condition != condition:
        raise UserError(f"The rubric is for {rubric.condition!r}, the questions are about {condition!r}.")
    return rubric
