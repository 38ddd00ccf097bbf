"""The local store and ingest: nothing twice, nothing lost, nothing half."""

from __future__ import annotations

import copy
import json
import pickle
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from processes import start, succeed

import dallm
from dallm.errors import KnowledgeWarning, SourceError, StoreError, UserError
from dallm.knowledge import encoder as encoders
from dallm.knowledge.lexical import Bm25, term_ids
from dallm.knowledge.passage import Document, Section
from dallm.knowledge.sources.primer import NOTICE
from dallm.knowledge.stores.base import KnowledgeStore, Written
from dallm.knowledge.stores.local import LocalStore

CONCEPTS = (
    ("breathless", "dyspnea"),
    ("heart", "cardiac"),
    ("collapse", "atelectasis"),
    ("fluid", "effusion"),
)


class ToyEncoder:
    """Encodes a text by the concepts that it names, in either of two words; counts what it encoded."""

    def __init__(self, identity: str = "toy", dimension: int = 5) -> None:
        self.identity, self.dimension, self.encoded = identity, dimension, 0

    def encode(self, sentences: list[str]) -> np.ndarray:
        self.encoded += len(sentences)
        rows = [[float(any(w in s.lower() for w in words)) for words in CONCEPTS] for s in sentences]
        return np.array([[*row, 0.1][: self.dimension] for row in rows])


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Atelectasis\n\n## Causes\n\nMucus blocks a bronchus.\n")
    (folder / "b.md").write_text("# Pleural effusion\n\n## Symptoms\n\nDyspnea and cough are felt.\n")
    return folder


def open_toy(path: Path, **options) -> LocalStore:
    return LocalStore(path, encoder=ToyEncoder(**options))


def found(store: KnowledgeStore, query: str, **options) -> list[str]:
    return [hit.passage.url for hit in store.search(query, **options)]


def test__ingest__twice__writes_and_encodes_nothing_new(tmp_path, notes):
    with open_toy(tmp_path / "s") as store:
        first = dallm.ingest(store, [dallm.Folder(notes)])
        assert (first.added, first.passages, first.embedded) == (2, 2, 2)
        before = (store._encoder.encoder._encoder.encoded, store._db.total_changes)
        second = dallm.ingest(store, [dallm.Folder(notes)])
        assert (second.added, second.updated, second.unchanged, second.embedded) == (0, 0, 2, 0)
        assert (store._encoder.encoder._encoder.encoded, store._db.total_changes) == before


def test__ingest__unchanged_with_the_packaged_encoder__does_not_load_it(tmp_path, notes, monkeypatch):
    stand_in = ToyEncoder()
    monkeypatch.setattr(encoders.TextEncoder, "_load", lambda self: stand_in)
    with dallm.open_store(tmp_path / "s", encoder=encoders.TextEncoder("x", folder=tmp_path)) as store:
        dallm.ingest(store, dallm.Folder(notes))
    again = encoders.TextEncoder("x", folder=tmp_path)
    with dallm.open_store(tmp_path / "s", encoder=again) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert not again.loaded
        store.search("mucus")
        assert again.loaded


def test__ingest__changed_file__replaces_its_passages(tmp_path, notes):
    with open_toy(tmp_path / "s") as store:
        dallm.ingest(store, dallm.Folder(notes))
        (notes / "a.md").write_text("# Atelectasis\n\nSurfactant is lacking.\n")
        report = dallm.ingest(store, dallm.Folder(notes))
        assert (report.added, report.updated, report.unchanged) == (0, 1, 1)
        texts = [p.text for p in store.passages("atelectasis")]
        assert texts == ["Surfactant is lacking."]
        assert store._count("vectors") == store._count("passages") == 2


