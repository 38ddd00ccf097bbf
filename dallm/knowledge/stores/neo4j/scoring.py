"""Scores of some passages of a store, the same that a store gives which holds all of them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.lexical import Bm25
from dallm.knowledge.ranking import ASPECT_WEIGHT, LEXICAL_WEIGHT, TITLE_WEIGHT, Question, fuse
from dallm.knowledge.stores.neo4j.rows import condition_token, source_token, token_count, tokens
from dallm.knowledge.stores.neo4j.schema import State
from dallm.lazy import computed_once

CLAUSES = 200
"""So many words of a question, the rarest, choose candidates; all of them count for the scores."""

_TITLE_TERMS, _HEAD_GAIN = 2.5, 0.5  # about what titles have, and what the index gives a term in a head

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """What is asked of a namespace.

    Parameters
    ----------
    question : Question
    k : int
        At most so many hits.
    condition, source : str or None
        Names as the store holds them.
    arm : {"fused", "lexical", "dense"}
    """

    question: Question
    k: int
    condition: str | None = None
    source: str | None = None
    arm: str = "fused"

    @computed_once
    def terms(self) -> tuple[str, ...]:
        """The terms of the question, each once."""
        return tuple(sorted(set(tokens(self.question.text).split())))

    @computed_once
    def told(self) -> tuple[str, ...]:
        """The terms that tell of what is asked about, each once."""
        wanted = self.question.told if self.arm == "fused" else ""
        return tuple(sorted(set(tokens(wanted).split())))

    @computed_once
    def filters(self) -> tuple[str, ...]:
        """The tokens that a passage must have."""
        named = (condition_token(self.condition),) if self.condition is not None else ()
        return named + ((source_token(self.source),) if self.source is not None else ())


class Scores(NamedTuple):
    """What passages score: by meaning, by words, and whether they share a word with the question."""

    meaning: Floats
    words: Floats
    sharing: NDArray[np.bool_]

    @property
    def total(self) -> Floats:
        """The score that a search shows."""
        return self.meaning + self.words

    def most_elsewhere(self, near: int, told: int) -> float:
        """Return about what a passage can score that is not among these.

        Parameters
        ----------
        near : int
            How many were chosen by meaning; others lie further away. 0 if meaning does not count.
        told : int
            How many were chosen by words; 0 if others share none. The index that chose them scores otherwise
            than we do, so the limit is what only an eighth of them reach.
        """
        meaning = np.sort(self.meaning)[-near] if near else 0.0
        words = np.sort(self.words)[-max(1, told // 8)] if told else 0.0
        return float(meaning + words)


class Candidates:
    """Passages with what their scores are made of.

    Parameters
    ----------
    heads, bodies : sequence of str
        Terms of title and headings, and of the text, as :func:`dallm.knowledge.stores.neo4j.rows.tokens`
        writes them.
    title_terms : sequence of int
        How many of a head's terms are those of the title.
    cosines : array of float32, or None
        Cosines of question and passage; None where they are not wanted.
    """

    def __init__(
        self, heads: Sequence[str], bodies: Sequence[str], title_terms: Sequence[int], cosines: Floats | None
    ) -> None:
        self._size = len(bodies)
        self._heads, self._title_terms, self._cosines = heads, title_terms, cosines
        self._lengths = [
            np.array([token_count(text) for text in field], dtype=np.int64) for field in (heads, bodies)
        ]
        self._ids = [np.frombuffer(bytes.fromhex(" ".join(field)), dtype=">u4") for field in (heads, bodies)]
        self._rows = [np.repeat(np.arange(self._size), counts) for counts in self._lengths]

    def scores(self, asked: Asked, state: State) -> Scores:
        """Return what the passages score.

        Parameters
        ----------
        asked : Asked
        state : State
            With the counts of the terms asked for.
        """
        none = np.zeros(self._size, dtype=np.float32)
        lexical = self.lexical(asked.terms, state)
        if asked.arm == "lexical":
            return Scores(none, lexical, lexical > 0)
        if asked.arm == "dense" and self._cosines is not None:
            return Scores(self._cosines, none, lexical > 0)
        aspect = self.lexical(asked.told, state) if asked.told else 0.0
        words = fuse(None if self._cosines is None else none, lexical, aspect, self._titles(asked))
        # a weighted sum: the parts of it may be taken apart
        meaning = none if self._cosines is None else fuse(self._cosines, none)
        return Scores(meaning, words, lexical > 0)

    def lexical(self, terms: Sequence[str], state: State) -> Floats:
        """Return the scores that :class:`dallm.knowledge.lexical.Bm25` gives, shape ``(passages,)``."""
        mean = (Bm25.HEAD_WEIGHT * state.head_terms + state.body_terms) / max(state.passages, 1)
        relative = (Bm25.HEAD_WEIGHT * self._lengths[0] + self._lengths[1]) / max(mean, 1e-9)
        norm = Bm25.K1 * (1 - Bm25.B + Bm25.B * relative)
        scores = np.zeros(self._size)
        for term in terms:
            if term in state.counts:
                number = int(term, 16)
                in_head, in_body = (
                    np.bincount(rows[ids == number], minlength=self._size)
                    for rows, ids in zip(self._rows, self._ids, strict=True)
                )
                count = Bm25.HEAD_WEIGHT * in_head + in_body
                scores += idf(term, state) * count / (count + norm)
        best = sum(idf(term, state) for term in terms)
        return (scores / best if best else scores).astype(np.float32)

    def _titles(self, asked: Asked) -> Floats:
        """``share_of_title`` of the question, of every passage's title."""
        wanted, shares = set(asked.terms), np.zeros(self._size, dtype=np.float32)
        for i, (head, count) in enumerate(zip(self._heads, self._title_terms, strict=True)):
            words = set(head.split()[:count])
            shares[i] = len(words & wanted) / len(words) if words else 0.0
        return shares


