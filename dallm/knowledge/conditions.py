"""What conditions are called, and which of them a text is about."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from dallm.errors import UserError
from dallm.resources import data_path

PAPER_CONDITIONS = (
    "atelectasis",
    "consolidation",
    "enlarged cardiac silhouette",
    "pleural effusion",
    "pleural abnormality",
)
"""The five conditions of the DALL-M paper: what is asked about where nobody says."""

_OPENING = 400  # characters: what a text says first is what it is about
_OFTEN = 3


def resolve_condition(name: str) -> str:
    """Return a condition's canonical name; one that the table lacks is returned trimmed, in lower case.

    The table is the file ``conditions.toml`` of the project's data.

    Raises
    ------
    UserError
        If `name` is not a text or is empty.

    Examples
    --------
    >>> resolve_condition("Cardiomegaly"), resolve_condition("pleural-effusions")
    ('enlarged cardiac silhouette', 'pleural effusion')
    >>> resolve_condition("Sarcoidosis")
    'sarcoidosis'
    """
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"A condition is a name such as 'atelectasis'; got {name!r}.")
    plain = _normal(name)
    table = _canonical()
    return table.get(plain) or table.get(_singular(plain)) or plain


def resolve_conditions(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """Resolve several names, in their order, each canonical name once; a single name stands for itself.

    Examples
    --------
    >>> resolve_conditions(["CHF", "atelectasis", "heart failure"])
    ('heart failure', 'atelectasis')
    """
    if names is None:
        return ()
    listed = [names] if isinstance(names, str) else list(names)
    return tuple(dict.fromkeys(resolve_condition(name) for name in listed))


def known_conditions() -> tuple[str, ...]:
    """Return the canonical names of the table."""
    return tuple(_table())


def condition_names(condition: str) -> tuple[str, ...]:
    """Return every name of a condition, the canonical one first; an unknown one has only its own.

    Examples
    --------
    >>> condition_names("hiatal hernia")[:2]
    ('hiatal hernia', 'hiatus hernia')
    """
    canonical = resolve_condition(condition)
    names, short = _table().get(canonical, ((), ()))
    return tuple(dict.fromkeys((canonical, *names, *short)))


def conditions_in(text: str, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the conditions that a text names, the first named first.

    Parameters
    ----------
    text : str
        A title, a heading, a text.
    also : sequence of str
        Conditions to look for that the table may not hold.

    Examples
    --------
    >>> conditions_in("Cardiomegaly with small pleural effusions")
    ('enlarged cardiac silhouette', 'pleural effusion')
    """
    return tuple(_counts(text, tuple(also)))


def conditions_of(title: str, text: str, *, headings: str = "", also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the conditions that a document is about; none is an answer too.

    The title decides. Where it names none, the document's first lines do, and what it names often: at least
    three times, and at least half as often as the condition that it names most.

    Examples
    --------
    >>> conditions_of("Chest notes", "Pneumothorax: air around the lung. It is no pneumonia.")
    ('pneumothorax', 'pneumonia')
    >>> conditions_of("Asthma", "Pneumonia may follow.")
    ('asthma',)
    """
    named = conditions_in(title, also)
    if named:
        return named
    counts = _counts(f"{headings}\n{text}", tuple(also))
    most = max(counts.values(), default=0)
    often = [name for name, count in counts.items() if count >= max(_OFTEN, most / 2)]
    return tuple(dict.fromkeys((*conditions_in(text[:_OPENING], also), *often)))


def _counts(text: str, also: tuple[str, ...]) -> Counter[str]:
    pattern, groups = _pattern(also)
    found: Counter[str] = Counter()
    for match in pattern.finditer(text.replace("_", " ")):
        key = _normal(match.group(1))
        name = groups.get(key) or groups.get(_singular(key))
        if name:
            found[name] += 1
    return found


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    path = data_path("conditions.toml")
    with path.open("rb") as file:
        raw = tomllib.load(file)
    return {
        name: (tuple(entry.get("names", ())), tuple(entry.get("short", ()))) for name, entry in raw.items()
    }


@lru_cache(maxsize=1)
def _canonical() -> dict[str, str]:
    names: dict[str, str] = {}
    for canonical, (long, short) in _table().items():
        for name in (canonical, *long, *short):
            owner = names.setdefault(_normal(name), canonical)
            if owner != canonical:
                raise UserError(f"conditions.toml: {name!r} stands under {owner!r} and under {canonical!r}.")
    return names


@lru_cache(maxsize=64)
def _pattern(also: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    groups = {_normal(name): resolve_condition(name) for name in also}
    alternatives = {name: _loose(name) for name in also}
    for canonical, (long, _) in _table().items():
        for name in (canonical, *long):
            groups[_normal(name)] = canonical
            alternatives[name] = name if name.isupper() else _loose(name)
    # the longest first: "pulmonary tuberculosis" before "tuberculosis", "pleural effusion" before "effusion"
    ordered = sorted(alternatives.items(), key=lambda item: -len(item[0]))
    parts = [part if name.isupper() else f"(?i:{part})" for name, part in ordered]
    return re.compile(rf"(?<![^\W_])({'|'.join(parts)})s?(?![^\W_])"), groups


def _loose(name: str) -> str:
    return r"[\s\-]+".join(re.escape(word) for word in _normal(name).split())


def _normal(name: str) -> str:
    return " ".join(re.sub(r"[\s_\-]+", " ", name).casefold().split())


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "is")) else name
