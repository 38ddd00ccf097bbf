"""What the triggers of a sentence say of any stretch of it."""

from __future__ import annotations

from typing import NamedTuple

from dallm.engines.extractive.marks import Found, marks
from dallm.engines.extractive.past import dated, long_ago
from dallm.engines.extractive.reach import Reach
from dallm.engines.extractive.text import Tokens
from dallm.engines.extractive.triggers import Kind, Trigger, TriggerTable, trigger_table

_REACH: dict[str, int] = {"possible": 14, "hypothetical": 25, "historical": 25, "resolved": 8, "negated": 60}
_LISTING = frozenset((",", "and", ";", "with"))
_REACH_BACK = {"historical": 3, "negated": 24}
_NEAR_BACK = 12
# "resolution of", "history of" and the like are weaker than a negation that stands before them.
_PRECEDENCE: tuple[Kind, ...] = ("negated", "resolved", "hypothetical", "possible", "historical")
_PLAIN_NEGATIONS = frozenset(("no", "without", "not"))
_AFTERMATH = frozenset(
    "and or but with in on at by after before from for as to of upon during today then when x since "
    "despite pod given without within because".split()
)
_BEFORE_COMPLEMENT = frozenset(("to", "any", "that"))
_AUXILIARIES = frozenset(
    "is are was were be been being has have had also now since therefore currently".split()
)
_ANSWERS = frozenset("no none denies denied negative neg absent nil".split())
_CLOSED = frozenset((".", ",", ";", ")", "]", "/"))
_INTENSIFIERS = frozenset("very quite highly extremely most rather fairly".split())
_PASSIVE = frozenset(("been", "be"))
_NOT_DENIED_WITHIN = frozenset(("inability", "unable", "lack", "lacks", "cessation"))
_POSSESSIVES = frozenset(("his", "her", "their", "the", "patient", "a", "an", "two", "three", "and"))
_PATIENT = frozenset((";", "patient", "pt", "he", "she", "but", "however"))


class Verdict(NamedTuple):
    """The assertion of a token range.

    `qualified` marks a denial of less than the finding ("no large effusion"), `relative` what is said about
    another person ("her mother never had cancer").
    """

    assertion: str
    rule: str
    start: int
    end: int
    qualified: bool = False
    relative: bool = False


