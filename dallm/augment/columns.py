"""From cells to columns: checks of the two tables, typed feature columns, counts per feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dallm.augment.cells import CELL_COLUMNS, EVIDENCE_COLUMNS
from dallm.augment.verification.kinds import KINDS, REFUSED, kind_of
from dallm.cohort import Cohort
from dallm.engines.base import STATUSES
from dallm.errors import CohortError, FeatureError
from dallm.features import Feature, FeatureSet

FILLED = "__filled"
_TRUTH = {"true": 1, "false": 0}


def column_names(cohort: Cohort, features: FeatureSet) -> dict[str, str]:
    """Return the column that each feature gets: its name, or ``<name>__filled`` where that is taken.

    Raises
    ------
    FeatureError
        If ``<name>__filled`` is taken as well.
    """
    taken = set(cohort.frame.columns)
    names: dict[str, str] = {}
    for feature in features:
        name = feature.name if feature.name not in taken else feature.name + FILLED
        if name in taken or (name != feature.name and name in features.names):
            raise FeatureError(
                f"Feature {feature.name!r}, field 'name': the columns {feature.name!r} and {name!r} are both "
                "taken; rename the feature or one of the columns."
            )
        names[feature.name] = name
    return names


def check_tables(cohort: Cohort, features: FeatureSet, cells: pd.DataFrame, evidence: pd.DataFrame) -> None:
    """Refuse cells that are not one row per case and feature, in order, and evidence of something else.

    Raises
    ------
    CohortError
        If the tables do not belong to this cohort and these features.
    """
    for name, table, columns in (
        ("cells", cells, CELL_COLUMNS),
        ("evidence", evidence, EVIDENCE_COLUMNS),
    ):
        lacking = [c for c in columns if c not in table.columns]
        if lacking:
            raise CohortError(f"The table {name!r} lacks the column {lacking[0]!r}.")
    width = len(features)
    if len(cells) != len(cohort) * width:
        raise CohortError(
            f"The table 'cells' has {len(cells):,} rows; {len(cohort):,} cases with {width} features "
            f"need {len(cohort) * width:,}, ordered by case, then feature."
        )
    if not width:
        return
    case_ids = cells["case_id"].to_numpy().reshape(-1, width)
    same_case = (case_ids == cohort.ids.to_numpy()[:, None]).all()
    names = codes_of(cells["feature"], features.names).reshape(-1, width)
    if not same_case or (names != np.arange(width)).any():
        raise CohortError("The table 'cells' is not in the order of the cohort's cases and of the features.")
    stray = ~evidence["case_id"].isin(cohort.ids).to_numpy()
    stray |= codes_of(evidence["feature"], features.names) < 0
    if stray.any():
        row = int(np.flatnonzero(stray)[0])
        raise CohortError(f"The table 'evidence' speaks in row {row} of a case or feature that is not there.")


def codes_of(values: pd.Series[Any], categories: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return each value's position in `categories`, -1 where it has none."""
    coded = values.astype("category")
    position = {name: n for n, name in enumerate(categories)}
    lookup = np.array([*(position.get(c, -1) for c in coded.cat.categories), -1], dtype=np.int64)
    return np.asarray(lookup[coded.cat.codes.to_numpy()])


def feature_columns(
    cells: pd.DataFrame, features: FeatureSet, names: dict[str, str], index: pd.Index[Any]
) -> pd.DataFrame:
    """Return one typed column per feature, missing where the cell has no value.

    Raises
    ------
    FeatureError
        If a cell's text is no value of its feature.
    """
    values = cells["value"].astype("category")
    codes, texts = values.cat.codes.to_numpy(), values.cat.categories.tolist()
    width = len(features)
    columns = {
        names[f.name]: _column(f, codes[position::width], texts) for position, f in enumerate(features)
    }
    return pd.DataFrame(columns, index=index)


def _column(feature: Feature, codes: np.ndarray[Any, Any], texts: list[str]) -> Any:
    used = [int(code) for code in np.unique(codes) if code >= 0]
    lookup = np.full(len(texts) + 1, np.nan)
    for code in used:
        lookup[code] = _number(feature, texts[code])
    numbers = lookup[codes]
    missing = np.isnan(numbers)
    if feature.kind == "boolean":
        return pd.arrays.BooleanArray(np.where(missing, 0, numbers).astype(bool), missing)
    if feature.kind == "numeric":
        return pd.arrays.FloatingArray(numbers, missing)
    levels = pd.CategoricalDtype(list(feature.levels or ()), ordered=feature.kind == "ordinal")
    return pd.Categorical.from_codes(np.where(missing, -1, numbers).astype(np.int16), dtype=levels)


def _number(feature: Feature, text: str) -> float:
    try:
        if feature.kind == "boolean":
            return _TRUTH[text]
        return float(text) if feature.kind == "numeric" else (feature.levels or ()).index(text)
    except (KeyError, ValueError):
        raise FeatureError(
            f"Feature {feature.name!r}: the table 'cells' holds {text[:20]!r}, which is no value of a "
            f"{feature.kind} feature."
        ) from None


def count_statuses(cells: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
    """Return one row per feature: kind, a column per status, coverage, n_true and n_false (booleans).

    Behind them ``refused_<kind>`` for every kind of refusal that occurs: see ``dallm.augment.verification``.
    """
    width = len(features)
    if not width:
        return pd.DataFrame(columns=["kind", *STATUSES, "coverage", "n_true", "n_false"])
    status = codes_of(cells["status"], STATUSES).reshape(-1, width)
    truth = codes_of(cells["value"], ("false", "true")).reshape(-1, width)
    filled = cells["value"].notna().to_numpy().reshape(-1, width)
    table = pd.DataFrame(index=pd.Index(features.names, name="feature"))
    table["kind"] = [f.kind for f in features]
    for code, name in enumerate(STATUSES):
        table[name] = (status == code).sum(axis=0)
    table["coverage"] = filled.mean(axis=0)
    other = np.array([f.kind != "boolean" for f in features])
    for column, code in (("n_true", 1), ("n_false", 0)):
        counts = (truth == code).sum(axis=0).astype(np.int64)
        table[column] = pd.arrays.IntegerArray(counts, other.copy())
    for refusal, counts in _refusals(cells, width).items():
        table[f"refused_{refusal}"] = counts
    return table


def _refusals(cells: pd.DataFrame, width: int) -> dict[str, np.ndarray[Any, Any]]:
    """Kind of refusal to its count per feature; kinds that do not occur are left out."""
    refused = np.isin(codes_of(cells["status"], STATUSES), [STATUSES.index(s) for s in REFUSED])
    if not refused.any():
        return {}
    reasons = cells["reason"].astype("category")
    kinds = [kind_of(str(reason)) for reason in reasons.cat.categories]
    code = np.array([-1 if kind is None else KINDS.index(kind) for kind in (*kinds, None)])
    kind_codes = np.where(refused, code[reasons.cat.codes.to_numpy()], -1).reshape(-1, width)
    counts = {kind: (kind_codes == number).sum(axis=0) for number, kind in enumerate(KINDS)}
    return {kind: count for kind, count in counts.items() if count.any()}
