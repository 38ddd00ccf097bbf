"""The answers of Experiment II as a page to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dallm.paper.comparison import MEASURES

if TYPE_CHECKING:
    from dallm.paper.comparison import RetrievalComparison, ScoredAnswer

_MARKUP = re.compile(r"([\\`*_<>#|])")


def to_markdown(comparison: RetrievalComparison) -> str:
    """Return the remarks, the table, and per question the answer of every arm with its references."""
    lines = ["# Experiment II: the same questions to every store", ""]
    notices = dict.fromkeys(c.notice for one in comparison.scored for c in one.answer.citations if c.notice)
    for notice in notices:
        lines += [f"> **{_plain(notice)}**", ""]
    for remark in comparison.remarks():
        lines += [_plain(remark), ""]
    lines += [*_table(comparison), ""]
    for number, (name, question) in enumerate(comparison.questions, start=1):
        lines += [f"## {number}. {_plain(question)}", ""]
        for one in comparison.scored:
            if one.question == name:
                lines += _answer(one, comparison)
    return "\n".join(lines).rstrip() + "\n"


def _table(comparison: RetrievalComparison) -> list[str]:
    columns = ("sources", "hits", "store", "score", *MEASURES, "answered", "in_sources")
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for _, row in comparison.table().iterrows():
        if row["not_run"]:
            continue
        cells = [_cell(row[name]) for name in columns]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _answer(one: ScoredAnswer, comparison: RetrievalComparison) -> list[str]:
    scores = ", ".join(
        f"{name} {value:.2f}" for name in MEASURES if (value := getattr(one.scores, name)) is not None
    )
    head = f"**{_plain(one.store)}, {_plain(one.sources)}, {_plain(one.hits)}** ({scores})"
    text = _plain(one.answer.text) or f"*No answer: {_plain(one.answer.reason)}.*"
    lines = [head, "", text, ""]
    for number, citation in enumerate(one.answer.citations, start=1):
        lines.append(f"- [{number}] {_plain(citation.reference)}")
    missing = [f for f in one.expected if f not in one.scores.stated]
    if missing:
        said = " ".join(
            comparison.says[one.question, fact] + ("" if fact in one.in_sources else " (in no passage)")
            for fact in missing
        )
        lines += ["", f"Not stated: {_plain(said)}"]
    return [*lines, ""]


def _cell(value: object) -> str:
    if value is None or value != value or str(value) == "<NA>":
        return ""
    return f"{value:.2f}" if isinstance(value, float) else _plain(str(value))


def _plain(text: str) -> str:
    # passages are text of others: nothing in them may become a heading, a link or markup
    return _MARKUP.sub(r"\\\1", " ".join(text.split())).replace("](", "]\\(")
