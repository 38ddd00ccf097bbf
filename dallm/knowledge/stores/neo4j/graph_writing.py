"""Writing a knowledge graph to Neo4j: documents whole or not at all, and the counts that go with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from dallm.knowledge.duplicates import Held
from dallm.knowledge.graph.model import (
    CONCEPT_KINDS,
    CONDITION,
    DocumentNode,
    Mention,
    PassageNode,
    topic_of,
)
from dallm.knowledge.graph.store import Key, planned
from dallm.knowledge.passage import Document
from dallm.knowledge.stores.base import Known, Written
from dallm.knowledge.stores.neo4j.graph_schema import LABEL_OF_KIND, GraphLayout
from dallm.knowledge.stores.neo4j.rows import (
    condition_token,
    document_id,
    passages_with,
    plain,
    source_token,
    token_count,
    tokens,
)
from dallm.knowledge.stores.neo4j.writing import HELD, NotPreparedError

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

_ROWS = 400  # passages sent at a time: a server with little memory takes them
_CLAUSES = 500  # the parser of full-text queries takes 1,024
_LONGEST_TOPIC = 200  # characters: no question names a title longer than that
_T = TypeVar("_T")

# the first statement of every transaction that writes: writers wait here for one another, readers do not
_LOCK = "MATCH (m:Meta {key: 'store'}) SET m.version = m.version + 1 RETURN m {.*} AS meta"
_DELETE = """
MATCH (d:Document)<-[:PART_OF]-(p:Passage) WHERE d.id IN $ids
WITH p, p {.head, .body, .filter, .conditions,
    mentions: [(p)-[:MENTIONS]->(x:Concept) | [x.kind, x.name]],
    named: [(p)-[:MENTIONS]->(c:Condition) | c.name]} AS row
DETACH DELETE p RETURN row
"""
_DELETE_DOCUMENTS = "MATCH (d:Document) WHERE d.id IN $ids DETACH DELETE d RETURN count(*) AS n"
_CREATE_DOCUMENTS = "UNWIND $rows AS row CREATE (d:Document) SET d = row"
_CREATE_PASSAGES = """
UNWIND $rows AS row
MATCH (d:Document {id: row.document})
CREATE (p:Passage)-[:PART_OF]->(d) SET p = row
"""
_CONDITIONS = "UNWIND $rows AS row MERGE (c:Condition {id: row.id}) ON CREATE SET c = row"
_CONCEPTS = "UNWIND $rows AS row MERGE (x:Concept {id: row.id}) ON CREATE SET x = row, x:%s"
_ABOUT = """
UNWIND $rows AS row
MATCH (p:Passage {id: row[0]})
UNWIND row[1] AS id
MATCH (c:Condition {id: id}) CREATE (p)-[:ABOUT]->(c)
"""
_MENTIONS = """
UNWIND $rows AS row
MATCH (p:Passage {id: row[0]})
UNWIND row[1] AS id
MATCH (x:%s {id: id}) CREATE (p)-[:MENTIONS]->(x)
"""
_RELATIONS = """
UNWIND $rows AS row
MATCH (c:Condition {id: row[0]}) MATCH (x:Concept {id: row[1]})
MERGE (c)-[r:%s]->(x)
ON CREATE SET r.passages = row[2] ON MATCH SET r.passages = r.passages + row[2]
WITH r WHERE r.passages <= 0 DELETE r
"""
_ORPHANS = "MATCH (x:%s) WHERE x.id IN $ids AND NOT EXISTS { (x)--() } DELETE x"
_COUNT_TERMS = """
UNWIND $rows AS row
MERGE (t:Term {id: row[0]})
ON CREATE SET t.passages = row[1] ON MATCH SET t.passages = t.passages + row[1]
"""
_DROP_TERMS = "MATCH (t:Term) WHERE t.id IN $ids AND t.passages <= 0 DETACH DELETE t"
_TOTALS = """
MATCH (m:Meta {key: 'store'})
SET m.documents = m.documents + $documents, m.passages = m.passages + $passages,
    m.head_terms = m.head_terms + $head_terms, m.body_terms = m.body_terms + $body_terms
"""
_ALIKE = """
CALL db.index.fulltext.queryNodes($index, $bands) YIELD node
WHERE node.source <> $source
RETURN DISTINCT node.sha256 AS sha256, node.source AS source, node.title AS title, node.section AS section,
    node.text AS text, node.conditions AS conditions, node.twin AS twin
