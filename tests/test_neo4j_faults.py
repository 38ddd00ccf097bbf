"""Ingest into Neo4j under faults: a killed process, a server that goes away, a database that others use."""

from __future__ import annotations

import logging
import multiprocessing
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import ingesting
import pytest
from neo4j_server import OwnServer
from processes import start_process

import dallm
from dallm.errors import StoreError
from dallm.knowledge.stores.neo4j import connection

KINDS = ("neo4j_vector", "neo4j_graph")
DOCUMENTS = sum(source.count for source in ingesting.sources())


@pytest.fixture(scope="module")
def server(stoppable_neo4j) -> Iterator[OwnServer]:
    """A server that this module's tests stop and start, with data of others in it."""
    for statement in FOREIGN:
        stoppable_neo4j.rows(statement)
    yield stoppable_neo4j
    stoppable_neo4j.rows("MATCH (n:Person|Document|Passage|Meta|Term) DETACH DELETE n")
    for name in ("CONSTRAINT person_id", "INDEX passage_sha256", "INDEX keyword", "INDEX vector"):
        stoppable_neo4j.rows(f"DROP {name}")


@pytest.fixture
def namespace(server) -> Iterator[str]:
    namespace = f"t{secrets.token_hex(4)}"
    yield namespace
    server.start()  # where the test failed between the two
    server.clear_namespace(namespace)


# Labels, properties and indexes as other programs have them, some of the names that the stores use inside.
FOREIGN = (
    "CREATE CONSTRAINT person_id FOR (n:Person) REQUIRE n.id IS UNIQUE",
    "CREATE INDEX passage_sha256 FOR (n:Passage) ON (n.sha256)",
    "CREATE FULLTEXT INDEX keyword FOR (n:Passage|Document) ON EACH [n.text]",
    "CREATE VECTOR INDEX vector FOR (n:Passage) ON (n.embedding) OPTIONS {indexConfig: "
    "{`vector.dimensions`: 4, `vector.similarity_function`: 'euclidean'}}",
    "UNWIND range(1, 50) AS i CREATE (p:Person {id: i, name: 'Person ' + i, born: date('1980-01-01')}) "
    "CREATE (p)-[:WROTE {year: 2000 + i}]->(d:Document:Passage {id: 'd' + i, source: 'part 0', "
    "url: 'made-up:part 0/' + i, sha256: 'f00', text: 'pneumonia ' + i, embedding: [1.0, i, 0.5, 0.0]})",
    "MATCH (d:Document) WITH d LIMIT 10 CREATE (d)-[:DALLM_PASSAGE]->(:Passage:Dallm_ "
    "{text: 'not of dallm'})",
    "CREATE (:Meta {key: 'store', version: 7}), (:Term {id: 'pneumonia', passages: 3})",
)


def elsewhere(server: OwnServer, namespace: str) -> dict[str, list[Any]]:
    """All that the database holds outside a namespace, down to the inner numbers of nodes."""
    mine = f"_{namespace}_"
    nodes = server.rows(
        "MATCH (n) WHERE none(l IN labels(n) WHERE l CONTAINS $mine) "
        "RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS held ORDER BY id",
        mine=mine,
    )
    relations = server.rows(
        "MATCH (a)-[r]->(b) WHERE none(l IN labels(a) + labels(b) WHERE l CONTAINS $mine) "
        "RETURN elementId(r) AS id, type(r) AS type, elementId(a) AS a, elementId(b) AS b, "
        "properties(r) AS held ORDER BY id",
        mine=mine,
    )
    indexes = server.rows(
        "SHOW INDEXES YIELD id, name, state, type, entityType, labelsOrTypes, properties, owningConstraint, "
        "options WHERE NOT name CONTAINS $mine RETURN * ORDER BY name",
        mine=mine,
    )
    constraints = server.rows(
        "SHOW CONSTRAINTS YIELD id, name, type, labelsOrTypes, properties, ownedIndex "
        "WHERE NOT name CONTAINS $mine RETURN * ORDER BY name",
        mine=mine,
    )
    return {"nodes": nodes, "relations": relations, "indexes": indexes, "constraints": constraints}


