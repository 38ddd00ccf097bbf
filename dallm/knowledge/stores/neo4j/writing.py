"""Writing to a vector store in Neo4j: documents whole or not at all, and the statistics that go with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dallm.errors import DallmError
from dallm.knowledge.duplicates import Held, twins
from dallm.knowledge.passage import Document, Passage
from dallm.knowledge.stores.base import Known, Written, conditions_after, differs
from dallm.knowledge.stores.encoding import Signature, StoreEncoder
from dallm.knowledge.stores.neo4j.rows import (
    Prepared,
    document_id,
    document_row,
    numbers,
    packed,
    passages_with,
    source_token,
    tagged_row,
    token_count,
)
from dallm.knowledge.stores.neo4j.schema import Layout, signature_of

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

_ROWS = 400  # passages sent at a time: a server with little memory takes them
_CLAUSES = 500  # the parser of full-text queries takes 1,024
_T = TypeVar("_T")

# the first statement of every transaction that writes: writers wait here for one another, readers do not
_LOCK = """
MATCH (m:Meta {key: 'store'}) SET m.version = m.version + 1, m.made = coalesce(m.made, randomUUID())
RETURN m {.*} AS meta
"""
HELD = (
    "UNWIND $ids AS id MATCH (d:Document {id: id}) RETURN id, d.sha256 AS sha256, d.conditions AS conditions"
)
_DELETE = """
MATCH (d:Document)-[:DALLM_PASSAGE]->(p:Passage) WHERE d.id IN $ids
WITH p, p {.head, .body, .filter, vector: p.embedding IS NOT NULL OR coalesce(p.blank, false),
    fresh: p:Fresh} AS row
DETACH DELETE p RETURN row
"""
_DELETE_DOCUMENTS = "MATCH (d:Document) WHERE d.id IN $ids DETACH DELETE d RETURN count(*) AS n"
_CREATE_DOCUMENTS = "UNWIND $rows AS row CREATE (d:Document) SET d = row"
_CREATE_PASSAGES = """
UNWIND $rows AS row
MATCH (d:Document {id: row.document})
CREATE (d)-[:DALLM_PASSAGE]->(p:Passage) SET p = row
"""
_SET_VECTORS = """
UNWIND range(0, size($ids) - 1) AS i
MATCH (p:Passage {id: $ids[i]}) SET p:Fresh, p.packed = $packed[i]
WITH p, i
CALL db.create.setNodeVectorProperty(p, 'embedding', toFloatList(split($vectors[i], ' ')))
RETURN count(*) AS n
"""
_SET_BLANK = "MATCH (p:Passage) WHERE p.id IN $ids SET p.blank = true"
_COUNT_TERMS = """
WITH split($terms, ' ') AS terms, toIntegerList(split($counts, ' ')) AS counts
UNWIND range(0, size(terms) - 1) AS i
MERGE (t:Term {id: terms[i]})
ON CREATE SET t.passages = counts[i] ON MATCH SET t.passages = t.passages + counts[i]
"""
_DROP_TERMS = "MATCH (t:Term) WHERE t.id IN $ids AND t.passages <= 0 DETACH DELETE t"
_TOTALS = """
MATCH (m:Meta {key: 'store'})
SET m.documents = m.documents + $documents, m.passages = m.passages + $passages,
    m.vectors = m.vectors + $vectors, m.fresh = m.fresh + $fresh,
    m.head_terms = m.head_terms + $head_terms, m.body_terms = m.body_terms + $body_terms
"""
_COVER = """
MATCH (p:Fresh) WITH p LIMIT $count REMOVE p:Fresh SET p:Vector
WITH count(*) AS n
MATCH (m:Meta {key: 'store'}) SET m.fresh = m.fresh - n
RETURN n, m.fresh AS left
"""
_SIGN = "MATCH (m:Meta {key: 'store'}) SET m.encoder = $encoder, m.probe = $probe"
_ALIKE = """
CALL db.index.fulltext.queryNodes($index, $bands) YIELD node
WHERE node.source <> $source AND NOT node.document IN $replaced AND node.sha256 IS NOT NULL
RETURN DISTINCT node.sha256 AS sha256, node.source AS source, node.title AS title, node.section AS section,
    node.text AS text, node.conditions AS conditions, node.twin AS twin
