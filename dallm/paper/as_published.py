"""Experiment III as the public code of the paper computes it: one split, joint models, hard decisions pooled.

What the code does and the paper does not say, found by reading it: one model decides all labels together; the
libraries' defaults are used, for TabNet 1,000 epochs without early stopping; the figures of ten refits are
averaged; the column "AUC" is computed from decisions, which makes it the balanced accuracy; a feature is
relevant if its mean importance is above that of one column of Gaussian noise among the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.metrics import metrics_of
from dallm.evaluation.seeds import seed_for

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MODELS = {
    "decision_tree": "DecisionTree",
    "random_forest": "RandomForest",
    "xgboost": "XGBoost",
    "tabnet": "TabNet",
}
"""Models by their names in this library, with their names in the paper."""

REFITS = 10
"""Fits that the public code averages."""

MEASURES = ("accuracy", "AUC", "precision", "F1", "recall", "relevant")
"""Columns of Table 4 that are computed; ``AUC`` is the balanced accuracy of decisions."""

TABNET_EPOCHS = 1000

# Both give the same fit ten times over: XGBoost's defaults draw nothing, pytorch-tabnet seeds itself alike.
_SAME_EACH_TIME = ("xgboost", "tabnet")
_NOISE = "noise"


class Halves(NamedTuple):
    """A feature set as the public code takes it apart.

    Attributes
    ----------
    names : tuple of str
        Features.
    x_train, x_test : array of float, shape (cases, features)
    y_train, y_test : array of bool, shape (cases, labels)
    """

    names: tuple[str, ...]
    x_train: Floats
    x_test: Floats
    y_train: NDArray[np.bool_]
    y_test: NDArray[np.bool_]


@dataclass(frozen=True)
class Run:
    """What one run of the public code gives: the means of its refits.

    Attributes
    ----------
    accuracy, balanced_accuracy, precision, f1, recall : float
        Of the decisions of all labels, pooled.
    importances : mapping of str to float
        Mean over the refits.
    noise : float
        Mean importance of the noise column.
    """

    accuracy: float
    balanced_accuracy: float
    precision: float
    f1: float
    recall: float
    importances: Mapping[str, float]
    noise: float

    @property
    def relevant(self) -> int:
        """How many features are above the noise column."""
        return sum(value > self.noise for value in self.importances.values())

    def measures(self) -> dict[str, float]:
        """Return the figures under the names of the paper's columns."""
        return {
            "accuracy": self.accuracy,
            "AUC": self.balanced_accuracy,
            "precision": self.precision,
            "F1": self.f1,
            "recall": self.recall,
            "relevant": float(self.relevant),
        }


def halves(features: pd.DataFrame, labels: pd.DataFrame, split: pd.Series[Any]) -> Halves:
    """Part a table of numbers by its marks ``train`` and ``test``.

    Raises
    ------
    UserError
        If a side is empty, or a label has one class among the training cases.
    """
    sides = {side: (split == side).to_numpy(dtype=bool) for side in ("train", "test")}
    for side, rows in sides.items():
        if not rows.any():
            raise UserError(f"No case is marked {side!r}; the public code needs a train and a test part.")
    y = labels.to_numpy(dtype=bool)
    for column, name in enumerate(labels.columns):
        known = y[sides["train"], column]
        if known.all() or not known.any():
            raise UserError(
                f"Target {name!r} is {'yes' if known.all() else 'no'} for all {len(known):,} training cases; "
                "leave it out, or split otherwise."
            )
    x = features.to_numpy(dtype=np.float64)
    return Halves(
        tuple(map(str, features.columns)),
        x[sides["train"]],
        x[sides["test"]],
        y[sides["train"]],
        y[sides["test"]],
    )


