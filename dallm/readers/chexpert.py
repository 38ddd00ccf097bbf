"""The CheXpert labels of MIMIC-CXR: 1 present, 0 absent, -1 uncertain, blank not mentioned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dallm.errors import ReaderError, did_you_mean
from dallm.readers.mimic_csv import Keep, read_columns

LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
"""The fourteen columns of ``mimic-cxr-2.0.0-chexpert.csv.gz``."""

# What the paper's conditions rest on where CheXpert has no label of that name.
_STANDS_FOR = {
    "enlarged cardiac silhouette": ("Cardiomegaly",),
    "pleural abnormality": ("Pleural Effusion", "Pleural Other"),
    "pulmonary edema": ("Edema",),
}
UNCERTAIN = ("missing", "present", "absent")
BLANK = ("absent", "missing")
_READ_AS: Mapping[str, Any] = {"missing": pd.NA, "present": True, "absent": False}


def labels_of(name: str) -> tuple[str, ...] | None:
    """Return the CheXpert columns that a name stands for, or None.

    Examples
    --------
    >>> labels_of("pleural effusion"), labels_of("pulmonary edema"), labels_of("pallor")
    (('Pleural Effusion',), ('Edema',), None)
    """
    low = " ".join(name.casefold().split())
    spelt = {label.casefold(): (label,) for label in LABELS}
    return spelt.get(low) or _STANDS_FOR.get(low)


def known_names() -> list[str]:
    """Return every name that :func:`labels_of` knows."""
    return [*(label.lower() for label in LABELS), *_STANDS_FOR]


def read_chexpert(
    path: Path, names: Sequence[str], *, uncertain: str, blank: str, keep: Keep, notes: list[str]
) -> pd.DataFrame:
    """Read labels by study.

    Parameters
    ----------
    path : Path
        The released table.
    names : sequence of str
        Names that :func:`labels_of` knows; one that stands for several columns is True if any of them is.
    uncertain : {"missing", "present", "absent"}
        What -1 becomes.
    blank : {"absent", "missing"}
        What a label that the report does not mention becomes.
    keep : callable
        Given a block, says which of its rows to keep.
    notes : list of str
        What was found is added here.

    Returns
    -------
    DataFrame of shape (n_studies, n_names)
        ``boolean``, indexed by study_id.
    """
    columns = {name: labels_of(name) or () for name in names}
    read = list(dict.fromkeys(column for group in columns.values() for column in group))
    table = read_columns(
        path, {"study_id": "key", **dict.fromkeys(read, "number")}, notes, keep=keep
    ).set_index("study_id")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise ReaderError(f"{path.name}: study {twice} comes twice.")
    truth: dict[str, pd.Series[Any]] = {}
    for column in read:
        given = table[column]
        wrong = given.notna() & ~given.isin([1, 0, -1])
        if wrong.any():
            raise ReaderError(
                f"{path.name}, study {given.index[wrong][0]}: {column!r} holds {given[wrong].iloc[0]:g}; "
                "CheXpert labels are 1, 0, -1 or blank."
            )
        value = pd.Series(_READ_AS[blank], index=given.index, dtype="boolean")
        value = value.mask(given == 1, True).mask(given == 0, False)
        truth[column] = value.mask(given == -1, _READ_AS[uncertain])
        present, absent, hedged = (int((given == code).sum()) for code in (1, 0, -1))
        notes.append(
            f"CheXpert {column!r}: {present:,} present, {absent:,} absent, {hedged:,} uncertain "
            f"({uncertain}), {int(given.isna().sum()):,} not mentioned ({blank})."
        )
    out = pd.DataFrame(index=table.index)
    for name, group in columns.items():
        value = truth[group[0]]
        for column in group[1:]:
            value = value | truth[column]  # True if one is, missing if one is missing and none is True
        out[name] = value
        if [name.casefold()] != [g.casefold() for g in group]:
            notes.append(f"Target {name!r} rests on CheXpert {' or '.join(group)}.")
    return out


def check_settings(uncertain: str, blank: str) -> None:
    """Refuse a way of reading that does not exist."""
    for keyword, value, known in (
        ("chexpert_uncertain", uncertain, UNCERTAIN),
        ("chexpert_blank", blank, BLANK),
    ):
        if value not in known:
            raise ReaderError(
                f"{keyword} must be one of {list(known)}, got {value!r}.{did_you_mean(value, known)}"
            )
