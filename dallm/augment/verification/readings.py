"""What a quoted stretch of a report says: the concepts mentioned in it, each with its assertion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dallm.engines.extractive.analyse import Analyser, Finding
from dallm.engines.extractive.engine import _plan as plan_of
from dallm.engines.extractive.engine import _with_features as with_features
from dallm.engines.extractive.recognise import Recogniser
from dallm.engines.extractive.resolve import Located
from dallm.engines.extractive.text import Sentence, Tokens, role_of_field, sentences, tokenise
from dallm.features import Feature
from dallm.lexicon import Concept, Lexicon


class Span(NamedTuple):
    """A stretch of a report field."""

    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence with the part of it that is quoted: its findings, in the quote and beside it."""

    field: str
    sentence: Sentence
    text: str
    low: int  # the quoted part, in code points of the sentence
    high: int
    findings: tuple[Finding, ...]
    beside: tuple[Finding, ...]

    @property
    def tokens(self) -> Tokens:
        """The words of the sentence."""
        return tokenise(self.text)


@lru_cache(maxsize=256)
def _sentences(text: str, role: str) -> list[Sentence]:
    return sentences(text, role)


class Readings:
    """Reads quoted stretches with the rules of the extractive engine, for a set of features.

    Parameters
    ----------
    features : sequence of Feature
    lexicon : Lexicon

    Examples
    --------
    >>> readings = Readings((Feature("fever", "boolean"),), Lexicon.default())
    >>> report = {"findings": "No fever. Small effusion."}
    >>> [passage] = readings.passages([Span("findings", 0, 8)], report)
    >>> [(readings.concepts[f.concept].name, f.assertion) for f in passage.findings]
    [('fever', 'negated')]
    """

    def __init__(self, features: Sequence[Feature], lexicon: Lexicon) -> None:
        concepts, self._concept_of = with_features(lexicon, features)
        self.concepts: tuple[Concept, ...] = tuple(concepts)
        self._relation: dict[tuple[int, int], str] = {
            (index, number): relation
            for number, features_of in plan_of(lexicon, self.concepts, self._concept_of).items()
            for index, relation in features_of
        }
        self._analyser = Analyser(Recogniser(self.concepts, lexicon.groups))
        self._roles: dict[str, str] = {}

    def concept(self, index: int) -> Concept:
        """The concept of the feature at this place."""
        return self.concepts[self._concept_of[index]]

    def passages(self, spans: Sequence[Span], report: Mapping[str, str]) -> list[Passage]:
        """Return the sentences that the spans touch, each with what it mentions."""
        return [passage for span in spans for passage in self._touched(span, report[span.field])]

    def _touched(self, span: Span, text: str) -> Iterator[Passage]:
        role = self._roles.get(span.field)
        if role is None:
            role = self._roles[span.field] = role_of_field(span.field)
        for sentence in _sentences(text, role):
            if sentence.end <= span.start:
                continue
            if sentence.start >= span.end:
                break
            piece = text[sentence.start : sentence.end]
            low = max(span.start - sentence.start, 0)
            high = min(span.end - sentence.start, len(piece))
            within: list[Finding] = []
            beside: list[Finding] = []
            for finding in self._analyser.findings(piece, sentence.role):
                (within if finding.start < high and finding.end > low else beside).append(finding)
            yield Passage(span.field, sentence, piece, low, high, tuple(within), tuple(beside))

    def of_feature(self, index: int, passages: Sequence[Passage]) -> list[Located]:
        """Return what speaks of a feature: in the quote, else beside a quote that names nothing."""
        found = [
            located
            for passage in passages
            for finding in passage.findings
            for located in self._located(index, passage, finding)
        ]
        if found or any(passage.findings for passage in passages):
            return found
        return [
            located
            for passage in passages
            for finding in passage.beside
            for located in self._located(index, passage, finding)
        ]

    def of_others(self, index: int, passages: Sequence[Passage]) -> list[tuple[Passage, Finding]]:
        """Return the findings of the quote that speak of other concepts."""
        return [
            (passage, finding)
            for passage in passages
            for finding in passage.findings
            if (index, finding.concept) not in self._relation
        ]

    def _located(self, index: int, passage: Passage, finding: Finding) -> Iterator[Located]:
        relation = self._relation.get((index, finding.concept))
        if relation is None:
            return
        if relation == "parent" and not (finding.normal or finding.assertion == "negated"):
            return  # what is stated of a kind says nothing of its kinds
        name = self.concepts[finding.concept].name
        yield Located(finding, passage.field, passage.sentence.start, relation, name)
