"""Finds the parts of a MIMIC download by the names under which they were released."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dallm.errors import ReaderError, did_you_mean
from dallm.readers.mimic_reports import ReportTree, holds_report_tree

RELEASED = {
    "patients": re.compile(r"patients\.csv(\.gz)?"),
    "edstays": re.compile(r"edstays\.csv(\.gz)?"),
    "triage": re.compile(r"triage\.csv(\.gz)?"),
    "vitalsign": re.compile(r"vitalsign\.csv(\.gz)?"),
    "metadata": re.compile(r"mimic-cxr-2\.\d\.\d-metadata\.csv(\.gz)?"),
    "chexpert": re.compile(r"mimic-cxr-2\.\d\.\d-chexpert\.csv(\.gz)?"),
    "reflacx_1": re.compile(r"metadata_phase_1\.csv(\.gz)?"),
    "reflacx_2": re.compile(r"metadata_phase_2\.csv(\.gz)?"),
    "reflacx_3": re.compile(r"metadata_phase_3\.csv(\.gz)?"),
}
"""Part to the pattern of its released file name."""

PARTS = ("patients", "edstays", "triage", "vitalsign", "metadata", "chexpert", "reflacx", "reports")
LOOKED_FOR = (
    "patients.csv, edstays.csv, triage.csv, vitalsign.csv, mimic-cxr-2.0.0-metadata.csv, "
    "mimic-cxr-2.0.0-chexpert.csv (each also .gz), metadata_phase_1.csv to _3, and reports in files/p10/..."
)
# physionet.org/files/mimiciv/3.1/hosp is as deep as a mirrored download goes
_DEEPEST = 6
_REPORT_ZIP = "mimic-cxr-reports.zip"
# Folders of single patients and readings: thousands of them, none with a table that is wanted.
_NOT_ENTERED = re.compile(r"p\d{2}|p\d{8}|P\d+R\d+|gaze_data|\..*")


@dataclass
class MimicFiles:
    """Where each part lies; None, or empty, where it is not there."""

    tables: dict[str, Path] = field(default_factory=dict)
    reflacx: dict[int, Path] = field(default_factory=dict)
    reports: ReportTree | None = None

    def get(self, part: str) -> Path | None:
        """Return the file of a part, or None."""
        return self.tables.get(part)


def find_mimic_files(
    root: str | Path | None, given: Mapping[str, str | Path | None], notes: list[str]
) -> MimicFiles:
    """Find the parts below `root`; a path in `given` comes first, None there leaves a part out.

    Raises
    ------
    ReaderError
        If a folder or file is missing, a part is there twice, or nothing is found at all.
    """
    for part in given:
        if part not in PARTS:
            raise ReaderError(
                f"files={{{part!r}: ...}}: no such part.{did_you_mean(part, PARTS)} Parts: {PARTS}."
            )
    found: dict[str, list[Path]] = {}
    if root is not None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            what = "is a file; name the folder that holds it" if folder.exists() else "does not exist"
            raise ReaderError(f"The MIMIC folder {str(folder)!r} {what}.")
        found = _walk(folder)
    files = MimicFiles()
    for part in (*RELEASED, "reports"):
        keyword = "reflacx" if part.startswith("reflacx_") else part
        if keyword in given:
            continue
        path = _only(part, keyword, found.get(part, []), notes)
        if path is not None:
            _put(files, part, path)
    for part, value in given.items():
        if value is not None:
            _put_given(files, part, Path(value).expanduser())
    if not files.tables and not files.reflacx and files.reports is None:
        where = f"in {str(root)!r} and the folders below it" if root is not None else "as root= is not given"
        raise ReaderError(f"Found no part of MIMIC {where}. Looked for: {LOOKED_FOR}.")
    return files


def _put(files: MimicFiles, part: str, path: Path) -> None:
    if part == "reports":
        files.reports = ReportTree(path)
    elif part.startswith("reflacx_"):
        files.reflacx[int(part[-1])] = path
    else:
        files.tables[part] = path


def _put_given(files: MimicFiles, part: str, path: Path) -> None:
    if part == "reports":
        files.reports = ReportTree.at(path)
    elif part == "reflacx":
        folders = [path, path / "main_data"]
        for phase in (1, 2, 3):
            for suffix in ("", ".gz"):
                for folder in folders:
                    file = folder / f"metadata_phase_{phase}.csv{suffix}"
                    if file.is_file():
                        files.reflacx.setdefault(phase, file)
        if not files.reflacx:
            raise ReaderError(
                f"files={{'reflacx': {str(path)!r}}}: no metadata_phase_1.csv, _2 or _3 there or in "
                "its folder main_data."
            )
    elif not path.is_file():
        near = did_you_mean(
            path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        )
        raise ReaderError(f"files={{{part!r}: {str(path)!r}}}: there is no such file.{near}")
    else:
        files.tables[part] = path


def _walk(root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        real = os.path.realpath(folder)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        if holds_report_tree(here, folders):
            found.setdefault("reports", []).append(here)
        for part, pattern in RELEASED.items():
            found.setdefault(part, []).extend(here / n for n in sorted(names) if pattern.fullmatch(n))
        if _REPORT_ZIP in names:
            found.setdefault("reports", []).append(here / _REPORT_ZIP)
        deep = len(here.relative_to(root).parts) >= _DEEPEST
        folders[:] = [] if deep else sorted(f for f in folders if not _NOT_ENTERED.fullmatch(f))
    return found


def _only(part: str, keyword: str, paths: list[Path], notes: list[str]) -> Path | None:
    if len(paths) > 1:
        # an unpacked copy beside the packed one is the same part
        packed = [p for p in paths if p.suffix in (".gz", ".zip")]
        unpacked = [p for p in paths if p not in packed]
        beside = {p.parent / p.name.removesuffix(".gz") for p in packed if p.suffix == ".gz"}
        if len(unpacked) == 1 and (part == "reports" or beside <= set(unpacked)):
            notes.append(f"Both packed and unpacked: {unpacked[0].name}; the unpacked one is read.")
            return unpacked[0]
        shown = "; ".join(str(p) for p in paths[:4])
        raise ReaderError(
            f"Found {len(paths)} candidates for {part}: {shown}. Name one, files={{{keyword!r}: path}}, or a "
            "narrower root."
        )
    return paths[0] if paths else None
