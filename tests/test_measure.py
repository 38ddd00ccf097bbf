"""Numbers in text: which belongs to which name, and which to none."""

from __future__ import annotations

import pytest

from dallm import Lexicon
from dallm.engines.extractive.recognise import Recogniser

LEXICON = Lexicon.default()
RECOGNISER = Recogniser(LEXICON.concepts, LEXICON.groups)


def values(text):
    return {m.concept.name: m.value for m in RECOGNISER.find(text) if m.value is not None}


def levels(text):
    return {m.concept.name: m.level for m in RECOGNISER.find(text) if m.level is not None}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Elevated WBC of 15.2", "white blood cell count", 15.2),
        ("WBC 15,200 /uL", "white blood cell count", 15.2),
        ("WBC 15.2 x10^9/L", "white blood cell count", 15.2),
        ("reduced ejection fraction of 30%", "left ventricular ejection fraction", 30),
        ("EF 25 %", "left ventricular ejection fraction", 25),
        ("BP 120 over 80", "diastolic blood pressure", 80),
        ("The BP on 3/12/2020 was 120/80", "systolic blood pressure", 120),
        ("hypotensive to 80/40", "systolic blood pressure", 80),
        ("systolic 120", "systolic blood pressure", 120),
        ("SpO2 on 40% oxygen was 91%", "oxygen saturation", 91),
        ("sats on 2 L 94%", "oxygen saturation", 94),
        ("O2 sat (room air) 88%", "oxygen saturation", 88),
        ("O2 sat from 88% to 95%", "oxygen saturation", 95),
        ("92% saturation, temp 38.5 C", "oxygen saturation", 92),
        ("HR was irregular at 120", "heart rate", 120),
        ("creatinine on 5/12 was 2.3", "creatinine", 2.3),
        ("creatinine up from 1.0 to 2.3", "creatinine", 2.3),
        ("fever to 102.7 F", "temperature", 102.7),
        ("pain score 8/10", "pain score", 8),
        ("GCS 14/15", "glasgow coma scale", 14),
        ("on 4 liters of oxygen", "oxygen flow", 4),
        ("31 pack-years of smoking", "smoking pack years", 31),
    ],
)
def test__measure__number_of_the_thing__is_taken(text, name, value):
    assert values(text)[name] == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "52 year old with cough for 2 days",
        "52-year-old",
        "age 52",
        "Aged 52, no cough for 3 weeks",
        "age: 52 years",
        "52yo man",
        "52 y/o",
        "52M with pain",
        "This is a 52F.",
        "52m c/o fever",
    ],
)
def test__measure__age__stands_right_at_its_word(text):
    assert values(text)["age"] == 52


def test__measure__infant__is_in_years():
    assert values("6 month old")["age"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        "XXXX-year-old with 2 days of cough",
        "pain 3 XXXX-year-old",
        "aged 50-60",
        "101F this morning",
        "T: 101F",
        "mass of 52 m size",
    ],
)
def test__measure__no_age__is_given(text):
    assert "age" not in values(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("BP 120", "systolic blood pressure"),
        ("BP 120", "diastolic blood pressure"),
        ("BP on 3/12/2020 was high", "systolic blood pressure"),
        ("oxygen saturation 88-92 %", "oxygen saturation"),
        ("oxygen saturation 88 to 92 %", "oxygen saturation"),
        ("SpO2 > 90 %", "oxygen saturation"),
        ("SpO2 less than 90 %", "oxygen saturation"),
        ("SpO2 in the 90s", "oxygen saturation"),
        ("sats on 40 L", "oxygen saturation"),
        ("temperature for 80 days", "temperature"),
        ("temperature 451", "temperature"),
        ("1) heart rate 2) blood pressure 98", "heart rate"),
        ("tachycardic to 130s", "heart rate"),
        ("blood pressure, pulse 88", "systolic blood pressure"),
        ("FVC 65% of predicted", "forced vital capacity"),
        ("JVP elevated at 12 cm", "venous pressure"),
        ("history of hypertension, 3/4 murmur", "systolic blood pressure"),
        ("weight loss 10 kg", "weight"),
    ],
)
def test__measure__other_number__is_not_taken(text, name):
    assert name not in values(text)


def test__measure__row_of_vitals__each_number_goes_to_one_name():
    assert values("Vitals: T 98.6 HR 88 BP 120/80 RR 20 O2 sat 95% RA, 70 kg weight") == {
        "temperature": 98.6,
        "heart rate": 88,
        "systolic blood pressure": 120,
        "diastolic blood pressure": 80,
        "respiratory rate": 20,
        "oxygen saturation": 95,
        "weight": 70,
    }


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("severe sudden onset chest pain", "severe"),
        ("chest pain, severe", "severe"),
        ("chest pain is now very mild.", "mild"),
        ("Mild cough, chest pain", None),
        ("chest pain with mild exertion", None),
        ("chest pain and severe dyspnea", None),
    ],
)
def test__severity__word_beside_the_symptom__is_its_level(text, level):
    assert levels(text).get("chest pain severity") == level


@pytest.mark.parametrize(
    ("text", "both"),
    [
        ("Elevated WBC of 15.2", {"leukocytosis", "white blood cell count"}),
        (
            "reduced ejection fraction of 30%",
            {"impaired left ventricular function", "left ventricular ejection fraction"},
        ),
        ("Febrile to 102", {"fever", "temperature"}),
        ("67M with cough", {"age", "gender", "cough"}),
    ],
)
def test__recogniser__finding_and_value_in_the_same_words__are_both_found(text, both):
    assert both <= {m.concept.name for m in RECOGNISER.find(text)}
