"""The vector store in Neo4j: ranks as the local one, writes nothing twice, touches nothing else."""

from __future__ import annotations

import copy
import pickle
import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from neo4j_server import Neo4jServer
from processes import at_once

import dallm
from dallm.errors import StoreError, UserError
from dallm.knowledge.lexical import term_ids
from dallm.knowledge.passage import Document, Section
from dallm.knowledge.stores.base import KnowledgeStore, Written
from dallm.knowledge.stores.local import LocalStore
from dallm.knowledge.stores.neo4j import kept, searching, vector
from dallm.knowledge.stores.neo4j.rows import passages_with
from dallm.knowledge.stores.neo4j.vector import Neo4jVectorStore

DIMENSION = 16
CONDITIONS = ("asthma", "pneumonia", "heart failure")
EXACT = searching.EXACT


class WordEncoder:
    """Encodes a text as the sum of its words' random vectors; counts what it encoded."""

    def __init__(self, identity: str = "words", dimension: int = DIMENSION, seed: int = 0) -> None:
        self.identity, self.dimension, self.seed, self.encoded = identity, dimension, seed, 0

    def encode(self, sentences: list[str]) -> np.ndarray:
        self.encoded += len(sentences)
        return np.array([self._one(sentence) for sentence in sentences])

    def _one(self, sentence: str) -> np.ndarray:
        total = np.zeros(self.dimension)
        for term in term_ids(sentence)[:100]:
            total += np.random.default_rng([int(term), self.seed]).normal(size=self.dimension)
        return total


@contextmanager
def opening(server: Neo4jServer, its_own: str) -> Iterator[Callable[..., Neo4jVectorStore]]:
    """Opens stores on a namespace, and closes them."""
    opened = []

    def open_one(encoder: object = None, *, namespace: str = its_own, **options) -> Neo4jVectorStore:
        store = Neo4jVectorStore(
            server.uri, namespace=namespace, encoder=encoder, **server.options, **options
        )
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def open_store(neo4j_server: Neo4jServer, neo4j_namespace: str):
    """Opens stores on a namespace of the test's own, in which nothing has been made yet."""
    with opening(neo4j_server, neo4j_namespace) as open_one:
        yield open_one


@pytest.fixture(scope="module")
def indexed_namespace(neo4j_server: Neo4jServer) -> Iterator[str]:
    namespace = f"m{secrets.token_hex(5)}"
    yield namespace
    neo4j_server.clear_namespace(namespace)


@pytest.fixture
def open_indexed(neo4j_server: Neo4jServer, indexed_namespace: str):
    """Opens stores on an empty namespace whose indexes may be there, for tests of what is written and found.

    Making and dropping them takes longer than such a test, and the server knows the statements already.
    """
    with opening(neo4j_server, indexed_namespace) as open_one:
        yield open_one
    neo4j_server.delete_nodes(indexed_namespace)


def kept_and_not(
    monkeypatch: pytest.MonkeyPatch, open_one: Callable[[], Neo4jVectorStore]
) -> Iterator[Neo4jVectorStore]:
    """A store that searches by indexes, and one on the same passages that keeps them in memory."""
    for most_kept in (0, 1_000):
        monkeypatch.setattr(kept, "MOST_KEPT", most_kept)
        store = open_one()
        yield store
        assert (store._keeper.columns is not None) == (most_kept > 0)


def made_up_documents(count: int, *, seed: int = 0, sections: int = 2) -> list[Document]:
    """Documents of made-up words; some words are common, most are rare."""
    rng = random.Random(seed)
    words = [f"{a}{b}{c}a" for a in "bdklmnr" for b in "aeiou" for c in "bdfgkmnprstvz"]

    def some(number: int) -> str:
        return " ".join(rng.choice(words[:40] if rng.random() < 0.5 else words) for _ in range(number))

    return [
        Document(
            some(2).capitalize(),
            tuple(Section(some(1), f"{some(40)}. {some(20)}.") for _ in range(sections)),
            rng.choice(("alpha", "beta")),
            f"page/{i:04}",
            authors=("A. Author",),
            conditions=(rng.choice(CONDITIONS),),
        )
        for i in range(count)
    ]


