"""Opening a store by its address, and what is refused."""

from __future__ import annotations

import pytest

import dallm
from dallm.errors import DallmError, StoreError, UserError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "http://localhost:7474"}, "neo4j://"),
        ({"path": "noe4j://localhost"}, "Did you mean 'neo4j'"),
        ({"path": "  "}, "empty"),
        ({"path": "k", "kind": "neo4j_vektor"}, "Did you mean 'neo4j_vector'"),
        ({"path": "k", "kind": "neo4j_vector"}, "needs an address"),
        ({"path": "neo4j://localhost", "kind": "local"}, "does not fit"),
        ({"path": "k", "namespace": "n"}, "'namespace'"),
        ({"path": "k", "password": "secret"}, "'password'"),
        ({"kind": "langchain"}, "vector store"),
        ({"path": "k", "kind": "langchain"}, "vector store"),
        ({"path": 3}, "int"),
    ],
)
def test__open_store__what_cannot_be_opened__says_why(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as error:
        dallm.open_store(**arguments)
    assert "secret" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test__open_store__nothing_listens_there__says_where_and_how_to_start_one():
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        dallm.open_store("bolt://127.0.0.1:9", password="secret")


def test__open_store__neo4j_kind_without_address__takes_the_environment(monkeypatch):
    monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:9")
    monkeypatch.setenv("NEO4J_PASSWORD", "secret")
    with pytest.raises(DallmError, match=r"127\.0\.0\.1:9") as error:
        dallm.open_store(kind="neo4j_vector", encoder=None)
    assert "secret" not in str(error.value)


def test__open_store__file_ending_in_json__is_a_networkx_graph(tmp_path):
    with dallm.open_store(tmp_path / "k.json") as store:
        assert store.kind == "networkx"
        dallm.ingest(store, dallm.Primer(), conditions=["asthma"])
        assert store.search("symptoms", condition="asthma")


@pytest.mark.parametrize("kind", ["neo4j_vector", "neo4j_graph"])
def test__open_store__address_and_namespace__is_that_store(neo4j_server, neo4j_namespace, kind):
    with dallm.open_store(
        neo4j_server.uri,
        kind=kind,
        namespace=neo4j_namespace,
        encoder=None,
        user=neo4j_server.user,
        password=neo4j_server.password,
        database=neo4j_server.database,
    ) as store:
        assert store.kind == kind
        assert neo4j_server.password not in repr(store)
        dallm.ingest(store, dallm.Primer(), conditions=["asthma"])
        assert store.search("symptoms", condition="asthma")
        store.clear()
