"""Reads the Indiana University chest X-ray reports of Open-i, from one CSV or from the XML files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dallm.cohort import Cohort
from dallm.errors import DataQualityWarning, ReaderError, did_you_mean
from dallm.features import normalise_name
from dallm.readers.column_types import type_columns
from dallm.readers.delimited import header_of, read_delimited
from dallm.readers.openi_xml import SECTIONS, BrokenFile, read_xml_reports
from dallm.readers.roles import ColumnRoles, build_cohort, names_of
from dallm.readers.text_file import existing_file

_SHOWN = 5
_NOT_CODED = "no indexing"
# How clinicians and the paper name what the coders' vocabulary (MeSH and RadLex) calls otherwise.
_CODED_AS = {
    "atelectasis": ("pulmonary atelectasis",),
    "edema": ("pulmonary edema",),
    "effusion": ("pleural effusion",),
    "emphysema": ("emphysema", "pulmonary emphysema"),
    "enlarged cardiac silhouette": ("cardiomegaly",),
    "fibrosis": ("pulmonary fibrosis",),
    "fracture": ("fractures, bone",),
    "hiatal hernia": ("hernia, hiatal",),
    "infiltration": ("infiltrate",),
}


def read_openi(
    path: str | Path,
    *,
    targets: str | Sequence[str] | None = None,
    gold: str | Path | None = None,
    data_use: str = "open",
    verbose: bool = False,
) -> Cohort:
    """Read Open-i chest X-ray reports; the human coding becomes targets or is left out, never text.

    Parameters
    ----------
    path : str or Path
        The CSV (uid, MeSH, Problems, image, indication, comparison, findings, impression), a folder of the
        Open-i XML files (``ecgen-radiology``), or their ``.tgz``.
    targets : str or list of str, optional
        Columns of `gold`, or problems as the coders named them (``"Cardiomegaly"``) or as clinicians do
        (``"atelectasis"``). True where coded, False where not, ``<NA>`` for a report that was never coded:
        not coded is not the same as stated absent. By default the columns of `gold`, if any.
    gold : str or Path, optional
        CSV with a column ``uid`` and columns of 0 and 1.
    data_use : {"open", "credentialed"}, default="open"
        See :class:`dallm.Cohort`; the collection is public.
    verbose : bool, default=False
        Print how the reports were read; it stands in ``cohort.notes`` in any case.

    Returns
    -------
    Cohort
        One case a report, id ``uid``; report columns indication, comparison, findings and impression.
        ``MeSH`` and ``Problems`` are not in it.

    Raises
    ------
    ReaderError
        If nothing can be read, an id comes twice, or a target is neither in `gold` nor coded anywhere.

    Warns
    -----
    DataQualityWarning
        If XML files are broken; they are named and passed over.

    Notes
    -----
    The collection: Demner-Fushman et al., J Am Med Inform Assoc 2016;23(2):304-310. It names no patients, so
    that reports cannot be grouped by patient.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "reports.csv"
    >>> lines = "uid,Problems,findings\\n1,normal,Clear.\\n2,Cardiomegaly;Spine,Large heart.\\n"
    >>> _ = path.write_text(lines, encoding="utf-8")
    >>> cohort = read_openi(path, targets="Cardiomegaly")
    >>> cohort.report, cohort.frame["Cardiomegaly"].tolist()
    (('findings',), [False, True])
    """
    path = Path(path).expanduser()
    notes: list[str] = []
    frame, problems = _read_reports(path, notes)
    twice = frame["uid"][frame["uid"].duplicated()]
    if len(twice):
        raise ReaderError(
            f"{str(path)!r}: uid {twice.iloc[0]!s} comes twice; {len(twice):,} such rows in all."
        )
    wanted = names_of(targets)
    coding = _read_gold(gold, frame["uid"], notes) if gold is not None else pd.DataFrame(index=frame.index)
    for name in wanted or tuple(coding.columns):
        frame[name] = _target(name, coding, problems, path)
    report = tuple(c for c in (*SECTIONS, "other") if c in frame.columns)
    body = frame[[c for c in ("findings", "impression") if c in report]]
    empty = int(body.isna().all(axis=1).sum())
    notes.append(f"Reports: {len(frame):,}. Without findings and impression: {empty:,}; they are kept.")
    if not wanted and gold is None:
        notes.append("The human coding (MeSH, Problems) is left out; name targets= to have it as targets.")
    roles = ColumnRoles("uid", report=report, targets=wanted or tuple(coding.columns))
    return build_cohort(frame, roles, data_use=data_use, notes=notes, verbose=verbose)


def _read_reports(path: Path, notes: list[str]) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Return the reports, and each one's coded problems (None where it was never coded)."""
    if path.is_dir() and not any(path.rglob("*.xml")):
        path = _csv_in(path)
    if not path.is_dir():
        path = existing_file(path)
    is_csv = path.is_file() and path.suffix != ".xml" and not path.name.endswith((".tgz", ".tar.gz", ".tar"))
    return _read_csv(path, notes) if is_csv else _read_xml(path, notes)


