"""Recognition: which concepts of the lexicon a sentence mentions, and where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dallm.engines.extractive.measure import Measurement, age_of_person, is_unit, measure
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
_APART = frozenset(
    ", ; : . ( ) and or but with without no on in at after during for since x to from of".split()
)
_LEADING = frozenset(
    ", ( : is was are were now very quite rather described as rated remains currently".split()
)
_SEX_OF_LETTER = {"m": "male", "f": "female"}


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
    person: bool = False  # a letter that stands for a person of some age and sex: "52M"


def _add_phrase(trie: PhraseTrie[_Term], phrase: str, term: _Term) -> None:
    for variant in plural_forms(phrase):
        trie.add(variant, term)


def _cased(text: str, tokens: Tokens, start: int, end: int, term: _Term) -> bool:
    return term.cased is None or text[tokens.starts[start] : tokens.ends[end - 1]] == term.cased


def _with_value(concept: int, start: int, end: int, found: Measurement) -> TokenMention:
    low, high = min(start, found.start), max(end, found.end)
    return TokenMention(concept, low, high, (start, end), None, False, found.value)


def _person(text: str, tokens: Tokens, start: int, term: _Term) -> TokenMention | None:
    """The age or the sex in "52M"."""
    age = age_of_person(tokens, start, capital=text[tokens.starts[start]].isupper())
    if age is None:
        return None
    mention = _with_value(term.concept, start, start + 1, age)
    return mention if term.level is None else mention._replace(level=term.level, value=None)


def _severity(words: tuple[str, ...], start: int, end: int) -> tuple[str | None, int]:
    """The level beside a symptom, and where the mention begins with it.

    "severe sudden chest pain", "chest pain, severe", "chest pain is severe"; but in "mild cough, chest pain"
    and in "chest pain with mild exertion" the word belongs to something else.
    """
    for at in range(start - 1, max(-1, start - 5), -1):
        if words[at] in _APART:
            break
        if words[at] in _LEVEL_OF_WORD:
            return _LEVEL_OF_WORD[words[at]], at
    at = end
    while at < len(words) and at < end + 4 and words[at] in _LEADING:
        at += 1
    if (
        at < len(words)
        and words[at] in _LEVEL_OF_WORD
        and (at == end or at + 1 == len(words) or words[at + 1] in _APART)
    ):
        return _LEVEL_OF_WORD[words[at]], start
    return None, start


class Recogniser:
    """Finds the concepts of a lexicon in text.

    Parameters
    ----------
    concepts : sequence of Concept
        All concepts that are to be told apart, also those of which nobody asks: a longer term of one keeps a
        shorter one of another from matching inside it.
    groups : mapping of str to sequence of str
        Word groups of the patterns.
    wanted : collection of int, optional
        Numbers of the concepts whose mentions are returned; by default all.

    Examples
    --------
    >>> from dallm import Lexicon
    >>> lexicon = Lexicon.default()
    >>> [m.concept.name for m in Recogniser(lexicon.concepts, lexicon.groups).find("Fever and dry cough.")]
    ['fever', 'dry cough']
    """

    def __init__(
        self,
        concepts: Sequence[Concept],
        groups: Mapping[str, Sequence[str]],
        wanted: Collection[int] | None = None,
    ) -> None:
        self.concepts = tuple(concepts)
        self._wanted = frozenset(range(len(self.concepts)) if wanted is None else wanted)
        self._typed_wanted = any(self.concepts[number].kind != "boolean" for number in self._wanted)
        # Two tries, each with its own longest phrase: "elevated WBC of 15.2" states leukocytosis and a count.
        self._trie: PhraseTrie[_Term] = PhraseTrie()
        self._typed_trie: PhraseTrie[_Term] = PhraseTrie()
        self._ignored: PhraseTrie[int] = PhraseTrie()
        self._ignoring = {number for number, c in enumerate(self.concepts) if c.ignore}
        self._patterns = PatternSet(groups)
        for number, concept in enumerate(self.concepts):
            self._add(number, concept)
        vocabulary = self._trie.words() | self._typed_trie.words() | self._patterns.words()
        words = {w for c in self.concepts for term in c.terms for w in tokenise(term).words}
        self._slips = slips_of((w for w in words if len(w) >= _SLIP_LENGTH and w.isalpha()), vocabulary)

        self._keys = self._key_words()

    def _key_words(self) -> frozenset[str]:
        """The longest word of each phrase: what mentions anything wanted holds one of them."""
        phrases = {
            words
            for trie in (self._trie, self._typed_trie)
            for words, terms in trie.phrases()
            if any(term.concept in self._wanted for term in terms)
        }
        keys = {max(words, key=len) for words in phrases | self._patterns.anchors()}
        return frozenset(keys | {slip for slip, word in self._slips.items() if word in keys})

    def may_mention(self, words: Iterable[str]) -> bool:
        """Whether a sentence of these words may mention anything wanted; much cheaper than to look.

        Examples
        --------
        >>> from dallm import Lexicon
        >>> lexicon = Lexicon.default()
        >>> recogniser = Recogniser(lexicon.concepts, lexicon.groups)
        >>> recogniser.may_mention(("compared", "with")), recogniser.may_mention(("small", "effusion"))
        (False, True)
        """
        return not self._keys.isdisjoint(words)

    def _add(self, number: int, concept: Concept) -> None:
        trie = self._trie if concept.kind == "boolean" else self._typed_trie
        of_values = concept.value_terms if concept.kind == "numeric" else ()
        for term in (*concept.terms, *concept.misspellings, *of_values):
            _add_phrase(trie, term, _Term(number, None, None))
        for term in concept.abbreviations:
            trie.add(term, _Term(number, None, term))
        for level, terms in concept.level_terms.items():
            for term in terms:
                _add_phrase(trie, term, _Term(number, level, None))
        for letter, sex in _SEX_OF_LETTER.items():
            if concept.unit == "years" or sex in concept.levels:
                trie.add(letter, _Term(number, sex if sex in concept.levels else None, None, person=True))
        for phrase in concept.ignore:
            for variant in plural_forms(phrase):
                self._ignored.add(variant, number)
        if number not in self._wanted:
            return  # its terms keep shorter ones from matching; its patterns keep nothing
        for pattern in concept.patterns:
            self._patterns.add(pattern, number, normal=False)
        for pattern in concept.normal:
            self._patterns.add(pattern, number, normal=True)

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
                if term.concept in self._wanted and _cased(text, tokens, start, end, term):
                    found.append(TokenMention(term.concept, start, end, (start, end), None, False, None))
        if self._typed_wanted:
            # all of them are read: a number belongs to one name only
            found.extend(m for m in self._typed(text, tokens, words) if m.concept in self._wanted)
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
            m
            for m in found
            if not any(s <= m.anchor[0] and m.anchor[1] <= e and m.concept in n for s, e, n in ignored)
        ]

    def _typed(self, text: str, tokens: Tokens, words: tuple[str, ...]) -> Iterator[TokenMention]:
        """Yield the mentions of concepts with a value or a level; a number belongs to one name only."""
        hits = [
            (start, end, [term for term in terms if _cased(text, tokens, start, end, term)])
            for start, end, terms in self._typed_trie.scan(words)
        ]
        names = [begin for hit in hits for begin in self._begins(words, *hit)]
        floor = 0
        for start, end, terms in hits:
            reached = end
            for term in terms:
                concept = self.concepts[term.concept]
                if term.person:
                    mention = _person(text, tokens, start, term)
                elif concept.kind == "numeric":
                    ceiling = next((begin for begin in names if begin >= end), None)
                    measured = measure(tokens, start, end, concept, floor=floor, ceiling=ceiling)
                    mention = measured and _with_value(term.concept, start, end, measured)
                else:
                    mention = self._levelled(words, start, end, term)
                if mention is not None:
                    reached = max(reached, mention.end)
                    yield mention
            floor = reached

    def _begins(self, words: tuple[str, ...], start: int, end: int, terms: Sequence[_Term]) -> Iterator[int]:
        """Where the name of a number begins, with the number before it if that is where its number stands."""
        for term in terms:
            concept = self.concepts[term.concept]
            if concept.kind == "numeric" and not term.person:
                yield start - 1 if is_unit(words, start, concept) else start
                break

    def _levelled(self, words: tuple[str, ...], start: int, end: int, term: _Term) -> TokenMention | None:
        concept = self.concepts[term.concept]
        level, low = term.level, start
        if level is None and concept.severity:
            level, low = _severity(words, start, end)
            if level is None:
                return TokenMention(term.concept, start, end, (start, end), None, False, None)
        if level not in concept.levels:
            return None
        return TokenMention(term.concept, low, end, (start, end), level, False, None)

    def _correct(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Replace long words with two letters exchanged, one left out or one doubled by what was meant."""
        slips = self._slips
        if slips.keys().isdisjoint(words):
            return words
        return tuple(slips.get(word, word) for word in words)
