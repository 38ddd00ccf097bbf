"""How strongly one column tells one target, without fitting a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.intp]

BINS = 16
"""Into so many parts of equal size a column of more values is cut for the cross-validated measure."""

_MOST_LEVELS = 50
FOLDS = 5

_YES = frozenset({"yes", "y", "true", "t", "1", "1.0", "positive", "pos", "present", "+"})
_UNKNOWN = frozenset({"", "?", "unknown", "missing", "nan", "na", "n/a", "<na>", "not documented"})
_NO = frozenset({"no", "n", "false", "f", "0", "0.0", "negative", "neg", "absent", "-"})


class Coded(NamedTuple):
    """A column as codes.

    Attributes
    ----------
    codes : array of int, shape (n_cases,)
        Rank of the value among `levels`, -1 where it is missing.
    levels : list
        Distinct values; numbers and ordered categories in their order.
    ordered : bool
        Whether the order means something.
    """

    codes: Ints
    levels: list[Any]
    ordered: bool


def coded(values: pd.Series[Any]) -> Coded:
    """Return a column as codes; texts that differ in case or spaces alone are one level, "unknown" is none.

    Examples
    --------
    >>> found = coded(pd.Series(["Yes", "no", None, "YES "]))
    >>> found.codes.tolist(), found.levels
    ([0, 1, -1, 0], ['yes', 'no'])
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered:
        return Coded(np.asarray(values.cat.codes, dtype=np.intp), dtype.categories.tolist(), True)
    if pd.api.types.is_numeric_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype):
        return _numbers(values.to_numpy(dtype=np.float64, na_value=np.nan))
    texts = values.astype(object)
    missing = texts.isna().to_numpy(dtype=bool)
    kinds = {type(v) for v in texts[~missing].head(1000)}
    if kinds and kinds <= {bool, int, float, np.bool_, np.float64, np.int64}:
        numbers = pd.to_numeric(texts.where(~missing, np.nan), errors="coerce")
        return _numbers(numbers.to_numpy(dtype=np.float64))
    codes, found = pd.factorize(texts)
    plain = [str(level).strip().casefold() for level in found]
    merged, levels = pd.factorize(np.array([None if p in _UNKNOWN else p for p in plain], dtype=object))
    again = np.append(merged, -1)[codes]
    return Coded(np.asarray(again, dtype=np.intp), list(levels), False)


def _numbers(numbers: NDArray[np.float64]) -> Coded:
    known = ~np.isnan(numbers)
    levels, place = np.unique(numbers[known], return_inverse=True)
    codes = np.full(len(numbers), -1, dtype=np.intp)
    codes[known] = place
    return Coded(codes, levels.tolist(), True)


def in_two(column: Coded) -> Coded:
    """Return a column of texts that all mean yes or no as those two; any other as it is."""
    if column.ordered or len(column.levels) <= 2:
        return column
    words = [str(level) for level in column.levels]
    if not all(word in _YES or word in _NO for word in words):
        return column
    said = np.append(np.array([word in _YES for word in words], dtype=np.intp), -1)
    return Coded(said[column.codes], ["no", "yes"], False)


def binned(column: Coded) -> tuple[Ints, int]:
    """Return few codes from 1 (0 where the value is missing), and how many there are with 0."""
    codes, count = column.codes, len(column.levels)
    known = codes >= 0
    if column.ordered and count > BINS:
        sizes = np.bincount(codes[known], minlength=count)
        middle = np.cumsum(sizes) - sizes / 2
        part = np.minimum((middle * BINS / max(1, sizes.sum())).astype(np.intp), BINS - 1)
        return np.where(known, part[codes] + 1, 0), BINS + 1
    if not column.ordered and count > _MOST_LEVELS:
        sizes = np.bincount(codes[known], minlength=count)
        rank = np.empty(count, dtype=np.intp)
        rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
        part = np.minimum(rank, _MOST_LEVELS - 1)
        return np.where(known, part[codes] + 1, 0), _MOST_LEVELS + 1
    return codes + 1, count + 1


def auc_of(yes: NDArray[Any], no: NDArray[Any]) -> float:
    """Return the ROC AUC of levels in rising order from their cases; NaN without a case of either class."""
    pairs = yes.sum() * no.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(no) - no
    return float((yes * (below + no / 2)).sum() / pairs)


def cross_validated(codes: Ints, count: int, folds: Ints, truth: NDArray[np.bool_]) -> float:
    """Return the ROC AUC of predicting each fold by the rates of the levels in the other folds.

    Missing values are a level of their own. Also finds what a rank does not: the middle value that means yes,
    categories without an order.
    """
    cell = codes * FOLDS + folds
    yes = np.bincount(cell, weights=truth, minlength=count * FOLDS).reshape(count, FOLDS)
    size = np.bincount(cell, minlength=count * FOLDS).reshape(count, FOLDS).astype(float)
    rate = truth.mean() if len(truth) else 0.0
    rest = size.sum(axis=1, keepdims=True) - size
    score = (yes.sum(axis=1, keepdims=True) - yes + rate) / (rest + 1)
    levels, place = np.unique(score.ravel(), return_inverse=True)
    n = len(levels)
    flat = yes.ravel()
    return auc_of(
        np.bincount(place, weights=flat, minlength=n),
        np.bincount(place, weights=size.ravel() - flat, minlength=n),
    )


def chance_width(yes: int, no: int) -> float:
    """Return the standard deviation of the ROC AUC of a column that tells nothing."""
    return float(np.sqrt((yes + no + 1) / (12 * yes * no))) if yes and no else float("inf")
