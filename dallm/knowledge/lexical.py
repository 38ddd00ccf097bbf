"""Words as the lexical search sees them, and BM25 over them."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"[^\W_]+")
STOPWORDS = frozenset(
    """
    a an and are as at be been being but by can could did do does for from had has have having he her his
    how i if in into is it its itself may me might more most my no nor not of on or other our over own s
    same she should so some such t than that the their them then there these they this those through to too
    under up very was we were what when where which while who whom why will with would you your
    """.split()
)


def stem(word: str) -> str:
    """Return a word without its commonest English endings; a stem need not be a word.

    Examples
    --------
    >>> [stem(w) for w in ("causes", "caused", "symptoms", "biopsies", "diagnosis", "coughing")]
    ['caus', 'caus', 'symptom', 'biopsy', 'diagnosis', 'cough']
    """
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def terms(text: str) -> list[str]:
    """Return the stems of a text's words, without stop words, accents and case.

    Examples
    --------
    >>> terms("What causes a Pleural Effusion?")
    ['caus', 'pleural', 'effusion']
    """
    return [stem(word) for word in _words(text)]


def term_ids(text: str) -> NDArray[np.uint32]:
    """Return the hashes of a text's terms, in order; a store keeps these instead of a vocabulary."""
    return np.array([_term_id(word) for word in _words(text)], dtype=np.uint32)


def _words(text: str) -> list[str]:
    plain = text.casefold()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [word for word in _TOKEN.findall(plain) if word not in STOPWORDS]


@lru_cache(maxsize=1 << 17)
def _term_id(word: str) -> int:
    return zlib.crc32(stem(word).encode("utf-8", "replace"))


class Bm25:
    """BM25 over passages, scaled to 0 (no word of the question) up to 1.

    Parameters
    ----------
    heads, bodies : sequence of uint32 arrays
        Term hashes of the title with its headings, and of the text, one array per passage.
    """

    K1, B, HEAD_WEIGHT = 1.2, 0.4, 2.0

    ARRAYS = ("rows", "vocabulary", "starts", "gain", "idf")
    """What an index consists of, so that it can be kept in a file."""

    def __init__(self, heads: Sequence[NDArray[np.uint32]], bodies: Sequence[NDArray[np.uint32]]) -> None:
        ids = np.concatenate([np.zeros(0, np.uint32), *heads, *bodies])
        lengths = (np.array([len(a) for a in field], dtype=np.int64) for field in (heads, bodies))
        self._build(ids, *lengths)

    @classmethod
    def of(cls, ids: NDArray[np.uint32], heads: NDArray[np.int64], bodies: NDArray[np.int64]) -> Bm25:
        """Build from all terms in one array.

        Parameters
        ----------
        ids : array of uint32
            The terms of all titles with headings, then those of all texts.
        heads, bodies : array of int64, shape (passages,)
            How many of them each passage has.
        """
        index = cls.__new__(cls)
        index._build(ids, heads, bodies)
        return index

    @classmethod
    def kept(cls, size: int, arrays: Mapping[str, NDArray[Any]]) -> Bm25:
        """Return the index over `size` passages that :meth:`arrays` described."""
        index = cls.__new__(cls)
        index.size = size
        index._rows, index._vocabulary, index._starts, index._gain, index._idf = (
            arrays[name] for name in cls.ARRAYS
        )
        return index

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :meth:`kept` needs."""
        values = (self._rows, self._vocabulary, self._starts, self._gain, self._idf)
        return dict(zip(self.ARRAYS, values, strict=True))

    def _build(self, ids: NDArray[np.uint32], heads: NDArray[np.int64], bodies: NDArray[np.int64]) -> None:
        self.size = len(bodies)
        rows = np.concatenate([np.repeat(np.arange(self.size, dtype=np.uint64), n) for n in (heads, bodies)])
        in_head = np.repeat(np.array([1, 0], np.uint64), (heads.sum(), bodies.sum()))
        # term, passage and field in one number: a plain sort groups them, far faster than an index sort
        keys = (ids.astype(np.uint64) << np.uint64(32)) | (rows << np.uint64(1)) | in_head
        del rows, in_head
        keys.sort()
        weights = np.where(keys & np.uint64(1), np.float32(self.HEAD_WEIGHT), np.float32(1))
        keys >>= np.uint64(1)
        first = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.uint64(1)))
        counts = np.add.reduceat(weights, first) if len(first) else weights
        cells = keys[first]
        del keys, weights, first
        by_term = (cells >> np.uint64(31)).astype(np.uint32)
        self._rows = (cells & np.uint64(2**31 - 1)).astype(np.int32)
        self._vocabulary, starts = np.unique(by_term, return_index=True)
        self._starts = np.append(starts, len(by_term))
        weighted = self.HEAD_WEIGHT * heads + bodies
        relative = weighted / max(float(weighted.mean()) if self.size else 1.0, 1e-9)
        norm = self.K1 * (1 - self.B + self.B * relative)
        self._gain = (counts / (counts + norm[self._rows])).astype(np.float32)
        found_in = np.diff(self._starts)
        self._idf = np.log1p((self.size - found_in + 0.5) / (found_in + 0.5))

    def scores(self, query: str) -> NDArray[np.float32]:
        """Return one score per passage, shape ``(size,)``."""
        scores = np.zeros(self.size, dtype=np.float32)
        best = 0.0
        unseen = float(np.log1p(2 * self.size + 1))
        for term in np.unique(term_ids(query)):
            column = int(np.searchsorted(self._vocabulary, term))
            if column == len(self._vocabulary) or self._vocabulary[column] != term:
                best += unseen
                continue
            idf = float(self._idf[column])
            best += idf
            span = slice(self._starts[column], self._starts[column + 1])
            scores[self._rows[span]] += idf * self._gain[span]
        return scores / np.float32(best) if best else scores
