"""Searching a knowledge graph in Neo4j: traversal and full text give candidates, scored as in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dallm.knowledge.graph.model import topic_of
from dallm.knowledge.graph.store import Found
from dallm.knowledge.graph.traverse import (
    CONCEPTS,
    ENOUGH,
    HEADING,
    ONLY_ABOUT,
    RELATION,
    Asked,
    Signals,
    score,
    weigh_names,
)
from dallm.knowledge.ranking import ASPECT_WEIGHT, LEXICAL_WEIGHT
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.graph_schema import GraphLayout
from dallm.knowledge.stores.neo4j.rows import condition_token, plain, source_token, tokens
from dallm.knowledge.stores.neo4j.schema import State, read_state
from dallm.knowledge.stores.neo4j.searching import lexical_scores

CANDIDATES = 200
"""Passages that the traversal and the full-text index contribute each, at least."""

_CLAUSES = 200  # words that the full-text index is asked for; all count for the scores
_NAMED = """
RETURN
COLLECT { MATCH (d:Document) WHERE d.topic IN $runs RETURN DISTINCT d.topic } AS titles,
COLLECT {
    MATCH (c:Condition) WHERE (c.topic IN $runs OR c.name IN $conditions) AND EXISTS { (c)<-[:ABOUT]-() }
    RETURN {name: c.name, topic: c.topic}
} AS conditions
"""
_ALLOWED = "($condition IS NULL OR $condition IN p.conditions) AND ($source IS NULL OR p.source = $source)"
# enters at titles, conditions and concepts, follows the relation, keeps what has come the best way
_REACHED = f"""
CALL {{
    UNWIND $titles AS named
    MATCH (:Document {{topic: named.topic}})<-[:PART_OF]-(p:Passage)
    RETURN p, named.weight AS weight
  UNION ALL
    UNWIND $conditions AS named
    MATCH (:Condition {{name: named.name}})<-[:ABOUT]-(p:Passage)
    RETURN p, named.weight AS weight
  UNION ALL
    UNWIND $concepts AS name
    MATCH (:Concept {{name: name}})<-[:MENTIONS]-(p:Passage)
    RETURN p, 0.0 AS weight
}}
WITH p, max(weight) AS weight WHERE {_ALLOWED}
WITH p, weight,
    CASE WHEN any(relation IN p.headed WHERE relation IN $relations) THEN 1.0 ELSE 0.0 END AS headed,
    COUNT {{ (p)-[:MENTIONS]->(x:Concept) WHERE x.kind IN $kinds }} AS carried,
    COUNT {{ (p)-[:MENTIONS]->(x:Concept) WHERE x.name IN $concepts }} AS named
WITH p, weight + $heading * headed + $concept * named
    + $carrying * CASE WHEN carried > $enough THEN $enough ELSE carried END AS way
ORDER BY way DESC, p.source, p.url, p.place LIMIT $count
RETURN p
"""
_WORDS = "CALL db.index.fulltext.queryNodes($index, $words, {limit: $count}) YIELD node AS p RETURN p"
_CANDIDATES = f"""
CALL {{ {{arms}} }}
WITH p WHERE {_ALLOWED}
RETURN p.id AS id, p.title AS title, p.source AS source, p.url AS url, p.place AS place,
    p.conditions AS conditions, p.headed AS headed, p.head AS head, p.body AS body,
    [(p)-[:MENTIONS]->(x:Concept) WHERE x.kind IN $kinds OR x.name IN $concepts | [x.kind, x.name]]
    AS mentions
