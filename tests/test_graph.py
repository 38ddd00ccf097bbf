"""The knowledge graph: what passages name, as what, and what a question asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import dallm
from dallm.errors import KnowledgeWarning, UserError
from dallm.features import Feature, FeatureSet
from dallm.knowledge.cut import cut
from dallm.knowledge.graph.build import build
from dallm.knowledge.graph.model import CONCEPT_KINDS, Mention, document_node, from_json, to_json
from dallm.knowledge.graph.rules import GraphRules
from dallm.knowledge.graph.traverse import read_question, weigh_names
from dallm.knowledge.passage import Document, Passage, Section
from dallm.resources import data_path


def page(text: str, *, heading: str = "", title: str = "Atelectasis", about: str = "atelectasis") -> Document:
    return Document(title, (Section(heading, text),), "notes", "a.md", conditions=(about,))


def named(text: str, **options: str) -> list[tuple[str, str]]:
    nodes = build(cut(page(text, **options)))
    return [tuple(mention) for node in nodes for mention in node.mentions]


@pytest.mark.parametrize(
    ("heading", "text", "expected"),
    [
        ("Symptoms", "Fever and tachypnea.", "symptom fever, symptom tachypnea"),
        ("Signs", "Tachypnea is seen.", "sign tachypnea"),
        ("Signs and symptoms", "Fever, tachypnea.", "symptom fever, sign tachypnea"),
        ("Causes", "Smoking and pneumonia.", "cause smoking, cause pneumonia"),
        ("Etiology > In adults", "Sarcoidosis.", "cause sarcoidosis"),
        ("Diagnosis", "Troponin, chest x-ray.", "test troponin, test chest radiograph"),
        ("Radiographic look", "Consolidation in pneumonia.", "finding consolidation, finding pneumonia"),
        ("History", "Smoking, asthma.", "history smoking, history asthma"),
        ("", "Fever, troponin, smoking.", "symptom fever, test troponin, history smoking"),
        ("", "Pneumonia may follow.", "condition pneumonia"),
        ("", "Fever may be due to smoking.", "symptom fever, cause smoking"),
    ],
)
def test__build__concept__counts_as_its_heading_or_its_category_says(heading, text, expected):
    assert ", ".join(f"{kind} {name}" for kind, name in named(text, heading=heading)) == expected


def test__build__negated_and_own_condition__are_not_linked():
    found = named("There is no fever. Atelectasis comes with cough; lung collapse is another name.")
    assert found == [("symptom", "cough")]
    assert named("Asthma brings cough.", title="Asthma", about="wheeze") == [("symptom", "cough")]


def test__build__same_passages__give_the_same_graph():
    documents = [*dallm.Primer().documents(("atelectasis", "pneumonia"))]
    once, again = ([build(cut(d)) for d in documents] for _ in range(2))
    assert once == again
    assert {m.kind for nodes in once for n in nodes for m in n.mentions} >= set(CONCEPT_KINDS)


class Relating:
    """An engine with a way of its own of telling what passages name."""

    name, model = "test model", "m1"

    def __init__(self, told: list[list[Mention]]) -> None:
        self.told = told

    def relate(self, passages: Sequence[Passage]) -> list[list[Mention]]:
        return self.told


def test__build__engine_that_relates__is_asked_and_held_to_the_text():
    told = [[Mention("cause", "mucus"), Mention("cause", "alcohol")]]
    nodes = build(cut(page("Mucus blocks a bronchus.")), engine=Relating(told))
    assert nodes[0].mentions == (Mention("cause", "mucus"),)  # of alcohol the text says nothing
    with pytest.warns(KnowledgeWarning, match=r"0 of 1 passages of 'a\.md'"):
        nodes = build(cut(page("Fever.")), engine=Relating([]))
    assert nodes[0].mentions == (Mention("symptom", "fever"),)


def test__build__any_engine__proposes_features_that_cite_their_passage():
    class Proposing:
        name, model = "test model", None

        def propose_features(self, ack: Any) -> FeatureSet:
            first = ack.answers[0].citations[0].reference
            return FeatureSet(
                [
                    Feature("chest tightness", "boolean", category="symptom", citations=(first,)),
                    Feature("fever", "boolean", category="symptom", citations=(first,)),
                    Feature("rigors", "boolean", category="symptom"),
                ]
            )

    passages = cut(page("Chest tightness and rigors are felt."))
    assert build(passages, engine=Proposing())[0].mentions == (Mention("symptom", "chest tightness"),)


def test__to_json__and_back__keeps_everything():
    document = Document(
        "Asthma", (Section("A", "Cough."),), "s", "u", "7", "CC0", ("A", "B"), "2026", ("asthma",), "note"
    )
    node = document_node(document, ("asthma", "cough"), build(cut(document)))
    assert from_json(to_json(node)) == node


@pytest.mark.parametrize(
    ("question", "relations"),
    [
        ("What is atelectasis?", ("is_defined",)),
        ("What are the symptoms of atelectasis?", ("has_symptom",)),
        ("What are the causes of atelectasis?", ("caused_by",)),
        ("What are the radiographic features of atelectasis?", ("seen_as",)),
        ("Which laboratory data help to find what lies behind atelectasis?", ("tested_by",)),
        ("atelectasis", ()),
    ],
)
def test__read_question__words__tell_the_relation(question, relations):
    asked = read_question(question)
    assert (asked.relations, asked.conditions) == (relations, ("atelectasis",))


def test__read_question__names__are_runs_of_words_but_not_general_ones():
    asked = read_question("Which symptoms has Kartagener syndrome with fever?")
    assert "kartagener syndrom" in asked.runs
    assert "symptom" not in asked.runs
    assert asked.concepts == ("fever",)
    assert weigh_names(asked, {"kartagener syndrom", "syndrom", "fever"}) == {
        "kartagener syndrom": 1.0,
        "syndrom": 0.5,
        "fever": 0.5,
    }
    assert len(read_question("cough " * 5_000).runs) < 50


def test__rules__of_ones_own__decide(tmp_path: Path):
    table = data_path("graph.toml").read_text(encoding="utf-8")
    own = tmp_path / "graph.toml"
    own.write_text(table.replace('asked = ["symptom*",', 'asked = ["beschwerden", "symptom*",'))
    rules = GraphRules.load(own)
    assert read_question("Beschwerden bei Asthma?", rules).kinds == ("symptom",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[relation.has_sign]", "[relation.has_sgn]", r"\[relation.has_sgn\].*has_sign \(sign\)"),
        ('takes = ["laboratory"', 'takes = ["labratory"', "no category is called 'labratory'.*'laboratory'"),
        ("causal_reach = 80", 'causal_reach = "far"', "causal_reach is a number"),
        ("[words]", "[wrds]", r"no table is called \[wrds\].*words"),
        ("[agent]", "[agent", "cannot be read"),
        ('"allergen" = [', '"allergen" = [1, ', r"\[agent\] 'allergen' is a list of words"),
    ],
)
def test__rules__broken_table__is_named(tmp_path: Path, old, new, message):
    table = data_path("graph.toml").read_text(encoding="utf-8")
    assert old in table
    own = tmp_path / "graph.toml"
    own.write_text(table.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as raised:
        GraphRules.load(own)
    assert str(own) in str(raised.value)


def test__build__extractive_engine__is_the_default():
    passages = cut(page("Fever and cough."))
    assert build(passages, engine=SimpleNamespace(name="extractive", model=None)) == build(passages)
