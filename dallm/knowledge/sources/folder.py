"""A folder of the user's own documents as a source of knowledge."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dallm.errors import SourceError, did_you_mean
from dallm.knowledge.conditions import conditions_of, known_conditions, resolve_conditions
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.base import decode
from dallm.knowledge.sources.html import read_html
from dallm.knowledge.sources.markup import read_markdown, read_pdf, read_text
from dallm.knowledge.sources.outline import Parsed

KINDS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
}
_MOST_BYTES = 100 * 2**20


class Folder:
    """Markdown, text, HTML and PDF files of a folder and its sub-folders.

    A file that cannot be read (broken, empty, locked, without text) is passed over and named in the report;
    the rest goes on. Hidden files and folders are left out; a link that leads in a circle is followed once.

    Parameters
    ----------
    path : path
        The folder.
    conditions : str or sequence of str, optional
        Conditions that every document here is about, besides those that its title and text name.
    name : str, optional
        What the source is called in citations; the folder's own name by default.
    licence : str, optional
        The licence of the documents, shown in every citation.

    Raises
    ------
    SourceError
        If the folder is not there, or is no folder.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> _ = (place / "a.md").write_text("# Pleural effusion\\nFluid around the lung.")
    >>> [(d.title, d.url, d.conditions) for d in Folder(place).documents([])]
    [('Pleural effusion', 'a.md', ('pleural effusion',))]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        conditions: str | Iterable[str] | None = None,
        *,
        name: str | None = None,
        licence: str | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.exists():
            near = did_you_mean(self.path.name, _neighbours(self.path))
            raise SourceError(f"There is no folder {str(path)!r}.{near}")
        if not self.path.is_dir():
            raise SourceError(f"{str(path)!r} is a file; give the folder that holds it.")
        self.conditions = resolve_conditions(conditions)
        self.origin = str(self.path.resolve())
        self.name = name or Path(self.origin).name or "folder"
        self.licence = licence

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def listing(self) -> set[str]:
        """Return the url of every file that is there now, readable or not."""
        return {url for url, _ in self._files([])}

    def documents(self, conditions: Sequence[str] = ()) -> Iterator[Document | Problem]:
        """Yield every document, ordered by file name; `conditions` add tags and filter nothing."""
        problems: list[Problem] = []
        files = list(self._files(problems))
        yield from problems
        if not files:
            wanted = ", ".join(sorted(KINDS))
            yield Problem(str(self.path), f"no file of the kinds read here ({wanted}) is in it")
        unknown = tuple(c for c in (*self.conditions, *conditions) if c not in known_conditions())
        for url, path in files:
            try:
                yield self._document(url, path, unknown)
            except (ValueError, OSError) as error:
                yield Problem(url, error.strerror or str(error) if isinstance(error, OSError) else str(error))

    def _document(self, url: str, path: Path, also: tuple[str, ...]) -> Document:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no ordinary file")  # a pipe would be waited for without end
        size = status.st_size
        if size > _MOST_BYTES:
            raise ValueError(
                f"it is {size / 2**20:.0f} MB large (at most {_MOST_BYTES // 2**20} MB are read)"
            )
        raw = path.read_bytes()
        if not raw.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"):
            raise ValueError("it is empty")
        parsed = _parse(KINDS[path.suffix.lower()], raw)
        if not parsed.sections:
            raise ValueError("it holds no text under its title")
        stem = path.stem.replace("_", " ").strip()
        title = parsed.title or stem
        headings = "\n".join(section.path for section in parsed.sections)
        text = "\n".join(section.text for section in parsed.sections)
        about = conditions_of(f"{title}\n{stem}", text, headings=headings, also=also)
        return Document(
            title=title,
            sections=parsed.sections,
            source=self.name,
            url=url,
            licence=self.licence,
            retrieved_at=datetime.now(UTC).isoformat(timespec="seconds"),
            conditions=tuple(dict.fromkeys((*self.conditions, *about))),
        )

    def _files(self, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
        seen: set[str] = set()
        stack = [self.path]
        while stack:
            folder = stack.pop()
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                problems.append(Problem(self._url(folder), error.strerror or str(error)))
                continue
            below = []
            for entry in entries:
                if entry.name.startswith((".", "~$")):
                    continue
                path = Path(entry.path)
                if _is_dir(entry):
                    below.append(path)
                elif path.suffix.lower() in KINDS:
                    yield self._url(path), path
            stack.extend(reversed(below))

    def _url(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix().encode("utf-8", "replace").decode("utf-8")


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it as a file names the trouble
        return False


def _parse(kind: str, raw: bytes) -> Parsed:
    if kind == "pdf":
        return read_pdf(raw)
    if kind == "html":
        return read_html(raw)
    return read_markdown(decode(raw)) if kind == "markdown" else read_text(decode(raw))


def _neighbours(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return []
