"""What `value_fidelity` is given, brought to rows and columns that fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dallm.errors import UserError
from dallm.fidelity.acceptable import Acceptable, acceptable_for, unit_of
from dallm.fidelity.columns import (
    VITALS,
    filled_columns,
    filled_values,
    refuse_doubles,
    stem_of,
    truth_columns,
)
from dallm.vitals import known_vital

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort


@dataclass(frozen=True)
class Given:
    """The measured side, with what belongs to its rows."""

    frame: pd.DataFrame
    groups: NDArray[np.intp]
    grouped: bool
    units: Mapping[str, str]
    text: Sequence[str] | None
    images: NDArray[np.float64] | None

    @classmethod
    def of(
        cls,
        truth: Any,
        *,
        groups: Any,
        units: Mapping[str, str] | None,
        text: Sequence[str] | None,
        images: Any,
    ) -> Given:
        from dallm.cohort import Cohort

        known: dict[str, str] = {}
        if isinstance(truth, Cohort):
            cohort, truth = truth, truth.measured()[list(truth.numeric)]
            known = dict(cohort.numeric)
            if groups is None and cohort.group is not None:
                groups = cohort.frame[cohort.group].set_axis(cohort.ids)
            if text is None and cohort.report:
                text = report_texts(cohort)
        if not isinstance(truth, pd.DataFrame):
            raise UserError(f"truth must be a DataFrame or a Cohort, got {type(truth).__name__}.")
        if len(truth) == 0:
            raise UserError("The truth has no rows.")
        n = len(truth)
        codes = np.arange(n) if groups is None else _group_codes(groups, truth.index)
        if text is not None:
            text = _aligned(text, truth.index, "text")
            text = ["" if one is None or pd.isna(one) else str(one) for one in text]
        return cls(truth, codes, groups is not None, known | dict(units or {}), text, _embeddings(images, n))

    def limit(
        self, feature: str, values: pd.Series[float], table: Mapping[str, Acceptable | float | None] | None
    ) -> tuple[str, Acceptable | None]:
        unit = unit_of(feature, np.asarray(values, dtype=np.float64), self.units)
        return unit, acceptable_for(feature, unit, table)


def report_texts(cohort: Cohort) -> list[str]:
    """Return each case's report fields as one text."""
    fields = [cohort.frame[column].fillna("").astype(str).tolist() for column in cohort.report]
    return ["\n".join(part for part in parts if part) for parts in zip(*fields, strict=True)]


def _aligned(values: Any, index: pd.Index[Any], what: str) -> Sequence[Any]:
    """Return values in the order of the truth: a Series by its index, anything else by position."""
    if isinstance(values, pd.Series):
        missing = index.difference(values.index, sort=False)
        if len(missing):
            raise UserError(f"{what} lacks row {missing.tolist()[0]!r} of the truth; index both alike.")
        if values.index.has_duplicates:
            raise UserError(f"{what} has a row twice; index it like the truth.")
        values = values.reindex(index).array
    made = [*values]
    if len(made) != len(index):
        raise UserError(f"{what} has {len(made):,} entries, the truth has {len(index):,} rows.")
    return made


def _group_codes(groups: Any, index: pd.Index[Any]) -> NDArray[np.intp]:
    if isinstance(groups, pd.Series) and groups.index.equals(index):
        values = groups  # as they are: objects of a million numbers are larger than many a table
    else:
        values = pd.Series(_aligned(groups, index, "groups"), dtype=object)
    if values.isna().any():
        raise UserError(
            f"groups: {int(values.isna().sum()):,} rows have no patient; give each of them one of its own."
        )
    return np.asarray(pd.factorize(values)[0], dtype=np.intp)


def _embeddings(images: Any, n: int) -> NDArray[np.float64] | None:
    if images is None:
        return None
    made = np.asarray(images, dtype=np.float64)
    if made.ndim != 2 or len(made) != n or not np.isfinite(made).all():
        raise UserError(
            f"images must be finite numbers of shape ({n}, dimension), one row per row of the truth; "
            f"got the shape {made.shape}."
        )
    return made


