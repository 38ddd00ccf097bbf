"""Feature proposal without a language model: the concepts of the lexicon that the knowledge corpus names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dallm.engines.extractive.assertion import assertion_of
from dallm.engines.extractive.recognise import Recogniser
from dallm.features import Feature, FeatureSet
from dallm.lexicon import Concept, Lexicon

if TYPE_CHECKING:
    from dallm.ack.ack import Ack


@dataclass
class _Named:
    """A concept that the corpus names: for which conditions, and where."""

    concept: Concept
    conditions: dict[str, None] = field(default_factory=dict)
    citations: dict[str, None] = field(default_factory=dict)


def propose(ack: Ack, lexicon: Lexicon, recogniser: Recogniser | None = None) -> FeatureSet:
    """Propose a feature for every concept that an answer of the corpus names for its condition.

    A concept counts as named where an answer mentions it and does not negate it ("fever is common", "may
    cause fever", not "without fever"). It becomes one feature for all its conditions, typed as in the
    lexicon, that cites those passages whose quote names it.

    Parameters
    ----------
    ack : Ack
    lexicon : Lexicon
    recogniser : Recogniser, optional
        Of :func:`discovery_concepts`; by default one made for `lexicon`, and kept for the next call.

    Returns
    -------
    FeatureSet
        Origin ``"discovered"``, in the order in which the corpus first names them. A feature that says one of
        the corpus' own conditions again has it in ``restates``.

    Examples
    --------
    >>> from dallm.ack.ack import Ack, Answer
    >>> text = "Fever and cough, without night sweats."
    >>> ack = Ack([Answer("pneumonia", "symptoms", "general", "Which symptoms?", text)])
    >>> propose(ack, Lexicon.default()).names
    ('fever', 'cough')
    """
    find = recogniser or _recogniser(lexicon)
    named: dict[str, _Named] = {}
    for answer in ack.answers:
        mentioned = _concepts_in(answer.text, find)
        if not mentioned:
            continue
        quoted = [(c.reference, _concepts_in(c.quote, find)) for c in answer.citations]
        for name in mentioned:
            entry = named.setdefault(name, _Named(mentioned[name]))
            entry.conditions[answer.condition] = None
            entry.citations.update((reference, None) for reference, names in quoted if name in names)
    conditions = {
        c.name: condition for condition in ack.conditions if (c := lexicon.find(condition)) is not None
    }
    return FeatureSet(_feature(lexicon, entry, conditions) for entry in named.values())


def discovery_concepts(lexicon: Lexicon) -> tuple[Concept, ...]:
    """Return the concepts as a knowledge text names them: by any term or alias, without value or level.

    Examples
    --------
    >>> {c.kind for c in discovery_concepts(Lexicon.default())}
    {'boolean'}
    """
    return tuple(_as_named(concept) for concept in lexicon.concepts)


@functools.lru_cache(maxsize=4)
def _recogniser(lexicon: Lexicon) -> Recogniser:
    return Recogniser(discovery_concepts(lexicon), lexicon.groups)


def _as_named(concept: Concept) -> Concept:
    """The concept as a plain name: knowledge says "oxygen saturation", not "oxygen saturation 92 %"."""
    of_levels = (term for terms in concept.level_terms.values() for term in terms)
    aliases = (alias.lower() for alias in concept.aliases)
    return replace(
        concept,
        kind="boolean",
        terms=tuple(dict.fromkeys((*concept.terms, *aliases, *of_levels))),
        levels=(),
        level_terms={},
        severity=False,
        normal=(),
        unit=None,
        low=None,
        high=None,
        units={},
    )


def _concepts_in(text: str, recogniser: Recogniser) -> dict[str, Concept]:
    """The concepts that a text names and does not negate, in its order."""
    found: dict[str, Concept] = {}
    for mention in recogniser.find(text):
        concept = mention.concept
        if concept.name in found or not concept.discover or mention.statement == "normal":
            continue
        if assertion_of(text, mention.anchor_start, mention.anchor_end).assertion != "negated":
            found[concept.name] = concept
    return found


def _feature(lexicon: Lexicon, entry: _Named, conditions: Mapping[str, str]) -> Feature:
    concept = lexicon.find(entry.concept.name) or entry.concept
    return Feature(
        concept.name,
        concept.kind,
        unit=concept.unit,
        low=concept.low,
        high=concept.high,
        levels=concept.levels or None,
        conditions=tuple(entry.conditions),
        origin="discovered",
        citations=tuple(entry.citations),
        category=concept.category,
        restates=conditions.get(concept.name),
    )
