"""The table of a report in LaTeX, with the rules of booktabs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from dallm.evaluation.report.paper_table import RELEVANT_HEAD, as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_WIDEST_HEAD = 10  # characters of a line of a column's heading

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def escape(text: str) -> str:
    r"""Return a text as LaTeX prints it.

    Examples
    --------
    >>> escape("o2sat_% & p < .001")
    'o2sat\\_\\% \\& p \\textless{} .001'
    """
    return "".join(_ESCAPES.get(sign, sign) for sign in " ".join(text.split()))


def to_latex(table: pd.DataFrame, caption: str, *, intervals: bool = True) -> str:
    """Return a report's table as a LaTeX table environment; it needs the package ``booktabs``.

    Feature sets are headings above their models and intervals stand small below the figures, so that the
    columns of the paper fit a page of A4 or letter (about 390 of 450 points).

    Parameters
    ----------
    table : DataFrame
        As :meth:`EvaluationReport.table` returns it.
    caption : str
        Plain text.
    intervals : bool
        Whether they are shown.
    """
    shown = as_text(table)
    heads = ["", *(RELEVANT_HEAD if name == "relevant" else name for name in shown.columns)]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{escape(caption)}}}",
        f"\\begin{{tabular}}{{l{'r' * shown.shape[1]}}}",
        "\\toprule",
        " & ".join(_stacked(name) for name in heads) + r" \\",
    ]
    last = None
    for (name, model), row in zip(shown.index, shown.to_numpy(), strict=True):
        if name != last:
            lines += ["\\midrule", _row([f"\\textit{{{escape(name)}}}", *[""] * len(row)])]
        cells = [str(cell).partition(" (") if " to " in str(cell) else (str(cell), "", "") for cell in row]
        lines.append(_row([f"\\quad {escape(model)}", *(escape(figure) for figure, _, _ in cells)]))
        below = [f"\\scriptsize {escape(rest.rstrip(')'))}" if rest else "" for _, _, rest in cells]
        if intervals and any(below):
            lines.append(_row(["", *below]))
        last = name
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _stacked(name: str) -> str:
    """Return a heading, a long one with its words below each other."""
    parts = textwrap.wrap(name, _WIDEST_HEAD, break_long_words=False)
    if len(parts) < 2:
        return escape(name)
    return f"\\shortstack[r]{{{(chr(92) * 2).join(map(escape, parts))}}}"
