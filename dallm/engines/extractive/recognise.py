"""Recognition: which concepts of the lexicon a sentence mentions, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dallm.engines.extractive.measure import measure
from dallm.engines.extractive.patterns import PatternSet, plural_forms
from dallm.engines.extractive.phrases import PhraseTrie, slips_of
from dallm.engines.extractive.text import Tokens, sentences, tokenise
from dallm.lexicon import Concept

# Of shorter words, too many slips are words of their own. A letter replaced is not mended at any length:
# "hemithorax" is no hemothorax, an "injection" no infection.
_SLIP_LENGTH = 10
_SEVERITY = {
    "mild": (
        "mild",
        "mildly",
        "slight",
        "slightly",
        "minimal",
        "minimally",
        "minor",
        "trace",
        "small",
        "tiny",
        "subtle",
    ),
    "moderate": ("moderate", "moderately", "modest"),
    "severe": (
        "severe",
        "severely",
        "marked",
        "markedly",
        "massive",
        "extensive",
        "large",
        "excruciating",
        "intense",
        "worst",
    ),
}
_LEVEL_OF_WORD = {word: level for level, words in _SEVERITY.items() for word in words}


class Mention(NamedTuple):
    """A mention of a concept in a text.

    Attributes
    ----------
    concept : Concept
    start, end : int
        The mention, in code points of the text that was searched.
    anchor_start, anchor_end : int
        The words whose assertion counts; they lie inside the mention.
    level : str or None
        The level that the words state (ordinal, categorical).
    statement : {"finding", "normal"}
        "normal": the words say that the concept is absent ("heart size is normal").
    value : float or None
        A measured value, in `unit`.
    unit : str or None
    """

    concept: Concept
    start: int
    end: int
    anchor_start: int
    anchor_end: int
    level: str | None
    statement: str
    value: float | None
    unit: str | None


class TokenMention(NamedTuple):
    """A mention by tokens of its sentence: the concept's number, span, anchor."""

    concept: int
    start: int
    end: int
    anchor: tuple[int, int]
    level: str | None
    normal: bool
    value: float | None


class _Term(NamedTuple):
    concept: int
    level: str | None
    cased: str | None


