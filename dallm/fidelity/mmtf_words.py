"""Reports as sequences of word numbers, with a vocabulary of the training reports alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# A number is one word, its fraction included: a report may state the very value that is asked for.
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[%/]")
PADDING, UNKNOWN = 0, 1
_SPECIAL = 2


def words_of(text: str) -> list[str]:
    """Return the words of a text, in small letters.

    Examples
    --------
    >>> words_of("Sats 92.5% on RA.")
    ['sats', '92.5', '%', 'on', 'ra']
    """
    return _WORD.findall(text.lower())


class Vocabulary:
    """The words that stand in two reports at least, the most frequent first.

    Examples
    --------
    >>> words = Vocabulary(["no effusion", "no fever", "no effusion"], size=10)
    >>> words.encode(["no fever, no effusion"], length=6).tolist()
    [[2, 1, 2, 3, 0, 0]]
    """

    def __init__(self, texts: Sequence[str], *, size: int) -> None:
        in_texts = Counter(word for text in texts for word in set(words_of(text)))
        common = sorted((word for word, n in in_texts.items() if n > 1), key=lambda w: (-in_texts[w], w))
        self._number_of = {word: i for i, word in enumerate(common[: size - _SPECIAL], start=_SPECIAL)}

    def __len__(self) -> int:
        return len(self._number_of) + _SPECIAL

    def encode(self, texts: Sequence[str], *, length: int) -> NDArray[np.int64]:
        """Return word numbers of shape ``(len(texts), length)``; long texts lose their end."""
        made = np.full((len(texts), length), PADDING, dtype=np.int64)
        for row, text in enumerate(texts):
            numbers = [self._number_of.get(word, UNKNOWN) for word in words_of(text)[:length]]
            made[row, : len(numbers)] = numbers
        return made
