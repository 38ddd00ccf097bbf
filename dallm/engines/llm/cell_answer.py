"""What a model said of one feature of one case, and the fault of an answer that could not be read in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from dallm.engines.base import CellValue
from dallm.engines.llm.wire import AnswerError

Basis = Literal["report", "row", "knowledge", "neither"]
BASES: tuple[Basis, ...] = ("report", "row", "knowledge", "neither")


class CellAnswer(NamedTuple):
    """A model's answer for one feature, typed but not yet checked against the case.

    `value` is None where nothing is stated; `quote` and `field` are as the model gave them.
    """

    value: CellValue
    quote: str | None = None
    field: str | None = None
    rationale: str = ""
    basis: Basis = "neither"


class FillError(AnswerError):
    """An answer to a filling request cannot be read, or not in full.

    Attributes
    ----------
    kind : str
        ``refusal``, ``empty``, ``cut_off``, ``other_case``, ``format``, or ``cells`` where single cells are
        missing or cannot be read.
    read : mapping of str to CellAnswer
        The cells that could be read, by feature.
    missing : tuple of str
        The features to ask for again.
    """

    def __init__(
        self,
        fault: str,
        kind: str,
        missing: Sequence[str],
        read: Mapping[str, CellAnswer] | None = None,
    ) -> None:
        super().__init__(fault)
        self.kind, self.missing, self.read = kind, tuple(missing), dict(read or {})
