"""Synthetic patients: lasting conditions, visits and their findings, and what the reports will speak of.

Patients are made in blocks of fixed size, each with its own random stream, so that the first cases of a large
cohort are those of a small one with the same seed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.conditions import PAPER_CONDITIONS
from dallm.resources import data_path
from dallm.synthetic.phrases import Bank
from dallm.synthetic.vitals import VITALS, make_vitals

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

BLOCK = 256
MOST_VISITS = 6
# What a report intends to say of a feature, and how a finding moved since the visit before.
SILENT, PRESENT, POSSIBLE, PROBABLE, NEGATED, RESOLVED = range(6)
NO_PRIOR, NEW, SAME, WORSE, BETTER = range(5)
TARGETS = PAPER_CONDITIONS

_VISITS = (0.48, 0.22, 0.13, 0.08, 0.05, 0.04)  # chance of 1, 2, ... 6 studies
_FOLLOW_UP = 0.5  # chance that the next study belongs to the same episode
_PERSISTS = 0.6  # chance that a finding is still there at the next study of its episode
_WORDINESS = (0.5, 1.0, 1.7)  # how readily terse, ordinary and thorough readers mention what is absent


@dataclass(frozen=True, slots=True)
class Studies:
    """One block of studies, in order of patient and visit; arrays are (study,) or (study, feature).

    `vitals` holds the values as they were (study, vital); `measured` tells which of them were written down.
    """

    patient: NDArray[np.int64]
    visit: NDArray[np.int64]
    age: NDArray[np.int64]
    female: Bools
    scenario: NDArray[np.int64]
    device: Bools
    present: Bools
    change: Codes
    intent: Codes
    vitals: Floats
    measured: Bools
    targets: Bools


@cache
def load_conditions() -> dict[str, Any]:
    """Read the rates of ``data/synthetic/conditions.toml``."""
    return tomllib.loads(data_path("synthetic", "conditions.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Rates:
    """The tables of ``conditions.toml`` as arrays over scenarios and features."""

    features: tuple[str, ...]
    imaging: Bools
    symptom: Bools
    lasting: Bools
    weight: Floats
    likelier: Floats
    finding: Floats
    shift: Floats
    missing: Floats
    devices: Floats
    mention: Mapping[str, Floats]


@cache
def load_rates() -> Rates:
    """Lay the rates out for :func:`make_block`."""
    from dallm.synthetic.phrases import load_bank

    table, bank = load_conditions(), load_bank()
    names = tuple(bank.wordings)
    scenarios = list(table["scenario"].values())

    def grid(key: str, columns: tuple[str, ...], default: float) -> Floats:
        return np.array([[s.get(key, {}).get(c, default) for c in columns] for s in scenarios], dtype=float)

    kinds = [bank.wordings[f].kind for f in names]
    mention = {
        key: np.array(
            [
                table["mention"]["feature"].get(f, {}).get(key, table["mention"][k][key])
                for f, k in zip(names, kinds, strict=True)
            ]
        )
        for key in ("present", "absent", "doubt", "false_doubt")
    }
    return Rates(
        features=names,
        imaging=np.array([k == "imaging" for k in kinds]),
        symptom=np.array([k in ("symptom", "sign") for k in kinds]),
        lasting=np.array([f in table["chronic"] for f in names]),
        weight=np.array([s["weight"] for s in scenarios], dtype=float),
        likelier=np.log(grid("likelier", names, 1.0)),
        finding=np.maximum(
            grid("features", names, 0.0), np.where([f in table["chronic"] for f in names], 0.0, 0.004)
        ),
        shift=grid("vitals", VITALS, 0.0),
        missing=np.array([s.get("missing", 0.02) for s in scenarios]),
        devices=np.array([s.get("devices", 0.03) for s in scenarios]),
        mention=mention,
    )


def make_block(seed: int, number: int, bank: Bank) -> Studies:
    """Make the studies of one block of patients.

    Parameters
    ----------
    seed : int
        Seed of the cohort.
    number : int
        Which block, from 0; its patients are numbered from ``number * BLOCK``.
    bank : Bank
        The phrase bank, whose features the studies are about.
    """
    rates = load_rates()
    rng = np.random.default_rng([seed, number])
    P = BLOCK
    visits = 1 + np.searchsorted(np.cumsum(_VISITS)[:-1], rng.random(P), side="right")
    age = np.clip(rng.normal(56, 19, P), 18, 94)
    female = rng.random(P) < 0.5
    lasting = _lasting(rng, age, rates)
    base = rng.standard_normal((P, len(VITALS)))

    made: list[tuple[Any, ...]] = []
    scenario = np.zeros(P, dtype=np.int64)
    before = np.zeros((P, len(rates.features)), dtype=bool)
    for visit in range(MOST_VISITS):
        again = (rng.random(P) < _FOLLOW_UP) & (visit > 0)
        age = age + np.where(again | (visit == 0), 0.05, rng.exponential(1.2, P))
        drawn = _scenario(rng, lasting, rates)
        scenario = np.where(again, scenario, drawn)
        present = _findings(rng, scenario, lasting, before & again[:, None], rates, bank)
        change = _change(rng, present, before, visit)
        intent = _intent(rng, present, before, rates, bank)
        vitals, measured = make_vitals(
            rng, base, age, rates.shift[scenario], present, rates.features, rates.missing[scenario]
        )
        device = rng.random(P) < rates.devices[scenario]
        made.append(
            (
                age.astype(np.int64),
                scenario,
                device,
                present,
                change,
                intent,
                vitals,
                measured,
                _targets(rng, present, rates),
            )
        )
        before = present

    return _flattened(made, visits, female, number * P)


def _flattened(made: list[tuple[Any, ...]], visits: NDArray[np.int64], female: Bools, first: int) -> Studies:
    """Keep each patient's own number of visits, in order of patient and visit."""
    kept = np.arange(MOST_VISITS) < visits[:, None]
    patient, visit = np.nonzero(kept)
    columns = [np.stack(column, axis=1)[kept] for column in zip(*made, strict=True)]
    age, scenario, device, present, change, intent, vitals, measured, targets = columns
    return Studies(
        patient=patient + first,
        visit=visit,
        age=age,
        female=female[patient],
        scenario=scenario,
        device=device,
        present=present,
        change=change,
        intent=intent,
        vitals=vitals,
        measured=measured,
        targets=targets,
    )


