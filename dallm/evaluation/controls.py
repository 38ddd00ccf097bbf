"""Controls: feature sets that a real gain must beat, made from the data at hand and a seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.report_text import REPORT_TEXT, joined_reports
from dallm.evaluation.seeds import seed_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort
    from dallm.evaluation.fits import Inputs

CONTROLS = ("original", "random", "permuted", "tfidf", "no_knowledge", "other_report")
"""Names of the controls; the last two cost calls and come from :func:`dallm.control_fills`."""

Maker = Callable[[pd.DataFrame, "NDArray[np.intp]", int], pd.DataFrame]


def control_sets(
    inputs: Inputs,
    names: Collection[str],
    *,
    baseline: str | None = None,
    cohort: Cohort | None = None,
    augmented: Augmented | None = None,
    fills: Mapping[str, Augmented] | None = None,
    seed: int = 0,
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Make the feature sets that the others are held against.

    Every control but ``original`` holds the columns of the baseline too, so that it has what a feature set
    with new columns has, and only the new columns differ.

    Parameters
    ----------
    inputs : Inputs
    names : collection of str
        Of :data:`CONTROLS`:

        - ``original``: the measured columns only;
        - ``random``: in place of the new columns random ones of the same kinds, with the same values,
          shares and gaps;
        - ``permuted``: the new columns, whole, of another patient;
        - ``tfidf``: the words of the report, weighed inside each training fold;
        - ``no_knowledge``, ``other_report``: what :func:`dallm.control_fills` filled.
    baseline : str, optional
        The feature set that has the columns which are not new; without it all columns count as new.
    cohort, augmented : optional
        ``tfidf`` needs a cohort (or the augmented's), ``original`` one of the two or a baseline.
    fills : mapping of str to Augmented, optional
        What :func:`dallm.control_fills` gave.
    seed : int

    Returns
    -------
    sets : dict of str to DataFrame
        On the index of the inputs. ``random`` and ``permuted`` are called ``random (name)`` where several
        feature sets have new columns.
    not_run : dict of str to str
        Why a control could not be made, to be read after "not run, because".

    Raises
    ------
    UserError
        If no control has a name that was asked for, or a feature set has it.

    Examples
    --------
    >>> from dallm.evaluation.inputs import check_inputs
    >>> old = pd.DataFrame({"age": [50, 60, 70, 80]})
    >>> sets = {"original": old, "augmented": old.assign(pain=[True, False, True, True])}
    >>> inputs = check_inputs(sets, pd.Series([1, 0, 1, 0], name="edema"), [1, 2, 3, 3])
    >>> made, missing = control_sets(inputs, ["permuted", "tfidf"], baseline="original")
    >>> list(made["permuted"]), missing
    (['age', 'pain'], {'tfidf': 'it needs the reports; give cohort='})
    """
    _check(names, inputs, baseline)
    cohort = augmented.cohort if cohort is None and augmented is not None else cohort
    made: dict[str, pd.DataFrame] = {}
    missing: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name in ("random", "permuted"):
            found, reason = _in_place_of_new(name, inputs, baseline, seed)
        elif name == "original":
            found, reason = _original(inputs, baseline, cohort)
        elif name == "tfidf":
            found, reason = _tfidf(inputs, baseline, cohort)
        else:
            found, reason = _filled(name, inputs, baseline, fills)
        for key, table in found.items():
            if key in inputs.sets:
                raise UserError(f"A feature set is called {key!r} like a control; rename it.")
            made[key] = table
        if reason:
            missing[name] = reason
    return made, missing


def random_like(new: pd.DataFrame, patients: NDArray[np.intp], seed: int) -> pd.DataFrame:
    """Return columns of the same kinds whose values are drawn from each column on its own.

    Values, shares and gaps are those of the column; nothing links them to a case or to each other.

    Examples
    --------
    >>> new = pd.DataFrame({"pain": pd.array([True, None, False, True] * 50, dtype="boolean")})
    >>> made = random_like(new, np.arange(200), seed=0)
    >>> str(made["pain"].dtype), bool(made["pain"].isna().any()), made.equals(new)
    ('boolean', True, False)
    """
    rng = np.random.default_rng(seed)
    drawn = {c: new[c].array.take(rng.integers(0, len(new), len(new))) for c in new.columns}
    return pd.DataFrame(drawn, index=new.index)


def of_another_patient(new: pd.DataFrame, patients: NDArray[np.intp], seed: int) -> pd.DataFrame:
    """Return the columns with the rows of each patient taken from one other patient.

    A row stays whole, and the cases of a patient get rows of the same patient: the first its first, and so
    on, from the beginning again where it has fewer.

    Examples
    --------
    >>> new = pd.DataFrame({"pain": [1, 2, 3, 4, 5]})
    >>> of_another_patient(new, np.array([0, 0, 1, 2, 2]), seed=0)["pain"].tolist()
    [4, 5, 1, 3, 3]
    """
    return new.take(other_patients(patients, seed)).set_axis(new.index, axis=0)


