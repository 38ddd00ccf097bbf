"""What knowledge is made of: documents as a source gives them, passages as a store keeps them, hits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading; `path` is the headings above and including it."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a source: a page, a file, an abstract."""

    title: str
    sections: tuple[Section, ...]
    source: str
    url: str
    revision: str | None = None
    licence: str | None = None
    authors: tuple[str, ...] = ()
    retrieved_at: str = ""
    conditions: tuple[str, ...] = ()
    notice: str = ""

    @property
    def sha256(self) -> str:
        """Digest of what the document says (title, headings, text), not of when it was fetched."""
        return digest(self.title, *(part for s in self.sections for part in (s.path, s.text)))


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, small enough to be an answer, that keeps where it came from."""

    text: str
    title: str
    section: str
    source: str
    url: str
    revision: str | None
    licence: str | None
    authors: tuple[str, ...]
    retrieved_at: str
    conditions: tuple[str, ...]
    sha256: str
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search found, with its score (higher is better, comparable within one search).

    `also` holds passages of other sources that say nearly the same; they are no hits of their own.
    """

    passage: Passage
    score: float
    also: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a source passed over: which file or page, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def digest(*parts: str | Sequence[str]) -> str:
    """SHA-256 of the parts, each marked off from the next."""
    h = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, str) else "\x1e".join(part)
        h.update(text.encode("utf-8", "surrogatepass"))
        h.update(b"\x1f")
    return h.hexdigest()
