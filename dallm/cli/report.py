"""``dallm report``: look again at what a run left in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dallm.cli.screen import say
from dallm.cli.summary import show_counts, show_files
from dallm.errors import UserError


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that dallm augment, fill or demo wrote.")],
    everything: Annotated[bool, typer.Option("--all", help="List every feature.")] = False,
) -> None:
    """Show the counts of a finished run again, and write its evidence page anew."""
    import dallm

    if not folder.is_dir():
        raise UserError(f"There is no folder {str(folder)!r}.")
    if not (folder / "cells.parquet").exists():
        raise UserError(
            f"The folder {str(folder)!r} holds no finished run (no cells.parquet in it); "
            "give the folder that --out named, or run the same command again to finish it."
        )
    augmented = dallm.Augmented.load(folder)
    augmented.to_html(folder / "evidence.html")
    show_counts(augmented, top=len(augmented.features) if everything else 12)
    say()
    show_files(folder)
