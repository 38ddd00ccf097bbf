"""Searching a vector store in Neo4j: candidates from two indexes, scored as every other store scores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.duplicates import collapsed
from dallm.knowledge.passage import Hit
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.rows import SHOWN, passage_of
from dallm.knowledge.stores.neo4j.schema import Layout, State
from dallm.knowledge.stores.neo4j.scoring import Asked, Candidates, Scores, words_query

CANDIDATES = 50
"""Passages that each arm contributes at least."""

MOST_CANDIDATES = 1_000
"""Passages that an arm contributes at most, where fewer would give enough hits too."""

EXACT = 2_000
"""Up to so many passages under a filter a cosine is computed for each; beyond, the vector index chooses."""

_DEEPEST = 3_000  # passages asked of the vector index at most: beyond, computing all is as fast, and exact
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
_FRESH = f"""
CALL {{
    MATCH (p:Fresh) WHERE {_ALLOWED}
    WITH p ORDER BY {_COSINE} DESC LIMIT $count RETURN collect(p) AS fresh
}}
"""
_WORDS = """
CALL {
    CALL db.index.fulltext.queryNodes($terms_index, $words, {limit: $count}) YIELD node
    RETURN collect(node) AS second
}
"""
# one text per candidate: unpacking it costs a client far less than unpacking seven values
_SCORED = """
WITH size(first) AS near, size(second) AS told, first + second AS found
UNWIND CASE WHEN size(found) = 0 THEN [null] ELSE found END AS p
WITH DISTINCT near, told, CASE WHEN {allowed} THEN p END AS p
RETURN near, told, {cosines} AS cosines,
    collect(p.sha256 + '|' + p.group + '|' + toString(p.title_terms) + '|' + p.head + '|' + p.body
        + '|' + p.source) AS texts
"""
_MEMBERS = f"""
MATCH (p:Passage) WHERE p.group IN $groups AND {_ALLOWED}
WITH p ORDER BY p.source, p.url, p.place
WITH p.group AS group, p.source AS source, p.sha256 AS sha256, collect(p)[0] AS p
ORDER BY source, p.url, p.place
RETURN group, p.place AS place, p {{{", ".join(f".{name}" for name in SHOWN)}}} AS node
"""


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
    asked : Asked
    state : State
        Of the namespace, with the counts of the terms and filters asked for.
    vector : array of shape (dimension,) or None
        The encoded question; None means lexical retrieval.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        asked: Asked,
        state: State,
        vector: NDArray[np.float32] | None,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._asked = asked
        self._state = state
        self._total = state.most(asked.filters)
        self._dense = vector is not None
        # words alone, and nothing else asked for: passages without any of them are no answer
        self._bare = not self._dense and asked.condition is None
        by_words = asked.arm != "dense"
        self._words = words_query(asked, state, sharing_a_word=self._bare) if by_words else ""
        self._parameters: dict[str, Any] = {
            "condition": asked.condition,
            "source": asked.source,
            "vector_index": layout.index("vector"),
            "terms_index": layout.index("terms"),
            "filter": " ".join(f"+filter:{token}" for token in asked.filters),
            "words": self._words,
            "vector": None if vector is None or not vector.any() else vector.tolist(),
            "all": self._total + EXACT,  # more may have been written meanwhile
        }
        self._index_fits = self._parameters["vector"] is not None
        self._rest = False

    def hits(self) -> list[Hit]:
        """Return the best passages, one of each group that says the same."""
        k = self._asked.k
        count = max(CANDIDATES, 5 * k)
        while self._total:
            first, deep = self._first(count)
            row = self._connection.read(
                self._layout.cypher(
                    _statement(first, self._dense, bool(self._words), bool(self._state.fresh))
                ),
                **self._parameters,
                count=count,
                deep=deep,
            )[0]
            if first == "index" and 2 * row["near"] < min(count, self._total):
                # what is asked about lies far from what is asked for: of that the index gives nearly nothing
                self._index_fits = False
                continue
            scores, found = self._ranked(row)
            told_all = row["told"] < count
            if not self._dense and told_all and not self._rest and not self._bare and len(found) < k:
                self._rest = True  # those that share no word, after those that do
                continue
            complete = count >= self._total if first in ("filter", "label") else self._bare and told_all
            near = min(row["near"], count, len(scores.total)) if self._dense else 0
            enough = len(found) >= k and (
                count >= MOST_CANDIDATES
                or found[k - 1].score >= scores.most_elsewhere(near, 0 if told_all else row["told"])
            )
            if complete or enough:
                return self._shown(found)
            count *= _WIDER
        return []

    def _first(self, count: int) -> tuple[str, int]:
        """Return where the candidates besides those that share words come from, and how many to ask for."""
        filtered = bool(self._asked.filters)
        everywhere = "filter" if filtered else "label"
        if not self._dense:
            return everywhere if self._rest else "", 0
        deep = count if not filtered else -(-count * self._state.passages * 3 // (self._total * 2))
        few = self._total <= EXACT if filtered else 2 * count >= self._total
        return everywhere if few or deep > _DEEPEST or not self._index_fits else "index", deep

    def _ranked(self, row: Mapping[str, Any]) -> tuple[Scores, list[_Candidate]]:
        """Return the scores of all candidates, and those that are hits of their own, best first."""
        fields = [text.split("|", 5) for text in row["texts"]]
        digests, groups, title_terms, heads, bodies, sources = (
            zip(*fields, strict=True) if fields else [()] * 6
        )
        cosines = np.array(row["cosines"], dtype=np.float32) if self._dense else None
        candidates = Candidates(heads, bodies, [int(count) for count in title_terms], cosines)
        scores = candidates.scores(self._asked, self._state)
        kept = np.flatnonzero(scores.sharing) if self._bare else np.arange(len(fields))
        totals = scores.total.tolist()
        ranked = [_Candidate(totals[i], groups[i], digests[i], sources[i]) for i in kept]
        return scores, _distinct(sorted(ranked, key=lambda one: (-one.score, one.source)))

    def _shown(self, found: Sequence[_Candidate]) -> list[Hit]:
        """Read the best; what ties is put in the order of sources, urls and places."""
        k = self._asked.k
        last = found[k - 1].score if len(found) >= k else -np.inf
        best = [one for one in found[: k + _TIES] if one.score >= last]
        rows = self._connection.read(
            self._layout.cypher(_MEMBERS),
            groups=list({one.group for one in best}),
            condition=self._asked.condition,
            source=self._asked.source,
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


@cache
def _statement(first: str, dense: bool, words: bool, fresh: bool) -> str:
    if first == "index":
        chosen = f"{_FROM[first]} WHERE {_ALLOWED} WITH p LIMIT $count RETURN collect(p) AS first"
    elif first:
        order = f"{_COSINE} DESC" if dense else "p.source, p.url, p.place"
        chosen = (
            f"{_FROM[first]} WHERE {_ALLOWED} WITH p ORDER BY {order} LIMIT $count RETURN collect(p) AS first"
        )
    else:
        chosen = "RETURN [] AS first"
    # what the index does not cover yet; the other ways to choose see it anyway
    newer = f"{_FRESH} WITH first + fresh AS first" if fresh and first == "index" else ""
    second = _WORDS if words else "WITH first, [] AS second"
    cosines = f"collect(CASE WHEN p IS NOT NULL THEN {_COSINE} END)" if dense else "[]"
    scored = _SCORED.format(allowed=_ALLOWED, cosines=cosines)
    return f"CALL {{ {chosen} }} {newer} {second} {scored}"


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
