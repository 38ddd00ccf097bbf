"""The lexicon: its files, look-up, the user's own files, and what it refuses."""

from __future__ import annotations

import json

import pytest

from dallm import Feature, Lexicon
from dallm.engines.extractive.recognise import Recogniser
from dallm.errors import LexiconError
from dallm.lexicon import CATEGORIES, Concept

PAPER = [
    "abdominal liquid", "abdominal pain on right superior quadrant", "age", "anesthesia", "asymptomatic",
    "back pain", "bone fractures", "breathing difficulty", "cardiac tamponade", "chest pain",
    "chronic obstructive pulmonary disease", "congestive heart failure", "cough", "decreased alertness",
    "diaphoresis", "diastolic blood pressure (mmHg)", "dimension of the jugular vein",
    "distant heart sounds", "dry cough", "dyspnea", "electrical alternans on ekg", "fatigue", "fever",
    "fluid around the heart", "friction rub", "frothy sputum", "fungal and mineral exposure", "gender",
    "heart failure", "heart rate", "hiatal hernia", "high bone density", "high heart beat intensity",
    "hypertensive crisis", "hypoxemia", "impaired gas exchange", "impaired left ventricular function",
    "increased jugular venous pressure", "increased microvascular permeability",
    "interstitial lung disease", "left precordial pleuritic chest pain", "leg swelling", "lip cyanosis",
    "low heart beat intensity", "lung collapsed", "neck pain", "oxygen saturation (%)",
    "pain in the shoulders", "palpitations", "pericardial effusion", "plaques", "pleural effusion",
    "pleural thickening", "pneumonia", "pneumothorax", "positional chest pain", "pulmonary tuberculosis",
    "pulsus paradoxus", "radiation to the trapezius ridge", "relief of pain by bending forward",
    "relief of pain by inspiration", "respiratory failure", "respiratory rate", "shortness of breath",
    "small volume linear shadows", "smoking", "specific electrocardiogram changes", "spirometry (FVC)",
    "sudden onset of sharp chest pain", "sweating", "systolic blood pressure (mmHg)", "temperature",
    "venous pressure", "volume overload", "weakness", "wheezing", "worsening of pain by inspiration",
    "worsening of pain by lying down", "low bone density", "asthma", "cyanosis",
]  # fmt: skip
COLUMNS = {
    "temperature": "temperature",
    "heartrate": "heart rate",
    "resprate": "respiratory rate",
    "o2sat": "oxygen saturation",
    "sbp": "systolic blood pressure",
    "dbp": "diastolic blood pressure",
    "age": "age",
    "gender": "gender",
}
LABELS = [
    "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia",
    "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural_thickening", "hernia",
    "enlarged_cardiomediastinum", "lung_opacity", "lung_lesion", "fracture", "support_devices",
    "no_finding",
]  # fmt: skip


@pytest.fixture(scope="module")
def lexicon():
    return Lexicon.default()


@pytest.fixture(scope="module")
def recogniser(lexicon):
    return Recogniser(lexicon.concepts, lexicon.groups)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test__default__its_files__are_sound_and_large_enough(lexicon):
    assert lexicon.check() == ()
    assert len(lexicon) >= 180
    assert {c.category for c in lexicon} == set(CATEGORIES)
    assert Lexicon.default() is lexicon


@pytest.mark.parametrize("name", [*PAPER, *LABELS])
def test__find__feature_of_the_paper_or_label__is_known(lexicon, name):
    assert lexicon.find(name) is not None


@pytest.mark.parametrize(("column", "name"), COLUMNS.items())
def test__find__column_name__gives_the_concept(lexicon, column, name):
    assert lexicon.find(column).name == name
    assert lexicon.find(column.upper()).name == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("shortness of breath", "dyspnea"),
        ("sweating", "diaphoresis"),
        ("fluid around the heart", "pericardial effusion"),
    ],
)
def test__find__synonyms_of_the_paper__are_one_concept(lexicon, one, other):
    assert lexicon.find(one) is lexicon.find(other)


def test__find__unknown_or_empty_name__is_none(lexicon):
    assert lexicon.find("favourite colour") is None
    assert lexicon.find("") is None
    assert lexicon.find("***") is None


