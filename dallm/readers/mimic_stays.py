"""Emergency stays: joined to studies, or cases of their own, and the vital signs that were taken in them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dallm.errors import ReaderError
from dallm.readers import mimic_joins as joins
from dallm.readers.mimic_csv import Kind, header, keep, one_row_each, read_columns
from dallm.readers.mimic_joins import VITALS
from dallm.readers.mimic_reports import named_ids
from dallm.readers.mimic_request import Request


def _edstays(request: Request, subjects: set[int] | None) -> pd.DataFrame:
    path = request.files.tables["edstays"]
    kinds: dict[str, Kind] = {"subject_id": "key", "stay_id": "key", "intime": "time", "outtime": "time"}
    if "gender" in header(path):  # not in the first releases
        kinds["gender"] = "text"
    stays = read_columns(path, kinds, request.notes, keep=keep(subjects))
    if stays["stay_id"].duplicated().any():
        raise ReaderError(
            f"{path.name}: stay {stays['stay_id'][stays['stay_id'].duplicated()].iloc[0]} comes twice."
        )
    unusable = ~(stays["intime"] <= stays["outtime"])
    if unusable.any():
        request.notes.append(
            f"{path.name}: {int(unusable.sum()):,} stays end before they begin or lack a time"
            f"{named_ids('stay', stays['stay_id'][unusable])}."
        )
    return stays


def stays_as_cases(request: Request) -> pd.DataFrame:
    """Return one row per emergency stay.

    Raises
    ------
    ReaderError
        If there are no stays.
    """
    if request.files.get("edstays") is None:
        there = [p.name for p in request.files.tables.values()]
        raise ReaderError(
            f"Found {there}, which hold no cases. Cases are the studies of mimic-cxr-2.0.0-metadata.csv, "
            "or the stays of edstays.csv; put one of them below root, or name it in files=."
        )
    stays = _edstays(request, request.subjects)
    stays = stays.sort_values(["subject_id", "intime", "stay_id"]).reset_index(drop=True)
    stays = request.drop(stays, pd.Series(True, index=stays.index), "no emergency stay was found")
    request.notes.append(
        f"{request.files.tables['edstays'].name}: {len(stays):,} stays of {stays['subject_id'].nunique():,} "
        "patients. There are no studies, so a case is a stay, without report."
    )
    first = ["stay_id", "subject_id", "intime", "outtime"]
    return stays[[*first, *(c for c in stays.columns if c not in first)]]


def with_stay(request: Request, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the studies with the emergency stay that each lies in; without the others where one is required.

    Raises
    ------
    ReaderError
        If no study is left.
    """
    if request.files.get("edstays") is None or request.files.get("metadata") is None:
        return cases
    stays = _edstays(request, set(cases["subject_id"].tolist()))
    matched = joins.match_stays(cases, stays)
    count, undated = matched["n_stays"], cases["study_time"].isna()
    one = count == 1
    none, visited = (count == 0) & ~undated, cases["subject_id"].isin(stays["subject_id"])
    fell_out = [
        ("lie in several", count > 1),
        ("lie in none of their patient's stays", none & visited),
        ("are of patients without a stay", none & ~visited),
        ("have no usable date and time", undated),
    ]
    told = "; ".join(
        f"{int(where.sum()):,} {what}{named_ids('study', cases['study_id'][where])}"
        for what, where in fell_out
    )
    fate = "left out" if "stay" in request.required else "kept, without vital signs"
    request.notes.append(
        f"Emergency stays: {int(one.sum()):,} of {len(cases):,} studies lie in exactly one stay of their "
        f"patient. The others are {fate}: {told}."
    )
    cases.insert(2, "stay_id", matched["stay_id"])
    if "gender" in stays:
        cases["gender"] = cases["stay_id"].map(stays.set_index("stay_id")["gender"]).astype("string")
    if "stay" not in request.required:
        return cases
    return request.drop(cases, one, "no study lies in exactly one emergency stay")


def with_vitals(request: Request, cases: pd.DataFrame, until: pd.Series[Any]) -> pd.DataFrame:
    """Return the cases with the vital signs of their stay, charted up to a time where that is asked.

    Raises
    ------
    ReaderError
        If charted vital signs are asked for and their file is not there.
    """
    path = request.files.get("triage")
    if "stay_id" not in cases:
        return cases
    if path is None:
        request.notes.append("triage.csv was not found: there are no vital signs.")
        return cases
    stays = set(cases["stay_id"].dropna().tolist())
    kinds: dict[str, Kind] = {"stay_id": "key", **dict.fromkeys(VITALS, "number")}
    triage = read_columns(path, kinds, request.notes, keep=keep(stays, "stay_id"))
    triage = one_row_each(triage, "stay_id", path)
    values = triage.reindex(cases["stay_id"])
    for vital in VITALS:
        cases[vital] = values[vital].astype("Float64").array
    has_row = cases["stay_id"].isin(triage.index)
    blank = has_row & cases[list(VITALS)].isna().all(axis=1)
    request.notes.append(
        f"{path.name}: {int(has_row.sum()):,} of {len(cases):,} cases have a row; {int(blank.sum()):,} "
        "of these have none of the six vital signs."
    )
    if request.vitals == "first":
        _fill_vitals(request, cases, until)
    return cases


def _fill_vitals(request: Request, cases: pd.DataFrame, until: pd.Series[Any]) -> None:
    path = request.files.get("vitalsign")
    if path is None:
        raise ReaderError("vitals='first' needs vitalsign.csv, which was not found; use vitals='triage'.")
    incomplete = cases[list(VITALS)].isna().any(axis=1)
    stays = set(cases["stay_id"][incomplete].dropna().tolist())
    kinds: dict[str, Kind] = {"stay_id": "key", "charttime": "time", **dict.fromkeys(VITALS, "number")}
    charted = read_columns(path, kinds, request.notes, keep=keep(stays, "stay_id"))
    missing = int(cases[list(VITALS)].isna().sum().sum())
    cases["vitals_from_chart"] = joins.fill_from_charted(cases, charted, until)
    left = int(cases[list(VITALS)].isna().sum().sum())
    request.notes.append(
        f"{path.name}: filled {missing - left:,} of {missing:,} vital signs that triage lacks, in "
        f"{int(cases['vitals_from_chart'].notna().sum()):,} cases (column vitals_from_chart)."
    )
