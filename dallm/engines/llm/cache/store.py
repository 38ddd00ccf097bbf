"""The cache: an answer that arrived is never asked for again."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dallm.engines.llm.cache.files import OwnFile
from dallm.engines.llm.wire import Reply, Request, Usage

FILE = "answers.sqlite"
_APPLICATION = 0x64616C63
_SCHEMA = """
create table if not exists answers (key text primary key, model text not null, made real not null,
    form text not null, finish text not null, body blob, read integer, cached integer, written integer,
    request_id text not null, verdict text not null default '') without rowid;
create table if not exists cells (id integer primary key, context blob not null, answer text not null,
    made real not null, body blob not null);
create index if not exists cells_by_context on cells (context);
"""
_AT_ONCE = 500

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


def context_key(*parts: str) -> bytes:
    """Return the key under which the cells of a case stand: what it shows, knowledge, prompt, model.

    Examples
    --------
    >>> context_key("case", "knowledge") == context_key("caseknow", "ledge")
    False
    """
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


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
        self._file = OwnFile(self.folder / FILE, application=_APPLICATION, schema=_SCHEMA)

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
        text = zlib.decompress(body).decode("utf-8", "surrogatepass")
        return Reply(text, finish, usage=Usage(read, cached, written), request_id=request_id)

    def put_answer(self, request: Request, model_key: str, reply: Reply) -> str:
        """Keep an answer that was read without a fault, and return its key."""
        key = answer_key(request, model_key)
        text = zlib.compress(reply.text.encode("utf-8", "surrogatepass"), 1) if self.cache_text else None
        self._file.write(
            "insert or replace into answers (key, model, made, form, finish, body, read, cached, written, "
            "request_id) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                model_key,
                time.time(),
                request.form,
                reply.finish,
                text,
                reply.usage.read,
                reply.usage.cached,
                reply.usage.written,
                reply.request_id,
            ),
        )
        return key

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
                held = found.setdefault(context, {})
                for feature, record in json.loads(zlib.decompress(body)).items():
                    held[feature] = Held(record, answer)
        return found

    def put_cells(self, context: bytes, answer: str, records: Mapping[str, CellRecord]) -> None:
        """Keep the cells of one answer, by the feature's digest."""
        text = json.dumps(dict(records), ensure_ascii=False, separators=(",", ":"))
        body = zlib.compress(text.encode("utf-8", "surrogatepass"), 1)
        self._file.write(
            "insert into cells (context, answer, made, body) values (?, ?, ?, ?)",
            (context, answer, time.time(), body),
        )

    def set_verdict(self, answer: str, verdict: str) -> None:
        """Keep what verification said of an answer; it is not asked again whatever that is."""
        self._file.write(
            "update answers set verdict = ? where key = ? and verdict != ?", (verdict, answer, verdict)
        )

    def info(self) -> dict[str, Any]:
        """Return counts by model, the size of the file and the time of the oldest answer."""
        models = dict(self._file.rows("select model, count(*) from answers group by model order by model"))
        cells = int(self._file.rows("select count(*) from cells")[0][0])
        oldest = self._file.rows("select min(made) from answers")[0][0]
        return {
            "folder": str(self.folder),
            "answers": sum(models.values()),
            "models": models,
            "case answers": cells,
            "bytes": (self.folder / FILE).stat().st_size,
            "oldest": oldest,
        }

    def clear(self, *, model: str | None = None, older_than_s: float | None = None) -> int:
        """Remove answers with their cells and return how many; all of them, or of one model or age."""
        where: list[str] = ["1"]
        values: list[Any] = []
        if model is not None:
            where.append("model = ?")
            values.append(model)
        if older_than_s is not None:
            where.append("made < ?")
            values.append(time.time() - older_than_s)
        condition = " and ".join(where)
        count = int(self._file.rows(f"select count(*) from answers where {condition}", values)[0][0])
        self._file.write(
            f"delete from cells where answer in (select key from answers where {condition})", values
        )
        self._file.write(f"delete from answers where {condition}", values)
        if model is None and older_than_s is None:
            self._file.write("delete from cells", ())
        self._file.write("vacuum", ())
        return count


def answer_key(request: Request, model_key: str) -> str:
    """Return the digest of a request to one model at one place."""
    return hashlib.sha256(f"{model_key}\x1f{request.sha256}".encode()).hexdigest()


def _again(folder: str, cache_text: bool) -> AnswerCache:
    return AnswerCache(folder, cache_text=cache_text)
