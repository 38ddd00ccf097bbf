"""Worker processes where none can be forked: fresh interpreters that read the data from one mapped file."""

from __future__ import annotations

import importlib
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dallm.evaluation.running.run import Failure
    from dallm.evaluation.running.tasks import Fitted, Plan

_loaded: tuple[str, Any] | None = None  # the plan that this worker process has read


def fresh_results(plan: Plan, numbers: Sequence[int], workers: int) -> Iterator[tuple[int, Fitted | Failure]]:
    """Yield each number with its result, as soon as it is there.

    The tables are written once and mapped into every process; models travel by value, so that those defined
    in a notebook or script do, too.
    """
    import joblib

    cloudpickle = _by_value()
    with tempfile.TemporaryDirectory(prefix="dallm-") as folder:
        path = str(Path(folder) / "plan")
        models = cloudpickle.dumps([task.model for task in plan.tasks])
        joblib.dump((plan.inputs, plan.patients, [_bare(task) for task in plan.tasks]), path + ".data")
        rest = (plan.seed, plan.operating_point, plan.importances)
        Path(path + ".models").write_bytes(cloudpickle.dumps((models, rest)))
        with joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
            parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch=workers, batch_size=1)
            # closing the generator ends what is under way
            with closing(parallel(joblib.delayed(_work)(path, number) for number in numbers)) as given:
                yield from given


def _by_value() -> Any:
    """Return cloudpickle, which joblib needs from 1.6 on and carries inside itself before."""
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return importlib.import_module("joblib.externals.cloudpickle")


def _bare(task: Any) -> tuple[int, str, Any]:
    return task.number, task.feature_set, task.split


def _work(path: str, number: int) -> tuple[int, Fitted | Failure]:
    from dallm.evaluation.running.fitting import fit_one
    from dallm.evaluation.running.run import Failure
    from dallm.evaluation.running.threads import one_thread

    try:
        plan = _plan(path)
        with one_thread():
            return number, fit_one(plan, plan.tasks[number])
    except Exception as error:  # whatever a user's model raises is told with the name of the fit
        return number, Failure(type(error).__name__, str(error), traceback.format_exc())


def _plan(path: str) -> Plan:
    global _loaded
    if _loaded is None or _loaded[0] != path:
        import joblib

        from dallm.evaluation.running.tasks import Plan, Task

        cloudpickle = _by_value()
        inputs, patients, bare = joblib.load(path + ".data", mmap_mode="r")
        packed, rest = cloudpickle.loads(Path(path + ".models").read_bytes())
        models = cloudpickle.loads(packed)
        tasks = [Task(n, name, model, split) for (n, name, split), model in zip(bare, models, strict=True)]
        _loaded = path, Plan(inputs, patients, tasks, *rest)
    plan: Plan = _loaded[1]
    return plan
