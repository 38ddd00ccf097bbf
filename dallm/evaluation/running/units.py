"""What a process is given at a time: one fit, or several that one training loop does at once."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dallm.evaluation.running.fitting import Ahead, fit_one, told, training_part

if TYPE_CHECKING:
    from dallm.evaluation.running.tasks import Fitted, Plan, Task

MOST_TOGETHER = 10
"""Fits of one training loop at most: what a run that is killed loses per process."""

_CELLS_TOGETHER = 2_000_000


@dataclass(frozen=True)
class Failure:
    """What went wrong in a fit, in a form that passes between processes."""

    kind: str
    message: str
    trace: str


def in_units(plan: Plan, tasks: Sequence[Task], workers: int) -> list[tuple[int, ...]]:
    """Part tasks, in their order, into units of work; those of a unit are of one model and feature set.

    Only models that say how (`together`) are fitted several at once; each process gets its share of them.
    """
    blocks: dict[tuple[str, str], list[Task]] = {}
    for task in tasks:
        blocks.setdefault((task.model.name, task.feature_set), []).append(task)
    units: list[tuple[int, ...]] = []
    for block in blocks.values():
        size = _together(plan, block[0], math.ceil(len(block) / workers))
        units += [tuple(t.number for t in block[i : i + size]) for i in range(0, len(block), size)]
    return units


def _together(plan: Plan, task: Task, share: int) -> int:
    if task.model.together is None:
        return 1
    cells = len(task.split.train) * plan.inputs.sets[task.feature_set].shape[1]
    return max(1, min(MOST_TOGETHER, share, _CELLS_TOGETHER // max(1, cells)))


def fit_unit(plan: Plan, unit: Sequence[int]) -> list[Fitted | Failure]:
    """Run the fits of a unit; one that fails is told and does not take the others with it."""
    tasks = [plan.tasks[number] for number in unit]
    ahead: Sequence[Ahead | None] = [None] * len(tasks)
    if len(tasks) > 1:
        try:
            ahead = _fit_ahead(plan, tasks)
        except Exception:  # fitted one by one below, the one at fault says so by name
            ahead = [None] * len(tasks)
    return [_fit(plan, task, fitted) for task, fitted in zip(tasks, ahead, strict=True)]


def _fit(plan: Plan, task: Task, ahead: Ahead | None) -> Fitted | Failure:
    try:
        return fit_one(plan, task, ahead)
    except Exception as error:  # whatever a user's model raises is told with the name of the fit
        return Failure(type(error).__name__, str(error), traceback.format_exc())


def _fit_ahead(plan: Plan, tasks: Sequence[Task]) -> list[Ahead]:
    started = time.perf_counter()
    together = tasks[0].model.together
    assert together is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        parts = [training_part(plan, task) for task in tasks]
        models = [part.model for part in parts]
        together(models, [(part.table, part.truth, part.patients) for part in parts])
    seconds = (time.perf_counter() - started) / len(tasks)
    return [Ahead(model, seconds, tuple(told(caught))) for model in models]
