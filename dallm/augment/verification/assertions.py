"""Whether quoted words say what a value says: topic, assertion, level, number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from dallm.augment.verification.kinds import Refusal
from dallm.augment.verification.readings import Passage, Readings, Span
from dallm.augment.verification.units import with_range, with_units
from dallm.augment.verification.values import Stated, close, numbers_in, readings_of
from dallm.augment.verification.words import denies, forms_of, speaks
from dallm.engines.base import Case, CellValue
from dallm.engines.extractive.resolve import Located, resolve
from dallm.engines.extractive.scope import Scope
from dallm.engines.extractive.text import Tokens
from dallm.errors import FeatureError
from dallm.features import Feature, normalise_name
from dallm.lexicon import Concept, Lexicon

CONSIDERED = "the report only considers it"
_NO_DEGREE = frozenset("none no absent never negative normal nil non-smoker nonsmoker without".split())
_SHARED = {"severe": 2, "marked": 2, "massive": 2, "large": 2, "extensive": 2, "moderate": 1, "mild": 0}
_SHARED |= {"slight": 0, "small": 0, "minimal": 0, "trace": 0, "tiny": 0, "minor": 0}


class Finding(NamedTuple):
    """What was found out about the quotes of one answer: why it is refused, or how they assert it."""

    refusal: Refusal | None
    assertion: str = ""
    rule: str = ""


class Judge:
    """Compares values with the words quoted for them.

    Parameters
    ----------
    features : sequence of Feature
    lexicon : Lexicon
    """

    def __init__(self, features: Sequence[Feature], lexicon: Lexicon) -> None:
        self._features = tuple(features)
        self._readings = Readings(features, lexicon)
        self.concepts = tuple(
            with_range(with_units(self._readings.concept(n)), lexicon) for n in range(len(self._features))
        )
        self._forms = [forms_of(f, c) for f, c in zip(self._features, self.concepts, strict=True)]

    def judge(
        self, index: int, value: CellValue, spans: Sequence[Span], report: Mapping[str, str]
    ) -> Finding:
        """Return what the quoted words say of the value of a feature."""
        passages = self._readings.passages(spans, report)
        kind = self._features[index].kind
        if kind == "numeric" and isinstance(value, (int, float)):
            return self._number(index, float(value), passages)
        found = self._readings.of_feature(index, passages)
        if not found:
            return self._unnamed(index, value, passages)
        if kind == "boolean":
            return _truth(self.concepts[index], value is True, found, dict(report))
        return self._level(index, str(value), found, passages, dict(report))

    def _level(
        self,
        index: int,
        value: str,
        found: Sequence[Located],
        passages: Sequence[Passage],
        texts: dict[str, str],
    ) -> Finding:
        draft = resolve(self.concepts[index], found, texts)
        none_like = not _NO_DEGREE.isdisjoint(normalise_name(value).split())
        if draft is None:
            return _other_level(self._features[index], value, passages) or Finding(None, "present", "stated")
        stated = {f.finding.level for f in found if f.finding.level is not None}
        if stated and draft.status in ("documented", "conflicting", "not_documented"):
            if any(normalise_name(level) == normalise_name(value) for level in stated):
                return Finding(None, "present", draft.rationale)
            levels = ", ".join(sorted(stated))
            return Finding(Refusal("assertion", "conflicting", f"the quote states another level: {levels}"))
        if draft.status == "uncertain":
            return Finding(Refusal("assertion", "uncertain", CONSIDERED))
        if draft.status == "not_applicable":
            if none_like:
                return Finding(None, "negated", draft.rationale)
            return Finding(Refusal("assertion", "conflicting", "the quote denies it, so it has no degree"))
        return Finding(Refusal("assertion", "failed", f"the quote has it {draft.reason}"))

    def _number(self, index: int, value: float, passages: Sequence[Passage]) -> Finding:
        concept = self.concepts[index]
        own = [f.finding for f in self._readings.of_feature(index, passages)]
        numbers = [number for passage in passages for number in _quoted_numbers(passage, concept)]
        if not numbers:
            return Finding(Refusal("value", "failed", "no number stands in the quote"))
        if any(f.value is not None and close(f.value, value) for f in own):
            said = next(f for f in own if f.value is not None and close(f.value, value))
            if said.assertion == "possible":
                return Finding(Refusal("assertion", "uncertain", CONSIDERED))
            return Finding(None, said.assertion, said.rule)
        fitting = [n for n in numbers if any(close(r, value) for r in readings_of(n, concept))]
        if not fitting:
            if any(n.unit is not None and close(n.written, value) for n in numbers):
                units = ", ".join(sorted({n.unit for n in numbers if n.unit and close(n.written, value)}))
                found = f"the number of the quote is in {units}, not in {concept.unit}"
                return Finding(Refusal("unit", "failed", found))
            return Finding(Refusal("value", "conflicting", "another number stands in the quote"))
        if any(f.value is not None for f in own):
            # the quote has two numbers: the one that is given belongs to something else
            about = self._claimed(index, passages, fitting)
            return Finding(_off_topic(self._features[index], about) if about else None, "present", "stated")
        if own or any(self._named(index, passage) for passage in passages):
            return Finding(None, "present", "stated")
        about = self._claimed(index, passages, fitting) or self._other_feature(index, passages, "numeric")
        if about:
            return Finding(_off_topic(self._features[index], about))
        return Finding(None, "present", "quoted in other words")

    def _claimed(self, index: int, passages: Sequence[Passage], fitting: Sequence[Stated]) -> str:
        """The quantity of which the number is, where it is another's."""
        for _, finding in self._readings.of_others(index, passages):
            if finding.value is not None and any(close(finding.value, n.written) for n in fitting):
                return self._readings.concepts[finding.concept].name
        return ""

    def _named(self, index: int, passage: Passage) -> list[int]:
        """Places of the quoted words that name a feature and belong to no other concept."""
        tokens = passage.tokens
        taken = [
            (f.start, f.end)
            for passage_, f in self._readings.of_others(index, [passage])
            if passage_ is passage
        ]
        free = [k for k in _quoted(tokens, passage) if not _inside(tokens.starts[k], taken)]
        return speaks(tokens.words, self._forms[index], free)

    def _unnamed(self, index: int, value: CellValue, passages: Sequence[Passage]) -> Finding:
        """Judge a quote in which the lexicon finds no mention of the feature."""
        for passage in passages:
            places = self._named(index, passage)
            if places:
                return self._by_words(index, value, passage, places)
        measured = self._measured(index, value, passages)
        if measured is not None:
            return measured
        other = self._other_topic(index, passages)
        if other is not None:
            return other
        if value is True and passages and _opens_denied(passages[0]):
            return Finding(Refusal("assertion", "conflicting", "the quote denies what it speaks of"))
        return Finding(None, "negated" if value is False else "present", "quoted in other words")

    def _by_words(self, index: int, value: CellValue, passage: Passage, places: Collection[int]) -> Finding:
        feature, tokens = self._features[index], passage.tokens
        verdict = Scope(tokens, passage.sentence.role).assertion(min(places), max(places) + 1, inner=True)
        said = verdict.assertion
        if feature.kind != "boolean":
            other = _other_level(feature, str(value), [passage])
            return other or Finding(None, said, verdict.rule)
        if said == "possible":
            return Finding(Refusal("assertion", "uncertain", CONSIDERED))
        negative = said in ("negated", "resolved")
        if value is True and negative:
            return Finding(Refusal("assertion", "conflicting", "the quote denies it"))
        if value is True and said in ("hypothetical", "other_person"):
            return Finding(Refusal("assertion", "failed", f"the quote has it mentioned only as {said}"))
        if value is False and not negative and not denies(tokens.words):
            return Finding(Refusal("assertion", "conflicting", "the quote states it"))
        return Finding(None, "negated" if value is False else "present", verdict.rule)

    def _measured(self, index: int, value: CellValue, passages: Sequence[Passage]) -> Finding | None:
        """Judge a finding by a measurement in the quote: a temperature of 38.6 degC is fever."""
        from dallm.augment.row_rules import RowRules

        feature = self._features[index]
        if feature.kind != "boolean":
            return None
        row: dict[str, CellValue] = {}
        units: dict[str, str] = {}
        for _, finding in self._readings.of_others(index, passages):
            concept = self._readings.concepts[finding.concept]
            if finding.value is not None and concept.unit is not None:
                row[concept.name], units[concept.name] = finding.value, concept.unit
        if not row:
            return None
        try:
            draft = RowRules.default().apply(Case("", {}, row, units), (feature,)).get(feature.name)
        except FeatureError:  # a rule that cannot be applied to this feature settles nothing
            return None
        if draft is None:
            return None
        if draft.value is value:
            return Finding(None, "present" if value else "negated", draft.rationale)
        return Finding(Refusal("assertion", "conflicting", f"the quote says otherwise: {draft.rationale}"))

    def _other_topic(self, index: int, passages: Sequence[Passage]) -> Finding | None:
        """Say so if the quote speaks of something else; None where nobody knows what it speaks of."""
        others = self._readings.of_others(index, passages)
        about = {self._readings.concepts[f.concept].name: None for _, f in others}
        named = ", ".join(list(about)[:3]) or self._other_feature(index, passages)
        return Finding(_off_topic(self._features[index], named)) if named else None

    def _other_feature(self, index: int, passages: Sequence[Passage], kind: str | None = None) -> str:
        """Another feature whose words the quote holds."""
        for other, feature in enumerate(self._features):
            if other == index or (kind is not None and feature.kind != kind):
                continue
            if any(
                speaks(p.tokens.words, self._forms[other], _quoted(p.tokens, p), whole=True) for p in passages
            ):
                return feature.name
        return ""


