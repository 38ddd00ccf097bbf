"""The findings and impression of a synthetic report."""

from __future__ import annotations

from collections.abc import Mapping

from dallm.synthetic.ledger import Claim
from dallm.synthetic.patients import BETTER, NEGATED, NEW, POSSIBLE, PRESENT, PROBABLE, RESOLVED, SAME, WORSE
from dallm.synthetic.phrases import Draw, Stance
from dallm.synthetic.writer import Line, Writer, claims, listed, one

# Findings that are no reason for alarm: with only these, nothing "acute" is seen.
CHRONIC = frozenset(
    {
        "cardiomegaly",
        "emphysema",
        "pulmonary fibrosis",
        "interstitial lung disease",
        "pleural thickening",
        "plaques",
        "hiatal hernia",
        "hernia",
        "low bone density",
        "high bone density",
    }
)
_LUNG = (
    "consolidation",
    "infiltration",
    "atelectasis",
    "lung collapsed",
    "pulmonary edema",
    "pneumonia",
    "mass",
    "nodule",
    "pulmonary fibrosis",
    "interstitial lung disease",
    "emphysema",
)
_OPACITY = ("consolidation", "infiltration", "atelectasis", "pneumonia")
_MOVED = {NEW: "new", SAME: "same", WORSE: "worse", BETTER: "better"}


