"""How many fits may run at once: as many as there are cores, unless memory is the bound."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING

from dallm.errors import UserError
from dallm.evaluation.running.room import LARGE_ROWS
from dallm.evaluation.running.threads import cores

if TYPE_CHECKING:
    from dallm.evaluation.fits import Inputs
    from dallm.evaluation.running.tasks import Plan, Task

PER_FIT = 3.0
"""Memory of a fit, in sizes of its table: the training rows and the numbers that the model makes of them
(measured with XGBoost and logistic regression on a million rows of ten numbers)."""

_BEYOND_TABLE = 3.0


def workers_for(plan: Plan, tasks: Sequence[Task], n_jobs: int | None) -> int:
    """Return how many fits to run at once.

    Raises
    ------
    UserError
        If `n_jobs` is no number of fits.
    """
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or n_jobs == 0):
        raise UserError(f"n_jobs={n_jobs!r}: give the number of fits at once, or -1 for all cores.")
    process = multiprocessing.current_process()
    if process.daemon or (n_jobs is None and process.name.startswith("LokyProcess")):
        return 1  # a worker of somebody else's: the cores are taken, and it may have no children
    wanted = cores() if n_jobs is None else n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)
    return max(1, min(wanted, len(tasks), affordable(plan.inputs)))


def affordable(inputs: Inputs) -> int:
    """Return how many fits at once keep the memory within four times the largest table.

    Examples
    --------
    >>> import pandas as pd
    >>> from dallm.evaluation.fits import Inputs
    >>> table = pd.DataFrame({"a": range(1_000_000)})
    >>> affordable(Inputs({"a": table}, pd.DataFrame(), None))
    1
    """
    sizes = [int(frame.memory_usage(index=False).sum()) for frame in inputs.sets.values()]
    rows = max((len(frame) for frame in inputs.sets.values()), default=0)
    if rows < LARGE_ROWS:
        return 10_000
    return max(1, int(_BEYOND_TABLE * max(sizes) // (PER_FIT * max(sizes))))
