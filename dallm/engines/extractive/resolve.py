"""From the mentions of a concept in one case to an answer: value, status, and the quotes behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dallm.engines.base import Draft, Quote
from dallm.engines.extractive.analyse import Finding
from dallm.lexicon import Concept

# Not a second reading of a measurement, but the same one written less exactly.
_SAME_VALUE = 0.02


class Located(NamedTuple):
    """A finding with where its sentence stands, and how its concept relates to the one asked for."""

    finding: Finding
    field: str
    offset: int
    relation: str  # "self", "child" (a kind of what is asked for) or "parent"
    name: str


class _Votes(NamedTuple):
    true: list[Located]
    false: list[Located]
    false_weak: list[Located]
    possible: list[Located]
    aside: list[Located]


def resolve(concept: Concept, found: Sequence[Located], texts: dict[str, str]) -> Draft | None:
    """Return what the findings of one case say of a concept; None where there is nothing to say."""
    if concept.kind == "boolean":
        return _boolean(concept, found, texts)
    own = [f for f in found if f.relation == "self"]
    if not own:
        return None
    return _numeric(own, texts) if concept.kind == "numeric" else _level(own, texts)


def _boolean(concept: Concept, found: Sequence[Located], texts: dict[str, str]) -> Draft | None:
    if len(found) == 1 and found[0].relation == "self" and not found[0].finding.normal:
        said = found[0].finding.assertion  # the common case needs no counting of votes
        if said in ("present", "negated"):
            return _draft(said == "present", "documented", found, texts)
    votes = _count(concept, found)
    if votes.true and concept.category == "history":
        votes = _asked_and_answered(votes, found)
    if votes.true and votes.false:
        return _draft(None, "conflicting", votes.true + votes.false, texts, "stated and denied in one report")
    if votes.true:
        return _draft(True, "documented", votes.true, texts)
    if votes.possible:
        return _draft(None, "uncertain", votes.possible, texts, "the report only considers it")
    if votes.false or votes.false_weak:
        return _draft(False, "documented", votes.false or votes.false_weak, texts)
    if votes.aside:
        kinds = ", ".join(dict.fromkeys(v.finding.assertion for v in votes.aside))
        return _draft(None, "not_documented", votes.aside, texts, f"mentioned only as {kinds}")
    return None


def _asked_and_answered(votes: _Votes, found: Sequence[Located]) -> _Votes:
    """Let what was found decide on a disease that is only named in the reason for the examination.

    "Indication: heart failure. Findings: no evidence of heart failure" is a question and its answer. A past
    disease stands, whatever is found now.
    """
    answered = {
        located.name
        for located in found
        if located.finding.assertion in ("negated", "resolved")
        and not (located.finding.in_reason or located.finding.weak or located.relation == "parent")
    }
    if not answered:
        return votes
    past = [v for v in votes.true if v.finding.assertion in ("historical", "resolved")]
    if past and votes.false and not any(v.finding.in_reason for v in votes.false):
        return votes._replace(true=past, false=[])
    asked = [v for v in votes.true if v.finding.in_reason and v.finding.assertion == "present"]
    gone = [v for v in asked if v.name in answered or votes.false]
    return votes._replace(true=[v for v in votes.true if v not in gone])


def _count(concept: Concept, found: Sequence[Located]) -> _Votes:
    votes = _Votes([], [], [], [], [])
    history = concept.category == "history"
    family = concept.name.startswith("family history")
    for located in found:
        finding, relation = located.finding, located.relation
        said = finding.assertion
        if finding.normal:
            if said == "present" and relation != "child":
                votes.false_weak.append(located)
            continue
        if relation == "parent":
            # what holds of a kind says nothing of its kinds, unless the whole kind is denied
            if said == "negated" and not finding.weak:
                votes.false_weak.append(located)
            continue
        if said == "present" or (history and said in ("historical", "resolved")):
            votes.true.append(located)
        elif said == "other_person":
            (votes.true if family else votes.aside).append(located)
        elif said == "possible":
            votes.possible.append(located)
        elif said in ("negated", "resolved"):
            if relation == "self":
                (votes.false_weak if finding.weak else votes.false).append(located)
        else:
            votes.aside.append(located)
    return votes


def _level(found: Sequence[Located], texts: dict[str, str]) -> Draft | None:
    present = [f for f in found if f.finding.assertion == "present" and f.finding.level is not None]
    levels = list(dict.fromkeys(f.finding.level for f in present))
    if len(levels) > 1:
        return _draft(None, "conflicting", present, texts, "more than one level stated")
    if levels:
        return _draft(levels[0], "documented", present, texts)
    return _without_value(found, texts)


def _numeric(found: Sequence[Located], texts: dict[str, str]) -> Draft | None:
    present = [f for f in found if f.finding.assertion == "present" and f.finding.value is not None]
    values = [f.finding.value for f in present if f.finding.value is not None]
    if values and max(values) - min(values) > _SAME_VALUE * max(abs(v) for v in values):
        return _draft(None, "conflicting", present, texts, "more than one value stated")
    if values:
        return _draft(values[0], "documented", present, texts)
    return _without_value(found, texts)


def _without_value(found: Sequence[Located], texts: dict[str, str]) -> Draft | None:
    possible = [f for f in found if f.finding.assertion == "possible"]
    if possible:
        return _draft(None, "uncertain", possible, texts, "the report only considers it")
    denied = [f for f in found if f.finding.assertion in ("negated", "resolved")]
    if denied:
        return _draft(None, "not_applicable", denied, texts, "denied, so there is no degree of it")
    other = [f for f in found if f.finding.assertion != "present"]
    if not other:
        return None
    aside = ", ".join(dict.fromkeys(f.finding.assertion for f in other))
    return _draft(None, "not_documented", other, texts, f"mentioned only as {aside}")


def _draft(
    value: bool | float | str | None,
    status: str,
    found: Sequence[Located],
    texts: dict[str, str],
    reason: str = "",
) -> Draft:
    quotes = []
    for located in found:
        finding, offset = located.finding, located.offset
        start, end = offset + finding.start, offset + finding.end
        rule = finding.rule
        if located.relation == "child":
            rule = f"{rule}; {located.name!r} is a kind of it"
        elif located.relation == "parent":
            rule = f"{rule}; it is a kind of {located.name!r}"
        elif finding.normal:
            rule = f"{rule}; said to be normal"
        assertion = "negated" if finding.normal and finding.assertion == "present" else finding.assertion
        quotes.append(Quote(texts[located.field][start:end], located.field, start, end, assertion, rule))
    source = None if status == "not_documented" else "report"
    return Draft(value, status, source, reason, quotes[0].rule, None, tuple(quotes))  # type: ignore[arg-type]
