"""Simulated evaluations for the benchmarks of the statistics: cohorts whose truth is known, fast models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from dallm.evaluation.fits import METRICS, Inputs, Split
from dallm.evaluation.metrics import metrics_of
from dallm.evaluation.operating import choose_threshold
from dallm.evaluation.protocols import LeakFree
from dallm.evaluation.statistics import Spread, comparisons, corrected_spread, limits, two_sided

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One kind of simulated evaluation.

    Attributes
    ----------
    kind : {"null", "noise", "gain"}
        What the second set has: noise of its own where the first has noise as well; the columns of the first
        and as many of noise; the columns of the first and `columns` more that bring the gain.
    cases, columns, targets : int
    models : tuple of str
        Of :data:`MODELS`.
    area, gain : float
        ROC AUC that the first set allows, and what the second allows beyond it.
    metrics : tuple of str
    repeats, folds : int
    """

    kind: str
    cases: int
    columns: int = 8
    targets: int = 2
    models: tuple[str, ...] = ("linear", "bayes")
    area: float = 0.7
    gain: float = 0.0
    metrics: tuple[str, ...] = METRICS
    repeats: int = 10
    folds: int = 5
    rate: float = 0.27


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(solver="newton-cholesky", C=1.0)


def _tree(seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=3, random_state=seed)


class _Linear:
    """Ridge regression on the label, in closed form: the fastest model that learns from all columns."""

    def fit(self, values: Floats, truth: NDArray[np.bool_]) -> _Linear:
        self._centre, self._rate = values.mean(axis=0), float(truth.mean())
        moved = values - self._centre
        ridge = 0.01 * len(values) * np.eye(values.shape[1])
        self._weights = np.linalg.solve(moved.T @ moved + ridge, moved.T @ (truth - self._rate))
        return self

    def predict_proba(self, values: Floats) -> Floats:
        share = np.clip((values - self._centre) @ self._weights + self._rate, 0, 1)
        return np.column_stack([1 - share, share])


class _Bayes:
    """Gaussian naive Bayes."""

    def fit(self, values: Floats, truth: NDArray[np.bool_]) -> _Bayes:
        self._classes = [
            (part.mean(axis=0), part.var(axis=0) + 1e-9, np.log(len(part) / len(values)))
            for part in (values[~truth], values[truth])
        ]
        return self

    def predict_proba(self, values: Floats) -> Floats:
        no, yes = (
            prior - 0.5 * (np.log(spread).sum() + ((values - centre) ** 2 / spread).sum(axis=1))
            for centre, spread, prior in self._classes
        )
        share = 1 / (1 + np.exp(np.clip(no - yes, -50, 50)))
        return np.column_stack([1 - share, share])


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=50, random_state=seed)


MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": _logistic,
    "tree": _tree,
    "linear": lambda seed: _Linear(),
    "bayes": lambda seed: _Bayes(),
    "forest": _forest,
}


def distance_for(area: float) -> float:
    """Return how far apart two normal classes stand, in standard deviations, for a ROC AUC."""
    return float(np.sqrt(2) * norm.ppf(area))


def simulate(trial: Trial, seed: int) -> Inputs:
    """Return two sets of columns, targets and patients with one or two cases each."""
    rng = np.random.default_rng(seed)
    n, p = trial.cases, trial.columns
    patients = np.repeat(np.arange(n), rng.integers(1, 3, size=n))[:n]
    liability = rng.normal(size=(n, 1)) * 0.6 + rng.normal(size=(n, trial.targets)) * 0.8
    truth = liability > norm.ppf(1 - trial.rate)
    base = rng.normal(size=(n, p))
    if trial.kind == "null":
        second = rng.normal(size=(n, p))
    else:
        away = distance_for(trial.area)
        more = rng.normal(size=(n, p))
        beyond = np.sqrt(max(0.0, distance_for(trial.area + trial.gain) ** 2 - away**2))
        for t in range(trial.targets):  # columns in turn tell of each target
            share = np.arange(p) % trial.targets == t
            base[:, share] += truth[:, [t]] * away / np.sqrt(share.sum())
            more[:, share] += truth[:, [t]] * beyond / np.sqrt(share.sum())
        second = np.hstack([base, more])
    targets = pd.DataFrame(
        {f"finding {t}": pd.array(truth[:, t], dtype="boolean") for t in range(trial.targets)}
    )
    sets = {"first": pd.DataFrame(base), "second": pd.DataFrame(second)}
    return Inputs(sets, targets, pd.Series(patients))


