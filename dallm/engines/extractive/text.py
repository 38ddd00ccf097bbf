"""Text as the extractive engine sees it: sentences with the role of their section, and tokens with offsets.

Offsets are Python code points of the text exactly as given. Words are lowered one by one, because lowering a
whole text may change its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = re.compile(r"\([-–−+]\)|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]|_+")

# A hyphen joins words ("left-sided"), it does not part them; matching looks through it.
# What a de-identifier left in place of a word says nothing.
_SKIPPED = frozenset(("-", "‐", "‑", '"', "“", "”", "*", "XXXX", "xxxx"))

_DASHES = frozenset(("-", "–", "−"))

_ABBREVIATIONS = frozenset(
    "dr mr mrs ms vs approx e.g i.e etc st fig resp temp pt no. dept incl min max sec hr yr wk mo".split()
)
_BEFORE_INITIALS = frozenset(("dr", "drs", "mr", "mrs", "ms", "by", "md"))
_ABBREVIATED = 1 + max(map(len, _ABBREVIATIONS))
_STOP = (
    r"[.!]+(?=\s|$|[A-Z(])"  # a full stop, also where the space after it was lost
    r"|(?<=[^\s?])\?+(?=\s|$)"  # a question mark behind a question; "?CHF" asks what follows
)
_STOPS = re.compile(_STOP)
_BREAK = re.compile(
    _STOP + r"|\n[ \t]*(?=\n)"  # an empty line
    r"|\n(?=[ \t]*(?:[-*•▪]|\(?\d{1,2}[.)])[ \t])"  # a list item
    r"|\n(?=[ \t]*[A-Z][A-Za-z /&]{2,40}:)"  # a heading
    r"|\n(?=[ \t]*[A-Z])"  # a capital on a new line, if the line before it is short
)
_MEMORY = 200_000  # distinct words remembered
_LONGEST = 2_000  # characters; what runs on without a stop is cut, so that work stays linear in the text
_WRAP = 60  # a line shorter than this was ended on purpose, a longer one was wrapped

_ROLE_WORDS = {
    "indication": (
        "indication",
        "indications",
        "clinical indication",
        "reason for exam",
        "reason for examination",
        "reason for this examination",
        "reason for study",
        "reason",
        "history",
        "clinical history",
        "clinical information",
        "clinical data",
        "clinical details",
        "clinical question",
        "hpi",
        "history of present illness",
        "chief complaint",
        "chiefcomplaint",
    ),
    "past": (
        "past medical history",
        "pmh",
        "pmhx",
        "past history",
        "past surgical history",
        "medical history",
    ),
    "family": ("family history", "fh", "fhx", "family hx"),
    "comparison": (
        "comparison",
        "comparisons",
        "technique",
        "examination",
        "exam",
        "study",
        "procedure",
        "views",
        "image",
    ),
    "body": (
        "findings",
        "finding",
        "impression",
        "impressions",
        "conclusion",
        "conclusions",
        "report",
        "interpretation",
        "wet read",
        "final report",
        "opinion",
        "recommendation",
        "recommendations",
        "discussion",
        "assessment",
        "physical exam",
        "review of systems",
        "ros",
        "chest",
        "lungs",
        "heart",
        "bones",
        "pleura",
        "mediastinum",
    ),
}
# Inside a text "Exam:" heads what was found, as a column name it tells how the patient was examined.
_EXAMINED = frozenset(("exam", "examination", "study"))
# In the middle of a paragraph these headings hold for their own sentence only: "PMH: COPD. Now wheezing."
_BRIEF = frozenset(("past", "family"))
ROLE_OF_HEADING = {word: role for role, words in _ROLE_WORDS.items() for word in words}
_HEADING = re.compile(r"(?:^|(?<=[\n.:;])|(?<=[\n.:;] )|(?<=  ))[ \t]*([A-Za-z][A-Za-z /]{1,40}?)[ \t]*:")


class Sentence(NamedTuple):
    """A sentence as a stretch of the text, with the role of the section that it stands in."""

    start: int
    end: int
    role: str


class Tokens(NamedTuple):
    """The words of one sentence: lowered, with their offsets in the sentence."""

    words: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


def role_of_field(name: str) -> str:
    """Role of a report column by its name: indication, past, family, comparison or body."""
    return ROLE_OF_HEADING.get(name.casefold().replace("_", " ").strip(), "body")


class _NormalWords(dict[str, str]):
    """Token as written to the word that it is compared by; an empty word is passed over."""

    def __missing__(self, raw: str) -> str:
        word = "" if raw in _SKIPPED or raw[0] == "_" else raw.lower().replace("’", "'").removesuffix("'s")
        if len(self) < _MEMORY:
            self[raw] = word
        return word


_NORMAL = _NormalWords()


def _denies(text: str, at: int) -> bool:
    """Whether a dash is a minus sign that denies, behind a mark and before its word: "GI: -n/v, -rash"."""
    before = text[max(0, at - 2) : at]
    if not text[at + 1 : at + 2].isalpha():
        # "rash -, edema -"
        return text[at + 1 : at + 2] in (",", ";", ".", "", "]") and before[-1:] in (" ", "[")
    return before[-1:] in (",", ":", ";", "(") or (before[-1:] == " " and before[:1] in (",", ":", ";"))


def words_of(text: str) -> tuple[list[str], list[str]]:
    """Return the tokens of a text as written, and the word that each is compared by, empty if passed over."""
    raws = TOKEN.findall(text)
    return raws, [_NORMAL[raw] for raw in raws]


def tokenise(text: str) -> Tokens:
    """Cut a sentence into words, numbers and marks; hyphens and quotation marks are passed over."""
    return located(text, *words_of(text))


def located(text: str, raws: list[str], compared: list[str]) -> Tokens:
    """Return the words of :func:`words_of` that are not passed over, with their offsets."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for raw, word in zip(raws, compared, strict=True):
        at = text.find(raw, at)  # between tokens there is only white space, so this finds the token itself
        if word:
            words.append(word)
        elif raw in _DASHES and _denies(text, at):
            words.append("(-)")
        else:
            at += len(raw)
            continue
        starts.append(at)
        at += len(raw)
        ends.append(at)
    return Tokens(tuple(words), tuple(starts), tuple(ends))


