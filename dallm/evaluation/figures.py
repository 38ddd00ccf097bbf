"""Figures as files, and as pictures in a notebook."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from dallm.errors import UserError
from dallm.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def blank_figure(width: float, height: float) -> Figure:
    """Return an empty figure that a notebook shows as a picture without pyplot's help.

    Parameters
    ----------
    width, height : float
        In inches.

    Examples
    --------
    >>> blank_figure(4, 3)._repr_png_()[:4]
    b'\\x89PNG'
    """
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            with io.BytesIO() as out:
                self.savefig(out, format="png", dpi=110)
                return out.getvalue()

    return Shown(figsize=(width, height), layout="constrained")


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