class Scope:
    """The triggers of one sentence, and what they say of any stretch of it."""

    def __init__(self, tokens: Tokens, role: str = "body", table: TriggerTable | None = None) -> None:
        self.role = role
        self.table = table or trigger_table()
        slips = self.table.slips
        self.words = tokens.words
        if not slips.keys().isdisjoint(self.words):
            self.words = tuple(slips.get(word, word) for word in self.words)
        self.found = marks(self.words, self.table)
        self._reach = Reach(self.words, self.found, self.table)
        self._dated: bool | None = None
        self._persons = [f for f in self.found if f.has("other_person")]

    def assertion(self, start: int, end: int, *, inner: bool = False) -> Verdict:
        """Return the assertion of the tokens from `start` to `end`; `inner`: their own first words count."""
        person = self._other_person(start, end) if self._persons else None
        hits = self._hits(start, end, inner)
        if person is not None and "negated" not in hits:
            return person
        for kind in _PRECEDENCE:
            if kind in hits:
                found = hits[kind]
                words = " ".join(self.words[found.start : found.end])
                qualified = kind == "negated" and self._narrowed(found, start, end)
                rule = f"{kind}: {words!r}"
                if person is not None:
                    rule = f"{rule}; {person.rule}"
                relative = person is not None or self.role == "family"
                return Verdict(kind, rule, found.start, found.end, qualified, relative)
        return self._default(start, end)

    def _hits(self, start: int, end: int, inner: bool) -> dict[Kind, Found]:
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
        return hits

    def _default(self, start: int, end: int) -> Verdict:
        if self.role == "family":
            return Verdict("other_person", "section: family history", -1, -1)
        if self.role == "past":
            return Verdict("historical", "section: past history", -1, -1)
        if self._dated is None:
            self._dated = dated(self.words)
        past = long_ago(self.words, start, end) if self._dated else None
        if past is not None:
            words = " ".join(self.words[slice(*past)])
            return Verdict("historical", f"historical: {words!r}", *past)
        return Verdict("present", "stated", -1, -1)

    def _narrowed(self, found: Found, start: int, end: int) -> bool:
        low, high = (found.end, end) if found.end <= start else (start, found.start)
        return any(word in self.table.narrowing for word in self.words[low:high])

    def _reaches(self, found: Found, trigger: Trigger, start: int, end: int, inner: bool) -> bool:
        kind = trigger.kind
        if trigger.direction == "before":
            if found.start < start < found.end <= end:
                return True  # "denies history of smoking", where the finding is "history of smoking"
            if found.end <= start:
                if self._two_way(found, kind) and not self._leads(found):
                    return False
                if self.table.brief and " ".join(self.words[found.start : found.end]) in self.table.brief:
                    return not any(word in _LISTING for word in self.words[found.end : start])
                return start - found.end <= _REACH[kind] and self._reach.forward(found, kind, start, end)
            if kind != "negated":
                return False
            if found.start >= end:
                return self._answers(found, end)
            if self.words[start] in _NOT_DENIED_WITHIN:
                return False  # "inability to swallow" is itself the finding
            return inner and found.start == start and found.end < end
        if found.start < end:
            return False
        beside = found.start - end <= 1 and self.words[found.start] in ("at", "nowhere")
        if self._two_way(found, kind) and self._leads(found) and not beside and not self._answers(found, end):
            return False
        if found.end - found.start == 1 and self.words[found.start] == "free" and found.start > end:
            return False  # "pain free", not "a mass with free margins"
        if kind == "negated" and self._reach.caused(start):
            return False
        return found.start - end <= _REACH_BACK.get(kind, _NEAR_BACK) and self._reach.backward(found, end)

    def _answers(self, found: Found, end: int) -> bool:
        """Whether a denial is the answer behind a finding: "chest pain: no", "palpitations - denies"."""
        words = self.words
        if words[found.start] not in _ANSWERS or found.end - found.start != 1:
            return False
        if found.start == end + 1 and words[end] == ":":
            return True
        closed = found.end >= len(words) or words[found.end] in _CLOSED
        return found.start == end and closed and words[found.start] != "no"

    def _two_way(self, found: Found, kind: Kind) -> bool:
        return len(found.triggers) > 1 and len({t.direction for t in found.triggers if t.kind == kind}) > 1

    def _leads(self, found: Found) -> bool:
        """Whether a phrase that fits both sides of a finding stands before it: "absent breath sounds"."""
        words = self.words
        following = words[found.end] if found.end < len(words) else ""
        several = found.end - found.start > 1
        if following in _BEFORE_COMPLEMENT and (several or following == "that"):
            return True  # "was not found to have", "has not had any"
        if not following.isalnum() or following in _AFTERMATH or following.endswith("ly"):
            return False
        if words[found.end - 1] == "longer":
            return True  # "is no longer febrile", but "is no longer seen" stands behind
        if found.start == 0 or words[found.start] == "at":
            return True  # "was at no time febrile"
        at = found.start - 1
        while at > 0 and words[at] in _INTENSIFIERS:
            at -= 1
        before = words[at]
        if before in ("has", "have", "had"):
            return _PASSIVE.isdisjoint(words[found.start : found.end])  # "has not developed a fever"
        return before not in _AUXILIARIES

    def _other_person(self, start: int, end: int) -> Verdict | None:
        words = self.words
        for found in self._persons:
            before = words[found.start - 1] if found.start else ""
            behind = words[found.end] if found.end < len(words) else ""
            rule = f"another person: {' '.join(words[found.start : found.end])!r}"
            if found.end <= start:
                at = found.start - 1
                while at > 0 and words[at] in _POSSESSIVES:
                    at -= 1
                before = words[at] if at >= 0 else ""
                speaks = behind in self.table.speaks or before in self.table.accompanied
                if not speaks and _PATIENT.isdisjoint(words[found.end : start]):
                    return Verdict("other_person", rule, found.start, found.end)
            elif found.start >= end and found.start - end <= 3 and "in" in words[end : found.start]:
                return Verdict("other_person", rule, found.start, found.end)
        return None
