"""Tests of ``read_openi``: the CSV, the XML layout, and its coding, which must not reach an engine."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pandas as pd
import pytest

import dallm
from dallm.errors import DataQualityWarning, ReaderError

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <meta type="rr"/><uId id="CXR{uid}"/><pmcId id="{uid}"/>
  <MedlineCitation><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION"/>
    <AbstractText Label="FINDINGS">{findings}</AbstractText>
    <AbstractText Label="IMPRESSION">Temp &lt; 37 °C.</AbstractText>
  </Abstract></Article></MedlineCitation>
  <MeSH>{mesh}<automatic>secretword</automatic></MeSH>
  <parentImage id="CXR{uid}_IM-0001-1001"><caption>PA and lateral</caption></parentImage>
</eCitation>
"""
MESH = {
    1: "<major>Pulmonary Atelectasis/base/left/mild</major><major>Cardiomegaly</major>",
    2: "<major>normal</major>",
    10: "<major>No Indexing</major>",
}


@pytest.fixture
def folder(tmp_path):
    reports = tmp_path / "ecgen-radiology"
    reports.mkdir()
    for uid, mesh in MESH.items():
        text = XML.format(uid=uid, mesh=mesh, findings=f"Report {uid}.")
        (reports / f"{uid}.xml").write_text(text, encoding="utf-8")
    return reports


def test__read_openi__xml_folder_and_archive__agree(folder, tmp_path):
    with tarfile.open(tmp_path / "NLMCXR_reports.tgz", "w:gz") as archive:
        for file in sorted(folder.iterdir(), key=lambda f: int(f.stem)):
            archive.add(file, arcname=f"ecgen-radiology/{file.name}")
    cohort = dallm.read_openi(folder)
    assert list(cohort.ids) == [1, 2, 10]
    assert cohort.report == ("indication", "comparison", "findings", "impression")
    first = next(cohort.cases())
    assert first.report == {"comparison": "None.", "findings": "Report 1.", "impression": "Temp < 37 °C."}
    pd.testing.assert_frame_equal(dallm.read_openi(tmp_path / "NLMCXR_reports.tgz").frame, cohort.frame)


def test__read_openi__coding__becomes_targets_or_is_left_out(folder):
    cohort = dallm.read_openi(folder, targets=["atelectasis", "Cardiomegaly"])
    assert cohort.targets == ("atelectasis", "Cardiomegaly")
    assert cohort.frame["atelectasis"].tolist() == [True, False, pd.NA]
    seen = repr(list(cohort.cases())) + repr(dallm.read_openi(folder).frame.to_dict())
    assert "telectasis" not in seen
    assert "secretword" not in seen
    assert "normal" not in seen


def test__read_openi__broken_xml__is_named_and_passed_over(folder):
    (folder / "3.xml").write_text("<eCitation><uId", encoding="utf-8")
    (folder / "4.xml").write_text("<html/>", encoding="utf-8")
    with pytest.warns(DataQualityWarning, match=r"2 of 5 XML files: 3\.xml: .*4\.xml: no Open-i report"):
        cohort = dallm.read_openi(folder)
    assert len(cohort) == 3


def test__read_openi__bad_input__is_refused(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ReaderError, match="Did you mean 'cardiomegaly'"):
        dallm.read_openi(folder, targets="cardiomegly")
    (folder / "11.xml").write_bytes((folder / "10.xml").read_bytes())
    with pytest.raises(ReaderError, match="uid 10 comes twice"):
        dallm.read_openi(folder)
    with pytest.raises(ReaderError, match="holds no Open-i XML files"):
        dallm.read_openi(empty)


def test__read_openi__csv_with_gold__joins_by_uid(tmp_path):
    lines = "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"
    lines += "1,normal,normal,PA,Cough.,None.,Clear lungs.,\n2,Edema/mild,Pulmonary Edema,PA,,,,\n"
    (tmp_path / "reports.csv").write_text(lines, encoding="utf-8")
    (tmp_path / "gold.csv").write_text("uid,Edema,Pleural_Thickening\n2,1,0\n9,0,0\n", encoding="utf-8")
    cohort = dallm.read_openi(tmp_path, gold=tmp_path / "gold.csv", targets=["edema", "pleural thickening"])
    assert cohort.frame["edema"].tolist() == [pd.NA, True]
    assert {"MeSH", "Problems"}.isdisjoint(cohort.frame.columns)
    assert cohort.data_use == "open"
    assert any("1 coded uids have no report" in note for note in cohort.notes)


def test__read_openi__development_reports__give_cohort_with_coding():
    if "DALLM_REAL_DATA" not in os.environ:
        pytest.skip("DALLM_REAL_DATA is not set: no real reports here")
    folder = Path(os.environ["DALLM_REAL_DATA"]) / "openi"
    cohort = dallm.read_openi(folder, gold=folder / "gold.csv")
    assert len(cohort) == 3080
    assert len(cohort.targets) == 14
    coded = dallm.read_openi(folder, targets=["cardiomegaly"]).frame["cardiomegaly"]
    assert int(coded.sum()) == int(cohort.frame["Cardiomegaly"].sum())
