"""Differences of feature sets: which test applies, with which interval, adjusted by Holm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.fits import METRICS
from dallm.evaluation.scores import MACRO, POOLED, WHOLE_REPEAT, score_predictions
from dallm.evaluation.statistics import resampled
from dallm.evaluation.statistics.holdout import holdout_differences
from dallm.evaluation.statistics.holm import holm
from dallm.evaluation.statistics.over_targets import drawn_differences, over_targets
from dallm.evaluation.statistics.resampling import Draws, draw, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dallm.evaluation.fits import Split

COMPARISONS = (
    "feature_set",
    "baseline",
    "model",
    "target",
    "metric",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "method",
)
"""Columns of the comparisons."""

OVER_TARGETS = f"{resampled.METHOD}, over targets"
RESAMPLES = 400  # enough for a standard deviation or a correlation to a twentieth


def comparisons(
    predictions: pd.DataFrame,
    splits: Sequence[Split],
    groups: pd.Series | None,
    *,
    baseline: str,
    metrics: Sequence[str] = METRICS,
    feature_sets: Sequence[str] | None = None,
    scores: pd.DataFrame | None = None,
    draws: Draws | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return how each feature set differs from one of them, per model, target and metric.

    With several folds a repeat, the corrected resampled t-test (:func:`.resampled.corrected_spread`); over
    targets (``macro``, ``pooled``; only with two targets or more) its variances per target are put together
    with the correlations that a bootstrap of the patients gives. With one fold a repeat (a holdout), the
    clustered DeLong test for the ROC AUC of a single fit, and a bootstrap of the patients for all else;
    metrics of decisions get an interval but no p there: the threshold was drawn once, as no resample shows.

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`; baselines without features are passed over.
    splits : sequence of Split
        Those that the predictions were made on.
    groups : Series or None
        The patient of each case; without it each case is a patient of its own.
    baseline : str
        The feature set that the others are held against.
    metrics : sequence of str
    feature_sets : sequence of str or None
        Those to compare; all others than the baseline if None. They make up the family of Holm's
        adjustment, with their models and targets, within one metric.
    scores, draws
        Of the same predictions, where they are there already (:func:`.scores.score_predictions`,
        :func:`.resampling.draw`, with these metrics).
    seed : int
        Of the bootstrap.
    level : float
        Of the intervals, which are not adjusted for their number.

    Returns
    -------
    DataFrame
        Columns :data:`COMPARISONS`. `difference` is feature set minus baseline, also where smaller is better.
        `p` is NaN where it cannot be computed; `method` then says why, and it is not counted in the family.

    Raises
    ------
    UserError
        If the baseline or a feature set has no predictions.

    Examples
    --------
    >>> from dallm.evaluation.fits import Split
    >>> rng, rows = np.random.default_rng(0), np.arange(40)
    >>> truth, fold = rng.random(40) < 0.5, rows % 2
    >>> splits = [Split("finding", 0, k, rows[fold != k], rows[fold == k]) for k in (0, 1)]
    >>> frame = pd.concat([
    ...     pd.DataFrame({"feature_set": name, "model": "tree", "target": "finding", "repeat": 0,
    ...                   "fold": fold, "row": rows, "truth": truth, "probability": share,
    ...                   "decision": share > 0.5})
    ...     for name, share in (("few", rng.random(40)), ("many", (truth + rng.random(40)) / 2))])
    >>> found = comparisons(frame, splits, None, baseline="few", metrics=["roc_auc"])
    >>> found[["feature_set", "baseline", "metric", "method"]].iloc[0].tolist()
    ['many', 'few', 'roc_auc', 'not tested: one repeat of two folds only']
    """
    used = predictions[predictions["feature_set"] != NO_FEATURES]
    wanted = _wanted(used, baseline, feature_sets)
    used = used[used["feature_set"].isin([baseline, *wanted])]
    if scores is None:
        scores = score_predictions(used, metrics)
    targets = used["target"].unique().tolist()
    one_fold = all(split.fold == 0 for split in splits)
    if draws is None and (one_fold or len(targets) > 1):
        draws = draw(used, groups, metrics=metrics, resamples=RESAMPLES, seed=seed)
    shares, patients = _test_shares(splits), _patients(used, groups)
    rows: list[dict[str, object]] = []
    for name in wanted:
        for model in used.loc[used["feature_set"] == name, "model"].unique():
            folds = _fold_differences(scores, name, baseline, model)
            for metric in metrics:
                found = (
                    holdout_differences(used, draws, groups, (name, baseline, model), metric, targets)
                    if one_fold and draws is not None
                    else _cross_validated(
                        folds, draws, (name, baseline, model), metric, targets, shares, patients
                    )
                )
                for target, spread, method in found:
                    rows.append(_row((name, baseline, model), target, metric, spread, method, level))
    frame = pd.DataFrame(rows, columns=list(COMPARISONS))
    for _, part in frame.groupby("metric", sort=False):
        frame.loc[part.index, "p_adjusted"] = holm(part["p"].to_numpy(dtype=float))
    return frame


