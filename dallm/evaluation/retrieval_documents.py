"""The documents that retrieval is measured on, and the stores that they are searched in."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from dallm.errors import UserError
from dallm.knowledge.conditions import conditions_in
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.base import Source
from dallm.knowledge.stores.base import KnowledgeStore
from dallm.knowledge.stores.common import one_source


class ReadOnce:
    """A source that is read once, so that several stores get the same documents.

    Parameters
    ----------
    source : Source
    conditions : sequence of str
        What to read about.
    about : str, optional
        Leave out documents that are not about this condition.
    """

    def __init__(self, source: Source, conditions: Sequence[str] = (), about: str | None = None) -> None:
        self.name = source.name
        self.items: tuple[Document | Problem, ...] = tuple(
            item
            for item in source.documents(conditions)
            if about is None or isinstance(item, Problem) or _is_about(item, about)
        )

    def documents(self, conditions: Sequence[str] = ()) -> Iterator[Document | Problem]:
        """Yield what was read."""
        yield from self.items

    def listing(self) -> set[str]:
        """Return the urls of the documents that were read."""
        return {item.url for item in self.items if isinstance(item, Document)}


class Materials:
    """The documents, and the stores that they are searched in; temporary ones go when the stack closes.

    Parameters
    ----------
    stack : ExitStack
        Closes what is opened here.
    documents : path, Source or KnowledgeStore
    store : KnowledgeStore, path, address or None
        Where to put the documents; None means a temporary local store.
    source : str or None
        The only source to measure, where `documents` is a store.
    encoder
        For the stores that are opened here.
    progress : bool

    Attributes
    ----------
    urls : set of str
        The documents' names.
    origin : Source or None
        Where they are read from; None where `documents` is a store.
    """

    def __init__(
        self,
        stack: ExitStack,
        documents: object,
        store: KnowledgeStore | str | os.PathLike[str] | None,
        source: str | None,
        encoder: Any,
        progress: bool,
    ) -> None:
        self._stack, self._encoder, self._progress = stack, encoder, progress
        self._into = store
        self._given: KnowledgeStore | None = None
        self.origin: Source | None = None
        self.source = source
        self.notes: list[str] = []
        self.problems: dict[str, str] = {}
        if isinstance(documents, KnowledgeStore):
            self._take_store(documents)
        else:
            self._take_source(_source(documents))

    def _take_store(self, documents: KnowledgeStore) -> None:
        if self._into is not None:
            raise UserError("documents is a store already; leave store= out, or give a folder.")
        self._given = documents
        names = documents.sources()
        if self.source is not None:
            self.source = one_source(self.source, names)
            names = (self.source,)
        elif len(names) == 1:
            self.source = names[0]
        listed = [url for name in names for url in documents.known(name)]
        self.urls = set(listed)
        self.label = "the store" if self.source is None else repr(self.source)
        if not listed:
            raise UserError("The store holds no document; ingest the documents first.")
        if len(listed) > len(self.urls):
            raise UserError(
                f"Several sources of the store ({', '.join(map(repr, names))}) hold documents of the same "
                "name; say which to measure with source=."
            )

    def _take_source(self, origin: Source) -> None:
        listing = getattr(origin, "listing", None)
        if not callable(listing):
            origin = once = ReadOnce(origin)
            listing = once.listing
        self.origin, self.urls = origin, set(listing())
        self.label = repr(str(getattr(origin, "path", origin.name)))
        if not self.urls:
            raise UserError(f"{self.label} holds no document that can be read here.")
        if self.source is not None and self.source != origin.name:
            raise UserError(f"source={self.source!r} is for a store; the documents are of {origin.name!r}.")
        self.source = origin.name

    def open(self) -> KnowledgeStore:
        """Return the store that holds the documents, after putting them there."""
        if self._given is not None:
            return self._given
        if isinstance(self._into, KnowledgeStore):
            opened = self._into
        else:
            from dallm.knowledge.stores.open import open_store

            place = self._into if self._into is not None else self._folder() / "documents.dallm"
            opened = self._stack.enter_context(closing(open_store(place, encoder=self._encoder)))
        if not opened.read_only:
            self._ingest(opened)
        return opened

    def where(self, opened: KnowledgeStore) -> str:
        """Return what the store is called in a report."""
        kept = self._given is not None or self._into is not None
        return repr(opened) if kept else f"a temporary {opened.kind} store"

    def graph(self) -> KnowledgeStore:
        """Return a temporary graph store of the documents."""
        from dallm.knowledge.stores.networkx import NetworkXStore

        made = self._stack.enter_context(closing(NetworkXStore(self._folder() / "graph.json")))
        self._ingest(made)
        return made

    def _ingest(self, opened: KnowledgeStore) -> None:
        from dallm.knowledge.ingest import ingest

        assert self.origin is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what was passed over is told by name, if a question needs it
            report = ingest(opened, self.origin, progress=self._progress)
        self.problems |= {problem.where: problem.reason for problem in report.problems}
        if report.removed:
            self.notes.append(
                f"{len(report.removed)} documents that are gone from {self.label} are still in the store "
                "and were searched, too"
            )

    def _folder(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dallm-retrieval-")))


def _is_about(document: Document, condition: str) -> bool:
    headings = " > ".join(section.path for section in document.sections)
    return condition in document.conditions or condition in conditions_in(headings, (condition,))


def _source(documents: object) -> Source:
    if isinstance(documents, str | os.PathLike):
        from dallm.knowledge.sources.folder import Folder

        return Folder(documents)
    if isinstance(documents, Source):
        return documents
    raise UserError(f"documents is a folder, a source or a store; got {type(documents).__name__}.")
