"""The knowledge graph in a Neo4j database: passages, conditions, what they have, and citations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dallm.engines.base import Engine
from dallm.errors import StoreError
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.graph.model import PassageNode
from dallm.knowledge.graph.store import Found, GraphStore, Key, Linked
from dallm.knowledge.graph.traverse import Asked
from dallm.knowledge.passage import Document, Passage
from dallm.knowledge.stores.base import MANIFEST_COLUMNS, Known, Written
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.graph_schema import LABELS, GraphLayout, prepare_graph
from dallm.knowledge.stores.neo4j.graph_searching import GraphSearch
from dallm.knowledge.stores.neo4j.graph_writing import GraphWriting
from dallm.knowledge.stores.neo4j.rows import SHOWN, document_id, passage_of, plain
from dallm.knowledge.stores.neo4j.schema import check_indexes, drop, place, read_state
from dallm.knowledge.stores.neo4j.writing import HELD, NotPreparedError

if TYPE_CHECKING:
    import pandas as pd

_REMOVE_BATCH = 100
_READ_BATCH = 50
_T = TypeVar("_T")

_MANIFEST = """
MATCH (d:Document)
RETURN d {.title, .source, .url, .revision, .licence, .authors, .retrieved_at, .conditions, .passages,
    .sha256, .notice} AS row ORDER BY d.source, d.url
"""
_SHOWN = f"p {{{', '.join(f'.{name}' for name in SHOWN)}}} AS node"
_PASSAGES = f"""
MATCH (d:Document)<-[:PART_OF]-(p:Passage)
WHERE d.id IN $ids AND ($condition IS NULL OR $condition IN p.conditions)
RETURN {_SHOWN} ORDER BY p.source, p.url, p.place
"""
_MEMBERS = f"""
MATCH (p:Passage) WHERE p.group IN $groups AND ($condition IS NULL OR $condition IN p.conditions)
    AND ($source IS NULL OR p.source = $source)
