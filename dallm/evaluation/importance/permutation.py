"""Permutation importance of the columns of a feature set, and of noise that was appended before fitting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.evaluation.fits import SHAP
from dallm.evaluation.importance.shap_values import mean_shap, shap_is_installed
from dallm.evaluation.metrics import resampled_metrics
from dallm.evaluation.seeds import seed_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.evaluation.fits import Split

NOISE = "noise column "
"""What the names of the noise columns begin with."""

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class PermutationImportance:
    """Measures how much the ROC AUC of a test fold drops when a column of it is permuted.

    Passed to :func:`dallm.evaluation.running.run_fits`. A model is fitted once more to the training fold
    with columns of Gaussian noise appended: what a permuted noise column costs is what chance is worth. A
    column stays one column, whatever the model makes of it (indicators of levels, of missing values), so
    that all of it is permuted together.

    Parameters
    ----------
    noise : int, default=10
        Columns of noise. A feature that tells nothing exceeds the highest of them once in ``noise + 1``.
    permutations : int, default=5
        Of each column; their mean is the drop.
    repeats : int, default=2
        Repeats of the cross-validation in which it is measured; each takes a second fit.
    shap : bool, default=True
        Whether mean absolute SHAP values are given as well, where the package ``shap`` is installed and the
        model is one of trees or linear.

    Source: Breiman, Machine Learning 2001, 45:5-32, for the permutation; Stoppiglia et al., Journal of
    Machine Learning Research 2003, 3:1399-1414, for the columns of noise.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from dallm.evaluation.fits import Split
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["told", "untold"])
    >>> y = (X["told"] + 0.5 * rng.normal(size=200) > 0).to_numpy()
    >>> split = Split("edema", 0, 0, np.arange(100), np.arange(100, 200))
    >>> measure = PermutationImportance(noise=2, permutations=3)
    >>> fit = lambda part: LogisticRegression().fit(part, y[:100])
    >>> drops = measure(fit, X.iloc[:100], X.iloc[100:], y[100:], split, seed=0)
    >>> list(drops)[:4], drops["told"] > 0.3, abs(drops["untold"]) < 0.05
    (['told', 'untold', 'noise column 1', 'noise column 2'], True, True)
    """

    noise: int = 10
    permutations: int = 5
    repeats: int = 2
    shap: bool = True

    def __post_init__(self) -> None:
        for name in ("noise", "permutations", "repeats"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"PermutationImportance({name}={value!r}): give a whole number of 1 or more.")
        # fits are known again by what is asked for: installing the package asks for more
        object.__setattr__(self, "shap", bool(self.shap) and shap_is_installed())

    def __call__(
        self,
        fit: Callable[[pd.DataFrame], Any],
        train: pd.DataFrame,
        test: pd.DataFrame,
        truth: NDArray[np.bool_],
        split: Split,
        seed: int,
    ) -> Mapping[str, float] | None:
        """Return the drop per column, noise columns last; None in repeats that are not measured.

        SHAP values stand under the name of the column with :data:`SHAP` before it.
        """
        if split.repeat >= self.repeats or truth.all() or not truth.any():
            return None
        # equal noise for all feature sets and models of a fold, so that they are held against the same
        rng = np.random.default_rng(seed_for(0, "noise", split.target, split.repeat, split.fold))
        noisy_train = _with_noise(train, self.noise, rng)
        noisy_test = _with_noise(test, self.noise, rng)
        model = fit(noisy_train)
        found = permutation_drops(model, noisy_test, truth, self.permutations, np.random.default_rng(seed))
        if self.shap:
            found |= _shap_of(model, noisy_test, noisy_train, seed)
        return found


def _shap_of(model: Any, test: pd.DataFrame, train: pd.DataFrame, seed: int) -> dict[str, float]:
    """Return the SHAP values; none, and a warning that becomes a note of the fit, where shap fails."""
    try:
        values = mean_shap(model, test, train, seed=seed)
    except Exception as error:  # of shap, numba or the model's library: an evaluation does not end by it
        said = str(error).splitlines()[0] if str(error) else ""
        warnings.warn(
            f"SHAP values were not computed: {type(error).__name__}: {said[:200]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return {}
    return {f"{SHAP}{name}": value for name, value in (values or {}).items()}


def permutation_drops(
    model: Any,
    test: pd.DataFrame,
    truth: NDArray[np.bool_],
    permutations: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return by how much the ROC AUC drops, per column, as the mean over permutations.

    Parameters
    ----------
    model : fitted classifier
    test : DataFrame, shape (n_cases, n_columns)
    truth : array of bool, shape (n_cases,)
    permutations : int
    rng : Generator
    """
    column = list(model.classes_).index(1)
    weights = np.ones((len(test), 1))
    asked = _Encoded(model, test) if _encodes_rows(model) else _Plain(model, test)

    def areas(shares: NDArray[np.float64]) -> float:
        found = [
            resampled_metrics(truth, one, truth, weights, ["roc_auc"])["roc_auc"][0]
            for one in shares.reshape(-1, len(test))
        ]
        return float(np.mean(found))

    still = np.arange(len(test))
    whole = areas(asked.probabilities([0], [still])[:, column])
    orders = [rng.permutation(len(test)) for _ in range(permutations)]
    at_once = max(1, _ROWS_AT_ONCE // max(1, len(test) * permutations))
    names = list(test.columns)
    drops: dict[str, float] = {}
    for start in range(0, len(names), at_once):
        places = list(range(start, min(start + at_once, len(names))))
        given = asked.probabilities(places, orders)[:, column].reshape(len(places), -1)
        drops |= {str(names[i]): whole - areas(shares) for i, shares in zip(places, given, strict=True)}
    return drops


def _encodes_rows(model: Any) -> bool:
    """Return whether the model makes numbers of each row by itself and gives them to a bare classifier."""
    from dallm.evaluation.models import TableClassifier

    return type(model) is TableClassifier and model.encode != "none" and not hasattr(model.estimator, "steps")


class _Plain:
    """Asks any model, with copies of the table below each other."""

    def __init__(self, model: Any, test: pd.DataFrame) -> None:
        self._model = model
        self._test = test

    def probabilities(self, places: list[int], orders: list[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the probabilities with each of some columns in each of some orders, one after the other."""
        size = len(self._test)
        rows = np.tile(np.arange(size), len(places) * len(orders))
        made = {}
        for i, name in enumerate(self._test.columns):
            order = rows
            if i in places:
                order, at = rows.copy(), places.index(i) * len(orders) * size
                order[at : at + len(orders) * size] = np.concatenate(orders)
            made[name] = self._test[name].array.take(order)
        return np.asarray(self._model.predict_proba(pd.DataFrame(made)))


class _Encoded:
    """The same with the numbers that the model makes of the table once: texts take long to read."""

    def __init__(self, model: Any, test: pd.DataFrame) -> None:
        self._classifier = model.estimator_
        self._numbers = model.encoder_.transform(test)
        self._origin = np.asarray(model.encoder_.origin_)

    def probabilities(self, places: list[int], orders: list[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the probabilities with each of some columns in each of some orders, one after the other."""
        size = len(self._numbers)
        asked = np.tile(self._numbers, (len(places) * len(orders), 1))
        for at, place in enumerate(places):
            members = np.flatnonzero(self._origin == place)
            for copy, order in enumerate(orders):
                first = (at * len(orders) + copy) * size
                asked[first : first + size, members] = self._numbers[np.ix_(order, members)]
        return np.asarray(self._classifier.predict_proba(asked))


def _with_noise(table: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    names = [f"{NOISE}{i + 1}" for i in range(count)]
    noise = pd.DataFrame(rng.normal(size=(len(table), count)), index=table.index, columns=names)
    return pd.concat([table, noise], axis=1)
