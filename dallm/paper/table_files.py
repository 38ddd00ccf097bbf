"""Ready tables as files: CSV, TSV, Excel or Parquet, and how the command line names them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from dallm.errors import ReaderError, UserError
from dallm.paper.excel_sheets import file_and_sheet, read_sheet
from dallm.readers.text_file import existing_file


def read_frame(path: str | Path, say: Callable[[str], None] | None = None) -> pd.DataFrame:
    """Read a CSV, TSV, Excel or Parquet file as it is; numbers become numbers.

    Parameters
    ----------
    path : path
        A sheet of an Excel file is named as in ``FILE.xlsx:SHEET``; without it the only table is read.
    say : callable, optional
        Is told which sheet was read, where there are several.

    Raises
    ------
    ReaderError
        If the file is missing or cannot be read, or an Excel file does not tell which sheet is meant.
    """
    path, sheet = file_and_sheet(path)
    path = existing_file(path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
            if any(name is not None for name in frame.index.names):
                frame = frame.reset_index()
        elif suffix in (".xlsx", ".xlsm"):
            frame = read_sheet(path, sheet, say)
        else:
            frame = pd.read_csv(path, sep=_separator(path), encoding="utf-8-sig", low_memory=False)
    except ReaderError:
        raise
    except Exception as error:
        # pandas passes on what its many engines raise; whatever it is, the file is what must be looked at
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ReaderError(f"{str(path)!r} is no readable table: {first}") from error
    if frame.empty:
        raise ReaderError(f"{str(path)!r} has no rows.")
    frame.columns = pd.Index(["" if str(c).startswith("Unnamed:") else str(c).strip() for c in frame.columns])
    return frame


def _separator(path: Path) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    opened = pd.io.common.get_handle(path, "r", encoding="utf-8-sig", errors="replace", compression="infer")  # type: ignore[attr-defined]
    with opened as handles:
        header = next(iter(csv.reader([handles.handle.readline()])), [])
    line = ",".join(header)
    counts = {sign: line.count(sign) for sign in (",", ";", "\t", "|")}
    return max(counts, key=lambda sign: counts[sign])


def name_and_path(item: str) -> tuple[str | None, str]:
    """Take ``NAME=FILE`` apart; the name is None where there is none.

    Examples
    --------
    >>> name_and_path("GPT-4=out/a.csv"), name_and_path("a.csv")
    (('GPT-4', 'out/a.csv'), (None, 'a.csv'))
    """
    name, sign, path = item.partition("=")
    if not sign or file_and_sheet(item)[0].exists():
        return None, item
    return name.strip(), path


def named_paths(items: Iterable[str]) -> dict[str, Path]:
    """Read ``NAME=FILE`` or ``FILE``, whose name is then the file's or the sheet's.

    Raises
    ------
    UserError
        If two are called alike.

    Examples
    --------
    >>> sorted(named_paths(["GPT-4=out/a.csv", "gaussian_aug.csv", "all.xlsx:Llama 2"]))
    ['GPT-4', 'Llama 2', 'gaussian_aug']
    """
    made: dict[str, Path] = {}
    for item in items:
        said, path = name_and_path(item)
        file, sheet = file_and_sheet(path)
        name = said or sheet or file.stem
        if name in made:
            raise UserError(f"Two filled tables are called {name!r}; name one as in --filled other={path}.")
        made[name] = Path(path)
    return made
