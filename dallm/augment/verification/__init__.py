"""Checks that an answer must pass before it becomes a cell, whichever engine gave it.

What fails becomes ``failed`` or ``conflicting``, and its reason begins with the kind of refusal; nothing is
mended in silence. docs/verification.md tells what is checked and how well it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dallm.augment.verification.checks import Verifier as Verifier
from dallm.augment.verification.checks import offset_fault
from dallm.augment.verification.kinds import KINDS as KINDS
from dallm.augment.verification.kinds import Kind as Kind
from dallm.augment.verification.kinds import Refusal
from dallm.augment.verification.kinds import kind_of as kind_of
from dallm.augment.verification.quotes import locate as locate
from dallm.engines.base import Case, CaseAnswer, Draft, Engine
from dallm.features import Feature, FeatureSet
from dallm.lexicon import Lexicon


def verified(
    answers: Iterable[CaseAnswer],
    cases: Iterable[Case],
    features: FeatureSet,
    *,
    engine: Engine | None = None,
) -> Iterator[CaseAnswer]:
    """Yield the answers with every draft checked against its case.

    Parameters
    ----------
    answers : iterable of CaseAnswer
        One per case, in the order of `cases`.
    cases : iterable of Case
    features : FeatureSet
    engine : Engine, optional
        Who answered. What the extractive engine says was read with the very rules of these checks, so of its
        answers only places and ranges are looked at. An engine with a method ``judged`` is told what became
        of each answer.

    Examples
    --------
    >>> from dallm.engines.base import Quote
    >>> case = Case(1, {"findings": "No fever."})
    >>> quote = Quote("No fever", "findings", 0, 8, "present", "quoted")
    >>> wrong = Draft(True, "documented", "report", quotes=(quote,))
    >>> features = FeatureSet([Feature("fever", "boolean")])
    >>> next(verified([CaseAnswer(1, {"fever": wrong})], [case], features)).drafts["fever"].reason
    'assertion: the quote denies it'
    """
    from dallm.engines.extractive.engine import ExtractiveEngine

    # the engine takes a case before it answers it, so the answers are drawn first
    pairs = zip(answers, cases, strict=True)
    if type(engine) is ExtractiveEngine:  # not a class of the user's own that builds on it
        by_name = {feature.name: feature for feature in features}
        for answer, case in pairs:
            yield _placed(answer, case, by_name)
        return
    own = getattr(engine, "lexicon", None)
    verifier = Verifier(features, own if isinstance(own, Lexicon) else None)
    judged = getattr(engine, "judged", None)
    for answer, case in pairs:
        checked = verifier.checked(case, answer)
        if judged is not None:
            judged(checked)
        yield checked


def _placed(answer: CaseAnswer, case: Case, features: dict[str, Feature]) -> CaseAnswer:
    failed: dict[str, Draft] = {}
    for name, draft in answer.drafts.items():
        feature = features.get(name)
        refusal = offset_fault(draft, case.report)
        if refusal is None and feature is not None and feature.kind == "numeric":
            refusal = _outside(draft, feature)
        if refusal is not None:
            failed[name] = replace(draft, value=None, status="failed", reason=refusal.reason, quotes=())
    return CaseAnswer(answer.case_id, {**answer.drafts, **failed}) if failed else answer


def _outside(draft: Draft, feature: Feature) -> Refusal | None:
    if not isinstance(draft.value, (int, float)):
        return None
    low = float("-inf") if feature.low is None else feature.low
    high = float("inf") if feature.high is None else feature.high
    if low <= draft.value <= high:
        return None
    return Refusal("range", "failed", f"the value lies outside {low:g} to {high:g} {feature.unit}")