RETURN p.id AS id, p.twin AS twin, {_SHOWN} ORDER BY p.group, p.source, p.url, p.place
"""
_RELATED = """
MATCH (:Condition {name: $condition})-[r]->(x:Concept) WHERE type(r) = $relation
RETURN x.name AS name ORDER BY r.passages DESC, name
"""


class Neo4jGraphStore(GraphStore):
    """A knowledge graph in a Neo4j database; open it with :func:`dallm.open_store`.

    It holds the same nodes and relations as :class:`~dallm.knowledge.stores.networkx.NetworkXStore` and gives
    the same hits. A graph and a vector store of one namespace do not touch each other, nor anything else in
    the database. Opening a store writes nothing. Several processes may use one at once: writers wait for one
    another, readers see whole documents only.

    A store is pickled without its password; it is opened again with ``NEO4J_PASSWORD``.

    Parameters
    ----------
    uri : str, optional
        Address such as ``neo4j://localhost:7687``; ``NEO4J_URI`` where left out.
    namespace : str, default="dallm"
        Letters, digits and underscores.
    encoder : None or "auto"
        Graph stores answer by relations and words and take no encoder.
    user, password, database : str, optional
        ``NEO4J_USERNAME``, ``NEO4J_PASSWORD`` and ``NEO4J_DATABASE`` where left out.
    read_only : bool, default=False
        Refuse to write; the namespace must exist.
    engine : Engine, optional
        Who reads the passages for what they name; by default the lexicon's concepts are recognised.

    Raises
    ------
    StoreError
        If the database cannot be reached or used, the namespace's names are taken by another program, it was
        made by a later version of dallm, or is read only and missing.
    UserError
        If `namespace` is no name, or an encoder is given.
    """

    kind = "neo4j_graph"

    def __init__(
        self,
        uri: str | None = None,
        *,
        namespace: str = "dallm",
        encoder: object = None,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        read_only: bool = False,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(encoder=encoder, read_only=read_only, engine=engine)
        self.namespace = namespace
        self._layout = GraphLayout(namespace)
        self._given = (uri, namespace, user, database, read_only, engine)
        self._connection = Connection(
            uri, user=user, password=password, database=database, read_only=read_only
        )
        self.endpoint = self._connection.uri
        self._prepared = False
        try:
            check_indexes(self._connection, self._layout)
            if read_state(self._connection, self._layout) is None and read_only:
                raise StoreError(
                    f"{self._place} holds no graph yet; make one with dallm.open_store (without "
                    "read_only=True) and dallm.ingest."
                )
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Neo4jGraphStore({self._connection.uri!r}, namespace={self.namespace!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._given

    def close(self) -> None:
        """Release the store; it cannot be used afterwards."""
        self._connection.close()

    def related(self, condition: str, relation: str) -> tuple[str, ...]:
        """Return the concepts that a condition has by a relation, those that most passages name first."""
        rows = self._read(_RELATED, condition=plain(resolve_condition(condition)), relation=relation.upper())
        return tuple(row["name"] for row in rows)

    def manifest(self) -> pd.DataFrame:
        """Return one row per document: where it comes from, under which licence, what it is about."""
        import pandas as pd

        records = []
        for row in self._read(_MANIFEST):
            node = row["row"]
            joined = {name: "; ".join(node[name] or ()) for name in ("authors", "conditions")}
            records.append({**node, **joined})
        return pd.DataFrame(records, columns=list(MANIFEST_COLUMNS))

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about, in alphabetical order."""
        rows = self._read("MATCH (c:Condition) WHERE EXISTS { (c)<-[:ABOUT]-() } RETURN c.name AS name")
        return tuple(sorted(row["name"] for row in rows))

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Yield every passage, or those about one condition, in the order of sources, urls and places."""
        wanted = plain(resolve_condition(condition)) if condition is not None else None
        rows = self._read("MATCH (d:Document) RETURN d.id AS id ORDER BY d.source, d.url")
        ids = [row["id"] for row in rows]
        for start in range(0, len(ids), _READ_BATCH):
            for row in self._read(_PASSAGES, ids=ids[start : start + _READ_BATCH], condition=wanted):
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
        if read_state(self._connection, self._layout) is None:
            return 0
        count = 0
        while ids := self._read("MATCH (d:Document) RETURN d.id AS id LIMIT $count", count=_REMOVE_BATCH):
            count += self._remove([row["id"] for row in ids])
        for label in LABELS:
            statement = f"MATCH (n:{label}) WITH n LIMIT 10000 DETACH DELETE n RETURN count(*) AS n"
            while label != "Meta" and self._connection.write(self._layout.cypher(statement))[0]["n"]:
                pass
        drop(self._connection, self._layout)
        self._prepared = False
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

    def _read(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._connection.read(self._layout.cypher(statement), **parameters)

    def _reading(self) -> AbstractContextManager[object]:
        return nullcontext()

    def _found(self, asked: Asked, condition: str | None, source: str | None, k: int) -> list[Found]:
        wanted = plain(condition) if condition is not None else None
        return GraphSearch(self._connection, self._layout, asked, wanted, source).found(k)

    def _members(self, groups: Sequence[str], condition: str | None, source: str | None) -> dict[str, Linked]:
        rows = self._read(
            _MEMBERS,
            groups=groups,
            condition=plain(condition) if condition is not None else None,
            source=source,
        )
        return {row["id"]: (passage_of(row["node"]), row["twin"]) for row in rows}

    def _held(self, documents: Sequence[Document]) -> dict[Key, Known]:
        keys = {document_id(d.source, d.url): (d.source, d.url) for d in documents}
        rows = self._read(HELD, ids=list(keys))
        return {keys[row["id"]]: Known(row["sha256"], tuple(row["conditions"])) for row in rows}

    def _write(self, documents: Sequence[Document], read: Mapping[int, list[PassageNode]]) -> Written:
        return self._in_transaction(lambda writing: writing.write(documents, read))

    def _remove(self, ids: Sequence[str]) -> int:
        if read_state(self._connection, self._layout) is None:
            return 0
        parts = [list(ids[i : i + _REMOVE_BATCH]) for i in range(0, len(ids), _REMOVE_BATCH)]
        return sum(self._in_transaction(partial(_remove, part)) for part in parts)

    def _in_transaction(self, work: Callable[[GraphWriting], _T]) -> _T:
        """Run one transaction that writes, the namespace being prepared for it."""
        for last in (False, True):
            self._prepare()
            try:
                return self._connection.in_transaction(lambda tx: work(GraphWriting(tx, self._layout)))
            except NotPreparedError:  # another process cleared the namespace meanwhile
                if last:
                    raise
                self._prepared = False
        raise AssertionError

    def _prepare(self) -> None:
        if not self._prepared:
            prepare_graph(self._connection, self._layout)
            self._prepared = True

    def _writable(self) -> None:
        if self.read_only:
            raise StoreError(f"{self._place} was opened with read_only=True; open it without.")


def _remove(ids: Sequence[str], writing: GraphWriting) -> int:
    return writing.remove(ids)


def _origin(source: str) -> str:
    return f"origin:{plain(source)}"


def _reopen(
    uri: str | None,
    namespace: str,
    user: str | None,
    database: str | None,
    read_only: bool,
    engine: Engine | None,
) -> Neo4jGraphStore:
    return Neo4jGraphStore(
        uri, namespace=namespace, user=user, database=database, read_only=read_only, engine=engine
    )
