"""The columns of a feature set, checked one by one before any model sees them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError

_LARGEST = float(np.finfo(np.float32).max)
_DISTINCT = 0.8  # share of a text column's values from which on they are all but one for each case
_FEWEST = 20  # values of a text column that is looked at so
_SAMPLE = 20_000  # values that are counted


def check_features(
    name: str,
    frame: pd.DataFrame,
    absent: Collection[str],
    groups: pd.Series[Any] | None,
    notes: list[str],
) -> pd.DataFrame:
    """Return a feature set without the columns that are no features or have no value; itself if it has none.

    Columns are looked at one by one: a copy of the whole table would not be affordable.

    Parameters
    ----------
    name : str
    frame : DataFrame
    absent : collection of str
        Columns that are no features.
    groups : Series or None
        The patient of each case.
    notes : list of str
        Gets a line for columns without a value, and for text and ids among the features.

    Raises
    ------
    UserError
        If a column holds what no model takes: lists, dates, complex numbers, numbers that are infinite or
        beyond single precision, in which trees compute.

    Examples
    --------
    >>> said = []
    >>> frame = pd.DataFrame({"age": [60.0, 71.0], "gap": [None, None]})
    >>> list(check_features("all", frame, (), None, said)), said
    (['age'], ["Feature set 'all': no case has a value in 'gap'; dropped for all models."])
    """
    wrong: dict[str, list[str]] = {}
    infinite = 0
    empty, texts, ids = [], [], []
    for position, column in enumerate(frame.columns):
        if column in absent:
            continue
        values = frame.iloc[:, position]
        if values.isna().all():
            empty.append(column)
            continue
        kind = _unusable(values)
        if kind:
            wrong.setdefault(kind, []).append(column)
            infinite += int(np.isinf(_floats(values)).sum()) if kind == _INFINITE else 0
        elif _is_text(values):
            texts.append(column)
        if _names_cases(values, groups):
            ids.append(column)
    for kind, remedy in _UNUSABLE.items():
        if kind in wrong:
            of = f" ({count(infinite, 'value')})" if kind == _INFINITE else ""
            raise UserError(f"Feature set {name!r} has {kind} in {listed(wrong[kind])}{of}{remedy}")
    if empty:
        notes.append(f"Feature set {name!r}: no case has a value in {listed(empty)}; dropped for all models.")
    texts = [column for column in texts if column not in ids]
    if texts:
        notes.append(
            f"Feature set {name!r}: nearly every case has a text of its own in {listed(texts)}. Models take "
            "texts as categories and learn nothing from such: drop free text and ids, or make numbers of it."
        )
    if ids:
        notes.append(
            f"Feature set {name!r}: {listed(ids)} names the patient or case, and is used as a feature; drop "
            "it."
        )
    drop = [column for column in frame.columns if column in absent] + empty
    if not drop:
        return frame
    kept = frame.drop(columns=drop)
    if kept.shape[1] == 0:
        raise UserError(f"Feature set {name!r} has no column with a value.")
    return kept


def listed(names: Any) -> str:
    """Return the first few names as messages print them."""
    shown = [repr(name) if isinstance(name, str) else str(name) for name in names]
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")


_INFINITE = "infinite values"
_UNUSABLE = {
    _INFINITE: ". Make them missing (None), or cap them.",
    "numbers beyond single precision": (
        f" (larger than {_LARGEST:.1e}), which trees cannot hold. Give a larger unit, or logarithms."
    ),
    "dates or durations": ("; turn them into numbers, for example days since admission, or drop them."),
    "complex numbers": "; give real and imaginary part a column each, or drop them.",
    "lists, tables or other objects": "; make a column of each of their values, or drop them.",
}
"""What no model takes, and what to do about it."""


def _unusable(values: pd.Series[Any]) -> str:
    """Return what the column holds that no model takes; empty where it is fine."""
    dtype = values.dtype
    if pd.api.types.is_float_dtype(dtype):
        return _out_of_range(_floats(values))
    if pd.api.types.is_datetime64_any_dtype(dtype) or dtype.kind == "m" or isinstance(dtype, pd.PeriodDtype):
        return "dates or durations"
    if dtype.kind == "c":
        return "complex numbers"
    if not pd.api.types.is_object_dtype(dtype):
        return ""
    held = values.to_numpy(dtype=object)
    kinds = set(map(type, held))
    if any(issubclass(kind, (list, dict, set, tuple, np.ndarray, pd.Series, pd.DataFrame)) for kind in kinds):
        return "lists, tables or other objects"
    if any(issubclass(kind, (complex, np.complexfloating)) for kind in kinds):
        return "complex numbers"
    if any(issubclass(kind, (float, np.floating)) for kind in kinds):
        return _out_of_range(_floats(values))
    return ""


def _floats(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not pd.api.types.is_object_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    held = values.to_numpy(dtype=object)
    return np.array([v for v in held if isinstance(v, (float, np.floating))], dtype=np.float64)


def _out_of_range(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    highest, lowest = np.fmax.reduce(numbers), np.fmin.reduce(numbers)
    if np.isinf(highest) or np.isinf(lowest):
        return _INFINITE
    return "numbers beyond single precision" if max(highest, -lowest) > _LARGEST else ""


def _is_text(values: pd.Series[Any]) -> bool:
    """Whether nearly every case has a text of its own."""
    if not pd.api.types.is_object_dtype(values.dtype) and not isinstance(values.dtype, pd.StringDtype):
        return False
    known = values.head(_SAMPLE).dropna()
    if len(known) < _FEWEST or not isinstance(known.iloc[0], str):
        return False
    return bool(known.astype(str).nunique() > _DISTINCT * len(known))


def _names_cases(values: pd.Series[Any], groups: pd.Series[Any] | None) -> bool:
    """Whether the column repeats the patients, or the labels of the cases where these are no mere count."""
    others = [groups] if groups is not None else []
    if not isinstance(values.index, (pd.RangeIndex, pd.MultiIndex)):
        others.append(pd.Series(values.index, index=values.index))
    for other in others:
        few = len(values) < _FEWEST
        if not few and values.head(_FEWEST).astype(str).tolist() == other.head(_FEWEST).astype(str).tolist():
            return bool((values.astype(str).to_numpy() == other.astype(str).to_numpy()).all())
    return False
