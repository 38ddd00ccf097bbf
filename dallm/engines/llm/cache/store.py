"""The cache: an answer that arrived is never asked for again."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dallm.engines.llm.cache.files import OwnFile
from dallm.engines.llm.cache.keys import answer_key as answer_key
from dallm.engines.llm.cache.keys import context_key as context_key
from dallm.engines.llm.cache.keys import key_of_digest
from dallm.engines.llm.cache.packed import packed, unpacked
from dallm.engines.llm.wire import Reply, Request, Usage

FILE = "answers.sqlite"
_APPLICATION = 0x64616C63
_VERSION = 3
_SCHEMA = """
create table if not exists answers (key text primary key, model text not null, request text not null,
    made real not null, form text not null, finish text not null, body blob, read integer, cached integer,
    written integer, request_id text not null, verdict text not null default '') without rowid;
create table if not exists rejected (key text primary key, model text not null, request text not null,
    made real not null, form text not null, finish text not null, body blob, read integer, cached integer,
    written integer, request_id text not null, verdict text not null) without rowid;
create index if not exists answers_by_request on answers (request);
create index if not exists rejected_by_request on rejected (request);
create table if not exists cells (id integer primary key, context blob not null, answer text not null,
    made real not null, body blob not null);
create index if not exists cells_by_context on cells (context);
delete from cells;
"""  # cells of an earlier format go: they are read again from the answers, which stay
_PUT = (
    "insert or replace into {table} (key, model, request, made, form, finish, body, read, cached, written, "
    "request_id, verdict) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_AT_ONCE = 500

Table = Literal["answers", "rejected", "cells"]
_ANSWER = "key model request made form finish body read cached written request_id verdict".split()
COLUMNS: dict[Table, tuple[str, ...]] = {
    "answers": tuple(_ANSWER),
    "rejected": tuple(_ANSWER),
    "cells": ("id", "context", "answer", "made", "body"),
}
"""What :meth:`AnswerCache.listed` yields of each table; the first column orders the rows."""

CellRecord = dict[str, Any]
"""A cell as the cache keeps it: plain values, made and read by the engine."""


class Held(NamedTuple):
    """A cell that is held, and the key of the answer that gave it."""

    record: CellRecord
    answer: str


def default_folder() -> Path:
    """Return the folder of the user's cache, ``DALLM_CACHE`` or the platform's place for caches."""
    given = os.environ.get("DALLM_CACHE")
    if given:
        return Path(given) / "answers"
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "dallm" / "answers"


class AnswerCache:
    """Answers of models by their whole request, and cells by what each one depends on.

    Several processes may share it. The file can be read by its owner only.

    Parameters
    ----------
    folder : path, optional
        Where; the user's cache by default.
    cache_text : bool, default=True
        Whether answers are kept in full; otherwise only the cells, without words of a report.

    Examples
    --------
    >>> import tempfile
    >>> cache = AnswerCache(tempfile.mkdtemp())
    >>> key = context_key("what the case shows", "model")
    >>> cache.put_cells(key, "answer 1", {"fever": {"value": True}})
    >>> cache.cells([key])[key]["fever"].record
    {'value': True}
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, cache_text: bool = True) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.cache_text = cache_text
        self._file = OwnFile(self.folder / FILE, application=_APPLICATION, version=_VERSION, schema=_SCHEMA)

    def __repr__(self) -> str:
        return f"AnswerCache({str(self.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (str(self.folder), self.cache_text)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def answer(self, request: Request, model_key: str) -> Reply | None:
        """Return the answer to exactly this request, or None; none is held where texts are not kept."""
        rows = self._file.rows(
            "select body, finish, read, cached, written, request_id from answers where key = ? and body is "
            "not null",
            (answer_key(request, model_key),),
        )
        if not rows:
            return None
        body, finish, read, cached, written, request_id = rows[0]
        return Reply(text_of(body), finish, usage=Usage(read, cached, written), request_id=request_id)

    def put_answer(self, request: Request, model_key: str, reply: Reply) -> str:
        """Keep an answer that was read without a fault, and return its key."""
        return self._put("answers", request, model_key, reply, "")

    def put_rejected(self, request: Request, model_key: str, reply: Reply, fault: str) -> str:
        """Keep an answer that could not be read, for looking at; it is never given as an answer.

        Parameters
        ----------
        request : Request
        model_key : str
        reply : Reply
        fault : str
            Why it could not be read. Like the answer it may hold words of a report: where texts are not
            kept, only that there was such an answer is.

        Returns
        -------
        str
            The key under which it stands.
        """
        return self._put("rejected", request, model_key, reply, fault if self.cache_text else "unreadable")

    def raw(self, request_sha256: str) -> list[str]:
        """Return the raw answers to a request that the ``cells`` of a result refer to, refused ones too."""
        rows = self._file.rows(
            "select body from answers where request = ? and body is not null union all "
            "select body from rejected where request = ? and body is not null",
            (request_sha256, request_sha256),
        )
        return [text_of(body) for (body,) in rows]

    def _put(self, table: str, request: Request, model_key: str, reply: Reply, verdict: str) -> str:
        key, statement = self._answer_statement(table, request, model_key, reply, verdict)
        self._file.write(*statement)
        return key

    def _answer_statement(
        self, table: str, request: Request, model_key: str, reply: Reply, verdict: str
    ) -> tuple[str, tuple[str, tuple[Any, ...]]]:
        """The key of an answer, and what writes it."""
        sha256 = request.sha256
        key = key_of_digest(sha256, model_key)
        text = reply.text or reply.refusal
        body = zlib.compress(text.encode("utf-8", "surrogatepass"), 1) if self.cache_text else None
        values = (
            *(key, model_key, sha256, time.time(), request.form, reply.finish, body),
            *(*reply.usage, reply.request_id, verdict),
        )
        return key, (_PUT.format(table=table), values)

    def cells(self, contexts: Iterable[bytes]) -> dict[bytes, dict[str, Held]]:
        """Return the cells held, by context and by the feature's digest; the newest of several."""
        wanted = list(dict.fromkeys(contexts))
        found: dict[bytes, dict[str, Held]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            for context, answer, body in self._file.rows(
                f"select context, answer, body from cells where context in ({marks}) order by id", part
            ):
                records = unpacked(body)
                alike = {id(record): record for record in records.values()}
                given = {key: Held(record, answer) for key, record in alike.items()}
                held = {feature: given[id(record)] for feature, record in records.items()}
                found[context] = {**found[context], **held} if context in found else held
        return found

    def put_cells(self, context: bytes, answer: str, records: Mapping[str, CellRecord]) -> None:
        """Keep the cells of one answer, by the feature's digest."""
        self._file.write(*_cells_statement(context, answer, records))

    def put_filled(
        self,
        request: Request,
        model_key: str,
        reply: Reply,
        context: bytes,
        records: Mapping[str, CellRecord],
    ) -> str:
        """Keep an answer and its cells, both or neither, and return the answer's key."""
        key, statement = self._answer_statement("answers", request, model_key, reply, "")
        self._file.write_all((statement, _cells_statement(context, key, records)))
        return key

    def set_verdict(self, answer: str, verdict: str) -> None:
        """Keep what verification said of an answer; it is not asked again whatever that is."""
        self._file.write(
            "update answers set verdict = ? where key = ? and verdict != ?", (verdict, answer, verdict)
        )

    def info(self) -> dict[str, Any]:
        """Return counts by model, the size of the file and the times of the oldest and newest answer."""
        models = dict(self._file.rows("select model, count(*) from answers group by model order by model"))
        (cells,), (rejected,) = (
            self._file.rows(f"select count(*) from {table}")[0] for table in ("cells", "rejected")
        )
        oldest, newest = self._file.rows("select min(made), max(made) from answers")[0]
        wordless = self._file.rows("select count(*) from answers where body is null")[0][0]
        return {
            "folder": str(self.folder),
            "answers": sum(models.values()),
            "models": models,
            "case answers": cells,
            "rejected": rejected,
            "without text": wordless,
            "bytes": self._file.size(),
            "oldest": oldest,
            "newest": newest,
        }

    def listed(self, table: Table, *, model: str | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table of the file, in parts, for exporting; `COLUMNS` names what is in them."""
        columns, by = ", ".join(COLUMNS[table]), COLUMNS[table][0]
        chosen, values = _chosen(model, None)
        if table == "cells":
            keys = f"select key from answers where {chosen} union select key from rejected where {chosen}"
            chosen, values = (f"answer in ({keys})", values * 2) if model is not None else ("1", [])
        last: Any = None
        while rows := self._file.rows(
            f"select {columns} from {table} where {chosen} and (? is null or {by} > ?) order by {by} "
            f"limit {_AT_ONCE}",
            (*values, last, last),
        ):
            yield from rows
            last = rows[-1][0]

    def clear(self, *, model: str | None = None, older_than_s: float | None = None) -> int:
        """Remove answers with their cells, for good, and return how many answers went.

        Parameters
        ----------
        model : str, optional
            Only those of a model, named with its place as in :meth:`info`, or without.
        older_than_s : float, optional
            Only those that arrived longer ago.
        """
        chosen, values = _chosen(model, older_than_s)
        before = int(self._file.rows(f"select count(*) from answers where {chosen}", values)[0][0])
        keys = f"select key from answers where {chosen} union select key from rejected where {chosen}"
        aged, age = _chosen(None, older_than_s)
        if model is None:
            cells = (f"delete from cells where {aged}", age)
        else:
            cells = (f"delete from cells where answer in ({keys}) and {aged}", [*values, *values, *age])
        answers = [(f"delete from {table} where {chosen}", values) for table in ("answers", "rejected")]
        self._file.remove([cells, *answers])
        return before


def _cells_statement(
    context: bytes, answer: str, records: Mapping[str, CellRecord]
) -> tuple[str, tuple[Any, ...]]:
    sql = "insert into cells (context, answer, made, body) values (?, ?, ?, ?)"
    return sql, (context, answer, time.time(), packed(records))


def _chosen(model: str | None, older_than_s: float | None) -> tuple[str, list[Any]]:
    """The condition that rows of a model and an age fulfil, and its values."""
    where: list[str] = ["1"]
    values: list[Any] = []
    if model is not None:
        where.append("(model = ? or substr(model, 1, length(?) + 1) = ? || '@')")
        values += [model] * 3
    if older_than_s is not None:
        where.append("made < ?")
        values.append(time.time() - older_than_s)
    return " and ".join(where), values


def text_of(body: bytes) -> str:
    """Return a text as it was before it was kept."""
    return zlib.decompress(body).decode("utf-8", "surrogatepass")


def _again(folder: str, cache_text: bool) -> AnswerCache:
    return AnswerCache(folder, cache_text=cache_text)