def idf(term: str, state: State) -> float:
    """Return how much a term counts, the more the rarer it is in the store."""
    held = state.counts.get(term, 0)
    return float(np.log1p((state.passages - held + 0.5) / (held + 0.5)))


def words_query(asked: Asked, state: State, *, sharing_a_word: bool) -> str:
    """Return the query of the full-text index; "" where no passage can fit.

    The index scores a little otherwise than we do; it chooses candidates only.

    Parameters
    ----------
    asked : Asked
    state : State
        With the counts of the terms asked for.
    sharing_a_word : bool
        Only passages that share a word with the question itself.
    """
    of_title = TITLE_WEIGHT / _TITLE_TERMS / _HEAD_GAIN if asked.arm == "fused" else 0.0
    text = _either(asked.terms, state, LEXICAL_WEIGHT, of_title=of_title)
    told = _either(asked.told, state, ASPECT_WEIGHT)
    if not text and (sharing_a_word or not told):
        return ""
    # boosted by 0: what every candidate has is worth nothing
    filters = "".join(f"+filter:{token}^0 " for token in asked.filters)
    return f"{filters}+{text} {told}" if sharing_a_word else f"{filters}+({text} {told})"


def _either(terms: Sequence[str], state: State, weight: float, *, of_title: float = 0.0) -> str:
    """Return a query for any of the terms, weighed as :meth:`Candidates.scores` weighs them, about."""
    known = sorted((term for term in terms if term in state.counts), key=state.counts.__getitem__)
    if not known:
        return ""
    each = 10 * weight / sum(idf(term, state) for term in terms)
    body = " ".join(known[:CLAUSES])
    # the index multiplies by its idf, which a title's share does not know
    head = " ".join(
        f"{term}^{Bm25.HEAD_WEIGHT * each + 10 * of_title / idf(term, state):.3f}" for term in known[:CLAUSES]
    )
    return f"(head:({head}) body:({body})^{each:.4f})"
