"""What a value can be filled with without a language model: constants, chance, the other vitals, the text.

``gaussian`` and ``mean`` are as published: made from the whole table, the measured value included. All others
are fitted on the patients of the other folds, and each vital is taken out of the rows that it is filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.fidelity.mmtf import MMTFSettings

Floats = NDArray[np.float64]
_DONORS = 5_000  # neighbours are looked for among so many rows at most: distances are counted to all
_NEIGHBOURS = 10
_QUICK_UP_TO = 20_000  # rows
_ROUNDS = 10


class NotRunError(UserError):
    """A baseline cannot be made from these data; the message says why."""


@dataclass(frozen=True)
class FillTask:
    """What a baseline may see.

    Attributes
    ----------
    truth : DataFrame of shape (rows, features)
        Floats; NaN where nothing was measured.
    groups : array of int, shape (rows,)
        Patient of each row, counted from 0.
    text : sequence of str, optional
        Report of each row.
    images : array of shape (rows, dimension), optional
        Embeddings.
    folds : int
    seed : int
    device : str
    mmtf : MMTFSettings, optional
    """

    truth: pd.DataFrame
    groups: NDArray[np.intp]
    text: Sequence[str] | None = None
    images: Floats | None = None
    folds: int = 5
    seed: int = 0
    device: str = "cpu"
    mmtf: MMTFSettings | None = None

    def splits(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield positions to train on and to fill; no patient stands on both sides.

        Raises
        ------
        NotRunError
            If there are fewer than two patients.
        """
        n_groups = int(self.groups.max()) + 1 if len(self.groups) else 0
        if n_groups < 2:
            raise NotRunError("folds need two patients at least")
        folds = min(self.folds, n_groups)
        sizes = np.bincount(self.groups, minlength=n_groups)
        order = np.random.default_rng(self.seed).permutation(n_groups)
        order = order[np.argsort(-sizes[order], kind="stable")]  # large patients first, for even folds
        fold_of = np.empty(n_groups, dtype=np.intp)
        load = np.zeros(folds, dtype=np.int64)
        for group in order:
            fold_of[group] = int(np.argmin(load))
            load[fold_of[group]] += sizes[group]
        for fold in range(folds):
            held = fold_of[self.groups] == fold
            yield np.flatnonzero(~held), np.flatnonzero(held)


def _gaussian(task: FillTask) -> Floats:
    """Draw from a normal distribution with the mean and the spread of the whole column."""
    values = task.truth.to_numpy()
    # a stream of its own: data simulated from the same seed would otherwise be drawn again, value by value
    rng = np.random.default_rng([task.seed, 2])
    drawn: Floats = rng.standard_normal(values.shape)
    drawn *= [np.nanstd(values[:, column]) for column in range(values.shape[1])]
    drawn += [np.nanmean(values[:, column]) for column in range(values.shape[1])]
    return drawn


def _mean(task: FillTask) -> Floats:
    values = task.truth.to_numpy()
    constant = np.array([np.nanmean(values[:, column]) for column in range(values.shape[1])])
    return np.broadcast_to(constant, values.shape)


def _in_folds(task: FillTask, fill: Callable[[Floats, Floats, int], Floats]) -> Floats:
    """Fill each column of each fold by `fill(train, masked, column)`, which returns one value per row."""
    values = task.truth.to_numpy()
    made = np.full(values.shape, np.nan)
    for train, test in task.splits():
        seen = values[train]
        known = ~np.isnan(seen).all(axis=0)
        for column in np.flatnonzero(known):
            masked = values[test].copy()
            masked[:, column] = np.nan
            made[test, column] = fill(seen, masked, int(column))
    return made


def _mean_in_fold(task: FillTask) -> Floats:
    return _in_folds(task, lambda train, masked, j: np.full(len(masked), np.nanmean(train[:, j])))


def _median(task: FillTask) -> Floats:
    return _in_folds(task, lambda train, masked, j: np.full(len(masked), np.nanmedian(train[:, j])))


def _scaled(train: Floats) -> tuple[Floats, Floats]:
    spread = np.nanstd(train, axis=0)
    return np.nanmean(train, axis=0), np.where(spread > 0, spread, 1.0)


