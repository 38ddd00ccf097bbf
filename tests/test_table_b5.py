"""Every feature of the paper's Table B.5 in sentences of reports: stated, denied, in other words."""

from __future__ import annotations

import pytest

import dallm
from dallm import Case, Feature

ENGINE = dallm.engine("extractive")

# feature: (stated, denied, stated in other words)
BOOLEAN = {
    "abdominal liquid": (
        "There is free fluid in the abdomen.",
        "No ascites.",
        "Ultrasound showed intraperitoneal fluid.",
    ),
    "abdominal pain on right superior quadrant": (
        "She has RUQ pain.",
        "Denies right upper quadrant pain.",
        "Pain located in the right upper quadrant.",
    ),
    "anesthesia": (
        "Yesterday he was under general anesthesia.",
        "No recent anesthesia.",
        "He was sedated for the procedure.",
    ),
    "asymptomatic": (
        "The patient is asymptomatic.",
        "The patient remains symptomatic.",
        "She is free of symptoms.",
    ),
    "back pain": ("Back pain for two weeks.", "No back pain.", "Her lower back hurts when she bends."),
    "bone fractures": (
        "There is a fracture of the left clavicle.",
        "No acute fracture.",
        "The distal humerus is fractured.",
    ),
    "breathing difficulty": (
        "He has difficulty breathing.",
        "No trouble breathing.",
        "She can hardly talk and cannot catch her breath.",
    ),
    "cardiac tamponade": (
        "Findings of cardiac tamponade.",
        "No evidence of tamponade.",
        "Echo with tamponade physiology.",
    ),
    "chest pain": ("Substernal chest pain.", "Denies chest pain.", "His chest has been aching."),
    "chronic obstructive pulmonary disease": (
        "Known COPD.",
        "No history of COPD.",
        "Chronic obstructive airways disease on inhalers.",
    ),
    "congestive heart failure": ("CHF exacerbation.", "No CHF.", "Congestive cardiac failure is noted."),
    "cough": ("Cough for a week.", "Denies cough.", "He has been coughing at night."),
    "decreased alertness": (
        "She is drowsy.",
        "He is alert and oriented.",
        "The level of consciousness was reduced.",
    ),
    "diaphoresis": ("Diaphoretic on arrival.", "No diaphoresis.", "He woke drenched in sweat."),
    "distant heart sounds": (
        "Muffled heart sounds.",
        "Heart sounds are not distant.",
        "The heart tones were faint.",
    ),
    "dry cough": ("Dry cough.", "No dry cough.", "Her cough has been nonproductive."),
    "dyspnea": ("Progressive dyspnea.", "No dyspnea.", "He gets short of breath."),
    "electrical alternans on ekg": (
        "EKG shows electrical alternans.",
        "No electrical alternans.",
        "The QRS amplitude is alternating.",
    ),
    "fatigue": ("Fatigue for months.", "Denies fatigue.", "She tires easily."),
    "fever": ("Fever and chills.", "The patient is afebrile.", "He was febrile overnight."),
    "fluid around the heart": (
        "There is fluid around the heart.",
        "No fluid around the heart.",
        "Fluid surrounds the pericardium.",
    ),
    "friction rub": ("Pericardial friction rub heard.", "No rub.", "A pericardial rub is present."),
    "frothy sputum": ("Pink frothy sputum.", "No frothy sputum.", "The phlegm looks foamy."),
    "fungal and mineral exposure": (
        "Long exposure to silica dust.",
        "No mold exposure.",
        "He was exposed for years to pigeon droppings.",
    ),
    "heart failure": ("Decompensated heart failure.", "No heart failure.", "Signs of cardiac failure."),
    "hiatal hernia": ("Large hiatal hernia.", "No hiatal hernia.", "A hiatus hernia is noted."),
    "high bone density": (
        "The vertebrae show osteosclerosis.",
        "Bone density is not increased.",
        "The bones appear dense.",
    ),
    "high heart beat intensity": (
        "Loud heart sounds.",
        "Heart sounds are not loud.",
        "The apical impulse is forceful.",
    ),
    "hypertensive crisis": (
        "Hypertensive emergency with BP 220/130.",
        "No hypertensive crisis.",
        "Admitted with hypertensive urgency.",
    ),
    "hypoxemia": ("Hypoxic on room air.", "No hypoxia.", "She desaturated, low oxygen saturation."),
    "impaired gas exchange": (
        "Impaired gas exchange.",
        "No impaired gas exchange.",
        "Gas exchange was poor.",
    ),
    "impaired left ventricular function": (
        "Reduced left ventricular function.",
        "LV systolic function is normal.",
        "The ejection fraction is severely depressed.",
    ),
    "increased jugular venous pressure": (
        "Elevated JVP.",
        "JVP is not elevated.",
        "Neck veins are distended.",
    ),
    "increased microvascular permeability": (
        "Capillary leak.",
        "No capillary leak.",
        "Increased vascular permeability.",
    ),
    "interstitial lung disease": (
        "Known interstitial lung disease.",
        "No interstitial lung disease.",
        "History of ILD.",
    ),
    "left precordial pleuritic chest pain": (
        "Left precordial pleuritic chest pain.",
        "No left precordial pleuritic chest pain.",
        "Pain over the left precordium that is pleuritic.",
    ),
    "leg swelling": ("Bilateral leg swelling.", "No pedal edema.", "Both ankles look swollen."),
    "lip cyanosis": ("Cyanosis of the lips.", "No perioral cyanosis.", "His lips turned blue."),
    "low heart beat intensity": (
        "Weak heartbeat.",
        "No weak heartbeat.",
        "The apical impulse is weak.",
    ),
    "lung collapsed": (
        "Collapse of the left lung.",
        "No lung collapse.",
        "The right upper lobe has collapsed.",
    ),
    "neck pain": ("Neck pain.", "No neck pain.", "His neck hurts on the right."),
    "pain in the shoulders": (
        "Pain in both shoulders.",
        "No shoulder pain.",
        "The left shoulder has been sore.",
    ),
    "palpitations": ("Palpitations.", "Denies palpitations.", "She feels her heart racing."),
    "pericardial effusion": (
        "Small pericardial effusion.",
        "No pericardial effusion.",
        "Fluid in the pericardial sac.",
    ),
    "plaques": ("Calcified pleural plaques.", "No pleural plaques.", "Several diaphragmatic plaques."),
    "pleural effusion": (
        "Moderate right pleural effusion.",
        "The pleural spaces are free of fluid.",
        "Fluid has collected in the left pleural space.",
    ),
    "pleural thickening": (
        "Apical pleural thickening.",
        "No pleural thickening.",
        "The pleura is thickened at the base.",
    ),
    "pneumonia": ("Left lower lobe pneumonia.", "No pneumonia.", "Bronchopneumonia on the right."),
    "pneumothorax": ("Tiny apical pneumothorax.", "No pneumothorax.", "Air in the pleural space."),
    "positional chest pain": (
        "Positional chest pain.",
        "The chest pain is not positional.",
        "The pain changes when she changes position.",
    ),
    "pulmonary tuberculosis": (
        "Active pulmonary tuberculosis.",
        "No active tuberculosis.",
        "Reactivation TB in the upper lobes.",
    ),
    "pulsus paradoxus": ("Pulsus paradoxus.", "No pulsus paradoxus.", "A paradoxical pulse was felt."),
    "radiation to the trapezius ridge": (
        "Pain radiating to the trapezius ridge.",
        "The pain does not radiate to the trapezius.",
        "It spreads into the left trapezius.",
    ),
    "relief of pain by bending forward": (
        "Chest pain relieved by leaning forward.",
        "Pain is not relieved by bending forward.",
        "Sitting up and bending forward eases the pain.",
    ),
    "relief of pain by inspiration": (
        "Pain relieved by inspiration.",
        "The pain is not relieved by deep inspiration.",
        "A deep breath eases the pain.",
    ),
    "respiratory failure": (
        "Acute respiratory failure.",
        "No respiratory failure.",
        "Admitted for ventilatory failure.",
    ),
    "shortness of breath": ("SOB on arrival.", "No shortness of breath.", "She is breathless at rest."),
    "small volume linear shadows": (
        "Linear shadows at the bases.",
        "No linear opacities.",
        "Streaky opacities at the left base.",
    ),
    "smoking": ("Smokes a pack a day.", "She has never smoked.", "40 pack-years of tobacco."),
    "specific electrocardiogram changes": (
        "ECG shows ST elevation.",
        "The EKG is normal.",
        "New T wave inversions.",
    ),
    "sudden onset of sharp chest pain": (
        "Sudden onset of sharp chest pain.",
        "No sudden sharp chest pain.",
        "Stabbing chest pain that began abruptly.",
    ),
    "sweating": ("Sweating at rest.", "No sweating.", "He complains of cold sweats."),
    "volume overload": ("Volume overload.", "The patient is euvolemic.", "He appears fluid overloaded."),
    "weakness": ("Generalized weakness.", "Denies weakness.", "She feels weak."),
    "wheezing": ("Wheezing.", "No wheezes.", "Expiratory wheeze on both sides."),
    "worsening of pain by inspiration": (
        "Pain worse on inspiration.",
        "The pain is not worse with deep breathing.",
        "Every breath makes the pain worse.",
    ),
    "worsening of pain by lying down": (
        "Pain worse when lying down.",
        "The pain does not worsen when lying flat.",
        "Lying flat aggravates the pain.",
    ),
    "low bone density": (
        "Diffuse osteopenia.",
        "Bone density is normal.",
        "The bones are demineralized.",
    ),
    "asthma": ("Asthma since childhood.", "No asthma.", "A known asthmatic."),
    "cyanosis": ("Cyanotic extremities.", "No cyanosis.", "The fingertips are bluish."),
}
NUMERIC = {
    "age": (
        "years",
        ("A 52-year-old with cough for 2 days.", 52),
        ("Age: 71", 71),
        ("49F with 3 days of pain", 49),
    ),
    "diastolic blood pressure (mmHg)": (
        "mmHg",
        ("BP 142/88", 88),
        ("Diastolic pressure was 64.", 64),
        ("blood pressure 95 over 50", 50),
    ),
    "heart rate": ("/min", ("HR 104", 104), ("Pulse was 61.", 61), ("Tachycardic to 133", 133)),
    "oxygen saturation (%)": (
        "%",
        ("SpO2 91% on 2 L", 91),
        ("Saturating 97 % on room air.", 97),
        ("Her sats on 4 L were 88%.", 88),
    ),
    "respiratory rate": ("/min", ("RR 28", 28), ("Respirations 16 per minute", 16), ("Tachypneic at 34", 34)),
    "spirometry (FVC)": (
        "L",
        ("FVC 2.3 L", 2.3),
        ("Vital capacity of 1900 mL", 1.9),
        ("Forced vital capacity: 3.1", 3.1),
    ),
    "systolic blood pressure (mmHg)": (
        "mmHg",
        ("BP 142/88", 142),
        ("SBP 88", 88),
        ("Hypotensive to 80/40", 80),
    ),
    "temperature": ("degF", ("Temp 101.2 F", 101.2), ("Febrile to 38.5 C", 101.3), ("T 99.1, HR 80", 99.1)),
    "venous pressure": ("mmHg", ("CVP 14 mmHg", 14), ("Central venous pressure was 9.", 9), ("JVP 11", 11)),
}
CASES = [
    (name, sentence, value)
    for name, sentences in BOOLEAN.items()
    for sentence, value in zip(sentences, (True, False, True), strict=True)
]


