"""What a complete answer would say: a rubric of expected facts, and whether a sentence states one."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.engines.extractive.assertion import assertion_of
from dallm.errors import UserError, did_you_mean
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.sentences import sentences
from dallm.lazy import computed_once
from dallm.resources import data_path

if TYPE_CHECKING:
    from dallm.engines.extractive.analyse import Analyser, Finding
    from dallm.lexicon import Lexicon

WINDOW = 14
"""Words within which all words of a phrase must stand."""

_TOKEN = re.compile(r"[^\W_]+")
_SLOT = re.compile(r"[^\W_]+\*?(?:\|[^\W_]+\*?)*")
_FIELDS = ("says", "concepts", "phrases")
_MOST_PLACES = 8  # of one word in one sentence; more would be a list of data


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a complete answer says, and the wordings that count as saying it.

    Parameters
    ----------
    question : str
        Id of the question whose answer should say it.
    id : str
        Names the fact.
    says : str
        The fact, in plain words.
    concepts : tuple of str
        Concepts of the lexicon; a mention of one, or of one of its kinds, that is not denied states the fact.
    phrases : tuple of str
        Words that must stand near each other in one sentence, in any order, none of them denied: ``a|b`` is
        either word, ``plug*`` any word that begins so. A phrase that begins with ``!`` must be denied.
    """

    question: str
    id: str
    says: str
    concepts: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rubric:
    """The facts that are expected of answers about one condition.

    Parameters
    ----------
    condition : str
        Canonical name.
    facts : tuple of Fact

    Examples
    --------
    >>> rubric = Rubric.default("atelectasis")
    >>> [fact.id for fact in rubric.of("symptoms")][:2]
    ['breathlessness', 'cough']
    """

    condition: str
    facts: tuple[Fact, ...]

    def of(self, question: str) -> tuple[Fact, ...]:
        """Return the facts that the answer to one question should state."""
        return tuple(fact for fact in self.facts if fact.question == question)

    @staticmethod
    def conditions() -> tuple[str, ...]:
        """Return the conditions that the project has a rubric for."""
        names = (path.stem.replace("_", " ") for path in data_path("rubric").glob("*.toml"))
        return tuple(sorted(name for name in names if name != "questions"))

    @classmethod
    def default(cls, condition: str) -> Rubric:
        """Return the project's own rubric for a condition.

        Raises
        ------
        UserError
            If it has none.
        """
        name = resolve_condition(condition)
        if name not in cls.conditions():
            near = did_you_mean(name, cls.conditions())
            raise UserError(
                f"There is no rubric for {name!r}; there is one for {', '.join(cls.conditions())}. Write one "
                f"in the same format (docs/experiment2.md) and pass it as rubric=.{near}"
            )
        return cls.load(data_path("rubric", f"{name.replace(' ', '_')}.toml"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Rubric:
        """Read a rubric from a TOML file; docs/experiment2.md tells the format.

        Raises
        ------
        UserError
            If the file cannot be read, or a fact lacks a field, or has one that is unknown or unreadable.
        """
        path = Path(path)
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UserError(f"The rubric {str(path)!r} cannot be read: {error.strerror or error}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"The rubric {str(path)!r} is no TOML in UTF-8: {error}.") from error
        condition = raw.pop("condition", None)
        if not isinstance(condition, str) or not raw:
            raise UserError(
                f'The rubric {str(path)!r} needs condition = "..." and a table of facts per question.'
            )
        facts = []
        for question, tables in raw.items():
            if not isinstance(tables, Mapping) or not tables:
                raise UserError(f"{str(path)!r}: {question!r} must be a table with one entry per fact.")
            facts += [_fact(question, name, entry, str(path)) for name, entry in tables.items()]
        return cls(resolve_condition(condition), tuple(facts))


class FactFinder:
    """Tells which facts a text states, with denials respected.

    Parameters
    ----------
    lexicon : Lexicon, optional
        By default the one that comes with dallm.

    Examples
    --------
    >>> fact = Fact("causes", "plug", "A mucus plug.", phrases=("mucus|mucous plug*",))
    >>> finder = FactFinder()
    >>> finder.stated(fact, "Plugs of mucus block it."), finder.stated(fact, "No mucus plug is seen.")
    (True, False)
    >>> finder.stated(Fact("symptoms", "f", "Fever.", ("fever",)), "There is no fever.")
    False
    """

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        from dallm.lexicon import Lexicon

        self.lexicon = lexicon or Lexicon.default()
        self._findings: dict[str, tuple[Finding, ...]] = {}

    @computed_once
    def _analyser(self) -> Analyser:
        from dallm.engines.extractive.analyse import Analyser
        from dallm.engines.extractive.recognise import Recogniser

        return Analyser(Recogniser(self.lexicon.concepts, self.lexicon.groups))

    def stated(self, fact: Fact, text: str) -> bool:
        """Whether a sentence of the text states the fact."""
        return any(self._in_sentence(fact, sentence) for sentence in sentences(text))

    def concepts(self, sentence: str) -> dict[str, bool]:
        """Return the concepts that a sentence mentions, and whether it affirms them."""
        found: dict[str, bool] = {}
        for finding in self._of(sentence):
            name = self.lexicon.concepts[finding.concept].name
            affirmed = finding.assertion != "negated" and not finding.normal
            found[name] = found.get(name, False) or affirmed
        return found

    def category(self, concept: str) -> str | None:
        """Return the lexicon's category of a concept."""
        found = self.lexicon.find(concept)
        return found.category if found is not None else None

    def _in_sentence(self, fact: Fact, sentence: str) -> bool:
        if fact.concepts:
            wanted = {name for c in fact.concepts for name in (c, *self.lexicon.descendants(c))}
            if any(affirmed and name in wanted for name, affirmed in self.concepts(sentence).items()):
                return True
        return any(_states(phrase, sentence) for phrase in fact.phrases)

    def _of(self, sentence: str) -> tuple[Finding, ...]:
        if sentence not in self._findings:
            self._findings[sentence] = self._analyser.findings(sentence, "findings")
        return self._findings[sentence]


def check_concepts(facts: Iterable[Fact], lexicon: Lexicon) -> None:
    """Refuse facts that name a concept which the lexicon lacks.

    Raises
    ------
    UserError
        Naming the fact, the concept and the nearest one.
    """
    names = {concept.name for concept in lexicon.concepts}
    for fact in facts:
        for name in fact.concepts:
            if name not in names:
                near = did_you_mean(name, sorted(names))
                raise UserError(
                    f"Fact {fact.id!r} of {fact.question!r}: the lexicon has no concept {name!r}.{near}"
                )


def _fact(question: str, name: str, table: Any, where: str) -> Fact:
    label = f"{where!r}, fact {question}.{name}"
    if not isinstance(table, Mapping):
        raise UserError(f"{label} must be a table with the fields {', '.join(_FIELDS)}.")
    for field in table:
        if field not in _FIELDS:
            raise UserError(f"{label}: unknown field {field!r}.{did_you_mean(field, _FIELDS)}")
    says = table.get("says")
    if not isinstance(says, str) or not says.strip():
        raise UserError(f"{label}: the field 'says' must be a text.")
    for field in ("concepts", "phrases"):
        listed = table.get(field, [])
        if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
            raise UserError(f"{label}: the field {field!r} must be a list of texts.")
    fact = Fact(question, name, says, tuple(table.get("concepts", ())), tuple(table.get("phrases", ())))
    if not fact.concepts and not fact.phrases:
        raise UserError(f"{label}: nothing would count as saying it; give concepts or phrases.")
    for phrase in fact.phrases:
        slots = phrase.removeprefix("!").split()
        if not slots or not all(_SLOT.fullmatch(slot) for slot in slots):
            raise UserError(
                f"{label}: the phrase {phrase!r} cannot be read; write words with spaces between, each as "
                "word, word* or word|other."
            )
    return fact


@lru_cache(maxsize=4096)
def _slots(phrase: str) -> tuple[tuple[tuple[str, bool], ...], ...]:
    """Per word of a phrase its alternatives: the letters, and whether more may follow."""
    return tuple(
        tuple((part.rstrip("*").casefold(), part.endswith("*")) for part in slot.split("|"))
        for slot in phrase.removeprefix("!").split()
    )


def _states(phrase: str, sentence: str) -> bool:
    tokens = [(m.group().casefold(), m.start(), m.end()) for m in _TOKEN.finditer(sentence)]
    places = []
    for slot in _slots(phrase):
        found = [i for i, (word, _, _) in enumerate(tokens) if _fits(word, slot)][:_MOST_PLACES]
        if not found:
            return False
        places.append(found)
    must_be_denied = phrase.startswith("!")
    for chosen in product(*places):
        if len(set(chosen)) == len(chosen) and max(chosen) - min(chosen) < WINDOW:
            denied = _denied([tokens[i][1:] for i in chosen], sentence)
            if denied == must_be_denied:
                return True
    return False


def _fits(word: str, slot: Sequence[tuple[str, bool]]) -> bool:
    return any(word.startswith(letters) if open_ended else word == letters for letters, open_ended in slot)


def _denied(spans: Sequence[tuple[int, int]], sentence: str) -> bool:
    """Whether the sentence denies one of the words; a word of the phrase itself is no denial."""
    for start, end in spans:
        found = assertion_of(sentence, start, end)
        if found.assertion != "negated":
            continue
        trigger = found.trigger
        if trigger is None or not any(s < trigger[1] and trigger[0] < e for s, e in spans):
            return True
    return False
