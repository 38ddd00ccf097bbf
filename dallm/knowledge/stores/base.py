"""What every knowledge store promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from dallm.knowledge.passage import Document, Hit, Passage

if TYPE_CHECKING:
    import pandas as pd
    from langchain_core.retrievers import BaseRetriever

MANIFEST_COLUMNS = (
    "title",
    "source",
    "url",
    "revision",
    "licence",
    "authors",
    "retrieved_at",
    "conditions",
    "passages",
    "sha256",
    "notice",
)


class Known(NamedTuple):
    """What a store holds of one document: the digest of its content, and what it is tagged with."""

    sha256: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What one write did, in documents; `passages`, `embedded` and `linked` count passages.

    `linked` are those kept beside a passage of another source that says nearly the same.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    passages: int = 0
    embedded: int = 0
    linked: int = 0

    def __add__(self, other: Written) -> Written:
        return Written(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.passages + other.passages,
            self.embedded + other.embedded,
            self.linked + other.linked,
        )


@runtime_checkable
class KnowledgeStore(Protocol):
    """Where knowledge lives: documents are written, passages are found.

    All stores rank alike: the cosine between question and passage, plus the share of the question's words
    that the passage holds (BM25 over its best possible score), weighted.
    """

    kind: str
    read_only: bool
    endpoint: str | None
    """Address of the server that sees what is searched for; None where nothing leaves the machine."""

    @property
    def has_dense(self) -> bool:
        """Whether searches use the encoder besides words."""
        ...

    def search(
        self, query: str, k: int = 4, condition: str | None = None, source: str | None = None
    ) -> list[Hit]:
        """Return the `k` best passages, the best first; fewer where there are no more.

        Stores that rank by several arms take ``arm="lexical"`` and ``arm="dense"`` for one alone.
        """
        ...

    def manifest(self) -> pd.DataFrame:
        """Return one row per document, with the columns of ``MANIFEST_COLUMNS``."""
        ...

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that at least one passage is about."""
        ...

    def passages(self, condition: str | None = None) -> Iterator[Passage]:
        """Yield every passage, or those about one condition."""
        ...

    def known(self, source: str) -> Mapping[str, Known]:
        """Return what is held of a source, by url."""
        ...

    def write(self, documents: Sequence[Document]) -> Written:
        """Write documents whole or not at all; one that is held already, unchanged, is not written again."""
        ...

    def remove(self, source: str, urls: Sequence[str]) -> int:
        """Remove documents and return how many there were."""
        ...

    def embed_missing(self) -> int:
        """Encode the passages that have no vector yet and return how many there were."""
        ...

    def origin(self, source: str) -> str | None:
        """Return the place that a source was read from, where it told."""
        ...

    def set_origin(self, source: str, origin: str) -> None:
        """Keep the place that a source was read from."""
        ...

    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources that documents are held of."""
        ...

    def clear(self) -> int:
        """Remove every document of the store (of its namespace, nothing else) and return how many."""
        ...

    def as_retriever(
        self, k: int = 4, condition: str | None = None, source: str | None = None
    ) -> BaseRetriever:
        """Return a LangChain retriever over the store."""
        ...

    def close(self) -> None:
        """Release the store; it cannot be used afterwards."""
        ...


def differs(held: Known | None, document: Document) -> bool:
    """Whether a document says something else than what is held of it, or is about more conditions."""
    if held is None or held.sha256 != document.sha256:
        return True
    return not set(document.conditions) <= set(held.conditions)


def conditions_after(held: Known | None, document: Document) -> tuple[str, ...]:
    """Return what a document is about once written.

    The same text found for another condition is about both; a new text is about what it says now.
    """
    same_text = held is not None and held.sha256 == document.sha256
    return tuple(dict.fromkeys((*(held.conditions if held and same_text else ()), *document.conditions)))