def _csv_in(folder: Path) -> Path:
    tables = [
        file
        for file in sorted(folder.glob("*.csv*"))
        if file.stat().st_size and {"uid", "findings", "impression"} <= set(header_of(file))
    ]
    if len(tables) == 1:
        return tables[0]
    found = f"several: {[t.name for t in tables]}" if tables else "none"
    raise ReaderError(
        f"{str(folder)!r} holds no Open-i XML files; of CSV files with uid, findings and impression it holds "
        f"{found}. Name the file, or the folder of the XML files (ecgen-radiology)."
    )


def _read_csv(path: Path, notes: list[str]) -> tuple[pd.DataFrame, pd.Series[Any]]:
    table = read_delimited(path, expected=("uid", "findings", "impression"))
    notes.extend(table.notes)
    frame = table.frame
    report = tuple(c for c in SECTIONS if c in frame.columns)
    ColumnRoles("uid").require(frame.columns, str(path))
    if not report:
        near = did_you_mean("findings", frame.columns)
        raise ReaderError(f"{str(path)!r} has none of the report columns {list(SECTIONS)}.{near}")
    coded = frame.get("Problems", pd.Series([""] * len(frame)))
    frame = frame[["uid", *(["image"] if "image" in frame.columns else []), *report]].copy()
    notes.extend(type_columns(frame, ColumnRoles("uid", report=report), separator=","))
    return frame, coded.map(lambda text: _codes(text.split(";")))


def _read_xml(path: Path, notes: list[str]) -> tuple[pd.DataFrame, pd.Series[Any]]:
    broken: list[BrokenFile] = []
    rows: list[dict[str, Any]] = []
    problems: list[frozenset[str] | None] = []
    for report in read_xml_reports(path):
        if isinstance(report, BrokenFile):
            broken.append(report)
            continue
        rows.append({"uid": report.uid, "image": report.image, **report.texts})
        problems.append(_codes(report.problems))
    if broken:
        shown = "; ".join(f"{b.name}: {b.problem}" for b in broken[:_SHOWN])
        more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
        notes.append(f"Passed over, {len(broken):,} of {len(rows) + len(broken):,} XML files: {shown}{more}.")
        warnings.warn(notes[-1], DataQualityWarning, stacklevel=4)
    if not rows:
        raise ReaderError(f"{str(path)!r} holds no readable Open-i report. {' '.join(notes)}".rstrip())
    notes.append(f"Read {len(rows):,} Open-i XML files from {path.name}.")
    columns = ["uid", "image", *SECTIONS, *(["other"] if any("other" in row for row in rows) else [])]
    frame = pd.DataFrame({c: pd.Series([row.get(c) for row in rows], dtype=object) for c in columns})
    report_columns = tuple(c for c in columns if c not in ("uid", "image"))
    notes.extend(type_columns(frame, ColumnRoles("uid", report=report_columns), separator=","))
    return frame, pd.Series(problems, dtype=object)


def _codes(problems: Sequence[str]) -> frozenset[str] | None:
    codes = frozenset(p.strip().casefold() for p in problems if p.strip())
    return None if not codes or codes == {_NOT_CODED} else codes


def _read_gold(gold: str | Path, uids: pd.Series[Any], notes: list[str]) -> pd.DataFrame:
    path = existing_file(gold)
    table = read_delimited(path, expected=("uid",))
    ColumnRoles("uid").require(table.frame.columns, str(path))
    coding = table.frame
    type_columns(coding, ColumnRoles("uid"), separator=table.separator)
    key = coding.pop("uid").astype(str)
    if key.duplicated().any():
        raise ReaderError(f"{str(path)!r}: uid {key[key.duplicated()].iloc[0]!s} comes twice.")
    for column in coding.columns:
        if not set(coding[column].dropna().unique()) <= {0, 1}:
            raise ReaderError(f"{str(path)!r}: column {column!r} holds more than 0 and 1; it is no target.")
        coding[column] = coding[column].astype("boolean")
    wanted = uids.astype(str)
    without, unused = ~wanted.isin(key), int((~key.isin(wanted)).sum())
    notes.append(
        f"Coding from {path.name}: {int((~without).sum()):,} reports have it, {int(without.sum()):,} have "
        f"none (<NA>); {unused:,} coded uids have no report."
    )
    return coding.set_index(pd.Index(key)).reindex(wanted).reset_index(drop=True)


def _target(name: str, coding: pd.DataFrame, problems: pd.Series[Any], path: Path) -> Any:
    spelt = {normalise_name(column): column for column in coding.columns}
    if normalise_name(name) in spelt:
        return coding[spelt[normalise_name(name)]].array
    known = frozenset[str]().union(*(codes for codes in problems if codes))
    low = " ".join(name.casefold().split())
    terms = ({low} | set(_CODED_AS.get(low, ()))) & known
    if not terms:
        near = did_you_mean(name, [*coding.columns, *_CODED_AS, *sorted(known)])
        raise ReaderError(
            f"No report of {str(path)!r} is coded {name!r}, and no gold column is called so.{near}"
        )
    values = [pd.NA if codes is None else bool(codes & terms) for codes in problems]
    return pd.array(np.asarray(values, dtype=object), dtype="boolean")