def test__ingest__removed_file__is_reported_and_pruned_only_on_request(tmp_path, notes):
    with open_toy(tmp_path / "s") as store:
        dallm.ingest(store, dallm.Folder(notes))
        (notes / "a.md").unlink()
        kept = dallm.ingest(store, dallm.Folder(notes))
        assert (kept.removed, kept.pruned, len(store.manifest())) == (("notes: a.md",), 0, 2)
        pruned = dallm.ingest(store, dallm.Folder(notes), prune=True)
        assert (pruned.removed, pruned.pruned, len(store.manifest())) == (("notes: a.md",), 1, 1)
        assert store.conditions() == ("pleural effusion",)


def test__ingest__broken_file__keeps_what_was_held_and_warns(tmp_path, notes):
    with open_toy(tmp_path / "s") as store:
        dallm.ingest(store, dallm.Folder(notes))
        (notes / "a.md").write_text("")
        with pytest.warns(KnowledgeWarning, match=r"a\.md: it is empty"):
            report = dallm.ingest(store, dallm.Folder(notes))
        assert report.removed == ()
        assert [str(p) for p in report.problems] == ["a.md: it is empty"]
        assert len(store.manifest()) == 2


def test__ingest__primer_for_other_conditions__adds_and_removes_nothing_else(tmp_path):
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Primer(), conditions=["atelectasis"])
        report = dallm.ingest(store, dallm.Primer(), conditions="COPD")
        assert (report.added, report.removed) == (1, ())
        assert store.conditions() == ("atelectasis", "chronic obstructive pulmonary disease")
        manifest = store.manifest()
        assert set(manifest["notice"]) == set(manifest["source"]) == {NOTICE}
        with pytest.warns(KnowledgeWarning, match="nothing on sarcoidosis"):
            dallm.ingest(store, dallm.Primer(), conditions=["sarcoidosis"])


def test__ingest__two_folders_of_one_name__are_refused(tmp_path, notes):
    other = tmp_path / "other" / "notes"
    other.mkdir(parents=True)
    (other / "a.md").write_text("# Asthma\nWheezing.")
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Folder(notes))
        with pytest.raises(SourceError, match="another name"):
            dallm.ingest(store, dallm.Folder(other))
        with pytest.raises(UserError, match="Two sources are called 'notes'"):
            dallm.ingest(store, [dallm.Folder(notes), dallm.Folder(other)])
        assert dallm.ingest(store, dallm.Folder(other, name="notes 2")).added == 1


@pytest.mark.parametrize("sources", ["notes/", ["notes/"], [], None])
def test__ingest__no_source__is_refused(tmp_path, sources):
    with LocalStore(tmp_path / "s", encoder=None) as store, pytest.raises(UserError, match=r"sources|source"):
        dallm.ingest(store, sources)


def test__ingest__conditions_not_in_the_table__tag_the_documents_that_name_them(tmp_path, notes):
    (notes / "c.md").write_text("# Sarcoidosis of the lung\n\nGranulomas are seen.\n")
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Folder(notes), conditions=["Sarcoidosis"])
        assert found(store, "granulomas", condition="sarcoidosis") == ["c.md"]


def test__search__words_and_meaning__are_fused(tmp_path, notes):
    with open_toy(tmp_path / "s") as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert store.has_dense
        assert found(store, "who is breathless", k=1) == ["b.md"]  # no word in common
        assert found(store, "mucus", k=1) == ["a.md"]  # no concept in common
        scores = [hit.score for hit in store.search("collapse by mucus in a bronchus")]
        assert scores == sorted(scores, reverse=True)
        assert max(scores) <= 1


def test__search__condition_and_source__filter_before_ranking(tmp_path, notes):
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, [dallm.Folder(notes), dallm.Primer()])
        only = store.search("causes mucus", k=50, condition="collapsed lung segment")
        assert {"atelectasis"} == {name for hit in only for name in hit.passage.conditions}
        assert found(store, "mucus", k=50, source="notes") == ["a.md"]
        assert {h.passage.source for h in store.search("mucus", k=9, source="primer")} == {NOTICE}
        assert store.search("mucus", condition="sarcoidosis") == []
        with pytest.raises(UserError, match=r"No one source is called 'note5'.*Did you mean 'notes'"):
            store.search("mucus", source="note5")


