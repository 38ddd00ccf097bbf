"""Columns of numbers as floats, or an error that says what stands there instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import first_rows
from dallm.errors import UserError

_UNKNOWN = frozenset(("", "na", "n/a", "nan", "none", "null", "<na>", "unknown", "missing", "not documented"))


def as_floats(values: pd.Series[Any], where: str) -> pd.Series[float]:
    """Return a column as float64 with NaN where it says nothing.

    Numbers written as text are read; words for "unknown" are missing.

    Parameters
    ----------
    values : Series
    where : str
        How an error names the column.

    Raises
    ------
    UserError
        If values are text, True and False, or infinite.

    Examples
    --------
    >>> as_floats(pd.Series(["98.6", "unknown", None]), "temperature").tolist()
    [98.6, nan, nan]
    """
    if pd.api.types.is_bool_dtype(values.dtype):
        raise UserError(f"{where} holds True and False, not numbers; leave it out.")
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    else:
        numbers = np.array([_number(value) for value in values.tolist()], dtype="float64")
        bad = np.isneginf(numbers) & np.array([not _is_number(v) for v in values.tolist()], dtype=bool)
        if bad.any():
            raise UserError(
                f"{where}: {int(bad.sum()):,} of {len(values):,} values are no numbers ({first_rows(bad)}); "
                "make them numbers, or missing where nothing was filled."
            )
    if np.isinf(numbers).any():
        endless = np.isinf(numbers)
        raise UserError(
            f"{where}: {int(endless.sum()):,} values are infinite ({first_rows(endless)}); "
            "make them missing or correct them."
        )
    return pd.Series(numbers, index=values.index, name=values.name)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))


def _number(value: object) -> float:
    """Return the number, NaN for unknown, minus infinity for what is neither."""
    if value is None or value is pd.NA or value is pd.NaT:
        return np.nan
    if _is_number(value):
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, str):
        text = value.strip()
        if text.casefold() in _UNKNOWN:
            return np.nan
        try:
            return float(text)
        except ValueError:
            return -np.inf
    return -np.inf
