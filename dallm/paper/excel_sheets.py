"""Which sheet of an Excel file is the table, and whether its first row names the columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dallm.errors import ReaderError, did_you_mean

_SHEET = re.compile(r"(?i)^(?P<file>.+\.xls[xm]):(?P<sheet>[^/\\]+)$")
_TOP = 12  # rows in which a header is looked for
_LONGEST = 30  # characters of a cell that may be a name or a title


def file_and_sheet(path: str | Path) -> tuple[Path, str | None]:
    """Take ``FILE.xlsx:SHEET`` apart.

    Examples
    --------
    >>> file_and_sheet("a.xlsx:gpt 4")[1], file_and_sheet("a.csv")[1]
    ('gpt 4', None)
    """
    found = _SHEET.match(str(path))
    if found is None or Path(path).exists():
        return Path(path), None
    return Path(found["file"]), found["sheet"].strip()


def read_sheet(
    path: Path, sheet: str | None = None, say: Callable[[str], None] | None = None
) -> pd.DataFrame:
    """Read the named sheet, else the only one that is a table.

    Parameters
    ----------
    path : path
    sheet : str, optional
    say : callable, optional
        Is told which sheet was read, where there are several.

    Raises
    ------
    ReaderError
        If several sheets may be meant or none, or the first row does not name the columns.
    """
    with pd.ExcelFile(path, engine="openpyxl") as book:
        names = [str(name) for name in book.sheet_names]
        if sheet is not None:
            near = [name for name in names if name.casefold() == sheet.casefold()]
            if sheet not in names and len(near) != 1:
                meant = did_you_mean(sheet, names)
                raise ReaderError(f"{str(path)!r} has no sheet {sheet!r}; it has {_quoted(names)}.{meant}")
            chosen = sheet if sheet in names else near[0]
        elif len(names) == 1:
            chosen = names[0]
        else:
            chosen = _only_table({name: pd.read_excel(book, sheet_name=name) for name in names}, path)
            others = _quoted([name for name in names if name != chosen])
            if say is not None:
                say(f"{str(path)!r}: the sheet {chosen!r} is read; no table stands in {others}.")
        frame = pd.read_excel(book, sheet_name=chosen)
        if not _has_header(frame):
            found = _what_stands_there(pd.read_excel(book, sheet_name=chosen, header=None, nrows=_TOP))
            raise ReaderError(
                f"{str(path)!r}, sheet {chosen!r}: the first row does not name the columns. {found} Put the "
                "names into the first row, one cell each: no title above them, no merged cells."
            )
    return frame


def _only_table(frames: dict[str, pd.DataFrame], path: Path) -> str:
    fitting = [name for name, frame in frames.items() if _is_table(frame)]
    if len(fitting) == 1:
        return fitting[0]
    said = ", ".join(
        f"{name!r} ({len(frame):,} rows, {frame.shape[1]} columns)" for name, frame in frames.items()
    )
    what = f"{len(fitting)} of its sheets" if fitting else "none of its sheets"
    raise ReaderError(
        f"{str(path)!r}: {what} may be the table: {said}. Name one as in {path.name}:{next(iter(frames))}."
    )


def _is_table(frame: pd.DataFrame) -> bool:
    """Whether a sheet has rows, names of columns and a column of numbers; a page of notes has not."""
    numbers = any(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes)
    return len(frame) > 0 and frame.shape[1] > 1 and numbers and _has_header(frame)


def _has_header(frame: pd.DataFrame) -> bool:
    """Whether the columns are named; a single one without a name is an index that was written along."""
    unnamed = sum(_is_unnamed(column) for column in frame.columns)
    return unnamed <= 1 or unnamed < len(frame.columns) / 3


def _is_unnamed(column: Any) -> bool:
    return str(column).startswith("Unnamed:") or not str(column).strip()


def _what_stands_there(top: pd.DataFrame) -> str:
    """Say what the rows above the names hold. What lies below them is of cases, and is not shown."""
    rows = [[v for v in row if not pd.isna(v) and not _is_unnamed(v)] for row in top.itertuples(index=False)]
    wide = top.shape[1]
    header = next((i for i, row in enumerate(rows) if _are_names(row, wide)), None)
    lines = []
    for number, row in enumerate(rows[: header if header is not None else 1], start=1):
        words = [v.strip() for v in row if isinstance(v, str) and len(v.strip()) <= _LONGEST]
        shown = f" ({_quoted(words[:3])})" if words else ""
        lines.append(f"row {number} has {len(row)} of {wide} cells filled{shown}")
    if header is not None:
        lines.append(f"names of columns seem to stand in row {header + 1} ({_quoted(rows[header][:3])}, ...)")
    found = "; ".join(lines)
    return f"{found[:1].upper()}{found[1:]}."


def _are_names(row: Sequence[Any], wide: int) -> bool:
    texts = [v for v in row if isinstance(v, str) and len(v) <= 2 * _LONGEST]
    return len(texts) > 0.6 * wide and len(texts) == len(row) == len(set(texts))


def _quoted(names: Sequence[Any]) -> str:
    return ", ".join(repr(str(name)) for name in names)
