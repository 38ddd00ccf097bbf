"""The clinical table and the role of each of its columns."""

from __future__ import annotations

import functools
import hashlib
import html
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dallm import cohort_checks as checks
from dallm import quality
from dallm.case_ids import read_ids
from dallm.engines.base import Case, CellValue
from dallm.errors import CohortError, DataQualityWarning


class Cohort:
    """A table of cases, checked on creation; every column that the library uses has one role.

    Parameters
    ----------
    frame : DataFrame of shape (n_cases, n_columns)
        One row per case. It is copied, and never changed.
    id : str
        Column of unique ids, whole numbers or text.
    group : str, optional
        Column that says which cases belong together (the patient), for splits.
    report : str or list of str, default=()
        Columns of free text, in the order in which they are read.
    numeric : dict of str to str, optional
        Measured columns, each with its unit; ``"1"`` for a ratio.
    categorical : str or list of str, default=()
        Further predictor columns.
    targets : str or list of str, default=()
        Columns to be predicted: 0, 1, True, False or missing. They are never shown to an engine.
    data_use : {"credentialed", "open"}, default="credentialed"
        Whether the text may leave this machine; ``"credentialed"`` forbids it.
    notes : iterable of str, default=()
        How the table came about, as the readers tell it; kept as a tuple.
    synthetic : bool, default=False
        Whether the cases are made up; it is shown wherever the cohort is.

    Attributes
    ----------
    frame : DataFrame
        All columns as given, with positions 0, 1, ... as index. Treat it as read-only.
    ids : Index of shape (n_cases,)
        Ids as whole numbers or text, named like the id column.
    quality : DataFrame
        One row per column and problem: column, problem, count, rows (first positions), detail.

    Raises
    ------
    CohortError
        If the table or a role cannot be used; the message names the column and the row.

    Warns
    -----
    DataQualityWarning
        If measured values are impossible; they stay in `frame` and are used nowhere else.

    Examples
    --------
    >>> frame = pd.DataFrame({"case": [1, 2], "temp": [98.6, 101.3], "findings": ["No effusion.", None]})
    >>> cohort = Cohort(frame, id="case", report="findings", numeric={"temp": "degF"}, data_use="open")
    >>> next(cohort.cases())
    Case(case_id=1, report={'findings': 'No effusion.'}, row={'temp': 98.6}, units={'temp': 'degF'})
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        id: str,
        group: str | None = None,
        report: str | Sequence[str] = (),
        numeric: Mapping[str, str] | None = None,
        categorical: str | Sequence[str] = (),
        targets: str | Sequence[str] = (),
        data_use: str = "credentialed",
        notes: Iterable[str] = (),
        synthetic: bool = False,
    ) -> None:
        checks.check_frame(frame)
        roles = checks.read_roles(id, group, report, numeric, categorical, targets, data_use)
        checks.check_roles(frame, roles)
        self._fill(frame.copy(), roles)
        self.notes: tuple[str, ...] = tuple(notes)
        self.synthetic: bool = bool(synthetic)
        if len(self.quality):
            found = "; ".join(f"{q.column!r}: {q.detail}" for q in self.quality.itertuples())
            warnings.warn(
                f"Impossible values are not used: {found}. See cohort.quality.",
                DataQualityWarning,
                stacklevel=_level_outside(),
            )

    @classmethod
    def quietly(cls, frame: pd.DataFrame, **roles: Any) -> Cohort:
        """Make a cohort without a second warning of the impossible values of a table already checked."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)
            return cls(frame, **roles)

    def _fill(self, frame: pd.DataFrame, roles: checks.Roles) -> None:
        self.frame: pd.DataFrame = frame.reset_index(drop=True)
        self.frame.columns = pd.Index(frame.columns.tolist())
        self._roles = roles
        for column in self.frame.columns:
            checks.check_text(self.frame[column])
        self.ids: pd.Index[Any] = read_ids(self.frame[roles.id])
        if roles.group is not None:
            checks.check_group(self.frame[roles.group])
        for column in roles.report:
            checks.check_report(self.frame[column])
        for column in roles.categorical:
            checks.check_categorical(self.frame[column])
        for column in roles.targets:
            checks.check_target(self.frame[column])
        numbers = {column: checks.read_numbers(self.frame[column]) for column in roles.numeric}
        self.quality, bad = quality.inspect(numbers, roles.numeric)
        self._numbers = {column: np.where(bad[column], np.nan, v) for column, v in numbers.items()}

    @property
    def id(self) -> str:
        """Name of the id column."""
        return self._roles.id

    @property
    def group(self) -> str | None:
        """Name of the group column, or None."""
        return self._roles.group

    @property
    def report(self) -> tuple[str, ...]:
        """Names of the report columns."""
        return self._roles.report

    @property
    def numeric(self) -> dict[str, str]:
        """Numeric column to its unit."""
        return dict(self._roles.numeric)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical columns."""
        return self._roles.categorical

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the target columns."""
        return self._roles.targets

    @property
    def data_use(self) -> str:
        """``"open"`` or ``"credentialed"``."""
        return self._roles.data_use

    def __len__(self) -> int:
        return len(self.frame)

    def cases(self) -> Iterator[Case]:
        """Yield what an engine may see of each case, in row order.

        No target, no group and no column without a role is in it. Missing values, impossible values and
        reports that are empty or only white space are left out; report text is passed exactly as given.
        """
        texts = [checks.objects(self.frame[c]) for c in self.report]
        row_columns = [*self._roles.numeric, *self.categorical]
        rows = [_without_nan(self._numbers[c]) for c in self._roles.numeric]
        rows += [_plain(self.frame[c]) for c in self.categorical]
        units = self.numeric
        size = len(self)
        report_rows = zip(*texts, strict=True) if texts else iter([()] * size)
        value_rows = zip(*rows, strict=True) if rows else iter([()] * size)
        fields = self.report
        for case_id, report, row in zip(self.ids.tolist(), report_rows, value_rows, strict=True):
            yield Case(
                case_id,
                {f: t for f, t in zip(fields, report, strict=True) if t and not t.isspace()},
                {c: v for c, v in zip(row_columns, row, strict=True) if v is not None},
                units,
            )

    def measured(self) -> pd.DataFrame:
        """Return the predictor columns, indexed by id: numeric as ``Float64``, categorical as ``category``.

        Missing and impossible values are ``<NA>``.

        Returns
        -------
        DataFrame of shape (n_cases, n_numeric + n_categorical)
        """
        columns: dict[str, Any] = {}
        for column in self._roles.numeric:
            columns[column] = pd.array(self._numbers[column], dtype="Float64")
        for column in self.categorical:
            columns[column] = self.frame[column].astype("category").array
        return pd.DataFrame(columns, index=self.ids)

    @functools.cached_property
    def sha256(self) -> str:
        """Digest of what an engine may see (ids, reports, predictors) and of its columns' names and units."""
        seen = {c: self.frame[c].astype("str") for c in (*self.report, *self.categorical)}
        table = pd.DataFrame({**seen, **self._numbers}, index=range(len(self)))
        digest = hashlib.sha256(repr((self.id, self.report, self.numeric, self.categorical)).encode())
        digest.update(pd.util.hash_pandas_object(self.ids.astype("str"), index=False).to_numpy().tobytes())
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        return digest.hexdigest()

    def take(self, positions: Sequence[int] | np.ndarray[Any, Any] | pd.Series[Any]) -> Cohort:
        """Return a cohort of the rows at these positions (or where a boolean mask is True), roles kept.

        Raises
        ------
        CohortError
            If a position is outside the table, comes twice, or none is given.
        """
        wanted = np.asarray(positions)
        if wanted.dtype == bool:
            if len(wanted) != len(self):
                raise CohortError(f"The mask has {len(wanted)} entries, the cohort {len(self)} rows.")
            wanted = np.flatnonzero(wanted)
        if not wanted.size:
            raise CohortError("take() was given no position; a cohort needs at least one case.")
        if not np.issubdtype(wanted.dtype, np.integer):
            raise CohortError(f"take() needs whole-number positions or a boolean mask, got {wanted.dtype}.")
        if wanted.min() < -len(self) or wanted.max() >= len(self):
            raise CohortError(f"take() was given a position outside 0 to {len(self) - 1}.")
        part = object.__new__(type(self))
        part._fill(self.frame.take(wanted), self._roles)
        part.notes = self.notes
        part.synthetic = self.synthetic
        return part

    def __repr__(self) -> str:
        lines = [f"  {role:<12}{text}" for role, text in self._described()]
        return "\n".join([self._headline(), *lines])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(role)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for role, text in self._described()
        )
        return f"<p>{html.escape(self._headline())}</p><table>{cells}</table>"

    def _headline(self) -> str:
        kind = "Synthetic cohort" if self.synthetic else "Cohort"
        return f"{kind} of {len(self):,} case{'' if len(self) == 1 else 's'}"

    def _described(self) -> list[tuple[str, str]]:
        said = [("id", self.id)]
        if self.group is not None:
            said.append(("group", f"{self.group} ({self.frame[self.group].nunique():,} distinct)"))
        roles = self._roles
        numeric = [f"{column} [{unit}]" for column, unit in roles.numeric.items()]
        for role, columns in (
            ("report", roles.report),
            ("numeric", numeric),
            ("categorical", roles.categorical),
            ("targets", roles.targets),
        ):
            if columns:
                more = f", ... ({len(columns)} in all)" if len(columns) > 12 else ""
                said.append((role, ", ".join(columns[:12]) + more))
        said.append(("data_use", roles.data_use))
        if len(self.quality):
            total = int(self.quality["count"].sum())
            said.append(("quality", f"{total:,} impossible values not used; see cohort.quality"))
        return said


def _level_outside() -> int:
    """Return the `stacklevel` of the user's own line, past the reader that makes the cohort."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "dallm":
        level, frame = level + 1, frame.f_back
    return level


def _without_nan(values: quality.Floats) -> list[CellValue]:
    items: list[CellValue] = values.tolist()
    for position in np.flatnonzero(np.isnan(values)).tolist():
        items[position] = None
    return items


def _plain(values: pd.Series[Any]) -> list[CellValue]:
    """Return a column's values as Python's own types, None where missing."""
    return [v.item() if isinstance(v, np.generic) else v for v in checks.objects(values)]
