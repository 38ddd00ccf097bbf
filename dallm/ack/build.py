"""Stage II: ask the expert queries of every condition and keep the answers with what they rest on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from dallm.ack.ack import CITATION, NO_SUPPORT, Ack, Answer, Citation
from dallm.ack.queries import EXPERT_QUERIES, ExpertQuery, check_queries
from dallm.engines.base import Engine, KnowledgeAnswer
from dallm.engines.extractive.answer import promises
from dallm.errors import KnowledgeWarning, UserError, did_you_mean
from dallm.knowledge.conditions import resolve_condition, resolve_conditions
from dallm.knowledge.passage import Hit
from dallm.knowledge.progress import progress_of
from dallm.knowledge.stores.base import KnowledgeStore

# the search ranks by words and meaning; of so many times more, title and heading then choose
_WIDER = 5
_OWN_TITLE, _HEADING = 0.15, 0.25  # in units of a hit's score, which runs from about 0 to 1


def build_ack(
    store: KnowledgeStore,
    conditions: str | Iterable[str],
    queries: ExpertQuery | Iterable[ExpertQuery] = EXPERT_QUERIES,
    engine: Engine | str | None = None,
    k: int = 6,
    progress: bool = False,
) -> Ack:
    """Answer each query for each condition from passages of the store that are about the condition.

    Parameters
    ----------
    store : KnowledgeStore
        Where the knowledge lives.
    conditions : str or iterable of str
        What the paper calls lesions; any of a condition's names will do.
    queries : iterable of ExpertQuery, optional
        The seven expert queries by default.
    engine : Engine or str, optional
        Who answers; the extractive engine by default.
    k : int, default=6
        How many passages an answer may rest on.
    progress : bool, default=False
        Show progress on standard error.

    Returns
    -------
    Ack
        One answer per condition and query; where no passage supports one, its text is empty and it says why.

    Raises
    ------
    UserError
        If no condition is given, or `queries` or `k` cannot be used.

    Warns
    -----
    KnowledgeWarning
        If the store holds nothing on a condition.

    Examples
    --------
    >>> import tempfile, dallm
    >>> store = dallm.open_store(tempfile.mkdtemp(), encoder=None)
    >>> report = dallm.ingest(store, dallm.Primer(), conditions=["asthma"])
    >>> ack = build_ack(store, ["asthma"])
    >>> ack.answer("asthma", "common_symptoms").citations[0].section
    'Symptoms'
    """
    listed = resolve_conditions(conditions)
    if not listed:
        raise UserError("conditions is empty; name at least one, for example ['atelectasis'].")
    asked = check_queries(queries)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k is the number of passages, 1 or more; got {k!r}.")
    who = engine_of(engine)
    covered = _covered(store, listed)
    _warn_of_gaps([condition for condition in listed if condition not in covered], covered)
    answers = []
    with progress_of("Answer", len(listed) * len(asked), show=progress) as step:
        for condition in listed:
            for query in asked:
                question = query.question(condition)
                hits = _hits(store, question, condition, k) if condition in covered else []
                reason = "" if condition in covered else f"the store holds nothing on {condition}"
                answers.append(cited_answer(condition, query, question, who.answer(question, hits), reason))
                step(f"{condition}, {query.id}")
    return Ack(answers, who.name, who.model)


def _covered(store: KnowledgeStore, conditions: Sequence[str]) -> set[str]:
    """What the store is about; of one that cannot be listed, what a search finds."""
    told = set(store.conditions())
    return told or {name for name in conditions if store.search(name, k=1, condition=name)}


def _warn_of_gaps(missing: Sequence[str], covered: Iterable[str]) -> None:
    if missing:
        near = did_you_mean(missing[0], sorted(covered))
        warnings.warn(
            f"The store holds nothing on {', '.join(map(repr, missing))}, so no question is answered "
            f"about it.{near}",
            KnowledgeWarning,
            stacklevel=3,
        )


def _hits(store: KnowledgeStore, question: str, condition: str, k: int) -> list[Hit]:
    """The best `k` passages: of the condition's own document, under a promising heading."""

    def rank(hit: Hit) -> float:
        own = resolve_condition(hit.passage.title or condition) == condition
        return hit.score + _OWN_TITLE * own + _HEADING * promises(hit.passage.section, question)

    found = store.search(question, k=_WIDER * k, condition=condition)
    return sorted(found, key=rank, reverse=True)[:k]


def engine_of(engine: Engine | str | None) -> Engine:
    """Return the engine meant: one given, one by its name, or the extractive one."""
    if engine is None or isinstance(engine, str):
        from dallm.engines.factory import engine as make_engine

        made: Engine = make_engine(engine or "extractive")
        return made
    if not callable(getattr(engine, "answer", None)):
        raise UserError(f"engine is an engine such as dallm.engine('extractive'); got {engine!r}.")
    return engine


def cited_answer(
    condition: str, query: ExpertQuery, question: str, given: KnowledgeAnswer, reason: str
) -> Answer:
    """Return an engine's answer with the passages that it cites, numbered from 1, or why there is none."""
    text = given.text.strip()
    if not text:
        return Answer(condition, query.id, query.group, question, "", (), reason or NO_SUPPORT)
    # a mark that cites nothing is an engine's slip: it must not look like evidence
    text = CITATION.sub(lambda m: m.group() if 1 <= int(m.group(1)) <= len(given.hits) else "", text)
    cited = list(dict.fromkeys(int(n) for n in CITATION.findall(text)))
    anew = {old: new for new, old in enumerate(cited, start=1)}
    citations = tuple(_citation(given.hits[n - 1], text, n) for n in cited)
    text = CITATION.sub(lambda m: f"[{anew[int(m.group(1))]}]", text).strip()
    return Answer(condition, query.id, query.group, question, text, citations)


def _citation(hit: Hit, text: str, number: int) -> Citation:
    passage = hit.passage
    spans = []
    previous = 0
    for mark in CITATION.finditer(text):
        said = text[previous : mark.start()].strip()
        previous = mark.end()
        if int(mark.group(1)) == number and said and (at := passage.text.find(said)) >= 0:
            spans.append((at, at + len(said)))
    # the stretch that holds all that is cited; an answer in other words rests on the whole passage
    start, end = (min(a for a, _ in spans), max(b for _, b in spans)) if spans else (0, len(passage.text))
    return Citation(
        title=passage.title,
        section=passage.section,
        source=passage.source,
        url=passage.url,
        quote=passage.text[start:end],
        text=passage.text,
        sha256=passage.sha256,
        licence=passage.licence,
        authors=passage.authors,
        revision=passage.revision,
        notice=passage.notice,
    )
