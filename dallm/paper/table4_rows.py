"""Which cases Experiment III is computed of: those that every table holds, and the normals that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError, did_you_mean
from dallm.paper.table4_columns import NO_FINDING, table4_set

_LEADING = ("expert", "augmented", "no_knowledge", "original")


def leading_table(names: Sequence[str], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the table whose order of rows counts, whichever order the tables are given in.

    The public code draws its normal cases from the rows of the merged table.

    Examples
    --------
    >>> tables = dict.fromkeys(("original", "expert"), pd.DataFrame())
    >>> leading_table(["original", "expert"], tables), leading_table(["expert", "original"], tables)
    ('expert', 'expert')
    """

    def rank(name: str) -> tuple[int, int, str]:
        row = table4_set(name)
        return _LEADING.index(row) if row in _LEADING else len(_LEADING), -tables[name].shape[1], name

    return min(names, key=rank)


def same_cases(
    tables: Mapping[str, pd.DataFrame], id: str | None, leading: str, notes: list[str]
) -> dict[str, pd.DataFrame]:
    """Bring all tables to the rows of the leading one; an index without a name is left out.

    Raises
    ------
    UserError
        If a column is there twice, or rows cannot be brought together.
    """
    made = {name: table.reset_index(drop=True) for name, table in tables.items()}
    for name, table in list(made.items()):
        table.columns = pd.Index([str(c) for c in table.columns])
        made[name] = table = table.loc[:, table.columns != ""]
        twice = table.columns[table.columns.duplicated()]
        if len(twice):
            raise UserError(f"Feature set {name!r} has the column {twice[0]!r} twice; drop or rename one.")
    key = id or next(
        (
            c
            for c in ("id", "case_id", "dicom_id", "reflacx_id")
            if all(c in t and t[c].is_unique and t[c].notna().all() for t in made.values())
        ),
        None,
    )
    if id is not None:
        for name, table in made.items():
            if id not in table:
                raise UserError(
                    f"Feature set {name!r} has no column {id!r}.{did_you_mean(id, table.columns)}"
                )
            if not table[id].is_unique:
                raise UserError(f"Column {id!r} of {name!r} does not name each case once.")
    if key is None:
        sizes = {name: len(table) for name, table in made.items()}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name!r} has {n:,} rows" for name, n in sizes.items())
            raise UserError(f"{said}, and the tables share no column of ids. Name one with --id.")
        if len(made) > 1:
            notes.append("The tables share no column of ids: their rows are taken to stand in one order.")
        return made
    keyed = {name: table.set_index(table[key].astype(str)) for name, table in made.items()}
    shared = keyed[leading].index
    for table in keyed.values():
        shared = shared[shared.isin(table.index)]
    left = max(len(table) for table in keyed.values()) - len(shared)
    if not len(shared):
        raise UserError(f"The tables have no case in common by their column {key!r}; name another with --id.")
    if left:
        notes.append(f"{count(left, 'case')} that not every table holds left out.")
    return {name: table.loc[shared] for name, table in keyed.items()}


def drawn_cases(
    tables: Sequence[pd.DataFrame], normals: int | None, notes: list[str]
) -> np.ndarray[Any, Any]:
    """Return the positions of the cases that the public code keeps.

    Parameters
    ----------
    tables : sequence of DataFrame
        On the same rows; the first that says which cases have no finding is asked.
    normals : int or None
        How many of those are drawn; None keeps all.
    notes : list of str
        Gets a line for what was drawn.
    """
    every = np.arange(len(tables[0]))
    told = ((table, c) for table in tables for c in table.columns if str(c).lower() in NO_FINDING)
    table, column = next(told, (tables[0], None))
    if normals is None or column is None:
        return every
    numbers = pd.to_numeric(table[column], errors="coerce")
    numbers = numbers.where(numbers.notna(), table[column].map({True: 1.0, False: 0.0}))
    if not (numbers <= 0).any():  # CheXpert as released says 1 or nothing
        numbers = numbers.fillna(0.0)
    found, normal = every[numbers.to_numpy() <= 0], every[numbers.to_numpy() > 0]
    if len(normal) <= normals:
        return every
    drawn = pd.Series(normal).sample(n=normals, random_state=0).to_numpy()
    notes.append(
        f"{len(found):,} cases with a finding and {normals} of {len(normal):,} without are kept, as "
        f"published ({column!r}; --normals all keeps every case)."
    )
    return np.concatenate([found, drawn])
