"""What can be predicted without a feature: always no, a guess at the rate, the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dallm.evaluation.operating import Criterion, choose_threshold
from dallm.evaluation.predictions import Predicted, predictions_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dallm.evaluation.fits import Split

BASELINES = ("always_no", "prevalence", "mean")
"""Models of the feature set :data:`NO_FEATURES`."""

NO_FEATURES = "none"
"""Name of the feature set of baselines in tables."""


def baseline_predictions(
    targets: pd.DataFrame,
    splits: Sequence[Split],
    *,
    seed: int = 0,
    operating_point: Criterion = "f1",
) -> pd.DataFrame:
    """Return what the baselines predict for the test cases of each split.

    - ``always_no``: probability 0, decision no. Its accuracy is the share of the commoner class where
      findings are rare, and what a model's accuracy has to be held against.
    - ``prevalence``: the rate of the training cases as probability; yes is said at random at that rate.
    - ``mean``: the same probability; decided at the operating point that the models use. With F1 it says
      yes to all, which is the F1 that a model has to beat.

    Parameters
    ----------
    targets : DataFrame
        pandas ``boolean``, shape (cases, targets): those of :class:`.fits.Inputs`.
    splits : sequence of Split
    seed : int
        Of the guesses, which depend on nothing else but target, repeat and fold.
    operating_point : {"f1", "youden", "accuracy"} or float

    Returns
    -------
    DataFrame
        Columns :data:`.fits.PREDICTIONS`.

    Examples
    --------
    >>> from dallm.evaluation.fits import Split
    >>> targets = pd.DataFrame({"finding": pd.array([True, False, False, True], dtype="boolean")})
    >>> split = Split("finding", 0, 0, np.array([0, 1, 2]), np.array([3]))
    >>> baseline_predictions(targets, [split])[["model", "truth", "probability", "decision"]]
            model  truth  probability  decision
    0   always_no   True     0.000000     False
    1  prevalence   True     0.333333     False
    2        mean   True     0.333333      True
    """
    names = list(targets.columns)
    truths = {name: targets[name].fillna(False).to_numpy(dtype=bool) for name in names}
    parts: list[Predicted] = []
    for split in splits:
        truth = truths[split.target]
        trained = truth[split.train]
        rate = float(trained.mean()) if len(split.train) else 0.0
        key = (seed, names.index(split.target), split.repeat, split.fold)
        guesses = np.random.default_rng(key).random(len(split.test)) < rate
        threshold = choose_threshold(trained, np.full(len(trained), rate), operating_point)
        said: dict[str, tuple[float, bool | NDArray[np.bool_]]] = {
            "always_no": (0.0, False),
            "prevalence": (rate, guesses),
            "mean": (rate, rate >= threshold),
        }
        parts += [Predicted(NO_FEATURES, model, split, *given) for model, given in said.items()]
    return predictions_of(parts, truths)
