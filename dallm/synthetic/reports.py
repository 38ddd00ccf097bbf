"""Synthetic reports in four sections, each with the truth of what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dallm.synthetic.findings import ImageWriter
from dallm.synthetic.indication import IndicationWriter
from dallm.synthetic.phrases import Bank, Draw
from dallm.synthetic.writer import Line, Writer, place_of

SECTIONS = ("indication", "comparison", "findings", "impression")


class Statement(NamedTuple):
    """A claim with its sentence: ``report[field][start:end]`` (Python code points)."""

    feature: str
    stance: str
    how: str
    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What a report is written from.

    Parameters
    ----------
    age : int
        Years.
    female : bool
        Whether the patient is a woman.
    prior : bool
        Whether an earlier study exists.
    device : bool
        Whether a tube, line or pacemaker is to be seen.
    vitals : mapping of str to float
        All six vitals as they were, written down or not.
    intent, change : mapping of str to int
        By feature, the codes of ``patients``; features that the report is silent about are left out.
    """

    age: int
    female: bool
    prior: bool
    device: bool
    vitals: Mapping[str, float]
    intent: Mapping[str, int]
    change: Mapping[str, int]


class Report(NamedTuple):
    """Section to text, feature to what the report says of it, and every statement in the text."""

    text: dict[str, str]
    said: dict[str, str]
    statements: list[Statement]


def write_report(facts: CaseFacts, bank: Bank, draw: Draw) -> Report:
    """Write one report.

    The intent is what should be said; a sentence that would contradict an earlier one is left out, so the
    truth is what `said` holds, not the intent.
    """
    mark = draw.pick(("XXXX", "___"))
    writer = Writer(bank, draw, _slots(facts, mark, draw))
    images = {f: c for f, c in facts.intent.items() if bank.wordings[f].kind == "imaging"}
    clinical = {f: c for f, c in facts.intent.items() if f not in images}
    image_writer = ImageWriter(writer, images, facts.change, facts.device)
    indication_writer = IndicationWriter(writer, clinical)

    roll = draw.between(1, 100)
    alone, no_impression = roll <= 6, 6 < roll <= 12
    lines: dict[str, list[Line]] = {
        "indication": [] if draw.chance(0.04) else indication_writer.indication(),
        "comparison": [] if draw.chance(0.15) else indication_writer.comparison(facts.prior),
        "findings": [] if alone else image_writer.findings(),
        "impression": [] if no_impression else image_writer.impression(alone),
    }
    text: dict[str, str] = {}
    statements: list[Statement] = []
    for section in SECTIONS:
        numbered = section == "impression" and len(lines[section]) > 1 and draw.chance(0.4)
        text[section] = _lay_out(lines[section], section, numbered, bank.typography, draw, statements)
    return Report(text, writer.ledger.said, statements)


def _slots(facts: CaseFacts, mark: str, draw: Draw) -> dict[str, str]:
    v = facts.vitals
    years = draw.between(1, 28)
    date = (
        mark if draw.chance(0.6) else f"{draw.between(1, 12)}/{draw.between(1, 28)}/20{draw.between(10, 23)}"
    )
    woman = ("woman", "female") if facts.female else ("man", "male")
    return {
        "age": str(facts.age),
        "sex": draw.pick(woman),
        "mf": "F" if facts.female else "M",
        "pron": "she" if facts.female else "he",
        "poss": "her" if facts.female else "his",
        "deid": mark,
        "date": date,
        "year": f"{draw.between(2, 19):02d}",
        **{key: text for key, text in place_of(draw).items() if key in ("side", "base")},
        "days": str(draw.between(2, 9)),
        "packs": str(5 + years),
        "mm": str(draw.between(4, 22)),
        "mass": f"{draw.between(31, 78) / 10}",
        "mass2": f"{draw.between(25, 60) / 10}",
        "ctr": str(draw.between(55, 68)),
        "ef_low": str(draw.pick((20, 25, 30, 35, 40))),
        "ef_high": str(draw.pick((55, 60, 65))),
        "tube": f"{draw.between(25, 60) / 10}",
        "temp": f"{v['temperature']:.1f}",
        "hr": f"{v['heartrate']:.0f}",
        "rr": f"{v['resprate']:.0f}",
        "o2": f"{v['o2sat']:.0f}",
        "sbp": f"{v['sbp']:.0f}",
        "dbp": f"{v['dbp']:.0f}",
    }


def _lay_out(
    lines: Sequence[Line],
    section: str,
    numbered: bool,
    typography: Mapping[str, float],
    draw: Draw,
    statements: list[Statement],
) -> str:
    """Join sentences into a section, with the slips and habits of typed text; record where claims stand."""
    roll = draw.between(1, 1000) / 1000
    upper = roll <= typography["upper"]
    lower = not upper and section == "indication" and roll <= typography["upper"] + typography["lower"]
    gap = "\n" if numbered and draw.chance(0.6) else " "
    out, length = [], 0
    for i, line in enumerate(lines):
        sentence = line.text[:1].upper() + line.text[1:]
        if "  " in sentence:  # a choice with an empty option
            sentence = sentence.replace("  ", " ")
        if draw.chance(typography["typos"]):
            sentence = _slip(sentence, draw)
        sentence = sentence.upper() if upper else sentence.lower() if lower else sentence
        lead = (gap if i else "") + (f"{i + 1}. " if numbered else "")
        start = length + len(lead)
        length = start + len(sentence)
        out.append(lead + sentence)
        statements.extend(Statement(*claim, section, start, length) for claim in line.claims)
    return "".join(out)


def _slip(sentence: str, draw: Draw) -> str:
    """Mistype one longer word: two letters swapped, one lost, or one doubled."""
    words = sentence.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 6 and word.isalpha()]
    if not long:
        return sentence
    at = draw.pick(long)
    word = words[at]
    i = draw.between(1, len(word) - 3)
    words[at] = draw.pick(
        (word[:i] + word[i + 1] + word[i] + word[i + 2 :], word[:i] + word[i + 1 :], word[: i + 1] + word[i:])
    )
    return " ".join(words)
