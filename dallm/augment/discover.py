"""Discovery, the first half of stage III: which features the knowledge corpus suggests for a cohort."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dallm.features import Feature, FeatureSet, normalise_name
from dallm.lexicon import Concept, Lexicon
from dallm.vitals import known_vital

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.cohort import Cohort
    from dallm.engines.base import Engine


class Dropped(NamedTuple):
    """A proposed feature that discovery did not keep, and the reason."""

    name: str
    why: str


class Discovered(FeatureSet):
    """The features that discovery kept, and in `dropped` those that it did not keep.

    Parameters
    ----------
    features : iterable of Feature, default=()
    dropped : iterable of Dropped, default=()

    Attributes
    ----------
    dropped : tuple of Dropped
        Names and reasons, in the order in which the engine proposed them.
    """

    def __init__(self, features: Iterable[Feature] = (), dropped: Iterable[Dropped] = ()) -> None:
        super().__init__(features)
        self.dropped = tuple(dropped)


def discover_features(
    ack: Ack,
    cohort: Cohort | None = None,
    engine: Engine | None = None,
    include_targets: bool = False,
) -> Discovered:
    """Find the features that a knowledge corpus suggests, one per clinical concept.

    Of the cohort it reads the names and roles of the columns, never a value. A proposed feature is dropped if
    a predictor column holds it already (column ``o2sat`` is oxygen saturation), and left out if it restates a
    target: if it is the target's concept, a kind of it, or what it is a kind of. For the target pleural
    effusion these are for instance pleural effusion, empyema and pleural abnormality: each gives away
    something of the target.

    Parameters
    ----------
    ack : Ack
        The knowledge corpus of :func:`dallm.build_ack`.
    cohort : Cohort, optional
        The table that the features are meant for. Without it nothing is dropped.
    engine : Engine, optional
        Who proposes; by default the extractive engine.
    include_targets : bool, default=False
        Keep features that restate a target; ``feature.restates`` names it in either case.

    Returns
    -------
    Discovered
        A :class:`FeatureSet`, in the order of the proposal; ``dropped`` says what is not in it, and why.

    Examples
    --------
    >>> import pandas as pd, dallm
    >>> from dallm.ack.ack import Answer
    >>> text = "Fever, cough and low oxygen saturation."
    >>> ack = dallm.Ack([Answer("pneumonia", "symptoms", "general", "Which symptoms?", text)])
    >>> frame = pd.DataFrame({"case": [1], "cough": [True], "findings": ["Clear."]})
    >>> cohort = dallm.Cohort(frame, id="case", report="findings", categorical="cough")
    >>> found = discover_features(ack, cohort)
    >>> found.names, found.dropped
    (('fever', 'hypoxemia'), (Dropped(name='cough', why="the cohort has it: column 'cough'"),))
    """
    if engine is None:
        from dallm.engines.extractive.engine import ExtractiveEngine

        engine = ExtractiveEngine()
    own = getattr(engine, "lexicon", None)
    lexicon = own if isinstance(own, Lexicon) else Lexicon.default()
    proposed = _merged(engine.propose_features(ack), lexicon)
    if cohort is None:
        return Discovered(proposed)
    columns = _columns(cohort, lexicon)
    targets = {name: _target_concept(name, lexicon) for name in cohort.targets}
    kept: list[Feature] = []
    dropped: list[Dropped] = []
    for feature in proposed:
        column = next((columns[key] for key in _keys(feature, lexicon) if key in columns), None)
        target = _restated(feature, targets, lexicon)
        if column is not None:
            dropped.append(Dropped(feature.name, f"the cohort has it: column {column!r}"))
        elif target is not None and not include_targets:
            dropped.append(Dropped(feature.name, f"it restates the target {target!r}"))
        else:
            kept.append(replace(feature, restates=target or feature.restates))
    return Discovered(kept, dropped)


def _merged(features: Iterable[Feature], lexicon: Lexicon) -> list[Feature]:
    """One feature per concept: the first one, with the aliases, conditions and citations of all."""
    merged: dict[str, Feature] = {}
    for feature in features:
        key = next(iter(_keys(feature, lexicon)))
        first = merged.get(key)
        if first is None:
            merged[key] = feature
            continue
        names = (*first.aliases, feature.name, *feature.aliases)
        merged[key] = replace(
            first,
            aliases=_union(name for name in names if normalise_name(name) != first.key),
            conditions=_union((*first.conditions, *feature.conditions)),
            citations=_union((*first.citations, *feature.citations)),
            restates=first.restates or feature.restates,
        )
    return list(merged.values())


def _union(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _keys(feature: Feature, lexicon: Lexicon) -> tuple[str, ...]:
    """What a feature goes by: its concept's name if the lexicon has one, and its own names."""
    concept = _concept(feature, lexicon)
    own = (normalise_name(name) for name in (feature.name, *feature.aliases))
    return _union((*((normalise_name(concept.name),) if concept else ()), *own))


def _concept(feature: Feature, lexicon: Lexicon) -> Concept | None:
    return next((c for c in map(lexicon.find, (feature.name, *feature.aliases)) if c is not None), None)


def _columns(cohort: Cohort, lexicon: Lexicon) -> dict[str, str]:
    """The predictor columns by everything that they go by."""
    columns: dict[str, str] = {}
    for column in (*cohort.numeric, *cohort.categorical):
        vital = known_vital(column)
        names = (column, vital.name) if vital is not None else (column,)
        for name in names:
            columns.setdefault(normalise_name(name), column)
            concept = lexicon.find(name)
            if concept is not None:
                columns.setdefault(normalise_name(concept.name), column)
    return columns


def _target_concept(target: str, lexicon: Lexicon) -> Concept | None:
    """The concept that a target's name stands for: of a longer name ("reflacx_edema") its longest part.

    A part too many costs a feature, which is reported; one too few lets the answer into the predictors.
    """
    return lexicon.find_in(normalise_name(target))


def _restated(feature: Feature, targets: Mapping[str, Concept | None], lexicon: Lexicon) -> str | None:
    """The target that a feature says again, in the same, a narrower or a wider word."""
    own = {normalise_name(name) for name in (feature.name, *feature.aliases)}
    concept = _concept(feature, lexicon)
    near = set()
    if concept is not None:
        near = {concept.name, *lexicon.ancestors(concept.name), *lexicon.descendants(concept.name)}
    for target, meant in targets.items():
        if normalise_name(target) in own or (meant is not None and meant.name in near):
            return target
    return None
