"""What an answer is worth, measured: completeness, support by what it cites, relevance.

docs/experiment2.md defines the three in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dallm.engines.base import KnowledgeAnswer
from dallm.evaluation.rubric import Fact, FactFinder
from dallm.knowledge.conditions import conditions_in, resolve_condition
from dallm.knowledge.lexical import terms
from dallm.knowledge.passage import Hit, Passage
from dallm.knowledge.sentences import sentences

OVERLAP = 0.75
"""Share of a sentence's words that a cited passage must hold, where the sentence is not its own."""

_MARK = re.compile(r"\[(\d{1,3})\]")
_MARKS = re.compile(r"(?:\s*\[\d{1,3}\])+")
_BEFORE_STOP = re.compile(r"((?:\s*\[\d{1,3}\])+)([.!?])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"[^\W_]+")
_OPENING = re.compile(r"\s*(?:$|[\n\"'(“‘•*-]|[A-ZÀ-Þ0-9])")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer and the passages that it cites, by their number from 1."""

    text: str
    cites: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Aspect:
    """What a question is after: categories of the lexicon, and words (``word*`` for any that begins so)."""

    categories: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """The three measures of one answer; None where a measure is not defined.

    Attributes
    ----------
    completeness : float or None
        Share of the expected facts that the answer states; 0 without an answer, None without a rubric.
    support : float or None
        Share of its sentences that a passage which they cite backs; None without an answer.
    relevance : float or None
        Share of its sentences that are on the question's aspect, from text on the condition.
    stated : tuple of str
        Ids of the facts that it states.
    sentences : int
        How many sentences it has.
    """

    completeness: float | None
    support: float | None
    relevance: float | None
    stated: tuple[str, ...]
    sentences: int


def score(
    answer: KnowledgeAnswer, condition: str, facts: Sequence[Fact], aspect: Aspect, finder: FactFinder
) -> AnswerScores:
    """Measure one answer.

    Parameters
    ----------
    answer : KnowledgeAnswer
        ``[n]`` in its text cites ``answer.hits[n - 1]``.
    condition : str
        What was asked about.
    facts : sequence of Fact
        What a complete answer states.
    aspect : Aspect
        What the question is after; an empty one leaves relevance to the facts and the condition.
    finder : FactFinder
    """
    told = split_answer(answer.text)
    stated = tuple(fact.id for fact in facts if any(finder.stated(fact, s.text) for s in told))
    completeness = len(stated) / len(facts) if facts else None
    if not told:
        return AnswerScores(completeness, None, None, stated, 0)
    backed = sum(any(backs(p, s.text, finder) for p in _cited(s, answer.hits)) for s in told)
    relevant = sum(
        _names(condition, s, answer.hits) and _on_aspect(s.text, facts, aspect, finder) for s in told
    )
    return AnswerScores(completeness, backed / len(told), relevant / len(told), stated, len(told))


def split_answer(text: str) -> list[Sentence]:
    """Cut an answer into sentences with their citations.

    A mark cites for all sentences since the mark before it; a mark inside a sentence cites for that sentence.

    Examples
    --------
    >>> split_answer("Lung falls in. It hurts. [1] Air [2] enters [3].")
    [Sentence(text='Lung falls in.', cites=(1,)), Sentence(text='It hurts.', cites=(1,)), \
Sentence(text='Air enters.', cites=(2, 3))]
    """
    text = _BEFORE_STOP.sub(r"\2\1", text)  # "enters [3]." is "enters. [3]"
    found: list[Sentence] = []
    waiting, cites, start = "", [], 0
    for match in _MARKS.finditer(text):
        waiting += text[start : match.start()]
        cites += [int(n) for n in _MARK.findall(match.group())]
        start = match.end()
        ends = waiting.rstrip().endswith((".", "!", "?", ":", ";", "\n"))
        if ends or (_OPENING.match(text, start) and len(waiting.split()) > 2):
            found += _sentences(waiting, cites)
            waiting, cites = "", []
    return found + _sentences(waiting + text[start:], cites)


def backs(passage: Passage, sentence: str, finder: FactFinder) -> bool:
    """Whether a passage backs a sentence.

    It does where it holds the sentence word for word. Else it must hold three quarters of the sentence's
    words and every number, and must not affirm a concept that the sentence denies, or the other way round.

    Parameters
    ----------
    passage : Passage
    sentence : str
    finder : FactFinder
    """
    held = f"{passage.title}. {passage.section}. {passage.text}"
    if _plain(sentence) and f" {_plain(sentence)} " in f" {_plain(held)} ":
        return True
    words, numbers = set(terms(sentence)), set(_NUMBER.findall(sentence))
    if not words or not numbers <= set(_NUMBER.findall(held)):
        return False
    if len(words & set(terms(held))) / len(words) < OVERLAP:
        return False
    said = finder.concepts(sentence)
    there: dict[str, set[bool]] = {}
    for piece in sentences(held):
        for name, affirmed in finder.concepts(piece).items():
            there.setdefault(name, set()).add(affirmed)
    return all(affirmed in there.get(name, {affirmed}) for name, affirmed in said.items())


def _sentences(text: str, cites: Sequence[int]) -> list[Sentence]:
    # a piece without a letter is a bullet or a number of a list
    return [
        Sentence(" ".join(piece.split()), tuple(dict.fromkeys(cites)))
        for piece in sentences(text)
        if any(c.isalpha() for c in piece)
    ]


def _cited(sentence: Sentence, hits: Sequence[Hit]) -> list[Passage]:
    return [hits[n - 1].passage for n in sentence.cites if 1 <= n <= len(hits)]


def _names(condition: str, sentence: Sentence, hits: Sequence[Hit]) -> bool:
    """Whether the sentence, or a passage that it cites, names the condition; a tag alone does not count."""
    wanted = resolve_condition(condition)
    cited = (f"{p.title}\n{p.section}\n{p.text}" for p in _cited(sentence, hits))
    return any(wanted in conditions_in(text, (wanted,)) for text in (sentence.text, *cited))


def _on_aspect(sentence: str, facts: Sequence[Fact], aspect: Aspect, finder: FactFinder) -> bool:
    if not aspect.categories and not aspect.words and not facts:
        return True
    words = [word.casefold() for word in _WORD.findall(sentence)]
    for wanted in aspect.words:
        stem = wanted.rstrip("*")
        if any(word.startswith(stem) if wanted.endswith("*") else word == stem for word in words):
            return True
    if any(finder.category(name) in aspect.categories for name in finder.concepts(sentence)):
        return True
    return any(finder.stated(fact, sentence) for fact in facts)


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
