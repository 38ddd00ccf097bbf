"""The table of an evaluation in the columns of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.fits import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

PAPER_METRICS = ("accuracy", "roc_auc", "precision", "f1", "recall")
"""What the paper's columns are made of; its AUC is something else, see :func:`paper_metrics`."""

TITLES = {
    "roc_auc": "AUC",
    "average_precision": "average precision",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "ece": "calibration error",
}
"""Names of metrics in tables, where they differ from the names in code."""

PUBLISHED_AUC = "AUC (balanced accuracy)"
"""Name of the column that the paper calls AUC, under the protocol that computes what was published."""


BY_CHANCE = "relevant_by_chance"
"""Column of the table: how many features would be relevant if none told anything."""

RELEVANT_HEAD = "relevant features (by chance)"
"""Head of the column that shows both numbers."""


def paper_metrics(as_published: bool) -> dict[str, str]:
    """Return the metric of each column of the paper.

    Examples
    --------
    >>> paper_metrics(False)["AUC"]
    'roc_auc'
    >>> list(paper_metrics(True))[1]
    'AUC (balanced accuracy)'
    """
    if not as_published:
        return {TITLES.get(name, name): name for name in PAPER_METRICS}
    return {
        "accuracy": "accuracy",
        PUBLISHED_AUC: "balanced_accuracy",
        "precision": "precision",
        "F1": "f1",
        "recall": "recall",
    }


def columns_of(metrics: Sequence[str] | None, as_published: bool) -> dict[str, str]:
    """Return the metric of each column of the table: the paper's, or those asked for.

    Raises
    ------
    UserError
        If there is no such metric.
    """
    if metrics is None:
        return paper_metrics(as_published)
    if isinstance(metrics, str):
        metrics = [metrics]
    return {TITLES.get(name, name): name for name in map(check_metric, metrics)}


def check_metric(name: str) -> str:
    """Return a metric's name if there is such a one.

    Raises
    ------
    UserError
        Otherwise, with the list.
    """
    if name not in METRICS:
        raise UserError(
            f"There is no metric {name!r}.{did_you_mean(name, METRICS)} Metrics: {', '.join(METRICS)}."
        )
    return name


def make_table(
    found: pd.DataFrame,
    columns: dict[str, str],
    target: str,
    p: pd.DataFrame,
    relevant: pd.DataFrame | None,
    order: Sequence[str],
) -> pd.DataFrame:
    """Return one row per feature set and model.

    Parameters
    ----------
    found : DataFrame
        Metrics with their intervals (:func:`dallm.evaluation.statistics.intervals`).
    columns : dict of str to str
        The metric of each column.
    target : str
    p : DataFrame
        Comparisons of one metric (:data:`dallm.evaluation.statistics.COMPARISONS`).
    relevant : DataFrame or None
        ``feature_set``, ``model``, ``target``, ``relevant``, ``by_chance``: how many features are relevant,
        and how many would be if none told anything.
    order : sequence of str
        Of the feature sets.
    """
    here = found[found["target"] == target].set_index(["feature_set", "model", "metric"])
    rows = []
    cells = cast("dict[tuple[str, str, str], Any]", here[["value", "low", "high"]].to_dict("index"))
    for name in [*order, NO_FEATURES]:
        models = dict.fromkeys(model for held, model, _ in cells if held == name)
        for model in models:
            row: dict[str, Any] = {"feature_set": name, "model": model}
            for title, metric in columns.items():
                cell = cells[(name, model, metric)]
                row |= {title: cell["value"], f"{title}_low": cell["low"], f"{title}_high": cell["high"]}
            row["p"] = _one(p, "p_adjusted", name, model, target)
            row["relevant"] = _one(relevant, "relevant", name, model, target)
            row[BY_CHANCE] = _one(relevant, "by_chance", name, model, target)
            rows.append(row)
    names = [f"{title}{end}" for title in columns for end in ("", "_low", "_high")]
    heads = ["feature_set", "model", *names, "p", "relevant", BY_CHANCE]
    table = pd.DataFrame(rows, columns=heads).set_index(["feature_set", "model"])
    return table.astype(dict.fromkeys([*names, "p", BY_CHANCE], float) | {"relevant": "Int64"})


def _one(frame: pd.DataFrame | None, column: str, name: str, model: str, target: str) -> Any:
    """Return the one value of a feature set, model and target; missing where there is none."""
    if frame is None or frame.empty:
        return np.nan
    here = (frame["feature_set"] == name) & (frame["model"] == model) & (frame["target"] == target)
    return frame.loc[here, column].iloc[0] if here.any() else np.nan


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as texts such as ``".812 (.790 to .834)"``, as it is printed.

    Examples
    --------
    >>> row = {"AUC": 0.8117, "AUC_low": 0.79, "AUC_high": 0.834, "p": 0.0004, "relevant": 3}
    >>> as_text(pd.DataFrame([row])).iloc[0].tolist()
    ['.812 (.790 to .834)', '< .001', '3']
    """
    made = {}
    for name in table.columns:
        if name.endswith(("_low", "_high")) or name == BY_CHANCE:
            continue
        if f"{name}_low" in table.columns:
            parts = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
            made[name] = [with_interval(*part) for part in parts]
        elif name == "p":
            made[name] = [p_text(value) for value in table[name]]
        else:
            chance = table[BY_CHANCE] if BY_CHANCE in table.columns else [np.nan] * len(table)
            made[name] = [relevant_text(*pair) for pair in zip(table[name], chance, strict=True)]
    return pd.DataFrame(made, index=table.index)


def relevant_text(count: float, by_chance: float) -> str:
    """Return how many features are relevant, and in parentheses how many would be by chance.

    Examples
    --------
    >>> relevant_text(12, 78 / 11), relevant_text(12, float("nan")), relevant_text(float("nan"), 1.0)
    ('12 (7.1)', '12', '')
    """
    if pd.isna(count):
        return ""
    return f"{count:g}" if pd.isna(by_chance) else f"{count:g} ({by_chance:.1f})"


def number(value: float, sign: bool = False) -> str:
    """Return a number to three decimals, without the zero before the point.

    Examples
    --------
    >>> number(0.81), number(-0.05, sign=True), number(float("nan"))
    ('.810', '-.050', '')
    """
    if pd.isna(value):
        return ""
    text = f"{value:+.3f}" if sign else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def with_interval(value: float, low: float, high: float, sign: bool = False) -> str:
    """Return a number and its interval."""
    if pd.isna(value):
        return "not defined"
    if pd.isna(low) or pd.isna(high):
        return number(value, sign)
    return f"{number(value, sign)} ({number(low, sign)} to {number(high, sign)})"


def p_text(value: float) -> str:
    """Return a p as tables print it.

    Examples
    --------
    >>> p_text(0.0304), p_text(1.0), p_text(float("nan"))
    ('.030', '1.000', '')
    """
    if pd.isna(value):
        return ""
    return "< .001" if value < 0.001 else number(value)
