"""Whether a page that a site gave is about the condition that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dallm.knowledge.conditions import condition_names, conditions_in, resolve_condition

UNNAMED = "neither its title nor its other names nor the subject of its first sentence names it"
"""The one reason that further names or a lead may overrule; all others are final."""

# a title's part in brackets says which of several meanings it has
_QUALIFIER = re.compile(r"\(([^()]*)\)\s*$")
_MEDICAL = re.compile(
    r"\b(medic\w*|disease|disorder|condition|patholog\w*|radiolog\w*|symptom|sign|finding|syndrome|lungs?|"
    r"chest|thora\w*|pulmon\w*|respirat\w*|heart|cardi\w*|pleur\w*|hernia|injury|anatomy|human|general|diagnosis)\b",
    re.IGNORECASE,
)
_NO_CONDITION = re.compile(
    r"^(list|outline|index|glossary|history|timeline|category|template|portal|journal|deaths?)\b|"
    r"\b(journal|society|foundation|association|initiative|institute|organi[sz]ation|award|hospital|day)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(is|are|was|were|refers?|describes?|denotes?|means?|occurs?|develops?|happens?|results?)\b"
)


def mismatch(
    condition: str,
    title: str,
    *,
    synonyms: Iterable[str] = (),
    lead: str = "",
    names: Iterable[str] = (),
) -> str | None:
    """Return why a page is not about a condition; None where it is.

    A page is about a condition if its title names it; a title that names another condition of the table is
    about that one, whatever else the page says. Where a title names none, one of the page's synonyms has to
    be a name of the condition, or the subject of its first sentence has to hold one.

    Parameters
    ----------
    condition : str
        What was asked for; any of its names.
    title : str
        The page's title.
    synonyms : iterable of str
        Further titles that the site itself gives the page: redirects, a list of synonyms.
    lead : str
        The page's opening text.
    names : iterable of str
        Further names under which a page on the condition is accepted.

    Examples
    --------
    >>> mismatch("enlarged heart", "Cardiomegaly") is None
    True
    >>> mismatch("enlarged heart", "Pericarditis", lead="Pericarditis may come with an enlarged heart.")
    'its title names pericarditis'
    >>> print(mismatch("sarcoidosis", "Besnier disease", lead="Besnier disease or sarcoidosis is rare."))
    None
    >>> mismatch("pneumonia", "Pneumonia (album)")
    'its title is about another meaning: album'
    """
    canonical = resolve_condition(condition)
    wanted = (*long_names(canonical), *names)
    qualifier = _QUALIFIER.search(title)
    named_so = title.casefold() in (name.casefold() for name in wanted)
    if qualifier and not named_so and not _MEDICAL.search(qualifier.group(1)):
        return f"its title is about another meaning: {qualifier.group(1)[:60]}"
    if _names(title, canonical, wanted):
        return "its title is about no condition" if _NO_CONDITION.search(title) else None
    others = [name for name in conditions_in(title, also=wanted) if name != canonical]
    if others:
        return f"its title names {', '.join(others)}"
    accepted = {_plain(name) for name in wanted}
    if any(_plain(synonym) in accepted for synonym in synonyms):
        return None
    if _names(_subject(lead), canonical, wanted):
        return None
    return UNNAMED


def long_names(condition: str) -> tuple[str, ...]:
    """Return the names of a condition by which a text may be recognised: not "mass", which is also physics.

    Examples
    --------
    >>> "mass" in long_names("lung nodule or mass"), "lung mass" in long_names("lung nodule or mass")
    (False, True)
    """
    canonical = resolve_condition(condition)
    named = condition_names(canonical)
    # the short names are those that are not looked for in a text
    return tuple(name for name in named if name == canonical or canonical in conditions_in(name))


def _names(text: str, canonical: str, wanted: tuple[str, ...]) -> bool:
    found = conditions_in(text, also=wanted)
    return bool({canonical, *map(resolve_condition, wanted)} & set(found))


def _subject(lead: str) -> str:
    """Return what the first sentence speaks of: what stands before its verb, bracketed names included."""
    opening = lead.strip()[:600]
    verb = _VERB.search(opening)
    return opening[: verb.start()] if verb else ""


def _plain(name: str) -> str:
    """Return a name without qualifier, punctuation and plural."""
    words = re.sub(r"[\s_\-]+", " ", _QUALIFIER.sub("", name)).casefold().split()
    text = " ".join(words)
    return text[:-1] if text.endswith("s") and not text.endswith(("ss", "is")) else text
