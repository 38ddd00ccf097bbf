"""Progress of many fits of unlike length, with the time that is left."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dallm.evaluation.running.tasks import Task

_EVERY_S = 5.0
_REDRAW_S = 0.1
_QUICKER = 0.1  # of the time of a deep model's fit, for other models of which nothing is known yet


class TimeLeft:
    """Says how long the fits that are left will take, from how long those of the same model took.

    Parameters
    ----------
    tasks : sequence of Task
        Still to run.
    workers : int
    """

    def __init__(self, tasks: Sequence[Task], workers: int) -> None:
        self._left: dict[str, int] = defaultdict(int)
        self._deep: dict[str, bool] = {}
        self._spent: dict[str, float] = defaultdict(float)
        self._done: dict[str, int] = defaultdict(int)
        self._workers = max(1, workers)
        for task in tasks:
            self._left[task.model.name] += 1
            self._deep[task.model.name] = task.model.deep

    def finished(self, model: str, seconds: float) -> None:
        """Count a fit that is done."""
        self._left[model] -= 1
        self._done[model] += 1
        self._spent[model] += seconds

    def seconds(self) -> float | None:
        """Return the seconds left; None before anything is known."""
        if not self._done:
            return None
        usual = sum(self._spent.values()) / sum(self._done.values())
        all_deep = all(self._deep[m] for m in self._done if self._done[m])
        each = {}
        for m in self._left:
            guess = usual * _QUICKER if all_deep and not self._deep[m] else usual
            each[m] = self._spent[m] / self._done[m] if self._done[m] else guess
        return sum(n * each[m] for m, n in self._left.items()) / self._workers


def as_time(seconds: float) -> str:
    """Return seconds in words.

    Examples
    --------
    >>> as_time(42), as_time(170), as_time(7500)
    ('42 s', '3 min', '2 h 5 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress_of_fits(
    total: int, kept: int, left: TimeLeft, *, show: bool
) -> Iterator[Callable[[Task, float], None]]:
    """Give a function to call after each fit; it shows nothing unless `show`.

    Parameters
    ----------
    total, kept : int
        Fits in all, and those that were found kept.
    left : TimeLeft
    show : bool
    """
    if show and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("Fits"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        # it redraws when told: a thread of its own would be running while processes are forked
        with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
            shown = bar.add_task("", total=total, completed=kept)
            drawn = 0.0

            def advance(task: Task, seconds: float) -> None:
                nonlocal drawn
                left.finished(task.model.name, seconds)
                now = time.monotonic()
                due = now - drawn >= _REDRAW_S
                drawn = now if due else drawn
                bar.update(shown, advance=1, description=_words(left), refresh=due)

            yield advance
        return
    done, said = kept, time.monotonic()

    def line(task: Task, seconds: float) -> None:
        nonlocal done, said
        left.finished(task.model.name, seconds)
        done += 1
        if show and (time.monotonic() - said >= _EVERY_S or done == total):
            said = time.monotonic()
            print(f"Fits: {done:,} of {total:,}, {_words(left)}", file=sys.stderr, flush=True)

    if show and kept:
        print(f"Fits: {kept:,} of {total:,} were kept", file=sys.stderr, flush=True)
    yield line


def _words(left: TimeLeft) -> str:
    seconds = left.seconds()
    return "" if seconds is None else f"about {as_time(seconds)} left" if seconds > 0 else "done"
