"""The local store's near-duplicates across sources, and stores of the first format."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import dallm
from dallm.knowledge.passage import Document, Section
from dallm.knowledge.stores.local import LocalStore

TEXT = (
    "The collapsed segment shows as a wedge of opacity on the film. Vessels and bronchi crowd together. "
    "A fissure is pulled towards the airless lobe. The trachea may shift to the same side."
)
EDITED = TEXT.replace("may shift", "may also shift").replace("shows", "showed")
DENIED = TEXT.replace("may shift", "does not shift")


def page(text: str, source: str, url: str = "a", about: tuple[str, ...] = ("atelectasis",)) -> Document:
    return Document("Atelectasis", (Section("Signs", text),), source, url, licence=source, conditions=about)


def shown(store: LocalStore, **options) -> list[tuple[str, list[str]]]:
    hits = store.search("collapsed segment opacity", k=9, **options)
    return [(hit.passage.source, [p.source for p in hit.also]) for hit in hits]


@pytest.fixture
def store(tmp_path: Path):
    with LocalStore(tmp_path / "s", encoder=None) as store:
        yield store


def test__write__edited_copy_of_another_source__is_one_hit_with_both_citations(store):
    store.write([page(TEXT, "x")])
    assert store.write([page(EDITED, "y")]).linked == 1
    assert store.write([page(TEXT, "z")]).linked == 1  # word for word
    assert store.write([page(DENIED, "w")]).linked == 0
    assert sorted((s, sorted(also)) for s, also in shown(store))[0] == ("w", [])
    ((one, others),) = [(s, also) for s, also in shown(store) if s != "w"]
    assert sorted((one, *others)) == ["x", "y", "z"]
    (hit,) = [hit for hit in store.search("collapsed segment", k=9) if hit.also]
    assert all(p.licence == p.source for p in (hit.passage, *hit.also))
    assert {p.source for p in store.passages()} == {"w", "x", "y", "z"}


def test__search__filters__find_each_of_a_group(store):
    store.write([page(TEXT, "x"), page(EDITED, "y", about=("atelectasis", "asthma"))])
    assert shown(store, source="x") == [("x", [])]
    assert shown(store, source="y") == [("y", [])]
    assert shown(store, condition="asthma") == [("y", [])]
    assert len(shown(store, condition="atelectasis")) == 1


def test__search__twin_beyond_the_hits_asked_for__stands_beside_its_hit(store):
    store.write([page(TEXT, "x"), page(EDITED, "y")])
    (hit,) = store.search("collapsed segment opacity", k=1)
    assert len(hit.also) == 1


def test__search__near_duplicates_within_a_source__are_hits_of_their_own(store):
    assert store.write([page(TEXT, "x", "a"), page(EDITED, "x", "b")]).linked == 0
    assert len(store.search("collapsed segment", k=9)) == 2


def test__write__changed_or_removed_page__leaves_its_group(store):
    store.write([page(TEXT, "x"), page(EDITED, "y")])
    store.write([page("Mucus blocks a bronchus, and the air behind it is taken up by the blood.", "x")])
    assert shown(store) == [("y", [])]
    store.remove("y", ["a"])
    bands = store._db.execute("select count(*) from bands").fetchone()[0]
    assert bands == 16  # those of the one passage that is left
    assert store.clear() == 1
    assert store._db.execute("select count(*) from bands").fetchone()[0] == 0


FIRST_FORMAT = """
create table meta (key text primary key, value blob not null) without rowid;
create table documents (id integer primary key, source text not null, url text not null, title text not null,
    revision text, licence text, authors text not null, retrieved_at text not null, conditions text not null,
    notice text not null, sha256 text not null, unique (source, url));
create table passages (id integer primary key, document integer not null references documents (id)
    on delete cascade, place integer not null, section text not null, text text not null,
    conditions text not null, sha256 text not null, head blob not null, body blob not null);
create index passages_by_document on passages (document);
create index passages_by_sha256 on passages (sha256);
create table vectors (sha256 text primary key, vector blob not null) without rowid;
attach ? as new;
insert into meta select key, value from new.meta where key != 'content';
update meta set value = '1' where key = 'format';
insert into documents select * from new.documents;
insert into passages select id, document, place, section, text, conditions, sha256, head, body
    from new.passages;
insert into vectors select sha256, vector from new.vectors;
detach new
"""


class Lengths:
    identity = "lengths"

    def encode(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 100.0] for text in texts]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as the first version wrote it, with two passages that nearly agree."""
    with LocalStore(tmp_path / "new", encoder=Lengths()) as store:
        store.write([page(TEXT, "x"), page(EDITED, "y"), page(DENIED, "x", "b")])
    (tmp_path / "old").mkdir()
    with closing(sqlite3.connect(tmp_path / "old" / "store.sqlite", isolation_level=None)) as db:
        db.execute("pragma journal_mode = wal")
        db.execute(f"pragma application_id = {0x64616C6D}")
        for statement in FIRST_FORMAT.split(";"):
            place = (str(tmp_path / "new" / "store.sqlite"),) if "?" in statement else ()
            db.execute(statement, place)
    return tmp_path / "old"


def test__open__first_format__is_upgraded_and_linked(old):
    with LocalStore(old, encoder=Lengths()) as store:
        sources = sorted((s, *sorted(also)) for s, also in shown(store))
        assert sources in ([("x",), ("x", "y")], [("x",), ("y", "x")])
        assert store.has_dense
        assert store.write([page(EDITED, "z")]).linked == 1
        assert store.embed_missing() == 0
    with dallm.open_store(old, encoder=None, read_only=True) as store:
        assert sorted(len(also) for _, also in shown(store)) == [0, 2]


def test__open__first_format_read_only__is_searched_as_it_is(old):
    before = (old / "store.sqlite").read_bytes()
    with dallm.open_store(old, encoder=Lengths(), read_only=True) as store:
        assert len(store.search("collapsed segment", k=9)) == 3
        assert len(list(store.passages())) == len(store.manifest()) == 3
    assert (old / "store.sqlite").read_bytes() == before


def test__open__first_format_killed_while_upgraded__is_upgraded_next_time(old, monkeypatch):
    from dallm.knowledge.stores import upgrade

    def interrupted(db: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "_link_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            LocalStore(old, encoder=None)
    with LocalStore(old, encoder=None) as store:
        assert sorted(len(also) for _, also in shown(store)) == [0, 1]