@pytest.mark.parametrize("query", ['"', "AND OR NOT *", "a" * 100_000, "(x:y)^2~ \\ %", "\ud800", ""])
def test__search__odd_query__is_text_only(tmp_path, notes, query):
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert store.search(query) == []


def test__search__half_a_character__reaches_no_tokeniser(tmp_path, notes):
    class Strict(ToyEncoder):
        def encode(self, sentences: list[str]) -> np.ndarray:
            assert all(s.encode("utf-8") for s in sentences)
            return super().encode(sentences)

    with LocalStore(tmp_path / "s", encoder=Strict()) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert found(store, "\ud83d mucus", k=1) == ["a.md"]


def test__search__same_passage_in_several_files__is_one_hit(tmp_path, notes):
    for name in ("c.md", "d.md", "e.md"):
        (notes / name).write_bytes((notes / "a.md").read_bytes())
    with LocalStore(tmp_path / "s", encoder=ToyEncoder()) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert found(store, "mucus", k=2) == ["a.md", "b.md"]
        assert len(store.search("mucus", k=40_000)) == 2


def test__search__more_hits_than_a_statement_takes_values__gives_all(tmp_path):
    sections = tuple(Section(f"Part {i}", f"Cough number {i} is felt.") for i in range(2_000))
    with LocalStore(tmp_path / "s", encoder=None) as store:
        store._db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        store.write([Document("Cough", sections, "notes", "a.md")])
        assert len(store.search("cough", k=5_000)) == 2_000


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test__search__bad_k__is_refused(tmp_path, k):
    with LocalStore(tmp_path / "s", encoder=None) as store, pytest.raises(UserError, match="k is the number"):
        store.search("x", k=k)


def test__bm25__rarer_word_and_title__count_more():
    bodies = [term_ids(t) for t in ("cough cough fever", "cough chills", "cough rash")]
    heads = [term_ids(t) for t in ("", "", "chills")]
    scores = Bm25(heads, bodies).scores("chills with cough")
    assert scores[1] > scores[0]
    assert scores[2] > scores[0]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert Bm25([], []).scores("x").shape == (0,)


def test__open__encoder_missing__warns_with_the_command_and_searches_words(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    with pytest.warns(KnowledgeWarning, match=r"lexical only.*pip install 'dallm\[offline\]'"):
        store = dallm.open_store(tmp_path / "s")
    dallm.ingest(store, dallm.Folder(notes))
    assert not store.has_dense
    assert "lexical retrieval only" in repr(store)
    assert found(store, "mucus") == ["a.md"]


def test__open__other_encoder__is_refused_with_the_remedy(tmp_path, notes):
    with open_toy(tmp_path / "s") as store:
        dallm.ingest(store, dallm.Folder(notes))
    with pytest.raises(StoreError, match=r"another encoder.*'toy'.*encoder=None"):
        open_toy(tmp_path / "s", identity="other")
    with open_toy(tmp_path / "s", dimension=3) as store, pytest.raises(StoreError, match="another encoder"):
        store.search("mucus")  # the same name, other vectors
    with LocalStore(tmp_path / "s", encoder=None) as store:
        assert found(store, "mucus") == ["a.md"]


def test__open__lexical_store_with_an_encoder__is_encoded_by_the_next_ingest(tmp_path, notes):
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Folder(notes))
    with open_toy(tmp_path / "s") as store:
        assert not store.has_dense
        report = dallm.ingest(store, dallm.Folder(notes))
        assert (report.unchanged, report.passages, report.embedded) == (2, 0, 2)
        assert found(store, "breathless", k=1) == ["b.md"]


