"""The graph in a real Neo4j: the same hits as in memory, and nobody else's data touched."""

from __future__ import annotations

import copy
import pickle
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from neo4j_server import Neo4jServer

import dallm
from dallm.errors import StoreError, UserError
from dallm.knowledge.graph.model import topic_of
from dallm.knowledge.passage import Document, Section
from dallm.knowledge.stores.base import KnowledgeStore, Known, Written
from dallm.knowledge.stores.neo4j.graph import Neo4jGraphStore
from dallm.knowledge.stores.neo4j.vector import Neo4jVectorStore
from dallm.knowledge.stores.networkx import NetworkXStore

QUESTIONS = (
    "What is atelectasis?",
    "What are the symptoms of pleural effusion?",
    "What are the causes of a collapsed lung segment?",
    "Which clinical features are needed to diagnose pneumonia?",
    "What are the radiographic features of atelectasis?",
    "Which conditions come with fever and cough?",
    "mucus",
    "zzz",
)
ODD = ('"', "AND OR NOT *", "a" * 50_000, "(x:y)^2~ \\ % +[b TO c]", "\ud800", "")


@contextmanager
def opening(server: Neo4jServer, its_own: str) -> Iterator[Callable[..., Neo4jGraphStore]]:
    stores = []

    def opened(namespace: str = its_own, **options) -> Neo4jGraphStore:
        stores.append(Neo4jGraphStore(server.uri, namespace=namespace, **server.options | options))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def open_graph(neo4j_server, neo4j_namespace) -> Iterator[Callable[..., Neo4jGraphStore]]:
    """Opens graphs in a namespace of the test's own, in which nothing has been made yet."""
    with opening(neo4j_server, neo4j_namespace) as opened:
        yield opened


@pytest.fixture(scope="module")
def indexed_namespace(neo4j_server) -> Iterator[str]:
    namespace = f"m{secrets.token_hex(5)}"
    yield namespace
    neo4j_server.clear_namespace(namespace)


@pytest.fixture
def open_indexed(neo4j_server, indexed_namespace) -> Iterator[Callable[..., Neo4jGraphStore]]:
    """Opens graphs in an empty namespace whose indexes may be there: making them takes longer than a test."""
    with opening(neo4j_server, indexed_namespace) as opened:
        yield opened
    neo4j_server.delete_nodes(indexed_namespace)


def pages() -> list[Document]:
    """Pages of two sources that share a text, and one that says nothing of a condition."""
    text = "Air collects between the lung and the chest wall, and the lung collapses in part or as a whole."
    nearly = text.replace("lung col", "lung often col")
    half = Section("\ud800 head", "A half \ud83d of a character, and fever.")
    about = ("pneumothorax",)
    return [
        Document("Pneumothorax", (Section("", text),), "one", "1", conditions=about),
        Document("Pneumothorax", (Section("", nearly),), "two", "2", conditions=about),
        Document("Cough (tussis)", (Section("Causes", "Smoking, asthma and reflux."),), "two", "3"),
        Document("Half", (half,), "two", "4\ud800"),
    ]


def foreign(server) -> list[dict]:
    return server.rows(
        "MATCH (n:Foreign) OPTIONAL MATCH (n)-[r]->(m:Foreign) "
        "RETURN elementId(n) AS id, properties(n) AS held, type(r) AS r, m.n AS m ORDER BY n.n"
    )


