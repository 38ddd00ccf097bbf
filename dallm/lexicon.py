"""The lexicon: which clinical concepts exist, how reports write them, and what a feature's name means."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dallm.errors import LexiconError, did_you_mean
from dallm.feature import CATEGORIES
from dallm.lexicon_file import Concept as Concept
from dallm.lexicon_file import make_concept, name_key, pattern_groups, read_file
from dallm.resources import data_path

if TYPE_CHECKING:
    from dallm.features import Feature

__all__ = ["CATEGORIES", "Concept", "Lexicon"]

# Fields in which a user's entry of the same name adds to the concept rather than setting it.
_ADDED = (
    "terms",
    "abbreviations",
    "misspellings",
    "aliases",
    "shared",
    "value_terms",
    "patterns",
    "normal",
    "is_a",
    "ignore",
)
# Fields that give every recorded value its meaning: changing one is a new concept, not an extension.
_FIXED = ("kind", "levels", "unit")


class Lexicon:
    """Clinical concepts with their surface forms, and look-up by any of their names.

    Parameters
    ----------
    concepts : iterable of Concept
    groups : mapping of str to tuple of str, optional
        Words that patterns name as ``{group}``.

    Raises
    ------
    LexiconError
        If two concepts share a name or, without saying so, a term; if an ``is_a`` or a pattern names what
        does not exist.

    Examples
    --------
    >>> lexicon = Lexicon.default()
    >>> lexicon.find("SOB").name
    'dyspnea'
    >>> lexicon.find("heartrate").unit
    '/min'
    """

    def __init__(
        self, concepts: Iterable[Concept], groups: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.concepts: tuple[Concept, ...] = tuple(concepts)
        self.groups: dict[str, tuple[str, ...]] = dict(groups or {})
        self._by_name = {concept.name: concept for concept in self.concepts}
        self._children: dict[str, list[str]] = {}
        for concept in self.concepts:
            for parent in concept.is_a:
                self._children.setdefault(parent, []).append(concept.name)
        problems = self.check()
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise LexiconError(f"{problems[0]}{more}")
        self._index = self._make_index()

    @classmethod
    def default(cls) -> Lexicon:
        """Return the lexicon that comes with dallm (read once per process)."""
        return _default()

    @classmethod
    def load(cls, *paths: str | Path, base: Lexicon | Literal["default"] | None = "default") -> Lexicon:
        """Read lexicon files on top of another lexicon.

        Parameters
        ----------
        *paths : str or path
            TOML or JSON files (format: docs/lexicon.md). A concept whose name exists already
            extends that concept; with ``replace = true`` it takes its place.
        base : Lexicon, "default" or None
            What the files add to; None: nothing.

        Raises
        ------
        LexiconError
            If a file cannot be used; the message names file, concept and field.
        """
        start = _default() if base == "default" else base
        if isinstance(start, str):
            raise LexiconError(f"base must be a Lexicon, 'default' or None, got {base!r}.")
        concepts = {c.name: c for c in start.concepts} if start is not None else {}
        groups = dict(start.groups) if start is not None else {}
        for path in paths:
            seen: set[str] = set()
            new_groups, entries = read_file(path)
            for name, words in new_groups.items():
                groups[name] = tuple(dict.fromkeys((*groups.get(name, ()), *words)))
            for entry in entries:
                name = entry["name"]
                if name in seen:
                    raise LexiconError(f"{path}: concept {name!r} is given twice; keep one of them.")
                seen.add(name)
                known = concepts.get(name)
                fresh = known is None or entry.get("replace", False)
                concepts[name] = make_concept(entry) if fresh or known is None else _extend(known, entry)
        try:
            return cls(concepts.values(), groups)
        except LexiconError as error:
            raise LexiconError(f"{', '.join(str(p) for p in paths)}: {error}") from error

    def __len__(self) -> int:
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __repr__(self) -> str:
        return f"<Lexicon: {len(self.concepts)} concepts, {len(self.groups)} word groups>"

    def find(self, name: str) -> Concept | None:
        """Return the concept that goes by this name, or None.

        Canonical names come before terms, these before aliases, misspellings and abbreviations. Case,
        underscores, hyphens, spaces, a parenthesis at the end and a plural do not count.

        Examples
        --------
        >>> lexicon = Lexicon.default()
        >>> lexicon.find("oxygen saturation (%)") is lexicon.find("o2sat")
        True
        >>> lexicon.find("favourite colour") is None
        True
        """
        for key in _look_up_keys(name):
            found = self._index.get(key)
            if found is not None:
                return found
        return None

    def find_in(self, name: str, shortest: int = 1) -> Concept | None:
        """Return the concept of the longest part of a name that is known, the first of equally long ones.

        Parameters
        ----------
        name : str
        shortest : int, default=1
            Letters that a part must have.

        Examples
        --------
        >>> Lexicon.default().find_in("reader_1 pleural effusion").name
        'pleural effusion'
        """
        words = name_key(name).split()
        for length in range(len(words), 0, -1):
            for start in range(len(words) - length + 1):
                part = " ".join(words[start : start + length])
                concept = self.find(part) if len(part) >= shortest else None
                if concept is not None:
                    return concept
        return None

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Names of all concepts that this one is a kind of, nearest first.

        Examples
        --------
        >>> Lexicon.default().ancestors("dry cough")
        ('cough',)
        """
        return self._walk(name, lambda n: self._by_name[n].is_a if n in self._by_name else ())

    def descendants(self, name: str) -> tuple[str, ...]:
        """Names of all concepts that are a kind of this one, nearest first.

        Examples
        --------
        >>> "dry cough" in Lexicon.default().descendants("cough")
        True
        """
        return self._walk(name, lambda n: self._children.get(n, ()))

    def concept_for(self, feature: Feature) -> Concept:
        """Return what to look for in text for a feature.

        Its own concept (found by name, else by an alias) with the feature's name and aliases as further
        terms; kind, unit, range and levels are the feature's. A feature in no lexicon is looked for by its
        name and aliases.

        Parameters
        ----------
        feature : Feature

        Returns
        -------
        Concept
            Under the lexicon's name where there is one: two features may stand for the same concept.
        """
        known = next((c for c in map(self.find, (feature.name, *feature.aliases)) if c is not None), None)
        own = _written_forms((feature.name, *feature.aliases), known)
        if known is None:
            concept = Concept(
                name=name_key(feature.name), kind=feature.kind, category=feature.category or "sign"
            )
        else:
            concept = known
        return replace(
            concept,
            terms=tuple(dict.fromkeys((*concept.terms, *own))),
            **_as_feature(concept, feature),
        )

    def check(self) -> tuple[str, ...]:
        """Return what is wrong with the lexicon, one sentence each; empty if nothing is.

        A term may belong to two concepts only where one is a kind of the other, where their kinds differ
        ("chest pain" is a term of the yes/no concept and of its severity), or where one lists it as shared.
        """
        problems: list[str] = []
        owners: dict[str, list[Concept]] = {}
        for concept in self.concepts:
            problems += self._check_links(concept)
            forms = (concept.name, *concept.terms, *concept.misspellings, *concept.abbreviations)
            shared = set(map(name_key, concept.shared))
            for form in dict.fromkeys(map(name_key, forms)):
                others = owners.setdefault(form, [])
                for owner in others:
                    if form not in shared and not self._may_share(owner, concept, form):
                        problems.append(
                            f"concept {concept.name!r}, field 'terms': {form!r} is already a term of "
                            f"{owner.name!r}; take it out of one, link them by is_a, or put it into 'shared'."
                        )
                others.append(concept)
        return tuple(dict.fromkeys(problems))

    def _check_links(self, concept: Concept) -> list[str]:
        problems = []
        for parent in concept.is_a:
            if parent not in self._by_name:
                hint = did_you_mean(parent, self._by_name)
                problems.append(
                    f"concept {concept.name!r}, field 'is_a': no concept is called {parent!r}.{hint}"
                )
        if concept.name in self.ancestors(concept.name):
            problems.append(f"concept {concept.name!r}, field 'is_a': it is a kind of itself.")
        for key in ("patterns", "normal"):
            for pattern in getattr(concept, key):
                for group in pattern_groups(pattern):
                    if group not in self.groups:
                        hint = did_you_mean(group, self.groups)
                        problems.append(
                            f"concept {concept.name!r}, field {key!r}: no group is called {group!r}.{hint}"
                        )
        return problems

    def _may_share(self, one: Concept, other: Concept, form: str) -> bool:
        return (
            one.kind != other.kind
            or form in map(name_key, one.shared)
            or one.name in self.ancestors(other.name)
            or other.name in self.ancestors(one.name)
        )

    def _walk(self, name: str, step: Any) -> tuple[str, ...]:
        """All names reached from `name` by `step`, breadth first; safe where links form a circle."""
        reached: dict[str, None] = {}
        queue = list(step(name))
        while queue:
            current = queue.pop(0)
            if current not in reached:
                reached[current] = None
                queue.extend(step(current))
        return tuple(reached)

    def _make_index(self) -> dict[str, Concept]:
        """Look-up key to concept; what stands earlier in the order of `find` keeps the key."""
        index: dict[str, Concept] = {}
        for rank in ("name", "terms", "aliases", "misspellings", "abbreviations"):
            for concept in self.concepts:
                given = getattr(concept, rank)
                for form in (given,) if isinstance(given, str) else given:
                    key = name_key(form)
                    index.setdefault(key, concept)
        for key, concept in list(index.items()):
            index.setdefault(key.replace(" ", ""), concept)
        return index


