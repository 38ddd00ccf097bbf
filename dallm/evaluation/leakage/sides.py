"""Patients and rows that stand on both sides of a split, and cases that occur twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
                first = f"position {found[0]}" if kind == "row" else f"{names[found[0]]!r}"
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


def twins(sets: Mapping[str, pd.DataFrame], patients: NDArray[np.intp]) -> list[Finding]:
    """Return, per feature set, how many cases have another patient's values in every column.

    Tables of few possible rows have many such cases by right: only where nine in ten rows are met once, or
    the table has a column of measured values, is it told.
    """
    found: list[Finding] = []
    for name, frame in sets.items():
        if frame.shape[1] < 3:
            continue
        digest = np.zeros(len(frame), dtype=np.uint64)
        widest = 0
        for position in range(frame.shape[1]):
            hashed = _hashed(frame.iloc[:, position])
            digest = digest * np.uint64(0x9E3779B97F4A7C15) + hashed
            if position < 50:
                widest = max(widest, len(np.unique(hashed[:20_000])))
        codes, distinct = pd.factorize(digest)
        if widest < 0.2 * min(len(frame), 20_000) and len(distinct) < 0.9 * len(frame):
            continue
        first = np.full(len(distinct), -1, dtype=np.intp)
        first[codes[::-1]] = patients[::-1]  # the patient of the first case of each kind
        mixed = np.zeros(len(distinct), dtype=bool)
        mixed[codes[first[codes] != patients]] = True
        count = int(mixed[codes].sum())
        if count:
            detail = (
                f"{count:,} of {len(frame):,} cases agree in all {frame.shape[1]:,} columns with a case of "
                "another patient; copies of one case should have one patient"
            )
            found.append(("suspect", "duplicate rows", "row", "", detail, name))
    return found


def _hashed(values: pd.Series[Any]) -> NDArray[np.uint64]:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.util.hash_array(values.cat.codes.to_numpy())
    if pd.api.types.is_numeric_dtype(values.dtype):
        return pd.util.hash_array(values.to_numpy(dtype=np.float64, na_value=np.nan))
    texts = values.astype(object)
    return pd.util.hash_array(texts.where(texts.notna(), "").astype(str).to_numpy(dtype=object))
