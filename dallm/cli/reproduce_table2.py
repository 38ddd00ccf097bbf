"""``dallm reproduce table2``: Experiment I, how near filled values are to measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.cli.engines import EngineChoice
from dallm.cli.option_groups import Without, with_groups
from dallm.cli.outputs import OutputFolder
from dallm.cli.screen import say, step, table
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.paper.table2 import Table2

_CASES = "Cases"
_TABLES = "Ready tables"
_ROWS = "Rows of the table"


@with_groups
def table2(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
    engine: Annotated[EngineChoice, Without("dry_run")],
    mimic: Annotated[
        Path | None,
        typer.Option(
            "--mimic", help="Folder with MIMIC-IV-ED and more.", metavar="ROOT", rich_help_panel=_CASES
        ),
    ] = None,
    cases: Annotated[
        int, typer.Option("--cases", min=20, help="Synthetic cases to make.", rich_help_panel=_CASES)
    ] = 400,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="Measured values.", metavar="FILE", rich_help_panel=_TABLES),
    ] = None,
    filled: Annotated[
        list[str] | None,
        typer.Option(
            "--filled",
            help="Filled values; repeat it. CSV, Excel (FILE.xlsx:SHEET) or Parquet.",
            metavar="[NAME=]FILE",
            rich_help_panel=_TABLES,
        ),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Column that names the rows; found.", metavar="COLUMN", rich_help_panel=_TABLES
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", help="Column of patients; found.", metavar="COLUMN", rich_help_panel=_TABLES),
    ] = None,
    other_cases: Annotated[
        bool,
        typer.Option("--other-cases", help="The tables are not the paper's cases.", rich_help_panel=_TABLES),
    ] = False,
    baselines: Annotated[
        str,
        typer.Option(
            "--baselines",
            help="auto, all, none, or names with commas between.",
            metavar="NAMES",
            rich_help_panel=_ROWS,
        ),
    ] = "auto",
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            help="A domain model that is on this disk: BioGPT, ClinicalBERT, ...; repeat it.",
            metavar="NAME",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Of mmtf.", rich_help_panel=_ROWS)] = 200,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu or cuda, for mmtf and domain models.")
    ] = "cpu",
    within_observed: Annotated[
        bool,
        typer.Option(
            "--within-observed",
            help="Reject an engine's value outside the observed range and ask again, as published; each time "
            "is a new call.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    infer: Annotated[
        bool,
        typer.Option(
            "--infer/--no-infer",
            help="Whether a chat model may estimate what no report states. It may here: that is what is "
            "measured; --no-infer takes what reports state alone.",
            rich_help_panel=_ROWS,
        ),
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything drawn.")] = 0,
) -> None:
    """Mask one vital sign at a time, have it filled, and set the error beside the published one.

    This is Experiment I. Without --mimic and --filled, synthetic cases are made. Filling the mean scores
    1.000. A chat model named by --engine may estimate here, other than in the other commands.
    """
    from dallm.fidelity.mmtf import MMTFSettings

    if mimic is not None and (truth is not None or filled):
        raise UserError("--mimic and ready tables exclude each other; give one.")
    place = OutputFolder(out)
    options: dict[str, Any] = {
        "baselines": baselines if baselines in ("auto", "all", "none") else _names(baselines),
        "mmtf": MMTFSettings(epochs=epochs),
        "device": device,
        "seed": seed,
        "progress": step,
    }
    if truth is not None or filled:
        made = _of_tables(truth, filled or [], id, group, not other_cases, options)
    else:
        made = _of_cohort(mimic, cases, engine, infer, domain or [], within_observed, options)
    _show(made)
    for path in made.save(place.path):
        say(f"  {path}")


def _names(said: str) -> list[str]:
    return [name.strip() for name in said.split(",") if name.strip()]


def _of_tables(
    truth: Path | None,
    filled: list[str],
    id: str | None,
    group: str | None,
    same_data: bool,
    options: dict[str, Any],
) -> Table2:
    from dallm.paper.fidelity_tables import line_up, patients_in, truth_in
    from dallm.paper.table2 import table2_of_tables
    from dallm.paper.table_files import named_paths, read_frame

    paths = named_paths(filled)
    tables = {name: read_frame(path, step) for name, path in paths.items()}
    measured = read_frame(truth, step) if truth is not None else truth_in(tables)
    measured, tables, notes = line_up(measured, tables, id=id)
    for note in notes:
        step(note)
    return table2_of_tables(
        measured, tables, groups=patients_in(measured, group), same_data=same_data, **options
    )


def _of_cohort(
    mimic: Path | None,
    cases: int,
    engine: EngineChoice,
    infer: bool,
    domain: list[str],
    within_observed: bool,
    options: dict[str, Any],
) -> Table2:
    import dallm
    from dallm.paper.table2 import table2_of_cohort

    if mimic is not None:
        cohort = dallm.read_mimic(mimic, targets=None)
        step(f"{len(cohort):,} cases from {str(mimic)!r}")
    else:
        cohort = dallm.make_cohort(cases, seed=options["seed"])
        step(f"{len(cohort):,} synthetic cases; --mimic ROOT takes your own")
    engines = {engine.name: engine.open(infer=infer)} if cohort.report or engine.is_model else {}
    tables = {}
    for name in domain:
        from dallm.fidelity.domain.filling import fill_by_domain_model

        tables[name] = fill_by_domain_model(
            cohort, name, device=options["device"], seed=options["seed"], progress=step
        )
    return table2_of_cohort(
        cohort, engines=engines, filled=tables, within_observed=within_observed, **options
    )


def _show(made: Table2) -> None:
    found = made.table()
    found["filled"] = [
        made.fidelity.filled_share()[method] if figures == "measured" else float("nan")
        for method, figures in found.index
    ]
    rows = [
        [method, figures, *("" if value != value else value for value in row)]
        for (method, figures), row in zip(
            found.index, found.to_numpy(dtype=float, na_value=float("nan")).tolist(), strict=True
        )
    ]
    table(["method", "figures", *map(str, found.columns)], rows)
    say()
    for line in made.remarks():
        say(line)
    say()
