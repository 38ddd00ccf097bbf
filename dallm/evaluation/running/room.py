"""Memory that is free given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import sys

LARGE_ROWS = 300_000
"""From so many rows on memory counts for more than time."""


def give_back() -> None:
    """Hand the free memory of this process back, where the C library can: glibc keeps it otherwise.

    Arrays below 32 MB, columns of a million rows among them, come from a heap that shrinks at its end only;
    what one fit used would stand beside what the next one takes.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such function
            ctypes.CDLL(None).malloc_trim(0)
