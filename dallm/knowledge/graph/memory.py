"""The graph in memory: a networkx graph of plain attributes, and what a search reads from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.graph.model import (
    CONCEPT_KINDS,
    CONDITION,
    DocumentNode,
    Mention,
    PassageNode,
    citation_of,
    topic_of,
)
from dallm.knowledge.graph.traverse import ONLY_ABOUT, Asked, Signals, weigh_names
from dallm.knowledge.lexical import Bm25, term_ids, terms

if TYPE_CHECKING:
    import networkx as nx

Terms = dict[str, tuple[NDArray[np.uint32], NDArray[np.uint32]]]
_CITED = (
    "title", "source", "url", "revision", "licence", "authors", "retrieved_at", "conditions", "notice",
    "sha256",
)  # fmt: skip
_SAID = ("place", "section", "text", "sha256", "conditions", "headed", "twin")


def passage_key(document: str, place: int) -> str:
    """Return the name of a passage's node from that of its document.

    Examples
    --------
    >>> passage_key("document/notes/a.md#0f", 2)
    'passage/notes/a.md#0f/2'
    """
    return f"passage/{document.removeprefix('document/')}/{place}"


def add_document(graph: nx.MultiDiGraph, document: DocumentNode) -> list[str]:
    """Add a document with its passages, and what they say, and return the names of the passages' nodes.

    The graph must not hold it yet.
    """
    parts = []
    cited = {name: _plain(getattr(document, name)) for name in _CITED}
    graph.add_node(document.key, type="document", **cited)
    for passage in document.passages:
        key = passage_key(document.key, passage.place)
        parts.append(key)
        graph.add_node(key, type="passage", **{name: _plain(getattr(passage, name)) for name in _SAID})
        graph.add_edge(key, document.key, key="part_of")
        for condition in passage.conditions:
            graph.add_edge(key, _named(graph, CONDITION, condition), key="about")
        for mention in passage.mentions:
            graph.add_edge(key, _named(graph, *mention), key="mentions")
    for (condition, mention), count in document.relations().items():
        ends = _named(graph, CONDITION, condition), _named(graph, *mention)
        relation = CONCEPT_KINDS[mention.kind]
        held = graph.get_edge_data(*ends, key=relation, default={"passages": 0})
        graph.add_edge(*ends, key=relation, passages=held["passages"] + count)
    return parts


def remove_document(graph: nx.MultiDiGraph, key: str) -> None:
    """Remove a document with its passages, and what only they said."""
    document = document_of(graph, key)
    touched = {
        f"{m.kind}/{m.name}" for p in document.passages for m in p.mentions
    } | {f"{CONDITION}/{c}" for p in document.passages for c in p.conditions}  # fmt: skip
    for (condition, mention), count in document.relations().items():
        ends = f"{CONDITION}/{condition}", f"{mention.kind}/{mention.name}"
        relation = CONCEPT_KINDS[mention.kind]
        left = graph.edges[*ends, relation]["passages"] - count
        if left > 0:
            graph.edges[*ends, relation]["passages"] = left
        else:
            graph.remove_edge(*ends, key=relation)
    graph.remove_nodes_from([passage_key(key, p.place) for p in document.passages])
    graph.remove_node(key)
    graph.remove_nodes_from([node for node in touched if graph.degree(node) == 0])


def document_of(graph: nx.MultiDiGraph, key: str) -> DocumentNode:
    """Return a document with its passages as it was added."""
    held = graph.nodes[key]
    parts = [node for node, _, relation in graph.in_edges(key, keys=True) if relation == "part_of"]
    passages = sorted((_passage(graph, node) for node in parts), key=lambda p: p.place)
    return citation_of(held, tuple(passages))


def _passage(graph: nx.MultiDiGraph, key: str) -> PassageNode:
    held = graph.nodes[key]
    named = (node for _, node, relation in graph.out_edges(key, keys=True) if relation == "mentions")
    return PassageNode(
        place=held["place"],
        section=held["section"],
        text=held["text"],
        sha256=held["sha256"],
        conditions=tuple(held["conditions"]),
        headed=tuple(held["headed"]),
        mentions=tuple(Mention(graph.nodes[n]["type"], graph.nodes[n]["name"]) for n in named),
        twin=held["twin"],
    )


def _named(graph: nx.MultiDiGraph, kind: str, name: str) -> str:
    node = f"{kind}/{name}"
    if node not in graph:
        graph.add_node(node, type=kind, name=name)
    return node


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def nodes_of(graph: nx.MultiDiGraph, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the nodes of a type with their attributes."""
    return ((node, held) for node, held in graph.nodes(data=True) if held["type"] == kind)


