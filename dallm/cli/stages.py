"""``dallm ingest``, ``dallm ack`` and ``dallm discover``: the stages before filling, one at a time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.cli import inputs as cases
from dallm.cli.augment import ConditionOption, LexiconOption
from dallm.cli.screen import notice, say, step, table, wants_progress
from dallm.errors import StoreError, UserError

if TYPE_CHECKING:
    from dallm.cohort import Cohort

_StoreToOpen = Annotated[
    Path, typer.Option("--store", help="Knowledge store: a folder.", metavar="FOLDER", show_default=False)
]


def ingest(
    store: _StoreToOpen,
    primer: Annotated[
        bool, typer.Option("--primer", help="Take in the built-in primer (unreviewed, for trying out).")
    ] = False,
    folder: Annotated[
        list[Path] | None,
        typer.Option("--folder", help="Take in the md, txt, html and pdf files of a folder; repeat it."),
    ] = None,
    condition: ConditionOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the passages of files that are gone.")
    ] = False,
    lexical: Annotated[
        bool,
        typer.Option("--lexical", help="No dense vectors: a smaller, faster store that finds words only."),
    ] = False,
) -> None:
    """Put texts about conditions into a knowledge store; what is there already is not written again."""
    import dallm

    if not primer and not folder:
        raise UserError("Name at least one source: --primer, or --folder FOLDER.")
    sources: list[Any] = [dallm.Primer()] if primer else []
    sources += [dallm.Folder(path) for path in folder or ()]
    with closing(dallm.open_store(store, encoder=None if lexical else "auto")) as opened:
        report = dallm.ingest(
            opened, sources=sources, conditions=_conditions(condition), progress=wants_progress(), prune=prune
        )
        say(str(report))
        say(repr(opened))


def ack(
    store: _StoreToOpen,
    out: Annotated[Path, typer.Option("--out", help="JSON file for the answers.", metavar="FILE")],
    condition: ConditionOption = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write the answers as Markdown beside it, too.")
    ] = False,
    passages: Annotated[
        int, typer.Option("-k", "--passages", min=1, help="Passages that an answer may rest on.")
    ] = 6,
) -> None:
    """Answer the expert questions about each condition from the passages of a store."""
    import dallm

    if not store.exists():
        raise StoreError(f"There is no store {str(store)!r}. Make one: dallm ingest --store {store} --primer")
    with closing(dallm.open_store(store, read_only=True)) as opened:
        made = dallm.build_ack(
            opened, conditions=_conditions(condition), k=passages, progress=wants_progress()
        )
    made.save(out)
    say(f"{made!r}")
    say(f"  {out}")
    if markdown:
        from dallm.files import write_text

        beside = out.with_suffix(".md")
        write_text(beside, made.to_markdown())
        say(f"  {beside}")


def discover(
    ack: Annotated[Path, typer.Option("--ack", help="Answers, from dallm ack.", metavar="FILE")],
    out: Annotated[Path, typer.Option("--out", help="JSON file for the features.", metavar="FILE")],
    table_path: cases.TableArgument = None,
    id_column: cases.IdOption = None,
    report: cases.ReportOption = None,
    group: cases.GroupOption = None,
    numeric: cases.NumericOption = None,
    categorical: cases.CategoricalOption = None,
    target: cases.TargetOption = None,
    lexicon: LexiconOption = None,
    include_targets: Annotated[
        bool, typer.Option("--include-targets", help="Keep features that restate a target.")
    ] = False,
) -> None:
    """List the features that the answers name; with a table, leave out what it already has.

    Of the table only the names and roles of its columns are used.
    """
    import dallm
    from dallm.cli.run import read_lexicon

    cohort = None
    if table_path is not None:
        cohort = _cohort(table_path, id_column, report, group, numeric, categorical, target)
    engine = dallm.engine("extractive", lexicon=read_lexicon(lexicon or ()))
    found = dallm.discover_features(
        dallm.Ack.load(ack), cohort=cohort, engine=engine, include_targets=include_targets
    )
    found.to_json(out)
    for name, why in found.dropped:
        notice(f"Note: left out {name!r}: {why}")
    rows = [(f.name, f.kind, f.category or "", "; ".join(f.conditions)) for f in found]
    table(("feature", "kind", "category", "conditions"), rows)
    say(f"{len(found):,} features\n  {out}")


def _cohort(
    path: Path,
    id_column: str | None,
    report: list[str] | None,
    group: str | None,
    numeric: list[str] | None,
    categorical: list[str] | None,
    target: list[str] | None,
) -> Cohort:
    step(f"Reading {str(path)!r}")
    return cases.CaseInput(
        table=path,
        id=id_column,
        report=report or (),
        group=group,
        numeric=numeric or (),
        categorical=categorical or (),
        target=target or (),
    ).read()


def _conditions(given: list[str] | None) -> list[str]:
    from dallm.cli.run import PAPER_CONDITIONS

    return list(given or PAPER_CONDITIONS)
