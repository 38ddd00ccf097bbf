"""Reads MIMIC-IV, MIMIC-IV-ED, MIMIC-CXR, CheXpert labels and REFLACX into one cohort."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from dallm.cohort import Cohort
from dallm.errors import ReaderError
from dallm.readers import reflacx
from dallm.readers.mimic_cases import build_cases
from dallm.readers.mimic_files import find_mimic_files
from dallm.readers.mimic_joins import VITALS
from dallm.readers.mimic_request import Request, requirements
from dallm.readers.mimic_targets import LabelSettings, Target, choose_targets
from dallm.readers.report_sections import REPORT_FIELDS
from dallm.readers.roles import ColumnRoles, build_cohort


def read_mimic(
    root: str | Path | None = None,
    *,
    files: Mapping[str, str | Path | None] | None = None,
    targets: str | Sequence[str] | None = "auto",
    reflacx_threshold: float = 3,
    reflacx_rule: reflacx.Rule = "any",
    chexpert_uncertain: Literal["missing", "present", "absent"] = "missing",
    chexpert_blank: Literal["absent", "missing"] = "absent",
    vitals: Literal["triage", "first"] = "triage",
    require: Collection[str] | None = None,
    subjects: Iterable[int] | None = None,
    data_use: str = "credentialed",
    verbose: bool = False,
) -> Cohort:
    """Join a MIMIC download to one row per chest X-ray study, or per emergency stay without studies.

    The eight predictors of the paper (temperature, heartrate, resprate, o2sat, sbp, dbp, age, gender), the
    report by section, targets, patient and study. A study belongs to the emergency stay of the same patient
    whose ``intime`` to ``outtime`` holds its date and time. Parts that are not there are done without; what
    each join kept, and why others fell out, stands in ``cohort.notes``.

    Parameters
    ----------
    root : str or Path, optional
        Folder below which the files lie, under the names of their release, ``.csv`` or ``.csv.gz``.
    files : mapping of str to path, optional
        Paths of single parts, which come before what is found below `root`: patients, edstays, triage,
        vitalsign, metadata, chexpert, reflacx (a folder), reports (a folder, or ``mimic-cxr-reports.zip``).
        None leaves a part out.
    targets : str or list of str, default="auto"
        ``"reflacx"`` or ``"chexpert"`` (the paper's five conditions and pulmonary edema), ``"reflacx:all"``,
        single labels (``"atelectasis"``, ``"chexpert:No Finding"``), or several of these. ``"auto"`` takes
        REFLACX where it is there, else CheXpert, else none; None takes none.
    reflacx_threshold : float, default=3
        Certainty (0 to 5) from which a reading is positive; 3 is "possibly", about 50 %.
    reflacx_rule : {"any", "majority", "all", "mean"}, default="any"
        How several readings of one study are decided.
    chexpert_uncertain : {"missing", "present", "absent"}, default="missing"
        What the CheXpert label -1 becomes.
    chexpert_blank : {"absent", "missing"}, default="absent"
        What a CheXpert label that the report does not mention becomes.
    vitals : {"triage", "first"}, default="triage"
        ``"first"`` fills what triage lacks with the first value charted in the stay, none later than the
        study; the column ``vitals_from_chart`` names what was filled.
    require : collection of {"stay", "report", "labels"}, optional
        What a case must have to stay in. By default each of them whose files are there.
    subjects : iterable of int, optional
        Keep these patients only.
    data_use : {"credentialed", "open"}, default="credentialed"
        See :class:`dallm.Cohort`. The terms of MIMIC forbid sharing it with online services.
    verbose : bool, default=False
        Print the notes.

    Returns
    -------
    Cohort
        Id ``study_id`` (or ``stay_id``), group ``subject_id``.

    Raises
    ------
    ReaderError
        If nothing is found, a file cannot be read or lacks a column, or no case is left.

    Notes
    -----
    Age is ``anchor_age + year - anchor_year``; patients over 89 are stored as 91 and stay 91 in every year.
    REFLACX labels that a phase did not offer are ``<NA>`` for its studies. Sources: MIMIC-IV, MIMIC-IV-ED,
    MIMIC-CXR, MIMIC-CXR-JPG and REFLACX on PhysioNet.
    """
    notes: list[str] = []
    settings = LabelSettings(reflacx_threshold, reflacx_rule, chexpert_uncertain, chexpert_blank)
    if vitals not in ("triage", "first"):
        raise ReaderError(f"vitals must be 'triage' or 'first', got {vitals!r}.")
    found = find_mimic_files(root, files or {}, notes)
    chosen = choose_targets(targets, found, notes)
    required = requirements(require, found, chosen)
    wanted = _patients(subjects)
    request = Request(
        files=found,
        targets=chosen,
        settings=settings,
        required=required,
        subjects=wanted,
        vitals=vitals,
        notes=notes,
    )
    frame = build_cases(request)
    frame = _in_order(frame, chosen)
    notes.append(f"Cohort: {len(frame):,} cases of {frame['subject_id'].nunique():,} patients.")
    return build_cohort(frame, _roles(frame, chosen), data_use=data_use, notes=notes, verbose=verbose)


def _patients(subjects: Iterable[int] | None) -> set[int] | None:
    if subjects is None:
        return None
    given = list(subjects) if isinstance(subjects, Iterable) and not isinstance(subjects, str) else [subjects]
    try:
        return {int(s) for s in given}
    except (TypeError, ValueError):
        raise ReaderError("subjects must be patients' ids, whole numbers such as [10000032].") from None


def _in_order(frame: pd.DataFrame, chosen: list[Target]) -> pd.DataFrame:
    last = [c for c in (*VITALS, "age", "gender", *REPORT_FIELDS) if c in frame]
    last += [t.column for t in chosen]
    return frame[[*(c for c in frame.columns if c not in last), *last]]


def _roles(frame: pd.DataFrame, chosen: list[Target]) -> ColumnRoles:
    units = {**VITALS, "age": "years"}
    return ColumnRoles(
        id="study_id" if "study_id" in frame else "stay_id",
        group="subject_id",
        report=tuple(c for c in REPORT_FIELDS if c in frame),
        numeric={c: unit for c, unit in units.items() if c in frame},
        categorical=("gender",) if "gender" in frame else (),
        targets=tuple(t.column for t in chosen),
    )
