"""Which columns of a ready table are features of Experiment III, and how the public code codes them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError, did_you_mean
from dallm.resources import data_path

SPLITS = ("split", "set", "subset", "partition", "fold")
YES = ("true", "1", "1.0", "yes", "y", "t")
NO_FINDING = ("no finding_chexpert", "no finding")
_RAW = "_chexpert"
_FLAGS = {"true", "false", "yes", "no", "1", "0", "1.0", "0.0", "t", "f", "unknown", "none", "nan", "n/a", ""}
_ID_COLUMN = re.compile(
    r"(?i)^$|^(index|case|patient|subject|row|image|study|stay|dicom)$|(^|[_ ])(id|path|uid)$"
)
_MOST_LEVELS = 10
_AUTHORS = 40  # so many columns of the vocabulary make a table one of the authors'


@cache
def vocabulary() -> dict[str, Any]:
    """Return the columns of Table 4's sets by where they come from (data/paper/table4_features.toml)."""
    return tomllib.loads(data_path("paper", "table4_features.toml").read_text(encoding="utf-8"))


def names_of(part: str) -> tuple[str, ...]:
    """Return the columns of a part of the vocabulary, each once.

    Examples
    --------
    >>> [len(names_of(part)) for part in ("original", "generated", "expert", "left_out")]
    [8, 70, 13, 9]
    """
    held = vocabulary()[part]
    lists = held.values() if isinstance(held, dict) else [held]
    return tuple(dict.fromkeys(name for names in lists for name in names))


def as_numbers(frame: pd.DataFrame, name: str, notes: list[str] | None = None) -> pd.DataFrame:
    """Return a feature set as the public code codes it.

    Gender: F is 1. What may be true or false is 1 where it says literally true, 0 otherwise, also where it
    says nothing. A missing number is the mean of all cases. Ordered levels are their rank; other levels
    become a column each.

    Raises
    ------
    UserError
        If a column is free text.

    Examples
    --------
    >>> table = pd.DataFrame({"gender": ["F", "M"], "cough": ["TRUE", "not mentioned"], "age": [50.0, None]})
    >>> as_numbers(table, "augmented").to_numpy().tolist()
    [[1.0, 1.0, 50.0], [0.0, 0.0, 50.0]]
    """
    made: dict[str, Any] = {}
    filled: list[str] = []
    for column in map(str, frame.columns):
        values = frame[column]
        if column.lower() in ("gender", "sex") and not pd.api.types.is_numeric_dtype(values.dtype):
            made[column] = values.astype(str).str.strip().str.upper().str[:1].eq("F").to_numpy(dtype=float)
        elif is_flag(values):
            said = values.astype(object).where(values.notna(), "").astype(str).str.strip().str.lower()
            made[column] = said.isin(YES).to_numpy(dtype=float)
        elif isinstance(values.dtype, pd.CategoricalDtype) and values.cat.ordered:
            ranks = values.cat.codes.to_numpy(dtype=float)
            made[column] = np.where(ranks < 0, 0.0, ranks)
        else:
            made |= _numbers(column, values, name, filled)
    if filled and notes is not None:
        notes.append(f"{name}: missing numbers are the mean of all cases in {listed(filled)}.")
    return pd.DataFrame(made, index=frame.index, dtype="float64")