"""
_WITHOUT_VECTOR = """
UNWIND $digests AS sha256
MATCH (p:Passage {sha256: sha256}) WHERE p.embedding IS NULL AND p.blank IS NULL
RETURN sha256, p.id AS id
"""


class NotPreparedError(DallmError):
    """Another process cleared the namespace meanwhile: its indexes have to be made again."""


@dataclass(frozen=True)
class Batch:
    """What is about to be written.

    Attributes
    ----------
    documents : sequence of Document
    pieces : sequence of sequence of Prepared
        The passages of each.
    vectors : mapping of str to array
        Unit vectors by the passage's digest, as far as there are any.
    encoded : int
        How many of the vectors were encoded for this batch.
    signature : Signature or None
        Of the encoder that encoded them.
    """

    documents: Sequence[Document]
    pieces: Sequence[Sequence[Prepared]]
    vectors: Mapping[str, NDArray[np.float32]]
    encoded: int = 0
    signature: Signature | None = None


class Writing:
    """One transaction on a namespace that writes; made anew for each.

    Parameters
    ----------
    tx : neo4j.ManagedTransaction
    layout : Layout
    encoder : StoreEncoder
        Its vectors are refused where another process wrote those of another encoder meanwhile.

    Raises
    ------
    NotPreparedError
        If nothing describes the namespace.
    """

    def __init__(self, tx: ManagedTransaction, layout: Layout, encoder: StoreEncoder) -> None:
        self._tx = tx
        self._layout = layout
        self._encoder = encoder
        rows = self._run(_LOCK)
        if not rows:
            raise NotPreparedError(f"The namespace {layout.namespace!r} is not prepared.")
        self._meta: Mapping[str, Any] = rows[0]["meta"]

    def write(self, batch: Batch) -> Written:
        """Write the documents that differ from what is held, in place of that."""
        held = self._held(batch.documents)
        todo = [
            (document, pieces, held.get(_id(document)))
            for document, pieces in zip(batch.documents, batch.pieces, strict=True)
        ]
        todo = [one for one in todo if differs(one[2], one[0])]
        unchanged = len(batch.documents) - len(todo)
        if not todo:  # another process wrote them meanwhile
            return Written(unchanged=unchanged)
        self._sign(batch.signature)
        documents, passages = self._rows(todo)
        gone, stale = self._delete([_id(document) for document, _, before in todo if before is not None])
        self._run(_CREATE_DOCUMENTS, rows=documents)
        for rows in _chunks(passages, _ROWS):
            self._run(_CREATE_PASSAGES, rows=rows)
        found = [(row["id"], batch.vectors.get(row["sha256"])) for row in passages]
        vectors = self._set_vectors([(key, vector) for key, vector in found if vector is not None])
        self._count(passages, stale, documents=len(documents) - gone, vectors=vectors)
        return Written(
            added=len(documents) - gone,
            updated=gone,
            unchanged=unchanged,
            passages=len(passages),
            embedded=batch.encoded,
            linked=sum(1 for row in passages if row["twin"]),
        )

    def remove(self, ids: Sequence[str]) -> int:
        """Remove documents with their passages and return how many there were."""
        gone, stale = self._delete(ids)
        self._count([], stale, documents=-gone)
        return gone

    def add_vectors(self, vectors: Mapping[str, NDArray[np.float32]], signature: Signature) -> None:
        """Give vectors to the passages that have none yet, by their digests."""
        self._sign(signature)
        rows = self._run(_WITHOUT_VECTOR, digests=list(vectors))
        count = self._set_vectors([(row["id"], vectors[row["sha256"]]) for row in rows])
        self._count([], [], vectors=count)

    def cover(self, most: int) -> bool:
        """Let the vector index cover passages that it does not yet; return whether there are more."""
        rows = self._run(_COVER, count=most)
        return bool(rows[0]["n"] and rows[0]["left"] > 0)

    def _run(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._tx.run(self._layout.cypher(statement), parameters).data()

    def _held(self, documents: Sequence[Document]) -> dict[str, Known]:
        rows = self._run(HELD, ids=[_id(d) for d in documents])
        return {row["id"]: Known(row["sha256"], tuple(row["conditions"])) for row in rows}

    def _sign(self, signature: Signature | None) -> None:
        """Keep whose vectors these are, or refuse them where others are held."""
        kept = signature_of(self._meta)
        if signature is None or kept == signature:
            return
        if kept is not None and self._meta["vectors"]:
            self._encoder.check(kept)
        else:
            self._run(_SIGN, encoder=signature.identity, probe=signature.probe)

    def _rows(
        self, todo: Sequence[tuple[Document, Sequence[Prepared], Known | None]]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the nodes to make: of documents, and of passages."""
        documents: list[dict[str, Any]] = []
        pieces: list[Prepared] = []
        tagged: list[Passage] = []
        for document, listed, held in todo:
            about = conditions_after(held, document)
            documents.append(document_row(document, about, len(listed)))
            pieces += listed
            tagged += [
                replace(p.passage, conditions=tuple(dict.fromkeys((*about, *p.passage.conditions))))
                for p in listed
            ]
        linked = self._twins(tagged, [p.bands for p in pieces], [row["id"] for row in documents])
        passages = [
            tagged_row(piece, passage.conditions, twin)
            for piece, passage, twin in zip(pieces, tagged, linked, strict=True)
        ]
        return documents, passages

    def _twins(
        self, passages: Sequence[Passage], bands: Sequence[tuple[int, ...]], replaced: Sequence[str]
    ) -> list[str | None]:
        """Return which passages nearly equal one of another source, of what is held and stays."""
        index = self._layout.index("terms")

        def held(source: str, wanted: Sequence[int]) -> Iterator[Held]:
            if self._passages_of(source) == self._meta["passages"]:  # there is no other source
                return
            for some in _chunks(wanted, _CLAUSES):
                query = f"bands:({' '.join(f'{band:08x}' for band in some)})"
                for row in self._run(_ALIKE, index=index, bands=query, source=source, replaced=replaced):
                    yield Held(**{**row, "conditions": tuple(row["conditions"])})

        return twins(passages, held, bands)

    def _passages_of(self, source: str) -> int:
        rows = self._run("MATCH (t:Term {id: $id}) RETURN t.passages AS n", id=source_token(source))
        return int(rows[0]["n"]) if rows else 0

    def _delete(self, ids: Sequence[str]) -> tuple[int, list[dict[str, Any]]]:
        """Delete documents; return how many there were, and what their passages counted for."""
        if not ids:
            return 0, []
        stale = [row["row"] for row in self._run(_DELETE, ids=ids)]
        return int(self._run(_DELETE_DOCUMENTS, ids=ids)[0]["n"]), stale

    def _set_vectors(self, vectors: Sequence[tuple[str, NDArray[np.float32]]]) -> tuple[int, int]:
        """Give passages their vectors, by their ids; return how many, and how many of them are not zero."""
        for some in _chunks([(key, vector) for key, vector in vectors if vector.any()], _ROWS):
            self._run(
                _SET_VECTORS,
                ids=[key for key, _ in some],
                vectors=[numbers(vector) for _, vector in some],
                packed=[packed(vector) for _, vector in some],
            )
        # an index of cosines takes no vector of length 0; the passage is found by its words
        if blank := [key for key, vector in vectors if not vector.any()]:
            self._run(_SET_BLANK, ids=blank)
        return len(vectors), len(vectors) - len(blank)

    def _count(
        self,
        new: Sequence[Mapping[str, Any]],
        stale: Sequence[Mapping[str, Any]],
        *,
        documents: int = 0,
        vectors: tuple[int, int] = (0, 0),
    ) -> None:
        """Keep the statistics that a search needs in step with the passages."""
        changes: Counter[str] = passages_with(new)
        changes.subtract(passages_with(stale))
        changed = [(term, str(count)) for term, count in changes.items() if count]
        for some in _chunks(changed, 10 * _ROWS):
            terms, counts = (" ".join(column) for column in zip(*some, strict=True))
            self._run(_COUNT_TERMS, terms=terms, counts=counts)
        if fewer := [term for term, count in changes.items() if count < 0]:
            self._run(_DROP_TERMS, ids=fewer)
        totals = {
            f"{field}_terms": sum(token_count(row[field]) for row in new)
            - sum(token_count(row[field]) for row in stale)
            for field in ("head", "body")
        }
        self._run(
            _TOTALS,
            documents=documents,
            passages=len(new) - len(stale),
            vectors=vectors[0] - sum(1 for row in stale if row["vector"]),
            fresh=vectors[1] - sum(1 for row in stale if row["fresh"]),
            **totals,
        )


def _id(document: Document) -> str:
    return document_id(document.source, document.url)


def _chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
