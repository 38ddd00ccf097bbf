"""One column against one target: equal, by name, strong, missing, one class only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import norm

from dallm.evaluation.leakage.association import (
    Coded,
    auc_of,
    binned,
    chance_width,
    coded,
    cross_validated,
    in_two,
)
from dallm.evaluation.leakage.recoded import recoded, shown

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dallm.evaluation.leakage.names import Match, TargetNames

STRONG = 0.95
"""ROC AUC from which on a column is suspect whatever its name is."""

STRONG_OF_TWO = 0.90
"""The same for columns of two values, which honest measurements hardly reach."""

BY_NAME = {"same": 0.75, "related": 0.75, "holds": 0.8, "alike": 0.85}
"""ROC AUC from which on a column is refused, by how close its name is to the target's."""

MISSING = 0.65
"""ROC AUC of what is missing, from which on missingness is suspect."""

ONE_CLASS = 20
"""Cases that a value of one class only must have."""

OF_CLASS = (1 / 10, 1 / 3)
"""Share of the cases of their class that they must be, of the rarer class and of the commoner."""

_CHANCE = 0.01  # that any of all columns reaches what is reported, did none tell anything


class TargetRows(NamedTuple):
    """The cases of a target that a column is measured on.

    Attributes
    ----------
    name : str
    rows : array of int
        Their places among the rows measured on.
    truth, folds : array
        Of these.
    known, everywhere : array of bool, shape (n_cases,)
        Which cases have a label, and the labels of all cases.
    """

    name: str
    rows: NDArray[np.intp]
    truth: NDArray[np.bool_]
    folds: NDArray[np.intp]
    known: NDArray[np.bool_]
    everywhere: NDArray[np.bool_]


Found = tuple[str, str, str]
"""severity, kind, detail"""


