"""Fixtures that several test files share."""

from __future__ import annotations

import faulthandler
import os
import secrets
from collections.abc import Callable, Iterator

import processes
import pytest
from neo4j_server import Neo4jServer, NoServerError, OwnServer, given_server, own_server, server_required

HANGS_S = 600.0
"""Seconds after which a test is taken for one that never ends; the slowest takes a tenth of it."""
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STDERR] = os.dup(2)  # before a test's own is caught


@pytest.fixture(autouse=True)
def _ends(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what a test started, and the whole run, with the stack of every thread, where a test hangs."""
    faulthandler.dump_traceback_later(HANGS_S, exit=True, file=request.config.stash[_STDERR])
    yield
    faulthandler.cancel_dump_traceback_later()
    processes.end_all()


def _or_skip(make: Callable[[], OwnServer]) -> OwnServer:
    try:
        return make()
    except NoServerError as error:
        if server_required():
            pytest.fail(f"{error} (CI or DALLM_REQUIRE_NEO4J is set, so this is a failure)", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[Neo4jServer]:
    """The Neo4j that all tests share; started when the first of them asks.

    Tests keep to a namespace of their own (`neo4j_namespace`), and may not stop it (`stoppable_neo4j`).
    """
    server = given_server() or _or_skip(own_server)
    yield server
    server.close()


@pytest.fixture(scope="module")
def stoppable_neo4j(neo4j_server: Neo4jServer) -> Iterator[OwnServer]:
    """A Neo4j that a test may stop, kill and start again; it runs again after the module, whatever happened.

    It is the one that all tests share where that is the tests' own: a server costs as much as many tests.
    """
    own = isinstance(neo4j_server, OwnServer)
    server = neo4j_server if own else _or_skip(own_server)
    yield server
    if own:
        server.start()
    else:
        server.close()


@pytest.fixture
def neo4j_namespace(neo4j_server: Neo4jServer) -> Iterator[str]:
    """The name of a namespace that nobody else uses, emptied after the test."""
    namespace = f"t{secrets.token_hex(5)}"
    yield namespace
    neo4j_server.clear_namespace(namespace)
