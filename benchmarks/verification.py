"""Known faults planted in correct answers: how many the checks catch, and how many correct cells they accuse.

    python benchmarks/verification.py                              # synthetic reports and phrases
    DALLM_REAL_DATA=DATA python benchmarks/verification.py         # the Open-i reports as well
    python benchmarks/verification.py --show 5                     # with examples of what went wrong

Three sources of correct answers:

synthetic  what the writer of the synthetic reports meant (it knows, the extractive engine is not asked);
           the quote is the whole sentence, as language models give it
phrases    sentences made here: measurements with their units, degrees, persons
openi      real reports: findings that the human coding has as well (present), and denials that the extractive
           engine reads; the latter share their rules with the checks, so read their figure as a floor

A cell counts as caught where its status is failed, conflicting or uncertain and it has no value any more.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openi_quality

import dallm
from dallm.augment.verification import Verifier, locate
from dallm.engines.base import Case, CaseAnswer, Draft, Quote
from dallm.engines.extractive.text import role_of_field, sentences
from dallm.features import Feature
from dallm.lexicon import Lexicon
from dallm.synthetic.cohort import simulate

_RNG = random.Random
_UNITS = {
    "temperature": (("degC", "C", 36.0, 40.5), ("degF", "F", 97.0, 104.5)),
    "weight": (("kg", "kg", 48, 115), ("lb", "lbs", 106, 250)),
    "height": (("cm", "cm", 150, 195), ("m", "m", 1.5, 1.95)),
    "heart rate": (("/min", "bpm", 50, 130),),
    "respiratory rate": (("/min", "breaths per minute", 10, 34),),
    "oxygen saturation": (("%", "%", 82, 99),),
    "creatinine": (("mg/dL", "mg/dL", 0.6, 4.0),),
    "hemoglobin": (("g/dL", "g/dL", 7.0, 16.5),),
    "white blood cell count": (("10*9/L", "", 3.0, 22.0),),
    "nodule size": (("mm", "mm", 4, 29), ("cm", "cm", 0.4, 2.9)),
}
_SAID = {"white blood cell count": "WBC", "nodule size": "The nodule size"}
_FORMS = (
    "{name} {value} {unit}.",
    "{name} of {value} {unit} on arrival.",
    "On arrival {name} was {value} {unit}.",
)
_DEGREES = ("mild", "moderate", "severe")


@dataclass(frozen=True)
class Sample:
    """A case with its correct answers, and which features each quoted sentence speaks of."""

    case: Case
    drafts: dict[str, Draft]
    spoken: dict[str, frozenset[str]]  # quote to the features that it speaks of


@dataclass(frozen=True)
class Plant:
    """One fault: the draft that replaces a correct one, or joins the answer."""

    kind: str
    feature: str
    draft: Draft
    case: Case | None = None


def main() -> None:
    """Parse the command line, run every source, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=800, help="cases per source (default 800)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="so many examples per kind (synthetic sources)")
    args = parser.parse_args()
    sources: dict[str, Callable[[int, int], tuple[list[Feature], list[Sample]]]] = {
        "synthetic": synthetic_samples,
        "phrases": phrase_samples,
    }
    if os.environ.get("DALLM_REAL_DATA"):
        sources["openi"] = openi_samples
    for name, make in sources.items():
        features, samples = make(args.cases, args.seed)
        measure(name, features, samples, args.seed, args.show if name != "openi" else 0)


@dataclass(frozen=True)
class Result:
    """How many correct cells there were and were accused, and how many faults were planted and caught."""

    cells: int
    accused: int
    planted: Counter[str]
    caught: Counter[str]


