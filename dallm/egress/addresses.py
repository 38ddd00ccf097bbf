"""Whether an address lies on the premises: on this machine or in a private network."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

# what is not listed is public: ranges for documentation, shared or reserved ones are nobody's own network
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "0.0.0.0/32",  # to connect to it is to connect to this machine
            "::1/128",
            "::/128",
            "fc00::/7",
            "fe80::/10",
        ),
    )
)
_PRIVATE_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".intranet", ".localdomain")
_OF_THIS_MACHINE = ("/", "unix:", "http+unix:", "https+unix:", "file:///", "file:/")
# two programs may read these differently: where the one sees a host the other may see a user's name
_AMBIGUOUS = re.compile(r"[\x00-\x20\\\x7f]")


def is_public(address: str) -> bool:
    """Whether what is sent to an address may leave the premises.

    Not public are loopback, private and link-local addresses, sockets of this machine, and names all of whose
    addresses are so. A name that does not resolve is public unless it has no dot or a private ending, such as
    ``.internal``. What can be read in two ways is public.

    Parameters
    ----------
    address : str
        A URL, or a host with or without a port.

    Examples
    --------
    >>> is_public("http://127.0.0.1:8000/v1"), is_public("neo4j://10.1.2.3:7687"), is_public("bolt://[::1]")
    (False, False, False)
    >>> is_public("https://8.8.8.8/v1"), is_public("http://134744072/"), is_public("http://127.0.0.1@8.8.8.8/")
    (True, True, True)
    """
    host = host_of(address)
    if host is None:
        return False
    if not host or _AMBIGUOUS.search(address.strip()):
        return True
    if (ip := literal(host)) is not None:
        return not is_private(ip)
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return "." in host and not host.endswith(_PRIVATE_ENDINGS)
    return not all_private(found)


def all_private(literals: Iterable[str]) -> bool:
    """Whether all addresses that a name resolved to are private; False where it resolved to none."""
    ips = [literal(text) for text in literals]
    return bool(ips) and all(ip is not None and is_private(ip) for ip in ips)


def is_private(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is of this machine or of a private network.

    Examples
    --------
    >>> is_private(ipaddress.ip_address("192.168.0.7")), is_private(ipaddress.ip_address("203.0.113.7"))
    (True, False)
    """
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return any(mapped in network for network in _PRIVATE if network.version == mapped.version)


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as, also in decimal, octal or hexadecimal; None for a name.

    Examples
    --------
    >>> literal("0x7f000001"), literal("fe80::1%eth0"), literal("example.org")
    (IPv4Address('127.0.0.1'), IPv6Address('fe80::1'), None)
    """
    if ":" in host:
        try:
            return ipaddress.ip_address(host.split("%")[0])
        except ValueError:
            return None
    try:  # as the system reads it, which takes more spellings than `ipaddress`
        return (
            ipaddress.ip_address(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fA-FxX.]+", host) else None
        )
    except OSError:
        return None


def host_of(address: str) -> str | None:
    """Return the host of an address in lower case; None for a socket or a file of this machine.

    Examples
    --------
    >>> host_of("https://ann:pw@Models.Example.org.:8443/v1"), host_of("[::1]:7687"), host_of("/run/a.sock")
    ('models.example.org', '::1', None)
    """
    text = address.strip()
    if text.startswith(_OF_THIS_MACHINE) and not text.startswith("//"):
        return None
    if literal(text) is not None:
        return text.lower()
    try:
        host = urlsplit(text if "://" in text else f"//{text.removeprefix('//')}").hostname
    except ValueError:
        return text.lower()
    return (host or "").rstrip(".").lower()


def shown(address: str) -> str:
    """Return an address without what may be a password in it.

    Examples
    --------
    >>> shown("https://ann:secret@models.example.org/v1")
    'https://models.example.org/v1'
    """
    head, mark, rest = address.rpartition("://")
    return head + mark + rest.rpartition("@")[2]