def test__graph__holds_and_finds_what_the_one_in_memory_does(open_graph, tmp_path):
    with open_graph() as graph, NetworkXStore(tmp_path / "graph.json") as memory:
        assert isinstance(graph, KnowledgeStore)
        for store in (graph, memory):
            dallm.ingest(store, dallm.Primer())
            assert store.write(pages()[:3]) == Written(added=3, passages=3, linked=1)
        for query in (*QUESTIONS, *ODD):
            wider = ({"condition": "atelectasis", "k": 30}, {"source": "primer"}, {"k": 300})
            for options in ({}, *(wider if query in QUESTIONS else ())):
                expected = memory.search(query, **options)
                found = graph.search(query, **options)
                assert [h.passage for h in found] == [h.passage for h in expected], (query, options)
                assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-4)
                assert [h.also for h in found] == [h.also for h in expected]
        assert [
            p.url for h in graph.search("Air collects between lung and chest wall", k=1) for p in h.also
        ] == ["2"]
        assert list(graph.passages()) == list(memory.passages())
        assert graph.manifest().equals(memory.manifest())
        assert graph.conditions() == memory.conditions()
        assert graph.known("two") == memory.known("two")
        held = memory.graph
        for kind in ("symptom", "sign", "cause", "test", "finding", "history"):
            nodes = [h for _, h in held.nodes(data=True) if h["type"] == kind]
            assert count(graph, kind.capitalize()) == len(nodes)
        for condition in graph.conditions():
            for relation in ("has_symptom", "caused_by", "tested_by", "seen_as"):
                assert graph.related(condition, relation) == memory.related(condition, relation)


def count(store: Neo4jGraphStore, label: str) -> int:
    return store._read(f"MATCH (n:{label}) RETURN count(n) AS n")[0]["n"]


def test__ingest__twice__makes_no_write(open_graph):
    with open_graph() as store:
        dallm.ingest(store, dallm.Primer(), conditions=["atelectasis", "pneumonia"])
        before = store._connection.writes
        again = dallm.ingest(store, dallm.Primer(), conditions=["atelectasis", "pneumonia"])
        assert (again.added, again.updated, again.unchanged) == (0, 0, 2)
        assert store._connection.writes == before


def test__write__changed_removed_and_same_text__leave_no_trace(open_indexed, tmp_path):
    def note(text: str, about: str) -> Document:
        return Document("Note", (Section("Causes", text),), "s", "1", conditions=(about,))

    with open_indexed() as graph, NetworkXStore(tmp_path / "graph.json") as memory:
        for store in (graph, memory):
            assert store.write([note("Smoking.", "asthma"), note("Smoking.", "pneumonia")]) == Written(
                added=1, updated=1, passages=2
            )
            assert store.known("s")["1"] == Known(note("Smoking.", "").sha256, ("asthma", "pneumonia"))
            assert store.related("asthma", "caused_by") == ("smoking",)
            assert store.write([note("Pneumonia.", "asthma")]).updated == 1
            assert store.conditions() == ("asthma",)
            assert store.related("asthma", "caused_by") == ("pneumonia",)
            assert store.related("pneumonia", "caused_by") == ()
            assert store.remove("s", ["1", "2"]) == 1
            assert store.search("smoking") == []
        labels = ("Passage", "Document", "Condition", "Concept", "Term")
        assert [count(graph, label) for label in labels] == [0] * 5
        meta = graph._read("MATCH (m:Meta {key: 'store'}) RETURN m {.*} AS held")[0]["held"]
        assert meta["kind"] == "neo4j_graph"
        assert [meta[n] for n in ("documents", "passages", "head_terms", "body_terms")] == [0] * 4


def test__write__halves_of_characters__are_kept_as_far_as_a_database_can(open_indexed):
    with open_indexed() as store:
        assert store.write(pages()[3:]).added == 1
        assert store.write(pages()[3:]) == Written(unchanged=1)
        assert [h.passage.title for h in store.search("fever")] == ["Half"]


def test__foreign_data_and_other_stores_of_the_name__stay_as_they_are(
    neo4j_server, neo4j_namespace, open_graph
):
    name = neo4j_namespace
    neo4j_server.rows("UNWIND range(1, 100) AS n CREATE (:Foreign {n: n})-[:MENTIONS]->(:Foreign {n: -n})")
    neo4j_server.rows(f"CREATE INDEX {name}_foreign FOR (n:Foreign) ON (n.n)")
    try:
        before = foreign(neo4j_server)
        vector = Neo4jVectorStore(neo4j_server.uri, namespace=name, encoder=None, **neo4j_server.options)
        with vector, open_graph() as store, open_graph(f"{name}_b") as other:
            vector.write(pages()[:1])
            other.write(pages()[:2])
            dallm.ingest(store, dallm.Primer(), conditions=["pneumonia"])
            store.write(pages()[:3])
            assert store.clear() == 4
            assert store.sources() == ()
            assert store.search("air") == []
            assert [len(list(each.passages())) for each in (vector, other)] == [1, 2]
            assert [len(each.search("air")) for each in (vector, other)] == [1, 1]
            assert store.write(pages()[:1]).added == 1
            assert store.clear() == 1
        assert foreign(neo4j_server) == before
        left = neo4j_server.rows("CALL db.labels() YIELD label RETURN collect(label) AS labels")[0]["labels"]
        used = [label for label in left if neo4j_server.rows(f"MATCH (n:`{label}`) RETURN n LIMIT 1")]
        assert not [label for label in used if label.startswith(f"DallmGraph_{name}_") and "_b_" not in label]
        names = {row["name"] for row in neo4j_server.rows("SHOW INDEXES YIELD name")}
        assert f"{name}_foreign" in names
        assert not [n for n in names if n.startswith(f"dallmgraph_{name}_") and "_b_" not in n]
    finally:
        neo4j_server.rows("MATCH (n:Foreign) DETACH DELETE n")