class ImageWriter:
    """Writes what the images show.

    Parameters
    ----------
    writer : Writer
        The report's writer.
    intent : mapping of str to int
        What the report intends to say of each imaging feature (the codes of ``patients``).
    change : mapping of str to int
        How each finding moved since the study before.
    """

    def __init__(
        self, writer: Writer, intent: Mapping[str, int], change: Mapping[str, int], device: bool
    ) -> None:
        self.w = writer
        self.draw: Draw = writer.draw
        self.intent = intent
        self.change = change
        self.device = device
        self.pending: dict[int, list[str]] = {}
        for feature in self.draw.shuffled(list(intent)):
            self.pending.setdefault(intent[feature], []).append(feature)

    def findings(self) -> list[Line]:
        """All that the report says of the images, roughly from lungs to bones."""
        ranked: list[tuple[float, list[Line]]] = []
        for write in (self._positives, self._doubts, self._resolved, self._denials):
            ranked.extend(write())
        extras: list[Line] = []
        for key, p in (("device", 0.9 if self.device else 0.0), ("filler", 0.45), ("filler", 0.2)):
            if self.draw.chance(p):
                extras.append(Line(self.w.frame("imaging", key)))
        ranked.extend((self.draw.between(0, 10), [line]) for line in extras)
        ranked.sort(key=lambda entry: entry[0])
        return [line for _, lines in ranked for line in lines]

    def impression(self, alone: bool) -> list[Line]:
        """The conclusion; `alone` where the report has no findings section.

        Returns
        -------
        list of Line
            At least one sentence.
        """
        if alone:
            lines = self.findings()
            return lines or [Line(self.w.frame("impression", "not_acute"))]
        lines = []
        draw, said = self.draw, self.w.ledger.said
        present = [f for f in self.intent if self.intent[f] == PRESENT and said.get(f) == "present"]
        doubtful = [
            f
            for f in self.intent
            if said.get(f) in ("possible", "probable") and self.intent[f] in (POSSIBLE, PROBABLE)
        ]
        acute = [f for f in present if f not in CHRONIC]
        for feature in draw.shuffled(acute)[:3] + [f for f in present if f in CHRONIC and draw.chance(0.3)]:
            self._assert(lines, feature, plain=0.6)
        for feature in doubtful:
            if draw.chance(0.7):
                self._doubt(lines, feature, said[feature] == "probable")
        for feature, answer in list(said.items()):
            if answer == "negated" and self.intent.get(feature) in (NEGATED, RESOLVED) and draw.chance(0.08):
                self._deny(lines, [feature])
        if not acute and not doubtful:
            calm = "normal" if not present and draw.chance(0.2) else "not_acute"
            lines.insert(draw.between(0, len(lines)), Line(self.w.frame("impression", calm)))
        if draw.chance(0.14):
            lines.append(self._advice())
        return lines or [Line(self.w.frame("impression", "unchanged"))]

    def _advice(self) -> Line:
        ask = self.draw.pick(self.w.bank.ask["reason"])
        text = self.w.frame("impression", "advice", {"ask": (marker := self.w.bare(ask).text)})
        return Line(text, claims("hypothetical", [ask]) if marker in text else ())

    def _rank(self, feature: str) -> float:
        return self.w.bank.wordings[feature].rank + self.draw.between(0, 3) / 2

    def _positives(self) -> list[tuple[float, list[Line]]]:
        out: list[tuple[float, list[Line]]] = []
        waiting = self.pending.get(PRESENT, [])
        while waiting:
            feature = waiting.pop()
            lines: list[Line] = []
            roll = self.draw.between(1, 100)
            moved = self.change.get(feature, 0)
            done = False
            if feature in _OPACITY[:3] and roll <= 50:
                done = self._implies(lines, feature)
            if not done and roll > 78:
                done = self._but(lines, feature)
            if not done and roll > 66 and waiting:
                done = self._both(lines, feature, waiting)
            if not done:
                self._assert(lines, feature, plain=0.3 if moved else 1.0)
            out.append((self._rank(feature), lines))
        return out

    def _assert(self, lines: list[Line], feature: str, plain: float) -> bool:
        """Say that a finding is there: as a change since the last study, or without looking back."""
        moved = self.change.get(feature, 0)
        if moved in _MOVED and not self.draw.chance(plain):
            noun, made = self.w.seen(feature)
            return self.w.say(lines, self.w.frame("imaging", _MOVED[moved], one(noun)), made)
        says = self.w.bank.wordings[feature].says
        if says and self.draw.chance(0.3):
            phrase = self.draw.pick(says)
            return self.w.say(
                lines, self.w.sentence(feature, phrase), claims("present", (feature, *phrase.also))
            )
        noun, made = self.w.seen(feature)
        if self.draw.chance(0.06):
            made = tuple(c._replace(how="consistent") for c in made)
            return self.w.say(lines, self.w.frame("imaging", "consistent", one(noun)), made)
        return self.w.say(lines, self.w.frame("imaging", "present", one(noun)), made)

    def _implies(self, lines: list[Line], feature: str) -> bool:
        """An opacity that raises the question of pneumonia."""
        if "pneumonia" not in self.pending.get(POSSIBLE, []):
            return False
        noun, made = self.w.seen(feature)
        slots = {**one(noun), "bare": self.w.bare("pneumonia").text, "is": "is"}
        text = self.w.frame("imaging", "implies", slots)
        if not self.w.say(lines, text, (*made, Claim("pneumonia", "possible"))):
            return False
        self.pending[POSSIBLE].remove("pneumonia")
        return True

    def _but(self, lines: list[Line], feature: str) -> bool:
        """A finding and a denial in one sentence."""
        denied = self.pending.get(NEGATED, [])
        if not denied:
            return False
        noun, made = self.w.seen(feature)
        other = self.w.bare(denied[-1])
        slots = {**one(noun), "bare": other.text, "is": one(other)["is"]}
        if not self.w.say(
            lines, self.w.frame("imaging", "but", slots), (*made, Claim(denied[-1], "negated"))
        ):
            return False
        denied.pop()
        return True

    def _both(self, lines: list[Line], feature: str, waiting: list[str]) -> bool:
        """Two findings in one sentence."""
        noun, made = self.w.seen(feature)
        second, also = self.w.seen(waiting[-1])
        slots = {**one(noun), "np2": second.text, "is": "are" if noun.number == "many" else "is"}
        if not self.w.say(lines, self.w.frame("imaging", "both", slots), (*made, *also)):
            return False
        waiting.pop()
        return True

    def _doubts(self) -> list[tuple[float, list[Line]]]:
        out: list[tuple[float, list[Line]]] = []
        pair = [f for f in self.pending.get(POSSIBLE, []) if f in _OPACITY]
        if len(pair) > 1 and self.draw.chance(0.6):
            lines: list[Line] = []
            slots = {"one": self.w.bare(pair[0]).text, "two": self.w.bare(pair[1]).text}
            if self.w.say(lines, self.w.frame("imaging", "versus", slots), claims("possible", pair[:2])):
                out.append((self._rank(pair[0]), lines))
                for feature in pair[:2]:
                    self.pending[POSSIBLE].remove(feature)
        for code in (POSSIBLE, PROBABLE):
            for feature in self.pending.get(code, []):
                lines = []
                self._doubt(lines, feature, code == PROBABLE)
                out.append((self._rank(feature), lines))
        return out

    def _doubt(self, lines: list[Line], feature: str, probable: bool) -> bool:
        stance: Stance = "probable" if probable else "possible"
        hedges = self.w.bank.wordings[feature].hedges
        if hedges and not probable and self.draw.chance(0.35):
            phrase = self.draw.pick(hedges)
            made = (Claim(feature, "possible"), *claims("present", phrase.also))
            return self.w.say(lines, self.w.sentence(feature, phrase), made)
        return self.w.say(
            lines, self.w.frame("imaging", stance, one(self.w.bare(feature))), claims(stance, [feature])
        )

    def _resolved(self) -> list[tuple[float, list[Line]]]:
        out: list[tuple[float, list[Line]]] = []
        for feature in self.pending.get(RESOLVED, []):
            lines: list[Line] = []
            text = self.w.frame("imaging", "resolved", one(self.w.bare(feature)))
            self.w.say(lines, text, claims("resolved", [feature]))
            out.append((self._rank(feature), lines))
        return out

    def _denials(self) -> list[tuple[float, list[Line]]]:
        out: list[tuple[float, list[Line]]] = []
        denied = self.pending.get(NEGATED, [])
        out.extend(self._normal(denied))
        while denied:
            size = self.draw.pick((1, 1, 2, 2, 3, 4))
            group, denied = denied[:size], denied[size:]
            lines: list[Line] = []
            self._deny(lines, group)
            out.append((self._rank(group[0]), lines))
        return out

    def _normal(self, denied: list[str]) -> list[tuple[float, list[Line]]]:
        """Sentences of normality, which rule findings out without naming them."""
        out: list[tuple[float, list[Line]]] = []
        for feature in list(denied):
            lines: list[Line] = []
            normal = self.w.bank.wordings[feature].normal
            p = 0.75 if feature == "cardiomegaly" else 0.25
            if feature == "consolidation" and self._lungs_free() and self.draw.chance(0.6):
                made = claims("negated", ["consolidation", "infiltration"], "normal")
                self.w.say(lines, self.w.frame("imaging", "clear"), made)
            elif feature == "bone fractures" and self.draw.chance(0.4):
                self.w.say(lines, self.w.frame("imaging", "bones"), claims("negated", [feature], "normal"))
            elif normal and self.draw.chance(p):
                phrase = self.draw.pick(normal)
                self.w.say(lines, self.w.sentence(feature, phrase), claims("negated", [feature], "normal"))
            if lines:
                denied.remove(feature)
                out.append((self._rank(feature), lines))
        return out

    def _lungs_free(self) -> bool:
        return not any(self.intent.get(f) in (PRESENT, POSSIBLE, PROBABLE) for f in _LUNG)

    def _deny(self, lines: list[Line], group: list[str]) -> bool:
        denies = self.w.bank.wordings[group[0]].denies
        if len(group) == 1 and denies and self.draw.chance(0.25):
            phrase = self.draw.pick(denies)
            made = (*claims("negated", group), *claims("present", phrase.also))
            return self.w.say(lines, self.w.sentence(group[0], phrase), made)
        nouns = [self.w.bare(f) for f in group]
        slots = {**listed(nouns), **one(nouns[0])}
        key = "negated"
        if len(group) == 1 and self.draw.chance(0.3):
            key = "negated_one"
        elif len(group) == 2 and self.draw.chance(0.25):
            key = "negated_pair"
            slots |= {"one": nouns[0].text, "two": nouns[1].text}
        return self.w.say(lines, self.w.frame("imaging", key, slots), claims("negated", group))
