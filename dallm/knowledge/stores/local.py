"""The embedded knowledge store: one folder on disk, searched in memory."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dallm.errors import StoreError
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.cut import cut, retrieval_text
from dallm.knowledge.encoder import Encoder, TextEncoder, make_encoder
from dallm.knowledge.lexical import term_ids
from dallm.knowledge.passage import Document, Hit, Passage
from dallm.knowledge.stores.base import MANIFEST_COLUMNS, Known, Written, conditions_after, differs
from dallm.knowledge.stores.common import StoreHandle, check_question, one_source
from dallm.knowledge.stores.database import connect, transaction
from dallm.knowledge.stores.index import COLUMNS, SearchIndex

if TYPE_CHECKING:
    import pandas as pd

_PROBE = "Blunting of the costophrenic angle on a chest radiograph."
_ENCODE_BATCH = 512
_PASSAGE = """select p.text, d.title, p.section, d.source, d.url, d.revision, d.licence, d.authors,
    d.retrieved_at, p.conditions, p.sha256, d.notice from passages p join documents d on d.id = p.document"""


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
        self._encoder: TextEncoder | None = make_encoder(encoder)
        self._lock = threading.RLock()
        self._index: SearchIndex | None = None
        self._probed = False
        self._closed = False
        self._db = connect(self.path, read_only=read_only)
        try:
            self._check_encoder()
        except BaseException:
            self.close()
            raise

    @property
    def has_dense(self) -> bool:
        """Whether searches use the encoder besides words: there is one, and passages have been encoded."""
        return self._encoder is not None and self._count("vectors") > 0

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
        self, query: str, k: int = 4, condition: str | None = None, source: str | None = None
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

        Returns
        -------
        list of Hit
            The best first; empty where the store holds nothing of the condition. Without a condition and
            without an encoder only passages that share a word with the question are hits.
            Scores run from about 0 to 1.

        Raises
        ------
        UserError
            If the query is no text, `k` is no positive number, or no source has that name.
        """
        check_question(query, k)
        wanted = resolve_condition(condition) if condition is not None else None
        with self._lock, self._reading():
            index = self._current_index()
            rows = index.rows(wanted, one_source(source, self.sources()) if source is not None else None)
            if not len(rows) or not query.strip():
                return []
            vector = self._encoded([query])[0] if index.has_vectors else None
            wider, hits = k, []
            while True:
                best = index.best(query, vector, rows, wider)
                # words alone, and none in common
                told = [(i, s) for i, s in best if s > 0 or condition is not None or vector is not None]
                hits = self._hits(told)[:k]
                if len(hits) == k or len(best) < wider:
                    return hits
                wider *= 2

    def manifest(self) -> pd.DataFrame:
        """Return one row per document: where it comes from, under which licence, what it is about."""
        import pandas as pd

        rows = self._query(
            "select title, source, url, revision, licence, authors, retrieved_at, conditions, "
            "(select count(*) from passages p where p.document = d.id), sha256, notice "
            "from documents d order by source, url"
        )
        records = [
            (*r[:5], "; ".join(json.loads(r[5])), r[6], "; ".join(json.loads(r[7])), *r[8:]) for r in rows
        ]
        return pd.DataFrame(records, columns=list(MANIFEST_COLUMNS))

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about, in alphabetical order."""
        rows = self._query("select distinct conditions from passages")
        return tuple(sorted({name for (listed,) in rows for name in json.loads(listed)}))

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Yield every passage, or those about one condition, in the order of sources, urls and places."""
        wanted = resolve_condition(condition) if condition is not None else None
        for row in self._query(f"{_PASSAGE} order by d.source, d.url, p.place"):
            passage = _passage(row)
            if wanted is None or wanted in passage.conditions:
                yield passage

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
        pieces = {id(d): cut(d) for d in changed}
        # encoded before the transaction, so that nobody waits for the encoder
        vectors = self._encode([p for d in changed for p in pieces[id(d)]])
        written = Written(unchanged=len(documents) - len(changed))
        with self._lock, transaction(self._db, self.path):
            for document in changed:
                written += self._write_one(document, pieces[id(document)])
            new = self._write_vectors(vectors)
            if written.updated:
                self._drop_orphans()
            self._index = None
        return written + Written(embedded=new)

    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Remove documents with their passages and return how many there were."""
        self._writable()
        with self._lock, transaction(self._db, self.path):
            count = sum(
                self._db.execute("delete from documents where source = ? and url = ?", (source, url)).rowcount
                for url in urls
            )
            self._drop_orphans()
            self._index = None
        return count

    def clear(self) -> int:
        """Remove every document and return how many there were."""
        return sum(self.remove(source, list(self.known(source))) for source in self.sources())

    def embed_missing(self) -> int:
        """Encode the passages that have no vector yet and return how many; 0 without an encoder."""
        self._writable()
        if self._encoder is None:
            return 0
        missing = (
            f"{_PASSAGE} where p.sha256 not in (select sha256 from vectors) group by p.sha256 order by p.id"
        )
        total = 0
        while rows := self._query(f"{missing} limit {_ENCODE_BATCH}"):
            vectors = self._encode([_passage(row) for row in rows])
            with self._lock, transaction(self._db, self.path):
                total += self._write_vectors(vectors)
                self._index = None
        return total

    def origin(self, source: str) -> str | None:
        """Return the place that a source was read from, where it told."""
        return self._meta(f"origin:{source}")

    def set_origin(self, source: str, origin: str) -> None:
        """Keep the place that a source was read from; nothing is written where it is kept already."""
        if self.origin(source) != origin:
            self._writable()
            with self._lock, transaction(self._db, self.path):
                self._set_meta(f"origin:{source}", origin)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold one state of the store for a whole search, whatever other processes write meanwhile."""
        self._query("begin")
        try:
            yield
        finally:
            self._query("rollback")

    def _current_index(self) -> SearchIndex:
        version = int(self._query("pragma data_version")[0][0])
        if self._index is None or self._index.version != version:
            rows = self._query(
                f"select {COLUMNS} from passages p join documents d on d.id = p.document "
                "left join vectors v on v.sha256 = p.sha256 order by d.source, d.url, p.place"
            )
            self._index = SearchIndex(rows, version=version, dense=self._encoder is not None)
        return self._index

    def _hits(self, best: list[tuple[int, float]]) -> list[Hit]:
        """The passages with their scores; what stands in several files word by word is one hit."""
        hits: dict[str, Hit] = {}
        for passage, (_, score) in zip(self._fetch([number for number, _ in best]), best, strict=True):
            hits.setdefault(passage.sha256, Hit(passage, score))
        return list(hits.values())

    def _fetch(self, ids: list[int]) -> list[Passage]:
        found: dict[int, Passage] = {}
        for start in range(0, len(ids), 500):  # SQLite bounds how many values one statement takes
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            sql = f"{_PASSAGE.replace('select ', 'select p.id, ', 1)} where p.id in ({marks})"
            found |= {row[0]: _passage(row[1:]) for row in self._query(sql, part)}
        return [found[i] for i in ids]

    def _write_one(self, document: Document, pieces: list[Passage]) -> Written:
        held = self._held(document)
        if not differs(held, document):  # another process wrote it meanwhile
            return Written(unchanged=1)
        about = conditions_after(held, document)
        self._db.execute(
            "delete from documents where source = ? and url = ?", (document.source, document.url)
        )
        number = self._db.execute(
            "insert into documents (source, url, title, revision, licence, authors, retrieved_at, "
            "conditions, notice, sha256) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.source,
                document.url,
                document.title,
                document.revision,
                document.licence,
                json.dumps(document.authors),
                document.retrieved_at,
                json.dumps(list(about)),
                document.notice,
                document.sha256,
            ),
        ).lastrowid
        self._db.executemany(
            "insert into passages (document, place, section, text, conditions, sha256, head, body) "
            "values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    number,
                    place,
                    p.section,
                    p.text,
                    json.dumps(list(dict.fromkeys((*about, *p.conditions)))),
                    p.sha256,
                    term_ids(f"{p.title} {p.section}").astype("<u4").tobytes(),
                    term_ids(p.text).astype("<u4").tobytes(),
                )
                for place, p in enumerate(pieces)
            ),
        )
        return Written(added=int(held is None), updated=int(held is not None), passages=len(pieces))

    def _held(self, document: Document) -> Known | None:
        rows = self._query(
            "select sha256, conditions from documents where source = ? and url = ?",
            (document.source, document.url),
        )
        return Known(rows[0][0], tuple(json.loads(rows[0][1]))) if rows else None

    def _encode(self, passages: Sequence[Passage]) -> dict[str, bytes]:
        """Return the vectors of passages that have none yet, by the passage's digest."""
        if self._encoder is None or not passages:
            return {}
        texts = {p.sha256: retrieval_text(p) for p in passages}
        held: set[str] = set()
        for start in range(0, len(texts), 500):
            part = list(texts)[start : start + 500]
            marks = ",".join("?" * len(part))
            held.update(
                row[0] for row in self._query(f"select sha256 from vectors where sha256 in ({marks})", part)
            )
        new = {sha256: text for sha256, text in texts.items() if sha256 not in held}
        if not new:
            return {}
        encoded = self._encoded(list(new.values()))
        return {sha256: vector.astype("<f4").tobytes() for sha256, vector in zip(new, encoded, strict=True)}

    def _encoded(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode, after checking once that the encoder gives what the store was made with."""
        assert self._encoder is not None
        if not self._probed:
            kept = self._meta("probe")
            if kept is not None:
                now = self._encoder.encode([_PROBE])[0]
                then = np.frombuffer(bytes.fromhex(kept), dtype="<f4")
                if now.shape != then.shape or float(now @ then) < 0.99:
                    raise self._other_encoder(f"one of {len(then)} dimensions that encodes otherwise")
            self._probed = True
        return self._encoder.encode(texts)

    def _write_vectors(self, vectors: dict[str, bytes]) -> int:
        if not vectors or self._encoder is None:
            return 0
        if self._meta("encoder") is None:
            probe = self._encoder.encode([_PROBE])[0].astype("<f4").tobytes().hex()
            self._set_meta("encoder", self._encoder.identity)
            self._set_meta("probe", probe)
        self._check_encoder()
        before = self._db.total_changes
        self._db.executemany("insert or ignore into vectors values (?, ?)", vectors.items())
        return self._db.total_changes - before

    def _drop_orphans(self) -> None:
        self._db.execute("delete from vectors where sha256 not in (select sha256 from passages)")

    def _check_encoder(self) -> None:
        made_with = self._meta("encoder")
        if made_with is not None and self._encoder is not None and made_with != self._encoder.identity:
            raise self._other_encoder(f"{made_with!r}")

    def _other_encoder(self, made_with: str) -> StoreError:
        given = self._encoder.identity if self._encoder else None
        return StoreError(
            f"The store {str(self.path)!r} was made with another encoder ({made_with}; now {given!r}): "
            "their vectors cannot be compared. Open it with that encoder, with encoder=None for lexical "
            "retrieval, or ingest into a new folder."
        )

    def _meta(self, key: str) -> str | None:
        rows = self._query("select value from meta where key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def _set_meta(self, key: str, value: str) -> None:
        self._db.execute("insert or replace into meta values (?, ?)", (key, value))

    def _count(self, table: str) -> int:
        return int(self._query(f"select count(*) from {table}")[0][0])

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._closed:
            raise StoreError(f"The store {str(self.path)!r} is closed; open it again.")
        try:
            with self._lock:
                return self._db.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"The store {str(self.path)!r} cannot be read: {error}.") from error

    def _writable(self) -> None:
        if self.read_only:
            raise StoreError(f"The store {str(self.path)!r} was opened with read_only=True; open it without.")


def _passage(row: Sequence[Any]) -> Passage:
    (
        text,
        title,
        section,
        source,
        url,
        revision,
        licence,
        authors,
        retrieved_at,
        conditions,
        sha256,
        notice,
    ) = row
    return Passage(
        text=text,
        title=title,
        section=section,
        source=source,
        url=url,
        revision=revision,
        licence=licence,
        authors=tuple(json.loads(authors)),
        retrieved_at=retrieved_at,
        conditions=tuple(json.loads(conditions)),
        sha256=sha256,
        notice=notice,
    )


def _reopen(path: str, encoder: Any, read_only: bool) -> LocalStore:
    return LocalStore(path, encoder=encoder, read_only=read_only)
