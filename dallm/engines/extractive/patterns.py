"""Patterns of the lexicon: words that state a concept only together ("heart size ... enlarged").

A pattern is a row of elements; ``...`` between two of them stands for a few words of the same clause, ``~``
for a verb that says how something is, with its adverbs and negations; ``!`` marks the element whose assertion
counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dallm.engines.extractive.phrases import PhraseTrie
from dallm.engines.extractive.triggers import trigger_table

Span = tuple[int, int]

GAPS = ("...", "~")
_GAP = 6  # words between two elements
_LIST_GAP = (
    14  # the same where the gap is a list of organs: "heart size, mediastinal contour and hila are normal"
)
_FILLERS = frozenset(("the", "a", "an", "xxxx", "its", "his", "her"))
_BREAKS = frozenset(
    (";", ":", "(", "but", "however", "with", "without", "while", "although", "which", "that", "there", "?")
)
_JOINTS = frozenset((",", "and", "&"))
# What "~" stands for: "legs (do not appear) swollen", "JVP (is not very) high"; adverbs in -ly as well.
_LINKING = frozenset(
    ": is are was were be been being has have had does do did can not no longer never feels felt feel looks "
    "look looked appears appear appeared seems seem seemed remains remain remained became become becomes "
    "turned turn turns went gets got stays without with still also now very quite rather somewhat more "
    "less most too so again currently today perhaps maybe may might could would to any significant "
    "started begun began as both isn't aren't wasn't weren't doesn't don't didn't hasn't haven't at times "
    "since".split()
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern: one slot number per element, and the gap before it: "", "..." or "~"."""

    slots: tuple[int, ...]
    gaps: tuple[str, ...]
    anchor: int
    concept: int
    normal: bool


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """Where a pattern matched: the tokens of the whole and of its anchor."""

    pattern: Pattern
    start: int
    end: int
    anchor: Span


class PatternSet:
    """All patterns of a lexicon, matched together over one sentence."""

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self._groups = groups
        self._trie: PhraseTrie[int] = PhraseTrie()
        self._slots: dict[str, int] = {}
        self._by_anchor: dict[int, list[Pattern]] = {}
        self._heads: frozenset[str] | None = None  # first words of anchors, once all patterns are there
        self._verbs = trigger_table().verbs
        self._ends = frozenset(("but", "however", "except"))

    def add(self, text: str, concept: int, *, normal: bool) -> None:
        """Compile a pattern and add it."""
        slots: list[int] = []
        gaps: list[str] = []
        anchor, gap = -1, ""
        for element in text.split():
            if element in GAPS:
                gap = element
                continue
            if element.startswith("!"):
                anchor = len(slots)
                element = element[1:]
            slots.append(self._slot(element))
            gaps.append(gap)
            gap = ""
        anchor = anchor if anchor >= 0 else len(slots) - 1
        pattern = Pattern(tuple(slots), tuple(gaps), anchor, concept, normal)
        self._by_anchor.setdefault(slots[anchor], []).append(pattern)

    def _slot(self, element: str) -> int:
        if element in self._slots:
            return self._slots[element]
        number = self._slots[element] = len(self._slots)
        phrases: Iterable[str]
        phrases = self._groups[element[1:-1]] if element.startswith("{") else element.split("|")
        for phrase in phrases:
            for variant in plural_forms(phrase):
                self._trie.add(variant, number)
        return number

    def anchors(self) -> set[tuple[str, ...]]:
        """Return the phrases of which every match of a pattern holds one."""
        return {words for words, slots in self._trie.phrases() if any(s in self._by_anchor for s in slots)}

    def words(self) -> set[str]:
        """Return every word that occurs in a pattern."""
        return self._trie.words()

    def match(self, words: Sequence[str]) -> list[PatternMatch]:
        """Return the matches of all patterns in a sentence, at most one per pattern and anchor."""
        if self._heads is None:
            self._heads = frozenset(phrase[0] for phrase in self.anchors())
        if self._heads.isdisjoint(words):
            return []
        hits: dict[int, list[Span]] = {}
        for start, end, slots in self._trie.scan(words):
            for slot in slots:
                hits.setdefault(slot, []).append((start, end))
        found: list[PatternMatch] = []
        for slot in hits:
            for pattern in self._by_anchor.get(slot, ()):
                if all(s in hits for s in pattern.slots):
                    found.extend(self._matches(pattern, hits, words))
        return found

    def _matches(
        self, pattern: Pattern, hits: Mapping[int, list[Span]], words: Sequence[str]
    ) -> Iterable[PatternMatch]:
        seen: set[Span] = set()
        # from the last possible beginning backwards: the nearest words belong together
        for first in reversed(hits[pattern.slots[0]]):
            spans = [first]
            for slot, gap in zip(pattern.slots[1:], pattern.gaps[1:], strict=True):
                following = next(
                    (s for s in hits[slot] if self._joined(words, spans[-1][1], s[0], gap, pattern.normal)),
                    None,
                )
                if following is None:
                    break
                spans.append(following)
            else:
                anchor = spans[pattern.anchor]
                if anchor not in seen:
                    seen.add(anchor)
                    yield PatternMatch(pattern, first[0], spans[-1][1], anchor)

    def _joined(self, words: Sequence[str], end: int, start: int, gap: str, normal: bool) -> bool:
        if start < end:
            return False
        if gap != "...":
            return all(
                word in _FILLERS or (gap == "~" and (word in _LINKING or word.endswith("ly")))
                for word in words[end:start]
            )
        if start - end > (_LIST_GAP if normal else _GAP):
            return False
        verb_seen = False
        for word in words[end:start]:
            if word in _BREAKS:
                return False
            if word in _JOINTS and (verb_seen or (word == "," and not normal)):
                return False
            verb_seen = verb_seen or word in self._verbs
        return True


def plural_forms(phrase: str) -> tuple[str, ...]:
    """Return a phrase and its regular plural.

    Examples
    --------
    >>> plural_forms("rib fracture"), plural_forms("opacity"), plural_forms("mass")
    (('rib fracture', 'rib fractures'), ('opacity', 'opacities'), ('mass', 'masses'))
    """
    if len(phrase) < 4 or not phrase[-1].isalpha():
        return (phrase,)
    if phrase.endswith("sis"):
        return (phrase, phrase[:-2] + "es")
    if phrase.endswith(("s", "x", "ch", "sh")):
        return (phrase, phrase + "es")
    if phrase.endswith("y") and phrase[-2] not in "aeiou":
        return (phrase, phrase[:-1] + "ies")
    return (phrase, phrase + "s")
