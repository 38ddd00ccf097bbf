"""Splits the plain text of a radiology report into its sections.

Written for the layout of MIMIC-CXR reports (``HEADER:`` at the start of a line, mostly in capitals), and
tolerant of reports in one line, of headers in mixed case and of reports with no header at all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

REPORT_FIELDS: tuple[str, ...] = ("indication", "comparison", "findings", "impression", "report", "other")
"""The fields that a report is split into; `report` is text that stands under no header."""

_FIELD_OF_HEADER = {
    "indication": "indication",
    "indications": "indication",
    "clinical indication": "indication",
    "clinical indications": "indication",
    "reason for exam": "indication",
    "reason for examination": "indication",
    "reason for study": "indication",
    "reason for the exam": "indication",
    "reason for this examination": "indication",
    "clinical history": "indication",
    "clinical information": "indication",
    "clinical data": "indication",
    "clinical statement": "indication",
    "clinical question": "indication",
    "patient history": "indication",
    "past medical history": "indication",
    "medical history": "indication",
    "history": "indication",
    "history and indication": "indication",
    "indication and history": "indication",
    "history/indication": "indication",
    "indication/history": "indication",
    "comparison": "comparison",
    "comparisons": "comparison",
    "comparison study": "comparison",
    "comparison studies": "comparison",
    "comparison exam": "comparison",
    "comparison film": "comparison",
    "comparison films": "comparison",
    "reference exam": "comparison",
    "findings": "findings",
    "finding": "findings",
    "report": "findings",
    "interpretation": "findings",
    "impression": "impression",
    "impressions": "impression",
    "findings and impression": "impression",
    "findings/impression": "impression",
    "impression and recommendation": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "summary": "impression",
    "opinion": "impression",
    "examination": "other",
    "exam": "other",
    "type of examination": "other",
    "type of exam": "other",
    "study": "other",
    "procedure": "other",
    "technique": "other",
    "views": "other",
    "recommendation": "other",
    "recommendations": "other",
    "recommendation(s)": "other",
    "notification": "other",
    "notifications": "other",
    "addendum": "other",
    "wet read": "other",
    "wet read version": "other",
    "preliminary report": "other",
    "preliminary read": "other",
    "final report": "preamble",
    "final addendum": "other",
}
# A header that names the examination or an organ introduces what was seen ("CHEST, TWO VIEWS: Clear.").
_SEEN_WORDS = re.compile(
    r"\b(CHEST|VIEWS?|RADIOGRAPHS?|PORTABLE|AP|PA|LATERAL|LAT|FRONTAL|SUPINE|(SEMI-?)?UPRIGHT|X-?RAYS?|CXR"
    r"|LUNGS?|HEART|CARDI\w+|MEDIASTIN\w+|HIL(UM|A)|PLEURA\w*|AIRWAYS?|BON(E|ES|Y)|RIBS?|OSSEOUS"
    r"|SOFT TISSUES?|LINES?|TUBES?|DEVICES?|DIAPHRAGM|ABDOMEN|VASCULATURE)\b"
)
_NAMES = "|".join(re.escape(name) for name in sorted(_FIELD_OF_HEADER, key=len, reverse=True))
_MARKS = r"[ \t]*(?:\(S\))?[ \t]*:"
_HEADER = re.compile(
    # a known header at the start of a line, in any case, with a colon
    rf"(?:^[ \t>*#]*(?P<line>{_NAMES})(?P<version>[ \t]+#?\d+)?[ \t*]*:)"
    # a known header in capitals alone on its line
    rf"|(?:^[ \t]*(?P<alone>(?-i:{_NAMES.upper()}))[ \t]*$)"
    # an unknown header in capitals at the start of a line
    r"|(?:^[ \t]*(?P<unknown>(?-i:[A-Z][A-Z0-9 ()/,&.'_-]{2,70}[A-Z0-9)_])):(?=\s|$))"
    # a known header in capitals inside a line, as in reports whose line breaks were lost
    rf"|(?:(?<=[\s.])(?P<inside>(?-i:{_NAMES.upper()})){_MARKS}(?=\s|$))",
    re.IGNORECASE | re.MULTILINE,
)
_PARAGRAPH_BREAK = re.compile(r"\n[ \t]*\n")
# These sections are one paragraph long; what follows a blank line is no longer theirs.
_ONE_PARAGRAPH = ("indication", "comparison", "other")


class _Section(NamedTuple):
    field: str
    label: str  # a header that is kept with the text
    text: str


def split_sections(text: str) -> dict[str, str]:
    r"""Split a report into fields; no word is lost, only headers that gave a field its name are left out.

    Parameters
    ----------
    text : str
        The report as it was written.

    Returns
    -------
    dict of str to str
        Non-empty fields in the order of :data:`REPORT_FIELDS`; sections of one field are joined by a line
        break, and every line break is a line feed. ``indication`` also holds the history, ``impression`` also
        the conclusion, ``findings`` also what stands under a header that names the view or an organ;
        ``report`` holds the body of a report that heads no findings; ``other`` holds examination, technique,
        recommendations, preliminary reads, notifications, addenda and unknown sections, each with its header.

    Examples
    --------
    >>> split_sections("INDICATION: Cough.\n\nFINDINGS:\n Lungs are clear.\n\nIMPRESSION: Normal.")
    {'indication': 'Cough.', 'findings': 'Lungs are clear.', 'impression': 'Normal.'}
    >>> split_sections("The lungs are clear.")
    {'report': 'The lungs are clear.'}
    """
    sections = _body_of_headless_findings(_sections(text.replace("\r\n", "\n").replace("\r", "\n")))
    parts: dict[str, list[str]] = {field: [] for field in REPORT_FIELDS}
    told = any(s.field in ("findings", "impression", "report") and s.text for s in sections)
    for section in sections:
        if section.field == "preamble":
            parts["other" if told else "report"].append(section.text)
        else:
            label = f"{section.label}: " if section.label else ""
            parts[section.field].append(f"{label}{section.text}".strip())
    joined = {field: "\n".join(p for p in texts if p) for field, texts in parts.items()}
    return {field: joined_text for field, joined_text in joined.items() if joined_text}


def _sections(text: str) -> list[_Section]:
    found: list[_Section] = []
    field, label, start = "preamble", "", 0
    for match in _HEADER.finditer(text):
        name = " ".join((match["line"] or match["alone"] or match["inside"] or match["unknown"]).split())
        named = _field_of(name, inside=field)
        if named is None:
            continue
        found.append(_Section(field, label, text[start : match.start()].strip()))
        known = name.casefold() in _FIELD_OF_HEADER
        field, start = named, match.end()
        label = "" if known and named != "other" else name + (match["version"] or "")
    found.append(_Section(field, label, text[start:].strip()))
    return [s for s in found if s.text or s.label]


def _field_of(header: str, *, inside: str) -> str | None:
    """Name the field that a header opens, or None where it is part of the running text."""
    known = _FIELD_OF_HEADER.get(header.casefold())
    if known:
        return known
    if len(header.split()) > 10:  # a shouted sentence
        return None
    for word in ("findings", "impression", "comparison", "history", "indication"):
        if re.search(rf"\b{word}\b", header, re.IGNORECASE):
            return _FIELD_OF_HEADER[word]
    if inside in ("findings", "impression"):  # a sub-heading, as in "LUNGS: Clear. HEART: Normal."
        return None
    return "findings" if _SEEN_WORDS.search(header) else "other"


def _body_of_headless_findings(sections: list[_Section]) -> list[_Section]:
    """Where no findings are headed, take what follows the last introductory section as the body."""
    if any(s.field == "findings" for s in sections):
        return sections
    before_impression = next((i for i, s in enumerate(sections) if s.field == "impression"), len(sections))
    last = before_impression - 1
    if last < 0 or sections[last].field not in _ONE_PARAGRAPH:
        return sections
    own, *rest = _PARAGRAPH_BREAK.split(sections[last].text, maxsplit=1)
    body = rest[0].strip() if rest else ""
    if not body:
        return sections
    split = [sections[last]._replace(text=own.strip()), _Section("report", "", body)]
    return [*sections[:last], *split, *sections[last + 1 :]]
