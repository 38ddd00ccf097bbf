"""Build the graph from passages: which concepts each names, and as what."""

from __future__ import annotations

import functools
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from dallm.ack.ack import Ack, Answer, Citation
from dallm.engines.base import Engine
from dallm.engines.extractive.analyse import Analyser
from dallm.engines.extractive.propose import discovery_concepts
from dallm.engines.extractive.recognise import Recogniser
from dallm.engines.extractive.text import sentences
from dallm.errors import KnowledgeWarning
from dallm.knowledge.conditions import condition_names, known_conditions, resolve_condition
from dallm.knowledge.graph.model import CONDITION, Mention, PassageNode, topic_of
from dallm.knowledge.graph.rules import GraphRules
from dallm.knowledge.passage import Passage
from dallm.lexicon import Concept, Lexicon

_ASKED_OF_AN_ENGINE = "Which symptoms, signs, causes, tests and radiographic findings does this text name?"


@runtime_checkable
class Relates(Protocol):
    """An engine that can itself say what passages name; one method, beside those of ``Engine``."""

    def relate(self, passages: Sequence[Passage]) -> Sequence[Sequence[Mention]]:
        """Return, per passage and in its order, what it names and does not negate."""
        ...


def build(
    passages: Iterable[Passage], *, engine: Engine | None = None, rules: GraphRules | None = None
) -> list[PassageNode]:
    """Find what passages name, so that they can be linked.

    Without an engine, or with the extractive one, the concepts of the lexicon are recognised; what a passage
    negates is not linked, nor is the condition that it is about. What a concept counts as is told by the
    heading above it (under "Causes" a cause), else by words before it ("caused by"), else by its category.

    An engine with a method ``relate`` (see :class:`Relates`) is asked directly. Of any other engine
    ``propose_features`` is called, once per document, on a corpus with one answer per passage: a feature that
    cites a passage, and whose name or alias stands in it, is linked. What an engine names and the passage
    does not hold is never linked.

    Parameters
    ----------
    passages : iterable of Passage
        In the order of their documents.
    engine : Engine, optional
        Who reads the passages; by default no language model does.
    rules : GraphRules, optional
        The table of cues; by default ``data/graph.toml``.

    Returns
    -------
    list of PassageNode
        One per passage, in their order; `place` counts from 0 within a document.

    Examples
    --------
    >>> from dallm.knowledge.cut import cut
    >>> from dallm.knowledge.passage import Document, Section
    >>> text = "Pneumonia and smoking lead to it; there is no fever."
    >>> page = Document("Atelectasis", (Section("Causes", text),), "notes", "a.md")
    >>> [tuple(m) for m in build(cut(page))[0].mentions]
    [('cause', 'pneumonia'), ('cause', 'smoking')]
    """
    reader = _reader(rules or GraphRules.default())
    nodes: list[PassageNode] = []
    for _, group in itertools.groupby(passages, key=lambda p: (p.source, p.url)):
        of_document = list(group)
        for place, (passage, found) in enumerate(
            zip(of_document, _mentions(of_document, engine, reader), strict=True)
        ):
            nodes.append(
                PassageNode(
                    place=place,
                    section=passage.section,
                    text=passage.text,
                    sha256=passage.sha256,
                    conditions=passage.conditions,
                    headed=reader.rules.headed(passage.section),
                    mentions=tuple(dict.fromkeys(_not_own(found, passage))),
                )
            )
    return nodes


def concepts_in(text: str, rules: GraphRules | None = None) -> tuple[str, ...]:
    """Return the names of the concepts that a question names, conditions of the table left out.

    Examples
    --------
    >>> concepts_in("Does pneumonia come with fever and a chest x-ray that is normal?")
    ('fever', 'chest radiograph')
    """
    found = _reader(rules or GraphRules.default()).named(text)
    return tuple(dict.fromkeys(concept.name for concept, _, _ in found if not _condition(concept.name)))


