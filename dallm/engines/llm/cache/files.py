"""SQLite files that only their owner can read, shared by processes, written row by row."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dallm.errors import EngineError

_WAIT_S = 30.0
_LOOK_S = 0.02


class OwnFile:
    """A SQLite database in a folder of the user's own; every write is a transaction of its own.

    A process that is killed loses nothing that was written; a machine that loses power may lose what was
    written in its last moments (``synchronous=NORMAL`` with a write-ahead log).

    Parameters
    ----------
    path : Path
        The file; its folder is made with mode 0700 where it is missing, the file with 0600.
    application : int
        Marks the file as one of this kind.
    version : int
        Of its format; a file of a later one is refused.
    schema : str
        Statements that make what a file of an earlier format, or a new one, lacks.

    Raises
    ------
    EngineError
        If the file cannot be made or read, belongs to another program or to a later version of dallm.

    Examples
    --------
    >>> import tempfile
    >>> schema = "create table if not exists seen (word text)"
    >>> file = OwnFile(Path(tempfile.mkdtemp()) / "words.sqlite", application=7, version=1, schema=schema)
    >>> file.write("insert into seen values (?)", ("fever",))
    1
    >>> file.rows("select word from seen")
    [('fever',)]
    """

    def __init__(self, path: Path, *, application: int, version: int, schema: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._arguments = (application, version, schema)
        self._db: sqlite3.Connection | None = _opened(path, *self._arguments)
        _open_files.add(self)

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement in a transaction and return the number of its row."""
        with self._lock:
            try:
                return int(self._connection().execute(sql, values).lastrowid or 0)
            except sqlite3.Error as error:
                raise EngineError(f"{str(self.path)!r} could not be written: {error}.") from error

    def write_all(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Run statements in one transaction: all of them hold, or none."""
        with self._lock:
            db = self._connection()
            try:
                db.execute("begin immediate")
                try:
                    for sql, values in statements:
                        db.execute(sql, values)
                except BaseException:
                    db.execute("rollback")
                    raise
                db.execute("commit")
            except sqlite3.Error as error:
                raise EngineError(f"{str(self.path)!r} could not be written: {error}.") from error

    def remove(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> int:
        """Run deletions in one transaction, leave nothing of the rows on the disk; return how many went.

        Where another process reads at this moment, the last of it goes when that one writes or closes.
        """
        with self._lock:
            db = self._connection()
            try:
                db.execute("pragma secure_delete = on")
                db.execute("begin immediate")
                try:
                    gone = sum(db.execute(sql, values).rowcount for sql, values in statements)
                except BaseException:
                    db.execute("rollback")
                    raise
                db.execute("commit")
                db.execute("vacuum")
                db.execute("pragma wal_checkpoint(truncate)").fetchall()
            except sqlite3.Error as error:
                raise EngineError(f"{str(self.path)!r} could not be written: {error}.") from error
            return gone

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        with self._lock:
            try:
                return self._connection().execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise _broken(self.path, error) from error

    def size(self) -> int:
        """Bytes on the disk, the write-ahead log included."""
        found = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                found += self.path.with_name(self.path.name + suffix).stat().st_size
        return found

    def close(self) -> None:
        """Close the file; using it afterwards opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = _opened(self.path, *self._arguments)
        return self._db

    def _before_fork(self) -> None:
        self._lock.acquire()

    def _in_parent(self) -> None:
        self._lock.release()

    def _in_child(self) -> None:
        # SQLite's connections must not cross a fork, nor be closed behind it: closing would act on the
        # parent's locks; the child opens one of its own when it needs it
        _left_behind.append(self._db)
        self._db = None
        self._lock = threading.Lock()


_open_files: weakref.WeakSet[OwnFile] = weakref.WeakSet()
_left_behind: list[sqlite3.Connection | None] = []
_forking: list[OwnFile] = []


def _before_fork() -> None:
    _forking.extend(_open_files)
    for file in _forking:
        file._before_fork()


def _in_parent() -> None:
    for file in _forking:
        file._in_parent()
    _forking.clear()


def _in_child() -> None:
    for file in _forking:
        file._in_child()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def _opened(path: Path, application: int, version: int, schema: str) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # made beforehand, so that no moment exists in which others may read it; -wal and -shm take its mode
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise EngineError(f"{str(path)!r} cannot be made or opened: {error.strerror or error}.") from error
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        held = _checked(path, connection, application, version)
        path.chmod(0o600)
        _patiently(connection, "pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        if held < version:
            connection.execute("begin immediate")
            if _version_of(connection) < version:  # another process may have been quicker
                for statement in filter(str.strip, schema.split(";")):
                    connection.execute(statement)
                connection.execute(f"pragma application_id = {application}")
                connection.execute(f"pragma user_version = {version}")
            connection.execute("commit")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _broken(path, error) from error
    except OSError as error:
        connection.close()
        raise EngineError(f"{str(path)!r} cannot be made or opened: {error.strerror or error}.") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _checked(path: Path, connection: sqlite3.Connection, application: int, version: int) -> int:
    """Return the version of the file's format, 0 for a new file; nothing is changed."""
    found = connection.execute("pragma application_id").fetchone()[0]
    held = _version_of(connection)
    others = found == 0 and connection.execute("select count(*) from sqlite_master").fetchone()[0]
    if found not in (0, application) or others:
        raise EngineError(f"{str(path)!r} is a database of another program; name another folder.")
    if held > version:
        raise EngineError(
            f"{str(path)!r} was written by a later version of dallm (format {held}, this one knows "
            f"{version}): update dallm, or name another folder."
        )
    return held


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _patiently(connection: sqlite3.Connection, sql: str) -> None:
    """Run a statement for which SQLite does not wait by itself while another process is at the same."""
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            connection.execute(sql)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_LOOK_S)


def _broken(path: Path, error: sqlite3.Error) -> EngineError:
    return EngineError(
        f"{str(path)!r} cannot be read ({error}). Nothing was thrown away: move the file aside to begin "
        "anew, or put back a copy."
    )
