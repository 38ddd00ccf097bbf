"""Processes and threads that tests start; none of them outlives its test, whatever happens in it.

A process that hangs keeps the output of the whole run open, and whoever reads that waits with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

_started: list[subprocess.Popen[Any] | BaseProcess] = []


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a command as `subprocess.Popen` does; it and what it started are killed when the test ends."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    _started.append(process)
    return process


def start_process(process: BaseProcess) -> None:
    """Start a process of `multiprocessing`; it is killed when the test ends."""
    _started.append(process)
    process.daemon = True
    process.start()


def end_all() -> None:
    """Kill what is still running of what was started; a fixture of conftest.py calls it after each test."""
    while _started:
        process = _started.pop()
        if isinstance(process, BaseProcess):
            process.kill()
            process.join(30)
        elif process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def succeed(*commands: Sequence[str], within_s: float = 120) -> None:
    """Run commands at the same time; all of them have to end well."""
    running = [start(command, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, errors = process.communicate(timeout=within_s)
        assert process.returncode == 0, errors.decode()


def at_once(*work: Callable[[], object], within_s: float = 120) -> None:
    """Run functions in a thread each; raise what one of them raised, and fail where a thread hangs."""
    failed: list[BaseException] = []

    def run(one: Callable[[], object]) -> None:
        try:
            one()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(within_s)
    assert not any(thread.is_alive() for thread in threads), f"a thread did not end within {within_s} s"
    if failed:
        raise failed[0]


def stop(process: subprocess.Popen[Any], within_s: float = 5) -> None:
    """End a server that stops when its standard input is closed, or kill it where it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
