"""From a table of mixed columns to the numbers that a model takes, learnt from the training rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from dallm.errors import UserError
from dallm.evaluation.models.rows import Columns, RowsOf, Values
from dallm.evaluation.models.values import as_levels, codes_of, is_flag, is_levels, numbers_of
from dallm.evaluation.report_text import REPORT_TEXT, ReportWords

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Kind = Literal["number", "ordered", "levels", "words"]
ColumnOf = Callable[[int, slice], Values]
"""Returns a column by its position, of the rows of a slice."""

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Column:
    """What was learnt of one input column.

    Attributes
    ----------
    kind : {"number", "ordered", "levels", "words"}
        `ordered` columns become codes 0, 1, ...; `levels` one column per level, `words` those of `words`.
    levels : tuple
        Of `ordered` columns lowest first, of `levels` the commonest first.
    missing : bool
        Whether a column of its own says where the value is missing.
    fill, centre, scale : float
        What stands for a missing value; what is taken off and divided by afterwards.
    """

    kind: Kind
    levels: tuple[Any, ...] = ()
    missing: bool = False
    fill: float = np.nan
    centre: float = 0.0
    scale: float = 1.0
    words: ReportWords | None = None

    @property
    def width(self) -> int:
        """How many columns it becomes."""
        if self.words is not None:
            return self.words.width
        return (len(self.levels) if self.kind == "levels" else 1) + self.missing


class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn booleans, numbers, categories and texts, nullable or not, into a matrix of numbers.

    Numbers and booleans stay as they are; ordered categories become their rank; other categories and texts
    one column per level. A level that the training rows do not have becomes zeros, a rank that is not
    declared a missing value. Columns without a single value in the training rows are left out.

    Parameters
    ----------
    fill : bool, default=False
        Replace missing numbers by the median of the training rows and add a column that says where they were
        missing, for models that take no missing values. Otherwise they stay missing (NaN).
    scale : bool, default=False
        Centre numbers and ranks and divide them by their standard deviation; columns of a single value are
        left out, booleans and levels stay 0 and 1.
    max_levels : int, default=50
        Of a column with more levels the commonest are kept, the others become zeros.
    dtype : {"float32", "float64"}, default="float64"

    Attributes
    ----------
    columns_ : list of Column
        Per input column.
    origin_ : array of int, shape (columns out,)
        The input column, by position, of each column of the result.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "age": pd.array([50, None, 70], dtype="Int64"),
    ...     "pain": pd.Categorical(["mild", "none", None], ["none", "mild"], ordered=True),
    ...     "sex": ["F", "M", "F"],
    ... })
    >>> encoder = TableEncoder(fill=True).fit(table)
    >>> list(encoder.get_feature_names_out())
    ['age', 'age is missing', 'pain', 'pain is missing', 'sex=F', 'sex=M']
    >>> encoder.transform(table)
    array([[50. ,  0. ,  1. ,  0. ,  1. ,  0. ],
           [60. ,  1. ,  0. ,  0. ,  0. ,  1. ],
           [70. ,  0. ,  0.5,  1. ,  1. ,  0. ]])
    """

    def __init__(
        self, *, fill: bool = False, scale: bool = False, max_levels: int = 50, dtype: str = "float64"
    ) -> None:
        self.fill = fill
        self.scale = scale
        self.max_levels = max_levels
        self.dtype = dtype

    def fit(self, X: ArrayLike | pd.DataFrame | RowsOf, y: object = None) -> TableEncoder:
        """Learn kinds, levels, medians and scales.

        Raises
        ------
        UserError
            A column holds dates, infinite values or objects that are neither numbers nor texts.
        """
        column_of = _columns_of(as_table(self, X, reset=True))
        names = self._names()
        self.columns_ = [self._learn(column_of(i, slice(None)), name) for i, name in enumerate(names)]
        widths = [column.width if column is not None else 0 for column in self.columns_]
        self.origin_ = np.repeat(np.arange(len(widths)), widths)
        return self

    def transform(self, X: ArrayLike | pd.DataFrame | RowsOf) -> NDArray[np.floating[Any]]:
        """Return the numbers, shape (rows, columns out)."""
        check_is_fitted(self, "columns_")
        table = as_table(self, X, reset=False)
        column_of, rows, width = _columns_of(table), len(table), len(self.origin_)
        # some rows at a time: written by column, kept by row, and never twice as a whole
        step = rows if any(c is not None and c.words for c in self.columns_) else _ROWS_AT_ONCE
        if rows <= step:
            return np.ascontiguousarray(self._numbers_of(column_of, slice(None), rows))
        out: NDArray[np.floating[Any]] = np.empty((rows, width), dtype=self.dtype)
        for start in range(0, rows, step):
            part = slice(start, min(start + step, rows))
            out[part] = self._numbers_of(column_of, part, part.stop - part.start)
        return out

    def _numbers_of(self, column_of: ColumnOf, part: slice, rows: int) -> NDArray[np.floating[Any]]:
        out: NDArray[np.floating[Any]] = np.empty((rows, len(self.origin_)), dtype=self.dtype, order="F")
        start = 0
        for i, (name, column) in enumerate(zip(self._names(), self.columns_, strict=True)):
            if column is not None:
                self._write(column_of(i, part), name, column, out[:, start : start + column.width])
                start += column.width
        return out

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the columns of the result, the input column's name first."""
        check_is_fitted(self, "columns_")
        names: list[str] = []
        for name, column in zip(self._names(), self.columns_, strict=True):
            if column is None:
                continue
            if column.words is not None:
                names += [f"{name} {number}" for number in range(1, column.width + 1)]
                continue
            names += [f"{name}={level}" for level in column.levels] if column.kind == "levels" else [name]
            names += [f"{name} is missing"] if column.missing else []
        return np.array(names, dtype=object)

    def to_inputs(self, values: ArrayLike) -> NDArray[np.float64]:
        """Add up one value per column of the result to one per input column, such as importances."""
        check_is_fitted(self, "columns_")
        return np.bincount(
            self.origin_, np.asarray(values, dtype=float), minlength=len(self.columns_)
        ).astype(np.float64)

    @property
    def left_out_(self) -> list[str]:
        """Names of the input columns that tell nothing in the training rows."""
        return [n for n, column in zip(self._names(), self.columns_, strict=True) if column is None]

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [str(n) for n in names] if names is not None else [f"x{i}" for i in range(self.n_features_in_)]

    def _learn(self, values: Values, name: str) -> Column | None:
        if isinstance(values, np.ndarray):
            return self._learn_numbers(numbers_of(values, name), ())
        if name == REPORT_TEXT:
            words = ReportWords().fit(values)
            return Column("words", words=words) if words.width else None
        if is_levels(values):
            return self._learn_levels(values)
        if isinstance(values.dtype, pd.CategoricalDtype):
            levels = tuple(values.dtype.categories)
            return self._learn_numbers(codes_of(values, levels), levels)
        return self._learn_numbers(numbers_of(values, name), ())

    def _learn_numbers(self, numbers: NDArray[np.float64], levels: tuple[Any, ...]) -> Column | None:
        absent = np.isnan(numbers)
        if absent.all():
            return None
        kind: Kind = "ordered" if levels else "number"
        missing = bool(self.fill and absent.any())
        fill = float(np.median(numbers[~absent])) if self.fill else np.nan
        centre, scale = 0.0, 1.0
        if self.scale:
            known = np.where(absent, fill, numbers) if self.fill else numbers[~absent]
            spread = float(known.std())
            if spread <= 1e-12 * max(1.0, float(np.abs(known).max())) and not missing:
                return None
            if not is_flag(known):
                centre, scale = float(known.mean()), spread or 1.0
        return Column(kind, levels, missing, fill, centre, scale)

    def _learn_levels(self, values: pd.Series) -> Column | None:
        counts = values.value_counts()
        counts = counts[counts > 0]
        if counts.empty:
            return None
        ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        levels = [level for level, _ in ordered[: self.max_levels]]
        missing = bool(values.isna().any())
        if self.scale and len(ordered) == 1 and not missing:
            return None
        return Column("levels", tuple(levels), missing)

    def _write(self, values: Values, name: str, column: Column, out: NDArray[np.floating[Any]]) -> None:
        if column.kind == "number":
            numbers = numbers_of(values, name)
        else:
            values = pd.Series(values) if isinstance(values, np.ndarray) else values
            if column.words is not None:
                out[:] = column.words.transform(values)
                return
            if column.kind == "levels":
                self._write_levels(values, column, out)
                return
            numbers = codes_of(values, column.levels)
        if self.fill:
            absent = np.isnan(numbers)
            if column.missing:
                out[:, 1] = absent
            if absent.any():
                numbers = np.where(absent, column.fill, numbers)
        if column.centre != 0.0 or column.scale != 1.0:
            numbers = (numbers - column.centre) / column.scale
        out[:, 0] = numbers

    @staticmethod
    def _write_levels(values: pd.Series, column: Column, out: NDArray[np.floating[Any]]) -> None:
        place = pd.Index(column.levels, dtype=object).get_indexer(as_levels(values))
        out[:] = 0.0
        rows = np.flatnonzero(place >= 0)
        out[rows, place[rows]] = 1.0
        if column.missing:
            out[:, -1] = values.isna().to_numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


@overload
def as_table(estimator: Any, X: ArrayLike | pd.DataFrame, *, reset: bool) -> pd.DataFrame: ...


@overload
def as_table(
    estimator: Any, X: ArrayLike | pd.DataFrame | RowsOf, *, reset: bool
) -> pd.DataFrame | RowsOf: ...


def as_table(estimator: Any, X: ArrayLike | pd.DataFrame | RowsOf, *, reset: bool) -> pd.DataFrame | RowsOf:
    """Return the rows as a table whose number and names of columns the estimator knows, or learns."""
    if isinstance(X, RowsOf):
        as_table(estimator, X.table, reset=reset)
        return X
    if not isinstance(X, pd.DataFrame):
        checked = validate_data(estimator, X, reset=reset, ensure_all_finite="allow-nan", dtype="numeric")
        return pd.DataFrame(checked)
    if X.shape[0] == 0 or X.shape[1] == 0:
        raise UserError(f"The table has {X.shape[0]} rows and {X.shape[1]} columns; a model needs both.")
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return X


def _columns_of(table: pd.DataFrame | RowsOf) -> ColumnOf:
    return table.column if isinstance(table, RowsOf) else Columns(table).rows
