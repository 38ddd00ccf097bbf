"""Checks that an answer must pass before it becomes a cell, whichever engine gave it.

What fails becomes ``failed`` with the reason; nothing is mended in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dallm.engines.base import Case, CaseAnswer, Draft
from dallm.features import Feature, FeatureSet


def verified(
    answers: Iterable[CaseAnswer], cases: Iterable[Case], features: FeatureSet
) -> Iterator[CaseAnswer]:
    """Yield the answers with every draft checked against its case.

    Parameters
    ----------
    answers : iterable of CaseAnswer
        One per case, in the order of `cases`.
    cases : iterable of Case
    features : FeatureSet

    Examples
    --------
    >>> from dallm.engines.base import Quote
    >>> case = Case(1, {"findings": "Fever."})
    >>> quote = Quote("fever", "findings", 0, 5, "present", "stated")
    >>> wrong = Draft(True, "documented", "report", quotes=(quote,))
    >>> features = FeatureSet([Feature("fever", "boolean")])
    >>> next(verified([CaseAnswer(1, {"fever": wrong})], [case], features)).drafts["fever"].reason
    "the quote does not stand in 'findings' at 0 to 5"
    """
    by_name = {feature.name: feature for feature in features}
    # the engine takes a case before it answers it, so the answers are drawn first
    for answer, case in zip(answers, cases, strict=True):
        failed: dict[str, Draft] = {}
        for name, draft in answer.drafts.items():
            reason = fault(draft, case.report, by_name.get(name))
            if reason:
                failed[name] = replace(draft, value=None, status="failed", reason=reason, quotes=())
        yield CaseAnswer(answer.case_id, {**answer.drafts, **failed}) if failed else answer


def fault(draft: Draft, report: Mapping[str, str], feature: Feature | None) -> str:
    """Return what is wrong with a draft, or an empty string."""
    for quote in draft.quotes:
        text = report.get(quote.field)
        if text is None:
            return f"the quote names the field {quote.field!r}, which the case does not have"
        if not quote.quote or text[quote.start : quote.end] != quote.quote:
            return f"the quote does not stand in {quote.field!r} at {quote.start} to {quote.end}"
    if feature is not None and feature.kind == "numeric" and isinstance(draft.value, (int, float)):
        low = float("-inf") if feature.low is None else feature.low
        high = float("inf") if feature.high is None else feature.high
        if not low <= draft.value <= high:
            return f"the value lies outside {low:g} to {high:g} {feature.unit}"
    return ""