def measure(name: str, features: list[Feature], samples: list[Sample], seed: int, show: int) -> Result:
    """Print and return caught and accused of one source."""
    verifier = Verifier(features)
    rng = _RNG(seed)
    verifier.checked(samples[0].case, CaseAnswer(0, samples[0].drafts))  # what is prepared once
    start = time.process_time()
    checked = [verifier.checked(s.case, CaseAnswer(s.case.case_id, s.drafts)) for s in samples]
    seconds = time.process_time() - start
    cells = sum(len(s.drafts) for s in samples)
    accused: Counter[str] = Counter()
    for sample, answer in zip(samples, checked, strict=True):
        for feature, draft in answer.drafts.items():
            if draft.value is None:
                accused[draft.reason.partition(":")[0]] += 1
                if show and accused.total() <= show:
                    print(
                        "accused:",
                        feature,
                        sample.drafts[feature].value,
                        *_quoted(sample.drafts[feature]),
                        draft.reason,
                    )
    print(
        f"\n{name}: {len(samples):,} cases, {cells:,} correct cells ({cells / len(samples):.1f} a case), "
        f"{1000 * seconds / len(samples):.2f} ms CPU a case"
    )
    share = accused.total() / max(cells, 1)
    why = ", ".join(f"{kind} {count}" for kind, count in accused.most_common())
    print(f"{'correct cells accused':<28}{accused.total():>7} of {cells:>7}{share:>9.2%}  {why}")
    planted: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    missed: Counter[str] = Counter()
    for plant, sample in plants(features, samples, rng):
        case = plant.case or sample.case
        answer = verifier.checked(
            case, CaseAnswer(case.case_id, {**sample.drafts, plant.feature: plant.draft})
        )
        draft = answer.drafts[plant.feature]
        planted[plant.kind] += 1
        if draft.value is None:
            caught[plant.kind] += 1
            reasons.setdefault(plant.kind, Counter())[draft.reason.partition(":")[0]] += 1
        else:
            missed[plant.kind] += 1
            if missed[plant.kind] <= show:
                print("missed:", plant.kind, plant.feature, plant.draft.value, *_quoted(plant.draft))
    for kind, count in planted.items():
        why = ", ".join(f"{k} {n}" for k, n in reasons.get(kind, Counter()).most_common(3))
        print(f"{kind:<28}{caught[kind]:>7} of {count:>7}{caught[kind] / count:>9.1%}  {why}")
    return Result(cells, accused.total(), planted, caught)


def plants(
    features: list[Feature], samples: list[Sample], rng: random.Random
) -> Iterator[tuple[Plant, Sample]]:
    """Yield at most one fault of every kind per case, each with the case that it is planted in."""
    by_feature: dict[str, list[tuple[Sample, Draft]]] = {}
    for sample in samples:
        for feature, draft in sample.drafts.items():
            by_feature.setdefault(feature, []).append((sample, draft))
    kinds = {feature.name: feature for feature in features}
    lexicon = Lexicon.default()
    for sample in samples:
        names = list(sample.drafts)
        rng.shuffle(names)
        done: set[str] = set()
        for name in names:
            draft, feature = sample.drafts[name], kinds[name]
            for plant in _faults(sample, feature, draft, by_feature[name], features, lexicon, rng):
                if plant.kind not in done:
                    done.add(plant.kind)
                    yield plant, sample


