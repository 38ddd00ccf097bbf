"""A namespace of a Neo4j database: what the stores in it do alike, whatever they index."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from dallm.errors import StoreError
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.passage import Document, Passage
from dallm.knowledge.stores.base import MANIFEST_COLUMNS, Known
from dallm.knowledge.stores.common import StoreHandle
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.rows import SHOWN, document_id, passage_of, plain
from dallm.knowledge.stores.neo4j.schema import Layout, State, drop, place, read_state
from dallm.knowledge.stores.neo4j.writing import HELD, NotPreparedError

if TYPE_CHECKING:
    import pandas as pd
    from neo4j import ManagedTransaction

_REMOVE_BATCH = 100
_READ_BATCH = 50
_CLEAR_BATCH = 10_000

_MANIFEST = """
MATCH (d:Document)
RETURN d {.title, .source, .url, .revision, .licence, .authors, .retrieved_at, .conditions, .passages,
    .sha256, .notice} AS row ORDER BY d.source, d.url
"""
SHOWN_AS_NODE = f"p {{{', '.join(f'.{name}' for name in SHOWN)}}} AS node"
"""What a statement returns of a passage ``p``, for :func:`passage_of`."""


class Writer(Protocol):
    """What writes within a transaction."""

    def remove(self, ids: Sequence[str], /) -> int:
        """Remove documents and return how many there were."""
        ...


W = TypeVar("W", bound=Writer)
T = TypeVar("T")


class NamespaceStore(StoreHandle, Generic[W]):
    """Base of the stores that live in a namespace: what is held, removing, clearing, transactions.

    A store sets `namespace`, `read_only`, `_layout` and `_connection` before it uses any of it.
    """

    namespace: str
    _layout: Layout
    _connection: Connection
    _passages_of: ClassVar[str]
    """Pattern from a document ``d`` to its passages ``p``."""
    _left_over: ClassVar[tuple[str, ...]]
    """Labels of the nodes that stay when all documents are removed."""
    _nothing_yet: ClassVar[str] = "store"

    @abstractmethod
    def _writer(self, tx: ManagedTransaction) -> W:
        """Return what writes within a transaction."""

    @abstractmethod
    def _prepare(self, dimension: int | None = None) -> None:
        """Make the schema where it is missing; `dimension` of the vectors that are about to be written."""

    @abstractmethod
    def _forget_schema(self) -> None:
        """Look at the schema again before the next write."""

    def close(self) -> None:
        """Release the store; it cannot be used afterwards."""
        self._connection.close()

    def manifest(self) -> pd.DataFrame:
        """Return one row per document: where it comes from, under which licence, what it is about."""
        import pandas as pd

        records = []
        for row in self._read(_MANIFEST):
            node = row["row"]
            joined = {name: "; ".join(node[name] or ()) for name in ("authors", "conditions")}
            records.append({**node, **joined})
        return pd.DataFrame(records, columns=list(MANIFEST_COLUMNS))

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Yield every passage, or those about one condition, in the order of sources, urls and places."""
        statement = (
            f"MATCH {self._passages_of} "
            "WHERE d.id IN $ids AND ($condition IS NULL OR $condition IN p.conditions) "
            f"RETURN {SHOWN_AS_NODE} ORDER BY p.source, p.url, p.place"
        )
        wanted = plain(resolve_condition(condition)) if condition is not None else None
        rows = self._read("MATCH (d:Document) RETURN d.id AS id ORDER BY d.source, d.url")
        ids = [row["id"] for row in rows]
        for start in range(0, len(ids), _READ_BATCH):
            for row in self._read(statement, ids=ids[start : start + _READ_BATCH], condition=wanted):
                yield passage_of(row["node"])

    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources that the store holds documents of."""
        rows = self._read("MATCH (d:Document) RETURN DISTINCT d.source AS source")
        return tuple(sorted(row["source"] for row in rows))

    def known(self, source: str) -> dict[str, Known]:
        """Return what is held of a source, by url."""
        rows = self._read(
            "MATCH (d:Document {source: $source}) "
            "RETURN d.url AS url, d.sha256 AS sha256, d.conditions AS conditions",
            source=plain(source),
        )
        return {row["url"]: Known(row["sha256"], tuple(row["conditions"])) for row in rows}

    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Remove documents with their passages and return how many there were."""
        self._writable()
        return self._remove([document_id(source, url) for url in urls])

    def clear(self) -> int:
        """Remove everything of the namespace, its indexes too, and return how many documents there were."""
        self._writable()
        if self._state() is None:
            return 0
        count = 0
        while ids := self._read("MATCH (d:Document) RETURN d.id AS id LIMIT $count", count=_REMOVE_BATCH):
            count += self._remove([row["id"] for row in ids])
        for label in self._left_over:
            statement = f"MATCH (n:{label}) WITH n LIMIT {_CLEAR_BATCH} DETACH DELETE n RETURN count(*) AS n"
            while self._connection.write(self._layout.cypher(statement))[0]["n"]:
                pass
        drop(self._connection, self._layout)
        self._forget_schema()
        return count

    def origin(self, source: str) -> str | None:
        """Return the place that a source was read from, where it told."""
        rows = self._read("MATCH (m:Meta {key: $key}) RETURN m.value AS value", key=_origin(source))
        return str(rows[0]["value"]) if rows else None

    def set_origin(self, source: str, origin: str) -> None:
        """Keep the place that a source was read from; nothing is written where it is kept already."""
        if self.origin(source) == plain(origin):
            return
        self._writable()
        self._prepare()
        self._connection.write(
            self._layout.cypher("MERGE (m:Meta {key: $key}) SET m.value = $value"),
            key=_origin(source),
            value=plain(origin),
        )

    @property
    def _place(self) -> str:
        return place(self._connection, self._layout)

    def _state(self) -> State | None:
        return read_state(self._connection, self._layout)

    def _check_there(self) -> None:
        """Refuse to open for reading what nobody has made."""
        if self.read_only and self._state() is None:
            raise StoreError(
                f"{self._place} holds no {self._nothing_yet} yet; make one with dallm.open_store (without "
                "read_only=True) and dallm.ingest."
            )

    def _read(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._connection.read(self._layout.cypher(statement), **parameters)

    def _held_by_id(self, documents: Sequence[Document]) -> dict[str, Known]:
        rows = self._read(HELD, ids=[document_id(d.source, d.url) for d in documents])
        return {row["id"]: Known(row["sha256"], tuple(row["conditions"])) for row in rows}

    def _remove(self, ids: Sequence[str]) -> int:
        if self._state() is None:
            return 0
        parts = [list(ids[i : i + _REMOVE_BATCH]) for i in range(0, len(ids), _REMOVE_BATCH)]
        return sum(self._in_transaction(partial(_remove, part)) for part in parts)

    def _in_transaction(self, work: Callable[[W], T], dimension: int | None = None) -> T:
        """Run one transaction that writes, the namespace being prepared for it."""
        for last in (False, True):
            self._prepare(dimension)
            try:
                return self._connection.in_transaction(lambda tx: work(self._writer(tx)))
            except NotPreparedError:  # another process cleared the namespace meanwhile
                if last:
                    raise
                self._forget_schema()
        raise AssertionError

    def _writable(self) -> None:
        if self.read_only:
            raise StoreError(f"{self._place} was opened with read_only=True; open it without.")


def _remove(ids: Sequence[str], writer: Writer) -> int:
    return writer.remove(ids)


def _origin(source: str) -> str:
    return f"origin:{plain(source)}"
