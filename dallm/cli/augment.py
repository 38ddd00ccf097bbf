"""``dallm augment`` and ``dallm fill``: the main job, with discovery and without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dallm.cli.engines import EngineChoice
from dallm.cli.inputs import CaseInput
from dallm.cli.option_groups import with_groups
from dallm.cli.stores import ADDRESS_HELP, KindOption, NamespaceOption

if TYPE_CHECKING:
    from dallm.augment.cells import Uncertain

_WHAT = "What to look for"

ConditionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        help="Condition that the cases are about; repeat it. Default: the five of the paper.",
        metavar="NAME",
        rich_help_panel=_WHAT,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Folder for the results; made when missing.", metavar="FOLDER")
]
FeatureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--feature",
        help="A feature to fill as well, by name; repeat it.",
        metavar="NAME",
        rich_help_panel=_WHAT,
    ),
]
FeaturesOption = Annotated[
    Path | None,
    typer.Option(
        "--features",
        help="File of features; nothing is discovered then.",
        metavar="FILE",
        rich_help_panel=_WHAT,
    ),
]
LexiconOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--lexicon",
        help="Lexicon file that adds to the built-in one; repeat it.",
        metavar="FILE",
        rich_help_panel=_WHAT,
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help=f"Knowledge store made by dallm ingest: {ADDRESS_HELP}. Default: one with the built-in primer.",
        metavar="STORE",
        rich_help_panel=_WHAT,
    ),
]
AckOption = Annotated[
    Path | None,
    typer.Option(
        "--ack",
        help="Answers to the expert questions, from dallm ack.",
        metavar="FILE",
        rich_help_panel=_WHAT,
    ),
]
UncertainOption = Annotated[
    str,
    typer.Option(
        "--uncertain",
        help="Value of what a report only considers; its status stays uncertain.",
        metavar="missing|present|absent",
        rich_help_panel=_WHAT,
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the result of another run in the folder.")
]


@with_groups
def augment(
    *,
    out: OutOption,
    cases: CaseInput,
    condition: ConditionOption = None,
    feature: FeatureOption = None,
    features: FeaturesOption = None,
    lexicon: LexiconOption = None,
    store: StoreOption = None,
    namespace: NamespaceOption = None,
    kind: KindOption = None,
    ack: AckOption = None,
    uncertain: UncertainOption = "missing",
    engine: EngineChoice,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="End with a short evaluation on the targets; needs --target."),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Find the features that matter for a condition, and fill them for every case.

    Reads a table of cases with report text, writes the same table with new clinical columns, a status and a
    source for every new cell, the quotes they rest on, and a page to check them by eye. No language model, no
    key, no server, unless --engine names a model.

    An interrupted run goes on when the same command is given again.
    """
    from dallm.cli.run import Choices, run

    choices = Choices(
        conditions=condition or (),
        features=features,
        extra=feature or (),
        lexicon=lexicon or (),
        store=store,
        namespace=namespace,
        kind=kind,
        ack=ack,
        uncertain=cast("Uncertain", uncertain),
        engine=engine,
    )
    run(cases, choices, out, overwrite=overwrite, evaluate=evaluate)


@with_groups
def fill(
    *,
    out: OutOption,
    features: Annotated[
        Path,
        typer.Option("--features", help="File of features, from dallm discover.", metavar="FILE"),
    ],
    cases: CaseInput,
    lexicon: LexiconOption = None,
    ack: AckOption = None,
    uncertain: UncertainOption = "missing",
    engine: EngineChoice,
    overwrite: OverwriteOption = False,
) -> None:
    """Fill the features of a file for every case: the last stage of augment alone."""
    from dallm.cli.run import Choices, run

    choices = Choices(
        features=features,
        lexicon=lexicon or (),
        ack=ack,
        uncertain=cast("Uncertain", uncertain),
        engine=engine,
    )
    run(cases, choices, out, overwrite=overwrite)
