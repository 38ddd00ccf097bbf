"""How a question is answered from the graph: where it enters, which way it goes, what a passage earns.

A question enters at the conditions and the titles that it names, and at the concepts. From there the
relation that it asks for leads to passages: those whose heading promises it, and those that name concepts at
its end. What a passage earns on the way is weighed against the words that it shares with the question.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.conditions import condition_names, conditions_in
from dallm.knowledge.graph.build import concepts_in
from dallm.knowledge.graph.model import topic_of
from dallm.knowledge.graph.rules import GraphRules
from dallm.knowledge.lexical import terms
from dallm.knowledge.ranking import Question, fuse

GRAPH_WEIGHT = 0.5
"""How much the way through the graph counts beside the words that question and passage share."""

RELATION, CONCEPTS = 0.5, 0.3
"""What the relation and the concepts asked for count beside the condition or title named."""

ONLY_ABOUT = 0.6
"""What a passage earns that is about the condition named, under another title."""

HEADING = 0.6
"""Of what a relation counts, the part of the heading; the rest is that of the concepts named."""

ENOUGH = 4
"""So many concepts at the end of the relation earn all that concepts can earn."""

_LONGEST_NAME = 10  # words of a title or of a condition's name
_LONGEST_QUESTION = 60  # words; what runs on is searched for by its words, not for the names in it


@dataclass(frozen=True)
class Asked:
    """What a question asks, as far as a graph can tell.

    Attributes
    ----------
    question : Question
    conditions : tuple of str
        Canonical names of the conditions of the table that it names.
    runs : dict of str to float
        Runs of its words, as stems: what of a store's titles and conditions is among them is named. The
        value is how much of a name's weight it has, from 0 to 1.
    relations : tuple of str
        The relations asked for; `kinds` are those of the concepts at their end.
    concepts : tuple of str
        The concepts that it names.
    """

    question: Question
    conditions: tuple[str, ...] = ()
    runs: dict[str, float] = field(default_factory=dict)
    relations: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signals:
    """What the graph and the words tell of passages, one value each.

    Attributes
    ----------
    topic : float array
        Weight of the title or condition by which the passage is reached, 0 where it is not.
    headed : bool array
        Whether its heading promises a relation asked for.
    carried : int array
        How many concepts at the end of the relations asked for it names.
    named : int array
        How many of the concepts that the question names it names.
    lexical, aspect, title : float array
        What its words earn; see :func:`dallm.knowledge.ranking.fuse`.
    """

    topic: NDArray[np.float32]
    headed: NDArray[np.bool_]
    carried: NDArray[np.int64]
    named: NDArray[np.int64]
    lexical: NDArray[np.float32]
    aspect: NDArray[np.float32]
    title: NDArray[np.float32]

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Whether the traversal leads to it."""
        return (self.topic > 0) | (self.named > 0)


def read_question(question: str, rules: GraphRules | None = None) -> Asked:
    """Find out what a question asks for.

    Examples
    --------
    >>> asked = read_question("Which symptoms has a collapsed lung segment?")
    >>> asked.conditions, asked.relations, "atelectasis" in asked.runs
    (('atelectasis',), ('has_symptom',), True)
    """
    table = rules or GraphRules.default()
    conditions = conditions_in(question)
    runs = {topic_of(name): 1.0 for c in conditions for name in condition_names(c)}
    stems = terms(question)[:_LONGEST_QUESTION]
    for start in range(len(stems)):
        for end in range(start + 1, min(len(stems), start + _LONGEST_NAME) + 1):
            run = stems[start:end]
            if not table.is_general(run):
                runs.setdefault(" ".join(run), 0.0)
    relations = table.asked(question)
    return Asked(
        question=Question.of(question),
        conditions=conditions,
        runs=runs,
        relations=relations,
        kinds=table.kinds(relations),
        concepts=concepts_in(question, table),
    )


def weigh_names(asked: Asked, held: set[str]) -> dict[str, float]:
    """Return the weights of those runs that a store holds as a title or a condition.

    The longest name counts fully, one inside it for its share: of "pulmonary heart disease" a page on the
    heart is the smaller part. The names of a condition of the table count fully.

    Examples
    --------
    >>> asked = Asked(Question.of(""), runs={"heart": 0.0, "heart failur": 0.0, "heart failur symptom": 0.0})
    >>> weigh_names(asked, {"heart", "heart failur"})
    {'heart': 0.5, 'heart failur': 1.0}
    """
    named = [run for run in asked.runs if run in held]
    longest = max((len(run.split()) for run in named if not asked.runs[run]), default=1)
    return {run: asked.runs[run] or len(run.split()) / longest for run in named}


def score(asked: Asked, signals: Signals) -> NDArray[np.float32]:
    """Return one score per passage, from 0 to 1.

    A passage that the traversal does not reach earns by its words only. Where a question names neither a
    condition, a title nor a concept that is held, words alone decide.
    """
    relation = np.where(signals.headed, HEADING, 0.0)
    if asked.kinds:
        relation = relation + (1 - HEADING) * np.minimum(signals.carried / ENOUGH, 1)
    else:
        relation = np.where(signals.headed, 1.0, 0.0)
    named = signals.named / max(1, len(asked.concepts))
    whole = 1 + RELATION * bool(asked.relations) + CONCEPTS * bool(asked.concepts)
    way = np.where(signals.reached, (signals.topic + RELATION * relation + CONCEPTS * named) / whole, 0.0)
    words = fuse(None, signals.lexical, signals.aspect, signals.title)
    return ((GRAPH_WEIGHT * way + words) / (GRAPH_WEIGHT + 1)).astype(np.float32)
