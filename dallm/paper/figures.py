"""Figures 3, 4 and 5 of the paper: what models rest on, and whether clinicians find that plausible."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError, did_you_mean
from dallm.evaluation.figures import write_figure
from dallm.files import replacing
from dallm.paper.table4_columns import table4_set

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dallm.evaluation.report import EvaluationReport
    from dallm.paper.table4_frames import Table4Input

FIGURE_SETS = {"figure3": "augmented", "figure4": "expert", "figure5": "expert"}
"""Feature set that a figure is drawn of by default; the widest where there is none of that name."""

RATINGS = "ratings_to_fill.csv"
_TICKS = 8


def chosen_set(read: Table4Input, figure: str, named: str | None = None) -> str:
    """Return the feature set that a figure is drawn of.

    Raises
    ------
    UserError
        If the named one is not there.
    """
    if named is not None:
        if named not in read.sets:
            raise UserError(f"There is no feature set {named!r}.{did_you_mean(named, read.sets)}")
        return named
    rows = {table4_set(name, frame.shape[1]): name for name, frame in read.sets.items()}
    widest = max(read.sets, key=lambda name: read.sets[name].shape[1])
    return rows.get(FIGURE_SETS[figure], widest)


def importance_report(
    read: Table4Input,
    feature_set: str,
    models: Sequence[str],
    *,
    repeats: int = 2,
    seed: int = 0,
    n_jobs: int | None = None,
    folder: str | Path | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Measure the importances of one feature set on held-out folds by patient.

    Parameters
    ----------
    read : Table4Input
    feature_set : str
    models : sequence of str
    repeats : int, default=2
        Of five folds.
    seed, n_jobs, folder, progress
        As in :func:`dallm.evaluate`.
    """
    import dallm
    from dallm.evaluation.importance import PermutationImportance
    from dallm.evaluation.protocols import LeakFree

    return dallm.evaluate(
        {feature_set: read.given[feature_set]},
        read.labels.astype("boolean"),
        read.groups,
        models=list(models),
        protocol=LeakFree(repeats, 5),
        controls=(),
        importances=PermutationImportance(repeats=repeats),
        on_leak="report",
        operating_point=0.5,
        device="cpu",
        seed=seed,
        n_jobs=n_jobs,
        folder=folder,
        progress=progress,
    )


def save_importances(
    report: EvaluationReport, name: str, folder: str | Path, *, most: int = 40, synthetic: bool = False
) -> list[Path]:
    """Write a plot per target and one over all, and the importances as CSV.

    Parameters
    ----------
    report : EvaluationReport
    name : {"figure3", "figure4"}
    folder : path
    most : int, default=40
        Features to draw. One that no model uses at all is left out of the plot, and stands in the CSV.
    synthetic : bool, default=False
        Say so in the titles.
    """
    folder = Path(folder)
    paths = []
    targets = [*report.targets, *(["macro"] if len(report.targets) > 1 else [])]
    for target in targets:
        figure = _importances(report, target, most)
        _mark(figure, synthetic)
        paths.append(folder / f"{name}-{re.sub(r'[^a-z0-9]+', '-', target.lower())}.png")
        write_figure(figure, paths[-1])
    paths.append(folder / f"{name}.csv")
    _write(report.importances(), paths[-1])
    return paths


def _importances(report: EvaluationReport, target: str, most: int) -> Figure:
    """Draw the features that a model uses: a drop of exactly 0 in all of them is no importance."""
    from dallm.evaluation.importance.plots import plot_importances

    summary = report.importances()
    here = summary[(summary["feature_set"] == report.baseline) & (summary["target"] == target)]
    used = here.loc[here["drop"].abs() > 0, "feature"].drop_duplicates()
    if used.empty:  # nothing to leave out of an empty picture
        return report.plot_importances(feature_set=report.baseline, target=target, most=most)
    figure = plot_importances(
        here[here["feature"].isin(used)], feature_set=str(report.baseline), target=target, most=most
    )
    unused = here["feature"].nunique() - len(used)
    if unused:
        _add_to_title(figure, f"; {count(unused, 'feature')} of importance 0 not drawn")
    return figure


def _mark(figure: Figure, synthetic: bool) -> None:
    if synthetic:
        _add_to_title(figure, " (synthetic cases)")


def _add_to_title(figure: Figure, words: str) -> None:
    figure.suptitle(f"{figure.get_suptitle()}{words}", fontsize=11)


def save_ratings_plot(
    report: EvaluationReport, ratings: str | Path, folder: str | Path, *, synthetic: bool = False
) -> tuple[list[Path], list[str]]:
    """Write the correlation of importances with ratings, as a plot and as CSV.

    Parameters
    ----------
    report : EvaluationReport
    ratings : path
    folder : path
    synthetic : bool, default=False
        Say so in the title.

    Returns
    -------
    paths, notes
        Which features were not rated, and which ratings are of none, is among the notes.

    Raises
    ------
    ReaderError
        If the ratings cannot be read.
    """
    from dallm.evaluation.importance import correlate_ratings, read_ratings

    folder = Path(folder)
    paths = [folder / "figure5.png", folder / "figure5.csv"]
    found = correlate_ratings(report.importances(), read_ratings(ratings))
    figure = report.plot_ratings(ratings, report.baseline)
    for axis in figure.axes:
        axis.tick_params(labelsize=_TICKS)
    figure.suptitle("Importances and ratings", fontsize=11)
    if found.unrated:
        _add_to_title(figure, f"; {count(len(found.unrated), 'feature')} not rated")
    _mark(figure, synthetic)
    write_figure(figure, paths[0])
    _write(found.table, paths[1])
    return paths, list(found.notes)


def ratings_to_fill(read: Table4Input, feature_set: str, folder: str | Path) -> Path:
    """Write a table of ratings without a rating, one row per feature."""
    path = Path(folder) / RATINGS
    names = list(map(str, read.given[feature_set].columns))
    _write(pd.DataFrame({"feature": names, "rater": "A", "plausibility": "", "relevance": ""}), path)
    return path


def _write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as part:
        table.to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
