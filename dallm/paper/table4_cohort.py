"""The feature sets of Experiment III from a cohort: its own columns, and those that an engine fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.paper.table4_columns import as_numbers
from dallm.paper.table4_frames import Table4Input

if TYPE_CHECKING:
    from dallm.cohort import Cohort


def input_of_cohort(cohort: Cohort, engine: Any = None, *, seed: int = 0, test: float = 0.2) -> Table4Input:
    """Augment a cohort, and part its cases at random, as the paper's split parts them: not by patient.

    Parameters
    ----------
    cohort : Cohort
        With targets.
    engine : Engine, optional
        The extractive engine by default.
    seed : int
        Of the split.
    test : float, default=0.2
        Share of the test cases; the paper has 74 of 436.

    Raises
    ------
    UserError
        If the cohort has no targets or no reports.
    """
    import dallm
    from dallm.evaluation.inputs import check_inputs

    if not cohort.targets or not cohort.report:
        lacking = "targets" if not cohort.targets else "reports"
        raise UserError(f"The cohort has no {lacking}; Table 4 needs both. See docs/readers.md.")
    engine = engine if engine is not None else dallm.engine("extractive")
    store = dallm.open_store(encoder=None)
    conditions = list(cohort.targets)
    dallm.ingest(store, sources=[dallm.Primer()], conditions=conditions)
    augmented = dallm.augment(cohort, conditions=conditions, store=store, engine=engine)
    inputs = check_inputs(augmented, cohort.frame[list(cohort.targets)].set_axis(cohort.ids), cohort=cohort)
    notes: list[str] = list(inputs.notes)
    known = inputs.targets.notna().all(axis=1).to_numpy(dtype=bool)
    labels = inputs.targets[known].astype(bool)
    given = {name: frame[known] for name, frame in inputs.sets.items()}
    drawn = np.random.default_rng(seed).permutation(len(labels)) < round(test * len(labels))
    return Table4Input(
        {name: as_numbers(frame, name, notes) for name, frame in given.items()},
        given,
        labels,
        pd.Series(np.where(drawn, "test", "train"), index=labels.index),
        None if inputs.groups is None else inputs.groups[known],
        tuple(notes),
    )