def _faults(
    sample: Sample,
    feature: Feature,
    draft: Draft,
    others: list[tuple[Sample, Draft]],
    features: list[Feature],
    lexicon: Lexicon,
    rng: random.Random,
) -> Iterator[Plant]:
    if not draft.quotes:
        return
    quote = draft.quotes[0]
    words = {
        True: f"There is {feature.name}, as seen before.",
        False: f"She has no {feature.name} whatsoever.",
    }
    text = words.get(draft.value is not False, "")
    if feature.kind == "numeric":
        text = f"Her {feature.name} had reached {draft.value:g} {feature.unit} by then."
    yield Plant("invented quote", feature.name, _with_quote(draft, text, quote.field))
    other, theirs = rng.choice(others)
    foreign = theirs.quotes[0].quote
    if other is not sample and locate(foreign, None, sample.case.report) is None:
        yield Plant(
            "quote of another case",
            feature.name,
            _with_quote(replace(draft, value=theirs.value), foreign, quote.field),
        )
    if draft.value is False:
        yield Plant("negated quote", feature.name, replace(draft, value=True))
    elif draft.value is True:
        yield Plant("value flipped", feature.name, replace(draft, value=False))
    elif feature.kind == "numeric" and isinstance(draft.value, float):
        yield Plant("other number", feature.name, replace(draft, value=round(draft.value * 1.1 + 1, 2)))
        concept = lexicon.concept_for(feature)
        high = feature.high if feature.high is not None else concept.high
        if high is not None:
            yield Plant(
                "out of range", feature.name, replace(draft, value=high * rng.choice((1.01, 2.0, 10.0)))
            )
        written = float(sample.case.row.get("written", 0.0) or 0.0)
        if written and abs(written - draft.value) > 0.02 * written:
            yield Plant("wrong unit", feature.name, replace(draft, value=written))
    elif feature.levels:
        level = rng.choice([level for level in feature.levels if level != draft.value])
        yield Plant("level flipped", feature.name, replace(draft, value=level))
    spoken = sample.spoken.get(quote.quote, frozenset())
    unrelated = [
        f
        for f in features
        if f.kind == feature.kind and f.levels == feature.levels and not _related(f, spoken, lexicon)
    ]
    if unrelated:
        wrong = rng.choice(unrelated)
        if wrong.name not in sample.drafts:
            yield Plant("wrong feature", wrong.name, draft)


@functools.cache
def _family(feature: Feature, lexicon: Lexicon) -> frozenset[str]:
    own = lexicon.concept_for(feature).name
    return frozenset((own, *lexicon.ancestors(own), *lexicon.descendants(own)))


def _related(feature: Feature, spoken: frozenset[str], lexicon: Lexicon) -> bool:
    """Whether a feature is one of those that a sentence speaks of, a kind of one, or the like."""
    family = _family(feature, lexicon)
    for name in spoken:
        concept = lexicon.find(name)
        known = concept.name if concept is not None else name
        if name == feature.name or known in family or family & set(lexicon.ancestors(known)):
            return True
    return False


def _with_quote(draft: Draft, text: str, field: str) -> Draft:
    return replace(draft, quotes=(Quote(text, field, 0, len(text), "present", "quoted"),))


def _quoted(draft: Draft) -> list[str]:
    return [repr(quote.quote) for quote in draft.quotes]


def _stated(value: Any, text: str, field: str, start: int, end: int) -> Draft:
    quote = Quote(text[start:end], field, start, end, "present" if value else "negated", "quoted")
    return Draft(value, "documented", "report", quotes=(quote,))


def synthetic_samples(n: int, seed: int) -> tuple[list[Feature], list[Sample]]:
    """Return what the writer of the synthetic reports stated, sentence by sentence."""
    made = simulate(n, seed)
    lexicon = Lexicon.default()
    names = list(made.truth.columns)
    features = [Feature(name, "boolean", category=(c := lexicon.find(name)) and c.category) for name in names]
    told: dict[str, list[Any]] = {}
    for row in made.statements.itertuples(index=False):
        told.setdefault(row.case_id, []).append(row)
    samples = []
    for case in made.cohort.cases():
        drafts: dict[str, Draft] = {}
        spoken: dict[str, set[str]] = {}
        truth = made.truth.loc[case.case_id]
        for row in told.get(str(case.case_id), []):
            text = case.report[row.field]
            spoken.setdefault(text[row.start : row.end], set()).add(row.feature)
            value = {"present": True, "negated": False}.get(row.stance)
            meant = truth[row.feature]
            if value is not None and meant is not None and meant == value:
                drafts.setdefault(row.feature, _stated(value, text, row.field, row.start, row.end))
        samples.append(Sample(case, drafts, {q: frozenset(f) for q, f in spoken.items()}))
    return features, [s for s in samples if s.drafts]


