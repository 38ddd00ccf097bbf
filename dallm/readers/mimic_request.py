"""What is asked of a MIMIC tree: its files, the targets, and what a case must have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dallm.errors import ReaderError, did_you_mean
from dallm.readers.mimic_files import MimicFiles
from dallm.readers.mimic_targets import LabelSettings, Target

REQUIREMENTS = ("stay", "report", "labels")


def requirements(asked: Collection[str] | None, files: MimicFiles, targets: list[Target]) -> frozenset[str]:
    """Settle what a case must have: what is asked for, else all whose files are there.

    Raises
    ------
    ReaderError
        If something is asked for that does not exist, or whose files are not there.
    """
    lacking: dict[str, str] = {}
    if files.get("edstays") is None or files.get("metadata") is None:
        lacking["stay"] = "edstays.csv and mimic-cxr-2.0.0-metadata.csv are both needed to match them"
    if files.reports is None:
        lacking["report"] = "no report tree (files/p10/...) was found"
    if not targets:
        lacking["labels"] = "no targets were found or asked for"
    if asked is None:
        return frozenset(REQUIREMENTS) - lacking.keys()
    wanted = [asked] if isinstance(asked, str) else list(asked)
    for name in wanted:
        if name not in REQUIREMENTS:
            near = did_you_mean(name, REQUIREMENTS)
            raise ReaderError(
                f"require={name!r}: no such requirement.{near} Use any of {list(REQUIREMENTS)}."
            )
        if name in lacking:
            raise ReaderError(f"require={name!r} cannot be met: {lacking[name]}.")
    return frozenset(wanted)


@dataclass(kw_only=True)
class Request:
    """What the joins share; `notes` grows with each of them."""

    files: MimicFiles
    targets: list[Target]
    settings: LabelSettings
    required: frozenset[str]
    subjects: set[int] | None
    vitals: str
    notes: list[str]

    def drop(self, cases: pd.DataFrame, kept: pd.Series[Any], why: str) -> pd.DataFrame:
        """Return the cases that are kept.

        Raises
        ------
        ReaderError
            If none is.
        """
        left = cases[kept].reset_index(drop=True)
        if left.empty:
            raise ReaderError(f"No case is left: {why}. What was read:\n" + "\n".join(self.notes))
        return left
