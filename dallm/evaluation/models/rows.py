"""Some rows of a table, read column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


class RowsOf:
    """Rows of a table that are taken when a column is read: a copy of them all may be as large as the table.

    Parameters
    ----------
    table : DataFrame
    rows : array of int
        Their positions.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> part = RowsOf(pd.DataFrame({"age": [40, 50, 60]}), np.array([2, 0]))
    >>> len(part), part.shape, part.column(0).tolist()
    (2, (2, 1), [60, 40])
    """

    def __init__(self, table: pd.DataFrame, rows: NDArray[np.integer[Any]]) -> None:
        self.table = table
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self.rows), self.table.shape[1]

    def column(self, position: int, part: slice = slice(None)) -> pd.Series[Any]:
        """Return the values of one column, of all the rows or of a part of them."""
        values: pd.Series[Any] = self.table.iloc[:, position].iloc[self.rows[part]]
        return values

    def whole(self) -> pd.DataFrame:
        """Return a copy as a table of its own."""
        return self.table.iloc[self.rows]


def taken(model: Any, part: pd.DataFrame | RowsOf) -> pd.DataFrame | RowsOf:
    """Return the rows as the model takes them: as they are if it reads column by column, else copied."""
    if isinstance(part, RowsOf) and not getattr(type(model), "reads_rows", False):
        return part.whole()
    return part
