"""The vectors of a local store: one per passage's digest, made by the store's one encoder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from dallm.knowledge.passage import Passage
from dallm.knowledge.stores.encoding import Signature, StoreEncoder, texts_to_encode

_AT_ONCE = 500  # SQLite bounds how many values one statement takes


def signature(db: sqlite3.Connection) -> Signature | None:
    """Return whose vectors a store holds, or None where it holds none."""
    kept = dict(db.execute("select key, value from meta where key in ('encoder', 'probe')"))
    return Signature(kept["encoder"], kept["probe"]) if "encoder" in kept else None


def held(db: sqlite3.Connection, passages: Sequence[Passage]) -> set[str]:
    """Return the digests of those passages that have a vector."""
    digests, found = list({p.sha256 for p in passages}), set[str]()
    for start in range(0, len(digests), _AT_ONCE):
        part = digests[start : start + _AT_ONCE]
        sql = f"select sha256 from vectors where sha256 in ({','.join('?' * len(part))})"
        found.update(row[0] for row in db.execute(sql, part))
    return found


def encoded(encoder: StoreEncoder, passages: Sequence[Passage], held: set[str]) -> dict[str, bytes]:
    """Return the vectors of passages that have none yet, by the passage's digest."""
    new = texts_to_encode(passages, held) if encoder.given else {}
    if not new:
        return {}
    made = encoder.encode(list(new.values())).astype("<f4")
    return {sha256: vector.tobytes() for sha256, vector in zip(new, made, strict=True)}


def write(db: sqlite3.Connection, encoder: StoreEncoder, made: dict[str, bytes]) -> int:
    """Write vectors, within a transaction, and return how many were not held.

    Raises
    ------
    StoreError
        If another process has meanwhile written vectors of another encoder.
    """
    if not made:
        return 0
    kept = signature(db)
    encoder.check(kept)
    if kept is None:
        own = encoder.signature()
        told = (("encoder", own.identity), ("probe", own.probe))
        db.executemany("insert or replace into meta values (?, ?)", told)
    before = db.total_changes
    db.executemany("insert or ignore into vectors (sha256, vector) values (?, ?)", made.items())
    return db.total_changes - before


def without(db: sqlite3.Connection, most: int) -> list[int]:
    """Return the numbers of passages whose digest has no vector, one passage a digest."""
    sql = (
        "select min(id) from passages where sha256 not in (select sha256 from vectors) "
        "group by sha256 order by 1 limit ?"
    )
    return [row[0] for row in db.execute(sql, (most,))]


def drop(db: sqlite3.Connection, digests: Iterable[str]) -> None:
    """Delete the vectors of these passages where no document holds the passage any more."""
    db.executemany(
        "delete from vectors where sha256 = ?1 and not exists (select 1 from passages where sha256 = ?1)",
        ((sha256,) for sha256 in digests),
    )
