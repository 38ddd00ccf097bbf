"""Synthetic cohorts: made-up patients whose reports' truth is known, for trying out and for measuring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import pandas as pd

from dallm.cohort import Cohort
from dallm.errors import UserError
from dallm.synthetic.patients import TARGETS, Codes, Studies, make_block
from dallm.synthetic.phrases import Bank, Draw, load_bank
from dallm.synthetic.reports import SECTIONS, CaseFacts, Statement, write_report
from dallm.synthetic.vitals import UNITS, VITALS

NOTE = "Synthetic: made-up patients, no real data; rates and wording are the project's own inventions."
_STATUS = ("not_documented", "documented", "documented", "uncertain", "uncertain")
_CODES = {"present": 1, "negated": 2, "possible": 3, "probable": 4}


@dataclass(frozen=True, slots=True)
class Simulation:
    """A synthetic cohort and all that is known about it.

    Attributes
    ----------
    cohort : Cohort
        What a user would have.
    truth : DataFrame of shape (n_cases, n_features)
        Nullable boolean, indexed by case id: what the report says. True, False, or ``<NA>`` where it does
        not mention the feature or only considers it.
    status : DataFrame of shape (n_cases, n_features)
        Categories ``documented``, ``uncertain``, ``not_documented``.
    strength : DataFrame of shape (n_cases, n_features)
        Categories ``present``, ``negated``, ``possible``, ``probable``, or missing: for those who count
        hedges otherwise.
    vitals : DataFrame of shape (n_cases, 6)
        All vitals, those that the cohort lacks included, in the units of the cohort.
    statements : DataFrame
        One row per feature that a sentence names: case_id, feature, stance, how (``stated``, ``consistent``,
        ``normal``), field, start, end (code points of the sentence). Stance is one of the assertions of
        ``dallm.assertion_of``, or ``probable``; ``negated`` with ``normal`` rules out without naming.
    """

    cohort: Cohort
    truth: pd.DataFrame
    status: pd.DataFrame
    strength: pd.DataFrame
    vitals: pd.DataFrame
    statements: pd.DataFrame


@overload
def make_cohort(n: int = ..., seed: int = ..., *, return_truth: Literal[False] = ...) -> Cohort: ...
@overload
def make_cohort(
    n: int = ..., seed: int = ..., *, return_truth: Literal[True]
) -> tuple[Cohort, pd.DataFrame]: ...
def make_cohort(
    n: int = 200, seed: int = 0, *, return_truth: bool = False
) -> Cohort | tuple[Cohort, pd.DataFrame]:
    """Make a synthetic cohort of chest X-ray studies.

    Patients have one to six studies, vitals that move with their conditions, and reports in four sections.
    The same `n` and `seed` give the same cohort, and a larger `n` begins with the cases of a smaller one.

    Parameters
    ----------
    n : int, default=200
        Number of studies.
    seed : int, default=0
        Seed, not negative.
    return_truth : bool, default=False
        Whether to return the truth as well.

    Returns
    -------
    cohort : Cohort
        Columns case_id, patient_id, indication, comparison, findings, impression, temperature (degF),
        heartrate and resprate (/min), o2sat (%), sbp and dbp (mmHg), age (years), gender (F, M) and the five
        targets of the DALL-M paper, labelled 0 or 1 with some noise.
    truth : DataFrame of shape (n, n_features)
        Only with `return_truth`: what each report says, as in :class:`Simulation`.

    Raises
    ------
    UserError
        If `n` is not a positive whole number, or `seed` not a whole number from 0.

    Examples
    --------
    >>> cohort, truth = make_cohort(20, seed=1, return_truth=True)
    >>> len(cohort), cohort.synthetic, truth.shape[1] >= 40
    (20, True, True)
    """
    made = simulate(n, seed, statements=False)
    return (made.cohort, made.truth) if return_truth else made.cohort


def simulate(n: int = 200, seed: int = 0, *, statements: bool = True) -> Simulation:
    """Make a synthetic cohort together with all that is known about it.

    Parameters
    ----------
    n, seed : int
        As for :func:`make_cohort`.
    statements : bool, default=True
        Whether to keep every statement; without, the frame of statements is empty.

    Raises
    ------
    UserError
        As for :func:`make_cohort`.

    Examples
    --------
    >>> made = simulate(50)
    >>> bool((made.truth.notna() == (made.status == "documented")).all(axis=None))
    True
    """
    _check(n, "n", 1)
    _check(seed, "seed", 0)
    bank = load_bank()
    names = bank.features
    at = {name: i for i, name in enumerate(names)}
    codes = np.zeros((n, len(names)), dtype=np.int8)
    texts: dict[str, list[str]] = {section: [] for section in SECTIONS}
    told: list[tuple[int, Statement]] = []
    blocks: list[Studies] = []
    row = 0
    for block in _blocks(n, seed, bank):
        blocks.append(block)
        for facts in _facts(block, bank):
            if row == n:
                break
            report = write_report(facts, bank, Draw(f"{seed}/{row}"))
            for section in SECTIONS:
                texts[section].append(report.text[section])
            for feature, answer in report.said.items():
                codes[row, at[feature]] = _CODES[answer]
            if statements:
                told.extend((row, s) for s in report.statements)
            row += 1
    return _assemble(n, seed, blocks, texts, codes, told, names)


def _check(value: object, name: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UserError(f"`{name}` must be a whole number of {least} or more, got {value!r}.")


def _blocks(n: int, seed: int, bank: Bank) -> Iterator[Studies]:
    made = number = 0
    while made < n:
        block = make_block(seed, number, bank)
        yield block
        made += len(block.age)
        number += 1


def _facts(block: Studies, bank: Bank) -> Iterator[CaseFacts]:
    names = tuple(bank.wordings)
    intents = _by_study(block.intent, names)
    changes = _by_study(block.change, names)
    columns = (block.age, block.female, block.visit, block.device, block.vitals)
    rows = zip(*(c.tolist() for c in columns), intents, changes, strict=True)
    for age, female, visit, device, vitals, intent, change in rows:
        measured = dict(zip(VITALS, vitals, strict=True))
        yield CaseFacts(age, female, visit > 0, device, measured, intent, change)


def _by_study(codes: Codes, names: tuple[str, ...]) -> list[dict[str, int]]:
    """Feature to code, for each study, where the code is not 0."""
    found: list[dict[str, int]] = [{} for _ in range(len(codes))]
    studies, features = np.nonzero(codes)
    for study, feature, code in zip(
        studies.tolist(), features.tolist(), codes[studies, features].tolist(), strict=True
    ):
        found[study][names[feature]] = code
    return found


def _assemble(
    n: int,
    seed: int,
    blocks: list[Studies],
    texts: dict[str, list[str]],
    codes: Codes,
    told: list[tuple[int, Statement]],
    names: tuple[str, ...],
) -> Simulation:
    vitals = np.concatenate([b.vitals for b in blocks])[:n]
    measured = np.concatenate([b.measured for b in blocks])[:n]
    targets = np.concatenate([b.targets for b in blocks])[:n]
    ids = [f"synthetic-{i:06d}" for i in range(n)]
    patients = np.concatenate([b.patient for b in blocks])[:n].tolist()
    written = np.where(measured, vitals, np.nan)
    frame = pd.DataFrame(
        {
            "case_id": ids,
            "patient_id": [f"synthetic-p{p:06d}" for p in patients],
            **texts,
            **{name: written[:, i] for i, name in enumerate(VITALS)},
            "age": np.concatenate([b.age for b in blocks])[:n],
            "gender": np.where(np.concatenate([b.female for b in blocks])[:n], "F", "M"),
            **{name: targets[:, i].astype(np.int64) for i, name in enumerate(TARGETS)},
        }
    )
    frame.attrs["note"] = NOTE
    cohort = Cohort(
        frame,
        id="case_id",
        group="patient_id",
        report=list(SECTIONS),
        numeric={**UNITS, "age": "years"},
        categorical=["gender"],
        targets=list(TARGETS),
        data_use="open",
        notes=[NOTE, f"make_cohort(n={n}, seed={seed})"],
        synthetic=True,
    )
    index = pd.Index(ids, name="case_id")
    return Simulation(
        cohort=cohort,
        truth=_truth(codes, names, index),
        status=_words(codes, _STATUS, names, index),
        strength=_words(codes, (None, *_CODES), names, index),
        vitals=pd.DataFrame(vitals, columns=list(VITALS), index=index),
        statements=_statements(told, ids),
    )


def _truth(codes: Codes, names: tuple[str, ...], index: pd.Index[str]) -> pd.DataFrame:
    columns = {
        name: pd.arrays.BooleanArray(codes[:, i] == 1, (codes[:, i] != 1) & (codes[:, i] != 2))
        for i, name in enumerate(names)
    }
    return _noted(pd.DataFrame(columns, index=index))


def _words(
    codes: Codes,
    words: tuple[str | None, ...],
    names: tuple[str, ...],
    index: pd.Index[str],
) -> pd.DataFrame:
    known = list(dict.fromkeys(w for w in words if w is not None))
    categories = pd.Index(known)
    place = np.array([-1 if w is None else known.index(w) for w in words], dtype=np.int8)
    columns = {
        name: pd.Categorical.from_codes(place[codes[:, i]], categories=categories)
        for i, name in enumerate(names)
    }
    return _noted(pd.DataFrame(columns, index=index))


def _statements(told: list[tuple[int, Statement]], ids: list[str]) -> pd.DataFrame:
    columns = ["case_id", *Statement._fields]
    return _noted(pd.DataFrame([(ids[row], *s) for row, s in told], columns=columns))


def _noted(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs["note"] = NOTE
    return frame
