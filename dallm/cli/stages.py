"""``dallm ack`` and ``dallm discover``: the stages between knowledge and filling, one at a time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dallm.cli import engines
from dallm.cli import inputs as cases
from dallm.cli.augment import ConditionOption, LexiconOption
from dallm.cli.screen import notice, say, step, table, wants_progress
from dallm.cli.stores import ADDRESS_HELP, KindOption, NamespaceOption, open_given

if TYPE_CHECKING:
    from dallm.cohort import Cohort

_StoreToOpen = Annotated[
    str,
    typer.Option("--store", help=f"Knowledge store: {ADDRESS_HELP}.", metavar="STORE", show_default=False),
]


def ack(
    store: _StoreToOpen,
    out: Annotated[Path, typer.Option("--out", help="JSON file for the answers.", metavar="FILE")],
    condition: ConditionOption = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write the answers as Markdown beside it, too.")
    ] = False,
    namespace: NamespaceOption = None,
    kind: KindOption = None,
    passages: Annotated[
        int, typer.Option("-k", "--passages", min=1, help="Passages that an answer may rest on.")
    ] = 6,
    engine: engines.EngineOption = engines.EXTRACTIVE,
    base_url: engines.BaseUrlOption = None,
    cache: engines.CacheOption = None,
    budget_cost: engines.BudgetCostOption = None,
    budget_tokens: engines.BudgetTokensOption = None,
    budget_calls: engines.BudgetCallsOption = None,
) -> None:
    """Answer the expert questions about each condition from the passages of a store."""
    import dallm

    chosen = engines.EngineChoice(
        name=engine,
        base_url=base_url,
        cache=cache,
        budget_cost=budget_cost,
        budget_tokens=budget_tokens,
        budget_calls=budget_calls,
    ).open()
    with closing(open_given(store, namespace=namespace, kind=kind)) as opened:
        made = dallm.build_ack(
            opened,
            conditions=_conditions(condition),
            k=passages,
            engine=chosen,
            progress=wants_progress(),
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
    engine: engines.EngineOption = engines.EXTRACTIVE,
    base_url: engines.BaseUrlOption = None,
    cache: engines.CacheOption = None,
    budget_cost: engines.BudgetCostOption = None,
    budget_tokens: engines.BudgetTokensOption = None,
    budget_calls: engines.BudgetCallsOption = None,
) -> None:
    """List the features that the answers name; with a table, leave out what it already has.

    Of the table only the names and roles of its columns are used.
    """
    import dallm
    from dallm.cli.run import read_lexicon

    cohort = None
    if table_path is not None:
        cohort = _cohort(table_path, id_column, report, group, numeric, categorical, target)
    chosen = engines.EngineChoice(
        name=engine,
        base_url=base_url,
        cache=cache,
        budget_cost=budget_cost,
        budget_tokens=budget_tokens,
        budget_calls=budget_calls,
    ).open(read_lexicon(lexicon or ()))
    found = dallm.discover_features(
        dallm.Ack.load(ack), cohort=cohort, engine=chosen, include_targets=include_targets
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
