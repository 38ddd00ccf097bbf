"""A random part of the patients, large enough to say how figures of very many cases vary.

The spread of a mean over patients, and of what follows from such means, falls with the square root of their
number. Beyond a hundred thousand cases two thousand resamples of all of them would take an hour and several
times the memory of the table; a part of the patients gives the spread, and the root of its share brings it to
that of all (the m out of n bootstrap: Bickel, Goetze and van Zwet, Statistica Sinica 1997, 7:1-31).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MOST_CASES = 100_000
"""Up to so many cases all are resampled."""

_FEWEST = 200
"""So many cases of each class a target keeps in the part, where it has them."""


class Part(NamedTuple):
    """Predictions for the cases of some patients.

    Attributes
    ----------
    predictions : DataFrame
        Their `row` counts the cases of the part.
    patients : array of int, shape (cases of the part,)
        From 0.
    others : int
        As many patients without a prediction belong to the part.
    narrower : float
        What the spread among resamples of the part is multiplied with to be that of all patients.
    """

    predictions: pd.DataFrame
    patients: NDArray[np.intp]
    others: int
    narrower: float


def part_of(predictions: pd.DataFrame, patients: NDArray[np.intp], seed: int) -> Part:
    """Return the predictions for a random part of the patients; for all that have some, where these are few.

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`.
    patients : array of int, shape (n_cases,)
        From 0.
    seed : int

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"target": "edema", "row": [0, 2, 3], "truth": [True, False, True]})
    >>> part = part_of(frame, np.array([0, 1, 2, 2, 3]), seed=0)
    >>> part.patients.tolist(), part.predictions["row"].tolist(), part.others, part.narrower
    ([0, 1, 1], [0, 1, 2], 2, 1.0)
    """
    rows = predictions["row"].to_numpy()
    count = int(patients.max()) + 1
    share = _share(predictions, rows, len(patients))
    with_case = np.zeros(count, dtype=bool)
    with_case[patients[rows]] = True
    there = np.flatnonzero(with_case)
    size = min(len(there), max(2, round(share * len(there))))
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng([seed, 1]).choice(there, size, replace=False)] = True
    held = np.zeros(len(patients), dtype=bool)
    held[rows] = True
    held &= chosen[patients]
    place = np.cumsum(held, dtype=np.int32) - 1
    few = predictions[held[rows]]
    few = few.assign(row=place[few["row"].to_numpy()])
    codes = np.unique(patients[held], return_inverse=True)[1].reshape(-1)
    others = round((count - len(there)) * size / len(there))
    return Part(few, np.asarray(codes, dtype=np.intp), others, float(np.sqrt(size / len(there))))


def _share(predictions: pd.DataFrame, rows: NDArray[np.integer], cases: int) -> float:
    """Return the share of the patients that is enough for all targets and both classes."""
    seen = np.zeros(cases, dtype=bool)
    seen[rows] = True
    share = MOST_CASES / int(seen.sum())
    truth = predictions["truth"].to_numpy(dtype=bool)
    for target in predictions["target"].unique():
        of_target = (predictions["target"] == target).to_numpy(dtype=bool)
        for side in (True, False):
            seen[:] = False
            seen[rows[of_target & (truth == side)]] = True
            cases_of_side = int(seen.sum())
            if cases_of_side:
                share = max(share, min(1.0, _FEWEST / cases_of_side))
    return min(1.0, share)


def narrowed(values: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return resampled values with their distances from their mean multiplied."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1, keepdims=True)
    sums = np.where(known, values, 0.0).sum(axis=-1, keepdims=True)
    mean = np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)
    return np.asarray(mean + (values - mean) * factor)


def aligned(rows: pd.DataFrame, drawn: pd.DataFrame, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of the drawn rows in the order of all rows; NaN for a row that was not drawn."""
    place = {tuple(key): i for i, key in enumerate(drawn.to_numpy().tolist())}
    made = np.full((len(rows), *values.shape[1:]), np.nan)
    for i, key in enumerate(rows.to_numpy().tolist()):
        if tuple(key) in place:
            made[i] = values[place[tuple(key)]]
    return made