def is_flag(values: pd.Series[Any]) -> bool:
    """Return whether a column says yes or no, in whatever words; numbers are not read so."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    if pd.api.types.is_numeric_dtype(values.dtype) or isinstance(values.dtype, pd.CategoricalDtype):
        return False
    known = values.dropna()
    if len(known) and all(isinstance(v, (bool, np.bool_)) for v in known.unique()):
        return True
    words = {str(v).strip().lower() for v in known.unique()}
    if words & {"true", "false"}:  # answers of a model are seldom all clean
        return True
    return bool(words & {"yes", "no"}) and words <= _FLAGS


def _numbers(column: str, values: pd.Series[Any], name: str, filled: list[str]) -> dict[str, Any]:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)
    known = values.notna()
    if known.any() and numbers[known].notna().mean() < 0.5:
        levels = values.dropna().astype(str).str.strip().value_counts()
        if len(levels) > _MOST_LEVELS:
            raise UserError(
                f"Column {column!r} of {name!r} is text ({len(levels):,} different values), no feature. "
                f"Leave it out with --drop {column!r}, or name the features with --features."
            )
        text = values.astype(object).where(known, "").astype(str).str.strip()
        return {f"{column}={level}": text.eq(level).to_numpy(dtype=float) for level in levels.index}
    if numbers.isna().any():
        filled.append(column)
        numbers = numbers.fillna(numbers.mean() if numbers.notna().any() else 0.0)
    return {column: numbers.to_numpy(dtype=float)}


def features_of(
    name: str, table: pd.DataFrame, apart: set[str], chosen: Sequence[str] | None, notes: list[str]
) -> pd.DataFrame:
    """Return the columns of a table that are features; what is left out is noted.

    Parameters
    ----------
    name : str
        Of the feature set; one of the paper's gets the columns that the paper's has.
    table : DataFrame
    apart : set of str
        Columns that are none: targets, marks, patients.
    chosen : sequence of str, optional
        The features, where they were named.
    notes : list of str
        Gets a line for what was left out.

    Raises
    ------
    UserError
        If a named column is missing, or no column can be a feature.
    """
    if chosen is not None:
        lacking = [c for c in chosen if c not in table.columns]
        if lacking:
            near = did_you_mean(lacking[0], table.columns)
            raise UserError(f"Feature set {name!r} has no column {lacking[0]!r}.{near}")
        return table[list(chosen)]
    every = [*names_of("original"), *names_of("generated"), *names_of("expert")]
    known = [c for c in every if c in table.columns and c not in apart]
    labels = [c for c in table.columns if str(c).lower().endswith(_RAW)]
    if known and (len(labels) > 1 or len(known) > _AUTHORS):
        # the table is one of the authors': labels of other findings stand among its columns
        lost = [c for c in table.columns if c not in known and c not in apart]
        columns = known
    else:
        columns = [c for c in table.columns if c not in apart and c.lower() not in SPLITS]
        lost = [c for c in columns if _is_none(c, table[c])]
        columns = [c for c in columns if c not in lost]
    row, original, experts = table4_set(name), names_of("original"), names_of("expert")
    if row == "original" and set(original) < set(columns):
        lost, columns = [*lost, *(c for c in columns if c not in original)], list(original)
    if row == "augmented" and set(experts) <= set(columns):
        lost, columns = [*lost, *experts], [c for c in columns if c not in experts]
    if not columns:
        raise UserError(f"Feature set {name!r} has no column that can be a feature; name them by --features.")
    if lost:
        notes.append(
            f"{name}: {count(len(columns), 'feature')}; no features of this set are {listed(lost)}. "
            "--features NAME=a,b takes others."
        )
    return table[columns]


def _is_none(column: str, values: pd.Series[Any]) -> bool:
    """Whether a column is no feature: an id, a label of CheXpert, text, or left out by the public code."""
    named = bool(_ID_COLUMN.search(column)) or column.lower() in NO_FINDING or column.lower().endswith(_RAW)
    return named or _is_text(values) or column in names_of("left_out")


def _is_text(values: pd.Series[Any]) -> bool:
    if pd.api.types.is_numeric_dtype(values.dtype) or isinstance(values.dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    if is_flag(values) or values.dropna().empty:
        return bool(values.dropna().empty)
    known = values.dropna()
    if pd.to_numeric(known, errors="coerce").notna().mean() >= 0.5:
        return False
    return known.astype(str).str.strip().nunique() > _MOST_LEVELS


def with_parts(sets: Mapping[str, pd.DataFrame], notes: list[str]) -> dict[str, pd.DataFrame]:
    """Add the sets of the paper that a given one contains."""
    rows = {table4_set(name, frame.shape[1]) for name, frame in sets.items()}
    made = dict(sets)
    original = list(names_of("original"))
    for name, frame in sets.items():
        experts = [c for c in names_of("expert") if c in frame.columns]
        if "augmented" not in rows and table4_set(name, frame.shape[1]) == "expert" and len(experts) > 6:
            made = {"augmented": frame.drop(columns=experts), **made}
            notes.append(
                f"The set 'augmented' is {name!r} without {count(len(experts), 'column')} of the experts."
            )
            rows.add("augmented")
        if "original" not in rows and set(original) < set(frame.columns):
            made = {"original": frame[original], **made}
            notes.append(f"The set 'original' is the eight original columns of {name!r}.")
            rows.add("original")
    return made


def table4_set(name: str, width: int | None = None) -> str | None:
    """Return the feature set of Table 4 that a name means, or None.

    Examples
    --------
    >>> [table4_set(name) for name in ("original", "aug+expert", "with-doc", "nopk", "Augmented", "mine")]
    ['original', 'expert', 'expert', 'no_knowledge', 'augmented', None]
    """
    said = re.sub(r"[^a-z0-9]+", " ", name.lower())
    squeezed = said.replace(" ", "")
    if any(part in squeezed for part in ("nopk", "noprior", "noknowledge", "withoutknowledge", "ablation")):
        return "no_knowledge"
    if any(part in squeezed for part in ("withoutdoc", "withoutexpert", "noexpert")):
        return "augmented"
    if any(part in squeezed for part in ("expert", "doctor", "withdoc", "91")):
        return "expert"
    if any(part in squeezed for part in ("aug", "extended", "generated", "78")):
        return "augmented"
    if any(part in squeezed for part in ("orig", "clinical", "baseline", "x8")):
        return "original"
    return {8: "original", 78: "augmented", 91: "expert"}.get(width or 0)


def listed(names: Sequence[Any]) -> str:
    """Return the first names, and how many there are besides."""
    shown = [repr(name) for name in names]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
