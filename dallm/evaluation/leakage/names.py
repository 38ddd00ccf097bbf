"""Whether the name of a column is that of a target: by spelling, by alias, by the lexicon."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from dallm.evaluation.leakage.word_forms import plain_forms, stem, stems
from dallm.lexicon_file import name_key

if TYPE_CHECKING:
    from dallm.features import Feature
    from dallm.lexicon import Concept, Lexicon

Closeness = Literal["same", "related", "holds", "alike"]

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LAST_NUMBER = re.compile(r"\s*\d+$")
_WRAPPING = frozenset(
    "auto bin binary bool chexpert class code coded confirmed copy derived diagnosed diagnosis dx encoded "
    "est estimated feature filled final flag gt has icd indicator ind is label llm mimic model negbio new "
    "noise noisy num old openi orig original outcome padchest pred predicted present prob probability proxy "
    "raw reflacx report score status target true value var vindr x y yn".split()
)
"""Words that a column's name carries around what it holds."""

_SMALL = frozenset("a an at in of on the with".split())
"""Words that do not count where the order of words does not."""

_SHORTEST = 4  # letters of a name that is compared by spelling or in part
_INITIALS = 3  # letters of initials, and of a short synonym, that a longer name may hold
_ALIKE = 88.0  # of 100: one letter in eight may differ


class Match(NamedTuple):
    """How a column's name is that of a target.

    `closeness` is ``same`` for the name, an alias or the same concept of the lexicon, ``related`` for a
    parent or child of it there, ``holds`` where the target's name or a synonym of it is part of the column's,
    ``alike`` for names that share a word or initials, or are nearly spelt alike, and where the lexicon knows
    only a part of the target's name.
    """

    closeness: Closeness
    words: str


class TargetNames:
    """All that a target goes by.

    Parameters
    ----------
    target : str
    aliases : iterable of str
        Further names given by the user.
    lexicon : Lexicon
    synonyms : iterable of str
        Names that count as written only: what the lexicon knows of them is not looked up.

    Examples
    --------
    >>> from dallm.lexicon import Lexicon
    >>> names = TargetNames("pleural effusion", [], Lexicon.default())
    >>> names.match("Effusion_label").closeness, names.match("pleural_abnormality").closeness
    ('same', 'related')
    >>> names.match("plural efusion").closeness, names.match("heart rate") is None
    ('alike', True)
    >>> names.match("reader says fluid in the pleural space").words
    "its name holds 'fluid in the pleural space', which stands for 'pleural effusion' as the target's does"
    """

    def __init__(
        self, target: str, aliases: Iterable[str], lexicon: Lexicon, synonyms: Iterable[str] = ()
    ) -> None:
        self.target = target
        self._lexicon = lexicon
        given = [target, *aliases]
        given += [rest for name in given if (rest := name.partition(":")[2].strip())]  # "dataset: finding"
        self._keys: dict[str, str] = {}
        concepts: dict[str, Concept] = {}
        for name in given:
            concept = _concept(name, lexicon)
            if concept is not None:
                concepts[concept.name] = concept
        for name in (*given, *synonyms):
            self._keys.setdefault(_bare(name), name)
            self._keys.setdefault(_key(name), name)
        self._keys.pop("", None)
        self._concepts = set(concepts)
        self._kin = {name: said for concept in concepts for name, said in _kin(concept, lexicon)}
        part = None if concepts else lexicon.find_in(_bare(target), shortest=_INITIALS)
        self._part: dict[str, str] = {}
        if part is not None:
            self._part = dict.fromkeys(
                (name for name, _ in _kin(part.name, lexicon)),
                f"and a part of the target's for {part.name!r}",
            )
            self._part[part.name] = "as a part of the target's does"
        written = [part] if part is not None else []
        self._written_of_part = _written(written)
        self._tokens = {key: frozenset(key.split()) for key in self._keys}
        self._written = _written(concepts.values())
        self._stems = {
            found: key
            for key in (*self._keys, *self._written)
            if len("".join(found := stems(key))) >= _SHORTEST
        }
        self._in_any_order = {_content(key): key for key in (*self._keys, *self._written) if " " in key}

    def match(self, column: str, aliases: Iterable[str] = ()) -> Match | None:
        """Return how the column's name, or one of its aliases, is that of the target."""
        return self.by_meaning(column, aliases) or self.by_spelling(column, aliases)

    def by_meaning(self, column: str, aliases: Iterable[str] = ()) -> Match | None:
        """Return a match by name, alias or lexicon."""
        for name, called in _called(column, aliases):
            for key in (_key(name), _bare(name)):
                if key in self._keys:
                    return Match("same", f"{called} is that of the target")
            concept = _concept(name, self._lexicon)
            if concept is not None and concept.name in self._concepts:
                return Match("same", f"{called} stands for {concept.name!r} as the target's does")
            known = self._in_any_order.get(_content(_bare(name)))
            if known is not None:
                return Match("same", f"{called} has the words of {known!r}, a name of the target")
            if concept is not None and concept.name in self._kin:
                said = self._kin[concept.name]
                return Match("related", f"{called} stands for {concept.name!r}, which the target {said}")
            if concept is not None and concept.name in self._part:
                return Match("alike", f"{called} stands for {concept.name!r}, {self._part[concept.name]}")
        return None

    def by_spelling(self, column: str, aliases: Iterable[str] = ()) -> Match | None:
        """Return a match by shared words, synonyms, word forms, initials or nearly the same spelling."""
        for name, called in _called(column, aliases):
            found = self._holding(name, called) or self._alike(name, called)
            if found is not None:
                return found
        return None

    def _holding(self, name: str, called: str) -> Match | None:
        """The target's name, or a name that the lexicon has for it, is part of this one."""
        key = _key(name)
        tokens = frozenset(key.split())
        for other, words in self._tokens.items():
            if words <= tokens:
                return Match("holds", f"{called} holds {other!r}")
        for written, whole in ((self._written, True), (self._written_of_part, False)):
            for other, (words, concept) in written.items():
                if words <= tokens:
                    closeness: Closeness = "holds" if whole and len(other) >= _INITIALS else "alike"
                    said = "the target's" if whole else "a part of the target's"
                    return Match(
                        closeness, f"{called} holds {other!r}, which stands for {concept!r} as {said} does"
                    )
        forms = frozenset(map(stem, tokens))
        for of_target, other in self._stems.items():
            if of_target <= forms:
                return Match("holds", f"{called} holds {other!r} in another form")
        return None

    def _alike(self, name: str, called: str) -> Match | None:
        """A part, initials, or nearly the spelling of a name of the target."""
        from rapidfuzz import fuzz

        tokens = frozenset(_key(name).split())
        bare = frozenset(_bare(name).split())
        joined = _bare(name).replace(" ", "")
        for other, words in self._tokens.items():
            if len(other) < _SHORTEST:
                continue
            if bare and bare < words and max(map(len, bare)) > _SHORTEST:
                return Match("alike", f"{called} is part of {other!r}")
            initials = "".join(word[0] for word in other.split())
            if len(initials) >= _INITIALS and initials in tokens:
                return Match("alike", f"{called} holds the initials of {other!r}")
            if len(joined) > _SHORTEST and fuzz.ratio(joined, other.replace(" ", "")) >= _ALIKE:
                return Match("alike", f"{called} is spelt nearly as {other!r}")
        return None


