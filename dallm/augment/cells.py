"""From answers to cells: one row per case and feature, kept as small columns of codes.

Only features that an engine answered cost anything per cell; all others are ``not_documented`` and are
written at the end in one stroke. Six million cells take a few hundred megabytes.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from dallm.engines.base import SOURCES, STATUSES, CaseAnswer, CellValue, Draft, Quote
from dallm.errors import FeatureError, UserError, did_you_mean
from dallm.features import KINDS, Feature, FeatureSet, normalise_name

Uncertain = Literal["missing", "present", "absent"]
UNCERTAIN: tuple[Uncertain, ...] = ("missing", "present", "absent")

CELL_COLUMNS = (
    "case_id",
    "feature",
    "value",
    "value_type",
    "status",
    "source",
    "reason",
    "rationale",
    "n_evidence",
    "confidence",
    "engine",
    "model",
    "prompt_sha256",
    "cached",
)
EVIDENCE_COLUMNS = ("case_id", "feature", "quote", "field", "start", "end", "assertion", "rule")

_STATUS_CODE: dict[str, int] = {status: code for code, status in enumerate(STATUSES)}
_SOURCE_CODE: dict[str, int] = {source: code for code, source in enumerate(SOURCES)}
_WITH_VALUE = ("documented", "inferred")
_DRAFT_FIELDS = 9
_QUOTE_FIELDS = 8
_UNCERTAIN_VALUE: dict[str, bool | None] = {"missing": None, "present": True, "absent": False}


def canonical_text(value: CellValue) -> str | None:
    """Return a value as the text that stands in ``cells``.

    Examples
    --------
    >>> [canonical_text(v) for v in (True, 38.0, 38.5, "mild", None)]
    ['true', '38', '38.5', 'mild', None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


class CellBuilder:
    """Collects the answers of an engine, case by case, and makes the tables ``cells`` and ``evidence``.

    Parameters
    ----------
    features : sequence of Feature
        What was asked; one cell per case and feature, in this order.
    engine : str
        Name of the engine.
    model : str or None
        The engine's model, if it has one.
    uncertain : {"missing", "present", "absent"}, default="missing"
        Value of an uncertain boolean cell; its status stays ``uncertain``.

    Examples
    --------
    >>> from dallm.engines.base import Draft
    >>> builder = CellBuilder([Feature("fever", "boolean")], engine="extractive", model=None)
    >>> builder.add(CaseAnswer(7, {"fever": Draft(True, "documented", "row")}))
    >>> cells, evidence = builder.finish()
    >>> cells.loc[0, ["feature", "value", "status"]].tolist()
    ['fever', 'true', 'documented']
    """

    def __init__(
        self,
        features: Sequence[Feature],
        *,
        engine: str,
        model: str | None,
        uncertain: Uncertain = "missing",
    ) -> None:
        if uncertain not in UNCERTAIN:
            near = did_you_mean(uncertain, UNCERTAIN)
            raise UserError(f"uncertain must be one of {list(UNCERTAIN)}, got {uncertain!r}.{near}")
        self.features = FeatureSet(features)
        self._engine = engine
        self._model = model
        self._uncertain = _UNCERTAIN_VALUE[uncertain]
        self._boolean = [f.kind == "boolean" for f in self.features]
        self._position = {f.name: n for n, f in enumerate(self.features)}
        self._levels = [
            {key: level for level in f.levels or () for key in (normalise_name(level), level)}
            for f in self.features
        ]
        self._ids: list[str | int] = []
        self._drafts = array("i")
        self._confidence = array("d")
        self._quotes = array("i")
        self._values, self._texts, self._prompts = _Codes(), _Codes(), _Codes()
        self._quoted, self._names = _Codes(), _Codes()
        self._nothing_said = self._texts[""]

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def case_ids(self) -> list[str | int]:
        """Ids of the cases added so far, in order."""
        return list(self._ids)

    def add(self, answer: CaseAnswer) -> None:
        """Take one case's answer; a feature without a draft is not documented.

        A draft whose value does not fit its feature, or that claims a report's word without a quote, becomes
        ``failed`` with the reason.

        Raises
        ------
        FeatureError
            If the answer holds a feature that was not asked.
        """
        row = len(self._ids)
        codes: list[int] = []
        confidences: list[float] = []
        alike: dict[int, tuple[int, ...]] = {}  # engines give one draft to all features that go unsaid
        for name, draft in answer.drafts.items():
            position = self._position.get(name)
            if position is None:
                raise FeatureError(
                    f"Engine {self._engine!r} answered the feature {name!r}, which was not asked."
                    f"{did_you_mean(name, self.features.names)}"
                )
            coded = alike.get(id(draft))
            if coded is None:
                coded = self._coded(position, draft)
                if draft.status == "not_documented":
                    alike[id(draft)] = coded
            codes += (row, position, *coded)
            confidences.append(math.nan if draft.confidence is None else draft.confidence)
            for quote in draft.quotes:
                self._add_quote(row, position, quote)
        self._drafts.extend(codes)
        self._confidence.extend(confidences)
        self._ids.append(answer.case_id)

    def finish(self, ids: pd.Index[Any] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return ``cells`` and ``evidence`` of the cases added so far.

        Parameters
        ----------
        ids : Index, optional
            The ids of the cases added, in order, where their type is to be kept.

        Returns
        -------
        cells : DataFrame of shape (n_cases * n_features, 14)
            Ordered by case, then by feature.
        evidence : DataFrame of shape (n_quotes, 8)
            One row per quote, ordered by case, then by feature.
        """
        index: pd.Index[Any] = pd.Index(self._ids) if ids is None else ids
        return self._cells(index), self._evidence(index)

    def _coded(self, position: int, draft: Draft) -> tuple[int, ...]:
        """What is kept of a cell besides its place, a number each."""
        status, text, reason = self._checked(position, draft)
        return (
            _STATUS_CODE[status],
            -1 if draft.source is None else _SOURCE_CODE[draft.source],
            -1 if text is None else self._values[text],
            self._texts[reason],
            self._texts[draft.rationale],
            -1 if draft.prompt_sha256 is None else self._prompts[draft.prompt_sha256],
            len(draft.quotes) * 2 + draft.cached,
        )

    def _checked(self, position: int, draft: Draft) -> tuple[str, str | None, str]:
        """Return the status, the canonical value and the reason of one cell."""
        value = draft.value
        common = draft.status == "documented" and (draft.quotes or draft.source != "report")
        if common and self._boolean[position] and (value is True or value is False):
            return "documented", "true" if value else "false", draft.reason
        feature = self.features[position]
        if draft.status not in _STATUS_CODE:
            return "failed", None, f"the engine gave the unknown status {str(draft.status)[:40]!r}"
        if draft.status == "uncertain":
            boolean = self._uncertain if feature.kind == "boolean" else None
            return "uncertain", canonical_text(boolean), draft.reason
        if draft.status not in _WITH_VALUE:
            return draft.status, None, draft.reason
        if draft.status == "documented" and draft.source == "report" and not draft.quotes:
            return "failed", None, "documented by the report, but no quote was given"
        if feature.kind == "boolean":
            fits = isinstance(value, (bool, np.bool_))
        elif feature.kind == "numeric":
            fits = _is_finite(value)
        else:
            levels = self._levels[position]
            value = levels.get(value) or levels.get(normalise_name(value)) if isinstance(value, str) else None
            fits = value is not None
        if not fits:
            given = "no value" if draft.value is None else f"a value of type {type(draft.value).__name__}"
            return "failed", None, f"{given} that does not fit a feature of kind {feature.kind!r}"
        return draft.status, canonical_text(value), draft.reason

    def _add_quote(self, row: int, position: int, quote: Quote) -> None:
        self._quotes.extend(
            (
                row,
                position,
                self._quoted[quote.quote],
                self._names[quote.field],
                quote.start,
                quote.end,
                self._names[quote.assertion],
                self._names[quote.rule],
            )
        )

    def _cells(self, index: pd.Index[Any]) -> pd.DataFrame:
        n, width = len(self._ids), len(self.features)
        drafts = np.frombuffer(self._drafts, dtype=np.intc).reshape(-1, _DRAFT_FIELDS)
        at = drafts[:, 0].astype(np.int64) * width + drafts[:, 1]

        def spread(values: np.ndarray[Any, Any], default: float, dtype: Any) -> np.ndarray[Any, Any]:
            full = np.full(n * width, default, dtype=dtype)
            full[at] = values
            return full

        def texts(values: np.ndarray[Any, Any], default: int, codes: _Codes) -> pd.Categorical:
            return sorted_categorical(spread(values, default, np.int32), codes.texts())

        confidence = spread(np.frombuffer(self._confidence), math.nan, np.float64)
        kinds = [KINDS.index(f.kind) for f in self.features]
        columns: dict[str, Any] = {
            "case_id": index.repeat(width),
            "feature": _coded(np.tile(np.arange(width), n), self.features.names),
            "value": texts(drafts[:, 4], -1, self._values),
            "value_type": _coded(np.tile(np.array(kinds, dtype=np.int8), n), KINDS),
            "status": _coded(spread(drafts[:, 2], _STATUS_CODE["not_documented"], np.int8), STATUSES),
            "source": _coded(spread(drafts[:, 3], -1, np.int8), SOURCES),
            "reason": texts(drafts[:, 5], self._nothing_said, self._texts),
            "rationale": texts(drafts[:, 6], self._nothing_said, self._texts),
            "n_evidence": spread(drafts[:, 8] >> 1, 0, np.int32),
            "confidence": pd.arrays.FloatingArray(confidence, np.isnan(confidence)),
            "engine": _constant(self._engine, n * width),
            "model": _constant(self._model, n * width),
            "prompt_sha256": texts(drafts[:, 7], -1, self._prompts),
            "cached": spread(drafts[:, 8] & 1, 0, np.bool_),
        }
        return pd.DataFrame(columns, copy=False)

    def _evidence(self, index: pd.Index[Any]) -> pd.DataFrame:
        quotes = np.frombuffer(self._quotes, dtype=np.intc).reshape(-1, _QUOTE_FIELDS)
        quotes = quotes[np.lexsort((quotes[:, 1], quotes[:, 0]))]  # stable: a cell's quotes keep their order
        names = self._names.texts()
        quoted = pd.array(self._quoted.texts(), dtype="string")
        columns: dict[str, Any] = {
            "case_id": index.take(quotes[:, 0]),
            "feature": _coded(quotes[:, 1], self.features.names),
            "quote": quoted.take(quotes[:, 2]),
            "field": sorted_categorical(quotes[:, 3], names),
            "start": quotes[:, 4].astype(np.int64),
            "end": quotes[:, 5].astype(np.int64),
            "assertion": sorted_categorical(quotes[:, 6], names),
            "rule": sorted_categorical(quotes[:, 7], names),
        }
        return pd.DataFrame(columns)


class _Codes(dict[str, int]):
    """Gives every distinct text a number, in the order of coming."""

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self)
        return code

    def texts(self) -> list[str]:
        return list(self)


def sorted_categorical(codes: np.ndarray[Any, Any], texts: Sequence[str]) -> pd.Categorical:
    """Return a categorical whose categories are the texts in use, sorted: equal cells make equal tables."""
    used = np.zeros(len(texts) + 1, dtype=bool)
    used[codes] = True  # a missing value, -1, marks the last place
    order = sorted(np.flatnonzero(used[:-1]).tolist(), key=texts.__getitem__)
    new_code = np.full(len(texts) + 1, -1, dtype=_code_type(len(order)))
    new_code[order] = np.arange(len(order))
    return _coded(new_code[codes], [texts[code] for code in order])


def _coded(codes: np.ndarray[Any, Any], categories: Sequence[str]) -> pd.Categorical:
    narrow = codes.astype(_code_type(len(categories)), copy=False)
    dtype = pd.CategoricalDtype(pd.Index(list(categories), dtype="object").astype("str"))
    return pd.Categorical.from_codes(narrow, dtype=dtype, validate=False)


def _constant(text: str | None, size: int) -> pd.Categorical:
    if text is None or not size:
        return _coded(np.full(size, -1, dtype=np.int8), [])
    return _coded(np.zeros(size, dtype=np.int8), [text])


def _code_type(size: int) -> type[np.signedinteger[Any]]:
    return np.int8 if size < 127 else np.int16 if size < 32_767 else np.int32


def _is_finite(value: object) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]
