"""All checks of the answers to one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from dallm.augment.verification.assertions import CONSIDERED, Finding, Judge
from dallm.augment.verification.kinds import Refusal, with_kind
from dallm.augment.verification.plausibility import Person, impossible, person_of
from dallm.augment.verification.quotes import Alignment, locate, places
from dallm.augment.verification.readings import Span
from dallm.augment.verification.relations import Relations
from dallm.augment.verification.values import close, misfit, plain
from dallm.engines.base import Case, CaseAnswer, CellValue, Draft, Quote
from dallm.errors import FeatureError
from dallm.features import Feature, FeatureSet
from dallm.lazy import computed_once
from dallm.lexicon import Lexicon

_WITH_VALUE = ("documented", "inferred")


class Verifier:
    """Checks answers to a set of features; what that needs is prepared once.

    Parameters
    ----------
    features : sequence of Feature
    lexicon : Lexicon, optional
        By default the one that comes with dallm.

    Examples
    --------
    >>> case = Case(1, {"findings": "No fever. Small left effusion."})
    >>> quote = Quote("Small left effusion", "findings", 0, 0, "", "")
    >>> verifier = Verifier([Feature("fever", "boolean"), Feature("pleural effusion", "boolean")])
    >>> for name in ("pleural effusion", "fever"):
    ...     draft = Draft(True, "documented", "report", quotes=(quote,))
    ...     checked = verifier.checked(case, CaseAnswer(1, {name: draft})).drafts[name]
    ...     print(checked.status, checked.reason or checked.quotes[0][2:4])
    documented (10, 29)
    failed topic: the quote does not speak of 'fever' but of pleural effusion
    """

    def __init__(self, features: Sequence[Feature], lexicon: Lexicon | None = None) -> None:
        self.features = FeatureSet(features)
        self._lexicon = lexicon or Lexicon.default()
        self._position = {feature.name: n for n, feature in enumerate(self.features)}

    @computed_once
    def _judge(self) -> Judge:
        return _judge_of(tuple(self.features), self._lexicon)

    @computed_once
    def _relations(self) -> Relations:
        return Relations(tuple(self.features), self._judge.concepts, self._lexicon)

    def checked(self, case: Case, answer: CaseAnswer) -> CaseAnswer:
        """Return the answer with every draft that fails marked so, and quotes in the report's own words."""
        person = person_of(case)
        drafts = {
            # most cells say nothing: there is nothing to check
            name: draft
            if draft.status == "not_documented" and not draft.quotes
            else self._checked(name, draft, case, person)
            for name, draft in answer.drafts.items()
        }
        for name, refusal in self._relations.refused(drafts).items():
            drafts[name] = _refused(drafts[name], refusal, drafts[name].quotes)
        return CaseAnswer(answer.case_id, drafts)

    def _checked(self, name: str, draft: Draft, case: Case, person: Person) -> Draft:
        position = self._position.get(name)
        if position is None:  # it is refused where cells are made
            return draft
        if draft.status == "failed":
            reason = with_kind(draft.reason)
            return draft if reason == draft.reason else replace(draft, reason=reason)
        if not draft.quotes and draft.status not in _WITH_VALUE:
            return draft
        found = [(quote, _aligned(quote, case.report)) for quote in draft.quotes]
        aligned = [(quote, at) for quote, at in found if at is not None]
        if len(aligned) < len(found):
            return _refused(draft, Refusal("quote", "failed", _not_there(found, case.report)))
        quotes = tuple(_own_words(quote, at, case.report) for quote, at in aligned)
        if draft.status not in _WITH_VALUE:
            return replace(draft, quotes=quotes)
        value = plain(draft.value)
        feature, concept = self.features[position], self._judge.concepts[position]
        refusal = misfit(value, feature, concept) or impossible(value, feature, concept, person)
        if refusal is not None:
            return _refused(draft, refusal, quotes)
        if draft.status == "inferred":
            return replace(draft, value=value, quotes=quotes)
        if draft.source == "row":
            refusal = self._row_fault(position, value, case)
            return replace(draft, value=value, quotes=quotes) if refusal is None else _refused(draft, refusal)
        if not quotes:
            if draft.source == "report":
                refusal = Refusal("quote", "failed", "documented by the report, but no quote was given")
                return _refused(draft, refusal)
            return draft
        return self._said(position, replace(draft, value=value, quotes=quotes), case.report)

    def _said(self, position: int, draft: Draft, report: Mapping[str, str]) -> Draft:
        """Compare the value with what the quotes say; of words that stand in several places one will do."""
        from dallm.engines.llm.dictated import dictated

        for quote in draft.quotes:
            if why := dictated(report[quote.field], quote.start, quote.end):
                return _refused(draft, Refusal("quote", "failed", f"{why}: no evidence"), ())
        spans = [Span(quote.field, quote.start, quote.end) for quote in draft.quotes]
        finding = self._judge.judge(position, draft.value, spans, report)
        if finding.refusal is not None and len(spans) == 1:
            quote = draft.quotes[0]
            for start, end in places(quote.quote, report[quote.field]):
                if start == quote.start:
                    continue
                other = self._judge.judge(position, draft.value, [Span(quote.field, start, end)], report)
                if other.refusal is None:
                    finding = other
                    draft = replace(draft, quotes=(quote._replace(start=start, end=end),))
                    break
        if finding.refusal is not None:
            return _refused(draft, finding.refusal, draft.quotes)
        return replace(draft, quotes=tuple(_told(quote, finding) for quote in draft.quotes))

    def _row_fault(self, position: int, value: CellValue, case: Case) -> Refusal | None:
        from dallm.augment.row_rules import RowRules

        feature = self.features[position]
        if not case.row:
            return Refusal("row", "failed", "the case has no measured values")
        try:
            settled = RowRules.default().apply(case, self.features).get(feature.name)
        except FeatureError:  # a unit that no rule knows: nothing is settled
            settled = None
        if feature.kind == "numeric" and isinstance(value, (int, float)):
            numbers = [
                v for v in case.row.values() if isinstance(v, (int, float)) and not isinstance(v, bool)
            ]
            if settled is not None and isinstance(settled.value, (int, float)):
                numbers = [settled.value]
            if any(close(float(value), float(number)) for number in numbers) or self._converted(
                position, value, case
            ):
                return None
            return Refusal("row", "failed", "the measured value is another")
        if settled is not None and settled.value is not None and settled.value != value:
            return Refusal("row", "conflicting", f"the row says otherwise: {settled.rationale}")
        return None

    def _converted(self, position: int, value: float, case: Case) -> bool:
        """Whether a column of the row has the value in another unit."""
        concept = self._judge.concepts[position]
        for column, unit in case.units.items():
            measured = case.row.get(column)
            if unit in concept.units and isinstance(measured, (int, float)):
                scale, shift = concept.units[unit]
                if close(scale * float(measured) + shift, float(value)):
                    return True
        return False


