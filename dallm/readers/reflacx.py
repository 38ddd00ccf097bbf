"""REFLACX: several radiologists' certainties (0 to 5) for each label of an image, in three phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from dallm.errors import ReaderError, did_you_mean
from dallm.readers.mimic_csv import header, read_columns

Rule = Literal["any", "majority", "all", "mean"]
RULES: tuple[str, ...] = get_args(Rule)
HIGHEST = 5
"""Certainties: 0 not selected, 1 unlikely, 2 less likely, 3 possibly, 4 probably, 5 consistent with."""

_NOT_LABELS = {
    "id",
    "split",
    "eye_tracking_data_discarded",
    "image",
    "dicom_id",
    "subject_id",
    "image_size_x",
    "image_size_y",
    "other",
}
_STUDY_IN_PATH = r"/s(\d{8})(?:/|$)"
# "Support devices" and "Quality issue" are given as present or not.
_TRUTH = {"true": str(HIGHEST), "false": "0"}


def label_names(files: Mapping[int, Path]) -> dict[str, dict[int, str]]:
    """Return the labels of the phases: lower-case name to phase to column name."""
    names: dict[str, dict[int, str]] = {}
    for phase, path in sorted(files.items()):
        for column in header(path):
            if column.casefold() not in _NOT_LABELS:
                names.setdefault(column.casefold(), {})[phase] = column
    return names


def read_readings(files: Mapping[int, Path], labels: Sequence[str], notes: list[str]) -> pd.DataFrame:
    """Read the readings of all phases.

    Parameters
    ----------
    files : mapping of int to Path
        Phase to its ``metadata_phase_<phase>.csv``.
    labels : sequence of str
        Lower-case labels, each in at least one phase.
    notes : list of str
        What was found is added here.

    Returns
    -------
    DataFrame
        One row a reading: id, dicom_id, subject_id, image_study (the study in the image's path, or missing),
        phase, and one column of certainties a label, missing where the phase has no such label.

    Raises
    ------
    ReaderError
        If a certainty is not a whole number from 0 to 5, or a reading's id comes twice.
    """
    available = label_names(files)
    parts = []
    for phase, path in sorted(files.items()):
        columns = {label: available[label][phase] for label in labels if phase in available[label]}
        part = read_columns(
            path,
            {
                "id": "text",
                "dicom_id": "text",
                "subject_id": "key",
                "image": "text",
                **dict.fromkeys(columns.values(), "text"),
            },
            notes,
        )
        image_study = part["image"].str.extract(_STUDY_IN_PATH, expand=False)
        reading: dict[str, Any] = {
            "id": part["id"],
            "dicom_id": part["dicom_id"],
            "subject_id": part["subject_id"],
            "image_study": pd.to_numeric(image_study, errors="coerce").astype("Int64"),
            "phase": phase,
        }
        for label in labels:
            given = part[columns[label]] if label in columns else pd.Series(pd.NA, index=part.index)
            reading[label] = _certainties(given, part["id"], path, label)
        parts.append(pd.DataFrame(reading))
        absent = [label for label in labels if label not in columns]
        missing = f"; it has no label {', '.join(absent)} (<NA>)" if absent else ""
        images = part["dicom_id"].nunique()
        notes.append(f"REFLACX phase {phase}: {len(part):,} readings of {images:,} images{missing}.")
    readings = pd.concat(parts, ignore_index=True)
    twice = readings["id"][readings["id"].duplicated()]
    if len(twice):
        raise ReaderError(
            f"REFLACX: reading {twice.iloc[0]!r} comes twice in {[str(p) for p in files.values()]}."
        )
    return readings


def vote(
    readings: pd.DataFrame, by: str, labels: Sequence[str], threshold: float, rule: Rule
) -> pd.DataFrame:
    """Turn certainties into labels.

    Parameters
    ----------
    readings : DataFrame
        As :func:`read_readings` gives them.
    by : str
        Column that says which readings belong together.
    labels : sequence of str
        Columns of certainties.
    threshold : float
        A reading is positive from this certainty on.
    rule : {"any", "majority", "all", "mean"}
        A label is True if any, more than half, or all of the readings that could give it are positive, or
        their mean certainty reaches the threshold.

    Returns
    -------
    DataFrame of shape (n_groups, n_labels)
        ``boolean``, ``<NA>`` where no reading of the group could give the label.

    Examples
    --------
    >>> readings = pd.DataFrame({"study": [1, 1, 1, 2], "atelectasis": [5.0, 0.0, 2.0, None]})
    >>> vote(readings, "study", ["atelectasis"], 3, "any")["atelectasis"].tolist()
    [True, <NA>]
    >>> vote(readings, "study", ["atelectasis"], 3, "majority")["atelectasis"].tolist()
    [False, <NA>]
    """
    given = readings[list(labels)].astype("float64")
    voters = given.notna().groupby(readings[by]).sum()
    positive = (given >= threshold).groupby(readings[by]).sum()
    if rule == "any":
        decided = positive > 0
    elif rule == "majority":
        decided = positive * 2 > voters
    elif rule == "all":
        decided = positive == voters
    else:
        decided = given.groupby(readings[by]).mean() >= threshold
    return decided.astype("boolean").mask(voters == 0)


def check_settings(threshold: float, rule: str) -> None:
    """Refuse a threshold or rule that does not exist."""
    if rule not in RULES:
        raise ReaderError(
            f"reflacx_rule must be one of {list(RULES)}, got {rule!r}.{did_you_mean(rule, RULES)}"
        )
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 < threshold <= HIGHEST:
        raise ReaderError(
            f"reflacx_threshold must be above 0 and at most {HIGHEST} (the certainty from which a reading "
            f"counts as positive), got {threshold!r}."
        )


def _certainties(given: pd.Series[Any], ids: pd.Series[Any], path: Path, label: str) -> pd.Series[Any]:
    text = given.astype("string").str.strip().str.lower()
    values = pd.to_numeric(text.replace(_TRUTH), errors="coerce").astype("float64")
    wrong = text.notna() & ~values.isin(range(HIGHEST + 1))
    if wrong.any():
        raise ReaderError(
            f"{path.name}, reading {ids[wrong].iloc[0]}: {label!r} holds {str(given[wrong].iloc[0])[:40]!r}; "
            f"a certainty is a whole number from 0 to {HIGHEST}. {int(wrong.sum()):,} such cells."
        )
    return values
