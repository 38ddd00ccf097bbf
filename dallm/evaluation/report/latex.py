"""The table of a report in LaTeX, with the rules of booktabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dallm.evaluation.report.paper_table import as_text

if TYPE_CHECKING:
    import pandas as pd

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


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """Return a report's table as a LaTeX table environment; it needs the package ``booktabs``.

    Parameters
    ----------
    table : DataFrame
        As :meth:`EvaluationReport.table` returns it.
    caption : str
        Plain text.
    """
    shown = as_text(table)
    heads = ["Feature set", "Model", *("relevant features" if n == "relevant" else n for n in shown.columns)]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\caption{{{escape(caption)}}}",
        f"\\begin{{tabular}}{{ll{'r' * shown.shape[1]}}}",
        "\\toprule",
        " & ".join(map(escape, heads)) + r" \\",
    ]
    last = None
    for (name, model), row in zip(shown.index, shown.to_numpy(), strict=True):
        if name != last:
            lines.append("\\midrule")
        first = escape(name) if name != last else ""
        lines.append(" & ".join([first, escape(model), *(escape(cell) for cell in row)]) + r" \\")
        last = name
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])
