"""Whether what models use is what clinicians hold plausible and relevant: correlation with ratings."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import ReaderError
from dallm.lexicon import Lexicon

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

QUESTIONS = ("plausibility", "relevance")
"""What was rated."""

CORRELATIONS = (
    "feature_set",
    "model",
    "target",
    "rater",
    "question",
    "n_features",
    "r",
    "low",
    "high",
    "note",
)
"""Columns of the correlations."""

FEWEST = 4
"""Features that a correlation needs for an interval: Fisher's has n - 3 in it."""


class RatingCorrelation(NamedTuple):
    """Correlations of importances with ratings.

    Attributes
    ----------
    table : DataFrame
        Columns :data:`CORRELATIONS`.
    unmatched : tuple of str
        Rated features that no feature set has.
    unrated : tuple of str
        Features without a rating.
    """

    table: pd.DataFrame
    unmatched: tuple[str, ...]
    unrated: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the correlations has to know."""
        lines = []
        for names, what in ((self.unmatched, "rated but in no feature set"), (self.unrated, "not rated")):
            if names:
                shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
                lines.append(f"{count(len(names), 'feature')} {what}: {shown}.")
        few = sorted(set(self.table.loc[self.table["note"] != "", "note"]))
        return (*lines, *few)


def read_ratings(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read ratings of features from CSV.

    Parameters
    ----------
    path : path
        Columns ``feature``, ``rater``, ``plausibility``, ``relevance`` in any order and case, perhaps
        ``target`` where features were rated per target; one row per feature and rater. A rating that was not
        given is left empty.

    Returns
    -------
    DataFrame

    Raises
    ------
    ReaderError
        If the file cannot be read, lacks a column, holds a rating that is no number, or two of one rater.
    """
    place = Path(path)
    try:
        table = pd.read_csv(place, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ReaderError(f"Cannot read the ratings {str(place)!r}: {error}. Give a CSV in UTF-8.") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    lacking = [name for name in ("feature", "rater", *QUESTIONS) if name not in table.columns]
    if lacking:
        raise ReaderError(
            f"The ratings {str(place)!r} lack the column {lacking[0]!r}; there are "
            f"{', '.join(table.columns)}."
        )
    kept = ["feature", "rater", *QUESTIONS, *(["target"] if "target" in table.columns else [])]
    table = table[kept].dropna(subset=["feature", "rater"]).reset_index(drop=True)
    for name in QUESTIONS:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = table.index[numbers.isna() & table[name].notna()]
        if len(wrong):
            raise ReaderError(
                f"The ratings {str(place)!r}: {name} of {table.at[wrong[0], 'feature']!r} is "
                f"{table.at[wrong[0], name]!r}, which is no number. Leave a rating that is missing empty."
            )
        table[name] = numbers.astype(float)
    keys = [
        table["feature"].map(matching_key),
        *(table[name] for name in kept if name in ("rater", "target")),
    ]
    twice = pd.concat(keys, axis=1).duplicated()
    if twice.any():
        first = table[twice].iloc[0]
        raise ReaderError(
            f"The ratings {str(place)!r}: rater {first['rater']!r} rates {first['feature']!r} twice. "
            "Keep one."
        )
    return table


def matching_key(name: str) -> str:
    """Return by what names of features are matched: case, punctuation and units aside.

    Examples
    --------
    >>> matching_key("Oxygen_saturation (%)") == matching_key("oxygen saturation")
    True
    """
    bare = re.sub(r"[(\[][^)\]]*[)\]]", " ", str(name).removesuffix("__filled"))
    return " ".join(re.findall(r"[^\W_]+", bare.casefold()))


def correlate_ratings(importances: pd.DataFrame, ratings: pd.DataFrame) -> RatingCorrelation:
    """Return Pearson's correlation of each model's importances with each rater's ratings.

    Parameters
    ----------
    importances : DataFrame
        ``feature_set, model, target, feature, drop``, one row per feature: those of a report.
    ratings : DataFrame
        As :func:`read_ratings` returns it.

    Returns
    -------
    RatingCorrelation
        With 95 % intervals by Fisher's transformation. Fewer than four features, or ratings that are all
        the same, give no correlation and a note.

    Notes
    -----
    A rated name and a feature belong together if they are the same up to case, punctuation and units, or,
    where no feature is, if the lexicon knows both as names of one concept (``Oxygen saturation (%)``,
    ``o2sat``).

    Source of the interval: Fisher, Metron 1921, 1:3-32.

    Examples
    --------
    >>> names = ["fever", "cough", "age", "smoking"]
    >>> drops = pd.DataFrame({"feature_set": "all", "model": "tree", "target": "edema", "feature": names,
    ...                       "drop": [0.3, 0.2, 0.1, 0.0]})
    >>> rated = pd.DataFrame({"feature": ["Fever", "COUGH", "age", "Smoking", "gout"], "rater": "A",
    ...                       "plausibility": [4, 3, 2, 1, 5], "relevance": [1, 1, 1, 1, 1]})
    >>> found = correlate_ratings(drops, rated)
    >>> found.table[["question", "n_features", "r"]].to_numpy().tolist()
    [['plausibility', 4, 1.0], ['relevance', 4, nan]]
    >>> found.notes[0]
    '1 feature rated but in no feature set: gout.'
    """
    keyed = importances.assign(_key=importances["feature"].map(matching_key))
    keys = _column_keys(dict.fromkeys(ratings["feature"]), dict.fromkeys(importances["feature"]))
    rated = ratings.assign(_key=ratings["feature"].map(keys))
    rows: list[tuple[object, ...]] = []
    for (name, model, target), part in keyed.groupby(["feature_set", "model", "target"], sort=False):
        drops = part.groupby("_key", sort=False)["drop"].mean()
        here = _for_target(rated, str(target))
        for rater, given in here.groupby("rater", sort=False):
            for question in QUESTIONS:
                known = given.dropna(subset=[question]).set_index("_key")[question]
                both = known.index.intersection(drops.index)
                found = _pearson(drops[both].to_numpy(dtype=float), known[both].to_numpy(dtype=float))
                rows.append((name, model, target, rater, question, len(both), *found))
    unmatched = rated.loc[~rated["_key"].isin(set(keyed["_key"])), "feature"]
    unrated = keyed.loc[~keyed["_key"].isin(set(rated["_key"])), "feature"]
    return RatingCorrelation(
        pd.DataFrame(rows, columns=list(CORRELATIONS)),
        tuple(dict.fromkeys(unmatched)),
        tuple(dict.fromkeys(unrated)),
    )


def _column_keys(rated: Iterable[str], features: Iterable[str]) -> dict[str, str]:
    """Return for each rated name the key of its feature: of the same name, else of the same concept.

    A name of the lexicon stands for its concept, as where features are discovered. A feature that is rated by
    its own name, or twice by other names, is not rated by another one as well.
    """
    lexicon = Lexicon.default()
    by_concept: dict[str, set[str]] = {}
    keys = {matching_key(name) for name in features}
    for key in keys:
        concept = lexicon.find(key)
        if concept is not None:
            by_concept.setdefault(concept.name, set()).add(key)
    found = {name: matching_key(name) for name in rated}
    taken = set(found.values()) & keys
    for name, key in found.items():
        concept = None if key in keys else lexicon.find(key)
        same = by_concept.get(concept.name, set()) if concept is not None else set()
        if len(same) == 1 and not same & taken:
            found[name] = next(iter(same))
            taken |= same
    return found


def _for_target(rated: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the ratings of a target, where they are by target; those without one hold for all."""
    if "target" not in rated.columns:
        return rated
    wanted = rated["target"].map(lambda name: pd.isna(name) or matching_key(name) == matching_key(target))
    return rated[wanted.to_numpy(dtype=bool)]


def _pearson(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float, str]:
    """Return r, its limits and what speaks against it."""
    if len(first) < FEWEST:
        return math.nan, math.nan, math.nan, f"Fewer than {FEWEST} rated features: no correlation."
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan, math.nan, "All values are equal: no correlation."
    r = float(np.clip(np.corrcoef(first, second)[0, 1], -1.0, 1.0))
    if abs(r) > 1 - 1e-12:
        return round(r), round(r), round(r), ""
    reach = 1.959963984540054 / math.sqrt(len(first) - 3)
    middle = math.atanh(r)
    return r, math.tanh(middle - reach), math.tanh(middle + reach), ""