def page(url: str, text: str, *, title: str = "A page", source: str = "notes", **other) -> Document:
    return Document(title, (Section("", text),), source, url, **other)


def told(store: KnowledgeStore, query: str, **options) -> list[tuple[str, str, float]]:
    return [
        (h.passage.url, h.passage.section, pytest.approx(h.score, abs=1e-4))
        for h in store.search(query, **options)
    ]


def urls(store: KnowledgeStore, query: str, **options) -> list[str]:
    return [hit.passage.url for hit in store.search(query, **options)]


def committed(server: Neo4jServer) -> int:
    """The number of the last transaction that changed the database."""
    return server.rows(f"SHOW DATABASE `{server.database}` YIELD lastCommittedTxn")[0]["lastCommittedTxn"]


@pytest.mark.parametrize("encoder", [WordEncoder, lambda: None], ids=["dense", "lexical"])
def test__search__same_content__ranks_as_the_local_store(tmp_path, open_store, encoder, monkeypatch):
    documents = made_up_documents(150)
    written = open_store(encoder())
    with LocalStore(tmp_path / "s", encoder=encoder()) as local:
        for held in (local, written):
            held.write(documents[:100])
            held.embed_missing()  # the vector index covers these, not yet the others
            held.write(documents[100:])
            held.remove(documents[7].source, [documents[7].url])
        assert list(written.passages()) == list(local.passages())
        assert written.manifest().equals(local.manifest())
        for store in kept_and_not(monkeypatch, lambda: open_store(encoder())):
            questions = random.Random(5)
            for _ in range(5):
                chosen = questions.choice(documents)
                query = " ".join(questions.sample(chosen.sections[0].text.split(), 5))
                for options in (
                    {},
                    {"k": 30},
                    {"condition": "asthma"},
                    {"source": "alpha", "k": 9},
                    {"condition": "asthma", "source": "beta", "k": 60},
                ):
                    assert [(u, s, a.expected) for u, s, a in told(local, query, **options)] == told(
                        store, query, **options
                    )


def test__search__all_passages_of_a_condition__are_given(open_store, monkeypatch):
    rare = [
        page(f"r{i}", f"Rare finding number {i} is seen.", conditions=("sarcoidosis",)) for i in range(40)
    ]
    common = made_up_documents(300, sections=1)
    about = common[0].sections[0].text
    for encoder in (WordEncoder(), None):
        written = open_store(encoder)
        written.write([*common, *rare])
        for store in kept_and_not(monkeypatch, partial(open_store, encoder)):
            for exact in (EXACT, 10):  # a few passages are all compared, many are not
                monkeypatch.setattr(searching, "EXACT", exact)
                found = store.search(about, k=1_000, condition="sarcoidosis")
                assert {hit.passage.url for hit in found} == {d.url for d in rare}
                few = store.search(about, k=5, condition="sarcoidosis")
                assert [h.passage.url for h in few] == [h.passage.url for h in found[:5]]
        written.clear()


def test__search__more_hits_than_candidates__gives_all(open_store, monkeypatch):
    open_store(WordEncoder()).write(made_up_documents(400, sections=1))
    for store in kept_and_not(monkeypatch, lambda: open_store(WordEncoder())):
        for _ in range(2):
            assert len(store.search("anything", k=5_000)) == 400
            assert len(store.search("anything", k=150)) == 150


