"""What Experiment II reads: each source alone and all together, their first hit or first result page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dallm.errors import DallmError, UserError
from dallm.evaluation.retrieval_documents import ReadOnce
from dallm.knowledge.passage import Document
from dallm.knowledge.progress import progress_of
from dallm.knowledge.sources.base import Source

HITS = ("first", "page")
AS_GIVEN = "as given"
"""Stands for first hit and result page where a source knows no such difference."""

Sources = Mapping[str, Source | Callable[[str], Source]]


@dataclass(frozen=True)
class SourceSet:
    """Documents that one arm of the experiment may know.

    Attributes
    ----------
    name : str
        The source's name, or the names joined by `` + ``.
    hits : str
        ``"first"``, ``"page"``, or :data:`AS_GIVEN`.
    sources : tuple of ReadOnce
        What was read; empty where it could not be.
    reason : str
        Why it could not be read.
    """

    name: str
    hits: str
    sources: tuple[ReadOnce, ...] = ()
    reason: str = ""

    @property
    def documents(self) -> int:
        """How many documents it has."""
        return sum(isinstance(item, Document) for source in self.sources for item in source.items)


def read_sets(
    sources: Sources, hits: Sequence[str], condition: str, *, progress: bool = False
) -> tuple[SourceSet, ...]:
    """Read every source once per kind of hits, and combine them.

    A source that fails leaves its sets without documents, with the reason; the others go on.

    Parameters
    ----------
    sources : mapping of str to Source or callable
        A callable gets ``"first"`` or ``"page"`` and returns the source; a source as it is stands for both.
    hits : sequence of {"first", "page"}
    condition : str
        Canonical name.
    progress : bool, default=False

    Raises
    ------
    UserError
        If there is no source, one is none, two are called alike, or `hits` cannot be used.
    """
    _check(sources, hits)
    varying = {name for name, source in sources.items() if not isinstance(source, Source)}
    wanted = [(name, kind) for name in sources for kind in (hits if name in varying else (AS_GIVEN,))]
    read: dict[tuple[str, str], ReadOnce | str] = {}
    with progress_of("Read", len(wanted), show=progress) as step:
        for name, kind in wanted:
            read[name, kind] = _read(sources[name], name, kind, condition)
            step(f"{name}, {kind}")
    _check_names(read)
    return tuple(_combined(list(sources), varying, hits, read))


def _check(sources: object, hits: Sequence[str]) -> None:
    if not isinstance(sources, Mapping) or not sources:
        raise UserError(
            "sources is a dict of a name to a source, or to a function of 'first' or 'page' that makes one, "
            f"for example {{'Primer': dallm.Primer()}}; got {sources!r}."
        )
    for name, source in sources.items():
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"sources: a name must be a text; got {name!r}.")
        if isinstance(source, type):
            raise UserError(f"sources: {name!r} is a class; give an object, such as dallm.Primer().")
        if not isinstance(source, Source) and not callable(source):
            raise UserError(f"sources: {name!r} is no source and no function that makes one; got {source!r}.")
    if isinstance(hits, str) or not hits or any(kind not in HITS for kind in hits):
        raise UserError(f"hits is a list of 'first' and 'page'; got {hits!r}.")


def _check_names(read: Mapping[tuple[str, str], ReadOnce | str]) -> None:
    owner: dict[str, str] = {}
    for (name, _), once in read.items():
        if isinstance(once, ReadOnce) and owner.setdefault(once.name, name) != name:
            raise UserError(
                f"sources: {owner[once.name]!r} and {name!r} are both called {once.name!r} in citations; "
                "give one another name, e.g. dallm.Folder(..., name='notes 2')."
            )


def _read(source: Source | Callable[[str], Source], name: str, kind: str, condition: str) -> ReadOnce | str:
    try:
        made = source if isinstance(source, Source) else source(kind)
        if not isinstance(made, Source):
            raise UserError(f"sources: {name!r} made {made!r}, which is no source.")
        once = ReadOnce(made, (condition,), about=condition)
    except DallmError as error:
        return str(error)
    if not once.listing():
        said = "; ".join(str(problem) for problem in once.items[:3])
        return f"it gave no document on {condition}" + (f" ({said})" if said else "")
    return once


def _combined(
    names: Sequence[str],
    varying: set[str],
    hits: Sequence[str],
    read: Mapping[tuple[str, str], ReadOnce | str],
) -> Iterator[SourceSet]:
    groups: list[tuple[str, ...]] = [(name,) for name in names]
    if len(names) > 1:
        groups.append(tuple(names))
    for group in groups:
        for kind in hits if varying & set(group) else (AS_GIVEN,):
            label = " + ".join(group)
            got = [(name, read[name, kind if name in varying else AS_GIVEN]) for name in group]
            failed = [f"{name}: {what}" for name, what in got if isinstance(what, str)]
            if failed:
                yield SourceSet(label, kind, reason="; ".join(failed))
            else:
                yield SourceSet(label, kind, tuple(what for _, what in got if not isinstance(what, str)))
