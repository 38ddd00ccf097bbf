"""What a process keeps of a namespace that it searches again and again: all that ranking needs, no texts.

The server's indexes choose candidates for the first searches, for a large store and for one that is being
written to. Later searches rank in memory, where all passages are compared, and read the best from the server
together with the store's stamp: where that is another one, what is kept is dropped and the indexes are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.lexical import Bm25
from dallm.knowledge.passage import Hit
from dallm.knowledge.ranking import fuse
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.rows import token_count, unpacked
from dallm.knowledge.stores.neo4j.schema import Layout, Stamp, State, read_state
from dallm.knowledge.stores.neo4j.scoring import Asked, Floats
from dallm.knowledge.stores.neo4j.searching import Ranked, distinct, shown

MOST_KEPT = 20_000
"""Passages of the largest store that is kept; one takes about 3 KB, sent once and held."""

PER_SEARCH = 1_000
"""One search of an unchanged store for so many passages, and it is worth while to keep it."""

_PAGE = 2_000
_READ = """
MATCH (p:Passage) WHERE p.id > $after WITH p ORDER BY p.id LIMIT $page
WITH collect(p) AS found
RETURN found[-1].id AS last, [p IN found WHERE p.sha256 IS NOT NULL |
    [p.source, p.sha256, p.group, p.title_terms, p.head, p.body, coalesce(p.packed, ''), p.conditions]
] AS rows
"""


class Columns:
    """The passages of one state of a store, one row each.

    Parameters
    ----------
    stamp : Stamp
        Of the state.
    rows : sequence
        As the statement of this module returns them.
    dimension : int
        Of the vectors; 0 where there are none.
    """

    def __init__(self, stamp: Stamp, rows: Sequence[Sequence[Any]], dimension: int) -> None:
        self.stamp = stamp
        self.has_dense = dimension > 0
        none: list[tuple[Any, ...]] = [()] * 8
        sources, digests, groups, title_terms, heads, bodies, vectors, about = (
            zip(*rows, strict=True) if rows else none
        )
        self._keys = list(zip(groups, digests, sources, strict=True))
        self._sources: NDArray[np.object_] = np.array(sources, dtype=object)
        self._listings, self._about = _coded([tuple(names) for names in about])
        self._vectors = unpacked(vectors, dimension) if dimension else None
        self._lexical = Bm25.of(
            np.frombuffer(bytes.fromhex(" ".join((*heads, *bodies))), dtype=">u4").astype(np.uint32),
            *(np.array([token_count(text) for text in field], dtype=np.int64) for field in (heads, bodies)),
        )
        titles, self._title = _coded(
            [" ".join(head.split()[:count]) for head, count in zip(heads, title_terms, strict=True)]
        )
        self._title_sizes = np.array([len(set(title.split())) for title in titles], dtype=np.int64)
        self._titles_with: dict[str, list[int]] = {}
        for i, title in enumerate(titles):
            for term in set(title.split()):
                self._titles_with.setdefault(term, []).append(i)

    def ranked(self, asked: Asked, vector: NDArray[np.float32] | None) -> list[Ranked]:
        """Return the passages that are hits of their own, the best first: `k` and those that tie, or more."""
        scores, kept = self._scores(asked, vector), self._allowed(asked)
        if vector is None and asked.condition is None:
            # words alone, and nothing else asked for: passages without any of them are no answer
            kept &= self._lexical.scores(asked.question.text) > 0
        rows = np.flatnonzero(kept)
        count = 4 * asked.k
        while True:
            few = count < len(rows)
            last = np.partition(scores[rows], len(rows) - count)[len(rows) - count] if few else -np.inf
            best = rows[scores[rows] >= last]
            listed = [Ranked(float(scores[i]), *self._keys[i]) for i in best.tolist()]
            found = distinct(sorted(listed, key=lambda one: (-one.score, one.source)))
            if not few or (len(found) > asked.k and found[asked.k - 1].score > last):
                return found
            count *= 8

    def _allowed(self, asked: Asked) -> NDArray[np.bool_]:
        allowed = np.ones(len(self._keys), dtype=bool)
        if asked.condition is not None and len(allowed):
            fitting = np.array([asked.condition in names for names in self._listings], dtype=bool)
            allowed &= fitting[self._about]
        if asked.source is not None:
            allowed &= self._sources == asked.source
        return allowed

    def _scores(self, asked: Asked, vector: NDArray[np.float32] | None) -> Floats:
        # on one thread: those of a matrix product wait for one another where other work has the cores
        cosine: Floats | None = None
        if vector is not None and self._vectors is not None:
            cosine = np.vecdot(self._vectors, vector)
        if asked.arm == "dense" and cosine is not None:
            return cosine
        lexical = self._lexical.scores(asked.question.text)
        if asked.arm == "lexical":
            return lexical
        aspect = self._lexical.scores(asked.question.told) if asked.question.told else 0.0
        return fuse(cosine, lexical, aspect, self._title_shares(asked.terms)[self._title])

    def _title_shares(self, terms: Sequence[str]) -> Floats:
        """Return the share of each title's words that the question holds."""
        shares = np.zeros(len(self._title_sizes))
        for term in terms:
            shares[self._titles_with.get(term, [])] += 1
        shares /= np.maximum(self._title_sizes, 1)
        return shares.astype(np.float32)


class Keeper:
    """Decides when a store is worth keeping, and answers from what is kept.

    Parameters
    ----------
    connection : Connection
    layout : Layout
    """

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection = connection
        self._layout = layout
        self._stamp: Stamp | None = None
        self._searches = 0
        self.columns: Columns | None = None

    def searched(self, state: State) -> None:
        """Take note of a search that the indexes answered; read what is to be kept when it is due."""
        if state.stamp != self._stamp:
            self._stamp, self._searches = state.stamp, 0
        self._searches += 1
        worth = self._searches * PER_SEARCH >= state.passages
        if worth and state.passages <= MOST_KEPT and state.stamp.made is not None:
            self.columns = self._read(state)

    def hits(self, asked: Asked, columns: Columns, vector: NDArray[np.float32] | None) -> list[Hit] | None:
        """Return the best passages; None where the store is not what is kept of it."""
        hits, stamp = shown(self._connection, self._layout, asked, columns.ranked(asked, vector))
        if stamp == columns.stamp:
            return hits
        self.columns = None
        return None

    def _read(self, state: State) -> Columns | None:
        rows: list[Sequence[Any]] = []
        after: str | None = ""
        while after is not None:
            page: Mapping[str, Any] = self._connection.read(
                self._layout.cypher(_READ), after=after, page=_PAGE
            )[0]
            rows += page["rows"]
            after = page["last"]
        now = read_state(self._connection, self._layout)
        if now is None or now.stamp != state.stamp:  # written to meanwhile
            return None
        dimension = state.signature.dimension if state.signature is not None and state.vectors else 0
        return Columns(state.stamp, rows, dimension)


def _coded(values: Sequence[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct values, and for each of all its place among them."""
    codes: dict[Any, int] = {}
    coded = np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int64)
    return list(codes), coded