def _off_topic(feature: Feature, about: str) -> Refusal:
    return Refusal("topic", "failed", f"the quote does not speak of {feature.name!r} but of {about}")


def _truth(concept: Concept, value: bool, found: Sequence[Located], texts: dict[str, str]) -> Finding:
    draft = resolve(concept, found, texts)
    if draft is None:  # a kind of it is denied, or less than the whole of what it is a kind of
        part = found[0]
        relation = "is a kind of it" if part.relation == "child" else "is what it is a kind of"
        if value:
            return Finding(
                Refusal("assertion", "conflicting", f"the quote denies {part.name!r}, which {relation}")
            )
        return Finding(None, "negated", f"{part.finding.rule}; {part.name!r} {relation}")
    if draft.status == "documented":
        if draft.value is value:
            return Finding(None, draft.quotes[0].assertion, draft.rationale)
        said = "states" if draft.value else "denies"
        return Finding(Refusal("assertion", "conflicting", f"the quote {said} it"))
    if draft.status == "uncertain":
        return Finding(Refusal("assertion", "uncertain", CONSIDERED))
    if draft.status == "conflicting":  # it says both, so also what the value says
        return Finding(None, "present" if value else "negated", "stated and denied in one quote")
    return Finding(Refusal("assertion", "failed", f"the quote has it {draft.reason}"))


