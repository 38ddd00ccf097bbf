"""What the importances of single fits say of a feature: mean drop, interval, above the noise or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.evaluation.importance.permutation import NOISE
from dallm.evaluation.scores import MACRO, POOLED
from dallm.evaluation.statistics import corrected_spread, limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dallm.evaluation.fits import Split

COLUMNS = (
    "feature_set",
    "model",
    "target",
    "feature",
    "drop",
    "low",
    "high",
    "noise",
    "relevant",
    "sure",
    "published_rule",
    "folds",
    "shap",
)
"""Columns of the summary."""

_GROUP = ["feature_set", "model", "target"]


def summarise(
    importance: pd.DataFrame, splits: Sequence[Split], *, quantile: float = 1.0, level: float = 0.95
) -> pd.DataFrame:
    """Return one row per feature set, model, target and feature.

    Parameters
    ----------
    importance : DataFrame
        Long: ``feature_set, model, target, repeat, fold, feature, drop``, perhaps ``shap``; the columns of
        noise among the features.
    splits : sequence of Split
        Those it was measured on.
    quantile : float, default=1.0
        Of the mean drops of the noise columns: a feature above it is relevant. 1 is the highest of them.
    level : float
        Of the interval over folds.

    Returns
    -------
    DataFrame
        Columns :data:`COLUMNS`, features by falling drop. `drop` is the mean over folds, with an interval
        that allows for what folds share: they count as folds of one repeat, as two or three repeats tell too
        little of how much repeats differ (:func:`dallm.evaluation.statistics.corrected_spread`). `noise` is
        the drop that had to be exceeded, `relevant` whether it was, `sure` whether the interval lies above
        0, too; `published_rule` whether the mean exceeds that of the first column of noise, the rule of the
        paper's code. With several targets ``macro`` is the mean over them; its interval is as wide as the
        mean of theirs, which holds however their folds go together.

    Raises
    ------
    UserError
        If `quantile` is none, or there is no column of noise.
    """
    if not 0 <= quantile <= 1:
        raise UserError(f"quantile={quantile!r}: give a number from 0 to 1; 1 is the highest noise column.")
    shares = _test_shares(splits)
    parts = [
        _of_group((*map(str, key),), part, shares[str(key[2])], quantile, level)
        for key, part in importance.groupby(_GROUP, sort=False)
    ]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    found = pd.concat(parts, ignore_index=True)
    if importance["target"].nunique() > 1:
        found = pd.concat([found, _over_targets(importance, found, quantile)], ignore_index=True)
    return found


def relevant_counts(
    summary: pd.DataFrame, rule: str = "relevant", *, noise: int | None = None
) -> pd.DataFrame:
    """Return how many features are relevant, per feature set, model and target.

    Parameters
    ----------
    summary : DataFrame
        As :func:`summarise` returns it, of the highest of the columns of noise.
    rule : {"relevant", "sure", "published_rule"}
    noise : int, optional
        How many columns of noise there were (:func:`noise_columns`), for the number expected by chance.

    Returns
    -------
    DataFrame
        ``feature_set, model, target, relevant``; for ``pooled`` the same as for ``macro``. With `noise` also
        ``by_chance``: how many would be relevant if none told anything. A column that tells nothing is above
        the highest of k columns of noise once in k + 1, above one of them (``published_rule``) once in two;
        fewer are, where a model leaves columns unused, whose drop is 0 like that of unused noise. NaN for
        ``sure``.
    """
    counts = summary.groupby(_GROUP, sort=False)[rule].agg(["sum", "size"]).reset_index()
    counted = counts[_GROUP].assign(relevant=counts["sum"].astype(int))
    if noise is not None:
        share = {"relevant": 1 / (noise + 1), "published_rule": 0.5}.get(rule, np.nan)
        counted["by_chance"] = counts["size"] * share
    pooled = counted[counted["target"] == MACRO].assign(target=POOLED)
    return pd.concat([counted, pooled], ignore_index=True)


def noise_columns(importance: pd.DataFrame) -> int:
    """Return how many columns of noise were measured beside the features."""
    names = importance["feature"].drop_duplicates()
    return int(names.str.startswith(NOISE).sum())


def _of_group(
    key: tuple[str, ...], part: pd.DataFrame, share: float, quantile: float, level: float
) -> pd.DataFrame:
    """Return the features of one model on one feature set and target."""
    noisy = part["feature"].str.startswith(NOISE)
    if not noisy.any():
        raise UserError(
            f"The importances of {key[1]} on {key[0]!r} hold no column of noise; measure them with "
            "PermutationImportance(noise=5)."
        )
    means = part.groupby("feature", sort=False)["drop"].mean()
    noise = means[means.index.str.startswith(NOISE)]
    bar, first = float(noise.quantile(quantile)), float(noise.iloc[0])
    rows = []
    told = part[~noisy]
    codes, features = pd.factorize(told["feature"])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(features)))[:-1]
    by_feature = np.split(told["drop"].to_numpy(dtype=float)[order], ends)
    shaps = told.groupby("feature", sort=False)["shap"].mean() if "shap" in told else pd.Series(dtype=float)
    for feature, folds in zip(features, by_feature, strict=True):
        spread = corrected_spread(folds[None, :], share)
        low, high = limits(spread, level)
        mean = spread.difference
        marks = (mean > bar, mean > bar and low > 0, mean > first)
        rows.append((*key, feature, mean, low, high, bar, *marks, len(folds), shaps.get(feature, np.nan)))
    made = pd.DataFrame(rows, columns=list(COLUMNS))
    return made.sort_values("drop", ascending=False, kind="stable", ignore_index=True)


def _over_targets(importance: pd.DataFrame, per_target: pd.DataFrame, quantile: float) -> pd.DataFrame:
    """Return the mean over targets, of features and of noise."""
    models, features = ["feature_set", "model"], ["feature_set", "model", "feature"]
    single = importance.groupby([*models, "target", "feature"], sort=False)["drop"].mean()
    drops = single.groupby(features, sort=False).mean().reset_index()
    noise = drops[drops["feature"].str.startswith(NOISE)].groupby(models, sort=False)["drop"]
    bars = pd.DataFrame({"noise": noise.quantile(quantile), "_first": noise.first()}).reset_index()
    means = per_target.groupby(features, sort=False)[["drop", "low", "high", "shap"]].mean()
    means["folds"] = per_target.groupby(features, sort=False)["folds"].sum()
    found = means.reset_index().merge(bars, on=models, how="left", sort=False).assign(target=MACRO)
    found["relevant"] = found["drop"] > found["noise"]
    found["sure"] = found["relevant"] & (found["low"] > 0)
    found["published_rule"] = found["drop"] > found["_first"]
    ordered = [
        part.sort_values("drop", ascending=False, kind="stable")
        for _, part in found.groupby(models, sort=False)
    ]
    return pd.concat(ordered, ignore_index=True)[list(COLUMNS)]


def _test_shares(splits: Sequence[Split]) -> dict[str, float]:
    shares: dict[str, list[float]] = {}
    for split in splits:
        shares.setdefault(split.target, []).append(len(split.test) / (len(split.test) + len(split.train)))
    return {target: float(np.mean(values)) for target, values in shares.items()}
