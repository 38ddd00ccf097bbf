"""From a model's word to a draft: what it rests on decides its status, and its quote is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dallm.augment.verification.quotes import Alignment, locate
from dallm.engines.base import Case, CellValue, Draft, Quote, Source
from dallm.engines.llm.cell_answer import CellAnswer
from dallm.engines.llm.fence import shown_name
from dallm.engines.plain import draft_to_plain as draft_to_plain
from dallm.engines.plain import plain_to_draft as plain_to_draft
from dallm.features import Feature, normalise_name

ONLY_KNOWLEDGE = "only knowledge suggests a value"
ONLY_PRIOR = "the model gives a value that rests on nothing"
NO_QUOTE = "documented by the report, but no quote was given"
NOT_QUOTED = "the quote does not stand in the report"
NO_COLUMN = "documented by the row, but no column of the row was named"


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
    if answer.basis in ("report", "row"):
        return _documented(answer, case, prompt_sha256)
    known = answer.basis == "knowledge" and knowledge
    if infer:
        source: Source = "knowledge" if known else "prior"
        return Draft(value, "inferred", source, rationale=rationale, prompt_sha256=prompt_sha256)
    reason = ONLY_KNOWLEDGE if known else ONLY_PRIOR
    return Draft(None, "not_documented", None, reason, rationale, prompt_sha256=prompt_sha256)


def failed_draft(
    reason: str, source: Source | None = None, rationale: str = "", prompt_sha256: str | None = None
) -> Draft:
    """Return the draft of a cell that came to nothing."""
    return Draft(None, "failed", source, reason, rationale, prompt_sha256=prompt_sha256)


def _documented(answer: CellAnswer, case: Case, prompt_sha256: str | None) -> Draft:
    """The draft of a value that the record states: by a column of the row, or by a quote."""
    value, rationale = answer.value, answer.rationale
    column, field = _columns(answer.field, case.row), _named(answer.field, case.report)
    # of a basis and a place that contradict each other the place counts: it can be looked up
    if (column and not answer.quote) or (answer.basis == "row" and not (field and answer.quote)):
        if not column:
            return failed_draft(NO_COLUMN, "row", rationale, prompt_sha256)
        return Draft(value, "documented", "row", "", rationale, None, (), prompt_sha256)
    if not answer.quote:
        return failed_draft(NO_QUOTE, "report", rationale, prompt_sha256)
    found = locate(answer.quote, field, case.report)
    if found is None:
        return failed_draft(NOT_QUOTED, "report", rationale, prompt_sha256)
    quote = _quote(found, value, answer.field, case.report)
    return Draft(value, "documented", "report", "", rationale, None, (quote,), prompt_sha256)


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


def _columns(names: str | None, row: Mapping[str, CellValue]) -> bool:
    """Whether columns of the row are named, one or several ("sbp, dbp"), and nothing else."""
    if names is None:
        return False
    return _named(names, row) is not None or all(_named(name.strip(), row) for name in names.split(","))


def _quote(found: Alignment, value: CellValue, said: str | None, report: Mapping[str, str]) -> Quote:
    """The quote in the report's own words, with a note of what was mended."""
    notes = ["quoted"]
    if found.exactness != "exact":
        notes.append(f"{found.exactness} match")
    if said is not None and _named(said, (found.field,)) is None:
        notes.append(f"said to stand in {said[:80]!r}")
    text = report[found.field][found.start : found.end]
    assertion = "negated" if value is False else "present"
    return Quote(text, found.field, found.start, found.end, assertion, "; ".join(notes))
