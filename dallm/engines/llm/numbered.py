"""The numbered form of an answer, one line per feature: ``3. fever: True, because "febrile" [findings]``.

Read strictly: a line counts where it begins with a feature's whole name and states exactly one value. What is
ambiguous is a fault of that feature, never a guess.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from dallm.engines.llm.cell_answer import Basis, CellAnswer
from dallm.engines.llm.stated import NotAValueError, spelling, stated_in
from dallm.features import Feature, normalise_name


class Lines(NamedTuple):
    """What numbered lines say: cells by feature, faults by feature, case keys, and lines of nobody."""

    cells: dict[str, CellAnswer]
    faults: dict[str, str]
    keys: tuple[str, ...]
    ignored: int


# what repeats is possessive: a model that runs wild writes the same sign ten thousand times
_MARKS = r"[ \t>*_#\-•|]*+"
_NUMBER = r"\(?(?P<number>\d{1,4})[.):\]][*_]*+[ \t]*+"
_ITEM = re.compile(rf"^{_MARKS}\(?\d{{1,4}}[.):\]]", re.MULTILINE)
_KEY = re.compile(
    r"^[ \t>*_#`\"'(\[\-]*+case(?:[ _]key)?[\W_]{1,8}([0-9a-f]{6,64})\b", re.MULTILINE | re.IGNORECASE
)
_BODY_END = re.compile(r"\n[ \t]*\n|\n[ \t]*```")
_QUOTED = re.compile(r"[\"“”«](?P<quote>.*)[\"“”»]\s*\[(?P<field>[^\]\n]*)\](?P<clause>.*)", re.DOTALL)
_QUOTED_ALONE = re.compile(r"[\"“”«](?P<quote>.*)[\"“”»](?P<clause>[^\"“”«»]*)", re.DOTALL)
_QUOTED_FIRST = re.compile(r"[\"“”«](?P<quote>[^\"“”«»]*)[\"“”»](?P<clause>.*)", re.DOTALL)
_ROW = re.compile(r"(?:the\s+)?row\s*\[(?P<field>[^\]\n]*)\](?P<clause>.*)", re.DOTALL | re.IGNORECASE)
_KNOWLEDGE = re.compile(r"knowledge\s*:\s*(?P<clause>.*)", re.DOTALL | re.IGNORECASE)
_OFFER = re.compile(r"[\s*_`{\[(]*(?:[^,\n]{1,120}?)\s*(?:/|\||\bor\b)\s*[^,\n]+", re.IGNORECASE)


def read_lines(text: str, features: Sequence[Feature], report: Mapping[str, str]) -> Lines:
    """Read numbered lines.

    Parameters
    ----------
    text : str
        The answer.
    features : sequence of Feature
        Those that were asked for; the lines may come in any order.
    report : mapping of str to str
        The case's report, to tell where a quote ends that holds quotation marks itself.

    Examples
    --------
    >>> text = 'case 3fa94c1200de\\n1. fever: **True**, because "febrile to 101.3" [findings]\\n'
    >>> text += "2. cough: True / False"
    >>> lines = read_lines(text, [Feature("fever", "boolean"), Feature("cough", "boolean")], {})
    >>> lines.cells["fever"]
    CellAnswer(value=True, quote='febrile to 101.3', field='findings', rationale='', basis='report')
    >>> lines.cells.keys(), lines.faults, lines.keys
    (dict_keys(['fever']), {}, ('3fa94c1200de',))
    """
    by_key = {feature.key: feature for feature in features}
    cells: dict[str, CellAnswer] = {}
    faults: dict[str, str] = {}
    ignored = 0
    for name, numbered, body in _items(text, tuple(feature.name for feature in features)):
        feature = by_key.get(name)
        if feature is None:
            ignored += 1
            continue
        try:
            cell = _cell(feature, body, report)
        except NotAValueError as error:
            # the list of what may be answered, repeated, is no answer; neither is prose about a feature
            if numbered and not _OFFER.match(body[:200]):
                faults.setdefault(feature.name, str(error))
            continue
        known = cells.setdefault(feature.name, cell)
        if known.value != cell.value or type(known.value) is not type(cell.value):
            faults[feature.name] = "stands there twice with different values"
    for name in faults:
        cells.pop(name, None)
    keys = tuple(dict.fromkeys(found.group(1).lower() for found in _KEY.finditer(text)))
    return Lines(cells, faults, keys, ignored)


def _items(text: str, names: tuple[str, ...]) -> Iterator[tuple[str, bool, str]]:
    """Each line that begins with a number or a feature's name: the name, whether numbered, what follows."""
    heads = list(_head(names).finditer(text))
    starts = sorted({head.start() for head in heads} | {item.start() for item in _ITEM.finditer(text)})
    ends = dict(pairwise([*starts, len(text)]))
    named = {head.start(): head for head in heads}
    for start in starts:
        head = named.get(start)
        if head is None:
            yield "", True, ""
            continue
        body = text[head.end() : ends[start]]
        stripped = body.lstrip()
        end = _BODY_END.search(stripped)
        said = stripped[: end.start()] if end is not None else stripped
        yield normalise_name(head["name"]), head["number"] is not None, said.rstrip()


@functools.lru_cache(maxsize=64)
def _head(names: tuple[str, ...]) -> re.Pattern[str]:
    """The beginning of a line that answers one of these features, up to the colon."""
    spelt = map(spelling, sorted(names, key=len, reverse=True))
    return re.compile(
        rf"^{_MARKS}(?:{_NUMBER})?[*_`\"'\[]*+(?P<name>{'|'.join(spelt)})[*_`\"'\]]*+"
        r"[ \t]*+(?:\([^()\n]*+\)[ \t]*+)?[*_`]*+[ \t]*+[:=：]",
        re.MULTILINE | re.IGNORECASE,
    )


def _cell(feature: Feature, body: str, report: Mapping[str, str]) -> CellAnswer:
    value, reason, _ = stated_in(feature, body)
    quote, field, clause, basis = _grounds(reason, report)
    if value is None:
        return CellAnswer(None, None, None, reason, "neither")
    return CellAnswer(value, quote, field, clause, basis)


def _grounds(reason: str, report: Mapping[str, str]) -> tuple[str | None, str | None, str, Basis]:
    """Take a reason apart: quote, field, the clause that remains, basis."""
    row = _ROW.match(reason)
    if row is not None:
        return None, row["field"].strip(), _clause(row["clause"]), "row"
    knowledge = _KNOWLEDGE.match(reason)
    if knowledge is not None:
        return None, None, knowledge["clause"].strip(), "knowledge"
    found = _QUOTED.match(reason)
    if found is not None:
        return found["quote"], found["field"].strip(), _clause(found["clause"]), "report"
    whole, first = _QUOTED_ALONE.match(reason), _QUOTED_FIRST.match(reason)
    if whole is not None and first is not None and whole["quote"] != first["quote"]:
        stands = any(whole["quote"] in text for text in report.values())
        whole = whole if stands else first
    if whole is not None:
        return whole["quote"], None, _clause(whole["clause"]), "report"
    # a value without a quote claims the report's word; the checks after it refuse that
    return None, None, reason, "report"


def _clause(text: str) -> str:
    return text.strip(" \t\n,;.–—-")
