"""Feature sets, targets and patients from files, as the command line names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.evaluation.protocols import AsPublished, Holdout

_IDS = ("case_id", "id")
_YES, _NO = ("true", "yes", "y", "t", "1", "1.0"), ("false", "no", "n", "f", "0", "0.0")
_MOST_LEVELS = 50


@dataclass(frozen=True)
class FeatureTables:
    """Tables as :func:`dallm.evaluate` takes them.

    Attributes
    ----------
    sets : mapping of str to DataFrame
    targets : DataFrame
    groups : Series or None
    marks : Series or None
        Of a split.
    notes : tuple of str
        What was left out.
    """

    sets: Mapping[str, pd.DataFrame]
    targets: pd.DataFrame
    groups: pd.Series[Any] | None
    marks: pd.Series[Any] | None
    notes: tuple[str, ...]


def feature_tables(
    tables: Mapping[str, pd.DataFrame],
    targets: Sequence[str],
    *,
    group: str | None = None,
    id: str | None = None,
    split: str | None = None,
    drop: Sequence[str] = (),
) -> FeatureTables:
    """Take targets, patients and marks out of tables; what is left are features.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By feature set, one row per case. What is not a feature may stand in any of them.
    targets : sequence of str
    group, id, split : str, optional
        Columns of patients, case ids and marks; ids are found where all tables have them.
    drop : sequence of str
        Columns that are no features.

    Raises
    ------
    UserError
        If a column is in no table, or ids do not name each case once.

    Examples
    --------
    >>> table = pd.DataFrame({"id": ["a", "b"], "age": [60, 71], "edema": ["TRUE", "FALSE"]})
    >>> read = feature_tables({"original": table}, ["edema"])
    >>> list(read.sets["original"].columns), read.targets["edema"].tolist()
    (['age'], [True, False])
    """
    key = id or next((name for name in _IDS if all(name in t for t in tables.values())), None)
    made = {name: _indexed(table, key, name) for name, table in tables.items()}
    if not targets:
        raise UserError("Name the columns that are to be predicted with --targets a,b.")
    labels = pd.DataFrame({name: as_labels(_column(name, made, "target")) for name in targets})
    patients = None if group is None else _column(group, made, "group")
    marks = None if split is None else _column(split, made, "split")
    apart = {*targets, *drop, *(name for name in (key, group, split) if name is not None)}
    known = {column for table in made.values() for column in table.columns} | {key}
    for name in drop:
        if name not in known:
            raise UserError(f"--drop {name!r}: no table has this column.{did_you_mean(name, known - {None})}")
    notes: list[str] = []
    sets = {name: _features(name, table, apart, notes) for name, table in made.items()}
    return FeatureTables(sets, labels, patients, marks, tuple(notes))


def as_labels(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return yes and no in whatever words as pandas ``boolean``; other columns as they are.

    Examples
    --------
    >>> as_labels(pd.Series(["yes", "no", None])).tolist()
    [True, False, <NA>]
    """
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        return values
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    said = values.dropna().astype(str).str.strip().str.lower()
    if said.empty or not said.isin([*_YES, *_NO]).all():
        return values
    return said.isin(_YES).reindex(values.index).astype("boolean")


def protocol_of(name: str, split: Any, repeats: int, folds: int) -> Any:
    """Return the protocol that the command line names.

    Raises
    ------
    UserError
        If the name is not known, or a split is lacking.
    """
    from dallm.evaluation.protocols import AsPublished, Holdout, LeakFree

    if name == "leak_free":
        return LeakFree(repeats, folds)
    kinds: dict[str, type[Holdout] | type[AsPublished]] = {"holdout": Holdout, "as_published": AsPublished}
    if name not in kinds:
        known = ["leak_free", *kinds]
        raise UserError(f"--protocol {name!r}: one of {', '.join(known)}.{did_you_mean(name, known)}")
    if split is None:
        raise UserError(f"--protocol {name} needs the column of marks train and test: --split COLUMN.")
    return kinds[name](split)


def _indexed(table: pd.DataFrame, key: str | None, name: str) -> pd.DataFrame:
    if key is None:
        return table.reset_index(drop=True)
    if key not in table.columns:
        raise UserError(f"Feature set {name!r} has no column {key!r}.{did_you_mean(key, table.columns)}")
    ids = table[key].astype(str)
    if table[key].isna().any() or ids.duplicated().any():
        raise UserError(f"Column {key!r} of feature set {name!r} does not name each case once.")
    return table.set_index(ids.rename(None))


def _column(name: str, tables: Mapping[str, pd.DataFrame], what: str) -> pd.Series[Any]:
    for table in tables.values():
        if name in table.columns:
            found: pd.Series[Any] = table[name]
            return found
    known = list(dict.fromkeys(c for table in tables.values() for c in table.columns))
    raise UserError(f"No table has the {what} column {name!r}.{did_you_mean(name, known)}")


def _features(name: str, table: pd.DataFrame, apart: set[str], notes: list[str]) -> pd.DataFrame:
    kept: dict[str, Any] = {}
    texts = []
    for column in table.columns:
        if column in apart or column == "":
            continue
        values = table[column]
        plain = pd.api.types.is_numeric_dtype(values.dtype) or isinstance(values.dtype, pd.CategoricalDtype)
        values = values if plain else as_labels(values)
        text = not plain and not pd.api.types.is_bool_dtype(values.dtype)
        if text and values.nunique() > _MOST_LEVELS:
            texts.append(str(column))
        else:
            kept[column] = values
    if texts:
        shown = ", ".join(repr(text) for text in texts[:6]) + (", ..." if len(texts) > 6 else "")
        notes.append(f"Feature set {name!r}: text or ids, so no features: {shown}.")
    if not kept:
        raise UserError(f"Feature set {name!r} has no column left that is a feature.")
    return pd.DataFrame(kept, index=table.index)
