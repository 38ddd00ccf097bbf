"""Whom a gain is for: the cases in subgroups, and every metric and gain in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.fits import METRICS
from dallm.evaluation.on_cases import RESAMPLES, VALUES, on_cases
from dallm.lexicon import Lexicon

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.evaluation.fits import Inputs

AGE_BANDS = (18, 40, 65, 80)
"""Years at which the next age band begins: under 18, 18-39, 40-64, 65-79, 80 and over."""

UNKNOWN = "unknown"
"""Level of the cases of which a subgroup says nothing."""

FEW = 20
"""A subgroup with fewer patients, or fewer cases of either class, is marked as small."""

SUBGROUPS = ("subgroup", "level", *VALUES, "cases", "positives", "patients", "small")
"""Columns of :func:`subgroup_scores`."""

_MOST_LEVELS = 12
_QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


def strata(
    inputs: Inputs,
    cohort: Cohort | None = None,
    subgroups: Sequence[str] | Mapping[str, pd.Series[Any]] | None = None,
) -> pd.DataFrame | None:
    """Return the level of each case in each subgroup.

    Parameters
    ----------
    inputs : Inputs
    cohort : Cohort, optional
        Its columns may be named beside those of the feature sets.
    subgroups : sequence of str, or mapping of str to Series, optional
        Names of columns. ``age_band`` is made from the column of the age (:data:`AGE_BANDS`) where no column
        has that name. Numbers of more than twelve values are cut into quarters.

    Returns
    -------
    DataFrame or None
        Texts on the index of the inputs, ``unknown`` where the value is missing; None without subgroups.

    Raises
    ------
    UserError
        If no table has the column, or it has too many values to be a subgroup.

    Examples
    --------
    >>> from dallm.evaluation.inputs import check_inputs
    >>> table = pd.DataFrame({"age": [17, 40, None, 91]})
    >>> inputs = check_inputs({"all": table}, pd.Series([1, 0, 1, 0], name="edema"), [1, 2, 3, 4])
    >>> strata(inputs, None, ["age_band"])["age_band"].tolist()
    ['under 18', '40-64', 'unknown', '80 and over']
    """
    if not subgroups:
        return None
    if isinstance(subgroups, str):
        raise UserError(f"subgroups= takes a list of names; write [{subgroups!r}].")
    found: dict[str, Any] = {}
    for name in subgroups:
        if isinstance(subgroups, Mapping):
            values = pd.Series(subgroups[name])
        else:
            values = _looked_up(name, inputs, cohort)
        if not inputs.targets.index.isin(values.index).all():
            raise UserError(
                f"Subgroup {name!r}: its column lacks cases of the feature sets; both need the same index."
            )
        values = values.loc[inputs.targets.index]
        by_age = name == "age_band" and pd.api.types.is_numeric_dtype(values.dtype)
        found[name] = age_bands(values) if by_age else _levels(name, values)
    return pd.DataFrame(found, index=inputs.targets.index)


def age_bands(years: pd.Series[Any]) -> pd.Series[Any]:
    """Return the band of each age.

    Examples
    --------
    >>> age_bands(pd.Series([18, 39.5, 65])).tolist()
    ['18-39', '18-39', '65-79']
    """
    numbers = years.to_numpy(dtype=np.float64, na_value=np.nan)
    between = [f"{low}-{high - 1}" for low, high in pairwise(AGE_BANDS)]
    names = np.array([f"under {AGE_BANDS[0]}", *between, f"{AGE_BANDS[-1]} and over", UNKNOWN], dtype=object)
    place = np.searchsorted(AGE_BANDS, numbers, side="right")
    return pd.Series(names[np.where(np.isnan(numbers), len(names) - 1, place)], index=years.index)


def subgroup_scores(
    predictions: pd.DataFrame,
    strata: pd.DataFrame,
    groups: pd.Series[Any] | None,
    baseline: str | None,
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return every metric, and the gain over the baseline, in each subgroup.

    The predictions are those of the models fitted to all training cases; :func:`.on_cases.on_cases` says how
    figures and intervals come about. The intervals are not adjusted for the number of subgroups: what stands
    out in one of many may be chance.

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`.
    strata : DataFrame
        As :func:`strata` returns it.
    groups : Series or None
    baseline : str or None
    metrics, resamples, seed
        As in :func:`.on_cases.on_cases`.

    Returns
    -------
    DataFrame
        Columns :data:`SUBGROUPS`. `cases`, `positives` and `patients` are of the target (over all targets:
        decisions); `small` marks rows on fewer than :data:`FEW` patients or cases of either class, where an
        interval may be too narrow.
    """
    tables = []
    rows = predictions["row"].to_numpy(dtype=np.intp)
    patients = np.arange(len(strata)) if groups is None else np.asarray(pd.factorize(groups)[0])
    for name in strata.columns:
        for level in _in_order(strata[name]):
            chosen = (strata[name] == level).to_numpy(dtype=bool)
            if not chosen[rows].any():
                continue
            found = on_cases(
                predictions, chosen, groups, baseline, metrics=metrics, resamples=resamples, seed=seed
            )
            once = predictions[chosen[rows]].drop_duplicates(["target", "row"])
            sizes = _sizes(once, patients)
            found = found.merge(sizes, on="target", how="left")
            found.insert(0, "subgroup", name)
            found.insert(1, "level", level)
            tables.append(found)
    if not tables:
        return pd.DataFrame(columns=list(SUBGROUPS))
    return pd.concat(tables, ignore_index=True)[list(SUBGROUPS)]


