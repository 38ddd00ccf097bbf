"""Numbers beside the words that name them: "saturating 92 % on room air", "BP 120/80", "a 52-year-old".

What is no single number of the thing itself gives no value: a range ("88-92 %", "in the 90s"), a bound
("> 90 %"), a date, the number of a list, how long something lasted ("for 3 days"), or what has the unit of
another quantity ("sats on 2 L"). A change ("from 1.0 to 2.3") gives where it led.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from dallm.engines.extractive.text import Tokens, tokenise
from dallm.lexicon import Concept

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+|\d+(?:[.,]\d+)?")
_REACH = 7  # words between a name and its number
_STOPS = frozenset("; and with but then while who for since x times".split())
# Right before a number they say that it is the value, whatever words stand between these and the name.
_COPULAS = frozenset("is was were of at to = : read reading measured measuring measures recorded ~".split())
_LINKS = _COPULAS | frozenset(
    "are a an the around about approximately approx in on found came back level levels value up down now "
    "today currently initially noted , ( ) sat sats went dropped fell rose only as just repeat score "
    "readings".split()
)
_BOUNDS = frozenset("> < ≥ ≤ over above below under than least most between".split())
_RANGE_MARKS = frozenset(("–", "—", "to", "or"))
_DATED = frozenset(("on", "dated", "from", "since"))
_GASES = frozenset(("oxygen", "o2", "fio2"))
_UNIT_NAMES: dict[str, tuple[str, ...]] = {
    "%": ("%", "percent", "per cent", "pct"),
    "degF": ("f", "degf", "fahrenheit", "° f", "degrees f", "degrees fahrenheit", "deg f"),
    "degC": ("c", "degc", "celsius", "° c", "degrees c", "degrees celsius", "deg c", "centigrade"),
    "/min": ("bpm", "/ min", "per minute", "beats per minute", "breaths per minute", "a minute"),
    "mmHg": ("mmhg", "mm hg"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre", "centimetres", "cms"),
    "years": ("year", "years", "yo", "y / o", "y . o", "yr", "yrs", "year old", "years old", "y", "yrs old"),
    "months": ("month old", "months old", "mo", "month", "months"),
    "weeks": ("week old", "weeks old", "week", "weeks", "wk", "wks"),
    "days": ("day old", "days old", "day", "days"),
    "pack-years": ("pack year", "pack years", "packs year", "py"),
    "L/min": ("l / min", "lpm", "l", "liter", "liters", "litre", "litres", "liters per minute"),
}
# Behind a number they make it another quantity's, unless they are a unit of the concept.
_UNIT_WORDS = frozenset(
    "% percent f c ° degree degrees bpm mmhg mm cm m kg lb lbs pounds g mg mcg ml l liter liters litre "
    "litres lpm cc hour hours hr hrs h minute minutes min second seconds sec day days d week weeks wk wks "
    "month months mo year years yr yrs yo y am pm pack packs ppd view views image images times time th st "
    "nd rd s x french fr inch inches pillow pillows feet ft stairs blocks".split()
)
_CLOSERS = frozenset((",", "(", ")", ":"))
_BEFORE_PERSON = frozenset(("a", "an", "is", "patient", "pt", "this"))
_BEHIND_PERSON = frozenset("c h p s w with who presents presenting presented complains here admitted".split())
_HEAT = frozenset(("t", "temp", "temperature", "tmax", "fever", "febrile"))
_BODY_HEAT = frozenset(map(str, range(94, 109)))
_OLDEST = 120
_NEAR = 3  # characters; where more lie between a number and "year-old", a de-identifier took the age out


class Measurement(NamedTuple):
    """A value in the concept's unit, and the tokens that state it."""

    value: float
    start: int
    end: int


class _Reading(NamedTuple):
    """What a number says of a concept: its value if any, whether with unit, and where the words go on.

    `resume` at the number itself: nothing behind it belongs to the concept any more.
    """

    found: Measurement | None
    with_unit: bool
    resume: int


def measure(
    tokens: Tokens, start: int, end: int, concept: Concept, *, floor: int = 0, ceiling: int | None = None
) -> Measurement | None:
    """Return the number that belongs to the mention of a numeric concept, converted to its unit.

    The number follows the name within a few linking words, or stands right before it with its unit. Where the
    name is itself the unit ("year old", "pack years"), it stands right before it and nowhere else. A number
    outside the concept's possible range is none. What lies before `floor` or from `ceiling` on is another
    quantity's.
    """
    words = tokens.words if ceiling is None else tokens.words[:ceiling]
    if start > floor and is_unit(words, start, concept):
        return _prefixed(tokens, start, end, concept)
    found = _behind(words, start, end, concept)
    return found if found is not None or start <= floor else _before(words, start, floor, concept)


