"""Articles of Radiopaedia that the user has: saved pages, and exports as JSON or CSV."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dallm.knowledge.passage import Problem, Section
from dallm.knowledge.sources.base import decode
from dallm.knowledge.sources.markup import read_markdown
from dallm.knowledge.sources.radiopaedia_page import Article, kept_sections, plain_url, read_article

_PAGES = (".html", ".htm", ".xhtml", ".mhtml", ".mht")
KINDS = (*_PAGES, ".json", ".jsonl", ".csv")
_MOST_BYTES = 100 * 2**20
_LONGEST_FIELD = 20 * 2**20


class Saved(NamedTuple):
    """An article, the file that it stands in, and when that was saved (ISO 8601)."""

    article: Article
    where: str
    retrieved_at: str


def saved_articles(path: Path) -> Iterator[Saved | Problem]:
    """Yield every article of a file or of the files in a folder, ordered by name, or what cannot be read.

    Parameters
    ----------
    path : Path
        A page (HTML, MHTML), an export (JSON, JSON lines, CSV), or a folder of such.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> article = '{"title": "Asthma", "text": "A cough.", "authors": "J Doe"}'
    >>> _ = (place / "export.json").write_text(f"[{article}]")
    >>> [(s.article.title, s.article.authors, s.where) for s in saved_articles(place)]
    [('Asthma', ('J Doe',), 'export.json, article 1')]
    """
    files = [path] if path.is_file() else list(_files(path))
    if not files:
        yield Problem(str(path), f"no saved page or export is in it (read here: {', '.join(KINDS)})")
    for file in files:
        where = file.name if path.is_file() else file.relative_to(path).as_posix()
        try:
            status = file.stat()
            if status.st_size > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES // 2**20} MB")
            moment = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
            raw = file.read_bytes()
            if not raw.strip():
                raise ValueError("it is empty")
            if file.suffix.lower() in _PAGES:
                yield Saved(_page(raw), where, moment)
                continue
            records = _records(file.suffix.lower(), decode(raw))
        except (ValueError, OSError) as error:
            yield Problem(where, getattr(error, "strerror", None) or str(error))
            continue
        for number, record in enumerate(records, start=1):
            place = f"{where}, article {number}"
            try:
                yield Saved(_article(record), place, str(record.get("retrieved_at") or moment))
            except ValueError as error:
                yield Problem(place, str(error))


def _files(folder: Path) -> Iterator[Path]:
    for place, below, names in os.walk(folder, onerror=None):
        # "save page, complete" puts frames and adverts of a page into a folder beside it
        below[:] = sorted(
            n for n in below if not n.startswith(".") and not n.lower().endswith(("_files", ".files"))
        )
        for name in sorted(names):
            if Path(name).suffix.lower() in KINDS and not name.startswith((".", "~$")):
                yield Path(place, name)


def _page(raw: bytes) -> Article:
    url = ""
    if re.match(rb"\s*[A-Za-z-]+:[ \t]", raw) and b"content-type:" in raw[:4000].lower():
        raw, url = _of_mhtml(raw)
    if b"user-generated-content" not in raw and b"radiopaedia" not in raw.lower():
        raise ValueError("it is no page of Radiopaedia; read other pages with dallm.Folder")
    return read_article(raw, url=url)


def _of_mhtml(raw: bytes) -> tuple[bytes, str]:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    for part in message.walk():
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                charset = part.get_content_charset() or "utf-8"
                address = str(part.get("Content-Location") or message.get("Snapshot-Content-Location") or "")
                return content.decode(charset, "replace").encode(), address
    raise ValueError("it holds no web page")


def _records(kind: str, text: str) -> list[Mapping[str, Any]]:
    if kind == ".csv":
        limit = csv.field_size_limit(_LONGEST_FIELD)
        try:
            rows = list(csv.DictReader(io.StringIO(text)))
        except csv.Error as error:
            raise ValueError(f"it is no readable CSV ({error})") from error
        finally:
            csv.field_size_limit(limit)
        found: Any = [{(k or "").strip().lower(): v for k, v in row.items() if k} for row in rows]
    else:
        try:
            lines = [line for line in text.split("\n") if line.strip()]
            found = [json.loads(line) for line in lines] if kind == ".jsonl" else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is no readable JSON ({error})") from error
        if isinstance(found, dict):
            found = found["articles"] if isinstance(found.get("articles"), list) else [found]
    if not isinstance(found, list) or not found or not all(isinstance(record, dict) for record in found):
        raise ValueError("it holds no list of articles")
    return found


def _article(record: Mapping[str, Any]) -> Article:
    """Read one article of an export; the form is described in docs/sources.md."""
    markup, title = _words(record, "html"), _words(record, "title")
    url = _words(record, "url")
    if markup:
        given = read_article(f'<div class="body user-generated-content">{markup}</div>'.encode(), url=url)
        sections = given.sections
    elif isinstance(record.get("sections"), list):
        parts = [part for part in record["sections"] if isinstance(part, dict)]
        sections = tuple(
            Section(_words(part, "heading"), _words(part, "text")) for part in parts if _words(part, "text")
        )
    else:
        text = _words(record, "text")
        sections = read_markdown(f"# {title or 'Article'}\n\n{text}").sections
    sections = kept_sections(sections)
    if not title:
        raise ValueError("it has no title")
    if not sections:
        raise ValueError("it has no text (one of the fields text, html or sections)")
    return Article(
        title=title,
        sections=sections,
        url=plain_url(url) if url else "",
        synonyms=_names(record.get("synonyms")),
        authors=_names(record.get("authors")),
        revision=_words(record, "revision") or None,
        revised=_words(record, "revised"),
    )


def _words(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _names(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else str(value or "").split(";")
    return tuple(dict.fromkeys(str(name).strip() for name in listed if str(name).strip()))
