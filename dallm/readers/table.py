"""Reads a table of cases from CSV, TSV, Parquet, Excel or JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dallm.cohort import Cohort
from dallm.errors import ReaderError, did_you_mean
from dallm.readers.column_types import type_columns
from dallm.readers.delimited import header_of, read_delimited
from dallm.readers.json_lines import read_json_lines
from dallm.readers.roles import ColumnRoles, build_cohort, names_of
from dallm.readers.text_file import existing_file

_EXCEL = (".xlsx", ".xlsm")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_EXCEL_CELL_LIMIT = 32_767


def read_table(
    path: str | Path,
    *,
    id: str,
    group: str | None = None,
    report: str | Sequence[str] = (),
    numeric: Mapping[str, str] | None = None,
    categorical: str | Sequence[str] = (),
    targets: str | Sequence[str] = (),
    data_use: str = "credentialed",
    sheet: str | int | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    verbose: bool = False,
) -> Cohort:
    """Read a table of cases with reports; the roles of its columns are those of :class:`dallm.Cohort`.

    Parameters
    ----------
    path : str or Path
        ``.csv``, ``.tsv``, ``.txt`` (any of them ``.gz``), ``.parquet``, ``.xlsx``, ``.jsonl`` or ``.json``.
        Other names are read as delimited text.
    id, group, report, numeric, categorical, targets, data_use
        See :class:`dallm.Cohort`.
    sheet : str or int, optional
        Excel: name of the sheet, or its position from 0. By default the one sheet that holds the id column.
    encoding : str, optional
        By default found: UTF-8, UTF-16, UTF-32, else Windows-1252; ``cohort.notes`` says which.
    separator : str, optional
        One character. By default found among comma, semicolon, tab and bar.
    verbose : bool, default=False
        Print how the table was read; it stands in ``cohort.notes`` in any case.

    Returns
    -------
    Cohort
        All columns of the table in file order. Report text is exactly as in the file; an empty cell is
        missing.

    Raises
    ------
    ReaderError
        If the file is missing, empty, damaged, not a table, has rows of different lengths or lacks a named
        column; the message names the file and the line.
    CohortError
        If a column cannot play its role.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "reports.csv"
    >>> _ = path.write_text("case;findings\\n007;No effusion, no edema.\\n", encoding="utf-8")
    >>> cohort = read_table(path, id="case", report="findings")
    >>> list(cohort.ids), cohort.frame["findings"][0]
    (['007'], 'No effusion, no edema.')
    >>> cohort.notes[0]
    'Read reports.csv as utf-8 (every byte fits), separated by semicolon.'
    """
    roles = ColumnRoles(
        id, group, names_of(report), dict(numeric or {}), names_of(categorical), names_of(targets)
    )
    path = existing_file(path)
    suffix = _suffix(path)
    if sheet is not None and suffix not in _EXCEL:
        raise ReaderError(f"sheet={sheet!r} is for Excel workbooks, {path.name!r} is none. Leave it out.")
    if suffix in (".xls", ".xlsb", ".ods"):
        raise ReaderError(f"{str(path)!r}: dallm reads no {suffix} files; save it as .xlsx or .csv.")
    used_separator: str | None = None
    if suffix in _PARQUET:
        frame, notes = _read_parquet(path, roles)
    elif suffix in _EXCEL:
        frame, notes = _read_excel(path, roles, sheet)
    elif suffix in _JSON:
        frame, notes = read_json_lines(path, encoding)
    else:
        if separator is not None and len(separator) != 1:
            raise ReaderError(f"separator must be one character, got {separator!r}; for a tab write '\\t'.")
        separator = separator or ("\t" if suffix in (".tsv", ".tab") else None)
        header = header_of(path, expected=roles.columns, encoding=encoding, separator=separator)
        roles.require(header, str(path))  # before a long file is read
        table = read_delimited(path, expected=roles.columns, encoding=encoding, separator=separator)
        frame, notes, used_separator = table.frame, table.notes, table.separator
    roles.require(frame.columns, str(path))
    if len(frame) == 0:
        raise ReaderError(f"{str(path)!r} has a header and no row below it.")
    notes = notes + type_columns(frame, roles, separator=used_separator)
    notes.append(f"Rows: {len(frame):,}. Columns: {len(frame.columns)}, with a role: {len(roles.columns)}.")
    return build_cohort(frame, roles, data_use=data_use, notes=notes, verbose=verbose)


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else (suffixes or [""])[-1]


def _read_parquet(path: Path, roles: ColumnRoles) -> tuple[pd.DataFrame, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        roles.require(_parquet_columns(schema), str(path))
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, ReaderError):
            raise
        raise ReaderError(f"{str(path)!r} is no readable Parquet file: {_first_line(error)}") from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    for column in roles.report:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].astype(object)
    return _with_none(frame, roles), [f"Read {path.name} (Parquet)."]


def _parquet_columns(schema: Any) -> list[str]:
    held = (schema.pandas_metadata or {}).get("index_columns", [])
    return [*schema.names, *(c for c in held if isinstance(c, str) and c not in schema.names)]


def _read_excel(path: Path, roles: ColumnRoles, sheet: str | int | None) -> tuple[pd.DataFrame, list[str]]:
    import zipfile

    try:
        # only the empty cell is missing: "None" is an answer in a comparison section
        sheets = pd.read_excel(
            path, sheet_name=None, engine="openpyxl", keep_default_na=False, na_values=[""], dtype=object
        )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ReaderError(f"{str(path)!r} is no readable Excel workbook: {_first_line(error)}") from error
    name = _chosen_sheet(path, sheets, roles.id, sheet)
    frame = sheets[name]
    frame.columns = pd.Index([str(c).strip() for c in frame.columns])
    frame = _with_none(frame.dropna(how="all").reset_index(drop=True), roles)
    notes = [f"Read sheet {name!r} of {path.name}."]
    for column in set(roles.report) & set(frame.columns):
        cut = sum(isinstance(v, str) and len(v) == _EXCEL_CELL_LIMIT for v in frame[column])
        if cut:
            notes.append(
                f"Column {column!r} of {path.name}: {cut} texts have exactly {_EXCEL_CELL_LIMIT:,} "
                "characters, Excel's limit; they were probably cut off when the workbook was written."
            )
    return frame.infer_objects(), notes


def _chosen_sheet(
    path: Path, sheets: dict[str, pd.DataFrame], id_column: str, sheet: str | int | None
) -> str:
    names = list(sheets)
    if isinstance(sheet, int):
        if not 0 <= sheet < len(names):
            raise ReaderError(f"{path.name} has no sheet {sheet}; it has {len(names)}: {names}.")
        return names[sheet]
    if sheet is not None:
        if sheet not in sheets:
            raise ReaderError(
                f"{path.name} has no sheet {sheet!r}.{did_you_mean(sheet, names)} It has {names}."
            )
        return sheet
    holding = [n for n, held in sheets.items() if id_column in [str(c).strip() for c in held.columns]]
    if len(holding) > 1:
        raise ReaderError(f"{path.name}: the sheets {holding} all have a column {id_column!r}; pass sheet=.")
    return holding[0] if holding else names[0]


def _with_none(frame: pd.DataFrame, roles: ColumnRoles) -> pd.DataFrame:
    """Hold the text columns whose type must be settled as plain str and None."""
    for column in {*roles.report, *roles.numeric} & set(frame.columns):
        if frame[column].dtype == object or isinstance(frame[column].dtype, pd.StringDtype):
            cells = frame[column].astype(object)
            frame[column] = cells.where(cells.notna(), None)
    return frame


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
