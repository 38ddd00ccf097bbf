"""Stores of the first format: brought up to date where they may be written, read as they are where not."""

from __future__ import annotations

import secrets
import sqlite3

from dallm.knowledge.duplicates import bands_of
from dallm.knowledge.stores import links, rows

FIRST = "1"
_BATCH = 1_000


def upgrade(db: sqlite3.Connection, to: str) -> None:
    """Add what the first format lacks, links between near-duplicates and indexes, in one transaction."""
    db.execute("begin immediate")
    try:
        found = db.execute("select value from meta where key = 'format'").fetchone()
        if found == (FIRST,):  # another process may have been faster
            db.execute("alter table passages add column twin text")
            db.execute("drop index if exists passages_by_document")
            db.execute("create index passages_by_place on passages (document, place)")
            db.execute("create index passages_by_conditions on passages (conditions)")
            db.execute(links.TABLE)
            _link_all(db)
            stamp = secrets.token_hex(8)
            db.executemany("insert or replace into meta values (?, ?)", (("format", to), ("content", stamp)))
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise


def read_as_it_is(db: sqlite3.Connection) -> None:
    """Let a connection that cannot write see a store of the first format as one without links."""
    db.execute("pragma temp_store = memory")
    db.execute("create temp view passages as select *, null as twin from main.passages")


def _link_all(db: sqlite3.Connection) -> None:
    ids = [row[0] for row in db.execute("select id from passages order by document, place")]
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        held = [passage for passage, _ in rows.fetch(db, part)]
        keys = bands_of([passage.text for passage in held])
        for number, passage, own in zip(part, held, keys, strict=True):
            (twin,) = links.twins_of(db, passage.source, [passage], [own])
            if twin is not None:
                db.execute("update passages set twin = ? where id = ?", (twin, number))
            links.add(db, passage.source, [(number, own)])


def is_first(db: sqlite3.Connection) -> bool:
    """Whether a store has the first format."""
    row = db.execute("select value from meta where key = 'format'").fetchone()
    return row is not None and row[0] == FIRST
