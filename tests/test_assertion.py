"""Tests of ``dallm.assertion_of``: one sentence a rule, the finding in brackets."""

import pandas as pd
import pytest

import dallm
from dallm.errors import UserError

SENTENCES = [
    # present, also where a denial stands nearby and does not reach it
    ("There is a small [pneumothorax].", "present"),
    ("No effusion but there is [atelectasis].", "present"),
    ("No effusion, mild [cardiomegaly].", "present"),
    ("No effusion is seen and the [heart is enlarged].", "present"),
    ("No pneumothorax; [effusion] persists.", "present"),
    ("Denies fever or chills but has [cough].", "present"),
    ("There is [cardiomegaly] and effusion is not seen.", "present"),
    ("Opacity consistent with [pneumonia].", "present"),
    ("Brought in by his wife for [chest pain].", "present"),
    ("Left basilar [atelectasis] versus scar.", "present"),
    # phrases that look like a denial
    ("No change in [effusion].", "present"),
    ("No significant interval change in the left [effusion].", "present"),
    ("No increase in [effusion].", "present"),
    ("Not only [cough] but fever.", "present"),
    ("The [effusion] has not resolved.", "present"),
    # denied before the finding
    ("No pneumothorax, effusion or [consolidation].", "negated"),
    ("No hilar mass, large [pleural effusion], or rib fracture.", "negated"),
    ("Denies fever, chills, [chest pain], or shortness of breath.", "negated"),
    ("She does not have any [chest pain].", "negated"),
    ("We see no XXXX of any [effusion] today.", "negated"),
    ("No evidence that he has [pneumonia].", "negated"),
    ("The patient was ruled out for [myocardial infarction].", "negated"),
    ("No history of [chest pain].", "negated"),
    ("Without increased [bone density].", "negated"),
    ("Wihtout [pneumothorax].", "negated"),
    ("(-) [fever].", "negated"),
    ("No rib is [fractured].", "negated"),
    ("Absent [breath sounds] on the left.", "negated"),
    # denied behind it
    ("[Effusion] is not seen.", "negated"),
    ("[Pneumothorax] and effusion are not seen.", "negated"),
    ("[Chest pain]: no", "negated"),
    ("[Pneumothorax] has been ruled out.", "negated"),
    ("[Pneumothorax] is no longer seen.", "negated"),
    ("[Pneumonia] is unlikely.", "negated"),
    # verbs that are denied, whatever stands between
    ("She has not developed [jaundice].", "negated"),
    ("She was not found to have [jaundice].", "negated"),
    ("A [thrombus] was not convincingly seen.", "negated"),
    ("The [rash] has not yet completely cleared.", "present"),
    ("A [nodule], not seen on the prior film.", "present"),
    ("He is never free of [pain].", "present"),
    # lists
    ("No fever, no chills, [cough].", "present"),
    ("No fever, no chills, nausea or [cough].", "negated"),
    ("Denies fever, severe [headache], new rash.", "negated"),
    ("Denies fever; chills; or [headache].", "negated"),
    ("No edema, lungs clear, [spleen] large.", "present"),
    ("No clubbing, 2+ [edema].", "present"),
    ("GI: -n/v, -[rash].", "negated"),
    ("(-) fever, (+) [cough].", "present"),
    ("Denies pain when supine or [fever].", "negated"),
    ("Although there was no fever, [sepsis] was found.", "present"),
    # what is taken for granted
    ("No source of the [bleeding] was found.", "present"),
    ("The cause of her [fever] was not found.", "present"),
    ("No redness around the [wound].", "present"),
    ("He was not treated for his [hypertension].", "present"),
    ("No explanation for her [syncope].", "present"),
    # considered
    ("[Malignancy] cannot be confidently excluded.", "possible"),
    ("Cannot exclude [pneumonia].", "possible"),
    ("[Pneumonia] cannot be excluded.", "possible"),
    ("This may represent scars that are associated with [fibrosis].", "possible"),
    ("Flat diaphragms, suggesting underlying [emphysema].", "possible"),
    ("Unclear whether there is a [cough].", "possible"),
    # looked for, feared
    ("Evaluate for [pneumonia].", "hypothetical"),
    ("Return if [fever] develops.", "hypothetical"),
    ("Should symptoms of [pneumothorax] develop, call.", "hypothetical"),
    # past, another's, gone
    ("History of [COPD].", "historical"),
    ("Had [pneumonia] two years ago.", "historical"),
    ("PMH: [asthma]. Now wheezing.", "historical"),
    ("Mother with [tuberculosis].", "other_person"),
    ("Her brother has [asthma].", "other_person"),
    ("Her mother never had [asthma].", "negated"),
    ("She had [pneumonia] as a child.", "historical"),
    ("[Stroke] in 1998.", "historical"),
    ("[Nodule] unchanged since 1998.", "present"),
    ("Admitted with [hypoxia], now resolved.", "resolved"),
    ("FAMILY HISTORY: [asthma]", "other_person"),
    ("The [effusion] has resolved.", "resolved"),
    ("Resolution of the previously demonstrated [infiltrate].", "resolved"),
]


@pytest.mark.parametrize(("marked", "expected"), SENTENCES)
def test__assertion_of__sentence__expected(marked, expected):
    start, end = marked.index("["), marked.index("]") - 1
    text = marked.replace("[", "").replace("]", "")
    assert dallm.assertion_of(text, start, end).assertion == expected


def test__assertion_of__denial__names_rule_and_trigger():
    text = "Clear lungs. We found no evidence of effusion."
    found = dallm.assertion_of(text, text.index("effusion"), len(text) - 1)
    assert found.assertion == "negated"
    assert text[slice(*found.trigger)] == "no evidence of"
    assert "no evidence of" in found.rule


def test__assertion_of__non_ascii_text__offsets_are_code_points():
    text = "Überweisung 𝛼 — İstanbul: no 𝛽 effusion."
    start = text.index("effusion")
    found = dallm.assertion_of(text, start, start + 8)
    assert found.assertion == "negated"
    assert text[slice(*found.trigger)] == "no"


@pytest.mark.parametrize("span", [(0, 0), (3, 2), (-1, 2), (0, 99)])
def test__assertion_of__span_outside_text__is_refused(span):
    with pytest.raises(UserError, match="span"):
        dallm.assertion_of("No effusion.", *span)


def test__assertion_of__not_text__is_refused():
    with pytest.raises(UserError, match="must be a str"):
        dallm.assertion_of(None, 0, 1)


def test__assertion_of__text_without_end__stays_fast():
    text = "no " * 200_000 + "effusion"
    assert dallm.assertion_of(text, len(text) - 8, len(text)).assertion == "negated"


def test__fill__denial_about_a_relative__says_nothing_of_the_patient():
    cohort = dallm.Cohort(
        pd.DataFrame({"id": ["a", "b"], "text": ["Her mother never had asthma.", "She never had asthma."]}),
        id="id",
        report="text",
        data_use="open",
    )
    cells = dallm.fill_values(cohort, [dallm.Feature("asthma", "boolean")]).cells
    assert cells["status"].tolist() == ["not_documented", "documented"]