def _lasting(rng: np.random.Generator, age: Floats, rates: Rates) -> Bools:
    """Chronic conditions (patient, feature), in the order of the file: what raises another comes first."""
    out = np.zeros((len(age), len(rates.features)), dtype=bool)
    for name, entry in load_conditions()["chronic"].items():
        p = entry["base"] + entry["decade"] * (age - 40) / 10
        absent = 1 - np.clip(p, 0.002 if entry["base"] else 0.0, 0.45)
        for other, chance in entry.get("given", {}).items():
            absent = absent * np.where(out[:, rates.features.index(other)], 1 - chance, 1.0)
        out[:, rates.features.index(name)] = rng.random(len(age)) < 1 - absent
    return out


def _scenario(rng: np.random.Generator, lasting: Bools, rates: Rates) -> NDArray[np.int64]:
    """Why each patient comes: weights, raised by the lasting conditions."""
    score = np.log(rates.weight) + lasting.astype(float) @ rates.likelier.T
    drawn: NDArray[np.int64] = np.argmax(score + rng.gumbel(size=score.shape), axis=1)
    return drawn


def _findings(
    rng: np.random.Generator,
    scenario: NDArray[np.int64],
    lasting: Bools,
    carried: Bools,
    rates: Rates,
    bank: Bank,
) -> Bools:
    """What each patient has at this visit (patient, feature), as the bank's relations demand."""
    at = {name: i for i, name in enumerate(rates.features)}
    severity = rng.uniform(0.65, 1.15, (len(scenario), 1))
    chance = np.clip(rates.finding[scenario] * severity, 0, 0.97)
    present = lasting | (rng.random(chance.shape) < chance)
    present |= carried & (rng.random(chance.shape) < _PERSISTS)
    present[:, at["pericardial effusion"]] |= present[:, at["cardiac tamponade"]]
    for child, parent in bank.is_a.items():
        present[:, at[parent]] |= present[:, at[child]]
    well = present[:, at["asymptomatic"]]
    others = rates.symptom.copy()
    others[at["asymptomatic"]] = False
    screening = scenario == list(load_conditions()["scenario"]).index("screening")
    present[np.ix_(well & screening, others)] = False
    present[:, at["asymptomatic"]] &= ~present[:, others].any(axis=1)
    return present


def _change(rng: np.random.Generator, present: Bools, before: Bools, visit: int) -> Codes:
    """How each finding moved since the visit before."""
    if visit == 0:
        return np.zeros(present.shape, dtype=np.int8)
    moved = np.array([SAME, WORSE, BETTER])[np.searchsorted([0.45, 0.7], rng.random(present.shape))]
    return np.where(present, np.where(before, moved, NEW), NO_PRIOR).astype(np.int8)


def _intent(rng: np.random.Generator, present: Bools, before: Bools, rates: Rates, bank: Bank) -> Codes:
    """What the report intends to say of each feature (patient, feature)."""
    m, shape = rates.mention, present.shape
    wordy = np.array(_WORDINESS)[rng.integers(0, len(_WORDINESS), shape[0])][:, None]
    roll, doubt, strength = rng.random(shape), rng.random(shape), rng.random(shape)
    hedge = np.where(strength < 0.35, PROBABLE, POSSIBLE)
    there = np.where(roll < m["present"], np.where(doubt < m["doubt"], hedge, PRESENT), SILENT)
    denied = np.clip(m["absent"] * wordy, 0, 0.95)
    gone = before & rates.imaging & ~rates.lasting & (doubt < 0.5)
    away = np.where(roll < denied, NEGATED, np.where(roll > 1 - m["false_doubt"], hedge, SILENT))
    return np.where(present, there, np.where(gone, RESOLVED, away)).astype(np.int8)


def _targets(rng: np.random.Generator, present: Bools, rates: Rates) -> Bools:
    """The labels of a second reader of the image (patient, target): close to the findings, not equal."""
    has = {name: present[:, i] for i, name in enumerate(rates.features)}
    truth = np.stack(
        [
            has["atelectasis"],
            has["consolidation"],
            has["cardiomegaly"] | has["pericardial effusion"],
            has["pleural effusion"],
            has["pleural effusion"] | has["pleural thickening"] | has["plaques"] | has["pneumothorax"],
        ],
        axis=1,
    )
    roll = rng.random(truth.shape)
    labelled: Bools = np.where(truth, roll > 0.12, roll < 0.03)
    return labelled
