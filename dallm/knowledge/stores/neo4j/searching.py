"""Searching a vector store in Neo4j: candidates from two indexes, scored as every other store scores them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.duplicates import collapsed
from dallm.knowledge.passage import Hit
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.rows import SHOWN, numbers, passage_of, unpacked
from dallm.knowledge.stores.neo4j.schema import Layout, Stamp, State
from dallm.knowledge.stores.neo4j.scoring import Asked, Candidates, Scores, words_query

CANDIDATES = 100
"""Passages that each arm contributes at least."""

MOST_CANDIDATES = 1_000
"""Passages that an arm contributes at most, where fewer would give enough hits too."""

EXACT = 1_000
"""Up to so many passages under a filter all are compared; beyond, the vector index chooses."""

DEEPER = 2
"""How many times more are asked of the vector index than are taken: it then finds more of the nearest."""

_DEEPEST = 3_000  # passages asked of the vector index at most: beyond, comparing all is as fast, and exact
_PAGE = 5_000
_WIDER = 4
_TIES = 100

_ALLOWED = (
    "p.sha256 IS NOT NULL AND ($condition IS NULL OR $condition IN p.conditions) "
    "AND ($source IS NULL OR p.source = $source)"
)
# one text per candidate: unpacking it costs a client far less than unpacking eight values
_TEXT = (
    "p.sha256 + '|' + p.group + '|' + toString(p.title_terms) + '|' + p.head + '|' + p.body + '|' "
    "+ CASE WHEN $dense THEN coalesce(p.packed, '') ELSE '' END + '|' + p.source"
)
_NEAR = f"""
CALL db.index.vector.queryNodes($vector_index, $deep, toFloatList(split($vector, ' '))) YIELD node AS p
WHERE {_ALLOWED} WITH p LIMIT $count RETURN collect(p) AS near
"""
# what the vector index does not cover yet
_FRESH = f"MATCH (p:Fresh) WHERE {_ALLOWED} RETURN collect(p) AS fresh"
_TOLD = f"""
CALL db.index.fulltext.queryNodes($terms_index, $words, {{limit: $count}}) YIELD node AS p
WHERE {_ALLOWED} RETURN collect(p) AS told
"""
_CANDIDATES = f"""
WITH size(near) + size(fresh) AS near, size(told) AS told, near + fresh + told AS found
UNWIND CASE WHEN size(found) = 0 THEN [null] ELSE found END AS p
WITH DISTINCT near, told, p
RETURN near, told, collect({_TEXT}) AS texts
"""
_FILTERED = f"""
CALL db.index.fulltext.queryNodes($terms_index, $filter, {{limit: $all}}) YIELD node AS p
WHERE {_ALLOWED} RETURN collect({_TEXT}) AS texts
"""
_ALL = f"""
MATCH (p:Passage) WHERE p.id > $after WITH p ORDER BY p.id LIMIT $page
WITH max(p.id) AS last, collect(CASE WHEN {_ALLOWED} THEN {_TEXT} END) AS texts
RETURN last, texts
"""
_MEMBERS = f"""
MATCH (m:Meta {{key: 'store'}})
RETURN m.version AS version, m.made AS made, COLLECT {{
    MATCH (p:Passage) WHERE p.group IN $groups AND {_ALLOWED}
    WITH p ORDER BY p.source, p.url, p.place
    WITH p.group AS group, p.source AS source, p.sha256 AS sha256, collect(p)[0] AS p
    ORDER BY source, p.url, p.place
    RETURN {{group: group, place: p.place, node: p {{{", ".join(f".{name}" for name in SHOWN)}}}}}
}} AS members
"""


class Ranked(NamedTuple):
    """A passage with its score, and what tells whether it is a hit of its own."""

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
        self._vector = vector
        self._parameters: dict[str, Any] = {
            "condition": asked.condition,
            "source": asked.source,
            "vector_index": layout.index("vector"),
            "terms_index": layout.index("terms"),
            "filter": " ".join(f"+filter:{token}" for token in asked.filters),
            "words": self._words,
            "vector": "" if vector is None else numbers(vector),
            "dense": self._dense,
        }

    def hits(self) -> list[Hit]:
        """Return the best passages, one of each group that says the same."""
        k = self._asked.k
        count = max(CANDIDATES, 10 * k)
        while self._total:
            deep = self._deep(count)
            if deep is None:
                break
            row = self._candidates(count, deep)
            if self._dense and 2 * row["near"] < min(count, self._total):
                # what is asked about lies far from what is asked for: of that the index gives nearly nothing
                break
            scores, found = self._ranked(row["texts"])
            told_all = row["told"] < count
            near = min(row["near"], count, len(scores.total)) if self._dense else 0
            if len(found) >= k and (
                count >= MOST_CANDIDATES
                or found[k - 1].score >= scores.most_elsewhere(near, 0 if told_all else row["told"])
            ):
                return self._shown(found)
            if told_all and not self._dense:
                if self._bare:
                    return self._shown(found)
                break
            count *= _WIDER
        return self._shown(self._ranked(self._everything())[1]) if self._total else []

    def _deep(self, count: int) -> int | None:
        """Return how many to ask of the vector index; None if all passages are to be compared."""
        if not self._dense:
            return 0
        if self._vector is None or not self._vector.any() or 2 * count >= self._total:
            return None
        if not self._asked.filters:
            return DEEPER * count if DEEPER * count <= _DEEPEST else None
        deep = -(-DEEPER * count * self._state.passages // self._total)
        return deep if self._total > EXACT and deep <= _DEEPEST else None

    def _candidates(self, count: int, deep: int) -> dict[str, Any]:
        statement = _statement(self._dense, bool(self._state.fresh), bool(self._words))
        return self._read(statement, count=count, deep=deep)[0]

    def _everything(self) -> list[str]:
        """Return all passages that the filters let through."""
        if self._asked.filters and self._total <= _PAGE:
            # more may have been written meanwhile
            return list(self._read(_FILTERED, all=2 * _PAGE)[0]["texts"])
        texts: list[str] = []
        after: str | None = ""
        while after is not None:
            row = self._read(_ALL, after=after, page=_PAGE)[0]
            texts += row["texts"]
            after = row["last"]
        return texts

    def _read(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._connection.read(self._layout.cypher(statement), **self._parameters, **parameters)

    def _ranked(self, texts: Sequence[str]) -> tuple[Scores, list[Ranked]]:
        """Return the scores of all candidates, and those that are hits of their own, best first."""
        fields = [text.split("|", 6) for text in texts]
        columns = zip(*fields, strict=True) if fields else [()] * 7
        digests, groups, title_terms, heads, bodies, vectors, sources = columns
        cosines = None if self._vector is None else unpacked(vectors, len(self._vector)) @ self._vector
        candidates = Candidates(heads, bodies, [int(count) for count in title_terms], cosines)
        scores = candidates.scores(self._asked, self._state)
        kept = np.flatnonzero(scores.sharing) if self._bare else np.arange(len(fields))
        totals = scores.total.tolist()
        ranked = [Ranked(totals[i], groups[i], digests[i], sources[i]) for i in kept]
        return scores, distinct(sorted(ranked, key=lambda one: (-one.score, one.source)))

    def _shown(self, found: Sequence[Ranked]) -> list[Hit]:
        return shown(self._connection, self._layout, self._asked, found)[0] if found else []


def shown(
    connection: Connection, layout: Layout, asked: Asked, found: Sequence[Ranked]
) -> tuple[list[Hit], Stamp | None]:
    """Read the best passages; what ties is put in the order of sources, urls and places.

    Parameters
    ----------
    connection : Connection
    layout : Layout
    asked : Asked
    found : sequence of Ranked
        Hits of their own, best first.

    Returns
    -------
    hits : list of Hit
    stamp : Stamp or None
        Of the store when they were read; None where it is no more.
    """
    k = asked.k
    last = found[k - 1].score if len(found) >= k else -np.inf
    best = [one for one in found[: k + _TIES] if one.score >= last]
    told = connection.read(
        layout.cypher(_MEMBERS),
        groups=list({one.group for one in best}),
        condition=asked.condition,
        source=asked.source,
    )
    if not told:
        return [], None
    rows = told[0]["members"]
    members = {(row["node"]["sha256"], row["node"]["source"]): row for row in rows}
    ranked = []
    for one in best:
        if row := members.get((one.sha256, one.source)):  # unless it was removed meanwhile
            passage = passage_of(row["node"])
            order = (-one.score, passage.source, passage.url, row["place"])
            ranked.append((order, (passage, one.score, one.group)))
    ranked.sort(key=lambda pair: pair[0])
    others = ((passage_of(row["node"]), row["group"]) for row in rows)
    hits = collapsed([item for _, item in ranked], others)[:k]
    return hits, Stamp(told[0]["version"], told[0]["made"])


@cache
def _statement(dense: bool, fresh: bool, words: bool) -> str:
    parts = (("near", _NEAR, dense), ("fresh", _FRESH, dense and fresh), ("told", _TOLD, words))
    arms = [f"CALL {{ {arm if wanted else f'RETURN [] AS {name}'} }}" for name, arm, wanted in parts]
    return " ".join((*arms, _CANDIDATES))


def distinct(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Return those that are hits of their own, as :func:`dallm.knowledge.duplicates.collapsed` has it."""
    seen: set[tuple[str, str]] = set()
    owner: dict[str, str] = {}
    kept = []
    for one in ranked:
        if (one.sha256, one.source) not in seen and owner.setdefault(one.group, one.source) == one.source:
            kept.append(one)
        seen.add((one.sha256, one.source))
    return kept
