"""Plots of importances: the layout of the paper's Figures 3 and 4 (importances) and 5 (ratings)."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.figures import blank_figure
from dallm.evaluation.importance.ratings import QUESTIONS
from dallm.evaluation.scores import MACRO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

_BLUE, _GREY, _RED = "#0072B2", "#BBBBBB", "#D55E00"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SHAPES = ("o", "s", "^", "D", "v", "P")
_LONGEST = 46  # characters of a feature's name


def plot_importances(
    summary: pd.DataFrame,
    *,
    feature_set: str,
    target: str | None = None,
    models: Sequence[str] | None = None,
    most: int | None = None,
) -> Figure:
    """Draw the features of one feature set and target, one panel per model, with intervals.

    Parameters
    ----------
    summary : DataFrame
        As :func:`dallm.evaluation.importance.summarise` returns it.
    feature_set : str
    target : str, optional
        The mean over targets without it, where there are several.
    models : sequence of str, optional
        All without it.
    most : int, optional
        Features to draw, those with the largest mean drop over models; all without it.

    Raises
    ------
    UserError
        If nothing was measured for them.
    """

    if target is None:
        known = list(dict.fromkeys(summary["target"]))
        target = MACRO if MACRO in known else known[0] if known else ""
    here = summary[(summary["feature_set"] == feature_set) & (summary["target"] == target)]
    if models is not None:
        here = here[here["model"].isin(list(models))]
    if here.empty:
        raise UserError(_nothing(summary, feature_set, target))
    drawn = list(dict.fromkeys(here["model"]))
    means = here.groupby("feature", sort=False)["drop"].mean().sort_values(ascending=False, kind="stable")
    features = list(means.index[:most])
    figure = blank_figure(3.4 + 2.6 * len(drawn), 1.6 + 0.19 * len(features))
    axes = figure.subplots(1, len(drawn), sharey=True, sharex=True, squeeze=False)[0]
    for axis, model in zip(axes, drawn, strict=True):
        _bars(axis, here[here["model"] == model].set_index("feature").reindex(features))
        axis.set_title(model, fontsize=10)
        axis.set_xlabel("drop of the ROC AUC", fontsize=9)
    axes[0].set_yticks(range(len(features)), [_short(name) for name in features], fontsize=7.5)
    axes[0].set_ylim(len(features) - 0.4, -0.6)
    left = f", {len(features)} of {len(means)} features" if len(features) < len(means) else ""
    words = "mean over targets" if target == MACRO else target
    figure.suptitle(f"{feature_set}: {words}{left}", fontsize=11)
    _legend(figure)
    return figure


def _nothing(summary: pd.DataFrame, feature_set: str, target: str) -> str:
    """Return which of the two names is not there, and those that are."""
    if summary.empty:
        return "No importances were measured; importances=True asks for them."
    for what, name, column in (("feature set", feature_set, "feature_set"), ("target", target, "target")):
        known = list(dict.fromkeys(summary[column]))
        if name not in known:
            return (
                f"No importances of {what} {name!r} were measured.{did_you_mean(name, known)} There are "
                f"those of {', '.join(map(repr, known))}."
            )
    return f"No importances of these models were measured for {feature_set!r} and {target!r}."


def _bars(axis: Any, part: pd.DataFrame) -> None:
    drop = part["drop"].to_numpy(dtype=float)
    reach = np.abs(part[["low", "high"]].to_numpy(dtype=float).T - drop)
    relevant = part["relevant"].fillna(False).to_numpy(dtype=bool)
    axis.barh(
        np.arange(len(part)),
        drop,
        xerr=np.nan_to_num(reach),
        height=0.72,
        color=[_BLUE if yes else _GREY for yes in relevant],
        error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
    )
    noise = part["noise"].dropna()
    if len(noise):
        axis.axvline(float(noise.iloc[0]), color=_RED, linewidth=1, linestyle="--")
    axis.axvline(0, color="#444444", linewidth=0.8)
    axis.locator_params(axis="x", nbins=4)
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=_BLUE, label="above the noise"),
        Patch(color=_GREY, label="not above"),
        Line2D([], [], color=_RED, linestyle="--", label="noise"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)


def plot_ratings(correlations: pd.DataFrame, notes: Sequence[str] = ()) -> Figure:
    """Draw the correlations with ratings: a panel per question and target, models below each other.

    Parameters
    ----------
    correlations : DataFrame
        Columns :data:`dallm.evaluation.importance.ratings.CORRELATIONS`, of one feature set.
    notes : sequence of str
        What stands small below the panels, for example which names had no column.

    Raises
    ------
    UserError
        If there is none, or they are of several feature sets.
    """
    if correlations["feature_set"].nunique() != 1:
        raise UserError(
            f"Correlations of {correlations['feature_set'].nunique()} feature sets; choose one of them, for "
            'example with correlations[correlations["feature_set"] == name].'
        )
    models, targets, raters = (list(dict.fromkeys(correlations[c])) for c in ("model", "target", "rater"))
    size = (2.4 + 2.7 * len(targets), 1.4 + len(QUESTIONS) * (0.6 + 0.3 * len(models)))
    figure = blank_figure(*size)
    axes = figure.subplots(len(QUESTIONS), len(targets), sharex=True, sharey=True, squeeze=False)
    for line, question in zip(axes, QUESTIONS, strict=True):
        for axis, target in zip(line, targets, strict=True):
            here = correlations[(correlations["question"] == question) & (correlations["target"] == target)]
            _points(axis, here, models, raters)
            axis.set_title(f"{'mean over targets' if target == MACRO else target}: {question}", fontsize=9)
    axes[0][0].set_yticks(range(len(models)), models)
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
    axes[0][0].set_ylim(len(models) - 0.5, -0.5)
    axes[0][0].set_xlim(-1.05, 1.05)
    for axis in axes[-1]:
        axis.set_xlabel("Pearson's r", fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(1, len(labels)), frameon=False)
    if notes:
        wide = int(size[0] * 16)  # characters of this size on the width
        figure.supxlabel("\n".join(line for note in notes for line in wrap(note, wide)), fontsize=7)
    return figure


def _points(axis: Any, here: pd.DataFrame, models: list[str], raters: list[str]) -> None:
    for i, rater in enumerate(raters):
        part = here[here["rater"] == rater]
        shift = 0.2 * (i - (len(raters) - 1) / 2)
        places = [models.index(name) + shift for name in part["model"]]
        reach = np.abs(part[["low", "high"]].to_numpy(dtype=float).T - part["r"].to_numpy(dtype=float))
        axis.errorbar(
            part["r"].to_numpy(dtype=float),
            places,
            xerr=np.nan_to_num(reach),
            fmt=_SHAPES[i % len(_SHAPES)],
            color=_COLOURS[i % len(_COLOURS)],
            markersize=5,
            elinewidth=1,
            label=f"rater {rater}",
        )
    axis.axvline(0, color="#888888", linewidth=0.8)
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    axis.set_axisbelow(True)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
