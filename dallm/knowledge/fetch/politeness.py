"""Manners: one request at a time to a host, with a pause between, and waiting when a server asks for it."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import dallm
from dallm.errors import UserError

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Clock:
    """The time, and how to wait; a test may pass one of its own whose `sleep` only moves the time on."""

    def now(self) -> datetime:
        """Return the date and time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM_CLOCK = Clock()


class _Host:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free_at = float("-inf")


# one queue per host for the whole process: two sources that ask one site still ask one at a time
_hosts: dict[tuple[Clock, str], _Host] = {}
_hosts_lock = threading.Lock()


@contextmanager
def turn(host: str, interval_s: float, clock: Clock) -> Iterator[None]:
    """Wait for the turn to ask `host`, hold it, and keep `interval_s` seconds free after it.

    Parameters
    ----------
    host : str
        Host and port.
    interval_s : float
        Seconds between the end of a request and the next one's start.
    clock : Clock
        Where the time comes from.
    """
    with _hosts_lock:
        place = _hosts.setdefault((clock, host), _Host())
    with place.lock:
        pause = place.free_at - clock.monotonic()
        if pause > 0:
            clock.sleep(pause)
        try:
            yield
        finally:
            place.free_at = clock.monotonic() + interval_s


def retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date.

    Parameters
    ----------
    value : str or None
        The header.
    now : datetime
        The present, with a time zone.

    Returns
    -------
    float or None
        Seconds from `now`, never negative; None where the header is missing or says nothing.

    Examples
    --------
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> retry_after("120", noon), retry_after("soon", noon)
    (120.0, None)
    >>> retry_after("Thu, 01 Jan 2026 12:01:30 GMT", noon)
    90.0
    """
    text = (value or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - now).total_seconds())
    return max(0.0, seconds) if seconds < float("inf") else None


def pause_before(attempt: int, asked_s: float | None) -> float:
    """Return how long to wait before trying again, in seconds.

    Parameters
    ----------
    attempt : int
        How many tries have failed, from 1.
    asked_s : float or None
        What the server asks for; never undercut.
    """
    # a random part, so that clients that failed together do not come back together
    own = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)
    return own if asked_s is None else asked_s + random.uniform(0, 0.5)


def user_agent(contact: str | None = None) -> str:
    """Return what the client calls itself: name, version, purpose and contact.

    Raises
    ------
    UserError
        If the contact holds what cannot stand in a header.

    Examples
    --------
    >>> user_agent("me@example.org")
    'dallm/... (clinical knowledge for research; contact: me@example.org)'
    """
    given = contact or os.environ.get("DALLM_CONTACT") or ""
    if not re.fullmatch(r"[\x20-\x7e]{0,200}", given):
        raise UserError(f"contact is a mail or web address in plain ASCII on one line; got {given[:80]!r}.")
    told = f"contact: {given}" if given else "no contact given"
    return f"dallm/{dallm.__version__} (clinical knowledge for research; {told})"
