"""One event loop in a thread of its own: asynchronous work for scripts, notebooks and threads alike.

A notebook already runs a loop in its main thread and a script runs none, so the calls run in neither. The
loop lives as long as the process: connections that one run opened serve the next one.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# a chat model without an asynchronous method works in these threads; fewer would bound how many run at once
_THREADS = 64
_LAST_WORDS_S = 1.0


class BackgroundLoop:
    """A running event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="dallm-model"))
        self._closers: list[weakref.WeakMethod[Callable[[], Awaitable[None]]]] = []
        self._thread = threading.Thread(target=self._serve, name="dallm-gateway", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def at_exit(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Remember a method that closes connections, for when the process ends; it keeps nothing alive."""
        self._closers = [known for known in self._closers if known() is not None]
        self._closers.append(weakref.WeakMethod(closer))

    def stop(self) -> None:
        """Close the connections, end what still runs, then the loop itself."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(TimeoutError):
            self.submit(self._wind_down()).result(_LAST_WORDS_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_LAST_WORDS_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    async def _wind_down(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        closers = [closer for known in self._closers if (closer := known()) is not None]
        await asyncio.gather(*(closer() for closer in closers), return_exceptions=True)
        await self.loop.shutdown_asyncgens()


_lock = threading.Lock()
_current: BackgroundLoop | None = None


def background_loop() -> BackgroundLoop:
    """Return the loop of this process; started when first asked for.

    Examples
    --------
    >>> async def add(a, b):
    ...     return a + b
    >>> background_loop().submit(add(1, 2)).result()
    3
    """
    global _current
    with _lock:
        if _current is None:
            _current = BackgroundLoop()
        return _current


def _forget() -> None:
    """In a forked child the thread is gone, and the lock may be held by one that is gone as well."""
    global _current, _lock
    _lock = threading.Lock()
    _current = None


def _stop() -> None:
    if _current is not None:
        _current.stop()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