def test__read_only__write__is_refused_and_missing_is_named(tmp_path, notes):
    with pytest.raises(StoreError, match="There is no store"):
        dallm.open_store(tmp_path / "s", encoder=None, read_only=True)
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Folder(notes))
    with dallm.open_store(tmp_path / "s", encoder=None, read_only=True) as store:
        assert found(store, "mucus") == ["a.md"]
        with pytest.raises(StoreError, match="read_only=True"):
            dallm.ingest(store, dallm.Folder(notes))
        with pytest.raises(StoreError, match="read_only=True"):
            store.remove("notes", ["a.md"])


def test__open__foreign_or_broken_folder__is_named(tmp_path, notes):
    with pytest.raises(StoreError, match="other files and no store"):
        dallm.open_store(notes, encoder=None)
    with pytest.raises(StoreError, match="is a file"):
        dallm.open_store(notes / "a.md", encoder=None)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "store.sqlite").write_bytes(b"not a database, but long enough to look like one " * 50)
    with pytest.raises(StoreError, match=r"broken.*ingest again into a new folder"):
        dallm.open_store(broken, encoder=None)
    with LocalStore(tmp_path / "s", encoder=None) as store:
        store._db.execute("update meta set value = '99' where key = 'format'")
    with pytest.raises(StoreError, match="format 99"):
        dallm.open_store(tmp_path / "s", encoder=None)
    with pytest.raises(UserError, match="takes no option 'database'"):
        dallm.open_store(tmp_path / "t", encoder=None, database="x")


def test__close__then_search__says_so(tmp_path):
    store = LocalStore(tmp_path / "s", encoder=None)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.search("x")
    assert "closed" in repr(store)


def test__copy_and_pickle__give_a_working_store(tmp_path, notes):
    with LocalStore(tmp_path / "s", encoder=None) as store:
        dallm.ingest(store, dallm.Folder(notes))
        assert found(copy.deepcopy(store), "mucus") == ["a.md"]
        with pickle.loads(pickle.dumps(store)) as other:
            assert found(other, "mucus") == ["a.md"]


def test__write__error_in_the_middle__keeps_nothing_of_the_batch(tmp_path, monkeypatch):
    pages = [Document(f"T{i}", (Section("", "Some text."),), "s", f"{i}") for i in range(3)]
    with LocalStore(tmp_path / "s", encoder=None) as store:
        whole = store._write_one
        monkeypatch.setattr(
            store, "_write_one", lambda d, p: whole(d, p) if d.title != "T2" else 1 / 0, raising=True
        )
        with pytest.raises(ZeroDivisionError):
            store.write(pages)
        assert len(store.manifest()) == 0
        monkeypatch.undo()
        assert store.write(pages) == Written(added=3, passages=3)


def test__search__another_process_wrote__finds_the_new_text(tmp_path, notes):
    with (
        LocalStore(tmp_path / "s", encoder=None) as reader,
        LocalStore(tmp_path / "s", encoder=None) as writer,
    ):
        assert reader.search("mucus") == []
        dallm.ingest(writer, dallm.Folder(notes))
        assert found(reader, "mucus") == ["a.md"]


INGEST = """
import sys, dallm
with dallm.open_store(sys.argv[1], encoder=None) as store:
    dallm.ingest(store, dallm.Folder(sys.argv[2]))
"""


def many_notes(folder: Path, count: int) -> Path:
    folder.mkdir()
    text = " ".join(f"Sentence {i} of this page is here." for i in range(60))
    for i in range(count):
        (folder / f"{i:04}.md").write_text(f"# Page {i}\n\n{text}\n")
    return folder


def content(path: Path) -> list[tuple[str, ...]]:
    with LocalStore(path, encoder=None, read_only=True) as store:
        return [(p.url, p.section, p.text) for p in store.passages()]


def test__ingest__two_processes_at_once__write_every_document_once(tmp_path):
    notes = many_notes(tmp_path / "notes", 200)
    command = [sys.executable, "-c", INGEST, str(tmp_path / "s"), str(notes)]
    succeed(command, command)
    rows = content(tmp_path / "s")
    assert len({row[0] for row in rows}) == 200
    assert len(set(rows)) == len(rows)


