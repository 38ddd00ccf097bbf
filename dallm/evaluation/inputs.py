"""What an evaluation is given, checked before any model is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.case_ids import count
from dallm.errors import UserError, did_you_mean
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.feature_columns import check_features, listed
from dallm.evaluation.fits import Inputs
from dallm.evaluation.labels import check_both_classes, read_targets
from dallm.evaluation.protocols.base import plain

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort

Labels = Any  # Series, DataFrame or a sequence of labels

NO_GROUPS = (
    "No patient groups were given: every case counts as a patient of its own. Where patients have several "
    "cases, the figures are too good and the intervals too narrow; give groups=."
)


def check_inputs(
    sets: Mapping[str, pd.DataFrame | Augmented] | pd.DataFrame | Augmented,
    targets: Labels,
    groups: Labels | str | None = None,
    *,
    cohort: Cohort | None = None,
    without: Collection[str] = (),
    allow_leaks: Collection[str] = (),
) -> Inputs:
    """Check that feature sets, targets and groups fit each other.

    Tables that are already in order are passed on as they are, without a copy.

    Parameters
    ----------
    sets : mapping of str to DataFrame or Augmented
        Of an `Augmented` it takes ``X("all")``; one that stands alone gives the two sets ``original`` and
        ``augmented``. All on the same index, in any order.
    targets : Series, DataFrame or sequence
        See :func:`dallm.evaluation.labels.read_targets`.
    groups : Series, sequence or str, optional
        The patient of each case, or the name of a column of the cohort or of a feature set, which then is no
        feature. Without it the cohort's group is taken.
    cohort : Cohort, optional
    without : collection of str
        Columns of the sets that are no features, for example the marks of a holdout.
    allow_leaks : collection of str
        Columns that may have the name of a target.

    Raises
    ------
    UserError
        If they do not fit; the message names set, column or target.

    Examples
    --------
    >>> table = pd.DataFrame({"age": [60, 71, 55, 43]})
    >>> inputs = check_inputs({"original": table}, pd.Series([1, 0, 1, 0], name="edema"), [1, 1, 2, 3])
    >>> inputs.targets["edema"].tolist(), inputs.notes
    ([True, False, True, False], ())
    """
    notes: list[str] = []
    frames = _named_frames(sets, cohort, notes)
    frames = {name: _plain_columns(name, frame) for name, frame in frames.items()}
    index = next(iter(frames.values())).index
    first = next(iter(frames))
    _check_labels(index, f"feature set {first!r}")
    frames = {
        name: _on_index(frame, index, f"feature set {name!r}", f"feature set {first!r}", notes)
        for name, frame in frames.items()
    }
    read = _on_index(read_targets(targets, index), index, "targets", "the feature sets", notes)
    patients, column = _groups(groups, frames, cohort, index, notes)
    absent = set(without) | ({column} if column is not None else set())
    frames = {name: check_features(name, frame, absent, patients, notes) for name, frame in frames.items()}
    _check_targets_apart(frames, read, allow_leaks)
    check_both_classes(read)
    return Inputs(frames, read, patients, tuple(notes))


def _named_frames(sets: object, cohort: Cohort | None, notes: list[str]) -> dict[str, pd.DataFrame]:
    if isinstance(sets, pd.DataFrame):
        sets = {"features": sets}
    elif _is_augmented(sets):
        cohort = sets.cohort if cohort is None else cohort  # type: ignore[attr-defined]
        sets = {"original": _predictors(sets, "original"), "augmented": sets}
    if not isinstance(sets, Mapping) or not sets:
        raise UserError(
            f"Feature sets are a mapping of names to DataFrames, got {type(sets).__name__}"
            f"{' without entries' if isinstance(sets, Mapping) else ''}. "
            'Give for example {"original": X8, "augmented": X78}.'
        )
    frames: dict[str, pd.DataFrame] = {}
    for name, frame in sets.items():
        _check_name(name)
        if _is_augmented(frame):
            frame = _predictors(frame, "all")
        if not isinstance(frame, pd.DataFrame):
            raise UserError(
                f"Feature set {name!r} is a {type(frame).__name__}; give a DataFrame or an Augmented."
            )
        if frame.shape[1] == 0 and frame.shape[0] and len(sets) > 1 and _has_reports_only(cohort):
            notes.append(f"Feature set {name!r} is left out: the cohort has no measured columns.")
            continue
        if frame.shape[0] == 0 or frame.shape[1] == 0:
            raise UserError(
                f"Feature set {name!r} is empty: {frame.shape[0]:,} rows, {frame.shape[1]} columns. Leave it "
                "out; a feature set that stands alone is held against its controls."
            )
        frames[name] = frame
    if not frames:
        raise UserError("No feature set has a column, so there is nothing to evaluate.")
    return frames


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"A feature set is called {name!r}; give it a name of letters.")
    if name == NO_FEATURES:
        raise UserError(
            f"A feature set is called {name!r}, as are the baselines without features of every table; rename "
            "it."
        )


def _has_reports_only(cohort: Cohort | None) -> bool:
    return cohort is not None and cohort.measured().shape[1] == 0


def _is_augmented(value: object) -> bool:
    from dallm.augment.augmented import Augmented

    return isinstance(value, Augmented)


def _predictors(augmented: Any, which: str) -> pd.DataFrame:
    with warnings.catch_warnings():  # the leakage audit says it, by name and with what it found
        warnings.filterwarnings("ignore", message="These features restate a target")
        frame: pd.DataFrame = augmented.X(which)
    return frame


def _plain_columns(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    if not all(isinstance(column, str) for column in frame.columns):
        frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UserError(
            f"Feature set {name!r} has {count(len(set(twice)), 'column name')} more than once: "
            f"{listed(dict.fromkeys(twice))}. Rename or drop the copies."
        )
    return frame


def _check_labels(index: pd.Index[Any], what: str) -> None:
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        raise UserError(
            f"The index of {what} has {count(len(twice), 'label')} more than once: {listed(twice[:5])}. "
            "Each case needs a label of its own; put the case's id into the index."
        )


def _on_index(
    table: pd.DataFrame, index: pd.Index[Any], what: str, reference: str, notes: list[str]
) -> pd.DataFrame:
    """Return the table on the index: itself where it is so already."""
    if table.index is index or table.index.equals(index):
        return table
    _check_labels(table.index, what)
    missing, extra = index.difference(table.index, sort=False), table.index.difference(index, sort=False)
    if len(missing) or len(extra):
        parts = [f"{count(len(missing), 'label')} missing ({listed(missing[:5])})"] if len(missing) else []
        parts += [f"{len(extra):,} too many ({listed(extra[:5])})"] if len(extra) else []
        kinds = {table.index.inferred_type, index.inferred_type}
        hint = f" One index is of type {' and the other '.join(sorted(kinds))}." if len(kinds) == 2 else ""
        raise UserError(
            f"The index of {what} does not agree with that of {reference}: {', '.join(parts)}.{hint} "
            "Bring both onto the same cases, for example with .loc[common]."
        )
    notes.append(f"The rows of {what} stood in another order than {reference} and were aligned by label.")
    return table.reindex(index)


def _groups(
    groups: object,
    frames: Mapping[str, pd.DataFrame],
    cohort: Cohort | None,
    index: pd.Index[Any],
    notes: list[str],
) -> tuple[pd.Series[Any] | None, str | None]:
    """Return the patient of each case, and the name of the feature column that says it."""
    column: str | None = None
    if groups is None and cohort is not None and cohort.group is not None:
        groups = cohort.group
    if groups is None:
        notes.append(NO_GROUPS)
        return None, None
    if isinstance(groups, str):
        column = groups
        groups = _column(groups, frames, cohort)
    if isinstance(groups, pd.DataFrame) and groups.shape[1] == 1:
        groups = groups.iloc[:, 0]
    if not isinstance(groups, pd.Series):
        values = list(groups) if isinstance(groups, (list, tuple, np.ndarray, pd.Index)) else None
        if values is None or len(values) != len(index):
            said = f"{len(values):,} values" if values is not None else f"a {type(groups).__name__}"
            raise UserError(
                f"groups= is {said} for {len(index):,} cases. Give a Series on the index of the feature "
                "sets, or the name of the column that holds the patient."
            )
        groups = pd.Series(values, index=index)
    series = _on_index(groups.to_frame("group"), index, "groups", "the feature sets", notes)["group"]
    missing = int(series.isna().sum())
    if missing:
        first = series.index[series.isna()][0]
        raise UserError(
            f"groups= says no patient for {count(missing, 'case')}, the first is {plain(first)!r}. "
            "Drop these cases, or give each a patient of its own."
        )
    blank = _blank(series)
    if blank > 1:
        notes.append(
            f"groups= is an empty text for {blank:,} cases, which count as one patient. If their patients "
            "are not known, give each a patient of its own."
        )
    if series.nunique() < 2:
        raise UserError(
            "groups= names one patient for all cases; nothing can be held out from a single patient."
        )
    return series, column


def _blank(series: pd.Series[Any]) -> int:
    if pd.api.types.is_numeric_dtype(series.dtype):
        return 0
    sizes = series.value_counts()
    return int(sum(n for value, n in sizes.items() if isinstance(value, str) and not value.strip()))


def _column(name: str, frames: Mapping[str, pd.DataFrame], cohort: Cohort | None) -> pd.Series[Any]:
    if cohort is not None and name in cohort.frame.columns:
        return cohort.frame[name].set_axis(cohort.ids, axis=0)
    for frame in frames.values():
        if name in frame.columns:
            return frame[name]
    known = [*(cohort.frame.columns if cohort is not None else ()), *(c for f in frames.values() for c in f)]
    raise UserError(
        f"groups={name!r}: neither the cohort nor a feature set has this column.{did_you_mean(name, known)} "
        "Give the patients as a Series instead."
    )


def _check_targets_apart(
    frames: Mapping[str, pd.DataFrame], targets: pd.DataFrame, allow_leaks: Collection[str]
) -> None:
    for name, frame in frames.items():
        among = [t for t in targets.columns if t in frame.columns and t not in allow_leaks]
        if among:
            raise UserError(
                f"Feature set {name!r} holds the target {listed(among)} as a feature. Drop the column, or "
                "rename it if it is something else; allow_leaks= (on the command line --allow-leak) names "
                "columns that are to stay all the same."
            )
