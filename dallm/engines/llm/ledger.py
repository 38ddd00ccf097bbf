"""The ledger: every call is written down before it is sent, and again when its answer has arrived."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dallm.egress.addresses import host_of
from dallm.engines.llm.cache.files import OwnFile
from dallm.engines.llm.jobs import CallLog
from dallm.engines.llm.usage import ANSWERED, Totals, summed
from dallm.engines.llm.wire import Reply, Request
from dallm.errors import UserError
from dallm.files import replacing

FILE = "calls.sqlite"
_APPLICATION = 0x64616C6C
_VERSION = 1
_SCHEMA = """
create table if not exists calls (id integer primary key, sent real not null, model text not null,
    host text not null, agreement text not null, request text not null, process integer not null,
    answered real, latency real, read integer, cached integer, written integer, cost real,
    retries integer, request_id text, outcome text);
create index if not exists calls_open on calls (id) where outcome is null;
"""
COLUMNS = {
    "time": "sent",
    "model": "model",
    "endpoint": "host",
    "agreement": "agreement",
    "request_sha256": "request",
    "outcome": "outcome",
    "latency_s": "latency",
    "tokens_read": "read",
    "tokens_cached": "cached",
    "tokens_written": "written",
    "cost": "cost",
    "retries": "retries",
    "request_id": "request_id",
    "process": "process",
}
"""Columns of the Parquet file, and of the table that they come from."""


class Unanswered(NamedTuple):
    """A call that was begun and of which nothing more is written down.

    `time` in seconds since 1970; `running` says whether the process that sent it still runs, so that the
    answer may yet come.
    """

    time: float
    model: str
    endpoint: str
    request_sha256: str
    running: bool


class Ledger:
    """Calls to models, in a SQLite file that its owner can read; no text, and no case, is in it.

    Parameters
    ----------
    path : path
        The file, or a folder for ``calls.sqlite``. Several processes may write to it.
    endpoint : str, default=""
        Host that the calls go to.
    agreement : str, default=""
        What the user named as the ground on which patients' text may go there.

    Raises
    ------
    EngineError
        If the file cannot be made, or is none of this kind.

    Examples
    --------
    >>> import tempfile
    >>> from dallm.engines.llm.wire import Message, Usage
    >>> ledger = Ledger(tempfile.mkdtemp(), endpoint="127.0.0.1")
    >>> call = ledger.intend(Request("tiny", (Message("user", "Fever?"),)))
    >>> [waiting.model for waiting in ledger.unanswered()]
    ['tiny']
    >>> ledger.done(call, Reply("yes", usage=Usage(12, 0, 1)), cost=None)
    >>> ledger.totals().calls, ledger.totals().tokens_read, ledger.unanswered()
    (1, 12, [])
    """

    def __init__(self, path: str | os.PathLike[str], *, endpoint: str = "", agreement: str = "") -> None:
        self.path = ledger_file(Path(path))
        self.endpoint, self.agreement = endpoint, agreement
        self._file = OwnFile(self.path, application=_APPLICATION, version=_VERSION, schema=_SCHEMA)

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (str(self.path), self.endpoint, self.agreement)

    def at(self, endpoint: str, agreement: str = "") -> Ledger:
        """Return this ledger for calls to a host, on the ground of an agreement; the file is the same."""
        other = object.__new__(Ledger)
        other.path, other._file = self.path, self._file
        other.endpoint, other.agreement = endpoint, agreement
        return other

    def intend(self, request: Request, key: Any = None) -> int:
        """Write down that a call is about to be sent, and return its number.

        `key` is whose question it is, and not written down: the request's digest stands for it.
        """
        return self._file.write(
            "insert into calls (sent, model, host, agreement, request, process) values (?, ?, ?, ?, ?, ?)",
            (time.time(), request.model, self.endpoint, self.agreement, request.sha256, os.getpid()),
        )

    def done(self, call_id: int, reply: Reply, cost: float | None, retries: int = 0) -> None:
        """Write down that a call's answer arrived, whatever is in it."""
        now = time.time()
        self._file.write(
            "update calls set answered = ?, latency = coalesce(?, ? - sent), read = ?, cached = ?, written = "
            "?, cost = ?, retries = ?, request_id = ?, outcome = ? where id = ?",
            (
                now,
                reply.latency_s or None,
                now,
                *reply.usage,
                cost,
                retries,
                reply.request_id,
                ANSWERED,
                call_id,
            ),
        )

    def failed(self, call_id: int, kind: str) -> None:
        """Write down that no answer came, and why: the kind of a CallError."""
        now = time.time()
        self._file.write(
            "update calls set answered = ?, latency = ? - sent, outcome = ? where id = ?",
            (now, now, kind, call_id),
        )

    def unanswered(self) -> list[Unanswered]:
        """Return the calls of which nothing is known but that they were begun; they may have been paid."""
        rows = self._file.rows(
            "select sent, model, host, request, process from calls where outcome is null order by id"
        )
        return [
            Unanswered(sent, model, host, request, _runs(process))
            for sent, model, host, request, process in rows
        ]

    def totals(self) -> Totals:
        """Return the sums over all calls."""
        return self.summed(by=()).get((), Totals())

    def summed(
        self, by: tuple[str, ...] = ("day", "model"), *, since: float | None = None, model: str | None = None
    ) -> Mapping[tuple[str, ...], Totals]:
        """Return sums by group, in the groups' order.

        Parameters
        ----------
        by : tuple of {"day", "model", "endpoint", "agreement"}
            What makes a group; a day is one of the clock of this machine.
        since : float, optional
            Only calls sent at that time or later, in seconds since 1970.
        model : str, optional
            Only calls to this model.
        """
        return summed(self._file, by, since, model)

    def to_parquet(self, path: str | Path) -> int:
        """Write every call as a row of a Parquet file, and return how many there are.

        The outcome is ``ok``, the kind of a failure, or missing for a call without any word of its answer.
        """
        import pandas as pd

        rows = self._file.rows(f"select {', '.join(COLUMNS.values())} from calls order by id")
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
        texts = ("model", "endpoint", "agreement", "request_sha256", "outcome", "request_id")
        whole = ("tokens_read", "tokens_cached", "tokens_written", "retries", "process")
        kinds = {**dict.fromkeys(texts, "string"), **dict.fromkeys(whole, "Int64")}
        frame = frame.astype({**kinds, "latency_s": "Float64", "cost": "Float64"})
        with replacing(path) as part:
            part.chmod(0o600)
            frame.to_parquet(part, index=False)
        return len(frame)

    def close(self) -> None:
        """Close the file; writing to it opens it again."""
        self._file.close()