def phrase_samples(n: int, seed: int) -> tuple[list[Feature], list[Sample]]:
    """Return sentences with measurements and degrees, one measurement and one degree per case."""
    rng = _RNG(seed)
    features = [Feature(name, "numeric", unit=units[0][0]) for name, units in _UNITS.items()]
    features.append(Feature("chest pain severity", "ordinal", levels=_DEGREES))
    samples = []
    for number in range(n):
        name = rng.choice(list(_UNITS))
        unit, shown, low, high = rng.choice(_UNITS[name])
        written = round(rng.uniform(low, high), 2 if high < 5 else 1)
        said = rng.choice(_FORMS).format(name=_SAID.get(name, name), value=f"{written:g}", unit=shown)
        said = (said[0].upper() + said[1:]).replace(" .", ".").replace("  ", " ")
        degree = rng.choice(_DEGREES)
        pain = rng.choice((f"{degree.capitalize()} chest pain since noon.", f"Chest pain is {degree}."))
        text = f"{said} {pain} Lungs are clear."
        value = _in_first_unit(name, unit, written)
        case = Case(number, {"indication": text}, {"written": written})
        drafts = {
            name: _stated(value, text, "indication", 0, len(said)),
            "chest pain severity": _stated(
                degree, text, "indication", len(said) + 1, len(said) + 1 + len(pain)
            ),
        }
        samples.append(
            Sample(case, drafts, {said: frozenset((name,)), pain: frozenset(("chest pain severity",))})
        )
    return features, samples


def _in_first_unit(name: str, unit: str, written: float) -> float:
    factor = {"lb": 0.45359237, "m": 100.0, "cm": 10.0 if name == "nodule size" else 1.0}.get(unit, 1.0)
    return (written - 32) / 1.8 if unit == "degF" else written * factor


def openi_samples(n: int, seed: int) -> tuple[list[Feature], list[Sample]]:
    """Return findings of real reports, quoted by their whole sentence or a part of it."""
    folder = Path(os.environ["DALLM_REAL_DATA"]) / "openi"
    table, gold = openi_quality.read(folder / "indiana_reports.csv", folder / "gold.csv")
    coded = {name: column for column, name in openi_quality.FINDING_OF.items()}
    lexicon = Lexicon.default()
    names = [
        c.name
        for c in lexicon.concepts
        if c.kind == "boolean" and c.category in ("imaging finding", "symptom")
    ]
    features = [Feature(name, "boolean", category=lexicon.find(name).category) for name in names]  # type: ignore[union-attr]
    cohort = dallm.Cohort(table, id="uid", report=list(openi_quality.REPORT), data_use="open")
    rng = _RNG(seed)
    picked = set(rng.sample(range(len(cohort)), min(n, len(cohort))))
    cases = [case for position, case in enumerate(cohort.cases()) if position in picked]
    samples = []
    for case, answer in zip(cases, dallm.engine("extractive").fill(cases, features), strict=True):
        drafts: dict[str, Draft] = {}
        spoken: dict[str, set[str]] = {}
        for name, draft in answer.drafts.items():
            if draft.status != "documented" or not draft.quotes:
                continue
            if draft.value is True and name in coded and not gold.loc[case.case_id, coded[name]]:
                continue
            quote = draft.quotes[0]
            start, end = _widened(case.report[quote.field], quote, rng)
            drafts[name] = _stated(draft.value, case.report[quote.field], quote.field, start, end)
        for name, draft in answer.drafts.items():
            for quote in draft.quotes:
                for other in drafts.values():
                    at = other.quotes[0]
                    if at.field == quote.field and at.start < quote.end and at.end > quote.start:
                        spoken.setdefault(at.quote, set()).add(name)
        if drafts:
            samples.append(Sample(case, drafts, {q: frozenset(f) for q, f in spoken.items()}))
    return features, samples


def _widened(text: str, quote: Quote, rng: random.Random) -> tuple[int, int]:
    """The sentence of a quote, with or without its full stop, or as much of it as holds the assertion."""
    for sentence in sentences(text, role_of_field(quote.field)):
        if sentence.start <= quote.start < sentence.end:
            end = sentence.end
            if rng.random() < 0.5 and text[end - 1] == ".":
                end -= 1
            return sentence.start, max(end, quote.end)
    return quote.start, quote.end


if __name__ == "__main__":
    main()
