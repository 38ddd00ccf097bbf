"""How far a trigger reaches: forward over a list until a clause of its own begins, or back to its subject."""

from __future__ import annotations

from dallm.engines.extractive.marks import Found, negates_verb
from dallm.engines.extractive.triggers import Kind, TriggerTable

_CONJUNCTIONS = frozenset(("and", ",", "with", "&", "plus", "("))
_ALTERNATIVES = frozenset(("or", "nor"))
_SEPARATORS = frozenset((",", ";", ":", "and", "&", "or", "nor", "(", ")", "but"))
# "that show", "to show" and "previously reported" open no clause of their own.
_PARTICIPLE_BEFORE = frozenset(("that", "which", "to", "previously", "recently", "newly", "already"))
_COPULAS = frozenset(("is", "are", "was", "were", "be", "been"))
_AUXILIARIES = frozenset(
    "is are was were be been being has have had also now since therefore currently felt thought "
    "considered all both again he she very quite highly patient pt".split()
)
_ASIDE = frozenset((",", "(", "which", "that"))
_RELATIVE = frozenset(("that", "which"))
# What may stand between a denial and what is denied: "denies having had any pain", "did not appear to have".
_VERBAL = frozenset("having had been be ever any to being have has did does do was is were are".split())
# "No masses were seen to suggest lymphoma", "no evidence was found of a leak"
_ONWARD = frozenset("of for to suggesting suggestive indicating that which consistent concerning".split())
_INTRODUCES = frozenset(("following", "these", "below", "symptoms", "negatives"))
_OWN_SUBJECT = frozenset(("that", "having", "he", "she", "they", "patient", "pt", "ever", "the"))
_LONE = frozenset(("no", "neg", "without"))
_CAUSES = frozenset("cause causes source sources etiology aetiology origin reason explanation".split())
_TREATMENTS = frozenset(
    "surgery treatment therapy medication medications antibiotics biopsy management intervention "
    "insight resection repair workup cure progression worsening extension expansion enlargement "
    "rupture healing improvement increase".split()
)
_DETERMINERS = frozenset("the a an his her their this these".split())
_SUBORDINATE = frozenset("although though while because since as when if whereas".split())
# "A leak was looked for but not found": the verb before the denial is part of it.
_SOUGHT = frozenset("looked sought searched considered tested".split())
# What lies around the finding is denied, not the finding: "no redness around the wound"
_AROUND = frozenset("around over from near beneath surrounding along".split())
_DEFINITE = frozenset("the his her this these".split())
_SUBORDINATE_SPAN = 8
_LIST_MARKS = frozenset((",", "or", "nor"))
_FRONTED = frozenset(("despite", "given", "because", "in", "with", "without", "not"))
_BEHIND_PREDICATE = frozenset("to in on at for throughout bilaterally and but".split())
_LIST_SPAN = 25