def filled(feature, sentence):
    drafts = next(iter(ENGINE.fill([Case(1, {"findings": sentence})], [feature]))).drafts
    return drafts[feature.name].value if feature.name in drafts else "nothing"


@pytest.mark.parametrize(("name", "sentence", "value"), CASES)
def test__fill__feature_of_table_b5__is_found_stated_or_denied(name, sentence, value):
    assert filled(Feature(name, "boolean"), sentence) is value


@pytest.mark.parametrize(
    ("name", "unit", "sentence", "value"),
    [(name, unit, *each) for name, (unit, *said) in NUMERIC.items() for each in said],
)
def test__fill__measurement_of_table_b5__is_read(name, unit, sentence, value):
    assert filled(Feature(name, "numeric", unit=unit), sentence) == pytest.approx(value)


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("The jugular veins are normal.", "normal"),
        ("Engorged neck veins.", "distended"),
        ("Flat neck veins.", "collapsed"),
    ],
)
def test__fill__dimension_of_the_jugular_vein__is_a_level(sentence, value):
    feature = Feature("dimension of the jugular vein", "ordinal", levels=("collapsed", "normal", "distended"))
    assert filled(feature, sentence) == value


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("52-year-old woman with cough", "female"),
        ("An elderly gentleman.", "male"),
        ("67M with dyspnea", "male"),
    ],
)
def test__fill__gender__is_a_level(sentence, value):
    assert filled(Feature("gender", "categorical", levels=("female", "male")), sentence) == value