class Recogniser:
    """Finds the concepts of a lexicon in text.

    Parameters
    ----------
    concepts : sequence of Concept
        All concepts that are to be told apart, also those of which nobody asks: a longer term of one keeps a
        shorter one of another from matching inside it.
    groups : mapping of str to sequence of str
        Word groups of the patterns.

    Examples
    --------
    >>> from dallm import Lexicon
    >>> lexicon = Lexicon.default()
    >>> [m.concept.name for m in Recogniser(lexicon.concepts, lexicon.groups).find("Fever and dry cough.")]
    ['fever', 'dry cough']
    """

    def __init__(self, concepts: Sequence[Concept], groups: Mapping[str, Sequence[str]]) -> None:
        self.concepts = tuple(concepts)
        self._trie: PhraseTrie[_Term] = PhraseTrie()
        self._ignored: PhraseTrie[int] = PhraseTrie()
        self._ignoring = {number for number, c in enumerate(self.concepts) if c.ignore}
        self._patterns = PatternSet(groups)
        for number, concept in enumerate(self.concepts):
            self._add(number, concept)
        vocabulary = self._trie.words() | self._patterns.words()
        words = {w for c in self.concepts for term in c.terms for w in tokenise(term).words}
        self._slips = slips_of((w for w in words if len(w) >= _SLIP_LENGTH and w.isalpha()), vocabulary)

    def _add(self, number: int, concept: Concept) -> None:
        for term in (*concept.terms, *concept.misspellings):
            self._add_phrase(term, _Term(number, None, None))
        for term in concept.abbreviations:
            self._trie.add(term, _Term(number, None, term))
        for level, terms in concept.level_terms.items():
            for term in terms:
                self._add_phrase(term, _Term(number, level, None))
        for phrase in concept.ignore:
            for variant in plural_forms(phrase):
                self._ignored.add(variant, number)
        for pattern in concept.patterns:
            self._patterns.add(pattern, number, normal=False)
        for pattern in concept.normal:
            self._patterns.add(pattern, number, normal=True)

    def _add_phrase(self, phrase: str, term: _Term) -> None:
        for variant in plural_forms(phrase):
            self._trie.add(variant, term)

    def find(self, text: str) -> list[Mention]:
        """Return the mentions in a text, in its order."""
        found: list[Mention] = []
        for sentence in sentences(text):
            piece = text[sentence.start : sentence.end]
            tokens = tokenise(piece)
            for m in self.mentions(piece, tokens):
                concept = self.concepts[m.concept]
                at = sentence.start
                found.append(
                    Mention(
                        concept,
                        at + tokens.starts[m.start],
                        at + tokens.ends[m.end - 1],
                        at + tokens.starts[m.anchor[0]],
                        at + tokens.ends[m.anchor[1] - 1],
                        m.level,
                        "normal" if m.normal else "finding",
                        m.value,
                        concept.unit if m.value is not None else None,
                    )
                )
        return found

    def mentions(self, text: str, tokens: Tokens) -> list[TokenMention]:
        """Return the mentions in one sentence, by tokens."""
        words = self._correct(tokens.words)
        found: list[TokenMention] = []
        for start, end, terms in self._trie.scan(words):
            for term in terms:
                if term.cased is not None and text[tokens.starts[start] : tokens.ends[end - 1]] != term.cased:
                    continue
                mention = self._typed(tokens, words, start, end, term)
                if mention is not None:
                    found.append(mention)
        if any(m.concept in self._ignoring for m in found):
            found = self._without_ignored(found, words)
        taken = {(m.concept, k) for m in found for k in range(m.start, m.end)}
        for match in self._patterns.match(words):
            concept = match.pattern.concept
            if (concept, match.anchor[0]) not in taken:
                found.append(
                    TokenMention(
                        concept, match.start, match.end, match.anchor, None, match.pattern.normal, None
                    )
                )
        found.sort(key=lambda m: (m.start, m.end, m.concept))
        return found

    def _without_ignored(self, found: list[TokenMention], words: tuple[str, ...]) -> list[TokenMention]:
        """Drop mentions inside a longer phrase that is not their concept: "joint effusion"."""
        ignored = list(self._ignored.scan(words))
        return [
            m for m in found if not any(s <= m.start and m.end <= e and m.concept in n for s, e, n in ignored)
        ]

    def _typed(
        self, tokens: Tokens, words: tuple[str, ...], start: int, end: int, term: _Term
    ) -> TokenMention | None:
        concept = self.concepts[term.concept]
        anchor = (start, end)
        if concept.kind == "boolean":
            return TokenMention(term.concept, start, end, anchor, None, False, None)
        if concept.kind == "numeric":
            measured = measure(tokens, start, end, concept)
            if measured is None:
                return None
            low, high = min(start, measured.start), max(end, measured.end)
            return TokenMention(term.concept, low, high, anchor, None, False, measured.value)
        level = term.level
        if level is None and concept.severity:
            near = (*words[max(0, start - 3) : start], *words[end : end + 3])
            level = next((_LEVEL_OF_WORD[w] for w in near if w in _LEVEL_OF_WORD), None)
        if level is None and concept.severity:
            return TokenMention(term.concept, start, end, anchor, None, False, None)
        if level is None or level not in concept.levels:
            return None
        low = start
        if term.level is None:
            low = next((k for k in range(max(0, start - 3), start) if words[k] in _LEVEL_OF_WORD), start)
        return TokenMention(term.concept, low, end, anchor, level, False, None)

    def _correct(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Replace long words with two letters exchanged, one left out or one doubled by what was meant."""
        slips = self._slips
        if slips.keys().isdisjoint(words):
            return words
        return tuple(slips.get(word, word) for word in words)
