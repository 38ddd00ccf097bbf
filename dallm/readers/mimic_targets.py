"""Which labels become targets, and from which of the two label sets of MIMIC-CXR."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dallm.errors import ReaderError, did_you_mean
from dallm.knowledge.conditions import PAPER_CONDITIONS
from dallm.readers import chexpert, reflacx
from dallm.readers.mimic_files import MimicFiles

PAPER_TARGETS = PAPER_CONDITIONS

STANDARD_TARGETS = (*PAPER_TARGETS, "pulmonary edema")
"""The paper's five, and pulmonary edema, which stands in the authors' files in place of effusion."""

_SOURCES = ("reflacx", "chexpert")
_FILES = {
    "reflacx": "metadata_phase_1.csv to metadata_phase_3.csv",
    "chexpert": "mimic-cxr-2.0.0-chexpert.csv.gz",
}


@dataclass(frozen=True)
class Target:
    """A column to be made: its name in the cohort, and the label of the source that it is read from."""

    column: str
    source: str
    label: str


@dataclass(frozen=True)
class LabelSettings:
    """How labels are read; checked on creation.

    Parameters
    ----------
    reflacx_threshold : float
        Certainty, above 0 and at most 5, from which a reading is positive.
    reflacx_rule : {"any", "majority", "all", "mean"}
        How several readings of one study are decided.
    chexpert_uncertain : {"missing", "present", "absent"}
        What -1 becomes.
    chexpert_blank : {"absent", "missing"}
        What a label that is not mentioned becomes.
    """

    reflacx_threshold: float
    reflacx_rule: reflacx.Rule
    chexpert_uncertain: str
    chexpert_blank: str

    def __post_init__(self) -> None:
        reflacx.check_settings(self.reflacx_threshold, self.reflacx_rule)
        chexpert.check_settings(self.chexpert_uncertain, self.chexpert_blank)


def choose_targets(asked: str | Sequence[str] | None, files: MimicFiles, notes: list[str]) -> list[Target]:
    """Turn the `targets` argument of ``read_mimic`` into columns.

    Raises
    ------
    ReaderError
        If a source is not there, or a label is in none.
    """
    available = {"reflacx": bool(files.reflacx), "chexpert": files.get("chexpert") is not None}
    if asked == "auto":
        asked = next((source for source in _SOURCES if available[source]), None)
    if asked is None:
        return []
    labels = reflacx.label_names(files.reflacx) if files.reflacx else {}
    chosen: list[Target] = []
    for entry in [asked] if isinstance(asked, str) else asked:
        source, _, label = entry.partition(":")
        if source.strip().casefold() not in _SOURCES:
            source, label = "", entry
        source, label = source.strip().casefold(), label.strip()
        if source and not available[source]:
            raise ReaderError(
                f"targets={entry!r}: {source} was not found. It is {_FILES[source]}; put it below root or "
                f"name it with files={{{source!r}: path}}."
            )
        chosen.extend(_entry(source, label, labels, available, notes))
    return _with_own_columns(chosen)


def _entry(
    source: str, label: str, labels: dict[str, dict[int, str]], available: dict[str, bool], notes: list[str]
) -> Iterable[Target]:
    low = " ".join(label.casefold().split())
    if source == "reflacx" and not low:
        absent = [name for name in STANDARD_TARGETS if name not in labels]
        if absent:
            notes.append(f"REFLACX: {', '.join(absent)} left out, no phase that was found has this label.")
        return [Target(name, source, name) for name in STANDARD_TARGETS if name in labels]
    if source == "reflacx" and low == "all":
        return [Target(name, source, name) for name in labels]
    if source == "chexpert" and not low:
        return [Target(name, source, name) for name in STANDARD_TARGETS]
    if source == "chexpert" and low == "all":
        return [Target(name.lower(), source, name.lower()) for name in chexpert.LABELS]
    if source in ("", "reflacx") and low in labels:
        return [Target(label, "reflacx", low)]
    # a study read by radiologists must not get a machine's label under the same heading unasked
    only_chexpert = source == "chexpert" or (not source and not available["reflacx"])
    if only_chexpert and available["chexpert"] and chexpert.labels_of(low):
        return [Target(label, "chexpert", low)]
    raise ReaderError(_no_such_label(source, label, labels, available))


def _no_such_label(
    source: str, label: str, labels: dict[str, dict[int, str]], available: dict[str, bool]
) -> str:
    if not any(available.values()):
        return (
            f"targets={label!r}: neither REFLACX ({_FILES['reflacx']}) nor CheXpert ({_FILES['chexpert']}) "
            "was found. Put one below root, or name it in files=."
        )
    known = [*labels] if source != "chexpert" else []
    if source != "reflacx" and available["chexpert"]:
        known += chexpert.known_names()
    asked_of = source or ("reflacx" if available["reflacx"] else "chexpert")
    hint = did_you_mean(label, known)
    if asked_of == "reflacx" and label.casefold() in STANDARD_TARGETS:
        hint = " It is a label of another phase: pleural effusion of phase 1, pleural abnormality of 2 and 3."
    elif not source and available["chexpert"] and chexpert.labels_of(label):
        hint = f" CheXpert has it: 'chexpert:{label}'."
    return f"targets: {asked_of} has no label {label!r} in the files that were found.{hint}"


def _with_own_columns(chosen: list[Target]) -> list[Target]:
    out: dict[str, Target] = {}
    for target in dict.fromkeys(chosen):
        column = target.column
        if column in out:  # the same label of both sources
            column = f"{column} ({target.source})"
        out[column] = Target(column, target.source, target.label)
    return list(out.values())