def test__search__kept_store_written_by_another__sees_it_at_once(open_store):
    store, other = open_store(WordEncoder()), open_store(WordEncoder())
    other.write([page("a", "Mucus blocks a bronchus.", conditions=("atelectasis",))])

    def kept_again() -> bool:
        store.search("mucus")
        return store._keeper.columns is not None

    assert kept_again()
    other.write([page("b", "Mucus is coughed up.")])
    assert set(urls(store, "mucus is coughed up")) == {"a", "b"}
    assert kept_again()
    other.remove("notes", ["b"])
    assert urls(store, "mucus is coughed up") == ["a"]
    assert kept_again()
    versions = [store._state().stamp]
    other.clear()
    assert store.search("mucus") == []
    other.write([page("c", "Fever comes with mucus.")])
    other.write([page("d", "Fever comes late.")])
    other.remove("notes", ["d"])
    versions.append(store._state().stamp)
    # as many transactions as before the clearing tell the two apart by what was given to each once
    assert versions[0].version == versions[1].version
    assert versions[0].made != versions[1].made
    assert urls(store, "mucus") == ["c"]


def test__search__kept_store_cleared_and_made_again_alike__is_told_apart(open_store):
    store, other = open_store(), open_store()
    for url in ("a", "b"):
        other.write([page(url, "Mucus blocks a bronchus.")])
        assert urls(store, "mucus") == [url]
        assert store._keeper.columns is not None or url == "b"
        if url == "a":
            other.clear()


def test__search__store_larger_than_is_kept__is_not_read(open_indexed, monkeypatch):
    store = open_indexed()
    store.write(made_up_documents(20))
    monkeypatch.setattr(kept, "MOST_KEPT", 39)
    for _ in range(3):
        store.search("anything")
    assert store._keeper.columns is None
    monkeypatch.setattr(kept, "MOST_KEPT", 40)
    monkeypatch.setattr(kept, "PER_SEARCH", 8)  # five searches for 40 passages
    reads = []
    for _ in range(3):
        store.search("anything")
        reads.append(store._keeper.columns is not None)
    assert reads == [False, True, True]


def test__search__condition_and_source__filter_before_ranking(open_indexed):
    store = open_indexed()
    store.write(
        [
            page("a", "Mucus blocks a bronchus.", conditions=("atelectasis",)),
            page("b", "Mucus is coughed up.", conditions=("pneumonia",)),
            page("c", "Mucus again.", source="other notes", conditions=("atelectasis",)),
        ]
    )
    assert set(urls(store, "mucus", condition="collapsed lung segment")) == {"a", "c"}
    assert urls(store, "mucus", source="other") == ["c"]
    assert urls(store, "fever", condition="atelectasis", source="notes") == ["a"]  # no word in common
    assert urls(store, "fever") == []
    assert store.search("mucus", condition="sarcoidosis") == []
    with pytest.raises(UserError, match="No one source is called 'note5'"):
        store.search("mucus", source="note5")


def test__search__lucene_characters__are_text_only(open_indexed):
    odd = ['"', "AND OR NOT *", "a" * 100_000, "(x:y)^2~ \\ %", "/.*/ && || ! {a TO b} [a]", "\ud800", " "]
    store = open_indexed()
    assert store.search(odd[0]) == []
    store.write([page("a", "Mucus blocks a bronchus.")])
    for query in odd:
        assert store.search(query) == []
        assert urls(store, f"{query} mucus") == ["a"]


def test__search__thousands_of_words__are_taken(open_indexed):
    documents = made_up_documents(40)
    store = open_indexed(WordEncoder())
    store.write(documents)
    everything = " ".join(section.text for d in documents for section in d.sections)
    assert len(store.search(everything, k=3)) == 3


def test__search__alike_in_another_source__is_one_hit_with_both_citations(open_indexed):
    text = "The effusion is drained through a needle when it is large or when its cause is in doubt for long."
    store = open_indexed(WordEncoder())
    store.write([page("a", text)])
    written = store.write([page("b", text.replace("is drained", "is usually drained"), source="atlas")])
    assert written.linked == 1
    hits = store.search("drained through a needle")
    assert len(hits) == 1
    assert {hits[0].passage.source, *(p.source for p in hits[0].also)} == {"notes", "atlas"}
    assert urls(store, "drained through a needle", source="atlas") == ["b"]


