"""``dallm reproduce table4``: Experiment III as published, beside the paper and beside leak-free figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dallm.cli.engines import EngineChoice
from dallm.cli.option_groups import Without, with_groups
from dallm.cli.outputs import OutputFolder
from dallm.cli.ready_tables import ReadyTables
from dallm.cli.screen import say, step, table
from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.paper.table4 import Table4
    from dallm.paper.table4_frames import Table4Input

_CASES = "Cases"
_WORK = "How much is computed"


@with_groups
def table4(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
    ready: ReadyTables,
    engine: Annotated[EngineChoice, Without("dry_run")],
    mimic: Annotated[
        Path | None,
        typer.Option(
            "--mimic", help="Folder with MIMIC-IV, -ED and -CXR.", metavar="ROOT", rich_help_panel=_CASES
        ),
    ] = None,
    cases: Annotated[
        int, typer.Option("--cases", min=40, help="Synthetic cases to make.", rich_help_panel=_CASES)
    ] = 400,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="Names with commas between. Default: decision_tree,random_forest,xgboost,tabnet; without "
            "tabnet on synthetic cases.",
            metavar="NAMES",
            rich_help_panel=_WORK,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs of the public code.", rich_help_panel=_WORK)
    ] = 20,
    repeats: Annotated[
        int,
        typer.Option(
            "--repeats",
            min=0,
            help="Of the leak-free five-fold cross-validation; 0: none.",
            rich_help_panel=_WORK,
        ),
    ] = 10,
    leak_free_models: Annotated[
        str | None,
        typer.Option(
            "--leak-free-models",
            help="Default: those of --models but tabnet, whose 1,000 fits take hours.",
            metavar="NAMES",
            rich_help_panel=_WORK,
        ),
    ] = None,
    tabnet_epochs: Annotated[
        int, typer.Option("--tabnet-epochs", min=1, help="As published: 1000.", rich_help_panel=_WORK)
    ] = 1000,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes; one per core.", rich_help_panel=_WORK)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first of the seeds.")] = 0,
) -> None:
    """Set Table 4 as the public code computes it beside the published figures and the leak-free ones.

    This is Experiment III. Without --frame and --mimic synthetic cases are made and filled by --engine.
    The same command again goes on from what an interrupted one left.
    """
    from dallm.paper.table4 import table4_of

    if mimic is not None and ready.frame:
        raise UserError("--mimic and --frame exclude each other; give one.")
    place = OutputFolder(out)
    chosen = chosen_models(models, with_tabnet=bool(ready.frame) or mimic is not None)
    free = chosen_models(leak_free_models, with_tabnet=False) if leak_free_models else _fast(chosen)
    read, same_data = read_cases(ready, mimic, cases, engine, seed)
    for note in read.notes:
        step(f"  {note}")
    if "tabnet" not in free and "tabnet" in chosen:
        step("  leak-free TabNet is not run; --leak-free-models with tabnet among them runs it")
    made = table4_of(
        read,
        models=chosen,
        seeds=seeds,
        repeats=repeats,
        leak_free_models=free,
        same_data=same_data,
        seed=seed,
        epochs=tabnet_epochs,
        n_jobs=jobs,
        folder=place.path,
        progress=step,
    )
    _show(made)
    for path in made.save(place.path):
        say(f"  {path}")


def read_cases(
    ready: ReadyTables, mimic: Path | None, cases: int, engine: EngineChoice, seed: int
) -> tuple[Table4Input, bool]:
    """Return the feature sets, and whether they are of the paper's own cases."""
    import dallm
    from dallm.paper.table4_cohort import input_of_cohort

    if ready.frame:
        return ready.read(), not ready.other_cases
    if mimic is not None:
        cohort = dallm.read_mimic(mimic)
        step(f"{len(cohort):,} cases from {str(mimic)!r}")
    else:
        cohort = dallm.make_cohort(cases, seed=seed)
        step(f"{len(cohort):,} synthetic cases; --mimic ROOT or --frame FILE takes your own")
    return input_of_cohort(cohort, engine.open(), seed=seed), False


def chosen_models(said: str | None, *, with_tabnet: bool) -> list[str]:
    """Return the models that the command line names; without names the paper's, perhaps but for TabNet."""
    from dallm.paper.as_published import MODELS

    if said is None:
        return [name for name in MODELS if with_tabnet or name != "tabnet"]
    names = [name.strip() for name in said.split(",") if name.strip()]
    for name in names:
        if name not in MODELS:
            raise UserError(
                f"Table 4 has no model {name!r}.{did_you_mean(name, MODELS)} {', '.join(MODELS)}."
            )
    return list(dict.fromkeys(names))


def _fast(models: list[str]) -> list[str]:
    return [name for name in models if name != "tabnet"]


def _show(made: Table4) -> None:
    shown = made.table().reset_index()
    table([str(c) for c in shown.columns], shown.to_numpy().tolist())
    say()
    for line in made.remarks():
        say(line)
    say()
