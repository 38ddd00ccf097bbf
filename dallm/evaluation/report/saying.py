"""What a report says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dallm.case_ids import count
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.report.paper_table import as_text as table_as_text
from dallm.evaluation.statistics import verdict

if TYPE_CHECKING:
    import pandas as pd

    from dallm.evaluation.report.evaluation_report import EvaluationReport

_NAMED = 5  # columns that a sentence names


def sentences(report: EvaluationReport) -> list[str]:
    """Return the verdict: differences, controls, then what speaks against believing them."""
    controls: dict[str, pd.DataFrame | str] = {}
    for name, reason in report.controls.items():
        controls[name] = reason.rstrip(".") if reason else report.comparisons(name)
    lines = verdict(report.comparisons(), controls, metric=report.metric)
    return [*lines, *_of_leakage(report), *_of_accuracy(report), *_of_groups(report)]


def _of_leakage(report: EvaluationReport) -> list[str]:
    found = report.leakage()
    lines = []
    for severity, words in (
        ("refuse", "Leakage: {0} {1} a target or a case of the test side ({2}). Gains may come from that."),
        ("suspect", "To be looked at: {0} {1} suspect ({2}); see leakage()."),
    ):
        columns = [str(name) for name in dict.fromkeys(found.loc[found["severity"] == severity, "column"])]
        if columns:
            verb = {"refuse": ("gives away", "give away"), "suspect": ("is", "are")}[severity]
            named = ", ".join(repr(name) for name in columns[:_NAMED])
            more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
            lines.append(
                words.format(count(len(columns), "column"), verb[len(columns) > 1], f"{named}{more}")
            )
    return lines


def _of_accuracy(report: EvaluationReport) -> list[str]:
    """Return how many rows of the table are no more accurate than always saying no."""
    scores = report.scores
    here = scores[(scores["metric"] == "accuracy") & (scores["target"] == report.target)]
    means = here.groupby(["feature_set", "model"], sort=False)["value"].mean()
    never = means.get((NO_FEATURES, "always_no"))
    rows = means[means.index.get_level_values("feature_set") != NO_FEATURES]
    if never is None or not len(rows):
        return []
    below = int((rows <= never + 1e-12).sum())
    if not below:
        return []
    return [
        f"Always saying no has an accuracy of {never:.3f}; {below} of the {count(len(rows), 'row')} of the "
        "table do not exceed it. Accuracy tells little here."
    ]


def _of_groups(report: EvaluationReport) -> list[str]:
    if report.groups is not None:
        return []
    return [
        "No patients were named: if any has several cases, they stood on both sides of a split, and the "
        "figures are too good and too sure."
    ]


def of_importances(importance: pd.DataFrame | None) -> str:
    """Return how importances were measured."""
    from dallm.evaluation.importance.permutation import NOISE

    if importance is None:
        return "Importances were not measured; importances=True asks for them."
    names = importance["feature"]
    noise = names[names.str.startswith(NOISE)].nunique()
    return (
        "Mean drop of the ROC AUC of held-out folds when a column is permuted, with an interval over folds. "
        f"Relevant: above the highest of {count(noise, 'column')} of noise appended before fitting (a column "
        f"that tells nothing is so once in {noise + 1}). Published: above the first of them, the rule of the "
        f"paper's code. {_of_shap(importance)}"
    )


def _of_shap(importance: pd.DataFrame) -> str:
    from dallm.evaluation.importance.shap_values import NOT_INSTALLED, shap_is_installed

    told = set(importance.loc[importance["shap"].notna(), "model"]) if "shap" in importance else set()
    models = list(dict.fromkeys(importance["model"]))
    without = [name for name in models if name not in told]
    if len(without) == len(models):
        reason = "exact ones exist for trees and linear models, and where shap was installed for the run."
        return f"SHAP values were not computed: {reason}" if shap_is_installed() else NOT_INSTALLED
    but = f", but for {', '.join(without)}, which have no exact ones" if without else ""
    return f"Mean absolute SHAP values stand beside them{but}."


def as_text(report: EvaluationReport) -> str:
    """Return the verdict and the table, as printed."""
    shown = table_as_text(report.table()).reset_index()
    shown.columns = [name.replace("_", " ") for name in shown.columns]
    cells = [list(shown.columns), *shown.astype(str).to_numpy().tolist()]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    head = f"{report.settings.get('protocol', 'evaluation')}; {report.target}; 95 % intervals"
    notes = [f"Note: {note}" for note in report.notes]
    return "\n".join([*report.verdict(), "", head, *lines, *([""] if notes else []), *notes])
