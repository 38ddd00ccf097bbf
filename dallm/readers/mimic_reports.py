"""The report tree of MIMIC-CXR: ``files/p10/p10000032/s50414267.txt``, in a folder or in the released zip."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from dallm.errors import ReaderError
from dallm.readers.report_sections import REPORT_FIELDS, split_sections
from dallm.readers.text_file import decode_report

_GROUP = re.compile(r"p\d{2}")
_PATIENT = re.compile(r"p(\d{8})")
_STUDY = re.compile(r"s(\d{8})\.txt")
_LOOKED_INTO = 20


class ReportTree:
    """Report files by patient and study.

    Parameters
    ----------
    path : Path
        The folder that holds ``p10`` to ``p19``, or ``mimic-cxr-reports.zip``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._prefix = ""
        if path.suffix == ".zip":
            try:
                self._zip = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise ReaderError(
                    f"{str(path)!r} is no readable zip archive: {error}. Fetch it again."
                ) from error
            names = [n for n in self._zip.namelist() if _STUDY.fullmatch(PurePosixPath(n).name)]
            if not names:
                raise ReaderError(f"{str(path)!r} holds no report (files/p10/p10000032/s50414267.txt).")
            self._prefix = "".join(f"{part}/" for part in PurePosixPath(names[0]).parts[:-3])

    @classmethod
    def at(cls, path: Path) -> ReportTree:
        """Open the tree at `path` or in its folder ``files``.

        Raises
        ------
        ReaderError
            If there is none.
        """
        if path.is_file() and path.suffix == ".zip":
            return cls(path)
        for folder in (path, path / "files", path / "mimic-cxr-reports" / "files"):
            if folder.is_dir() and any(_GROUP.fullmatch(p.name) for p in folder.iterdir()):
                return cls(folder)
        raise ReaderError(
            f"files={{'reports': {str(path)!r}}}: no report tree there; name the folder that holds p10 to "
            "p19, or mimic-cxr-reports.zip."
        )

    def read(self, subject_id: int, study_id: int) -> bytes | None:
        """Return a report as it is stored, or None if it is not there."""
        parts = (f"p{str(subject_id)[:2]}", f"p{subject_id}", f"s{study_id}.txt")
        try:
            if self._zip is not None:
                return self._zip.read(self._prefix + "/".join(parts))
            return self.path.joinpath(*parts).read_bytes()
        except (KeyError, FileNotFoundError):
            return None
        except (OSError, zipfile.BadZipFile) as error:
            raise ReaderError(
                f"Cannot read report {'/'.join(parts)} of {str(self.path)!r}: {error}."
            ) from error

    def studies(self) -> Iterator[tuple[int, int]]:
        """Yield patient and study of every report in the tree."""
        if self._zip is not None:
            parts_of_all: Iterable[tuple[str, ...]] = (PurePosixPath(n).parts for n in self._zip.namelist())
        else:
            parts_of_all = (p.parts for p in sorted(self.path.glob("p[0-9][0-9]/p*/s*.txt")))
        for parts in parts_of_all:
            patient = _PATIENT.fullmatch(parts[-2]) if len(parts) > 1 else None
            study = _STUDY.fullmatch(parts[-1]) if parts else None
            if patient and study:
                yield int(patient[1]), int(study[1])


def holds_report_tree(folder: Path, folders: list[str]) -> bool:
    """Say whether `folder` holds p10 to p19 with text in them (the image release has the same folders)."""
    groups = [f for f in folders if _GROUP.fullmatch(f)]
    looked = 0
    for group in sorted(groups):
        for patient in (folder / group).iterdir():
            looked += 1
            if patient.is_dir() and any(_STUDY.fullmatch(p.name) for p in patient.iterdir()):
                return True
            if looked >= _LOOKED_INTO:
                return False
    return False


def read_reports(tree: ReportTree, cases: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Read and split the reports of `cases` (columns subject_id, study_id).

    Returns
    -------
    DataFrame of shape (n_cases, n_fields)
        The fields of :data:`REPORT_FIELDS` that any report has, with the index of `cases`, missing where a
        report lacks one; a report that is not in the tree is missing in all.
    """
    rows: list[dict[str, str]] = []
    absent: list[int] = []
    empty = other_encoding = 0
    for subject_id, study_id in zip(cases["subject_id"], cases["study_id"], strict=True):
        raw = tree.read(int(subject_id), int(study_id))
        if raw is None:
            absent.append(int(study_id))
            rows.append({})
            continue
        text, is_utf8 = decode_report(raw)
        other_encoding += not is_utf8
        fields = split_sections(text)
        empty += not fields
        rows.append(fields)
    notes.append(
        f"Reports: {len(cases) - len(absent):,} of {len(cases):,} studies have one; "
        f"{len(absent):,} have none{named_ids('study', absent)}; {empty:,} are empty."
    )
    if other_encoding:
        notes.append(f"Reports: {other_encoding:,} are not UTF-8 and were read as Windows-1252.")
    columns = [f for f in REPORT_FIELDS if any(f in row for row in rows)]
    data = {f: pd.Series([row.get(f) for row in rows], dtype="string", index=cases.index) for f in columns}
    return pd.DataFrame(data, index=cases.index)


def named_ids(what: str, ids: Iterable[int]) -> str:
    """Spell the first ids of a list in brackets, or nothing if it is empty.

    Examples
    --------
    >>> named_ids("study", [7, 8])
    ' (study 7, 8)'
    """
    held = list(ids)
    if not held:
        return ""
    return f" ({what} {', '.join(str(i) for i in held[:5])}{', ...' if len(held) > 5 else ''})"
