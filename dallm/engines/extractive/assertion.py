"""How a text asserts a finding: present, negated, possible, hypothetical, historical, another's, resolved.

Rules over trigger phrases in the manner of NegEx (Chapman et al., J Biomed Inform 2001, 34:301-310) and
ConText (Harkema et al., J Biomed Inform 2009, 42:839-851), with reach decided clause by clause, not by a
fixed window. The phrases stand in ``data/assertion`` and can be edited; docs/assertion.md tells how it works.
"""

from __future__ import annotations

from typing import NamedTuple

from dallm.engines.extractive.scope import Scope
from dallm.engines.extractive.text import sentences, tokenise
from dallm.errors import UserError

ASSERTIONS = ("present", "negated", "possible", "hypothetical", "historical", "other_person", "resolved")


class Assertion(NamedTuple):
    """The assertion of a span, the rule behind it, and where the deciding words stand.

    Attributes
    ----------
    assertion : str
        One of `ASSERTIONS`.
    rule : str
        What decided, in words.
    trigger : tuple of (int, int) or None
        Start and end (code points) of the deciding words in the text; None where the default or the section
        decided.
    """

    assertion: str
    rule: str
    trigger: tuple[int, int] | None


def assertion_of(text: str, start: int, end: int) -> Assertion:
    """Return how a text asserts the finding that stands at ``text[start:end]``.

    Parameters
    ----------
    text : str
        A sentence, a section or a whole report.
    start, end : int
        The span, in code points, end exclusive.

    Returns
    -------
    Assertion
        The assertion (one of ``present``, ``negated``, ``possible``, ``hypothetical``, ``historical``,
        ``other_person``, ``resolved``), the rule, and the span of the words that decided.

    Raises
    ------
    UserError
        If the span is empty or not inside the text.

    Examples
    --------
    >>> import dallm
    >>> text = "No pneumothorax, effusion or consolidation."
    >>> dallm.assertion_of(text, 17, 25)
    Assertion(assertion='negated', rule="negated: 'no'", trigger=(0, 2))
    >>> dallm.assertion_of("No change in effusion.", 13, 21).assertion
    'present'
    """
    if not isinstance(text, str):
        raise UserError(f"`text` must be a str, got {type(text).__name__}.")
    if not 0 <= start < end <= len(text):
        raise UserError(f"The span ({start}, {end}) does not lie in the text of {len(text)} characters.")
    for sentence in sentences(text):
        if sentence.end <= start:
            continue
        tokens = tokenise(text[sentence.start : sentence.end])
        low, high = start - sentence.start, end - sentence.start
        inside = [k for k in range(len(tokens.words)) if tokens.starts[k] < high and tokens.ends[k] > low]
        if not inside:
            break
        verdict = Scope(tokens, sentence.role).assertion(inside[0], inside[-1] + 1, inner=True)
        trigger = None
        if verdict.start >= 0:
            offset = sentence.start
            trigger = (offset + tokens.starts[verdict.start], offset + tokens.ends[verdict.end - 1])
        return Assertion(verdict.assertion, verdict.rule, trigger)
    return Assertion("present", "no words in the span", None)
