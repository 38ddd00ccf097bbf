"""The SQLite file of a local store: its tables, and opening it safely beside other processes."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dallm.errors import StoreError
from dallm.knowledge.stores import links
from dallm.knowledge.stores.upgrade import is_first, read_as_it_is, upgrade

FILE = "store.sqlite"
FORMAT = "2"
_APPLICATION = 0x64616C6D  # "dalm": tells our file from another program's
_WAIT_S = 60.0
_CACHE_KIB = 65_536  # the bands of many passages fit: they are written all over their table
_STAMP = "insert or replace into meta values ('content', ?)"
_SCHEMA = (
    """
create table if not exists meta (key text primary key, value blob not null) without rowid;
create table if not exists documents (
    id integer primary key, source text not null, url text not null, title text not null, revision text,
    licence text, authors text not null, retrieved_at text not null, conditions text not null,
    notice text not null, sha256 text not null, unique (source, url));
create table if not exists passages (
    id integer primary key, document integer not null references documents (id) on delete cascade,
    place integer not null, section text not null, text text not null, conditions text not null,
    sha256 text not null, head blob not null, body blob not null, twin text);
create index if not exists passages_by_place on passages (document, place);
create index if not exists passages_by_conditions on passages (conditions);
create index if not exists passages_by_sha256 on passages (sha256);
create table if not exists vectors (
    id integer primary key, sha256 text not null unique, vector blob not null);
"""
    + links.TABLE
)


def connect(folder: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the store in `folder`, making it unless `read_only`.

    Raises
    ------
    StoreError
        If the folder is missing (read only), holds something else, is broken, or was made by a later version.
    """
    path = folder / FILE
    _check_place(folder, path, read_only)
    try:
        return _opened(path, read_only=read_only)
    except sqlite3.DatabaseError as error:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError) and "not a database" not in text:
            hint = "" if read_only else " Where it may not be written to, open it with read_only=True."
            raise StoreError(f"The store {str(folder)!r} cannot be opened: {text}.{hint}") from error
        raise StoreError(
            f"The store {str(folder)!r} is broken ({text}); ingest again into a new folder, or put back "
            "a copy."
        ) from error


@contextmanager
def transaction(connection: sqlite3.Connection, folder: Path) -> Iterator[sqlite3.Connection]:
    """Run a block in one write transaction: all of it is kept or nothing.

    A block that changed something leaves a new stamp, by which what was read before is known to be stale.
    """
    try:
        connection.execute("begin immediate")
        try:
            before = connection.total_changes
            yield connection
            if connection.total_changes != before:
                connection.execute(_STAMP, (secrets.token_hex(8),))
        except BaseException:
            if connection.in_transaction:  # a full disk makes SQLite roll back by itself
                connection.execute("rollback")
            raise
        connection.execute("commit")
    except sqlite3.Error as error:
        raise StoreError(
            f"The store {str(folder)!r} could not be written: {error}. What was written before is kept; "
            "the same command goes on from there."
        ) from error


def _check_place(folder: Path, path: Path, read_only: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{str(folder)!r} is a file, not a store; a local store is a folder.")
    if path.exists():
        return
    if read_only:
        raise StoreError(
            f"There is no store in {str(folder)!r}; make one with dallm.open_store and dallm.ingest."
        )
    # another process may be making the store at this moment: its files are no strangers
    if folder.exists() and any(not entry.name.startswith(FILE) for entry in folder.iterdir()):
        raise StoreError(
            f"The folder {str(folder)!r} holds other files and no store; name a new or an empty folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The store {str(folder)!r} cannot be made: {error.strerror or error}.") from error


def _opened(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = path.resolve().as_uri()
    if read_only:
        try:
            return _checked(_plain(f"{uri}?mode=ro"), path)
        except sqlite3.OperationalError:
            # a store on a medium that cannot be written: safe only where no writer left work behind
            log = path.with_name(f"{path.name}-wal")
            if log.exists() and log.stat().st_size:
                raise
            return _checked(_plain(f"{uri}?immutable=1"), path)
    connection = _plain(f"{uri}?mode=rwc")
    try:
        _make_tables(connection)
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma synchronous = normal")
        connection.execute(f"pragma cache_size = {-_CACHE_KIB}")
        if _is_ours(connection) and is_first(connection):
            upgrade(connection, FORMAT)
    except BaseException:
        connection.close()
        raise
    return _checked(connection, path)


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables where the file has none, also where a process was killed before it made them."""
    deadline = time.monotonic() + _WAIT_S
    while _is_blank(connection):
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("begin immediate")
            connection.execute(f"pragma application_id = {_APPLICATION}")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute("insert or ignore into meta values ('format', ?)", (FORMAT,))
            connection.execute(_STAMP, (secrets.token_hex(8),))
            connection.execute("commit")
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.execute("rollback")
            # SQLite does not wait for another process while it changes the journal's mode
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _is_blank(connection: sqlite3.Connection) -> bool:
    application = connection.execute("pragma application_id").fetchone()[0]
    return not application and not connection.execute("select count(*) from sqlite_master").fetchone()[0]


def _is_ours(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("pragma application_id").fetchone()[0] == _APPLICATION)


def _plain(uri: str) -> sqlite3.Connection:
    # every statement stands in a transaction of our own making, and one lock guards the threads
    return sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        if _is_blank(connection):
            raise StoreError(
                f"There is no store in {str(path.parent)!r} yet; make one with dallm.open_store and "
                "dallm.ingest."
            )
        if not _is_ours(connection):
            raise StoreError(f"{str(path)!r} is a database of another program, not a dallm store.")
        if is_first(connection):  # one that is open for writing has been upgraded
            read_as_it_is(connection)
            return connection
        found = connection.execute("select value from meta where key = 'format'").fetchone()
        if found is None or found[0] != FORMAT:
            version = found[0] if found else "unknown"
            raise StoreError(
                f"The store {str(path.parent)!r} has format {version}, this version of dallm reads {FORMAT}; "
                "update dallm (pip install -U dallm) or ingest into a new folder."
            )
        connection.execute("select count(*) from documents").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
