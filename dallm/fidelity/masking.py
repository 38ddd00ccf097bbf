"""Experiment I for an engine: one vital at a time is taken out of the row, and the engine is asked for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.fidelity.columns import VITALS
from dallm.fidelity.estimates import say_what_it_gives, watched

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort
    from dallm.engines.base import Engine

Announce = Callable[[str], None]
_IMPOSSIBLE = "outside what is possible"  # said of a value that was brought into the column's unit


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

    Experiment I measures what a model estimates. A language model does so only where it was made with
    ``infer=True``; otherwise it gives what the reports state and nothing else, which a warning says before
    the first call. A warning also says so where the first cases of an engine all come back unknown.

    Parameters
    ----------
    cohort : Cohort
    columns : sequence of str, optional
        By default the six vitals of the paper.
    engine : Engine, optional
        By default the extractive engine, which reads what the report states.
    within_observed : bool, default=False
        Reject a value outside the observed range of its column, or outside what is possible, and ask again,
        as published; what is still outside after `tries` stays unknown. Every further time is a new call: the
        cache keeps it beside the first, so that the same run again costs nothing. A model at temperature 0
        mostly says the same again.
    tries : int, default=3
        How often a case is asked at most, the first time included.
    progress : callable, optional
        Is told in a line what begins.

    Returns
    -------
    DataFrame of shape (n_cases, n_columns)
        Columns ``<name>__filled``, missing where the engine gave no value.

    Raises
    ------
    UserError
        If there is nothing to fill, or the engine could only give what reports state and there are none.

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
    names = masked_vitals(cohort, columns)
    say_what_it_gives(engine, cohort, len(names))
    seen = watched(engine)
    made: dict[str, pd.Series[float]] = {}
    for name in names:
        if progress is not None:
            progress(f"{name}, masked")
        new = f"{name}__filled"
        filled = fill_existing(cohort, [name], "masked", seen)
        values = filled.frame[new].astype("Float64")
        if within_observed:
            low, high = float(measured[name].min()), float(measured[name].max())
            rejected = ~_fits(values, low, high) | _impossible(filled)
            for number in range(2, tries + 1):
                outside = np.flatnonzero(rejected)
                if len(outside) == 0:
                    break
                if progress is not None:
                    progress(f"{name}, {len(outside):,} outside the observed range asked again")
                asked = _anew(engine, number)
                try:
                    again = fill_existing(cohort.take(outside.tolist()), [name], "masked", asked)
                finally:
                    if asked is not engine:
                        asked.cache.close()  # it was opened for this time alone
                answers = again.frame[new].astype("Float64")
                values.loc[answers.index] = answers
                rejected[outside] = ~_fits(answers, low, high) | _impossible(again)
            values = values.where(_fits(values, low, high))
        made[new] = values
    return pd.DataFrame(made)


def _anew(engine: Any, number: int) -> Any:
    """Return the engine with a cache of its own for the second, third ... time a question is put."""
    cache = getattr(engine, "cache", None)
    if engine is None or cache is None or not hasattr(cache, "folder"):
        return engine
    made = copy.copy(engine)
    made.cache = type(cache)(cache.folder / f"time-{number}", cache_text=cache.cache_text)
    return made


def _impossible(filled: Augmented) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return where a value came back that no living person shows: it is an answer outside the range, too."""
    from dallm.augment.verification.kinds import kind_of

    cells = filled.cells[["status", "reason"]].itertuples(index=False)
    refused = [
        status == "failed" and (kind_of(str(why)) == "range" or _IMPOSSIBLE in str(why))
        for status, why in cells
    ]
    return np.array(refused, dtype=bool)


def _fits(values: pd.Series[float], low: float, high: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return where a value is inside the range, or missing: no value is an answer, too."""
    inside = values.isna() | values.between(low, high).fillna(False)
    return inside.to_numpy(dtype=bool)
