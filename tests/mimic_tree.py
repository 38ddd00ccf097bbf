"""Writes a small MIMIC download in the layout of its release: invented patients, every awkward case once."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

ED = Path("physionet.org/files/mimic-iv-ed/2.2/ed")
HOSP = Path("physionet.org/files/mimiciv/3.1/hosp")
CXR = Path("physionet.org/files/mimic-cxr/2.0.0")
JPG = Path("physionet.org/files/mimic-cxr-jpg/2.0.0")
REFLACX = Path("physionet.org/files/reflacx-xray-localization/1.0.0/main_data")

# subject, gender, anchor age, anchor year; 12000009 is over 89
PATIENTS = [
    (12000001, "F", 52, 2180),
    (12000002, "M", 70, 2150),
    (12000003, "F", 33, 2160),
    (12000009, "M", 91, 2170),
]
# subject, stay, intime, outtime; 12000003 has two stays that overlap
STAYS = [
    (12000001, 32000001, "2180-05-06 08:00:00", "2180-05-06 20:00:00"),
    (12000001, 32000002, "2183-01-01 23:00:00", "2183-01-02 06:00:00"),
    (12000002, 32000003, "2151-03-03 00:00:00", "2151-03-03 10:00:00"),
    (12000003, 32000004, "2160-07-07 10:00:00", "2160-07-07 18:00:00"),
    (12000003, 32000005, "2160-07-07 12:00:00", "2160-07-07 16:00:00"),
    (12000009, 32000006, "2174-02-02 01:00:00", "2174-02-02 09:00:00"),
]
# stay, temperature, heartrate, resprate, o2sat, sbp, dbp
TRIAGE = [
    (32000001, "98.4", "80", "18", "97", "120", "70"),
    (32000002, "101.2", "110", "24", "88", "100", "60"),
    (32000003, "", "", "", "", "", ""),
    (32000004, "98.0", "75", "16", "99", "130", "80"),
    (32000005, "98.0", "75", "16", "99", "130", "80"),
    (32000006, "97.5", "60", "14", "95", "150", "90"),
]
# stay, charttime, temperature, heartrate; the last is charted after the image
VITALSIGN = [
    (32000003, "2151-03-03 00:30:00", "", "66"),
    (32000003, "2151-03-03 00:10:00", "99.1", ""),
    (32000003, "2151-03-03 09:30:00", "103.0", "140"),
]
# subject, study, dicom, view, StudyDate, StudyTime; times lose their leading zeros, 0 is midnight
IMAGES = [
    (12000001, 52000001, "aa-1", "LATERAL", "21800506", "93015.5"),
    (12000001, 52000001, "aa-2", "PA", "21800506", "93020.0"),
    (12000001, 52000002, "bb-1", "AP", "21830102", "0"),
    (12000002, 52000003, "cc-1", "AP", "21510303", "80000.000"),
    (12000002, 52000004, "cc-2", "AP", "21510304", "80000"),  # in no stay
    (12000003, 52000005, "dd-1", "PA", "21600707", "130000"),  # in two
    (12000009, 52000006, "ee-1", "AP", "21740202", "235"),  # 00:02:35, before the stay
    (12000009, 52000007, "ee-2", "AP", "21740202", "20235"),
    (12000008, 52000008, "ff-1", "AP", "21740202", "20235"),  # a patient without a stay
    (12000001, 52000009, "gg-1", "AP", "21800506", "993000"),  # no time of day
]
REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough, evaluate for pneumonia.

 COMPARISON:  ___

 FINDINGS: \n
 There is no pleural effusion.

 IMPRESSION: \n
 {impression}
"""
IMPRESSIONS = {
    52000001: "No acute process.",
    52000002: "Right basilar atelectasis.",
    52000003: "Caf\xe9-au-lait spots noted.",
    52000005: "Normal.",
    52000006: "Normal.",
    52000007: "Cardiomegaly.",
    52000009: "Normal.",
}
# study, Atelectasis, Cardiomegaly, Edema, No Finding, Pleural Effusion, Pleural Other
CHEXPERT = [
    (52000001, "", "0.0", "", "1.0", "0.0", ""),
    (52000002, "1.0", "", "-1.0", "", "-1.0", "1.0"),
    (52000003, "-1.0", "", "", "", "", ""),
    (52000007, "", "1.0", "", "", "", ""),
]
PHASE_1 = [
    "Atelectasis",
    "Consolidation",
    "Enlarged cardiac silhouette",
    "Pleural effusion",
    "Pulmonary edema",
]
PHASE_3 = [
    "Atelectasis",
    "Consolidation",
    "Enlarged cardiac silhouette",
    "Pleural abnormality",
    "Pulmonary edema",
]
# reading, dicom, subject, study, certainties in the order of the phase's labels
READINGS_1 = [
    ("P101R000001", "aa-2", 12000001, 52000001, (5, 0, 0, 4, 0)),
    ("P101R000002", "aa-2", 12000001, 52000001, (2, 0, 3, 4, 0)),
    ("P101R000003", "aa-2", 12000001, 52000001, (0, 0, 3, 1, 0)),
]
READINGS_3 = [
    ("P300R000001", "bb-1", 12000001, 52000002, (4, 3, 0, 2, 5)),
    ("P300R000002", "cc-1", 12000002, 52000003, (0, 0, 0, 5, 0)),
    ("P300R000003", "ee-2", 12000009, 52000007, (0, 0, 5, 0, 0)),
]


