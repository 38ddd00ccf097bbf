"""How a knowledge graph lies in a Neo4j database: its labels, relations and indexes.

Labels and indexes carry the namespace in their names (``DallmGraph_<namespace>_Condition``,
``dallmgraph_<namespace>_terms``), so that a graph and a vector store of one namespace are two things. Types
of relations are plain words; they are only ever followed from nodes of the namespace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from dallm.knowledge.graph.model import CONCEPT_KINDS
from dallm.knowledge.stores.neo4j.connection import Connection
from dallm.knowledge.stores.neo4j.schema import Layout, prepare

LABEL_OF_KIND = {kind: kind.capitalize() for kind in CONCEPT_KINDS}
LABELS = ("Passage", "Document", "Condition", "Concept", *LABEL_OF_KIND.values(), "Term", "Meta")
_LABEL = re.compile(rf":({'|'.join(LABELS)})\b")


@dataclass(frozen=True)
class GraphLayout(Layout):
    """The names that the graph of one namespace uses in a database.

    Examples
    --------
    >>> layout = GraphLayout("chest")
    >>> layout.index("terms"), layout.cypher("MATCH (:Condition)-[:HAS_SIGN]->(x) RETURN x")
    ('dallmgraph_chest_terms', 'MATCH (:`DallmGraph_chest_Condition`)-[:HAS_SIGN]->(x) RETURN x')
    """

    def label(self, kind: str) -> str:
        """Return the label of a kind of node, one of ``LABELS``."""
        return f"DallmGraph_{self.namespace}_{kind}"

    def index(self, kind: str) -> str:
        """Return the name of an index or a constraint."""
        return f"dallmgraph_{self.namespace}_{kind}"

    def cypher(self, statement: str) -> str:
        """Return a statement with its plain labels (``:Passage``) replaced by those of the namespace."""
        return _named(self.namespace, statement)

    @property
    def wanted(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """Kind, label and properties of every index, by its name; constraints have one each."""
        passage, document = self.label("Passage"), self.label("Document")
        condition, concept = self.label("Condition"), self.label("Concept")
        return {
            self.index("terms"): ("FULLTEXT", passage, ("head", "body", "filter", "bands")),
            self.index("passage_id"): ("RANGE", passage, ("id",)),
            self.index("passage_group"): ("RANGE", passage, ("group",)),
            self.index("document_id"): ("RANGE", document, ("id",)),
            self.index("document_source"): ("RANGE", document, ("source",)),
            self.index("document_topic"): ("RANGE", document, ("topic",)),
            self.index("condition_id"): ("RANGE", condition, ("id",)),
            self.index("condition_name"): ("RANGE", condition, ("name",)),
            self.index("condition_topic"): ("RANGE", condition, ("topic",)),
            self.index("concept_id"): ("RANGE", concept, ("id",)),
            self.index("concept_name"): ("RANGE", concept, ("name",)),
            self.index("term_id"): ("RANGE", self.label("Term"), ("id",)),
            self.index("meta_key"): ("RANGE", self.label("Meta"), ("key",)),
        }


def prepare_graph(connection: Connection, layout: GraphLayout) -> None:
    """Make the indexes and the describing node where they are missing.

    Raises
    ------
    StoreError
        If the names are taken by what is not ours.
    """
    prepare(connection, layout, None)
    connection.write(layout.cypher("MATCH (m:Meta {key: 'store'}) SET m.kind = 'neo4j_graph'"))


@cache
def _named(namespace: str, statement: str) -> str:
    return _LABEL.sub(rf":`DallmGraph_{namespace}_\1`", statement)
