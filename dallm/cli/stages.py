"""``dallm ack`` and ``dallm discover``: the stages between knowledge and filling, one at a time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from dallm.cli.augment import ConditionOption, LexiconOption
from dallm.cli.engines import EngineChoice
from dallm.cli.inputs import CaseInput
from dallm.cli.option_groups import Without, with_groups
from dallm.cli.screen import notice, say, step, table, wants_progress
from dallm.cli.stores import ADDRESS_HELP, KindOption, NamespaceOption, open_given

_StoreToOpen = Annotated[
    str,
    typer.Option("--store", help=f"Knowledge store: {ADDRESS_HELP}.", metavar="STORE", show_default=False),
]
_Bounded = Without("allow_egress", "mode", "batch_wait", "dry_run")  # no case is sent, and nothing is filled
_TableOnly = Without("mimic", "openi", "data_use", "encoding", "separator", "sheet", "limit")


@with_groups
def ack(
    *,
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
    engine: Annotated[EngineChoice, _Bounded],
) -> None:
    """Answer the expert questions about each condition from the passages of a store."""
    import dallm

    with closing(open_given(store, namespace=namespace, kind=kind)) as opened:
        made = dallm.build_ack(
            opened,
            conditions=_conditions(condition),
            k=passages,
            engine=engine.open(),
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


@with_groups
def discover(
    *,
    ack: Annotated[Path, typer.Option("--ack", help="Answers, from dallm ack.", metavar="FILE")],
    out: Annotated[Path, typer.Option("--out", help="JSON file for the features.", metavar="FILE")],
    cases: Annotated[CaseInput | None, _TableOnly],
    lexicon: LexiconOption = None,
    include_targets: Annotated[
        bool, typer.Option("--include-targets", help="Keep features that restate a target.")
    ] = False,
    engine: Annotated[EngineChoice, _Bounded],
) -> None:
    """List the features that the answers name; with a table, leave out what it already has.

    Of the table only the names and roles of its columns are used.
    """
    import dallm
    from dallm.cli.run import read_lexicon

    cohort = None
    if cases is not None:
        step(f"Reading {cases.label}")
        cohort = cases.read()
    found = dallm.discover_features(
        dallm.Ack.load(ack),
        cohort=cohort,
        engine=engine.open(read_lexicon(lexicon or ())),
        include_targets=include_targets,
    )
    found.to_json(out)
    for name, why in found.dropped:
        notice(f"Note: left out {name!r}: {why}")
    rows = [(f.name, f.kind, f.category or "", "; ".join(f.conditions)) for f in found]
    table(("feature", "kind", "category", "conditions"), rows)
    say(f"{len(found):,} features\n  {out}")


def _conditions(given: list[str] | None) -> list[str]:
    from dallm.knowledge.conditions import PAPER_CONDITIONS

    return list(given or PAPER_CONDITIONS)
