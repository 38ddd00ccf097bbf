"""What a case's own row settles: thresholds on its values, values copied, and the merge with the report.

The rules are ``data/row_rules.toml``. Each threshold names its guideline or says that it is a convention.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.augment.row_rules_file import OPERATORS, Copy, Rule, read_rules
from dallm.engines.base import Case, Draft
from dallm.errors import CohortError, FeatureError
from dallm.features import normalise_name
from dallm.resources import data_path
from dallm.vitals import Vital, known_vital

if TYPE_CHECKING:
    from dallm.features import Feature


_Step = Callable[[Case], Draft | None]


class RowRules:
    """Rules that fill features from the measured columns of a case.

    Parameters
    ----------
    rules : sequence of Rule
    copies : sequence of Copy

    Examples
    --------
    >>> from dallm.engines.base import Case
    >>> from dallm.features import Feature
    >>> case = Case(1, {}, {"temperature": 101.2}, {"temperature": "degF"})
    >>> draft = RowRules.default().apply(case, [Feature("fever", "boolean")])["fever"]
    >>> draft.value, draft.source
    (True, 'row')
    >>> draft.rationale[:37]
    'temperature 101.2 degF >= 100.4 degF '
    """

    def __init__(self, rules: Sequence[Rule], copies: Sequence[Copy] = ()) -> None:
        self.rules = tuple(rules)
        self.copies = tuple(copies)
        self._rule_of = {normalise_name(name): rule for rule in self.rules for name in rule.names}
        self._copy_of = {normalise_name(name): copy for copy in self.copies for name in copy.names}
        self._plan: tuple[Sequence[Feature], dict[tuple[Any, ...], list[tuple[str, _Step]]]] = ((), {})

    @classmethod
    def default(cls) -> RowRules:
        """Return the rules that come with dallm."""
        return _default()

    @classmethod
    def load(cls, path: str | Path) -> RowRules:
        """Read rules from a TOML file (the layout is explained at the top of ``data/row_rules.toml``).

        Raises
        ------
        UserError
            If the file cannot be used; the message names the rule and the field.
        """
        return cls(*read_rules(path))

    def __repr__(self) -> str:
        return f"<RowRules: {len(self.rules)} thresholds, {len(self.copies)} copied values>"

    def __getstate__(self) -> dict[str, Any]:
        return {"rules": self.rules, "copies": self.copies}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["rules"], state["copies"])  # type: ignore[misc]

    def apply(self, case: Case, features: Sequence[Feature]) -> dict[str, Draft]:
        """Return a draft for each feature that the row of this case settles.

        Parameters
        ----------
        case : Case
            Its `row` and `units` are read, nothing else.
        features : sequence of Feature
            Pass the same object for every case: what depends on features and columns only is worked out once.

        Returns
        -------
        dict of str to Draft
            By feature name; status ``documented``, source ``row``.

        Raises
        ------
        FeatureError
            If a numeric feature's unit is not known for what it measures.
        """
        kept, plans = self._plan
        if kept is not features:
            plans = {}
            self._plan = (features, plans)
        key = (*case.row, *case.units.items())
        steps = plans.get(key)
        if steps is None:
            steps = plans[key] = self._steps(case, features)
        drafts = {}
        for name, step in steps:
            draft = step(case)
            if draft is not None:
                drafts[name] = draft
        return drafts

    def _steps(self, case: Case, features: Sequence[Feature]) -> list[tuple[str, _Step]]:
        """Bind the rules to the columns of this row; rows with the same columns share the result."""
        columns: dict[str, str] = {}  # the first column of a measure is the one that counts
        for column in case.row:
            vital = known_vital(column) if column in case.units else None
            if vital is not None:
                columns.setdefault(vital.name, column)
        steps: list[tuple[str, _Step]] = []
        for feature in features:
            step = self._step(feature, case, columns)
            if step is not None:
                steps.append((feature.name, step))
        return steps

    def _step(self, feature: Feature, case: Case, columns: Mapping[str, str]) -> _Step | None:
        names = [feature.key, *map(normalise_name, feature.aliases)]
        if feature.kind == "boolean":
            rule = next((self._rule_of[name] for name in names if name in self._rule_of), None)
            return None if rule is None else _threshold_step(rule, case, columns)
        copy = next((self._copy_of[name] for name in names if name in self._copy_of), None)
        measure = copy.measure if copy is not None else None
        if feature.kind == "numeric":
            spellings = (measure or feature.name, *feature.aliases)
            vital = next((v for v in map(known_vital, spellings) if v is not None), None)
            column = columns.get(vital.name) if vital is not None else None
            if vital is not None and column is not None:
                return _number_step(feature, column, vital, case.units[column])
        wanted = {*names, *map(normalise_name, copy.columns if copy is not None else ())}
        column = next((c for c in case.row if normalise_name(c) in wanted), None)
        if column is None:
            return None
        if feature.kind == "numeric":
            same_unit = case.units.get(column) == feature.unit
            return _number_step(feature, column, None, "") if same_unit else None
        return _level_step(feature, column, copy.values if copy is not None else None)


def merge(report: Draft | None, row: Draft | None) -> Draft | None:
    """Join what the report says of a feature with what the row says.

    Parameters
    ----------
    report, row : Draft or None
        None, or a report draft that is ``not_documented`` or ``failed``, says nothing.

    Returns
    -------
    Draft or None
        One of them where only one speaks. Where both do:

        - A threshold that the row exceeds (true) and a report that denies the feature: ``conflicting``.
        - True in the row, and the report agrees: the report's quotes, with the measurement in the rationale.
        - True in the row, and the report only considers it: true, from the row.
        - False in the row: the report wins, whatever it says. The row holds one moment, the report also what
          came before (fever at home, normal temperature on arrival).
        - A number or level of the row (vitals, age, gender): the row wins, since it was measured or entered
          as such; another level in the report is ``conflicting``, another number is noted in the rationale.

    Examples
    --------
    >>> from dallm.engines.base import Quote
    >>> row = Draft(True, "documented", "row", rationale="temperature 38.6 degC >= 38 degC")
    >>> quote = Quote("No fever", "indication", 0, 8, "negated", "no")
    >>> denied = Draft(False, "documented", "report", quotes=(quote,))
    >>> merge(denied, row).status
    'conflicting'
    >>> merge(None, row).source
    'row'
    """
    if row is None:
        return report
    if report is None or report.status in ("not_documented", "failed", "inferred", "not_applicable"):
        return row
    if row.status != "documented":
        return report
    if isinstance(row.value, bool):
        return _merge_boolean(report, row)
    if report.value is None or report.value == row.value:
        return row
    if isinstance(row.value, str):
        return replace(
            report,
            value=None,
            status="conflicting",
            reason="report and row disagree",
            rationale=f"{row.rationale}; the report says {report.value}",
        )
    return replace(row, rationale=f"{row.rationale}; the report says {report.value:g}")


def _merge_boolean(report: Draft, row: Draft) -> Draft:
    if row.value is False or report.status == "conflicting":
        return report
    if report.status == "uncertain":
        return replace(row, rationale=f"{row.rationale}; the report only considers it")
    if report.value is False:
        return replace(
            report,
            value=None,
            status="conflicting",
            reason="report and row disagree",
            rationale=f"{row.rationale}; the report denies it",
        )
    joined = f"{report.rationale}; {row.rationale}" if report.rationale else row.rationale
    return replace(report, rationale=joined)


def _threshold_step(rule: Rule, case: Case, columns: Mapping[str, str]) -> _Step | None:
    tests: list[tuple[str, Callable[[float, float], bool], float, str, str]] = []
    for threshold in rule.thresholds:
        column = columns.get(threshold.measure)
        vital = known_vital(threshold.measure)
        if column is None or vital is None:
            continue
        unit = case.units[column]
        # The bound goes to the column's unit, not each value to the bound's: 100.4 degF must equal 38 degC.
        bound = round(vital.convert(threshold.value, threshold.unit, to=unit), 6)
        shown = "" if unit == "1" else f" {unit}"
        tests.append((column, OPERATORS[threshold.op], bound, shown, f"{threshold.op} {bound:g}{shown}"))
    if not tests:
        return None
    settles = {columns[m] for m in rule.settled_by if m in columns} if rule.settled_by else set()
    everything = len(tests) == len(rule.thresholds)
    may_deny = rule.denies and (everything or bool(settles))
    guideline = f" ({rule.guideline})" if rule.guideline else ""

    def step(case: Case) -> Draft | None:
        below = []
        for column, holds, bound, unit, text in tests:
            value = case.row[column]
            if not isinstance(value, (int, float)):
                return None
            if holds(round(value, 6), bound):
                return Draft(
                    True, "documented", "row", rationale=f"{column} {value:g}{unit} {text}{guideline}"
                )
            below.append(f"{column} {value:g}{unit} is not {text}")
        if not may_deny:
            return None
        return Draft(False, "documented", "row", rationale=f"{' and '.join(below)}{guideline}")

    return step


def _number_step(feature: Feature, column: str, vital: Vital | None, unit: str) -> _Step:
    scale, offset = 1.0, 0.0
    if vital is not None:
        try:
            target = vital.unit_of(feature.unit or "")
        except CohortError as error:
            raise FeatureError(f"Feature {feature.name!r}, field 'unit': {error}") from error
        start = vital.unit_of(unit)
        scale, offset = start.scale / target.scale, (start.offset - target.offset) / target.scale
    low = float("-inf") if feature.low is None else feature.low
    high = float("inf") if feature.high is None else feature.high
    rationale = f"copied from column {column}"

    def step(case: Case) -> Draft | None:
        given = case.row[column]
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            return None
        value = float(given) if scale == 1.0 and not offset else round(given * scale + offset, 6)
        if not low <= value <= high:
            reason = f"{value:g} {feature.unit} is outside {low:g} to {high:g}"
            return Draft(None, "failed", "row", reason=reason, rationale=rationale)
        return Draft(value, "documented", "row", rationale=rationale)

    return step


def _level_step(feature: Feature, column: str, codes: Mapping[str, str] | None) -> _Step:
    spelt = codes or {}
    levels = {spelt.get(k, k): level for level in feature.levels or () for k in [normalise_name(level)]}
    rationale = f"copied from column {column}"

    def step(case: Case) -> Draft | None:
        given = case.row[column]
        if not isinstance(given, str):  # a coded 0/1 does not say which level it means
            return None
        key = normalise_name(given)
        value = levels.get(spelt.get(key, key))
        return None if value is None else Draft(value, "documented", "row", rationale=rationale)

    return step


@functools.cache
def _default() -> RowRules:
    return RowRules.load(data_path("row_rules.toml"))
