"""Stage I: bring sources into a store, once."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dallm.errors import KnowledgeWarning, SourceError, StoreError, UserError
from dallm.knowledge.conditions import resolve_conditions
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.progress import progress_of
from dallm.knowledge.sources.base import Source
from dallm.knowledge.stores.base import KnowledgeStore, Written

# one transaction per batch: small enough to lose little, large enough for the encoder
_BATCH_CHARACTERS = 200_000
_BATCH_DOCUMENTS = 64


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
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [
            f"{self.added} documents added, {self.updated} updated, {self.unchanged} unchanged; "
            f"{self.passages} passages written, {self.embedded} encoded ({self.seconds:.1f} s)."
        ]
        if self.removed:
            fate = "taken out" if self.pruned else "still in the store; prune=True takes them out"
            lines.append(f"No longer in their source ({fate}): {', '.join(self.removed)}.")
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
    passages. Work is kept batch by batch: after a kill or Ctrl-C the same call goes on from there.

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
    StoreError
        If the store cannot be written.

    Warns
    -----
    KnowledgeWarning
        If something was passed over, or a source holds nothing on the conditions.
    """
    began = time.perf_counter()
    listed = _checked_sources(sources)
    wanted = resolve_conditions(conditions)
    if store.read_only:
        raise StoreError("The store was opened with read_only=True; open it without to ingest.")
    for source in listed:
        _check_origin(store, source)
    total, problems, removed, pruned = Written(), [], [], 0
    for source in listed:
        written, passed_over = _ingest_one(store, source, wanted, progress)
        total += written
        problems += passed_over
        gone = _gone(store, source)
        removed += [f"{source.name}: {url}" for url in gone]
        if prune and gone:
            pruned += store.remove(source.name, gone)
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
        problems=tuple(problems),
        seconds=time.perf_counter() - began,
    )
    if problems:
        shown = "; ".join(str(p) for p in problems[:5]) + ("; …" if len(problems) > 5 else "")
        warnings.warn(f"{len(problems)} passed over: {shown}", KnowledgeWarning, stacklevel=2)
    return report


def _ingest_one(
    store: KnowledgeStore, source: Source, conditions: tuple[str, ...], progress: bool
) -> tuple[Written, list[Problem]]:
    written, problems, batch = Written(), [], []
    size, held = 0, store.known(source.name)
    with progress_of(f"Ingest {_short(source)}", None, show=progress) as step:
        for item in source.documents(conditions):
            if isinstance(item, Problem):
                problems.append(item)
                step(item.where)
                continue
            document = replace(item, conditions=resolve_conditions(item.conditions))
            known = held.get(document.url)
            if (
                known
                and known.sha256 == document.sha256
                and set(document.conditions) <= set(known.conditions)
            ):
                written += Written(unchanged=1)
                step(document.title)
                continue
            batch.append(document)
            size += _length(document)
            step(document.title)
            if size >= _BATCH_CHARACTERS or len(batch) >= _BATCH_DOCUMENTS:
                written += store.write(batch)
                batch, size = [], 0
        if batch:
            written += store.write(batch)
    if written == Written() and not problems and conditions:
        problems.append(Problem(_short(source), f"it holds nothing on {', '.join(conditions)}"))
    origin = getattr(source, "origin", None)
    if isinstance(origin, str):
        store.set_origin(source.name, origin)
    return written, problems


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


def _check_origin(store: KnowledgeStore, source: Source) -> None:
    kept, now = store.origin(source.name), getattr(source, "origin", None)
    # a folder that was moved is the same source; two that exist are not
    if kept and now and kept != now and Path(kept).exists() and store.known(source.name):
        raise SourceError(
            f"The store holds a source {source.name!r} from {kept!r} already; give this one from {now!r} "
            "another name, e.g. Folder(..., name='notes 2')."
        )


def _gone(store: KnowledgeStore, source: Source) -> list[str]:
    listing = getattr(source, "listing", None)
    if not callable(listing):
        return []
    return sorted(set(store.known(source.name)) - set(listing()))


def _length(document: Document) -> int:
    return sum(len(section.text) for section in document.sections)


def _short(source: Source) -> str:
    return source.name.split(",")[0]