def test__search__same_passage_in_several_files__is_one_hit(open_indexed):
    store = open_indexed(WordEncoder())
    store.write([page(name, "Mucus blocks a bronchus.") for name in ("c", "a", "b")])
    assert urls(store, "mucus", k=9) == ["a"]


def test__ingest__twice__writes_and_encodes_nothing_new(neo4j_server, open_store, tmp_path):
    (tmp_path / "a.md").write_text("# Atelectasis\n\n## Causes\n\nMucus blocks a bronchus.\n")
    (tmp_path / "b.md").write_text("# Pleural effusion\n\n## Symptoms\n\nDyspnea and cough are felt.\n")
    encoder = WordEncoder()
    store = open_store(encoder)
    first = dallm.ingest(store, dallm.Folder(tmp_path, name="notes"))
    assert (first.added, first.passages, first.embedded) == (2, 2, 2)
    before = (encoder.encoded, store._connection.writes, committed(neo4j_server))
    second = dallm.ingest(store, dallm.Folder(tmp_path, name="notes"))
    assert (second.added, second.updated, second.unchanged, second.embedded) == (0, 0, 2, 0)
    assert (encoder.encoded, store._connection.writes, committed(neo4j_server)) == before


def test__write__changed_document__replaces_its_passages_and_keeps_equal_vectors(open_indexed):
    encoder = WordEncoder()
    store = open_indexed(encoder)
    kept, old, new = (Section(f"Part {i}", f"Sentence number {i} is here.") for i in range(3))
    store.write([Document("T", (kept, old), "notes", "a")])
    before = encoder.encoded
    assert store.write([Document("T", (kept, new), "notes", "a")]) == Written(
        updated=1, passages=2, embedded=1
    )
    assert encoder.encoded == before + 1
    assert [p.section for p in store.passages()] == ["Part 0", "Part 2"]
    assert store.write([Document("T", (kept, new), "notes", "a", conditions=("asthma",))]).embedded == 0
    assert store.conditions() == ("asthma",)
    assert counts_are_right(store)


def test__write__words_and_vectors_of_odd_kinds__are_taken(open_indexed):
    class Blank(WordEncoder):
        def _one(self, sentence: str) -> np.ndarray:
            return np.zeros(self.dimension) if "nothing" in sentence else super()._one(sentence)

    encoder = Blank()
    store = open_indexed(encoder)
    store.write(
        [
            page("a", "There is nothing in it."),
            page("b", "x" * 40_000 + " mucus"),
            page("c", "Half a character \ud83d stands here.", authors=("é",), licence=None),
        ]
    )
    assert "a" in urls(store, "there is nothing else", k=3)
    assert "b" in urls(store, "mucus", k=3)
    before = encoder.encoded
    assert store.embed_missing() == 0
    assert encoder.encoded == before
    assert counts_are_right(store)


def test__write__in_parts__is_as_in_one(open_store, monkeypatch):
    documents = [*made_up_documents(12), page("same", "Mucus blocks it."), page("again", "Mucus blocks it.")]
    one = open_store(WordEncoder())
    at_once = one.write(documents)
    held = list(one.passages())
    one.clear()
    monkeypatch.setattr(vector, "_PART_CHARACTERS", 1)
    encoder = WordEncoder()
    store = open_store(encoder)
    assert store.write(documents) == at_once
    assert list(store.passages()) == held
    assert encoder.encoded == at_once.embedded + 1  # and the probe
    assert counts_are_right(store)


def test__write__one_part__is_written_while_the_next_is_encoded(open_indexed, monkeypatch):
    monkeypatch.setattr(vector, "_PART_CHARACTERS", 1)
    second = threading.Event()

    class Telling(WordEncoder):
        def encode(self, sentences: list[str]) -> np.ndarray:
            if any("second" in sentence for sentence in sentences):
                second.set()
            return super().encode(sentences)

    store = open_indexed(Telling())
    write, waited = store._write, []

    def writing(batch) -> Written:
        waited.append(second.wait(30))
        return write(batch)

    monkeypatch.setattr(store, "_write", writing)
    store.write([page("a", "The first page."), page("b", "The second page.")])
    assert waited == [True, True]
    assert set(store.known("notes")) == {"a", "b"}


