"""What the cache holds, as rows of a file that other programs read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dallm.engines.llm.cache.packed import unpacked
from dallm.engines.llm.cache.store import COLUMNS, AnswerCache, Table, text_of
from dallm.errors import UserError, did_you_mean
from dallm.files import replacing

_TABLES: dict[str, Table] = {name: name for name in COLUMNS}


def export(cache: AnswerCache, path: str | Path, what: str = "answers", *, model: str | None = None) -> int:
    """Write rows of a cache into a file that only its owner can read, and return how many.

    Parameters
    ----------
    cache : AnswerCache
    path : path
        Ends in ``.jsonl`` or ``.parquet``.
    what : {"answers", "rejected", "cells"}
        Answers, those that could not be read, or single cells.
    model : str, optional
        Only those of this model.

    Raises
    ------
    UserError
        If there is no such table or kind of file.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    if what not in _TABLES:
        raise UserError(f"what must be one of {list(_TABLES)}, got {what!r}.{did_you_mean(what, _TABLES)}")
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".parquet"):
        raise UserError(f"{str(path)!r} must end in .jsonl or .parquet.")
    rows = _cells(cache, model) if what == "cells" else _answers(cache, _TABLES[what], model)
    count = 0
    with replacing(path) as part:
        part.chmod(0o600)
        if suffix == ".parquet":
            import pandas as pd

            listed = [{name: _clean(value) for name, value in row.items()} for row in rows]
            count = len(listed)
            columns = _CELL if what == "cells" else _ANSWER
            pd.DataFrame(listed, columns=list(columns)).to_parquet(part, index=False)
        else:
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                for row in rows:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    count += 1
    return count


_ANSWER = (
    "key",
    "model",
    "request_sha256",
    "time",
    "form",
    "finish",
    "text",
    "tokens_read",
    "tokens_cached",
    "tokens_written",
    "request_id",
    "verdict",
)
_CELL = (
    "context",
    "answer",
    "time",
    "feature_sha256",
    "value",
    "quote",
    "field",
    "rationale",
    "basis",
    "request_sha256",
)


def _answers(cache: AnswerCache, table: Table, model: str | None) -> Iterator[dict[str, Any]]:
    for row in cache.listed(table, model=model):
        made = dict(zip(_ANSWER, (*row[:3], _time(row[3]), *row[4:]), strict=True))
        made["text"] = None if made["text"] is None else text_of(made["text"])
        yield made


def _cells(cache: AnswerCache, model: str | None) -> Iterator[dict[str, Any]]:
    for _, context, answer, time, body in cache.listed("cells", model=model):
        for feature, record in unpacked(body).items():
            said = {
                # a column of a Parquet file has one kind, and values have several
                "value": json.dumps(record.get("value")),
                "quote": _quote(record.get("quote")),
                "request_sha256": record.get("request"),
            }
            whose = {
                "context": context.hex(),
                "answer": answer,
                "time": _time(time),
                "feature_sha256": feature,
            }
            yield {**{name: record.get(name) for name in _CELL}, **whose, **said}


def _quote(kept: Any) -> str | None:
    """A quote, or as JSON where it stands: field, start, end and digest."""
    return kept if kept is None or isinstance(kept, str) else json.dumps(kept)


def _clean(value: Any) -> Any:
    """A text without what is no character: Parquet holds only whole ones."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
