"""What went wrong at a Neo4j server, in words that say what to do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dallm.errors import StoreError, did_you_mean

if TYPE_CHECKING:
    from neo4j import Driver

    from dallm.knowledge.stores.neo4j.address import Address

_START = "Start it (docker compose up -d starts the one of compose.yaml)"


def away(error: Exception) -> bool:
    """Whether the server, or the database in it, is out of reach for now."""
    from neo4j.exceptions import (
        DatabaseUnavailable,
        NotALeader,
        ServiceUnavailable,
        SessionExpired,
    )

    if isinstance(error, (ServiceUnavailable, SessionExpired, DatabaseUnavailable, NotALeader)):
        # IncompleteCommit is a ServiceUnavailable: what is written comes out the same when written twice.
        return not _misdirected(error)
    # A server that just started lets in a user before it knows its databases.
    return _code(error) in (
        "Neo.TransientError.General.DatabaseUnavailable",
        "Neo.ClientError.Database.DatabaseNotFound",
        "Neo.TransientError.Database.DatabaseUnavailable",
    )


def lost_a_race(error: Exception) -> bool:
    """Whether another writer made the same node meanwhile: once more, and it is found."""
    return _code(error) == "Neo.ClientError.Schema.ConstraintValidationFailed"


def passes(error: Exception) -> bool:
    """Whether the server is there and may take the same transaction a little later (a deadlock, no "
    "memory)."""
    retryable = getattr(error, "is_retryable", None)
    return bool(retryable and retryable())


def told(error: Exception, uri: str, database: str, waited_s: float) -> StoreError:
    """Return the error that a user meets when a transaction fails for good."""
    code = _code(error)
    if away(error):
        return StoreError(
            f"Neo4j at {uri} did not answer for {waited_s:.0f} s ({_reason(error)}). Everything written "
            "before is kept, nothing is left half written: start the server again and run the same command "
            "or call once more; it goes on where it stopped."
        )
    if code == "Neo.ClientError.Security.Forbidden":
        return StoreError(
            f"The user may not do this in the database {database!r} at {uri}: {_message(error)} Take a user "
            "with the rights to read, to write and to make indexes and constraints, or open with "
            "read_only=True."
        )
    if ".Security." in code:
        return StoreError(f"Neo4j at {uri} lets the user in no more: {_message(error)} Open the store again.")
    return StoreError(
        f"Neo4j at {uri} (database {database!r}) refused: {_message(error)} "
        f"[{code or type(error).__name__}]. What was written before is kept; the same command goes on once "
        "this is mended."
    )


def told_at_opening(error: Exception, address: Address, reopen: Callable[[str], Driver]) -> StoreError:
    """Return the error that a user meets when a database cannot be opened.

    Parameters
    ----------
    error : Exception
        What the driver raised.
    address : Address
        What was opened.
    reopen : callable
        Makes a driver for another address of the same server, to learn what its error or its databases are.
    """
    uri, code = address.uri, _code(error)
    if not code and "routing" in str(error) and uri.startswith("neo4j"):
        # A driver that routes hides why a server does not answer; one that does not route says it.
        error = _direct(reopen, "bolt" + uri[len("neo4j") :].partition("?")[0]) or error
        code = _code(error)
    if ".Security." in code:
        return StoreError(_refused(error, code, address))
    if code == "Neo.ClientError.Database.DatabaseNotFound":
        return StoreError(_no_database(address, reopen))
    if code.endswith("DatabaseUnavailable"):
        return StoreError(
            f"The database {address.database or 'of the user'!r} at {uri} is not available: it starts, or "
            "was stopped. Try again in a few seconds, or start it (START DATABASE)."
        )
    if "otification filter" in str(error):  # of Bolt before 5.2
        return StoreError(
            f"The server at {uri} is older than Neo4j 5.7; the stores need 5.18 or newer, for its vector "
            "indexes. Update the server, or start a new one: compose.yaml of the project holds one."
        )
    return StoreError(_unreached(error, uri))


def _refused(error: Exception, code: str, address: Address) -> str:
    uri = address.uri
    if code.endswith("AuthenticationRateLimit"):
        return (
            f"Neo4j at {uri} refuses the user {address.user!r} for a while, after too many wrong passwords; "
            "wait a few seconds, then try again with the right one."
        )
    if code.endswith("CredentialsExpired"):
        return (
            f"Neo4j at {uri} wants a new password for the user {address.user!r} first: run ALTER CURRENT "
            "USER SET PASSWORD FROM 'old' TO 'new' in its cypher-shell or browser."
        )
    if address.password is None:
        return (
            f"Neo4j at {uri} wants a user and a password and got none; set NEO4J_USERNAME and "
            "NEO4J_PASSWORD, or give user= and password=."
        )
    if code.endswith("Unauthorized"):
        return (
            f"Neo4j at {uri} refused the user {address.user!r} or the password; check NEO4J_USERNAME and "
            "NEO4J_PASSWORD (or user= and password=). A server keeps the password that it was first started "
            "with."
        )
    return f"Neo4j at {uri} does not let the user {address.user!r} in: {_message(error)}"


def _no_database(address: Address, reopen: Callable[[str], Driver]) -> str:
    names: list[str] = []
    from neo4j.exceptions import DriverError, Neo4jError

    with contextlib.suppress(DriverError, Neo4jError), reopen(address.uri) as driver:
        records = driver.execute_query("SHOW DATABASES YIELD name", database_="system").records
        names = sorted({str(record["name"]) for record in records} - {"system"})
    has = f"it has {', '.join(map(repr, names))}" if names else "ask its administrator for the name"
    return (
        f"Neo4j at {address.uri} has no database {address.database!r}; {has}. Leave database= (and "
        f"NEO4J_DATABASE) out for the user's home database.{did_you_mean(address.database, names)}"
    )


def _unreached(error: Exception, uri: str) -> str:
    scheme = uri.partition("://")[0]
    plain = scheme.partition("+")[0]
    trail = list(_trail(error))
    text = " ".join(map(str, trail))
    if any("CERTIFICATE_VERIFY_FAILED" in str(one) for one in trail):
        return (
            f"The certificate of {uri} is not signed by an authority that this machine trusts; if the "
            f"server signs its own and you trust the network, write {plain}+ssc:// instead of {scheme}://."
        )
    if "encrypted connection" in text or any(type(one).__name__.startswith("SSL") for one in trail):
        return (
            f"What listens at {uri} does not speak TLS, which {scheme}:// asks for; write {plain}:// for a "
            "server without TLS, or switch TLS on at the server (server.bolt.tls_level)."
        )
    if "HTTP" in text:
        return f"{uri} is a port for web pages (HTTP); Neo4j answers databases on another, usually 7687."
    if "annot resolve" in text or any(isinstance(one, socket.gaierror) for one in trail):
        return f"No machine has the name in {uri}; check the address (or NEO4J_URI)."
    if "refused" in text:
        return f"Nothing listens at {uri}. {_START}, or check the address (or NEO4J_URI)."
    if "imed out" in text or "timeout" in text.casefold():
        return (
            f"{uri} does not answer as a Neo4j does (timed out). {_START}, or check the address, its port "
            "and the firewall."
        )
    return (
        f"No Neo4j can be reached at {uri}: {_reason(error)}. {_START}, or check the address: the port of "
        f"Bolt is usually 7687, and a server that asks for TLS needs {plain}+s://."
    )


def _direct(reopen: Callable[[str], Driver], uri: str) -> Exception | None:
    """Return what a driver that does not route meets at the same server."""
    from neo4j.exceptions import DriverError, Neo4jError

    try:
        with reopen(uri) as driver:
            driver.verify_connectivity()
    except (DriverError, Neo4jError) as error:
        return error
    return None


def _misdirected(error: Exception) -> bool:
    """Whether waiting cannot help: nobody has the name, or what answers is no Neo4j."""
    return "encrypted connection" in str(error) or "HTTP" in str(error)


def _trail(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _code(error: Exception) -> str:
    return str(getattr(error, "code", "") or "")


def _message(error: Exception) -> str:
    text = " ".join(str(getattr(error, "message", "") or error).split())
    return text if text.endswith(".") else f"{text}."


def _reason(error: Exception) -> str:
    """The shortest text that tells a connection's failure apart."""
    last = list(_trail(error))[-1]
    return str(last).strip().splitlines()[0].rstrip(".") if str(last).strip() else type(last).__name__
