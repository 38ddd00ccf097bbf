"""Who wrote an article of Radiopaedia, when it was revised, and what else it is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

_DATE = r"\d{1,2} \w{3,9} \d{4}"
_LABEL = re.compile(r"[A-Z][\w ,/()]{1,40}:(\s|$)")
_MARK = "◉◈●◆✓☑"
_MARKS = re.compile(rf"[{_MARK}]|\((?:author|editor)\)", re.IGNORECASE)
_LONGEST_FACT = 1500  # characters: who wrote an article stands in short lines


class Credits(NamedTuple):
    """What an article's page says of the article; see :class:`~.radiopaedia_page.Article`."""

    authors: tuple[str, ...]
    synonyms: tuple[str, ...]
    revision: str | None
    revised: str


def read_credits(lines: Sequence[str], title: str) -> Credits:
    """Read the lines of a page outside of its article.

    Examples
    --------
    >>> lines = ["Citation: Doe J, Roe R. Asthma. Reference article, Radiopaedia.org", "rID: 12",
    ...     "Last revised: 3 Mar 2024, Jane Doe", "Revisions: 7 times, by 3 contributors",
    ...     "Synonyms:", "Bronchial asthma", "Systems: Chest"]
    >>> read_credits(lines, "Asthma")[:3]
    (('Jane Doe', 'Roe R'), ('Bronchial asthma',), '7 of 2024-03-03, rID 12')
    """
    told = "\n".join(line for line in lines if len(line) < _LONGEST_FACT)
    revised = _revised(told)
    return Credits(_authors(told, title), _synonyms(lines), _revision(told, revised), revised)


def _authors(told: str, title: str) -> tuple[str, ...]:
    names: list[str] = []
    named = re.escape(title) if title else r"[^\n]+?"
    end = told.find("Reference article, Radiopaedia")
    cited = re.search(
        rf"([^\n]{{3,400}}?)\.\s+{named}\.\s+$", told[max(0, end - 700) : max(0, end)], re.IGNORECASE
    )
    if cited:
        names += re.sub(r"^.*?Citation:?\s*", "", cited.group(1)).split(",")
    for pattern in (
        rf"Article created:?\s*{_DATE},?\s*(?:by\s+)?([^\n]{{3,80}})",
        r"At the time the article was (?:created|last revised),?\s+([^\n]{3,80}?) had (?:no|the following)",
        rf"Last revised by\s+([^\n]{{3,80}}?)[\s,{_MARK}]+(?:on\s+)?{_DATE}",
        rf"Last revised:?\s*{_DATE},?\s*(?:by\s+)?([^\n]{{3,80}})",
    ):
        names += [found.group(1) for found in re.finditer(pattern, told)]
    plain = (_plain(_MARKS.sub(" ", name)).strip(" .,;") for name in names)
    return _people(name for name in plain if name and len(name.split()) <= 6)


def _people(names: Iterable[str]) -> tuple[str, ...]:
    """Each person once: "Doe J" of a citation is the "Jane Doe" of the page."""
    kept: dict[str, str] = {}
    others = False
    for name in names:
        if re.fullmatch(r"et al|and others", name, re.IGNORECASE):
            others = True
            continue
        words = name.split()
        short = len(words) > 1 and words[-1].isupper() and len(words[-1]) <= 3
        key = f"{words[0]} {words[-1][0]}" if short else f"{words[-1]} {words[0][0]}"
        key = key.lower()
        if key not in kept or len(kept[key]) < len(name):
            kept[key] = name
    return (*kept.values(), *(["et al."] if others else []))


def _revised(told: str) -> str:
    found = re.search(rf"Last revised(?: by [^\n]{{3,80}}?(?: on|[\s,{_MARK}])|:)?\s*({_DATE})", told)
    for form in ("%d %b %Y", "%d %B %Y"):
        try:
            return datetime.strptime(found.group(1), form).date().isoformat() if found else ""
        except ValueError:  # the other form of the month, or no date at all
            continue
    return found.group(1) if found else ""


def _revision(told: str, revised: str) -> str | None:
    times = re.search(r"Revisions:?\s*([\d,]+) times", told)
    number = re.search(r"\brID[:\s-]*(\d{1,9})\b", told)
    which = f"{times.group(1).replace(',', '')} of {revised}" if times and revised else revised
    parts = (which or (f"{times.group(1)}" if times else ""), f"rID {number.group(1)}" if number else "")
    return ", ".join(part for part in parts if part) or None


def _synonyms(lines: Sequence[str]) -> tuple[str, ...]:
    for i, line in enumerate(lines):
        found = re.match(r"Synonyms(?: or alternate spellings)?\s*:\s*(.*)", line, re.IGNORECASE)
        if not found:
            continue
        names = [found.group(1)]
        for after in lines[i + 1 : i + 60]:
            if _LABEL.match(after):
                break
            names.append(after)
        split = (_plain(name).strip("-•· ") for text in names for name in re.split(r"[,;]", text))
        return tuple(dict.fromkeys(name for name in split if name and len(name) < 100))
    return ()


def _plain(text: str) -> str:
    return " ".join(text.split())
