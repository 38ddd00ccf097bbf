"""One piece of work at a time in a thread of its own, while the caller prepares the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Behind(Generic[T]):
    """Runs work behind the caller's back, one piece after the other; errors come to the caller.

    The thread is a daemon: a caller that is interrupted (Ctrl-C) need not wait for a server that is away.

    Examples
    --------
    >>> done = []
    >>> behind = Behind()
    >>> for number in range(3):
    ...     behind.start(lambda n=number: done.append(n))
    >>> behind.wait()
    >>> done
    [0, 1, 2]
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._results: list[T] = []
        self._error: BaseException | None = None

    def start(self, work: Callable[[], T]) -> None:
        """Start a piece of work when the one before is done; raise what that one raised."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(work,), name="dallm writer", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being done, and raise what the work raised."""
        self.settle()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def settle(self) -> None:
        """Wait until nothing is being done, whatever came of it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def results(self) -> list[T]:
        """What the pieces that are done gave, in their order."""
        return self._results

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._results.append(work())
        except BaseException as error:  # it is raised again where the caller looks for it
            self._error = error
