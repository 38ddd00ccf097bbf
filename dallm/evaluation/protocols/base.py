"""What a protocol is, and what all of them check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, runtime_checkable
from typing import Protocol as Interface

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.evaluation.fits import Inputs, Split


@runtime_checkable
class Protocol(Interface):
    """Says who is trained on and who is tested.

    Attributes
    ----------
    name : str
        How the report calls it.
    """

    @property
    def name(self) -> str: ...

    def splits(self, inputs: Inputs, seed: int) -> tuple[list[Split], tuple[str, ...]]:
        """Return the splits of every target and what a reader of the result has to know of them.

        The splits do not depend on the feature sets, so all sets and models get the same.
        """
        ...


def patient_codes(inputs: Inputs) -> NDArray[np.intp]:
    """Return for every case the number of its patient; without groups every case is a patient."""
    import pandas as pd

    if inputs.groups is None:
        return np.arange(len(inputs.targets))
    codes, _ = pd.factorize(inputs.groups)
    return codes


def known_labels(inputs: Inputs, target: str) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the positions of the cases whose label is known, and their labels.

    Positions take 32 bits: fifty splits of a million cases would otherwise be larger than many a table.
    """
    labels = inputs.targets[target]
    known = labels.notna().to_numpy(dtype=bool)
    rows = np.flatnonzero(known).astype(np.int32)
    return rows, labels.to_numpy(dtype=bool, na_value=False)[known]


def plain(value: Any) -> Any:
    """Return a value as messages print it: ``0`` rather than ``np.int64(0)``."""
    return value.item() if isinstance(value, np.generic) else value
