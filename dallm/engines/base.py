"""The seam between the stages and whoever answers: the ``Engine`` protocol and what passes through it.

An engine sees a :class:`Case`, never a cohort: a case holds no target, no group and no column that the cohort
did not declare as predictor or report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.features import Feature, FeatureSet
    from dallm.knowledge.passage import Hit

Status = Literal[
    "documented", "inferred", "uncertain", "not_documented", "conflicting", "not_applicable", "failed"
]
STATUSES: tuple[Status, ...] = (
    "documented",
    "inferred",
    "uncertain",
    "not_documented",
    "conflicting",
    "not_applicable",
    "failed",
)
Source = Literal["report", "row", "knowledge", "prior"]
SOURCES: tuple[Source, ...] = ("report", "row", "knowledge", "prior")
CellValue = bool | float | str | None


@dataclass(frozen=True, slots=True)
class Case:
    """What an engine may see of one case.

    Parameters
    ----------
    case_id : str or int
        The cohort's id of the case.
    report : mapping of str to str
        Report field to its text, exactly as given; missing fields are left out.
    row : mapping of str to bool, float or str
        Measured values by column, missing and implausible ones left out.
    units : mapping of str to str
        Unit by numeric column of `row`.
    """

    case_id: str | int
    report: Mapping[str, str]
    row: Mapping[str, CellValue] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


class Quote(NamedTuple):
    """A piece of evidence: ``case.report[field][start:end] == quote`` (Python code points)."""

    quote: str
    field: str
    start: int
    end: int
    assertion: str
    rule: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An engine's answer for one feature of one case, before it becomes a cell.

    `value` is a bool, a float or a level's name; None means ``<NA>``. A documented draft whose source is the
    report carries at least one quote.
    """

    value: CellValue
    status: Status
    source: Source | None
    reason: str = ""
    rationale: str = ""
    confidence: float | None = None
    quotes: tuple[Quote, ...] = ()
    prompt_sha256: str | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """All that an engine found for one case: a feature that is not in `drafts` is not documented."""

    case_id: str | int
    drafts: Mapping[str, Draft]


@dataclass(frozen=True, slots=True)
class KnowledgeAnswer:
    """An answer to an expert query; `text` is empty where no passage supports one."""

    text: str
    hits: tuple[Hit, ...] = ()


@runtime_checkable
class Engine(Protocol):
    """Who answers: ``extractive`` (no language model) or a language model behind the same three methods."""

    name: str
    model: str | None

    def answer(self, question: str, passages: Sequence[Hit]) -> KnowledgeAnswer:
        """Answer an expert query from retrieved passages, and from nothing else."""
        ...

    def propose_features(self, ack: Ack) -> FeatureSet:
        """Propose the clinical features that the knowledge corpus names."""
        ...

    def fill(
        self, cases: Iterable[Case], features: Sequence[Feature], knowledge: Ack | None = None
    ) -> Iterator[CaseAnswer]:
        """Yield one answer per case, in the order of `cases`."""
        ...
