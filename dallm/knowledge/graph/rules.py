"""The table of cues, ``data/graph.toml``: which words ask for a relation, promise it, or state it."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dallm.errors import UserError, did_you_mean
from dallm.knowledge.graph.model import CONCEPT_KINDS
from dallm.knowledge.lexical import terms
from dallm.lexicon import CATEGORIES, Concept
from dallm.resources import data_path

OWN_CATEGORIES = ("investigation", "agent")
_CATEGORIES = (*CATEGORIES, *OWN_CATEGORIES, "condition")
_FIELDS = ("kind", "asked", "headings", "takes", "default")


@dataclass(frozen=True)
class Relation:
    """One relation of the table.

    Attributes
    ----------
    name : str
    kind : str
        Kind of the concepts at its end; empty for a relation that only parts of texts stand for.
    asked, headings : re.Pattern
        Found in a question that asks for it, and in a heading that promises it.
    takes, default : frozenset of str
        Categories of concepts that are of its kind under such a heading, and anywhere.
    """

    name: str
    kind: str
    asked: re.Pattern[str]
    headings: re.Pattern[str]
    takes: frozenset[str]
    default: frozenset[str]


@dataclass(frozen=True, eq=False)
class GraphRules:
    """The whole table; :meth:`default` gives the project's own.

    Attributes
    ----------
    relations : tuple of Relation
    concepts : tuple of Concept
        Investigations and agents that texts about diseases name and the lexicon lacks.
    """

    relations: tuple[Relation, ...]
    concepts: tuple[Concept, ...]
    causal: re.Pattern[str]
    causal_reach: int
    general: re.Pattern[str]

    @classmethod
    def default(cls) -> GraphRules:
        """Return the table that comes with dallm (read once per process)."""
        return _default()

    @classmethod
    def load(cls, path: str | Path) -> GraphRules:
        """Read a table of one's own, in the format of ``data/graph.toml``.

        Raises
        ------
        UserError
            If the file cannot be used; the message names file and entry.
        """
        try:
            raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"The table {str(path)!r} cannot be read: {error}.") from error
        return _rules(raw, str(path))

    def asked(self, question: str) -> tuple[str, ...]:
        """Return the relations that a question asks for.

        Examples
        --------
        >>> GraphRules.default().asked("What causes asthma?"), GraphRules.default().asked("What is asthma?")
        (('caused_by',), ('is_defined',))
        """
        text = " ".join(question.casefold().split())
        found = tuple(r.name for r in self.relations if r.asked.search(text))
        # "what are the symptoms of ..." asks for no definition
        return found if len(found) < 2 else tuple(name for name in found if name != "is_defined")

    def headed(self, section: str) -> tuple[str, ...]:
        """Return the relations that a path of headings promises; the nearest that promises any decides.

        Examples
        --------
        >>> GraphRules.default().headed("Pneumonia > Signs and symptoms > In children")
        ('has_symptom', 'has_sign')
        """
        return _headed(self, section)

    def kind(self, category: str, headed: Sequence[str]) -> str:
        """Return what a concept is where it stands: kind of a relation, ``condition``, or empty for neither.

        Examples
        --------
        >>> rules = GraphRules.default()
        >>> rules.kind("imaging finding", ("caused_by",)), rules.kind("imaging finding", ("has_symptom",))
        ('cause', 'finding')
        """
        promised = [r for r in self.relations if r.kind and r.name in headed and category in r.takes]
        own = [r for r in self.relations if category in r.default]
        for relation in (*(r for r in promised if r in own), *promised, *own):
            return relation.kind
        return "condition" if category == "condition" else ""

    def kinds(self, relations: Sequence[str]) -> tuple[str, ...]:
        """Return the kinds of concepts at the end of relations."""
        return tuple(r.kind for r in self.relations if r.kind and r.name in relations)

    def is_general(self, stems: Sequence[str]) -> bool:
        """Whether words are all of the kind that nearly every question holds."""
        return all(self.general.fullmatch(stem) for stem in stems)


@functools.lru_cache(maxsize=1)
def _default() -> GraphRules:
    return GraphRules.load(data_path("graph.toml"))


@functools.lru_cache(maxsize=4096)
def _headed(rules: GraphRules, section: str) -> tuple[str, ...]:
    for heading in reversed(section.split(" > ")):
        text = " ".join(heading.casefold().split())
        found = tuple(r.name for r in rules.relations if r.headings.search(text))
        if found:
            return found
    return ()


def _rules(raw: Mapping[str, Any], where: str) -> GraphRules:
    known = ("relation", "words", *OWN_CATEGORIES)
    for table in raw:
        if table not in known:
            raise UserError(f"{where}: no table is called [{table}].{did_you_mean(table, known)}")
    relations = tuple(_relation(n, e, where) for n, e in _table(raw, "relation", where).items())
    words = _table(raw, "words", where)
    asked = [word for e in raw["relation"].values() for word in e.get("asked", ())]
    general = (*_words(words, "general", where), *asked)
    reach = words.get("causal_reach", 80)
    if not isinstance(reach, int) or reach < 0:
        raise UserError(f"{where}: [words] causal_reach is a number of characters; got {reach!r}.")
    return GraphRules(
        relations=relations,
        concepts=tuple(
            _concept(name, forms, category, where)
            for category in OWN_CATEGORIES
            for name, forms in raw.get(category, {}).items()
        ),
        causal=_pattern(_words(words, "causal", where)),
        causal_reach=reach,
        general=_stems(general),
    )


def _relation(name: str, entry: Mapping[str, Any], where: str) -> Relation:
    at = f"{where}: [relation.{name}]"
    for key in entry:
        if key not in _FIELDS:
            raise UserError(f"{at}: no field is called {key!r}.{did_you_mean(key, _FIELDS)}")
    kind = entry.get("kind", "")
    if kind and CONCEPT_KINDS.get(kind) != name:
        pairs = ", ".join(f"{relation} ({k})" for k, relation in CONCEPT_KINDS.items())
        raise UserError(f"{at}: the relations to concepts are {pairs}; leave kind= out for another one.")
    for category in (*entry.get("takes", ()), *entry.get("default", ())):
        if category not in _CATEGORIES:
            hint = did_you_mean(category, _CATEGORIES)
            raise UserError(f"{at}: no category is called {category!r}.{hint}")
    return Relation(
        name=name,
        kind=kind,
        asked=_pattern(_words(entry, "asked", at)),
        headings=_pattern(_words(entry, "headings", at)),
        takes=frozenset(entry.get("takes", ())),
        default=frozenset(entry.get("default", ())),
    )


def _concept(name: str, forms: object, category: str, where: str) -> Concept:
    if not isinstance(forms, list) or not all(isinstance(form, str) and form.strip() for form in forms):
        raise UserError(f"{where}: [{category}] {name!r} is a list of words; got {forms!r}.")
    # the matching takes terms of one or two letters for words of their own: "ct" is left to the questions
    return Concept(name=name, kind="boolean", category=category, terms=tuple(dict.fromkeys((name, *forms))))


def _table(raw: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    table = raw.get(name)
    if not isinstance(table, Mapping) or not table:
        raise UserError(
            f"{where}: the table [{name}] is missing; copy it from the project's data/graph.toml."
        )
    return table


def _words(entry: Mapping[str, Any], key: str, where: str) -> list[str]:
    words = entry.get(key, [])
    if not isinstance(words, list) or not all(isinstance(w, str) and w.strip() for w in words):
        raise UserError(f"{where}: {key} is a list of words; got {words!r}.")
    return words


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    if not words:
        return re.compile(r"(?!)")
    return re.compile("|".join(map(_one, words)))


def _one(word: str) -> str:
    if word == "^$":
        return "^$"
    start = "^" if word.startswith("^") else r"(?<!\w)"
    body = r"[\s\-]+".join(re.escape(part) for part in word.removeprefix("^").casefold().split())
    return start + body.replace(r"\*", r"\w*") + r"(?!\w)"


def _stems(words: Sequence[str]) -> re.Pattern[str]:
    """A pattern of single stems, as titles are compared."""
    parts = []
    for word in words:
        for stem in terms(word.replace("*", "")):
            parts.append(re.escape(stem) + (r"\w*" if word.endswith("*") else ""))
    return re.compile("|".join(dict.fromkeys(parts)) or r"(?!)")
