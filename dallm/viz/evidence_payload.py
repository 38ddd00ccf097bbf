"""What the evidence page holds: one compact JSON object, made from whole columns.

Cells that are ``not_documented`` and say nothing more are left out: the page implies them. All offsets are
UTF-16 units, as JavaScript counts; quotes are not stored, the page cuts them out of the report.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.engines.base import SOURCES, STATUSES
from dallm.errors import UserError, did_you_mean
from dallm.knowledge.sources.primer import NOTICE as PRIMER_NOTICE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.augment.augmented import Augmented

_NOT_DOCUMENTED = STATUSES.index("not_documented")
_LAST_IN_BMP = "\uffff"


class Utf16Offsets:
    """Offsets of one text in UTF-16 units, from offsets in Python code points.

    Parameters
    ----------
    text : str
        The text that the offsets count in.

    Examples
    --------
    >>> at = Utf16Offsets("a\N{LUNGS}b")
    >>> at(1), at(2), at(3)
    (1, 3, 4)
    """

    def __init__(self, text: str) -> None:
        plain = text.isascii() or max(text) <= _LAST_IN_BMP
        self._wide = [] if plain else [i for i, char in enumerate(text) if char > _LAST_IN_BMP]

    def __call__(self, offset: int) -> int:
        return offset + bisect_left(self._wide, offset)


def page_payload(augmented: Augmented, title: str, max_cases: int | None) -> dict[str, Any]:
    """Return what the page shows of the first `max_cases` cases, ready for ``json.dumps``.

    Raises
    ------
    UserError
        If a cell or a quote names a case or a feature that the table does not have.
    """
    cohort = augmented.cohort
    total = len(cohort)
    shown = total if max_cases is None else min(total, max_cases)
    features = list(augmented.features)
    names = pd.Index([feature.name for feature in features])
    frame = cohort.frame.iloc[:shown]
    texts = {field: [_text(value) for value in frame[field].tolist()] for field in cohort.report}
    pool = StringPool()
    cells = _cells(augmented, names, shown, pool)
    evidence, stray = _evidence(augmented, names, texts, shown, pool)
    return {
        "title": title,
        "total": total,
        "synthetic": bool(getattr(cohort, "synthetic", False)),
        "credentialed": cohort.data_use == "credentialed",
        "notices": notices(augmented),
        "engines": _engines(augmented.cells),
        "statuses": list(STATUSES),
        "sources": list(SOURCES),
        "features": [_feature(feature, augmented) for feature in features],
        "fields": list(cohort.report),
        "ids": [str(case_id) for case_id in cohort.ids[:shown]],
        "texts": list(texts.values()),
        "measured": _measured(augmented, shown),
        "cells": cells,
        "evidence": evidence,
        "stray": stray,
        "strings": pool.strings,
    }


class StringPool:
    """Distinct strings in the order of first use; a missing or empty string is -1."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._index: dict[str, int] = {}

    def add(self, value: object) -> int:
        """Return the index of one string."""
        if not isinstance(value, str) or not value:
            return -1
        found = self._index.get(value)
        if found is None:
            found = self._index[value] = len(self.strings)
            self.strings.append(value)
        return found

    def codes(self, values: pd.Series[Any]) -> list[int]:
        """Return the index of every string of a column."""
        codes, distinct = pd.factorize(values)
        table = np.array([*(self.add(value) for value in distinct), -1], dtype=np.int64)
        return list(table[codes].tolist())


def notices(augmented: Augmented) -> list[str]:
    """Return what the knowledge behind the features wants said beside every use, each once.

    Discovered features carry it in their citations, even where the knowledge itself is not at hand.
    """
    said = set(augmented.ack.notices if augmented.ack is not None else ())
    citations = (citation for feature in augmented.features for citation in feature.citations)
    if any(PRIMER_NOTICE in citation for citation in citations):
        said.add(PRIMER_NOTICE)
    return sorted(said)


def _cells(augmented: Augmented, names: pd.Index[Any], shown: int, pool: StringPool) -> dict[str, Any]:
    cells = augmented.cells
    status = _known_codes(cells["status"], STATUSES, "status")
    reason, reasons = pd.factorize(cells["reason"])
    implied = (status == _NOT_DOCUMENTED) & (cells["n_evidence"].to_numpy() == 0)
    implied &= ~_said(cells["rationale"])
    usual = -1  # most implied cells give one and the same reason: it is said once
    if implied.any() and len(reasons):
        counts = np.bincount(reason[implied] + 1, minlength=len(reasons) + 1)[1:]
        usual = int(counts.argmax()) if counts.max() else -1
        implied &= (reason == -1) | (reason == usual) | np.isin(reason, np.flatnonzero(reasons == ""))
    kept = cells.loc[~implied]
    case = _case_positions(augmented, kept["case_id"], "cells")
    feature = _known_codes(kept["feature"], names, "feature")
    order = np.lexsort((feature, case))
    order = order[: int(np.searchsorted(case[order], shown))]
    kept, case, feature = kept.iloc[order], case[order], feature[order]
    numbers = kept["confidence"].to_numpy(dtype="float64", na_value=np.nan)
    confidence = [None if math.isnan(c) else round(c, 3) for c in numbers.tolist()]
    return {
        "start": _starts(case, shown),
        "feature": feature.tolist(),
        "status": status[~implied][order].tolist(),
        "source": _known_codes(kept["source"], SOURCES, "source", missing=True).tolist(),
        "value": pool.codes(kept["value"]),
        "reason": pool.codes(kept["reason"]),
        "rationale": pool.codes(kept["rationale"]),
        "confidence": confidence if any(c is not None for c in confidence) else [],
        "usual_reason": pool.add(reasons[usual]) if usual >= 0 else -1,
    }