"""
_WITH_WORDS = _CANDIDATES.replace("{arms}", f"{_REACHED} UNION {_WORDS}")
_WITHOUT_WORDS = _CANDIDATES.replace("{arms}", _REACHED)


@dataclass(frozen=True)
class GraphSearch:
    """One question to the graph of a namespace.

    Parameters
    ----------
    connection : Connection
    layout : GraphLayout
    asked : Asked
    condition, source : str or None
        Filters, by the names that the store holds.
    """

    connection: Connection
    layout: GraphLayout
    asked: Asked
    condition: str | None
    source: str | None

    def found(self, k: int) -> list[Found]:
        """Return the `k` best passages with their scores, the best first."""
        lexical, aspect = (
            sorted(set(tokens(text).split())) for text in (self.asked.question.text, self.asked.question.told)
        )
        state = read_state(self.connection, self.layout, [*lexical, *aspect])
        if state is None or not state.passages:
            return []
        titles, conditions = self._names()
        words = _query(state, lexical, aspect, self.condition, self.source)
        rows = self.connection.read(
            self.layout.cypher(_WITH_WORDS if words else _WITHOUT_WORDS),
            titles=[{"topic": topic, "weight": weight} for topic, weight in titles.items()],
            conditions=[{"name": name, "weight": weight} for name, weight in conditions.items()],
            concepts=list(self.asked.concepts),
            relations=list(self.asked.relations),
            kinds=list(self.asked.kinds),
            condition=self.condition,
            source=self.source,
            heading=RELATION * (HEADING if self.asked.kinds else 1.0),
            carrying=RELATION * (1 - HEADING) / ENOUGH,
            enough=ENOUGH,
            concept=CONCEPTS / max(1, len(self.asked.concepts)),
            index=self.layout.index("terms"),
            words=words,
            count=max(CANDIDATES, 4 * k),
        )
        # ties are put in the order of sources, urls and places, as everywhere
        rows.sort(key=lambda row: (row["source"], row["url"], row["place"]))
        signals = self._signals(rows, titles, conditions, lexical_scores_of(rows, (lexical, aspect), state))
        scores = score(self.asked, signals)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(rows[i]["id"], float(scores[i])) for i in best]

    def _names(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the titles and the conditions that the question names and the store holds, with weights."""
        row = self.connection.read(
            self.layout.cypher(_NAMED),
            runs=list(self.asked.runs),
            conditions=[plain(name) for name in self.asked.conditions],
        )[0]
        held = {*row["titles"], *(c["topic"] for c in row["conditions"])}
        weights = weigh_names(self.asked, held)
        titles = {topic: weights[topic] for topic in row["titles"]}
        conditions = {
            c["name"]: ONLY_ABOUT * (1.0 if c["name"] in self.asked.conditions else weights[c["topic"]])
            for c in row["conditions"]
        }
        return titles, conditions

    def _signals(
        self,
        rows: Sequence[Mapping[str, Any]],
        titles: Mapping[str, float],
        conditions: Mapping[str, float],
        words: Sequence[Any],
    ) -> Signals:
        topic_by_title = {row["title"]: titles.get(topic_of(row["title"]), 0.0) for row in rows}
        share_by_title = {title: self.asked.question.share_of_title(title) for title in topic_by_title}
        topic = [
            max([topic_by_title[row["title"]], *(conditions.get(c, 0.0) for c in row["conditions"])])
            for row in rows
        ]
        relations, kinds, concepts = (
            set(self.asked.relations),
            set(self.asked.kinds),
            set(self.asked.concepts),
        )
        return Signals(
            topic=np.array(topic, dtype=np.float32),
            headed=np.array([not relations.isdisjoint(row["headed"]) for row in rows], dtype=bool),
            carried=np.array([sum(kind in kinds for kind, _ in row["mentions"]) for row in rows], dtype=int),
            named=np.array(
                [len(concepts & {name for _, name in row["mentions"]}) for row in rows], dtype=int
            ),
            lexical=words[0],
            aspect=words[1],
            title=np.array([share_by_title[row["title"]] for row in rows], dtype=np.float32),
        )


def lexical_scores_of(
    rows: Sequence[Mapping[str, Any]], asked: Sequence[Sequence[str]], state: State
) -> list[Any]:
    """Return BM25 of the rows for several lists of terms."""
    heads, bodies = [row["head"] for row in rows], [row["body"] for row in rows]
    return [
        lexical_scores(list(terms), heads, bodies, state) if terms else np.zeros(len(rows), dtype=np.float32)
        for terms in asked
    ]


def _query(
    state: State, lexical: Sequence[str], aspect: Sequence[str], condition: str | None, source: str | None
) -> str:
    """Return the query of the full-text index, of the rarest words; "" where none is known."""
    boosts = dict.fromkeys(aspect, ASPECT_WEIGHT / LEXICAL_WEIGHT) | dict.fromkeys(lexical, 1.0)
    known = sorted((t for t in boosts if state.counts.get(t)), key=lambda t: state.counts[t])[:_CLAUSES]
    if not known:
        return ""
    words = " ".join(f"head:{t}^{2 * boosts[t]:g} body:{t}^{boosts[t]:g}" for t in known)
    filters = [condition_token(condition)] if condition is not None else []
    filters += [source_token(source)] if source is not None else []
    # boosted by 0: what every candidate has is worth nothing
    return " ".join([*(f"+filter:{token}^0" for token in filters), f"+({words})"])
