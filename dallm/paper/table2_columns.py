"""The six vital signs of Table 2 in tables that may spell them otherwise or lack one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from dallm.errors import did_you_mean
from dallm.fidelity.columns import VITALS, filled_columns, stem_of

if TYPE_CHECKING:
    from dallm.fidelity.result import Fidelity


def named_as_published(truth: pd.DataFrame) -> pd.DataFrame:
    """Return measured values whose six vitals are called as in the paper, whatever their case and separators.

    Examples
    --------
    >>> list(named_as_published(pd.DataFrame({"SBP": [120.0], "Heart_Rate": [80.0], "aug_sbp": [1.0]})))
    ['sbp', 'heartrate', 'aug_sbp']
    """
    names = {}
    for vital in VITALS:
        stem = stem_of(vital)[0]
        meant = [c for c in truth.columns if stem_of(c) == (stem, "")]
        if vital not in truth.columns and len(meant) == 1:
            names[meant[0]] = vital
    return truth.rename(columns=names)


def lacking_vitals(truth: pd.DataFrame, filled: Mapping[str, pd.DataFrame], found: Fidelity) -> Iterator[str]:
    """Yield a note for each filled table that has no column for a vital sign of the truth.

    Parameters
    ----------
    truth : DataFrame
        As :func:`named_as_published` returns it.
    filled : mapping of str to DataFrame
    found : Fidelity
        What was measured of them.
    """
    if not set(found.features) & set(VITALS):
        return
    coverage = found.scores[found.scores["measure"] == "coverage"].set_index(["method", "feature"])["n_asked"]
    asked = {key for key, n in coverage.items() if n > 0}
    for name, table in filled.items():
        lacking = [v for v in VITALS if v in truth.columns and (name, v) not in asked]
        if not lacking:
            continue
        used = {*filled_columns(table, VITALS).values(), *VITALS}
        free = [c for c in map(str, table.columns) if c not in used]
        said = ", ".join(f"{vital!r}{_meant(vital, free)}" for vital in lacking)
        left = len(VITALS) - len(lacking)
        yield (
            f"{name} has no filled column for {said}. Its figures are of {left} of the six columns, and no "
            "mean of them is set beside the published mean of six."
        )


def _meant(vital: str, columns: list[str]) -> str:
    hint = did_you_mean(f"aug_{vital}", [c for c in columns if stem_of(c)[1] == "filled" or "_" in c])
    return f" ({hint.strip()[0].lower()}{hint.strip()[1:]})" if hint else ""
