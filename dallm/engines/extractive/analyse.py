"""One sentence at a time: the concepts that it mentions, each with its assertion.

Reports repeat their sentences, so what was found in one is kept.
"""

from __future__ import annotations

from typing import NamedTuple

from dallm.engines.extractive.recognise import Recogniser, TokenMention
from dallm.engines.extractive.scope import Scope
from dallm.engines.extractive.text import located, words_of

_MEMORY = 100_000  # sentences kept; reports repeat their phrases, so most sentences come again
_QUESTIONS = ("'?'", "'question'")
_SHORT = 400  # characters; longer sentences hardly ever come again


class Finding(NamedTuple):
    """A mention in a sentence and how it is asserted; offsets are code points of the sentence."""

    concept: int
    start: int
    end: int
    assertion: str
    rule: str
    weak: bool
    normal: bool
    level: str | None
    value: float | None
    in_reason: bool = False  # it stands in the reason for the examination


class Analyser:
    """Finds and asserts the concepts of a recogniser, sentence by sentence.

    Parameters
    ----------
    recogniser : Recogniser
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        self._examined = [c.category == "imaging finding" for c in recogniser.concepts]
        self._family = [c.name.startswith("family history") for c in recogniser.concepts]
        self._memory: dict[tuple[str, str], tuple[Finding, ...]] = {}

    def findings(self, sentence: str, role: str) -> tuple[Finding, ...]:
        """Return the findings of a sentence that stands in a section of this role."""
        key = (sentence, role)
        known = self._memory.get(key)
        if known is None:
            known = self._analyse(sentence, role)
            if len(sentence) <= _SHORT:
                if len(self._memory) >= _MEMORY:
                    self._memory.clear()
                self._memory[key] = known
        return known

    def _analyse(self, sentence: str, role: str) -> tuple[Finding, ...]:
        raws, words = words_of(sentence)
        if not self.recogniser.may_mention(words):
            return ()
        tokens = located(sentence, raws, words)
        mentions = self.recogniser.mentions(sentence, tokens)
        if not mentions:
            return ()
        scope = Scope(tokens, role)
        found = []
        for mention in mentions:
            verdict = scope.assertion(*mention.anchor)
            assertion, rule = verdict.assertion, verdict.rule
            if verdict.relative and assertion == "negated" and not self._family[mention.concept]:
                assertion = "other_person"  # that her mother had none says nothing of the patient
            if assertion in ("present", "historical", "possible"):
                assertion, rule = self._by_section(mention, assertion, rule, role)
            found.append(
                Finding(
                    mention.concept,
                    tokens.starts[mention.start],
                    tokens.ends[mention.end - 1],
                    assertion,
                    rule,
                    verdict.qualified,
                    mention.normal,
                    mention.level,
                    mention.value,
                    role == "indication",
                )
            )
        return tuple(found)

    def _by_section(self, mention: TokenMention, assertion: str, rule: str, role: str) -> tuple[str, str]:
        """What a reason for examination or a comparison names is looked for, not seen."""
        if role == "comparison":
            return "hypothetical", "section: comparison or technique"
        if role == "indication" and assertion != "historical":
            asked = assertion == "possible" and rule.endswith(_QUESTIONS)
            if asked or self._examined[mention.concept]:
                return "hypothetical", "section: reason for the examination"
        return assertion, rule
