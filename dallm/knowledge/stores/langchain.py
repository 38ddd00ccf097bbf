"""LangChain both ways: a store as a retriever of theirs, a vector store of theirs as a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from dallm.errors import StoreError
from dallm.knowledge.conditions import conditions_of, resolve_condition, resolve_conditions
from dallm.knowledge.passage import Document, Hit, Passage, digest
from dallm.knowledge.stores.base import Known, Written
from dallm.knowledge.stores.common import StoreHandle, check_question

if TYPE_CHECKING:
    import pandas as pd
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.vectorstores import VectorStore

_UNLISTED = "a LangChain vector store cannot be asked for all that it holds"


class StoreRetriever(BaseRetriever):
    """A LangChain retriever over a knowledge store; made by ``store.as_retriever()``.

    Attributes
    ----------
    store : KnowledgeStore
        Where to search.
    k : int
        At most so many documents.
    condition, source : str or None
        As in the store's ``search``.

    Examples
    --------
    >>> import tempfile, dallm
    >>> store = dallm.open_store(tempfile.mkdtemp(), encoder=None)
    >>> report = dallm.ingest(store, dallm.Primer(), conditions=["asthma"])
    >>> found = store.as_retriever(k=1).invoke("What are the symptoms of asthma?")
    >>> found[0].metadata["section"]
    'Symptoms'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: Any = Field(exclude=True, repr=False)
    k: int = 4
    condition: str | None = None
    source: str | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangChainDocument]:
        hits = self.store.search(query, k=self.k, condition=self.condition, source=self.source)
        return [as_langchain(hit.passage, score=hit.score) for hit in hits]


def as_langchain(passage: Passage, score: float | None = None) -> LangChainDocument:
    """Return a passage as a LangChain document, with all that cites it as metadata.

    Use it to bring passages into a vector store of your own:
    ``vectors.add_documents([as_langchain(p) for p in store.passages()])``.

    Parameters
    ----------
    passage : Passage
        Of any store.
    score : float, optional
        Of the hit.
    """
    metadata: dict[str, Any] = {
        "title": passage.title,
        "section": passage.section,
        "source": passage.source,
        "url": passage.url,
        "revision": passage.revision,
        "licence": passage.licence,
        "authors": list(passage.authors),
        "retrieved_at": passage.retrieved_at,
        "conditions": list(passage.conditions),
        "notice": passage.notice,
        "sha256": passage.sha256,
    }
    if score is not None:
        metadata["score"] = score
    return LangChainDocument(page_content=passage.text, metadata=metadata)


