"""An ACK as a page to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dallm.ack.ack import CITATION, NO_SUPPORT, Answer

if TYPE_CHECKING:
    from dallm.ack.ack import Ack

_AGAIN = re.compile(r" ?(\[\d+\])(?=[^\[\]]+\1)")
_MARKUP = re.compile(r"([\\`*_<>#|])")


def to_markdown(ack: Ack) -> str:
    """Return the ACK as Markdown: references are numbered anew per condition, each passage once."""
    lines = ["# Augmented clinical knowledge", ""]
    for notice in ack.notices:
        lines += [f"> **{notice}**", ""]
    by = f"{ack.engine} ({ack.model})" if ack.model else ack.engine
    lines += [f"Answered by: {_plain(by)}", ""]
    for condition in ack.conditions:
        lines += [f"## {_plain(condition[:1].upper() + condition[1:])}", ""]
        lines += _condition([a for a in ack.answers if a.condition == condition])
    return "\n".join(lines).rstrip() + "\n"


def _condition(answers: list[Answer]) -> list[str]:
    numbers: dict[str, int] = {}
    references: list[str] = []
    lines = []
    for group in dict.fromkeys(answer.group for answer in answers):
        lines += [f"### {_plain(group[:1].upper() + group[1:])}", ""]
        for answer in (a for a in answers if a.group == group):
            local = {}
            for place, citation in enumerate(answer.citations, start=1):
                key = citation.sha256 or citation.reference
                if key not in numbers:
                    numbers[key] = len(numbers) + 1
                    references.append(f"{numbers[key]}. {_plain(citation.reference)}")
                local[place] = numbers[key]
            lines += [f"**{_plain(answer.question)}**", "", _answer(answer, local), ""]
    if references:
        lines += ["### References", "", *references, ""]
    return lines


def _answer(answer: Answer, numbers: dict[int, int]) -> str:
    if not answer.text:
        return f"*No answer: {_plain(answer.reason or NO_SUPPORT)}.*"
    text = CITATION.sub(lambda m: f"[{numbers[int(m.group(1))]}]", _plain(answer.text))
    # sentences of one passage that follow each other are cited once, at their end
    return _AGAIN.sub("", text)


def _plain(text: str) -> str:
    # passages are text of others: nothing in them may become a heading, a link or markup
    return _MARKUP.sub(r"\\\1", " ".join(text.split())).replace("](", "]\\(")
