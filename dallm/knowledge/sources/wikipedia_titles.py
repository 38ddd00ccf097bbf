"""Which pages are about a condition: a small table that anyone may edit or replace."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dallm.errors import SourceError, did_you_mean
from dallm.knowledge.conditions import resolve_condition
from dallm.resources import data_path

# what cannot stand in the title of a page
_NOT_IN_TITLES = re.compile(r"[\[\]{}|#<>\n]")


class Titles(NamedTuple):
    """The titles of the pages on a condition, and further names under which a page on it is accepted."""

    titles: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def read_titles(
    given: Mapping[str, Any] | str | os.PathLike[str] | None = None, *, own: bool = True
) -> dict[str, Titles]:
    """Return the table by canonical condition: the project's own, overlaid with what is given.

    Parameters
    ----------
    given : mapping or path, optional
        From a condition to a title, several titles, or an object with ``titles`` and ``names``; or a TOML
        file in the format of ``data/wikipedia_titles.toml``.
    own : bool, default=True
        Whether to begin with the project's table, which holds titles of the English Wikipedia.

    Raises
    ------
    SourceError
        If the table cannot be read, or an entry is none.

    Examples
    --------
    >>> read_titles({"heart enlargement": "Cardiomegaly"})["enlarged cardiac silhouette"].titles
    ('Cardiomegaly',)
    """
    table: dict[str, Titles] = {}
    if own:
        path = data_path("wikipedia_titles.toml")
        table |= _checked(_read(path), path.name)
    if given is not None:
        raw = given if isinstance(given, Mapping) else _read(Path(given))
        table |= _checked(raw, "titles" if isinstance(given, Mapping) else str(given))
    return table


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SourceError(
            f"The table of titles {str(path)!r} cannot be read: {error.strerror or error}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"The table of titles {str(path)!r} is no TOML: {error}.") from error


def _checked(raw: Mapping[str, Any], where: str) -> dict[str, Titles]:
    table = {}
    for name, value in raw.items():
        entry = value if isinstance(value, Mapping) else {"titles": value}
        for key in entry:
            if key not in ("titles", "names"):
                raise SourceError(
                    f"{where}: {name!r} has {key!r}, and only 'titles' and 'names' are known."
                    f"{did_you_mean(key, ('titles', 'names'))}"
                )
        titles, names = (_texts(entry.get(key, ()), f"{where}: {name!r}") for key in ("titles", "names"))
        for title in titles:
            if _NOT_IN_TITLES.search(title):
                raise SourceError(
                    f"{where}: {name!r} has {title!r}, which no page is called: give the title as it stands "
                    "over the page, without link brackets or section."
                )
        table[resolve_condition(name)] = Titles(titles, names)
    return table


def _texts(value: Any, where: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(t, str) and t.strip() for t in listed):
        raise SourceError(f"{where} needs a title such as 'Atelectasis', or a list of them; got {value!r}.")
    return tuple(dict.fromkeys(" ".join(text.replace("_", " ").split()) for text in listed))