def _is_break(text: str, match: re.Match[str], begin: int) -> bool:
    mark = match.group()[0]
    at = match.start()
    if mark == ".":
        if text[max(begin, at - _ABBREVIATED) : at].isalpha() and at - begin >= _ABBREVIATED:
            return True  # the common case: the end of a word longer than any abbreviation
        word_start = max(text.rfind(" ", begin, at), text.rfind("\n", begin, at), begin - 1) + 1
        word = text[word_start:at].lower().lstrip("(")
        if word in _ABBREVIATIONS:
            return False
        if len(word) != 1 or not text[at - 1].isupper():
            return True
        # an initial: "read by A. Smith", but "102.4 F." and "vitamin C." end there
        before = text[max(begin, word_start - 8) : word_start].split()
        return bool(before) and before[-1].lower().strip(".") not in _BEFORE_INITIALS and len(before[-1]) > 2
    if mark == "\n" and match.end() < len(text):
        # short stretches only: a copy of the rest at every line would make a long text quadratic
        rest = text[match.end() : match.end() + 80].lstrip(" \t")
        if rest[:1].isupper() and not _HEADING.match(rest):
            line = at - (text.rfind("\n", max(0, at - 2 * _WRAP), at) + 1)
            return line < _WRAP or text[max(0, at - 20) : at].rstrip().endswith((".", ":", ";", "!", "?"))
    return True


def _cuts(text: str) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    begin = 0
    for match in (_BREAK if "\n" in text else _STOPS).finditer(text):
        end = match.end()
        if _is_break(text, match, begin):
            cuts.append((begin, end))
            begin = end
    cuts.append((begin, len(text)))
    if len(text) > _LONGEST:
        return [piece for cut in cuts for piece in _pieces(text, *cut)]
    return cuts


def _pieces(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    while end - begin > _LONGEST:
        cut = text.rfind(" ", begin + 1, begin + _LONGEST)
        cut = cut if cut > begin else begin + _LONGEST
        yield begin, cut
        begin = cut
    if end > begin:
        yield begin, end


def sentences(text: str, role: str = "body") -> list[Sentence]:
    """Return the sentences of a text; a heading inside ("FAMILY HISTORY:") changes the role from there on.

    Examples
    --------
    >>> text = "No effusion. Heart is large.\\nFAMILY HISTORY: asthma"
    >>> [(text[s.start:s.end].strip(), s.role) for s in sentences(text)]
    [('No effusion.', 'body'), ('Heart is large.', 'body'), ('FAMILY HISTORY: asthma', 'family')]
    """
    found: list[Sentence] = []
    current = role
    for start, end in _cuts(text):
        while start < end and text[start].isspace():
            start += 1
        if start >= end:
            continue
        if text.find(":", start, end) < 0:
            found.append(Sentence(start, end, current))
        else:
            current = _headed(text, start, end, role, current, found)
    return found


def _headed(text: str, start: int, end: int, role: str, current: str, found: list[Sentence]) -> str:
    """Add a sentence with a colon, cut where a heading begins; return the role that holds from there on."""
    begin, here = start, current
    for match in _HEADING.finditer(text, start, end):
        heading = match.group(1).strip().lower()
        opens = match.start(1) == start and (start == 0 or text[start - 1] == "\n")
        named = role if heading in _EXAMINED else ROLE_OF_HEADING.get(heading)
        if named is None:
            # an unknown heading ends what a heading before it began, but a colon is no heading for sure
            named = role if opens or current in _BRIEF else current
        if match.start(1) > begin:
            found.append(Sentence(begin, match.start(1), here))
            begin = match.start(1)
        here = named
        if opens or named not in _BRIEF:
            current = named
    found.append(Sentence(begin, end, here))
    return current
