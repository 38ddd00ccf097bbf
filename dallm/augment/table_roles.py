"""A table of a scikit-learn pipeline as a cohort: which column is what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dallm.cohort import Cohort
from dallm.errors import CohortError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class TableRoles:
    """The role of each column, as :class:`dallm.Cohort` takes them.

    Targets get no role, so that no engine sees them, whatever they hold.
    """

    id: str | None
    group: str | None
    report: str | Sequence[str]
    numeric: Mapping[str, str] | None
    categorical: str | Sequence[str]
    data_use: str

    def cohort(self, table: pd.DataFrame, *, by_id: bool = False) -> Cohort:
        """Give the table's columns their roles.

        Cases go by position unless `by_id` is set: the output of a transformer does not name them, and a
        table of a resampling may hold a case twice.

        Raises
        ------
        CohortError
            If a column is not there or cannot be used.
        """
        key = self.id
        if key is not None and key not in table.columns:
            raise CohortError(f"id: the table has no column {key!r}.{did_you_mean(key, table.columns)}")
        if not by_id or key is None:
            usable = by_id and table.index.is_unique and table.index.nlevels == 1 and not table.index.hasnans
            ids: Any = table.index.to_numpy() if usable else np.arange(len(table))
            if key is None:
                named = table.index.name if usable else None
                key = named if isinstance(named, str) and named not in table.columns else _free_name(table)
            table = table.assign(**{key: ids})
        return Cohort(
            table,
            id=key,
            group=self.group,
            report=self.report,
            numeric=self.numeric,
            categorical=self.categorical,
            data_use=self.data_use,
        )


def with_targets(cohort: Cohort, targets: Sequence[str]) -> Cohort:
    """Name the targets, without their values: discovery reads names only."""
    empty = {target: pd.array([pd.NA] * len(cohort), dtype="boolean") for target in targets}
    return Cohort(
        cohort.frame.assign(**empty),
        id=cohort.id,
        group=cohort.group,
        report=cohort.report,
        numeric=cohort.numeric,
        categorical=cohort.categorical,
        targets=list(targets),
        data_use=cohort.data_use,
    )


def _free_name(table: pd.DataFrame) -> str:
    name = "case"
    while name in table.columns:
        name += "_"
    return name
