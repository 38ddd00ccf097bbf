"""The passages of a store as a search sees them: arrays with one row per passage."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.lexical import Bm25, term_ids
from dallm.knowledge.ranking import Question, fuse
from dallm.knowledge.stores import index_file
from dallm.knowledge.stores.index_file import Arrays

WORTH_KEEPING = 5_000
"""From so many passages on the arrays are kept in files; fewer are faster built than thought about."""

Rows = NDArray[np.intp]
_Number = TypeVar("_Number", bound=np.generic)


class SearchIndex:
    """Scores over the passages of one state of a store.

    Rows are in the order of sources, urls and places: ties fall the same way in every copy of a store.

    Parameters
    ----------
    version : str
        The state of the store.
    words : Arrays
        What :func:`read_words` gave.
    vectors : array of float32, shape (passages, dimension), or None
        What :func:`read_vectors` gave.
    """

    def __init__(self, version: str, words: Arrays, vectors: NDArray[np.float32] | None) -> None:
        self.version = version
        self.ids = words.arrays["ids"]
        self._source_names = words.texts["sources"]
        self._listings = [frozenset(json.loads(text)) for text in words.texts["listings"]]
        self._arrays = words.arrays
        self._lexical = Bm25.kept(len(self.ids), words.arrays)
        self._vectors = vectors
        self._all: Rows = np.arange(len(self.ids))

    @property
    def has_vectors(self) -> bool:
        """Whether a question's vector is of use."""
        return self._vectors is not None

    def rows(self, condition: str | None, source: str | None) -> Rows:
        """Return the rows about a condition (canonical name) and of a source; None means all."""
        if condition is None and source is None:
            return self._all
        keep = np.ones(len(self.ids), dtype=bool)
        if condition is not None and len(keep):
            about = np.array([condition in names for names in self._listings], dtype=bool)
            keep &= about[self._arrays["about"]]
        if source is not None:
            code = self._source_names.index(source) if source in self._source_names else -1
            keep &= self._arrays["source"] == code
        return np.flatnonzero(keep)

    def best(
        self,
        question: Question,
        vector: NDArray[np.float32] | None,
        rows: Rows,
        k: int,
        *,
        arm: str = "fused",
        sharing_a_word: bool = False,
    ) -> list[tuple[int, float]]:
        """Return ``(row, score)`` of the `k` best of `rows`, the best first.

        Parameters
        ----------
        question : Question
        vector : array, shape (dimension,), or None
            The question's, for the arm that is asked for.
        rows : array of int
            Ascending.
        k : int
        arm : {"fused", "lexical", "dense"}
        sharing_a_word : bool
            Leave out passages that share no word with the question.
        """
        scores = self._scores(question, vector, rows, arm)
        if sharing_a_word:
            shared = self._of(self._lexical.scores(question.text), rows) > 0
            rows, scores = rows[shared], scores[shared]
        if k < len(rows):  # keep all that tie with the last one: the order must not depend on the partition
            last = np.partition(scores, len(rows) - k)[len(rows) - k]
            kept = np.flatnonzero(scores >= last)
        else:
            kept = np.arange(len(rows))
        order = kept[np.argsort(-scores[kept], kind="stable")][:k]
        return [(int(rows[i]), float(scores[i])) for i in order]

    def alike(self, found: list[int], rows: Rows) -> list[int]:
        """Return those of `rows` that say nearly the same as one of the rows found, without these."""
        group = self._arrays["group"]
        codes = np.unique(group[found])
        codes = codes[codes >= 0]
        if not len(codes):
            return []
        alike = rows[np.isin(group[rows], codes)]
        return [int(row) for row in np.setdiff1d(alike, found)]

    def _scores(
        self, question: Question, vector: NDArray[np.float32] | None, rows: Rows, arm: str
    ) -> NDArray[np.float32]:
        cosine = self._cosine(vector, rows) if vector is not None and arm != "lexical" else None
        if arm == "dense" and cosine is not None:
            return cosine
        lexical = self._of(self._lexical.scores(question.text), rows)
        if arm == "lexical":
            return lexical
        aspect = self._of(self._lexical.scores(question.told), rows) if question.told else 0.0
        title = self._title_shares(question)[self._of(self._arrays["title"], rows)]
        return fuse(cosine, lexical, aspect, title)

    def _cosine(self, vector: NDArray[np.float32], rows: Rows) -> NDArray[np.float32] | None:
        if self._vectors is None:
            return None
        # gathering rows costs more than multiplying with all of them, unless they are few
        if len(rows) < len(self.ids) / 8:
            gathered: NDArray[np.float32] = self._vectors[rows] @ vector
            return gathered
        cosine: NDArray[np.float32] = self._vectors @ vector
        return self._of(cosine, rows)

    def _title_shares(self, question: Question) -> NDArray[np.float32]:
        """``question.share_of_title`` of every title, without reading any."""
        shares = np.zeros(len(self._arrays["title_sizes"]), dtype=np.float64)
        terms = self._arrays["title_terms"]
        for term in np.unique(term_ids(question.text)):
            first, end = np.searchsorted(terms, [term, term + np.uint64(1)])
            shares[self._arrays["title_rows"][first:end]] += 1
        shares /= np.maximum(self._arrays["title_sizes"], 1)
        return shares.astype(np.float32)

    def _of(self, values: NDArray[_Number], rows: Rows) -> NDArray[_Number]:
        return values if rows is self._all else values[rows]


