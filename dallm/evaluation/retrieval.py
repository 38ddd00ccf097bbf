"""How well a store finds the document that answers a question, arm by arm."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.questions import Question, located, read_questions
from dallm.evaluation.retrieval_documents import Materials
from dallm.evaluation.retrieval_measures import CUTOFF
from dallm.knowledge.passage import Hit
from dallm.knowledge.sources.base import Source
from dallm.knowledge.stores.base import KnowledgeStore

if TYPE_CHECKING:
    import pandas as pd

    from dallm.evaluation.retrieval_report import RetrievalReport
    from dallm.knowledge.encoder import Encoder

ARMS = ("lexical", "dense", "fused", "graph")
GRAPH_KINDS = ("networkx", "neo4j_graph")
_FIRST_DEPTH = 40
_AT_ONCE = 2_000  # questions encoded in one batch
_LEAK_WORDS = 5

Search = Callable[[str, int], list[Hit]]


@dataclass
class _Arm:
    """One way to search, and what it found: per question the rank of each right document."""

    name: str
    search: Search
    ranks: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def evaluate_retrieval(
    documents: KnowledgeStore | Source | str | os.PathLike[str],
    questions: str | os.PathLike[str] | pd.DataFrame,
    arms: str | Sequence[str] = ARMS,
    k: int | Sequence[int] = (1, 4, 10),
    *,
    store: KnowledgeStore | str | os.PathLike[str] | None = None,
    source: str | None = None,
    encoder: str | os.PathLike[str] | Encoder | None = "auto",
    seed: int = 0,
    n_boot: int = 2000,
    progress: bool = False,
) -> RetrievalReport:
    """Measure recall@k, nDCG@10 and MRR@10 of each arm of a store, with 95 % bootstrap intervals.

    Hits are collapsed to distinct documents (each at the place of its best passage) before anything is
    counted, and each search goes deeper until enough distinct documents are there. Only documents are put
    into a store, never a question.

    Parameters
    ----------
    documents : path, Source or KnowledgeStore
        A folder (read by :class:`dallm.Folder`) or a source, put into a temporary local store; or a store
        that holds the documents already, measured as it is.
    questions : path or DataFrame
        Columns ``question_id, question, document``: a document is named as its ``Passage.url``, for a folder
        the path relative to it, with or without ``.md``.
    arms : sequence of {"lexical", "dense", "fused", "graph"}
        Words alone, vectors alone, both as the store's searches join them, and the graph store's traversal
        (`networkx`, made from the same documents unless the store is a graph itself). An arm that cannot be
        had stands in the report as not run, with the reason.
    k : int or sequence of int, default=(1, 4, 10)
        Where recall is measured, in distinct documents.
    store : KnowledgeStore, path or address, optional
        Where to put the documents instead of a temporary store: kept, so that a later call encodes nothing.
    source : str, optional
        Measure this source of the store only.
    encoder : "auto", path, object or None, default="auto"
        As in :func:`dallm.open_store`, for the stores that are opened here.
    seed : int, default=0
        Seed of the resampling.
    n_boot : int, default=2000
        How many times the questions are resampled.
    progress : bool, default=False
        Show progress on standard error.

    Returns
    -------
    RetrievalReport
        ``table()``, ``ranks``, ``differences()``, ``to_html()``, ``save()``; printing it shows the table.

    Raises
    ------
    UserError
        If a question names a document that is not there, the table cannot be used, an arm is unknown, or
        none of the arms can be had.
    StoreError
        If the store cannot be opened, written or read.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> from pathlib import Path
    >>> notes = Path(tempfile.mkdtemp())
    >>> _ = (notes / "a.md").write_text("# Asthma\\nWheezing at night.")
    >>> _ = (notes / "b.md").write_text("# Pneumothorax\\nAir around the lung.")
    >>> asked = pd.DataFrame({"question_id": ["q1"], "question": ["Who wheezes?"], "document": ["a"]})
    >>> report = evaluate_retrieval(notes, asked, arms=["lexical"], encoder=None)
    >>> report.ranks[["question_id", "document", "rank"]].to_dict("records")
    [{'question_id': 'q1', 'document': 'a.md', 'rank': 1}]
    """
    wanted, cutoffs = _checked(arms, k, n_boot)
    asked = read_questions(questions)
    with ExitStack() as stack:
        made = Materials(stack, documents, store, source, encoder, progress)
        asked = located(asked, made.urls, made.label)
        opened = made.open()
        searches, missing = _searches(opened, made, wanted)
        if not searches:
            raise UserError(f"No arm can be measured: {'; '.join(f'{a}: {r}' for a, r in missing.items())}.")
        held = _check_held(opened, asked, made)
        _run(opened, searches, asked, max(CUTOFF, *cutoffs), progress)
        passages, leaks = _content(opened, asked, made.source)
        label = f"{held:,} documents ({passages:,} passages) of {made.label}, in {made.where(opened)}"
        notes = (*made.notes, *leaks)
    return _report(searches, missing, asked, cutoffs, label, notes, seed, n_boot)


def _checked(
    arms: str | Sequence[str], k: int | Sequence[int], n_boot: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    wanted = (arms,) if isinstance(arms, str) else tuple(dict.fromkeys(arms))
    for arm in wanted:
        if arm not in ARMS:
            raise UserError(
                f"There is no arm {arm!r}; the arms are {', '.join(ARMS)}.{did_you_mean(arm, ARMS)}"
            )
    if not wanted:
        raise UserError(f"arms is empty; name at least one of {', '.join(ARMS)}.")
    cutoffs = (k,) if isinstance(k, int) else tuple(k)
    if not cutoffs or any(isinstance(c, bool) or not isinstance(c, int) or c < 1 for c in cutoffs):
        raise UserError(f"k is one or more numbers of documents, 1 or more each; got {k!r}.")
    if isinstance(n_boot, bool) or not isinstance(n_boot, int) or n_boot < 1:
        raise UserError(f"n_boot is how many times to resample, 1 or more; got {n_boot!r}.")
    return wanted, tuple(sorted(set(cutoffs)))


def _searches(
    store: KnowledgeStore, made: Materials, wanted: Sequence[str]
) -> tuple[list[_Arm], dict[str, str]]:
    """The arms that can be had, in the order asked for, and why the others cannot."""
    found: list[_Arm] = []
    missing: dict[str, str] = {}
    # a store that holds nothing else needs no filter, and an unfiltered search is what its users make
    only = None if made.source is None or store.sources() == (made.source,) else made.source
    for arm in wanted:
        if arm == "graph":
            if store.kind in GRAPH_KINDS:
                found.append(_Arm(arm, _plain(store, only)))
            elif made.origin is None:
                missing[arm] = "the store is no graph store; give the folder, from which a graph can be made"
            else:
                found.append(_Arm(arm, _plain(made.graph(), None)))
        elif store.kind in GRAPH_KINDS:
            missing[arm] = f"a {store.kind} store is searched in one way, the arm 'graph'"
        elif arm != "lexical" and not store.has_dense:
            missing[arm] = "the store has no vectors (it was opened without an encoder)"
        elif arm == "fused" or (arm == "lexical" and not store.has_dense):
            found.append(_Arm(arm, _plain(store, only)))
        elif "arm" in inspect.signature(store.search).parameters:
            found.append(_Arm(arm, _of_arm(store, only, arm)))
        else:
            missing[arm] = f"a {store.kind} store is searched in one way, as the arm 'fused'"
    return found, missing


def _plain(store: KnowledgeStore, source: str | None) -> Search:
    return lambda text, k: store.search(text, k=k, source=source)


def _of_arm(store: KnowledgeStore, source: str | None, arm: str) -> Search:
    search: Any = store.search
    return lambda text, k: list(search(text, k=k, source=source, arm=arm))


def _check_held(store: KnowledgeStore, asked: Sequence[Question], made: Materials) -> int:
    names = store.sources() if made.source is None else (made.source,)
    held = {url for name in names for url in store.known(name)}
    for question in asked:
        for document in question.documents:
            if document not in held:
                why = made.problems.get(document, "it is not in the store")
                raise UserError(
                    f"Question {question.id!r} names {document!r}, which could not be taken in: {why}. "
                    "Mend the document, or take the question out."
                )
    return len(held)


def _run(
    store: KnowledgeStore, arms: Sequence[_Arm], asked: Sequence[Question], enough: int, progress: bool
) -> None:
    from dallm.knowledge.progress import progress_of

    dense = any(arm.name in ("dense", "fused") for arm in arms)
    prepare = getattr(store, "prepare", None) if dense else None
    with progress_of("Search", len(asked) * len(arms), show=progress) as step:
        for start in range(0, len(asked), _AT_ONCE):
            batch = asked[start : start + _AT_ONCE]
            if callable(prepare):  # the encoder reads all questions at once, and no arm waits for it
                prepare([question.text for question in batch])
            for arm in arms:
                for question in batch:
                    began = time.perf_counter()
                    ranked = distinct_documents(arm.search, question.text, enough)
                    arm.seconds.append(time.perf_counter() - began)
                    places = {url: float(place) for place, url in enumerate(ranked, start=1)}
                    arm.ranks.append([places.get(url, np.inf) for url in question.documents])
                    step(arm.name)


def distinct_documents(search: Search, text: str, enough: int) -> list[str]:
    """Return the first `enough` distinct documents that a search finds, each at its best passage's place.

    The search is repeated deeper until so many are there, or nothing more is found.

    Parameters
    ----------
    search : callable
        Takes a question and how many hits, and returns hits, the best first.
    text : str
        The question.
    enough : int
        How many documents.
    """
    depth = max(_FIRST_DEPTH, 2 * enough)
    while True:
        hits = search(text, depth)
        # what says nearly the same in another source was found as well, right behind
        urls = (p.url for hit in hits for p in (hit.passage, *hit.also))
        found = list(dict.fromkeys(urls))
        if len(found) >= enough or len(hits) < depth:
            return found[:enough]
        depth *= 4


def _content(
    store: KnowledgeStore, asked: Sequence[Question], source: str | None
) -> tuple[int, tuple[str, ...]]:
    """How many passages were searched, and a note where questions stand word for word in their documents."""
    passages = 0
    texts: dict[str, list[str]] = {url: [] for question in asked for url in question.documents}
    for passage in store.passages():
        if source not in (None, passage.source):
            continue
        passages += 1
        if passage.url in texts:
            texts[passage.url].append(f"{passage.title} {passage.section} {passage.text}")
    plain = {url: _plain_words(" ".join(parts)) for url, parts in texts.items()}
    count = 0
    for question in asked:
        words = _plain_words(question.text)
        count += len(words.split()) >= _LEAK_WORDS and any(
            f" {words} " in f" {plain[u]} " for u in question.documents
        )
    if not count:
        return passages, ()
    # such a test is easier than it looks
    return passages, (
        f"{count} of {len(asked)} questions stand word for word in the document that answers them",
    )


def _plain_words(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def _report(
    arms: Sequence[_Arm],
    missing: dict[str, str],
    asked: Sequence[Question],
    cutoffs: tuple[int, ...],
    label: str,
    notes: tuple[str, ...],
    seed: int,
    n_boot: int,
) -> RetrievalReport:
    import pandas as pd

    from dallm.evaluation.retrieval_report import RetrievalReport

    rows = [
        (arm.name, question.id, question.text, document, rank, 1000 * seconds)
        for arm in arms
        for question, ranks, seconds in zip(asked, arm.ranks, arm.seconds, strict=True)
        for document, rank in zip(question.documents, ranks, strict=True)
    ]
    ranks = pd.DataFrame(rows, columns=["arm", "question_id", "question", "document", "rank", "ms"])
    ranks["rank"] = ranks["rank"].where(np.isfinite(ranks["rank"])).astype("Int64")
    return RetrievalReport(ranks, cutoffs, dict(missing), label, notes, seed=seed, n_boot=n_boot)