def named_tables(filled: Any) -> dict[str, list[pd.DataFrame]]:
    if filled is None:
        return {}
    named = dict(filled) if isinstance(filled, Mapping) else {"filled": filled}
    made: dict[str, list[pd.DataFrame]] = {}
    for name, tables in named.items():
        parts = list(tables) if isinstance(tables, (list, tuple)) else [tables]
        made[str(name)] = [_frame(part, str(name)) for part in parts]
        if not parts:
            raise UserError(f"The filled table {name!r} is an empty list.")
    return made


def _frame(table: Any, name: str) -> pd.DataFrame:
    from dallm.augment.augmented import Augmented

    if isinstance(table, Augmented):
        return _new_columns(table)
    if isinstance(table, pd.Series) and table.name is not None:
        return table.to_frame()
    if not isinstance(table, pd.DataFrame):
        raise UserError(
            f"The filled table {name!r} must be a DataFrame or an Augmented, got {type(table).__name__}."
        )
    return table


def _new_columns(table: Augmented) -> pd.DataFrame:
    return table.frame[list(table.columns_of.values())]


def chosen_features(
    frame: pd.DataFrame, tables: Mapping[str, Sequence[pd.DataFrame]], wanted: Sequence[str] | None
) -> dict[str, Any]:
    """Choose what to compare: as asked, else what tables call filled, else the vitals they share."""
    if wanted is not None:
        return truth_columns(frame, (wanted,) if isinstance(wanted, str) else list(wanted))
    every = truth_columns(frame, None)
    every = {_plain_name(feature): column for feature, column in every.items()}
    if not tables:
        known = [f for f in every if _is_vital(f)]
        return {f: every[f] for f in _ordered(known or every)}
    said: set[str] = set()
    shared: set[str] = set()
    for name, parts in tables.items():
        for part in parts:
            refuse_doubles(part, f"The filled table {name!r}")
            for feature, column in filled_columns(part, every).items():
                (said if stem_of(column)[1] == "filled" else shared).add(feature)
            if not said and not shared:
                shared |= {f for f in every if _is_vital(f)}  # a long table names them in its rows
    vital = {f for f in shared if _is_vital(f)}
    chosen = said | vital if said else vital or shared
    if not chosen:
        raise UserError(
            f"No filled table has a column of the truth. "
            f"The truth has: {', '.join(map(str, every)) or 'none'}."
        )
    return {f: every[f] for f in _ordered(f for f in every if f in chosen)}


def _plain_name(column: str) -> str:
    stem, role = stem_of(column)
    if role != "truth":
        return column
    return next((v for v in VITALS if stem_of(v)[0] == stem), stem)


def _is_vital(feature: str) -> bool:
    vital = known_vital(feature)
    return vital is not None and vital.name not in ("age", "weight", "height")


def _ordered(features: Any) -> list[str]:
    names = list(features)
    paper = {stem_of(name)[0]: place for place, name in enumerate(VITALS)}
    return sorted(names, key=lambda name: paper.get(stem_of(name)[0], len(paper)))


def read_parts(
    parts: Sequence[pd.DataFrame],
    index: pd.Index[Any],
    names: Sequence[str],
    name: str,
    notes: list[str],
) -> dict[str, pd.Series[float]]:
    """Read the tables of one method as one."""
    made: dict[str, pd.Series[float]] = {}
    for part in parts:
        for feature, values in filled_values(part, index, names, name).items():
            if feature in made:
                raise UserError(f"Two tables of {name!r} hold {feature!r}; keep one.")
            made[feature] = values
    lacking = [feature for feature in names if feature not in made]
    if lacking:
        notes.append(f"{name} holds nothing for {', '.join(lacking)}: no figure there, and no mean.")
    empty = [feature for feature, values in made.items() if values.isna().all()]
    if empty:
        notes.append(f"{name} left every value of {', '.join(empty)} unknown.")
    return made
