"""Differences over several targets at once, whose cases are of the same patients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dallm.evaluation.scores import MACRO, POOLED
from dallm.evaluation.statistics.resampled import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dallm.evaluation.statistics.resampling import Draws


def drawn_differences(draws: Draws, who: tuple[str, str, str], metric: str) -> dict[str, NDArray[np.float64]]:
    """Return the resampled differences of one feature set and the baseline, by target."""
    name, baseline, model = who
    column = draws.metrics.index(metric)
    of_model = draws.rows[draws.rows["model"] == model]
    places = {
        side: dict(zip(part["target"], part.index, strict=True))
        for side, part in of_model.groupby("feature_set", sort=False)
    }
    first, second = places.get(name, {}), places.get(baseline, {})
    return {
        target: draws.values[first[target], column] - draws.values[second[target], column]
        for target in first
        if target in second
    }


def over_targets(
    spreads: Mapping[str, Spread], means: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]]
) -> dict[str, Spread]:
    """Return macro and pooled differences: variances of the targets, correlations of the bootstrap.

    A patient is a case of several targets, and the folds of two targets are not the same: the folds cannot
    tell how the differences of two targets go together; resampled patients can. For pooled decisions there
    are no fold values at all; their bootstrap variance is raised as much as that of the macro mean.
    """
    usable = [t for t, spread in spreads.items() if not math.isnan(spread.variance) and t in drawn]
    freedom = min((spreads[t].freedom for t in usable), default=math.nan)
    if not usable:
        reason = next((spread.reason for spread in spreads.values()), "no target")
        return {name: Spread(mean, math.nan, math.nan, reason) for name, mean in means.items()}
    stacked = np.stack([drawn[t] for t in usable])
    complete = stacked[:, ~np.isnan(stacked).any(axis=0)]
    deviation = complete.std(axis=1)
    safe = np.where(deviation > 0, deviation, 1.0)
    centred = (complete - complete.mean(axis=1, keepdims=True)) / safe[:, None]
    correlation = centred @ centred.T / max(1, complete.shape[1])
    np.fill_diagonal(correlation, 1.0)
    errors = np.sqrt([spreads[t].variance for t in usable])
    macro = max(0.0, float(errors @ correlation @ errors) / len(usable) ** 2)
    bootstrapped = float(np.nanvar(drawn[MACRO]))
    raised = macro / bootstrapped if bootstrapped > 0 else (math.nan if means[POOLED] else 1.0)
    pooled = float(np.nanvar(drawn[POOLED])) * raised
    reason = "" if not math.isnan(pooled) else "no spread among resamples"
    return {
        MACRO: Spread(means[MACRO], macro, freedom),
        POOLED: Spread(means[POOLED], pooled, freedom, reason),
    }
