"""From a model's word to a draft: what it rests on decides its status, and its quote is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dallm.engines.base import Case, CellValue, Draft, Quote, Source
from dallm.engines.llm.cell_answer import CellAnswer
from dallm.engines.llm.fence import shown_name
from dallm.engines.llm.stated import in_unit_of
from dallm.engines.plain import draft_to_plain as draft_to_plain
from dallm.engines.plain import plain_to_draft as plain_to_draft
from dallm.features import Feature, normalise_name

ONLY_KNOWLEDGE = "only knowledge suggests a value"
ONLY_PRIOR = "the model gives a value that rests on nothing"
NO_QUOTE = "documented by the report, but no quote was given"
NOT_QUOTED = "the quote does not stand in the report"
NO_COLUMN = "documented by the row, but no column of the row was named"
OTHER_VALUE = "the value is not that of the column"
_NEAR = 0.005  # of the value: what rounding loses between two units


class _Found(NamedTuple):
    field: str
    start: int
    end: int


def to_draft(
    answer: CellAnswer,
    case: Case,
    feature: Feature,
    infer: bool,
    *,
    knowledge: bool = True,
    prompt_sha256: str | None = None,
) -> Draft:
    """Return the draft of one cell.

    Parameters
    ----------
    answer : CellAnswer
    case : Case
    feature : Feature
    infer : bool
        Whether a value that no evidence states becomes ``inferred``; otherwise it is not documented.
    knowledge : bool, default=True
        Whether the prompt held knowledge: without it, what is inferred comes from the model alone.
    prompt_sha256 : str, optional
        Digest of the request.

    Returns
    -------
    Draft
        Whether its quote says what the value says is checked later, as for every engine.

    Examples
    --------
    >>> case = Case(1, {"findings": "Fever since Monday."})
    >>> fever = Feature("fever", "boolean")
    >>> to_draft(CellAnswer(True, "Fever", "findings", "", "report"), case, fever, infer=False).quotes[0][1:4]
    ('findings', 0, 5)
    >>> guess = CellAnswer(True, None, None, "pneumonia", "knowledge")
    >>> [to_draft(guess, case, fever, infer=infer).status for infer in (False, True)]
    ['not_documented', 'inferred']
    """
    value, rationale = answer.value, answer.rationale
    if value is None:
        return Draft(None, "not_documented", None, rationale=rationale, prompt_sha256=prompt_sha256)
    quotes: tuple[Quote, ...] = ()
    source: Source = "report"
    reason = ""
    if answer.basis in ("report", "row"):
        column = _named(answer.field, case.row)
        if answer.basis == "row" or (column is not None and not answer.quote):
            source, reason = "row", _row_fault(value, column, case, feature)
        elif not answer.quote:
            reason = NO_QUOTE
        else:
            found = _located(answer.quote, _named(answer.field, case.report), case.report)
            if found is None:
                reason = NOT_QUOTED
            else:
                quotes = (_quote(found, value, case.report),)
        if reason:
            return failed_draft(reason, source, rationale, prompt_sha256)
        return Draft(value, "documented", source, "", rationale, None, quotes, prompt_sha256)
    known = answer.basis == "knowledge" and knowledge
    if infer:
        source = "knowledge" if known else "prior"
        return Draft(value, "inferred", source, rationale=rationale, prompt_sha256=prompt_sha256)
    reason = ONLY_KNOWLEDGE if known else ONLY_PRIOR
    return Draft(None, "not_documented", None, reason, rationale, prompt_sha256=prompt_sha256)


def failed_draft(
    reason: str, source: Source | None = None, rationale: str = "", prompt_sha256: str | None = None
) -> Draft:
    """Return the draft of a cell that came to nothing."""
    return Draft(None, "failed", source, reason, rationale, prompt_sha256=prompt_sha256)


def _named(name: str | None, known: Iterable[str]) -> str | None:
    """The field or column that is meant: prompts show a name without what could break their frame."""
    if name is None:
        return None
    listed = list(known)
    if name in listed:
        return name
    key = normalise_name(name)
    return next(
        (own for own in listed if key in (normalise_name(own), normalise_name(shown_name(own)))), None
    )


def _located(quote: str, field: str | None, report: Mapping[str, str]) -> _Found | None:
    """Where a quote stands: in the field named if it does, else in another."""
    for name in dict.fromkeys((*((field,) if field is not None else ()), *report)):
        start = report[name].find(quote)
        if start >= 0:
            return _Found(name, start, start + len(quote))
    return None


def _quote(found: _Found, value: CellValue, report: Mapping[str, str]) -> Quote:
    text = report[found.field][found.start : found.end]
    assertion = "negated" if value is False else "present"
    return Quote(text, found.field, found.start, found.end, assertion, "quoted")


def _row_fault(value: CellValue, column: str | None, case: Case, feature: Feature) -> str:
    if column is None:
        return NO_COLUMN
    measured = case.row[column]
    numbers = [n for n in (value, measured) if isinstance(n, (int, float)) and not isinstance(n, bool)]
    if feature.kind != "numeric" or len(numbers) < 2:
        return ""
    unit = case.units.get(column)
    converted = in_unit_of(feature, numbers[1], unit) if unit else None
    wanted = numbers[1] if converted is None else converted
    return "" if abs(numbers[0] - wanted) <= max(_NEAR * abs(wanted), 1e-9) else OTHER_VALUE
