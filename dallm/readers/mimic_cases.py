"""Joins the parts of MIMIC step by step, and tells what each join kept and why the rest fell out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dallm.errors import ReaderError, did_you_mean
from dallm.readers import chexpert, reflacx
from dallm.readers import mimic_joins as joins
from dallm.readers.mimic_csv import Keep, Kind, header, read_columns
from dallm.readers.mimic_files import MimicFiles
from dallm.readers.mimic_joins import VITALS
from dallm.readers.mimic_reports import named_ids, read_reports
from dallm.readers.mimic_targets import LabelSettings, Target

REQUIREMENTS = ("stay", "report", "labels")


def requirements(asked: Collection[str] | None, files: MimicFiles, targets: list[Target]) -> frozenset[str]:
    """Settle what a case must have: what is asked for, else all whose files are there.

    Raises
    ------
    ReaderError
        If something is asked for that does not exist, or whose files are not there.
    """
    lacking: dict[str, str] = {}
    if files.get("edstays") is None or files.get("metadata") is None:
        lacking["stay"] = "edstays.csv and mimic-cxr-2.0.0-metadata.csv are both needed to match them"
    if files.reports is None:
        lacking["report"] = "no report tree (files/p10/...) was found"
    if not targets:
        lacking["labels"] = "no targets were found or asked for"
    if asked is None:
        return frozenset(REQUIREMENTS) - lacking.keys()
    wanted = [asked] if isinstance(asked, str) else list(asked)
    for name in wanted:
        if name not in REQUIREMENTS:
            near = did_you_mean(name, REQUIREMENTS)
            raise ReaderError(
                f"require={name!r}: no such requirement.{near} Use any of {list(REQUIREMENTS)}."
            )
        if name in lacking:
            raise ReaderError(f"require={name!r} cannot be met: {lacking[name]}.")
    return frozenset(wanted)


@dataclass
class CaseBuilder:
    """One join after the other; `notes` grows with each."""

    files: MimicFiles
    targets: list[Target]
    settings: LabelSettings
    required: frozenset[str]
    subjects: set[int] | None
    vitals: str
    notes: list[str]

    def build(self) -> pd.DataFrame:
        """Return one row per study, or per emergency stay where there are no studies.

        Raises
        ------
        ReaderError
            If there are neither studies nor stays, or no case is left.
        """
        readings = self._readings()
        studies = self._studies(readings)
        if studies is not None:
            cases = self._with_labels(studies, readings)
            cases = self._with_stay(cases)
            until = cases["study_time"]
        else:
            cases = self._stays_as_cases()
            until = cases["outtime"]
        cases = self._with_vitals(cases, until)
        cases = self._with_patient(cases, "study_time" if studies is not None else "intime")
        if self.files.reports is not None and studies is not None:
            cases = self._with_reports(cases)
        return cases.drop(columns="outtime", errors="ignore").reset_index(drop=True)

    def _keep(self, allowed: set[int] | None, column: str = "subject_id") -> Keep | None:
        if allowed is None:
            return None
        return lambda block: block[column].isin(allowed)

    def _drop(self, cases: pd.DataFrame, kept: pd.Series[Any], why: str) -> pd.DataFrame:
        left = cases[kept].reset_index(drop=True)
        if left.empty:
            raise ReaderError(f"No case is left: {why}. What was read:\n" + "\n".join(self.notes))
        return left

    # -- studies

    def _readings(self) -> pd.DataFrame | None:
        labels = [t.label for t in self.targets if t.source == "reflacx"]
        if not labels:
            return None
        readings = reflacx.read_readings(self.files.reflacx, labels, self.notes)
        if self.subjects is not None:
            readings = readings[readings["subject_id"].isin(self.subjects)].reset_index(drop=True)
        return readings

    def _studies(self, readings: pd.DataFrame | None) -> pd.DataFrame | None:
        metadata = self.files.get("metadata")
        if metadata is not None:
            return self._dated_studies(metadata, readings)
        table = self.files.get("chexpert")
        if readings is not None:
            found = readings.dropna(subset=["image_study"])
            studies = pd.DataFrame({"study_id": found["image_study"], "subject_id": found["subject_id"]})
            where = "the image paths of REFLACX"
        elif self.files.reports is not None:
            studies = pd.DataFrame(self.files.reports.studies(), columns=["subject_id", "study_id"])
            where = "the report tree"
        elif table is not None and self.targets:
            studies = read_columns(table, {"subject_id": "key", "study_id": "key"}, self.notes)
            where = table.name
        else:
            return None
        if self.subjects is not None:
            studies = studies[studies["subject_id"].isin(self.subjects)]
        studies = studies.drop_duplicates("study_id").sort_values(["subject_id", "study_id"])
        studies = studies[["study_id", "subject_id"]].astype("int64").reset_index(drop=True)
        self.notes.append(
            f"Studies: {len(studies):,}, from {where}. Without mimic-cxr-2.0.0-metadata.csv they have no "
            "date: no emergency stay, no vital signs and no age can be joined."
        )
        studies["study_time"] = pd.Series(pd.NaT, index=studies.index, dtype="datetime64[ns]")
        return self._drop(studies, pd.Series(True, index=studies.index), f"no study in {where}")

    def _dated_studies(self, metadata: Path, readings: pd.DataFrame | None) -> pd.DataFrame:
        only_reflacx = all(t.source == "reflacx" for t in self.targets)
        subjects = self.subjects
        if readings is not None and only_reflacx and "labels" in self.required:
            subjects = set(readings["subject_id"].tolist())
        kinds: dict[str, Kind] = {
            "subject_id": "key",
            "study_id": "key",
            "dicom_id": "text",
            "ViewPosition": "text",
            "StudyDate": "text",
            "StudyTime": "text",
        }
        images = read_columns(metadata, kinds, self.notes, keep=self._keep(subjects))
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
            self._note_unmapped(readings, mapped, metadata)
        restricted = "" if subjects is None else f" of the {len(subjects):,} patients that are wanted"
        self.notes.append(
            f"{metadata.name}: {len(images):,} images of {len(studies):,} studies{restricted}; one row a "
            "study, its frontal image where it has one."
        )
        if differing:
            self.notes.append(
                f"{metadata.name}: images of {differing:,} studies differ in time; the earliest counts."
            )
        return studies

    def _note_unmapped(self, readings: pd.DataFrame, mapped: pd.Series[Any], metadata: Path) -> None:
        lost = readings["id"][mapped.isna()]
        if len(lost):
            self.notes.append(
                f"REFLACX: {len(lost):,} readings are of images that {metadata.name} does not hold; left out "
                f"(reading {', '.join(lost.iloc[:3])})."
            )

    # -- labels

    def _with_labels(self, cases: pd.DataFrame, readings: pd.DataFrame | None) -> pd.DataFrame:
        if not self.targets:
            return cases
        by_source: dict[str, pd.DataFrame] = {}
        if readings is not None:
            by_source["reflacx"] = self._reflacx_labels(cases, readings)
        names = [t.label for t in self.targets if t.source == "chexpert"]
        table = self.files.get("chexpert")
        if names and table is not None:
            by_source["chexpert"] = chexpert.read_chexpert(
                table,
                names,
                uncertain=self.settings.chexpert_uncertain,
                blank=self.settings.chexpert_blank,
                keep=lambda block: block["study_id"].isin(cases["study_id"]),
                notes=self.notes,
            )
        labelled = pd.Series(False, index=cases.index)
        for labels in by_source.values():
            labelled |= cases["study_id"].isin(labels.index)
        for target in self.targets:
            values = by_source[target.source][target.label].reindex(cases["study_id"])
            cases[target.column] = values.astype("boolean").array
        fate = "left out" if "labels" in self.required else "kept, targets <NA>"
        without = cases["study_id"][~labelled]
        self.notes.append(
            f"Labels ({', '.join(by_source)}): {int(labelled.sum()):,} of {len(cases):,} studies have them; "
            f"{len(without):,} have none, {fate}."
        )
        return self._drop(cases, labelled, "no study has a label") if "labels" in self.required else cases

    def _reflacx_labels(self, cases: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
        if "study_id" not in readings:
            readings["study_id"] = readings["image_study"]
        known = readings.dropna(subset=["study_id"])
        labels = [t.label for t in self.targets if t.source == "reflacx"]
        rule, threshold = self.settings.reflacx_rule, self.settings.reflacx_threshold
        voted = reflacx.vote(known, "study_id", labels, threshold, rule)
        voted.index = voted.index.astype("int64")
        count = known.groupby("study_id").size()
        several = int((count > 1).sum())
        images = int((known.groupby("study_id")["dicom_id"].nunique() > 1).sum())
        self.notes.append(
            f"REFLACX: {len(known):,} readings of {len(count):,} studies; positive from {threshold:g} on. "
            f"{several:,} studies have several readings, decided by rule {rule!r}; in {images:,} of them "
            "these are of several images."
        )
        read_image = known.drop_duplicates("study_id").set_index("study_id")["dicom_id"]
        was_read = cases["study_id"].map(read_image)
        cases["dicom_id"] = was_read.where(was_read.notna(), cases.get("dicom_id", was_read)).astype("string")
        cases["reflacx_readings"] = cases["study_id"].map(count).fillna(0).astype("int64")
        return voted

    # -- emergency stays and vital signs

    def _edstays(self, subjects: set[int] | None) -> pd.DataFrame:
        path = self.files.tables["edstays"]
        kinds: dict[str, Kind] = {"subject_id": "key", "stay_id": "key", "intime": "time", "outtime": "time"}
        if "gender" in header(path):  # not in the first releases
            kinds["gender"] = "text"
        stays = read_columns(path, kinds, self.notes, keep=self._keep(subjects))
        if stays["stay_id"].duplicated().any():
            raise ReaderError(
                f"{path.name}: stay {stays['stay_id'][stays['stay_id'].duplicated()].iloc[0]} comes twice."
            )
        unusable = ~(stays["intime"] <= stays["outtime"])
        if unusable.any():
            self.notes.append(
                f"{path.name}: {int(unusable.sum()):,} stays end before they begin or lack a time"
                f"{named_ids('stay', stays['stay_id'][unusable])}."
            )
        return stays

    def _stays_as_cases(self) -> pd.DataFrame:
        if self.files.get("edstays") is None:
            there = [p.name for p in self.files.tables.values()]
            raise ReaderError(
                f"Found {there}, which hold no cases. Cases are the studies of mimic-cxr-2.0.0-metadata.csv, "
                "or the stays of edstays.csv; put one of them below root, or name it in files=."
            )
        stays = self._edstays(self.subjects)
        stays = stays.sort_values(["subject_id", "intime", "stay_id"]).reset_index(drop=True)
        stays = self._drop(stays, pd.Series(True, index=stays.index), "no emergency stay was found")
        self.notes.append(
            f"{self.files.tables['edstays'].name}: {len(stays):,} stays of {stays['subject_id'].nunique():,} "
            "patients. There are no studies, so a case is a stay, without report."
        )
        first = ["stay_id", "subject_id", "intime", "outtime"]
        return stays[[*first, *(c for c in stays.columns if c not in first)]]

    def _with_stay(self, cases: pd.DataFrame) -> pd.DataFrame:
        if self.files.get("edstays") is None or self.files.get("metadata") is None:
            return cases
        stays = self._edstays(set(cases["subject_id"].tolist()))
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
        fate = "left out" if "stay" in self.required else "kept, without vital signs"
        self.notes.append(
            f"Emergency stays: {int(one.sum()):,} of {len(cases):,} studies lie in exactly one stay of their "
            f"patient. The others are {fate}: {told}."
        )
        cases.insert(2, "stay_id", matched["stay_id"])
        if "gender" in stays:
            cases["gender"] = cases["stay_id"].map(stays.set_index("stay_id")["gender"]).astype("string")
        if "stay" not in self.required:
            return cases
        return self._drop(cases, one, "no study lies in exactly one emergency stay")

    def _with_vitals(self, cases: pd.DataFrame, until: pd.Series[Any]) -> pd.DataFrame:
        path = self.files.get("triage")
        if "stay_id" not in cases:
            return cases
        if path is None:
            self.notes.append("triage.csv was not found: there are no vital signs.")
            return cases
        stays = set(cases["stay_id"].dropna().tolist())
        kinds: dict[str, Kind] = {"stay_id": "key", **dict.fromkeys(VITALS, "number")}
        triage = read_columns(path, kinds, self.notes, keep=self._keep(stays, "stay_id"))
        triage = _one_row_each(triage, "stay_id", path)
        values = triage.reindex(cases["stay_id"])
        for vital in VITALS:
            cases[vital] = values[vital].astype("Float64").array
        has_row = cases["stay_id"].isin(triage.index)
        blank = has_row & cases[list(VITALS)].isna().all(axis=1)
        self.notes.append(
            f"{path.name}: {int(has_row.sum()):,} of {len(cases):,} cases have a row; {int(blank.sum()):,} "
            "of these have none of the six vital signs."
        )
        if self.vitals == "first":
            self._fill_vitals(cases, until)
        return cases

    def _fill_vitals(self, cases: pd.DataFrame, until: pd.Series[Any]) -> None:
        path = self.files.get("vitalsign")
        if path is None:
            raise ReaderError("vitals='first' needs vitalsign.csv, which was not found; use vitals='triage'.")
        incomplete = cases[list(VITALS)].isna().any(axis=1)
        stays = set(cases["stay_id"][incomplete].dropna().tolist())
        kinds: dict[str, Kind] = {"stay_id": "key", "charttime": "time", **dict.fromkeys(VITALS, "number")}
        charted = read_columns(path, kinds, self.notes, keep=self._keep(stays, "stay_id"))
        missing = int(cases[list(VITALS)].isna().sum().sum())
        cases["vitals_from_chart"] = joins.fill_from_charted(cases, charted, until)
        left = int(cases[list(VITALS)].isna().sum().sum())
        self.notes.append(
            f"{path.name}: filled {missing - left:,} of {missing:,} vital signs that triage lacks, in "
            f"{int(cases['vitals_from_chart'].notna().sum()):,} cases (column vitals_from_chart)."
        )

    # -- patients and reports

    def _with_patient(self, cases: pd.DataFrame, when: str) -> pd.DataFrame:
        path = self.files.get("patients")
        if path is None:
            self.notes.append(
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
        patients = read_columns(path, kinds, self.notes, keep=self._keep(subjects))
        patients = _one_row_each(patients, "subject_id", path)
        own = patients.reindex(cases["subject_id"]).set_axis(cases.index)
        cases["age"] = joins.age_at(cases[when].dt.year, own["anchor_age"], own["anchor_year"])
        stated = cases["gender"] if "gender" in cases else pd.Series(pd.NA, index=cases.index, dtype="string")
        differing = (own["gender"] != stated).fillna(False) & own["gender"].notna() & stated.notna()
        cases["gender"] = own["gender"].where(own["gender"].notna(), stated).astype("string")
        unknown = ~cases["subject_id"].isin(patients.index)
        over = int((own["anchor_age"] >= joins.OVER_89).sum())
        self.notes.append(
            f"{path.name}: {int((~unknown).sum()):,} of {len(cases):,} cases have their patient in it; "
            f"{int(unknown.sum()):,} have not and are kept without age"
            f"{named_ids('subject', cases['subject_id'][unknown].drop_duplicates())}. {over:,} cases are of "
            f"patients over 89, whose age is {joins.OVER_89} whatever the year."
        )
        if differing.any():
            count = int(differing.sum())
            self.notes.append(
                f"{path.name}: gender differs from that of edstays in {count:,} cases; it counts."
            )
        return cases

    def _with_reports(self, cases: pd.DataFrame) -> pd.DataFrame:
        if self.files.reports is None:
            return cases
        texts = read_reports(self.files.reports, cases, self.notes)
        cases = pd.concat([cases, texts], axis=1)
        if "report" not in self.required:
            return cases
        return self._drop(cases, texts.notna().any(axis=1), "no study has a report")


def _one_row_each(table: pd.DataFrame, key: str, path: Path) -> pd.DataFrame:
    """Index a table by its key; rows that come twice and agree are one.

    Raises
    ------
    ReaderError
        If they disagree: which is right cannot be told.
    """
    table = table.drop_duplicates()
    twice = table[key].duplicated()
    if twice.any():
        raise ReaderError(
            f"{path.name}: {key} {table[key][twice].iloc[0]} comes twice, with different values; "
            f"{int(twice.sum()):,} such rows in all. The table is broken, or two releases were joined."
        )
    return table.set_index(key)
