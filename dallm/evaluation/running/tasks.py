"""A fit before it runs: what is trained on what, and what it must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dallm.evaluation.fits import Inputs, Outcome, Split
from dallm.evaluation.models.rows import Columns, RowsOf
from dallm.lazy import computed_once

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dallm.evaluation.operating import Criterion


class Model(Protocol):
    """What a fit needs of a model: `dallm.evaluation.models.ModelSpec` has it.

    Attributes
    ----------
    name : str
    deep : bool
        Whether one fit takes seconds rather than fractions of one.
    device : str
        ``cpu``, or ``cuda:0`` for what must not run in a forked process.
    build : callable
        ``build(seed, device)`` returns an unfitted classifier.
    together : callable or None
        ``together(models, [(X, y, groups), ...])`` fits several of its classifiers at once, with the results
        of one after the other.
    """

    @property
    def name(self) -> str: ...

    @property
    def deep(self) -> bool: ...

    @property
    def device(self) -> str: ...

    @property
    def build(self) -> Callable[[int, str], Any]: ...

    @property
    def together(self) -> Callable[[Sequence[Any], Sequence[tuple[Any, Any, Any]]], None] | None: ...


class Importances(Protocol):
    """Measures importances with fits of its own; its repr is part of what a kept fit is known by.

    ``fit(X)`` fits a new model of the same kind and seed to training rows with the columns of `X`.
    """

    def __call__(
        self,
        fit: Callable[[pd.DataFrame], Any],
        train: pd.DataFrame,
        test: pd.DataFrame,
        truth: NDArray[np.bool_],
        split: Split,
        seed: int,
    ) -> Mapping[str, float] | None: ...


@dataclass(frozen=True)
class Task:
    """One fit of one model to one feature set on one split."""

    number: int
    feature_set: str
    model: Model
    split: Split

    def __str__(self) -> str:
        at = self.split
        return (
            f"model {self.model.name!r} on feature set {self.feature_set!r}, target {at.target!r}, "
            f"repeat {at.repeat}, fold {at.fold}"
        )


@dataclass(frozen=True)
class Plan:
    """Everything that a worker needs, shared by all fits.

    Attributes
    ----------
    patients : array of int, shape (n_cases,)
        Number of each case's patient.
    """

    inputs: Inputs
    patients: NDArray[np.intp]
    tasks: Sequence[Task]
    seed: int
    operating_point: Criterion
    importances: Importances | None

    @computed_once
    def columns(self) -> dict[str, Columns]:
        """The columns of every feature set."""
        return {name: Columns(frame) for name, frame in self.inputs.sets.items()}

    def rows(self, feature_set: str, rows: NDArray[np.integer[Any]]) -> RowsOf:
        """Return rows of a feature set."""
        return RowsOf(self.inputs.sets[feature_set], rows, self.columns[feature_set])


@dataclass(frozen=True)
class Fitted:
    """What a fit gave, without what is known of it already."""

    probability: NDArray[np.float64]
    threshold: float
    device: str
    seconds: float
    notes: tuple[str, ...]
    importances: Mapping[str, float] | None

    def outcome(self, task: Task) -> Outcome:
        """Return the outcome of the task."""
        return Outcome(
            task.feature_set,
            task.model.name,
            task.split,
            self.probability,
            self.threshold,
            self.device,
            self.seconds,
            self.notes,
            self.importances,
        )


def all_tasks(inputs: Inputs, splits: Sequence[Split], models: Mapping[str, Model]) -> list[Task]:
    """Return a task for every feature set, model and split, in this order."""
    every = [(name, model, split) for name in inputs.sets for model in models.values() for split in splits]
    return [Task(number, *what) for number, what in enumerate(every)]


def longest_first(tasks: Sequence[Task], inputs: Inputs) -> list[Task]:
    """Order tasks such that the long ones start first, and the cores finish at about the same time."""
    widths = {name: frame.shape[1] for name, frame in inputs.sets.items()}
    return sorted(
        tasks,
        key=lambda t: (not t.model.deep, ":tuned" not in t.model.name, -widths[t.feature_set], t.number),
    )
