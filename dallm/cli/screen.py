"""What a command writes: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ANY_WIDTH = 2000


@cache
def out() -> Console:
    """Standard output."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    # In a file or a pipe a line is as long as it needs: nothing is cut, and grep finds it whole.
    return Console(highlight=False, soft_wrap=True, width=_ANY_WIDTH)


@cache
def err() -> Console:
    """Standard error."""
    from rich.console import Console

    if sys.stderr.isatty():
        return Console(stderr=True, highlight=False)
    return Console(stderr=True, highlight=False, soft_wrap=True, width=_ANY_WIDTH)


def notice(text: str) -> None:
    """Write one line to standard error, as it is: brackets in a column's name are not markup."""
    err().print(text, markup=False, style="red" if text.startswith("Error:") else None)


def step(text: str) -> None:
    """Say on standard error what begins now."""
    err().print(text, markup=False, style="dim")


def wants_progress() -> bool:
    """Whether long work should show how far it is: on a terminal as a bar, elsewhere as plain lines."""
    return True


def say(text: str = "", *, style: str | None = None) -> None:
    """Write a line of the result to standard output, as it is."""
    out().print(text, markup=False, style=style)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Write a table to standard output; numbers stand at the right.

    A column that is too narrow for its text wraps on a terminal; elsewhere the table is as wide as it needs.
    """
    from rich import box

    out().print(_rich_table(box.SIMPLE_HEAD, columns, rows, title))


def _rich_table(
    style: object, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None
) -> Table:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=style, title=title, title_justify="left", show_edge=False, pad_edge=False)  # type: ignore[arg-type]
    for i, name in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) for row in rows)
        made.add_column(Text(name), justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(_cell(value)) for value in row))
    return made


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
