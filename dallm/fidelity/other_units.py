"""Whether filled values look like another unit than the measured ones: said, and never converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.errors import CohortError
from dallm.vitals import known_vital

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_SHARE = 0.05  # of the filled values; fewer are single mistakes, or wild guesses
_PER_CENT = 100.0


def other_units(
    name: str, measured: pd.DataFrame, columns: Mapping[str, pd.Series[float]], units: Mapping[str, str]
) -> Iterator[str]:
    """Yield a note for each column whose filled values look like another unit.

    Of a known measurement those count that cannot be in the unit of the truth and can be in another one; of
    any other column it is looked whether all values are fractions where the truth is a percentage, or the
    other way round.

    Parameters
    ----------
    name : str
        Of the method.
    measured : DataFrame of shape (rows, features)
    columns : mapping of str to Series
        Feature to what was filled.
    units : mapping of str to str
        Feature to the unit of the truth.

    Examples
    --------
    >>> import pandas as pd
    >>> truth, filled = pd.DataFrame({"temp": [98.1, 99.0]}), {"temp": pd.Series([36.7, 37.1])}
    >>> next(other_units("mine", truth, filled, {"temp": "degF"})).partition(";")[0]
    'mine: 2 of 2 filled values of temp look like degC, where the measured ones are in degF'
    """
    for feature, filled in columns.items():
        values = filled.to_numpy(dtype=np.float64, na_value=np.nan)
        values = values[~np.isnan(values)]
        found = _known(feature, values, units.get(feature, ""))
        if found is None and known_vital(feature) is None:
            found = _hundredfold(measured[feature].to_numpy(dtype=np.float64), values)
        if found is not None:
            n, like, own = found
            yield (
                f"{name}: {n:,} of {len(values):,} filled values of {feature} look like {like}, where the "
                f"measured ones are in {own}; they are compared as they stand. Convert them first if that is "
                "what they are."
            )


def _known(feature: str, values: NDArray[np.floating[Any]], unit: str) -> tuple[int, str, str] | None:
    vital = known_vital(feature)
    if vital is None or not unit or not len(values):
        return None
    try:
        own = vital.unit_of(unit).name
    except CohortError:  # a unit of the user's, of which nothing is known
        return None
    low, high = vital.possible(own)
    strange = values[(values < low) | (values > high)]
    for other in vital.units:
        low, high = vital.possible(other.name)
        n = int(((strange >= low) & (strange <= high)).sum())
        if other.name != own and n and n >= _SHARE * len(values):
            return n, other.name, own
    return None


def _hundredfold(
    truth: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]
) -> tuple[int, str, str] | None:
    truth = truth[~np.isnan(truth)]
    if not len(truth) or not len(values) or min(truth.min(), values.min()) < 0:
        return None
    if values.max() <= 1 < np.median(truth) and truth.max() <= _PER_CENT and len(set(values)) > 2:
        return len(values), "fractions", "per cent"
    if truth.max() <= 1 < np.median(values) and values.max() <= _PER_CENT and len(set(truth)) > 2:
        return len(values), "per cent", "fractions"
    return None
