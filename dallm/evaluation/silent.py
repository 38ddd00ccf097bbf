"""Silent reports: where the report says nothing of a target, do the new columns still tell it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.engines.extractive.recognise import Recogniser
from dallm.errors import UserError
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.on_cases import RESAMPLES, on_cases
from dallm.features import Feature, normalise_name
from dallm.lexicon import Lexicon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort

FEWEST = 10
"""Silent cases of either class below which nothing is computed."""

SILENT = (
    "target",
    "feature_set",
    "model",
    "cases",
    "positives",
    "patients",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "verdict",
)
"""Columns of :func:`silent_reports`; `value` is a ROC AUC."""


def silent_reports(
    predictions: pd.DataFrame,
    cohort: Cohort,
    augmented: Augmented | None,
    groups: pd.Series[Any] | None,
    baseline: str | None,
    *,
    cases: pd.Index[Any] | None = None,
    aliases: Mapping[str, Iterable[str]] | None = None,
    feature_sets: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well each feature set tells a target from cases whose report says nothing of it.

    New columns are filled from reports. Where these are silent and the columns tell the target all the same,
    better than the measured columns do, they hold what no report says: other findings that go with it, or the
    label itself, by way of the text or the model that filled them.

    A report is silent of a target if it mentions neither it nor a parent or child of it in the lexicon,
    affirmed, denied or asked for, and no cell of a feature of that name has a quote. Nothing is fitted again:
    the out-of-fold predictions are restricted to these cases (:func:`.on_cases.on_cases`).

    Parameters
    ----------
    predictions : DataFrame
        Columns :data:`.fits.PREDICTIONS`.
    cohort : Cohort
        With the reports that the features were filled from.
    augmented : Augmented or None
        Its quotes count as mentions too.
    groups : Series or None
        The patient of each case.
    baseline : str or None
    cases : Index, optional
        Ids of the cases, in the order of the predictions' rows; by default the index of `groups`, else the
        cohort's ids.
    aliases : mapping of str to iterable of str, optional
        Further names of targets.
    feature_sets : sequence of str, optional
        Those to tell of; by default all.
    resamples, seed
        Of the intervals.

    Returns
    -------
    DataFrame
        Columns :data:`SILENT`; one row with a verdict and no figures for a target that too few reports are
        silent of.

    Raises
    ------
    UserError
        If the cohort has no report, or lacks a case.
    """
    if cases is None:
        cases = groups.index if groups is not None else cohort.ids
    place = cohort.ids.get_indexer(cases)
    if (place < 0).any():
        raise UserError(
            f"The cohort lacks {int((place < 0).sum()):,} of {len(cases):,} cases, so their reports are not "
            "there; give the cohort that the feature sets were made from, ids in the index."
        )
    predictions = predictions[predictions["feature_set"] != NO_FEATURES]
    targets = predictions["target"].unique().tolist()
    mentioned = mentions(cohort, targets, aliases=aliases, augmented=augmented).iloc[place]
    patients = np.arange(len(cases)) if groups is None else np.asarray(pd.factorize(groups)[0])
    if feature_sets is not None:
        wanted = [*feature_sets, *([baseline] if baseline is not None else [])]
        predictions = predictions[predictions["feature_set"].isin(wanted)]
    tables = []
    for target in targets:
        part = predictions[predictions["target"] == target]
        silent = ~mentioned[target].to_numpy(dtype=bool)
        tables.append(_of_target(target, part, silent, patients, groups, baseline, resamples, seed))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SILENT))