def content(server: OwnServer, namespace: str) -> dict[str, list[str]]:
    """All that a namespace holds, in an order and under names that two namespaces share."""
    mine = f"_{namespace}_"
    nodes, names = [], {}
    for row in server.rows(
        "MATCH (n) WHERE any(l IN labels(n) WHERE l CONTAINS $mine) "
        "RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS held",
        mine=mine,
    ):
        held = {key: value for key, value in sorted(row["held"].items()) if key not in PASSING}
        labels = sorted(label.replace(mine, "_") for label in row["labels"])
        names[row["id"]] = f"{labels} {held}"
        nodes.append(names[row["id"]])
    relations = [
        f"{names[row['a']]} {row['type']} {sorted(row['held'].items())} {names[row['b']]}"
        for row in server.rows(
            "MATCH (a)-[r]->(b) WHERE any(l IN labels(a) WHERE l CONTAINS $mine) "
            "RETURN elementId(a) AS a, elementId(b) AS b, type(r) AS type, properties(r) AS held",
            mine=mine,
        )
    ]
    indexes = [
        f"{row['name'].replace(mine, '_')} {row['state']} {row['type']} {row['properties']} {row['owned']}"
        for row in server.rows(
            "SHOW INDEXES YIELD name, state, type, properties, owningConstraint WHERE name CONTAINS $mine "
            "RETURN name, state, type, properties, owningConstraint IS NOT NULL AS owned",
            mine=mine,
        )
    ]
    return {"nodes": sorted(nodes), "relations": sorted(relations), "indexes": sorted(indexes)}


PASSING = ("version", "made")
"""Properties that tell states of a store apart rather than say what is held."""


def address(server: OwnServer, namespace: str, kind: str) -> dict[str, Any]:
    encoder = ingesting.DigestEncoder() if kind == "neo4j_vector" else None
    return {"path": server.uri, "kind": kind, "namespace": namespace, "encoder": encoder, **server.options}


def ingest(server: OwnServer, namespace: str, kind: str = "neo4j_vector", version: int = 0) -> Any:
    with dallm.open_store(**address(server, namespace, kind)) as store:
        return dallm.ingest(store, ingesting.sources(version))


@pytest.fixture(scope="module")
def undisturbed(server) -> Callable[..., dict[str, list[str]]]:
    """Tells what a namespace holds after an ingest that nothing disturbs."""

    @cache
    def undisturbed(kind: str = "neo4j_vector", version: int = 0) -> dict[str, list[str]]:
        namespace = f"u{secrets.token_hex(4)}"
        for one in sorted({0, version}):
            ingest(server, namespace, kind, one)
        held = content(server, namespace)
        server.clear_namespace(namespace)
        return held

    return undisturbed