class ColumnAudit:
    """What one column tells.

    Parameters
    ----------
    name : str
    values : Series
    places : array of int or None
        The rows to measure on; all where None.
    tests : int
        Pairs of column and target that are looked at: so much rarer must what is reported be by chance.
    """

    def __init__(
        self, name: str, values: pd.Series[Any], places: NDArray[np.intp] | None, tests: int
    ) -> None:
        self.name = name
        self._all = values
        self._tests = tests
        self._sampled = places is not None
        self._column = in_two(coded(values if places is None else values.iloc[places]))
        self._bins, self._n_bins = binned(self._column)
        self._pieces: list[tuple[int, int]] | None = None

    def against(
        self, target: TargetRows, match: Match | None, names: TargetNames, aliases: Sequence[str] = ()
    ) -> Iterator[Found]:
        """Yield what the column tells of a target; `match` is a match by name that was found already."""
        codes = self._column.codes[target.rows]
        equal = self._equal(codes, target)
        if equal:
            yield ("refuse", "identical", equal)
            return
        strength, how = self._strength(codes, target)
        if match is None and strength >= BY_NAME["holds"]:
            match = names.by_spelling(self.name, aliases)
        two = len(self._column.levels) <= 2
        bound = STRONG_OF_TWO if two else STRONG
        said = f"{how} {_shown(strength)}"
        if match is not None and strength >= BY_NAME[match.closeness]:
            yield "refuse", "name", f"{match.words}, and its {said}"
            return
        if match is not None and match.closeness in ("same", "related"):
            yield "suspect", "name", f"{match.words}, but its {said} only"
        if strength >= bound:
            yield "suspect", "association", f"its {said} (bound {bound:.2f})"
        else:
            yield from self._one_class(codes, target)
        yield from self._missing(codes, target)

    def _strength(self, codes: NDArray[np.intp], target: TargetRows) -> tuple[float, str]:
        """Return the larger of rank and cross-validated ROC AUC and its name; 0.5 where chance reaches it."""
        truth = target.truth
        yes = int(truth.sum())
        known = codes >= 0
        both = int(truth[known].sum())
        none = int(known.sum()) - both
        best, how = 0.5, "ROC AUC is"
        if self._column.ordered and both and none:
            levels = len(self._column.levels)
            of_yes = np.bincount(codes[known], weights=truth[known], minlength=levels)
            of_no = np.bincount(codes[known], minlength=levels) - of_yes
            auc = auc_of(of_yes, of_no)
            auc = max(auc, 1 - auc)
            if auc - 0.5 > self._width(both, none):
                best = auc
        if len(self._column.levels) < len(codes) or self._column.ordered:
            held_out = cross_validated(self._bins[target.rows], self._n_bins, target.folds, truth)
            if held_out > best + 1e-3 and held_out - 0.5 > self._width(yes, len(truth) - yes):
                best, how = held_out, "cross-validated ROC AUC is"
        return best, how

    def _missing(self, codes: NDArray[np.intp], target: TargetRows) -> Iterator[Found]:
        gone = codes < 0
        if not gone.any():
            return
        yes, no = gone[target.truth].mean(), gone[~target.truth].mean()
        auc = 0.5 + abs(yes - no) / 2
        n = int(target.truth.sum())
        if auc >= MISSING and auc - 0.5 > self._width(n, len(gone) - n):
            yield (
                "suspect",
                "missingness",
                f"it is missing in {yes:.0%} of the cases with the target and {no:.0%} of those without "
                f"(ROC AUC {_shown(auc)}, bound {MISSING:.2f})",
            )

    def _one_class(self, codes: NDArray[np.intp], target: TargetRows) -> Iterator[Found]:
        """Yield the value of one class that most cases have."""
        if self._pieces is None:
            self._pieces = _pieces(self._column)
        known = codes >= 0
        if not self._pieces or not known.any():
            return
        levels = len(self._column.levels)
        sizes = np.bincount(codes[known], minlength=levels)
        of_yes = np.bincount(codes[known], weights=target.truth[known], minlength=levels)
        size = np.array([sizes[first:end].sum() for first, end in self._pieces])
        yes = np.array([of_yes[first:end].sum() for first, end in self._pieces])
        for side, others in (("with", size - yes), ("without", yes)):
            share = target.truth[known].mean() if side == "with" else 1 - target.truth[known].mean()
            fewest = max(ONE_CLASS, OF_CLASS[int(share > 0.5)] * share * known.sum())
            pure = np.flatnonzero((size >= fewest) & (others == 0))
            if not len(pure):
                continue
            best = pure[np.argmax(size[pure])]
            if share >= 1 or size[best] * np.log(share) > np.log(_CHANCE / (self._tests * len(size))):
                continue
            first, end = self._pieces[best]
            said = f"the value {shown(self._column.levels[first])}"
            if end - first > 1:
                said = f"values from {shown(self._column.levels[first])} on, apart from all others,"
                if first == 0:
                    said = f"values up to {shown(self._column.levels[end - 1])}, apart from all others,"
            yield (
                "suspect",
                "one class",
                f"all {int(size[best]):,} cases with {said} are cases {side} the target",
            )

    def _equal(self, codes: NDArray[np.intp], target: TargetRows) -> str:
        """Return how the column is the target in another coding; empty where it is not."""
        said = recoded(self._column, codes, target.truth, self._tests)
        if not said or not self._sampled:
            return said
        whole = in_two(coded(self._all))  # a sample cannot say that two columns are equal
        rows = np.flatnonzero(target.known)
        return recoded(whole, whole.codes[rows], target.everywhere[rows], self._tests)

    def _width(self, yes: int, no: int) -> float:
        return _quantile(self._tests) * chance_width(yes, no)


def _pieces(column: Coded) -> list[tuple[int, int]]:
    """Return the levels, from and to, that many cases have: single ones, and an end that stands apart."""
    sizes = np.bincount(column.codes[column.codes >= 0], minlength=1)
    found = [(int(level), int(level) + 1) for level in np.flatnonzero(sizes >= ONE_CLASS)]
    if not column.ordered or len(column.levels) < 3 or not isinstance(column.levels[0], float):
        return found
    numbers = np.asarray(column.levels)
    gaps = np.diff(numbers)
    cut = int(np.argmax(gaps)) + 1
    for first, end, rest in ((0, cut, numbers[cut:]), (cut, len(numbers), numbers[:cut])):
        if end - first > 1 and gaps[cut - 1] > rest[-1] - rest[0] and len(rest) > 1:
            found.append((first, end))
    return found


@lru_cache(maxsize=64)
def _quantile(tests: int) -> float:
    return float(norm.isf(_CHANCE / tests))


def _shown(value: float) -> str:
    return f"{value:.3f}"
