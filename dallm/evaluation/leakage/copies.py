"""Cases that occur twice under different patients: copies, told from cases that are alike by chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.evaluation.leakage.sides import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.evaluation.fits import Split

    Hashes = NDArray[np.uint64]

KIND = "duplicate rows"

SUSPECT = 0.01
"""Cases alike in so rare values that chance gives a case fewer twins than this are told."""

REFUSE = 1e-6
"""The same for refusing; two irises are alike in measurements of which chance gives a case .0007 twins."""

_MEASURED = 10  # distinct values of a column that more than these has
_ALIKE = 0.98  # rank correlation from which on two columns say the same
_COUNTED = 20  # columns whose values' rarity is counted
_LOOKED_AT = 60  # columns that these are sought among
_SAMPLE = 20_000  # cases that correlations are measured on
_FEWEST = 3  # columns of a table, and known values of a case, from which on cases can be copies


def copies(
    sets: Mapping[str, pd.DataFrame],
    targets: pd.DataFrame,
    patients: NDArray[np.intp],
    splits: Iterable[Split] = (),
) -> list[Finding]:
    """Return which cases are copies of another patient's.

    Cases are alike where they have the same values in every column. Chance does that too, above all in tables
    of few values and where most are missing: what counts is how many twins a case of such values would have,
    were the columns independent; a column that repeats another and a missing value count for nothing.

    Parameters
    ----------
    sets : mapping of str to DataFrame
    targets : DataFrame
        pandas ``boolean``, one column per target.
    patients : array of int, shape (n_cases,)
        From 0.
    splits : iterable of Split
        Of a protocol with one split; copies of training cases among the test cases, label included, are
        refused. In cross-validation copies are suspects.
    """
    found: list[Finding] = []
    once = _single(splits)
    for name, frame in sets.items():
        if frame.shape[1] < _FEWEST:
            continue
        digest = np.zeros(len(frame), dtype=np.uint64)
        for position in range(frame.shape[1]):
            digest = digest * np.uint64(0x9E3779B97F4A7C15) + _hashed(frame.iloc[:, position])
        twin = _of_another(digest, patients)
        if not twin.any():
            continue
        chance, measured = _chances(frame, np.flatnonzero(twin))
        found += _on_both_sides(name, frame, targets, digest, patients, twin & (measured < REFUSE), once)
        count = int((twin & (chance < SUSPECT)).sum())
        if count:
            detail = (
                f"{count:,} of {len(frame):,} cases agree in all {frame.shape[1]:,} columns with a case of "
                "another patient; copies of one case should have one patient"
            )
            found.append(("suspect", KIND, "row", "", detail, name))
    return found


def _single(splits: Iterable[Split]) -> list[Split]:
    """Return the split of each target that has one only; its repeats test the same cases."""
    of_target: dict[str, list[Split]] = {}
    for split in splits:
        of_target.setdefault(split.target, []).append(split)
    return [made[0] for made in of_target.values() if all(split.fold == 0 for split in made)]


def _of_another(digest: Hashes, patients: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which cases have the values of another patient's case."""
    codes, distinct = pd.factorize(digest)
    first = np.full(len(distinct), -1, dtype=np.intp)
    first[codes[::-1]] = patients[::-1]  # the patient of the first case of each kind
    mixed = np.zeros(len(distinct), dtype=bool)
    mixed[codes[first[codes] != patients]] = True
    return np.asarray(mixed[codes], dtype=bool)


def _chances(frame: pd.DataFrame, rows: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return how many twins each of the rows would have by chance: by all columns, by measured ones only.

    One for the other cases, which are not looked at.
    """
    n = len(frame)
    rarity = np.zeros((2, len(rows)))
    known = np.zeros(len(rows), dtype=np.intp)
    chosen: list[NDArray[Any]] = []
    sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.intp))
    for position in range(min(frame.shape[1], _LOOKED_AT)):
        codes, levels = pd.factorize(frame.iloc[:, position], sort=_sortable(frame.dtypes.iloc[position]))
        rank = codes[sample].astype(float)
        if len(levels) < 2 or any(_says_the_same(rank, other) for other in chosen):
            continue
        chosen.append(rank)
        sizes = np.append(np.bincount(codes[codes >= 0], minlength=len(levels)), n)  # a gap tells nothing
        own = np.log(sizes[codes[rows]] / n)
        rarity[0] += own
        rarity[1] += own if len(levels) > _MEASURED else 0.0
        known += codes[rows] >= 0
        if len(chosen) == _COUNTED:
            break
    expected = np.exp(rarity + np.log(n))
    expected[:, known < min(_FEWEST, len(chosen))] = 1.0
    everyone = np.ones((2, n))
    everyone[:, rows] = expected
    return everyone[0], everyone[1]


def _sortable(dtype: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(dtype))


def _says_the_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    both = (one >= 0) & (other >= 0)
    if both.sum() < 3 or one[both].std() == 0 or other[both].std() == 0:
        return bool(both.any())
    return bool(abs(np.corrcoef(one[both], other[both])[0, 1]) >= _ALIKE)


def _on_both_sides(
    name: str,
    frame: pd.DataFrame,
    targets: pd.DataFrame,
    digest: Hashes,
    patients: NDArray[np.intp],
    copied: NDArray[np.bool_],
    splits: Sequence[Split],
) -> list[Finding]:
    """Return per target the test cases that are copies of a training case of another patient."""
    found: list[Finding] = []
    for split in splits:
        yes = targets[split.target].fillna(False).to_numpy(dtype=bool)
        labelled = digest * np.uint64(2) + yes.astype(np.uint64)
        trained = np.zeros(int(patients.max()) + 1, dtype=bool)
        trained[patients[split.train]] = True
        test = split.test[copied[split.test] & ~trained[patients[split.test]]]
        count = int(np.isin(labelled[test], labelled[split.train]).sum())
        if count:
            share = 100 * count / len(split.test)
            again = "are training cases" if count > 1 else "is a training case"
            detail = (
                f"{count:,} of {len(split.test):,} test cases ({share:.2g} %) {again} again, equal in all "
                f"{frame.shape[1]:,} columns and in the label, under another patient"
            )
            found.append(("refuse", KIND, "row", split.target, detail, name))
    return found


def _hashed(values: pd.Series[Any]) -> Hashes:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.util.hash_array(values.cat.codes.to_numpy())
    if pd.api.types.is_numeric_dtype(values.dtype):
        return pd.util.hash_array(values.to_numpy(dtype=np.float64, na_value=np.nan))
    texts = values.astype(object)
    return pd.util.hash_array(texts.where(texts.notna(), "").astype(str).to_numpy(dtype=object))
