"""The passages of a store as a search sees them: in memory, one row each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.lexical import Bm25
from dallm.knowledge.ranking import fuse

COLUMNS = "p.id, d.source, p.conditions, p.head, p.body, v.vector"


class SearchIndex:
    """Lexical and dense scores over the passages of one state of a store.

    Parameters
    ----------
    rows : sequence of tuple
        The values of :data:`COLUMNS` per passage: id, source, conditions as JSON, term hashes of title and
        headings, term hashes of the text, and the vector (float32, or None where it is not encoded yet).
    version : int
        The state of the store that they were read from.
    dense : bool
        Whether the vectors are wanted.
    """

    def __init__(self, rows: Sequence[tuple[Any, ...]], *, version: int, dense: bool) -> None:
        self.version = version
        self.ids = np.array([row[0] for row in rows], dtype=np.int64)
        self._sources = np.array([row[1] for row in rows], dtype=object)
        listed = sorted({row[2] for row in rows})
        codes = {text: code for code, text in enumerate(listed)}
        self._about = np.array([codes[row[2]] for row in rows], dtype=np.intp)
        self._about_names = [frozenset(json.loads(text)) for text in listed]
        self._lexical = Bm25(
            [np.frombuffer(row[3], dtype="<u4") for row in rows],
            [np.frombuffer(row[4], dtype="<u4") for row in rows],
        )
        self._vectors = _matrix([row[5] for row in rows]) if dense else None

    @property
    def has_vectors(self) -> bool:
        """Whether a question's vector is of use."""
        return self._vectors is not None

    def rows(self, condition: str | None, source: str | None) -> NDArray[np.intp]:
        """Return the rows about a condition (canonical name) and of a source; None means all."""
        keep = np.ones(len(self.ids), dtype=bool)
        if condition is not None and len(keep):
            keep &= np.array([condition in names for names in self._about_names], dtype=bool)[self._about]
        if source is not None:
            keep &= self._sources == source
        return np.flatnonzero(keep)

    def best(
        self, query: str, vector: NDArray[np.float32] | None, rows: NDArray[np.intp], k: int
    ) -> list[tuple[int, float]]:
        """Return ``(id, score)`` of the `k` best of `rows`, the best first."""
        scores = self._lexical.scores(query)[rows]
        if vector is not None and self._vectors is not None:
            # gathering rows costs more than multiplying with all of them, unless they are few
            few = len(rows) < len(self.ids) / 8
            cosine = self._vectors[rows] @ vector if few else (self._vectors @ vector)[rows]
            scores = fuse(cosine, scores)
        if k < len(rows):  # keep all that tie with the last one: the order must not depend on the partition
            last = -np.partition(-scores, k - 1)[k - 1]
            kept = np.flatnonzero(scores >= last)
        else:
            kept = np.arange(len(rows))
        # rows are ordered by source, url and place: ties fall the same way in every copy of a store
        order = kept[np.argsort(-scores[kept], kind="stable")][:k]
        return [(int(self.ids[rows[i]]), float(scores[i])) for i in order]


def _matrix(blobs: list[bytes | None]) -> NDArray[np.float32] | None:
    one = next((blob for blob in blobs if blob is not None), None)
    if one is None:
        return None
    blank = bytes(len(one))  # a passage without a vector is found by its words
    joined = b"".join(blank if blob is None else blob for blob in blobs)
    return np.frombuffer(joined, dtype="<f4").reshape(len(blobs), -1)
