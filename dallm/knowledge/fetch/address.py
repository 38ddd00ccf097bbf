"""Addresses: what is asked for, what may be shown of it, and where a redirect may lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

from dallm.knowledge.fetch.outcome import FetchError

_SCHEMES = ("http", "https")


class Address(NamedTuple):
    """An address as it is asked for, and as it may be shown: without a password."""

    url: str
    shown: str


def address_of(url: str, params: Mapping[str, str | int] | None = None) -> Address:
    """Join an address and parameters.

    Raises
    ------
    FetchError
        If it is no http or https address.

    Examples
    --------
    >>> address_of("https://me:pw@example.org/a b?x=1#part", {"q": "lung & heart"})
    Address(url='https://me:pw@example.org/a%20b?x=1&q=lung+%26+heart', shown='https://example.org/a%20b?x=1&q=lung+%26+heart')
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(f"{url[:200]!r} is no web address ({error}).", url=url[:200]) from error
    if parts.scheme.lower() not in _SCHEMES or not host:
        raise FetchError(f"{url[:200]!r} is no http or https address.", url=url[:200])
    # names with letters beyond ASCII are quoted; what is quoted already stays as it is
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "&".join(
        part for part in (quote(parts.query, safe="/%:@!$&'()*+,;=~-._?"), urlencode(params or {})) if part
    )
    bare = host if port is None else f"{host}:{port}"
    if ":" in host:
        bare = f"[{host}]" if port is None else f"[{host}]:{port}"
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    scheme = parts.scheme.lower()
    return Address(
        urlunsplit((scheme, user + bare, path, query, "")), urlunsplit((scheme, bare, path, query, ""))
    )


def origin_of(url: str) -> str:
    """Return host and port, to queue requests by.

    Examples
    --------
    >>> origin_of("https://en.wikipedia.org/wiki/Asthma"), origin_of("http://127.0.0.1:8080/")
    ('en.wikipedia.org', '127.0.0.1:8080')
    """
    return urlsplit(url).netloc.rpartition("@")[2]


def redirected(url: str, location: str, shown: str) -> str:
    """Return where a redirect of `url` leads.

    Raises
    ------
    FetchError
        If it leads out of http and https, or from https down to http.
    """
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme.lower()
    except ValueError:
        target, scheme = "", ""
    if scheme not in _SCHEMES or (scheme == "http" and url.startswith("https:")):
        raise FetchError(
            f"{shown} redirects to {location[:200]!r}, which is not followed: only http and https are, and "
            "never from https to http.",
            url=shown,
        )
    return address_of(target).url


def hidden(text: str, secret: Mapping[str, str]) -> str:
    """Return a text without the values of secret parameters.

    Examples
    --------
    >>> hidden("https://example.org/?key=a%2Fb", {"key": "a/b"})
    'https://example.org/?key=***'
    """
    for value in filter(None, secret.values()):
        for written in (value, quote(value, safe=""), urlencode({"": value})[1:]):
            text = text.replace(written, "***")
    return text
