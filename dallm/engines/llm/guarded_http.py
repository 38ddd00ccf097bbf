"""Connections for patient text: the address really connected to is checked, no proxy, no redirect.

A name is resolved once, by the guard; all its addresses are checked, and one of these is connected to. Nobody
resolves it a second time. TLS is verified by the name, as always.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

from dallm.egress import Allowed, AllowEgress
from dallm.egress.addresses import all_private
from dallm.engines.llm.clients.streams import Backend
from dallm.errors import EgressError, EngineError

CONNECT_S = 4.0
"""How long a connection may take to be made."""

_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=15.0)


def guarded_client(
    cohort_data_use: str,
    allow_egress: AllowEgress = None,
    timeout: float | httpx2.Timeout | None = None,
    *,
    uds: str | None = None,
) -> httpx2.AsyncClient:
    """Return an HTTP client for calls that hold text of a cohort.

    Parameters
    ----------
    cohort_data_use : {"credentialed", "open"}
        For open data an ordinary client is returned; for all else one that connects to private addresses and
        allowed hosts only, without proxies and without following redirects.
    allow_egress : bool, str, collection or mapping of str, optional
        See :func:`dallm.egress.refuse_patient_text`.
    timeout : float or httpx2.Timeout, optional
        In seconds; by default only connecting is bounded.
    uds : str, optional
        Path of a socket of this machine to connect to instead.

    Examples
    --------
    >>> client = guarded_client("credentialed")
    >>> client.trust_env, client.follow_redirects
    (False, False)
    """
    within = (
        httpx2.Timeout(timeout, connect=CONNECT_S) if not isinstance(timeout, httpx2.Timeout) else timeout
    )
    if cohort_data_use == "open":
        transport = httpx2.AsyncHTTPTransport(uds=uds, limits=_LIMITS) if uds else None
        return httpx2.AsyncClient(timeout=within, limits=_LIMITS, transport=transport, follow_redirects=False)
    return httpx2.AsyncClient(
        timeout=within,
        transport=GuardedTransport(Allowed.of(allow_egress), uds=uds),
        follow_redirects=False,
        trust_env=False,  # neither HTTPS_PROXY nor its kin, nor a password from .netrc
    )


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """HTTP whose connections are made by :class:`CheckedBackend`.

    Parameters
    ----------
    allowed : Allowed
        Hosts that may be public.
    uds : str, optional
        Path of a socket of this machine.
    """

    def __init__(self, allowed: Allowed, *, uds: str | None = None) -> None:
        context = httpx2.create_ssl_context()  # reads SSL_CERT_FILE: a hospital's own authority stands there
        super().__init__(verify=context, trust_env=False, limits=_LIMITS)
        if not isinstance(getattr(self, "_pool", None), httpcore2.AsyncConnectionPool):
            raise EngineError(
                f"httpx2 {httpx2.__version__} keeps its connections elsewhere than dallm's guard knows, so "
                "that patient text cannot be sent safely. Install an earlier version of httpx2."
            )
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            uds=uds,
            network_backend=CheckedBackend(allowed),
        )


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Makes connections, to checked addresses only.

    Parameters
    ----------
    allowed : Allowed
        Hosts that may be public.
    """

    def __init__(self, allowed: Allowed) -> None:
        self.allowed = allowed
        self._backend = Backend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve a host, check every address, and connect to the first that answers.

        Raises
        ------
        EgressError
            If one of the addresses is public and the host is not allowed.
        """
        fault: Exception | None = None
        for address in await self._checked(host, port, timeout):
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                fault = fault or error
        raise fault or httpcore2.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a socket of this machine."""
        return await self._backend.connect_unix_socket(path, timeout, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)

    async def _checked(self, host: str, port: int, timeout: float | None) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host.rstrip("."), port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} is not known: {error}") from None
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        if host not in self.allowed and not all_private(addresses):
            raise EgressError(
                f"{host} leads to the public address {', '.join(addresses)}, and the cohort's data_use is "
                f"'credentialed': nothing was sent. Where the data's terms allow it, name the host and the "
                f"agreement: allow_egress={{{host!r}: 'the agreement'}}."
            )
        return addresses
