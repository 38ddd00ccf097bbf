"""Where a quote stands in a report: word for word, else but for case, blanks and signs, else nearly so."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Exactness = Literal["exact", "normalised", "fuzzy"]

_NEAR = 90.0  # of 100; rapidfuzz's partial ratio of the quote and the best stretch of the field
_SHORTEST = 10  # characters; of shorter quotes too many stretches are nearly the same
_SAME_WORD = 0.75
_MENDED = 4  # letters; a slip in a shorter word makes another word
_MOST = 8  # places of one quote that are looked at
_GAP = 300  # characters that dots may stand for
_LETTERS = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "’": "'", "‘": "'", "´": "'", "`": "'"}
_LETTERS |= dict.fromkeys("‐‑‒–—−", "-")
_DOTS = re.compile(r"\s*(?:\.{3,}|…|\[\s*(?:\.{3,}|…)\s*\])\s*")
_EDGES = " \t\r\n\"'.,;:"
_WORD = re.compile(r"\w+(?:[.,/]\d+)*")
# Words whose coming or going changes nothing of what a sentence says.
_EMPTY = frozenset("a an the is are was were be been has have had of and there this that patient".split())
# What turns a word into its opposite stands at its beginning.
_OPPOSITES = ("un", "non", "in", "ab", "hypo", "hyper", "dis", "de", "re", "a")


class Alignment(NamedTuple):
    """Where a quote stands: ``report[field][start:end]``, in code points, and how it was found."""

    field: str
    start: int
    end: int
    exactness: Exactness


def locate(quote: str, field: str | None, report: Mapping[str, str]) -> Alignment | None:
    """Return where a quote stands in a report, or None.

    The field named comes first. Another field counts only where it holds the quote but for case, blanks and
    signs: a stretch that is merely similar there may speak of something else.

    Parameters
    ----------
    quote : str
        As it was given; dots in it may stand for words left out.
    field : str or None
        The field that it is said to stand in.
    report : mapping of str to str

    Examples
    --------
    >>> report = {"findings": "There is a small\\nleft effusion.", "impression": "Effusion."}
    >>> locate("Small left effusion", "findings", report)
    Alignment(field='findings', start=11, end=30, exactness='normalised')
    >>> locate("Effusion.", "findings", report).field
    'findings'
    >>> locate("there is a smal left efusion", "findings", report).exactness
    'fuzzy'
    >>> locate("There is no left effusion", "findings", report) is None
    True
    """
    if not quote.strip():
        return None
    own = {field: report[field]} if field is not None and field in report else {}
    others = {name: text for name, text in report.items() if name not in own}
    for texts in (own, others):
        for name, text in texts.items():
            start = text.find(quote)
            if start >= 0:
                return Alignment(name, start, start + len(quote), "exact")
        for name, text in texts.items():
            span = _normalised(quote, text)
            if span is not None:
                return Alignment(name, *span, "normalised")
        for name, text in texts.items() if texts is own else ():
            span = _nearly(quote, text)
            if span is not None:
                return Alignment(name, *span, "fuzzy")
    return None


def places(quote: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a text that are the quote, word for word.

    Examples
    --------
    >>> list(places("effusion", "No effusion left. Right effusion."))
    [(3, 11), (24, 32)]
    """
    at = text.find(quote)
    for _ in range(_MOST):
        if at < 0 or not quote:
            return
        yield at, at + len(quote)
        at = text.find(quote, at + 1)


class _Folded(NamedTuple):
    text: str
    place: tuple[int, ...]  # of every character in the text as given, and its end


@lru_cache(maxsize=512)
def _fold(text: str) -> _Folded:
    """One case, one blank for a run of them, plain quotation marks and dashes, nothing invisible."""
    letters: list[str] = []
    place: list[int] = []
    for at, letter in enumerate(text):
        if letter.isspace() or letter < " ":
            if letters and letters[-1] != " ":
                letters.append(" ")
                place.append(at)
            continue
        if letter >= "\x80":
            if unicodedata.category(letter) in ("Cf", "Mn"):
                continue
            letter = _LETTERS.get(letter) or unicodedata.normalize("NFKD", letter)
        for part in letter.lower():
            if part < "\x80" or unicodedata.category(part) != "Mn":
                letters.append(part)
                place.append(at)
    return _Folded("".join(letters), (*place, len(text)))


def _normalised(quote: str, text: str) -> tuple[int, int] | None:
    pieces = [p for p in (_fold(part).text.strip(_EDGES) for part in _DOTS.split(quote)) if p]
    if not pieces:
        return None
    folded = _fold(text)
    first = at = -1
    for piece in pieces:
        found = _whole(piece, folded.text, max(at, 0))
        if found < 0 or (at >= 0 and found - at > _GAP):
            return None
        first = found if first < 0 else first
        at = found + len(piece)
    return folded.place[first], folded.place[at - 1] + 1


def _whole(piece: str, text: str, start: int) -> int:
    """Where a piece stands with whole words at its ends: "edema" does not stand in "lymphoedema"."""
    at = text.find(piece, start)
    while at >= 0:
        end = at + len(piece)
        opens = at == 0 or not (text[at - 1].isalnum() and piece[0].isalnum())
        closes = end == len(text) or not (text[end].isalnum() and piece[-1].isalnum())
        if opens and closes:
            return at
        at = text.find(piece, at + 1)
    return -1


def _nearly(quote: str, text: str) -> tuple[int, int] | None:
    from rapidfuzz import fuzz

    wanted = _fold(quote).text.strip(_EDGES)
    if len(wanted) < _SHORTEST or len(wanted) > len(text) + _SHORTEST:
        return None
    folded = _fold(text)
    best = fuzz.partial_ratio_alignment(wanted, folded.text, score_cutoff=_NEAR)
    if best is None or best.score < _NEAR:
        return None
    start, end = best.dest_start, best.dest_end
    while start > 0 and folded.text[start - 1].isalnum() and folded.text[start].isalnum():
        start -= 1
    while end < len(folded.text) and folded.text[end].isalnum() and folded.text[end - 1].isalnum():
        end += 1
    if end <= start or not _same_words(wanted, folded.text[start:end]):
        return None
    return folded.place[start], folded.place[end - 1] + 1


def _same_words(wanted: str, found: str) -> bool:
    """Whether two stretches differ in slips of the pen and empty words only, never in a number or a "no"."""
    from rapidfuzz.distance import Levenshtein

    one, other = _WORD.findall(wanted), _WORD.findall(found)
    for step in Levenshtein.opcodes(one, other):
        mine, theirs = one[step.src_start : step.src_end], other[step.dest_start : step.dest_end]
        if step.tag == "equal":
            continue
        if step.tag == "replace":
            if len(mine) != len(theirs) or not all(map(_slip, mine, theirs)):
                return False
        elif not _EMPTY.issuperset(mine or theirs):
            return False
    return True


def _slip(one: str, other: str) -> bool:
    from rapidfuzz.distance import Levenshtein

    if one in _EMPTY and other in _EMPTY:
        return True
    if min(len(one), len(other)) < _MENDED or not (one.isalpha() and other.isalpha()):
        return False
    if any(one.startswith(p) != other.startswith(p) for p in _OPPOSITES if len(p) > 1):
        return False
    return one[0] == other[0] and Levenshtein.normalized_similarity(one, other) >= _SAME_WORD
