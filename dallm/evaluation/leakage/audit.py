"""The audit: every column against every target, and the splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.evaluation.leakage.association import FOLDS
from dallm.evaluation.leakage.column import ColumnAudit, TargetRows
from dallm.evaluation.leakage.copies import copies
from dallm.evaluation.leakage.names import TargetNames, target_names
from dallm.evaluation.leakage.sides import Finding, shared
from dallm.lexicon import Lexicon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.augment.augmented import Augmented
    from dallm.evaluation.fits import Inputs, Split

LEAKAGE = ("severity", "kind", "column", "target", "detail", "feature_set")
"""Columns of the audit."""

SAMPLE = 20_000
"""Cases of either class of a target that are measured; what is found equal in them is checked on all."""


def audit(
    inputs: Inputs,
    *,
    aliases: Mapping[str, Iterable[str]] | None = None,
    splits: Sequence[Split] | None = None,
    groups: pd.Series[Any] | None = None,
    augmented: Augmented | None = None,
    lexicon: Lexicon | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Look for columns that tell a target what they should not, and for patients on both sides.

    ``refuse``: a column that is the target in another coding; one whose name, alias or concept in the lexicon
    is the target's and that tells it well; a patient, a row or a copy of a row on both sides of a split.
    ``suspect``: a column that tells a target nearly completely without a name that says why, whose missing
    values tell it, or that has a value which one class alone has. docs/leakage.md gives the bounds. Honest
    features can be that good: a suspect is there to be looked at.

    Parameters
    ----------
    inputs : Inputs
    aliases : mapping of str to iterable of str, optional
        Further names of targets.
    splits : sequence of Split, optional
    groups : Series, optional
        The patient of each case, in the order of the inputs; by default that of the inputs.
    augmented : Augmented, optional
        Its features' aliases and what they are marked to restate are used too; the names of a feature that
        means a target are names of the target.
    lexicon : Lexicon, optional
    seed : int

    Returns
    -------
    DataFrame
        Columns :data:`LEAKAGE`, one row per column, target and kind; `refuse` first. `column` is ``patient``
        or ``row`` where splits are at fault. `feature_set` names all sets that hold the column.

    Examples
    --------
    >>> from dallm.evaluation.inputs import check_inputs
    >>> labels = pd.Series([True, False] * 20, name="edema")
    >>> table = pd.DataFrame({"age": range(40), "again": labels.map({True: "y", False: "n"})})
    >>> found = audit(check_inputs({"all": table}, labels, list(range(40))))
    >>> found[["severity", "kind", "column", "target"]].values.tolist()
    [['refuse', 'identical', 'again', 'edema']]
    """
    groups = inputs.groups if groups is None else groups
    codes, names = pd.factorize(np.arange(len(inputs.targets)) if groups is None else groups)
    patients = np.asarray(codes, dtype=np.intp)
    found: list[Finding] = list(shared(splits or (), patients, list(names)))
    found += _of_columns(inputs, patients, aliases or {}, augmented, lexicon, seed)
    found += copies(inputs.sets, inputs.targets, patients, splits or ())
    frame = pd.DataFrame(found, columns=list(LEAKAGE))
    order = (frame["severity"] != "refuse").to_numpy().argsort(kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def _of_columns(
    inputs: Inputs,
    patients: NDArray[np.intp],
    aliases: Mapping[str, Iterable[str]],
    augmented: Augmented | None,
    lexicon: Lexicon | None,
    seed: int,
) -> Iterator[Finding]:
    lexicon = Lexicon.default() if lexicon is None else lexicon
    features = augmented.features if augmented is not None else ()
    names = target_names(map(str, inputs.targets.columns), aliases, lexicon, features)
    places, sampled = _samples(inputs, patients, seed)
    columns = _columns(inputs.sets)
    also, marks = _known_of(augmented, names)
    tests = max(1, len(columns) * len(sampled))
    for column, values, sets in columns:
        measured = ColumnAudit(column, values, places, tests)
        for target in sampled:
            marked = marks.get((column, target.name))
            called = also.get(column, ())
            match = marked or names[target.name].by_meaning(column, called)
            for severity, kind, detail in measured.against(target, match, names[target.name], called):
                yield severity, kind, column, target.name, detail, ", ".join(sets)


def _samples(
    inputs: Inputs, patients: NDArray[np.intp], seed: int
) -> tuple[NDArray[np.intp] | None, list[TargetRows]]:
    """Return the rows to measure on (None: all), and each target's cases among them."""
    folds = np.random.default_rng(seed).permutation(int(patients.max()) + 1)[patients] % FOLDS
    chosen: dict[str, NDArray[np.intp]] = {}
    whole: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    rng = np.random.default_rng(seed)
    for name in inputs.targets.columns:
        known = inputs.targets[name].notna().to_numpy(dtype=bool)
        truth = inputs.targets[name].fillna(False).to_numpy(dtype=bool)
        whole[name] = known, truth
        parts = [np.flatnonzero(known & (truth == side)) for side in (True, False)]
        chosen[name] = np.sort(
            np.concatenate([p if len(p) <= SAMPLE else rng.choice(p, SAMPLE, replace=False) for p in parts])
        )
    everything = np.unique(np.concatenate(list(chosen.values())))
    places = None if len(everything) == len(patients) else everything
    targets = []
    for name, rows in chosen.items():
        known, truth = whole[name]
        inside = rows if places is None else np.searchsorted(places, rows)
        targets.append(TargetRows(str(name), inside, truth[rows], folds[rows], known, truth))
    return places, targets


def _columns(sets: Mapping[str, pd.DataFrame]) -> list[tuple[str, pd.Series[Any], list[str]]]:
    """Return every column once, with the feature sets that hold it."""
    found: dict[str, list[tuple[str, pd.Series[Any], list[str]]]] = {}
    for name, frame in sets.items():
        for position, column in enumerate(frame.columns):
            values = frame.iloc[:, position]
            for _, known, holders in found.setdefault(column, []):
                if values.array is known.array or values.equals(known):
                    holders.append(name)
                    break
            else:
                found[column].append((column, values, [name]))
    return [entry for entries in found.values() for entry in entries]


def _known_of(
    augmented: Augmented | None, names: Mapping[str, TargetNames]
) -> tuple[dict[str, tuple[str, ...]], dict[tuple[str, str], Any]]:
    """Return the names of the features behind new columns, and which are marked to restate a target."""
    from dallm.evaluation.leakage.names import Match

    also: dict[str, tuple[str, ...]] = {}
    marks: dict[tuple[str, str], Any] = {}
    if augmented is None:
        return also, marks
    for feature in augmented.features:
        column = augmented.columns_of[feature.name]
        also[column] = (feature.name, *feature.aliases)
        if feature.restates is None:
            continue
        for target, known in names.items():
            if known.by_meaning(feature.restates) is not None:
                marks[column, target] = Match("same", f"it is marked as restating {feature.restates!r}")
    return also, marks
