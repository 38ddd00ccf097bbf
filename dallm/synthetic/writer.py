"""How a synthetic sentence is put together: noun phrases, articles, lists, and the claims it makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dallm.synthetic.ledger import Claim, Ledger
from dallm.synthetic.phrases import Bank, Draw, Phrase, Stance, render


class Line(NamedTuple):
    """A sentence and what it claims."""

    text: str
    claims: tuple[Claim, ...] = ()


class Noun(NamedTuple):
    """A noun phrase written out."""

    text: str
    number: str

    @property
    def with_article(self) -> str:
        if self.number != "one" or self.text[:1].isupper():
            return self.text
        vowel = self.text[:1] in "aeiou8" or self.text.startswith(("11 ", "18 "))
        return f"an {self.text}" if vowel else f"a {self.text}"


class Writer:
    """Writes the sentences of one report.

    Parameters
    ----------
    bank : Bank
        The phrase bank.
    draw : Draw
        The report's chance.
    slots : mapping of str to str
        What the case fills into templates: age, sex, vitals, dates, sizes.
    """

    def __init__(self, bank: Bank, draw: Draw, slots: Mapping[str, str]) -> None:
        self.bank = bank
        self.draw = draw
        self.slots = dict(slots)
        self.ledger = Ledger(bank)
        self._places: dict[str, dict[str, str]] = {}

    def frame(self, section: str, key: str, slots: Mapping[str, str] | None = None) -> str:
        """Write one of a section's frames."""
        template = self.draw.pick(self.bank.frames[section][key])
        return render(template, self.draw, {**self.slots, **slots} if slots else self.slots)

    def noun(self, feature: str, phrase: Phrase) -> Noun:
        return Noun(self.sentence(feature, phrase), phrase.number)

    def _placed(self, feature: str) -> dict[str, str]:
        """The slots, with a side, lobe and size that stay the same for a feature within a report."""
        place = self._places.get(feature)
        if place is None:
            place = self._places[feature] = {**self.slots, **place_of(self.draw)}
        place["lobe"] = place["abbreviated"] if self.draw.chance(0.25) else place["full"]
        return place

    def bare(self, feature: str) -> Noun:
        """A plain noun phrase, as in denials and questions."""
        wording = self.bank.wordings[feature]
        return self.noun(feature, self.draw.pick(wording.bare))

    def seen(self, feature: str) -> tuple[Noun, tuple[Claim, ...]]:
        """A noun phrase of something that is there, with all that it claims."""
        phrase = self.draw.pick(self.bank.wordings[feature].seen)
        return self.noun(feature, phrase), claims("present", (feature, *phrase.also))

    def sentence(self, feature: str, phrase: Phrase) -> str:
        """Write one of a feature's sentences."""
        slots = self._placed(feature) if phrase.placed else self.slots
        return render(phrase.template, self.draw, slots).strip()

    def say(self, lines: list[Line], text: str, made: Sequence[Claim]) -> bool:
        """Add a sentence unless it contradicts the report so far; return whether it was added."""
        if not self.ledger.add(made):
            return False
        lines.append(Line(text, tuple(made)))
        return True


def place_of(draw: Draw) -> dict[str, str]:
    """Choose where in the chest something lies, and how large it is."""
    side = draw.pick(("left", "right"))
    part = (
        draw.pick(("upper", "middle", "lower", "lower")) if side == "right" else draw.pick(("upper", "lower"))
    )
    return {
        "side": side,
        "full": f"{side} {part} lobe",
        "abbreviated": f"{side[0]}{part[0]}l".upper(),
        "base": f"{side} base",
        "size": draw.pick(("small", "moderate", "large", "trace")),
    }


def claims(stance: Stance, features: Iterable[str], how: str = "stated") -> tuple[Claim, ...]:
    """The same stance towards several features."""
    return tuple(Claim(feature, stance, how) for feature in features)


def one(noun: Noun) -> dict[str, str]:
    """Slots of a frame about one noun phrase."""
    many = noun.number == "many"
    verbs = {"is": "are", "has": "have"} if many else {"is": "is", "has": "has"}
    return {"np": noun.text, "a": noun.with_article, "bare": noun.text, **verbs}


def listed(nouns: Sequence[Noun], articles: bool = False) -> dict[str, str]:
    """Slots of a frame about a list: ``and``, ``or`` and the verbs that agree with it."""
    words = [n.with_article if articles else n.text for n in nouns]
    plural = len(nouns) > 1 or nouns[0].number == "many"
    return {
        "and": _join(words, "and"),
        "or": _join(words, "or"),
        "are": "are" if plural else "is",
        "be": "are" if nouns[0].number == "many" else "is",
    }


def _join(words: Sequence[str], conjunction: str) -> str:
    if len(words) < 3:
        return f" {conjunction} ".join(words)
    return (
        f"{', '.join(words[:-1])}, {conjunction} {words[-1]}"
        if len(words) % 2
        else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"
    )
