"""Splits inside the training fold, by patient: for stopping, for tuning and for calibrating."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.errors import UserError
from dallm.evaluation.protocols.folds import deal_folds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Parts = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def group_codes(groups: ArrayLike | None, rows: int) -> NDArray[np.intp]:
    """Number the groups from 0; without groups every row is one of its own.

    Raises
    ------
    UserError
        If there are not as many groups as rows, or one is missing.
    """
    import pandas as pd

    if groups is None:
        return np.arange(rows)
    codes, _ = pd.Series(groups).factorize()
    if len(codes) != rows:
        raise UserError(f"There are {len(codes):,} groups for {rows:,} rows; give one per row.")
    if (codes < 0).any():
        raise UserError(f"{int((codes < 0).sum()):,} rows have no group; name one for each row.")
    return np.asarray(codes, dtype=np.intp)


def inner_parts(
    y: NDArray[np.intp], groups: NDArray[np.intp], k: int, random: np.random.Generator | int
) -> Parts:
    """Return up to `k` pairs of rows to fit and rows to look at, no group on both sides.

    A class that fewer groups have lowers `k`; an empty list says that no two parts can be made that both
    have all classes.

    Examples
    --------
    >>> parts = inner_parts(np.array([0, 1] * 6), np.arange(12) // 2, 3, 0)
    >>> [(len(fit), len(look)) for fit, look in parts]
    [(8, 4), (8, 4), (8, 4)]
    """
    classes = np.unique(y)
    most = min(len(np.unique(groups[y == c])) for c in classes)
    for folds in range(min(k, most), 1, -1):
        dealt = _deal(y, groups, folds, random, len(classes))
        parts = [(np.flatnonzero(dealt != f), np.flatnonzero(dealt == f)) for f in range(folds)]
        whole = [p for p in parts if all(len(np.unique(y[side])) == len(classes) for side in p)]
        if len(whole) == folds:
            return parts
    return []


def _deal(
    y: NDArray[np.intp], groups: NDArray[np.intp], k: int, random: np.random.Generator | int, classes: int
) -> NDArray[Any]:
    rng = np.random.default_rng(random)
    if classes == 2:
        return deal_folds(y == y.max(), groups, k, rng)
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=int(rng.integers(2**31)))
    folds = np.zeros(len(y), dtype=np.intp)
    for fold, (_, look) in enumerate(splitter.split(np.zeros((len(y), 1)), y, groups)):
        folds[look] = fold
    return folds


def class_codes(y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the classes, sorted, and the number of each row's class.

    Raises
    ------
    UserError
        If labels are missing or there is one class only.
    """
    from sklearn.utils import column_or_1d
    from sklearn.utils.multiclass import check_classification_targets

    labels = column_or_1d(_plain(y), warn=True)
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(codes) == 0:
        raise UserError("There are no rows to fit to.")
    if len(classes) < 2:
        raise UserError(f"All {len(codes):,} rows have the one class {classes[0]}; a model needs two.")
    return classes, codes


def _plain(y: Any) -> Any:
    """Labels as an array of numpy's own type, where pandas holds them as nullable."""
    import pandas as pd

    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if isinstance(y, pd.Series):
        if y.isna().any():
            raise UserError(f"{int(y.isna().sum()):,} labels are missing; leave those rows out.")
        if pd.api.types.is_bool_dtype(y.dtype):
            return y.to_numpy(dtype=bool)
        if pd.api.types.is_integer_dtype(y.dtype):
            return y.to_numpy(dtype=np.int64)
        return y.to_numpy(dtype=object) if isinstance(y.dtype, pd.CategoricalDtype) else y.to_numpy()
    return y
