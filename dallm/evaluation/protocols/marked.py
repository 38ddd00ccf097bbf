"""Protocols with one split that the user gives: a holdout, and the split of a publication."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError, did_you_mean
from dallm.evaluation.fits import Inputs, Split
from dallm.evaluation.protocols.base import known_labels, patient_codes, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAIN_WORDS = ("train", "training", "development", "dev", "derivation")
TEST_WORDS = ("test", "testing", "holdout", "hold-out", "held_out", "heldout")

Marks = Any  # the name of a column, or a Series of marks


@dataclass(frozen=True, eq=False)
class Holdout:
    """One split: train on the cases marked ``train``, test on those marked ``test``.

    Other marks (``validation``, or none) leave a case out.

    Parameters
    ----------
    column : str or Series
        Marks on the index of the feature sets, or the name of the column that holds them: a column of the
        cohort, of the targets' table or of a feature set. True and False are read where the name says
        what True means (``is_test``, ``train``).
    allow_shared_patients : bool, default=False
        Whether patients may stand on both sides; the report says how many do, and lists it as a leak. In
        :func:`dallm.evaluate` ``allow_leaks=["patient"]`` and ``on_leak="report"`` say the same.
    repeats : int, default=1
        Fits with different seeds.

    Examples
    --------
    >>> labels = pd.DataFrame({"edema": pd.array([True, False, True, False], dtype="boolean")})
    >>> marks = pd.Series(["train", "train", "test", "test"])
    >>> splits, _ = Holdout(marks).splits(Inputs({}, labels, None), seed=0)
    >>> splits[0].train.tolist(), splits[0].test.tolist()
    ([0, 1], [2, 3])
    """

    column: Marks
    allow_shared_patients: bool = False
    repeats: int = 1

    @property
    def name(self) -> str:
        """How the report calls it."""
        return f"holdout ({_named(self.column)})"

    def bind(self, tables: Iterable[pd.DataFrame]) -> Holdout:
        """Return the protocol with the marks looked up in the first table that has the column."""
        return replace(self, column=_looked_up(self.column, tables, "Holdout"))

    def splits(self, inputs: Inputs, seed: int) -> tuple[list[Split], tuple[str, ...]]:
        """Return one split per target and repeat, and what was left out.

        Raises
        ------
        UserError
            If a mark cannot be read, a class is missing on one side, or a patient stands on both.
        """
        trained, notes = _sides(self.column, inputs, "Holdout")
        shared = _shared(trained, inputs)
        if shared and not self.allow_shared_patients:
            raise UserError(
                f"Holdout: {count(len(shared), 'patient')} on both sides, for example {plain(shared[0])!r}. "
                "Mark all cases of a patient alike; or let it pass as a leak that the report names: "
                "allow_leaks=['patient'] (on the command line --allow-leak patient)."
            )
        if shared:
            notes.append(f"{count(len(shared), 'patient')} on both sides of the split, as allowed.")
        return _one_split(trained, inputs, self.repeats, "Holdout"), tuple(notes)


@dataclass(frozen=True, eq=False)
class AsPublished:
    """One split as it was published, patients on both sides included, and several refits.

    Parameters
    ----------
    split : str or Series
        As for :class:`Holdout`.
    refits : int, default=10
        Fits that differ by seed alone; they count as repeats.
    """

    split: Marks
    refits: int = 10

    @property
    def name(self) -> str:
        """How the report calls it."""
        return f"as_published ({_named(self.split)}, {count(self.refits, 'refit')})"

    def bind(self, tables: Iterable[pd.DataFrame]) -> AsPublished:
        """Return the protocol with the marks looked up in the first table that has the column."""
        return replace(self, split=_looked_up(self.split, tables, "AsPublished"))

    def splits(self, inputs: Inputs, seed: int) -> tuple[list[Split], tuple[str, ...]]:
        """Return one split per target and refit.

        Raises
        ------
        UserError
            If a mark cannot be read, or a class is missing on one side.
        """
        trained, notes = _sides(self.split, inputs, "AsPublished")
        shared = _shared(trained, inputs)
        if shared:
            both = inputs.groups.isin(shared).to_numpy() if inputs.groups is not None else np.zeros(0, bool)
            tested = int((both & (trained == 0)).sum())
            notes.append(
                f"{count(len(shared), 'patient')} on both sides of the split, kept as published: "
                f"{count(tested, 'test case')} of {int((trained == 0).sum()):,} from patients trained on."
            )
        return _one_split(trained, inputs, self.refits, "AsPublished"), tuple(notes)


def _named(marks: Marks) -> str:
    if not isinstance(marks, pd.Series):
        return str(marks)
    return "marks of one's own" if marks.name is None else str(marks.name)


def _looked_up(marks: Marks, tables: Iterable[pd.DataFrame], who: str) -> pd.Series[Any]:
    if isinstance(marks, pd.Series):
        return marks
    known: list[str] = []
    for table in tables:
        if marks in table.columns:
            found: pd.Series[Any] = table.loc[:, marks]
            return found
        known += [str(c) for c in table.columns]
    raise UserError(
        f"{who}({marks!r}): there is no such column in the cohort, the targets or the feature sets."
        f"{did_you_mean(marks, known)} Give the marks as a Series instead."
    )


def _sides(marks: Marks, inputs: Inputs, who: str) -> tuple[NDArray[np.int8], list[str]]:
    """Return per case 1 for training, 0 for test, -1 for neither."""
    index = inputs.targets.index
    series = _looked_up(marks, [*inputs.sets.values()], who)
    if not series.index.equals(index):
        missing = index.difference(series.index)
        if len(missing) or not series.index.is_unique:
            what = f"{count(len(missing), 'case')} without a mark" if len(missing) else "a case marked twice"
            example = f", for example {plain(missing[0])!r}" if len(missing) else ""
            raise UserError(f"{who}: {what}{example}. Give one mark per case, on the same index.")
        series = series.reindex(index)
    read = _read(series, who)
    notes = []
    left = int((read < 0).sum())
    if left:
        notes.append(f"{who}: {count(left, 'case')} marked neither train nor test left out.")
    return read, notes


def _read(series: pd.Series[Any], who: str) -> NDArray[np.int8]:
    known = series.dropna()
    if all(isinstance(value, (bool, np.bool_)) for value in known.unique()):
        name = str(series.name).lower()
        means_train, means_test = "train" in name, any(word in name for word in ("test", "hold"))
        if means_train == means_test:
            raise UserError(
                f"{who}: {_marks_of(series)} are True and False, and their name does not say which means "
                'test. Mark the cases "train" and "test", or call the column "test".'
            )
        words = {True: 1 if means_train else 0, False: 0 if means_train else 1}
        return _as_sides(series, words)
    levels = {value: str(value).strip().lower() for value in known.unique()}
    read = {
        value: 1 if word in TRAIN_WORDS else 0 if word in TEST_WORDS else -1 for value, word in levels.items()
    }
    for side, name in ((1, "train"), (0, "test")):
        if side not in read.values():
            shown = ", ".join(repr(plain(level))[:30] for level in list(levels)[:5])
            raise UserError(
                f"{who}: no case is marked {name!r}; {_marks_of(series)} are "
                f"{shown or 'all missing'}. "
                'Mark the cases "train" and "test".'
            )
    return _as_sides(series, read)


def _marks_of(series: pd.Series[Any]) -> str:
    return "the given marks" if series.name is None else f"the marks in {str(series.name)!r}"


def _as_sides(series: pd.Series[Any], words: dict[Any, int]) -> NDArray[np.int8]:
    read = series.astype(object).map(words)
    return np.asarray(read.astype("float64").fillna(-1), dtype=np.int8)


def _shared(trained: NDArray[np.int8], inputs: Inputs) -> list[Any]:
    if inputs.groups is None:
        return []
    codes = patient_codes(inputs)
    both = np.intersect1d(codes[trained == 1], codes[trained == 0])
    first = np.unique(codes, return_index=True)[1]
    return [inputs.groups.iloc[first[code]] for code in both]


def _one_split(trained: NDArray[np.int8], inputs: Inputs, repeats: int, who: str) -> list[Split]:
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise UserError(f"{who}: the number of fits is {repeats!r}; give a whole number of 1 or more.")
    made: list[Split] = []
    for target in map(str, inputs.targets.columns):
        rows, labels = known_labels(inputs, target)
        for side, name in ((1, "training"), (0, "test")):
            there = labels[trained[rows] == side]
            if not there.any() or there.all():
                lacking = "yes" if not there.any() else "no"
                raise UserError(
                    f"{who}: target {target!r} has no {name} case labelled {lacking} "
                    f"({len(there):,} {name} cases). Leave this target out, or split otherwise."
                )
        train, test = rows[trained[rows] == 1], rows[trained[rows] == 0]
        made += [Split(target, repeat, 0, train, test) for repeat in range(repeats)]
    return made
