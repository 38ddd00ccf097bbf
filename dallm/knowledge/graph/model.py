"""What the knowledge graph is made of: the same in memory, in a file and in Neo4j.

Nodes: ``document`` (a citation: title, address, licence, authors, revision), ``passage``, ``condition``, and
concepts of one kind each: ``symptom``, ``sign``, ``cause``, ``test``, ``finding``, ``history``.

Relations: passage ``part_of`` document, passage ``about`` condition, passage ``mentions`` concept or
condition, and condition ``has_symptom``, ``has_sign``, ``caused_by``, ``tested_by``, ``seen_as``,
``has_history`` concept, with the number of passages that say so. A passage that nearly equals one of another
source names it in its property ``twin``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dallm.knowledge.lexical import terms
from dallm.knowledge.passage import Document, Passage, digest
from dallm.knowledge.stores.base import Known

CONCEPT_KINDS = {
    "symptom": "has_symptom",
    "sign": "has_sign",
    "cause": "caused_by",
    "test": "tested_by",
    "finding": "seen_as",
    "history": "has_history",
}
"""Kind of a concept, and the relation from a condition to it."""

CONDITION = "condition"


class Mention(NamedTuple):
    """That a passage names something: what kind of thing, and its name."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PassageNode:
    """A passage with what was found in it.

    Attributes
    ----------
    place : int
        Its number in the document, from 0.
    headed : tuple of str
        The relations that its heading promises.
    mentions : tuple of Mention
        What it names and does not negate, each once, in its order.
    twin : str
        Digest of the passage of another source that it nearly equals; empty where there is none.
    bands : tuple of int
        What near-duplicates share some of, once it was worked out; a file does not keep it.
    """

    place: int
    section: str
    text: str
    sha256: str
    conditions: tuple[str, ...]
    headed: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    twin: str = ""
    bands: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentNode:
    """A document, the citation of its passages."""

    title: str
    source: str
    url: str
    revision: str | None
    licence: str | None
    authors: tuple[str, ...]
    retrieved_at: str
    conditions: tuple[str, ...]
    notice: str
    sha256: str
    passages: tuple[PassageNode, ...] = field(default=(), repr=False)

    @property
    def key(self) -> str:
        """The document's name in the graph."""
        return document_key(self.source, self.url)

    @property
    def topic(self) -> str:
        """The stems of the title, as :func:`topic_of` gives them."""
        return topic_of(self.title)

    @property
    def known(self) -> Known:
        """What an ingest asks of it."""
        return Known(self.sha256, self.conditions)

    def passage(self, node: PassageNode) -> Passage:
        """Return a passage as a search gives it."""
        return Passage(
            text=node.text,
            title=self.title,
            section=node.section,
            source=self.source,
            url=self.url,
            revision=self.revision,
            licence=self.licence,
            authors=self.authors,
            retrieved_at=self.retrieved_at,
            conditions=node.conditions,
            sha256=node.sha256,
            notice=self.notice,
        )

    def relations(self) -> Counter[tuple[str, Mention]]:
        """Return how many of the passages say of a condition that it has a concept."""
        return Counter(
            (condition, mention)
            for passage in self.passages
            for condition in passage.conditions
            for mention in passage.mentions
            if mention.kind in CONCEPT_KINDS
        )


def document_node(
    document: Document, conditions: tuple[str, ...], passages: Iterable[PassageNode]
) -> DocumentNode:
    """Return a source's document as a node, about these conditions."""
    return DocumentNode(
        title=document.title,
        source=document.source,
        url=document.url,
        revision=document.revision,
        licence=document.licence,
        authors=document.authors,
        retrieved_at=document.retrieved_at,
        conditions=conditions,
        notice=document.notice,
        sha256=document.sha256,
        passages=tuple(passages),
    )


def document_key(source: str, url: str) -> str:
    """Return the name of a document in the graph, from what tells it from all others.

    Examples
    --------
    >>> document_key("notes", "a.md")[:17], document_key("notes", "a.md") != document_key("notesa", ".md")
    ('document/notes/a.', True)
    """
    return f"document/{source}/{url}#{digest(source, url)[:8]}"


def topic_of(title: str) -> str:
    """Return the stems of a title, or of a condition's name; what stands in parentheses does not count.

    Examples
    --------
    >>> topic_of("Pleural effusions (fluid around the lung)"), topic_of("(COPD)")
    ('pleural effusion', 'copd')
    """
    return " ".join(terms(title.partition("(")[0]) or terms(title))


def to_json(document: DocumentNode) -> dict[str, Any]:
    """Return a document with its passages as plain lists and dictionaries."""
    return {
        "title": document.title,
        "source": document.source,
        "url": document.url,
        "revision": document.revision,
        "licence": document.licence,
        "authors": list(document.authors),
        "retrieved_at": document.retrieved_at,
        "conditions": list(document.conditions),
        "notice": document.notice,
        "sha256": document.sha256,
        "passages": [
            {
                "place": p.place,
                "section": p.section,
                "text": p.text,
                "sha256": p.sha256,
                "conditions": list(p.conditions),
                "headed": list(p.headed),
                "mentions": [list(m) for m in p.mentions],
                "twin": p.twin,
            }
            for p in document.passages
        ],
    }


def from_json(raw: Mapping[str, Any]) -> DocumentNode:
    """Return the document that :func:`to_json` wrote.

    Raises
    ------
    KeyError, TypeError
        If something is missing, or is of another type.
    """
    passages = tuple(
        PassageNode(
            place=int(p["place"]),
            section=p["section"],
            text=p["text"],
            sha256=p["sha256"],
            conditions=tuple(p["conditions"]),
            headed=tuple(p["headed"]),
            mentions=tuple(Mention(kind, name) for kind, name in p["mentions"]),
            twin=p["twin"],
        )
        for p in raw["passages"]
    )
    return citation_of(raw, passages)


def citation_of(held: Mapping[str, Any], passages: tuple[PassageNode, ...] = ()) -> DocumentNode:
    """Return a document from its citation, as :func:`to_json` or a node of a graph holds it."""
    return DocumentNode(
        title=held["title"],
        source=held["source"],
        url=held["url"],
        revision=held["revision"],
        licence=held["licence"],
        authors=tuple(held["authors"]),
        retrieved_at=held["retrieved_at"],
        conditions=tuple(held["conditions"]),
        notice=held["notice"],
        sha256=held["sha256"],
        passages=passages,
    )
