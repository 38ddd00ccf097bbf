"""What a question asks about its condition, symptoms or causes say, and in which words answers tell of it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache

from dallm.resources import data_path


@dataclass(frozen=True, slots=True)
class Aspect:
    """A side of a condition that is asked about.

    Attributes
    ----------
    name : str
        Its key in ``aspects.toml``.
    told : str
        Words in which texts commonly tell of it.
    """

    name: str
    told: str


def aspect_of(question: str) -> Aspect | None:
    """Return what a question asks about, or None where its words do not say.

    The table is the file ``aspects.toml`` of the project's data; the first entry that fits is taken.

    Examples
    --------
    >>> aspect_of("Is Kartagener syndrome inherited?").name
    'inheritance'
    >>> aspect_of("What is atelectasis?").name, aspect_of("blunted costophrenic angle")
    ('definition', None)
    """
    for pattern, aspect in _table():
        if pattern.search(question):
            return aspect
    return None


@lru_cache(maxsize=1)
def _table() -> tuple[tuple[re.Pattern[str], Aspect], ...]:
    with data_path("aspects.toml").open("rb") as file:
        raw = tomllib.load(file)
    return tuple((_pattern(entry["asked"]), Aspect(name, entry["told"])) for name, entry in raw.items())


def _pattern(asked: list[str]) -> re.Pattern[str]:
    parts = (re.escape(p).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for p in asked)
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)
