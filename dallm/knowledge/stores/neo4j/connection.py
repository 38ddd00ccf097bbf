"""One connection to a Neo4j database: checked when it opens, patient while the server is away."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import dallm
from dallm.errors import StoreError
from dallm.knowledge.stores.neo4j import failures
from dallm.knowledge.stores.neo4j.address import Address, resolve_address

if TYPE_CHECKING:
    from neo4j import Driver, ManagedTransaction

OLDEST = (5, 18)
"""The first version of the server with all that the stores use: vector indexes and similarity functions."""
PATIENCE_S = 120.0
_CONNECT_S = 10.0
_ACQUIRE_S = 15.0
_OVERLOADED_S = 30.0
# A machine that vanishes in the middle of a write may not keep others waiting for ever.
_TRANSACTION_S = 900.0
_RACES = 5
_PAUSE_S = (0.05, 2.0)
_SAY_EVERY_S = 15.0
_LOG = logging.getLogger("dallm.knowledge")
_QUIET = logging.NullHandler()

T = TypeVar("T")


class Connection:
    """A Neo4j database, opened and checked; every statement runs in a managed transaction.

    While the server is away (stopped, restarted, out of reach) a transaction is tried again until
    `patience_s` is over, and a line of the log says so. A transaction may then run twice, because the answer
    to a commit can be lost: what is written must come out the same when written again.

    Parameters
    ----------
    uri : str, optional
        Address such as ``neo4j://localhost:7687``; ``+s`` after the scheme means TLS, ``+ssc`` TLS with a
        certificate signed by the server itself. ``NEO4J_URI`` where left out.
    user, password, database : str, optional
        ``NEO4J_USERNAME``, ``NEO4J_PASSWORD`` and ``NEO4J_DATABASE`` where left out; then the user ``neo4j``
        and the user's home database.
    read_only : bool, default=False
        Refuse to write.
    patience_s : float, default=120
        Longest wait for a server that is away, in seconds. Opening does not wait.

    Attributes
    ----------
    uri, database : str
        Address without credentials, and name of the database.
    server_version : tuple of int
        For example ``(5, 26, 30)``.
    reads, writes : int
        Transactions that were carried out.

    Raises
    ------
    StoreError
        If the address cannot be used, nothing answers there, the user is refused, the database does not exist
        or the server is older than 5.18.

    Examples
    --------
    >>> Connection("http://localhost:7474")
    Traceback (most recent call last):
        ...
    dallm.errors.StoreError: http://localhost:7474 is no address of a Neo4j database: ...
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        read_only: bool = False,
        patience_s: float | None = None,
    ) -> None:
        address = resolve_address(uri, user=user, password=password, database=database)
        self.uri = address.uri
        self.read_only = read_only
        self.patience_s = PATIENCE_S if patience_s is None else patience_s
        self.reads = 0
        self.writes = 0
        self._driver: Driver | None = _driver(address)
        try:
            self.server_version = _version(self._driver, address)
            self.database = _database(self._driver, address)
        except BaseException:
            self.close()
            raise
        from neo4j import GraphDatabase

        # What one transaction wrote the next one sees, on a cluster as well.
        self._bookmarks = GraphDatabase.bookmark_manager()

    def __repr__(self) -> str:
        state = "" if self._driver is not None else ", closed"
        return f"Connection({self.uri!r}, database={self.database!r}{state})"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def read(self, cypher: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run one statement that reads, and return its rows.

        Raises
        ------
        StoreError
            If the server stays away for longer than `patience_s`, or refuses.
        """
        rows = self._run(lambda tx: _rows(tx, cypher, parameters), writes=False)
        self.reads += 1
        return rows

    def write(self, cypher: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run one statement that writes, in a transaction of its own, and return its rows.

        Raises
        ------
        StoreError
            As `read`, and if the connection is read only.
        """
        return self.in_transaction(lambda tx: _rows(tx, cypher, parameters))

    def in_transaction(self, work: Callable[[ManagedTransaction], T]) -> T:
        """Run `work` in one transaction that writes: all of it is kept, or nothing.

        Parameters
        ----------
        work : callable
            Takes the driver's transaction; it may be called again where the server went away meanwhile, or
            where another writer was faster.

        Raises
        ------
        StoreError
            As `write`.
        """
        if self.read_only:
            raise StoreError(f"{self.uri} was opened read only; open it with read_only=False to write.")
        done = self._run(work, writes=True)
        self.writes += 1
        return done

    def close(self) -> None:
        """Close the connection; it cannot be used afterwards."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def _run(self, work: Callable[[ManagedTransaction], T], *, writes: bool) -> T:
        """Run a transaction, again and again while the server is away."""
        from neo4j.exceptions import DriverError, Neo4jError

        waited = _Wait(self.uri, self.patience_s)
        while True:
            try:
                done = self._once(work, writes=writes)
            except (DriverError, Neo4jError) as error:
                if not waited.again(error):
                    raise failures.told(error, self.uri, self.database, waited.seconds) from error
            else:
                waited.over()
                return done

    def _once(self, work: Callable[[ManagedTransaction], T], *, writes: bool) -> T:
        if self._driver is None:
            raise StoreError(f"The connection to {self.uri} is closed; open the store again.")
        with self._driver.session(
            database=self.database,
            bookmark_manager=self._bookmarks,
            default_access_mode="WRITE" if writes else "READ",
        ) as session:
            if writes:
                return session.execute_write(_bounded(work))
            # one statement that reads needs no transaction around it: that is two ways to the server less
            return work(cast("ManagedTransaction", session))


class _Wait:
    """How long a transaction has been tried, whether to go on, and what to say meanwhile."""

    def __init__(self, uri: str, patience_s: float) -> None:
        self._uri = uri
        self._patience_s = patience_s
        self._since: float | None = None
        self._said: float | None = None
        self._pause_s = _PAUSE_S[0]
        self._races = 0

    @property
    def seconds(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    def again(self, error: Exception) -> bool:
        """Whether to try again after this error, having waited a little."""
        if self._since is None:
            self._since = time.monotonic()
        if failures.lost_a_race(error):
            self._races += 1
            if self._races > _RACES:
                return False
        elif failures.away(error):
            if self.seconds >= self._patience_s:
                return False
            self._say()
        elif not failures.passes(error) or self.seconds >= min(self._patience_s, _OVERLOADED_S):
            return False
        time.sleep(self._pause_s * random.uniform(0.5, 1.5))
        self._pause_s = min(self._pause_s * 2, _PAUSE_S[1])
        return True

    def over(self) -> None:
        if self._said is not None:
            _LOG.warning("Neo4j answers again at %s, after %.0f s", self._uri, self.seconds)

    def _say(self) -> None:
        now = time.monotonic()
        if self._said is None or now - self._said >= _SAY_EVERY_S:
            self._said = now
            left = max(0.0, self._patience_s - self.seconds)
            _LOG.warning("waiting for Neo4j at %s, for %.0f s more", self._uri, left)


def _driver(address: Address) -> Driver:
    from neo4j import GraphDatabase

    # What the driver has to say comes as an error of ours; whoever sets up logging still gets its lines.
    logging.getLogger("neo4j").addHandler(_QUIET)
    auth = (address.user or "neo4j", address.password) if address.password is not None else None
    return GraphDatabase.driver(
        address.uri,
        auth=auth,
        connection_timeout=_CONNECT_S,
        connection_acquisition_timeout=_ACQUIRE_S,
        # Waiting is ours (`_Wait`): the driver's own would come first and say nothing that a user can read.
        max_transaction_retry_time=0.0,
        notifications_min_severity="OFF",
        telemetry_disabled=True,
        user_agent=f"dallm/{dallm.__version__}",
    )


def _version(driver: Driver, address: Address) -> tuple[int, ...]:
    """Return the version of the server, having checked that it answers, lets us in and is new enough."""
    from neo4j.exceptions import DriverError, Neo4jError

    try:
        agent = str(driver.get_server_info().agent)
    except (DriverError, Neo4jError) as error:
        raise failures.told_at_opening(
            error, address, lambda uri: _driver(address._replace(uri=uri))
        ) from error
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", agent)
    version = tuple(int(part) for part in found.groups(default="0")) if found else ()
    if version < OLDEST:
        raise StoreError(
            f"The server at {address.uri} is {agent}; the stores need Neo4j {'.'.join(map(str, OLDEST))} or "
            "newer, for its vector indexes. Update the server, or start a new one: compose.yaml of the "
            "project holds one."
        )
    return version


def _database(driver: Driver, address: Address) -> str:
    """Return the name of the database, having checked that it exists and answers."""
    from neo4j.exceptions import DriverError, Neo4jError

    try:
        with driver.session(database=address.database, default_access_mode="READ") as session:
            summary = session.execute_read(lambda tx: tx.run("RETURN 1").consume())
    except (DriverError, Neo4jError) as error:
        raise failures.told_at_opening(
            error, address, lambda uri: _driver(address._replace(uri=uri))
        ) from error
    return str(summary.database or address.database or "neo4j")


def _bounded(work: Callable[[ManagedTransaction], T]) -> Callable[[ManagedTransaction], T]:
    from neo4j import unit_of_work

    bounded: Callable[[ManagedTransaction], T] = unit_of_work(timeout=_TRANSACTION_S)(work)
    return bounded


def _rows(tx: ManagedTransaction, cypher: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(record.keys(), record.values(), strict=True)) for record in tx.run(cypher, parameters)]
