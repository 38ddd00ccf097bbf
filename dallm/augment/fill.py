"""Stage III, filling: a value with status and evidence for every case and feature."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dallm
from dallm.augment.augmented import Augmented
from dallm.augment.cells import UNCERTAIN, Uncertain
from dallm.augment.checkpoint import Checkpoint
from dallm.augment.verification import verified
from dallm.cohort import Cohort
from dallm.engines.base import CaseAnswer, Engine
from dallm.errors import CohortError, FeatureError, UserError, did_you_mean
from dallm.features import Feature, FeatureSet, normalise_name
from dallm.knowledge.progress import progress_of

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.knowledge.stores.base import KnowledgeStore


def fill_values(
    cohort: Cohort,
    features: FeatureSet | Sequence[Feature],
    ack: Ack | None = None,
    store: KnowledgeStore | None = None,
    engine: Engine | None = None,
    uncertain: Uncertain = "missing",
    *,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> Augmented:
    """Fill features for every case of a cohort.

    Parameters
    ----------
    cohort : Cohort
        Needs a report or measured columns. Targets are never shown to the engine.
    features : FeatureSet or sequence of Feature
    ack : Ack, optional
        Clinical knowledge for engines that use it; the extractive engine does not.
    store : KnowledgeStore, optional
        Kept with the result's settings; for engines that look things up.
    engine : Engine, optional
        By default the extractive engine.
    uncertain : {"missing", "present", "absent"}, default="missing"
        Value of a boolean cell whose finding the report only considers; its status stays ``uncertain``.
    progress : bool, default=False
        Show progress on standard error.
    checkpoint : path, optional
        Folder in which answers are kept while the run goes on. The same call with the same folder goes on
        from there after an interruption; the answers stay until the folder is removed.

    Returns
    -------
    Augmented

    Raises
    ------
    CohortError
        If the cohort has nothing to fill from.
    FeatureError
        If there is no feature, or one cannot become a column.

    Warns
    -----
    UserWarning
        If a feature restates a target of the cohort.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"case": ["a", "b"], "findings": ["Small left effusion.", "No effusion."]})
    >>> cohort = Cohort(frame, id="case", report="findings", data_use="open")
    >>> filled = fill_values(cohort, [Feature("pleural effusion", "boolean"), Feature("fever", "boolean")])
    >>> filled.frame["pleural effusion"].tolist(), filled.frame["fever"].tolist()
    ([True, False], [<NA>, <NA>])
    """
    features = _checked(cohort, features, uncertain)
    if engine is None:
        engine = dallm.engine("extractive")
    engine = engine_for(engine, cohort)
    kept = Checkpoint(checkpoint, run_key(cohort, features, engine, ack)) if checkpoint is not None else None
    answers = _answers(cohort, features, engine, ack, kept)
    with progress_of("Filling", len(cohort), show=progress) as step:
        return Augmented.from_answers(
            cohort,
            features,
            _counted(answers, step, show=progress),
            engine=engine.name,
            model=engine.model,
            uncertain=uncertain,
            ack=ack,
            run={"store": repr(store)} if store is not None else None,
        )


def engine_for(engine: Engine, cohort: Cohort) -> Engine:
    """Return the engine for a cohort; one that sends text elsewhere first checks whose text it is."""
    bound = getattr(engine, "for_cohort", None)
    return engine if bound is None else bound(cohort)


def _checked(cohort: Cohort, features: FeatureSet | Sequence[Feature], uncertain: str) -> FeatureSet:
    if not isinstance(cohort, Cohort):
        raise CohortError(f"fill_values needs a dallm.Cohort, got {type(cohort).__name__}.")
    if uncertain not in UNCERTAIN:
        near = did_you_mean(uncertain, UNCERTAIN)
        raise UserError(f"uncertain must be one of {list(UNCERTAIN)}, got {uncertain!r}.{near}")
    features = FeatureSet(features)
    if not len(features):
        raise FeatureError("There is no feature to fill; discover some or name them.")
    if not (cohort.report or cohort.numeric or cohort.categorical):
        raise CohortError(
            "The cohort has nothing to fill from: declare report=, numeric= or categorical= columns."
        )
    targets = {normalise_name(target) for target in cohort.targets}
    again = [f.name for f in features if targets & {f.key, normalise_name(f.restates or f.key)}]
    if again:
        warnings.warn(
            f"These features restate a target: {', '.join(again)}. A model that gets them is told what it is "
            "to predict; leave them out unless that is what you study.",
            UserWarning,
            stacklevel=3,
        )
    return features


def run_key(cohort: Cohort, features: FeatureSet, engine: Engine, ack: Ack | None) -> str:
    """Return a digest of all that the answers of a run depend on."""
    parts = (
        dallm.__version__,
        cohort.sha256,
        str(features.to_json()),
        engine.name,
        str(engine.model),
        str(getattr(engine, "digest", "")),
        ack.digest if ack is not None else "",
    )
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _answers(
    cohort: Cohort, features: FeatureSet, engine: Engine, ack: Ack | None, kept: Checkpoint | None
) -> Iterator[CaseAnswer]:
    done = kept.resumed()[: len(cohort)] if kept is not None else []
    yield from done
    left = itertools.islice(cohort.cases(), len(done), None)
    to_engine, to_check = itertools.tee(left)
    fresh: Iterator[CaseAnswer] = verified(
        engine.fill(to_engine, features, ack), to_check, features, engine=engine
    )
    yield from kept.keeping(fresh, len(done)) if kept is not None else fresh


def _counted(answers: Iterator[CaseAnswer], step: Any, *, show: bool) -> Iterator[CaseAnswer]:
    if not show:
        yield from answers
        return
    for answer in answers:
        step("")  # ids of patients do not belong in a log
        yield answer
