"""Nested search: settings chosen inside the training fold, by patient, within a budget."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.validation import check_is_fitted

from dallm.errors import UserError
from dallm.evaluation.models.inner import class_codes, group_codes, inner_parts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray


class TunedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Try settings on inner folds by patient, then fit with the best to all rows.

    The settings as given come first, so that the search cannot do worse than them on the inner folds by more
    than chance; the others are drawn from the space without repeats. Fits are counted before the last one.

    Parameters
    ----------
    estimator : classifier
    space : mapping of str to sequence
        Values to try per parameter of the estimator.
    fits : int, default=45
        At most so many inner fits; whole candidates only.
    seconds : float, optional
        Begin no further candidate after so long. A result then depends on the machine.
    folds : int, default=3
    random_state : int, optional

    Attributes
    ----------
    estimator_ : classifier
        Fitted to all rows with the best settings.
    best_params_ : dict
    trials_ : list of (dict, float)
        Settings and mean ROC AUC (minus log loss for more than two classes).
    notes_ : tuple of str

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(90, 2)); y = X[:, 0] > 0
    >>> tree = DecisionTreeClassifier(random_state=0)
    >>> model = TunedClassifier(tree, {"max_depth": [1, 2]}, fits=9, random_state=0).fit(X, y)
    >>> [settings for settings, _ in model.trials_]
    [{}, {'max_depth': 1}, {'max_depth': 2}]
    """

    def __init__(
        self,
        estimator: Any,
        space: Mapping[str, Sequence[Any]],
        *,
        fits: int = 45,
        seconds: float | None = None,
        folds: int = 3,
        random_state: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.fits = fits
        self.seconds = seconds
        self.folds = folds
        self.random_state = random_state

    def fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike, groups: ArrayLike | None = None
    ) -> TunedClassifier:
        """Search, then fit.

        Raises
        ------
        UserError
            If the budget does not allow one candidate beside the settings as given.
        """
        self.classes_, codes = class_codes(y)
        patients = group_codes(groups, len(codes))
        self.notes_: tuple[str, ...] = ()
        parts = inner_parts(codes, patients, self.folds, self.random_state or 0)
        if parts and self.fits < 2 * len(parts):
            raise UserError(
                f"fits={self.fits} allows no search on {len(parts)} folds; give {2 * len(parts)}."
            )
        if not parts:
            self.notes_ = ("Not tuned: too few patients of each class for inner folds.",)
        self.trials_ = self._search(X, codes, patients, parts) if parts else []
        scores = [score for _, score in self.trials_] or [0.0]
        self.best_params_: dict[str, Any] = self.trials_[int(np.argmax(scores))][0] if parts else {}
        self.estimator_ = _fit(self._candidate(self.best_params_), X, codes, patients)
        self.device_ = getattr(self.estimator_, "device_", "cpu")
        self.notes_ += tuple(getattr(self.estimator_, "notes_", ()))
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def predict_proba(self, X: ArrayLike | pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of each class, shape (rows, classes)."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray[Any]:
        """Return the class of each row."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.classes_[np.asarray(self.estimator_.predict(X)).astype(np.intp)])

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Importances of the input columns, where the classifier has them."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.feature_importances_)

    @property
    def operating_cases_(self) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
        """Rows that the fitted classifier held out for itself, and their probabilities."""
        check_is_fitted(self, "estimator_")
        return getattr(self.estimator_, "operating_cases_", None)

    def _search(
        self, X: Any, codes: NDArray[np.intp], patients: NDArray[np.intp], parts: Sequence[Any]
    ) -> list[tuple[dict[str, Any], float]]:
        started = time.monotonic()
        trials: list[tuple[dict[str, Any], float]] = []
        for settings in draw(self.space, self.fits // len(parts), self.random_state or 0):
            if trials and self.seconds is not None and time.monotonic() - started > self.seconds:
                self.notes_ += (f"Tuning stopped by time after {len(trials)} candidates.",)
                break
            scores = []
            for rows, look in parts:
                model = _fit(self._candidate(settings), _rows(X, rows), codes[rows], patients[rows])
                scores.append(_score(codes[look], model.predict_proba(_rows(X, look))))
            trials.append((settings, float(np.mean(scores))))
        return trials

    def _candidate(self, settings: Mapping[str, Any]) -> Any:
        estimator = clone(self.estimator)
        if "random_state" in estimator.get_params(deep=False) and self.random_state is not None:
            estimator.set_params(random_state=self.random_state)
        return estimator.set_params(**settings)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def draw(space: Mapping[str, Sequence[Any]], most: int, seed: int) -> list[dict[str, Any]]:
    """Draw settings without repeats, those as given first; all of them where there are few."""
    names = sorted(space)
    size = int(np.prod([len(space[name]) for name in names])) if names else 0
    rng = np.random.default_rng(seed)
    if size <= 4096:
        places = [
            tuple(p) for p in rng.permutation(list(itertools.product(*map(_indexes, _of(space, names)))))
        ]
    else:
        drawn = ([int(rng.integers(len(space[name]))) for name in names] for _ in range(20 * most))
        places = list(dict.fromkeys(tuple(p) for p in drawn))
    chosen = places[: max(0, most - 1)] if size else []
    return [{}, *({n: space[n][i] for n, i in zip(names, p, strict=True)} for p in chosen)]


def _of(space: Mapping[str, Sequence[Any]], names: Sequence[str]) -> list[Sequence[Any]]:
    return [space[name] for name in names]


def _indexes(values: Sequence[Any]) -> range:
    return range(len(values))


def _rows(X: Any, rows: NDArray[np.intp]) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


def _fit(model: Any, X: Any, codes: NDArray[np.intp], patients: NDArray[np.intp]) -> Any:
    if "groups" in inspect.signature(model.fit).parameters:
        return model.fit(X, codes, groups=patients)
    return model.fit(X, codes)


def _score(truth: NDArray[np.intp], probabilities: NDArray[np.float64]) -> float:
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(truth, probabilities[:, 1]))
    return -float(log_loss(truth, probabilities, labels=np.arange(probabilities.shape[1])))
