"""Progress of a long step: a bar on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY_S = 5.0


@contextmanager
def progress_of(label: str, total: int | None, *, show: bool) -> Iterator[Callable[[str], None]]:
    """Give a function to call after each item with what was done; it shows nothing unless `show`.

    Examples
    --------
    >>> with progress_of("Reading", 2, show=False) as step:
    ...     step("a.md")
    """
    if not show:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda item: bar.update(
                task, advance=1, description=f"{label}: {item[:40]}" if item else label
            )
    else:
        done, said = 0, time.monotonic()

        def step(item: str) -> None:
            nonlocal done, said
            done += 1
            if time.monotonic() - said >= _EVERY_S or done == total:
                said = time.monotonic()
                of = f" of {total}" if total is not None else ""
                what = f" ({item[:60]})" if item else ""
                print(f"{label}: {done}{of}{what}", file=sys.stderr, flush=True)

        yield step
