"""The extractive engine: no language model, deterministic, and nothing without evidence."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from dallm.engines.base import Case, CaseAnswer, Draft, KnowledgeAnswer
from dallm.engines.extractive.analyse import Analyser
from dallm.engines.extractive.recognise import Recogniser
from dallm.engines.extractive.resolve import Located, resolve
from dallm.engines.extractive.text import role_of_field, sentences
from dallm.engines.extractive.triggers import trigger_digest
from dallm.lexicon import Concept, Lexicon

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.augment.row_rules import RowRules
    from dallm.features import Feature, FeatureSet
    from dallm.knowledge.passage import Hit

_BATCH = 200  # cases answered at a stretch
_Plan = dict[int, list[tuple[int, str]]]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Put off the search for reference cycles: answers hold none, and looking costs a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class ExtractiveEngine:
    """Answers from what is written: concept recognition, assertion, and the measured values of the row.

    Parameters
    ----------
    lexicon : Lexicon, optional
        The concepts and their wording; by default the one that comes with dallm.
    row_rules : RowRules, optional
        Which features follow from measured values; by default ``data/row_rules.toml``.

    Examples
    --------
    >>> import dallm
    >>> engine = dallm.engine("extractive")
    >>> case = dallm.Case("a", {"findings": "No effusion. Mild cardiomegaly."})
    >>> features = [dallm.Feature("pleural effusion", "boolean"), dallm.Feature("cardiomegaly", "boolean")]
    >>> answer = next(engine.fill([case], features))
    >>> {name: (draft.value, draft.quotes[0].quote) for name, draft in answer.drafts.items()}
    {'pleural effusion': (False, 'effusion'), 'cardiomegaly': (True, 'cardiomegaly')}
    """

    name = "extractive"
    model: str | None = None

    def __init__(self, lexicon: Lexicon | None = None, row_rules: RowRules | None = None) -> None:
        self.lexicon = lexicon or Lexicon.default()
        self._row_rules = row_rules
        self._prepared: tuple[tuple[Feature, ...], _Filler] | None = None

    def __repr__(self) -> str:
        return f"ExtractiveEngine({len(self.lexicon)} concepts)"

    @property
    def digest(self) -> str:
        """Digest of the wording and the rules that answers depend on."""
        import hashlib

        parts = (self.lexicon.concepts, sorted(self.lexicon.groups.items()), trigger_digest())
        rules = self._row_rules.rules if self._row_rules is not None else ()
        return hashlib.sha256(repr((parts, rules)).encode("utf-8")).hexdigest()

    def __getstate__(self) -> dict[str, object]:
        # what was prepared for one set of features is made again when it is needed
        return {**self.__dict__, "_prepared": None}

    def answer(self, question: str, passages: Sequence[Hit]) -> KnowledgeAnswer:
        """Answer an expert query with sentences of the passages, each cited."""
        from dallm.engines.extractive.answer import answer

        return answer(question, passages)

    def propose_features(self, ack: Ack) -> FeatureSet:
        """Propose the concepts of the lexicon that the knowledge corpus names."""
        from dallm.engines.extractive.propose import propose

        return propose(ack, self.lexicon)

    def fill(
        self, cases: Iterable[Case], features: Sequence[Feature], knowledge: Ack | None = None
    ) -> Iterator[CaseAnswer]:
        """Yield what each case documents of the features; `knowledge` is not used: it is no evidence."""
        filler = self._filler(tuple(features))
        waiting = iter(cases)
        while batch := list(itertools.islice(waiting, _BATCH)):
            with _uncollected():
                answers = [filler.answer(case) for case in batch]
            yield from answers

    def _filler(self, features: tuple[Feature, ...]) -> _Filler:
        if self._prepared is None or self._prepared[0] != features:
            if self._row_rules is None:
                from dallm.augment.row_rules import RowRules

                self._row_rules = RowRules.default()
            self._prepared = (features, _Filler(self.lexicon, features, self._row_rules))
        return self._prepared[1]


class _Filler:
    """All that filling needs, prepared once for a set of features."""

    def __init__(self, lexicon: Lexicon, features: tuple[Feature, ...], row_rules: RowRules) -> None:
        from dallm.augment.row_rules import merge

        self._merge = merge
        self._features = features
        self._row_rules = row_rules
        self._concepts, concept_of = _with_features(lexicon, features)
        self._concept_of = [self._concepts[n] for n in concept_of]
        self._plan = _plan(lexicon, self._concepts, concept_of)
        self._analyser = Analyser(Recogniser(self._concepts, lexicon.groups, wanted=self._plan))
        self._roles: dict[str, str] = {}

    def answer(self, case: Case) -> CaseAnswer:
        found: dict[int, list[Located]] = {}
        texts = dict(case.report)
        for field, text in texts.items():
            role = self._roles.get(field)
            if role is None:
                role = self._roles[field] = role_of_field(field)
            for sentence in sentences(text, role):
                piece = text[sentence.start : sentence.end]
                for finding in self._analyser.findings(piece, sentence.role):
                    name = self._concepts[finding.concept].name
                    for index, relation in self._plan.get(finding.concept, ()):
                        if relation == "parent" and not (finding.normal or finding.assertion == "negated"):
                            continue  # what is stated of a kind says nothing of its kinds
                        located = Located(finding, field, sentence.start, relation, name)
                        found.setdefault(index, []).append(located)
        drafts: dict[str, Draft] = {}
        for index, mentions in found.items():
            draft = resolve(self._concept_of[index], mentions, texts)
            if draft is not None:
                drafts[self._features[index].name] = draft
        self._add_row(case, drafts)
        return CaseAnswer(case.case_id, drafts)

    def _add_row(self, case: Case, drafts: dict[str, Draft]) -> None:
        if not case.row:
            return
        for name, row in self._row_rules.apply(case, self._features).items():
            merged = self._merge(drafts.get(name), row)
            if merged is not None:
                drafts[name] = merged


def _with_features(lexicon: Lexicon, features: Sequence[Feature]) -> tuple[list[Concept], list[int]]:
    """The lexicon's concepts with what the features add, and each feature's place among them."""
    concepts = list(lexicon.concepts)
    place = {c.name: n for n, c in enumerate(concepts)}
    taken: dict[tuple[str, str, object], int] = {}
    concept_of = []
    for feature in features:
        concept = lexicon.concept_for(feature)
        meaning = (concept.name, concept.kind, (concept.levels, concept.unit))
        number = taken.get(meaning)
        if number is None:
            known = place.get(concept.name)
            same = known is not None and concepts[known].kind == concept.kind and known not in taken.values()
            if known is not None and same:
                number = known
                concepts[number] = concept
            else:
                number = len(concepts)
                concepts.append(concept)
            taken[meaning] = number
        else:
            terms = tuple(dict.fromkeys((*concepts[number].terms, *concept.terms)))
            concepts[number] = replace(concepts[number], terms=terms)
        concept_of.append(number)
    return concepts, concept_of


def _plan(lexicon: Lexicon, concepts: Sequence[Concept], concept_of: Sequence[int]) -> _Plan:
    """Which features a mention of a concept speaks to: its own, its parents' and its children's."""
    places: dict[str, list[int]] = {}
    for number, concept in enumerate(concepts):
        places.setdefault(concept.name, []).append(number)
    plan: _Plan = {}
    for index, number in enumerate(concept_of):
        plan.setdefault(number, []).append((index, "self"))
        if concepts[number].kind != "boolean":
            continue
        for relation, names in (
            ("child", lexicon.descendants(concepts[number].name)),
            ("parent", lexicon.ancestors(concepts[number].name)),
        ):
            for name in names:
                for other in places.get(name, ()):
                    if concepts[other].kind == "boolean":
                        plan.setdefault(other, []).append((index, relation))
    return plan
