"""The controls that cost calls: filled without knowledge, and from the report of another patient."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dallm.augment.cells import Uncertain
from dallm.augment.fill import fill_values
from dallm.cohort import Cohort
from dallm.errors import CohortError, UserError, did_you_mean
from dallm.evaluation.controls import other_patients, patients_of

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.augment.augmented import Augmented
    from dallm.engines.base import Engine
    from dallm.features import Feature, FeatureSet
    from dallm.knowledge.stores.base import KnowledgeStore

KINDS = ("no_knowledge", "other_report")


def control_fills(
    cohort: Cohort,
    feats: FeatureSet | Sequence[Feature],
    store: KnowledgeStore | None = None,
    engine: Engine | None = None,
    ack: Ack | None = None,
    kinds: Collection[str] = KINDS,
    *,
    uncertain: Uncertain = "missing",
    seed: int = 0,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> dict[str, Augmented]:
    """Fill the features again, in ways in which they should be worth less.

    Parameters
    ----------
    cohort : Cohort
    feats : FeatureSet or sequence of Feature
        The features whose worth is to be tested.
    store, engine, ack
        As in :func:`dallm.fill_values`, and as the features were filled.
    kinds : collection of str
        ``no_knowledge``: filled without corpus and store; what remains is what the report and the model
        give. ``other_report``: each case keeps its row and gets the report of another patient; what remains
        is what the row, the knowledge and the model's prior give.
    uncertain, progress, checkpoint
        As in :func:`dallm.fill_values`; each kind has a folder of its own in `checkpoint`.
    seed : int
        Says whose report a case gets.

    Returns
    -------
    dict of str to Augmented
        By kind, for ``control_sets`` and ``evaluate``. The cohort of ``other_report`` holds the exchanged
        reports, so that its quotes stand where they say.

    Raises
    ------
    UserError
        If a kind is unknown.
    CohortError
        If the cohort has no report, or one patient only, for ``other_report``.

    Examples
    --------
    >>> import dallm
    >>> cohort = dallm.make_cohort(20, seed=0)
    >>> filled = control_fills(cohort, [dallm.Feature("dyspnea", "boolean")], kinds=["other_report"])
    >>> list(filled), len(filled["other_report"].cells)
    (['other_report'], 20)
    """
    if isinstance(kinds, str):
        raise UserError(f"kinds= takes a list; write [{kinds!r}].")
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"There is no kind {kind!r}; there are {list(KINDS)}.{did_you_mean(kind, KINDS)}")
    if not kinds:
        raise UserError(f"kinds= is empty; give some of {list(KINDS)}.")
    cohorts = {  # refused before the first call
        kind: cohort if kind == "no_knowledge" else with_other_reports(cohort, seed) for kind in kinds
    }
    return {
        kind: fill_values(
            given,
            feats,
            ack=ack if kind == "other_report" else None,
            store=store if kind == "other_report" else None,
            engine=engine,
            uncertain=uncertain,
            progress=progress,
            checkpoint=Path(checkpoint) / kind if checkpoint is not None else None,
        )
        for kind, given in cohorts.items()
    }


def with_other_reports(cohort: Cohort, seed: int = 0) -> Cohort:
    """Return the cohort with each case's report fields taken, as they are, from a case of another patient.

    Raises
    ------
    CohortError
        If it has no report column, or one patient only.

    Examples
    --------
    >>> import dallm
    >>> cohort = dallm.make_cohort(20, seed=0)
    >>> other = with_other_reports(cohort)
    >>> other.ids.equals(cohort.ids), bool((other.frame["findings"] == cohort.frame["findings"]).any())
    (True, False)
    """
    if not cohort.report:
        raise CohortError(
            "The cohort has no report column, so there is none of another patient; declare report=, or leave "
            "'other_report' out of kinds=."
        )
    groups = cohort.frame[cohort.group] if cohort.group is not None else None
    patients = patients_of(groups, len(cohort))
    if len(np.unique(patients)) < 2:
        raise CohortError(
            "The cohort has one patient only; no report is of another. Leave 'other_report' out of kinds=."
        )
    taken = other_patients(patients, seed)
    frame = cohort.frame.copy()
    for column in cohort.report:
        frame[column] = cohort.frame[column].array.take(taken)
    return Cohort.quietly(
        frame,
        id=cohort.id,
        group=cohort.group,
        report=list(cohort.report),
        numeric=cohort.numeric,
        categorical=list(cohort.categorical),
        targets=list(cohort.targets),
        data_use=cohort.data_use,
        notes=(*cohort.notes, "Control: each case has the report of another patient."),
        synthetic=cohort.synthetic,
    )
