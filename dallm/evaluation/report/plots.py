"""Plots of a report: gains with intervals, and probabilities beside rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.evaluation.figures import blank_figure
from dallm.evaluation.report.paper_table import TITLES
from dallm.evaluation.scores import MACRO, POOLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

# the colours of Okabe and Ito, which colour-blind readers can tell apart; shapes and dashes for grey print
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SHAPES = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
GREY = "#666666"
_WORDS = {MACRO: "mean over targets", POOLED: "all decisions together"}


def plot_gains(comparisons: pd.DataFrame, metric: str, alpha: float = 0.05) -> Figure:
    """Draw the differences of one metric with their intervals, one panel per feature set.

    Filled marks differ with an adjusted p below `alpha`, open ones do not.

    Parameters
    ----------
    comparisons : DataFrame
        Columns :data:`dallm.evaluation.statistics.COMPARISONS`.
    metric : str
    alpha : float
    """
    found = comparisons[(comparisons["metric"] == metric) & comparisons["difference"].notna()]
    pairs = list(dict.fromkeys(zip(found["feature_set"], found["baseline"], strict=True)))
    targets = list(dict.fromkeys(found["target"]))
    targets = [t for t in (MACRO, POOLED) if t in targets] + [t for t in targets if t not in (MACRO, POOLED)]
    models = list(dict.fromkeys(found["model"]))
    rows = [(target, model) for target in targets for model in models]
    figure, axes = _panels(max(1, len(pairs)), height=1.3 + 0.24 * len(rows) + 0.12 * len(targets))
    places = {key: i + 0.6 * targets.index(key[0]) for i, key in enumerate(rows)}
    for axis, (name, baseline) in zip(axes, pairs, strict=False):
        part = found[(found["feature_set"] == name) & (found["baseline"] == baseline)]
        for row in part.to_dict("records"):
            style = models.index(row["model"])
            colour = COLOURS[style % len(COLOURS)]
            place = places[(row["target"], row["model"])]
            axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
            sure = row["p_adjusted"] < alpha
            axis.plot(
                row["difference"],
                place,
                marker=SHAPES[style % len(SHAPES)],
                markersize=6,
                color=colour,
                markerfacecolor=colour if sure else "white",
            )
        axis.axvline(0, color=GREY, linewidth=1)
        axis.set_title(f"{name} minus {baseline}", fontsize=10)
        axis.set_xlabel(f"difference in {TITLES.get(metric, metric)}")
        _plain(axis)
    ticks = [places[key] for key in rows]
    axes[0].set_yticks(ticks, [f"{_WORDS.get(t, t)}, {m}" for t, m in rows], fontsize=8)
    axes[0].set_ylim(max(ticks, default=0) + 0.7, -0.7)
    return figure


def plot_reliability(calibration: pd.DataFrame, feature_sets: Sequence[str]) -> Figure:
    """Draw the rate of positives over the mean probability, one panel per model.

    Parameters
    ----------
    calibration : DataFrame
        ``feature_set, model, probability, rate``, of one target.
    feature_sets : sequence of str
        Those to draw, in the order of their colours.
    """
    models = list(dict.fromkeys(calibration["model"]))
    figure, axes = _panels(max(1, len(models)), height=3.4, width=3.2)
    for axis, model in zip(axes, models, strict=False):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        for i, name in enumerate(feature_sets):
            part = calibration[(calibration["model"] == model) & (calibration["feature_set"] == name)]
            axis.plot(
                part["probability"],
                part["rate"],
                color=COLOURS[i % len(COLOURS)],
                marker=SHAPES[i % len(SHAPES)],
                linestyle=DASHES[i % len(DASHES)],
                markersize=4,
                linewidth=1.4,
                label=name,
            )
        axis.set_title(str(model), fontsize=10)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("mean probability")
        _plain(axis)
    axes[0].set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("rate of positives")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)
    return figure


def _panels(count: int, *, height: float, width: float = 4.2) -> tuple[Figure, Any]:
    """Return a figure of panels side by side, which share the vertical axis."""
    figure = blank_figure(max(6.0, 2.2 + width * count), height)
    return figure, figure.subplots(1, count, sharey=True, squeeze=False)[0]


def _plain(axis: Any) -> None:
    axis.grid(axis="x", color="#dddddd", linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def calibration_frame(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the reliability curve of each feature set, model and target, and of all decisions together.

    Returns
    -------
    DataFrame
        ``feature_set, model, target, probability, rate, cases``: predictions of all repeats in bins of
        equal mass; `cases` is their number divided by that of the repeats.
    """
    import pandas as pd

    from dallm.evaluation.calibration import reliability_curve
    from dallm.evaluation.predictions import grouped

    parts = []
    repeats = max(1, predictions["repeat"].nunique())
    keys = ["feature_set", "model"]
    for with_target in (True, False):
        by = [*keys, "target"] if with_target else keys
        for key, where in grouped(predictions, by).items():
            part = predictions.iloc[where]
            curve = reliability_curve(part["truth"].to_numpy(dtype=float), part["probability"].to_numpy())
            curve["cases"] = np.round(curve["cases"] / repeats).astype("int64")
            target = key[2] if with_target else POOLED
            for place, (name, value) in enumerate(zip([*keys, "target"], (*key[:2], target), strict=True)):
                curve.insert(place, name, str(value))
            parts.append(curve)
    return pd.concat(parts, ignore_index=True)