def test__write__encoder_fails_in_the_middle__keeps_the_documents_before(open_indexed, monkeypatch):
    monkeypatch.setattr(vector, "_PART_CHARACTERS", 1)

    class Failing(WordEncoder):
        def encode(self, sentences: list[str]) -> np.ndarray:
            if any("third" in sentence for sentence in sentences):
                raise MemoryError("no room")
            return super().encode(sentences)

    pages = [page(name, f"The {name} page.") for name in ("first", "second", "third", "fourth")]
    store = open_indexed(Failing())
    with pytest.raises(MemoryError):
        store.write(pages)
    assert set(store.known("notes")) == {"first", "second"}
    assert counts_are_right(store)
    assert open_indexed(WordEncoder()).write(pages) == Written(added=2, unchanged=2, passages=2, embedded=2)


def test__write__two_writers_at_once__write_every_document_once(open_store):
    documents = made_up_documents(60)
    stores = [open_store(WordEncoder()) for _ in range(3)]
    shuffled = [random.Random(i).sample(documents, len(documents)) for i in range(3)]

    def write(store: Neo4jVectorStore, listed: list[Document]) -> None:
        for start in range(0, len(listed), 10):
            store.write(listed[start : start + 10])

    at_once(*(partial(write, *pair) for pair in zip(stores, shuffled, strict=True)))
    found = [(p.source, p.url, p.section, p.text) for p in stores[0].passages()]
    assert len(found) == len(set(found)) == 120
    assert counts_are_right(stores[0])


def counts_are_right(store: Neo4jVectorStore) -> bool:
    """Whether the statistics that searches use are those of the passages that are there."""
    nodes = [row["node"] for row in store._read("MATCH (p:Passage) RETURN p {.*} AS node")]
    terms = {r["id"]: r["n"] for r in store._read("MATCH (t:Term) RETURN t.id AS id, t.passages AS n")}
    state = store._state()
    assert terms == dict(passages_with(nodes))
    assert (state.passages, state.documents) == (len(nodes), len(store.manifest()))
    assert state.fresh == store._read("MATCH (p:Fresh) RETURN count(p) AS n")[0]["n"]
    assert state.vectors == sum("embedding" in node or "blank" in node for node in nodes)
    assert state.head_terms == sum(len(node["head"].split()) for node in nodes)
    return state.body_terms == sum(len(node["body"].split()) for node in nodes)


def test__embed_missing__lexical_store_with_an_encoder__is_encoded(open_store):
    store = open_store(None)
    documents = made_up_documents(20)
    store.write([*documents, page("z", documents[0].sections[0].text, title=documents[0].title)])
    assert not store.has_dense
    dense = open_store(WordEncoder())
    assert not dense.has_dense
    distinct = {p.sha256 for p in dense.passages()}
    assert dense.embed_missing() == len(distinct)
    assert dense.has_dense
    assert dense.embed_missing() == 0
    assert dense._state().fresh == 0
    assert counts_are_right(dense)


def test__write__many_new_vectors__are_covered_by_the_index_in_few_pieces(open_indexed, monkeypatch):
    monkeypatch.setattr(vector, "_COVER", 25)
    store, documents = open_indexed(WordEncoder()), made_up_documents(40, sections=1)
    fresh = []
    for start in range(0, 40, 10):
        store.write(documents[start : start + 10])
        fresh.append(store._state().fresh)
        assert len(store.search("anything", k=100)) == start + 10
    assert fresh == [10, 20, 0, 10]
    store.remove(documents[35].source, [documents[35].url])
    assert counts_are_right(store)


