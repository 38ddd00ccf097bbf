"""What a cohort refuses, before any work begins: each refusal names the column and the row.

Rows are counted from 0, in the order of the table given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import count, first_rows
from dallm.errors import CohortError, did_you_mean
from dallm.vitals import known_vital

DATA_USES = ("open", "credentialed")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Roles:
    """Which column plays which part."""

    id: str
    group: str | None
    report: tuple[str, ...]
    numeric: dict[str, str]
    categorical: tuple[str, ...]
    targets: tuple[str, ...]
    data_use: str

    def pairs(self) -> list[tuple[str, str]]:
        """Return (column, role) for every role given, in order."""
        many = [("report", self.report), ("numeric", self.numeric)]
        many += [("categorical", self.categorical), ("targets", self.targets)]
        single = [(self.id, "id")] + ([(self.group, "group")] if self.group is not None else [])
        return single + [(column, role) for role, columns in many for column in columns]


def read_roles(
    id: object,
    group: object,
    report: object,
    numeric: object,
    categorical: object,
    targets: object,
    data_use: object,
) -> Roles:
    """Return the roles as given by a user, in one form.

    Raises
    ------
    CohortError
        If a role is not a column name, a list of them or (`numeric`) a mapping to units.
    """
    if not isinstance(id, str):
        raise CohortError(f"id must be the name of a column, got {type(id).__name__}.")
    if group is not None and not isinstance(group, str):
        raise CohortError(f"group must be the name of a column or None, got {type(group).__name__}.")
    if data_use not in DATA_USES:
        raise CohortError(
            f"data_use must be one of {list(DATA_USES)}, got {data_use!r}.{did_you_mean(data_use, DATA_USES)}"
        )
    numeric = {} if numeric is None else numeric
    if not isinstance(numeric, Mapping):
        raise CohortError(
            "numeric must map each column to its unit, e.g. numeric={'temperature': 'degF', 'ratio': '1'}."
        )
    for column, unit in numeric.items():
        if not isinstance(unit, str) or not unit.strip():
            raise CohortError(
                f"numeric column {column!r} has no unit; write e.g. {{{column!r}: 'mmHg'}}, '1' for a ratio."
            )
    return Roles(
        id=id,
        group=group,
        report=_names("report", report),
        numeric={column: unit.strip() for column, unit in numeric.items()},
        categorical=_names("categorical", categorical),
        targets=_names("targets", targets),
        data_use=str(data_use),
    )


def check_frame(frame: object) -> None:
    """Refuse what is no usable table: no DataFrame, no rows, column names not text or repeated."""
    if not isinstance(frame, pd.DataFrame):
        raise CohortError(f"The table must be a pandas DataFrame, got {type(frame).__name__}.")
    if frame.columns.nlevels > 1:
        raise CohortError("The table has several levels of column names; flatten them to one.")
    for name in frame.columns:
        if not isinstance(name, str) or not name.strip():
            raise CohortError(f"Column names must be text that is not empty; found {name!r}. Rename it.")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise CohortError(f"The table has the column {twice[0]!r} more than once; rename or drop one.")
    if not len(frame):
        raise CohortError("The table is empty: it has no rows.")


def check_roles(frame: pd.DataFrame, roles: Roles) -> None:
    """Refuse a column that is not there, one with two roles, and a unit that a known measurement lacks."""
    taken: dict[str, str] = {}
    for column, role in roles.pairs():
        if not isinstance(column, str) or column not in frame.columns:
            hint = did_you_mean(column, frame.columns)
            if role == "id" and column == frame.index.name:
                hint = " It is the table's index; pass frame.reset_index()."
            raise CohortError(
                f"{role}: the table has no column {column!r}.{hint or _columns_there(frame.columns)}"
            )
        if column in taken:
            both = role if role == taken[column] else f"{taken[column]} and {role}"
            why = " A target must not be shown to the model." if "targets" in (role, taken[column]) else ""
            raise CohortError(f"Column {column!r} is named twice, as {both}; give it one role.{why}")
        taken[column] = role
    for column, unit in roles.numeric.items():
        vital = known_vital(column)
        if vital is not None:
            try:
                vital.unit_of(unit)
            except CohortError as error:
                raise CohortError(f"numeric column {column!r}: {error}") from None


def check_group(values: pd.Series[Any]) -> None:
    """Refuse a missing group: such a case could stand on both sides of a split."""
    missing = values.isna().to_numpy(dtype=bool)
    if missing.any():
        raise CohortError(
            f"group column {values.name!r}: {count(missing.sum(), 'row')} without a group; "
            f"{first_rows(missing)}. Give each a group, its id for instance."
        )


def check_report(values: pd.Series[Any]) -> None:
    """Refuse a report column that holds something other than text and missing values."""
    row = _first_other(values, str)
    if row is not None:
        raise CohortError(
            f"report column {values.name!r}: row {row} holds {_kind(values.iloc[row])}, not text. "
            "Name a text column, or make it text with missing values left missing."
        )


def check_text(values: pd.Series[Any]) -> None:
    """Refuse half characters in any column: no file keeps them, and the result could not be saved."""
    dtype = values.dtype
    plain = isinstance(dtype, pd.StringDtype) and dtype.storage == "python"
    if not plain and not pd.api.types.is_object_dtype(dtype):
        return  # Arrow's text is UTF-8, which has none
    for row, text in enumerate(values):
        if isinstance(text, str) and not text.isascii() and _SURROGATE.search(text):
            raise CohortError(
                f"column {values.name!r}: row {row} holds half of a character (a lone surrogate), "
                "which no file can keep; read the table with its right encoding."
            )


def check_categorical(values: pd.Series[Any]) -> None:
    """Refuse a categorical column whose values are no single words, numbers or booleans."""
    row = _first_other(values, (str, int, float, bool, np.generic))
    if row is not None:
        raise CohortError(
            f"categorical column {values.name!r}: row {row} holds {_kind(values.iloc[row])}; "
            "use text, whole numbers or booleans."
        )


def read_numbers(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a numeric column as floats, NaN where missing.

    Raises
    ------
    CohortError
        If it holds text or anything else that is no number.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = values.astype(dtype.categories.dtype)
    if pd.api.types.is_numeric_dtype(values.dtype) and not (
        pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_complex_dtype(values.dtype)
    ):
        return values.to_numpy(dtype="float64", na_value=np.nan)
    items = objects(values)
    text = np.array([isinstance(v, str) for v in items], dtype=bool)
    if text.any():
        raise CohortError(_text_in_numbers(str(values.name), values, text))
    good = [v is None or (_is_number(v) and not isinstance(v, (bool, np.bool_))) for v in items]
    if not all(good):
        row = good.index(False)
        raise CohortError(
            f"numeric column {values.name!r}: row {row} holds {_kind(items[row])}, not a number."
            " A column of booleans is categorical."
        )
    return np.array([np.nan if v is None else float(v) for v in items], dtype="float64")


def objects(values: pd.Series[Any]) -> list[Any]:
    """Return a column's values as a list, None where missing."""
    items: list[Any] = values.astype(object).tolist()
    for row in np.flatnonzero(values.isna().to_numpy(dtype=bool)).tolist():
        items[row] = None
    return items


