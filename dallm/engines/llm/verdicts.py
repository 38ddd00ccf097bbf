"""What verification said of an answer, kept with it: it is not asked again because some of it was refused."""

from __future__ import annotations

from collections import Counter, defaultdict

from dallm.engines.base import CaseAnswer
from dallm.engines.llm.cache.keys import key_of_digest
from dallm.engines.llm.cache.store import AnswerCache

_REFUSED = ("conflicting", "failed")


def keep_verdict(cache: AnswerCache, model_key: str, answer: CaseAnswer) -> None:
    """Write down how many cells of the answers to a case verification refused; nothing where it refused none.

    Parameters
    ----------
    cache : AnswerCache
    model_key : str
        The name of model and place in the cache.
    answer : CaseAnswer
        After verification.
    """
    refused: dict[str, Counter[str]] = defaultdict(Counter)
    for draft in answer.drafts.values():
        if draft.status in _REFUSED and draft.prompt_sha256:
            refused[draft.prompt_sha256][draft.status] += 1
    for sha256, counts in refused.items():
        verdict = ", ".join(f"{counts[status]} {status}" for status in _REFUSED if counts[status])
        cache.set_verdict(key_of_digest(sha256, model_key), verdict)