def predict(trial: Trial, inputs: Inputs, splits: Sequence[Split], seed: int) -> pd.DataFrame:
    """Return the out-of-fold predictions of every set and model, decided at the training cases' best F1."""
    parts = []
    for name, frame in inputs.sets.items():
        values = frame.to_numpy()
        for model in trial.models:
            for split in splits:
                truth = inputs.targets[split.target].to_numpy(dtype=bool)
                fitted = MODELS[model](seed + split.repeat).fit(values[split.train], truth[split.train])
                share = fitted.predict_proba(values[split.test])[:, 1]
                own = fitted.predict_proba(values[split.train])[:, 1]
                threshold = choose_threshold(truth[split.train], own)
                parts.append((name, model, split, truth[split.test], share, share >= threshold))
    sizes = [len(part[2].test) for part in parts]
    return pd.DataFrame(
        {
            "feature_set": np.repeat([part[0] for part in parts], sizes),
            "model": np.repeat([part[1] for part in parts], sizes),
            "target": np.repeat([part[2].target for part in parts], sizes),
            "repeat": np.repeat([part[2].repeat for part in parts], sizes),
            "fold": np.repeat([part[2].fold for part in parts], sizes),
            "row": np.concatenate([part[2].test for part in parts]),
            "truth": np.concatenate([part[3] for part in parts]),
            "probability": np.concatenate([part[4] for part in parts]),
            "decision": np.concatenate([part[5] for part in parts]),
        }
    )


def compare_once(trial: Trial, seed: int) -> dict[str, float]:
    """Return difference, p and interval of the first model and target, and p of Nadeau and Bengio's test."""
    inputs = simulate(trial, seed)
    splits, _ = LeakFree(trial.repeats, trial.folds).splits(inputs, seed)
    truth = inputs.targets.iloc[:, 0].to_numpy(dtype=bool)
    folds = np.full((trial.repeats, trial.folds), np.nan)
    first, second = (frame.to_numpy() for frame in inputs.sets.values())
    for split in splits:
        areas = []
        for values in (first, second):
            model = MODELS[trial.models[0]](seed).fit(values[split.train], truth[split.train])
            share = model.predict_proba(values[split.test])[:, 1]
            areas.append(metrics_of(truth[split.test], share, share > 0.5, ["roc_auc"])["roc_auc"])
        folds[split.repeat, split.fold] = areas[1] - areas[0]
    spread = corrected_spread(folds, float(np.mean([len(s.test) / trial.cases for s in splits])))
    low, high = limits(spread)
    plain = folds.var(ddof=1) * (1 / folds.size + 1 / (trial.folds - 1))
    nadeau = Spread(spread.difference, plain, folds.size - 1)
    return {
        "plain p": two_sided(nadeau),
        "difference": spread.difference,
        "p": two_sided(spread),
        "low": low,
        "high": high,
    }


def evaluate_once(trial: Trial, seed: int) -> pd.DataFrame:
    """Return the comparisons of one simulated evaluation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = simulate(trial, seed)
        splits, _ = LeakFree(trial.repeats, trial.folds).splits(inputs, seed)
        predictions = predict(trial, inputs, splits, seed)
    found = comparisons(
        predictions, splits, inputs.groups, baseline="first", metrics=trial.metrics, seed=seed
    )
    found["seed"] = seed
    return found


def evaluate_many(trial: Trial, seeds: Sequence[int], jobs: int) -> Iterator[pd.DataFrame]:
    """Yield the comparisons of many, side by side, in the order of the seeds."""
    with ProcessPoolExecutor(jobs, initializer=threadpool_limits, initargs=(1,)) as pool:
        yield from pool.map(evaluate_once, [trial] * len(seeds), seeds, chunksize=4)
