"""Which column of a filled table belongs to which measured column, whatever the layout calls it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.features import normalise_name
from dallm.fidelity.numbers import as_floats
from dallm.vitals import known_vital

VITALS = ("temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp")
"""The six vital signs of Experiment I, in the order of Table 2."""

_FILLED_WORDS = frozenset(
    "aug augmented filled fill imputed imputation pred predicted prediction generated estimate estimated "
    "output answer".split()
)
_TRUTH_WORDS = frozenset("true truth measured original real gt actual".split())
_FEATURE_NAMES = ("feature", "vital", "variable", "column", "masked", "masked_feature", "masked_column")
_VALUE_NAMES = ("filled", "prediction", "predicted", "imputed", "generated", "answer", "value")
_ID_NAMES = ("case_id", "id", "case", "row", "index")


def stem_of(column: object) -> tuple[str, str]:
    """Return what a column is about, and whether its name says ``"filled"``, ``"truth"`` or nothing.

    Examples
    --------
    >>> stem_of("aug_heartrate"), stem_of("heart rate"), stem_of("sbp__filled")
    (('heart rate', 'filled'), ('heart rate', ''), ('systolic blood pressure', 'filled'))
    >>> stem_of("augSBP")
    ('systolic blood pressure', 'filled')
    """
    # "Real" and "output" may belong to a name, so words are taken off at its two ends only, one at a time.
    words, role = normalise_name(str(column)).split(), ""
    while len(words) > 1:
        ends = {words[0]: 1, words[-1]: -1}
        found = next((w for w in ends if w in _FILLED_WORDS or w in _TRUTH_WORDS), None)
        if found is None:
            break
        role = "filled" if found in _FILLED_WORDS else "truth"
        words = words[1:] if ends[found] == 1 else words[:-1]
    if not role and known_vital(" ".join(words)) is None:
        rest = _without_separator("".join(words))
        if rest is not None:
            return rest, "filled"
    return _about(" ".join(words)), role


def _without_separator(squeezed: str) -> str | None:
    """Return the vital of a name like ``augsbp``, in which nothing parts the two words."""
    for word in sorted(_FILLED_WORDS, key=len, reverse=True):
        for rest in (squeezed.removeprefix(word), squeezed.removesuffix(word)):
            vital = known_vital(rest) if rest and rest != squeezed else None
            if vital is not None:
                return vital.name
    return None


def _about(name: str) -> str:
    vital = known_vital(name)
    return vital.name if vital is not None else normalise_name(name)


def truth_columns(frame: pd.DataFrame, features: Sequence[str] | None) -> dict[str, Any]:
    """Return feature to the column of `frame` that holds what was measured.

    Without `features`, every column of numbers whose name does not say that it was filled is one.

    Raises
    ------
    UserError
        If a feature has no column.
    """
    refuse_doubles(frame, "The truth")
    if features is None:
        found = {}
        for column in frame.columns:
            number = pd.api.types.is_numeric_dtype(frame[column].dtype)
            if stem_of(column)[1] != "filled" and (number or known_vital(str(column)) is not None):
                found[str(column)] = column
        return found
    by_stem: dict[str, Any] = {}
    for column in frame.columns:
        stem, role = stem_of(column)
        if role != "filled" and (role == "truth" or stem not in by_stem):
            by_stem[stem] = column
    chosen = {}
    for feature in features:
        held = feature if feature in frame.columns else by_stem.get(stem_of(feature)[0])
        if held is None:
            raise UserError(
                f"The truth has no column {feature!r}.{did_you_mean(feature, frame.columns)} "
                f"It has: {_listed(frame.columns)}."
            )
        chosen[str(feature)] = held
    return chosen


def filled_columns(frame: pd.DataFrame, features: Iterable[str]) -> dict[str, Any]:
    """Return feature to the column of `frame` that holds what was filled, for the features that it has.

    Where a column's name says so (``aug_sbp``, ``sbp__filled``), those called like a feature are passed over:
    in such a table they hold what was measured.

    Raises
    ------
    UserError
        If two columns may be meant.
    """
    wanted = {stem_of(feature)[0]: feature for feature in features}
    found: dict[str, dict[str, list[Any]]] = {}
    for column in frame.columns:
        stem, role = stem_of(column)
        if stem in wanted and role != "truth":
            found.setdefault(wanted[stem], {}).setdefault(role, []).append(column)
    said = any("filled" in roles for roles in found.values())
    chosen: dict[str, Any] = {}
    for feature in features:
        roles = found.get(feature, {})
        columns = roles.get("filled", []) if said else roles.get("", [])
        if len(columns) > 1:
            same = [column for column in columns if str(column) == feature]
            if len(same) != 1:
                raise UserError(
                    f"Several columns may hold what was filled for {feature!r}: {_listed(columns)}; keep one."
                )
            columns = same
        if columns:
            chosen[feature] = columns[0]
    return chosen


def filled_values(
    frame: pd.DataFrame, index: pd.Index[Any], features: Sequence[str], name: str
) -> dict[str, pd.Series[float]]:
    """Read one filled table: per feature a column of numbers over the rows that were asked.

    Parameters
    ----------
    frame : DataFrame
        Wide (a row per case, a column per feature) or long (a row per masked cell).
    index : Index
        Rows of the truth; the table's rows must be among them.
    features : sequence of str
    name : str
        How an error names the table.

    Raises
    ------
    UserError
        If rows or columns do not fit the truth, or values are no numbers.
    """
    refuse_doubles(frame, f"The filled table {name!r}")
    columns = filled_columns(frame, features)
    if columns:
        _check_rows(frame.index, index, name)
        return {
            feature: as_floats(frame[column], f"Column {str(column)!r} of the filled table {name!r}")
            for feature, column in columns.items()
        }
    long = _long_layout(frame, index)
    if long is not None:
        return _from_long(frame, *long, index, features, name)
    raise UserError(
        f"The filled table {name!r} has no column for any of {list(features)}; it has: "
        f"{_listed(frame.columns)}. Name its columns like those of the truth, or aug_<name>, <name>__filled."
    )


def _long_layout(frame: pd.DataFrame, index: pd.Index[Any]) -> tuple[Any, Any, Any] | None:
    """Return the id (None: the index), feature and value columns of a table with a row per cell."""
    by_name = {str(column).strip().lower(): column for column in frame.columns}
    feature = next((by_name[n] for n in _FEATURE_NAMES if n in by_name), None)
    value = next((by_name[n] for n in _VALUE_NAMES if n in by_name), None)
    if feature is None or value is None:
        return None
    ids = (*((str(index.name).lower(),) if index.name is not None else ()), *_ID_NAMES)
    return next((by_name[n] for n in ids if n in by_name), None), feature, value


def _from_long(
    frame: pd.DataFrame,
    id_column: Any,
    feature_column: Any,
    value_column: Any,
    index: pd.Index[Any],
    features: Sequence[str],
    name: str,
) -> dict[str, pd.Series[float]]:
    wanted = {stem_of(feature)[0]: feature for feature in features}
    rows = pd.Index(frame[id_column]) if id_column is not None else frame.index
    about = [wanted.get(stem_of(value)[0]) for value in frame[feature_column].tolist()]
    values = frame[value_column].set_axis(rows)
    found: dict[str, pd.Series[float]] = {}
    for feature in features:
        chosen = values[[one == feature for one in about]]
        if len(chosen):
            where = f"Column {str(value_column)!r} of the filled table {name!r} for {feature!r}"
            _check_rows(chosen.index, index, f"{name}, {feature}")
            found[feature] = as_floats(chosen, where)
    if not found:
        raise UserError(
            f"Column {str(feature_column)!r} of the filled table {name!r} names none of {list(features)}."
        )
    return found


def _check_rows(rows: pd.Index[Any], index: pd.Index[Any], name: str) -> None:
    if rows.has_duplicates:
        twice = rows[rows.duplicated()].tolist()[0]
        raise UserError(f"The filled table {name!r} has row {twice!r} twice; keep one.")
    strangers = rows.difference(index, sort=False)
    if len(strangers) == 0:
        return
    hint = "Index both tables by the same ids: frame.set_index('case_id')."
    if len(strangers) == len(rows) and {str(r) for r in rows[:50]} <= {str(i) for i in index}:
        hint = "The ids look alike but one table holds text and the other numbers: index.astype(str) on both."
    raise UserError(
        f"{len(strangers):,} of {len(rows):,} rows of the filled table {name!r} are not in the truth, "
        f"the first is {strangers.tolist()[0]!r}. {hint}"
    )


def refuse_doubles(frame: pd.DataFrame, what: str) -> None:
    names = [str(column) for column in frame.columns]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UserError(f"{what} has the column {twice[0]!r} twice; keep one.")


def _listed(columns: Iterable[Any]) -> str:
    names = [str(column) for column in columns]
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def checked_truth(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return the measured values as floats, one column per feature.

    Raises
    ------
    UserError
        If a column cannot be compared with: text, infinite, all missing or constant; or rows come twice.
    """
    if frame.index.has_duplicates:
        twice = frame.index[frame.index.duplicated()].tolist()[0]
        raise UserError(f"The truth has row {twice!r} twice; index it by ids that are unique.")
    made = {}
    for feature, column in columns.items():
        values = as_floats(frame[column], f"Column {str(column)!r} of the truth")
        known = values.dropna()
        if known.empty:
            raise UserError(f"Column {str(column)!r} of the truth is all missing; leave {feature!r} out.")
        if known.max() == known.min():
            raise UserError(
                f"Column {str(column)!r} of the truth is {known.iloc[0]:g} in all {len(known):,} rows: an "
                f"error cannot be set against its variance. Leave {feature!r} out: features=[...]."
            )
        made[feature] = values
    return pd.DataFrame(made, index=frame.index)
