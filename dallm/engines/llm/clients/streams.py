"""Connections that tell quickly whether they are still there."""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2

_CAN_POLL = hasattr(select, "poll")  # not on every platform


class Backend(httpcore2.AnyIOBackend):
    """Makes connections as httpcore2 does by itself in asyncio.

    A pool asks every idle connection, twice per call, whether the server has closed it. httpcore2's own
    streams look up all that is known of the socket for that, its addresses too; these keep the socket.
    """

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a host."""
        return Stream(await super().connect_tcp(host, port, timeout, local_address, socket_options))

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a socket of this machine."""
        return Stream(await super().connect_unix_socket(path, timeout, socket_options))


class Stream(httpcore2.AsyncNetworkStream):
    """A connection that keeps its socket at hand.

    Parameters
    ----------
    stream : AsyncNetworkStream
        What reads and writes.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        self.read = stream.read  # type: ignore[method-assign]  # at once, without a coroutine in between
        self.write = stream.write  # type: ignore[method-assign]

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return the connection with TLS around it."""
        return Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection; ``"is_readable"``: something, or its end, has arrived."""
        if info != "is_readable" or not _CAN_POLL or self._socket is None:
            return self._stream.get_extra_info(info)
        number = self._socket.fileno()
        if number < 0:  # closed on this side
            return True
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))


def quickened(transport: Any) -> bool:
    """Have a transport of httpx2 make its connections by :class:`Backend`; tell whether it does.

    Only speed depends on it: a transport that keeps its connections elsewhere stays as it is.
    """
    pool: Any = getattr(transport, "_pool", None)
    own = type(pool) is httpcore2.AsyncConnectionPool and hasattr(pool, "_network_backend")
    if own:
        pool._network_backend = Backend()
    return own
