"""What passes between the parts of an evaluation: splits, fits and out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

METRICS = (
    "roc_auc",
    "average_precision",
    "f1",
    "precision",
    "recall",
    "accuracy",
    "balanced_accuracy",
    "brier",
    "ece",
)
"""Names of the metrics; `brier` and `ece` are better when smaller."""

PREDICTIONS = (
    "feature_set",
    "model",
    "target",
    "repeat",
    "fold",
    "row",
    "truth",
    "probability",
    "decision",
)
"""Columns of the out-of-fold predictions: `row` is the position of the case in the inputs, `truth` and
`decision` are bool, `probability` float in [0, 1]."""

SHAP = "shap\x1f"
"""What stands before the name of a feature whose SHAP value, not its drop, is among the importances."""


@dataclass(frozen=True)
class Inputs:
    """Feature sets, targets and groups that were checked and fit each other.

    Attributes
    ----------
    sets : mapping of str to DataFrame
        Each with shape (cases, features), all on one index; columns as given (nullable, categories, numbers).
    targets : DataFrame
        pandas ``boolean``, shape (cases, targets), on the same index; missing where a label is unknown.
    groups : Series or None
        The patient of each case, on the same index.
    notes : tuple of str
        What a reader of the result has to know.
    """

    sets: Mapping[str, pd.DataFrame]
    targets: pd.DataFrame
    groups: pd.Series | None
    notes: tuple[str, ...] = ()


class Split(NamedTuple):
    """Who is trained on and who is tested, for one target; positions of cases whose label is known.

    `train` and `test` share no patient. `repeat` and `fold` count from 0. The target of a protocol that
    pools the decisions of several labels is each label on its own; pooling happens when metrics are made.
    """

    target: str
    repeat: int
    fold: int
    train: NDArray[np.integer[Any]]
    test: NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Outcome:
    """What one fit gave.

    Attributes
    ----------
    feature_set, model : str
    split : Split
    probability : array of float, shape (cases of ``split.test``,)
    threshold : float
        From which probability on it decided yes; found without looking at the test cases.
    device : str
        Where it ran: ``cpu`` or ``cuda:0``.
    seconds : float
        Of fitting and predicting.
    notes : tuple of str
        For example that a GPU was full.
    importances : mapping of str to float or None
        Mean drop of the ROC AUC per permuted feature, noise columns included, where asked for; SHAP values
        under names that begin with :data:`SHAP`.
    """

    feature_set: str
    model: str
    split: Split
    probability: NDArray[np.float64]
    threshold: float
    device: str = "cpu"
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    importances: Mapping[str, float] | None = None
