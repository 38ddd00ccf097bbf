"""The figures of Experiment III without its leaks: folds by patient, each model and label on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dallm.evaluation.fits import Inputs
from dallm.evaluation.models import resolve_models
from dallm.evaluation.protocols import LeakFree
from dallm.evaluation.report.outcomes import from_outcomes
from dallm.evaluation.running import run_fits
from dallm.evaluation.scores import MACRO
from dallm.evaluation.statistics import intervals

if TYPE_CHECKING:
    from dallm.paper.table4_frames import Table4Input

METRICS = ("accuracy", "balanced_accuracy", "precision", "f1", "recall", "roc_auc")
_HALF = 0.5


def leak_free_figures(
    read: Table4Input,
    models: Sequence[str],
    *,
    repeats: int = 10,
    seed: int = 0,
    n_jobs: int | None = None,
    folder: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return the figures of cross-validation by patient on the same cases.

    The models have their libraries' defaults and decide at one half, as in the public code; missing values
    are handled inside the fold. Figures are means over targets of those of the test folds.

    Parameters
    ----------
    read : Table4Input
    models : sequence of str
    repeats : int, default=10
        Of five folds.
    seed, n_jobs
        As in :func:`dallm.evaluation.running.run_fits`.
    folder : path, optional
        Where finished fits are kept.
    progress : callable, optional
        Is told in a line what begins.

    Returns
    -------
    figures : DataFrame
        Columns ``feature_set, model, measure, value, low, high``; intervals by resampling patients.
    notes : list of str
    """
    inputs = Inputs(read.given, read.labels.astype("boolean"), read.groups)
    splits, said = LeakFree(repeats, 5).splits(inputs, seed)
    notes = [f"Leak-free: {line}" for line in said]
    if read.groups is None:
        notes.append(
            "Leak-free figures: no column of patients is known, so every case counts as a patient; name it "
            "with --group."
        )
    if progress is not None:
        progress(f"  leak-free: {len(splits) * len(models) * len(read.given):,} fits")
    outcomes = run_fits(
        inputs,
        splits,
        resolve_models(list(models), device="cpu"),
        seed=seed,
        n_jobs=n_jobs,
        folder=Path(folder) / ".fits" if folder is not None else None,
        progress=progress is not None,
        operating_point=_HALF,
    )
    predictions, _, _ = from_outcomes(outcomes, inputs.targets)
    found = intervals(predictions, read.groups, metrics=METRICS, seed=seed)
    wanted = MACRO if (found["target"] == MACRO).any() else str(read.labels.columns[0])
    chosen = found[found["target"] == wanted].rename(columns={"metric": "measure"})
    return chosen[["feature_set", "model", "measure", "value", "low", "high"]].reset_index(drop=True), notes
