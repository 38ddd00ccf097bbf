"""What a report tells besides scores and comparisons."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.report import saying
from dallm.lazy import computed_once

if TYPE_CHECKING:
    from dallm.evaluation.fits import Split
    from dallm.evaluation.importance.ratings import RatingCorrelation


class Measured:
    """The methods of :class:`EvaluationReport` about leakage, features, subgroups, calibration, devices."""

    predictions: pd.DataFrame
    splits: Sequence[Split]
    groups: pd.Series[Any] | None
    baseline: str
    fits: pd.DataFrame
    audit: pd.DataFrame
    importance: pd.DataFrame | None
    strata: pd.DataFrame | None
    silent: pd.DataFrame | None
    settings: Any

    @property
    def as_published(self) -> bool:
        """Whether the protocol is that of the publication."""
        return str(self.settings.get("protocol", "")).startswith("as_published")

    def leakage(self) -> pd.DataFrame:
        """Return what the audit found: severity ("refuse", "suspect"), kind, column, target, detail."""
        heads = ["severity", "kind", "column", "target", "detail", "feature_set"]
        return self.audit if len(self.audit.columns) else pd.DataFrame(columns=heads)

    def silent_reports(self) -> pd.DataFrame | None:
        """Return what is told of a target where the report says nothing of it, None if not run."""
        return self.silent

    def subgroups(self) -> pd.DataFrame | None:
        """Return every metric and the gain over the baseline, per subgroup; None without subgroups.

        Columns :data:`dallm.evaluation.subgroups.SUBGROUPS`.
        """
        return self._subgroups

    def importances(self, quantile: float = 1.0) -> pd.DataFrame:
        """Return how much the ROC AUC of held-out folds drops when a feature is permuted.

        Parameters
        ----------
        quantile : float, default=1.0
            Of the columns of noise: what a relevant feature has to exceed. 1 is the highest of them.

        Returns
        -------
        DataFrame
            :data:`dallm.evaluation.importance.summary.COLUMNS`; empty where none were measured.
        """
        if self.importance is None or quantile == 1.0:
            return self._importances
        from dallm.evaluation.importance import summarise

        return summarise(self.importance, self.splits, quantile=quantile)

    @property
    def importance_note(self) -> str:
        """How importances were measured, and whether SHAP values are among them."""
        return saying.of_importances(self.importance)

    def ratings(self, path: str | os.PathLike[str]) -> RatingCorrelation:
        """Correlate importances with clinicians' ratings of the features.

        Parameters
        ----------
        path : path
            CSV with columns feature, rater, plausibility, relevance
            (:func:`dallm.evaluation.importance.read_ratings`).
        """
        from dallm.evaluation.importance import correlate_ratings, read_ratings

        return correlate_ratings(self.importances(), read_ratings(path))

    def calibration(self) -> pd.DataFrame:
        """Return the reliability curves: feature_set, model, target, probability, rate, cases."""
        return self._calibration

    def ran_on(self) -> pd.DataFrame:
        """Return where each model ran: model, device, fits, seconds (their sum)."""
        if self.fits.empty:
            return pd.DataFrame(columns=["model", "device", "fits", "seconds"])
        grouped = self.fits.groupby(["model", "device"], sort=False)["seconds"]
        return grouped.agg(["size", "sum"]).set_axis(["fits", "seconds"], axis=1).reset_index()

    @computed_once
    def _relevant(self) -> pd.DataFrame | None:
        from dallm.evaluation.importance import relevant_counts
        from dallm.evaluation.importance.summary import noise_columns

        if self.importance is None:
            return None
        rule = "published_rule" if self.as_published else "relevant"
        return relevant_counts(self.importances(), rule, noise=noise_columns(self.importance))

    @computed_once
    def _subgroups(self) -> pd.DataFrame | None:
        from dallm.evaluation.subgroups import subgroup_scores

        if self.strata is None:
            return None
        return subgroup_scores(
            self.predictions,
            self.strata,
            self.groups,
            self.baseline,
            seed=int(self.settings.get("seed", 0)),
        )

    @computed_once
    def _importances(self) -> pd.DataFrame:
        from dallm.evaluation.importance import summarise
        from dallm.evaluation.importance.summary import COLUMNS

        if self.importance is None:
            return pd.DataFrame(columns=list(COLUMNS))
        return summarise(self.importance, self.splits)

    @computed_once
    def _calibration(self) -> pd.DataFrame:
        from dallm.evaluation.report.plots import calibration_frame

        return calibration_frame(self.predictions[self.predictions["feature_set"] != NO_FEATURES])
