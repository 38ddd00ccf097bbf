"""Reads the feature sets of Experiment III from ready tables, as the public code of the paper reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.protocols.marked import TEST_WORDS, TRAIN_WORDS
from dallm.paper.fidelity_tables import patients_in
from dallm.paper.table4_columns import (
    SPLITS,
    YES,
    as_numbers,
    features_of,
    listed,
    names_of,
    vocabulary,
    with_parts,
)
from dallm.paper.table4_gaps import gap_of
from dallm.paper.table4_rows import drawn_cases, leading_table, same_cases

NORMALS = 100
"""Cases without a finding that the public code draws."""


@dataclass(frozen=True)
class Table4Input:
    """Feature sets on the same cases, as numbers, with labels, split and patients.

    Attributes
    ----------
    sets : mapping of str to DataFrame
        Numbers without missing values: what the public code fits.
    given : mapping of str to DataFrame
        The same columns as they were given, for the leak-free figure.
    labels : DataFrame of bool
    split : Series of str
        ``train``, ``test``, or another word for a case of neither part.
    groups : Series or None
        Patients.
    notes : tuple of str
    gaps : tuple of str
        What sets of the paper's names lack of the paper's features; of no concern on other cases.
    """

    sets: Mapping[str, pd.DataFrame]
    given: Mapping[str, pd.DataFrame]
    labels: pd.DataFrame
    split: pd.Series[Any]
    groups: pd.Series[Any] | None
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def read_tables(
    tables: Mapping[str, pd.DataFrame],
    *,
    targets: Sequence[str] = (),
    split: str | pd.Series[Any] | None = None,
    features: Mapping[str, Sequence[str]] | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    id: str | None = None,
    normals: int | None = NORMALS,
    labels_only: Sequence[str] = (),
) -> Table4Input:
    """Find features, labels, split and patients in tables that have one row per case.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By feature set. One table that holds the eight original columns and more gives the set ``original``,
        too; so does one with the experts' columns the set without them.
    targets : sequence of str, optional
        Label columns; by default the five lesions, pulmonary edema standing for pleural effusion where the
        tables have it.
    split : str or Series, optional
        Column of marks, or the marks by case; by default a column called ``split``.
    features : mapping of str to sequence of str, optional
        Columns of a set, where the tables hold others, too.
    drop : sequence of str
        Columns that are no features.
    group, id : str, optional
        Columns of patients and case ids; by default found.
    normals : int or None, default=100
        Where the tables say which cases have no finding, so many of them are drawn, as published (pandas,
        random state 0). None keeps all.
    labels_only : sequence of str
        Tables that are no feature set: they hold labels, marks or patients.

    Raises
    ------
    UserError
        If a column is missing or the tables do not hold the same cases.
    """
    notes: list[str] = []
    leading = leading_table([name for name in tables if name not in labels_only] or list(tables), tables)
    tables = same_cases(tables, id, leading, notes)
    whole = list(tables.values())
    labels = _labels(whole, targets, notes)
    marks, split_column = _split(whole, split)
    patients = _patients(whole, group)
    apart = {*map(str, labels.attrs["columns"]), *drop, *SPLITS, *([split_column] if split_column else [])}
    apart |= {*([group] if group else []), *([id] if id else [])}
    chosen = {
        name: features_of(name, table, apart, (features or {}).get(name), notes)
        for name, table in tables.items()
        if name not in labels_only
    }
    gaps = [gap_of(name, list(frame.columns), tables[name].columns) for name, frame in chosen.items()]
    chosen = with_parts(chosen, notes)
    rows = drawn_cases([tables[leading], *whole], normals, notes)
    given = {name: tables_of.iloc[rows] for name, tables_of in chosen.items()}
    sets = {name: as_numbers(frame, name, notes) for name, frame in chosen.items()}
    labels.attrs = {}
    return Table4Input(
        {name: frame.iloc[rows] for name, frame in sets.items()},
        given,
        labels.iloc[rows],
        marks.iloc[rows],
        None if patients is None else patients.iloc[rows],
        tuple(dict.fromkeys(notes)),
        tuple(gap for gap in gaps if gap is not None),
    )


def _labels(tables: list[pd.DataFrame], targets: Sequence[str], notes: list[str]) -> pd.DataFrame:
    features = {*names_of("generated"), *names_of("expert")}
    found: dict[str, tuple[str, pd.Series[Any]]] = {}
    wanted = [(t, [t]) for t in targets] or [
        (t, spellings) for t, spellings in vocabulary()["targets"].items()
    ]
    for name, spellings in wanted:
        column = _label_column(tables, name, spellings, features if not targets else set())
        if column is None and targets:
            other: list[str] = next((v for v in vocabulary()["targets"].values() if name.lower() in v), [])
            column = _label_column(tables, name, other, features)
            if column is not None:
                notes.append(
                    f"There is no target {name!r}; {column[0]!r} stands for it, as in the authors' files."
                )
        if column is None and targets:
            known = list(dict.fromkeys(c for table in tables for c in table.columns))
            raise UserError(f"No table has the target {name!r}.{did_you_mean(name, known)}")
        if column is not None:
            found[column[0]] = column
    if not found:
        raise UserError(
            "No table has a column called like one of the five lesions. Name the targets with --targets a,b."
        )
    if not targets and len(found) < len(wanted):
        notes.append(f"Targets found: {listed(list(found))}; the paper has five.")
    labels = pd.DataFrame({name: _yes(values) for name, (_, values) in found.items()})
    labels.attrs["columns"] = list(found)
    return labels


def _label_column(
    tables: list[pd.DataFrame], name: str, spellings: Sequence[str], features: set[str]
) -> tuple[str, pd.Series[Any]] | None:
    """Return the column of a label: as written, else in other letters, but for features called so."""
    for table in tables:
        if name in table.columns and (name not in features):
            return name, table[name]
    for spelling in spellings:
        for table in tables:
            for column in table.columns:
                if str(column).strip().lower() == spelling and column not in features:
                    return str(column), table[column]
    return None


def _yes(values: pd.Series[Any]) -> pd.Series[bool]:
    """Read a label as the public code does: above 0 is yes, anything else no."""
    numbers = pd.to_numeric(values.astype(object).where(values.notna(), None), errors="coerce")
    said = values.astype(object).astype(str).str.strip().str.lower().isin(YES)
    return (numbers.fillna(0).astype(float) > 0) | said


def _split(
    tables: list[pd.DataFrame], split: str | pd.Series[Any] | None
) -> tuple[pd.Series[Any], str | None]:
    if isinstance(split, pd.Series):
        found, name = _marks_by_case(split, tables[-1].index), None
    else:
        names = [split] if split is not None else list(SPLITS)
        place = next(
            ((t, own) for c in names for t in tables for own in t.columns if own.lower() == c.lower()), None
        )
        if place is None:
            known = list(dict.fromkeys(c for table in tables for c in table.columns))
            raise UserError(
                f"No table has the column {split!r} of marks.{did_you_mean(split, known)}"
                if split is not None
                else "No table has a column 'split' with the marks train and test. Name one with --split, "
                "give a file of marks there, or the test cases as a file of their own with --test-frame."
            )
        found, name = place[0][place[1]], place[1]
    words = found.astype(object).where(found.notna(), "").astype(str).str.strip().str.lower()
    made = words.where(~words.isin(TRAIN_WORDS), "train").where(~words.isin(TEST_WORDS), "test")
    if name is not None and set(words) <= {"true", "false", "1", "0", "1.0", "0.0"}:
        means_train = "train" in name.lower()
        if not means_train and "test" not in name.lower():
            raise UserError(f"The marks in {name!r} are {sorted(set(words))}; mark the cases train and test.")
        made = words.isin(YES).map(
            {True: "train", False: "test"} if means_train else {True: "test", False: "train"}
        )
    for side in ("train", "test"):
        if not (made == side).any():
            raise UserError(
                f"No case is marked {side!r}; the marks are {listed(sorted(set(words)))}. "
                "Mark the cases train and test."
            )
    return made.set_axis(tables[-1].index), name


def _marks_by_case(split: pd.Series[Any], index: pd.Index[Any]) -> pd.Series[Any]:
    by_position = pd.api.types.is_integer_dtype(index.dtype)
    marks = split if by_position else split.set_axis(split.index.astype(str))
    if not marks.index.is_unique or index.isin(marks.index).sum() == 0:
        raise UserError("The file of marks does not name each case once by the ids of the tables; give --id.")
    return marks.reindex(index)


def _patients(tables: list[pd.DataFrame], group: str | None) -> pd.Series[Any] | None:
    for table in tables:
        if group is None or group in table.columns:
            found = patients_in(table, group)
            if found is not None:
                return found
    if group is not None:
        raise UserError(
            f"No table has the column {group!r} of patients.{did_you_mean(group, tables[0].columns)}"
        )
    return None
