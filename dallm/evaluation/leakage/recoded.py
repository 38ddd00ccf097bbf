"""Whether a column is a target in another coding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.evaluation.leakage.association import Coded

_SHARE = 0.2  # of the target's cases that must have a value for a column to count as equal to it
_CHANCE = 0.05  # that any of all columns equals a target, did none tell anything
_APART = 100.0  # two clusters of numbers count as two values if their distance is so much wider than each
_SHOWN = 3
_MOST_WORDS = 10  # into so many words a target may be coded


def recoded(column: Coded, codes: NDArray[np.intp], truth: NDArray[np.bool_], tests: int) -> str:
    """Return how the column is the target in another coding; empty where it is not.

    Parameters
    ----------
    column : Coded
    codes : array of int, shape (n_labelled,)
        Of the cases whose label is known.
    truth : array of bool, shape (n_labelled,)
    tests : int
        Pairs of column and target that are looked at; an equal one must be unlikely by chance in so many.

    Examples
    --------
    >>> import pandas as pd
    >>> from dallm.evaluation.leakage.association import coded
    >>> labels = np.array([True, False] * 10)
    >>> column = coded(pd.Series(["none", "mild", "none", "severe"] * 5))
    >>> recoded(column, column.codes, labels, 1)
    'all 20 cases that have both follow from it (True is none; False is mild or severe)'
    """
    known = codes >= 0
    held, of_known = codes[known], truth[known]
    yes = int(of_known.sum())
    if not len(held):
        return ""
    first, last = int(held.min()), int(held.max())
    if first == last:
        return _by_presence(known, truth, _word(column, first), tests)
    if len(held) < _SHARE * len(codes) or yes in (0, len(held)):
        return ""
    of_yes, of_no = held[of_known], held[~of_known]
    low_yes, high_yes, low_no, high_no = of_yes.min(), of_yes.max(), of_no.min(), of_no.max()
    if low_yes == high_yes and low_no == high_no and low_yes != low_no:
        if _by_chance(yes, len(held) - yes, tests, 2):
            return ""
        coding = f"{_word(column, low_yes)} for True, {_word(column, low_no)} for False"
        return f"it equals the target in all {len(held):,} cases that have both ({coding})"
    if isinstance(column.levels[0], float):
        if low_yes <= high_no and low_no <= high_yes:
            return ""
        return _apart(column, (low_yes, high_yes, low_no, high_no), (yes, len(held) - yes), tests)
    return _in_words(column, of_yes, of_no, tests)


def _by_presence(known: NDArray[np.bool_], truth: NDArray[np.bool_], word: str, tests: int) -> str:
    """A single value that stands exactly where the target is one way."""
    yes = int(truth.sum())
    if known.all() or _by_chance(yes, len(truth) - yes, tests, 2):
        return ""
    for where, same in (("the target is True", truth), ("the target is False", ~truth)):
        if np.array_equal(known, same):
            return f"it has the value {word} exactly where {where}"
    return ""


def _apart(column: Coded, ends: tuple[int, int, int, int], sizes: tuple[int, int], tests: int) -> str:
    """Numbers in two narrow clusters: two values and a little noise."""
    low_yes, high_yes, low_no, high_no = (column.levels[end] for end in ends)
    inside = max(high_yes - low_yes, high_no - low_no)
    between = max(low_yes - high_no, low_no - high_yes)
    if between < _APART * inside or _by_chance(*sizes, tests, 2):
        return ""
    coding = f"about {low_yes:.6g} for True, about {low_no:.6g} for False"
    return f"it equals the target in all {sum(sizes):,} cases that have both ({coding})"


def _in_words(column: Coded, of_yes: NDArray[np.intp], of_no: NDArray[np.intp], tests: int) -> str:
    """A few words each of which means one class: ``none``, ``mild``, ``severe``."""
    words_yes, words_no = np.unique(of_yes), np.unique(of_no)
    words = len(words_yes) + len(words_no)
    if words > _MOST_WORDS or len(np.intersect1d(words_yes, words_no)):
        return ""
    if _by_chance(len(of_yes), len(of_no), tests, 2.0**words):
        return ""
    said = [
        " or ".join(_word(column, w).strip("'") for w in part[:_SHOWN])
        + (" ..." if len(part) > _SHOWN else "")
        for part in (words_yes, words_no)
    ]
    count = len(of_yes) + len(of_no)
    return f"all {count:,} cases that have both follow from it (True is {said[0]}; False is {said[1]})"


def _by_chance(yes: int, no: int, tests: int, codings: float) -> bool:
    """Whether some column of so many equals the target, were each drawn with as many cases of either."""
    ways = gammaln(yes + no + 1) - gammaln(yes + 1) - gammaln(no + 1)
    return bool(np.log(codings * tests) - ways > np.log(_CHANCE))


def _word(column: Coded, level: int) -> str:
    return shown(column.levels[level])


def shown(value: object) -> str:
    """Return a value as messages print it, cut where it is long."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return repr(text if len(text) <= 24 else text[:21] + "...")
