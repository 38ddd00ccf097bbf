"""The kinds of refusal: a closed list, so that they can be counted."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from dallm.engines.base import Status

Kind = Literal["quote", "topic", "assertion", "value", "unit", "range", "row", "relation", "person"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REFUSED: tuple[Status, ...] = ("conflicting", "failed")

# How the reading of a model's answer puts what it refuses itself.
_ELSEWHERE: tuple[tuple[str, Kind], ...] = (
    ("documented by the report, but no quote", "quote"),
    ("the quote does not stand", "quote"),
    ("documented by the row, but no column", "row"),
    ("the value is not that of the column", "row"),
)


class Refusal(NamedTuple):
    """Why an answer becomes no value: its kind, the status that it gets, and what was found."""

    kind: Kind
    status: Status
    found: str

    @property
    def reason(self) -> str:
        """The reason as it stands in a cell; it begins with the kind."""
        return f"{self.kind}: {self.found}"


def kind_of(reason: str) -> Kind | None:
    """Return the kind of refusal that a cell's reason begins with; None where nothing was refused.

    Examples
    --------
    >>> kind_of("range: 9 lies outside 30 to 300 /min"), kind_of("stated and denied in one report")
    ('range', None)
    """
    head, colon, _ = reason.partition(": ")
    return next((kind for kind in KINDS if kind == head), None) if colon else None


def with_kind(reason: str) -> str:
    """Return a reason that begins with its kind where reading refused the cell for a kind of this list.

    Examples
    --------
    >>> with_kind("the quote does not stand in the report")
    'quote: the quote does not stand in the report'
    """
    kind = next((kind for start, kind in _ELSEWHERE if reason.startswith(start)), None)
    return reason if kind is None else f"{kind}: {reason}"
