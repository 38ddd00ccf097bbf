"""Worker processes where none can be forked: fresh interpreters that read the data from one mapped file."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dallm.evaluation.running.tasks import Fitted, Plan
    from dallm.evaluation.running.units import Failure

Unit = tuple[int, ...]

_loaded: tuple[str, Any] | None = None  # the plan that this worker process has read


def fresh_results(
    plan: Plan, units: Sequence[Unit], workers: int
) -> Iterator[tuple[Unit, list[Fitted | Failure]]]:
    """Yield each unit of work with its results, as soon as they are there.

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
            with closing(parallel(joblib.delayed(_work)(path, unit) for unit in units)) as given:
                yield from given


def _by_value() -> Any:
    """Return cloudpickle, which joblib needs from 1.6 on and carries inside itself before."""
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return importlib.import_module("joblib.externals.cloudpickle")


def _bare(task: Any) -> tuple[int, str, Any]:
    return task.number, task.feature_set, task.split


def _work(path: str, unit: Unit) -> tuple[Unit, list[Fitted | Failure]]:
    from dallm.evaluation.running.threads import one_thread
    from dallm.evaluation.running.units import fit_unit

    plan = _plan(path)
    with one_thread():
        return unit, fit_unit(plan, unit)


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
