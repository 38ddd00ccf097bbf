"""Some rows of a table, read column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CONVERTED_ROWS = 300_000
"""Nullable columns of fewer rows are kept as floats: converting some rows takes pandas longer than numpy."""


class Columns:
    """The columns of a table, looked up once for all the fits that read rows of them.

    Examples
    --------
    >>> columns = Columns(pd.DataFrame({"age": [40, 50, 60], "sex": ["F", "M", "F"]}))
    >>> columns.rows(0, np.array([2, 0])), columns.rows(1, slice(1)).tolist()
    (array([60., 40.]), ['F'])
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._values = [_native(values) for _, values in table.items()]

    def rows(self, position: int, rows: NDArray[np.integer[Any]] | slice) -> Values:
        """Return some values of a column: floats of numbers and booleans, else a Series."""
        values = self._values[position]
        if isinstance(values, np.ndarray):
            return np.asarray(values[rows], dtype=np.float64)
        return values.iloc[rows]


Values = pd.Series | np.ndarray[Any, Any]
"""What is read of a column."""


def _native(values: pd.Series) -> Values:
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return values.to_numpy() if dtype.kind in "fiub" else values
    numeric = pd.api.types.is_numeric_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype)
    if numeric and len(values) < _CONVERTED_ROWS:
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


class RowsOf:
    """Rows of a table that are taken when a column is read: a copy of them all may be as large as the table.

    Parameters
    ----------
    table : DataFrame
    rows : array of int
        Their positions.
    columns : Columns, optional
        Those of the table, where they were looked up before.

    Examples
    --------
    >>> part = RowsOf(pd.DataFrame({"age": [40, 50, 60]}), np.array([2, 0]))
    >>> len(part), part.shape, part.column(0).tolist()
    (2, (2, 1), [60.0, 40.0])
    """

    def __init__(
        self, table: pd.DataFrame, rows: NDArray[np.integer[Any]], columns: Columns | None = None
    ) -> None:
        self.table = table
        self.rows = rows
        self._columns = Columns(table) if columns is None else columns

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self.rows), self.table.shape[1]

    def column(self, position: int, part: slice = slice(None)) -> Values:
        """Return the values of one column, of all the rows or of a part of them."""
        return self._columns.rows(position, self.rows[part])

    def whole(self) -> pd.DataFrame:
        """Return a copy as a table of its own."""
        return self.table.iloc[self.rows]


def taken(model: Any, part: pd.DataFrame | RowsOf) -> pd.DataFrame | RowsOf:
    """Return the rows as the model takes them: as they are if it reads column by column, else copied."""
    if isinstance(part, RowsOf) and not getattr(type(model), "reads_rows", False):
        return part.whole()
    return part
