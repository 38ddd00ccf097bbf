"""How a domain model is asked for one vital sign: the words, what it writes, the likeliest number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dallm.engines.base import Case
from dallm.fidelity.domain.loading import Loaded

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NEW_TOKENS = 12
_CANDIDATES = 400  # a wider range is walked in larger steps


@dataclass(frozen=True)
class Question:
    """What stands before and behind the gap: ``report``, ``before``, the number, ``after``."""

    report: str
    before: str
    after: str


def question_for(case: Case, column: str, name: str, unit: str) -> Question:
    """Put a case into words, without the vital that is asked for.

    Examples
    --------
    >>> case = Case(1, {"findings": "Clear."}, {"sbp": 120.0, "o2sat": 97.0}, {"sbp": "mmHg", "o2sat": "%"})
    >>> question_for(case, "o2sat", "oxygen saturation", "%").before
    'Vital signs: sbp 120 mmHg. The oxygen saturation of this patient is'
    """
    report = " ".join(" ".join(text.split()) for text in case.report.values() if text)
    others = "; ".join(
        f"{other} {value:g} {case.units.get(other, '')}".strip()
        if isinstance(value, float)
        else f"{other} {value}"
        for other, value in case.row.items()
        if other != column and value is not None
    )
    known = f"Vital signs: {others}. " if others else ""
    return Question(f"Report: {report}", f"{known}The {name} of this patient is", f"{unit}.")


def number_in(text: str, low: float, high: float) -> float | None:
    """Return the first number of an answer, or None where there is none or it lies outside the bounds.

    Examples
    --------
    >>> number_in(" 97 % on room air", 70, 100), number_in("970", 70, 100), number_in("normal", 70, 100)
    (97.0, None, None)
    """
    found = _NUMBER.search(text)
    value = float(found[0]) if found else None
    return value if value is not None and low <= value <= high else None


def candidates_between(low: float, high: float, decimals: int) -> list[str]:
    """Return the numbers that a masked model chooses from, as texts.

    Examples
    --------
    >>> candidates_between(97.9, 98.2, 1), candidates_between(88, 91, 0)
    (['97.9', '98.0', '98.1', '98.2'], ['88', '89', '90', '91'])
    """
    scale = 10**decimals
    first, last = int(np.ceil(low * scale - 1e-9)), int(np.floor(high * scale + 1e-9))
    step = max(1, -(-(last - first + 1) // _CANDIDATES))
    return [f"{n / scale:.{decimals}f}" for n in range(first, last + 1, step)]


def _prompt(loaded: Loaded, question: Question, spare: int, *, close: bool) -> tuple[list[int], list[int]]:
    """Return the tokens before and behind the gap; a report that is too long loses its end."""
    tokenizer = loaded.tokenizer

    def tokens(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    before, after = tokens(question.before), tokens(question.after) if close else []
    start = tokenizer.cls_token_id if close else tokenizer.bos_token_id
    end = tokenizer.sep_token_id if close else None
    head = [] if start is None else [start]
    tail = after + ([] if end is None else [end])
    room = loaded.length - spare - len(before) - len(head) - len(tail)
    if room < 0:  # a model of few positions: the question itself stands at the end of what is before the gap
        before = before[-room:]
    return [*head, *tokens(question.report)[: max(room, 0)], *before], tail


def likeliest(loaded: Loaded, question: Question, candidates: Sequence[str]) -> float:
    """Return the number that a masked model finds likeliest in the gap.

    Numbers of one length in tokens are compared in one pass, all of their tokens masked at once; between
    lengths the mean log-probability of a token decides.
    """
    import torch

    tokenizer = loaded.tokenizer
    by_length: dict[int, list[tuple[str, list[int]]]] = {}
    for text in candidates:
        ids = list(tokenizer(" " + text, add_special_tokens=False)["input_ids"])
        by_length.setdefault(len(ids), []).append((text, ids))
    best, chosen = -np.inf, candidates[0]
    for length, members in by_length.items():
        before, after = _prompt(loaded, question, length, close=True)
        ids = [*before, *[tokenizer.mask_token_id] * length, *after]
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([ids], device=loaded.device)).logits[0]
        log_p = torch.log_softmax(logits[len(before) : len(before) + length].float(), dim=-1).cpu().numpy()
        wanted = np.array([ids for _, ids in members])
        scores = log_p[np.arange(length), wanted].mean(axis=1)
        if float(scores.max()) > best:
            best, chosen = float(scores.max()), members[int(scores.argmax())][0]
    return float(chosen)


def written(loaded: Loaded, questions: Sequence[Question], *, temperature: float) -> list[str]:
    """Return what a causal model writes into each gap; it samples where the temperature is above 0."""
    import torch

    tokenizer = loaded.tokenizer
    prompts = [_prompt(loaded, question, _NEW_TOKENS, close=False)[0] for question in questions]
    longest = max(map(len, prompts))
    padding = next((n for n in (tokenizer.pad_token_id, tokenizer.eos_token_id) if n is not None), 0)
    ids = torch.tensor([[padding] * (longest - len(p)) + p for p in prompts], device=loaded.device)
    seen = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=loaded.device)
    sampling: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_k": 50}
    with torch.inference_mode():
        made = loaded.model.generate(
            input_ids=ids, attention_mask=seen, max_new_tokens=_NEW_TOKENS, pad_token_id=padding, **sampling
        )
    return [str(tokenizer.decode(row[longest:], skip_special_tokens=True)) for row in made]
