"""The knowledge store in a Neo4j database: a vector index and a full-text index over the same passages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dallm.errors import StoreError
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.encoder import Encoder, TextEncoder, make_encoder
from dallm.knowledge.passage import Document, Hit
from dallm.knowledge.ranking import Question, check_arm
from dallm.knowledge.stores.base import Written, differs
from dallm.knowledge.stores.common import check_question, one_source
from dallm.knowledge.stores.encoding import Signature, StoreEncoder, texts_to_encode
from dallm.knowledge.stores.neo4j.behind import Behind
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.kept import Keeper
from dallm.knowledge.stores.neo4j.namespace import SHOWN_AS_NODE, NamespaceStore
from dallm.knowledge.stores.neo4j.rows import document_id, passage_of, plain, prepared, unpacked
from dallm.knowledge.stores.neo4j.schema import (
    Layout,
    check_indexes,
    prepare,
    read_state,
)
from dallm.knowledge.stores.neo4j.scoring import Asked
from dallm.knowledge.stores.neo4j.searching import Search
from dallm.knowledge.stores.neo4j.writing import Batch, Writing
from dallm.knowledge.stores.questions import QuestionVectors

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

_ENCODE_BATCH = 512
_REMOVE_BATCH = 100
_READ_BATCH = 50
_PART_CHARACTERS = 100_000  # written while the next ones are encoded: a second or two of encoding
_COVER = 3_000  # passages that the vector index takes at a time, and waits for
_T = TypeVar("_T")

_VECTORS = """
MATCH (p:Passage) WHERE p.sha256 IN $digests AND (p.packed IS NOT NULL OR p.blank)
WITH p.sha256 AS sha256, collect(coalesce(p.packed, ''))[0] AS vector
RETURN collect(sha256) AS digests, collect(vector) AS vectors
"""
_MISSING = f"""
MATCH (p:Passage) WHERE p.embedding IS NULL AND p.blank IS NULL AND p.sha256 IS NOT NULL
WITH p.sha256 AS sha256, collect(p)[0] AS p LIMIT $count
RETURN {SHOWN_AS_NODE}
"""


class Neo4jVectorStore(NamespaceStore[Writing]):
    """A knowledge store in a Neo4j database; open it with :func:`dallm.open_store`.

    Several stores share a database, each in a namespace with labels and indexes of its own; nothing else in
    it is read, changed or removed. Opening a store writes nothing: a namespace is made by the first write.
    Several processes may use one at once: writers wait for one another, readers see whole documents only.

    A store is pickled without its password; it is opened again with ``NEO4J_PASSWORD``.

    Parameters
    ----------
    uri : str, optional
        Address such as ``neo4j://localhost:7687``; ``NEO4J_URI`` where left out.
    namespace : str, default="dallm"
        Letters, digits and underscores.
    encoder : "auto", path, Encoder or None
        See :func:`dallm.knowledge.encoder.make_encoder`.
    user, password, database : str, optional
        ``NEO4J_USERNAME``, ``NEO4J_PASSWORD`` and ``NEO4J_DATABASE`` where left out.
    read_only : bool, default=False
        Refuse to write; the namespace must exist.

    Raises
    ------
    StoreError
        If the database cannot be reached or used, the namespace's names are taken by another program, it was
        made with another encoder or by a later version of dallm, or is read only and missing.
    UserError
        If `namespace` is no name.
    """

    kind = "neo4j_vector"
    _passages_of = "(d:Document)-[:DALLM_PASSAGE]->(p:Passage)"
    _left_over = ("Term",)

    def __init__(
        self,
        uri: str | None = None,
        *,
        namespace: str = "dallm",
        encoder: str | os.PathLike[str] | Encoder | TextEncoder | None = "auto",
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        read_only: bool = False,
    ) -> None:
        self.namespace = namespace
        self.read_only = read_only
        self._layout = Layout(namespace)
        self._given = (uri, namespace, encoder, user, database, read_only)
        text_encoder = make_encoder(encoder)
        self._connection = Connection(
            uri, user=user, password=password, database=database, read_only=read_only
        )
        self.endpoint = self._connection.uri
        self._lock = threading.RLock()
        self._prepared: int | None = None
        self._encoder = StoreEncoder(
            text_encoder, place=self._place, kept=self._signature, elsewhere="another namespace="
        )
        self._questions = QuestionVectors(self._encoder)
        self._keeper = Keeper(self._connection, self._layout)
        try:
            self._check_opening()
        except BaseException:
            self.close()
            raise

    @property
    def has_dense(self) -> bool:
        """Whether searches use the encoder besides words: there is one, and passages have been encoded."""
        state = self._state() if self._encoder.given else None
        return state is not None and state.vectors > 0

    def __repr__(self) -> str:
        mode = "lexical and dense retrieval" if self._encoder.given else "lexical retrieval only"
        return f"Neo4jVectorStore({self._connection.uri!r}, namespace={self.namespace!r}: {mode})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._given

    def search(
        self,
        query: str,
        k: int = 4,
        condition: str | None = None,
        source: str | None = None,
        *,
        arm: str = "fused",
    ) -> list[Hit]:
        """Return the passages that answer a question best.

        Candidates come from the vector index and from the full-text index; where a filter leaves few
        passages, all of them are. They are scored as in a local store: by their exact cosine, and by BM25
        over the whole namespace.

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
        arm : {"fused", "lexical", "dense"}, default="fused"
            What the scores are made of: all signals, shared words alone, or likeness in meaning alone.

        Returns
        -------
        list of Hit
            The best first; empty where the store holds nothing of the condition. Without a condition and
            without an encoder only passages that share a word with the question are hits. What several
            sources say nearly alike is one hit, with the others in its ``also``.
            Scores run from about 0 to 1.

        Raises
        ------
        UserError
            If the query is no text, `k` is no positive number, no source has that name, or the arm is none
            or needs an encoder that is not there.
        StoreError
            If the server does not answer.
        """
        check_question(query, k)
        asked = Asked(
            Question.of(query),
            k,
            plain(resolve_condition(condition)) if condition is not None else None,
            one_source(source, self.sources()) if source is not None else None,
            arm,
        )
        if (hits := self._hits_of_kept(asked)) is not None:
            return hits
        wanted = (*asked.terms, *asked.told, *asked.filters)
        state = read_state(self._connection, self._layout, wanted)
        has_dense = self._encoder.given and state is not None and state.vectors > 0
        check_arm(arm, has_dense=has_dense)
        if state is None or not query.strip():
            return []
        vector = self._question_vector(asked) if has_dense else None
        try:
            hits = Search(self._connection, self._layout, asked, state, vector).hits()
            self._keeper.searched(state)
        except StoreError:
            if self._state() is None:  # another process cleared it in this moment
                return []
            raise
        return hits

    def _hits_of_kept(self, asked: Asked) -> list[Hit] | None:
        """Answer from what this process keeps of the store; None where that cannot be."""
        columns = self._keeper.columns
        if columns is None or not asked.question.text.strip():
            return None
        has_dense = self._encoder.given and columns.has_dense
        if asked.arm not in ("fused", "lexical") and not has_dense:
            return None
        return self._keeper.hits(asked, columns, self._question_vector(asked) if has_dense else None)

    def _question_vector(self, asked: Asked) -> NDArray[np.float32] | None:
        if asked.arm == "lexical":
            return None
        with self._lock:  # an encoder need not stand several threads
            return self._questions.of(asked.question, asked.arm)

    def prepare(self, queries: Sequence[str]) -> None:
        """Encode questions in one batch for the searches that follow; nothing is done without vectors."""
        if self.has_dense:
            with self._lock:
                self._questions.prepare(queries)

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about, in alphabetical order."""
        rows = self._read("MATCH (p:Passage) UNWIND p.conditions AS name RETURN DISTINCT name")
        return tuple(sorted(row["name"] for row in rows))

    def write(self, documents: Sequence[Document]) -> Written:
        """Write documents whole or not at all; one that is held already, unchanged, is not written again.

        Where there is much to encode, some documents are written while the next ones are encoded.

        Raises
        ------
        StoreError
            If the store is read only or cannot be written.
        """
        self._writable()
        held = self._held_by_id(documents)
        changed = [d for d in documents if differs(held.get(document_id(d.source, d.url)), d)]
        unchanged = Written(unchanged=len(documents) - len(changed))
        if not changed:
            return unchanged
        behind: Behind[Written] = Behind()
        vectors: dict[str, NDArray[np.float32]] = {}
        try:
            for some in _parts(changed) if self._encoder.given else [changed]:
                batch = self._batch(some, vectors)
                vectors.update(batch.vectors)
                behind.start(partial(self._write, batch))
        except Exception:
            behind.settle()
            raise
        behind.wait()
        return sum(behind.results, unchanged)

    def _write(self, batch: Batch) -> Written:
        """Write documents in one transaction."""
        dimension = batch.signature.dimension if batch.signature else None
        written = self._in_transaction(lambda writing: writing.write(batch), dimension)
        state = self._state()
        if state is not None and state.fresh >= _COVER:
            self._cover()
        return written

    def embed_missing(self) -> int:
        """Encode the passages that have no vector yet and return how many; 0 without an encoder.

        An ingest ends with it: what was written since is put into the vector index here, in one piece.
        """
        self._writable()
        state, total = self._state(), 0
        missing = self._encoder.given and state is not None and state.vectors < state.passages
        while missing and (rows := self._read(_MISSING, count=_ENCODE_BATCH)):
            texts = texts_to_encode([passage_of(row["node"]) for row in rows], set())
            vectors = dict(zip(texts, self._encoded(list(texts.values())), strict=True))
            signature = self._encoder.signature()
            self._in_transaction(partial(_add_vectors, vectors, signature), signature.dimension)
            total += len(vectors)
        if total or (state is not None and state.fresh):
            self._cover()
        return total

    def _signature(self) -> Signature | None:
        state = self._state()
        return state.signature if state is not None and state.vectors else None

    def _check_opening(self) -> None:
        check_indexes(self._connection, self._layout)
        self._check_there()
        self._encoder.check_identity()

    def _encoded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._lock:
            return self._encoder.encode(texts)

    def _batch(self, documents: Sequence[Document], given: Mapping[str, NDArray[np.float32]]) -> Batch:
        """Cut and encode, before the transaction, so that nobody waits for the encoder.

        Vectors of the texts in `given` are taken from there.
        """
        pieces = prepared(documents)
        passages = [piece.passage for listed in pieces for piece in listed]
        digests = {p.sha256 for p in passages}
        vectors = {digest: given[digest] for digest in digests & given.keys()}
        vectors |= self._vectors_held(digests - given.keys())
        if not self._encoder.given:
            return Batch(documents, pieces, vectors)
        texts = texts_to_encode(passages, set(vectors))
        if not texts:
            return Batch(documents, pieces, vectors)
        new: Mapping[str, NDArray[np.float32]] = dict(
            zip(texts, self._encoded(list(texts.values())), strict=True)
        )
        return Batch(documents, pieces, {**vectors, **new}, len(new), self._encoder.signature())

    def _vectors_held(self, digests: set[str]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors of texts that are held already, in another document or place."""
        signature = self._signature()
        if signature is None:
            return {}
        row = self._read(_VECTORS, digests=list(digests))[0]
        return dict(zip(row["digests"], unpacked(row["vectors"], signature.dimension), strict=True))

    def _cover(self) -> None:
        """Let the vector index cover what was written since it last did."""
        while self._in_transaction(lambda writing: writing.cover(_COVER)):
            pass

    def _writer(self, tx: ManagedTransaction) -> Writing:
        return Writing(tx, self._layout, self._encoder)

    def _forget_schema(self) -> None:
        self._prepared = None

    def _prepare(self, dimension: int | None = None) -> None:
        """Make what is missing, once: `dimension` tells of the vector index, 0 that there is none yet."""
        if self._prepared is None or (dimension is not None and self._prepared != dimension):
            prepare(self._connection, self._layout, dimension)
            self._prepared = dimension or 0


def _parts(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Yield documents in parts of about the same length."""
    part: list[Document] = []
    size = 0
    for document in documents:
        part.append(document)
        size += sum(len(section.text) for section in document.sections)
        if size >= _PART_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _add_vectors(vectors: Mapping[str, NDArray[np.float32]], signature: Signature, writing: Writing) -> None:
    writing.add_vectors(vectors, signature)


def _reopen(
    uri: str | None,
    namespace: str,
    encoder: Any,
    user: str | None,
    database: str | None,
    read_only: bool,
) -> Neo4jVectorStore:
    return Neo4jVectorStore(
        uri, namespace=namespace, encoder=encoder, user=user, database=database, read_only=read_only
    )
