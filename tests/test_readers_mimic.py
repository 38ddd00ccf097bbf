"""Tests of ``read_mimic`` on a tree in the released layout, and of its parts alone."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import dallm
from dallm.errors import ReaderError
from dallm.readers.report_sections import split_sections

sys.path.insert(0, str(Path(__file__).parent))
import mimic_tree

NA = pd.NA
PAPER = [
    "atelectasis",
    "consolidation",
    "enlarged cardiac silhouette",
    "pleural effusion",
    "pleural abnormality",
    "pulmonary edema",
]
REPORT_1 = "There is no pleural effusion."


@pytest.fixture
def tree(tmp_path):
    return mimic_tree.write_mimic_tree(tmp_path / "data")


def by_study(cohort):
    return cohort.frame.set_index("study_id")


def note(cohort, begins):
    found = [n for n in cohort.notes if n.startswith(begins)]
    assert found, cohort.notes
    return " ".join(found)


def test__read_mimic__whole_tree__joins_the_labelled_studies(tree):
    cohort = dallm.read_mimic(tree)
    assert cohort.id == "study_id"
    assert cohort.group == "subject_id"
    assert cohort.data_use == "credentialed"
    assert list(cohort.numeric) == ["temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp", "age"]
    assert cohort.numeric["temperature"] == "degF"
    assert cohort.categorical == ("gender",)
    frame = by_study(cohort)
    assert frame["stay_id"].tolist() == [32000001, 32000002, 32000003, 32000006]
    assert frame["age"].tolist() == [52, 55, 71, 91]
    assert frame.loc[52000002, "temperature"] == 101.2
    assert frame["temperature"].isna().tolist() == [False, False, True, False]
    assert str(frame.loc[52000001, "study_time"]) == "2180-05-06 09:30:15.500000"
    assert frame.loc[52000003, "impression"] == "Café-au-lait spots noted."
    assert set(frame["findings"]) == {REPORT_1}


@pytest.mark.parametrize(
    ("threshold", "rule", "atelectasis", "silhouette"),
    [
        (3, "any", True, True),
        (3, "majority", False, True),
        (3, "all", False, False),
        (2, "majority", True, True),
    ],
)
def test__read_mimic__reflacx__follows_threshold_and_rule(tree, threshold, rule, atelectasis, silhouette):
    cohort = dallm.read_mimic(tree, reflacx_threshold=threshold, reflacx_rule=rule)
    first = by_study(cohort).loc[52000001]
    assert (first["atelectasis"], first["enlarged cardiac silhouette"]) == (atelectasis, silhouette)


def test__read_mimic__label_absent_from_a_phase__is_missing_not_false(tree):
    frame = by_study(dallm.read_mimic(tree))
    assert list(dallm.read_mimic(tree).targets) == PAPER
    assert frame["pleural effusion"].tolist() == [True, NA, NA, NA]
    assert frame["pleural abnormality"].tolist() == [NA, False, True, False]
    assert frame["pulmonary edema"].tolist() == [False, True, False, False]


def test__read_mimic__stays__several_and_none_are_counted_and_named(tree):
    cohort = dallm.read_mimic(tree, targets=None, require=("stay",))
    assert list(cohort.ids) == [52000001, 52000002, 52000003, 52000007]
    told = note(cohort, "Emergency stays")
    assert "4 of 9 studies lie in exactly one" in told
    assert "1 lie in several (study 52000005)" in told
    assert "2 lie in none of their patient's stays (study 52000004, 52000006)" in told
    assert "1 are of patients without a stay (study 52000008)" in told
    assert "1 have no usable date and time (study 52000009)" in told


def test__read_mimic__nothing_required__keeps_every_study(tree):
    cohort = dallm.read_mimic(tree, require=())
    frame = by_study(cohort)
    assert len(frame) == 9
    assert frame.loc[52000005, ["stay_id", "temperature"]].isna().all()
    assert frame.loc[52000008, ["age", "findings", "atelectasis"]].isna().all()
    assert "2 have none (study 52000004, 52000008)" in note(cohort, "Reports: 7 of 9")


@pytest.mark.parametrize(
    ("uncertain", "blank", "edema", "atelectasis"),
    [
        ("missing", "absent", [False, NA, False, False], [False, True, NA, False]),
        ("present", "absent", [False, True, False, False], [False, True, True, False]),
        ("absent", "missing", [NA, False, NA, NA], [NA, True, False, NA]),
    ],
)
def test__read_mimic__chexpert__reads_uncertain_and_blank_as_told(tree, uncertain, blank, edema, atelectasis):
    cohort = dallm.read_mimic(tree, targets="chexpert", chexpert_uncertain=uncertain, chexpert_blank=blank)
    assert list(cohort.targets) == PAPER
    assert cohort.frame["pulmonary edema"].tolist() == edema
    assert cohort.frame["atelectasis"].tolist() == atelectasis
    assert "rests on CheXpert Pleural Effusion or Pleural Other" in note(cohort, "Target 'pleural abn")


def test__read_mimic__both_label_sets__get_columns_of_their_own(tree):
    cohort = dallm.read_mimic(tree, targets=["atelectasis", "chexpert:atelectasis", "chexpert:No Finding"])
    assert cohort.targets == ("atelectasis", "atelectasis (chexpert)", "No Finding")


def test__read_mimic__first_vitals__use_nothing_charted_after_the_image(tree):
    cohort = dallm.read_mimic(tree, vitals="first")
    third = by_study(cohort).loc[52000003]
    assert (third["temperature"], third["heartrate"]) == (99.1, 66)
    assert third["vitals_from_chart"] == "temperature, heartrate"
    assert "filled 2 of 6" in note(cohort, "vitalsign")


def test__read_mimic__targets__never_reach_a_case(tree):
    for case in dallm.read_mimic(tree).cases():
        assert set(case.row) <= {
            "temperature",
            "heartrate",
            "resprate",
            "o2sat",
            "sbp",
            "dbp",
            "age",
            "gender",
        }
        assert set(case.report) <= {"indication", "comparison", "findings", "impression", "other"}


def test__read_mimic__unpacked_tree_zipped_reports_named_files__give_the_same(tree, tmp_path):
    whole = dallm.read_mimic(tree).frame
    flat = mimic_tree.write_mimic_tree(tmp_path / "flat", packed=False)
    pd.testing.assert_frame_equal(dallm.read_mimic(flat).frame, whole)
    archive = tmp_path / "mimic-cxr-reports.zip"
    cxr = flat / mimic_tree.CXR
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(cxr.rglob("*.txt")):
            packed.write(file, file.relative_to(cxr))
    shutil.rmtree(cxr)
    named = {"reports": archive, "reflacx": flat / mimic_tree.REFLACX.parent}
    pd.testing.assert_frame_equal(dallm.read_mimic(flat, files=named).frame, whole)


def test__read_mimic__parts_missing__still_gives_cases(tree):
    shutil.rmtree(tree / mimic_tree.JPG)
    from_reflacx = dallm.read_mimic(tree)  # studies from the image paths
    assert list(from_reflacx.ids) == [52000001, 52000002, 52000003, 52000007]
    assert "no date" in note(from_reflacx, "Studies: 4")
    only_reports = dallm.read_mimic(tree, files={"reflacx": None})
    assert len(only_reports) == 7
    only_stays = dallm.read_mimic(tree / mimic_tree.ED.parent)
    assert only_stays.id == "stay_id"
    assert only_stays.report == ()
    assert len(only_stays) == 6


def test__read_mimic__subjects__keeps_these_patients(tree):
    cohort = dallm.read_mimic(tree, subjects=[12000001], targets=None, require=["stay"])
    assert list(cohort.ids) == [52000001, 52000002]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"targets": "atelectases"}, "no label 'atelectases'.*Did you mean 'atelectasis'"),
        ({"targets": "chexpert:edem"}, "Did you mean 'edema'"),
        ({"targets": "pneumonia"}, "CheXpert has it: 'chexpert:pneumonia'"),
        ({"reflacx_threshold": 6}, "reflacx_threshold must be"),
        ({"reflacx_rule": "majorty"}, "Did you mean 'majority'"),
        ({"chexpert_uncertain": "no"}, "chexpert_uncertain must be one of"),
        ({"vitals": "last"}, "'triage' or 'first'"),
        ({"require": ["stays"]}, "Did you mean 'stay'"),
        ({"files": {"triag": "x"}}, "Did you mean 'triage'"),
        ({"files": {"triage": "nowhere.csv"}}, "there is no such file"),
        ({"subjects": [1]}, "No case is left"),
        ({"subjects": ["p10"]}, "subjects must be patients' ids"),
        ({"reflacx_threshold": "3"}, "reflacx_threshold must be"),
    ],
)
def test__read_mimic__wrong_argument__is_refused_with_the_way_out(tree, arguments, said):
    with pytest.raises(ReaderError, match=said):
        dallm.read_mimic(tree, **arguments)


def test__read_mimic__bad_folder__says_what_was_looked_for(tmp_path, tree):
    with pytest.raises(ReaderError, match="does not exist"):
        dallm.read_mimic(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReaderError, match=r"Looked for: patients\.csv"):
        dallm.read_mimic(tmp_path / "empty")
    shutil.copytree(tree / mimic_tree.ED, tree / "copy")
    with pytest.raises(ReaderError, match="2 candidates for edstays"):
        dallm.read_mimic(tree)


def test__read_mimic__damaged_table__is_named(tree):
    triage = tree / mimic_tree.ED / "triage.csv.gz"
    whole = triage.read_bytes()
    triage.write_bytes(whole[:-20])
    with pytest.raises(ReaderError, match=r"triage\.csv\.gz' cannot be read"):
        dallm.read_mimic(tree)
    text = gzip.decompress(whole).decode().replace("heartrate", "heart_rate")
    triage.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ReaderError, match=r"no column 'heartrate'\. Did you mean 'heart_rate'"):
        dallm.read_mimic(tree)


def test__read_mimic__broken_rows__are_passed_over_and_named(tree):
    triage = tree / mimic_tree.ED / "triage.csv.gz"
    text = gzip.decompress(triage.read_bytes()).decode()
    text = text.replace("98.4,80", "98.4,eighty") + "12000009,3200\n"
    triage.write_bytes(gzip.compress(text.encode()))
    cohort = dallm.read_mimic(tree)
    assert pd.isna(by_study(cohort).loc[52000001, "heartrate"])
    told = note(cohort, "triage.csv.gz")
    assert "passed over 1 broken rows (line 8 has 2 cells)" in told
    assert "1 values of 'heartrate' cannot be read as number" in told


@pytest.mark.parametrize(
    ("part", "row", "said"),
    [
        (
            mimic_tree.ED / "triage.csv.gz",
            "12000001,32000001,98.4,80,18,40,120,70,0,3,\n",
            "stay_id 32000001",
        ),
        (mimic_tree.HOSP / "patients.csv.gz", "12000001,F,20,2180,x,\n", "subject_id 12000001"),
    ],
)
def test__read_mimic__rows_that_contradict_each_other__are_refused_not_chosen_from(tree, part, row, said):
    file = tree / part
    rows = gzip.decompress(file.read_bytes()).decode()
    file.write_bytes(gzip.compress((rows + rows.splitlines()[1] + "\n").encode()))
    assert 52000001 in dallm.read_mimic(tree).ids, "the same row twice says the same"
    file.write_bytes(gzip.compress((rows + row).encode()))
    with pytest.raises(ReaderError, match=f"{said} comes twice, with different values"):
        dallm.read_mimic(tree)


def test__read_mimic__one_subject_as_a_number__is_taken(tree):
    assert list(dallm.read_mimic(tree, subjects=12000009).ids) == [52000007]


def test__read_mimic__warning__points_to_the_users_line(tree):
    file = tree / mimic_tree.ED / "triage.csv.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"98.4,80", b"36.9,80")))
    with pytest.warns(dallm.errors.DataQualityWarning, match="look like degC") as caught:
        dallm.read_mimic(tree)
    assert [w.filename for w in caught] == [__file__]


def test__read_mimic__certainty_out_of_range__is_refused(tree):
    file = tree / mimic_tree.REFLACX / "metadata_phase_3.csv"
    file.write_text(file.read_text().replace(",4,3,0,2,5,", ",7,3,0,2,5,"))
    with pytest.raises(
        ReaderError, match=r"metadata_phase_3\.csv, reading P300R000001: 'atelectasis' holds '7'"
    ):
        dallm.read_mimic(tree)


def test__read_mimic__real_ed_demo__gives_stays_with_vitals_and_age():
    if "DALLM_REAL_DATA" not in os.environ:
        pytest.skip("DALLM_REAL_DATA is not set: no real MIMIC-IV-ED demo here")
    folder = Path(os.environ["DALLM_REAL_DATA"]) / "mimic_iv_ed_demo"
    with pytest.warns(dallm.errors.DataQualityWarning):
        cohort = dallm.read_mimic(folder)
    assert (len(cohort), cohort.frame["subject_id"].nunique()) == (222, 64)
    assert cohort.frame["age"].between(18, 100).all()
    assert cohort.frame["sbp"].notna().sum() == 199
    assert set(cohort.frame["gender"]) == {"F", "M"}


def test__split_sections__layouts__put_each_text_in_its_field():
    mimic = mimic_tree.REPORT.format(impression="Normal.")
    assert split_sections(mimic)["findings"] == REPORT_1
    one_line = "HISTORY: Pain. FINDINGS: Clear lungs. IMPRESSION: Normal. RECOMMENDATION(S): None."
    assert split_sections(one_line)["impression"] == "Normal."
    headless = (
        "FINAL REPORT\n CHEST RADIOGRAPH\n\n HISTORY: Pain.\n\n Lungs are clear.\n\n CONCLUSION: Normal."
    )
    fields = split_sections(headless)
    assert (fields["report"], fields["impression"], fields["indication"]) == (
        "Lungs are clear.",
        "Normal.",
        "Pain.",
    )
    organs = split_sections("Findings:\nLUNGS: Clear.\nHEART: Normal.\nImpression: Normal.")
    assert organs == {"findings": "LUNGS: Clear.\nHEART: Normal.", "impression": "Normal."}
    assert split_sections("Nothing headed here.") == {"report": "Nothing headed here."}


@pytest.mark.parametrize(
    "text",
    [
        mimic_tree.REPORT,
        " WET READ: ___ 9:40 PM\n  No process.\n____\n FINAL REPORT\n PA CHEST\n\n TECHNIQUE: x\n\n a\n\n b\n"
        " IMPRESSION: c",
        "ODD HEADER: one\nFINDINGS: two\nNOTIFICATION: three\nADDENDUM: four\nFINDINGS: five",
        "indication: x\r\nfindings: y\r\nIMPRESSION\r\n z",
    ],
)
def test__split_sections__no_word__is_lost(text):
    kept = " ".join(split_sections(text).values()).split()
    headers = {"FINAL", "REPORT", "INDICATION:", "COMPARISON:", "FINDINGS:", "IMPRESSION:", "IMPRESSION"}
    lost = [w for w in text.split() if w not in kept and w.upper() not in headers]
    assert lost == []
