"""Whether the name of a column is that of a target: by spelling, by alias, by the lexicon."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from dallm.lexicon_file import name_key

if TYPE_CHECKING:
    from dallm.lexicon import Concept, Lexicon

Closeness = Literal["same", "related", "holds", "alike"]

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LAST_NUMBER = re.compile(r"\s*\d+$")
_WRAPPING = frozenset(
    "auto bin binary bool class code coded copy derived encoded est estimated feature filled final flag gt "
    "has indicator ind is label llm model new noise noisy num old orig original outcome pred predicted "
    "present prob probability proxy raw report score status target true value var x y yn".split()
)
"""Words that a column's name carries around what it holds."""

_SHORTEST = 4  # letters of a name that is compared by spelling or in part
_ALIKE = 88.0  # of 100: one letter in eight may differ


class Match(NamedTuple):
    """How a column's name is that of a target.

    `closeness` is ``same`` for the name, an alias or the same concept of the lexicon, ``related`` for a
    parent or child of it there, ``holds`` where the target's name is part of the column's, ``alike`` for
    names that share a word or initials, or are nearly spelt alike.
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

    Examples
    --------
    >>> from dallm.lexicon import Lexicon
    >>> names = TargetNames("pleural effusion", [], Lexicon.default())
    >>> names.match("Effusion_label").closeness, names.match("pleural_abnormality").closeness
    ('same', 'related')
    >>> names.match("plural efusion").closeness, names.match("heart rate") is None
    ('alike', True)
    """

    def __init__(self, target: str, aliases: Iterable[str], lexicon: Lexicon) -> None:
        self.target = target
        self._lexicon = lexicon
        given = [target, *aliases]
        self._keys: dict[str, str] = {}
        concepts: dict[str, Concept] = {}
        for name in given:
            self._keys.setdefault(_bare(name), name)
            self._keys.setdefault(_key(name), name)
            concept = lexicon.find(_bare(name)) or lexicon.find(name)
            if concept is not None:
                concepts[concept.name] = concept
        self._keys.pop("", None)
        self._concepts = set(concepts)
        self._kin: dict[str, str] = {}
        for name in concepts:
            self._kin |= dict.fromkeys(lexicon.ancestors(name), "is a kind of")
            self._kin |= dict.fromkeys(lexicon.descendants(name), "includes")
        self._tokens = {key: frozenset(key.split()) for key in self._keys}

    def match(self, column: str, aliases: Iterable[str] = ()) -> Match | None:
        """Return how the column's name, or one of its aliases, is that of the target."""
        return self.by_meaning(column, aliases) or self.by_spelling(column)

    def by_meaning(self, column: str, aliases: Iterable[str] = ()) -> Match | None:
        """Return a match by name, alias or lexicon."""
        for name in (column, *aliases):
            called = "its name" if name == column else f"its alias {name!r}"
            for key in (_key(name), _bare(name)):
                if key in self._keys:
                    return Match("same", f"{called} is that of the target")
            concept = self._lexicon.find(_bare(name)) or self._lexicon.find(name)
            if concept is None:
                continue
            if concept.name in self._concepts:
                return Match("same", f"{called} stands for {concept.name!r} as the target's does")
            if concept.name in self._kin:
                said = self._kin[concept.name]
                return Match("related", f"{called} stands for {concept.name!r}, which the target {said}")
        return None

    def by_spelling(self, column: str) -> Match | None:
        """Return a match by shared words, initials or nearly the same spelling."""
        from rapidfuzz import fuzz

        key = _key(column)
        tokens = frozenset(key.split())
        bare = frozenset(_bare(column).split())
        for other, words in self._tokens.items():
            if words <= tokens:
                return Match("holds", f"its name holds {other!r}")
        for other, words in self._tokens.items():
            if len(other) < _SHORTEST:
                continue
            if bare and bare < words and max(map(len, bare)) > _SHORTEST:
                return Match("alike", f"its name is part of {other!r}")
            initials = "".join(word[0] for word in other.split())
            if len(initials) >= 3 and initials in tokens:
                return Match("alike", f"its name holds the initials of {other!r}")
            joined = _bare(column).replace(" ", "")
            if len(joined) > _SHORTEST and fuzz.ratio(joined, other.replace(" ", "")) >= _ALIKE:
                return Match("alike", f"its name is spelt nearly as {other!r}")
        return None


def target_names(
    targets: Iterable[str], aliases: Mapping[str, Iterable[str]], lexicon: Lexicon
) -> dict[str, TargetNames]:
    """Return the names of each target."""
    return {target: TargetNames(target, aliases.get(target, ()), lexicon) for target in targets}


def _key(name: str) -> str:
    return name_key(_CAMEL.sub(" ", name))


def _bare(name: str) -> str:
    """The name without the words and numbers around it; the whole of it where nothing else is left."""
    key = _LAST_NUMBER.sub("", _key(name))
    words = [word for word in key.split() if word not in _WRAPPING]
    return " ".join(words) or _key(name)