def test__open__other_encoder__is_refused_with_the_remedy(open_indexed):
    documents = made_up_documents(5)
    open_indexed(WordEncoder()).write(documents)
    with pytest.raises(StoreError, match=r"another encoder.*'words'.*encoder=None.*another namespace="):
        open_indexed(WordEncoder("other"))
    for other in (WordEncoder(dimension=8), WordEncoder(seed=1)):  # the same name, other vectors
        store = open_indexed(other)
        with pytest.raises(StoreError, match="another encoder"):
            store.search("mucus")
        with pytest.raises(StoreError, match="another encoder"):
            store.write([page("new", "Something else.")])
    assert open_indexed(None).search(documents[0].sections[0].text)


def test__write__emptied_namespace__takes_another_encoder(open_store):
    store = open_store(WordEncoder())
    store.write([page("a", "Mucus blocks a bronchus.")])
    store.remove("notes", ["a"])
    other = open_store(WordEncoder("other", dimension=8))
    other.write([page("a", "Mucus blocks a bronchus.")])
    assert urls(other, "mucus") == ["a"]


def test__open__nothing_written__changes_nothing(neo4j_server, open_store, neo4j_namespace):
    before = committed(neo4j_server)
    store = open_store(WordEncoder())
    assert store.search("mucus") == [] == list(store.passages())
    assert (store.clear(), len(store.manifest()), store.remove("x", ["y"])) == (0, 0, 0)
    assert committed(neo4j_server) == before


def test__read_only__write__is_refused_and_missing_is_named(open_store, neo4j_namespace):
    with pytest.raises(StoreError, match=rf"{neo4j_namespace}.*no store yet.*dallm\.ingest"):
        open_store(read_only=True)
    open_store().write([page("a", "Mucus blocks a bronchus.")])
    store = open_store(read_only=True)
    assert urls(store, "mucus") == ["a"]
    for refused in (
        lambda: store.write([page("b", "x")]),
        lambda: store.remove("notes", ["a"]),
        store.clear,
        lambda: store.set_origin("notes", "x"),
    ):
        with pytest.raises(StoreError, match="read_only=True"):
            refused()


def test__open__later_format__is_refused(neo4j_server, open_store, neo4j_namespace):
    open_store().write([page("a", "Mucus.")])
    neo4j_server.rows(f"MATCH (m:Dallm_{neo4j_namespace}_Meta {{key: 'store'}}) SET m.format = 99")
    with pytest.raises(StoreError, match="format 99"):
        open_store()


def test__open__names_of_another_program__are_refused(neo4j_server, open_store, neo4j_namespace):
    neo4j_server.rows(f"CREATE INDEX dallm_{neo4j_namespace}_vector FOR (n:{neo4j_namespace}) ON (n.x)")
    with pytest.raises(StoreError, match="another program's index"):
        open_store()
    other = f"{neo4j_namespace}b"
    neo4j_server.rows(f"CREATE (:Dallm_{other}_Passage {{id: 'theirs'}})")
    with pytest.raises(StoreError, match=r"1 nodes with the label.*Choose another namespace="):
        open_store(namespace=other).write([page("a", "x")])


@pytest.mark.parametrize("namespace", ["", "1a", "a-b", "a b", "a`) DETACH DELETE n //", "ä", "a" * 61, 5])
def test__open__bad_namespace__is_refused_before_connecting(namespace):
    with pytest.raises(UserError, match="is no name"):
        Neo4jVectorStore("neo4j://localhost:1", namespace=namespace, encoder=None)


