"""Whether the cells of one case agree with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dallm.augment.verification.kinds import Refusal
from dallm.augment.verification.values import close
from dallm.engines.base import CellValue, Draft
from dallm.features import Feature, normalise_name
from dallm.lexicon import Concept, Lexicon

_WITHOUT_SYMPTOMS = frozenset(("asymptomatic", "no symptoms", "free of symptoms", "absence of symptoms"))
_SEVERITY = (" severity", " degree", " grade", " intensity")


class _Pair(NamedTuple):
    one: str
    other: str


class Relations:
    """What must hold between the features of a set, worked out once.

    Parameters
    ----------
    features : sequence of Feature
    concepts : sequence of Concept
        Of every feature, in the same order.
    lexicon : Lexicon
    """

    def __init__(self, features: Sequence[Feature], concepts: Sequence[Concept], lexicon: Lexicon) -> None:
        named: dict[str, list[Feature]] = {}
        for feature, concept in zip(features, concepts, strict=True):
            named.setdefault(concept.name, []).append(feature)
        self._kinds: list[_Pair] = []  # (a kind, what it is a kind of)
        self._pressures = list(
            _pairs(named, "systolic blood pressure", "diastolic blood pressure", "numeric")
        )
        self._pressures += _pairs(named, "systolic blood pressure", "mean arterial pressure", "numeric")
        self._same: list[_Pair] = []
        self._degrees: list[_Pair] = []  # (whether it is there, how bad it is)
        for feature, concept in zip(features, concepts, strict=True):
            if feature.kind == "boolean":
                for parent in lexicon.ancestors(concept.name):
                    for other in named.get(parent, ()):
                        if other.kind == "boolean":
                            self._kinds.append(_Pair(feature.name, other.name))
            base = concept.name
            for ending in _SEVERITY:
                base = base.removesuffix(ending)
            for other in named.get(base, ()):
                if feature.kind in ("ordinal", "categorical") and other.kind == "boolean":
                    self._degrees.append(_Pair(other.name, feature.name))
        for features_of in named.values():
            for place, feature in enumerate(features_of):
                self._same += [
                    _Pair(feature.name, other.name)
                    for other in features_of[place + 1 :]
                    if (other.kind, other.unit, other.levels) == (feature.kind, feature.unit, feature.levels)
                ]
        self._without, self._symptoms = _symptoms(features, concepts)

    def refused(self, drafts: Mapping[str, Draft]) -> dict[str, Refusal]:
        """Return the answers of one case that contradict each other.

        Where a stated value and an inferred one disagree, the stated one stands.

        Parameters
        ----------
        drafts : mapping of str to Draft
            By feature; what has no value says nothing.
        """
        found: dict[str, Refusal] = {}
        for pair, text in self._contradictions(drafts):
            stated = [name for name in pair if drafts[name].status == "documented"]
            blamed = [name for name in pair if name not in stated] or stated
            for name in blamed:
                other = pair.other if name == pair.one else pair.one
                found.setdefault(name, Refusal("relation", "conflicting", f"{text} ({other!r})"))
        for name in self._without:
            if _value(drafts, name) is True:
                named = [s for s in self._symptoms if _value(drafts, s) is True]
                stated = [s for s in named if drafts[s].status == "documented"]
                if not named:
                    continue
                text = f"free of symptoms, and yet there is one ({named[0]!r})"
                if stated or drafts[name].status != "documented":
                    found.setdefault(name, Refusal("relation", "conflicting", text))
                # with a single one nobody knows which of the two is wrong
                for symptom in named if len(named) == 1 or not stated else ():
                    found.setdefault(
                        symptom,
                        Refusal("relation", "conflicting", f"a symptom of one said to have none ({name!r})"),
                    )
        return found

    def _contradictions(self, drafts: Mapping[str, Draft]) -> Iterator[tuple[_Pair, str]]:
        for pair in self._kinds:
            if _value(drafts, pair.one) is True and _value(drafts, pair.other) is False:
                yield pair, "a kind is there of what is denied"
        for pair in self._degrees:
            level = _value(drafts, pair.other)
            if _value(drafts, pair.one) is False and isinstance(level, str) and not _none_like(level):
                yield pair, "a degree is given of what is denied"
        for pair in self._pressures:
            high, low = _value(drafts, pair.one), _value(drafts, pair.other)
            if isinstance(high, (int, float)) and isinstance(low, (int, float)) and high <= low:
                yield pair, "the systolic pressure is not above the other"
        for pair in self._same:
            one, other = _value(drafts, pair.one), _value(drafts, pair.other)
            if one is None or other is None or one == other:
                continue
            numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
            if numbers and not isinstance(one, bool) and close(float(one), float(other)):
                continue
            yield pair, "the same is answered in two ways"


def _value(drafts: Mapping[str, Draft], name: str) -> CellValue:
    draft = drafts.get(name)
    return draft.value if draft is not None and draft.status in ("documented", "inferred") else None


def _none_like(level: str) -> bool:
    return normalise_name(level) in ("none", "no", "absent", "normal", "never", "not present")


def _pairs(named: Mapping[str, Sequence[Feature]], one: str, other: str, kind: str) -> Iterator[_Pair]:
    for first in named.get(one, ()):
        for second in named.get(other, ()):
            if first.kind == second.kind == kind and first.unit == second.unit:
                yield _Pair(first.name, second.name)


def _symptoms(features: Sequence[Feature], concepts: Sequence[Concept]) -> tuple[list[str], list[str]]:
    without, symptoms = [], []
    for feature, concept in zip(features, concepts, strict=True):
        if feature.kind != "boolean":
            continue
        if concept.name in _WITHOUT_SYMPTOMS or feature.key in _WITHOUT_SYMPTOMS:
            without.append(feature.name)
        elif concept.category == "symptom":
            symptoms.append(feature.name)
    return without, symptoms