class Reader:
    """Reads passages by the lexicon; made once per table of cues, because that takes a while."""

    def __init__(self, rules: GraphRules) -> None:
        self.rules = rules
        lexicon = Lexicon.default()
        own = [c for c in rules.concepts if lexicon.find(c.name) is None]
        concepts = [*(c for c in discovery_concepts(lexicon) if c.discover), *own]
        self._analyser = Analyser(Recogniser(concepts, lexicon.groups))

    def mentions(self, passage: Passage) -> Iterator[Mention]:
        """Yield what a passage names."""
        headed = self.rules.headed(passage.section)
        for concept, piece, at in self.named(passage.text):
            category = CONDITION if _condition(concept.name) else concept.category
            under = headed
            if not self._decides(headed, category) and self._caused(piece, at):
                under = ("caused_by",)
            kind = self.rules.kind(category, under)
            if kind == CONDITION:
                yield Mention(kind, resolve_condition(concept.name))
            elif kind:
                yield Mention(kind, concept.name)

    def named(self, text: str) -> Iterator[tuple[Concept, str, int]]:
        """Yield the concepts that a text names and does not negate: concept, sentence, place in it."""
        concepts = self._analyser.recogniser.concepts
        for sentence in sentences(text, "body"):
            piece = text[sentence.start : sentence.end]
            for finding in self._analyser.findings(piece, "body"):
                if finding.assertion != "negated" and not finding.normal:
                    yield concepts[finding.concept], piece, finding.start

    def _decides(self, headed: Sequence[str], category: str) -> bool:
        return any(r.kind and r.name in headed and category in r.takes for r in self.rules.relations)

    def _caused(self, sentence: str, at: int) -> bool:
        before = sentence[max(0, at - self.rules.causal_reach) : at].casefold()
        return self.rules.causal.search(before) is not None


@functools.lru_cache(maxsize=2)
def _reader(rules: GraphRules) -> Reader:
    return Reader(rules)


def _mentions(
    passages: Sequence[Passage], engine: Engine | None, reader: Reader
) -> Sequence[Sequence[Mention]]:
    if engine is None or engine.name == "extractive":
        return [list(reader.mentions(p)) for p in passages]
    if isinstance(engine, Relates):
        told: Sequence[Sequence[Mention]] = list(engine.relate(passages))
        if len(told) != len(passages):
            warnings.warn(
                f"The engine {engine.name!r} answered for {len(told)} of {len(passages)} passages of "
                f"{passages[0].url!r}; they were read by the extractive engine instead.",
                KnowledgeWarning,
                stacklevel=3,
            )
            return [list(reader.mentions(p)) for p in passages]
    else:
        told = _proposed(passages, engine, reader.rules)
    return [[m for m in found if _stands(m.name, p.text)] for p, found in zip(passages, told, strict=True)]


def _proposed(passages: Sequence[Passage], engine: Engine, rules: GraphRules) -> list[list[Mention]]:
    """What an engine proposes as features of the passages, each with the passages that it cites."""
    citations = [
        Citation(
            title=p.title, section=p.section, source=p.source, url=f"{p.url}#{place}", quote=p.text,
            text=p.text, sha256=p.sha256,
        )
        for place, p in enumerate(passages)
    ]  # fmt: skip
    topic = next((p.conditions[0] for p in passages if p.conditions), passages[0].title.casefold())
    answers = [
        Answer(topic, f"passage {place}", "graph", _ASKED_OF_AN_ENGINE, f"{p.text} [1]", (citation,))
        for place, (p, citation) in enumerate(zip(passages, citations, strict=True))
    ]
    found: list[list[Mention]] = [[] for _ in passages]
    for feature in engine.propose_features(Ack(answers, engine=engine.name, model=engine.model)):
        for place, passage in enumerate(passages):
            if citations[place].reference not in feature.citations:
                continue
            name = next((n for n in (feature.name, *feature.aliases) if _stands(n, passage.text)), None)
            category = CONDITION if _condition(feature.name) else feature.category or ""
            kind = rules.kind(category, rules.headed(passage.section))
            if name is not None and kind:
                found[place].append(Mention(kind, name.casefold()))
    return found


def _stands(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name.casefold())}s?(?!\w)", text.casefold()) is not None


def _not_own(found: Iterable[Mention], passage: Passage) -> Iterator[Mention]:
    """Leave out what the passage is about: that atelectasis comes with atelectasis says nothing."""
    own = {topic_of(passage.title), *(topic for c in passage.conditions for topic in _topics(c))}
    for mention in found:
        topic, condition = _meant(mention.name)
        if topic not in own and condition not in passage.conditions:
            yield mention


@functools.lru_cache(maxsize=4096)
def _topics(condition: str) -> tuple[str, ...]:
    return tuple(map(topic_of, condition_names(condition)))


@functools.lru_cache(maxsize=4096)
def _meant(name: str) -> tuple[str, str]:
    return topic_of(name), resolve_condition(name)


@functools.lru_cache(maxsize=4096)
def _condition(name: str) -> bool:
    return resolve_condition(name) in known_conditions()
