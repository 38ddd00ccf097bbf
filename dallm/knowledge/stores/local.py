"""The embedded knowledge store: one folder on disk, searched in memory."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.errors import StoreError
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.duplicates import collapsed
from dallm.knowledge.encoder import Encoder, make_encoder
from dallm.knowledge.passage import Document, Hit, Passage
from dallm.knowledge.ranking import Question, check_arm
from dallm.knowledge.stores import index, rows, vectors
from dallm.knowledge.stores.base import MANIFEST_COLUMNS, Known, Written, conditions_after, differs
from dallm.knowledge.stores.common import StoreHandle, check_question, one_source
from dallm.knowledge.stores.database import FILE, connect, transaction
from dallm.knowledge.stores.encoding import Signature, StoreEncoder
from dallm.knowledge.stores.questions import QuestionVectors

if TYPE_CHECKING:
    import pandas as pd

_ENCODE_BATCH = 512


class LocalStore(StoreHandle):
    """A knowledge store in one folder, without a server; open it with :func:`dallm.open_store`.

    Several processes may use it at once: writers wait for each other, readers see whole documents only. A
    process that is killed leaves the store as its last finished batch made it, and the same ingest goes on.

    Parameters
    ----------
    path : path
        The folder; made where it is missing.
    encoder : "auto", path, Encoder or None
        See :func:`dallm.knowledge.encoder.make_encoder`.
    read_only : bool, default=False
        Refuse to write, and open a store that cannot be written to.
    """

    kind = "local"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encoder: str | os.PathLike[str] | Encoder | None = "auto",
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._encoder_given = encoder
        self._encoder = StoreEncoder(
            make_encoder(encoder), place=f"The store {str(self.path)!r}", kept=self._signature
        )
        self._questions = QuestionVectors(self._encoder)
        self._lock = threading.RLock()
        self._index: index.SearchIndex | None = None
        self._closed = False
        self._db = connect(self.path, read_only=read_only)
        try:
            self._encoder.check_identity()
        except BaseException:
            self.close()
            raise

    @property
    def has_dense(self) -> bool:
        """Whether searches use the encoder besides words: there is one, and passages have been encoded."""
        return self._encoder.given and bool(self._query("select exists (select 1 from vectors)")[0][0])

    def __repr__(self) -> str:
        if self._closed:
            return f"LocalStore({str(self.path)!r}, closed)"
        documents, passages = self._count("documents"), self._count("passages")
        mode = "lexical and dense retrieval" if self.has_dense else "lexical retrieval only"
        return f"LocalStore({str(self.path)!r}: {documents} documents, {passages} passages, {mode})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.path), self._encoder_given, self.read_only)

    def close(self) -> None:
        """Release the store; it cannot be used afterwards."""
        with self._lock:
            self._closed = True
            self._index = None
            self._db.close()

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
        """
        check_question(query, k)
        wanted = resolve_condition(condition) if condition is not None else None
        has_dense = self.has_dense
        check_arm(arm, has_dense=has_dense)
        question = Question.of(query)
        # encoded before the store is held: nobody waits for the encoder
        asked = has_dense and arm != "lexical" and bool(query.strip())
        vector = self._questions.of(question, arm) if asked else None
        with self._lock, self._reading():
            found = self._current_index(dense=vector is not None)
            among = found.rows(wanted, one_source(source, self.sources()) if source is not None else None)
            if not len(among) or not query.strip():
                return []
            # words alone, and nothing else asked for: passages without any of them are no answer
            bare = vector is None and condition is None
            wider = k
            while True:
                best = found.best(question, vector, among, wider, arm=arm, sharing_a_word=bare)
                hits = self._hits(found, best, among)[:k]
                if len(hits) == k or len(best) < wider:
                    return hits
                wider *= 2

    def prepare(self, queries: Sequence[str]) -> None:
        """Encode questions in one batch for the searches that follow; nothing is done without vectors."""
        if self.has_dense:
            self._questions.prepare(queries)

    def manifest(self) -> pd.DataFrame:
        """Return one row per document: where it comes from, under which licence, what it is about."""
        import pandas as pd

        self._open()
        with self._lock, self._told():
            return pd.DataFrame(rows.manifest(self._db), columns=list(MANIFEST_COLUMNS))

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about, in alphabetical order."""
        self._open()
        with self._lock, self._told():
            return tuple(sorted(rows.conditions(self._db)))

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Yield every passage, or those about one condition, in the order of sources, urls and places.

        They are those of one state of the store, whatever is written while they are read.
        """
        wanted = resolve_condition(condition) if condition is not None else None
        self._open()
        return self._streamed(wanted)

    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources that the store holds documents of."""
        return tuple(row[0] for row in self._query("select distinct source from documents order by source"))

    def known(self, source: str) -> dict[str, Known]:
        """Return what is held of a source, by url."""
        rows = self._query("select url, sha256, conditions from documents where source = ?", (source,))
        return {url: Known(sha256, tuple(json.loads(conditions))) for url, sha256, conditions in rows}

    def write(self, documents: Sequence[Document]) -> Written:
        """Write documents in one transaction; one that is held already, unchanged, is not written again.

        Raises
        ------
        StoreError
            If the store is read only or cannot be written.
        """
        self._writable()
        changed = [d for d in documents if differs(self._held(d), d)]
        written = Written(unchanged=len(documents) - len(changed))
        if not changed:
            return written
        # all that takes time before the transaction, so that nobody waits for it
        pieces = rows.prepare(changed)
        made = self._encoded([piece.passage for own in pieces for piece in own])
        with self._lock, transaction(self._db, self.path):
            gone: set[str] = set()
            for document, own in zip(changed, pieces, strict=True):
                one, replaced = self._write_one(document, own)
                written += one
                gone |= replaced
            new = vectors.write(self._db, self._encoder, made)
            vectors.drop(self._db, gone)
        return written + Written(embedded=new)

    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Remove documents with their passages and return how many there were."""
        self._writable()
        with self._lock, transaction(self._db, self.path):
            taken = [rows.delete(self._db, source, url) for url in urls]
            vectors.drop(self._db, set().union(*(digests for _, digests in taken)))
        return sum(count for count, _ in taken)

    def clear(self) -> int:
        """Remove every document and return how many there were."""
        self._writable()
        with self._lock, transaction(self._db, self.path):
            count = self._db.execute("delete from documents").rowcount
            self._db.execute("delete from bands")
            self._db.execute("delete from vectors")
        return count

    def embed_missing(self) -> int:
        """Encode the passages that have no vector yet and return how many; 0 without an encoder.

        A large store is also made ready to be searched at once by whoever opens it next.
        """
        self._writable()
        total = 0
        while self._encoder.given:
            with self._lock, self._told():
                ids = vectors.without(self._db, _ENCODE_BATCH)
                found = [passage for passage, _ in rows.fetch(self._db, ids)]
            if not found:
                break
            made = self._encoded(found)
            with self._lock, transaction(self._db, self.path):
                total += vectors.write(self._db, self._encoder, made)
        self._keep_index()
        return total

    def origin(self, source: str) -> str | None:
        """Return the place that a source was read from, where it told."""
        return self._meta(f"origin:{source}")

    def set_origin(self, source: str, origin: str) -> None:
        """Keep the place that a source was read from; nothing is written where it is kept already."""
        if self.origin(source) != origin:
            self._writable()
            with self._lock, transaction(self._db, self.path):
                kept = (f"origin:{source}", origin)
                self._db.execute("insert or replace into meta values (?, ?)", kept)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold one state of the store for a whole search, whatever other processes write meanwhile."""
        self._query("begin")
        try:
            yield
        finally:
            self._query("rollback")

    def _streamed(self, wanted: str | None) -> Iterator[Passage]:
        # a connection of its own: it reads one state to its end, and holds one passage at a time
        with closing(connect(self.path, read_only=True)) as db:
            db.execute("begin")
            yield from rows.stream(db, wanted)

    def _current_index(self, *, dense: bool) -> index.SearchIndex:
        """The index of the state that is being read; vectors may be left out where they are not wanted."""
        version, kept = self._version()
        current = self._index
        if current is None or current.version != version or (dense and not current.has_vectors):
            place = self.path / FILE
            with self._told():
                current = index.open_index(
                    self._db, place, version, dense=dense, kept=kept, keep=not self.read_only
                )
            self._index = current
        return current

    def _keep_index(self) -> None:
        """Write a large store's index now, rather than at the first search of every reader."""
        dense = self.has_dense
        with self._lock, self._reading():
            version, kept = self._version()
            large = self._count("passages") >= index.WORTH_KEEPING
            if kept and large and not index.is_kept(self.path / FILE, version, dense=dense):
                self._current_index(dense=dense)

    def _version(self) -> tuple[str, bool]:
        """What names the state of the store, and whether it does so for all processes."""
        stamp = self._meta("content")
        if stamp is not None:
            return stamp, True
        return f"connection {self._query('pragma data_version')[0][0]}", False

    def _hits(self, found: index.SearchIndex, best: list[tuple[int, float]], among: index.Rows) -> list[Hit]:
        numbers = [row for row, _ in best]
        alike = found.alike(numbers, among)
        with self._told():
            fetched = rows.fetch(self._db, found.ids[numbers + alike].tolist())
        ranked = [(*fetched[i], score) for i, (_, score) in enumerate(best)]
        return collapsed(((passage, score, twin) for passage, twin, score in ranked), fetched[len(best) :])

    def _write_one(self, document: Document, pieces: list[rows.Prepared]) -> tuple[Written, set[str]]:
        """Write a document; return also the digests of the passages that it replaces."""
        held = self._held(document)
        if not differs(held, document):  # another process wrote it meanwhile
            return Written(unchanged=1), set()
        _, gone = rows.delete(self._db, document.source, document.url)
        linked = rows.insert(self._db, document, conditions_after(held, document), pieces)
        added = int(held is None)
        return Written(added=added, updated=1 - added, passages=len(pieces), linked=linked), gone

    def _held(self, document: Document) -> Known | None:
        held = self._query(
            "select sha256, conditions from documents where source = ? and url = ?",
            (document.source, document.url),
        )
        return Known(held[0][0], tuple(json.loads(held[0][1]))) if held else None

    def _encoded(self, passages: Sequence[Passage]) -> dict[str, bytes]:
        with self._lock, self._told():
            held = vectors.held(self._db, passages)
        return vectors.encoded(self._encoder, passages, held)

    def _signature(self) -> Signature | None:
        self._open()
        with self._lock, self._told():
            return vectors.signature(self._db)

    def _meta(self, key: str) -> str | None:
        found = self._query("select value from meta where key = ?", (key,))
        return str(found[0][0]) if found else None

    def _count(self, table: str) -> int:
        return int(self._query(f"select count(*) from {table}")[0][0])

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._open()
        with self._told(), self._lock:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(f"The store {str(self.path)!r} cannot be read: {error}.") from error

    def _open(self) -> None:
        if self._closed:
            raise StoreError(f"The store {str(self.path)!r} is closed; open it again.")

    def _writable(self) -> None:
        if self.read_only:
            raise StoreError(f"The store {str(self.path)!r} was opened with read_only=True; open it without.")


def _reopen(path: str, encoder: Any, read_only: bool) -> LocalStore:
    return LocalStore(path, encoder=encoder, read_only=read_only)
