"""Values for columns that the table already has: what the report states, beside what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from dallm.augment.row_rules import RowRules
from dallm.augment.verification import verified
from dallm.engines.base import Case, CaseAnswer, CellValue, Draft, Engine
from dallm.errors import CohortError, DallmError, UserError, did_you_mean
from dallm.features import Feature, FeatureSet, Kind, normalise_name
from dallm.vitals import known_vital

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort
    from dallm.lexicon import Concept, Lexicon

Which = Literal["missing", "masked"]
_WHICH: tuple[Which, ...] = ("missing", "masked")


@dataclass(frozen=True)
class _Column:
    """One column to fill: what the engine is asked, what the table gets, the way from one to the other."""

    asked: Feature
    result: Feature
    convert: Callable[[CellValue], CellValue]


def fill_existing(
    cohort: Cohort,
    columns: str | Sequence[str],
    which: Which = "missing",
    engine: Engine | None = None,
    *,
    lexicon: Lexicon | None = None,
) -> Augmented:
    """Fill columns that the cohort has with what its reports state.

    Parameters
    ----------
    cohort : Cohort
    columns : str or sequence of str
        Numeric or categorical columns of the cohort.
    which : {"missing", "masked"}, default="missing"
        ``"missing"``: only cases whose own value is missing or impossible are asked; the others are
        ``not_applicable``. ``"masked"``: every case is asked as if these columns were not in the table, so
        that the answers can be compared with what was measured. To hide one column at a time, call once per
        column.
    engine : Engine, optional
        Default: the extractive engine.
    lexicon : Lexicon, optional
        Says what a column's name means. Default: the engine's, else the one that comes with dallm.

    Returns
    -------
    Augmented
        With one new column ``<column>__filled`` per column, in the unit (or the codes) of that column; the
        columns themselves stay as given.

    Raises
    ------
    CohortError
        If a column is not there or is neither numeric nor categorical; the message names it.
    UserError
        If `which` is none of the two.

    Examples
    --------
    >>> import pandas as pd, dallm
    >>> frame = pd.DataFrame({
    ...     "case": [1, 2],
    ...     "o2sat": [None, 97.0],
    ...     "findings": ["Saturating 92 % on room air.", "Saturating 95 % on room air."],
    ... })
    >>> cohort = dallm.Cohort(frame, id="case", report="findings", numeric={"o2sat": "%"}, data_use="open")
    >>> dallm.fill_existing(cohort, "o2sat").frame["o2sat__filled"].tolist()
    [92.0, <NA>]
    >>> dallm.fill_existing(cohort, "o2sat", which="masked").frame["o2sat__filled"].tolist()
    [92.0, 95.0]
    """
    from dallm.augment.augmented import Augmented
    from dallm.augment.fill import engine_for
    from dallm.lexicon import Lexicon

    names = (columns,) if isinstance(columns, str) else tuple(columns)
    if which not in _WHICH:
        raise UserError(f"which must be one of {list(_WHICH)}, got {which!r}.{did_you_mean(which, _WHICH)}")
    _check_columns(cohort, names)
    if lexicon is None:
        own = getattr(engine, "lexicon", None)
        lexicon = own if isinstance(own, Lexicon) else Lexicon.default()
    if engine is None:
        from dallm.engines.extractive.engine import ExtractiveEngine

        engine = ExtractiveEngine(lexicon=lexicon)
    engine = engine_for(engine, cohort)
    plan = [_column(cohort, name, lexicon) for name in names]
    measured = cohort.measured()[list(names)]
    wanted = measured.isna().to_numpy() if which == "missing" else np.ones(measured.shape, dtype=bool)
    hidden = frozenset(names) if which == "masked" else frozenset()
    return Augmented.from_answers(
        cohort,
        FeatureSet(column.result for column in plan),
        _answers(cohort, plan, wanted, hidden, engine),
        engine=engine.name,
        model=engine.model,
        uncertain="missing",
        run={"call": "fill_existing", "columns": list(names), "which": which},
    )


def _check_columns(cohort: Cohort, names: Sequence[str]) -> None:
    if not names:
        raise CohortError("fill_existing() was given no column; name at least one.")
    fillable = [*cohort.numeric, *cohort.categorical]
    other = {cohort.id: "id", **({cohort.group: "group"} if cohort.group is not None else {})}
    other |= dict.fromkeys(cohort.report, "report") | dict.fromkeys(cohort.targets, "target")
    for name in names:
        if name in fillable:
            continue
        if name in other:
            raise CohortError(
                f"Column {name!r} is the cohort's {other[name]} column; only numeric and categorical columns "
                f"can be filled: {fillable}."
            )
        if name in cohort.frame.columns:
            raise CohortError(
                f"Column {name!r} has no role in the cohort; declare it, e.g. numeric={{{name!r}: 'mmHg'}}."
            )
        raise CohortError(f"The cohort has no column {name!r}.{did_you_mean(name, fillable)}")
    twice = [name for position, name in enumerate(names) if name in names[:position]]
    if twice:
        raise CohortError(f"Column {twice[0]!r} is named twice; name it once.")


def _answers(
    cohort: Cohort,
    plan: Sequence[_Column],
    wanted: np.ndarray[Any, Any],
    hidden: frozenset[str],
    engine: Engine,
) -> Iterator[CaseAnswer]:
    """Yield an answer for every case of the cohort; the engine sees only those of which a value is wanted."""
    asked = FeatureSet(column.asked for column in plan)
    rows = [bool(row.any()) for row in wanted]
    cases = (_hide(case, hidden) for case, ask in zip(cohort.cases(), rows, strict=True) if ask)
    to_engine, to_check = itertools.tee(cases)
    given = verified(engine.fill(to_engine, asked), to_check, asked, engine=engine)
    measured = Draft(None, "not_applicable", None, reason="measured in the table")
    for case_id, row in zip(cohort.ids.tolist(), wanted, strict=True):
        if not row.any():
            yield CaseAnswer(case_id, {column.result.name: measured for column in plan})
            continue
        answer = next(given, None)
        if answer is None or answer.case_id != case_id:
            raise DallmError(
                f"Engine {engine.name!r} did not answer case {case_id!r} in its place; "
                "fill() must yield one answer per case, in order."
            )
        drafts: dict[str, Draft] = {}
        for column, ask in zip(plan, row, strict=True):
            draft = answer.drafts.get(column.asked.name)
            if not ask:
                drafts[column.result.name] = measured
            elif draft is not None:
                drafts[column.result.name] = _converted(draft, column)
        yield CaseAnswer(case_id, drafts)


def _hide(case: Case, hidden: frozenset[str]) -> Case:
    if not hidden:
        return case
    row = {column: value for column, value in case.row.items() if column not in hidden}
    return replace(case, row=row, units={c: u for c, u in case.units.items() if c not in hidden})


def _converted(draft: Draft, column: _Column) -> Draft:
    """Bring an engine's value into the column's own unit or codes; refuse what cannot be."""
    if draft.value is None:
        return draft
    value = column.convert(draft.value)
    feature = column.result
    low, high = feature.low, feature.high
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and low is not None and high is not None and not low <= float(value or 0) <= high:
        reason = f"{value:g} {feature.unit} is outside what is possible, {low:g} to {high:g}"
        return replace(draft, value=None, status="failed", reason=reason)
    return replace(draft, value=value)


def _column(cohort: Cohort, name: str, lexicon: Lexicon) -> _Column:
    vital = known_vital(name)
    concept = lexicon.find(name) or (lexicon.find(vital.name) if vital is not None else None)
    if name in cohort.numeric:
        return _numeric(name, cohort.numeric[name], concept)
    if concept is not None and concept.kind == "numeric":
        raise CohortError(
            f"Column {name!r} is declared categorical, but {concept.name} is a number; declare it as "
            f"numeric={{{name!r}: {concept.unit!r}}}."
        )
    return _categorical(name, cohort.frame[name], concept)


def _numeric(name: str, unit: str, concept: Concept | None) -> _Column:
    if concept is not None and concept.kind != "numeric":
        raise CohortError(
            f"Column {name!r} is declared numeric, but {concept.name} is {concept.kind}; declare it "
            "categorical."
        )
    vital = known_vital(name)
    low, high = vital.possible(unit) if vital is not None else (None, None)
    result = Feature(name, "numeric", unit=unit, low=low, high=high, origin="cohort")
    aliases = (concept.name,) if concept is not None and normalise_name(name) != concept.name else ()
    # The engine is asked in the lexicon's unit, in which the possible range tells 38 (degC) from 100 (degF).
    own = concept.unit if concept is not None and concept.unit and vital is not None else unit
    asked = replace(result, aliases=aliases, unit=own, low=None, high=None)
    if vital is None or own == unit:
        return _Column(asked, result, lambda value: value)

    def convert(value: CellValue) -> CellValue:
        number = not isinstance(value, bool) and isinstance(value, (int, float))
        return round(vital.convert(float(value), own, to=unit), 4) if number else value  # type: ignore[arg-type]

    return _Column(asked, result, convert)


def _categorical(name: str, values: pd.Series[Any], concept: Concept | None) -> _Column:
    present = values.dropna().unique().tolist()
    aliases = (concept.name,) if concept is not None and normalise_name(name) != concept.name else ()
    if concept is not None and concept.kind == "boolean":
        feature = Feature(name, "boolean", aliases, origin="cohort")
        return _Column(feature, replace(feature, aliases=()), lambda value: value)
    if concept is None or not concept.levels:
        levels = tuple(sorted(v for v in present if isinstance(v, str)))
        if len(levels) < 2:
            raise CohortError(
                f"Column {name!r}: the lexicon does not know it, and it holds fewer than two different "
                "texts; add it to a lexicon of your own with its levels."
            )
        feature = Feature(name, "categorical", levels=levels, origin="cohort")
        return _Column(feature, feature, lambda value: value)
    code_of = _codes(name, present, concept)
    kind: Kind = "ordinal" if concept.kind == "ordinal" else "categorical"
    asked = Feature(name, kind, aliases, levels=concept.levels, origin="cohort")
    codes = tuple(code_of.get(level, level) for level in concept.levels)
    return _Column(
        asked,
        replace(asked, aliases=(), levels=codes),
        lambda value: code_of.get(value, value) if isinstance(value, str) else value,
    )


def _codes(name: str, present: Sequence[Any], concept: Concept) -> Mapping[str, str]:
    """Return level to the code that the column uses for it ("female" to "F")."""
    level_of = {normalise_name(t): level for level, terms in concept.level_terms.items() for t in terms}
    level_of |= {normalise_name(level): level for level in concept.levels}
    known = {normalise_name(level): level for level in concept.levels}
    for copy in RowRules.default().copies:
        if normalise_name(name) in map(normalise_name, copy.columns):
            level_of |= {code: known[v] for code, v in (copy.values or {}).items() if v in known}
    code_of: dict[str, str] = {}
    for value in present:
        level = level_of.get(normalise_name(value)) if isinstance(value, str) else None
        if level is not None:
            code_of.setdefault(level, value)
    if present and not code_of:
        raise CohortError(
            f"Column {name!r}: none of its values is a level of {concept.name} "
            f"({', '.join(concept.levels)}); spell its codes out."
        )
    return code_of