def _from_others(task: FillTask, make: Callable[[], Any]) -> Floats:
    """Fill each vital from the others, by an imputer that is fitted once per fold."""
    if task.truth.shape[1] < 2:
        raise NotRunError("there is no other vital to fill from")
    values = task.truth.to_numpy()
    made = np.full(values.shape, np.nan)
    rng = np.random.default_rng(task.seed)
    for train, test in task.splits():
        if len(train) > _DONORS:
            train = np.sort(rng.choice(train, _DONORS, replace=False))
        seen = values[train]
        known = np.flatnonzero(~np.isnan(seen).all(axis=0))
        centre, spread = _scaled(seen[:, known])
        imputer = make().fit((seen[:, known] - centre) / spread)
        for place, column in enumerate(known):
            masked = (values[test][:, known] - centre) / spread
            masked[:, place] = np.nan
            made[test, column] = imputer.transform(masked)[:, place] * spread[place] + centre[place]
    return made


def _knn(task: FillTask) -> Floats:
    from sklearn.impute import KNNImputer

    return _from_others(task, lambda: KNNImputer(n_neighbors=_NEIGHBOURS, weights="distance"))


def _iterative(task: FillTask) -> Floats:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the import below work
    from sklearn.impute import IterativeImputer

    with warnings.catch_warnings():  # where few values are missing the rounds end without having moved
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _from_others(task, lambda: IterativeImputer(max_iter=_ROUNDS, random_state=task.seed))


def _ridge_text(task: FillTask) -> Floats:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import RidgeCV

    if task.text is None or not any(one.strip() for one in task.text):
        raise NotRunError("there are no reports; pass text=, or a cohort")
    values = task.truth.to_numpy()
    made = np.full(values.shape, np.nan)
    for train, test in task.splits():
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=20_000)
        try:
            seen = words.fit_transform([task.text[i] for i in train])
        except ValueError as error:  # no word stands in two reports
            raise NotRunError("the reports share no words") from error
        new = words.transform([task.text[i] for i in test])
        for column in range(values.shape[1]):
            known = np.flatnonzero(~np.isnan(values[train, column]))
            if len(known) >= 2:
                y = values[train[known], column]
                model = RidgeCV(alphas=np.logspace(-1, 3, 9)).fit(seen[known], y)
                made[test, column] = model.predict(new)
    return made


def _mmtf(task: FillTask) -> Floats:
    from dallm.fidelity.mmtf import fill_by_mmtf

    return fill_by_mmtf(task)


BASELINES: dict[str, Callable[[FillTask], Floats]] = {
    "gaussian": _gaussian,
    "mean": _mean,
    "mean_in_fold": _mean_in_fold,
    "median": _median,
    "knn": _knn,
    "iterative": _iterative,
    "ridge_text": _ridge_text,
    "mmtf": _mmtf,
}
"""Baselines by name: task to an array of shape (rows, features)."""

QUICK = ("gaussian", "mean", "mean_in_fold", "median", "knn", "iterative")
"""Those that take seconds and need nothing beside the table."""


def chosen_baselines(wanted: str | Sequence[str], *, has_text: bool, n_rows: int = 0) -> tuple[str, ...]:
    """Return the names of the baselines that were asked for.

    ``"auto"``: the quick ones, and ridge regression where there are reports; beyond 20,000 rows without
    `knn` and `iterative`, which take minutes there. ``"all"``: every one. ``"none"`` or ``()``: none.

    Raises
    ------
    UserError
        If there is no such baseline.

    Examples
    --------
    >>> chosen_baselines("auto", has_text=True)[-1], chosen_baselines("none", has_text=False)
    ('ridge_text', ())
    """
    if wanted == "auto":
        quick = tuple(name for name in QUICK if name not in ("knn", "iterative") or n_rows <= _QUICK_UP_TO)
        return (*quick, "ridge_text") if has_text else quick
    if wanted == "all":
        return tuple(BASELINES)
    if wanted == "none":
        return ()
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        if name not in BASELINES:
            raise UserError(
                f"There is no baseline {name!r}.{did_you_mean(name, BASELINES)} "
                f"There are: {', '.join(BASELINES)}; or 'auto', 'all', 'none'."
            )
    return tuple(dict.fromkeys(names))


def run_baseline(name: str, task: FillTask) -> pd.DataFrame:
    """Fill every vital of every row by one baseline.

    Raises
    ------
    NotRunError
        If the data do not allow it.
    """
    made = BASELINES[name](task)
    return pd.DataFrame(made, index=task.truth.index, columns=task.truth.columns, copy=False)
