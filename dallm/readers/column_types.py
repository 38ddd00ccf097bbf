"""Gives the text cells of a table their types, never at the price of what was written."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from dallm.readers.roles import ColumnRoles

MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "<NA>", "NULL", "null", "#N/A"})
"""Cells read as missing; in report columns only the empty cell is."""

_MISSING_NUMBERS = MISSING | {"None", "none", "na", "-", "--", "."}
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_TRUTH = {"true": True, "false": False}


def type_columns(frame: pd.DataFrame, roles: ColumnRoles, *, separator: str | None) -> list[str]:
    """Type the text columns of `frame` in place.

    Report columns stay as written. Ids and groups become whole numbers only where that loses nothing
    (``007`` stays text). A declared numeric column becomes numbers where all its cells are; with semicolons
    between the cells a decimal comma is understood. Other columns become whole numbers, numbers or True/False
    where every cell is one.

    Parameters
    ----------
    frame : DataFrame
        Columns of str, or None where missing; columns of other types are left alone.
    roles : ColumnRoles
        Which column plays which role.
    separator : str or None
        What stands between the cells; None for formats that hold numbers as numbers.

    Returns
    -------
    list of str
        What a user should know of the conversions.
    """
    notes: list[str] = []
    for column in list(frame.columns):
        cells = frame[column].tolist()
        if not all(cell is None or isinstance(cell, str) for cell in cells):
            continue
        if column in roles.report:
            frame[column] = pd.array([cell or None for cell in cells], dtype="string")
        elif column in roles.numeric:
            frame[column] = _numeric(column, cells, separator, notes)
        elif separator is None:
            frame[column] = pd.array(cells, dtype="string")
        elif column == roles.id or column == roles.group:
            frame[column] = _identifiers(column, cells, notes)
        else:
            frame[column] = _any_type(cells)
    return notes


def _numeric(column: str, cells: list[str | None], separator: str | None, notes: list[str]) -> Any:
    values = [None if c is None or c.strip() in _MISSING_NUMBERS else c.strip() for c in cells]
    held = [v for v in values if v is not None]
    if all(map(_NUMBER.fullmatch, held)):
        return pd.array([None if v is None else float(v) for v in values], dtype="Float64")
    # "1,234" alone may be a thousand: a comma is decimal only where no such reading is possible
    if separator == ";" and all(map(_COMMA_NUMBER.fullmatch, held)):
        with_comma = [v for v in held if "," in v]
        if not all(map(_THOUSANDS.fullmatch, with_comma)):
            notes.append(f"Column {column!r} has decimal commas; they are read as decimal points.")
            floats = [None if v is None else float(v.replace(",", ".")) for v in values]
            return pd.array(floats, dtype="Float64")
    return pd.array(values, dtype="string")  # the cohort names the first cell that is no number


def _identifiers(column: str, cells: list[str | None], notes: list[str]) -> Any:
    values = [None if c is None or not c.strip() else c.strip() for c in cells]
    held = [v for v in values if v is not None]
    if held and all(map(_WHOLE.fullmatch, held)):
        return pd.array([None if v is None else int(v) for v in values], dtype="Int64")
    if any(v.startswith("0") and v.isdigit() and len(v) > 1 for v in held):
        notes.append(f"Column {column!r} has leading zeros; it is kept as text.")
    return pd.array(values, dtype="string")


def _any_type(cells: list[str | None]) -> Any:
    values = [None if c is None or c in MISSING else c for c in cells]
    held = [v for v in values if v is not None]
    if held and all(map(_WHOLE.fullmatch, held)):
        return pd.array([None if v is None else int(v) for v in values], dtype="Int64")
    leading_zero = any(v[0] == "0" and v.isdigit() and len(v) > 1 for v in held)
    if held and not leading_zero and all(map(_NUMBER.fullmatch, held)):
        return pd.array([None if v is None else float(v) for v in values], dtype="Float64")
    if held and all(v.lower() in _TRUTH for v in held):
        return pd.array([None if v is None else _TRUTH[v.lower()] for v in values], dtype="boolean")
    return pd.array(values, dtype="string")
