"""Figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dallm.errors import UserError
from dallm.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the path's ending names.

    Raises
    ------
    UserError
        If matplotlib cannot write that format.
    OutputError
        If the file cannot be written there.
    """
    kinds = figure.canvas.get_supported_filetypes()
    kind = path.suffix.lstrip(".").lower()
    if kind not in kinds:
        raise UserError(
            f"{str(path)!r}: a plot is written as one of {', '.join(sorted(kinds))}; change the ending."
        )
    with replacing(path) as part:
        figure.savefig(part, format=kind, dpi=150)