def mentions(
    cohort: Cohort,
    targets: Sequence[str],
    *,
    aliases: Mapping[str, Iterable[str]] | None = None,
    augmented: Augmented | None = None,
    lexicon: Lexicon | None = None,
) -> pd.DataFrame:
    """Return whether each report says anything of each target.

    Returns
    -------
    DataFrame of bool, shape (n_cases, n_targets)
        On the cohort's ids. A case without a report is silent.

    Raises
    ------
    UserError
        If the cohort has no report column.

    Examples
    --------
    >>> import dallm
    >>> texts = ["No effusion.", "Clear lungs.", "Pleural thickening."]
    >>> table = pd.DataFrame({"case": [1, 2, 3], "findings": texts})
    >>> cohort = dallm.Cohort(table, id="case", report="findings")
    >>> mentions(cohort, ["pleural effusion"])["pleural effusion"].tolist()
    [True, False, False]
    >>> mentions(cohort, ["pleural abnormality"])["pleural abnormality"].tolist()
    [True, False, True]
    """
    if not cohort.report:
        raise UserError("The cohort has no report column, so no report can be silent; declare report=.")
    lexicon = Lexicon.default() if lexicon is None else lexicon
    concepts = {c.name: c for c in lexicon.concepts}
    meant: dict[str, list[str]] = {}
    for target in targets:
        feature = Feature(target, "boolean", aliases=_others(target, (aliases or {}).get(target, ())))
        own = lexicon.concept_for(feature)
        concepts[own.name] = own
        kin = (*lexicon.ancestors(own.name), *lexicon.descendants(own.name))
        for name in (own.name, *kin):
            meant.setdefault(name, []).append(target)
    order = list(concepts)
    wanted = [n for n, name in enumerate(order) if name in meant]
    recogniser = Recogniser([concepts[name] for name in order], lexicon.groups, wanted=wanted)
    said = {target: np.zeros(len(cohort), dtype=bool) for target in targets}
    for position, case in enumerate(cohort.cases()):
        for text in case.report.values():
            for mention in recogniser.find(text):
                for target in meant.get(mention.concept.name, ()):
                    said[target][position] = True
    if augmented is not None:
        _add_quotes(said, meant, cohort, augmented, lexicon)
    return pd.DataFrame(said, index=cohort.ids)


def _others(target: str, names: Iterable[str]) -> tuple[str, ...]:
    own = normalise_name(target)
    return tuple(dict.fromkeys(name for name in names if normalise_name(name) != own))


def _add_quotes(
    said: Mapping[str, NDArray[np.bool_]],
    meant: Mapping[str, list[str]],
    cohort: Cohort,
    augmented: Augmented,
    lexicon: Lexicon,
) -> None:
    """Count a quote of a feature that stands for a target, or restates it, as a mention."""
    names = {normalise_name(target): target for target in said}
    for feature in augmented.features:
        concept = lexicon.find(feature.name)
        told = set(meant.get(concept.name, ()) if concept is not None else ())
        told |= {names[key] for key in (feature.key, normalise_name(feature.restates or "")) if key in names}
        if not told:
            continue
        quoted = augmented.evidence[augmented.evidence["feature"] == feature.name]
        inside = quoted.loc[quoted["field"].isin(list(cohort.report)), "case_id"]
        found = cohort.ids.get_indexer(pd.Index(inside.unique()))
        for target in told:
            said[target][found[found >= 0]] = True


def _of_target(
    target: str,
    part: pd.DataFrame,
    silent: NDArray[np.bool_],
    patients: NDArray[Any],
    groups: pd.Series[Any] | None,
    baseline: str | None,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    once = part[silent[part["row"].to_numpy(dtype=np.intp)]].drop_duplicates("row")
    yes = int(once["truth"].sum())
    sizes = {
        "cases": len(once),
        "positives": yes,
        "patients": len(np.unique(patients[once["row"].to_numpy(dtype=np.intp)])),
    }
    if min(yes, len(once) - yes) < FEWEST:
        said = (
            f"too few: {len(once):,} reports are silent of it, {yes:,} of them with the target; "
            f"{FEWEST} of either class are needed"
        )
        return pd.DataFrame([{"target": target, **sizes, "verdict": said}], columns=list(SILENT))
    found = on_cases(
        part, silent, groups, baseline, metrics=["roc_auc"], resamples=resamples, seed=seed, pooled=False
    )
    found = found.assign(**sizes)
    found["verdict"] = [_verdict(row, baseline) for row in found.to_dict("records")]
    return found[list(SILENT)]


def _verdict(row: Mapping[Any, Any], baseline: str | None) -> str:
    above = row["low"] > 0.5
    if row["feature_set"] == baseline or np.isnan(row["difference"]):
        return "tells the target" if above else "does not tell the target"
    if row["difference_low"] > 0:
        return f"tells the target though the report is silent, better than {baseline!r}"
    if above:
        return f"tells the target, no better than {baseline!r} does"
    return "does not tell the target"
