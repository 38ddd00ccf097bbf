"""Predictions as one frame that stays small: names as categories, positions and of folds in few bits.

Ten repeats of a million cases are ten million rows per feature set and model; as texts their names alone
would be many times the table that was predicted from.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from dallm.evaluation.fits import PREDICTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dallm.evaluation.fits import Split

    Positions = slice | NDArray[np.int32]

_MOST_RUNS = 100_000


class Predicted(NamedTuple):
    """What one fit, or a baseline, says of the test cases of a split."""

    feature_set: str
    model: str
    split: Split
    probability: float | NDArray[np.float64]
    decision: bool | NDArray[np.bool_]


def predictions_of(parts: Sequence[Predicted], truths: dict[str, NDArray[np.bool_]]) -> pd.DataFrame:
    """Return predictions one below the other.

    Parameters
    ----------
    parts : sequence of Predicted
    truths : dict of str to array of bool, shape (n_cases,)
        Labels of all cases by target.

    Returns
    -------
    DataFrame
        Columns :data:`.fits.PREDICTIONS`; those of names are categories.
    """
    sizes = [len(part.split.test) for part in parts]
    total = sum(sizes)

    def filled(dtype: Any, value_of: Callable[[Predicted], Any]) -> NDArray[Any]:
        column, start = np.empty(total, dtype=dtype), 0
        for part, size in zip(parts, sizes, strict=True):
            column[start : start + size] = value_of(part)
            start += size
        return column

    def named(value_of: Callable[[Predicted], str]) -> Any:
        names = [value_of(part) for part in parts]
        distinct = list(dict.fromkeys(names))
        codes = pd.Index(distinct, dtype=object).get_indexer(pd.Index(names, dtype=object))
        small = np.repeat(codes.astype(np.int8 if len(distinct) < 128 else np.int32), sizes)
        return pd.Categorical.from_codes(small, pd.Index(distinct))

    if not parts:
        return pd.DataFrame(columns=list(PREDICTIONS))
    most = max(part.split.test.max(initial=0) for part in parts)
    columns: dict[str, Any] = {
        "feature_set": named(lambda part: part.feature_set),
        "model": named(lambda part: part.model),
        "target": named(lambda part: part.split.target),
        "repeat": filled(np.int16, lambda part: part.split.repeat),
        "fold": filled(np.int16, lambda part: part.split.fold),
        "row": filled(np.int32 if most < 2**31 else np.int64, lambda part: part.split.test),
        "truth": filled(bool, lambda part: truths[part.split.target][part.split.test]),
        "probability": filled(np.float64, lambda part: part.probability),
        "decision": filled(bool, lambda part: part.decision),
    }
    return pd.DataFrame(columns, copy=False)


def joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return two frames of predictions as one.

    Both are taken apart, column by column: the predictions are never there twice.
    """
    if first.empty or second.empty:
        return second if first.empty else first
    columns: dict[str, Any] = {}
    for name in PREDICTIONS:
        parts = [first.pop(name), second.pop(name)]
        if all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
            columns[name] = pd.api.types.union_categoricals(parts)
        else:
            columns[name] = pd.concat(parts, ignore_index=True).array
        del parts
    return pd.DataFrame(columns, copy=False)


def grouped(predictions: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[Any, ...], Positions]:
    """Return where the predictions of each group stand, groups in the order of their first row.

    A group whose rows stand one after the other, as those of a fit do, is a slice and takes no memory.

    Examples
    --------
    >>> frame = pd.DataFrame({"model": ["a", "a", "b", "a"], "fold": [0, 0, 0, 0]})
    >>> grouped(frame, ["model", "fold"])
    {('a', 0): array([0, 1, 3], dtype=int32), ('b', 0): slice(2, 3, None)}
    """
    size = len(predictions)
    if not size:
        return {}
    changes = np.zeros(size, dtype=bool)
    changes[0] = True
    for key in keys:
        column = predictions[key]
        categories = isinstance(column.dtype, pd.CategoricalDtype)
        codes: NDArray[Any] = column.cat.codes.to_numpy() if categories else pd.factorize(column)[0]
        changes[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changes)
    if len(starts) > max(_MOST_RUNS, size // 8):
        by_hand = predictions.groupby(list(keys), sort=False, observed=True).indices
        return {_as_tuple(key): np.asarray(where, dtype=np.int32) for key, where in by_hand.items()}
    ends = np.append(starts[1:], size)
    heads = zip(*(predictions[key].iloc[starts].tolist() for key in keys), strict=True)
    runs: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for head, start, end in zip(heads, starts.tolist(), ends.tolist(), strict=True):
        runs.setdefault(head, []).append((start, end))
    return {head: _positions(parts) for head, parts in runs.items()}


def _positions(runs: list[tuple[int, int]]) -> Positions:
    if all(end == start for (_, end), (start, _) in pairwise(runs)):
        return slice(runs[0][0], runs[-1][1])
    return np.concatenate([np.arange(start, end, dtype=np.int32) for start, end in runs])


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def plain_keys(heads: pd.DataFrame) -> pd.DataFrame:
    """Return key columns as texts and whole numbers of the usual types."""
    kinds: dict[str, Any] = {}
    for name in heads.columns:
        dtype = heads[name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            kinds[name] = dtype.categories.dtype
        elif pd.api.types.is_integer_dtype(dtype):
            kinds[name] = "int64"
    return heads.astype(kinds)
