"""Searching a knowledge graph in Neo4j: traversal and full text give candidates, scored as in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from dallm.knowledge.stores.neo4j import scoring
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.graph_schema import GraphLayout
from dallm.knowledge.stores.neo4j.rows import plain
from dallm.knowledge.stores.neo4j.schema import State, check_format

CANDIDATES = 100
"""Passages that the traversal and the full-text index contribute each, at least."""

_STATE = """
MATCH (m:Meta {key: 'store'})
RETURN m {.*} AS meta,
COLLECT { MATCH (t:Term) WHERE t.id IN $tokens RETURN [t.id, t.passages] } AS counts,
COLLECT { MATCH (d:Document) WHERE d.topic IN $runs RETURN DISTINCT d.topic } AS titles,
COLLECT {
    MATCH (c:Condition) WHERE (c.topic IN $runs OR c.name IN $conditions) AND EXISTS { (c)<-[:ABOUT]-() }
    RETURN [c.name, c.topic]
} AS conditions
"""
_ALLOWED = "($condition IS NULL OR $condition IN p.conditions) AND ($source IS NULL OR p.source = $source)"
_HEADED = "any(relation IN p.headed WHERE relation IN $relations)"
_CARRIED = "size([kind IN p.kinds WHERE kind IN $kinds])"
_NAMED = "COUNT { MATCH (p)-[:MENTIONS]->(x:Concept) WHERE x.name IN $concepts RETURN DISTINCT x.name }"
# enters at titles, conditions and concepts, follows the relation, keeps what has come the best way
_REACHED = f"""
CALL {{
    UNWIND $titles AS named
    MATCH (:Document {{topic: named[0]}})<-[:PART_OF]-(p:Passage)
    RETURN p, named[1] AS weight
  UNION ALL
    UNWIND $conditions AS named
    MATCH (:Condition {{name: named[0]}})<-[:ABOUT]-(p:Passage)
    RETURN p, named[1] AS weight
  UNION ALL
    UNWIND $concepts AS name
    MATCH (:Concept {{name: name}})<-[:MENTIONS]-(p:Passage)
    RETURN p, 0.0 AS weight
}}
WITH p, max(weight) AS weight WHERE {_ALLOWED}
WITH p, weight, {_CARRIED} AS carried
WITH p, weight + CASE WHEN {_HEADED} THEN $heading ELSE 0.0 END
    + $carrying * CASE WHEN carried > $enough THEN $enough ELSE carried END
    + CASE WHEN $concepts = [] THEN 0.0 ELSE $concept * {_NAMED} END AS way
ORDER BY way DESC, p.source, p.url, p.place LIMIT $count
RETURN p
"""
_WORDS = "CALL db.index.fulltext.queryNodes($index, $words, {limit: $count}) YIELD node AS p RETURN p"
_CANDIDATES = f"""
CALL {{ {{arms}} }}
WITH p WHERE {_ALLOWED}
WITH p, {_HEADED} AS headed, {_CARRIED} AS carried,
    CASE WHEN $concepts = [] THEN 0 ELSE {_NAMED} END AS named,
    [(p)-[:PART_OF]->(d:Document) | d.topic][0] AS topic
ORDER BY p.source, p.url, p.place
RETURN collect(p.id) AS ids, collect(p.group) AS groups, collect(headed) AS headed,
    collect(carried) AS carried, collect(named) AS named, collect(p.head) AS heads,
    collect(p.title_terms) AS title_terms, collect(p.body) AS bodies,
    collect(reduce(best = 0.0, t IN [t IN $titles WHERE t[0] = topic | t[1]]
        + [c IN $conditions WHERE c[0] IN p.conditions | c[1]] |
        CASE WHEN t > best THEN t ELSE best END)) AS topics
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
        words = scoring.Asked(self.asked.question, k, self.condition, self.source)
        rows = self.connection.read(
            self.layout.cypher(_STATE),
            tokens=[*words.terms, *words.told],
            runs=list(self.asked.runs),
            conditions=[plain(name) for name in self.asked.conditions],
        )
        if not rows or not rows[0]["meta"]["passages"]:
            return []
        state = _state(rows[0], self.connection, self.layout)
        query = scoring.words_query(words, state, sharing_a_word=False)
        row = self.connection.read(
            self.layout.cypher(_WITH_WORDS if query else _WITHOUT_WORDS),
            **self._entries(rows[0]),
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
            words=query,
            count=max(CANDIDATES, 4 * k),
        )[0]
        scores = score(self.asked, _signals(row, words, state))
        best = np.argsort(-scores, kind="stable")[:k]
        return [Found(row["ids"][i], float(scores[i]), row["groups"][i]) for i in best]

    def _entries(self, held: Mapping[str, Any]) -> dict[str, list[list[Any]]]:
        """Return the titles and the conditions that the question names and the store holds, with weights."""
        weights = weigh_names(self.asked, {*held["titles"], *(topic for _, topic in held["conditions"])})
        conditions = [
            [name, ONLY_ABOUT * (1.0 if name in self.asked.conditions else weights[topic])]
            for name, topic in held["conditions"]
        ]
        return {"titles": [[topic, weights[topic]] for topic in held["titles"]], "conditions": conditions}


def _state(row: Mapping[str, Any], connection: Connection, layout: GraphLayout) -> State:
    meta = row["meta"]
    check_format(meta, layout, connection)
    return State(
        documents=meta["documents"],
        passages=meta["passages"],
        vectors=0,
        head_terms=meta["head_terms"],
        body_terms=meta["body_terms"],
        signature=None,
        counts=dict(row["counts"]),
    )


def _signals(row: Mapping[str, Any], asked: scoring.Asked, state: State) -> Signals:
    words = scoring.Candidates(row["heads"], row["bodies"], row["title_terms"], None)
    return Signals(
        topic=np.array(row["topics"], dtype=np.float32),
        headed=np.array(row["headed"], dtype=bool),
        carried=np.array(row["carried"], dtype=np.int64),
        named=np.array(row["named"], dtype=np.int64),
        lexical=words.lexical(asked.terms, state),
        aspect=words.lexical(asked.told, state),
        title=_title_shares(row["heads"], row["title_terms"], set(asked.terms)),
    )


def _title_shares(heads: Sequence[str], counts: Sequence[int], wanted: set[str]) -> NDArray[np.float32]:
    """``Question.share_of_title`` of every passage's title, whose terms lead its head."""
    titles = [set(head.split()[:count]) for head, count in zip(heads, counts, strict=True)]
    return np.array([len(t & wanted) / len(t) if t else 0.0 for t in titles], dtype=np.float32)
