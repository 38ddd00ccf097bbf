"""Words as the lexical search sees them, and BM25 over them."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence

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
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [stem(word) for word in _TOKEN.findall(plain) if word not in STOPWORDS]


def term_ids(text: str) -> NDArray[np.uint32]:
    """Return the hashes of a text's terms, in order; a store keeps these instead of a vocabulary."""
    return np.fromiter((zlib.crc32(t.encode("utf-8", "replace")) for t in terms(text)), dtype=np.uint32)


class Bm25:
    """BM25 over passages, scaled to 0 (no word of the question) up to 1.

    Parameters
    ----------
    heads, bodies : sequence of uint32 arrays
        Term hashes of the title with its headings, and of the text, one array per passage.
    """

    K1, B, HEAD_WEIGHT = 1.2, 0.4, 2.0

    def __init__(self, heads: Sequence[NDArray[np.uint32]], bodies: Sequence[NDArray[np.uint32]]) -> None:
        self.size = len(bodies)
        lengths = [np.array([len(a) for a in field], dtype=np.int64) for field in (heads, bodies)]
        ids = np.concatenate([np.zeros(0, np.uint32), *heads, *bodies]).astype(np.uint64)
        rows = np.concatenate([np.repeat(np.arange(self.size), counts) for counts in lengths])
        in_head = np.repeat(np.array([1, 0], np.uint64), (lengths[0].sum(), lengths[1].sum()))
        # term, passage and field in one number: a plain sort groups them, far faster than an index sort
        keys = np.sort((ids << np.uint64(32)) | (rows.astype(np.uint64) << np.uint64(1)) | in_head)
        cells = keys >> np.uint64(1)
        first = np.flatnonzero(np.diff(cells, prepend=cells[:1] + np.uint64(1)))
        weights = np.where(keys & np.uint64(1), self.HEAD_WEIGHT, 1.0)
        counts = np.add.reduceat(weights, first) if len(first) else weights
        cells = cells[first]
        by_term = (cells >> np.uint64(31)).astype(np.uint32)
        self._rows = (cells & np.uint64(2**31 - 1)).astype(np.int32)
        self._vocabulary, starts = np.unique(by_term, return_index=True)
        self._starts = np.append(starts, len(by_term))
        weighted = self.HEAD_WEIGHT * lengths[0] + lengths[1]
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