def test__ingest__killed_in_the_middle__stays_readable_and_is_completed(tmp_path):
    notes = many_notes(tmp_path / "notes", 400)
    dallm.ingest(whole := LocalStore(tmp_path / "whole", encoder=None), dallm.Folder(notes))
    whole.close()
    path = tmp_path / "s"
    command = [sys.executable, "-c", INGEST, str(path), str(notes)]
    partial = 0
    for _ in range(3):
        process = start(command, stderr=subprocess.DEVNULL)
        begun = len(content(path)) if (path / "store.sqlite").exists() else 0
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            if (path / "store.sqlite").exists() and _passages(path) > begun:
                break
            time.sleep(0.002)
        process.kill()
        process.wait(30)
        partial += 0 < len(content(path)) < len(content(tmp_path / "whole"))
    assert partial
    succeed(command)
    assert content(path) == content(tmp_path / "whole")


def test__open__killed_before_the_tables_were_made__is_made_good(tmp_path):
    (tmp_path / "s").mkdir()
    with closing(sqlite3.connect(tmp_path / "s" / "store.sqlite")) as begun:
        begun.execute("pragma journal_mode = wal")
    with pytest.raises(StoreError, match="no store in"):
        LocalStore(tmp_path / "s", encoder=None, read_only=True)
    with LocalStore(tmp_path / "s", encoder=None) as store:
        assert len(store.manifest()) == 0


OPEN = """
import sys, time
from dallm.knowledge.stores.local import LocalStore
for place in sys.argv[2:]:
    while time.time() < float(sys.argv[1]):
        pass
    LocalStore(place, encoder=None).close()
"""


def test__open__several_processes_make_one_store__all_open_it(tmp_path):
    places = [str(tmp_path / f"s{i}") for i in range(60)]
    command = [sys.executable, "-c", OPEN, str(time.time() + 3), *places]
    succeed(*[command] * 3)


def _passages(path: Path) -> int:
    try:
        with LocalStore(path, encoder=None, read_only=True) as store:
            return store._count("passages")
    except StoreError:  # its tables are being made
        return 0


def test__encoder__folder_of_a_model_that_is_none__is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no encoder"):
        dallm.open_store(tmp_path / "s", encoder=tmp_path)
    with pytest.raises(UserError, match="no model is fetched by name"):
        dallm.open_store(tmp_path / "s", encoder="all-MiniLM-L6-v2")
    with pytest.raises(UserError, match="encoder= takes"):
        dallm.open_store(tmp_path / "s", encoder=3)


def test__encoder__wrong_weights_or_vectors__are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    wrong = encoders.TextEncoder("x", folder=tmp_path, sha256=encoders.PACKAGED_SHA256)
    with pytest.raises(StoreError, match=r"expected 53aa5117…28d9db|expected 53aa5117"):
        wrong.encode(["a"])

    class Flat:
        def encode(self, sentences):
            return np.zeros(3)

    with pytest.raises(StoreError, match="one finite vector per text"):
        encoders.make_encoder(Flat()).encode(["a"])


@pytest.mark.slow
@pytest.mark.skipif(encoders.packaged_encoder() is None, reason="the packaged encoder is not installed")
def test__packaged_encoder__question_in_other_words__finds_the_passage(tmp_path):
    code = (
        "import sys, dallm, json\n"
        "store = dallm.open_store(sys.argv[1])\n"
        "assert 'torch' not in sys.modules\n"
        "dallm.ingest(store, dallm.Primer(), conditions=['atelectasis', 'pneumothorax', 'heart failure'])\n"
        "hit = store.search('swollen ankles and weak pumping', k=1)[0]\n"
        "print(json.dumps([store.has_dense, hit.passage.title]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout.splitlines()[-1]) == [True, "Heart failure"]
