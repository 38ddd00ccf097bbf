"""What the commands show of an evaluation, and the fast settings that runs end with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.cli.screen import say, step, table
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.evaluation.report import EvaluationReport

FAST_MODELS = ("logistic_regression", "decision_tree:paper")
_FAST_REPEATS = 2
_HALF = 0.5  # choosing a threshold takes further fits: half of the time of the whole
_HEADS = {"p": "p (Holm)", "relevant": "relevant (by chance)"}


def show_table(report: EvaluationReport) -> None:
    """Write the table of a report, each figure with its interval."""
    found = report.table()
    columns = [c for c in found.columns if not str(c).endswith(("_low", "_high", "_by_chance"))]
    rows = [
        [*map(str, index), *(_cell(row, column) for column in columns)]
        for index, (_, row) in zip(found.index, found.iterrows(), strict=True)
    ]
    table(["feature set", "model", *(_HEADS.get(str(c), str(c)) for c in columns)], rows)


def show_report(report: EvaluationReport) -> None:
    """Write table, verdict and what a reader has to know."""
    from dallm.evaluation.report.saying import head

    say(f"{head(report)}.")
    show_table(report)
    say()
    for line in report.verdict():
        say(line)
    for line in report.notes:
        say(line)


def evaluate_fast(augmented: Augmented, *, seed: int = 0) -> EvaluationReport:
    """Evaluate in seconds: two fast models, two repeats, one control; leaks are reported, not refused."""
    import dallm
    from dallm.evaluation.protocols import LeakFree

    step(f"Evaluating with {' and '.join(FAST_MODELS)}, {_FAST_REPEATS} x 5 folds by patient")
    return dallm.evaluate(
        augmented,
        models=FAST_MODELS,
        protocol=LeakFree(_FAST_REPEATS, 5),
        controls=("permuted",),
        operating_point=_HALF,
        on_leak="report",
        device="cpu",
        seed=seed,
        progress=False,
    )


def show_short(augmented: Augmented, command: str, *, seed: int = 0) -> None:
    """Evaluate in seconds and write the short table, with the command that does it in full.

    Cases that are too few to be evaluated are told so in a line: the work that was asked for is done.
    """
    try:
        report = evaluate_fast(augmented, seed=seed)
    except UserError as error:
        say()
        say(f"Not evaluated: {error}")
        return
    say()
    say("Do the new columns help?", style="bold")
    show_report(report)
    refused = report.leakage()
    refused = refused[refused["severity"] == "refuse"] if len(refused) else refused
    if len(refused):
        names = sorted(set(map(str, refused["column"])))
        say(f"Columns that restate a target, not refused in this short run: {', '.join(names[:8])}.")
    say(
        f"A first look with few fits, decisions at a probability of {_HALF:g}; in full, at the threshold "
        f"with the best F1: {command}"
    )


def write_report(report: EvaluationReport, folder: Path) -> list[Path]:
    """Write ``report.html``, ``table.tex``, ``settings.json`` and everything as Parquet."""
    import json

    from dallm.files import write_text

    paths = [folder / "report.html", folder / "table.tex", folder / "settings.json"]
    report.to_html(paths[0])
    report.to_latex(paths[1])
    about = {**report.settings, "run": dict(report.run)}
    write_text(paths[2], json.dumps(about, indent=2, ensure_ascii=False, default=str) + "\n")
    return [*paths, *report.save(folder)]


def _cell(row: Any, column: Any) -> str:
    import pandas as pd

    from dallm.evaluation.report.paper_table import relevant_text

    value = row[column]
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    if column == "relevant":
        return relevant_text(value, row["relevant_by_chance"])
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    shown = f"{value:.3f}"
    return shown if pd.isna(low) else f"{shown} ({low:.2f} to {high:.2f})"
