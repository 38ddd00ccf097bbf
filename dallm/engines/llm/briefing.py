"""Knowledge as a prompt holds it: the answers of an ACK by condition, shortened to a number of tokens."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from dallm.ack.ack import CITATION, Ack, Answer
from dallm.engines.llm.fence import code_for, fenced
from dallm.engines.llm.tokens import estimate_tokens
from dallm.knowledge.sentences import sentence_spans

KNOWLEDGE_TOKENS = 2000
"""Tokens that the knowledge of a prompt may take by default."""

_SPACES = re.compile(r"\s+([.,;:])")


def knowledge_text(
    ack: Ack | None, *, tokens: int = KNOWLEDGE_TOKENS, conditions: Sequence[str] | None = None
) -> str:
    """Return what an ACK says, as fenced text: the sources' notices, then the answers condition by condition.

    Each answer gets an equal share of `tokens`; what short answers leave over goes to the long ones. An
    answer is cut after a sentence. Notices are never cut.

    Parameters
    ----------
    ack : Ack or None
    tokens : int, default=2000
        Estimated tokens for the answers.
    conditions : sequence of str, optional
        Only these; all by default.

    Returns
    -------
    str
        Empty where there is no knowledge.

    Examples
    --------
    >>> ack = Ack([Answer("asthma", "signs", "examination", "Which signs has asthma?", "Wheezing.")])
    >>> print("\\n".join(knowledge_text(ack).splitlines()[1:-1]))
    asthma
    - examination, signs: Wheezing.
    """
    if ack is None or tokens <= 0:
        return ""
    wanted = [
        answer
        for answer in ack.answers
        if answer.text.strip() and (conditions is None or answer.condition in conditions)
    ]
    if not wanted:
        return ""
    notices = dict.fromkeys(c.notice for answer in wanted for c in answer.citations if c.notice)
    lines = [f"Notice: {notice}" for notice in notices]
    condition = ""
    for answer, text in zip(wanted, _shortened([plain_answer(a) for a in wanted], tokens), strict=True):
        if answer.condition != condition:
            condition = answer.condition
            lines.append(condition)
        if text:
            lines.append(f"- {_heading(answer)}: {text}")
    body = "\n".join(lines)
    return fenced("knowledge", body, code_for([body]))


def _heading(answer: Answer) -> str:
    return f"{answer.group}, {answer.query_id.replace('_', ' ')}"


class Same:
    """An ACK that is compared by identity, for caches: comparing what it says would be slow."""

    __slots__ = ("ack",)

    def __init__(self, ack: Ack | None) -> None:
        self.ack = ack

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.ack is self.ack

    def __hash__(self) -> int:
        return id(self.ack)


def cached_knowledge_text(ack: Ack | None, tokens: int, conditions: tuple[str, ...]) -> str:
    """Return :func:`knowledge_text`, made once for each ACK and choice of conditions."""
    return _cached(Same(ack), tokens, conditions)


@functools.lru_cache(maxsize=64)
def _cached(held: Same, tokens: int, conditions: tuple[str, ...]) -> str:
    return knowledge_text(held.ack, tokens=tokens, conditions=conditions)


def plain_answer(answer: Answer) -> str:
    """Return an answer on one line, without its marks: the passages that they cite are not in the prompt."""
    text = " ".join(CITATION.sub("", answer.text).split())
    return _SPACES.sub(r"\1", text)


def _shortened(texts: Sequence[str], tokens: int) -> list[str]:
    costs = [estimate_tokens(text) for text in texts]
    shares = _shares(costs, tokens)
    return [
        text if cost <= share else _cut(text, share)
        for text, cost, share in zip(texts, costs, shares, strict=True)
    ]


def _shares(costs: Sequence[int], tokens: int) -> list[int]:
    """Give each its cost where that is below an equal share, and the rest equal parts of what remains."""
    shares = [0] * len(costs)
    left, remaining = tokens, sorted(range(len(costs)), key=lambda i: costs[i])
    while remaining:
        fair = left // len(remaining)
        smallest = remaining.pop(0)
        shares[smallest] = min(costs[smallest], fair)
        left -= shares[smallest]
    return shares


def _cut(text: str, tokens: int) -> str:
    """The first sentences of a text that fit; its first sentence whole where it is not much too long."""
    kept, used = 0, 0
    for start, end in sentence_spans(text):
        used += estimate_tokens(text[start:end])
        if used > tokens and (kept or used > 2 * tokens):
            break
        kept = end
        if used >= tokens:
            break
    return text[:kept].strip()
