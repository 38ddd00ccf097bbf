"""A report as a folder of Parquet files and one of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import ReaderError
from dallm.evaluation.fits import Split
from dallm.files import replacing, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dallm.evaluation.report.evaluation_report import EvaluationReport

FORMAT = 1
ABOUT = "report.json"
_FRAMES = ("predictions", "fits", "audit", "importance", "strata", "silent")


def save_report(report: EvaluationReport, folder: Path) -> tuple[Path, ...]:
    """Write a report; the file that names the others is written last."""
    frames: dict[str, pd.DataFrame] = {"cases": _cases(report), "splits": _packed(report.splits)}
    for name in _FRAMES:
        frame = getattr(report, name)
        if frame is not None:
            frames[name] = frame.reset_index(drop=True)
    frames |= {"scores": report.scores, "comparisons": report.comparisons()}
    paths = []
    for name, frame in frames.items():
        paths.append(folder / f"{name}.parquet")
        with replacing(paths[-1]) as part:
            _storable(frame).to_parquet(part, index=False)
    about = {
        "format": FORMAT,
        "baseline": report.baseline,
        "sets": list(report.sets),
        "controls": dict(report.controls),
        "grouped": report.groups is not None,
        "notes": list(report.notes),
        "settings": dict(report.settings),
        "run": dict(report.run),
        "frames": list(frames),
    }
    write_text(folder / ABOUT, json.dumps(about, indent=2, ensure_ascii=False, default=_plain) + "\n")
    return (*paths, folder / ABOUT)


def load_report(folder: Path) -> EvaluationReport:
    """Read what :func:`save_report` wrote.

    Raises
    ------
    ReaderError
        If a file is missing or cannot be read.
    """
    from dallm.evaluation.report.evaluation_report import EvaluationReport

    about = _about(folder)
    wanted = [name for name in ("cases", "splits", *_FRAMES) if name in about["frames"]]
    frames = {name: _read(folder / f"{name}.parquet") for name in wanted}
    cases = pd.Index(frames["cases"]["case"])
    groups = frames["cases"]["group"].set_axis(cases) if about["grouped"] else None
    strata = frames.get("strata")
    return EvaluationReport(
        predictions=frames["predictions"],
        splits=_unpacked(frames["splits"]),
        cases=cases,
        baseline=about["baseline"],
        sets=tuple(about["sets"]),
        groups=groups,
        controls=about["controls"],
        fits=frames["fits"],
        audit=frames["audit"],
        importance=frames.get("importance"),
        strata=None if strata is None else strata.set_axis(cases, axis=0),
        silent=frames.get("silent"),
        settings=about["settings"],
        run=about.get("run", {}),
        notes=tuple(about["notes"]),
    )


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReaderError(
            f"{str(folder)!r} holds no saved evaluation: there is no {ABOUT}. Give the folder that "
            "EvaluationReport.save wrote to."
        ) from None
    except (OSError, ValueError) as error:
        raise ReaderError(f"Cannot read {str(path)!r}: {error}. Save the report anew.") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise ReaderError(
            f"{str(path)!r} has format {found!r}, this version of dallm reads {FORMAT}. Save the report anew."
        )
    return about


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ReaderError(f"Cannot read {str(path)!r}: {error}. Save the report anew.") from error


def _cases(report: EvaluationReport) -> pd.DataFrame:
    flat = report.cases.to_flat_index() if isinstance(report.cases, pd.MultiIndex) else report.cases
    frame = pd.DataFrame({"case": list(flat)})
    if report.groups is not None:
        frame["group"] = report.groups.to_numpy()
    return frame


def _packed(splits: Sequence[Split]) -> pd.DataFrame:
    """Return the splits, the positions of either side as bits."""
    rows = [
        (s.target, s.repeat, s.fold, len(s.train), len(s.test), _bits(s.train), _bits(s.test)) for s in splits
    ]
    heads = ["target", "repeat", "fold", "n_train", "n_test", "train", "test"]
    return pd.DataFrame(rows, columns=heads)


def _bits(positions: Any) -> bytes:
    marks = np.zeros(int(positions.max()) + 1 if len(positions) else 0, dtype=bool)
    marks[positions] = True
    return np.packbits(marks).tobytes()


def _unpacked(frame: pd.DataFrame) -> list[Split]:
    return [
        Split(row["target"], row["repeat"], row["fold"], _positions(row["train"]), _positions(row["test"]))
        for row in frame.to_dict("records")
    ]


def _positions(bits: bytes) -> Any:
    return np.flatnonzero(np.unpackbits(np.frombuffer(bits, dtype=np.uint8))).astype(np.int32)


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with columns of mixed types as text, which Parquet does not take."""
    mixed = [
        name
        for name in frame.columns
        if frame[name].dtype == object
        and pd.api.types.infer_dtype(frame[name], skipna=True).startswith("mixed")
    ]
    return frame.astype(dict.fromkeys(mixed, "str")) if mixed else frame


def _plain(value: object) -> Any:
    """Return what JSON does not know as what it does."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(map(str, value)) if not isinstance(value, tuple) else list(value)
    return str(value)
