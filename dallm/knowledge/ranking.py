"""How words, meaning and title make one order of passages: the same in every store.

The weights were chosen on development questions; benchmarks/retrieval.py prints them beside their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dallm.errors import UserError, did_you_mean
from dallm.knowledge.aspects import aspect_of
from dallm.knowledge.lexical import terms

Arm = Literal["fused", "lexical", "dense"]
ARMS: tuple[str, ...] = get_args(Arm)

# beside a cosine that counts 1
LEXICAL_WEIGHT = 0.3
ASPECT_WEIGHT = 0.6
TITLE_WEIGHT = 0.2

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Question:
    """A question as a search uses it.

    Attributes
    ----------
    text : str
        The question as it was asked.
    told : str
        Words in which texts answer what it asks about; empty where its words do not say that.
    """

    text: str
    told: str

    @classmethod
    def of(cls, text: str) -> Question:
        """Read a question.

        Examples
        --------
        >>> Question.of("Is asthma inherited?").texts[1][:40]
        'Is asthma inherited? It is inherited in '
        """
        aspect = aspect_of(text)
        return cls(text, aspect.told if aspect else "")

    @property
    def texts(self) -> tuple[str, ...]:
        """What the encoder reads: the question, and the question with the words of an answer."""
        return (self.text, f"{self.text} {self.told}") if self.told else (self.text,)

    def vector(self, encode: Callable[[Sequence[str]], Floats]) -> Floats:
        """Return the unit vector between those of :attr:`texts`, shape ``(dimension,)``."""
        mean: Floats = encode(self.texts).mean(axis=0)
        length = float(np.linalg.norm(mean))
        return mean / np.float32(length) if length else mean

    def share_of_title(self, title: str) -> float:
        """Return the share of a title's words that the question holds; 0 for a title without words.

        Of "lung cancer" and "small cell lung cancer" the first fits a question about lung cancer better.

        Examples
        --------
        >>> Question.of("What causes lung cancer?").share_of_title("Small cell lung cancer")
        0.5
        """
        words = set(terms(title))
        return len(words & set(terms(self.text))) / len(words) if words else 0.0


def check_arm(arm: str, *, has_dense: bool) -> None:
    """Refuse an arm that does not exist, and the dense one where there are no vectors.

    Raises
    ------
    UserError
        If `arm` is none of ``ARMS``, or is "dense" without vectors.
    """
    if arm not in ARMS:
        raise UserError(f"arm={arm!r} is none of {', '.join(map(repr, ARMS))}.{did_you_mean(arm, ARMS)}")
    if arm == "dense" and not has_dense:
        raise UserError("arm='dense' needs vectors: open the store with an encoder, and ingest with it.")


def fuse(
    cosine: Floats | None, lexical: Floats, aspect: Floats | float = 0.0, title: Floats | float = 0.0
) -> Floats:
    """Return one score per passage, from about 0 to 1.

    Parameters
    ----------
    cosine : array, shape (n,), or None
        Cosine of question and passage; None without an encoder.
    lexical : array, shape (n,)
        BM25 of the question's words over the best score that they could reach, from 0 to 1.
    aspect : array, shape (n,)
        The same of the words that tell of what is asked about.
    title : array, shape (n,)
        Share of the title's words that the question holds.

    Examples
    --------
    >>> one, two = np.float32([0.5, 0.5]), np.float32([0.2, 0.4])
    >>> fuse(one, two).argmax()
    np.int64(1)
    """
    words = LEXICAL_WEIGHT * lexical + ASPECT_WEIGHT * aspect + TITLE_WEIGHT * title
    weight = LEXICAL_WEIGHT + ASPECT_WEIGHT + TITLE_WEIGHT
    if cosine is None:
        return (words / weight).astype(np.float32)
    return ((cosine + words) / (1 + weight)).astype(np.float32)