@functools.lru_cache(maxsize=1)
def _default() -> Lexicon:
    files = sorted(data_path("lexicon").glob("*.toml"))
    return Lexicon.load(*files, base=None)


def _look_up_keys(name: str) -> Iterator[str]:
    """Keys to try for a name, the most literal first."""
    key = name_key(name)
    bare = name_key(name.partition("(")[0])
    for each in dict.fromkeys((key, bare)):
        if not each:
            continue
        yield each
        for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
            if each.endswith(ending) and len(each) > len(ending) + 2:
                yield each.removesuffix(ending) + instead
        yield each.replace(" ", "")


def _extend(known: Concept, entry: Mapping[str, Any]) -> Concept:
    """The known concept with what a user's entry of the same name adds or sets."""
    where = f"{entry['file']}: concept {known.name!r}"
    changes: dict[str, Any] = {}
    for key, value in entry.items():
        if key in _FIXED and value != getattr(known, key):
            raise LexiconError(
                f"{where}, field {key!r}: it is {getattr(known, key)!r} in the lexicon and {value!r} here; "
                "leave the field out, or set replace = true to put this concept in its place."
            )
        if key in _ADDED:
            changes[key] = tuple(dict.fromkeys((*getattr(known, key), *value)))
        elif key == "level_terms":
            merged = dict(known.level_terms)
            for level, terms in value.items():
                merged[level] = tuple(dict.fromkeys((*merged.get(level, ()), *terms)))
            changes[key] = merged
        elif key == "units":
            changes[key] = {**known.units, **value}
        elif key in ("category", "low", "high", "sex", "severity", "discover"):
            changes[key] = value
    if "shared" in entry:
        changes["terms"] = tuple(dict.fromkeys((*changes.get("terms", known.terms), *entry["shared"])))
    if entry.get("match_name") is False:
        changes["terms"] = tuple(t for t in changes.get("terms", known.terms) if t != known.name)
    # The checks on kind, levels and range are those of a whole entry.
    whole = {k: getattr(known, k) for k in ("name", "kind", "category", "unit", "low", "high", "levels")}
    whole = {k: v for k, v in whole.items() if v not in (None, ())} | changes
    make_concept({"file": entry["file"], **whole})
    return replace(known, **changes)