@pytest.fixture(scope="module")
def forks() -> Iterator[Any]:
    """Makes processes out of one that has imported everything, so that each starts at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            *("neo4j", "pandas", "dallm.knowledge.ingest"),
            *("dallm.knowledge.stores.neo4j.vector", "dallm.knowledge.stores.neo4j.graph"),
        ]
    )
    return context


def killed(forks: Any, where: dict[str, Any], version: int, after_s: float) -> bool:
    """Whether an ingest in a process of its own was still at work when SIGKILL ended it."""
    opened, theirs = forks.Pipe(duplex=False)
    process = forks.Process(target=ingesting.run, args=(where, version, theirs))
    start_process(process)
    theirs.close()
    assert opened.poll(120), "the process opened no store"
    assert opened.recv() == "opened"
    process.join(after_s)
    at_work = process.is_alive()
    process.kill()
    process.join(30)
    assert at_work or process.exitcode == 0
    return at_work


@pytest.mark.parametrize(("kind", "times"), [("neo4j_vector", 10), ("neo4j_graph", 4)])
def test__process_killed_at_random_moments__same_content_and_nothing_else_touched(
    server, namespace, forks, undisturbed, kind, times
):
    before = elsewhere(server, namespace)
    chance, kills, version = random.Random(), 0, 0
    while kills < times:
        if killed(forks, address(server, namespace, kind), version, chance.uniform(0, 0.4)):
            kills += 1
        else:  # all of it is there: the next ones are killed while they replace documents
            version += 1
    ingest(server, namespace, kind, version)
    assert content(server, namespace) == undisturbed(kind, version)
    assert elsewhere(server, namespace) == before


@pytest.mark.parametrize("kind", KINDS)
def test__ingest_again_and_clear__data_of_others_is_as_it_was(server, namespace, kind):
    before = elsewhere(server, namespace)
    assert len(before["nodes"]) >= 100
    first = ingest(server, namespace, kind)
    held = content(server, namespace)
    again = ingest(server, namespace, kind)
    assert (first.added, again.added, again.updated, again.unchanged) == (DOCUMENTS, 0, 0, DOCUMENTS)
    assert content(server, namespace) == held
    assert elsewhere(server, namespace) == before
    with dallm.open_store(**address(server, namespace, kind)) as store:
        assert store.clear() == DOCUMENTS
    assert content(server, namespace) == {"nodes": [], "relations": [], "indexes": []}
    assert elsewhere(server, namespace) == before


class Signal(ingesting.DigestEncoder):
    """Tells when so many batches have been encoded."""

    def __init__(self, batches: int) -> None:
        self._left = batches
        self.reached = threading.Event()

    def encode(self, sentences: list[str], /) -> Any:
        self._left -= 1
        if not self._left:
            self.reached.set()
        return super().encode(sentences)


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so; fail the test where it takes too long."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)


def disturbed(server: OwnServer, namespace: str, disturb: Any) -> Any:
    """Ingest, call `disturb` in the middle, and return the report, or raise what the ingest raised."""
    encoder, outcome = Signal(4), []
    where = address(server, namespace, "neo4j_vector")

    def work() -> None:
        try:
            with dallm.open_store(**{**where, "encoder": encoder}) as store:
                outcome.append(dallm.ingest(store, ingesting.sources()))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert encoder.reached.wait(120)
    disturb()
    thread.join(240)
    assert outcome, "the ingest did not end within four minutes"
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def test__server_stays_away__says_how_to_go_on_and_the_same_call_does(
    server, namespace, undisturbed, monkeypatch
):
    monkeypatch.setattr(connection, "PATIENCE_S", 0.5)
    with pytest.raises(StoreError, match=r"did not answer .*is kept.*goes on where it stopped") as caught:
        disturbed(server, namespace, server.kill)
    assert server.uri in str(caught.value)
    server.start()
    monkeypatch.undo()
    report = ingest(server, namespace)
    assert report.unchanged >= 12  # of the batches before
    assert report.added + report.unchanged == DOCUMENTS
    assert content(server, namespace) == undisturbed()


def test__server_stopped_and_started_again__ingest_waits_and_goes_on(server, namespace, undisturbed, caplog):
    def restart() -> None:
        server.stop()
        wait_for(lambda: "waiting for Neo4j" in caplog.text, 60)
        server.start()

    with caplog.at_level(logging.WARNING, logger="dallm"):
        report = disturbed(server, namespace, restart)
    # a batch whose commit was carried out, its answer lost, is found written when it is tried again
    assert report.added + report.unchanged == DOCUMENTS
    assert f"waiting for Neo4j at {server.uri}" in caplog.text
    assert f"Neo4j answers again at {server.uri}" in caplog.text
    assert content(server, namespace) == undisturbed()
