"""Finished fits, kept in one file the moment they are finished."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dallm.errors import OutputError
from dallm.evaluation.running.tasks import Fitted, Task

FILE = "fits.sqlite"
_VERSION = 1
_WAIT_S = 60.0


class KeptFits:
    """Fits by key, in ``fits.sqlite`` of a folder. Fits of other data may lie in the same file.

    It holds probabilities in the order of the test cases, no features, labels or ids.

    Parameters
    ----------
    folder : Path
        Made if it is missing.

    Raises
    ------
    OutputError
        If the file cannot be opened or written; the message names it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot make the folder {str(folder)!r}: {error.strerror or error}."
            ) from error
        with self._named_errors():
            self._database = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise OutputError(
                    f"{str(self.path)!r} was written by another version of dallm (format {version}, this one "
                    f"reads {_VERSION}). Take another folder."
                )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS fits (key TEXT PRIMARY KEY, what TEXT NOT NULL, "
                "probability BLOB NOT NULL, about TEXT NOT NULL) WITHOUT ROWID"
            )
            self._database.execute(f"PRAGMA user_version = {_VERSION}")

    def get(self, key: str, task: Task) -> Fitted | None:
        """Return the fit of this key, or None."""
        with self._named_errors():
            row = self._database.execute(
                "SELECT probability, about FROM fits WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        probability = np.frombuffer(row[0], dtype="<f8").astype(np.float64)
        if len(probability) != len(task.split.test):
            return None
        about = json.loads(row[1])
        return Fitted(
            probability,
            float.fromhex(about["threshold"]),
            about["device"],
            about["seconds"],
            tuple(about["notes"]),
            about["importances"],
        )

    def put(self, key: str, task: Task, fitted: Fitted) -> None:
        """Keep a fit; it is on disk when this returns."""
        about = {
            "threshold": fitted.threshold.hex(),
            "device": fitted.device,
            "seconds": round(fitted.seconds, 4),
            "notes": list(fitted.notes),
            "importances": None if fitted.importances is None else dict(fitted.importances),
        }
        blob = fitted.probability.astype("<f8").tobytes()
        with self._named_errors():
            self._database.execute(
                "INSERT OR REPLACE INTO fits VALUES (?, ?, ?, ?)", (key, str(task), blob, json.dumps(about))
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"Cannot use {str(self.path)!r}, where finished fits are kept: {error}. Take another folder, "
                "or remove the file to start anew."
            ) from error
