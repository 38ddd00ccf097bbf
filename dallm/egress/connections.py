"""Connections that other people's clients make while they hold a patient's text, looked at as they are made.

A client that is not this project's may follow a redirect, or resolve a name a second time. While text is in
its hands, the interpreter's own audit events tell of every connection before it is made.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dallm.egress.addresses import is_private, literal
from dallm.errors import EgressError

_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")


@dataclass
class Watch:
    """What happened while connections were looked at: the last refusal, in words."""

    refused: str = ""


class RefusedConnectionError(EgressError, OSError):
    """A connection that was not made; also an OSError, so that clients treat it as one that failed."""


_watch: ContextVar[Watch | None] = ContextVar("dallm_connections", default=None)
_installed = False
_lock = threading.Lock()


@contextlib.contextmanager
def checked_connections(*, active: bool = True) -> Iterator[Watch]:
    """Refuse connections to public addresses within this context, whoever makes them.

    Examples
    --------
    >>> import socket
    >>> with checked_connections() as watch:
    ...     try:
    ...         socket.create_connection(("203.0.113.5", 80))
    ...     except OSError:
    ...         print(watch.refused[:42])
    The connection to 203.0.113.5 was not made
    """
    watch = Watch()
    if not active:
        yield watch
        return
    _install()
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


def _install() -> None:
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_look)
            _installed = True


def _look(event: str, args: tuple[Any, ...]) -> None:
    if event not in _CONNECTING:
        return
    watch = _watch.get()
    address = args[1] if len(args) > 1 else None
    if watch is None or not isinstance(
        address, tuple
    ):  # None: connected before; text: a socket of this machine
        return
    host = str(address[0])
    ip = literal(host)
    # a name would be resolved only now, behind the guard's back
    if host.lower() == "localhost" or (ip is not None and is_private(ip)):
        return
    watch.refused = (
        f"The connection to {host} was not made: it is a public address, and the cohort's data_use is "
        "'credentialed'."
    )
    raise RefusedConnectionError(watch.refused)