def test__open__names_taken_by_others__are_refused(neo4j_server, neo4j_namespace, open_graph):
    neo4j_server.rows(f"CREATE INDEX dallmgraph_{neo4j_namespace}_terms FOR (n:Foreign) ON (n.x)")
    with pytest.raises(StoreError, match="another program's index"):
        open_graph()
    with pytest.raises(UserError, match="namespace='a-b' is no name"):
        open_graph("a-b")
    with pytest.raises(UserError, match="takes no encoder"):
        open_graph(encoder="model/")


def test__read_only__missing_is_named_and_writes_are_refused(neo4j_server, open_graph):
    with pytest.raises(StoreError, match="holds no graph yet"):
        open_graph(read_only=True)
    with open_graph() as store:
        assert (store.search("x"), store.conditions(), store.clear()) == ([], (), 0)
        store.write(pages()[:1])
        store.set_origin("one", "/notes")
    with open_graph(read_only=True) as store:
        assert len(store.search("air")) == 1
        assert store.origin("one") == "/notes"
        for refused in (store.clear, lambda: store.write(pages()), lambda: store.set_origin("one", "x")):
            with pytest.raises(StoreError, match="read_only=True"):
                refused()
        assert copy.deepcopy(store) is store
        assert neo4j_server.password not in repr(store) + str(pickle.dumps(store))


def test__pickle__opens_again_with_the_password_of_the_environment(neo4j_server, open_indexed, monkeypatch):
    with open_indexed() as store:
        store.write(pages()[:1])
        monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password)
        with pickle.loads(pickle.dumps(store)) as other:
            assert len(other.search("air")) == 1


def test__write__namespace_cleared_by_another__is_made_again(open_graph):
    with open_graph() as store, open_graph() as other:
        store.write(pages()[:1])
        other.clear()
        assert store.write(pages()[:2]).added == 2
        assert len(list(other.passages())) == 2


def test__search__condition_of_many_passages__gives_them_all(open_indexed, tmp_path: Path):
    sections = tuple(Section(f"Part {i}", f"Cough number {i} is felt.") for i in range(450))
    many = [
        Document("Asthma", sections, "s", "1", conditions=("asthma",)),
        Document("Rare", (Section("", "Cough is felt, and wheeze."),), "s", "2", conditions=("sarcoidosis",)),
    ]
    with open_indexed() as graph, NetworkXStore(tmp_path / "graph.json") as memory:
        for store in (graph, memory):
            store.write(many)
        assert [h.passage.url for h in graph.search("cough", k=50, condition="sarcoidosis")] == ["2"]
        assert len(graph.search("nothing of it", k=1_000, condition="asthma")) == 450
        for query in ("cough", "Cough number 7 in asthma", "What are the symptoms of asthma?"):
            expected = [h.passage.section for h in memory.search(query, k=10)]
            assert [h.passage.section for h in graph.search(query, k=10)] == expected


def test__topics__of_a_title_too_long_for_an_index__are_left_out(open_indexed):
    title = "word" * 5_000
    with open_indexed() as store:
        store.write([Document(title, (Section("", "Some cough."),), "s", "1")])
        assert topic_of(title)
        assert [h.passage.title for h in store.search("cough")] == [title]
