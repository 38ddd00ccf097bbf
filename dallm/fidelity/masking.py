"""Experiment I for an engine: one vital at a time is taken out of the row, and the engine is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.fidelity.columns import VITALS

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.engines.base import Engine

Announce = Callable[[str], None]


def masked_vitals(cohort: Cohort, columns: Sequence[str] | None = None) -> list[str]:
    """Return the columns to mask: as named, else the six vitals of the paper, else all measured numbers.

    Raises
    ------
    UserError
        If the cohort has none.
    """
    if columns is not None:
        return list(columns)
    found = [name for name in VITALS if name in cohort.numeric] or [n for n in cohort.numeric if n != "age"]
    if not found:
        raise UserError("The cohort has no numeric column; declare the vitals with their units.")
    return found


def fill_one_by_one(
    cohort: Cohort,
    columns: Sequence[str] | None = None,
    engine: Engine | None = None,
    *,
    within_observed: bool = False,
    tries: int = 3,
    progress: Announce | None = None,
) -> pd.DataFrame:
    """Ask an engine for every vital of every case, each with itself hidden and the others shown.

    Parameters
    ----------
    cohort : Cohort
    columns : sequence of str, optional
        By default the six vitals of the paper.
    engine : Engine, optional
        By default the extractive engine, which reads what the report states.
    within_observed : bool, default=False
        Reject a value outside the observed range of its column and ask again, as published; what is still
        outside after `tries` stays unknown. An engine that answers from a cache says the same again.
    tries : int, default=3
        How often a case is asked at most, the first time included.
    progress : callable, optional
        Is told in a line what begins.

    Returns
    -------
    DataFrame of shape (n_cases, n_columns)
        Columns ``<name>__filled``, missing where the engine gave no value.

    Examples
    --------
    >>> import pandas as pd, dallm
    >>> frame = pd.DataFrame({"case": [1, 2], "o2sat": [93.0, 97.0], "text": ["Sats 92 % on RA.", "Well."]})
    >>> cohort = dallm.Cohort(frame, id="case", report="text", numeric={"o2sat": "%"}, data_use="open")
    >>> fill_one_by_one(cohort)["o2sat__filled"].tolist()
    [92.0, <NA>]
    """
    from dallm.augment.existing import fill_existing

    if tries < 1:
        raise UserError(f"tries must be 1 or more, got {tries}.")
    measured = cohort.measured()
    made: dict[str, pd.Series[float]] = {}
    for name in masked_vitals(cohort, columns):
        if progress is not None:
            progress(f"{name}, masked")
        new = f"{name}__filled"
        values = fill_existing(cohort, [name], "masked", engine).frame[new].astype("Float64")
        if within_observed:
            low, high = float(measured[name].min()), float(measured[name].max())
            for _ in range(tries - 1):
                outside = np.flatnonzero(~_fits(values, low, high))
                if len(outside) == 0:
                    break
                again = fill_existing(cohort.take(outside.tolist()), [name], "masked", engine).frame[new]
                values.loc[again.index] = again.astype("Float64")
            values = values.where(_fits(values, low, high))
        made[new] = values
    return pd.DataFrame(made)


def _fits(values: pd.Series[float], low: float, high: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return where a value is inside the range, or missing: no value is an answer, too."""
    inside = values.isna() | values.between(low, high).fillna(False)
    return inside.to_numpy(dtype=bool)
