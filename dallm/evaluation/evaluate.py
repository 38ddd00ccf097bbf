"""Whether new columns help: one call from feature sets and targets to a report."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.evaluation.asked import (
    aliases_of,
    baseline_of,
    check_choices,
    control_as_baseline,
    inputs_of,
    protocol_of,
    provenance,
)
from dallm.evaluation.baselines import baseline_predictions
from dallm.evaluation.controls import control_sets
from dallm.evaluation.fits import Inputs
from dallm.evaluation.importance import PermutationImportance
from dallm.evaluation.leakage import audit, raise_leaks
from dallm.evaluation.models import resolve_models
from dallm.evaluation.operating import Criterion, check_criterion
from dallm.evaluation.predictions import joined
from dallm.evaluation.protocols import AsPublished, Protocol
from dallm.evaluation.report import EvaluationReport, from_outcomes
from dallm.evaluation.report.run_settings import circumstances, settings_of
from dallm.evaluation.running import run_fits
from dallm.evaluation.running.room import give_back
from dallm.evaluation.silent import silent_reports
from dallm.evaluation.subgroups import strata

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort


def evaluate(
    feature_sets: Mapping[str, pd.DataFrame | Augmented] | pd.DataFrame | Augmented,
    targets: Any = None,
    groups: Any = None,
    *,
    cohort: Cohort | None = None,
    augmented: Augmented | None = None,
    models: Any = ("decision_tree", "random_forest", "xgboost", "tabnet"),
    protocol: str | Protocol = "leak_free",
    controls: Sequence[str] = ("tfidf", "random", "permuted"),
    fills: Mapping[str, Augmented] | None = None,
    subgroups: Sequence[str] | None = None,
    baseline: str | None = None,
    device: str = "auto",
    on_leak: str = "raise",
    allow_leaks: Collection[str] = (),
    aliases: Mapping[str, str | Sequence[str]] | None = None,
    seed: int = 0,
    operating_point: Criterion = "f1",
    importances: bool | PermutationImportance = False,
    n_jobs: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> EvaluationReport:
    """Measure whether feature sets help to predict targets, with controls, intervals and a leakage audit.

    Parameters
    ----------
    feature_sets : mapping of str to DataFrame or Augmented
        Tables of predictors on one index, shape (cases, features). An `Augmented` alone gives the two sets
        ``original`` and ``augmented``; ``augmented`` only where its cohort has no measured columns.
    targets : DataFrame, Series or str or list of str, optional
        Boolean, missing allowed, on the same index; or names of the cohort's targets. All targets of the
        cohort if None.
    groups : Series or str, optional
        The patient of each case. The cohort's group if None; without any the report carries a warning.
    cohort, augmented : optional
        The cases with their reports, and how the new columns were filled; some controls, subgroups and the
        test on silent reports need them. Taken from an `Augmented` among the feature sets.
    models : str, estimator, list or mapping
        See :func:`dallm.evaluation.models.resolve_models`.
    protocol : {"leak_free"} or Protocol, default="leak_free"
        Ten times five folds by patient, a `Holdout`, or `AsPublished`.
    controls : sequence of {"tfidf", "random", "permuted"}
        Feature sets that the new columns have to beat. One that cannot be run stands in the report with the
        reason. `original` columns alone are the baseline.
    fills : mapping of str to Augmented, optional
        What :func:`dallm.control_fills` gave; they are run as controls.
    subgroups : sequence of str, optional
        Columns of the cohort, for example ``["gender", "age_band"]``.
    baseline : str, optional
        The feature set that the others are held against; the first one if None. A single set of filled
        columns is held against the first of the controls original, random, tfidf and permuted that was run.
    device : {"auto", "cpu", "cuda"}
        Where models compute that can use a GPU.
    on_leak : {"raise", "report"}
        What happens where a feature is, or restates, a target, or a patient stands on both sides.
    allow_leaks : collection of str
        Columns that are used all the same; ``"patient"`` for patients, ``"row"`` for cases on both sides of
        a split. They stand in the report as leaks.
    aliases : mapping of str to str or sequence of str, optional
        Further names of targets, for example ``{"cardiomegaly": ["CMG", "heart_big"]}``. A column of such a
        name is held to restate the target, as one is that has a name which the lexicon or a feature of
        `augmented` knows for it.
    seed : int
        The result follows from it and the data alone. The order of the rows is part of the data: in another
        order they get other folds. Sort by case id where two tables are to give the same.
    operating_point : {"f1", "youden", "accuracy"} or float
        What the threshold of a decision is chosen by, within the training cases of a fold; or the threshold.
    importances : bool or PermutationImportance
        Whether (and how) to measure permutation importances, which takes further fits.
    n_jobs : int, optional
        Fits at once; all cores if None.
    folder : path, optional
        Where finished fits are kept, so that a run that was ended goes on.
    progress : bool, optional
        Show progress on standard error; on a terminal only if None.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    UserError
        If tables, targets and groups do not fit each other or a leak is found, before anything is fitted;
        or if a fit fails.

    Examples
    --------
    >>> import numpy as np
    >>> from dallm import LeakFree
    >>> rng = np.random.default_rng(0)
    >>> patient = np.repeat(np.arange(60), 2)
    >>> sick = rng.random(120) < 0.4
    >>> few = pd.DataFrame({"age": rng.normal(60, 9, 120)})
    >>> more = few.assign(cough=sick * 0.8 + rng.normal(0, 0.7, 120))
    >>> report = evaluate({"original": few, "augmented": more}, pd.Series(sick, name="pneumonia"),
    ...                   patient, models="logistic_regression", protocol=LeakFree(repeats=2), controls=())
    >>> int((report.comparisons()["metric"] == "roc_auc").sum())
    1
    """
    check_choices(on_leak, controls, seed)
    check_criterion(operating_point)
    cohort, augmented = provenance(feature_sets, cohort, augmented)
    inputs, chosen, allowed = inputs_of(
        feature_sets, targets, groups, cohort, protocol_of(protocol), on_leak=on_leak, allow_leaks=allow_leaks
    )
    also = aliases_of(aliases, inputs)
    # slips in names are told before torch is loaded, which looking for a GPU takes
    resolve_models(models, device="cpu" if device == "auto" else device, seed=seed)
    base = baseline_of(baseline, inputs)
    controls = tuple(dict.fromkeys([*controls, *(fills or ())]))
    levels = strata(inputs, cohort, subgroups)
    alone = baseline is None and augmented is not None and len(inputs.sets) == 1
    over = None if alone else base
    made, not_run = control_sets(
        inputs, controls, baseline=over, cohort=cohort, augmented=augmented, fills=fills, seed=seed
    )
    base, said = control_as_baseline(made, base) if alone else (base, "")
    splits, notes = chosen.splits(inputs, seed)
    leaks = audit(inputs, aliases=also, splits=splits, augmented=augmented, seed=seed)
    # patients on both sides are what this protocol reproduces; the report says so
    raise_leaks(leaks, "report" if isinstance(chosen, AsPublished) else on_leak, allowed)
    specs = resolve_models(models, device=device, seed=seed)
    give_back()
    measured = PermutationImportance() if importances is True else importances or None
    outcomes = run_fits(
        Inputs({**inputs.sets, **made}, inputs.targets, inputs.groups, inputs.notes),
        splits,
        specs,
        seed=seed,
        n_jobs=n_jobs,
        folder=folder,
        progress=sys.stderr.isatty() if progress is None else progress,
        importances=measured,
        operating_point=operating_point,
    )
    predictions, fits, importance = from_outcomes(outcomes, inputs.targets)
    del outcomes
    guesses = baseline_predictions(inputs.targets, splits, seed=seed, operating_point=operating_point)
    predictions = joined(predictions, guesses)
    give_back()
    silent, untested = _silent(predictions, inputs, cohort, augmented, base, also, seed)
    return EvaluationReport(
        predictions=predictions,
        splits=splits,
        groups=inputs.groups,
        cases=inputs.targets.index,
        baseline=base,
        sets=tuple(inputs.sets),
        controls={**{name: "" for name in made if name != base}, **not_run},
        fits=fits,
        audit=leaks,
        importance=importance,
        strata=levels,
        silent=silent,
        settings=settings_of(
            inputs,
            specs,
            seed=seed,
            cohort=cohort,
            importances=measured,
            protocol=chosen.name,
            splits=len(splits),
            fits=len(fits),
            baseline=base,
            controls=controls,
            subgroups=None if levels is None else list(levels.columns),
            operating_point=operating_point,
            device=device,
            on_leak=on_leak,
            allow_leaks=sorted(allowed),
            aliases=also,
        ),
        run=circumstances(),
        notes=tuple(note for note in (*inputs.notes, said, *notes, untested) if note),
    )


def _silent(
    predictions: pd.DataFrame,
    inputs: Inputs,
    cohort: Cohort | None,
    augmented: Augmented | None,
    baseline: str,
    aliases: Mapping[str, Sequence[str]],
    seed: int,
) -> tuple[pd.DataFrame | None, str]:
    """Return what silent reports show; or why it was not looked at, where there is a cohort."""
    if cohort is None:
        return None, ""
    lacks = "the cohort has no report column" if not cohort.report else ""
    if augmented is None:
        lacks = lacks or "it takes what the columns were filled from; give augmented="
    if lacks:
        return None, f"Whether new columns tell a target where reports are silent was not tested: {lacks}."
    others = [name for name in inputs.sets if name != baseline]
    found = silent_reports(
        predictions,
        cohort,
        augmented,
        inputs.groups,
        baseline if others else None,
        cases=inputs.targets.index,
        feature_sets=others or list(inputs.sets),
        aliases=aliases,
        seed=seed,
    )
    return found, ""