def test__terms__every_concept__is_found_in_text_by_its_own_terms(lexicon, recogniser):
    missed = []
    for concept in lexicon:
        if concept.kind != "boolean":
            continue
        for term in concept.terms:
            found = {m.concept.name for m in recogniser.find(f"There is {term}.")}
            reached = found | {a for name in found for a in lexicon.ancestors(name)}
            if concept.name not in reached:
                missed.append((concept.name, term))
    assert missed == []


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Temp 38.2 C", "temperature", 100.76),
        ("WBC 15.2", "white blood cell count", 15.2),
        ("hemoglobin 95 g/L", "hemoglobin", 9.5),
        ("CVP 12 mmHg", "venous pressure", 12.0),
        ("FVC 2.1 L", "forced vital capacity", 2.1),
    ],
)
def test__numeric__value_with_unit__is_converted(recogniser, text, name, value):
    found = {m.concept.name: m.value for m in recogniser.find(text)}
    assert found[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("rheumatic fever", "fever"),
        ("valley fever", "fever"),
        ("CP angle is sharp", "chest pain"),
        ("sodium bicarbonate 24", "sodium"),
        ("knee effusion", "pleural effusion"),
        ("pulse oximetry 95", "heart rate"),
        ("weight loss 10 kg", "weight"),
    ],
)
def test__ignore__term_inside_another_thing__is_not_the_concept(recogniser, text, wrong):
    assert wrong not in {m.concept.name for m in recogniser.find(text)}


def test__is_a__child_and_parent__are_linked_both_ways(lexicon):
    assert lexicon.ancestors("left precordial pleuritic chest pain")[0] == "pleuritic chest pain"
    assert "chest pain" in lexicon.ancestors("left precordial pleuritic chest pain")
    assert "rib fracture" in lexicon.descendants("fracture")
    assert lexicon.ancestors("no such concept") == ()


def test__load__same_name__extends_the_concept(tmp_path, lexicon):
    mine = write(
        tmp_path / "mine.toml", '[[concept]]\nname = "fever"\nterms = ["running hot"]\nis_a = ["sepsis"]\n'
    )
    loaded = Lexicon.load(mine)
    fever = loaded.find("running hot")
    assert fever.name == "fever"
    assert set(lexicon.find("fever").terms) < set(fever.terms)
    assert len(loaded) == len(lexicon)
    assert lexicon.find("running hot") is None


def test__load__replace__takes_the_place_of_the_concept(tmp_path):
    text = '[[concept]]\nname = "fever"\nkind = "ordinal"\ncategory = "vital"\nreplace = true\n'
    text += 'levels = ["low", "high"]\n'
    fever = Lexicon.load(write(tmp_path / "mine.toml", text)).find("fever")
    assert (fever.kind, fever.terms, fever.levels) == ("ordinal", ("fever",), ("low", "high"))


def test__load__json_with_groups__finds_the_pattern(tmp_path):
    concept = {
        "name": "sail sign",
        "kind": "boolean",
        "category": "imaging finding",
        "patterns": ["{thymus} !sail"],
    }
    mine = write(
        tmp_path / "mine.json", json.dumps({"concept": [concept], "groups": {"thymus": ["thymus", "gland"]}})
    )
    loaded = Lexicon.load(mine, base=None)
    assert [
        m.concept.name for m in Recogniser(loaded.concepts, loaded.groups).find("The gland sail is seen.")
    ] == ["sail sign"]


