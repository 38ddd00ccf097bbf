"""What the values of one column are: levels, ranks or numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from dallm.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_levels(values: pd.Series) -> bool:
    """Whether a column holds texts or categories without an order."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return not dtype.ordered
    if pd.api.types.is_object_dtype(dtype):
        found = pd.api.types.infer_dtype(values, skipna=True)
        return found not in ("boolean", "integer", "floating", "mixed-integer-float", "empty", "decimal")
    return bool(pd.api.types.is_string_dtype(dtype))


def as_levels(values: pd.Series) -> pd.Index:
    """The values as objects, None where they are missing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    column: Any = values
    index: pd.Index = pd.Index(column.to_numpy(dtype=object, na_value=None), dtype=cast("Any", object))
    return index


def codes_of(values: pd.Series, levels: tuple[Any, ...]) -> NDArray[np.float64]:
    """The rank of each value among the levels, NaN where it is missing or not among them."""
    codes = pd.Index(levels, dtype=object).get_indexer(as_levels(values)).astype(float)
    codes[codes < 0] = np.nan
    return np.asarray(codes, dtype=np.float64)


def numbers_of(values: pd.Series | NDArray[np.float64], name: object) -> NDArray[np.float64]:
    """The values of the column of that name as floats, NaN where they are missing.

    Raises
    ------
    UserError
        If they are dates, infinite or no numbers.
    """
    if isinstance(values, np.ndarray):
        return _finite(values, name)
    dtype = values.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        raise UserError(
            f"Column {name!r} holds {dtype}; models take numbers, booleans, categories or texts. "
            "Turn it into a number first, such as days since admission."
        )
    try:
        if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
            numbers = values.to_numpy(dtype=float)
        else:
            numbers = values.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise UserError(
            f"Column {name!r} ({dtype}) cannot be read as numbers; make it a number, a boolean, "
            "a category or a text column."
        ) from None
    return _finite(np.asarray(numbers, dtype=np.float64), name)


def _finite(numbers: NDArray[np.float64], name: object) -> NDArray[np.float64]:
    if np.isinf(numbers).any():
        raise UserError(f"Column {name!r} holds infinite values; replace them by missing values or a bound.")
    return numbers


def is_flag(known: NDArray[np.float64]) -> bool:
    """Whether all values are 0 or 1."""
    return bool(((known == 0.0) | (known == 1.0)).all())
