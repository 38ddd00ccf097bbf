"""Stage I: bring sources into a store, once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dallm.errors import DallmError, KnowledgeWarning, SourceError, StoreError, UserError
from dallm.knowledge.conditions import resolve_conditions
from dallm.knowledge.licences import forbids_commercial_use, short_name
from dallm.knowledge.orders import marked
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.progress import progress_of
from dallm.knowledge.sources.base import Source
from dallm.knowledge.stores.base import KnowledgeStore, Known, Written, differs

# one transaction per batch: some seconds of encoding, so that a kill loses little and every core has work
_BATCH_CHARACTERS = 400_000
_BATCH_DOCUMENTS = 256


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did.

    Attributes
    ----------
    added, updated, unchanged : int
        Documents that were new, replaced, or held already as they are.
    removed : tuple of str
        Documents that the store holds and their source no longer does ("source: url").
    pruned : int
        How many of those were taken out of the store.
    passages, embedded : int
        Passages written, and passages encoded.
    linked : int
        Passages written that say nearly the same as one of another source, and are shown with it.
    marked : tuple of str
        Documents written that hold text addressed to a language model ("source: url"); they are kept, with a
        notice.
    licences : tuple of str
        Licences that forbid commercial use ("source: licence").
    problems : tuple of Problem
        What was passed over, and why.
    seconds : float
        How long it took.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: tuple[str, ...] = ()
    pruned: int = 0
    passages: int = 0
    embedded: int = 0
    linked: int = 0
    marked: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        linked = f" ({self.linked} linked to nearly equal ones)" if self.linked else ""
        lines = [
            f"{self.added} documents added, {self.updated} updated, {self.unchanged} unchanged; "
            f"{self.passages} passages written{linked}, {self.embedded} encoded ({self.seconds:.1f} s)."
        ]
        if self.removed:
            fate = "taken out" if self.pruned else "still in the store; prune=True takes them out"
            lines.append(f"No longer in their source ({fate}): {', '.join(self.removed)}.")
        if self.licences:
            lines.append(f"Not for commercial use: {', '.join(self.licences)}.")
        if self.marked:
            lines.append(f"Holds text addressed to a language model, kept as data: {', '.join(self.marked)}.")
        lines += [f"Passed over: {problem}" for problem in self.problems]
        return "\n".join(lines)


def ingest(
    store: KnowledgeStore,
    sources: Source | Iterable[Source],
    conditions: str | Iterable[str] | None = None,
    *,
    prune: bool = False,
    progress: bool = False,
) -> IngestReport:
    """Read sources and keep their documents as passages.

    What is held already is neither encoded nor written again; a document whose content changed replaces its
    passages. Work is kept batch by batch: after a kill or Ctrl-C the same call goes on from there. A source
    that fails in the middle is a problem in the report: what it gave before is kept, and the others go on.

    Parameters
    ----------
    store : KnowledgeStore
        Where to; see :func:`dallm.open_store`.
    sources : Source or iterable of Source
        Where from, for example ``[dallm.Primer(), dallm.Folder("notes/")]``.
    conditions : str or iterable of str, optional
        What to read about; any of a condition's names will do. None means all that the sources hold.
    prune : bool, default=False
        Take documents out of the store that their source no longer holds; otherwise they are only reported.
    progress : bool, default=False
        Show progress on standard error.

    Returns
    -------
    IngestReport

    Raises
    ------
    UserError
        If a source is none, or two sources have one name.
    SourceError
        If sources failed and nothing at all could be read.
    StoreError
        If the store cannot be written; the message says what is kept.

    Warns
    -----
    KnowledgeWarning
        If something was passed over, a source holds nothing on the conditions, or a licence forbids
        commercial use.
    """
    began = time.perf_counter()
    listed = _checked_sources(sources)
    wanted = resolve_conditions(conditions)
    if store.read_only:
        if store.kind == "langchain":
            store.write(())  # says how documents come into a vector store of others
        raise StoreError("The store was opened with read_only=True; open it without to ingest.")
    held = {source.name: store.known(source.name) for source in listed}
    for source in listed:
        _check_origin(store, source, held[source.name])
    readings = [_Reading(store, source, wanted, held[source.name]) for source in listed]
    total, removed, pruned = Written(), [], 0
    for reading in readings:
        total = reading.run(total, progress=progress)
        gone = reading.gone()
        removed += [f"{reading.source.name}: {url}" for url in gone]
        if prune and gone:
            pruned += store.remove(reading.source.name, gone)
    _something_read(readings)
    # vectors that an earlier ingest without an encoder left out
    embedded = total.embedded + store.embed_missing()
    report = IngestReport(
        added=total.added,
        updated=total.updated,
        unchanged=total.unchanged,
        removed=tuple(removed),
        pruned=pruned,
        passages=total.passages,
        embedded=embedded,
        linked=total.linked,
        marked=tuple(name for reading in readings for name in reading.marked),
        licences=tuple(f"{r.source.name}: {licence}" for r in readings for licence in r.licences),
        problems=tuple(problem for reading in readings for problem in reading.problems),
        seconds=time.perf_counter() - began,
    )
    _warn(report)
    return report


class _Reading:
    """One source on its way into the store."""

    def __init__(
        self, store: KnowledgeStore, source: Source, conditions: tuple[str, ...], held: Mapping[str, Known]
    ) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.marked: list[str] = []
        self.licences: dict[str, None] = {}
        self.failure: Exception | None = None
        self.read = 0
        self._store, self._conditions, self._held = store, conditions, held
        self._batch: list[Document] = []
        self._size = 0
        self._encoding_s = 0.0

    def run(self, total: Written, *, progress: bool) -> Written:
        """Read all that the source gives, and add what was written to `total`."""
        before = total
        with progress_of(f"Ingest {_short(self.source)}", None, show=progress) as step:
            for item in self._items():
                if isinstance(item, Problem):
                    self.problems.append(item)
                    step(item.where)
                    continue
                total = self._take(item, total)
                step(f"{self._rate(total, before)}{item.title}")
            total = self._write(total)
        if self.failure is not None:
            self.problems.append(Problem(_short(self.source), _told(self.failure, self.read)))
        elif not self.read and not self.problems and self._conditions:
            reason = f"it holds nothing on {', '.join(self._conditions)}"
            self.problems.append(Problem(_short(self.source), reason))
        origin = getattr(self.source, "origin", None)
        if isinstance(origin, str) and (self.read or self.failure is None):
            self._store.set_origin(self.source.name, origin)
        return total

    def gone(self) -> list[str]:
        """Return the urls that are held and that the source no longer lists."""
        listing: Callable[[], Iterable[str]] | None = getattr(self.source, "listing", None)
        # a source that failed cannot be trusted to list all that it has
        if not callable(listing) or self.failure is not None:
            return []
        try:
            return sorted(set(self._held) - set(listing()))
        except (DallmError, OSError) as error:
            reason = f"what it holds now cannot be listed: {error}"
            self.problems.append(Problem(_short(self.source), reason))
            return []

    def _items(self) -> Iterator[Document | Problem]:
        try:
            for item in self.source.documents(self._conditions):
                if not isinstance(item, Document | Problem):
                    raise SourceError(
                        f"it gave a {type(item).__name__} where a Document or a Problem is expected"
                    )
                yield item
        except SourceError as error:
            self.failure = error
        except (UserError, StoreError, MemoryError):  # not of the source's making
            raise
        except Exception as error:  # a source of the user's own may raise anything: it is reported
            self.failure = error

    def _take(self, item: Document, total: Written) -> Written:
        document = replace(item, conditions=resolve_conditions(item.conditions))
        self.read += 1
        if document.licence is not None and forbids_commercial_use(document.licence):
            self.licences.setdefault(short_name(document.licence))
        if not differs(self._held.get(document.url), document):
            return total + Written(unchanged=1)
        noticed = marked(document)
        if noticed is not document:
            self.marked.append(f"{self.source.name}: {document.url}")
        self._batch.append(noticed)
        self._size += sum(len(section.text) for section in document.sections)
        full = self._size >= _BATCH_CHARACTERS or len(self._batch) >= _BATCH_DOCUMENTS
        return self._write(total) if full else total

    def _write(self, total: Written) -> Written:
        if not self._batch:
            return total
        began = time.perf_counter()
        try:
            total += self._store.write(self._batch)
        except StoreError as error:
            raise StoreError(
                f"{error} This call wrote {total.added + total.updated} documents before, which are kept; "
                f"it was at {_short(self.source)}."
            ) from error
        self._encoding_s += time.perf_counter() - began
        self._batch, self._size = [], 0
        return total

    def _rate(self, total: Written, before: Written) -> str:
        passages = total.passages - before.passages
        return f"{passages / self._encoding_s:.0f} passages/s, " if passages and self._encoding_s else ""


def _told(error: Exception, read: int) -> str:
    what = str(error) if isinstance(error, DallmError) else f"{type(error).__name__}: {error}"
    kept = f"the {read} documents that it gave before are kept" if read else "it gave no document"
    return f"it failed: {what.rstrip('.')}; {kept}, and the same call tries again"


def _something_read(readings: list[_Reading]) -> None:
    failed = [reading for reading in readings if reading.failure is not None]
    if not failed or any(reading.read for reading in readings):
        return
    if len(failed) == 1 and isinstance(failed[0].failure, DallmError):
        raise failed[0].failure
    listed = "; ".join(f"{r.source.name}: {type(r.failure).__name__}: {r.failure}" for r in failed)
    raise SourceError(f"Nothing could be read. {listed}") from failed[0].failure


def _warn(report: IngestReport) -> None:
    if report.problems:
        shown = "; ".join(map(str, report.problems[:5])) + ("; …" if len(report.problems) > 5 else "")
        warnings.warn(f"{len(report.problems)} passed over: {shown}", KnowledgeWarning, stacklevel=3)
    if report.licences:
        warnings.warn(
            f"Not for commercial use by their licence: {', '.join(report.licences)}. The manifest names the "
            "licence of every document.",
            KnowledgeWarning,
            stacklevel=3,
        )


def _checked_sources(sources: Source | Iterable[Source]) -> list[Source]:
    if isinstance(sources, Source):
        listed = [sources]
    elif isinstance(sources, Iterable) and not isinstance(sources, str | bytes):
        listed = list(sources)
    else:
        raise UserError(
            f"sources is a list of sources such as [dallm.Primer(), dallm.Folder('notes/')]; got {sources!r}."
        )
    for source in listed:
        if not isinstance(source, Source):
            hint = f" Did you mean dallm.Folder({str(source)!r})?" if isinstance(source, str | Path) else ""
            raise UserError(
                f"{source!r} is no source: it needs a name and a method documents(conditions).{hint}"
            )
    names = [source.name for source in listed]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"Two sources are called {name!r}; give one another name, e.g. Folder(..., name='notes 2')."
            )
    if not listed:
        raise UserError("sources is empty; give at least one, for example [dallm.Primer()].")
    return listed


def _check_origin(store: KnowledgeStore, source: Source, held: Mapping[str, Known]) -> None:
    kept, now = store.origin(source.name), getattr(source, "origin", None)
    # a folder that was moved is the same source; two that exist are not
    if kept and now and kept != now and held and Path(kept).exists():
        raise SourceError(
            f"The store holds a source {source.name!r} from {kept!r} already; give this one from {now!r} "
            "another name, e.g. Folder(..., name='notes 2')."
        )


def _short(source: Source) -> str:
    return source.name.split(",")[0]