def is_unit(words: tuple[str, ...], start: int, concept: Concept) -> bool:
    """Whether a name stands where a unit does, right behind a number: "52 year old", "20 pack years"."""
    return (
        start > 0
        and bool(_NUMBER.fullmatch(words[start - 1]))
        and _unit_at(words, start, concept)[0] is not None
    )


def age_of_person(tokens: Tokens, at: int, *, capital: bool) -> Measurement | None:
    """Return the age in "52M", "a 49F", "52 yo M"; None where the letter at this place means something else.

    "T 101F" is no age: the number opens the sentence or follows a word that leads to a person. A small letter
    ("60m with cough") may be a metre, "101F" a heat: they count only before what a patient has or does.
    """
    words = tokens.words
    for parts in _spellings("years"):
        begin = at - len(parts)
        if begin > 0 and words[begin:at] == parts:
            return _age_at(tokens, begin - 1, at)
    number = at - 1
    if number < 0 or tokens.starts[at] != tokens.ends[number]:
        return None
    warm = words[at] == "f" and words[number] in _BODY_HEAT
    if not capital or warm:
        opens = number == 0 and words[at + 1 : at + 2] != () and words[at + 1] in _BEHIND_PERSON
    else:
        opens = number == 0 or words[number - 1] in _BEFORE_PERSON or (number == 2 and words[1] == ":")
    return _age_at(tokens, number, at) if opens and words[0] not in _HEAT else None


def _age_at(tokens: Tokens, number: int, end: int) -> Measurement | None:
    word = tokens.words[number]
    if not word.isdigit() or int(word) > _OLDEST or tokens.starts[number + 1] - tokens.ends[number] > _NEAR:
        return None
    return Measurement(float(word), number, end)


def _prefixed(tokens: Tokens, start: int, end: int, concept: Concept) -> Measurement | None:
    """The number in front of a name that is a unit; nothing where a de-identifier took the number's place."""
    words, number = tokens.words, start - 1
    near = tokens.starts[start] - tokens.ends[number] <= _NEAR
    if not _NUMBER.fullmatch(words[number]) or not near:
        return None
    if number and (words[number - 1] in _BOUNDS or words[number - 1] in _RANGE_MARKS):
        return None
    if number and _NUMBER.fullmatch(words[number - 1]):
        return None
    unit, _ = _unit_at(words, start, concept)
    value = _in_unit(_number(words[number]), unit, concept)
    return None if value is None else Measurement(value, number, end)


def _behind(words: tuple[str, ...], start: int, end: int, concept: Concept) -> Measurement | None:
    plain = True  # nothing but linking words so far
    at, last = end, end + _REACH
    while at < min(len(words), last):
        word = words[at]
        if _NUMBER.fullmatch(word):
            reading = _reading(words, at, concept, words[start:end])
            if reading.found is not None:
                sure = plain or reading.with_unit or words[at - 1] in _COPULAS
                return reading.found if sure else None
            if reading.resume == at:
                return None
            plain = False
            last += reading.resume - at
            at = reading.resume  # another quantity's number or a date: "O2 sat on 2 L 92 %"
            continue
        if word in _STOPS or word in _BOUNDS or not (word in _LINKS or word.isalpha()):
            return None
        plain = plain and word in _LINKS
        at += 1
    return None


def _before(words: tuple[str, ...], start: int, floor: int, concept: Concept) -> Measurement | None:
    """A number right before the name counts only with its unit: "chest 2 views" is no chest of 2."""
    for at in range(start - 1, max(floor, start - _REACH) - 1, -1):
        if words[at] in _STOPS or words[at] in _CLOSERS:
            return None
        if not _NUMBER.fullmatch(words[at]) or (at > floor and words[at - 1] == "/"):
            continue
        reading = _reading(words, at, concept, words[start:])
        found = reading.found
        return found if found is not None and reading.with_unit and start - found.end <= 1 else None
    return None


