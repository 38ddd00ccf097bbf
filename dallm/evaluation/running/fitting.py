"""One fit: train, predict the test cases, find the operating point in the training fold."""

from __future__ import annotations

import inspect
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dallm.errors import UserError
from dallm.evaluation.models.rows import RowsOf, taken
from dallm.evaluation.operating import DEFAULT_THRESHOLD, choose_threshold
from dallm.evaluation.protocols.folds import deal_folds
from dallm.evaluation.running.room import LARGE_ROWS, give_back
from dallm.evaluation.running.tasks import Fitted, Plan, Task
from dallm.evaluation.seeds import seed_for

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

INNER_FOLDS = 5
"""One of so many parts of the training patients is held out to find the operating point."""

_MOST_WARNINGS = 3


class Part(NamedTuple):
    """The training rows of a fit and its unfitted model."""

    model: Any
    table: pd.DataFrame
    truth: NDArray[np.int64]
    patients: NDArray[np.intp]


class Ahead(NamedTuple):
    """A model that was fitted together with others, the seconds that were its share, and what was warned."""

    model: Any
    seconds: float
    notes: tuple[str, ...]


def training_part(plan: Plan, task: Task) -> Part:
    """Return what the deciding model of a task is fitted to."""
    rows = task.split.train
    truth = plan.inputs.targets[task.split.target].iloc[rows].to_numpy(dtype=bool)
    model = task.model.build(_seed(plan, task), task.model.device)
    table = plan.inputs.sets[task.feature_set].iloc[rows]
    return Part(model, table, truth.astype(np.int64), plan.patients[rows])


def _seed(plan: Plan, task: Task) -> int:
    at = task.split
    return seed_for(plan.seed, task.model.name, at.target, at.repeat, at.fold)


def fit_one(plan: Plan, task: Task, ahead: Ahead | None = None) -> Fitted:
    """Run one fit, or what is left of it where the model was fitted ahead.

    The operating point is found on cases of the training fold that the deciding model was not fitted to:
    those by which the model itself stopped training (`operating_cases_`: positions and probabilities), else
    an inner part of the patients, with the model fitted once more to the rest. The test cases are looked at
    for predicting only.
    """
    started = time.perf_counter()
    notes: list[str] = list(ahead.notes) if ahead else []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        probability, threshold, device, importances = _fit(plan, task, notes, ahead.model if ahead else None)
    notes += told(caught)
    if len(plan.inputs.targets) >= LARGE_ROWS:
        give_back()
    seconds = time.perf_counter() - started + (ahead.seconds if ahead else 0.0)
    return Fitted(probability, threshold, device, seconds, tuple(notes), importances)


def _fit(
    plan: Plan, task: Task, notes: list[str], fitted: Any
) -> tuple[NDArray[np.float64], float, str, Any]:
    split, frame = task.split, plan.inputs.sets[task.feature_set]
    seed = _seed(plan, task)
    labels = plan.inputs.targets[split.target]
    truth = labels.iloc[split.train].to_numpy(dtype=bool)
    patients = plan.patients[split.train]

    def fit(part: pd.DataFrame | RowsOf, rows: NDArray[np.intp] | slice = slice(None)) -> Any:
        model = task.model.build(seed, task.model.device)
        return fit_model(model, taken(model, part), truth[rows], patients[rows])

    def rows(of: NDArray[np.integer[Any]]) -> RowsOf:
        return plan.rows(task.feature_set, of)

    if fitted is None:
        fitted = fit(rows(split.train))
    probability = probability_of(fitted, taken(fitted, rows(split.test)))
    device = str(getattr(fitted, "device_", "cpu"))
    notes += getattr(fitted, "notes_", ())
    importances = None
    if plan.importances is not None:
        tested = labels.iloc[split.test].to_numpy(dtype=bool)
        train, test = frame.iloc[split.train], frame.iloc[split.test]
        importances = plan.importances(fit, train, test, tested, split, seed)
        del train, test
    if not isinstance(plan.operating_point, str):
        return probability, float(plan.operating_point), device, importances
    own = getattr(fitted, "operating_cases_", None)
    del fitted  # the inner fit needs the room
    if len(labels) >= LARGE_ROWS:
        give_back()
    if own is not None:
        held_out, shares = truth[own[0]], np.asarray(own[1], dtype=float)
    else:
        inner = seed_for(plan.seed, "operating point", split.target, split.repeat, split.fold)
        kept, left = inner_split(truth, patients, inner)
        if not len(left):
            notes.append("Too few patients for an operating point of one's own: decided at one half.")
            return probability, DEFAULT_THRESHOLD, device, importances
        again = fit(rows(split.train[kept]), kept)
        held_out = truth[left]
        shares = probability_of(again, taken(again, rows(split.train[left])))
    return probability, choose_threshold(held_out, shares, plan.operating_point), device, importances


def fit_model(
    model: Any, part: pd.DataFrame | RowsOf, truth: NDArray[np.bool_], patients: NDArray[np.intp]
) -> Any:
    """Fit a classifier; one whose ``fit`` takes `groups` gets the patients, to split by them inside."""
    if "groups" in inspect.signature(model.fit).parameters:
        return model.fit(part, truth.astype(np.int64), groups=patients)
    return model.fit(part, truth.astype(np.int64))


def probability_of(model: Any, part: pd.DataFrame | RowsOf) -> NDArray[np.float64]:
    """Return the probability of yes.

    Raises
    ------
    UserError
        If the model gives none, or numbers that are no probabilities.
    """
    classes = list(model.classes_)
    given = np.asarray(model.predict_proba(part), dtype=np.float64)
    if given.ndim != 2 or given.shape != (len(part), len(classes)) or 1 not in classes:
        raise UserError(f"It gave probabilities of shape {given.shape} for {len(part):,} cases.")
    column = given[:, classes.index(1)]
    if not np.isfinite(column).all() or column.min() < -1e-6 or column.max() > 1 + 1e-6:
        raise UserError(f"It gave {(~np.isfinite(column)).sum():,} missing or impossible probabilities.")
    return np.clip(column, 0.0, 1.0)


def inner_split(
    truth: NDArray[np.bool_], patients: NDArray[np.intp], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Part training cases by patient: to fit again, and to find the operating point (none if too few).

    Examples
    --------
    >>> truth = np.array([True, False] * 20)
    >>> kept, left = inner_split(truth, np.arange(40), seed=0)
    >>> len(kept), len(left), int(truth[left].sum())
    (32, 8, 4)
    """
    most = min(len(np.unique(patients[truth])), len(np.unique(patients[~truth])), INNER_FOLDS)
    if most < 2:
        return np.arange(len(truth)), np.arange(0)
    folds = deal_folds(truth, patients, most, np.random.default_rng(seed))
    for fold in range(most):
        left, kept = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if all(truth[part].any() and not truth[part].all() for part in (left, kept)):
            return kept, left
    return np.arange(len(truth)), np.arange(0)


def told(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return warnings of libraries as notes: each once, those for programmers left out."""
    said: dict[str, None] = {}
    for warning in caught:
        if issubclass(warning.category, (DeprecationWarning, FutureWarning, PendingDeprecationWarning)):
            continue
        first = str(warning.message).strip().splitlines() or [""]
        said[f"{warning.category.__name__}: {first[0][:120]}"] = None
    return list(said)[:_MOST_WARNINGS]