def _other_level(feature: Feature, value: str, passages: Sequence[Passage]) -> Finding | None:
    """Say so if the quote holds the word of another level and not that of the value."""
    words = {word for p in passages for k, word in enumerate(p.tokens.words) if k in _quoted(p.tokens, p)}
    text = " ".join(word for p in passages for word in p.tokens.words)
    own = normalise_name(value)
    if own in text or not words.isdisjoint(own.split()):
        return None
    for level in feature.levels or ():
        other = normalise_name(level)
        if other != own and set(other.split()) <= words:
            return Finding(Refusal("assertion", "conflicting", f"the quote states another level: {level}"))
    levels = {normalise_name(level) for level in feature.levels or ()}
    if own in _SHARED and levels >= {"mild", "severe"}:
        degrees = {_SHARED[word] for word in words if word in _SHARED}
        if degrees and _SHARED[own] not in degrees:
            return Finding(Refusal("assertion", "conflicting", "the quote states another degree"))
    return None


def _quoted(tokens: Tokens, passage: Passage) -> range:
    """The places of the words inside the quoted part."""
    low = next((k for k, end in enumerate(tokens.ends) if end > passage.low), len(tokens.words))
    high = next((k for k, start in enumerate(tokens.starts) if start >= passage.high), len(tokens.words))
    return range(low, max(low, high))


def _quoted_numbers(passage: Passage, concept: Concept) -> list[Stated]:
    tokens = passage.tokens
    inside = _quoted(tokens, passage)
    return [n for n in numbers_in(tokens.words, concept) if n.start in inside]


def _inside(start: int, spans: Collection[tuple[int, int]]) -> bool:
    return any(low <= start < high for low, high in spans)


def _opens_denied(passage: Passage) -> bool:
    tokens = passage.tokens
    places = _quoted(tokens, passage)
    first = tokens.words[places.start] if len(places) else ""
    return first in ("no", "denies", "denied", "without", "negative", "absent", "not")
