"""The local store's index files: as good as the database, whatever happens to them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import start

from dallm.knowledge.passage import Document, Hit, Section
from dallm.knowledge.ranking import Question, fuse
from dallm.knowledge.stores import index, index_file
from dallm.knowledge.stores.index_file import Arrays, load, save
from dallm.knowledge.stores.local import LocalStore

FILES = ("store.sqlite-words", "store.sqlite-vectors")
QUESTION = "what causes a sound in part 7"


class Hashed:
    """Encodes a text by the counts of its letters."""

    identity = "letters"

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[1.0 + t.count(c) for c in "aeiousnrtl"] for t in texts])


def page(number: int, round_: int = 0) -> Document:
    sections = tuple(
        Section(f"Part {i}", f"Round {round_} of sound {number} is heard in part {i * number}.")
        for i in range(20)
    )
    return Document(f"Sound {number}", sections, f"source {number % 2}", f"u{number}", conditions=("asthma",))


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(index, "WORTH_KEEPING", 10)
    with LocalStore(tmp_path / "s", encoder=Hashed()) as store:
        store.write([page(i) for i in range(6)])
    return tmp_path / "s"


def answers(place: Path, **options) -> list[Hit]:
    with LocalStore(place, encoder=Hashed(), **options) as store:
        return store.search(QUESTION, k=30)


def built(monkeypatch) -> list[str]:
    calls: list[str] = []
    words, vectors = index.read_words, index.read_vectors
    monkeypatch.setattr(index, "read_words", lambda db: calls.append("words") or words(db))
    monkeypatch.setattr(index, "read_vectors", lambda db, ids: calls.append("vectors") or vectors(db, ids))
    return calls


def test__search__second_opening__maps_what_the_first_built(place, monkeypatch):
    calls = built(monkeypatch)
    first = answers(place)
    assert calls == ["words", "vectors"]
    assert answers(place) == answers(place, read_only=True) == first
    assert calls == ["words", "vectors"]


def test__search__small_store__keeps_no_files(place, monkeypatch):
    monkeypatch.setattr(index, "WORTH_KEEPING", 1_000)
    answers(place)
    assert not any((place / name).exists() for name in FILES)


def test__embed_missing__after_an_ingest__leaves_the_index_ready(place, monkeypatch):
    calls = built(monkeypatch)
    with LocalStore(place, encoder=Hashed()) as store:
        store.embed_missing()
        assert calls == ["words", "vectors"]
        before = [(place / name).stat().st_mtime_ns for name in FILES]
        store.embed_missing()
    assert [(place / name).stat().st_mtime_ns for name in FILES] == before
    answers(place, read_only=True)
    assert calls == ["words", "vectors"]


def test__search__read_only__writes_no_file(place):
    assert len(answers(place, read_only=True)) == 30
    sqlite_own = {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm"}
    assert {p.name for p in place.iterdir()} <= sqlite_own


def test__search__after_a_write__sees_it_whatever_the_files_say(place):
    answers(place)
    with LocalStore(place, encoder=None) as store:
        store.write([page(7, 1)])
    with LocalStore(place, encoder=Hashed()) as store:
        assert sum(h.passage.url == "u7" for h in store.search("round 1", k=200)) == 20
        store.remove("source 1", ["u7"])
        assert all(h.passage.url != "u7" for h in store.search("round 1", k=200))


DAMAGE = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "one bit of an array": lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
    "one bit of the description": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    "of another program": lambda data: b"\x89PNG" + data[4:],
    "too short for its head": lambda data: data[:7],
    "endless description": lambda data: data[:8] + b"\xff" * 7 + data[15:],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test__search__broken_file__is_built_again(place, name, damage):
    whole = answers(place)
    data = (place / name).read_bytes()
    (place / name).write_bytes(DAMAGE[damage](data))
    assert answers(place, read_only=True) == whole
    assert answers(place) == whole
    assert (place / name).read_bytes() == data


def test__search__disk_full_or_read_only__goes_without_files(place, monkeypatch):
    opened = Path.open

    def refused(self: Path, mode: str = "r", **options):
        if self.suffix == ".part" or self.name.endswith(".part"):
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(self, mode, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert len(answers(place)) == 30
    assert not any((place / name).exists() for name in FILES)


KILLED = """
import os, signal, sys
from dallm.knowledge.stores import index, index_file
from dallm.knowledge.stores.local import LocalStore
index.WORTH_KEEPING = 10
blocks = index_file._blocks

def cut_off(version, content):
    for number, block in enumerate(blocks(version, content)):
        if number == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        yield block

index_file._blocks = cut_off
LocalStore(sys.argv[1], encoder=None).search("sound")
"""


def test__search__killed_while_it_wrote_the_file__does_no_harm(place):
    done = subprocess.run([sys.executable, "-c", KILLED, str(place)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    part = place / f"{FILES[0]}.part"
    assert part.exists()
    assert not (place / FILES[0]).exists()
    assert len(answers(place)) == 30
    assert not (place / FILES[0]).exists()  # the part may be another process's, still being written
    os.utime(part, (time.time() - 3600,) * 2)
    assert len(answers(place)) == 30
    assert (place / FILES[0]).exists()
    assert not part.exists()


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store_local_index import Hashed, page
from dallm.knowledge.stores import index
from dallm.knowledge.stores.local import LocalStore
index.WORTH_KEEPING = 10
with LocalStore(sys.argv[1], encoder=Hashed()) as store:
    for turn in range(1, 40):
        store.write([page(3, turn)])
        store.search("sound")
"""


