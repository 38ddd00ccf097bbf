"""The vectors of questions: encoded when they are asked, or beforehand in one batch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.ranking import Question
from dallm.knowledge.stores.encoding import StoreEncoder

MOST_KEPT = 4096
"""So many prepared vectors are kept; the oldest go first."""


class QuestionVectors:
    """Gives a question's vector for an arm of the search.

    Parameters
    ----------
    encoder : StoreEncoder
        One that has an encoder.
    """

    def __init__(self, encoder: StoreEncoder) -> None:
        self._encoder = encoder
        self._kept: dict[tuple[str, ...], NDArray[np.float32]] = {}

    def of(self, question: Question, arm: str) -> NDArray[np.float32]:
        """Return a unit vector, shape ``(dimension,)``; the dense arm takes the question as it stands."""
        asked = Question(question.text, "") if arm == "dense" else question
        kept = self._kept.get(asked.texts)
        return asked.vector(self._encoder.encode) if kept is None else kept

    def prepare(self, queries: Iterable[str]) -> None:
        """Encode questions in one batch and keep their vectors for the searches that follow, in any arm."""
        asked: dict[tuple[str, ...], Question] = {}
        for query in queries:
            for question in (Question.of(query), Question(query, "")):
                if question.texts not in self._kept:
                    asked[question.texts] = question
        listed = list(asked.values())[-MOST_KEPT:]
        texts = list(dict.fromkeys(text for question in listed for text in question.texts))
        if not texts:
            return
        vectors = dict(zip(texts, self._encoder.encode(texts), strict=True))
        for question in listed:
            vector = question.vector(lambda parts: np.array([vectors[part] for part in parts]))
            self._kept[question.texts] = vector
        for oldest in list(self._kept)[: max(0, len(self._kept) - MOST_KEPT)]:
            del self._kept[oldest]
