"""Joins the parts of MIMIC step by step, and tells what each join kept and why the rest fell out."""

from __future__ import annotations

import pandas as pd

from dallm.readers import mimic_joins as joins
from dallm.readers.mimic_csv import Kind, keep, one_row_each, read_columns
from dallm.readers.mimic_reports import named_ids, read_reports
from dallm.readers.mimic_request import Request
from dallm.readers.mimic_stays import stays_as_cases, with_stay, with_vitals
from dallm.readers.mimic_studies import readings_of, studies_of, with_labels


def build_cases(request: Request) -> pd.DataFrame:
    """Return one row per study, or per emergency stay where there are no studies.

    Raises
    ------
    ReaderError
        If there are neither studies nor stays, or no case is left.
    """
    readings = readings_of(request)
    studies = studies_of(request, readings)
    if studies is not None:
        cases = with_labels(request, studies, readings)
        cases = with_stay(request, cases)
        until = cases["study_time"]
    else:
        cases = stays_as_cases(request)
        until = cases["outtime"]
    cases = with_vitals(request, cases, until)
    cases = _with_patient(request, cases, "study_time" if studies is not None else "intime")
    if request.files.reports is not None and studies is not None:
        cases = _with_reports(request, cases)
    return cases.drop(columns="outtime", errors="ignore").reset_index(drop=True)


def _with_patient(request: Request, cases: pd.DataFrame, when: str) -> pd.DataFrame:
    path = request.files.get("patients")
    if path is None:
        request.notes.append(
            "patients.csv was not found: there is no age, and gender only from emergency stays."
        )
        return cases
    kinds: dict[str, Kind] = {
        "subject_id": "key",
        "gender": "text",
        "anchor_age": "number",
        "anchor_year": "number",
    }
    subjects = set(cases["subject_id"].tolist())
    patients = read_columns(path, kinds, request.notes, keep=keep(subjects))
    patients = one_row_each(patients, "subject_id", path)
    own = patients.reindex(cases["subject_id"]).set_axis(cases.index)
    cases["age"] = joins.age_at(cases[when].dt.year, own["anchor_age"], own["anchor_year"])
    stated = cases["gender"] if "gender" in cases else pd.Series(pd.NA, index=cases.index, dtype="string")
    differing = (own["gender"] != stated).fillna(False) & own["gender"].notna() & stated.notna()
    cases["gender"] = own["gender"].where(own["gender"].notna(), stated).astype("string")
    unknown = ~cases["subject_id"].isin(patients.index)
    over = int((own["anchor_age"] >= joins.OVER_89).sum())
    request.notes.append(
        f"{path.name}: {int((~unknown).sum()):,} of {len(cases):,} cases have their patient in it; "
        f"{int(unknown.sum()):,} have not and are kept without age"
        f"{named_ids('subject', cases['subject_id'][unknown].drop_duplicates())}. {over:,} cases are of "
        f"patients over 89, whose age is {joins.OVER_89} whatever the year."
    )
    if differing.any():
        count = int(differing.sum())
        request.notes.append(
            f"{path.name}: gender differs from that of edstays in {count:,} cases; it counts."
        )
    return cases


def _with_reports(request: Request, cases: pd.DataFrame) -> pd.DataFrame:
    if request.files.reports is None:
        return cases
    texts = read_reports(request.files.reports, cases, request.notes)
    cases = pd.concat([cases, texts], axis=1)
    if "report" not in request.required:
        return cases
    return request.drop(cases, texts.notna().any(axis=1), "no study has a report")