def write_mimic_tree(root: Path, *, packed: bool = True) -> Path:
    """Write the tree below `root`; tables of the release are gzipped, unless `packed` is False."""
    gz = ".gz" if packed else ""
    write_table(
        root / HOSP / f"patients.csv{gz}",
        "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
        [(*p, "2011 - 2013", "") for p in PATIENTS],
    )
    genders = {subject: gender for subject, gender, *_ in PATIENTS}
    write_table(
        root / ED / f"edstays.csv{gz}",
        "subject_id,hadm_id,stay_id,intime,outtime,gender,race,arrival_transport,disposition",
        [(s, "", stay, i, o, genders[s], "WHITE", "WALK IN", "HOME") for s, stay, i, o in STAYS],
    )
    subject_of = {stay: subject for subject, stay, *_ in STAYS}
    write_table(
        root / ED / f"triage.csv{gz}",
        "subject_id,stay_id,temperature,heartrate,resprate,o2sat,sbp,dbp,pain,acuity,chiefcomplaint",
        [(subject_of[t[0]], *t, "0", "3", "Cough, fever") for t in TRIAGE],
    )
    write_table(
        root / ED / f"vitalsign.csv{gz}",
        "subject_id,stay_id,charttime,temperature,heartrate,resprate,o2sat,sbp,dbp,rhythm,pain",
        [(subject_of[v[0]], *v, "", "", "", "", "", "") for v in VITALSIGN],
    )
    write_table(
        root / JPG / f"mimic-cxr-2.0.0-metadata.csv{gz}",
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,"
        "StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
        "PatientOrientationCodeSequence_CodeMeaning",
        [
            (d, s, st, "CHEST", v, 3056, 2544, day, time, "CHEST", "", "Erect")
            for s, st, d, v, day, time in IMAGES
        ],
    )
    write_table(
        root / JPG / f"mimic-cxr-2.0.0-chexpert.csv{gz}",
        "subject_id,study_id,Atelectasis,Cardiomegaly,Edema,No Finding,Pleural Effusion,Pleural Other,"
        "Consolidation",
        [(12000001, *c, "") for c in CHEXPERT],
    )
    write_reflacx(root / REFLACX)
    patient_of = {study: subject for subject, study, *_ in IMAGES}
    for study, impression in IMPRESSIONS.items():
        subject = patient_of[study]
        file = root / CXR / "files" / f"p{str(subject)[:2]}" / f"p{subject}" / f"s{study}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(REPORT.format(impression=impression).encode("latin-1"))
    # the image release has the same folders, without text
    (root / JPG / "files" / "p12" / "p12000001" / "s52000001").mkdir(parents=True)
    return root


def write_reflacx(main_data: Path) -> None:
    """Write the metadata tables of phases 1 and 3; phase 2 is left out."""
    for phase, labels, readings in ((1, PHASE_1, READINGS_1), (3, PHASE_3, READINGS_3)):
        header = "id,split,eye_tracking_data_discarded,image,dicom_id,subject_id,image_size_x,image_size_y"
        rows = [
            (i, "train", False, f"files/p12/p{s}/s{st}/{d}.dcm", d, s, 2544, 3056, *values, False, "")
            for i, d, s, st, values in readings
        ]
        write_table(
            main_data / f"metadata_phase_{phase}.csv",
            f"{header},{','.join(labels)},Support devices,Other",
            rows,
        )
        for reading, *_ in readings:
            (main_data / reading).mkdir(exist_ok=True)


def write_table(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    text.write(header + "\n")
    csv.writer(text, lineterminator="\n").writerows(rows)
    raw = text.getvalue().encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