def _evidence(
    augmented: Augmented,
    names: pd.Index[Any],
    texts: dict[str, list[str | None]],
    shown: int,
    pool: StringPool,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the quotes with their UTF-16 offsets, and those that do not stand where they say."""
    frame = augmented.evidence
    case = _case_positions(augmented, frame["case_id"], "evidence")
    order = np.lexsort((frame["end"].to_numpy(), frame["start"].to_numpy(), case))
    order = order[: int(np.searchsorted(case[order], shown))]
    frame, case = frame.iloc[order], case[order]
    feature = _known_codes(frame["feature"], names, "feature")
    fields = list(texts)
    rows = zip(
        case.tolist(),
        feature.tolist(),
        frame["field"].tolist(),
        frame["start"].tolist(),
        frame["end"].tolist(),
        frame["quote"].tolist(),
        pool.codes(frame["assertion"]),
        pool.codes(frame["rule"]),
        strict=True,
    )
    kept: list[tuple[int, ...]] = []
    stray: list[dict[str, Any]] = []
    at: dict[tuple[int, str], Utf16Offsets] = {}
    for position, code, field, start, end, quote, assertion, rule in rows:
        text = texts[field][position] if field in texts else None
        if text is None or not 0 <= start < end or text[start:end] != quote:
            stray.append({"case": position, "feature": code, "field": str(field), "quote": str(quote)})
            continue
        offset = at.get((position, field))
        if offset is None:
            offset = at[position, field] = Utf16Offsets(text)
        kept.append((position, code, fields.index(field), offset(start), offset(end), assertion, rule))
    columns = list(zip(*kept, strict=True)) if kept else [()] * 7
    keys = ("feature", "field", "from", "to", "assertion", "rule")
    out: dict[str, Any] = {"start": _starts(np.array(columns[0], dtype=np.int64), shown)}
    out.update(zip(keys, columns[1:], strict=True))
    return out, stray


def _measured(augmented: Augmented, shown: int) -> list[dict[str, Any]]:
    """Return the measured columns as given, with the cases whose value was not used."""
    cohort = augmented.cohort
    used = cohort.measured().iloc[:shown]
    columns: list[dict[str, Any]] = []
    for name in (*cohort.numeric, *cohort.categorical):
        given = cohort.frame[name].iloc[:shown]
        refused = given.notna().to_numpy() & used[name].isna().to_numpy()
        columns.append(
            {
                "name": str(name),
                "unit": cohort.numeric.get(name) or "",
                "values": list(_as_shown(given)),
                "refused": np.flatnonzero(refused).tolist(),
            }
        )
    return columns


def _as_shown(values: pd.Series[Any]) -> Iterator[str | None]:
    for value, missing in zip(values.tolist(), values.isna().tolist(), strict=True):
        if missing:
            yield None
        elif isinstance(value, bool):
            yield "true" if value else "false"
        else:
            yield str(value).removesuffix(".0")


def _feature(feature: Any, augmented: Augmented) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": feature.kind,
        "unit": feature.unit or "",
        "origin": feature.origin,
        "conditions": list(feature.conditions),
        "column": str(augmented.columns_of.get(feature.name, feature.name)),
    }


def _said(values: pd.Series[Any]) -> NDArray[np.bool_]:
    codes, distinct = pd.factorize(values)
    said = np.array([*(bool(value) for value in distinct), False])
    return np.asarray(said[codes], dtype=bool)


def _engines(cells: pd.DataFrame) -> list[str]:
    distinct = [*cells["engine"].unique(), *cells["model"].unique()]
    return [name for name in distinct if isinstance(name, str) and name]


def _case_positions(augmented: Augmented, case_ids: pd.Series[Any], what: str) -> NDArray[np.int64]:
    positions = np.asarray(pd.Index(augmented.cohort.ids).get_indexer(pd.Index(case_ids)), dtype=np.int64)
    if (positions < 0).any():
        unknown = case_ids.iloc[int(np.argmin(positions))]
        raise UserError(
            f"The {what} name case {unknown!r}, which the cohort does not have; "
            "write the page from an Augmented whose parts belong together."
        )
    return positions


def _known_codes(
    values: pd.Series[Any], known: Iterable[str], what: str, *, missing: bool = False
) -> NDArray[np.int64]:
    """Return the position of every value in `known`; -1 for a missing one where that is allowed."""
    wanted = pd.Index(list(known))
    codes, distinct = pd.factorize(values)
    table = np.append(wanted.get_indexer(pd.Index(distinct)), -1)
    out = np.asarray(table[codes], dtype=np.int64)
    wrong = (out < 0) & ((codes >= 0) | (not missing))
    if wrong.any():
        found = values.iloc[int(np.argmax(wrong))]
        raise UserError(
            f"A cell or quote has {what} {found!r}, which is not among the {len(wanted)} known ones."
            f"{did_you_mean(found, wanted)} Write the page from an Augmented whose parts belong together."
        )
    return out


def _starts(case: NDArray[np.int64], n_cases: int) -> list[int]:
    """Return where each case's rows begin in an array sorted by case, and at last where they all end."""
    starts: list[int] = np.searchsorted(case, np.arange(n_cases + 1)).tolist()
    return starts


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
