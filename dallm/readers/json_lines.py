"""Reads JSON lines (one object a line), or one JSON array of objects."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dallm.errors import ReaderError
from dallm.readers.text_file import find_encoding, open_text


def read_json_lines(path: Path, encoding: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read the objects of a file as rows; a key that an object lacks is missing there.

    Raises
    ------
    ReaderError
        If a line is no JSON object, or holds a nested value; the message names the line.
    """
    found = find_encoding(path, encoding)
    with open_text(path, found) as text:
        content = text.read()
    rows = _from_array(path, content) if content.lstrip().startswith("[") else _from_lines(path, content)
    if not rows:
        raise ReaderError(f"{str(path)!r} holds no object.")
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    for line, row in rows:
        for key, value in row.items():
            if isinstance(value, list | dict):
                raise ReaderError(
                    f"{str(path)!r}, line {line}: {key!r} holds a nested value; give each field a column."
                )
    notes = [f"Read {path.name} as {found.name} ({found.how}), one JSON object a row."]
    data = {c: pd.Series([row.get(c) for _, row in rows], dtype=object) for c in columns}
    broken = sum(_mend_surrogates(cells) for cells in data.values())
    if broken:
        notes.append(f"{broken} texts of {path.name} hold half characters (lone surrogates); read as '?'.")
    return pd.DataFrame(data).infer_objects(), notes


def _from_lines(path: Path, content: str) -> list[tuple[int, dict[str, Any]]]:
    lines = enumerate(content.split("\n"), start=1)
    return [(number, _object(path, number, line)) for number, line in lines if line.strip()]


def _mend_surrogates(cells: pd.Series[Any]) -> int:
    """Replace lone surrogates, which JSON can spell and no file can hold; return how many texts had one."""
    mended = 0
    for position, cell in enumerate(cells):
        if isinstance(cell, str) and not cell.isascii():
            sound = cell.encode("utf-8", "replace").decode("utf-8")
            if sound != cell:
                cells.iloc[position] = sound
                mended += 1
    return mended


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line, object_pairs_hook=partial(_once, path, f"line {number}"))
    except json.JSONDecodeError as error:
        raise ReaderError(
            f"{str(path)!r}, line {number} is no JSON: {error.msg} at column {error.colno}."
        ) from error
    if not isinstance(value, dict):
        raise ReaderError(f"{str(path)!r}, line {number} holds no JSON object ({{...}}).")
    return value


def _once(path: Path, where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; of a key that comes twice the first value would be lost in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ReaderError(f"{str(path)!r}, {where}: {twice!r} comes twice in one object; keep one.")
    return found


def _from_array(path: Path, content: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        values = json.loads(content, object_pairs_hook=partial(_once, path, "one of its objects"))
    except json.JSONDecodeError as error:
        raise ReaderError(f"{str(path)!r}, line {error.lineno} is no JSON: {error.msg}.") from error
    for position, value in enumerate(values):
        if not isinstance(value, dict):
            raise ReaderError(f"{str(path)!r}: entry {position} of the array is no JSON object ({{...}}).")
    return list(enumerate(values, start=1))
