"""What a report says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dallm.case_ids import count
from dallm.evaluation.report.decided import decided, of_accuracy
from dallm.evaluation.report.paper_table import RELEVANT_HEAD, TITLES
from dallm.evaluation.report.paper_table import as_text as table_as_text
from dallm.evaluation.report.silent_said import of_silent
from dallm.evaluation.scores import MACRO, POOLED
from dallm.evaluation.statistics import verdict

if TYPE_CHECKING:
    import pandas as pd

    from dallm.evaluation.report.evaluation_report import EvaluationReport

_NAMED = 5  # columns that a sentence names
_OF_ROWS = {
    "shared row": "some cases stand on both sides of a split, which makes figures too good",
    "shared patient": "some patients stand on both sides of a split, which makes figures too good",
    "duplicate rows": "some cases agree in every column with a case of another patient",
}
"""Kinds of findings that are of no column."""


def sentences(report: EvaluationReport) -> list[str]:
    """Return the verdict: differences, controls, then what speaks against believing them."""
    controls: dict[str, pd.DataFrame | str] = {}
    for name, reason in report.controls.items():
        controls[name] = reason.rstrip(".") if reason else report.comparisons(name)
    lines = verdict(report.comparisons(), controls, metric=report.metric)
    return [
        *lines,
        *of_silent(report.silent_reports(), report.baseline),
        *_of_leakage(report),
        *of_accuracy(report),
        *_of_groups(report),
    ]


def _of_leakage(report: EvaluationReport) -> list[str]:
    found = report.leakage()
    by_row = found["kind"].isin(list(_OF_ROWS))
    lines = []
    for severity, words in (
        ("refuse", "Leakage: {0} {1} a target ({2}). Gains may come from that."),
        ("suspect", "To be looked at: {0} {1} suspect ({2}); see leakage()."),
    ):
        here = found["severity"] == severity
        columns = [str(name) for name in dict.fromkeys(found.loc[here & ~by_row, "column"])]
        if columns:
            verb = {"refuse": ("gives away", "give away"), "suspect": ("is", "are")}[severity]
            named = ", ".join(repr(name) for name in columns[:_NAMED])
            more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
            lines.append(
                words.format(count(len(columns), "column"), verb[len(columns) > 1], f"{named}{more}")
            )
        for kind in dict.fromkeys(found.loc[here & by_row, "kind"]):
            lines.append(f"{words.partition(':')[0]}: {_OF_ROWS[kind]}; see leakage().")
    return lines


def _of_groups(report: EvaluationReport) -> list[str]:
    if report.groups is not None:
        return []
    return [
        "No patients were named: if any has several cases, they stood on both sides of a split, and the "
        "figures are too good and too sure."
    ]


def of_importances(importance: pd.DataFrame | None) -> str:
    """Return how importances were measured."""
    from dallm.evaluation.importance.summary import noise_columns

    if importance is None:
        return "Importances were not measured; importances=True asks for them."
    noise = noise_columns(importance)
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
    shown = table_as_text(report.table()).reset_index().rename(columns={"relevant": RELEVANT_HEAD})
    shown.columns = [name.replace("_", " ") for name in shown.columns]
    cells = [list(shown.columns), *shown.astype(str).to_numpy().tolist()]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    notes = [f"Note: {note}" for note in report.notes]
    return "\n".join([*report.verdict(), "", f"{head(report)}.", *lines, *([""] if notes else []), *notes])


def head(report: EvaluationReport, target: str | None = None) -> str:
    """Return what the figures of a table are, how many cases they rest on and what p is, without a stop."""
    target = report.target if target is None else target
    shown = {MACRO: "mean over targets", POOLED: "decisions of all targets together"}
    parts = [
        str(report.settings.get("protocol", "evaluation")),
        shown.get(target, target),
        "means over repeats" if target == POOLED else "means over test folds",
        cases_of(report),
        decided(report.settings),
        f"95 % intervals by {'patient' if report.groups is not None else 'case'}",
        of_p(report),
    ]
    if report.importance is not None:
        parts.append("relevant features: in parentheses how many would be if no column told anything")
    return "; ".join(part for part in parts if part)


def cases_of(report: EvaluationReport) -> str:
    """Return how many cases there are, of how many patients."""
    cases = count(len(report.cases), "case")
    return cases if report.groups is None else f"{cases} of {count(int(report.groups.nunique()), 'patient')}"


def of_p(report: EvaluationReport) -> str:
    """Return what the p of the table is; nothing where no set was compared."""
    found = report.comparisons()
    known = int((found.loc[found["metric"] == report.metric, "p"].notna()).sum()) if len(found) else 0
    if not known:
        return ""
    title = "ROC AUC" if report.metric == "roc_auc" else TITLES.get(report.metric, report.metric)
    return (
        f"p: difference in {title} from {report.baseline}, adjusted by Holm over {count(known, 'comparison')}"
    )
