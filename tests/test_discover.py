"""Discovery: what the knowledge names becomes features, but not what the cohort has or a target says."""

from __future__ import annotations

import pandas as pd
import pytest

import dallm
from dallm import Ack, Cohort, Feature, FeatureSet, Lexicon, discover_features
from dallm.ack.ack import Answer, Citation
from dallm.augment.discover import Dropped
from dallm.engines.extractive.propose import propose


def citation(quote, title="A page"):
    return Citation(title, "Symptoms", "a source", "page.md", quote, quote, "0" * 64)


def ack_of(*answers):
    """An ACK of (condition, text, citation ...) rows."""
    return Ack(
        Answer(condition, f"query {n}", "group", "Which features?", text, citations)
        for n, (condition, text, *citations) in enumerate(answers)
        for citations in [tuple(citations)]
    )


def cohort_of(columns=(), targets=(), **roles):
    frame = pd.DataFrame({"case": [1, 2], "note": ["Fever.", "Cough."]})
    for column in (*columns, *roles.get("numeric", {})):
        frame[column] = [96.0, 97.0]
    for target in targets:
        frame[target] = [0, 1]
    return Cohort(frame, id="case", report="note", targets=list(targets), categorical=list(columns), **roles)


class Proposer:
    """An engine that proposes what it was given."""

    def __init__(self, *features):
        self.features = FeatureSet(features)

    def propose_features(self, ack):
        return self.features


def test__propose__named_concepts__are_typed_as_in_the_lexicon():
    text = "Dyspnea, reduced oxygen saturation on pulse oximetry, decreased breath sounds, older age."
    found = propose(ack_of(("pneumonia", text)), Lexicon.default())
    assert [(f.name, f.kind, f.unit) for f in found] == [
        ("dyspnea", "boolean", None),
        ("hypoxemia", "boolean", None),
        ("oxygen saturation", "numeric", "%"),
        ("breath sounds", "ordinal", None),
        ("age", "numeric", "years"),
    ]
    assert found["breath sounds"].levels == ("normal", "decreased", "absent")
    assert {f.origin for f in found} == {"discovered"}


def test__propose__negated_or_normal_mention__is_not_named():
    text = "There is no fever, and the heart size is normal. Cough may occur."
    assert propose(ack_of(("atelectasis", text)), Lexicon.default()).names == ("cough",)


def test__propose__a_test_named_by_the_knowledge__stands_for_its_result():
    found = propose(
        ack_of(("pneumonia", "Sputum culture and blood cultures find the organism.")), Lexicon.default()
    )
    assert found.names == ("positive sputum culture", "positive blood culture")


def test__propose__concept_of_two_conditions__is_one_feature_citing_the_quotes_that_name_it():
    ack = ack_of(
        (
            "pneumonia",
            "Shortness of breath. [1] Fever. [2]",
            citation("Shortness of breath."),
            citation("Fever.", "B"),
        ),
        ("pneumothorax", "Sudden dyspnea. [1]", citation("Sudden dyspnea.", "C")),
    )
    found = propose(ack, Lexicon.default())
    assert found.names == ("dyspnea", "fever")
    assert found["dyspnea"].conditions == ("pneumonia", "pneumothorax")
    assert [c.partition(":")[0] for c in found["dyspnea"].citations] == ["A page", "C"]
    assert [c.partition(":")[0] for c in found["fever"].citations] == ["B"]


def test__propose__condition_named_as_a_feature__is_marked():
    ack = ack_of(
        ("pneumonia", "Often with an effusion and fever."), ("pleural effusion", "Caused by pneumonia.")
    )
    found = propose(ack, Lexicon.default())
    assert found["pleural effusion"].restates == "pleural effusion"
    assert found["pneumonia"].restates == "pneumonia"
    assert found["fever"].restates is None


def test__propose__the_users_concept__is_found(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('[[concept]]\nname = "sail sign"\nkind = "boolean"\ncategory = "imaging finding"\n')
    found = propose(ack_of(("atelectasis", "A sail sign points to it.")), Lexicon.load(mine))
    assert found.names == ("sail sign",)


def test__discover__without_cohort__keeps_everything():
    found = discover_features(ack_of(("pneumonia", "Fever, cough and consolidation.")))
    assert found.names == ("fever", "cough", "consolidation")
    assert found.dropped == ()
    assert FeatureSet.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("column", "unit", "name"),
    [
        ("o2sat", "%", "oxygen saturation"),
        ("heartrate", "/min", "heart rate"),
        ("triage_temperature", "degF", "temperature"),
        ("SBP", "mmHg", "systolic blood pressure"),
    ],
)
def test__discover__measured_column_under_another_name__is_dropped(column, unit, name):
    ack = ack_of(("pneumonia", f"Fever and {name} matter."))
    found = discover_features(ack, cohort_of(numeric={column: unit}))
    assert found.names == ("fever",)
    assert found.dropped == (Dropped(name, f"the cohort has it: column {column!r}"),)