class Reach:
    """The words and triggers of one sentence, and what reaches what in it."""

    def __init__(self, words: tuple[str, ...], found: list[Found], table: TriggerTable) -> None:
        self.words = words
        self.found = found
        self.table = table
        self._opening = {f.start: f for f in found}
        self._inside = {k for f in found if f.end - f.start > 1 for k in range(f.start, f.end)}

    # ---- forward -------------------------------------------------------------------------------------------

    def forward(self, found: Found, kind: Kind, start: int, end: int) -> bool:
        """Whether a trigger reaches the finding at `start`, which stands behind it."""
        words = self.words
        at = found.end
        verbs = self._verbs_allowed(found)
        while at < start and words[at] in _VERBAL:
            at += 1
        depth = 0
        while at < start:
            word = words[at]
            if word == "(":
                depth += 1
            elif word == ")":
                depth -= 1
            if depth < 0 or self._barrier(found, kind, at, start, end):
                return False
            if word in _RELATIVE:
                verbs += 1
            elif kind != "possible" and self._own_verb(found, at, start):
                if verbs <= 0:
                    return False
                verbs -= 1
            at += 1
        if kind != "negated":
            return True
        return not (
            self._bare(found, start, end) or self._given(found, start, end) or self.caused(start, found.end)
        )

    def _given(self, found: Found, start: int, end: int) -> bool:
        """Whether the finding is taken for granted: "no redness around the wound"."""
        words = self.words
        if start - found.end < 2 or words[start - 1] not in _DEFINITE:
            return False
        if words[start - 2] in _AROUND:
            return start - found.end > 2
        return words[start - 2] == "that" and end < len(words) and words[end] in self.table.verbs

    def _verbs_allowed(self, found: Found) -> int:
        last = self.words[found.end - 1]
        if negates_verb(last) or last in ("yet", "time", "point", "stage", "longer", "nobody"):
            return 1
        if self.words[found.end : found.end + 1] == ("one",) or self.words[found.start] == "none":
            return 1
        following = self.words[found.end : found.end + 2]
        return int(last.startswith("den") and not _OWN_SUBJECT.isdisjoint(following))

    def _barrier(self, found: Found, kind: Kind, at: int, start: int, end: int) -> bool:
        """Whether the word at `at` ends the reach of a trigger before it."""
        words = self.words
        word = words[at]
        if word == ";":
            return not self._list_goes_on(at, start, end)
        if word == ":":
            return at > found.end and words[at - 1] not in _INTRODUCES
        if word in ("+", "(+)"):
            return words[at + 1] != "/"
        if word == "who" or (word == "which" and words[at - 1] == ","):
            return True
        inner = self._opening.get(at)
        if inner is not None:
            return self._stops(inner, kind, at, found.end, start)
        if word not in _CONJUNCTIONS or at in self._inside:
            return False
        return self._new_clause(found, at, start, end)

    def _own_verb(self, found: Found, at: int, start: int) -> bool:
        """Whether a finite verb stands here that a denial does not pass."""
        words = self.words
        if words[at] not in self.table.verbs or words[at - 1] in _PARTICIPLE_BEFORE:
            return False
        if words[at].endswith("ed") and words[at - 1] in ("or", "no", "any", "other"):
            return False  # "no observed or reported falls"
        if words[found.end - 1] == "no" and words[at] in _COPULAS and at == start - 1:
            return False  # "no rib is fractured"
        if words[at] in _COPULAS or words[at] == "noted":
            later = at + (words[at] in _COPULAS)
            if later < start and words[later] in self.table.observed:
                return not (later + 1 < start and words[later + 1] in _ONWARD)
        return True

    def _stops(self, inner: Found, kind: Kind, at: int, begin: int, start: int) -> bool:
        """Whether a phrase between a trigger and the finding ends the trigger's reach."""
        kinds = {t.kind for t in inner.triggers}
        if "end" in kinds:
            return True
        if "adjunct" in kinds:
            return _LIST_MARKS.isdisjoint(self.words[at:start])
        if "link" in kinds:
            # "no lesions that suggest ..." goes on, "may be secondary to ..." as well
            if self.words[at] == "because":
                return True
            return kind != "possible" and self.words[at] not in _RELATIVE
        if "pseudo" in kinds or kind in kinds:
            return "pseudo" in kinds
        if kinds & {"possible", "likely", "historical", "hypothetical"}:
            return any(w in _CONJUNCTIONS for w in self.words[begin:at])
        return False

    def _list_goes_on(self, at: int, start: int, end: int) -> bool:
        """Whether a semicolon only parts a list that ends in "or": "denies fever; chills; or pain"."""
        words = self.words
        if any(w in self.table.verbs or w == ":" or w == "+" for w in words[at + 1 : start]):
            return False
        for k in range(at + 1, min(len(words), end + _LIST_SPAN)):
            if words[k] in _ALTERNATIVES:
                return words[k - 1] in (";", ",") or k < start
            if words[k] in self.table.verbs or k in self._opening:
                return False
        return False

    def _new_clause(self, found: Found, at: int, start: int, end: int) -> bool:
        """Whether a comma or "and" before the finding opens a clause of its own."""
        words, table = self.words, self.table
        begin = at + 1
        if words[begin] in _CONJUNCTIONS and begin < start and words[begin] != "with":
            begin += 1
        following = words[begin]
        if following in _ALTERNATIVES:
            return False
        if any(self._own_verb(found, k, start) for k in range(begin, start)):
            return True
        if words[at] == "(":
            return False
        # "no fever, chills with exertion" goes on, "no fever, with chills" does not
        opener = following in table.begins or (words[at] == "," and following == "with")
        modified = following in table.modifiers or (words[at] == "," and following[0].isdigit())
        modified = modified and words[found.end - 1] not in table.deniers
        fronted = words[at] == "," and (
            (found.start < 4 and words[0] in _FRONTED)
            or (found.start < _SUBORDINATE_SPAN and words[0] in _SUBORDINATE)
        )
        if not opener and not modified and not fronted and not self._predicated(at, begin):
            return False
        return not self._ends_in_or(begin, end)

    def _ends_in_or(self, begin: int, end: int) -> bool:
        for later in self.words[begin : end + _LIST_SPAN]:
            if later in _ALTERNATIVES:
                return True
            if later in self.table.verbs or later in (";", ":"):
                return False
        return False

    def _predicated(self, at: int, begin: int) -> bool:
        """Whether the item that begins here is a statement: "lungs clear", "effusion is small"."""
        words, table = self.words, self.table
        if words[at] == "with":
            return False
        for k in range(begin + 1, len(words)):
            word = words[k]
            if word in _SEPARATORS:
                return False
            if word in table.verbs:
                if word not in _COPULAS and word not in ("has", "have", "had"):
                    return word not in table.observed
                rest = [w for w in words[k + 1 : k + 4] if w not in _COPULAS]
                return not rest or not (rest[0] in table.observed or rest[0].endswith("ly"))
            if k in self._opening:
                return False
            if word in table.predicates and words[at] == ",":
                behind = words[k + 1] if k + 1 < len(words) else "."
                return (
                    behind in _SEPARATORS
                    or behind == "."
                    or behind in table.predicates
                    or behind in _BEHIND_PREDICATE
                )
        return False

    def _bare(self, found: Found, start: int, end: int) -> bool:
        """Whether an item without a "no" of its own ends a list where each has one: "no A, no B, C"."""
        words = self.words
        if words[found.end - 1] not in _LONE and words[found.start] not in _LONE:
            return False
        comma = next((k for k in range(start - 1, found.end - 1, -1) if words[k] in _SEPARATORS), -1)
        if comma < 0 or words[comma] != ",":
            return False
        if any(c.isdigit() for w in words[start:end] for c in w):
            return True  # "no fever, WBC 12"
        item = comma
        denied = 0
        while item > 0:
            earlier = next((k for k in range(item - 1, -1, -1) if words[k] in (",", ";", ":")), -1)
            if words[earlier + 1] not in _LONE and not (earlier < 0 or denied):
                return False
            if _LONE.isdisjoint(words[earlier + 1 : item]):
                return False
            denied += 1
            if denied == 2:
                return not self._ends_in_or(start, end)
            item = earlier
        return False

    def caused(self, start: int, low: int = 0) -> bool:
        """Whether only its cause or treatment is denied: "no source of the bleeding", "no surgery for it"."""
        words = self.words
        at = start - 1
        while at > low and words[at] in _DETERMINERS:
            at -= 1
        if at < max(low, 1) or words[at] not in ("of", "for", "into"):
            return False
        treated = words[at] == "for" and words[at - 1].endswith("ed") and negates_verb(words[low - 1])
        return words[at - 1] in _CAUSES or (low > 0 and (treated or words[at - 1] in _TREATMENTS))

    # ---- backward ------------------------------------------------------------------------------------------

    def backward(self, found: Found, end: int) -> bool:
        """Whether a trigger behind a finding reaches back to it: "effusion and nodules are not seen"."""
        words, table = self.words, self.table
        last = found.start - 1
        while last >= end and (
            words[last] in _AUXILIARIES or words[last] in _ASIDE or words[last].endswith("ly")
        ):
            last -= 1
        if found.has("negated") and not _SOUGHT.isdisjoint(words[max(0, end - 6) : found.start]):
            between = words[end : found.start]
            if len(between) <= _SUBORDINATE_SPAN and ("but" in between or "and" in between):
                return not any(w in (";", ",") for w in between)
        listed = False
        aside = False
        for at in range(last, end - 1, -1):
            word = words[at]
            aside = word == ")" or (aside and word != "(")
            if aside:
                continue  # "pneumonia (not seen on the film before) is not seen"
            if word == ";" or (word == ":" and at < last) or word in table.verbs:
                return False
            inner = self._opening.get(at)
            if inner is not None and word not in _RELATIVE:
                if inner.has("end", "link", "pseudo"):
                    return False
                if any(t.kind == "negated" and t.direction == "before" for t in inner.triggers):
                    return False
            listed = listed or word in _CONJUNCTIONS
        # "there is atelectasis, and effusion is not seen": the first finding has a verb of its own
        return not (listed and any(w in table.verbs for w in words[:end]))