HEAD = '[[concept]]\nname = "odd sign"\nkind = "boolean"\ncategory = "sign"\n'
REFUSED = [
    ('[[concept]]\nname = "odd sign"\ncategory = "sign"\n', "needs the field 'kind'"),
    (HEAD.replace("boolean", "bolean"), "field 'kind'.*Did you mean 'boolean'"),
    (HEAD.replace('"sign"', '"symptoms"'), "field 'category'.*Did you mean 'symptom'"),
    (HEAD + 'term = ["x"]\n', "unknown field 'term'.*Did you mean 'terms'"),
    (HEAD + 'terms = "x"\n', "field 'terms' must be a list"),
    (HEAD + 'terms = ["  x"]\n', "field 'terms'.*spaces"),
    (HEAD + 'terms = ["Odd"]\n', "field 'terms'.*abbreviations"),
    (HEAD + 'unit = "%"\n', "field 'unit' goes with numeric"),
    (HEAD + 'is_a = ["feverr"]\n', "field 'is_a'.*Did you mean 'fever'"),
    (HEAD + 'patterns = ["{hearts} big"]\n', "field 'patterns'.*no group is called 'hearts'"),
    (HEAD + 'patterns = ["... big"]\n', "field 'patterns'.*stands between"),
    (HEAD + 'patterns = ["!a !b"]\n', "field 'patterns'.*only one"),
    (HEAD + 'patterns = ["(a)"]\n', "field 'patterns'.*not an element"),
    (HEAD + 'terms = ["febrile"]\n', "'febrile' is already a term of 'fever'"),
    (HEAD + 'is_a = ["odd sign"]\n', "kind of itself"),
    (HEAD + HEAD, "given twice"),
    (HEAD.replace("boolean", "numeric"), "field 'unit'"),
    (HEAD.replace("boolean", "numeric") + 'unit = "%"\nlow = 2\nhigh = 1\n', "'low' must be below"),
    (HEAD.replace("boolean", "numeric") + 'unit = "%"\nlow = "a"\n', "field 'low' must be a finite number"),
    (
        HEAD.replace("boolean", "numeric") + 'unit = "a"\nunits = {b = "x*x"}\n',
        "field 'units', unit 'b'.*linear",
    ),
    (HEAD.replace("boolean", "ordinal"), "field 'levels'"),
    (
        HEAD.replace("boolean", "ordinal") + 'levels = ["a", "b"]\nlevel_terms = {c = ["d"]}\n',
        "'c' is not one of",
    ),
    ('[[concept]]\nname = "fever"\nkind = "numeric"\n', "'fever', field 'kind'.*replace = true"),
    ('[[concept]]\nkind = "boolean"\n', "concept 1 needs a 'name'"),
    ('[[concepts]]\nname = "a"\n', "unknown top-level key 'concepts'.*Did you mean 'concept'"),
    ("[groups]\nempty = []\n", "group 'empty' is empty"),
    ("[[concept]\n", "not valid TOML"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test__load__wrong_file__names_file_concept_and_field(tmp_path, text, message):
    mine = write(tmp_path / "mine.toml", text)
    with pytest.raises(LexiconError, match=f"(?s)mine.toml: .*{message}"):
        Lexicon.load(mine)


def test__load__missing_binary_or_foreign_file__is_named(tmp_path):
    with pytest.raises(LexiconError, match=r"gone\.toml: the lexicon file cannot be read"):
        Lexicon.load(tmp_path / "gone.toml")
    with pytest.raises(LexiconError, match=r"ends in .toml or .json"):
        Lexicon.load(write(tmp_path / "mine.csv", "a,b"))
    (tmp_path / "latin.toml").write_bytes(b'[[concept]]\nname = "f\xe9ver"\n')
    with pytest.raises(LexiconError, match=r"latin.toml: not UTF-8 at byte 21"):
        Lexicon.load(tmp_path / "latin.toml")


def test__concept_for__known_feature__gains_its_aliases(lexicon):
    concept = lexicon.concept_for(Feature("breathing_difficulty", "boolean", aliases=("puffed out",)))
    assert concept.name == "dyspnea"
    assert {"puffed out", "dyspnea", "shortness of breath"} <= set(concept.terms)


def test__concept_for__unknown_feature__is_made_of_its_names(lexicon):
    concept = lexicon.concept_for(Feature("Sail_sign", "boolean", aliases=("Thymic sail",)))
    assert concept == Concept("sail sign", "boolean", "sign", terms=("sail sign", "thymic sail"))


def test__concept_for__another_unit__converts_to_the_feature(lexicon):
    concept = lexicon.concept_for(Feature("temperature", "numeric", unit="degC", low=24, high=46))
    assert (concept.unit, concept.low, concept.high) == ("degC", 24, 46)
    found = Recogniser([concept], lexicon.groups).find("temperature 100.4 F, later temp 38.5 C")
    assert [m.value for m in found] == pytest.approx([38.0, 38.5])


def test__concept_for__other_kind__is_the_features(lexicon):
    concept = lexicon.concept_for(Feature("breath sounds", "boolean"))
    assert (concept.kind, concept.levels, concept.level_terms) == ("boolean", (), {})
    levels = lexicon.concept_for(Feature("cough", "ordinal", levels=("mild", "severe")))
    assert levels.levels == ("mild", "severe")


def test__concept_for__abbreviation_as_alias__stays_case_sensitive(lexicon):
    concept = lexicon.concept_for(Feature("pulmonary embolism", "boolean", aliases=("PE",)))
    assert "pe" not in concept.terms
    assert "PE" in concept.abbreviations
