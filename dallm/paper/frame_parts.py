"""A feature set that lies in several files, each with some of its columns: one per lesion, for example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError
from dallm.paper.excel_sheets import file_and_sheet
from dallm.paper.table4_columns import listed, names_of, table4_set, vocabulary
from dallm.paper.table_files import name_and_path

_SUFFIXES = (".csv", ".tsv", ".xlsx", ".xlsm", ".parquet", ".pq")
_PER_LESION = "-feature-extension"
_IDS = ("id", "case_id", "dicom_id", "reflacx_id")
_AGREEING = 0.99


def frame_files(items: Iterable[str]) -> dict[str, list[Path]]:
    """Read ``NAME=FILE``, ``NAME=FILE,FILE``, ``NAME=FOLDER`` or ``NAME=PATTERN``.

    A name that is given again adds files to its set. Of a folder with files per lesion those are taken that
    the public code reads for the set: those called ``nopk`` for no_knowledge, the others for any other.

    Raises
    ------
    UserError
        If a pattern or folder holds no table, several files have no name, or two sets are called alike.

    Examples
    --------
    >>> {name: len(files) for name, files in frame_files(["augmented=a.csv,b.csv", "x8.csv"]).items()}
    {'augmented': 2, 'x8': 1}
    """
    made: dict[str, list[Path]] = {}
    for item in items:
        said, text = name_and_path(item)
        files = _files(text, without_knowledge=table4_set(said or "") == "no_knowledge")
        if said is None and len(files) > 1:
            raise UserError(f"{text!r} is {len(files)} files of one set; name it, as in augmented={text}.")
        name = said or file_and_sheet(files[0])[1] or file_and_sheet(files[0])[0].stem
        if name in made and said is None:
            raise UserError(f"Two feature sets are called {name!r}; name one as in other={text}.")
        made.setdefault(name, []).extend(files)
    return {name: _in_published_order(files) for name, files in made.items()}


def _files(text: str, *, without_knowledge: bool) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        tables = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
        per_lesion = [p for p in tables if _lesion(p) is not None]
        wanted = [p for p in per_lesion if ("nopk" in p.stem.lower()) == without_knowledge]
        files = wanted or per_lesion or tables
        if not files:
            raise UserError(f"The folder {text!r} holds no table ({', '.join(_SUFFIXES)}).")
        return files
    if file_and_sheet(path)[0].exists():
        return [path]
    if any(sign in text for sign in "*?["):
        files = sorted(path.parent.glob(path.name))
        if not files:
            raise UserError(f"No file is called like {text!r} (working folder: {str(Path.cwd())!r}).")
        return files
    if "," in text:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [file for part in parts for file in _files(part, without_knowledge=without_knowledge)]
    return [path]


def _lesion(path: Path) -> int | None:
    """Return the place of a file's lesion in the merge of the public code, or None."""
    name, sign, _ = file_and_sheet(path)[0].stem.partition(_PER_LESION)
    found = [
        at for at, lesion in enumerate(_lesions()) if re.search(rf"(^|[^a-z]){re.escape(lesion)}$", name)
    ]
    return found[0] if sign and found else None


def _lesions() -> list[str]:
    held = vocabulary()
    return [*held["left_out"], *held["generated"], "doctor"]


def _in_published_order(files: Sequence[Path]) -> list[Path]:
    """Sort files per lesion as the public code merges them: of a feature in two files the last one counts."""
    places = {path: _lesion(path) for path in files}
    known = {path: place for path, place in places.items() if place is not None}
    return sorted(files, key=lambda path: known[path]) if len(known) == len(places) else list(files)


def merged(
    parts: Mapping[str, pd.DataFrame], name: str, id: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Put the columns of several files of one feature set side by side.

    The first file gives the rows and all its columns; the others what it lacks, and the paper's generated
    features, of which the last file counts, as in the public code. Rows belong together by an id that every
    file has, else by their order, in which case the original columns that the files repeat have to agree.

    Parameters
    ----------
    parts : mapping of str to DataFrame
        By the name of the file.
    name : str
        Of the feature set.
    id : str, optional
        Column of ids; by default found.

    Returns
    -------
    table, notes

    Raises
    ------
    UserError
        If the rows do not belong together.
    """
    files = list(parts)
    if len(files) == 1:
        return parts[files[0]], []
    frames = [
        frame.drop(columns=[c for c in frame if c == ""]).reset_index(drop=True) for frame in parts.values()
    ]
    key = _key(frames, id, files, name)
    base = frames[0]
    generated = {*names_of("left_out"), *names_of("generated"), *names_of("expert")}
    columns: dict[str, pd.Series[Any]] = {str(c): base[c] for c in base}
    differing: list[str] = []
    for file, frame in zip(files[1:], frames[1:], strict=True):
        own = _rows_of(base, frame, key, file, name)
        _check_repeated(base, own, file, files[0], name)
        for column in map(str, own):
            if column in columns and column not in generated:
                continue
            if column in columns and not columns[column].astype(str).equals(own[column].astype(str)):
                differing.append(column)
            columns[column] = own[column]
    rows = f"by {key!r}" if key is not None else "in their order"
    notes = [f"{name}: the columns of {count(len(files), 'file')} side by side, rows {rows}."]
    if differing:
        notes.append(
            f"{name}: {listed(list(dict.fromkeys(differing)))} stand in several files; the last counts."
        )
    return pd.DataFrame(columns), notes


def _key(frames: Sequence[pd.DataFrame], id: str | None, files: Sequence[str], name: str) -> str | None:
    if id is not None:
        for file, frame in zip(files, frames, strict=True):
            if id not in frame or not frame[id].is_unique:
                raise UserError(f"{file!r} of {name!r} has no column {id!r} that names each case once.")
        return id
    named = (c for c in _IDS if all(c in f and f[c].is_unique and f[c].notna().all() for f in frames))
    return next(named, None)


def _rows_of(base: pd.DataFrame, frame: pd.DataFrame, key: str | None, file: str, name: str) -> pd.DataFrame:
    if key is None:
        if len(frame) != len(base):
            raise UserError(
                f"{name}: {file!r} has {len(frame):,} rows, the first file {len(base):,}, and they share no "
                "column of ids that names each case once. Name one with --id."
            )
        return frame
    at = pd.Index(frame[key].astype(str)).get_indexer(pd.Index(base[key].astype(str)))
    if (at < 0).any():
        raise UserError(
            f"{name}: {file!r} lacks {count(int((at < 0).sum()), 'case')} of the first file, by {key!r}. "
            "The files of a set must hold the same cases."
        )
    return frame.iloc[at].reset_index(drop=True)


def _check_repeated(base: pd.DataFrame, own: pd.DataFrame, file: str, first: str, name: str) -> None:
    """Refuse rows of other cases: what both files measured is the same in nearly all of them."""
    for column in names_of("original"):
        if column in base and column in own:
            left, right = base[column], own[column]
            same = (left == right) | (left.isna() & right.isna())
            if pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right):
                same |= np.isclose(left.astype(float), right.astype(float), rtol=1e-4, atol=1e-6)
            if float(same.mean()) < _AGREEING:
                raise UserError(
                    f"{name}: {column!r} of {file!r} agrees with that of {first!r} in {same.mean():.0%} of "
                    "the rows, so these are other cases or another order. Name a column of ids with --id."
                )
