"""The triggers of one sentence: phrases from the table, mended where the words around change what they do.

A phrase list cannot hold every "was not convincingly seen" and "has not yet completely resolved"; both are a
plain "not" and a verb of a known sort, put together here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from dallm.engines.extractive.triggers import Trigger, TriggerTable

_PLAIN_NEGATIONS = frozenset(("no", "without", "not", "never"))
_BEFORE_VERB = frozenset(("not", "never", "nor", "neither", "cannot", "longer"))
_CHANGES = frozenset(
    "change changes changed increase decrease improvement worsening progression difference".split()
)
_DEGREES = frozenset(
    "significant significantly interval definite obvious appreciable substantial substantially gross "
    "apparent marked major considerable short term other any real much further acute evidence of "
    "large".split()
)
_NEITHER = frozenset(("neither", "nor"))
_FUNCTIONS = frozenset(
    "appetite vision bowel bowels bladder habits weight urination mental hearing speech sleep gait "
    "sensation".split()
)
_FILLERS = frozenset("been be being yet any longer have had has ever also to actually so otherwise".split())
# "Not completely resolved" says that some is left; "not clearly seen" is a denial all the same.
_PARTIAL = frozenset("completely entirely fully totally wholly optimally adequately".split())
_LONGEST_FILLING = 4
_BACK = (Trigger("negated", "before"), Trigger("negated", "after"))
_CONSIDERED = (Trigger("possible", "before"), Trigger("possible", "after"))
_EXCLUDES = frozenset(("exclude", "excluded", "rule", "ruled"))
# "A nodule, not seen before" is there now; "not seen on the lateral view" says nothing of the other view.
_ELSEWHERE = frozenset("prior previous previously earlier preceding old before last lateral frontal".split())
_VOID = (Trigger("pseudo", "none"),)


class Found(NamedTuple):
    """A trigger in a sentence: token range and what it may do."""

    start: int
    end: int
    triggers: Sequence[Trigger]

    def has(self, *kinds: str) -> bool:
        """Whether it is of one of these kinds."""
        for trigger in self.triggers:  # noqa: SIM110 - asked for every trigger: a generator costs more than the answer
            if trigger.kind in kinds:
                return True
        return False


def negates_verb(word: str) -> bool:
    """Whether a word denies the verb that follows: "not", "never", "didn't"."""
    return word in _BEFORE_VERB or word.endswith("n't")


def marks(words: tuple[str, ...], table: TriggerTable) -> list[Found]:
    """Return the triggers of a sentence from left to right; none overlap."""
    found: list[Found] = []
    taken = 0
    for hit in table.trie.scan(words):
        if hit[0] < taken:
            continue
        mended = _mended(Found(*hit), words, table)
        taken = mended.end
        found.append(mended)
    return _cancelled(found, words)


def _cancelled(found: list[Found], words: tuple[str, ...]) -> list[Found]:
    """Make a denial of a denial none: "cannot walk without pain", "is never free of pain"."""
    for k, (first, second) in enumerate(itertools.pairwise(found)):
        last = words[first.end - 1]
        denied_twice = (
            words[second.start] in ("without", "free") and negates_verb(last) and last not in _NEITHER
        )
        if not denied_twice or not first.has("negated"):
            continue
        if second.start - first.end <= _LONGEST_FILLING and "," not in words[first.end : second.start]:
            found[k] = Found(first.start, first.end, _VOID)
            found[k + 1] = Found(second.start, second.end, _VOID)
    return found


def _mended(found: Found, words: tuple[str, ...], table: TriggerTable) -> Found:
    last = words[found.end - 1]
    if found.triggers[0].kind == "pseudo":
        changes = not _CHANGES.isdisjoint(words[found.start : found.end])
        if changes and not _FUNCTIONS.isdisjoint(words[found.end : found.end + 4]):
            # in a list of complaints, "no change in appetite" denies a complaint
            return Found(found.start, found.end, (Trigger("negated", "before"),))
        return found
    following = words[found.end] if found.end < len(words) else ""
    if last == "be" and following in table.observed and found.triggers[0].kind == "possible":
        return Found(found.start, found.end, _VOID)  # "no access could be obtained"
    if last in ("could", "would") and following == "not":
        return _with_verb(Found(found.start, found.end + 1, (Trigger("negated", "before"),)), words, table)
    if last in _PLAIN_NEGATIONS:
        for word in words[found.end : found.end + 4]:
            if word in _CHANGES:
                # "no significant interval change" is no negation, however it is worded
                return Found(found.start, found.end, _VOID)
            if word not in _DEGREES:
                break
    if last == "no" and following == ",":
        return Found(found.start, found.end, _VOID)  # an answer: "No, he has pain"
    if negates_verb(last) or (found.end - found.start > 1 and negates_verb(words[found.end - 2])):
        return _with_verb(found, words, table)
    return found


def _with_verb(found: Found, words: tuple[str, ...], table: TriggerTable) -> Found:
    """Take in the verb that a "not" belongs to, where the verb decides what is denied."""
    if not found.has("negated") or found.end - found.start > 3:
        return found
    at = found.end if negates_verb(words[found.end - 1]) else found.end - 1
    partial = False
    for _ in range(_LONGEST_FILLING + 1):
        if at >= len(words):
            return found
        word = words[at]
        if word in table.effects:
            return Found(found.start, at + 1, _VOID)
        if word in _EXCLUDES:
            return Found(found.start, at + 1 + word.startswith("rule"), _CONSIDERED)
        if word in table.observed and not partial:
            elsewhere = not _ELSEWHERE.isdisjoint(words[at + 1 : at + 5])
            return Found(found.start, at + 1, _VOID if elsewhere else _BACK)
        if word not in _FILLERS and not word.endswith("ly"):
            return found
        partial = partial or word in _PARTIAL
        at += 1
    return found
