"""Lines up the rows of measured and filled tables, and finds ids and patients in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dallm.case_ids import count
from dallm.errors import UserError, did_you_mean
from dallm.fidelity.columns import stem_of, truth_columns
from dallm.fidelity.numbers import as_floats
from dallm.paper.table_files import named_paths as named_paths
from dallm.paper.table_files import read_frame as read_frame

_ID_WORDS = ("case_id", "id", "dicom_id", "study_id", "stay_id", "reflacx_id", "case", "row", "index", "")
_CASE_IDS = ("id", "case_id", "reflacx_id", "case")
_AGREEING = 0.99  # share of the measured values that a filled table repeats


def line_up(
    truth: pd.DataFrame, tables: Mapping[str, pd.DataFrame], *, id: str | None = None
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], list[str]]:
    """Bring the rows of filled tables to those of the truth.

    Rows belong together by a column of ids that both have; where there is none, by their order. Where a
    filled table repeats the measured values, they have to agree.

    Parameters
    ----------
    truth : DataFrame
    tables : mapping of str to DataFrame
    id : str, optional
        The column of ids; by default found.

    Returns
    -------
    truth, tables, notes
        The tables on the positions of the truth's rows; what was done where it may be doubted.

    Raises
    ------
    UserError
        If rows cannot be brought together.
    """
    truth = truth.reset_index(drop=True)
    notes = list(_repeated_rows(truth))
    return truth, {name: _lined_up(truth, table, id, name, notes) for name, table in tables.items()}, notes


def _repeated_rows(truth: pd.DataFrame) -> Iterator[str]:
    """Say of ids that name several rows: such rows count as often as they stand there."""
    for column in truth.columns:
        if str(column).lower() in _CASE_IDS and truth[column].notna().all():
            n = int(truth[column].duplicated().sum())
            if n:
                copies = int(truth.duplicated().sum())
                yield (
                    f"Column {column!r} of the truth names {count(n, 'row')} that another row has named; "
                    f"{copies or 'none'} of them {'is a copy' if copies == 1 else 'are copies'}. Every row "
                    "counts, and rows are not brought together by this column."
                )


def _lined_up(
    truth: pd.DataFrame, table: pd.DataFrame, id: str | None, name: str, notes: list[str]
) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    ids = {str(c).lower(): c for c in truth.columns if _is_id(c)}
    spelt = {
        c: ids[str(c).lower()] for c in table.columns if str(c).lower() in ids and c not in truth.columns
    }
    table = table.rename(columns=spelt)  # ID and id are one column
    agreements: list[float] = []
    for column in _id_columns(truth, table, id, name):
        at = _positions(truth[column], table[column])
        if at is not None:
            agreements.append(_agreement(truth, table, at))
            if agreements[-1] >= _AGREEING:
                # a long table is read by its index then, and by no other column that looks like ids
                return table.set_axis(pd.Index(at), axis=0).drop(columns=[c for c in table if _is_id(c)])
        elif id is not None:
            raise UserError(
                f"Column {id!r} of {name!r} holds ids that the truth lacks; name another with --id."
            )
    if id is None and len(table) <= len(truth):
        at = np.arange(len(table), dtype=np.intp)
        agreements.append(_agreement(truth, table, at))
        if agreements[-1] >= _AGREEING:
            if len(table) < len(truth) and not _repeated(truth, table):
                notes.append(
                    f"{name} has {len(table):,} of {len(truth):,} rows and no ids: taken for the first ones."
                )
            return table
    if agreements:
        raise UserError(
            f"The rows of {name!r} do not belong to those of the truth in this order: the measured values "
            f"that it repeats agree in {max(agreements):.0%}. Name a column of ids with --id."
        )
    raise UserError(
        f"{name!r} has {len(table):,} rows, the truth {len(truth):,}, and they share no column of ids; "
        "name one with --id."
    )


def _id_columns(truth: pd.DataFrame, table: pd.DataFrame, id: str | None, name: str) -> list[str]:
    if id is not None:
        for what, frame in (("The truth", truth), (f"The filled table {name!r}", table)):
            if id not in frame.columns:
                raise UserError(f"{what} has no column {id!r}.{did_you_mean(id, frame.columns)}")
        if truth[id].duplicated().any() or truth[id].isna().any():
            raise UserError(f"Column {id!r} of the truth does not name each row once; name another.")
        return [id]
    shared = [c for c in truth.columns if c in table.columns and _is_id(c)]
    shared = [c for c in shared if not truth[c].duplicated().any() and not truth[c].isna().any()]
    ranks = {word: place for place, word in enumerate(_ID_WORDS)}
    return sorted(shared, key=lambda c: ranks.get(c.lower(), len(ranks) - 1.5))


def _is_id(column: object) -> bool:
    lowered = str(column).lower()
    return lowered in _ID_WORDS or lowered.endswith(("_id", " id", "path"))


def _positions(ids: pd.Series[Any], given: pd.Series[Any]) -> NDArray[np.intp] | None:
    """Return the row of the truth that each id names, or None where one names none."""
    at = pd.Index(ids).get_indexer(pd.Index(given))
    if (at < 0).any():
        at = pd.Index(_as_text(ids)).get_indexer(pd.Index(_as_text(given)))
    return None if (at < 0).any() else np.asarray(at, dtype=np.intp)


def _as_text(ids: pd.Series[Any]) -> list[str]:
    # 7, 7.0 and "7" are one id: a missing value elsewhere, or a spreadsheet, changes the type
    return [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip() for v in ids.tolist()]


def _repeated(truth: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    """Return the measured columns that a filled table repeats: called alike, beside a filled one."""
    said = {stem_of(c)[0] for c in table.columns if stem_of(c)[1] == "filled"}
    plain = {stem_of(c)[0]: c for c in table.columns if stem_of(c)[1] != "filled"}
    columns = truth_columns(truth, None)
    return {
        column: plain[stem_of(column)[0]]
        for column in columns.values()
        if stem_of(column)[0] in plain and stem_of(column)[0] in said
    }


def _agreement(truth: pd.DataFrame, table: pd.DataFrame, at: NDArray[np.intp]) -> float:
    """Return the share of repeated measured values that agree with the truth; 1 where none is repeated."""
    same = total = 0
    for column, own in _repeated(truth, table).items():
        left = as_floats(truth[column], f"Column {column!r} of the truth").to_numpy()[at]
        right = as_floats(table[own], f"Column {own!r}").to_numpy()
        both = ~np.isnan(left) & ~np.isnan(right)
        same += int(np.isclose(left[both], right[both], rtol=1e-4, atol=1e-6).sum())
        total += int(both.sum())
    return same / total if total else 1.0


def truth_in(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the measured values that a filled table repeats, where no table of them is given.

    Raises
    ------
    UserError
        If no filled table repeats them.
    """
    for table in tables.values():
        said = {stem_of(c)[0] for c in table.columns if stem_of(c)[1] == "filled"}
        plain = {stem_of(c)[0] for c in table.columns if stem_of(c)[1] != "filled"}
        if said and said <= plain:
            return table
    raise UserError("No filled table repeats the measured values beside the filled ones; give --truth FILE.")


def patients_in(truth: pd.DataFrame, column: str | None = None) -> pd.Series[Any] | None:
    """Return the patient of each row, from the named column or one that is called so.

    Raises
    ------
    UserError
        If the named column is not there.
    """
    if column is not None and column not in truth.columns:
        raise UserError(f"The truth has no column {column!r}.{did_you_mean(column, truth.columns)}")
    names = ["subject_id", "patient_id", "patient", "subject"]
    spelt = {str(c).lower().replace(" ", "_"): c for c in reversed(truth.columns)}
    found = column if column is not None else next((spelt[name] for name in names if name in spelt), None)
    if found is None or (column is None and truth[found].isna().any()):
        return None
    return truth[found]
