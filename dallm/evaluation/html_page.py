"""Pages of HTML that a report is written as: one file, that loads nothing from elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;"
    "overflow-wrap:anywhere}table{border-collapse:collapse;margin:1rem 0;overflow-wrap:normal}"
    "th,td{padding:.35rem .8rem;text-align:right;vertical-align:top;border-bottom:1px solid #ddd}"
    ".t{text-align:left}.long{min-width:15rem}.wide{overflow-x:auto;max-width:100%}"
    "small{color:#666;white-space:nowrap}"
    "summary{cursor:pointer;margin:.4rem 0}dd{margin:0 0 .5rem 1.5rem}"
    "@media(max-width:40rem){body{margin:1rem auto}h1{font-size:1.5rem}ul{padding-left:1.2rem}"
    "th,td{padding:.3rem .45rem}}"
)
_LONG = 40  # characters of a text that would make rows tall in a narrow column
_NUMBER = re.compile(r"[<>]?\s*[+-]?[.\d]")


def page(title: str, body: str) -> str:
    """Return a whole page; `body` is HTML, the title is text.

    Examples
    --------
    >>> page("A & B", "<p>text</p>").endswith("<h1>A &amp; B</h1><p>text</p></body></html>\\n")
    True
    """
    named = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{named}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{named}</h1>{body}</body></html>\n"
    )


def paragraphs(lines: Iterable[str]) -> str:
    """Return a paragraph for each line that is not empty.

    Examples
    --------
    >>> paragraphs(["a < b", ""])
    '<p>a &lt; b</p>'
    """
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]], *, text: bool = False
) -> str:
    """Return a table that scrolls on narrow screens; a cell is a text, or a text and what stands small below.

    Columns of numbers are aligned right, others left; all left with `text`.

    Examples
    --------
    >>> table(["arm", "recall"], [["dense", ("0.9", "0.8 to 1.0")]]).partition("dense</td>")[2]
    '<td>0.9<br><small>0.8 to 1.0</small></td></tr></tbody></table></div>'
    """
    held = [list(row) for row in rows]
    numeric = [not text and _numeric([row[i] for row in held]) for i in range(len(heads))]
    marks = ["" if one else _text_mark([row[i] for row in held]) for i, one in enumerate(numeric)]
    head = "".join(f"<th{mark}>{html.escape(name)}</th>" for name, mark in zip(heads, marks, strict=True))
    lines = (
        "".join(f"<td{mark}>{_cell(cell)}</td>" for cell, mark in zip(row, marks, strict=True))
        for row in held
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(summary: str, body: str, *, open_: bool = False) -> str:
    """Return what a click on its summary opens; `body` is HTML, the summary is text.

    Examples
    --------
    >>> folded("A & B", "<p>text</p>")
    '<details><summary>A &amp; B</summary><p>text</p></details>'
    """
    mark = " open" if open_ else ""
    return f"<details{mark}><summary>{html.escape(summary)}</summary>{body}</details>"


def _text_mark(cells: Iterable[str | tuple[str, str]]) -> str:
    """Return the class of a column of texts, one with long ones no narrower than a phone lets it be."""
    longest = max((len(cell) for cell in cells if isinstance(cell, str)), default=0)
    return ' class="t long"' if longest > _LONG else ' class="t"'


def _numeric(cells: Iterable[str | tuple[str, str]]) -> bool:
    """Return whether a column holds figures: what is not empty begins with a number."""
    texts = [cell if isinstance(cell, str) else cell[0] for cell in cells]
    known = [one for one in texts if one and one != "not defined"]
    return bool(known) and all(_NUMBER.match(one) for one in known)


def _cell(cell: str | tuple[str, str]) -> str:
    if isinstance(cell, str):
        return html.escape(cell)
    text, below = cell
    return f"{html.escape(text)}<br><small>{html.escape(below)}</small>"
