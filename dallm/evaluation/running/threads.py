"""One thread per fit: torch, OpenMP and BLAS pinned while fits run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What libraries read when they are loaded; it reaches those that a fit loads later."""


def cores() -> int:
    """Return how many cores this process may use: affinity and limits of a container are respected."""
    import joblib

    return max(1, int(joblib.cpu_count()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the numerical libraries of this process use one thread, and give them back theirs afterwards.

    One thread is what makes scores equal however many fits run at once: sums of several threads are added in
    an order that differs.

    Examples
    --------
    >>> with one_thread():
    ...     os.environ["OMP_NUM_THREADS"]
    '1'
    """
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in VARIABLES}
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else None
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    try:
        with threadpool_limits(1):
            if torch is not None:
                torch.set_num_threads(1)
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        torch = sys.modules.get("torch")
        if torch is not None:  # loaded by a fit, it read one thread from the environment
            torch.set_num_threads(threads if threads is not None else cores())
