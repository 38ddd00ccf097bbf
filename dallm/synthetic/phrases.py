"""The wording of synthetic reports: a small template language, and the phrase bank of ``data/synthetic``.

A template is text with choices ``[a|b]`` and slots ``{age}``. Every noun phrase and sentence
belongs to one feature, so that a report's truth is known because of how the report was made.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from dallm.errors import DallmError
from dallm.resources import data_path

Stance = Literal[
    "present", "negated", "possible", "probable", "resolved", "historical", "hypothetical", "other_person"
]
Number = Literal["one", "many", "mass"]
T = TypeVar("T")

_TOKEN = re.compile(r"\[|\]|\||\{(\w+)\}")
PLACE = ("side", "lobe", "base", "size")  # slots that differ by feature
# What a stance says of the feature now; a stance that is not here says nothing of it.
VALUE: Mapping[str, str] = {
    "present": "present",
    "negated": "negated",
    "resolved": "negated",
    "possible": "possible",
    "probable": "probable",
}


class Draw:
    """The chance of one report: the same seed gives the same choices on every Python version."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def chance(self, p: float) -> bool:
        return self._random() < p

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both allowed."""
        return low + int(self._random() * (high - low + 1))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        rest = list(items)
        for i in range(len(rest) - 1, 0, -1):
            j = int(self._random() * (i + 1))
            rest[i], rest[j] = rest[j], rest[i]
        return rest


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a template that a value of the case fills."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A place in a template with several wordings."""

    options: tuple[Template, ...]


Template = tuple[str | Slot | Choice, ...]


def compile_template(text: str) -> Template:
    """Read a template.

    Raises
    ------
    DallmError
        If a bracket is not closed, or stands out of place.

    Examples
    --------
    >>> render(compile_template("a [small|small] {thing}"), Draw("0"), {"thing": "effusion"})
    'a small effusion'
    """
    position = 0

    def options(inside: bool) -> list[Template]:
        nonlocal position
        done: list[Template] = []
        parts: list[str | Slot | Choice] = []
        while True:
            m = _TOKEN.search(text, position)
            literal = text[position : m.start() if m else len(text)]
            if literal:
                parts.append(literal)
            position = m.end() if m else len(text)
            token = m.group() if m else ""
            if token == "[":
                parts.append(Choice(tuple(options(inside=True))))
            elif token == "|" and inside:
                done.append(tuple(parts))
                parts = []
            elif token.startswith("{") and m:
                parts.append(Slot(m.group(1)))
            elif inside == (token == "]") and token in ("]", ""):
                return [*done, tuple(parts)]
            else:
                raise DallmError(f"The template {text!r} has a bracket or bar out of place.")

    return options(inside=False)[0]


def render(template: Template, draw: Draw, slots: Mapping[str, str]) -> str:
    """Write a template out, with every choice made and every slot filled."""
    out: list[str] = []
    for part in template:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Slot):
            out.append(slots[part.name])
        else:
            out.append(render(draw.pick(part.options), draw, slots))
    return "".join(out)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase or sentence of one feature.

    `also` names further features that it asserts; `placed` says whether it tells a side, lobe or size.
    """

    template: Template
    number: Number = "one"
    also: tuple[str, ...] = ()
    placed: bool = False


@dataclass(frozen=True, slots=True)
class Wording:
    """All that may be said of one feature."""

    name: str
    kind: Literal["imaging", "symptom", "sign", "history"]
    rank: int
    bare: tuple[Phrase, ...]
    seen: tuple[Phrase, ...]
    says: tuple[Phrase, ...]
    denies: tuple[Phrase, ...]
    normal: tuple[Phrase, ...]
    hedges: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class Bank:
    """The phrase bank: wordings by feature, frames by section and purpose, what follows from what."""

    wordings: Mapping[str, Wording]
    frames: Mapping[str, Mapping[str, tuple[Template, ...]]]
    ask: Mapping[str, tuple[str, ...]]
    typography: Mapping[str, float]
    same: Mapping[str, tuple[str, ...]]
    is_a: Mapping[str, str]
    closure: Mapping[tuple[str, str], tuple[tuple[str, str, bool], ...]]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all features that the truth covers, further names included."""
        return tuple(name for f in self.wordings for name in (f, *self.same.get(f, ())))


@cache
def load_bank() -> Bank:
    """Read the phrase bank of the installation."""
    frames = tomllib.loads(data_path("synthetic", "frames.toml").read_text(encoding="utf-8"))
    phrases = tomllib.loads(data_path("synthetic", "phrases.toml").read_text(encoding="utf-8"))
    wordings = {name: _wording(name, entry) for name, entry in phrases.items()}
    same = {name: tuple(others) for name, others in frames["same"].items()}
    return Bank(
        wordings=wordings,
        frames={
            section: {
                key: tuple(compile_template(t) for t in texts) for key, texts in frames[section].items()
            }
            for section in ("imaging", "impression", "indication", "comparison")
        },
        ask={purpose: tuple(names) for purpose, names in frames["ask"].items()},
        typography=frames["typography"],
        same=same,
        is_a=frames["is_a"],
        closure=_closure(tuple(wordings), frames["is_a"], same),
    )


def _wording(name: str, entry: Mapping[str, Any]) -> Wording:
    def phrases(key: str) -> tuple[Phrase, ...]:
        return tuple(_phrase(text) for text in entry.get(key, ()))

    return Wording(
        name=name,
        kind=entry["kind"],
        rank=entry.get("rank", 0),
        bare=phrases("bare"),
        seen=phrases("seen"),
        says=phrases("says"),
        denies=phrases("denies"),
        normal=phrases("normal"),
        hedges=phrases("hedges"),
    )


def _phrase(text: str) -> Phrase:
    text, *also = (part.strip() for part in text.split("++"))
    number: Number = {"+": "many", "~": "mass"}.get(text[0], "one")  # type: ignore[assignment]
    placed = any(f"{{{slot}}}" in text for slot in PLACE)
    return Phrase(compile_template(text.lstrip("+~")), number, tuple(also), placed)


def _closure(
    names: Sequence[str], is_a: Mapping[str, str], same: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, str], tuple[tuple[str, str, bool], ...]]:
    """What follows from each (feature, value): (feature, value, whether it may be overruled)."""
    found: dict[tuple[str, str], tuple[tuple[str, str, bool], ...]] = {}
    for name in names:
        parents = [is_a[name]] if name in is_a else []
        children = [child for child, parent in is_a.items() if parent == name]
        for value in ("present", "negated", "possible", "probable"):
            doubt = value in ("possible", "probable")
            reached = [(name, False), *((f, doubt) for f in (children if value == "negated" else parents))]
            found[name, value] = tuple((g, value, soft) for f, soft in reached for g in (f, *same.get(f, ())))
    return found