class LangChainStore(StoreHandle):
    """An existing LangChain vector store, read as a knowledge store; open it with :func:`dallm.open_store`.

    Passages carry what the documents' metadata hold under the names that :func:`as_langchain` gives; a
    document without a condition is about those that its title and text name. The order of hits is the vector
    store's. It is read only: bring documents in with its own ``add_documents``.

    Parameters
    ----------
    vectors : VectorStore
        The vector store, with its embedding.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> from langchain_core.vectorstores import InMemoryVectorStore
    >>> vectors = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    >>> _ = vectors.add_texts(["Asthma: wheezing comes and goes."], metadatas=[{"title": "Asthma"}])
    >>> LangChainStore(vectors).search("wheezing", condition="asthma")[0].passage.title
    'Asthma'
    """

    kind = "langchain"
    read_only = True
    has_dense = True

    def __init__(self, vectors: VectorStore) -> None:
        from dallm.egress import endpoints_of

        self.vectors = vectors
        self.endpoint = ", ".join(endpoints_of(vectors)) or None

    def __repr__(self) -> str:
        return f"LangChainStore({type(self.vectors).__name__}, read only)"

    def close(self) -> None:
        """Do nothing: the vector store is its owner's."""

    def search(
        self, query: str, k: int = 4, condition: str | None = None, source: str | None = None
    ) -> list[Hit]:
        """Return the passages that the vector store finds, those asked for only, the best first.

        Parameters
        ----------
        query : str
            The question.
        k : int, default=4
            At most so many hits.
        condition, source : str, optional
            Only passages about this condition, or of this source; further ones are fetched until `k` remain
            or the vector store has no more.

        Returns
        -------
        list of Hit

        Raises
        ------
        UserError
            If the query is no text, or `k` no positive number.
        """
        check_question(query, k)
        if not query.strip():
            return []
        wanted = resolve_condition(condition) if condition is not None else None
        asked = k if wanted is None and source is None else 4 * k
        while True:
            found = self._nearest(query, asked)
            kept: dict[str, Hit] = {}
            for document, score in found:
                passage = _passage(document)
                if (wanted is None or wanted in passage.conditions) and source in (None, passage.source):
                    kept.setdefault(passage.sha256, Hit(passage, score))
            if len(kept) >= k or len(found) < asked:
                return list(kept.values())[:k]
            asked *= 2

    def conditions(self) -> tuple[str, ...]:
        """Return nothing: a vector store cannot be listed. A search with ``condition=`` tells."""
        return ()

    def sources(self) -> tuple[str, ...]:
        """Return nothing: a vector store cannot be listed."""
        return ()

    def manifest(self) -> pd.DataFrame:
        """Refuse: a vector store cannot be listed."""
        self._refuse(_UNLISTED)

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Refuse: a vector store cannot be listed."""
        self._refuse(_UNLISTED)

    def known(self, source: str) -> Mapping[str, Known]:
        """Refuse: a vector store cannot be listed."""
        self._refuse(_UNLISTED)

    def write(self, documents: Sequence[Document]) -> Written:
        """Refuse: the vector store is its owner's."""
        self._refuse("it is read only for dallm")

    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Refuse: the vector store is its owner's."""
        self._refuse("it is read only for dallm")

    def clear(self) -> int:
        """Refuse: the vector store is its owner's."""
        self._refuse("it is read only for dallm")

    def embed_missing(self) -> int:
        """Return 0: the vector store embeds what it takes in."""
        return 0

    def origin(self, source: str) -> str | None:
        """Return None: a vector store keeps no places."""
        return None

    def set_origin(self, source: str, origin: str) -> None:
        """Refuse: the vector store is its owner's."""
        self._refuse("it is read only for dallm")

    def _nearest(self, query: str, k: int) -> list[tuple[LangChainDocument, float]]:
        """The vector store's own order; distances become scores that fall, too."""
        found = self.vectors.similarity_search_with_score(query, k=k)
        scores = [float(score) for _, score in found]
        if any(later > earlier for earlier, later in pairwise(scores)):
            scores = [1 / (1 + distance) for distance in scores]
        return [(document, score) for (document, _), score in zip(found, scores, strict=True)]

    def _refuse(self, why: str) -> NoReturn:
        raise StoreError(
            f"{self!r}: {why}. Bring documents in with its own add_documents (as_langchain in "
            "dallm.knowledge.stores.langchain makes them of passages), or ingest into a store of dallm's."
        )


def _passage(document: LangChainDocument) -> Passage:
    given = document.metadata
    title = str(given.get("title") or given.get("source") or "")
    section = str(given.get("section") or "")
    text = document.page_content
    about = given.get("conditions")
    conditions = resolve_conditions(_several(about)) if about else conditions_of(title, text)
    return Passage(
        text=text,
        title=title,
        section=section,
        source=str(given.get("source") or "LangChain vector store"),
        url=str(given.get("url") or given.get("source") or document.id or ""),
        revision=_text(given.get("revision")),
        licence=_text(given.get("licence") or given.get("license")),
        authors=tuple(_several(given.get("authors") or given.get("author") or ())),
        retrieved_at=str(given.get("retrieved_at") or ""),
        conditions=conditions,
        sha256=str(given.get("sha256") or digest(title, section, text)),
        notice=str(given.get("notice") or ""),
    )


def _several(value: object) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    return [str(part) for part in value] if isinstance(value, Iterable) else [str(value)]


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
