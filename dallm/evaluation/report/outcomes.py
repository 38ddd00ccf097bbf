"""From the outcomes of fits to the frames that a report is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.evaluation.fits import PREDICTIONS, SHAP
from dallm.evaluation.predictions import Predicted, predictions_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dallm.evaluation.fits import Outcome

FITS = ("feature_set", "model", "target", "repeat", "fold", "device", "seconds", "threshold", "note")
"""Columns of the fits: one row each, `note` holding its notes one after the other."""

IMPORTANCE = ("feature_set", "model", "target", "repeat", "fold", "feature", "drop", "shap")
"""Columns of the importances of single fits; `shap` is missing where it was not measured."""


def from_outcomes(
    outcomes: Iterable[Outcome], targets: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Return out-of-fold predictions, fits and importances of what was fitted.

    Parameters
    ----------
    outcomes : iterable of Outcome
    targets : DataFrame
        pandas ``boolean``, shape (cases, targets): those of :class:`dallm.evaluation.fits.Inputs`.

    Returns
    -------
    predictions : DataFrame
        Columns :data:`dallm.evaluation.fits.PREDICTIONS`, one row per fit and test case.
    fits : DataFrame
        Columns :data:`FITS`.
    importance : DataFrame or None
        Columns :data:`IMPORTANCE`; None where no fit measured any.

    Examples
    --------
    >>> from dallm.evaluation.fits import Outcome, Split
    >>> split = Split("edema", 0, 0, np.array([0, 1]), np.array([2, 3]))
    >>> targets = pd.DataFrame({"edema": pd.array([True, False, True, False], dtype="boolean")})
    >>> outcome = Outcome("few", "tree", split, np.array([0.9, 0.2]), 0.5)
    >>> predictions, fits, importance = from_outcomes([outcome], targets)
    >>> predictions[["row", "truth", "probability", "decision"]].to_numpy().tolist()
    [[2, True, 0.9, True], [3, False, 0.2, False]]
    >>> importance is None
    True
    """
    done = list(outcomes)
    truths = {str(name): targets[name].fillna(False).to_numpy(dtype=bool) for name in targets.columns}
    if not done:
        return pd.DataFrame(columns=list(PREDICTIONS)), pd.DataFrame(columns=list(FITS)), None
    predictions = predictions_of(
        [
            Predicted(
                one.feature_set, one.model, one.split, one.probability, one.probability >= one.threshold
            )
            for one in done
        ],
        truths,
    )
    return predictions, _fits(done), _importance(done)


def _fits(done: list[Outcome]) -> pd.DataFrame:
    rows = [
        (*_where(one), one.device, one.seconds, one.threshold, " ".join(dict.fromkeys(one.notes)))
        for one in done
    ]
    return pd.DataFrame(rows, columns=list(FITS))


def _importance(done: list[Outcome]) -> pd.DataFrame | None:
    rows: list[tuple[Any, ...]] = []
    for one in done:
        given = one.importances or {}
        shap = {name.removeprefix(SHAP): value for name, value in given.items() if name.startswith(SHAP)}
        rows += [
            (*_where(one), name, value, shap.get(name, np.nan))
            for name, value in given.items()
            if not name.startswith(SHAP)
        ]
    return pd.DataFrame(rows, columns=list(IMPORTANCE)) if rows else None


def _where(one: Outcome) -> tuple[str, str, str, int, int]:
    at = one.split
    return one.feature_set, one.model, at.target, at.repeat, at.fold