def test__clear__two_namespaces_and_foreign_nodes__removes_its_own_only(
    neo4j_server, open_store, neo4j_namespace
):
    neo4j_server.rows(
        f"UNWIND range(1, 5) AS i CREATE (:{neo4j_namespace} {{id: i, text: 'theirs', embedding: [0.1]}})"
    )
    one, two = open_store(WordEncoder()), open_store(WordEncoder(), namespace=f"{neo4j_namespace}x")
    for store in (one, two):
        store.write(made_up_documents(10))
        store.set_origin("alpha", "there")
    assert one.clear() == 10
    assert (len(one.manifest()), len(two.manifest()), one.origin("alpha")) == (0, 10, None)
    left = neo4j_server.rows("MATCH (n) UNWIND labels(n) AS label RETURN label, count(*) AS n")
    mine = Counter({row["label"]: row["n"] for row in left if neo4j_namespace in row["label"]})
    assert mine[neo4j_namespace] == 5
    assert not [label for label in mine if label.startswith(f"Dallm_{neo4j_namespace}_")]
    indexes = [row["name"] for row in neo4j_server.rows("SHOW INDEXES YIELD name")]
    assert not [name for name in indexes if name.startswith(f"dallm_{neo4j_namespace}_")]
    assert two.search("anything", k=1)
    assert one.write(made_up_documents(3)).added == 3  # the same handle makes it anew


def test__write__cleared_by_another_meanwhile__makes_the_namespace_again(open_store):
    one, two = open_store(WordEncoder()), open_store(WordEncoder())
    one.write([page("a", "Mucus blocks a bronchus.")])
    two.clear()
    assert one.search("mucus") == []
    one.write([page("b", "Mucus is coughed up.")])
    assert urls(two, "mucus") == ["b"]


def test__origin__is_kept_and_written_once(open_indexed):
    store = open_indexed()
    assert store.origin("notes") is None
    store.set_origin("notes", "here")
    before = store._connection.writes
    store.set_origin("notes", "here")
    assert (store.origin("notes"), store._connection.writes) == ("here", before)


def test__copy_and_pickle__give_a_working_store_without_the_password(neo4j_server, open_indexed, monkeypatch):
    store = open_indexed()
    store.write([page("a", "Mucus blocks a bronchus.")])
    assert urls(copy.deepcopy(store), "mucus") == ["a"]
    pickled = pickle.dumps(store)
    assert neo4j_server.password.encode() not in pickled
    assert neo4j_server.password not in repr(store)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password)
    with pickle.loads(pickled) as other:
        assert urls(other, "mucus") == ["a"]
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.search("mucus")


def test__neo4jvector__of_others__searches_our_indexes(neo4j_server, open_store, neo4j_namespace):
    pytest.importorskip("langchain_neo4j")
    from langchain_core.embeddings import Embeddings
    from langchain_neo4j import Neo4jVector

    class Theirs(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return WordEncoder().encode(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    store = open_store(WordEncoder())
    store.write(
        [
            page("a", "Mucus blocks a bronchus.", title="Blocked"),
            page("b", "Fluid lies around the lung.", title="Effusion"),
        ]
    )
    store.embed_missing()  # as an ingest does at its end
    for search_type in ("vector", "hybrid"):
        theirs = Neo4jVector.from_existing_index(
            Theirs(),
            index_name=f"dallm_{neo4j_namespace}_vector",
            keyword_index_name=f"dallm_{neo4j_namespace}_keyword",
            text_node_property="text",
            embedding_node_property="embedding",
            search_type=search_type,
            url=neo4j_server.uri,
            username=neo4j_server.user,
            password=neo4j_server.password,
            database=neo4j_server.database,
        )
        (found,) = theirs.similarity_search("What blocks the bronchus?", k=1)
        assert found.page_content == "Mucus blocks a bronchus."
        assert (found.metadata["url"], found.metadata["source"]) == ("a", "notes")


def test__search__nodes_that_another_program_put_under_our_label__are_passed_over(
    neo4j_server, open_store, neo4j_namespace
):
    store = open_store(WordEncoder())
    store.write([page("a", "Mucus blocks a bronchus.")])
    vector = WordEncoder().encode(["mucus"])[0].tolist()
    neo4j_server.rows(
        f"CREATE (p:Dallm_{neo4j_namespace}_Passage {{id: 'theirs', text: 'mucus', embedding: $vector}})",
        vector=vector,
    )
    assert urls(store, "mucus", k=5) == ["a"]