def test__discover__categorical_column__is_dropped_and_report_or_id_is_not():
    ack = ack_of(("pneumonia", "Smokers, with a note of the case, and fever."))
    found = discover_features(ack, cohort_of(columns=["smoking"]))
    assert found.names == ("fever",)


KIN = "Pleural effusion, empyema, abnormality of the pleura, pleural thickening and fever."


def test__discover__target__leaves_out_the_same_the_narrower_and_the_wider():
    found = discover_features(ack_of(("pneumonia", KIN)), cohort_of(targets=["pleural_effusion"]))
    assert found.names == ("pleural thickening", "fever")
    assert [d.name for d in found.dropped] == ["pleural effusion", "empyema", "pleural abnormality"]
    assert {d.why for d in found.dropped} == {"it restates the target 'pleural_effusion'"}


def test__discover__include_targets__keeps_and_marks_them():
    cohort = cohort_of(targets=["pleural_effusion"])
    found = discover_features(ack_of(("pneumonia", KIN)), cohort, include_targets=True)
    assert {f.name for f in found if f.restates == "pleural_effusion"} == {
        "pleural effusion",
        "empyema",
        "pleural abnormality",
    }
    assert found["fever"].restates is None
    assert found.dropped == ()


@pytest.mark.parametrize(
    "target", ["reflacx_edema", "Edema", "chexpert pulmonary oedema label", "Lung oedema"]
)
def test__discover__target_inside_a_longer_column_name__is_recognised(target):
    found = discover_features(
        ack_of(("heart failure", "Pulmonary edema and fever.")), cohort_of(targets=[target])
    )
    assert found.names == ("fever",)


def test__discover__target_in_no_lexicon__is_compared_by_name():
    engine = Proposer(Feature("Odd_lesion", "boolean"), Feature("other", "boolean", aliases=("odd  lesion",)))
    found = discover_features(ack_of(("x", "")), cohort_of(targets=["odd-lesion"]), engine=engine)
    assert [d.name for d in found.dropped] == ["Odd_lesion", "other"]


def test__discover__synonyms_from_an_engine__become_one_column():
    engine = Proposer(
        Feature("shortness of breath", "boolean", conditions=("a",), citations=("1",)),
        Feature("fever", "boolean"),
        Feature("dyspnea", "boolean", aliases=("air hunger",), conditions=("b",), citations=("2",)),
    )
    found = discover_features(ack_of(("a", "")), engine=engine)
    assert found.names == ("shortness of breath", "fever")
    merged = found["shortness of breath"]
    assert merged.aliases == ("dyspnea", "air hunger")
    assert (merged.conditions, merged.citations) == (("a", "b"), ("1", "2"))


def test__discover__changed_values_and_targets__change_nothing():
    ack = ack_of(("pneumonia", KIN + " Cough and oxygen saturation."))
    cohort = cohort_of(targets=["pneumonia"], numeric={"o2sat": "%"})
    frame = cohort.frame.assign(o2sat=[50.0, None], pneumonia=[1, 0], note=["", "None."])
    other = Cohort(frame, id="case", report="note", targets=["pneumonia"], numeric={"o2sat": "%"})
    first, second = discover_features(ack, cohort), discover_features(ack, other)
    assert (first, first.dropped) == (second, second.dropped)


def test__discover__primer__names_most_features_of_the_paper(tmp_path):
    store = dallm.open_store(tmp_path / "store", encoder=None)
    conditions = ["pleural effusion", "pericardial effusion", "heart failure", "pneumonia"]
    dallm.ingest(store, [dallm.Primer()], conditions)
    found = discover_features(dallm.build_ack(store, conditions))
    expected = {
        "dyspnea",
        "pleuritic chest pain",
        "cardiac tamponade",
        "jugular venous distension",
        "leg swelling",
    }
    assert expected <= set(found.names)
    assert all(f.conditions and f.citations for f in found)
