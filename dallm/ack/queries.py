"""The expert queries of Stage II: editable templates that hold the condition's name and no patient text."""

from __future__ import annotations

import os
import string
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dallm.errors import UserError, did_you_mean
from dallm.resources import data_path

GROUPS = (
    "general domain knowledge",
    "observational analysis",
    "physical examination and imaging",
    "laboratory data",
    "patient characteristics",
)
"""The radiologists' groups, in their order."""

_FIELDS = ("id", "group", "template")


@dataclass(frozen=True, slots=True)
class ExpertQuery:
    """A question that is asked of every condition.

    Parameters
    ----------
    id : str
        Names the query in an ACK and in error messages.
    group : str
        What it belongs to; the seven use :data:`GROUPS`, your own may use another name.
    template : str
        The question, with ``{condition}`` where the condition's name goes.

    Raises
    ------
    UserError
        If a field is empty, or the template lacks ``{condition}`` or holds another variable.

    Examples
    --------
    >>> ExpertQuery("outlook", "general domain knowledge", "How does {condition} end?").question("asthma")
    'How does asthma end?'
    >>> ExpertQuery("outlook", "general domain knowledge", "How does {lesion} end?")
    Traceback (most recent call last):
        ...
    dallm.errors.UserError: Query 'outlook': its template holds {lesion}; the only variable is {condition}.
    """

    id: str
    group: str
    template: str

    def __post_init__(self) -> None:
        for field in _FIELDS:
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"Query {self.id!r}: its field {field!r} must be a text; got {value!r}.")
        try:
            parts = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise UserError(
                f"Query {self.id!r}: its template cannot be read ({error}); write braces of your own twice, "
                "as {{ and }}."
            ) from error
        names = [name for _, name, spec, conversion in parts if name is not None]
        odd = [name for name in names if name != "condition"]
        if odd or any(spec or conversion for _, name, spec, conversion in parts if name is not None):
            shown = f"{{{odd[0]}}}" if odd else "a format"
            raise UserError(
                f"Query {self.id!r}: its template holds {shown}; the only variable is {{condition}}."
            )
        if not names:
            raise UserError(
                f"Query {self.id!r}: its template lacks {{condition}}; put it where the name goes."
            )

    def question(self, condition: str) -> str:
        """Return the question for one condition."""
        return self.template.format(condition=condition)


def load_queries(path: str | os.PathLike[str]) -> tuple[ExpertQuery, ...]:
    """Read queries from a TOML file of ``[[query]]`` tables with ``id``, ``group`` and ``template``.

    Raises
    ------
    UserError
        If the file is missing or no TOML, a query has a field too many or too few, or two share an id.

    Examples
    --------
    >>> len(load_queries(data_path("queries.toml")))
    7
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(
            f"The queries file {str(path)!r} cannot be read: {error.strerror or error}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The queries file {str(path)!r} is no TOML in UTF-8: {error}.") from error
    tables = raw.get("query")
    if not isinstance(tables, list) or not tables:
        raise UserError(f"The queries file {str(path)!r} holds no [[query]] table.")
    queries = []
    for place, table in enumerate(tables, start=1):
        name = table.get("id", f"number {place}") if isinstance(table, dict) else f"number {place}"
        if not isinstance(table, dict):
            raise UserError(f"Query {name!r} in {str(path)!r} is no table.")
        for field in _FIELDS:
            if field not in table:
                raise UserError(f"Query {name!r} in {str(path)!r} lacks the field {field!r}.")
        for field in table:
            if field not in _FIELDS:
                near = did_you_mean(field, _FIELDS)
                raise UserError(f"Query {name!r} in {str(path)!r} has an unknown field {field!r}.{near}")
        queries.append(ExpertQuery(**table))
    return check_queries(queries)


def check_queries(queries: ExpertQuery | Iterable[ExpertQuery]) -> tuple[ExpertQuery, ...]:
    """Return the queries as a tuple after checking that each is one and that their ids differ."""
    if isinstance(queries, str | bytes) or not isinstance(queries, ExpertQuery | Iterable):
        raise UserError(f"queries is a list of ExpertQuery; got {queries!r}.")
    listed = (queries,) if isinstance(queries, ExpertQuery) else tuple(queries)
    for query in listed:
        if not isinstance(query, ExpertQuery):
            raise UserError(f"queries is a list of ExpertQuery; it holds {query!r}.")
    ids = [query.id for query in listed]
    for name in ids:
        if ids.count(name) > 1:
            raise UserError(f"Two queries have the id {name!r}; rename one.")
    if not listed:
        raise UserError("queries is empty; leave it out for the seven expert queries.")
    return listed


EXPERT_QUERIES = load_queries(data_path("queries.toml"))
"""The seven expert queries, in the radiologists' groups."""
