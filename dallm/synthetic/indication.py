"""The indication and comparison of a synthetic report: symptoms, history, and why the examination is done."""

from __future__ import annotations

from collections.abc import Mapping

from dallm.synthetic.ledger import Claim
from dallm.synthetic.patients import NEGATED, POSSIBLE, PRESENT, PROBABLE, RESOLVED
from dallm.synthetic.phrases import Stance
from dallm.synthetic.writer import Line, Noun, Writer, claims, listed, one

_FRAMES = {
    # kind: (frames for what is there, frames for what is not)
    "symptom": ("symptoms", "negated"),
    "sign": ("signs", "signs_negated"),
    "history": ("history", "history_negated"),
}


class IndicationWriter:
    """Writes why the patient comes.

    Parameters
    ----------
    writer : Writer
        The report's writer.
    intent : mapping of str to int
        What the report intends to say of each symptom, sign and history feature.
    """

    def __init__(self, writer: Writer, intent: Mapping[str, int]) -> None:
        self.w = writer
        self.draw = writer.draw
        self.groups: dict[tuple[str, int], list[str]] = {
            (kind, code): [] for kind in _FRAMES for code in (PRESENT, POSSIBLE, PROBABLE, NEGATED, RESOLVED)
        }
        for feature in self.draw.shuffled(list(intent)):
            self.groups[writer.bank.wordings[feature].kind, intent[feature]].append(feature)

    def indication(self) -> list[Line]:
        """Complaint, signs, history, and what is asked of the reader."""
        opening, middle, ending = self._complaint(), [], []
        for kind in ("sign", "history"):
            middle.append(self._present(kind))
        for kind in _FRAMES:
            middle.append(self._absent(kind))
            middle.append(self._doubtful(kind))
        for key, p in (("family", 0.05), ("past", 0.06)):
            if self.draw.chance(p):
                middle.append([self._aside(key)])
        if self.draw.chance(0.14):
            middle.append([Line(self.w.frame("indication", "vitals"))])
        if self.draw.chance(0.45):
            ending.append(self._reason())
        if not opening and (not ending or self.draw.chance(0.3)):
            opening = [Line(self.w.frame("indication", self.draw.pick(("other", "plain"))))]
        parts = self.draw.shuffled([lines for lines in middle if lines])
        return [*opening, *(line for lines in parts for line in lines), *ending]

    def comparison(self, prior: bool) -> list[Line]:
        """What the images were compared with."""
        if not prior:
            return [Line(self.w.frame("comparison", "none"))]
        if self.draw.chance(0.15):
            ask = self.draw.pick(self.w.bank.ask["past"])
            text = self.w.frame("comparison", "finding", {"ask": self.w.bare(ask).text})
            return [Line(text, claims("historical", [ask]))]
        return [Line(self.w.frame("comparison", "prior"))]

    def _complaint(self) -> list[Line]:
        lines: list[Line] = []
        waiting = self.groups["symptom", PRESENT]
        told = [f for f in waiting if not self.w.bank.wordings[f].seen or self.draw.chance(0.25)]
        in_list = [f for f in waiting if f not in told]
        if in_list:
            group, rest = in_list[:3], in_list[3:]
            nouns, made = self._seen(group)
            denied = self.groups["symptom", NEGATED]
            if denied and self.draw.chance(0.25):
                other = [f for f in denied[:2] if self.w.bank.wordings[f].bare]
                if other and self._mixed(lines, nouns, made, other):
                    self.groups["symptom", NEGATED] = [f for f in denied if f not in other]
                    nouns = []
            if nouns:
                self.w.say(lines, self.w.frame("indication", "open", listed(nouns)), made)
            if rest:
                nouns, made = self._seen(rest)
                self.w.say(lines, self.w.frame("indication", "symptoms", listed(nouns)), made)
        lines.extend(self._told(told))
        return lines

    def _mixed(
        self, lines: list[Line], nouns: list[Noun], made: tuple[Claim, ...], denied: list[str]
    ) -> bool:
        slots = {"and": listed(nouns)["and"], "or": listed([self.w.bare(f) for f in denied])["or"]}
        return self.w.say(
            lines, self.w.frame("indication", "mixed", slots), (*made, *claims("negated", denied))
        )

    def _seen(self, features: list[str]) -> tuple[list[Noun], tuple[Claim, ...]]:
        pairs = [self.w.seen(f) for f in features]
        return [noun for noun, _ in pairs], tuple(claim for _, made in pairs for claim in made)

    def _told(self, features: list[str]) -> list[Line]:
        lines: list[Line] = []
        for feature in features:
            phrase = self.draw.pick(self.w.bank.wordings[feature].says)
            self.w.say(lines, self.w.sentence(feature, phrase), claims("present", (feature, *phrase.also)))
        return lines

    def _present(self, kind: str) -> list[Line]:
        waiting = self.groups[kind, PRESENT]
        told = [f for f in waiting if self.draw.chance(0.45)]
        lines = self._told(told)
        in_list = [f for f in waiting if f not in told]
        if in_list:
            nouns, made = self._seen(in_list)
            key = _FRAMES[kind][0]
            self.w.say(lines, self.w.frame("indication", key, listed(nouns, articles=kind == "sign")), made)
        return lines

    def _absent(self, kind: str) -> list[Line]:
        lines: list[Line] = []
        waiting = self.groups[kind, NEGATED]
        in_list: list[str] = []
        for feature in waiting:
            wording = self.w.bank.wordings[feature]
            if not wording.bare or (wording.denies and self.draw.chance(0.25)):
                phrase = self.draw.pick(wording.denies)
                made = (Claim(feature, "negated"), *claims("present", phrase.also))
                self.w.say(lines, self.w.sentence(feature, phrase), made)
            elif wording.normal and self.draw.chance(0.3):
                text = self.w.sentence(feature, self.draw.pick(wording.normal))
                self.w.say(lines, text, claims("negated", [feature], "normal"))
            else:
                in_list.append(feature)
        while in_list:
            size = self.draw.pick((1, 2, 3, 4))
            group, in_list = in_list[:size], in_list[size:]
            slots = listed([self.w.bare(f) for f in group])
            self.w.say(lines, self.w.frame("indication", _FRAMES[kind][1], slots), claims("negated", group))
        return lines

    def _doubtful(self, kind: str) -> list[Line]:
        lines: list[Line] = []
        for code in (POSSIBLE, PROBABLE):
            stance: Stance = "possible" if code == POSSIBLE else "probable"
            for feature in self.groups[kind, code]:
                wording = self.w.bank.wordings[feature]
                if not wording.bare or (stance == "possible" and self.draw.chance(0.5)):
                    phrase = self.draw.pick(wording.hedges)
                    made = (
                        Claim(feature, stance if wording.bare else "possible"),
                        *claims("present", phrase.also),
                    )
                    self.w.say(lines, self.w.sentence(feature, phrase), made)
                else:
                    text = self.w.frame("indication", stance, one(self.w.bare(feature)))
                    self.w.say(lines, text, claims(stance, [feature]))
        return lines

    def _aside(self, key: str) -> Line:
        """Someone else's illness, or one of long ago."""
        ask = self.draw.pick(self.w.bank.ask[key])
        stance: Stance = "other_person" if key == "family" else "historical"
        text = self.w.frame("indication", key, {"ask": self.w.bare(ask).text})
        return Line(text, claims(stance, [ask]))

    def _reason(self) -> Line:
        asked = self.draw.shuffled(self.w.bank.ask["reason"])[: self.draw.pick((1, 1, 1, 2))]
        nouns = [self.w.bare(f) for f in asked]
        one_only = nouns[0].text
        text = self.w.frame("indication", "reason", {**listed(nouns), "ask": one_only})
        named = asked if listed(nouns)["or"] in text else asked[:1]
        return Line(text, claims("hypothetical", named))
