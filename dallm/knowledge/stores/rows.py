"""Documents and passages as rows of a local store: prepared, written, read back, taken out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from dallm.knowledge.cut import cut
from dallm.knowledge.duplicates import bands_of
from dallm.knowledge.lexical import term_ids
from dallm.knowledge.passage import Document, Passage
from dallm.knowledge.stores import links

_COLUMNS = """p.text, d.title, p.section, d.source, d.url, d.revision, d.licence, d.authors, d.retrieved_at,
    p.conditions, p.sha256, d.notice, p.twin"""
SELECT = f"select {_COLUMNS} from passages p join documents d on d.id = p.document"
"""Rows that :func:`passage_of` reads; a passage's link comes last."""

_AT_ONCE = 500  # SQLite bounds how many values one statement takes


class Prepared(NamedTuple):
    """A passage with all that can be worked out before a store is locked for writing."""

    passage: Passage
    bands: tuple[int, ...]
    head: bytes
    body: bytes


def prepare(documents: Sequence[Document]) -> list[list[Prepared]]:
    """Cut documents into passages, ready to be written; one list per document."""
    cuts = [cut(document) for document in documents]
    keys = iter(bands_of([p.text for passages in cuts for p in passages]))
    return [
        [
            Prepared(
                p,
                next(keys),
                term_ids(f"{p.title} {p.section}").astype("<u4").tobytes(),
                term_ids(p.text).astype("<u4").tobytes(),
            )
            for p in passages
        ]
        for passages in cuts
    ]


def insert(
    db: sqlite3.Connection, document: Document, about: Sequence[str], pieces: Sequence[Prepared]
) -> int:
    """Write a document that is about these conditions; return how many passages were linked to others."""
    number = db.execute(
        "insert into documents (source, url, title, revision, licence, authors, retrieved_at, "
        "conditions, notice, sha256) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            document.source,
            document.url,
            document.title,
            document.revision,
            document.licence,
            json.dumps(document.authors),
            document.retrieved_at,
            json.dumps(list(about)),
            document.notice,
            document.sha256,
        ),
    ).lastrowid
    tagged = [
        replace(p.passage, conditions=tuple(dict.fromkeys((*about, *p.passage.conditions)))) for p in pieces
    ]
    twins = links.twins_of(db, document.source, tagged, [p.bands for p in pieces])
    # the next free numbers: known beforehand, they need not be asked for one by one
    first = db.execute("select coalesce(max(id), 0) + 1 from passages").fetchone()[0]
    db.executemany(
        "insert into passages (id, document, place, section, text, conditions, sha256, head, body, twin) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                first + place,
                number,
                place,
                passage.section,
                passage.text,
                json.dumps(list(passage.conditions)),
                passage.sha256,
                piece.head,
                piece.body,
                twin,
            )
            for place, (passage, piece, twin) in enumerate(zip(tagged, pieces, twins, strict=True))
        ),
    )
    links.add(db, document.source, [(first + place, piece.bands) for place, piece in enumerate(pieces)])
    return sum(twin is not None for twin in twins)


def delete(db: sqlite3.Connection, source: str, url: str) -> tuple[int, set[str]]:
    """Take a document out; return how many there were, and the digests of its passages."""
    rows = db.execute(
        "select p.id, p.text, p.sha256 from passages p join documents d on d.id = p.document "
        "where d.source = ? and d.url = ?",
        (source, url),
    ).fetchall()
    links.drop(db, source, [(number, text) for number, text, _ in rows])
    count = db.execute("delete from documents where source = ? and url = ?", (source, url)).rowcount
    return count, {sha256 for _, _, sha256 in rows}


def fetch(db: sqlite3.Connection, ids: Sequence[int]) -> list[tuple[Passage, str | None]]:
    """Return passages by their numbers, each with its link, in the order asked for."""
    found: dict[int, tuple[Passage, str | None]] = {}
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        sql = f"{SELECT.replace('select ', 'select p.id, ', 1)} where p.id in ({_marks(part)})"
        found |= {row[0]: (passage_of(row[1:]), row[-1]) for row in db.execute(sql, part)}
    return [found[i] for i in ids]


def conditions(db: sqlite3.Connection) -> set[str]:
    """Return every condition that a passage is about."""
    return {
        name for (told,) in db.execute("select distinct conditions from passages") for name in _listed(told)
    }


def stream(db: sqlite3.Connection, condition: str | None) -> Iterator[Passage]:
    """Yield the passages about a condition, or all, in the order of sources, urls and places."""
    # the documents in their order, and each one's passages in theirs: nothing is sorted
    sql = f"select {_COLUMNS} from documents d cross join passages p on p.document = d.id"
    told: list[str] = []
    if condition is not None:
        listings = db.execute("select distinct conditions from passages").fetchall()
        told = [json.dumps([listing for (listing,) in listings if condition in _listed(listing)])]
        sql += " where p.conditions in (select value from json_each(?))"
    for row in db.execute(f"{sql} order by d.source, d.url, p.place", told):
        yield passage_of(row)


def manifest(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Return the values of ``MANIFEST_COLUMNS`` of every document."""
    found = db.execute(
        "select title, source, url, revision, licence, authors, retrieved_at, conditions, "
        "(select count(*) from passages p where p.document = d.id), sha256, notice "
        "from documents d order by source, url"
    )
    return [(*r[:5], "; ".join(_listed(r[5])), r[6], "; ".join(_listed(r[7])), *r[8:]) for r in found]


def passage_of(row: Sequence[Any]) -> Passage:
    """Return the passage in a row of :data:`SELECT`."""
    text, title, section, source, url, revision, licence, authors, retrieved_at, about, sha256, notice = row[
        :12
    ]
    return Passage(
        text=text,
        title=title,
        section=section,
        source=source,
        url=url,
        revision=revision,
        licence=licence,
        authors=_listed(authors),
        retrieved_at=retrieved_at,
        conditions=_listed(about),
        sha256=sha256,
        notice=notice,
    )


@lru_cache(maxsize=4096)
def _listed(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