"""


class GraphWriting:
    """One transaction that writes to the graph of a namespace; made anew for each.

    Parameters
    ----------
    tx : neo4j.ManagedTransaction
    layout : GraphLayout

    Raises
    ------
    NotPreparedError
        If nothing describes the namespace.
    """

    def __init__(self, tx: ManagedTransaction, layout: GraphLayout) -> None:
        self._tx = tx
        self._layout = layout
        rows = self._run(_LOCK)
        if not rows:
            raise NotPreparedError(f"The namespace {layout.namespace!r} is not prepared.")
        self._passages = int(rows[0]["meta"]["passages"])

    def write(self, documents: Sequence[Document], read: Mapping[int, list[PassageNode]]) -> Written:
        """Write the documents that differ from what is held, in place of that."""
        held = self._held(documents)
        nodes, written = planned(documents, read, held, self._resembling)
        if not nodes:  # another process wrote them meanwhile
            return written
        replaced = [_id(n) for n in nodes if (n.source, n.url) in held]
        stale = self._delete(replaced)
        rows = _passages(nodes)
        self._create(nodes, rows)
        self._count(nodes, rows, stale, documents=len(nodes) - len(replaced))
        return written

    def remove(self, ids: Sequence[str]) -> int:
        """Remove documents with their passages and return how many there were."""
        stale = self._delete(ids)
        self._count([], [], stale, documents=-self._gone)
        return self._gone

    def _run(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._tx.run(self._layout.cypher(statement), parameters).data()

    def _held(self, documents: Sequence[Document]) -> dict[Key, Known]:
        keys = {document_id(d.source, d.url): (d.source, d.url) for d in documents}
        rows = self._run(HELD, ids=list(keys))
        return {keys[row["id"]]: Known(row["sha256"], tuple(row["conditions"])) for row in rows}

    def _resembling(self, source: str, wanted: Sequence[int]) -> Iterator[Held]:
        """Yield the passages of other sources that have one of the bands."""
        rows = self._run("MATCH (t:Term {id: $id}) RETURN t.passages AS n", id=source_token(source))
        if self._passages == (rows[0]["n"] if rows else 0):  # there is no other source
            return
        for some in _chunks(wanted, _CLAUSES):
            query = f"bands:({' '.join(f'{band:08x}' for band in some)})"
            for row in self._run(_ALIKE, index=self._layout.index("terms"), bands=query, source=source):
                yield Held(**{**row, "conditions": tuple(row["conditions"])})

    def _delete(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Delete documents and return what their passages counted for."""
        self._gone = 0
        if not ids:
            return []
        stale = [row["row"] for row in self._run(_DELETE, ids=ids)]
        self._gone = int(self._run(_DELETE_DOCUMENTS, ids=ids)[0]["n"])
        return stale

    def _create(self, nodes: Sequence[DocumentNode], rows: Sequence[Mapping[str, Any]]) -> None:
        self._run(_CREATE_DOCUMENTS, rows=[_document(n) for n in nodes])
        for some in _chunks(rows, _ROWS):
            self._run(_CREATE_PASSAGES, rows=some)
        parts = [(row["id"], p) for row, p in zip(rows, (p for n in nodes for p in n.passages), strict=True)]
        self._name(parts)
        about = [(key, [_concept(CONDITION, c) for c in p.conditions]) for key, p in parts]
        for found in _chunks(about, _ROWS):
            self._run(_ABOUT, rows=found)
        for label, is_condition in (("Condition", True), ("Concept", False)):
            mentions = [
                (key, [_concept(*m) for m in p.mentions if (m.kind == CONDITION) == is_condition])
                for key, p in parts
            ]
            for found in _chunks([row for row in mentions if row[1]], _ROWS):
                self._run(_MENTIONS % label, rows=found)

    def _name(self, parts: Sequence[tuple[str, PassageNode]]) -> None:
        """Make the nodes of conditions and concepts that are not there yet."""
        named = dict.fromkeys(m for _, p in parts for m in p.mentions)
        named |= dict.fromkeys(Mention(CONDITION, c) for _, p in parts for c in p.conditions)
        conditions = [
            {"id": _concept(*m), "name": plain(m.name), "topic": _topic(m.name)}
            for m in named
            if m.kind == CONDITION
        ]
        self._run(_CONDITIONS, rows=conditions)
        for kind, label in LABEL_OF_KIND.items():
            rows = [
                {"id": _concept(*m), "name": plain(m.name), "kind": kind} for m in named if m.kind == kind
            ]
            if rows:
                self._run(_CONCEPTS % label, rows=rows)

    def _count(
        self,
        nodes: Sequence[DocumentNode],
        new: Sequence[Mapping[str, Any]],
        stale: Sequence[Mapping[str, Any]],
        *,
        documents: int,
    ) -> None:
        """Keep relations, terms and totals in step with the passages."""
        self._relate(nodes, stale)
        changes: Counter[str] = passages_with(new)
        changes.subtract(passages_with(stale))
        for rows in _chunks([[term, n] for term, n in changes.items() if n], 10 * _ROWS):
            self._run(_COUNT_TERMS, rows=rows)
        if fewer := [term for term, n in changes.items() if n < 0]:
            self._run(_DROP_TERMS, ids=fewer)
        totals = {
            f"{field}_terms": sum(token_count(row[field]) for row in new)
            - sum(token_count(row[field]) for row in stale)
            for field in ("head", "body")
        }
        self._run(_TOTALS, documents=documents, passages=len(new) - len(stale), **totals)

    def _relate(self, nodes: Sequence[DocumentNode], stale: Sequence[Mapping[str, Any]]) -> None:
        changes: Counter[tuple[str, Mention]] = Counter()
        for node in nodes:
            changes.update(node.relations())
        changes.subtract(
            (condition, Mention(*mention))
            for row in stale
            for condition in row["conditions"]
            for mention in row["mentions"]
        )
        for kind, relation in CONCEPT_KINDS.items():
            rows = [
                [_concept(CONDITION, condition), _concept(*mention), n]
                for (condition, mention), n in changes.items()
                if n and mention.kind == kind
            ]
            for some in _chunks(rows, 10 * _ROWS):
                self._run(_RELATIONS % relation.upper(), rows=some)
        if stale:
            concepts = {_concept(*m) for row in stale for m in row["mentions"]}
            conditions = {
                _concept(CONDITION, c) for row in stale for c in (*row["conditions"], *row["named"])
            }
            self._run(_ORPHANS % "Concept", ids=sorted(concepts))
            self._run(_ORPHANS % "Condition", ids=sorted(conditions))


