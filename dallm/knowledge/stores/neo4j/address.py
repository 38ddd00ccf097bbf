"""Where a Neo4j database is, and as whom to enter it: from arguments, or from the usual variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from dallm.errors import StoreError, did_you_mean

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


class Address(NamedTuple):
    """Where a database is and as whom to enter it; its text holds no password."""

    uri: str
    user: str | None
    password: str | None
    database: str | None

    def __repr__(self) -> str:
        return f"Address({self.uri!r}, user={self.user!r}, database={self.database!r})"


def resolve_address(
    uri: str | None = None,
    *,
    user: str | None = None,
    password: str | None = None,
    database: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Address:
    """Return where the database is, from arguments first and the environment then.

    Raises
    ------
    StoreError
        If there is no address, or it cannot be one of a Neo4j database.

    Examples
    --------
    >>> resolve_address("neo4j://localhost", password="secret", environ={})
    Address('neo4j://localhost', user='neo4j', database=None)
    """
    uri = str(uri or environ.get("NEO4J_URI") or "").strip()
    if not uri:
        raise StoreError(
            "No Neo4j database is named; give its address, for example 'neo4j://localhost:7687', or set "
            "NEO4J_URI."
        )
    _check(uri)
    scheme, _, rest = uri.partition("://")
    uri = f"{scheme.lower()}://{rest}"  # the driver's own check minds the case
    password = password if password is not None else environ.get("NEO4J_PASSWORD") or None
    user = user or environ.get("NEO4J_USERNAME") or ("neo4j" if password is not None else None)
    return Address(uri, user, password, database or environ.get("NEO4J_DATABASE") or None)


def _check(uri: str) -> None:
    """Refuse an address that cannot be one of a Neo4j database."""
    parts = _split(uri)
    shown = uri.replace(f"{parts.netloc.rpartition('@')[0]}@", "") if "@" in parts.netloc else uri
    if "@" in parts.netloc:
        raise StoreError(
            f"The address {shown} came with a user or password in it, where logs and process lists show "
            "them; leave them out and give user= and password=, or set NEO4J_USERNAME and NEO4J_PASSWORD."
        )
    scheme = parts.scheme
    if scheme not in SCHEMES:
        host = parts.hostname or (uri if "/" not in uri else "localhost")
        tls = "neo4j+s" if scheme == "https" else "neo4j"
        found = f"its scheme is {scheme!r}" if "://" in uri else "it has no scheme"
        raise StoreError(
            f"{shown} is no address of a Neo4j database: {found}, where one of {', '.join(SCHEMES)} is "
            "needed. Write for example "
            f"'{tls}://{host.partition(':')[0]}:7687'.{did_you_mean(scheme, SCHEMES)}"
        )
    if not parts.hostname:
        raise StoreError(f"{shown} names no host; write for example '{scheme}://localhost:7687'.")
    if parts.query and not scheme.startswith("neo4j"):
        raise StoreError(
            f"{shown} has options after a question mark, which {scheme} does not take; leave them out."
        )
    if parts.hostname.endswith(".databases.neo4j.io") and "+" not in scheme:
        raise StoreError(
            f"{shown} is a database of Neo4j Aura, which is reached over TLS only; write "
            f"'{scheme}+s{uri[len(scheme) :]}'."
        )


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise StoreError(
            f"{re.sub(r'//[^/]*@', '//', uri)} is no address: {error}; write for example "
            "'neo4j://localhost:7687'."
        ) from error
    return parts
