"""Work in a thread of its own: in order, one piece at a time, errors come to the caller."""

from __future__ import annotations

import threading

import pytest

from dallm.errors import StoreError
from dallm.knowledge.stores.neo4j.behind import Behind


def test__start__second_piece__waits_for_the_first():
    behind, goes_on, began = Behind(), threading.Event(), []

    def first() -> int:
        assert goes_on.wait(30)
        return 1

    def second() -> int:
        began.append(2)
        return 2

    behind.start(first)
    caller = threading.Thread(target=lambda: behind.start(second))
    caller.start()
    caller.join(0.1)
    assert caller.is_alive()
    assert began == []
    goes_on.set()
    caller.join(30)
    behind.wait()
    assert behind.results == [1, 2]


def test__wait__work_failed__raises_it_once_and_starts_nothing_after_it():
    behind, done = Behind(), []

    def failing() -> None:
        raise StoreError("The server went away.")

    behind.start(failing)
    with pytest.raises(StoreError, match="went away"):
        behind.start(lambda: done.append(1))
    behind.wait()
    assert (done, behind.results) == ([], [])


def test__settle__work_failed__waits_and_raises_nothing_yet():
    behind = Behind()
    behind.start(lambda: 1 / 0)
    behind.settle()
    with pytest.raises(ZeroDivisionError):
        behind.wait()
