"""A trie over words: finds the longest known phrase at each place of a sentence in one pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from dallm.engines.extractive.text import tokenise

T = TypeVar("T")
_END = ""  # no token is empty, so this key never collides with a word


class PhraseTrie(Generic[T]):
    """Maps phrases to payloads; a phrase may carry several.

    Examples
    --------
    >>> trie = PhraseTrie()
    >>> trie.add("no", 1)
    >>> trie.add("no evidence of", 2)
    >>> trie.scan(("there", "is", "no", "evidence", "of", "air"))
    [(2, 5, [2])]
    """

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, phrase: str | Sequence[str], payload: T) -> None:
        """Add a phrase; text is cut into words as reports are."""
        words = tokenise(phrase).words if isinstance(phrase, str) else phrase
        if not words:
            raise ValueError(f"A phrase without words cannot be looked for: {phrase!r}")
        node = self._root
        for word in words:
            node = node.setdefault(word, {})
        found = node.setdefault(_END, [])
        if payload not in found:
            found.append(payload)

    def scan(self, words: Sequence[str]) -> list[tuple[int, int, list[T]]]:
        """Return (start, end, payloads) of the phrases of a sentence; the longest wins, none overlap."""
        root = self._root
        found: list[tuple[int, int, list[T]]] = []
        free = 0
        # one loop without calls: it runs over every word of every report, several times
        for start in [k for k, word in enumerate(words) if word in root]:
            if start < free:
                continue
            node, at, end = root[words[start]], start + 1, 0
            while node is not None:
                if _END in node:
                    end, payloads = at, node[_END]
                node = node.get(words[at]) if at < len(words) else None
                at += 1
            if end:
                found.append((start, end, payloads))
                free = end
        return found

    def phrases(self) -> Iterator[tuple[tuple[str, ...], list[T]]]:
        """Yield every phrase with its payloads."""
        stack: list[tuple[tuple[str, ...], dict[str, Any]]] = [((), self._root)]
        while stack:
            words, node = stack.pop()
            for word, child in node.items():
                if word == _END:
                    yield words, node[_END]
                else:
                    stack.append(((*words, word), child))

    def words(self) -> set[str]:
        """Return every word that occurs in a phrase."""
        known: set[str] = set()
        stack = [self._root]
        while stack:
            for word, child in stack.pop().items():
                if word != _END:
                    known.add(word)
                    stack.append(child)
        return known


def slips_of(words: Iterable[str], vocabulary: Collection[str]) -> dict[str, str]:
    """Return slips of the pen of these words that are no known words, each with the word that was meant."""
    found: dict[str, str] = {}
    for word in sorted(words):
        for slip in _slips(word):
            if slip not in vocabulary:
                found.setdefault(slip, word)
    return found


def _slips(word: str) -> Iterator[str]:
    """Yield the slips of the pen that are mended; the first letter is hardly ever wrong.

    Examples
    --------
    >>> sorted(_slips("abc"))
    ['abbc', 'abcc', 'ac', 'acb']
    """
    for k in range(1, len(word)):
        yield word[:k] + word[k] + word[k:]
        if k + 1 == len(word):
            break  # the last letter makes a plural or another word: "structure", "structures"
        yield word[:k] + word[k + 1 :]
        if word[k] != word[k + 1]:
            yield word[:k] + word[k + 1] + word[k] + word[k + 2 :]
