"""Run all fits of an evaluation: in parallel, resumable, with the same scores however many run at once."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from dallm.errors import DallmError, UserError
from dallm.evaluation.fits import Inputs, Outcome, Split
from dallm.evaluation.operating import Criterion, check_criterion
from dallm.evaluation.protocols.base import patient_codes
from dallm.evaluation.running.capacity import workers_for
from dallm.evaluation.running.digests import Keys
from dallm.evaluation.running.kept import KeptFits
from dallm.evaluation.running.pool import ForkPool, WorkerDied, fork_is_safe
from dallm.evaluation.running.progress import TimeLeft, progress_of_fits
from dallm.evaluation.running.tasks import Fitted, Importances, Model, Plan, Task, all_tasks, longest_first
from dallm.evaluation.running.threads import one_thread
from dallm.evaluation.running.units import Failure, fit_unit, in_units

_IN_PROCESS_S = 0.05
"""Quick fits run in this process for so long before others are started; they may be done by then."""

_QUICK_CELLS = 200_000

Unit = tuple[int, ...]


class FailedFit(Exception):  # noqa: N818 - carries the trace of another process as the cause of an error
    """The error of a fit as its worker saw it."""


def run_fits(
    inputs: Inputs,
    splits: Sequence[Split],
    models: Mapping[str, Model],
    *,
    seed: int,
    n_jobs: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool = False,
    importances: Importances | None = None,
    operating_point: Criterion = "f1",
) -> list[Outcome]:
    """Fit every model to every feature set on every split.

    The seed of a fit follows from `seed`, the model, the target, the repeat and the fold; every fit uses one
    thread. So the result is the same for every `n_jobs`, and feature sets are compared under equal seeds.

    Parameters
    ----------
    inputs : Inputs
    splits : sequence of Split
    models : mapping of str to ModelSpec
    seed : int
    n_jobs : int, optional
        Processes that fit; all cores without it, -2 for all but one; 1 for one fit after the other, here.
        Otherwise several TabNets are trained in one loop, with the same results. For tables of 300,000 rows
        and more fewer run at once where memory would exceed four times the table. Fits on a GPU run in this
        process.
    folder : path, optional
        Where every finished fit is kept at once, so that a run that was killed goes on where it was. TabNets
        that are trained in one loop, ten at most, finish together.
    progress : bool, default=False
        Show progress and the time left on standard error.
    importances : callable, optional
        See :class:`dallm.evaluation.running.tasks.Importances`.
    operating_point : {"f1", "youden", "accuracy"} or float, default="f1"
        See :func:`dallm.evaluation.operating.choose_threshold`; a number saves the inner fit.

    Returns
    -------
    list of Outcome
        By feature set, model and split, in the order given.

    Raises
    ------
    UserError
        If a fit fails; the message names set, model, target, repeat and fold.
    """
    tasks = all_tasks(inputs, splits, models)
    point = check_criterion(operating_point)
    plan = Plan(inputs, patient_codes(inputs), tasks, seed, point, importances)
    done: dict[int, Fitted] = {}
    if folder is None:
        with closing(_run(plan, tasks, len(tasks), n_jobs, progress)) as results:
            done = {task.number: fitted for task, fitted in results}
    else:
        with closing(KeptFits(Path(folder))) as kept:
            keys = Keys(plan)
            key_of = {task.number: keys.of(task) for task in tasks}
            for task in tasks:
                key = key_of[task.number]
                found = kept.get(key, task) if key is not None else None
                if found is not None:
                    done[task.number] = found
            rest = [task for task in tasks if task.number not in done]
            with closing(_run(plan, rest, len(tasks), n_jobs, progress)) as results:
                for task, fitted in results:
                    done[task.number] = fitted
                    key = key_of[task.number]
                    if key is not None:
                        kept.put(key, task, fitted)
    return [done[task.number].outcome(task) for task in tasks]


def _run(
    plan: Plan, tasks: Sequence[Task], total: int, n_jobs: int | None, show: bool
) -> Generator[tuple[Task, Fitted]]:
    """Yield each task with what it gave, in the order in which they finish."""
    workers = workers_for(plan, tasks, n_jobs)
    left = TimeLeft(tasks, workers)
    with (
        one_thread(),
        progress_of_fits(total, total - len(tasks), left, show=show) as step,
        closing(_results(plan, longest_first(tasks, plan.inputs), workers, n_jobs == 1)) as results,
    ):
        for task, given in results:
            if isinstance(given, Failure):
                raise _as_error(task, given)
            step(task, given.seconds)
            yield task, given


def _results(
    plan: Plan, tasks: list[Task], workers: int, one_by_one: bool
) -> Generator[tuple[Task, Fitted | Failure]]:
    share = len(tasks) if one_by_one else workers
    ours = in_units(plan, [task for task in tasks if _on_gpu(task.model)], 1)
    units = in_units(plan, [task for task in tasks if not _on_gpu(task.model)], share)
    with closing(_units_done(plan, units, ours, workers)) as done:
        for unit, given in done:
            for number, result in zip(unit, given, strict=True):
                yield plan.tasks[number], result


def _units_done(
    plan: Plan, units: list[Unit], ours: list[Unit], workers: int
) -> Generator[tuple[Unit, list[Fitted | Failure]]]:
    def work(unit: Unit) -> list[Fitted | Failure]:
        return fit_unit(plan, unit)

    started = time.perf_counter()
    while units and (workers == 1 or _quick(plan, plan.tasks[units[0][0]], started)):
        unit = units.pop(0)
        yield unit, work(unit)
    if len(units) > 0 and not fork_is_safe():
        from dallm.evaluation.running.fresh import fresh_results

        yield from fresh_results(plan, units, workers)
        units = []
    if not units:
        yield from ((unit, work(unit)) for unit in ours)
        return
    for task in {plan.tasks[unit[0]].model.name: plan.tasks[unit[0]] for unit in units}.values():
        task.model.build(0, task.model.device)  # loads its library once, before the processes part
    with ForkPool(work, min(workers, len(units))) as pool:
        try:
            yield from pool.results(units, ours)
        except WorkerDied as death:
            signal = f" by signal {-death.exitcode}" if death.exitcode and death.exitcode < 0 else ""
            raise UserError(
                f"The process that fitted {plan.tasks[death.item[0]]} was ended{signal} from outside. "
                "Usually memory ran out: give a smaller n_jobs=, or fewer rows. With folder= finished fits "
                "are kept."
            ) from None


def _quick(plan: Plan, task: Task, started: float) -> bool:
    small = plan.inputs.sets[task.feature_set].size <= _QUICK_CELLS
    cheap = not task.model.deep and ":tuned" not in task.model.name
    return small and cheap and time.perf_counter() - started < _IN_PROCESS_S


def _on_gpu(model: Model) -> bool:
    return model.device.startswith("cuda")


def _as_error(task: Task, failure: Failure) -> DallmError:
    said = failure.message.strip().splitlines() or ["no message"]
    kind = "" if failure.kind == "UserError" else f"{failure.kind}: "
    error = UserError(
        f"Fitting {task} failed: {kind}{said[0][:300].rstrip('.')}. Leave out this model, or repair what "
        "it names; the trace of the fit stands above."
    )
    error.__cause__ = FailedFit("\n" + failure.trace)
    return error
