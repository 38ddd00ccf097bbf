"""The extractive engine against human coding of real reports; needs the folder that DALLM_REAL_DATA names."""

import os
from pathlib import Path

import pandas as pd
import pytest

import dallm

FOLDER = os.environ.get("DALLM_REAL_DATA")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="DALLM_REAL_DATA is not set: no real reports to measure on"
)
FINDINGS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltration": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "pulmonary edema",
    "Emphysema": "emphysema",
    "Fibrosis": "pulmonary fibrosis",
    "Pleural_Thickening": "pleural thickening",
}


@pytest.fixture(scope="module")
def filled():
    cohort = dallm.read_openi(Path(FOLDER) / "openi" / "indiana_reports.csv")
    return dallm.fill_values(cohort, [dallm.Feature(name, "boolean") for name in FINDINGS.values()])


def test__openi__findings__agree_with_the_human_coding(filled):
    gold = pd.read_csv(Path(FOLDER) / "openi" / "gold.csv").set_index("uid")
    said = filled.frame[list(FINDINGS.values())].fillna(False).astype(bool)
    coded = gold.loc[said.index, list(FINDINGS)].astype(bool).to_numpy()
    hit = (said.to_numpy() & coded).sum()
    precision, recall = hit / said.to_numpy().sum(), hit / coded.sum()
    assert precision > 0.93
    assert recall > 0.93


def test__openi__quotes__stand_at_their_offsets(filled):
    fields = filled.cohort.frame.set_index("uid")
    for row in filled.evidence.itertuples():
        assert fields.at[row.case_id, row.field][row.start : row.end] == row.quote
    cells = filled.cells
    documented = cells[(cells.status == "documented") & (cells.source == "report")]
    with_evidence = set(zip(filled.evidence.case_id, filled.evidence.feature, strict=True))
    assert set(zip(documented.case_id, documented.feature, strict=True)) <= with_evidence
