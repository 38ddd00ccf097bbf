"""A report too long for a model's context: cut into several cases of one id, whose answers are merged."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from dallm.engines.base import Case, CaseAnswer, Draft, Status
from dallm.engines.extractive.text import sentences
from dallm.engines.llm.tokens import estimate_tokens
from dallm.errors import UserError

_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]|[A-Z][A-Za-z /&()\-]{2,50}:|[A-Z][A-Z /&()\-]{3,50}[ \t]*$)", re.MULTILINE
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n+")
_LEAST = 32  # tokens of report in a part: less holds no sentence
# of two answers to one question the first of these counts
_RANK: tuple[Status, ...] = (
    "conflicting",
    "documented",
    "uncertain",
    "failed",
    "inferred",
    "not_documented",
    "not_applicable",
)


def split_report(case: Case, limit: int) -> list[Case]:
    """Return a case as parts whose report texts take at most `limit` estimated tokens each.

    Reports are cut between fields, else before headings, else between paragraphs, else between sentences;
    only a sentence longer than `limit` is cut inside. The parts' texts joined give each field exactly. Every
    part keeps the id and the measured values.

    Parameters
    ----------
    case : Case
    limit : int
        Estimated tokens that the report may take; at least 32.

    Returns
    -------
    list of Case
        The case itself where it fits.

    Raises
    ------
    UserError
        If `limit` is below 32.

    Examples
    --------
    >>> case = Case("a", {"findings": "Lungs are clear. " * 20, "impression": "Normal."})
    >>> parts = split_report(case, 40)
    >>> len(parts), "".join(part.report.get("findings", "") for part in parts) == case.report["findings"]
    (3, True)
    """
    if limit < _LEAST:
        raise UserError(
            f"A part of a report needs at least {_LEAST} tokens, the context leaves {limit}; ask for fewer "
            "features at once, shorten the knowledge, or take a model with a longer context."
        )
    if sum(map(estimate_tokens, case.report.values())) <= limit:
        return [case]
    parts: list[dict[str, str]] = [{}]
    used = 0
    for field, text in case.report.items():
        for piece, cost in _pieces(text, limit):
            if used and used + cost > limit:
                parts.append({})
                used = 0
            parts[-1][field] = parts[-1].get(field, "") + piece
            used += cost
    return [replace(case, report=report) for report in parts]


def merge_answers(parts: Sequence[CaseAnswer], cases: Sequence[Case] = ()) -> CaseAnswer:
    """Return one answer for a case from those for its parts, with a note in every cell.

    A value that one part documents counts against silence in the others, and their quotes are joined; two
    different documented values are conflicting. Documented comes before uncertain, that before inferred. A
    part that failed leaves the cell failed unless another one documents it.

    Parameters
    ----------
    parts : sequence of CaseAnswer
        In the order of :func:`split_report`; a single one is returned as it is.
    cases : sequence of Case, optional
        The parts that they answer, if the offsets of their quotes count from the part's text: the merged
        quotes count from the whole field.

    Raises
    ------
    ValueError
        If there is none, or they are of different cases.

    Examples
    --------
    >>> silent = CaseAnswer("a", {"cough": Draft(None, "not_documented", None)})
    >>> stated = CaseAnswer("a", {"cough": Draft(True, "documented", "row")})
    >>> merged = merge_answers([silent, stated]).drafts["cough"]
    >>> merged.value, merged.status, merged.reason
    (True, 'documented', 'report read in 2 parts')
    """
    if not parts or any(part.case_id != parts[0].case_id for part in parts):
        raise ValueError("merge_answers() takes the answers for the parts of one case")
    if len(parts) == 1:
        return parts[0]
    drafts: dict[str, list[Draft]] = defaultdict(list)
    begins: Counter[str] = Counter()  # where a part's stretch of each field begins in the whole
    of: Sequence[Case | None] = cases or [None] * len(parts)
    for part, shown in zip(parts, of, strict=True):
        for name, draft in part.drafts.items():
            drafts[name].append(_moved(draft, begins) if shown is not None else draft)
        if shown is not None:
            begins.update({field: len(text) for field, text in shown.report.items()})
    note = f"report read in {len(parts)} parts"
    return CaseAnswer(parts[0].case_id, {name: _merged(found, note) for name, found in drafts.items()})


def _moved(draft: Draft, begins: Mapping[str, int]) -> Draft:
    if not any(begins[quote.field] for quote in draft.quotes):
        return draft
    moved = (
        quote._replace(start=quote.start + begins[quote.field], end=quote.end + begins[quote.field])
        for quote in draft.quotes
    )
    return replace(draft, quotes=tuple(moved))


def _merged(drafts: Sequence[Draft], note: str) -> Draft:
    best = min((draft.status for draft in drafts), key=_RANK.index)
    same = [draft for draft in drafts if draft.status == best]
    values = list(dict.fromkeys((type(draft.value), draft.value) for draft in same))
    quotes = tuple(dict.fromkeys(quote for draft in same for quote in draft.quotes))
    reasons = dict.fromkeys(draft.reason for draft in same if draft.reason)
    first = same[0]
    cached = all(draft.cached for draft in drafts)
    if len(values) > 1 and best == "documented":
        note = f"{note}, which state different values"
        return replace(first, value=None, status="conflicting", quotes=quotes, reason=note, cached=cached)
    if len(values) > 1:  # two guesses that differ are none
        status: Status = "not_documented" if best == "inferred" else best
        source = None if best == "inferred" else first.source
        note = f"{note}, which suggest different values" if best == "inferred" else note
        return replace(
            first, value=None, status=status, source=source, quotes=quotes, reason=note, cached=cached
        )
    failed = "; one part could not be read" if any(d.status == "failed" for d in drafts) else ""
    reason = "; ".join([*reasons, note + (failed if best != "failed" else "")])
    return replace(first, quotes=quotes, reason=reason, cached=cached)


def _pieces(text: str, limit: int) -> Iterator[tuple[str, int]]:
    """Yield a text in pieces that fit, cut at the widest joint that will do, each with its tokens."""
    yield from _cut(text, limit, 0)


def _cut(text: str, limit: int, level: int) -> Iterator[tuple[str, int]]:
    cost = estimate_tokens(text)
    if cost <= limit:
        yield text, cost
        return
    starts = _joints(text, level)
    if not starts and level == len(_LEVELS):
        half = _middle(text)
        starts = [half]
        level -= 1
    for start, end in pairwise([0, *starts, len(text)]):
        if text[start:end]:
            yield from _cut(text[start:end], limit, level + 1)


def _joints(text: str, level: int) -> list[int]:
    return [at for at in _LEVELS[level](text) if 0 < at < len(text)] if level < len(_LEVELS) else []


def _middle(text: str) -> int:
    """Where to cut a text without joints: at the blank nearest to its middle."""
    half = len(text) // 2
    before, after = text.rfind(" ", 0, half), text.find(" ", half)
    near = [at + 1 for at in (before, after) if 0 <= at < len(text) - 1]
    return min(near, key=lambda at: abs(at - half)) if near else half


_LEVELS = (
    lambda text: [found.start() for found in _HEADING.finditer(text)],
    lambda text: [found.end() for found in _PARAGRAPH.finditer(text)],
    lambda text: [sentence.start for sentence in sentences(text)],
)
