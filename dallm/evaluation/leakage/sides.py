"""Patients and rows that stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.evaluation.protocols.base import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.evaluation.fits import Split

Finding = tuple[str, str, str, str, str, str]
"""severity, kind, column, target, detail, feature_set: as :data:`.audit.LEAKAGE` names them."""


def shared(splits: Iterable[Split], patients: NDArray[np.intp], names: Sequence[Any]) -> list[Finding]:
    """Return what stands on both sides, one finding per target and kind.

    Parameters
    ----------
    splits : iterable of Split
    patients : array of int, shape (n_cases,)
        From 0.
    names : sequence
        The patient behind each number.
    """
    worst: dict[tuple[str, str], tuple[int, str, int]] = {}
    for split in splits:
        trained = np.zeros(len(patients), dtype=bool)
        trained[split.train] = True
        rows = np.unique(split.test[trained[split.test]])
        known = np.zeros(len(names), dtype=bool)
        known[patients[split.train]] = True
        both = np.unique(patients[split.test[known[patients[split.test]]]])
        for kind, found in (("row", rows), ("patient", both)):
            if len(found):
                said, _, times = worst.get((split.target, kind), (0, "", 0))
                first = f"position {found[0]}" if kind == "row" else f"{plain(names[found[0]])!r}"
                worst[split.target, kind] = max(said, len(found)), first, times + 1
    return [
        (
            "refuse",
            f"shared {kind}",
            kind,
            target,
            f"{most:,} {kind}{'s' if most > 1 else ''} on both sides of a split (of {times:,} splits), "
            f"for example {first}",
            "",
        )
        for (target, kind), (most, first, times) in worst.items()
    ]
