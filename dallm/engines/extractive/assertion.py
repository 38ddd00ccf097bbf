"""How a text asserts a finding: present, negated, possible, hypothetical, historical, another's, resolved.

Rules over trigger phrases in the manner of NegEx (Chapman et al., J Biomed Inform 2001, 34:301-310) and ConText
(Harkema et al., J Biomed Inform 2009, 42:839-851), with reach decided clause by clause instead of by a fixed
window. The phrases stand in ``data/assertion`` and can be edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dallm.engines.extractive.text import Tokens, sentences, tokenise
from dallm.engines.extractive.triggers import Kind, Trigger, TriggerTable, trigger_table
from dallm.errors import UserError

ASSERTIONS = ("present", "negated", "possible", "hypothetical", "historical", "other_person", "resolved")

_CONJUNCTIONS = frozenset(("and", ",", "with", "&", "plus", "("))
_ALTERNATIVES = frozenset(("or", "nor"))
_PLAIN_NEGATIONS = frozenset(("no", "without", "not"))
_CHANGES = frozenset(
    "change changes changed increase decrease improvement worsening progression difference".split()
)
_DEGREES = frozenset(
    "significant significantly interval definite obvious appreciable substantial substantially gross apparent marked "
    "major considerable short term other any real much further acute evidence of large".split()
)
# "that show", "to show" and "previously reported" open no clause of their own.
_PARTICIPLE_BEFORE = frozenset(("that", "which", "to", "previously", "recently", "newly", "already"))
_COPULAS = frozenset(("is", "are", "was", "were", "be", "been"))
_AUXILIARIES = frozenset(
    "is are was were be been being has have had also now since therefore currently felt thought considered".split()
)
_AFTERMATH = frozenset(
    "and or but with in on at by after before from for as to of upon during today then when".split()
)
_BEFORE_VERB = frozenset(("not", "never", "nor", "neither", "cannot"))
_RELATIVE = frozenset(("that", "which", "who"))
_POSSESSIVES = frozenset(("his", "her", "their", "the", "patient", "a", "an"))
# What may stand between a denial and what is denied: "denies having had any pain", "did not appear to have".
_VERBAL = frozenset("having had been be ever any to being have has".split())
_REACH: dict[str, int] = {"possible": 14, "hypothetical": 25, "historical": 25, "resolved": 8, "negated": 60}
# "resolution of", "history of" and the like are weaker than a negation that stands before them.
_PRECEDENCE: tuple[Kind, ...] = ("negated", "resolved", "hypothetical", "possible", "historical")


class Assertion(NamedTuple):
    """The assertion of a span, the rule behind it, and where the deciding words stand.

    Attributes
    ----------
    assertion : str
        One of `ASSERTIONS`.
    rule : str
        What decided, in words.
    trigger : tuple of (int, int) or None
        Start and end (code points) of the deciding words in the text; None where nothing but the default decided.
    """

    assertion: str
    rule: str
    trigger: tuple[int, int] | None


class Found(NamedTuple):
    """A trigger in a sentence: token range and what it may do."""

    start: int
    end: int
    triggers: Sequence[Trigger]


class Verdict(NamedTuple):
    """The assertion of a token range; `qualified` marks a denial of less than the finding ("no large effusion")."""

    assertion: str
    rule: str
    start: int
    end: int
    qualified: bool


class Scope:
    """The triggers of one sentence, and what they say of any stretch of it."""

    def __init__(self, tokens: Tokens, role: str = "body", table: TriggerTable | None = None) -> None:
        self.role = role
        self.table = table or trigger_table()
        slips = self.table.slips
        self.words = tokens.words
        if not slips.keys().isdisjoint(self.words):
            self.words = tuple(slips.get(word, word) for word in self.words)
        self.found = [self._mended(Found(*hit)) for hit in self.table.trie.scan(self.words)]
        self._at = {k: f for f in self.found for k in range(f.start, f.end)}

    def _mended(self, found: Found) -> Found:
        """Make "no significant interval change" the non-negation that it is, however it is worded."""
        if self.words[found.end - 1] in _PLAIN_NEGATIONS:
            for word in self.words[found.end : found.end + 4]:
                if word in _CHANGES:
                    return Found(found.start, found.end, (Trigger("pseudo", "none"),))
                if word not in _DEGREES:
                    break
        return found

    def assertion(self, start: int, end: int, *, inner: bool = False) -> Verdict:
        """Return the assertion of the tokens from `start` to `end`; `inner`: their own first words count too."""
        person = self._other_person(start, end)
        if person is not None:
            return person
        hits: dict[Kind, Found] = {}
        for found in self.found:
            if found.start < start < found.end and found.triggers[0].kind == "pseudo":
                # "pain is not relieved by rest": no denial of the pain, but one of "relieved by rest"
                if self.words[found.start] in _PLAIN_NEGATIONS:
                    hits.setdefault("negated", found)
                continue
            for trigger in found.triggers:
                if (
                    trigger.kind in _REACH
                    and trigger.kind not in hits
                    and self._reaches(found, trigger, start, end, inner)
                ):
                    hits[trigger.kind] = found
        for kind in _PRECEDENCE:
            if kind in hits:
                found = hits[kind]
                words = " ".join(self.words[found.start : found.end])
                qualified = kind == "negated" and self._narrowed(found, start, end)
                return Verdict(kind, f"{kind}: {words!r}", found.start, found.end, qualified)
        return self._default()

    def _default(self) -> Verdict:
        if self.role == "family":
            return Verdict("other_person", "section: family history", -1, -1, False)
        if self.role == "past":
            return Verdict("historical", "section: past history", -1, -1, False)
        return Verdict("present", "stated", -1, -1, False)

    def _narrowed(self, found: Found, start: int, end: int) -> bool:
        low, high = (found.end, end) if found.end <= start else (start, found.start)
        return any(word in self.table.narrowing for word in self.words[low:high])

    def _reaches(self, found: Found, trigger: Trigger, start: int, end: int, inner: bool) -> bool:
        if found.start < start < found.end < end and trigger.direction == "before":
            return True  # "denies history of smoking", where the finding is "history of smoking"
        if found.end <= start and trigger.direction == "before":
            if self._two_way(found, trigger.kind) and not self._leads(found):
                return False
            limit = _REACH[trigger.kind]
            return start - found.end <= limit and self._forward(found, trigger.kind, start, end)
        if found.start == end + 1 and trigger.kind == "negated" and self.words[end] == ":":
            return True  # "chest pain: no"
        if found.start >= end and trigger.direction == "after":
            if self._two_way(found, trigger.kind) and self._leads(found):
                return False
            limit = {"historical": 3, "negated": 24}.get(trigger.kind, 12)
            return found.start - end <= limit and self._backward(found, end)
        if not inner or trigger.kind != "negated" or trigger.direction != "before":
            return False
        return found.start == start and found.end < end

    def _two_way(self, found: Found, kind: Kind) -> bool:
        return len({t.direction for t in found.triggers if t.kind == kind}) > 1

    def _leads(self, found: Found) -> bool:
        """Whether a phrase that may stand on either side of a finding stands before it here: "absent breath sounds"."""
        following = self.words[found.end] if found.end < len(self.words) else ""
        if not following.isalnum() or following in _AFTERMATH or following.endswith("ly"):
            return False
        if self.words[found.end - 1] == "longer":
            return True  # "is no longer febrile", but "is no longer seen" stands behind
        return found.start == 0 or self.words[found.start - 1] not in _AUXILIARIES

    def _forward(self, found: Found, kind: Kind, start: int, end: int) -> bool:
        words, table = self.words, self.table
        at = found.end
        last = words[found.end - 1]
        verbs_allowed = 1 if last in _BEFORE_VERB or last.endswith("n't") else 0
        while at < start and words[at] in _VERBAL:
            at += 1
        while at < start:
            word = words[at]
            if word == ";" or (word == ":" and at > found.end):
                return False
            inner = self._at.get(at)
            if inner is not None and inner.start == at and self._stops(inner, kind, at, found.end):
                return False
            if (
                word in _CONJUNCTIONS
                and inner is None
                and at + 1 < len(words)
                and self._new_clause(at, start, end)
            ):
                return False
            if word in _RELATIVE:
                verbs_allowed += 1
            if word in table.verbs and words[at - 1] not in _PARTICIPLE_BEFORE and kind != "possible":
                predicate = last == "no" and word in _COPULAS and at == start - 1  # "no rib is fractured"
                if verbs_allowed == 0 and not predicate:
                    return False
                verbs_allowed -= 1
            at += 1
        return True

    def _stops(self, inner: Found, kind: Kind, at: int, begin: int) -> bool:
        """Whether a phrase between a trigger and the finding ends the trigger's reach."""
        kinds = {t.kind for t in inner.triggers}
        if "end" in kinds:
            return True
        if "link" in kinds:
            # "no lesions that suggest ..." goes on, "may be secondary to ..." as well
            return kind != "possible" and self.words[at] not in _RELATIVE
        if "pseudo" in kinds or kind in kinds:
            return "pseudo" in kinds
        if kinds & {"possible", "likely", "historical", "hypothetical"}:
            between = self.words[begin:at]
            return any(w in _CONJUNCTIONS for w in between)
        return False

    def _new_clause(self, at: int, start: int, end: int) -> bool:
        """Whether a comma or "and" before the finding opens a clause of its own."""
        words, table = self.words, self.table
        following = words[at + 1]
        if following in _CONJUNCTIONS and at + 2 < len(words):
            following = words[at + 2]
        if following in _ALTERNATIVES:
            return False
        verb_before_finding = any(w in table.verbs for w in words[at + 1 : start])
        if verb_before_finding:
            return True
        if following not in table.begins:
            return False
        if words[at] == "(":
            return False
        for later in words[at + 1 : end + 25]:
            if later in _ALTERNATIVES:
                return False
            if later in table.verbs or later in (";", ":"):
                break
        return True

    def _backward(self, found: Found, end: int) -> bool:
        """Whether a trigger behind a finding reaches back to it: "effusion and consolidation are not seen"."""
        words, table = self.words, self.table
        listed = False
        last = found.start - 1
        while last >= end and words[last] in _AUXILIARIES:
            last -= 1
        for at in range(last, end - 1, -1):
            word = words[at]
            if word == ";" or (word == ":" and at < last):
                return False
            inner = self._at.get(at)
            if inner is not None and inner.start == at and word not in _RELATIVE:
                kinds = {t.kind for t in inner.triggers}
                if kinds & {"end", "link", "negated", "pseudo"}:
                    return False
            if word in table.verbs:
                return False
            if word in _CONJUNCTIONS:
                listed = True
        # "there is atelectasis, and effusion is not seen": the first finding has a verb of its own
        return not (listed and any(w in table.verbs for w in words[:end]))

    def _other_person(self, start: int, end: int) -> Verdict | None:
        for found in self.found:
            if not any(t.kind == "other_person" for t in found.triggers):
                continue
            before = self.words[found.start - 1] if found.start else ""
            behind = self.words[found.end] if found.end < len(self.words) else ""
            rule = f"another person: {' '.join(self.words[found.start : found.end])!r}"
            if found.end <= start:
                if before in _POSSESSIVES and found.start > 1:
                    before = self.words[found.start - 2]
                speaks = behind in self.table.speaks or before in self.table.accompanied
                if not speaks and self._forward_person(found, start):
                    return Verdict("other_person", rule, found.start, found.end, False)
            elif found.start >= end and found.start - end <= 3 and "in" in self.words[end : found.start]:
                return Verdict("other_person", rule, found.start, found.end, False)
        return None

    def _forward_person(self, found: Found, start: int) -> bool:
        for at in range(found.end, start):
            if self.words[at] in (";", "patient", "pt", "he", "she", "but", "however"):
                return False
        return True


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