def offset_fault(draft: Draft, report: Mapping[str, str]) -> Refusal | None:
    """Return why a draft's quotes do not stand where they are said to stand."""
    for quote in draft.quotes:
        text = report.get(quote.field)
        if text is None:
            found = f"it names the field {quote.field!r}, which the case does not have"
            return Refusal("quote", "failed", found)
        if not quote.quote or text[quote.start : quote.end] != quote.quote:
            found = f"it does not stand in {quote.field!r} at {quote.start} to {quote.end}"
            return Refusal("quote", "failed", found)
    return None


def _aligned(quote: Quote, report: Mapping[str, str]) -> Alignment | None:
    text = report.get(quote.field)
    if text is not None and quote.quote.strip() and text[quote.start : quote.end] == quote.quote:
        return Alignment(quote.field, quote.start, quote.end, "exact")
    return locate(quote.quote, quote.field, report)


def _not_there(found: Sequence[tuple[Quote, Alignment | None]], report: Mapping[str, str]) -> str:
    lost = next(quote for quote, at in found if at is None)
    return (
        f"it does not stand in {lost.field!r}" if lost.field in report else "it does not stand in the report"
    )


def _own_words(quote: Quote, at: Alignment, report: Mapping[str, str]) -> Quote:
    """The quote as the report has it, with a note of what was mended."""
    notes = [quote.rule] if quote.rule else []
    if at.exactness != "exact":
        notes.append(f"{at.exactness} match")
    if at.field != quote.field:
        notes.append(f"said to stand in {quote.field!r}")
    text = report[at.field][at.start : at.end]
    return Quote(text, at.field, at.start, at.end, quote.assertion, "; ".join(notes))


def _told(quote: Quote, finding: Finding) -> Quote:
    rule = "; ".join(dict.fromkeys(part for part in (quote.rule, finding.rule) if part))
    return quote._replace(assertion=finding.assertion or quote.assertion, rule=rule)


@lru_cache(maxsize=4)
def _judge_of(features: tuple[Feature, ...], lexicon: Lexicon) -> Judge:
    """The judge of a set of features: making one takes as long as checking a hundred cases."""
    return Judge(features, lexicon)


def _refused(draft: Draft, refusal: Refusal, quotes: tuple[Quote, ...] = ()) -> Draft:
    reason = refusal.found if refusal.found == CONSIDERED else refusal.reason
    kept = () if refusal.status == "failed" else quotes
    return replace(draft, value=None, status=refusal.status, reason=reason, quotes=kept)
