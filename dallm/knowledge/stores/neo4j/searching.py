"""Searching a vector store in Neo4j: candidates from two indexes, scored as every other store scores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.duplicates import collapsed
from dallm.knowledge.lexical import Bm25
from dallm.knowledge.passage import Hit
from dallm.knowledge.ranking import fuse
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.rows import (
    SHOWN,
    condition_token,
    passage_of,
    source_token,
    token_count,
    tokens,
)
from dallm.knowledge.stores.neo4j.schema import Layout, State

CANDIDATES = 100
"""Passages that each arm contributes at least."""

EXACT = 2_000
"""Up to so many passages under a filter a cosine is computed for each; beyond, the vector index chooses."""

_DEEPEST = 3_000  # passages asked of the vector index at most: beyond, computing all is as fast, and exact
_CLAUSES = 200  # words of a question that the full-text index is asked for; all count for the scores
_WIDER = 4
_TIES = 100

_ALLOWED = (
    "p.sha256 IS NOT NULL AND ($condition IS NULL OR $condition IN p.conditions) "
    "AND ($source IS NULL OR p.source = $source)"
)
# a passage without a vector is found by its words
_COSINE = "coalesce(2 * vector.similarity.cosine(p.embedding, $vector) - 1, 0.0)"
_FROM = {
    "index": "CALL db.index.vector.queryNodes($vector_index, $deep, $vector) YIELD node AS p",
    "filter": "CALL db.index.fulltext.queryNodes($terms_index, $filter, {limit: $all}) YIELD node AS p",
    "label": "MATCH (p:Passage)",
}
_WORDS = """
CALL {
    CALL db.index.fulltext.queryNodes($terms_index, $words, {limit: $count}) YIELD node
    RETURN collect(node) AS second
}
"""
_SCORED = """
WITH size(first) AS near, size(second) AS told, first + second AS found
UNWIND CASE WHEN near + told = 0 THEN [null] ELSE found END AS p
WITH DISTINCT near, told, CASE WHEN {allowed} THEN p END AS p
RETURN near, told, collect(p.sha256) AS digests, collect(p.group) AS groups, collect(p.source) AS sources,
    collect(p.head) AS heads, collect(p.body) AS bodies, {cosines} AS cosines
