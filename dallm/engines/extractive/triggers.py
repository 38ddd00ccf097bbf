"""The words that decide an assertion, read from ``data/assertion``: triggers, hedges, ends of scope."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from dallm.engines.extractive.phrases import PhraseTrie, slips_of
from dallm.errors import LexiconError
from dallm.resources import data_path

_SLIP_LENGTH = 7  # "wihtout" and "negatvie" are mended, shorter words would turn into others

Kind = Literal[
    "negated",
    "resolved",
    "hypothetical",
    "possible",
    "likely",
    "historical",
    "other_person",
    "pseudo",
    "end",
    "link",
    "adjunct",
]
Direction = Literal["before", "after", "none"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a phrase does to the findings before or behind it."""

    kind: Kind
    direction: Direction


@dataclass(frozen=True, slots=True)
class TriggerTable:
    """All triggers, ready to be looked up."""

    trie: PhraseTrie[Trigger]
    begins: frozenset[str]
    modifiers: frozenset[str]
    verbs: frozenset[str]
    predicates: frozenset[str]
    effects: frozenset[str]
    observed: frozenset[str]
    deniers: frozenset[str]
    speaks: frozenset[str]
    accompanied: frozenset[str]
    narrowing: frozenset[str]
    brief: frozenset[str]
    slips: dict[str, str]


def _read(path: Path) -> dict[str, dict[str, list[str]]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LexiconError(f"Trigger file {path.name!r} cannot be read: {error}") from error


def _add(trie: PhraseTrie[Trigger], phrases: list[str], trigger: Trigger, taken: dict[str, str]) -> None:
    for phrase in phrases:
        key = f"{trigger.direction}: {phrase}"
        if taken.setdefault(key, trigger.kind) != trigger.kind:
            raise LexiconError(
                f"Trigger {phrase!r} ({trigger.direction}) stands under {taken[key]!r} and {trigger.kind!r}; "
                "keep it in one of them."
            )
        trie.add(phrase, trigger)


@lru_cache(maxsize=1)
def trigger_digest() -> str:
    """Digest of the trigger files."""
    files = (data_path("assertion", name).read_bytes() for name in ("triggers.toml", "hedges.toml"))
    return hashlib.sha256(b"\x1f".join(files)).hexdigest()


@lru_cache(maxsize=1)
def trigger_table() -> TriggerTable:
    """Load ``triggers.toml`` and ``hedges.toml`` once."""
    table = _read(data_path("assertion", "triggers.toml"))
    hedges = _read(data_path("assertion", "hedges.toml"))
    trie: PhraseTrie[Trigger] = PhraseTrie()
    taken: dict[str, str] = {}
    groups: list[tuple[Kind, dict[str, list[str]]]] = [
        ("negated", table["negated"]),
        ("resolved", table["resolved"]),
        ("hypothetical", table["hypothetical"]),
        ("historical", table["historical"]),
        ("possible", hedges["possible"]),
        ("possible", table["possible"]),
        ("likely", hedges["present"]),
    ]
    for kind, entry in groups:
        _add(trie, entry["before"], Trigger(kind, "before"), taken)
        _add(trie, entry["after"], Trigger(kind, "after"), taken)
    for subject in table["other_person"]["subjects"]:
        trie.add(subject, Trigger("other_person", "before"))
    for phrase in table["pseudo"]["phrases"]:
        trie.add(phrase, Trigger("pseudo", "none"))
    for phrase in table["scope"]["ends"]:
        trie.add(phrase, Trigger("end", "none"))
    for phrase in table["scope"]["links"]:
        trie.add(phrase, Trigger("link", "none"))
    for phrase in table["scope"]["adjuncts"]:
        trie.add(phrase, Trigger("adjunct", "none"))
    return TriggerTable(
        trie=trie,
        begins=frozenset(table["scope"]["begins"]),
        modifiers=frozenset(table["scope"]["modifiers"]),
        verbs=frozenset(table["scope"]["verbs"]),
        predicates=frozenset(table["scope"]["predicates"]),
        effects=frozenset(table["scope"]["effects"]),
        observed=frozenset(table["scope"]["observed"]),
        deniers=frozenset(table["scope"]["deniers"]),
        speaks=frozenset(table["other_person"]["speaks"]),
        accompanied=frozenset(table["other_person"]["accompanied"]),
        brief=frozenset(table["scope"]["brief"]),
        narrowing=frozenset(table["scope"]["narrowing"]),
        slips=slips_of((w for w in trie.words() if len(w) >= _SLIP_LENGTH and w.isalpha()), trie.words()),
    )
