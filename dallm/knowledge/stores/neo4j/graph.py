"""The knowledge graph in a Neo4j database: passages, conditions, what they have, and citations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from dallm.engines.base import Engine
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.graph.model import PassageNode
from dallm.knowledge.graph.store import Found, GraphStore, Key, Linked
from dallm.knowledge.graph.traverse import Asked
from dallm.knowledge.passage import Document
from dallm.knowledge.stores.base import Known, Written
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.graph_schema import LABELS, GraphLayout, prepare_graph
from dallm.knowledge.stores.neo4j.graph_searching import GraphSearch
from dallm.knowledge.stores.neo4j.graph_writing import GraphWriting
from dallm.knowledge.stores.neo4j.namespace import SHOWN_AS_NODE, NamespaceStore
from dallm.knowledge.stores.neo4j.rows import document_id, passage_of, plain
from dallm.knowledge.stores.neo4j.schema import check_indexes

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

_REMOVE_BATCH = 100
_READ_BATCH = 50
_T = TypeVar("_T")

_MEMBERS = f"""
MATCH (p:Passage) WHERE p.group IN $groups AND ($condition IS NULL OR $condition IN p.conditions)
    AND ($source IS NULL OR p.source = $source)
RETURN p.id AS id, p.twin AS twin, {SHOWN_AS_NODE} ORDER BY p.group, p.source, p.url, p.place
"""
_RELATED = """
MATCH (:Condition {name: $condition})-[r]->(x:Concept) WHERE type(r) = $relation
RETURN x.name AS name ORDER BY r.passages DESC, name
"""


class Neo4jGraphStore(NamespaceStore[GraphWriting], GraphStore):
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
    _passages_of = "(d:Document)<-[:PART_OF]-(p:Passage)"
    _left_over = tuple(label for label in LABELS if label != "Meta")
    _nothing_yet = "graph"
    _layout: GraphLayout

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
        GraphStore.__init__(self, encoder=encoder, read_only=read_only, engine=engine)
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
            self._check_there()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Neo4jGraphStore({self._connection.uri!r}, namespace={self.namespace!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._given

    def related(self, condition: str, relation: str) -> tuple[str, ...]:
        """Return the concepts that a condition has by a relation, those that most passages name first."""
        rows = self._read(_RELATED, condition=plain(resolve_condition(condition)), relation=relation.upper())
        return tuple(row["name"] for row in rows)

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about, in alphabetical order."""
        rows = self._read("MATCH (c:Condition) WHERE EXISTS { (c)<-[:ABOUT]-() } RETURN c.name AS name")
        return tuple(sorted(row["name"] for row in rows))

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
        return {keys[key]: known for key, known in self._held_by_id(documents).items()}

    def _write(self, documents: Sequence[Document], read: Mapping[int, list[PassageNode]]) -> Written:
        return self._in_transaction(lambda writing: writing.write(documents, read))

    def _writer(self, tx: ManagedTransaction) -> GraphWriting:
        return GraphWriting(tx, self._layout)

    def _forget_schema(self) -> None:
        self._prepared = False

    def _prepare(self, dimension: int | None = None) -> None:
        if not self._prepared:
            prepare_graph(self._connection, self._layout)
            self._prepared = True


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
