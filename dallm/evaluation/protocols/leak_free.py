"""The protocol by default: repeated cross-validation that never parts the cases of a patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dallm.case_ids import count
from dallm.errors import UserError
from dallm.evaluation.fits import Inputs, Split
from dallm.evaluation.protocols.base import known_labels, patient_codes
from dallm.evaluation.protocols.folds import both_classes_everywhere, deal_folds
from dallm.evaluation.seeds import seed_for

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LeakFree:
    """Repeated k-fold cross-validation, stratified by label and grouped by patient.

    Every target has folds of its own, over the cases whose label is known; they are the same for all feature
    sets and models, and follow from the seed. A target with too few patients of a class gets fewer folds.

    Parameters
    ----------
    repeats : int, default=10
    folds : int, default=5

    Examples
    --------
    >>> import pandas as pd
    >>> labels = pd.DataFrame({"edema": pd.array([True, False] * 10, dtype="boolean")})
    >>> splits, notes = LeakFree(2, 5).splits(Inputs({}, labels, None), seed=0)
    >>> len(splits), len(splits[0].train), len(splits[0].test), notes
    (10, 16, 4, ())
    """

    repeats: int = 10
    folds: int = 5

    def __post_init__(self) -> None:
        for name, value, least in (("repeats", self.repeats, 1), ("folds", self.folds, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"LeakFree({name}={value!r}): give a whole number of {least} or more.")

    @property
    def name(self) -> str:
        """How the report calls it."""
        return f"leak_free ({self.repeats} x {self.folds}-fold by patient)"

    def splits(self, inputs: Inputs, seed: int) -> tuple[list[Split], tuple[str, ...]]:
        """Return the splits of every target, and a note for each that got fewer folds.

        Raises
        ------
        UserError
            If a target cannot have two folds that both hold both classes.
        """
        patients = patient_codes(inputs)
        made: list[Split] = []
        notes: list[str] = []
        for target in map(str, inputs.targets.columns):
            rows, labels = known_labels(inputs, target)
            k, dealt = self._deal(target, labels, patients[rows], seed)
            if k < self.folds:
                notes.append(
                    f"Target {target!r}: {k} folds instead of {self.folds}, because "
                    f"{_scarcity(labels, patients[rows])}."
                )
            made += _as_splits(target, rows, dealt, k)
        return made, tuple(notes)

    def _deal(
        self, target: str, labels: NDArray[np.bool_], patients: NDArray[np.intp], seed: int
    ) -> tuple[int, list[NDArray[np.int16]]]:
        """Return the largest number of folds that works in every repeat, and the fold of each case."""
        most = min(self.folds, len(np.unique(patients[labels])), len(np.unique(patients[~labels])))
        for k in range(most, 1, -1):
            dealt = []
            for repeat in range(self.repeats):
                rng = np.random.default_rng(seed_for(seed, "folds", target, repeat, k))
                folds = deal_folds(labels, patients, k, rng)
                if not both_classes_everywhere(labels, folds, k):
                    break
                dealt.append(folds)
            else:
                return k, dealt
        raise UserError(
            f"Target {target!r} cannot be cross-validated: {_scarcity(labels, patients)}, and every fold "
            "needs both classes in training and test. Leave this target out, or add cases."
        )


def _as_splits(
    target: str, rows: NDArray[np.int32], dealt: list[NDArray[np.int16]], k: int
) -> Iterator[Split]:
    for repeat, folds in enumerate(dealt):
        for fold in range(k):
            tested = folds == fold
            yield Split(target, repeat, fold, rows[~tested], rows[tested])


def _scarcity(labels: NDArray[np.bool_], patients: NDArray[np.intp]) -> str:
    yes, no = len(np.unique(patients[labels])), len(np.unique(patients[~labels]))
    rarer, what = (yes, "yes") if yes <= no else (no, "no")
    return f"only {count(rarer, 'patient')} of {len(np.unique(patients)):,} have a case labelled {what}"