def _document(node: DocumentNode) -> dict[str, Any]:
    return {
        "id": _id(node),
        "source": plain(node.source),
        "url": plain(node.url),
        "title": plain(node.title),
        "topic": _topic(node.title),
        "revision": node.revision,
        "licence": node.licence,
        "authors": list(node.authors),
        "retrieved_at": node.retrieved_at,
        "conditions": list(node.conditions),
        "notice": node.notice,
        "sha256": node.sha256,
        "passages": len(node.passages),
    }


def _passages(nodes: Sequence[DocumentNode]) -> list[dict[str, Any]]:
    return [_passage(n, p) for n in nodes for p in n.passages]


def _passage(node: DocumentNode, part: PassageNode) -> dict[str, Any]:
    shown = asdict(node.passage(part))
    row = {name: plain(value) if isinstance(value, str) else value for name, value in shown.items()}
    row |= {name: [plain(text) for text in row[name]] for name in ("authors", "conditions")}
    return row | {
        "id": f"{_id(node)}-{part.place}",
        "document": _id(node),
        "place": part.place,
        "head": tokens(f"{node.title} {part.section}"),
        "title_terms": token_count(tokens(node.title)),
        "body": tokens(part.text),
        "filter": " ".join([source_token(node.source), *map(condition_token, part.conditions)]),
        "bands": " ".join(f"{band:08x}" for band in part.bands),
        "headed": list(part.headed),
        # what its relations say, so that counting does not visit every concept
        "kinds": [mention.kind for mention in part.mentions if mention.kind in CONCEPT_KINDS],
        "twin": part.twin or None,
        "group": part.twin or part.sha256,
    }


def _id(node: DocumentNode) -> str:
    return document_id(node.source, node.url)


def _concept(kind: str, name: str) -> str:
    return plain(f"{kind}/{name}")


def _topic(name: str) -> str | None:
    topic = topic_of(name)
    return topic if 0 < len(topic) <= _LONGEST_TOPIC else None


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
