"""``dallm evaluate``: whether new columns help."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from dallm.cli.evaluation_screen import show_report, write_report
from dallm.cli.outputs import OutputFolder
from dallm.cli.screen import say, step, wants_progress
from dallm.errors import UserError

_TABLES = "Feature sets"
_HOW = "How it is measured"
_FITS = ".fits"


def evaluate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
    result: Annotated[
        Path | None,
        typer.Argument(help="Folder that dallm augment wrote.", show_default=False, metavar="[FOLDER]"),
    ] = None,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            "--frame",
            help="A feature set, one row per case: CSV, Excel or Parquet; repeat it. The others are held "
            "against the first.",
            metavar="[NAME=]FILE",
            rich_help_panel=_TABLES,
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            help="Columns to predict, with commas between.",
            metavar="NAMES",
            rich_help_panel=_TABLES,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", help="Column of patients.", metavar="COLUMN", rich_help_panel=_TABLES),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option("--id", help="Column of case ids.", metavar="COLUMN", rich_help_panel=_TABLES),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", help="Column that is no feature; repeat it.", metavar="COLUMN", rich_help_panel=_TABLES
        ),
    ] = None,
    cohort: Annotated[
        Path | None,
        typer.Option(
            "--cohort",
            help="Table of the cases with --id and --report, for controls and subgroups.",
            metavar="FILE",
            rich_help_panel=_TABLES,
        ),
    ] = None,
    report: Annotated[
        list[str] | None,
        typer.Option(
            "--report", help="Column of report text of --cohort; repeat it.", rich_help_panel=_TABLES
        ),
    ] = None,
    models: Annotated[
        str,
        typer.Option(
            "--models",
            help="Names with commas between; tree models and tabnet take :paper and :tuned.",
            metavar="NAMES",
            rich_help_panel=_HOW,
        ),
    ] = "decision_tree,random_forest,xgboost,tabnet",
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="leak_free|holdout|as_published",
            rich_help_panel=_HOW,
            help="Who is tested.",
        ),
    ] = "leak_free",
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="Column of marks train and test.", metavar="COLUMN", rich_help_panel=_HOW
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Of leak_free.", rich_help_panel=_HOW)
    ] = 10,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Of leak_free.", rich_help_panel=_HOW)] = 5,
    controls: Annotated[
        str,
        typer.Option(
            "--controls",
            help="tfidf, random, permuted with commas between, or none.",
            metavar="NAMES",
            rich_help_panel=_HOW,
        ),
    ] = "tfidf,random,permuted",
    subgroups: Annotated[
        str | None,
        typer.Option(
            "--subgroups",
            help="Columns with commas between; age_band is made from age.",
            metavar="NAMES",
            rich_help_panel=_HOW,
        ),
    ] = None,
    operating_point: Annotated[
        str,
        typer.Option(
            "--operating-point",
            help="What the threshold of decisions is chosen by, inside the training fold; or the threshold "
            "itself.",
            metavar="f1|youden|accuracy|0.5",
            rich_help_panel=_HOW,
        ),
    ] = "f1",
    importances: Annotated[
        bool, typer.Option("--importances", help="Measure them; takes further fits.", rich_help_panel=_HOW)
    ] = False,
    on_leak: Annotated[
        str,
        typer.Option(
            "--on-leak",
            help="What happens where a feature restates a target.",
            metavar="raise|report",
            rich_help_panel=_HOW,
        ),
    ] = "raise",
    allow_leak: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-leak",
            help="A column that is used all the same; repeat it.",
            metavar="COLUMN",
            rich_help_panel=_HOW,
        ),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            "--alias",
            help="Another name of a target, by which a column restates it; repeat it.",
            metavar="TARGET=NAME",
            rich_help_panel=_HOW,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=_HOW)
    ] = "auto",
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Fits at once; one per core.", rich_help_panel=_HOW)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The result follows from it.")] = 0,
) -> None:
    """Measure whether new columns help, with controls, intervals and a leakage audit.

    The feature sets are those of a folder that dallm augment wrote, or tables named with --frame. An
    interrupted run goes on when the same command is given again: finished fits are kept in the output folder.
    """
    import dallm

    criterion = _criterion(operating_point)
    place = OutputFolder(out)
    if (result is None) == (not frame):
        raise UserError("Name the feature sets: a folder that dallm augment wrote, or --frame NAME=FILE.")
    given = (
        _of_folder(Path(str(result)), targets, protocol, split, repeats, folds)
        if result is not None
        else _of_frames(frame or [], targets, group, id, drop or [], protocol, split, repeats, folds)
    )
    if cohort is not None:
        given["cohort"] = _cohort(cohort, id, report or [], group)
    made = dallm.evaluate(
        **given,
        models=_names(models),
        controls=() if controls == "none" else tuple(_names(controls)),
        subgroups=_names(subgroups) if subgroups else None,
        importances=importances,
        operating_point=criterion,
        on_leak=on_leak,
        allow_leaks=tuple(allow_leak or ()),
        aliases=_aliases(alias or []),
        device=device,
        n_jobs=jobs,
        seed=seed,
        folder=place / _FITS,
        progress=wants_progress(),
    )
    show_report(made)
    say()
    for path in write_report(made, place.path)[:3]:
        say(f"  {path}")
    say(f"  {place.path}: scores.parquet and all predictions")


def _of_folder(
    folder: Path, targets: str | None, protocol: str, split: str | None, repeats: int, folds: int
) -> dict[str, Any]:
    import dallm
    from dallm.evaluation.tables import protocol_of

    augmented = dallm.Augmented.load(folder)
    step(f"{len(augmented.cohort):,} cases from {str(folder)!r}")
    return {
        "feature_sets": augmented,
        "targets": _names(targets) if targets else None,
        "protocol": protocol_of(protocol, split, repeats, folds),
    }


def _of_frames(
    frames: list[str],
    targets: str | None,
    group: str | None,
    id: str | None,
    drop: list[str],
    protocol: str,
    split: str | None,
    repeats: int,
    folds: int,
) -> dict[str, Any]:
    from dallm.evaluation.tables import feature_tables, protocol_of
    from dallm.paper.table_files import named_paths, read_frame

    tables = {name: read_frame(path, step) for name, path in named_paths(frames).items()}
    read = feature_tables(tables, _names(targets or ""), group=group, id=id, split=split, drop=drop)
    for note in read.notes:
        step(f"  {note}")
    return {
        "feature_sets": read.sets,
        "targets": read.targets,
        "groups": read.groups,
        "protocol": protocol_of(protocol, read.marks, repeats, folds),
    }


def _cohort(path: Path, id: str | None, report: list[str], group: str | None) -> Any:
    import dallm

    if not id or not report:
        raise UserError(f"--cohort {str(path)!r}: say --id COLUMN and --report COLUMN, too.")
    return dallm.read_table(str(path), id=id, report=report, group=group)


def _criterion(said: str) -> Any:
    """Return the operating point, a number where it is one."""
    from dallm.evaluation.operating import check_criterion

    criterion: Any = said
    with suppress(ValueError):  # a name
        criterion = float(said)
    return check_criterion(criterion)


def _aliases(said: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in said:
        target, equals, name = (part.strip() for part in one.partition("="))
        if not (target and equals and name):
            raise UserError(f"--alias {one!r}: write TARGET=NAME, for example cardiomegaly='enlarged heart'.")
        found.setdefault(target, []).append(name)
    return found


def _names(said: str) -> list[str]:
    return [name.strip() for name in said.split(",") if name.strip()]
