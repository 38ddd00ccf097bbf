"""Worker processes that start in milliseconds and share the data without a copy.

Loading torch, scikit-learn and pandas takes a fresh interpreter about ten seconds of CPU, more than all other
costs of running in parallel; a forked process has them, and the tables, at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from dallm.evaluation.running.threads import VARIABLES

Item = TypeVar("Item")
Result = TypeVar("Result")
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class WorkerDied(Exception):  # noqa: N818 - what happened, seen from outside
    """A worker process ended in the middle of a fit."""

    def __init__(self, item: Any, exitcode: int | None) -> None:
        super().__init__(item, exitcode)
        self.item = item
        self.exitcode = exitcode


class ForkPool(Generic[Item, Result]):
    """Processes that compute ``work(item)``, one item at a time each.

    Parameters
    ----------
    work : callable
        Not pickled: the processes have it from this one. What it takes and returns is pickled.
    workers : int

    Examples
    --------
    >>> with ForkPool(lambda number: number * 2, 2) as pool:
    ...     sorted(pool.results([1, 2, 3]))
    [(1, 2), (2, 4), (3, 6)]
    """

    def __init__(self, work: Callable[[Item], Result], workers: int) -> None:
        context = multiprocessing.get_context("fork")
        self._work = work
        self._workers: list[tuple[Any, Connection]] = []
        try:
            with warnings.catch_warnings():
                # from Python 3.12 on; the workers only compute, with one thread, see _serve
                warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
                for _ in range(workers):
                    ours, theirs = context.Pipe()
                    process = context.Process(target=_serve, args=(theirs, work, os.getpid()), daemon=True)
                    process.start()
                    theirs.close()
                    self._workers.append((process, ours))
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> ForkPool[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def results(self, items: Sequence[Item], here: Sequence[Item] = ()) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result, as soon as it is there.

        Parameters
        ----------
        items : sequence
            For the processes, in this order.
        here : sequence
            For this process, in between: what must not run in a forked one.

        Raises
        ------
        WorkerDied
            If a process was killed from outside, for example because memory ran out.
        """
        waiting, own = list(reversed(items)), list(reversed(here))
        busy: dict[Connection, Item] = {}
        process_of = {connection: process for process, connection in self._workers}
        for _, connection in self._workers:
            if waiting:
                self._give(connection, busy, waiting)
        while busy or own:
            if own:
                item = own.pop()
                yield item, self._work(item)
            ready = set(wait(list(busy), timeout=0 if own else None)) if busy else set()
            for connection in [c for c in busy if c in ready]:
                try:
                    result = connection.recv()
                except (EOFError, OSError):
                    process = process_of[connection]
                    process.join(1)
                    raise WorkerDied(busy[connection], process.exitcode) from None
                item = busy.pop(connection)
                if waiting:
                    self._give(connection, busy, waiting)
                yield item, result

    @staticmethod
    def _give(connection: Connection, busy: dict[Connection, Item], waiting: list[Item]) -> None:
        item = waiting.pop()
        busy[connection] = item
        with contextlib.suppress(OSError):  # a process that is gone is seen where its answer is read
            connection.send(item)

    def kill(self) -> None:
        """End the processes at once, in the middle of a fit too."""
        for process, connection in self._workers:
            process.kill()
            connection.close()
        for process, _ in self._workers:
            process.join()
        self._workers.clear()


def fork_is_safe() -> bool:
    """Whether processes can be forked here: on Linux, as long as torch has not used a GPU in this process."""
    if not sys.platform.startswith("linux"):
        return False
    torch = sys.modules.get("torch")
    return torch is None or not (torch.cuda.is_available() and torch.cuda.is_initialized())


def _serve(connection: Connection, work: Callable[[Any], Any], parent: int) -> None:
    """Answer items until the parent is gone."""
    # Ctrl-C reaches the whole group of processes; the parent ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    gc.freeze()  # a collection that walks inherited objects would copy their pages
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(work(connection.recv()))
