"""Reads a few columns of a large CSV in blocks, so that memory holds what is kept and one block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from dallm.errors import ReaderError, did_you_mean

Kind = Literal["key", "number", "text", "time"]
Keep = Callable[[pd.DataFrame], "pd.Series[bool]"]

_BLOCK = 4 << 20
_SHOWN = 3


def read_columns(
    path: Path, kinds: Mapping[str, Kind], notes: list[str], *, keep: Keep | None = None
) -> pd.DataFrame:
    """Read the named columns of a released table, packed or not.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.csv.gz``.
    kinds : mapping of str to {"key", "number", "text", "time"}
        The columns and how to read them. A row whose key is no whole number is passed over; a number or time
        that cannot be read is missing; both are counted.
    notes : list of str
        What was passed over is added here.
    keep : callable, optional
        Given a block, says which of its rows to keep.

    Raises
    ------
    ReaderError
        If the file is missing, damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    broken: list[tuple[int, int]] = []

    def pass_over(row: Any) -> str:
        broken.append((row.number or 0, row.actual_columns))
        return "skip"

    lost = dict.fromkeys(kinds, 0)
    blocks: list[pd.DataFrame] = []
    try:
        with pa.input_stream(str(path), compression=_compression(path)) as stream:
            reader = pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    use_threads=False, block_size=_BLOCK
                ),  # row numbers need one thread
                parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=pass_over),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=list(kinds),
                    column_types=dict.fromkeys(kinds, pa.string()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            for batch in reader:
                block = _typed(batch.to_pandas(), kinds, lost)
                blocks.append(block if keep is None else block[keep(block)])
    except (KeyError, pa.ArrowKeyError) as error:
        raise ReaderError(_missing_column(path, kinds)) from error
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0].split(": Row", 1)[0]
        raise ReaderError(f"{str(path)!r} cannot be read as CSV: {first[:160]}. Fetch it again.") from error
    if broken:
        shown = "; ".join(f"line {line} has {n} cells" for line, n in broken[:_SHOWN])
        notes.append(f"{path.name}: passed over {len(broken):,} broken rows ({shown}).")
    for column, count in lost.items():
        if count:
            was = "row passed over" if kinds[column] == "key" else "read as missing"
            notes.append(
                f"{path.name}: {count:,} values of {column!r} cannot be read as {kinds[column]}; {was}."
            )
    if not blocks:
        return _typed(pd.DataFrame(columns=list(kinds), dtype=object), kinds, lost)
    return pd.concat(blocks, ignore_index=True)


def header(path: Path) -> list[str]:
    """Return the column names of a released table."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    try:
        with pa.input_stream(str(path), compression=_compression(path)) as stream:
            return list(pa_csv.open_csv(stream).schema.names)
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        raise ReaderError(
            f"{str(path)!r} cannot be read as CSV: {str(error).splitlines()[0][:160]}"
        ) from error


def _compression(path: Path) -> str | None:
    with path.open("rb") as file:
        return "gzip" if file.read(2) == b"\x1f\x8b" else None


def _typed(block: pd.DataFrame, kinds: Mapping[str, Kind], lost: dict[str, int]) -> pd.DataFrame:
    for column, kind in kinds.items():
        given = block[column]
        if kind == "text":
            block[column] = given.astype("string")
        elif kind == "time":
            block[column] = pd.to_datetime(given, format="ISO8601", errors="coerce")
        else:
            block[column] = pd.to_numeric(given, errors="coerce").astype("float64")
        unreadable = block[column].isna() & (given.notna() if kind != "key" else True)
        lost[column] += int(unreadable.sum())
    keys = [column for column, kind in kinds.items() if kind == "key"]
    block = block.dropna(subset=keys) if keys else block
    return block.astype(dict.fromkeys(keys, "int64"))


def _missing_column(path: Path, kinds: Mapping[str, Kind]) -> str:
    there = header(path)
    missing = next((c for c in kinds if c not in there), None)
    near = did_you_mean(missing, there) if missing else ""
    shown = ", ".join(there[:12]) + (", ..." if len(there) > 12 else "")
    return f"{str(path)!r} has no column {missing!r}.{near} It has: {shown}."


def keep(allowed: set[int] | None, column: str = "subject_id") -> Keep | None:
    """Return what keeps the rows whose key is allowed; None where all are."""
    if allowed is None:
        return None
    return lambda block: block[column].isin(allowed)


def one_row_each(table: pd.DataFrame, key: str, path: Path) -> pd.DataFrame:
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
