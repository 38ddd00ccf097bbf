"""The rules by which the tables of MIMIC belong together: study to emergency stay, vital signs, age."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

VITALS = {
    "temperature": "degF",
    "heartrate": "/min",
    "resprate": "/min",
    "o2sat": "%",
    "sbp": "mmHg",
    "dbp": "mmHg",
}
"""The six vital signs of triage and their units."""

OVER_89 = 91
"""The anchor age under which MIMIC stores every patient who was over 89."""


def study_times(dates: pd.Series[Any], times: pd.Series[Any]) -> pd.Series[Any]:
    """Join StudyDate (YYYYMMDD) and StudyTime (HHMMSS.fff, stored as a number: leading zeros lost).

    Returns
    -------
    Series of datetime
        Missing where either is missing or is no date or time of day.

    Examples
    --------
    >>> study_times(pd.Series(["21800506", "21800506"]), pd.Series(["93015.5", "0"])).astype(str).tolist()
    ['2180-05-06 09:30:15.500', '2180-05-06 00:00:00.000']
    """
    date = pd.to_numeric(dates, errors="coerce")
    text = date.round().astype("Int64").astype("string")
    day = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
    clock = pd.to_numeric(times, errors="coerce").astype("float64")
    hours, minutes, seconds = clock // 10_000, clock // 100 % 100, clock % 100
    valid = (clock >= 0) & (hours < 24) & (minutes < 60) & (seconds < 60)
    milliseconds = ((hours * 3600 + minutes * 60 + seconds) * 1000).round().where(valid)
    return day + pd.to_timedelta(milliseconds, unit="ms")


def one_row_per_study(images: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Reduce the image table to studies: the frontal image first, the earliest time.

    Parameters
    ----------
    images : DataFrame
        Columns subject_id, study_id, dicom_id, ViewPosition, StudyDate, StudyTime.

    Returns
    -------
    studies : DataFrame of shape (n_studies, 4)
        Columns study_id, subject_id, dicom_id, study_time, in order of patient and time.
    n_differing : int
        Studies whose images carry different times.
    """
    when = study_times(images["StudyDate"], images["StudyTime"])
    frontal = images["ViewPosition"].str.upper().str.contains(r"^(?:PA|AP)\b", regex=True, na=False)
    ordered = images.assign(study_time=when, lateral=~frontal.astype(bool))
    times = ordered.groupby("study_id")["study_time"].agg(["min", "max"])
    ordered = ordered.sort_values(["study_id", "lateral", "dicom_id"]).drop_duplicates("study_id")
    studies = ordered[["study_id", "subject_id", "dicom_id"]].copy()
    studies["study_time"] = studies["study_id"].map(times["min"])
    studies = studies.sort_values(["subject_id", "study_time", "study_id"]).reset_index(drop=True)
    return studies, int((times["min"] != times["max"])[times["min"].notna()].sum())


def match_stays(studies: pd.DataFrame, stays: pd.DataFrame) -> pd.DataFrame:
    """Find the emergency stays of the same patient whose intime to outtime holds each study, ends included.

    Parameters
    ----------
    studies : DataFrame
        Columns study_id, subject_id, study_time.
    stays : DataFrame
        Columns stay_id, subject_id, intime, outtime.

    Returns
    -------
    DataFrame of shape (n_studies, 2)
        With the index of `studies`: `n_stays`, how many stays hold the study; `stay_id`, missing unless it is
        exactly one.

    Examples
    --------
    >>> at = pd.to_datetime(["2180-05-06 09:30"])
    >>> studies = pd.DataFrame({"study_id": [1], "subject_id": [7], "study_time": at})
    >>> hour = pd.Timedelta(hours=1)
    >>> stays = pd.DataFrame({"stay_id": [3], "subject_id": [7], "intime": at - hour, "outtime": at + hour})
    >>> match_stays(studies, stays).to_dict("list")
    {'n_stays': [1], 'stay_id': [3]}
    """
    left = studies[["study_id", "subject_id", "study_time"]].assign(position=np.arange(len(studies)))
    pairs = left.merge(stays[["stay_id", "subject_id", "intime", "outtime"]], on="subject_id")
    inside = pairs[(pairs["study_time"] >= pairs["intime"]) & (pairs["study_time"] <= pairs["outtime"])]
    held = inside.groupby("position")["stay_id"].agg(["size", "first"]).reindex(left["position"])
    n_stays = held["size"].fillna(0).astype("int64")
    stay_id = held["first"].astype("Int64").where(n_stays == 1)
    return pd.DataFrame({"n_stays": n_stays.to_numpy(), "stay_id": stay_id.array}, index=studies.index)


def age_at(year: pd.Series[Any], anchor_age: pd.Series[Any], anchor_year: pd.Series[Any]) -> pd.Series[Any]:
    """Return the age in a year: anchor_age + year - anchor_year; an anchor age of 91 (over 89) stays 91.

    Examples
    --------
    >>> year, age, anchor = pd.Series([2183, 2183]), pd.Series([52, 91]), pd.Series([2180, 2180])
    >>> age_at(year, age, anchor).tolist()
    [55.0, 91.0]
    """
    age = anchor_age.astype("float64") + year.astype("float64") - anchor_year.astype("float64")
    over = anchor_age.astype("float64") >= OVER_89
    return age.mask(over & year.notna(), float(OVER_89)).astype("Float64")


def fill_from_charted(cases: pd.DataFrame, charted: pd.DataFrame, until: pd.Series[Any]) -> pd.Series[Any]:
    """Fill missing triage vitals in place with the first value charted in the stay, none later than `until`.

    Parameters
    ----------
    cases : DataFrame
        Columns stay_id and the six vitals.
    charted : DataFrame
        Columns stay_id, charttime and the six vitals.
    until : Series of datetime
        Latest time per case: the study's, so that no value measured after the image is used.

    Returns
    -------
    Series of str
        Per case, the vitals that were filled, ``"temperature, sbp"``; missing where none was.
    """
    position = pd.Series(np.arange(len(cases)), index=cases.index)
    left = pd.DataFrame({"position": position, "stay_id": cases["stay_id"], "until": until})
    rows = left.dropna(subset=["stay_id"]).merge(charted, on="stay_id")
    rows = rows[rows["charttime"] <= rows["until"]].sort_values(["position", "charttime"], kind="stable")
    first = rows.groupby("position")[list(VITALS)].first().reindex(position)  # skips missing values
    filled = pd.Series("", index=cases.index)
    for vital in VITALS:
        value = pd.Series(first[vital].to_numpy(), index=cases.index)
        use = cases[vital].isna() & value.notna()
        cases[vital] = cases[vital].mask(use, value)
        filled = filled.where(~use, filled + vital + ", ")
    text: pd.Series[Any] = filled.str.removesuffix(", ").astype("string")
    return text.mask(text == "")