def open_index(
    db: sqlite3.Connection, place: Path, version: str, *, dense: bool, kept: bool, keep: bool
) -> SearchIndex:
    """Map the index of a state of the store into memory, or build it.

    Parameters
    ----------
    db : sqlite3.Connection
        In a transaction, so that all is read from one state.
    place : Path
        The database's file; the index lies beside it.
    version : str
        The state.
    dense : bool
        Whether vectors are wanted.
    kept : bool
        Whether the state can be told from others by its version: files may be used.
    keep : bool
        Whether files may be written.
    """
    words_file, vectors_file = _files(place)
    words_version = _version_of_words(version)
    words = index_file.load(words_file, words_version) if kept else None
    if words is None:
        words = read_words(db)
        large = len(words.arrays["ids"]) >= WORTH_KEEPING
        if kept and keep and large and index_file.save(words_file, words_version, words):
            words = index_file.load(words_file, words_version) or words
    if not dense:
        return SearchIndex(version, words, None)
    matrix = index_file.load(vectors_file, version) if kept else None
    if matrix is None:
        vectors = read_vectors(db, words.arrays["ids"])
        if vectors is None:
            return SearchIndex(version, words, None)
        matrix = Arrays({"vectors": vectors}, {})
        large = len(vectors) >= WORTH_KEEPING
        if kept and keep and large and index_file.save(vectors_file, version, matrix):
            matrix = index_file.load(vectors_file, version) or matrix
    return SearchIndex(version, words, matrix.arrays["vectors"])


def is_kept(place: Path, version: str, *, dense: bool) -> bool:
    """Whether the files for a state are there."""
    words_file, vectors_file = _files(place)
    return index_file.is_kept(words_file, _version_of_words(version)) and (
        not dense or index_file.is_kept(vectors_file, version)
    )


def read_words(db: sqlite3.Connection) -> Arrays:
    """Return all that a search needs to know of the passages but their vectors."""
    documents = db.execute("select id, source, title from documents order by source, url").fetchall()
    rows = db.execute(
        "select id, document, place, conditions, sha256, twin, head, body from passages"
    ).fetchall()
    rank = {document[0]: i for i, document in enumerate(documents)}
    ranks = np.array([rank[row[1]] for row in rows], dtype=np.int64)
    order = np.lexsort((np.array([row[2] for row in rows], dtype=np.int64), ranks))
    rows, ranks = [rows[i] for i in order], ranks[order]
    sources, source = _coded([document[1] for document in documents])
    titles, title = _coded([document[2] for document in documents])
    listings, about = _coded([row[3] for row in rows])
    heads, bodies = [row[6] for row in rows], [row[7] for row in rows]
    lexical = Bm25.of(
        np.frombuffer(b"".join(heads + bodies), dtype="<u4").astype(np.uint32, copy=False),
        np.array([len(blob) // 4 for blob in heads], dtype=np.int64),
        np.array([len(blob) // 4 for blob in bodies], dtype=np.int64),
    )
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.array([row[0] for row in rows], dtype=np.int64),
        "source": source[ranks],
        "about": about,
        "title": title[ranks],
        "group": _groups([row[5] or row[4] for row in rows]),
        **_title_terms(titles),
        **lexical.arrays(),
    }
    return Arrays(arrays, {"sources": sources, "listings": listings})


def read_vectors(db: sqlite3.Connection, ids: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Return the vectors in the order of `ids`; zeros where a passage has none, None where no passage has."""
    row_of = {number: row for row, number in enumerate(ids.tolist())}
    places: dict[str, list[int]] = {}
    for number, sha256 in db.execute("select id, sha256 from passages"):
        places.setdefault(sha256, []).append(row_of[number])
    matrix: NDArray[np.float32] | None = None
    for sha256, blob in db.execute("select sha256, vector from vectors"):
        if matrix is None:
            matrix = np.zeros((len(ids), len(blob) // 4), dtype=np.float32)
        vector = np.frombuffer(blob, dtype="<f4")
        for row in places.get(sha256, ()):
            matrix[row] = vector
    return matrix


def _files(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}-words"), place.with_name(f"{place.name}-vectors")


def _version_of_words(version: str) -> str:
    return f"{version} {Bm25.K1} {Bm25.B} {Bm25.HEAD_WEIGHT}"


def _coded(values: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    names = sorted(set(values))
    codes = {name: code for code, name in enumerate(names)}
    return names, np.array([codes[value] for value in values], dtype=np.int32)


def _groups(keys: list[str]) -> NDArray[np.int32]:
    """One number for all passages that say nearly the same; -1 for a passage that stands alone."""
    several = [key for key, count in Counter(keys).items() if count > 1]
    codes = {key: code for code, key in enumerate(several)}
    return np.array([codes.get(key, -1) for key in keys], dtype=np.int32)


def _title_terms(titles: list[str]) -> dict[str, NDArray[Any]]:
    """The words of the titles, in the order of the words: which title each stands in."""
    terms = [np.unique(term_ids(title)) for title in titles]
    sizes = np.array([len(own) for own in terms], dtype=np.int32)
    flat = np.concatenate([np.zeros(0, np.uint32), *terms]).astype(np.uint64)
    order = np.argsort(flat, kind="stable")
    rows = np.repeat(np.arange(len(titles), dtype=np.int32), sizes)
    return {"title_terms": flat[order], "title_rows": rows[order], "title_sizes": sizes}
