"""Near-duplicates in a local store: the table of bands, and the links of new passages."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence

from dallm.knowledge.duplicates import Held, bands_of, twins
from dallm.knowledge.passage import Passage

TABLE = """
create table if not exists bands (band integer not null, source integer not null, passage integer not null,
    primary key (band, source, passage)) without rowid;
"""
_MOST = 64  # passages of one band that are looked at: pages may repeat a sentence a thousand times
_AT_ONCE = 32  # bands asked for in one statement
# two ranges rather than one inequality: passages of the same source are not even passed over
_SHARING = " union all ".join(
    f"select * from (select passage from bands where band = ?{i + 2} and source {side} ?1 limit {_MOST})"
    for i in range(_AT_ONCE)
    for side in "<>"
)


def twins_of(
    db: sqlite3.Connection, source: str, passages: Sequence[Passage], bands: Sequence[tuple[int, ...]]
) -> list[str | None]:
    """Return what the passages of one source are linked to (see :func:`dallm.knowledge.duplicates.twins`)."""
    other = "select 1 from documents where source < ?1 union all select 1 from documents where source > ?1"
    if db.execute(f"{other} limit 1", (source,)).fetchone() is None:
        return [None] * len(passages)
    return twins(passages, lambda name, keys: _held(db, name, keys), bands)


def add(db: sqlite3.Connection, source: str, bands: Sequence[tuple[int, tuple[int, ...]]]) -> None:
    """Enter passages of a source, by their numbers, under their bands."""
    number = _number(source)
    # in the order of the table: neighbouring pages are written together
    db.executemany(
        "insert or ignore into bands values (?, ?, ?)",
        sorted((key, number, passage) for passage, keys in bands for key in keys),
    )


def drop(db: sqlite3.Connection, source: str, texts: Sequence[tuple[int, str]]) -> None:
    """Take passages of a source out, by their numbers and texts."""
    number, keys = _number(source), bands_of([text for _, text in texts])
    db.executemany(
        "delete from bands where band = ? and source = ? and passage = ?",
        ((key, number, passage) for (passage, _), own in zip(texts, keys, strict=True) for key in own),
    )


def _held(db: sqlite3.Connection, source: str, keys: Sequence[int]) -> list[Held]:
    number = _number(source)
    found: set[int] = set()
    for start in range(0, len(keys), _AT_ONCE):
        part = list(keys[start : start + _AT_ONCE])
        part += part[-1:] * (_AT_ONCE - len(part))
        found.update(row[0] for row in db.execute(_SHARING, (number, *part)))
    held = []
    for passage in sorted(found):
        row = db.execute(
            "select p.sha256, d.source, d.title, p.section, p.text, p.conditions, p.twin "
            "from passages p join documents d on d.id = p.document where p.id = ?",
            (passage,),
        ).fetchone()
        if row is not None:
            sha256, name, title, section, text, about, twin = row
            held.append(Held(sha256, name, title, section, text, tuple(json.loads(about)), twin))
    return held


def _number(source: str) -> int:
    return zlib.crc32(source.encode("utf-8", "replace")) >> 1