def _sizes(once: pd.DataFrame, patients: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Return how many cases, positives and patients each row of a subgroup rests on."""
    from dallm.evaluation.scores import MACRO, POOLED

    told = [(str(target), part) for target, part in once.groupby("target", sort=False, observed=True)]
    told += [(MACRO, once), (POOLED, once)]
    records = []
    for target, part in told:
        yes = int(part["truth"].sum())
        distinct = len(np.unique(patients[part["row"].to_numpy(dtype=np.intp)]))
        records.append((target, len(part), yes, distinct, min(distinct, yes, len(part) - yes) < FEW))
    return pd.DataFrame(records, columns=["target", "cases", "positives", "patients", "small"])


def _looked_up(name: str, inputs: Inputs, cohort: Cohort | None) -> pd.Series[Any]:
    tables = [] if cohort is None else [cohort.frame.set_axis(cohort.ids, axis=0)]
    tables += list(inputs.sets.values())
    for table in tables:
        if name in table.columns:
            return table[name]
    known = [str(column) for table in tables for column in table.columns]
    if name == "age_band":
        age = Lexicon.default().find("age")
        for table in tables:
            for column in table.columns:
                numeric = pd.api.types.is_numeric_dtype(table[column].dtype)
                if numeric and age is not None and Lexicon.default().find(str(column)) is age:
                    return table[column]
        raise UserError(
            "Subgroup 'age_band' needs a column of ages in years, called 'age', in the cohort or a feature "
            "set; or give subgroups={'age_band': series}."
        )
    raise UserError(
        f"Subgroup {name!r}: neither the cohort nor a feature set has this column.{did_you_mean(name, known)}"
    )


def _levels(name: str, values: pd.Series[Any]) -> pd.Series[Any]:
    known = values.notna().to_numpy(dtype=bool)
    distinct = values[known].nunique()
    texts = np.full(len(values), UNKNOWN, dtype=object)
    numeric = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if distinct > _MOST_LEVELS and numeric:
        numbers = values[known].to_numpy(dtype=np.float64)
        place = np.searchsorted(np.quantile(numbers, [0.25, 0.5, 0.75]), numbers, side="left")
        texts[known] = np.array(_QUARTERS, dtype=object)[place]
    elif distinct > _MOST_LEVELS:
        raise UserError(
            f"Subgroup {name!r} has {distinct:,} values; a subgroup has at most {_MOST_LEVELS}. Group its "
            "values first."
        )
    else:
        texts[known] = [_plain(value) for value in values[known]]
    return pd.Series(texts, index=values.index)


def _plain(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _in_order(levels: pd.Series[Any]) -> list[str]:
    """The levels as they are read: bands by age, quarters by size, others by name; the unknown last."""
    bands = age_bands(pd.Series([0.0, *map(float, AGE_BANDS)])).tolist()
    known = list(dict.fromkeys(levels))
    for order in (bands, list(_QUARTERS)):
        if set(known) <= {*order, UNKNOWN}:
            return [level for level in (*order, UNKNOWN) if level in known]
    return sorted(known, key=lambda level: (level == UNKNOWN, level))
