"""Table 4 of the paper (Experiment III): as published, beside the paper and leak-free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.evaluation import html_page
from dallm.files import replacing, write_text
from dallm.paper import published
from dallm.paper.as_published import MEASURES, MODELS, REFITS, TABNET_EPOCHS, Run, halves
from dallm.paper.published_runs import published_runs
from dallm.paper.table4_columns import table4_set
from dallm.paper.table4_frames import Table4Input
from dallm.paper.table4_text import COLUMNS, METRIC_OF, NO_P, leak_free_cell, measured_cell, paper_cell, plain

_LEVEL = 0.95
_ROUNDED = {"relevant": 0.5}


@dataclass(frozen=True, kw_only=True)
class Table4:
    """Experiment III beside the paper's Table 4; printing it shows all figures.

    Attributes
    ----------
    runs : mapping of (str, str) to list of Run
        By feature set and model: one run of the public code's computation per seed.
    row_of : mapping of str to str
        Feature set to the one of the paper that it is set beside.
    widths : mapping of str to int
        Features per set.
    always_no : float
        Accuracy of always saying no on the same decisions.
    leak_free : DataFrame or None
        Columns ``feature_set, model, measure, value, low, high``: 10 x 5 folds by patient.
    same_data : bool
        Whether these are the paper's own cases.
    notes : tuple of str
    """

    runs: Mapping[tuple[str, str], Sequence[Run]]
    row_of: Mapping[str, str]
    widths: Mapping[str, int]
    always_no: float
    leak_free: pd.DataFrame | None = None
    same_data: bool = False
    notes: tuple[str, ...] = ()

    def cells(self) -> pd.DataFrame:
        """Return one row per feature set, model and measure.

        ``measured`` is the mean over seeds and ``sd`` their spread; ``low`` to ``high`` is where one further
        run of the same computation falls in 95 % of the times (Student's t, as wide as rounding at least).
        ``inside`` says whether the published figure does. ``leak_free`` and its interval stand beside.
        """
        paper = published.table4()
        rows: list[dict[str, Any]] = []
        for (name, model), runs in self.runs.items():
            row = self.row_of.get(name)
            for measure in MEASURES:
                values = np.array([run.measures()[measure] for run in runs])
                low, high = _further(values, _ROUNDED.get(measure, 5e-5))
                figure = float(paper.loc[(row, MODELS[model]), measure]) if row else math.nan  # type: ignore[arg-type]
                rows.append(
                    {
                        "feature_set": name,
                        "model": model,
                        "measure": measure,
                        "measured": float(values.mean()),
                        "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
                        "low": low,
                        "high": high,
                        "seeds": len(values),
                        "published": figure,
                        "difference": float(values.mean()) - figure,
                        "inside": pd.NA if math.isnan(figure) else low <= figure <= high,
                    }
                )
        made = pd.DataFrame(rows).astype({"inside": "boolean"})
        if self.leak_free is None:
            return made
        back = {theirs: own for own, theirs in METRIC_OF.items()}
        found = self.leak_free.assign(measure=self.leak_free["measure"].map(back))
        found = found.rename(columns={"value": "leak_free", "low": "leak_free_low", "high": "leak_free_high"})
        return made.merge(found, on=["feature_set", "model", "measure"], how="left")

    def table(self) -> pd.DataFrame:
        """Return the paper's layout as text: per row measured, published and leak-free figures.

        On the paper's own cases an asterisk marks a published figure outside the spread of the seeds. ``AUC``
        is the balanced accuracy of decisions in every line; a ROC AUC from probabilities stands apart.
        """
        cells = self.cells()
        paper = published.table4()
        lines: list[tuple[str, str, str]] = []
        rows: list[list[str]] = []
        for name, model in self.runs:
            mine = cells[(cells["feature_set"] == name) & (cells["model"] == model)].set_index("measure")
            lines.append((name, MODELS[model], "as published, measured"))
            rows.append([measured_cell(mine, column) for column in COLUMNS])
            row = self.row_of.get(name)
            if row is not None:
                figures = paper.xs((row, MODELS[model]))
                lines.append((name, MODELS[model], "published"))
                rows.append([paper_cell(mine, figures, column, self.same_data) for column in COLUMNS])
            if self.leak_free is not None:
                found = self.leak_free
                own = found[(found["feature_set"] == name) & (found["model"] == model)]
                lines.append((name, MODELS[model], "leak-free"))
                rows.append([leak_free_cell(own, column) for column in COLUMNS])
        index = pd.MultiIndex.from_tuples(lines, names=["feature_set", "model", "figures"])
        return pd.DataFrame(rows, index=index, columns=list(COLUMNS))

    def outside(self) -> list[str]:
        """Return a line for each row with published figures outside the spread of the seeds."""
        cells = self.cells()
        far = cells[~cells["inside"].fillna(True).astype(bool)]
        return [
            f"{name}, {MODELS[str(model)]}: "
            + "; ".join(
                f"{c.measure} published {plain(c.measure, c.published)}, "
                f"seeds {plain(c.measure, c.low)} to {plain(c.measure, c.high)}"
                for c in part.itertuples()
            )
            for (name, model), part in far.groupby(["feature_set", "model"], sort=False)
        ]

    def remarks(self) -> list[str]:
        """Return what a reader of the table has to know."""
        seeds = max((len(runs) for runs in self.runs.values()), default=0)
        said = [
            f"Measured: mean over {count(seeds, 'seed')}, plus or minus the standard deviation; a seed is "
            f"one run of the public code ({REFITS} refits averaged; XGBoost's and TabNet's are alike).",
            "The column AUC is the balanced accuracy of decisions, as in the public code; ROC AUC is from "
            "probabilities.",
            f"Always saying no has an accuracy of {self.always_no:.4f} and an AUC of .5000 on these cases.",
            f"The column p: {NO_P}; none is computed.",
        ]
        if not self.row_of:
            said.append(
                "No feature set is called like one of the paper's, so no published figure stands here."
            )
        elif not self.same_data:
            said.append("These are other cases than the paper's: figures stand side by side, not for equal.")
        for name, row in self.row_of.items():
            wide = published.table4_feature_counts()[row]
            told = any(
                line.startswith(f"{name}: {count(self.widths[name], 'feature')}, ") for line in self.notes
            )
            if self.same_data and self.widths[name] != wide and not told:
                said.append(f"{name}: {count(self.widths[name], 'feature')}, the paper has {wide}.")
        cells = self.cells()
        known = cells["inside"].notna()
        if self.same_data and known.any():
            n_inside, outside = int(cells.loc[known, "inside"].sum()), self.outside()
            said.append(
                f"{n_inside} of {int(known.sum())} published figures lie where a further run would (95 %)"
                + ("; * marks the others:" if outside else ".")
            )
            said += outside
        return [*said, *self.notes]

    def __str__(self) -> str:
        return "\n".join([self.table().to_string(), *(f"- {line}" for line in self.remarks())])

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``table4.csv`` (cell by cell), ``table4.html``, ``table4.tex`` and ``leak_free.csv``."""
        folder = Path(folder)
        paths = [folder / "table4.csv", folder / "table4.html", folder / "table4.tex"]
        shown = self.table().reset_index()
        with replacing(paths[0]) as part:
            self.cells().to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
        rows: list[list[str | tuple[str, str]]] = [list(map(str, row)) for row in shown.to_numpy()]
        body = html_page.table([str(c) for c in shown.columns], rows) + html_page.paragraphs(self.remarks())
        write_text(paths[1], html_page.page("Table 4, Experiment III", body))
        write_text(paths[2], shown.to_latex(index=False, escape=True))
        if self.leak_free is not None:
            paths.append(folder / "leak_free.csv")
            with replacing(paths[-1]) as part:
                self.leak_free.to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
        return paths


def table4_of(
    read: Table4Input,
    *,
    models: Sequence[str] = tuple(MODELS),
    seeds: int = 20,
    repeats: int = 10,
    leak_free_models: Sequence[str] | None = None,
    same_data: bool = True,
    seed: int = 0,
    epochs: int = TABNET_EPOCHS,
    n_jobs: int | None = None,
    folder: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Table4:
    """Compute Table 4 as published and leak-free, and set both beside the paper.

    Parameters
    ----------
    read : Table4Input
        Of :func:`dallm.paper.table4_frames.read_tables`.
    models : sequence of str
    seeds : int, default=20
        Runs of the public code's computation.
    repeats : int, default=10
        Of the five-fold cross-validation by patient; 0 leaves the leak-free figures out.
    leak_free_models : sequence of str, optional
        By default `models`.
    same_data : bool, default=True
        Whether these are the paper's cases.
    seed, epochs, n_jobs
        As in :func:`dallm.paper.published_runs.published_runs`.
    folder : path, optional
        Where finished runs and fits are kept, so that a run that was killed goes on.
    progress : callable, optional
        Is told in a line what begins.
    """
    parts = {name: halves(frame, read.labels, read.split) for name, frame in read.sets.items()}
    keep = Path(folder) if folder is not None else None
    first = next(iter(parts.values()))
    notes = [*(f"{gap}." for gap in read.gaps if same_data), *read.notes, _sizes(read, first.y_test)]
    runs = published_runs(
        parts,
        models,
        seeds,
        seed=seed,
        epochs=epochs,
        n_jobs=n_jobs,
        folder=keep / ".runs" if keep else None,
        progress=progress,
    )
    row_of: dict[str, str] = {}
    for name, frame in read.sets.items():
        row = table4_set(name, frame.shape[1])
        if row is not None and row not in row_of.values():
            row_of[name] = row
    found = None
    chosen = list(models if leak_free_models is None else leak_free_models)
    if repeats > 0 and chosen:
        from dallm.paper.table4_leak_free import leak_free_figures

        found, said = leak_free_figures(
            read, chosen, repeats=repeats, seed=seed, n_jobs=n_jobs, folder=keep, progress=progress
        )
        notes += said
    return Table4(
        runs={(name, model): runs[name, model] for name in parts for model in models},
        row_of=row_of,
        widths={name: frame.shape[1] for name, frame in read.sets.items()},
        always_no=float(1 - first.y_test.mean()),
        leak_free=found,
        same_data=same_data,
        notes=tuple(notes),
    )


def _further(values: np.ndarray[Any, Any], rounding: float) -> tuple[float, float]:
    """Return where one further value falls in 95 % of the times, wide enough for a rounded figure."""
    mean = float(values.mean())
    half = 0.0
    if len(values) > 1:
        from scipy.stats import t

        spread = float(values.std(ddof=1)) * math.sqrt(1 + 1 / len(values))
        half = float(t.ppf((1 + _LEVEL) / 2, len(values) - 1)) * spread
    half = max(half, rounding) + 1e-9
    return max(mean - half, 0.0), mean + half


def _sizes(read: Table4Input, truth: np.ndarray[Any, Any]) -> str:
    trained, tested = int((read.split == "train").sum()), int((read.split == "test").sum())
    said = (
        f"{trained:,} training and {tested:,} test cases, {len(read.split) - trained - tested:,} of neither "
        f"part; {truth.size:,} decisions, {int(truth.sum()):,} of them yes."
    )
    if read.groups is not None:
        both = set(read.groups[read.split == "train"]) & set(read.groups[read.split == "test"])
        tested = int((read.groups.isin(list(both)) & (read.split == "test")).sum())
        said += f" {count(tested, 'test case')} of a patient who is trained on, too."
    return said
