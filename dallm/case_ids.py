"""Ids of cases: whole numbers or text, none missing, none twice. Rows are counted from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dallm.errors import CohortError

_EXACT = 2**53  # above it a float no longer holds every whole number


def read_ids(values: pd.Series[Any]) -> pd.Index[Any]:
    """Return the ids as an index of whole numbers or of text.

    Whole numbers that a missing value had made floats are whole again; several types together become text.

    Raises
    ------
    CohortError
        If an id is missing, comes twice or is of no use as an id.
    """
    column = str(values.name)
    missing = values.isna().to_numpy(dtype=bool)
    if not pd.api.types.is_numeric_dtype(values.dtype):
        # pandas may hand out a read-only mask
        missing = missing | np.array([isinstance(v, str) and not v.strip() for v in values], dtype=bool)
    if missing.any():
        raise CohortError(
            f"id column {column!r}: {count(missing.sum(), 'row')} without an id; {first_rows(missing)}. "
            "Drop these rows or give them one."
        )
    ids: pd.Index[Any] = pd.Index(_plain_ids(values), name=column)
    twice = ids.duplicated(keep=False)
    if twice.any():
        first = ids[twice].tolist()[0]  # as a plain Python value, which reads well in the message
        rows = np.flatnonzero(ids == first)
        raise CohortError(
            f"id column {column!r}: {_named(first)} stands in {len(rows)} rows ({listed(rows)}); "
            f"{count(ids[twice].nunique(), 'id')} more than once in all. Each case needs an id of its own."
        )
    return ids


def _plain_ids(values: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    column = str(values.name)
    if pd.api.types.is_bool_dtype(values.dtype):
        raise CohortError(f"id column {column!r} holds True and False; name the column that holds the ids.")
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _whole_ids(values)
    kinds = {type(v) for v in values}
    odd = sorted(k.__name__ for k in kinds if issubclass(k, (bytes, list, dict, set, np.ndarray)))
    if odd:
        raise CohortError(
            f"id column {column!r} holds values of type {odd[0]}; ids are whole numbers or text."
        )
    if all(issubclass(k, (int, np.integer)) and k is not bool for k in kinds):
        numbers = [int(v) for v in values]
        if all(-(2**63) <= n < 2**63 for n in numbers):
            return pd.Series(numbers, dtype="int64")
    if all(issubclass(k, str) for k in kinds):
        return values.reset_index(drop=True)
    return pd.Series([_id_text(v) for v in values])


def _whole_ids(values: pd.Series[Any]) -> pd.Series[Any]:
    column = str(values.name)
    if pd.api.types.is_float_dtype(values.dtype):
        numbers = values.to_numpy(dtype="float64")
        if (np.abs(numbers) >= _EXACT).any():
            raise CohortError(
                f"id column {column!r} holds floats too large to be exact; read it as text (dtype=str)."
            )
        if (numbers != np.floor(numbers)).any():
            row = int(np.flatnonzero(numbers != np.floor(numbers))[0])
            raise CohortError(
                f"id column {column!r}: row {row} holds the fraction {numbers[row]:g}; "
                "ids are whole numbers or text."
            )
        return pd.Series(numbers.astype("int64"))
    if pd.api.types.is_integer_dtype(values.dtype) and int(values.max()) < 2**63:
        return pd.Series(values.to_numpy(dtype="int64"))
    return pd.Series([_id_text(v) for v in values])


def _id_text(value: object) -> str:
    # a mixed column reads 7 as 7.0 in some rows; as text they must not become two ids
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def _named(case_id: object) -> str:
    # a report named as the id by mistake must not stand in the message
    text = str(case_id)
    return (
        repr(case_id) if len(text) <= 64 and len(text.split()) <= 2 else f"a text of {len(text):,} characters"
    )


def count(number: int, what: str) -> str:
    """Return e.g. ``"3 rows"``, ``"1 row"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def first_rows(where: np.ndarray[Any, Any]) -> str:
    """Return the first positions where a mask is True, as text."""
    rows = np.flatnonzero(where)
    return f"row {rows[0]}" if len(rows) == 1 else f"rows {listed(rows)}"


def listed(rows: np.ndarray[Any, Any]) -> str:
    """Return the first five positions, as text."""
    return ", ".join(str(int(r)) for r in rows[:5]) + (", ..." if len(rows) > 5 else "")
