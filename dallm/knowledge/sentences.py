"""Where a sentence ends, for cutting documents into passages and for quoting them."""

from __future__ import annotations

import re
from collections.abc import Iterator

# a full stop after one of these ends no sentence
_ABBREVIATIONS = frozenset(
    "dr prof mr mrs ms st vs e.g i.e eg ie cf al fig figs no ca etc ref refs vol pp sp".split()
)
_END = re.compile(r"[.!?][\"')\]’”]*(?=\s|$)|\n+")
_WORD_BEFORE = re.compile(r"[\w.]+$")


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield ``(start, end)`` of every sentence; a line break always ends one.

    Examples
    --------
    >>> text = "Fever is common, e.g. at night. Cough follows!"
    >>> [text[a:b] for a, b in sentence_spans(text)]
    ['Fever is common, e.g. at night.', 'Cough follows!']
    """
    start = 0
    for match in _END.finditer(text):
        if match.group()[0] == "." and not _ends_sentence(text, match.start(), match.end()):
            continue
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the space around them."""
    return [text[start:end] for start, end in sentence_spans(text)]


def _ends_sentence(text: str, stop: int, after: int) -> bool:
    word = _WORD_BEFORE.search(text[max(0, stop - 20) : stop])
    before = word.group() if word else ""
    if before.lower() in _ABBREVIATIONS or (len(before) == 1 and before.isalpha() and before.isupper()):
        return False
    following = text[after : after + 40].lstrip()
    return not following or not following[0].islower()


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start:
        yield start, end
