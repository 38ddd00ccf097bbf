"""How many tokens a text costs: counted by a rule before sending, corrected by what the server reports."""

from __future__ import annotations

import functools
import math
import re
import threading
from collections.abc import Iterable

from dallm.engines.llm.wire import Message

PER_MESSAGE = 4
"""Tokens of the frame that a chat puts around each message."""

_PIECE = re.compile(r"[A-Za-z]+|[0-9]+|\n\s*| {2,}|[^\sA-Za-z0-9]")
_WHOLE, _PART = 6, 4  # letters of a word that most vocabularies hold whole; letters per token of longer ones
_RECENT = 0.9


def estimate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens that is seldom too low.

    Words of up to six letters count one, longer ones one per four letters, words in capitals one per two,
    digits, signs, line breaks and letters of other scripts one each.

    Examples
    --------
    >>> estimate_tokens("No focal consolidation."), estimate_tokens("")
    (7, 0)
    """
    return _estimated(text)


def estimate_messages(messages: Iterable[Message]) -> int:
    """Return an estimate of the tokens of a chat, the frames of its messages included."""
    return sum(PER_MESSAGE + _estimated(message.content) for message in messages)


class TokenCount:
    """Estimates, corrected by the tokens that servers report for texts already sent.

    Examples
    --------
    >>> count = TokenCount()
    >>> count.observe(estimated=1000, reported=800)
    >>> count.factor, count.corrected(500)
    (0.8, 400)
    """

    def __init__(self) -> None:
        self._estimated = 0.0
        self._reported = 0.0
        self._lock = threading.Lock()

    @property
    def factor(self) -> float:
        """Reported tokens per estimated one, recent calls weighing more; 1.0 before the first report."""
        if not self._estimated:
            return 1.0
        return min(4.0, max(0.25, self._reported / self._estimated))

    def observe(self, estimated: int, reported: int) -> None:
        """Take note of one call; a server that reports nothing (0) changes nothing."""
        if estimated <= 0 or reported <= 0:
            return
        with self._lock:
            self._estimated = _RECENT * self._estimated + estimated
            self._reported = _RECENT * self._reported + reported

    def corrected(self, estimated: int) -> int:
        """Return an estimate times the factor, rounded up."""
        return math.ceil(round(estimated * self.factor, 6))

    def messages(self, messages: Iterable[Message]) -> int:
        """Return the corrected estimate for a chat."""
        return self.corrected(estimate_messages(messages))


@functools.lru_cache(maxsize=512)  # the part that all cases share is counted once
def _estimated(text: str) -> int:
    total = 0
    for piece in _PIECE.findall(text):
        first = piece[0]
        if first.isascii() and first.isalpha():
            size = len(piece)
            if size <= _WHOLE and not (size > 1 and piece.isupper()):
                total += 1
            else:
                total += -(-size // (2 if piece.isupper() else _PART))
        elif first.isdigit() and first.isascii():
            total += len(piece)
        elif first.isascii():
            total += 1
        else:
            total += 1 if ord(first) < 0x10000 else 3
    return total
