"""Differences of feature sets on test cases that all fits share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dallm.evaluation.metrics import DECIDED
from dallm.evaluation.scores import MACRO, POOLED
from dallm.evaluation.statistics.delong import METHOD as DELONG
from dallm.evaluation.statistics.delong import clustered_delong
from dallm.evaluation.statistics.over_targets import drawn_differences
from dallm.evaluation.statistics.resampled import Spread
from dallm.evaluation.statistics.resampling import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dallm.evaluation.statistics.resampling import Draws

BOOTSTRAP = "cluster bootstrap"
"""Name of the method in tables."""

ONE_THRESHOLD = "interval of these fitted models only, their thresholds were drawn once"
"""Why metrics of decisions are not tested on a holdout. Thresholds come from a small inner part of the
training cases: of evaluations of noise, 36 of 100 had a p below .05 for the accuracy, 50 for the recall."""


def holdout_differences(
    predictions: pd.DataFrame,
    draws: Draws,
    groups: pd.Series | None,
    who: tuple[str, str, str],
    metric: str,
    targets: Sequence[str],
) -> Iterator[tuple[str, Spread, str]]:
    """Yield the comparisons on test cases that all fits share."""
    name, baseline, model = who
    places = draws.rows.reset_index().set_index(["feature_set", "model", "target"])["index"]
    drawn, column = drawn_differences(draws, who, metric), draws.metrics.index(metric)
    for target, values in drawn.items():
        if target in (MACRO, POOLED) and len(targets) < 2:
            continue
        if metric == "roc_auc" and target in targets:
            spread = _delong(predictions, groups, who, target)
            if spread is not None:
                yield target, spread, DELONG
                continue
        first, second = places[(name, model, target)], places[(baseline, model, target)]
        difference = float(draws.points[first, column] - draws.points[second, column])
        known = values[~np.isnan(values)]
        if math.isnan(difference) or len(known) < 2:
            yield target, Spread(difference, math.nan, math.nan, "not defined"), BOOTSTRAP
        elif np.ptp(known) == 0 and difference != 0:
            yield target, Spread(difference, math.nan, math.nan, "no spread among resamples"), BOOTSTRAP
        else:
            reason = ONE_THRESHOLD if metric in DECIDED else ""
            yield target, Spread(difference, float(known.var(ddof=1)), math.inf, reason), BOOTSTRAP


def _delong(
    predictions: pd.DataFrame, groups: pd.Series | None, who: tuple[str, str, str], target: str
) -> Spread | None:
    """Return the difference of two single fits, None where the fits were repeated."""
    name, baseline, model = who
    part = predictions[(predictions["model"] == model) & (predictions["target"] == target)]
    if part["repeat"].nunique() != 1:
        return None
    sides = [part[part["feature_set"] == side].set_index("row") for side in (name, baseline)]
    both = sides[0].index.intersection(sides[1].index)
    first, second = (side.loc[both] for side in sides)
    codes = both.to_numpy() if groups is None else numbered(groups)[both.to_numpy()]
    found = clustered_delong(first["truth"], first["probability"], second["probability"], codes)
    reason = "" if not math.isnan(found.variance) else "fewer than two patients of a class"
    freedom = math.nan if reason else math.inf
    return Spread(found.difference, found.variance, freedom, reason)