def ledger_file(path: Path) -> Path:
    """Return the file that a path means: itself if it has an ending, else the ledger in that folder."""
    return path if path.suffix and not path.is_dir() else path / FILE


def ledger_of(
    given: Ledger | CallLog | str | os.PathLike[str] | bool | None,
    beside: Path | None,
    addresses: Sequence[str],
) -> Ledger | CallLog | None:
    """Return the ledger that an engine's option means.

    Parameters
    ----------
    given
        A ledger; the path of one; True for one beside the cache, None or False for none.
    beside : Path or None
        Folder of the cache; True means no ledger where nothing is to be kept.
    addresses : sequence of str
        Where the engine's model is served.
    """
    hosts = ", ".join(dict.fromkeys(host_of(address) or address for address in addresses))
    if given is True:
        return Ledger(beside, endpoint=hosts) if beside is not None else None
    if given is None or given is False:
        return None
    if isinstance(given, Ledger):
        return given.at(hosts, given.agreement)
    if isinstance(given, str | os.PathLike):
        return Ledger(given, endpoint=hosts)
    if not all(callable(getattr(given, name, None)) for name in ("intend", "done", "failed")):
        raise UserError(f"ledger is a path, a Ledger, True or None; got {given!r}.")
    return given


def _again(path: str, endpoint: str, agreement: str) -> Ledger:
    return Ledger(path, endpoint=endpoint, agreement=agreement)


def _runs(process: int) -> bool:
    """Whether there is a process of this number; it may be another one by now."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
