"""SQLite files that only their owner can read, shared by processes, written answer by answer."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dallm.errors import EngineError

_WAIT_S = 30.0


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
    schema : str
        Statements that make the tables of a new file.
    """

    def __init__(self, path: Path, *, application: int, schema: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._arguments = (application, schema)
        self._db = _opened(path, application, schema)

    def write(self, sql: str, values: Sequence[Any]) -> int:
        """Run one statement in a transaction and return the number of its row."""
        with self._lock:
            try:
                return int(self._connection().execute(sql, values).lastrowid or 0)
            except sqlite3.Error as error:
                raise EngineError(f"{str(self.path)!r} could not be written: {error}.") from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        with self._lock:
            try:
                return self._connection().execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise _broken(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _connection(self) -> sqlite3.Connection:
        # a connection must not cross a fork
        if self._process != os.getpid():
            self._process = os.getpid()
            self._db = _opened(self.path, *self._arguments)
        return self._db


def _opened(path: Path, application: int, schema: str) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # made beforehand, so that no moment exists in which others may read it; -wal and -shm take its mode
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise EngineError(f"{str(path)!r} cannot be made or opened: {error.strerror or error}.") from error
    connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        found = connection.execute("pragma application_id").fetchone()[0]
        if found not in (0, application):
            raise EngineError(f"{str(path)!r} is a database of another program.")
        connection.execute("begin immediate")
        for statement in filter(str.strip, schema.split(";")):
            connection.execute(statement)
        connection.execute(f"pragma application_id = {application}")
        connection.execute("commit")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _broken(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _broken(path: Path, error: sqlite3.Error) -> EngineError:
    return EngineError(
        f"{str(path)!r} cannot be read ({error}). Nothing was thrown away: move the file aside to begin "
        "anew, or put back a copy."
    )
