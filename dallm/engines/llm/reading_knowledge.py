"""Answers about knowledge, read strictly: cited answers to expert questions, and proposed features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from dallm.ack.ack import CITATION, Answer
from dallm.augment.discover import Discovered, Dropped
from dallm.engines.base import KnowledgeAnswer
from dallm.engines.llm.strict_json import holds_object, loads, without_thoughts
from dallm.engines.llm.wire import AnswerError, Reply
from dallm.errors import FeatureError
from dallm.feature import CATEGORIES
from dallm.features import Feature, Kind, normalise_name
from dallm.knowledge.passage import Hit
from dallm.vitals import known_vital

_MANY_MARKS = re.compile(r"\[\s*\d{1,3}(?:\s*(?:,|;|and|-|–)\s*\d{1,3})+\s*\]")
_RANGE = re.compile(r"(\d{1,3})(?:\s*[-–]\s*(\d{1,3}))?")
_UNSUPPORTED = re.compile(r"[\W_]*not[\s_]+supported[\W_]*", re.IGNORECASE)
_SPACE_BEFORE_STOP = re.compile(r"(?<![ \t])[ \t]+(?=[.,;:](?:\s|$))")
_LONGEST_NAME = 80
_TOO_LARGE = 10**300  # beyond it an integer is no float
_KINDS: tuple[Kind, ...] = get_args(Kind)


def read_citations(reply: Reply, hits: Sequence[Hit]) -> KnowledgeAnswer:
    """Return an answer with the passages that it cites, numbered from 1 in the order of their first mark.

    Marks that cite nothing are removed. An answer that says it is not supported has no text.

    Parameters
    ----------
    reply : Reply
        JSON, or the text alone.
    hits : sequence of Hit
        The passages, as they were numbered in the question.

    Raises
    ------
    AnswerError
        If it cannot be read, or none of its marks cites a passage.

    Examples
    --------
    >>> from dallm.knowledge.passage import Passage
    >>> passage = Passage("Fever and cough.", "Pneumonia", "", "", "", None, None, (), "", (), "a1")
    >>> hits = [Hit(passage, 0.9), Hit(passage, 0.8)]
    >>> read_citations(Reply('{"answer": "Fever [2] and pain [7].", "supported": true}'), hits).text
    'Fever [1] and pain.'
    >>> read_citations(Reply("NOT SUPPORTED"), hits)
    KnowledgeAnswer(text='', hits=())
    """
    said = _whole(reply)
    if holds_object(said):
        answer = loads(said)
        text, supported = answer.get("answer"), answer.get("supported", True)
        if not isinstance(text, str) or not isinstance(supported, bool):
            raise AnswerError('the answer needs "answer", a text, and "supported", true or false')
    else:
        text, supported = said, True
    text = text.strip()
    if not supported or not text or _UNSUPPORTED.fullmatch(text):
        return KnowledgeAnswer("")
    text = _MANY_MARKS.sub(lambda found: _single_marks(found.group()), text)
    cited = [n for n in dict.fromkeys(map(int, CITATION.findall(text))) if 1 <= n <= len(hits)]
    if not cited:
        raise AnswerError(
            "the answer cites none of the passages; cite them as [1], or say it is not supported"
        )
    anew = {old: f"[{new}]" for new, old in enumerate(cited, start=1)}
    text = CITATION.sub(lambda found: anew.get(int(found.group(1)), ""), text)
    return KnowledgeAnswer(_SPACE_BEFORE_STOP.sub("", text).strip(), tuple(hits[n - 1] for n in cited))


def read_features(
    reply: Reply, answers: Sequence[Answer] = (), conditions: Iterable[str] | None = None
) -> Discovered:
    """Return the features that a model proposes, typed; what cannot be typed is dropped with the reason.

    Parameters
    ----------
    reply : Reply
    answers : sequence of Answer, default=()
        What a citation's number means: ``[n]`` is ``answers[n - 1]``.
    conditions : iterable of str, optional
        The conditions that a feature may be for; by default those of `answers`. A feature that names none of
        them gets those of the answers that it cites.

    Returns
    -------
    Discovered
        No two features have the same name: what names one again adds to its aliases, conditions, citations.

    Raises
    ------
    AnswerError
        If the answer cannot be read, or none of the features in it.

    Examples
    --------
    >>> text = '{"features": [{"name": "fever", "kind": "boolean"}, {"name": "rate", "kind": "numeric"}]}'
    >>> found = read_features(Reply(text))
    >>> found.names, found.dropped[0].why
    (('fever',), "field 'unit': a numeric feature needs a unit; set e.g. 'mmHg', or '1' for a ratio.")
    """
    listed = loads(_whole(reply)).get("features")
    if not isinstance(listed, list):
        raise AnswerError('the answer lacks the list "features"')
    known = tuple(dict.fromkeys(conditions if conditions is not None else (a.condition for a in answers)))
    features: dict[str, Feature] = {}
    dropped: list[Dropped] = []
    for item in listed:
        name = item.get("name") if isinstance(item, Mapping) else None
        label = " ".join(name.split())[:_LONGEST_NAME] if isinstance(name, str) else "(unnamed)"
        try:
            feature = _feature(item, answers, known)
        except FeatureError as error:
            dropped.append(Dropped(label, re.sub(r"^Feature .*?, (?=field )", "", str(error))))
            continue
        first = features.get(feature.key)
        if first is not None and first.kind != feature.kind:
            dropped.append(Dropped(label, f"it stands there already, as {first.kind}"))
        else:
            features[feature.key] = feature if first is None else _both(first, feature)
    if listed and not features:
        raise AnswerError(f"no feature can be used; of the first, {dropped[0].why}")
    return Discovered(features.values(), dropped)


def _whole(reply: Reply) -> str:
    if reply.refusal or reply.finish == "content_filter":
        raise AnswerError("the model refused to answer")
    if not reply.text.strip():
        raise AnswerError("the answer is empty")
    if reply.finish in ("length", "max_tokens"):
        raise AnswerError("the answer is cut off: the model reached its limit of tokens")
    return without_thoughts(reply.text)


def _single_marks(marks: str) -> str:
    numbers: list[int] = []
    for low, high in _RANGE.findall(marks):
        first, last = int(low), int(high or low)
        numbers += range(first, min(last, first + 20) + 1)
    return "".join(f"[{number}]" for number in numbers)


def _feature(item: Any, answers: Sequence[Answer], known: Sequence[str]) -> Feature:
    if not isinstance(item, Mapping):
        raise FeatureError("it is no object")
    name, kind = item.get("name"), item.get("kind")
    if not isinstance(name, str) or not name.strip():
        raise FeatureError("field 'name': is missing")
    name = " ".join(name.split())
    if len(name) > _LONGEST_NAME:
        raise FeatureError(f"field 'name': is longer than {_LONGEST_NAME} characters")
    kind = kind.strip().lower() if isinstance(kind, str) else kind
    if kind not in _KINDS:
        raise FeatureError(f"field 'kind': is none of {', '.join(_KINDS)}")
    aliases = _texts(item.get("aliases"), "aliases")
    cited = _cited(item.get("citations"), answers)
    named = {normalise_name(text) for text in _texts(item.get("conditions"), "conditions")}
    own = tuple(condition for condition in known if normalise_name(condition) in named)
    names = {normalise_name(text) for text in (name, *aliases)}
    category = item.get("category")
    return Feature(
        name,
        kind,
        aliases=tuple(a for a in aliases if normalise_name(a) != normalise_name(name)),
        levels=_texts(item.get("levels"), "levels") if kind in ("ordinal", "categorical") else None,
        conditions=own or tuple(dict.fromkeys(a.condition for a in cited if a.condition in known)),
        origin="discovered",
        citations=tuple(dict.fromkeys(c.reference for answer in cited for c in answer.citations)),
        category=category if category in CATEGORIES else None,
        restates=next((condition for condition in known if normalise_name(condition) in names), None),
        **(_measure(item, name) if kind == "numeric" else {}),
    )


def _measure(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Unit and bounds; a vital sign whose unit is not given is in its usual one."""
    unit = item.get("unit")
    if unit is not None and not isinstance(unit, str):
        raise FeatureError("field 'unit': must be a text")
    vital = known_vital(name)
    unit = (unit or "").strip() or (vital.unit if vital is not None else None)
    bounds = {key: item.get(key) for key in ("low", "high")}
    for key, bound in bounds.items():
        if isinstance(bound, int) and abs(bound) > _TOO_LARGE:
            raise FeatureError(f"field {key!r}: is too large")
    return {"unit": unit, **bounds}


def _texts(given: Any, key: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise FeatureError(f"field {key!r}: must be a list of texts")
    return tuple(text for text in given if text.strip())


def _cited(numbers: Any, answers: Sequence[Answer]) -> list[Answer]:
    if not isinstance(numbers, list):
        return []
    whole = (n for n in numbers if isinstance(n, int) and not isinstance(n, bool))
    return [answers[n - 1] for n in dict.fromkeys(whole) if 1 <= n <= len(answers)]


def _both(first: Feature, again: Feature) -> Feature:
    aliases = dict.fromkeys((*first.aliases, *again.aliases))
    return replace(
        first,
        aliases=tuple(alias for alias in aliases if normalise_name(alias) != first.key),
        conditions=tuple(dict.fromkeys((*first.conditions, *again.conditions))),
        citations=tuple(dict.fromkeys((*first.citations, *again.citations))),
        restates=first.restates or again.restates,
    )
