"""Reads delimited text (CSV, TSV and their kin) strictly: every refusal names the file and the line."""

from __future__ import annotations

import csv
import itertools
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dallm.errors import ReaderError
from dallm.readers.text_file import Encoding, find_encoding, open_text

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SNIFFED_RECORDS = 50
_SHOWN = 3
_LIMIT_LOCK = threading.Lock()


class Delimited(NamedTuple):
    """A delimited file as text: what its cells hold, and how it was read."""

    frame: pd.DataFrame
    encoding: Encoding
    separator: str
    notes: list[str]


def read_delimited(
    path: Path, *, expected: Sequence[str] = (), encoding: str | None = None, separator: str | None = None
) -> Delimited:
    """Read a delimited file; every cell stays text, exactly as written.

    Parameters
    ----------
    path : Path
        An existing file, gzipped or not.
    expected : sequence of str
        Columns known to be in it, which settle what the separator is.
    encoding, separator : str, optional
        What is known of the file; both are found otherwise.

    Returns
    -------
    Delimited
        `frame` holds str, with ``""`` for empty cells.

    Raises
    ------
    ReaderError
        If the file has no header, no row, a column name twice, rows of different lengths or broken quotes.
    """
    found = find_encoding(path, encoding)
    with _no_cell_limit():
        chosen = separator or _sniff(path, found, expected)
        notes = [f"Read {path.name} as {found.name} ({found.how}), separated by {_named(chosen)}."]
        header, rows = _read_rows(path, found, chosen)
    columns = _column_names(path, header, rows, notes)
    held = list(zip(*rows, strict=True))
    data = {name: held[i] for i, name in enumerate(columns) if name is not None}
    return Delimited(pd.DataFrame(data, dtype=object), found, chosen, notes)


def header_of(
    path: Path, *, expected: Sequence[str] = (), encoding: str | None = None, separator: str | None = None
) -> list[str]:
    """Return the column names of a delimited file, reading no more of it than its encoding needs."""
    found = find_encoding(path, encoding)
    with _no_cell_limit():
        separator = separator or _sniff(path, found, expected)
        with open_text(path, found) as text:
            return _header(path, _records(path, text, separator))


@contextmanager
def _no_cell_limit() -> Iterator[None]:
    # The csv module's limit of 128 KiB a cell is global to the process: lifted here, and put back.
    with _LIMIT_LOCK:
        before = csv.field_size_limit(sys.maxsize)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _records(path: Path, text: Iterator[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line that it begins on; blank lines are left out."""
    reader = csv.reader(text, delimiter=separator, strict=True)
    begins = 1
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ReaderError(
                f"{path.name}, record that begins on line {begins}: {_in_words(str(error), separator)}"
            ) from error
        if record:
            yield begins, record
        begins = reader.line_num + 1


def _in_words(problem: str, separator: str) -> str:
    if "unexpected end of data" in problem:
        return 'a quote is opened and never closed. Double each quote inside a quoted cell: "".'
    if "expected after" in problem:
        return f'text follows a closing quote before the next {_named(separator)}. Double inner quotes: "".'
    return f"{problem}."


def _sniff(path: Path, encoding: Encoding, expected: Sequence[str]) -> str:
    scores: dict[str, tuple[int, bool, int]] = {}
    for separator in SEPARATORS:
        try:
            with open_text(path, encoding) as text:
                records = [r for _, r in itertools.islice(_records(path, text, separator), _SNIFFED_RECORDS)]
        except ReaderError:
            continue
        if not records:
            continue
        header = [name.strip() for name in records[0]]
        same = all(len(r) == len(header) for r in records)
        scores[separator] = (len(set(expected) & set(header)), same and len(header) > 1, len(header))
    if not scores:
        return ","  # reading it with commas tells what is wrong
    best = max(scores, key=lambda s: scores[s])
    return best if scores[best][2] > 1 else ","


def _header(path: Path, records: Iterator[tuple[int, list[str]]]) -> list[str]:
    header = [name.strip() for name in next(records, (1, []))[1]]
    if not any(header):
        raise ReaderError(f"{str(path)!r} holds no header: its lines are blank.")
    return header


def _read_rows(path: Path, encoding: Encoding, separator: str) -> tuple[list[str], list[list[str]]]:
    rows: list[list[str]] = []
    ragged: list[tuple[int, int]] = []
    with open_text(path, encoding) as text:
        records = _records(path, text, separator)
        header = _header(path, records)
        for line, record in records:
            if len(record) == len(header):
                rows.append(record)
            else:
                ragged.append((line, len(record)))
    if ragged:
        shown = "; ".join(f"line {line} has {n}" for line, n in ragged[:_SHOWN])
        more = f"; {len(ragged) - _SHOWN:,} more such rows" if len(ragged) > _SHOWN else ""
        raise ReaderError(
            f"{str(path)!r}: the header has {len(header)} columns, but {shown}{more}. Quote text that holds "
            f"the separator ({_named(separator)}) or a line break, or pass the right separator=."
        )
    if not rows:
        raise ReaderError(f"{str(path)!r} has a header and no row below it.")
    return header, rows


def _column_names(path: Path, header: list[str], rows: list[list[str]], notes: list[str]) -> list[str | None]:
    twice = [name for name, count in Counter(n for n in header if n).items() if count > 1]
    if twice:
        raise ReaderError(f"{str(path)!r} has the column {twice[0]!r} more than once; rename or drop one.")
    names: list[str | None] = []
    for position, name in enumerate(header):
        if name:
            names.append(name)
        elif any(row[position] for row in rows):
            names.append(f"unnamed_{position}")
            notes.append(
                f"Column {position + 1} of {path.name} has no name; it is called 'unnamed_{position}'."
            )
        else:
            names.append(None)
            notes.append(f"Column {position + 1} of {path.name} has no name and no value; it is left out.")
    return names


def _named(separator: str) -> str:
    return _NAMES.get(separator, repr(separator))
