"""The parts of a prompt that are made from plain objects: the list of features, the record of a case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dallm.ack.ack import Ack, Answer
from dallm.engines.base import Case, CellValue
from dallm.engines.llm.fence import case_texts, code_for, fenced, safe_text, shown_name
from dallm.features import Feature
from dallm.knowledge.passage import Hit

ROW = "measured values"
"""Label of the part of a record that holds the row."""
EMPTY_RECORD = "(Nothing is recorded.)"
_ALIASES = 4  # a feature's further names that a prompt shows


def feature_lines(features: Sequence[Feature]) -> str:
    """Return the features as a prompt lists them where JSON is asked for.

    Examples
    --------
    >>> print(feature_lines([Feature("fever", "boolean", aliases=("febrile",)),
    ...                      Feature("temperature", "numeric", unit="degF", low=75, high=115)]))
    - "fever": yes/no; also called febrile
    - "temperature": number in degF, 75 to 115
    """
    return "\n".join(f"- {json.dumps(f.name, ensure_ascii=False)}: {_described(f)}" for f in features)


def numbered_lines(features: Sequence[Feature]) -> str:
    """Return the features as the numbered list that is to be completed.

    Examples
    --------
    >>> pain = Feature("pain", "ordinal", levels=("mild", "severe"))
    >>> print(numbered_lines([Feature("fever", "boolean"), pain]))
    1. fever: True / False / not stated
    2. pain: mild / severe / not stated
    """
    lines = []
    for number, feature in enumerate(features, start=1):
        aliases = _aliases(feature)
        also = f" (also called {aliases})" if aliases else ""
        lines.append(f"{number}. {_one_line(feature.name)}: {_offered(feature)} / not stated{also}")
    return "\n".join(lines)


def record_text(case: Case, code: str | None = None) -> str:
    """Return what a case shows, each part fenced, all with one code: measured values, then report fields.

    Parameters
    ----------
    case : Case
    code : str, optional
        That of :func:`record_code`, where it is known already.

    Examples
    --------
    >>> case = Case(7, {"findings": "Clear lungs."}, {"temp": 101.3}, {"temp": "degF"})
    >>> print(record_text(case).replace(record_code(case), "CODE"))
    <<<measured values CODE
    temp: 101.3 degF
    CODE measured values>>>
    <<<findings CODE
    Clear lungs.
    CODE findings>>>
    """
    code = code or record_code(case)
    parts = [fenced(ROW, "\n".join(row_lines(case)), code)] if case.row else []
    parts += [fenced(name, text, code) for name, text in case.report.items()]
    return "\n".join(parts) or EMPTY_RECORD


def record_code(case: Case) -> str:
    """Return the code of the fences around a case's record."""
    return code_for(case_texts(case))


def row_lines(case: Case) -> list[str]:
    """Return the measured values of a case, one line each, as a prompt shows them."""
    return [
        f"{shown_name(name)}: {_value_text(value)} {case.units.get(name, '')}".rstrip()
        for name, value in case.row.items()
    ]


def passages_text(hits: Sequence[Hit]) -> str:
    """Return passages as a prompt numbers them, from 1, each fenced with its title and section."""
    bodies = [f"{hit.passage.title}: {hit.passage.section}\n{hit.passage.text}" for hit in hits]
    code = code_for(bodies)
    return "\n".join(fenced(f"passage [{n}]", body, code) for n, body in enumerate(bodies, start=1))


def numbered_answers(ack: Ack) -> tuple[Answer, ...]:
    """Return the answers of an ACK that say something: the n-th is what ``citations: [n]`` means."""
    return tuple(answer for answer in ack.answers if answer.text.strip())


def answers_text(ack: Ack, conditions: Sequence[str] | None = None) -> str:
    """Return the answers of an ACK, fenced, with the numbers that :func:`numbered_answers` gives them.

    The numbers stay where only some of the conditions are shown.
    """
    listed = [
        (number, answer)
        for number, answer in enumerate(numbered_answers(ack), start=1)
        if conditions is None or answer.condition in conditions
    ]
    lines = [f"[{n}] {a.condition}, {a.query_id.replace('_', ' ')}: {_without_marks(a)}" for n, a in listed]
    notices = dict.fromkeys(c.notice for _, a in listed for c in a.citations if c.notice)
    body = "\n".join([*(f"Notice: {notice}" for notice in notices), *lines])
    return fenced("answers", body, code_for([body]))


def example_lines(features: Iterable[Feature]) -> str:
    """Return features as the objects that discovery answers with, one a line, without citations."""
    return "\n".join(json.dumps(_plain(feature), ensure_ascii=False) for feature in features)


def _plain(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": feature.kind,
        "unit": feature.unit,
        "low": feature.low,
        "high": feature.high,
        "levels": list(feature.levels) if feature.levels else None,
        "aliases": list(feature.aliases),
        "category": feature.category,
        "conditions": list(feature.conditions),
        "citations": [],
    }


def _without_marks(answer: Answer) -> str:
    from dallm.engines.llm.briefing import plain_answer

    return plain_answer(answer)


def _described(feature: Feature) -> str:
    if feature.kind == "boolean":
        text = "yes/no"
    elif feature.kind == "numeric":
        text = f"number in {_unit(feature)}{_range(feature)}"
    else:
        options = map(_one_line, feature.levels or ())
        text = "one of " + (" < " if feature.kind == "ordinal" else " | ").join(options)
    aliases = _aliases(feature)
    return f"{text}; also called {aliases}" if aliases else text


def _offered(feature: Feature) -> str:
    if feature.kind == "boolean":
        return "True / False"
    if feature.kind == "numeric":
        return f"number in {_unit(feature)}{_range(feature)}"
    return " / ".join(map(_one_line, feature.levels or ()))


def _unit(feature: Feature) -> str:
    return "no unit" if feature.unit == "1" else _one_line(feature.unit or "")


def _range(feature: Feature) -> str:
    if feature.low is not None and feature.high is not None:
        return f", {feature.low:g} to {feature.high:g}"
    if feature.low is not None:
        return f", at least {feature.low:g}"
    return f", at most {feature.high:g}" if feature.high is not None else ""


def _aliases(feature: Feature) -> str:
    return ", ".join(_one_line(alias) for alias in feature.aliases[:_ALIASES])


def _value_text(value: CellValue) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return _one_line(str(value))


def _one_line(text: str) -> str:
    return " ".join(safe_text(text).split())
