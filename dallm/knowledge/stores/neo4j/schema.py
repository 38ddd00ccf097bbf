"""How a vector store lies in a Neo4j database: its labels and indexes, and the node that describes it.

Everything carries the namespace in its name: ``Dallm_<namespace>_Passage`` and so on for labels,
``dallm_<namespace>_vector`` and so on for indexes. Whatever else the database holds is neither read nor
changed.

The vector index is made of one part per transaction that wrote to it, and a search looks through every part.
So a passage with a new vector is labelled ``Fresh`` first, where searches compare it one by one; thousands of
them become ``Vector``, which the index covers, in one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from dallm.errors import StoreError, UserError
from dallm.knowledge.stores.encoding import Signature
from dallm.knowledge.stores.neo4j.connection import Connection

FORMAT = 1
_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_KINDS = ("Passage", "Document", "Term", "Meta")
_LABEL = re.compile(rf":({'|'.join((*_KINDS, 'Vector', 'Fresh'))})\b")
_POPULATED_S = 600
_RACES = 10


@dataclass(frozen=True)
class Layout:
    """The names that one namespace uses in a database.

    Parameters
    ----------
    namespace : str
        Letters, digits and underscores, the first a letter; 60 characters at most.

    Raises
    ------
    UserError
        If the namespace is no such name.

    Examples
    --------
    >>> layout = Layout("chest")
    >>> layout.label("Passage"), layout.index("vector")
    ('Dallm_chest_Passage', 'dallm_chest_vector')
    >>> layout.cypher("MATCH (p:Passage) RETURN count(p) AS n")
    'MATCH (p:`Dallm_chest_Passage`) RETURN count(p) AS n'
    """

    namespace: str

    def __post_init__(self) -> None:
        if not isinstance(self.namespace, str) or not _NAMESPACE.fullmatch(self.namespace):
            raise UserError(
                f"namespace={self.namespace!r} is no name: it takes letters, digits and underscores, begins "
                "with a letter and has 60 characters at most, for example 'chest'."
            )

    def label(self, kind: str) -> str:
        """Return the label of a kind of node: Passage (also Vector, or Fresh), Document, Term or Meta."""
        return f"Dallm_{self.namespace}_{kind}"

    def index(self, kind: str) -> str:
        """Return the name of an index or a constraint."""
        return f"dallm_{self.namespace}_{kind}"

    def cypher(self, statement: str) -> str:
        """Return a statement with its plain labels (``:Passage``) replaced by those of the namespace."""
        return _named(self.namespace, statement)

    @property
    def wanted(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """Kind, label and properties of every index, by its name; constraints have one each."""
        passage, document = self.label("Passage"), self.label("Document")
        return {
            self.index("vector"): ("VECTOR", self.label("Vector"), ("embedding",)),
            self.index("keyword"): ("FULLTEXT", self.label("Vector"), ("text",)),
            self.index("terms"): ("FULLTEXT", passage, ("head", "body", "filter", "bands")),
            self.index("passage_id"): ("RANGE", passage, ("id",)),
            self.index("passage_sha256"): ("RANGE", passage, ("sha256",)),
            self.index("passage_group"): ("RANGE", passage, ("group",)),
            self.index("document_id"): ("RANGE", document, ("id",)),
            self.index("document_source"): ("RANGE", document, ("source",)),
            self.index("term_id"): ("RANGE", self.label("Term"), ("id",)),
            self.index("meta_key"): ("RANGE", self.label("Meta"), ("key",)),
        }


@cache
def _named(namespace: str, statement: str) -> str:
    return _LABEL.sub(rf":`Dallm_{namespace}_\1`", statement)


class Stamp(NamedTuple):
    """What tells two states of a store apart: it changes with every transaction that writes passages.

    Attributes
    ----------
    version : int
        Transactions since the namespace was made.
    made : str or None
        Given once to each store that is made under the same name; None before anything was written.
    """

    version: int
    made: str | None


class State(NamedTuple):
    """What a search has to know of a namespace.

    Attributes
    ----------
    documents, passages, vectors : int
        How many there are; a passage whose vector is all zero counts as one with a vector.
    head_terms, body_terms : int
        Terms of all passages' titles with headings, and of their texts.
    signature : Signature or None
        Of the encoder that made the vectors.
    counts : mapping of str to int
        In how many passages a term stands, of those asked for.
    fresh : int
        Passages with a vector that the index does not cover yet.
    stamp : Stamp
        Of the moment in which this was read.
    """

    documents: int
    passages: int
    vectors: int
    head_terms: int
    body_terms: int
    signature: Signature | None
    counts: Mapping[str, int]
    fresh: int = 0
    stamp: Stamp = Stamp(0, None)

    def most(self, tokens: Iterable[str]) -> int:
        """Return how many passages can have all of these terms at most."""
        return min((self.counts.get(token, 0) for token in tokens), default=self.passages)


_STATE = """
MATCH (m:Meta {key: 'store'})
OPTIONAL MATCH (t:Term) WHERE t.id IN $tokens
RETURN m {.*} AS meta, collect(t.id) AS terms, collect(t.passages) AS counts
"""


def read_state(connection: Connection, layout: Layout, tokens: Iterable[str] = ()) -> State | None:
    """Return the state of a namespace, or None where nothing was written to it yet.

    Raises
    ------
    StoreError
        If a later version of dallm made it.
    """
    rows = connection.read(layout.cypher(_STATE), tokens=list(tokens))
    if not rows:
        return None
    meta = rows[0]["meta"]
    check_format(meta, layout, connection)
    return State(
        documents=meta["documents"],
        passages=meta["passages"],
        vectors=meta["vectors"],
        head_terms=meta["head_terms"],
        body_terms=meta["body_terms"],
        signature=signature_of(meta),
        counts=dict(zip(rows[0]["terms"], rows[0]["counts"], strict=True)),
        fresh=meta["fresh"],
        stamp=Stamp(meta["version"], meta.get("made")),
    )


def signature_of(meta: Mapping[str, Any]) -> Signature | None:
    """Return the encoder's signature that the describing node holds."""
    return Signature(meta["encoder"], meta["probe"]) if meta.get("encoder") else None


