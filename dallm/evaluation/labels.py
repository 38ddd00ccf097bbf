"""Targets as the user gave them, read as yes, no or unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dallm.errors import UserError

_YES_NO = "Targets are True/False, 1/0 or missing"


def read_targets(targets: object, index: pd.Index[Any]) -> pd.DataFrame:
    """Return targets as a table of pandas ``boolean``.

    Parameters
    ----------
    targets : Series, DataFrame, or sequence of labels
        Of type bool, pandas ``boolean``, or the numbers 0 and 1; missing where unknown. A sequence has one
        label per case, in the order of `index`.
    index : Index
        Of the cases, for targets that have none of their own.

    Raises
    ------
    UserError
        If a target has other values, or two targets have one name.

    Examples
    --------
    >>> read_targets(pd.Series([1.0, 0.0, None], name="edema"), pd.RangeIndex(3))["edema"].tolist()
    [True, False, <NA>]
    """
    frame = _as_frame(targets, index)
    if frame.shape[1] == 0:
        raise UserError("There is no target. Give a Series, or a DataFrame with one column per target.")
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"Two targets are called {twice[0]!r}. Give each target a name of its own.")
    read = {name: _labels(frame.iloc[:, i], name) for i, name in enumerate(names)}
    return pd.DataFrame(read, index=frame.index)


def check_both_classes(targets: pd.DataFrame) -> None:
    """Refuse targets without a case of either class.

    Raises
    ------
    UserError
        Naming the targets and the class that they have.
    """
    known = {name: targets[name].dropna() for name in targets.columns}
    unknown = [name for name, labels in known.items() if labels.empty]
    if unknown:
        raise UserError(f"No label is known for {_named(unknown)}. Leave such targets out.")
    single = {name: bool(labels.iloc[0]) for name, labels in known.items() if labels.nunique() == 1}
    if single:
        name, value = next(iter(single.items()))
        raise UserError(
            f"Target {name!r} has one class only: all its {len(known[name]):,} known labels are {value}"
            + (f" (so it is with {_named(list(single)[1:])})" if len(single) > 1 else "")
            + ". Nothing can be told apart; leave such targets out, or add cases of the other class."
        )


def _as_frame(targets: object, index: pd.Index[Any]) -> pd.DataFrame:
    if isinstance(targets, pd.DataFrame):
        return targets
    if isinstance(targets, pd.Series):
        return targets.to_frame("target" if targets.name is None else targets.name)
    if isinstance(targets, (list, tuple, np.ndarray)):
        array = np.asarray(targets)
        if array.ndim != 1 or len(array) != len(index):
            raise UserError(
                f"Targets of shape {array.shape} do not fit {len(index):,} cases. Give a Series or a "
                "DataFrame on the index of the feature sets."
            )
        return pd.DataFrame({"target": pd.Series(list(targets), index=index)})
    raise UserError(
        f"Targets of type {type(targets).__name__} cannot be read. Give a Series, or a DataFrame with one "
        "column per target, on the index of the feature sets."
    )


def _labels(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype if not column.isna().any() else object)
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("boolean")
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype="float64", na_value=np.nan)
        missing = np.isnan(values)
        odd = ~missing & (values != 0) & (values != 1)
        if odd.any():
            raise UserError(
                f"Target {name!r} has the value {values[odd][0]:g}. {_YES_NO}; for uncertain labels say "
                "which they are to be, for a measured value compare it with a threshold first."
            )
        return pd.Series(pd.array(values == 1, dtype="boolean"), index=column.index).mask(missing)
    missing = column.isna().to_numpy(dtype=bool)
    known = column[~missing]
    if all(isinstance(v, (bool, np.bool_)) or (isinstance(v, (int, float)) and v in (0, 1)) for v in known):
        values = np.array([not gone and bool(v) for v, gone in zip(column, missing, strict=True)], dtype=bool)
        return pd.Series(pd.array(values, dtype="boolean"), index=column.index).mask(missing)
    raise UserError(
        f"Target {name!r} {_found(known)}. {_YES_NO}; turn it into them, for example {_how(known)}."
    )


def _found(known: pd.Series[Any]) -> str:
    levels = sorted({str(v) for v in known.head(10_000)})
    if len(levels) <= 6 and all(len(level) <= 20 for level in levels):
        return f"holds {', '.join(repr(level) for level in levels)}"
    return f"holds values of type {type(known.iloc[0]).__name__}"


def _how(known: pd.Series[Any]) -> str:
    levels = {str(v).strip().lower() for v in known.head(10_000)}
    for yes, no in (("yes", "no"), ("y", "n"), ("true", "false"), ("1", "0"), ("positive", "negative")):
        if levels <= {yes, no}:
            return f'with .str.strip().str.lower().map({{"{yes}": True, "{no}": False}})'
    return "by comparing it with the value that stands for yes"


def _named(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