def _written_forms(names: Iterable[str], known: Concept | None) -> tuple[str, ...]:
    """The names in the form of terms, without those that are only abbreviations or aliases."""
    strict = {name_key(n) for n in (*known.abbreviations, *known.aliases, known.name)} if known else set()
    forms = (" ".join(n.casefold().replace("_", " ").split()) for n in names)
    return tuple(dict.fromkeys(f for f in forms if f and name_key(f) not in strict))


def _as_feature(concept: Concept, feature: Feature) -> dict[str, Any]:
    """Kind, unit, range and levels as the feature has them; the concept's where it leaves them open."""
    changes: dict[str, Any] = {"kind": feature.kind}
    if feature.kind == "numeric":
        same = concept.unit is None or feature.unit is None or concept.unit == feature.unit
        changes |= {"levels": (), "level_terms": {}, "severity": False, "unit": feature.unit or concept.unit}
        changes["low"] = feature.low if feature.low is not None or not same else concept.low
        changes["high"] = feature.high if feature.high is not None or not same else concept.high
        if not same:
            changes["units"] = _rebased(concept, str(feature.unit))
    else:
        changes |= {"unit": None, "low": None, "high": None, "units": {}}
        levels = tuple(feature.levels or ())
        changes["levels"] = levels
        changes["level_terms"] = {k: v for k, v in concept.level_terms.items() if k in levels}
        changes["severity"] = concept.severity and bool(levels)
    return changes


def _rebased(concept: Concept, unit: str) -> dict[str, tuple[float, float]]:
    """The concept's conversions, leading to another unit of it; empty where there is no way to that unit."""
    if unit not in concept.units or concept.unit is None:
        return {}
    a, b = concept.units[unit]  # concept.unit = a * unit + b, so unit = (concept.unit - b) / a
    others = {**concept.units, concept.unit: (1.0, 0.0)}
    return {u: (c / a, (d - b) / a) for u, (c, d) in others.items() if u != unit}
