"""The knowledge graph in memory, in one file: a store without a server that networkx can open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.engines.base import Engine
from dallm.errors import StoreError
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.duplicates import Held, bands_of
from dallm.knowledge.graph.file import GraphFile
from dallm.knowledge.graph.memory import (
    GraphIndex,
    Terms,
    add_document,
    document_of,
    nodes_of,
    remove_document,
)
from dallm.knowledge.graph.model import (
    DocumentNode,
    PassageNode,
    citation_of,
    document_key,
    from_json,
    to_json,
)
from dallm.knowledge.graph.store import Found, GraphStore, Key, Linked, planned
from dallm.knowledge.graph.traverse import Asked, score
from dallm.knowledge.passage import Document, Passage
from dallm.knowledge.stores.base import MANIFEST_COLUMNS, Known, Written

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd


class NetworkXStore(GraphStore):
    """A knowledge graph in one JSON file, held in memory while it is open.

    The file is networkx' node-link form and can be read without dallm. Several processes may use it at once:
    writers wait for each other, readers see whole batches. A process that is killed leaves its last finished
    batch, and the same ingest goes on.

    Parameters
    ----------
    path : path
        The file, for example ``"graph.json"``; made at the first write.
    encoder : None or "auto"
        Graph stores answer by relations and words and take no encoder.
    read_only : bool, default=False
        Refuse to write; the file must exist.
    engine : Engine, optional
        Who reads the passages for what they name; by default the lexicon's concepts are recognised. It is
        used for what is written from now on, and is not kept in the file.

    Raises
    ------
    StoreError
        If the file is broken, none of a graph store, or missing and to be read only.

    Examples
    --------
    >>> import tempfile, dallm
    >>> store = NetworkXStore(tempfile.mkdtemp() + "/graph.json")
    >>> report = dallm.ingest(store, sources=[dallm.Primer()], conditions=["atelectasis"])
    >>> hits = store.search("What are the causes of atelectasis?", k=1)
    >>> hits[0].passage.section, store.related("atelectasis", "caused_by")[:2]
    ('Causes', ('infection', 'mucus plug'))
    >>> store.close()
    """

    kind = "networkx"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encoder: object = None,
        read_only: bool = False,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(encoder=encoder, read_only=read_only, engine=engine)
        self.path = Path(path)
        self._file = GraphFile(self.path)
        if read_only and not self._file.exists():
            raise StoreError(
                f"There is no store in {str(self.path)!r}; ingest into it first, without read_only=True."
            )
        self._lock = threading.RLock()
        self._closed = False
        self._wrote = False  # what nobody has written into the file yet
        self._graph: Any
        self._terms: Terms = {}
        self._index: GraphIndex | None = None
        self._grouped: dict[str, list[str]] | None = None
        self._bands: dict[int, set[str]] | None = None
        self._load()

    def __repr__(self) -> str:
        if self._closed:
            return f"NetworkXStore({str(self.path)!r}, closed)"
        counts = {kind: sum(1 for _ in nodes_of(self._graph, kind)) for kind in ("document", "passage")}
        rest = len(self._graph) - sum(counts.values())
        return (
            f"NetworkXStore({str(self.path)!r}: {counts['document']} documents, {counts['passage']} "
            f"passages, {rest} conditions and concepts)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.path), self.read_only, self._engine)

    def close(self) -> None:
        """Write what is in the journal into the file, and release the store; it cannot be used afterwards."""
        with self._lock:
            if not self._closed and self._wrote:
                with self._writing():
                    self._file.save(self._graph)
            self._closed = True
            self._graph = None
            self._index = None

    @property
    def graph(self) -> nx.MultiDiGraph:
        """A copy of the graph, to look at with networkx; changing it changes no store."""
        with self._reading():
            copied: nx.MultiDiGraph = self._graph.copy()
            return copied

    def related(self, condition: str, relation: str) -> tuple[str, ...]:
        """Return the concepts that a condition has by a relation, those that most passages name first."""
        with self._reading():
            node = f"condition/{resolve_condition(condition)}"
            if node not in self._graph:
                return ()
            ends = [
                (-held["passages"], self._graph.nodes[end]["name"])
                for _, end, key, held in self._graph.out_edges(node, keys=True, data=True)
                if key == relation
            ]
        return tuple(name for _, name in sorted(ends))

    def manifest(self) -> pd.DataFrame:
        """Return one row per document: where it comes from, under which licence, what it is about."""
        import pandas as pd

        with self._reading():
            records = [
                {
                    **held,
                    "authors": "; ".join(held["authors"]),
                    "conditions": "; ".join(held["conditions"]),
                    "passages": self._graph.in_degree(key),
                }
                for key, held in self._documents()
            ]
        return pd.DataFrame(records, columns=list(MANIFEST_COLUMNS))

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about, in alphabetical order."""
        with self._reading():
            return tuple(
                sorted(
                    held["name"]
                    for node, held in nodes_of(self._graph, "condition")
                    if any(key == "about" for *_, key in self._graph.in_edges(node, keys=True))
                )
            )

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Yield every passage, or those about one condition, in the order of sources, urls and places."""
        wanted = resolve_condition(condition) if condition is not None else None
        with self._reading():
            documents = [document_of(self._graph, key) for key, _ in self._documents()]
        for document in documents:
            for node in document.passages:
                if wanted is None or wanted in node.conditions:
                    yield document.passage(node)

    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources that the store holds documents of."""
        with self._reading():
            return tuple(sorted({held["source"] for _, held in nodes_of(self._graph, "document")}))

    def known(self, source: str) -> dict[str, Known]:
        """Return what is held of a source, by url."""
        with self._reading():
            return {
                held["url"]: Known(held["sha256"], tuple(held["conditions"]))
                for _, held in self._documents()
                if held["source"] == source
            }

    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Remove documents with their passages and return how many there were."""
        self._writable()
        with self._writing():
            there = [url for url in dict.fromkeys(urls) if document_key(source, url) in self._graph]
            if there:
                self._save({"remove": [[source, url] for url in there]})
        return len(there)

    def origin(self, source: str) -> str | None:
        """Return the place that a source was read from, where it told."""
        with self._reading():
            origin = self._graph.graph["origins"].get(source)
        return None if origin is None else str(origin)

    def set_origin(self, source: str, origin: str) -> None:
        """Keep the place that a source was read from; nothing is written where it is kept already."""
        if self.origin(source) != origin:
            self._writable()
            with self._writing():
                self._save({"origin": [source, origin]})

    def _held(self, documents: Sequence[Document]) -> dict[Key, Known]:
        with self._reading():
            nodes = {(d.source, d.url): document_key(d.source, d.url) for d in documents}
            return {
                key: Known(held["sha256"], tuple(held["conditions"]))
                for key, node in nodes.items()
                if (held := self._graph.nodes.get(node)) is not None
            }

    def _write(self, documents: Sequence[Document], read: Mapping[int, list[PassageNode]]) -> Written:
        with self._writing():
            nodes, written = planned(documents, read, self._held(documents), self._resembling)
            if nodes:
                self._save({"write": [to_json(node) for node in nodes]}, nodes)
        return written

    def _found(self, asked: Asked, condition: str | None, source: str | None, k: int) -> list[Found]:
        index = self._current_index()
        rows = index.rows(condition, source)
        scores = score(asked, index.signals(asked, rows))
        best = np.argsort(-scores, kind="stable")[:k]
        nodes = [(index.nodes[rows[i]], float(scores[i])) for i in best]
        return [Found(node, earned, self._group(node)) for node, earned in nodes]

    def _members(self, groups: Sequence[str], condition: str | None, source: str | None) -> dict[str, Linked]:
        grouped = self._groups()
        found = {
            node: (self._passage(node), self._graph.nodes[node]["twin"] or None)
            for group in groups
            for node in grouped[group]
        }
        return {
            node: (passage, twin)
            for node, (passage, twin) in found.items()
            if (condition is None or condition in passage.conditions) and source in (None, passage.source)
        }

    def _group(self, node: str) -> str:
        held = self._graph.nodes[node]
        return str(held["twin"] or held["sha256"])

    def _passage(self, node: str) -> Passage:
        held = self._graph.nodes[node]
        document = next(end for _, end, key in self._graph.out_edges(node, keys=True) if key == "part_of")
        cited = citation_of(self._graph.nodes[document])
        return cited.passage(
            PassageNode(
                held["place"], held["section"], held["text"], held["sha256"], tuple(held["conditions"])
            )
        )

    def _documents(self) -> list[tuple[str, Mapping[str, Any]]]:
        found = nodes_of(self._graph, "document")
        return sorted(found, key=lambda item: (item[1]["source"], item[1]["url"]))

    def _current_index(self) -> GraphIndex:
        if self._index is None:
            self._index = GraphIndex(self._graph, self._terms)
        return self._index

    def _groups(self) -> dict[str, list[str]]:
        """The passages that say nearly the same, by the digest that stands for them, in the index' order."""
        if self._grouped is None:
            self._grouped = {}
            for node in self._current_index().nodes:
                self._grouped.setdefault(self._group(node), []).append(node)
        return self._grouped

    def _resembling(self, source: str, wanted: list[int]) -> Iterable[Held]:
        """The passages of other sources that have one of the bands."""
        if self._bands is None:
            self._bands = {}
            held = list(nodes_of(self._graph, "passage"))
            self._note_bands([node for node, _ in held], bands_of([p["text"] for _, p in held]))
        nodes = {node: None for band in wanted for node in self._bands.get(band, ())}
        for node in nodes:
            if node in self._graph:
                p = self._passage(node)
                if p.source != source:
                    twin = self._graph.nodes[node]["twin"] or None
                    yield Held(p.sha256, p.source, p.title, p.section, p.text, p.conditions, twin)

    def _note_bands(self, nodes: Sequence[str], bands: Iterable[tuple[int, ...]]) -> None:
        assert self._bands is not None
        for node, own in zip(nodes, bands, strict=True):
            for band in own:
                self._bands.setdefault(band, set()).add(node)

    def _save(self, record: dict[str, Any], nodes: Sequence[DocumentNode] = ()) -> None:
        """Put a batch on the disk, then into the graph: what is found is saved."""
        self._stamp = self._file.append(record)
        self._wrote = True
        self._apply(record, nodes)
        if self._file.outgrown:
            self._stamp = self._file.save(self._graph)
            self._wrote = False

    def _apply(self, record: Mapping[str, Any], nodes: Sequence[DocumentNode]) -> None:
        self._index, self._grouped = None, None
        if "origin" in record:
            source, origin = record["origin"]
            self._graph.graph["origins"][source] = origin
        for source, url in record.get("remove", ()):
            remove_document(self._graph, document_key(source, url))
        for document in nodes:
            if document.key in self._graph:
                remove_document(self._graph, document.key)
            added = add_document(self._graph, document)
            if self._bands is not None:
                self._note_bands(added, (p.bands for p in document.passages))

    def _load(self) -> None:
        self._graph, records, self._stamp = self._file.read()
        self._index, self._grouped, self._bands = None, None, None
        try:
            for record in records:
                self._apply(record, [from_json(raw) for raw in record.get("write", ())])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"The journal {str(self._file.journal)!r} does not fit its store ({error!r}). Remove it to "
                "keep what the file itself holds, and ingest again: what is held already is passed over."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreError(f"The store {str(self.path)!r} is closed; open it again.")
            if self._file.stamp() != self._stamp:  # another process wrote
                self._load()
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._file.writing(), self._reading():
            yield

    def _writable(self) -> None:
        if self.read_only:
            raise StoreError(f"The store {str(self.path)!r} was opened with read_only=True; open it without.")


def _reopen(path: str, read_only: bool, engine: Engine | None) -> NetworkXStore:
    return NetworkXStore(path, read_only=read_only, engine=engine)
