"""``dallm reproduce figure3``, ``figure4`` and ``figure5``: what models rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dallm.cli.engines import EngineChoice
from dallm.cli.option_groups import Without, with_groups
from dallm.cli.outputs import OutputFolder
from dallm.cli.ready_tables import ReadyTables
from dallm.cli.reproduce_table4 import chosen_models, read_cases
from dallm.cli.screen import say, step, wants_progress

_CASES = "Cases"
_WORK = "How much is computed"


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """What the three commands take alike."""

    mimic: Annotated[
        Path | None,
        typer.Option(
            "--mimic", help="Folder with MIMIC-IV, -ED and -CXR.", metavar="ROOT", rich_help_panel=_CASES
        ),
    ] = None
    cases: Annotated[
        int, typer.Option("--cases", min=40, help="Synthetic cases to make.", rich_help_panel=_CASES)
    ] = 300
    set: Annotated[
        str | None,
        typer.Option("--set", help="Feature set to draw; the widest, if not the paper's.", metavar="NAME"),
    ] = None
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="Names with commas between. Default: decision_tree,random_forest,xgboost.",
            metavar="NAMES",
            rich_help_panel=_WORK,
        ),
    ] = None
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Of five folds by patient.", rich_help_panel=_WORK)
    ] = 2
    most: Annotated[int, typer.Option("--most", min=1, help="Features to draw.", rich_help_panel=_WORK)] = 40
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes; one per core.", rich_help_panel=_WORK)
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything drawn.")] = 0


def _importances(figure: str, what: str) -> Callable[..., None]:
    def command(
        out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
        ready: ReadyTables,
        engine: Annotated[EngineChoice, Without("dry_run")],
        options: FigureOptions,
    ) -> None:
        _draw(figure, out, ready, engine, options, None)

    command.__doc__ = (
        f"Draw the importances per lesion and model of {what}.\n\n"
        "Importances are the drop of the ROC AUC of held-out folds where a column is permuted, beside "
        "columns of noise. Without --frame and --mimic synthetic cases are made."
    )
    return with_groups(command)


figure3 = _importances("figure3", "the augmented feature set")
figure4 = _importances("figure4", "the set with the experts' features")


@with_groups
def figure5(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
    ready: ReadyTables,
    engine: Annotated[EngineChoice, Without("dry_run")],
    options: FigureOptions,
    ratings: Annotated[
        Path | None,
        typer.Option("--ratings", help="CSV of feature, rater, plausibility, relevance.", metavar="FILE"),
    ] = None,
) -> None:
    """Draw how importances go with ratings of plausibility and relevance.

    The ratings of the paper are published nowhere: give some of your own. Without any, a table to
    fill is written.
    """
    _draw("figure5", out, ready, engine, options, ratings)


def _draw(
    figure: str,
    out: Path,
    ready: ReadyTables,
    engine: EngineChoice,
    options: FigureOptions,
    ratings: Path | None,
) -> None:
    from dallm.paper.figures import (
        chosen_set,
        importance_report,
        ratings_to_fill,
        save_importances,
        save_ratings_plot,
    )

    place = OutputFolder(out)
    chosen = chosen_models(options.models, with_tabnet=False)
    if ratings is not None:
        from dallm.evaluation.importance import read_ratings

        read_ratings(ratings)
    read, _ = read_cases(ready, options.mimic, options.cases, engine, options.seed)
    name = chosen_set(read, figure, options.set)
    step(f"Feature set {name!r}: {read.sets[name].shape[1]} columns")
    if figure == "figure5" and ratings is None:
        path = ratings_to_fill(read, name, place.path)
        say("The ratings of the paper's radiologists are published nowhere, and none were given.")
        say(f"  {path}: fill it in and give it with --ratings")
        return
    report = importance_report(
        read,
        name,
        chosen,
        repeats=options.repeats,
        seed=options.seed,
        n_jobs=options.jobs,
        folder=place / ".fits",
        progress=wants_progress(),
    )
    synthetic = not ready.frame and options.mimic is None
    notes: list[str] = []
    if ratings is None:
        paths = save_importances(report, figure, place.path, most=options.most, synthetic=synthetic)
    else:
        paths, notes = save_ratings_plot(report, ratings, place.path, synthetic=synthetic)
    for note in notes:
        say(note)
    for path in paths:
        say(f"  {path}")
