"""The three stages at once: knowledge, questions, features and their values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import dallm
from dallm.augment.augmented import Augmented
from dallm.augment.cells import Uncertain
from dallm.augment.discover import discover_features
from dallm.augment.fill import fill_values
from dallm.cohort import Cohort
from dallm.engines.base import Engine
from dallm.errors import FeatureError, UserError
from dallm.features import Feature
from dallm.knowledge.primer_store import primer_store

if TYPE_CHECKING:
    from dallm.ack.queries import ExpertQuery
    from dallm.knowledge.stores.base import KnowledgeStore


def augment(
    cohort: Cohort,
    conditions: Sequence[str],
    store: KnowledgeStore | None = None,
    engine: Engine | None = None,
    *,
    features: Sequence[Feature] = (),
    queries: Sequence[ExpertQuery] | None = None,
    uncertain: Uncertain = "missing",
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> Augmented:
    """Gather knowledge, discover the features that it names, and fill them for every case.

    Parameters
    ----------
    cohort : Cohort
    conditions : sequence of str
        What to ask about, for example ``["pleural effusion", "atelectasis"]``.
    store : KnowledgeStore, optional
        Where the knowledge lies. By default a temporary store with dallm's own primer, searched by words
        (on so small a text the encoder finds the same features and takes half a minute to load).
    engine : Engine, optional
        By default the extractive engine.
    features : sequence of Feature, default=()
        Features of your own, filled beside those discovered.
    queries : sequence of ExpertQuery, optional
        By default ``dallm.EXPERT_QUERIES``.
    uncertain, progress, checkpoint
        As in :func:`dallm.fill_values`.

    Returns
    -------
    Augmented
        With the knowledge corpus as its ``ack``.

    Raises
    ------
    FeatureError
        If nothing was discovered and no feature given.

    Examples
    --------
    >>> import dallm
    >>> cohort = dallm.make_cohort(20, seed=0)
    >>> augmented = dallm.augment(cohort, conditions=["pleural effusion"])
    >>> "dyspnea" in augmented.features.names
    True
    """
    if isinstance(conditions, str):
        conditions = [conditions]
    if not conditions:
        raise UserError("augment needs at least one condition, for example conditions=['pleural effusion'].")
    if engine is None:
        engine = dallm.engine("extractive")
    gathered = primer_store(conditions, progress=progress) if store is None else nullcontext(store)
    with gathered as held:
        ack = dallm.build_ack(
            held, conditions=conditions, queries=queries or dallm.EXPERT_QUERIES, engine=engine
        )
    found = discover_features(ack, cohort=cohort, engine=engine)
    chosen = found + [f for f in features if f.name not in found.names]
    if not len(chosen):
        raise FeatureError(
            "The knowledge names no feature that the cohort lacks; give some with features=, or ingest more."
        )
    return fill_values(
        cohort, chosen, ack=ack, engine=engine, uncertain=uncertain, progress=progress, checkpoint=checkpoint
    )