def _reading(words: tuple[str, ...], at: int, concept: Concept, name: tuple[str, ...]) -> _Reading:
    """What the number at a place says of a concept called `name`."""
    stop = _Reading(None, False, at)
    before = words[at - 1] if at else ""
    if before in _BOUNDS:
        return stop
    pair = _pair_part(concept)
    second = _second_number(words, at)
    if second is None:
        if pair is not None and not _names_its_part(name):
            return stop
        first, end = at, at + 1
    elif _after_date(words, second) > second + 1 or (
        pair is None and not _is_full_scale(words[second], concept)
    ):
        return _Reading(None, False, _after_date(words, second)) if before in _DATED else stop
    else:
        first, end = (second if pair == 1 else at), second + 1
    unit, after = _unit_at(words, end, concept)
    if unit is None and end < len(words) and words[end] in _UNIT_WORDS:
        return _Reading(None, False, end + 1)
    if unit == "%" and before == "on" and words[after : after + 1] and words[after] in _GASES:
        return _Reading(None, False, after)
    if _is_range(words, after):
        return _changed(words, at, after, concept)
    value = _in_unit(_number(words[first]), unit or (concept.unit if pair is not None else None), concept)
    listed = words[after : after + 1] == (")",) and "(" not in words[:at] and unit is None
    if value is None or listed:
        return stop  # impossible, or the number of a list: "2) heart"
    return _Reading(Measurement(value, at, after), unit is not None or second is not None, after)


def _changed(words: tuple[str, ...], at: int, end: int, concept: Concept) -> _Reading:
    """The second number of "from 88 to 95 %"; a range has no value."""
    if at == 0 or words[at - 1] != "from" or words[end] != "to":
        return _Reading(None, False, at)
    unit, after = _unit_at(words, end + 2, concept)
    value = _in_unit(_number(words[end + 1]), unit, concept)
    if value is None:
        return _Reading(None, False, at)
    return _Reading(Measurement(value, at, after), True, after)


def _is_range(words: tuple[str, ...], end: int) -> bool:
    if end >= len(words):
        return False
    if _NUMBER.fullmatch(words[end]):
        return True  # "88-92": the hyphen is passed over
    ranged = words[end] in _RANGE_MARKS or words[end] == "+"
    return ranged and end + 1 < len(words) and bool(_NUMBER.fullmatch(words[end + 1]))


def _second_number(words: tuple[str, ...], at: int) -> int | None:
    """Where the other half of a pair stands: "120/80", "120 over 80"."""
    if at + 2 < len(words) and words[at + 1] in ("/", "over") and _NUMBER.fullmatch(words[at + 2]):
        return at + 2
    return None


def _after_date(words: tuple[str, ...], second: int) -> int:
    if words[second + 1 : second + 2] == ("/",) and _NUMBER.fullmatch(
        "".join(words[second + 2 : second + 3])
    ):
        return second + 3
    return second + 1


def _is_full_scale(word: str, concept: Concept) -> bool:
    """Whether a number behind the slash is the top of the scale: "pain score 8/10", "GCS 14/15"."""
    return concept.unit == "1" and concept.high is not None and _number(word) == concept.high


def _names_its_part(name: tuple[str, ...]) -> bool:
    """A single number is a systolic or diastolic pressure only where the name says which: not in "BP 120"."""
    return any(word in ("systolic", "diastolic", "sbp", "dbp") for word in name)


def _pair_part(concept: Concept) -> int | None:
    if concept.unit != "mmHg":
        return None
    return 0 if concept.name.startswith("systolic") else 1 if concept.name.startswith("diastolic") else None


def _number(word: str) -> float:
    if re.fullmatch(r"\d{1,3}(,\d{3})+", word):
        return float(word.replace(",", ""))
    return float(word.replace(",", "."))


@lru_cache(maxsize=1_000)
def _spellings(unit: str) -> tuple[tuple[str, ...], ...]:
    """How a unit is written, as words, the longest first."""
    names = (*_UNIT_NAMES.get(unit, ()), unit)
    written = {tokenise(name).words for name in names}
    return tuple(sorted((w for w in written if w), key=len, reverse=True))


def _unit_at(words: tuple[str, ...], end: int, concept: Concept) -> tuple[str | None, int]:
    for unit in (concept.unit, *concept.units):
        if unit is None or unit == "1":
            continue
        for parts in _spellings(unit):
            if words[end : end + len(parts)] == parts:
                return unit, end + len(parts)
    return None, end


def _in_unit(value: float, unit: str | None, concept: Concept) -> float | None:
    """A number in the concept's unit; without a unit it is in that, or the first in which it is possible."""
    if unit is None:
        conversions = [(1.0, 0.0), *concept.units.values()]
    else:
        conversions = [(1.0, 0.0) if unit == concept.unit else concept.units[unit]]
    for scale, shift in conversions:
        if _possible(scale * value + shift, concept):
            return round(scale * value + shift, 4)
    return None


def _possible(value: float, concept: Concept) -> bool:
    low = concept.low if concept.low is not None else float("-inf")
    high = concept.high if concept.high is not None else float("inf")
    return low <= value <= high
