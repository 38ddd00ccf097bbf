"""Pages of HTML that a report is written as: one file, that loads nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.35rem .8rem;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}small{color:#666}"
)


def page(title: str, body: str) -> str:
    """Return a whole page; `body` is HTML, the title is text.

    Examples
    --------
    >>> page("A & B", "<p>text</p>").endswith("<h1>A &amp; B</h1><p>text</p></body></html>\\n")
    True
    """
    named = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{named}</title>'
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


def table(heads: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]]) -> str:
    """Return a table; a cell is a text, or a text and what stands small below it.

    Examples
    --------
    >>> table(["arm", "recall"], [["dense", ("0.9", "0.8 to 1.0")]]).partition("dense</td>")[2]
    '<td>0.9<br><small>0.8 to 1.0</small></td></tr></tbody></table>'
    """
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(cell: str | tuple[str, str]) -> str:
    if isinstance(cell, str):
        return html.escape(cell)
    text, below = cell
    return f"{html.escape(text)}<br><small>{html.escape(below)}</small>"