def published_run(part: Halves, model: str, seed: int, *, epochs: int = TABNET_EPOCHS) -> Run:
    """Run the public code's computation once: a noise column, ten refits, their means.

    Parameters
    ----------
    part : Halves
    model : {"decision_tree", "random_forest", "xgboost", "tabnet"}
    seed : int
        Of the noise and the refits. The public code fixes neither, but for TabNet's seed, which is 0.
    epochs : int, default=1000
        Of TabNet.

    Raises
    ------
    UserError
        If the model is not one of the paper's.

    Examples
    --------
    >>> x = np.arange(40.0)[:, None]
    >>> part = Halves(("age",), x[::2], x[1::2], x[::2] > 20, x[1::2] > 20)
    >>> run = published_run(part, "decision_tree", seed=0)
    >>> round(run.accuracy, 2), run.relevant
    (0.95, 1)
    """
    if model not in MODELS:
        raise UserError(f"Table 4 has no model {model!r}.{did_you_mean(model, MODELS)} {', '.join(MODELS)}.")
    noise = np.random.default_rng(seed_for(seed, _NOISE))
    x_train = np.column_stack([part.x_train, noise.standard_normal(len(part.x_train))])
    x_test = np.column_stack([part.x_test, noise.standard_normal(len(part.x_test))])
    x_train, x_test = x_train.astype(np.float32), x_test.astype(np.float32)
    found: list[dict[str, float]] = []
    importances = []
    for refit in range(1 if model in _SAME_EACH_TIME else REFITS):
        own = seed if model == "tabnet" else seed_for(seed, model, refit)
        decided, weights = _fit(model, x_train, part.y_train, x_test, own, epochs)
        found.append(_pooled(part.y_test, decided))
        importances.append(weights)
    means = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
    weights = np.mean(importances, axis=0)
    return Run(
        **means,
        importances=dict(zip(part.names, map(float, weights[:-1]), strict=True)),
        noise=float(weights[-1]),
    )


def _pooled(truth: NDArray[np.bool_], decided: NDArray[np.bool_]) -> dict[str, float]:
    said = decided.ravel()
    names = ("accuracy", "balanced_accuracy", "precision", "f1", "recall")
    return metrics_of(truth.ravel(), said.astype(float), said, names)


def _fit(
    model: str, x: Any, y: NDArray[np.bool_], x_test: Any, seed: int, epochs: int
) -> tuple[NDArray[np.bool_], Floats]:
    """Return the decisions for the test cases, shape (cases, labels), and the importance of each column."""
    labels: Any = y.astype(np.int64) if y.shape[1] > 1 else y[:, 0].astype(np.int64)
    if model == "tabnet":
        return _fit_tabnet(x, labels, x_test, seed, epochs)
    classifier = classifier_of(model, seed).fit(x, labels)
    decided = np.asarray(classifier.predict(x_test)).reshape(len(x_test), y.shape[1]) > 0
    return decided, np.asarray(classifier.feature_importances_, dtype=np.float64)


def classifier_of(model: str, seed: int) -> Any:
    """Return a classifier with its library's defaults, that uses one thread."""
    if model == "decision_tree":
        from sklearn.tree import DecisionTreeClassifier

        return DecisionTreeClassifier(random_state=seed)
    if model == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(random_state=seed, n_jobs=1)
    from xgboost import XGBClassifier

    return XGBClassifier(random_state=seed, n_jobs=1)


def _fit_tabnet(x: Any, labels: Any, x_test: Any, seed: int, epochs: int) -> tuple[NDArray[np.bool_], Floats]:
    import warnings

    from pytorch_tabnet.multitask import TabNetMultiTaskClassifier
    from pytorch_tabnet.tab_model import TabNetClassifier

    kind = TabNetMultiTaskClassifier if labels.ndim == 2 else TabNetClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its device and of the epochs that are asked for
        classifier = kind(seed=seed, device_name="cpu", verbose=0)
        classifier.fit(x, labels, drop_last=False, patience=100, max_epochs=epochs)
        given = classifier.predict(x_test)
    # several labels come as a list of texts, one label as an array of numbers
    columns = given if labels.ndim == 2 else [given]
    decided = np.column_stack([np.asarray(column).astype(float) > 0 for column in columns])
    return decided, np.asarray(classifier.feature_importances_, dtype=np.float64)