def test__search__while_another_process_writes_and_searches__sees_whole_documents(place):
    command = [sys.executable, "-c", WRITER, str(place), str(Path(__file__).parent)]
    writer = start(command, stderr=subprocess.PIPE)
    turns = set()
    with LocalStore(place, encoder=Hashed()) as store:
        while writer.poll() is None:
            texts = [h.passage.text for h in store.search("round", k=500) if h.passage.url == "u3"]
            assert len(texts) == 20
            (turn,) = {text.split()[1] for text in texts}
            turns.add(turn)
            listed = [p.text.split()[1] for p in store.passages() if p.url == "u3"]
            assert len(listed) == 20
            assert len(set(listed)) == 1
        assert writer.returncode == 0, writer.stderr.read().decode()
        last = {h.passage.text.split()[1] for h in store.search("round", k=500) if h.passage.url == "u3"}
    writer.stderr.close()
    assert last == {"39"}
    assert len(turns) > 2


def test__passages__read_while_documents_change__are_those_of_one_state(place):
    with LocalStore(place, encoder=None) as store:
        listed = store.passages()
        first = next(listed)
        store.write([page(i, 5) for i in range(6)])
        assert {p.text.split()[1] for p in (first, *listed)} == {"0"}
        assert {p.text.split()[1] for p in store.passages()} == {"5"}


def test__best__every_signal__is_that_of_the_ranking(place):
    with LocalStore(place, encoder=Hashed()) as store:
        hits = store.search("What causes sound 4?", k=200)
        question = Question.of("What causes sound 4?")
        vector = question.vector(store._encoder.encode)
        found = store._current_index(dense=True)
        for row in (0, 50, 119):
            (held,) = [h for h in hits if h.passage == _at(store, int(found.ids[row]))]
            cosine = found._vectors[row] @ vector
            lexical = found._lexical.scores(question.text)[row]
            aspect = found._lexical.scores(question.told)[row]
            title = question.share_of_title(held.passage.title)
            expected = fuse(np.float32([cosine]), np.float32([lexical]), np.float32([aspect]), title)
            assert held.score == pytest.approx(float(expected[0]), abs=1e-6)
        assert question.told
        assert len(hits) == 120


def _at(store: LocalStore, number: int):
    from dallm.knowledge.stores import rows

    return rows.fetch(store._db, [number])[0][0]


def test__arms__alone__rank_by_words_or_by_meaning(place):
    with LocalStore(place, encoder=Hashed()) as store, LocalStore(place, encoder=None) as bare:
        store.prepare([QUESTION, "heard"])
        hits = store.search("heard", k=3, arm="dense")
        expected = store._encoder.encode(["heard"])[0]
        assert hits[0].score == pytest.approx(
            float((store._current_index(dense=True)._vectors @ expected).max())
        )
        assert store.search("zebra", arm="lexical") == []
        assert [h.passage for h in store.search(QUESTION, k=9, arm="lexical")] == [
            h.passage for h in bare.search(QUESTION, k=9, arm="lexical")
        ]
        with pytest.raises(ValueError, match="needs vectors"):
            bare.search("heard", arm="dense")
        with pytest.raises(ValueError, match="'fused', 'lexical', 'dense'"):
            store.search("heard", arm="graph")


def test__prepare__questions__are_encoded_once_in_a_batch(place):
    encoder = Hashed()
    calls: list[int] = []
    encode = encoder.encode
    encoder.encode = lambda texts: calls.append(len(texts)) or encode(texts)
    with LocalStore(place, encoder=encoder) as store:
        alone = store.search("What causes it?", k=9)
        calls.clear()
        store.prepare(["What causes it?", "heard", "What causes it?"])
        assert calls == [3]  # the first also with the words of its answers
        assert store.search("What causes it?", k=9) == alone
        store.search("heard", arm="dense")
        assert calls == [3]


def test__save_and_load__any_shapes__come_back_equal(tmp_path):
    arrays = {
        "empty": np.zeros((0, 3), np.float32),
        "grid": np.arange(12, dtype=np.int32).reshape(3, 4),
        "one": np.array([7.5]),
    }
    assert save(tmp_path / "a", "v1", Arrays(arrays, {"names": ["é", ""]}))
    back = load(tmp_path / "a", "v1")
    assert back is not None
    assert back.texts == {"names": ["é", ""]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
        assert back.arrays[name].dtype == array.dtype
    assert load(tmp_path / "a", "v2") is None
    assert load(tmp_path / "b", "v1") is None
    assert index_file.is_kept(tmp_path / "a", "v1")
    assert not index_file.is_kept(tmp_path / "a", "v2")
