"""The studies of MIMIC-CXR, one row each, and their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dallm.errors import ReaderError
from dallm.readers import chexpert, reflacx
from dallm.readers import mimic_joins as joins
from dallm.readers.mimic_csv import Kind, keep, read_columns
from dallm.readers.mimic_request import Request


def readings_of(request: Request) -> pd.DataFrame | None:
    """Return the readings of REFLACX; None where no target is made of them."""
    labels = [t.label for t in request.targets if t.source == "reflacx"]
    if not labels:
        return None
    readings = reflacx.read_readings(request.files.reflacx, labels, request.notes)
    if request.subjects is not None:
        readings = readings[readings["subject_id"].isin(request.subjects)].reset_index(drop=True)
    return readings


def studies_of(request: Request, readings: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return one row per study, with its time where that is known; None where nothing lists studies.

    Raises
    ------
    ReaderError
        If no study is left, or a study stands under several patients.
    """
    metadata = request.files.get("metadata")
    if metadata is not None:
        return _dated_studies(request, metadata, readings)
    table = request.files.get("chexpert")
    if readings is not None:
        found = readings.dropna(subset=["image_study"])
        studies = pd.DataFrame({"study_id": found["image_study"], "subject_id": found["subject_id"]})
        where = "the image paths of REFLACX"
    elif request.files.reports is not None:
        studies = pd.DataFrame(request.files.reports.studies(), columns=["subject_id", "study_id"])
        where = "the report tree"
    elif table is not None and request.targets:
        studies = read_columns(table, {"subject_id": "key", "study_id": "key"}, request.notes)
        where = table.name
    else:
        return None
    if request.subjects is not None:
        studies = studies[studies["subject_id"].isin(request.subjects)]
    studies = studies.drop_duplicates("study_id").sort_values(["subject_id", "study_id"])
    studies = studies[["study_id", "subject_id"]].astype("int64").reset_index(drop=True)
    request.notes.append(
        f"Studies: {len(studies):,}, from {where}. Without mimic-cxr-2.0.0-metadata.csv they have no "
        "date: no emergency stay, no vital signs and no age can be joined."
    )
    studies["study_time"] = pd.Series(pd.NaT, index=studies.index, dtype="datetime64[ns]")
    return request.drop(studies, pd.Series(True, index=studies.index), f"no study in {where}")


def _dated_studies(request: Request, metadata: Path, readings: pd.DataFrame | None) -> pd.DataFrame:
    only_reflacx = all(t.source == "reflacx" for t in request.targets)
    subjects = request.subjects
    if readings is not None and only_reflacx and "labels" in request.required:
        subjects = set(readings["subject_id"].tolist())
    kinds: dict[str, Kind] = {
        "subject_id": "key",
        "study_id": "key",
        "dicom_id": "text",
        "ViewPosition": "text",
        "StudyDate": "text",
        "StudyTime": "text",
    }
    images = read_columns(metadata, kinds, request.notes, keep=keep(subjects))
    if images.empty:
        raise ReaderError(f"No case is left: {metadata.name} holds no image of the wanted patients.")
    owners = images.groupby("study_id")["subject_id"].nunique()
    if (owners > 1).any():
        raise ReaderError(
            f"{metadata.name}: study {owners[owners > 1].index[0]} stands under several patients; the "
            "table is broken."
        )
    studies, differing = joins.one_row_per_study(images)
    if readings is not None:
        study_of = images.drop_duplicates("dicom_id").set_index("dicom_id")["study_id"]
        mapped = readings["dicom_id"].map(study_of).astype("Int64")
        readings["study_id"] = mapped
        _note_unmapped(request, readings, mapped, metadata)
    restricted = "" if subjects is None else f" of the {len(subjects):,} patients that are wanted"
    request.notes.append(
        f"{metadata.name}: {len(images):,} images of {len(studies):,} studies{restricted}; one row a "
        "study, its frontal image where it has one."
    )
    if differing:
        request.notes.append(
            f"{metadata.name}: images of {differing:,} studies differ in time; the earliest counts."
        )
    return studies


def _note_unmapped(request: Request, readings: pd.DataFrame, mapped: pd.Series[Any], metadata: Path) -> None:
    lost = readings["id"][mapped.isna()]
    if len(lost):
        request.notes.append(
            f"REFLACX: {len(lost):,} readings are of images that {metadata.name} does not hold; left out "
            f"(reading {', '.join(lost.iloc[:3])})."
        )


def with_labels(request: Request, cases: pd.DataFrame, readings: pd.DataFrame | None) -> pd.DataFrame:
    """Return the studies and their targets; those without labels only where these are not required.

    Raises
    ------
    ReaderError
        If no study is left.
    """
    if not request.targets:
        return cases
    by_source: dict[str, pd.DataFrame] = {}
    if readings is not None:
        by_source["reflacx"] = _reflacx_labels(request, cases, readings)
    names = [t.label for t in request.targets if t.source == "chexpert"]
    table = request.files.get("chexpert")
    if names and table is not None:
        by_source["chexpert"] = chexpert.read_chexpert(
            table,
            names,
            uncertain=request.settings.chexpert_uncertain,
            blank=request.settings.chexpert_blank,
            keep=lambda block: block["study_id"].isin(cases["study_id"]),
            notes=request.notes,
        )
    labelled = pd.Series(False, index=cases.index)
    for labels in by_source.values():
        labelled |= cases["study_id"].isin(labels.index)
    for target in request.targets:
        values = by_source[target.source][target.label].reindex(cases["study_id"])
        cases[target.column] = values.astype("boolean").array
    fate = "left out" if "labels" in request.required else "kept, targets <NA>"
    without = cases["study_id"][~labelled]
    request.notes.append(
        f"Labels ({', '.join(by_source)}): {int(labelled.sum()):,} of {len(cases):,} studies have them; "
        f"{len(without):,} have none, {fate}."
    )
    return request.drop(cases, labelled, "no study has a label") if "labels" in request.required else cases


def _reflacx_labels(request: Request, cases: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
    if "study_id" not in readings:
        readings["study_id"] = readings["image_study"]
    known = readings.dropna(subset=["study_id"])
    labels = [t.label for t in request.targets if t.source == "reflacx"]
    rule, threshold = request.settings.reflacx_rule, request.settings.reflacx_threshold
    voted = reflacx.vote(known, "study_id", labels, threshold, rule)
    voted.index = voted.index.astype("int64")
    count = known.groupby("study_id").size()
    several = int((count > 1).sum())
    images = int((known.groupby("study_id")["dicom_id"].nunique() > 1).sum())
    request.notes.append(
        f"REFLACX: {len(known):,} readings of {len(count):,} studies; positive from {threshold:g} on. "
        f"{several:,} studies have several readings, decided by rule {rule!r}; in {images:,} of them "
        "these are of several images."
    )
    read_image = known.drop_duplicates("study_id").set_index("study_id")["dicom_id"]
    was_read = cases["study_id"].map(read_image)
    cases["dicom_id"] = was_read.where(was_read.notna(), cases.get("dicom_id", was_read)).astype("string")
    cases["reflacx_readings"] = cases["study_id"].map(count).fillna(0).astype("int64")
    return voted
