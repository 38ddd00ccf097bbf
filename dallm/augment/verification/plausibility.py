"""Whether the person of a case can have what an answer says: sex and age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dallm.augment.verification.kinds import Refusal
from dallm.engines.base import Case, CellValue
from dallm.features import Feature, normalise_name
from dallm.lexicon import Concept

_SEX_COLUMNS = frozenset(("gender", "sex", "patient sex", "patient gender", "anchor gender", "gender code"))
_AGE_COLUMNS = frozenset(("age", "anchor age", "patient age", "age years", "age at admission"))
_SEX_OF = {"f": "female", "female": "female", "woman": "female", "w": "female"}
_SEX_OF |= {"m": "male", "male": "male", "man": "male"}
# Years between which it can hold at all, both allowed.
_AGES: Mapping[str, tuple[float, float]] = {"pregnancy": (10.0, 60.0)}
_YEARS: Mapping[str, float] = {
    "years": 1.0,
    "year": 1.0,
    "a": 1.0,
    "y": 1.0,
    "months": 1 / 12,
    "days": 1 / 365.25,
}
_SAME_AGE = 1.5  # years: a report may have been written before a birthday


class Person(NamedTuple):
    """What the row says of the person; None where it does not."""

    sex: str | None
    age: float | None


def person_of(case: Case) -> Person:
    """Return sex and age (years) as the row has them.

    Examples
    --------
    >>> person_of(Case(1, {}, {"gender": "F", "age": 61.0}, {"age": "years"}))
    Person(sex='female', age=61.0)
    """
    sex = age = None
    for column, value in case.row.items():
        name = normalise_name(column)
        if name in _SEX_COLUMNS and isinstance(value, str):
            sex = _SEX_OF.get(normalise_name(value))
        elif name in _AGE_COLUMNS and isinstance(value, (int, float)) and not isinstance(value, bool):
            scale = _YEARS.get(case.units.get(column, "years"))
            age = None if scale is None else float(value) * scale
    return Person(sex, age)


def impossible(value: CellValue, feature: Feature, concept: Concept, person: Person) -> Refusal | None:
    """Return why a value cannot be this person's.

    Examples
    --------
    >>> from dallm.lexicon import Lexicon
    >>> pregnancy = Feature("pregnancy", "boolean")
    >>> impossible(True, pregnancy, Lexicon.default().concept_for(pregnancy), Person("male", 40.0)).reason
    'person: it can hold for female persons only'
    """
    if value is True:
        if concept.sex is not None and person.sex is not None and person.sex != concept.sex:
            return Refusal("person", "failed", f"it can hold for {concept.sex} persons only")
        ages = _AGES.get(concept.name)
        if ages is not None and person.age is not None and not ages[0] <= person.age <= ages[1]:
            return Refusal(
                "person", "failed", f"it can hold from {ages[0]:g} to {ages[1]:g} years of age only"
            )
    elif concept.name == "gender" and isinstance(value, str) and person.sex is not None:
        said = _SEX_OF.get(normalise_name(value))
        if said is not None and said != person.sex:
            return Refusal("person", "conflicting", "the row has the other sex")
    elif concept.name == "age" and feature.kind == "numeric" and person.age is not None:
        # ages from 89 on are often hidden behind one number
        known = isinstance(value, (int, float)) and person.age < 89
        years = _YEARS.get(feature.unit or "years")
        if known and years is not None and abs(float(value or 0) * years - person.age) > _SAME_AGE:
            return Refusal("person", "conflicting", "the row has another age")
    return None
