"""Cells kept without words of a report: where a quote stands instead of the quote, and no rationale."""

from __future__ import annotations

import hashlib
from typing import Any

from dallm.augment.verification.quotes import locate
from dallm.engines.base import Case
from dallm.engines.llm.cell_answer import CellAnswer
from dallm.engines.llm.fence import shown_name
from dallm.features import normalise_name

_NOWHERE = "\ufffd"  # stands for a quote that stands nowhere: looked up again, it is refused again


def wordless(record: dict[str, Any], case: Case) -> dict[str, Any]:
    """Return a cell's record without words of the report.

    The quote becomes its field, its start and end in it, and the digest of what stands there; a quote that
    stands nowhere becomes None in their place. A field that is no field of the case is the model's own
    wording, and goes as well.

    Examples
    --------
    >>> case = Case("", {"findings": "Fever since Monday."})
    >>> given = {"value": True, "quote": "fever", "field": "findings", "basis": "report", "rationale": "x"}
    >>> kept = wordless(given, case)
    >>> kept["quote"][:3], kept["rationale"]
    (['findings', 0, 5], '')
    >>> restored(kept, case).quote
    'Fever'
    """
    field, quote = record.get("field"), record.get("quote")
    kept = {**record, "rationale": "", "field": field if _is_known(field, case) else None}
    if not quote:
        return kept
    found = locate(quote, field, case.report)
    if found is None:
        return {**kept, "quote": [None, 0, 0, ""]}
    stands = case.report[found.field][found.start : found.end]
    return {**kept, "quote": [found.field, found.start, found.end, _digest(stands)]}


def restored(record: dict[str, Any], case: Case) -> CellAnswer | None:
    """Return the answer that a record stands for; None where its quote is no longer to be had."""
    quote = record.get("quote")
    if isinstance(quote, list):
        field, start, end, sha256 = quote
        if field is None:
            quote = _NOWHERE
        else:
            quote = case.report.get(field, "")[start:end]
            if _digest(quote) != sha256:
                return None
    return CellAnswer(
        record.get("value"), quote, record.get("field"), record.get("rationale") or "", record["basis"]
    )


def is_restorable(record: dict[str, Any], case: Case) -> bool:
    """Tell whether :func:`restored` gives an answer."""
    return not isinstance(record.get("quote"), list) or restored(record, case) is not None


def _is_known(field: str | None, case: Case) -> bool:
    if field is None:
        return True
    known = {
        normalise_name(form)
        for name in (*case.report, *case.row)
        for form in (str(name), shown_name(str(name)))
    }
    return normalise_name(field) in known or all(normalise_name(part) in known for part in field.split(","))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