def target_names(
    targets: Iterable[str],
    aliases: Mapping[str, Iterable[str]],
    lexicon: Lexicon,
    features: Iterable[Feature] = (),
) -> dict[str, TargetNames]:
    """Return the names of each target: given ones, the lexicon's, those of features that mean the target."""
    found = {target: TargetNames(target, aliases.get(target, ()), lexicon) for target in targets}
    synonyms: dict[str, list[str]] = {}
    for feature in features:
        for target, names in found.items():
            match = names.by_meaning(feature.name, feature.aliases)
            marked = feature.restates is not None and names.by_meaning(feature.restates) is not None
            if marked or (match is not None and match.closeness == "same"):
                synonyms.setdefault(target, []).extend((feature.name, *feature.aliases))
    for target, further in synonyms.items():
        found[target] = TargetNames(target, aliases.get(target, ()), lexicon, further)
    return found


def _called(column: str, aliases: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names of a column, each with what messages call it."""
    yield column, "its name"
    for name in aliases:
        if name != column:
            yield name, f"its alias {name!r}"


def _concept(name: str, lexicon: Lexicon) -> Concept | None:
    """Return what a name stands for: as it is, bare, in the singular, without the words of a side."""
    bare = _bare(name)
    for form in (bare, name, *plain_forms(bare)):
        found = lexicon.find(form)
        if found is not None:
            return found
    return None


def _kin(concept: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """Yield parents and children of a concept, each with what it is to it."""
    for name in lexicon.ancestors(concept):
        yield name, "is a kind of"
    for name in lexicon.descendants(concept):
        yield name, "includes"


def _written(concepts: Iterable[Concept]) -> dict[str, tuple[frozenset[str], str]]:
    """Return every name of the concepts with its words and its concept, the longest first."""
    names = {name_key(name): concept.name for concept in concepts for name in concept.names}
    return {key: (frozenset(key.split()), names[key]) for key in sorted(names, key=len, reverse=True) if key}


def _content(key: str) -> frozenset[str]:
    return frozenset(key.split()) - _SMALL


def _key(name: str) -> str:
    return name_key(_CAMEL.sub(" ", name))


def _bare(name: str) -> str:
    """The name without the words and numbers around it; the whole of it where nothing else is left."""
    key = _LAST_NUMBER.sub("", _key(name))
    words = [word for word in key.split() if word not in _WRAPPING]
    return " ".join(words) or _key(name)
