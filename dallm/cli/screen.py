"""What a command writes: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table to standard output; numbers stand at the right.

    On a terminal a cell wraps where the width does not suffice; elsewhere every row is one line.
    """
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(columns))]
    texts = [[_cell(value) for value in row] for row in rows]
    if out().is_terminal:
        out().print(_rich_table(columns, texts, numeric))
    else:
        for line in plain_lines(columns, texts, numeric):
            say(line)


def plain_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> Iterator[str]:
    """Yield the header and the rows as aligned lines, without blanks at their ends.

    Examples
    --------
    >>> print(*plain_lines(("feature", "true"), [("fever", "12"), ("cough", "3")], (False, True)), sep="\\n")
    feature  true
    fever      12
    cough       3
    """
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = (
            text.rjust(w) if right else text.ljust(w)
            for text, w, right in zip(line, widths, numeric, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        made.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def _is_number(value: object) -> bool:
    return value == "" or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
