"""The graph in one file: nothing twice, nothing lost, nothing half, found by the way through the graph."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import pytest
from processes import start, succeed

import dallm
from dallm.errors import StoreError, UserError
from dallm.knowledge.graph import file as graph_file
from dallm.knowledge.passage import Document, Section
from dallm.knowledge.sources.primer import NOTICE
from dallm.knowledge.stores.base import KnowledgeStore, Known, Written
from dallm.knowledge.stores.local import LocalStore
from dallm.knowledge.stores.networkx import NetworkXStore


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Atelectasis\n\n## Causes\n\nMucus and smoking block a bronchus.\n")
    (folder / "b.md").write_text("# Pleural effusion\n\n## Symptoms\n\nDyspnea and cough are felt.\n")
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graph.json"


def found(store: KnowledgeStore, query: str, **options) -> list[str]:
    return [hit.passage.url for hit in store.search(query, **options)]


def stamps(path: Path) -> list[tuple[str, int, int]]:
    return sorted((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in path.parent.glob("*graph*"))


def test__store__is_a_knowledge_store(path):
    with NetworkXStore(path) as store:
        assert isinstance(store, KnowledgeStore)
        assert (store.endpoint, store.has_dense) == (None, False)


def test__ingest__twice__writes_nothing_new(path, notes):
    with NetworkXStore(path) as store:
        first = dallm.ingest(store, dallm.Folder(notes))
        assert (first.added, first.passages, first.embedded) == (2, 2, 0)
        before = stamps(path)
        second = dallm.ingest(store, dallm.Folder(notes))
        assert (second.added, second.updated, second.unchanged) == (0, 0, 2)
        assert stamps(path) == before


def test__ingest__changed_and_removed_files__leave_no_trace_in_the_graph(path, notes):
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert store.related("atelectasis", "caused_by") == ("smoking",)
        (notes / "a.md").write_text("# Atelectasis\n\n## Causes\n\nPneumonia.\n")
        (notes / "b.md").unlink()
        report = dallm.ingest(store, dallm.Folder(notes), prune=True)
        assert (report.updated, report.pruned) == (1, 1)
        assert store.related("atelectasis", "caused_by") == ("pneumonia",)
        types = sorted(held["type"] for _, held in store.graph.nodes(data=True))
        assert types == ["cause", "condition", "document", "passage"]
        assert store.clear() == 1
        assert len(store.graph) == 0


def test__content__is_that_of_the_local_store(path, tmp_path, notes):
    with NetworkXStore(path) as store, LocalStore(tmp_path / "s", encoder=None) as local:
        documents = [*dallm.Folder(notes).documents(()), *dallm.Primer().documents(())]
        for each in (store, local):
            each.write(documents)
            each.set_origin("notes", "/notes")
        assert list(store.passages()) == list(local.passages())
        assert list(store.passages("collapsed lung segment")) == list(local.passages("atelectasis"))
        assert store.manifest().equals(local.manifest())
        assert store.conditions() == local.conditions()
        assert store.sources() == local.sources()
        assert store.known("notes") == local.known("notes")
        assert store.origin("notes") == local.origin("notes") == "/notes"


def test__write__same_text_for_another_condition__is_about_both(path):
    def note(about: str) -> Document:
        return Document("Note", (Section("", "Some text."),), "s", "1", conditions=(about,))

    with NetworkXStore(path) as store:
        first = store.write([note("asthma"), note("asthma"), note("pneumonia")])
        assert first == Written(added=1, updated=1, unchanged=1, passages=2)
        assert store.known("s")["1"] == Known(note("").sha256, ("asthma", "pneumonia"))
        assert store.write([note("asthma")]) == Written(unchanged=1)


def test__search__question__follows_its_relation(path):
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Primer())
        asked = {
            "What is atelectasis?": "What it is",
            "What are the symptoms of atelectasis?": "Symptoms",
            "What are the causes of atelectasis?": "Causes",
            "What are the radiographic features of atelectasis?": "Radiographic look",
            "Which causes has a collapsed lung segment?": "Causes",
        }
        for question, section in asked.items():
            best = store.search(question, k=1)[0].passage
            assert (best.title, best.section) == ("Atelectasis", section), question


def test__search__concept_named__is_an_entry_of_its_own(path):
    pages = [
        Document("One", (Section("", "Hemoptysis may be seen."),), "s", "1"),
        Document("Two", (Section("", "Some other text."),), "s", "2"),
    ]
    with NetworkXStore(path) as store:
        store.write(pages)
        # no word in common: "coughing up blood" is a term of the concept
        assert found(store, "Who is coughing up blood?") == ["1"]


def test__search__condition_and_source__filter_before_ranking(path, notes):
    with NetworkXStore(path) as store:
        dallm.ingest(store, [dallm.Folder(notes), dallm.Primer()])
        only = store.search("causes mucus", k=50, condition="collapsed lung segment")
        assert {"atelectasis"} <= {name for hit in only for name in hit.passage.conditions}
        assert len(only) == len(list(store.passages("atelectasis")))
        assert found(store, "mucus", k=50, source="notes") == ["a.md"]
        assert {h.passage.source for h in store.search("mucus", k=9, source="primer")} == {NOTICE}
        assert store.search("mucus", condition="sarcoidosis") == []
        with pytest.raises(UserError, match=r"No one source is called 'note5'.*Did you mean 'notes'"):
            store.search("mucus", source="note5")


@pytest.mark.parametrize("query", ['"', "AND OR NOT *", "a" * 100_000, "(x:y)^2~ \\ %", "\ud800", ""])
def test__search__odd_query__is_text_only(path, notes, query):
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert store.search(query) == []


def test__search__near_duplicate_of_another_source__stands_beside_the_hit(path):
    text = "Air collects between the lung and the chest wall, and the lung collapses in part or as a whole."
    one = Document("Pneumothorax", (Section("", text),), "one", "1", conditions=("pneumothorax",))
    two = Document(
        "Pneumothorax", (Section("", text.replace("lung collapses", "lung often collapses")),), "two", "2",
        conditions=("pneumothorax",),
    )  # fmt: skip
    with NetworkXStore(path) as store:
        store.write([one])
        assert store.write([two]).linked == 1
        hits = store.search("air between lung and chest wall")
        assert [(h.passage.url, [p.url for p in h.also]) for h in hits] == [("1", ["2"])]
        assert found(store, "air", source="two") == ["2"]
    with NetworkXStore(path) as store:  # the link is kept in the file
        assert [len(h.also) for h in store.search("air")] == [1]


def test__search__same_passage_in_several_files__is_one_hit(path, notes):
    for name in ("c.md", "d.md"):
        (notes / name).write_bytes((notes / "a.md").read_bytes())
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert found(store, "mucus", k=2) == ["a.md"]


@pytest.mark.parametrize(
    ("options", "message"), [({"k": 0}, "k is the number"), ({"arm": "dense"}, "one way")]
)
def test__search__bad_argument__is_refused(path, options, message):
    with NetworkXStore(path) as store, pytest.raises(UserError, match=message):
        store.search("x", **options)


def test__open__encoder__is_refused(path):
    with pytest.raises(UserError, match=r"takes no encoder.*neo4j_vector"):
        NetworkXStore(path, encoder="model/")
    NetworkXStore(path, encoder="auto").close()
    assert not path.exists()  # opening writes nothing


def test__file__after_closing__is_one_that_networkx_reads(path, notes):
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert path.with_name("graph.json.journal").exists()
        kept = store.graph
    assert [p.name for p in path.parent.glob("*graph*")] == ["graph.json"]
    read = nx.node_link_graph(json.loads(path.read_text()), edges="edges")
    assert nx.utils.graphs_equal(nx.MultiDiGraph(read.edges), nx.MultiDiGraph(kept.edges))
    assert dict(read.nodes(data=True)) == dict(kept.nodes(data=True))
    assert read.edges["condition/atelectasis", "cause/smoking", "caused_by"] == {"passages": 1}


def test__journal__half_a_line__is_the_batch_that_was_killed(path):
    pages = [Document(f"T{i}", (Section("", "Cough."),), "s", str(i)) for i in range(2)]
    store = NetworkXStore(path)
    for one in pages:
        store.write([one])
    journal = path.with_name("graph.json.journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    with NetworkXStore(path) as again:
        assert list(again.known("s")) == ["0"]
        again.write(pages)
    with NetworkXStore(path, read_only=True) as kept:
        assert list(kept.known("s")) == ["0", "1"]


def test__journal__of_an_earlier_state__is_never_read_twice(path):
    with NetworkXStore(path) as store:
        store.write([Document("T", (Section("", "Cough."),), "s", "1")])
        journal = path.with_name("graph.json.journal")
        left = journal.read_bytes()
    journal.write_bytes(left)  # as a kill between the two steps of closing leaves it
    with NetworkXStore(path) as store:
        store.remove("s", ["1"])
    with NetworkXStore(path) as store:
        assert store.known("s") == {}
    journal.write_bytes(left.replace(b'"generation": 0', b'"generation": 9'))
    with pytest.raises(StoreError, match="goes with another state"):
        NetworkXStore(path)


def test__journal__longer_than_the_file__is_taken_in(path, monkeypatch):
    monkeypatch.setattr(graph_file, "_SMALLEST_JOURNAL", 500)
    store = NetworkXStore(path)
    sizes = []
    for i in range(12):
        store.write([Document(f"T{i}", (Section("", f"Cough {i}."),), "s", str(i))])
        sizes.append(path.stat().st_size if path.exists() else 0)
    assert 2 <= len(set(sizes)) < 10  # written anew a few times, not every time
    with NetworkXStore(path, read_only=True) as other:
        assert len(other.known("s")) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not JSON", "cannot be read"),
        ('{"nodes": [], "edges": [], "graph": {}}', "KeyError: 'format'"),
        ("[1, 2]", "holds no graph of dallm"),
        ('{"nodes": [], "edges": [], "graph": {"format": 99, "generation": 1, "origins": {}}}', "format 99"),
    ],
)
def test__open__broken_or_foreign_file__is_named_and_kept(path, text, message):
    path.write_text(text)
    with pytest.raises(StoreError, match=message) as raised:
        NetworkXStore(path)
    assert str(path) in str(raised.value)
    assert path.read_text() == text


def test__open__folder_or_missing_file__is_told(path):
    with pytest.raises(StoreError, match=r"is a folder.*graph\.json"):
        NetworkXStore(path.parent)
    with pytest.raises(StoreError, match="There is no store"):
        NetworkXStore(path, read_only=True)
    path.with_name("graph.json.journal").write_bytes(b'{"generation": 0}\n{"write": [{}]}\n')
    with pytest.raises(StoreError, match=r"journal.*does not fit"):
        NetworkXStore(path)


def test__read_only__write__is_refused(path, notes):
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Folder(notes))
    before = stamps(path)
    with NetworkXStore(path, read_only=True) as store:
        assert found(store, "mucus") == ["a.md"]
        for refused in (lambda: store.remove("notes", ["a.md"]), lambda: store.set_origin("notes", "x")):
            with pytest.raises(StoreError, match="read_only=True"):
                refused()
    assert stamps(path) == before


def test__two_handles__see_each_others_batches(path, notes):
    with NetworkXStore(path) as reader, NetworkXStore(path) as writer:
        assert reader.search("mucus") == []
        dallm.ingest(writer, dallm.Folder(notes))
        assert found(reader, "mucus") == ["a.md"]
        assert reader.write([Document("T", (Section("", "Wheeze."),), "s", "1")]).added == 1
        assert found(writer, "wheeze") == ["1"]
        writer.close()
        assert found(reader, "wheeze") == ["1"]


def test__close__copy_and_pickle(path, notes):
    with NetworkXStore(path) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert found(copy.deepcopy(store), "mucus") == ["a.md"]
        with pickle.loads(pickle.dumps(store)) as other:
            assert found(other, "mucus") == ["a.md"]
    assert "closed" in repr(store)
    with pytest.raises(StoreError, match="closed"):
        store.search("x")
    store.close()


INGEST = """
import sys, dallm
from dallm.knowledge import ingest
from dallm.knowledge.stores.networkx import NetworkXStore
ingest._BATCH_DOCUMENTS = 4
with NetworkXStore(sys.argv[1]) as store:
    dallm.ingest(store, dallm.Folder(sys.argv[2]))
"""


def many_notes(folder: Path, count: int) -> Path:
    folder.mkdir()
    text = " ".join(f"Sentence {i} of this page tells of fever." for i in range(30))
    for i in range(count):
        (folder / f"{i:04}.md").write_text(f"# Page {i}\n\n{text}\n")
    return folder


def content(path: Path) -> list[tuple[str, ...]]:
    with NetworkXStore(path, read_only=True) as store:
        return [(p.url, p.section, p.text) for p in store.passages()]


def test__ingest__killed_and_run_by_two_processes__is_whole_and_nothing_double(path, tmp_path):
    notes = many_notes(tmp_path / "many", 48)
    with NetworkXStore(tmp_path / "whole.json") as whole:
        dallm.ingest(whole, dallm.Folder(notes))
    command = [sys.executable, "-c", INGEST, str(path), str(notes)]
    journal = path.with_name("graph.json.journal")
    process = start(command, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        if journal.exists() and journal.stat().st_size > 5_000:
            break
        time.sleep(0.001)
    process.kill()
    process.wait(30)
    assert 0 < len(content(path)) < len(content(tmp_path / "whole.json"))
    succeed(command, command)
    assert content(path) == content(tmp_path / "whole.json")
    assert not journal.exists()