def _wanted(predictions: pd.DataFrame, baseline: str, feature_sets: Sequence[str] | None) -> list[str]:
    """Return the feature sets to compare, all of which have predictions."""
    there = predictions["feature_set"].unique().tolist()
    wanted = [name for name in there if name != baseline] if feature_sets is None else list(feature_sets)
    for name in (baseline, *wanted):
        if name not in there:
            raise UserError(f"Feature set {name!r} has no predictions to compare; there are {there}.")
    return wanted


def _test_shares(splits: Sequence[Split]) -> dict[str, float]:
    """Return the mean share of the test cases, by target."""
    shares: dict[str, list[float]] = {}
    for split in splits:
        whole = len(split.test) + len(split.train)
        shares.setdefault(split.target, []).append(len(split.test) / whole)
    return {target: float(np.mean(values)) for target, values in shares.items()}


def _patients(predictions: pd.DataFrame, groups: pd.Series | None) -> dict[str, int]:
    """Return how many patients have a case of the rarer class, by target."""
    cases = predictions[["target", "row", "truth"]].drop_duplicates()
    codes = None if groups is None else numbered(groups)
    found: dict[str, int] = {}
    for target, part in cases.groupby("target", sort=False, observed=True):
        whose = part["row"].to_numpy() if codes is None else codes[part["row"].to_numpy()]
        truth = part["truth"].to_numpy(dtype=bool)
        found[str(target)] = min(len(np.unique(whose[truth])), len(np.unique(whose[~truth])))
    return found


def _fold_differences(scores: pd.DataFrame, name: str, baseline: str, model: str) -> pd.Series:
    """Return the differences, by metric, target, repeat and fold; NaN where only one set has a score."""
    keys = ["metric", "target", "repeat", "fold"]
    of_model = scores[scores["model"] == model]
    first = of_model[of_model["feature_set"] == name].set_index(keys)["value"]
    second = of_model[of_model["feature_set"] == baseline].set_index(keys)["value"]
    return first - second


def _cross_validated(
    folds: pd.Series,
    draws: Draws | None,
    who: tuple[str, str, str],
    metric: str,
    targets: list[str],
    shares: dict[str, float],
    patients: dict[str, int],
) -> Iterator[tuple[str, resampled.Spread, str]]:
    """Yield the comparisons per target, then over targets."""
    of_metric = folds.loc[metric] if metric in folds.index.get_level_values(0) else folds.iloc[:0]
    spreads: dict[str, resampled.Spread] = {}
    known = set(of_metric.index.get_level_values("target"))
    for target in targets:
        if target in known:
            table = of_metric.loc[target].unstack("fold").to_numpy(dtype=float)
            spreads[target] = resampled.corrected_spread(table, shares[target], patients[target])
            yield target, spreads[target], resampled.METHOD
    if draws is None or len(targets) < 2:
        return
    means = {
        name: float(of_metric.loc[name].xs(WHOLE_REPEAT, level="fold").mean())
        for name in (MACRO, POOLED)
        if name in known
    }
    if len(means) == 2:
        for name, spread in over_targets(spreads, means, drawn_differences(draws, who, metric)).items():
            yield name, spread, OVER_TARGETS


def _row(
    who: tuple[str, str, str],
    target: str,
    metric: str,
    spread: resampled.Spread,
    method: str,
    level: float,
) -> dict[str, object]:
    """Return one row of the comparisons; Holm's adjustment is made when all are there."""
    # every metric lies between 0 and 1, so no difference is larger than 1
    low, high = np.clip(resampled.limits(spread, level), -1.0, 1.0).tolist()
    return {
        "feature_set": who[0],
        "baseline": who[1],
        "model": who[2],
        "target": target,
        "metric": metric,
        "difference": spread.difference,
        "low": low,
        "high": high,
        "p": math.nan if spread.reason else resampled.two_sided(spread),
        "p_adjusted": math.nan,
        "method": f"not tested: {spread.reason}" if spread.reason else method,
    }
