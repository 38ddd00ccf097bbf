"""The last screen of a run: what was made, how much of it rests on evidence, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dallm.cli.screen import say, table
from dallm.engines.base import STATUSES

if TYPE_CHECKING:
    import pandas as pd

    from dallm.augment.augmented import Augmented

_TOP = 12
FILES: Mapping[str, str] = {
    "evidence.html": "the page to check by eye: every report with its evidence",
    "augmented.parquet": "the table with its new columns, typed",
    "augmented.csv": "the same as text",
    "cells.parquet": "one row per case and feature: value, status, source, reason",
    "evidence.parquet": "one row per quote, with its place in the report",
    "features.json": "what was looked for; edit it and give it back with --features",
    "ack.json": "the answers to the expert questions, with their passages",
}


def show_counts(augmented: Augmented, *, top: int = _TOP) -> None:
    """Write how many cells have each status, and the same for the features with most evidence."""
    summary = augmented.summary()
    totals = {status: int(summary[status].sum()) for status in STATUSES if status in summary}
    cells = sum(totals.values())
    say(f"{len(augmented.cohort):,} cases x {len(summary):,} features = {cells:,} cells")
    for status, count in totals.items():
        if count:
            say(f"  {status.replace('_', ' '):<16}{count:>12,}{100 * count / cells:>8.1f} %")
    say()
    shown = _richest(summary, augmented.evidence, top)
    if len(shown):
        table(_COLUMNS, _rows(shown))
    rest = len(summary) - len(shown)
    if rest:
        say(f"... and {rest:,} more features; all of them: dallm report FOLDER --all")


_COLUMNS = ("feature", "kind", "documented", "true", "false", "uncertain", "conflicting", "not documented")


def _richest(summary: pd.DataFrame, evidence: pd.DataFrame, top: int) -> pd.DataFrame:
    """Return the features with most quotes, then with most values: what a report says can be checked."""
    quotes = evidence["feature"].value_counts()
    ranked = summary.assign(quotes=[int(quotes.get(name, 0)) for name in summary.index])
    ranked = ranked.sort_values(["quotes", "documented"], ascending=False, kind="stable")
    if top < len(ranked):  # who asks for some wants those with something in them
        ranked = ranked[(ranked["quotes"] > 0) | (ranked["documented"] > 0)]
    return ranked.iloc[:top]


def _rows(summary: pd.DataFrame) -> list[list[object]]:
    return [
        [
            str(name),
            str(row["kind"]),
            int(row["documented"]),
            *(int(row[n]) if row["kind"] == "boolean" else "" for n in ("n_true", "n_false")),
            int(row["uncertain"]),
            int(row["conflicting"]),
            int(row["not_documented"]),
        ]
        for name, row in summary.iterrows()
    ]


def show_files(folder: Path) -> None:
    """Write the paths of the results in the folder, and what each is for."""
    there = {name: text for name, text in FILES.items() if (folder / name).exists()}
    width = max((len(str(folder / name)) for name in there), default=0)
    for name, text in there.items():
        say(f"  {folder / name!s:<{width}}  {text}")


def show_quotes(augmented: Augmented, count: int = 5) -> None:
    """Write a few cells with the words they rest on; only for text that may be shown anywhere.

    Different assertions come first, so that a reader sees more than plain findings.
    """
    evidence = augmented.evidence
    if evidence.empty:
        return
    cells = augmented.cells[["case_id", "feature", "value", "status"]].astype({"feature": "str"})
    joined = evidence.astype({"feature": "str"}).merge(cells, on=["case_id", "feature"], how="left")
    joined["turn"] = joined.groupby("assertion", observed=True).cumcount()
    joined = joined.drop_duplicates("feature").sort_values("turn", kind="stable").head(count)
    joined["value"] = joined["value"].astype("string").fillna("<NA>")
    rows = [[r.case_id, r.feature, r.value, r.status, r.assertion, r.quote] for r in joined.itertuples()]
    table(("case", "feature", "value", "status", "assertion", "words of the report"), rows)