def check_format(meta: Mapping[str, Any], layout: Layout, connection: Connection) -> None:
    """Refuse what a later version made."""
    if meta.get("format") != FORMAT:
        raise StoreError(
            f"{place(connection, layout)} has format {meta.get('format')}, this version of dallm reads "
            f"{FORMAT}; update dallm (pip install -U dallm), or ingest into another namespace=."
        )


def place(connection: Connection, layout: Layout) -> str:
    """Return what a store is called in messages."""
    return f"The namespace {layout.namespace!r} of {connection.uri} (database {connection.database!r})"


_INDEXES = """
SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, options, state
WHERE name IN $names RETURN name, type, entityType, labelsOrTypes, properties, options, state
"""


class Index(NamedTuple):
    """An index that is there: whether it can be used already, and the length of its vectors if it has any."""

    online: bool
    dimension: int | None


def check_indexes(connection: Connection, layout: Layout) -> dict[str, Index]:
    """Return the indexes that are there by name, having checked that they are ours.

    Raises
    ------
    StoreError
        If an index of another's has a name that is ours, or one of ours cannot be used.
    """
    wanted = layout.wanted
    found: dict[str, Index] = {}
    for row in connection.read(_INDEXES, names=list(wanted)):
        kind, label, properties = wanted[row["name"]]
        theirs = (row["type"], row["entityType"], row["labelsOrTypes"], row["properties"])
        if theirs != (kind, "NODE", [label], list(properties)):
            raise StoreError(
                f"{place(connection, layout)} cannot be used: the database has another program's index "
                f"{row['name']!r}, on {row['labelsOrTypes']} {row['properties']}. Choose another namespace=."
            )
        if row["state"] == "FAILED":
            raise StoreError(
                f"{place(connection, layout)}: the server could not build its index {row['name']!r}. Drop it "
                f"(DROP INDEX {row['name']}) and open the store again; see the server's log for the cause."
            )
        found[row["name"]] = Index(
            row["state"] == "ONLINE", row["options"].get("indexConfig", {}).get("vector.dimensions")
        )
    return found


def prepare(connection: Connection, layout: Layout, dimension: int | None) -> None:
    """Make the indexes and the describing node where they are missing.

    Parameters
    ----------
    dimension : int or None
        Length of the vectors; None makes no vector index.

    Raises
    ------
    StoreError
        If the names are taken by what is not ours.
    """
    state = read_state(connection, layout)
    if state is None:
        _refuse_foreign_nodes(connection, layout)
    for tries_left in reversed(range(_RACES)):
        waiting, statements = _missing(connection, layout, dimension, state)
        try:
            _in_one_transaction(connection, statements)
            break
        except StoreError as error:  # another process made one of them in the same moment
            if not tries_left or not _made_meanwhile(error):
                raise
    for name in waiting:
        connection.read("CALL db.awaitIndex($name, $seconds)", name=name, seconds=_POPULATED_S)
    check_indexes(connection, layout)
    connection.write(
        layout.cypher(
            "MERGE (m:Meta {key: 'store'}) ON CREATE SET m.format = $format, m.kind = 'neo4j_vector', "
            "m.version = 0, m.documents = 0, m.passages = 0, m.vectors = 0, m.fresh = 0, "
            "m.head_terms = 0, m.body_terms = 0"
        ),
        format=FORMAT,
    )


