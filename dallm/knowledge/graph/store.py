"""What the graph stores do alike: reading documents into nodes, and from a question to hits."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import NamedTuple

from dallm.engines.base import Engine
from dallm.errors import UserError
from dallm.knowledge.conditions import condition_names, resolve_condition
from dallm.knowledge.cut import cut
from dallm.knowledge.duplicates import Held, bands_of, collapsed, twins
from dallm.knowledge.graph.build import build
from dallm.knowledge.graph.model import DocumentNode, PassageNode, document_node, topic_of
from dallm.knowledge.graph.traverse import Asked, read_question
from dallm.knowledge.passage import Document, Hit, Passage
from dallm.knowledge.stores.base import Known, Written, conditions_after, differs
from dallm.knowledge.stores.common import StoreHandle, check_question, one_source

Key = tuple[str, str]  # source and url of a document


Linked = tuple[Passage, str | None]  # a passage, and what it was linked to (see `duplicates.twins`)


class Found(NamedTuple):
    """A passage that a search found: its name in the store, and what near-duplicates of it share."""

    key: str
    score: float
    group: str


class GraphStore(StoreHandle):
    """Base of the graph stores: what is in the nodes, and how hits are ranked; a subclass keeps the nodes.

    Parameters
    ----------
    encoder : None or "auto"
        Graph stores answer by relations and words and take no encoder; "auto" stands for none.
    engine : Engine, optional
        Who reads the passages for what they name; see :func:`dallm.knowledge.graph.build.build`.
    """

    has_dense = False

    def __init__(self, *, encoder: object, read_only: bool, engine: Engine | None) -> None:
        if encoder is not None and encoder != "auto":
            raise UserError(
                f"A {self.kind} store answers by relations and words and takes no encoder; got {encoder!r}. "
                "Leave encoder= out, or use a local or a neo4j_vector store."
            )
        self.read_only = read_only
        self._engine = engine

    def search(
        self,
        query: str,
        k: int = 4,
        condition: str | None = None,
        source: str | None = None,
        *,
        arm: str = "fused",
    ) -> list[Hit]:
        """Return the passages that answer a question best, by the way to them through the graph and by words.

        Parameters
        ----------
        query : str
            The question, in any words; it is never read as a search syntax.
        k : int, default=4
            At most so many hits.
        condition : str, optional
            Only passages about this condition; any of its names will do.
        source : str, optional
            Only passages of this source, or of the one source whose name holds this text.
        arm : {"fused"}, default="fused"
            Graph stores have one way of searching.

        Returns
        -------
        list of Hit
            The best first; empty where the store holds nothing of the condition. Without a condition only
            passages that the traversal reaches, or that share a word with the question, are hits.
            Scores run from 0 to 1.

        Raises
        ------
        UserError
            If the query is no text, `k` is no positive number, or no source has that name.
        """
        check_question(query, k)
        if arm != "fused":
            raise UserError(f"A {self.kind} store is searched in one way, arm='fused'; got {arm!r}.")
        wanted = resolve_condition(condition) if condition is not None else None
        with self._reading():
            if source is not None:
                source = one_source(source, self.sources())
            if not query.strip():
                return []
            asked = _about(read_question(query), wanted)
            wider = k
            while True:
                found = self._found(asked, wanted, source, wider)
                told = [one for one in found if one.score > 0 or condition is not None]
                members = self._members(list(dict.fromkeys(one.group for one in told)), wanted, source)
                # what another process has removed meanwhile is no hit
                best = [(*members[one.key], one.score) for one in told if one.key in members]
                hits = collapsed([(p, score, twin) for p, twin, score in best], members.values())
                if len(hits) >= k or len(found) < wider:
                    return hits[:k]
                wider *= 2

    def write(self, documents: Sequence[Document]) -> Written:
        """Write documents in one transaction; one that is held already, unchanged, is not written again.

        Raises
        ------
        StoreError
            If the store is read only or cannot be written.
        """
        self._writable()
        held = self._held(documents)
        changed = [d for d in documents if differs(held.get((d.source, d.url)), d)]
        unchanged = Written(unchanged=len(documents) - len(changed))
        if not changed:
            return unchanged
        # read before the transaction, so that nobody waits for the engine
        read = {id(d): build(cut(d), engine=self._engine) for d in changed}
        bands = iter(bands_of([p.text for nodes in read.values() for p in nodes]))
        read = {key: [replace(p, bands=next(bands)) for p in nodes] for key, nodes in read.items()}
        return unchanged + self._write(changed, read)

    def clear(self) -> int:
        """Remove every document and return how many there were."""
        return sum(self.remove(source, list(self.known(source))) for source in self.sources())

    def embed_missing(self) -> int:
        """Return 0: a graph store keeps no vectors."""
        self._writable()
        return 0

    @abstractmethod
    def _reading(self) -> AbstractContextManager[object]:
        """Hold one state of the store for a whole search."""

    @abstractmethod
    def _found(self, asked: Asked, condition: str | None, source: str | None, k: int) -> list[Found]:
        """Return the `k` best passages, or all where there are fewer; the best first."""

    @abstractmethod
    def _members(
        self, groups: Sequence[str], condition: str | None, source: str | None
    ) -> Mapping[str, Linked]:
        """Return the passages of groups of near-duplicates that the filters let through, by their names."""

    @abstractmethod
    def _held(self, documents: Sequence[Document]) -> Mapping[Key, Known]:
        """Return what is held of documents."""

    @abstractmethod
    def _write(self, documents: Sequence[Document], read: Mapping[int, list[PassageNode]]) -> Written:
        """Write documents whose passages were read already, in one transaction."""

    @abstractmethod
    def _writable(self) -> None:
        """Refuse where the store was opened to be read only."""

    @abstractmethod
    def known(self, source: str) -> dict[str, Known]:
        """Return what is held of a source, by url."""

    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources that documents are held of."""

    @abstractmethod
    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Remove documents and return how many there were."""


def planned(
    documents: Sequence[Document],
    read: Mapping[int, list[PassageNode]],
    held: Mapping[Key, Known],
    resembling: Callable[[str, list[int]], Iterable[Held]],
) -> tuple[list[DocumentNode], Written]:
    """Return the nodes that a write puts in place of those held, and what it will have done.

    Parameters
    ----------
    documents : sequence of Document
    read : mapping
        Their passages as nodes, by ``id(document)``.
    held : mapping
        What the store holds of them now: another process may have written meanwhile.
    resembling : callable
        See :func:`dallm.knowledge.duplicates.twins`.
    """
    current, nodes, counts = dict(held), dict[Key, DocumentNode](), Counter[str]()
    for document in documents:
        key = document.source, document.url
        before = current.get(key)
        if not differs(before, document):
            counts["unchanged"] += 1
            continue
        about = conditions_after(before, document)
        passages = [
            replace(p, conditions=tuple(dict.fromkeys((*about, *p.conditions)))) for p in read[id(document)]
        ]
        nodes[key] = document_node(document, about, passages)
        current[key] = nodes[key].known
        counts["updated" if before else "added"] += 1
        counts["passages"] += len(passages)
    new = [(n.passage(p), p.bands) for n in nodes.values() for p in n.passages]
    links = iter(twins([passage for passage, _ in new], resembling, [bands for _, bands in new]))
    linked = [
        replace(n, passages=tuple(replace(p, twin=next(links) or "") for p in n.passages))
        for n in nodes.values()
    ]
    return linked, Written(**counts, linked=sum(bool(p.twin) for n in linked for p in n.passages))


def _about(asked: Asked, condition: str | None) -> Asked:
    """A question about a condition that is given enters there, too."""
    if condition is None:
        return asked
    names = {topic_of(name): 1.0 for name in condition_names(condition)}
    conditions = tuple(dict.fromkeys((*asked.conditions, condition)))
    return replace(asked, conditions=conditions, runs={**asked.runs, **names})
