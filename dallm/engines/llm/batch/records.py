"""What was handed to a batch interface, kept on disk: a process may end at any moment and lose nothing."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dallm.engines.llm.cache.files import OwnFile
from dallm.files import try_lock

FILE = "batches.sqlite"
_APPLICATION = 0x64616C62
_VERSION = 1
_SCHEMA = """
create table if not exists batches (id integer primary key, token text not null, model text not null,
    state text not null, made real not null, count integer not null, file text, batch text, results text);
create table if not exists requests (key text primary key, batch integer not null, call integer,
    state text not null, tries integer not null, body blob) without rowid;
create index if not exists requests_by_batch on requests (batch);
create table if not exists learnt (model text not null, what text not null, primary key (model, what))
    without rowid;
"""
_LOOK_S = 0.2

State = Literal["uploading", "submitting", "submitted", "collected"]
"""Of a batch: its file is being sent; the batch is being made; it is with the server; it is over."""


class Batch(NamedTuple):
    """One batch: its number and name here, and what the server calls its file, itself and its results."""

    id: int
    token: str
    state: str
    made: float
    requests: int
    file: str
    batch: str
    results: tuple[str, ...]


class Row(NamedTuple):
    """One request: ``asked``, ``arrived`` with a body, or ``lost`` without an answer, as often as `tries`."""

    state: str
    tries: int
    body: Any


class BatchRecords:
    """The batches of a folder, in a SQLite file that only its owner can read.

    Requests stand in it by their digest. Answers stay until the cells made of them are in the cache.

    Parameters
    ----------
    folder : Path
        The cache's.

    Examples
    --------
    >>> import tempfile
    >>> records = BatchRecords(Path(tempfile.mkdtemp()))
    >>> batch = records.begin("dallm-1", "tiny@here", ["key"])
    >>> records.row("key").state, [b.state for b in records.batches("tiny@here")]
    ('asked', ['uploading'])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = OwnFile(folder / FILE, application=_APPLICATION, version=_VERSION, schema=_SCHEMA)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from handing over or fetching meanwhile; one that ends gives way by that."""
        path = self.folder / f"{FILE}.lock"
        with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            while not try_lock(file):
                time.sleep(_LOOK_S)
            yield

    def begin(self, token: str, model: str, keys: Iterable[str]) -> int:
        """Write down that a file with these requests is about to be sent, and return the batch's number."""
        listed = list(keys)
        number = self._file.write(
            "insert into batches (token, model, state, made, count) values (?, ?, 'uploading', ?, ?)",
            (token, model, time.time(), len(listed)),
        )
        self._file.write(
            "insert into requests (key, batch, state, tries) select value, ?, 'asked', 0 from json_each(?) "
            "where 1 on conflict (key) do update set batch = excluded.batch, state = 'asked', call = null, "
            "body = null",
            (number, json.dumps(listed)),
        )
        return number

    def calls(self, number: int) -> dict[str, int | None]:
        """Return the numbers in the ledger of a batch's requests, by key."""
        return dict(self._file.rows("select key, call from requests where batch = ?", (number,)))

    def set_calls(self, calls: Mapping[str, int]) -> None:
        """Keep the numbers that requests have in the ledger."""
        self._file.write(
            "update requests set call = given.value from json_each(?) as given "
            "where requests.key = given.key",
            (json.dumps(dict(calls)),),
        )

    def becomes(self, number: int, state: State, **known: Any) -> None:
        """Write down how far a batch is; `known` are columns of it."""
        names = ", ".join(f"{name} = ?" for name in ("state", *known))
        values = [json.dumps(v) if isinstance(v, list | tuple) else v for v in known.values()]
        self._file.write(f"update batches set {names} where id = ?", (state, *values, number))

    def batches(self, model: str, *states: State) -> list[Batch]:
        """Return the batches of a model and place, in the order in which they were made."""
        rows = self._file.rows(
            "select id, token, state, made, count, coalesce(file, ''), coalesce(batch, ''), "
            "coalesce(results, '[]') from batches where model = ? order by id",
            (model,),
        )
        found = [Batch._make((*row[:-1], tuple(json.loads(row[-1])))) for row in rows]
        return [batch for batch in found if not states or batch.state in states]

    def row(self, key: str) -> Row | None:
        """Return what is known of a request."""
        rows = self._file.rows(
            "select iif(requests.state = 'asked' and batches.id is null, 'lost', requests.state), tries, "
            "body from requests left join batches on batches.id = requests.batch where key = ?",
            (key,),
        )
        if not rows:
            return None
        state, tries, body = rows[0]
        return Row(state, tries, None if body is None else json.loads(zlib.decompress(body)))

    def arrived(self, key: str, number: int, body: Any) -> None:
        """Keep the answer to a request of a batch."""
        text = json.dumps(body, separators=(",", ":")).encode("utf-8", "surrogatepass")
        self._file.write(
            "update requests set state = 'arrived', body = ? where key = ? and batch = ?",
            (zlib.compress(text, 1), key, number),
        )

    def lost(self, key: str) -> None:
        """Write down that a request came to nothing this time."""
        self._file.write(
            "update requests set state = 'lost', tries = tries + 1, body = null where key = ?", (key,)
        )

    def lose_unanswered(self, number: int) -> None:
        """The same of all requests of a batch that have no answer."""
        self._file.write(
            "update requests set state = 'lost', tries = tries + 1 where batch = ? and state = 'asked'",
            (number,),
        )

    def lose_all(self, number: int) -> None:
        """Write down that a batch was not begun: its requests are asked anew, and that counts as no try."""
        self._file.write("delete from requests where batch = ? and tries = 0", (number,))
        self._file.write("update requests set state = 'lost' where batch = ?", (number,))

    def settle(self, keys: Iterable[str]) -> None:
        """Forget requests, whose answers are in the cache or of no use, and leave no words of them."""
        listed = json.dumps(list(keys))
        self._file.remove([("delete from requests where key in (select value from json_each(?))", (listed,))])

    def forget(self, number: int, *, with_requests: bool) -> None:
        """Forget a batch; with its requests where it was never answered."""
        if with_requests:
            self._file.write("delete from requests where batch = ?", (number,))
        self._file.write("delete from batches where id = ?", (number,))

    def learnt(self, model: str) -> set[str]:
        """Return what a model was found to refuse."""
        return {what for (what,) in self._file.rows("select what from learnt where model = ?", (model,))}

    def learn(self, model: str, what: str) -> None:
        """Keep what a model refuses: a parameter, or a form as ``form:json_schema``."""
        self._file.write("insert or ignore into learnt (model, what) values (?, ?)", (model, what))

    def close(self) -> None:
        """Close the file; using it opens it again."""
        self._file.close()