def drop(connection: Connection, layout: Layout) -> None:
    """Remove the indexes and constraints of a namespace, and then the describing nodes."""
    check_indexes(connection, layout)
    dropped = [_removal(name, *index) for name, index in layout.wanted.items()]
    _in_one_transaction(connection, dropped)
    connection.write(layout.cypher("MATCH (m:Meta) DETACH DELETE m"))


def _missing(
    connection: Connection, layout: Layout, dimension: int | None, state: State | None
) -> tuple[list[str], list[str]]:
    """Return the names of the indexes to wait for, and the statements that make what is missing."""
    there = check_indexes(connection, layout)
    waiting = [name for name, index in there.items() if not index.online]
    statements = []
    for name, (kind, label, properties) in layout.wanted.items():
        if kind == "VECTOR" and dimension is None:
            continue
        held = there.get(name)
        if held is not None and kind == "VECTOR" and held.dimension != dimension:
            if state is not None and state.vectors:
                raise StoreError(
                    f"{place(connection, layout)} has an index for vectors of {held.dimension} dimensions, "
                    f"and the encoder gives {dimension}. Ingest into another namespace=, or clear() this one "
                    "first."
                )
            # left by an encoder whose vectors are gone
            statements.append(_removal(name, kind, label, properties))
        elif held is not None:
            continue
        statements.append(_creation(name, kind, label, properties, dimension))
        waiting.append(name)
    return waiting, statements


def _in_one_transaction(connection: Connection, statements: list[str]) -> None:
    if statements:
        connection.in_transaction(lambda tx: [tx.run(one).consume() for one in statements])


def _made_meanwhile(error: StoreError) -> bool:
    return str(getattr(error.__cause__, "code", "")).endswith("EquivalentSchemaRuleAlreadyExists")


def _removal(name: str, kind: str, label: str, properties: tuple[str, ...]) -> str:
    return f"DROP {'CONSTRAINT' if _unique(kind, label, properties) else 'INDEX'} `{name}` IF EXISTS"


def _unique(kind: str, label: str, properties: tuple[str, ...]) -> bool:
    return kind == "RANGE" and properties[0] in ("id", "key")


def _creation(name: str, kind: str, label: str, properties: tuple[str, ...], dimension: int | None) -> str:
    if _unique(kind, label, properties):
        return (
            f"CREATE CONSTRAINT `{name}` IF NOT EXISTS FOR (n:`{label}`) REQUIRE n.{properties[0]} IS UNIQUE"
        )
    if kind == "VECTOR":
        # as langchain-neo4j makes it, so that what reads its indexes reads ours
        return (
            f"CREATE VECTOR INDEX `{name}` IF NOT EXISTS FOR (n:`{label}`) ON n.`{properties[0]}` OPTIONS "
            f"{{ indexConfig: {{ `vector.dimensions`: {dimension}, "
            "`vector.similarity_function`: 'cosine' } }"
        )
    if kind == "FULLTEXT":
        analyzer = "whitespace" if "filter" in properties else "english"
        listed = ", ".join(f"n.`{one}`" for one in properties)
        return (
            f"CREATE FULLTEXT INDEX `{name}` IF NOT EXISTS FOR (n:`{label}`) ON EACH [{listed}] OPTIONS "
            f"{{ indexConfig: {{ `fulltext.analyzer`: '{analyzer}' }} }}"
        )
    return f"CREATE INDEX `{name}` IF NOT EXISTS FOR (n:`{label}`) ON (n.`{properties[0]}`)"


def _refuse_foreign_nodes(connection: Connection, layout: Layout) -> None:
    for kind in _KINDS:
        count = connection.read(layout.cypher(f"MATCH (n:{kind}) RETURN count(n) AS n"))[0]["n"]
        if count:
            raise StoreError(
                f"{place(connection, layout)} cannot be used: the database holds {count} nodes with the "
                f"label {layout.label(kind)!r} and no store of dallm's. Choose another namespace=."
            )