class GraphIndex:
    """What a search reads, gathered from one state of the graph: one row per passage.

    Rows are ordered by source, url and place, so that ties fall the same way in every store.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
    kept : dict
        Term hashes by the digest of a passage; filled here, so that they are made once per passage.
    """

    def __init__(self, graph: nx.MultiDiGraph, kept: Terms) -> None:
        documents = sorted(nodes_of(graph, "document"), key=lambda item: (item[1]["source"], item[1]["url"]))
        self.nodes: list[str] = []
        self._sources: list[str] = []
        self._about: dict[str, list[int]] = defaultdict(list)
        self._titled: dict[str, list[int]] = defaultdict(list)
        self._headed: dict[str, list[int]] = defaultdict(list)
        self._naming: dict[tuple[str, str], list[int]] = defaultdict(list)
        heads, bodies = [], []
        titles: dict[str, int] = {}
        title_of = []
        for key, cited in documents:
            parts = [node for node, _, relation in graph.in_edges(key, keys=True) if relation == "part_of"]
            topic = topic_of(cited["title"])
            for node in sorted(parts, key=lambda n: int(graph.nodes[n]["place"])):
                held, row = graph.nodes[node], len(self.nodes)
                self.nodes.append(node)
                self._sources.append(cited["source"])
                title_of.append(titles.setdefault(cited["title"], len(titles)))
                self._titled[topic].append(row)
                for relation in held["headed"]:
                    self._headed[relation].append(row)
                self._follow(graph, node, row)
                sha256 = held["sha256"]
                if sha256 not in kept:
                    kept[sha256] = (
                        term_ids(f"{cited['title']} {held['section']}"),
                        term_ids(held["text"]),
                    )
                heads.append(kept[sha256][0])
                bodies.append(kept[sha256][1])
        self._title_of = np.array(title_of, dtype=np.intp)
        self._title_words: dict[str, list[int]] = defaultdict(list)
        for title, number in titles.items():
            for word in set(terms(title)):
                self._title_words[word].append(number)
        self._title_lengths = np.array([len(set(terms(title))) for title in titles])
        self._lexical = Bm25(heads, bodies)
        self._topics: dict[str, list[str]] = defaultdict(list)
        for name in self._about:
            self._topics[topic_of(name)].append(name)

    def _follow(self, graph: nx.MultiDiGraph, node: str, row: int) -> None:
        for _, end, relation in graph.out_edges(node, keys=True):
            if relation == "about":
                self._about[graph.nodes[end]["name"]].append(row)
            elif relation == "mentions":
                self._naming[graph.nodes[end]["type"], graph.nodes[end]["name"]].append(row)

    def rows(self, condition: str | None, source: str | None) -> NDArray[np.intp]:
        """Return the rows about a condition (canonical name) and of a source; None means all."""
        if condition is None:
            found = np.arange(len(self.nodes))
        else:
            found = np.array(self._about.get(condition, ()), dtype=np.intp)
        if source is not None:
            found = np.array([row for row in found if self._sources[row] == source], dtype=np.intp)
        return found

    def signals(self, asked: Asked, rows: NDArray[np.intp]) -> Signals:
        """Return what leads from a question to each of these rows."""
        size = len(self.nodes)
        topic = np.zeros(size, dtype=np.float32)
        weights = weigh_names(asked, self._titled.keys() | self._topics.keys())
        for run, weight in weights.items():
            for name in self._topics.get(run, ()):
                np.maximum.at(topic, self._about[name], np.float32(ONLY_ABOUT * weight))
            if run in self._titled:
                np.maximum.at(topic, self._titled[run], np.float32(weight))
        for name in asked.conditions:
            if name in self._about:
                np.maximum.at(topic, self._about[name], np.float32(ONLY_ABOUT))
        headed = np.zeros(size, dtype=bool)
        for relation in asked.relations:
            headed[self._headed.get(relation, [])] = True
        carried, named = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        for kind in asked.kinds:
            for (of, _), at in self._naming.items():
                if of == kind:
                    carried[at] += 1
        for name in asked.concepts:
            here = np.zeros(size, dtype=bool)
            for kind in CONCEPT_KINDS:
                here[self._naming.get((kind, name), [])] = True
            named += here
        question = asked.question
        lexical = self._lexical.scores(question.text)
        aspect = self._lexical.scores(question.told) if question.told else np.zeros(size, dtype=np.float32)
        title = self._title_shares(question.text)
        return Signals(
            topic[rows], headed[rows], carried[rows], named[rows], lexical[rows], aspect[rows], title[rows]
        )

    def _title_shares(self, question: str) -> NDArray[np.float32]:
        """Per row what `Question.share_of_title` gives, without reading the titles again."""
        found = np.zeros(len(self._title_lengths), dtype=np.float32)
        for word in set(terms(question)):
            found[self._title_words.get(word, [])] += 1
        shares = found / np.maximum(self._title_lengths, 1).astype(np.float32)
        return shares[self._title_of] if len(self._title_of) else np.zeros(0, dtype=np.float32)
