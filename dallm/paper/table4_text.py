"""Figures of Table 4 as the texts of its cells."""

from __future__ import annotations

from typing import Any

import pandas as pd

NO_P = "definition not published"
COLUMNS = ("accuracy", "AUC", "precision", "F1", "recall", "p", "relevant", "ROC AUC")
METRIC_OF = {"accuracy": "accuracy", "AUC": "balanced_accuracy", "precision": "precision", "F1": "f1"} | {
    "recall": "recall",
    "ROC AUC": "roc_auc",
}
"""Metric of the leak-free figure in each column."""


def plain(measure: Any, value: Any) -> str:
    """Return a figure with as many digits as the paper prints."""
    return f"{value:.1f}".removesuffix(".0") if measure == "relevant" else f"{value:.4f}"


def measured_cell(mine: pd.DataFrame, column: str) -> str:
    """Return the mean over seeds and their standard deviation."""
    if column == "p":
        return NO_P
    if column not in mine.index:
        return ""
    cell = mine.loc[column]
    digits = 1 if column == "relevant" else 4
    return f"{cell['measured']:.{digits}f} ± {cell['sd']:.{digits}f}"


def paper_cell(mine: pd.DataFrame, figures: Any, column: str, same_data: bool) -> str:
    """Return the published figure; an asterisk where the seeds do not reach it on the same data."""
    if column not in figures.index:
        return ""
    if column == "p":
        return f"{figures[column]:.4f} ({NO_P})"
    outside = same_data and not mine.loc[column, "inside"]
    return plain(column, figures[column]) + (" *" if outside else "")


def leak_free_cell(own: pd.DataFrame, column: str) -> str:
    """Return the leak-free figure and its interval."""
    measure = METRIC_OF.get(column)
    cell = own[own["measure"] == measure]
    if cell.empty:
        return "not run" if own.empty and measure is not None else ""
    one = cell.iloc[0]
    return f"{one['value']:.4f} ({one['low']:.3f} to {one['high']:.3f})"