def check_target(values: pd.Series[Any]) -> None:
    """Refuse a target that is not boolean-like: 0, 1, True, False or missing."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return
    for row, value in enumerate(objects(values)):
        if value is None or (_is_number(value) and value in (0, 1)):
            continue
        number = f"{_shown(value)}" if _is_number(value) or isinstance(value, str) else _kind(value)
        raise CohortError(
            f"target {values.name!r}: row {row} holds {number}; a target is 0, 1, True, False or missing. "
            f"Binarise it, e.g. frame[{values.name!r}] == 1."
        )


def _names(role: str, given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise CohortError(f"{role} must be a column name or a list of them, got {type(given).__name__}.")
    return tuple(given)


def _columns_there(columns: pd.Index[Any]) -> str:
    shown = ", ".join(map(repr, columns[:8]))
    return f" It has {shown}{', ...' if len(columns) > 8 else ''}."


def _text_in_numbers(column: str, values: pd.Series[Any], text: np.ndarray[Any, Any]) -> str:
    spelt = pd.to_numeric(values[text], errors="coerce").notna().to_numpy()
    wrong = np.flatnonzero(text)[~spelt]
    if len(wrong):
        row = int(wrong[0])
        return (
            f"numeric column {column!r}: {count(len(wrong), 'value')} of text, the first in row {row}: "
            f"{_shown(values.iloc[row])}. Set them to missing or correct them."
        )
    return (
        f"numeric column {column!r}: {count(int(text.sum()), 'number')} written as text, the first in row "
        f"{int(np.flatnonzero(text)[0])}. Convert them with pd.to_numeric(frame[{column!r}])."
    )


def _first_other(values: pd.Series[Any], kinds: type | tuple[type, ...]) -> int | None:
    """Return the position of the first value that is neither missing nor of these types."""
    if kinds is str and isinstance(values.dtype, pd.StringDtype):
        return None
    for row, value in enumerate(objects(values)):
        if value is not None and not isinstance(value, kinds):
            return row
    return None


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]  # Decimal and numpy scalars too
    except (TypeError, ValueError):
        return False
    return not isinstance(value, (str, bytes))


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _shown(value: object) -> str:
    """Return a cell as a message may show it: one word or a number; longer text may be a patient's."""
    text = str(value).strip()
    number = text[:1].isdigit() or text[:1] in "+-<>.~"
    if len(text) <= 16 and (number or not re.search(r"\s", text)):
        return repr(text)
    return f"a text of {count(len(text), 'character')}"