"""
_MEMBERS = f"""
MATCH (p:Passage) WHERE p.group IN $groups AND {_ALLOWED}
WITH p ORDER BY p.source, p.url, p.place
WITH p.group AS group, p.source AS source, p.sha256 AS sha256, collect(p)[0] AS p
ORDER BY source, p.url, p.place
RETURN group, p.place AS place, p {{{", ".join(f".{name}" for name in SHOWN)}}} AS node
"""


@dataclass(frozen=True)
class Question:
    """What is asked of a namespace.

    Parameters
    ----------
    text : str
    k : int
        At most so many hits.
    condition, source : str or None
        Names as the store holds them.
    """

    text: str
    k: int
    condition: str | None = None
    source: str | None = None

    @property
    def terms(self) -> list[str]:
        """The terms of the text, each once."""
        return sorted(set(tokens(self.text).split()))

    @property
    def filters(self) -> list[str]:
        """The tokens that a passage must have."""
        named = [condition_token(self.condition)] if self.condition is not None else []
        return named + ([source_token(self.source)] if self.source is not None else [])


class _Candidate(NamedTuple):
    score: float
    group: str
    sha256: str
    source: str


class Search:
    """One search: wider and wider until there are enough hits, or no more passages.

    Parameters
    ----------
    connection : Connection
    layout : Layout
    question : Question
    state : State
        Of the namespace, with the counts of the question's terms and filters.
    vector : array of shape (dimension,) or None
        The encoded question; None means lexical retrieval.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        question: Question,
        state: State,
        vector: NDArray[np.float32] | None,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._question = question
        self._state = state
        self._total = state.most(question.filters)
        self._words = _words(question, state)
        self._dense = vector is not None
        self._parameters: dict[str, Any] = {
            "condition": question.condition,
            "source": question.source,
            "vector_index": layout.index("vector"),
            "terms_index": layout.index("terms"),
            "filter": " ".join(f"+filter:{token}" for token in question.filters),
            "words": self._words,
            "vector": None if vector is None or not vector.any() else vector.tolist(),
            "all": self._total + EXACT,  # more may have been written meanwhile
        }
        self._index_fits = self._parameters["vector"] is not None
        self._rest = False

    def hits(self) -> list[Hit]:
        """Return the best passages, one of each group that says the same."""
        count, k = max(CANDIDATES, 5 * self._question.k), self._question.k
        while self._total:
            first, deep = self._first(count)
            row = self._connection.read(
                self._layout.cypher(_statement(first, self._dense, bool(self._words))),
                **self._parameters,
                count=count,
                deep=deep,
            )[0]
            if first == "index" and 2 * row["near"] < min(count, self._total):
                # what is asked about lies far from what is asked for: of that the index gives nearly nothing
                self._index_fits = False
                continue
            found = self._ranked(row)
            told_all = not self._dense and row["told"] < count
            complete = count >= self._total if first in ("filter", "label") else self._by_words and told_all
            if complete or len(found) >= k:
                return self._shown(found)
            if told_all and not self._rest and not self._by_words:
                self._rest = True  # those that share no word, after those that do
            else:
                count *= _WIDER
        return []

    @property
    def _by_words(self) -> bool:
        """Whether only what shares a word with the question is a hit."""
        return not self._dense and self._question.condition is None

    def _first(self, count: int) -> tuple[str, int]:
        """Return where the candidates besides those that share words come from, and how many to ask for."""
        filtered = bool(self._question.filters)
        everywhere = "filter" if filtered else "label"
        if not self._dense:
            return everywhere if self._rest else "", 0
        deep = count if not filtered else -(-count * self._state.passages * 3 // (self._total * 2))
        few = self._total <= EXACT if filtered else 2 * count >= self._total
        return everywhere if few or deep > _DEEPEST or not self._index_fits else "index", deep

    def _ranked(self, row: Mapping[str, Any]) -> list[_Candidate]:
        scores = lexical_scores(self._question.terms, row["heads"], row["bodies"], self._state)
        if self._dense:
            scores = fuse(np.array(row["cosines"], dtype=np.float32), scores)
        order = np.argsort(-scores, kind="stable")
        if self._by_words:
            order = order[scores[order] > 0]
        listed = (row["groups"], row["digests"], row["sources"])
        ranked = [_Candidate(float(scores[i]), *(field[i] for field in listed)) for i in order]
        return _distinct(sorted(ranked, key=lambda one: (-one.score, one.source)))

    def _shown(self, found: Sequence[_Candidate]) -> list[Hit]:
        """Read the best; what ties is put in the order of sources, urls and places."""
        k = self._question.k
        last = found[k - 1].score if len(found) >= k else -np.inf
        best = [one for one in found[: k + _TIES] if one.score >= last]
        rows = self._connection.read(
            self._layout.cypher(_MEMBERS),
            groups=list({one.group for one in best}),
            condition=self._question.condition,
            source=self._question.source,
        )
        members = {(row["node"]["sha256"], row["node"]["source"]): row for row in rows}
        ranked = []
        for one in best:
            if row := members.get((one.sha256, one.source)):  # unless it was removed meanwhile
                passage = passage_of(row["node"])
                order = (-one.score, passage.source, passage.url, row["place"])
                ranked.append((order, (passage, one.score, one.group)))
        ranked.sort(key=lambda pair: pair[0])
        others = ((passage_of(row["node"]), row["group"]) for row in rows)
        return collapsed([item for _, item in ranked], others)[:k]


def lexical_scores(
    terms: Sequence[str], heads: Sequence[str], bodies: Sequence[str], state: State
) -> NDArray[np.float32]:
    """Return the scores that :class:`dallm.knowledge.lexical.Bm25` gives, for some passages of a store.

    Parameters
    ----------
    terms : sequence of str
        The question's terms, each once, as :func:`dallm.knowledge.stores.neo4j.rows.tokens` writes them.
    heads, bodies : sequence of str
        The passages' terms: of title and headings, and of the text.
    state : State
        Sizes of the store, and in how many of its passages each term stands.

    Returns
    -------
    array, shape (len(bodies),)
        From 0 to 1.
    """
    size, found = state.passages, len(bodies)
    lengths = [np.array([token_count(text) for text in field], dtype=np.int64) for field in (heads, bodies)]
    flat = [np.frombuffer(bytes.fromhex(" ".join(field)), dtype=">u4") for field in (heads, bodies)]
    rows = [np.repeat(np.arange(found), counts) for counts in lengths]
    mean = (Bm25.HEAD_WEIGHT * state.head_terms + state.body_terms) / max(size, 1)
    relative = (Bm25.HEAD_WEIGHT * lengths[0] + lengths[1]) / max(mean, 1e-9)
    norm = Bm25.K1 * (1 - Bm25.B + Bm25.B * relative)
    scores, best = np.zeros(found), 0.0
    for term in terms:
        held = state.counts.get(term, 0)
        idf = float(np.log1p((size - held + 0.5) / (held + 0.5)))
        best += idf
        if held:
            number = int(term, 16)
            in_head, in_body = (
                np.bincount(row[ids == number], minlength=found) for row, ids in zip(rows, flat, strict=True)
            )
            weight = Bm25.HEAD_WEIGHT * in_head + in_body
            scores += idf * weight / (weight + norm)
    return (scores / best if best else scores).astype(np.float32)


def _words(question: Question, state: State) -> str:
    """Return the query of the full-text index, of the question's rarest words; "" where none is known."""
    known = sorted((term for term in question.terms if state.counts.get(term)), key=state.counts.__getitem__)
    if not known:
        return ""
    listed = " ".join(known[:_CLAUSES])
    words = f"head:({listed})^2 body:({listed})"
    # boosted by 0: what every candidate has is worth nothing
    filters = " ".join(f"+filter:{token}^0" for token in question.filters)
    return f"{filters} +({words})" if filters else words


@cache
def _statement(first: str, dense: bool, words: bool) -> str:
    if first == "index":
        chosen = f"{_FROM[first]} WHERE {_ALLOWED} WITH p LIMIT $count RETURN collect(p) AS first"
    elif first:
        order = f"{_COSINE} DESC" if dense else "p.source, p.url, p.place"
        chosen = (
            f"{_FROM[first]} WHERE {_ALLOWED} WITH p ORDER BY {order} LIMIT $count RETURN collect(p) AS first"
        )
    else:
        chosen = "RETURN [] AS first"
    second = _WORDS if words else "WITH first, [] AS second"
    cosines = f"collect(CASE WHEN p IS NOT NULL THEN {_COSINE} END)" if dense else "[]"
    return f"CALL {{ {chosen} }} {second} {_SCORED.format(allowed=_ALLOWED, cosines=cosines)}"


def _distinct(ranked: Sequence[_Candidate]) -> list[_Candidate]:
    """Return those that are hits of their own, as :func:`dallm.knowledge.duplicates.collapsed` has it."""
    seen: set[tuple[str, str]] = set()
    owner: dict[str, str] = {}
    kept = []
    for one in ranked:
        if (one.sha256, one.source) not in seen and owner.setdefault(one.group, one.source) == one.source:
            kept.append(one)
        seen.add((one.sha256, one.source))
    return kept
