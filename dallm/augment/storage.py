"""An :class:`~dallm.augment.augmented.Augmented` on disk: one folder of Parquet and JSON files.

``cohort.json`` notes what ``cohort.parquet`` does not keep, so that what is loaded equals what was saved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.augment.cells import sorted_categorical
from dallm.augment.columns import codes_of
from dallm.augment.parquet_columns import noted, readable, restored
from dallm.cohort import Cohort
from dallm.engines.base import SOURCES, STATUSES
from dallm.errors import DallmError, OutputError, ReaderError
from dallm.features import KINDS, FeatureSet
from dallm.files import replacing, write_text

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented

FORMAT = "dallm cohort"
VERSION = 1
_CATEGORICAL_CELLS = ("value", "reason", "rationale", "engine", "model", "prompt_sha256")
_CATEGORICAL_EVIDENCE = ("field", "assertion", "rule")


def save(augmented: Augmented, folder: Path) -> Path:
    """Write `augmented` to `folder`; see :meth:`dallm.Augmented.save`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {str(folder)!r}: {error.strerror or error}.") from error
    save_cohort(augmented.cohort, folder)
    write_frame(augmented.cells, folder / "cells.parquet")
    write_frame(augmented.evidence, folder / "evidence.parquet")
    augmented.features.to_json(folder / "features.json")
    ack_path = folder / "ack.json"
    if augmented.ack is not None:
        augmented.ack.save(ack_path)
    else:
        ack_path.unlink(missing_ok=True)  # an earlier result's would be loaded with this one
    augmented.to_parquet(folder / "augmented.parquet")
    augmented.to_csv(folder / "augmented.csv")
    run = json.dumps(augmented.run, ensure_ascii=False, indent=2, default=str) + "\n"
    write_text(folder / "run.json", run)
    return folder


def load(folder: Path) -> dict[str, Any]:
    """Return the arguments that make the :class:`~dallm.augment.augmented.Augmented` of `folder`."""
    if not folder.is_dir():
        raise ReaderError(f"There is no folder {str(folder)!r} to load a result from.")
    cohort = load_cohort(folder)
    features = FeatureSet.from_json(folder / "features.json")
    cells = _read_frame(folder / "cells.parquet")
    evidence = _read_frame(folder / "evidence.parquet")
    fixed = {"feature": features.names, "value_type": KINDS, "status": STATUSES, "source": SOURCES}
    for table, free in ((cells, _CATEGORICAL_CELLS), (evidence, _CATEGORICAL_EVIDENCE)):
        for column in table.columns.intersection(list(fixed)):
            codes = codes_of(table[column], fixed[column])
            table[column] = pd.Categorical.from_codes(codes, categories=_texts(fixed[column]))
        for column in table.columns.intersection(list(free)):
            coded = table[column].astype("category")
            table[column] = sorted_categorical(coded.cat.codes.to_numpy(), coded.cat.categories.tolist())
    ack = None
    if (folder / "ack.json").exists():
        from dallm.ack.ack import Ack

        ack = Ack.load(folder / "ack.json")
    run = _read_json(folder / "run.json")
    return {
        "cohort": cohort,
        "features": features,
        "cells": cells,
        "evidence": evidence,
        "ack": ack,
        "run": run,
    }


def save_cohort(cohort: Cohort, folder: Path) -> None:
    """Write ``cohort.parquet`` and ``cohort.json`` (the roles) to `folder`."""
    columns = write_frame(cohort.frame, folder / "cohort.parquet", exact=True)
    roles = {
        "id": cohort.id,
        "group": cohort.group,
        "report": list(cohort.report),
        "numeric": cohort.numeric,
        "categorical": list(cohort.categorical),
        "targets": list(cohort.targets),
        "data_use": cohort.data_use,
        "synthetic": cohort.synthetic,
    }
    about = {"format": FORMAT, "version": VERSION, "roles": roles, "notes": cohort.notes, "columns": columns}
    write_text(folder / "cohort.json", json.dumps(about, ensure_ascii=False, indent=2) + "\n")


def load_cohort(folder: Path) -> Cohort:
    """Read the cohort that :func:`save_cohort` wrote; its impossible values are not warned of again."""
    path = folder / "cohort.json"
    about = _read_json(path)
    if about.get("format") != FORMAT or about.get("version") != VERSION or "roles" not in about:
        raise ReaderError(f"{str(path)!r} is no cohort that this version of dallm can read.")
    frame = _read_frame(folder / "cohort.parquet")
    for column, note in about.get("columns", {}).items():
        if column not in frame.columns:
            raise ReaderError(f"{str(folder / 'cohort.parquet')!r} lacks the column {column!r}.")
        frame[column] = restored(frame[column], note)
    return Cohort.quietly(frame, **about["roles"], notes=about.get("notes", ()))


def write_frame(frame: pd.DataFrame, path: Path, *, exact: bool = False) -> dict[str, dict[str, Any]]:
    """Write a table as Parquet and return, by column, what Parquet does not keep.

    Parameters
    ----------
    frame : DataFrame
    path : Path
    exact : bool, default=False
        Whether columns that Parquet would change are coded, to be restored by what is returned; else they
        are written as text, for other programs to read, and nothing is returned.

    Raises
    ------
    OutputError
        If the file cannot be written, or a column holds what no Parquet file can; the message names it.
    """
    notes: dict[str, dict[str, Any]] = {}
    ready = frame.copy(deep=False)
    ready.attrs = {}  # a user's own objects, which no file need be able to hold
    for column in frame.columns:
        if exact:
            notes[column], values = noted(frame[column])
        else:
            values = readable(frame[column])
        if values is not None:
            ready[column] = values
    try:
        with replacing(path) as part:
            ready.to_parquet(part, engine="pyarrow")
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        NotImplementedError,
    ) as error:  # bases of pyarrow's errors
        if isinstance(error, DallmError):
            raise
        named = [text for text in map(str, error.args) if text.startswith("Conversion failed for column")]
        # the rest of pyarrow's message may quote a cell
        why = named[-1] if named else type(error).__name__
        raise OutputError(
            f"Cannot write {str(path)!r} as Parquet ({why}). Make such a column text, or drop it."
        ) from error
    return notes


def _texts(categories: tuple[str, ...]) -> pd.Index[Any]:
    return pd.Index(list(categories), dtype="object").astype("str")


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except FileNotFoundError:
        raise ReaderError(f"The file {str(path)!r} is missing; the folder holds no whole result.") from None
    except (OSError, ValueError, TypeError) as error:
        raise ReaderError(f"The file {str(path)!r} cannot be read: {str(error)[:200]}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ReaderError(f"The file {str(path)!r} is missing; the folder holds no whole result.") from None
    except (OSError, ValueError) as error:
        raise ReaderError(f"The file {str(path)!r} cannot be read: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise ReaderError(f"The file {str(path)!r} holds no JSON object.")
    return found