def other_patients(patients: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Return for each case the position of a case of another patient, one patient's cases from one other.

    Parameters
    ----------
    patients : array of int, shape (n_cases,)
        From 0, each number up to the largest at least once.
    seed : int

    Raises
    ------
    UserError
        If there is one patient only.
    """
    count = int(patients.max()) + 1 if len(patients) else 0
    if count < 2:
        raise UserError("There is one patient only; nothing can be taken from another.")
    circle = np.random.default_rng(seed).permutation(count)
    giver = np.empty(count, dtype=np.intp)
    giver[circle] = np.roll(circle, 1)  # each takes from its neighbour, so none from itself
    order = np.argsort(patients, kind="stable")
    sizes = np.bincount(patients, minlength=count)
    starts = np.cumsum(sizes) - sizes
    number = np.empty(len(patients), dtype=np.intp)
    number[order] = np.arange(len(patients)) - np.repeat(starts, sizes)
    chosen = giver[patients]
    return np.asarray(order[starts[chosen] + number % sizes[chosen]], dtype=np.intp)


def patients_of(groups: pd.Series[Any] | None, cases: int) -> NDArray[np.intp]:
    """Return the patients as numbers from 0; without groups each case is one."""
    if groups is None:
        return np.arange(cases)
    codes, _ = pd.factorize(groups)
    return np.asarray(codes, dtype=np.intp)


_MAKERS: dict[str, Maker] = {"random": random_like, "permuted": of_another_patient}


def _check(names: Collection[str], inputs: Inputs, baseline: str | None) -> None:
    if isinstance(names, str):
        raise UserError(f"controls= takes a list of names; write [{names!r}].")
    for name in names:
        if name not in CONTROLS:
            raise UserError(
                f"There is no control {name!r}; there are {list(CONTROLS)}.{did_you_mean(name, CONTROLS)}"
            )
    if baseline is not None and baseline not in inputs.sets:
        raise UserError(
            f"The baseline {baseline!r} is no feature set; there are {list(inputs.sets)}."
            f"{did_you_mean(baseline, inputs.sets)}"
        )


def _base(inputs: Inputs, baseline: str | None) -> pd.DataFrame:
    """The columns that every control has; none without a baseline."""
    return inputs.sets[baseline] if baseline is not None else pd.DataFrame(index=inputs.targets.index)


def _new_columns(inputs: Inputs, baseline: str | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each feature set with those of its columns that the baseline lacks."""
    known = set(_base(inputs, baseline).columns)
    for name, frame in inputs.sets.items():
        new = [column for column in frame.columns if column not in known]
        if name != baseline and new:
            yield name, frame[new]


def _in_place_of_new(
    name: str, inputs: Inputs, baseline: str | None, seed: int
) -> tuple[dict[str, pd.DataFrame], str]:
    base = _base(inputs, baseline)
    patients = patients_of(inputs.groups, len(inputs.targets))
    new = dict(_new_columns(inputs, baseline))
    if not new:
        return {}, f"no feature set has a column that {baseline!r} lacks"
    return {
        name if len(new) == 1 else f"{name} ({owner})": pd.concat(
            [base, _MAKERS[name](columns, patients, seed_for(seed, "control", name, owner))], axis=1
        )
        for owner, columns in new.items()
    }, ""


def _original(
    inputs: Inputs, baseline: str | None, cohort: Cohort | None
) -> tuple[dict[str, pd.DataFrame], str]:
    if baseline is not None:
        return {}, f"it is the feature set {baseline!r}, which all others are held against"
    if cohort is None:
        return {}, "it needs the measured columns; give cohort= or a feature set that holds them alone"
    measured = cohort.measured()
    if measured.shape[1] == 0:
        return {}, "the cohort has no measured columns"
    if not inputs.targets.index.isin(measured.index).all():
        return {}, _OTHER_CASES
    return {"original": measured.loc[inputs.targets.index]}, ""


def _tfidf(
    inputs: Inputs, baseline: str | None, cohort: Cohort | None
) -> tuple[dict[str, pd.DataFrame], str]:
    if cohort is None:
        return {}, "it needs the reports; give cohort="
    if not cohort.report:
        return {}, "the cohort has no report column"
    texts = joined_reports(cohort)
    if not inputs.targets.index.isin(texts.index).all():
        return {}, _OTHER_CASES
    texts = texts.loc[inputs.targets.index]
    if not texts.notna().any():
        return {}, "no case has a report"
    return {"tfidf": pd.concat([_base(inputs, baseline), texts.to_frame(REPORT_TEXT)], axis=1)}, ""


def _filled(
    name: str, inputs: Inputs, baseline: str | None, fills: Mapping[str, Augmented] | None
) -> tuple[dict[str, pd.DataFrame], str]:
    if fills is None or name not in fills:
        return {}, (
            f"it costs calls; make it with dallm.control_fills(cohort, feats, kinds=[{name!r}]) and give "
            "what that returns"
        )
    frame = fills[name].frame
    if not inputs.targets.index.isin(frame.index).all():
        return {}, _OTHER_CASES
    filled = frame.loc[inputs.targets.index, list(fills[name].columns_of.values())]
    base = _base(inputs, baseline)
    if baseline is None:
        base = fills[name].X("original").loc[inputs.targets.index]
    kept = [
        column for column in filled.columns if column not in base.columns and filled[column].notna().any()
    ]
    if not kept:
        return {}, "it has no new column with a value"
    return {name: pd.concat([base, filled[kept]], axis=1)}, ""


_OTHER_CASES = "the cohort lacks cases of the feature sets; put the cases' ids into their index"
