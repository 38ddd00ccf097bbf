"""Run all fits of an evaluation: in parallel, resumable, with the same scores however many run at once."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dallm.errors import DallmError, UserError
from dallm.evaluation.fits import Inputs, Outcome, Split
from dallm.evaluation.operating import Criterion, check_criterion
from dallm.evaluation.protocols.base import patient_codes
from dallm.evaluation.running.capacity import workers_for
from dallm.evaluation.running.digests import Keys
from dallm.evaluation.running.fitting import fit_one
from dallm.evaluation.running.kept import KeptFits
from dallm.evaluation.running.pool import ForkPool, WorkerDied, fork_is_safe
from dallm.evaluation.running.progress import TimeLeft, progress_of_fits
from dallm.evaluation.running.tasks import Fitted, Importances, Model, Plan, Task, all_tasks, longest_first
from dallm.evaluation.running.threads import one_thread

_IN_PROCESS_S = 0.05
"""Quick fits run in this process for so long before others are started; they may be done by then."""

_QUICK_CELLS = 200_000


@dataclass(frozen=True)
class Failure:
    """What went wrong in a fit, in a form that passes between processes."""

    kind: str
    message: str
    trace: str


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
        Fits at once; all cores without it, -2 for all but one. For tables of 300,000 rows and more fewer run
        at once where memory would exceed four times the table. Fits on a GPU run one after the other.
    folder : path, optional
        Where every finished fit is kept at once, so that a run that was killed goes on where it was.
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
        closing(_results(plan, longest_first(tasks, plan.inputs), workers)) as results,
    ):
        for number, given in results:
            task = plan.tasks[number]
            if isinstance(given, Failure):
                raise _as_error(task, given)
            step(task, given.seconds)
            yield task, given


def _results(plan: Plan, tasks: list[Task], workers: int) -> Generator[tuple[int, Fitted | Failure]]:
    def work(number: int) -> Fitted | Failure:
        try:
            return fit_one(plan, plan.tasks[number])
        except Exception as error:  # whatever a user's model raises is told with the name of the fit
            return Failure(type(error).__name__, str(error), traceback.format_exc())

    here = [task for task in tasks if _on_gpu(task.model)]
    others = [task for task in tasks if not _on_gpu(task.model)]
    started = time.perf_counter()
    while others and (workers == 1 or _quick(plan, others[0], started)):
        task = others.pop(0)
        yield task.number, work(task.number)
    numbers = [task.number for task in others]
    if len(numbers) > 0 and not fork_is_safe():
        from dallm.evaluation.running.fresh import fresh_results

        yield from fresh_results(plan, numbers, workers)
        numbers = []
    if not numbers:
        yield from ((task.number, work(task.number)) for task in here)
        return
    for task in {t.model.name: t for t in others}.values():
        task.model.build(0, task.model.device)  # loads its library once, before the processes part
    with ForkPool(work, min(workers, len(numbers))) as pool:
        try:
            yield from pool.results(numbers, [task.number for task in here])
        except WorkerDied as death:
            signal = f" by signal {-death.exitcode}" if death.exitcode and death.exitcode < 0 else ""
            raise UserError(
                f"The process that fitted {plan.tasks[death.number]} was ended{signal} from outside. Usually "
                "memory ran out: give a smaller n_jobs=, or fewer rows. With folder= finished fits are kept."
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
