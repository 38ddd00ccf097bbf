"""The report of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.baselines import NO_FEATURES
from dallm.evaluation.fits import METRICS, Split
from dallm.evaluation.report import saying
from dallm.evaluation.report.drawn import Drawn
from dallm.evaluation.report.measured import Measured
from dallm.evaluation.report.paper_table import columns_of, make_table
from dallm.evaluation.scores import MACRO, POOLED, score_predictions
from dallm.evaluation.statistics import COMPARISONS, comparisons, intervals
from dallm.lazy import computed_once

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EvaluationReport(Measured, Drawn):
    """What an evaluation found. Printing it shows the verdict and the table.

    Figures are computed from the out-of-fold predictions when they are asked for; the same report gives the
    same figures, also when it was saved and loaded.

    Attributes
    ----------
    predictions : DataFrame
        Columns :data:`dallm.evaluation.fits.PREDICTIONS`, baselines without features among them.
    splits : list of Split
    cases : Index
        Ids of the cases, in the order that ``row`` of the predictions counts.
    baseline : str
        The feature set that the others are held against.
    sets : tuple of str
        The user's feature sets, in their order.
    groups : Series or None
        The patient of each case.
    controls : mapping of str to str
        Per control an empty text, or why it was not run.
    fits : DataFrame
        Columns :data:`dallm.evaluation.report.outcomes.FITS`.
    audit : DataFrame
        ``severity, kind, column, target, detail, feature_set``.
    importance : DataFrame or None
        Columns :data:`dallm.evaluation.report.outcomes.IMPORTANCE`.
    strata : DataFrame or None
        Labels of the subgroups, one column per grouping, one row per case.
    silent : DataFrame or None
        What silent reports show.
    settings : mapping
        What the result follows from: seed, versions, digests of the data, protocol, parameters of models.
    run : mapping
        When and where it was computed, which the result does not depend on.
    notes : tuple of str
        What a reader has to know.
    """

    predictions: pd.DataFrame
    splits: Sequence[Split]
    cases: pd.Index[Any]
    baseline: str
    sets: tuple[str, ...]
    groups: pd.Series[Any] | None = None
    controls: Mapping[str, str] = field(default_factory=dict)
    fits: pd.DataFrame = field(default_factory=pd.DataFrame)
    audit: pd.DataFrame = field(default_factory=pd.DataFrame)
    importance: pd.DataFrame | None = None
    strata: pd.DataFrame | None = None
    silent: pd.DataFrame | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """What was predicted."""
        return tuple(dict.fromkeys(split.target for split in self.splits))

    @property
    def metric(self) -> str:
        """The metric that the verdict and the p of the table speak of."""
        return "balanced_accuracy" if self.as_published else "roc_auc"

    @property
    def target(self) -> str:
        """What the table shows unless asked otherwise: the only target, or one of all targets.

        That is ``macro``, the mean over targets; under the protocol of the publication ``pooled``.
        """
        if len(self.targets) == 1:
            return self.targets[0]
        return POOLED if self.as_published else MACRO

    @property
    def feature_sets(self) -> tuple[str, ...]:
        """The user's feature sets, then the controls that were run."""
        there = self.predictions["feature_set"].unique().tolist()
        return tuple(name for name in dict.fromkeys([*self.sets, *there]) if name != NO_FEATURES)

    @computed_once
    def scores(self) -> pd.DataFrame:
        """Every metric of every test fold: feature_set, model, target, repeat, fold, metric, value.

        ``macro`` and ``pooled`` stand in the column target for what is measured over all targets of a
        repeat, with fold -1 (:func:`dallm.evaluation.scores.score_predictions`).
        """
        return score_predictions(self.predictions)

    def table(self, target: str | None = None, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one row per feature set and model, with the columns of the paper.

        Parameters
        ----------
        target : str, optional
            A target, ``"macro"`` (the mean over targets) or ``"pooled"`` (the decisions of all targets
            taken together); :attr:`target` without it.
        metrics : sequence of str, optional
            Other metrics than those of the paper.

        Returns
        -------
        DataFrame
            Index feature_set and model. Per metric its mean over test folds and its interval (``_low``,
            ``_high``); `p` of the difference with the baseline in :attr:`metric`, adjusted by Holm;
            `relevant`, how many features are. Baselines without features stand last, as feature set "none".

        Raises
        ------
        UserError
            If there is no such target or metric.
        """
        columns = columns_of(metrics, self.as_published)
        chosen = self._known_target(self.target if target is None else target)
        p = self.comparisons()
        return make_table(
            self.intervals(tuple(columns.values())),
            columns,
            chosen,
            p[p["metric"] == self.metric],
            self._relevant,
            self.feature_sets,
        )

    def intervals(self, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
        """Return each metric with its interval by resampling patients, per feature set, model and target.

        Columns feature_set, model, target, metric, value, low, high
        (:func:`dallm.evaluation.statistics.intervals`).
        """
        kept: dict[str, pd.DataFrame] = self._intervals
        lacking = tuple(name for name in metrics if name not in kept)
        if lacking:
            found = intervals(self.predictions, self.groups, metrics=lacking, seed=self._seed)
            kept |= {str(name): part for name, part in found.groupby("metric", sort=False)}
        return pd.concat([kept[name] for name in metrics], ignore_index=True)

    def comparisons(self, against: str | None = None) -> pd.DataFrame:
        """Return how each feature set differs from the baseline, with interval and adjusted p.

        Parameters
        ----------
        against : str, optional
            A control, to hold the feature sets against it instead; these make a family of their own.

        Returns
        -------
        DataFrame
            feature_set, baseline, model, target, metric, difference, low, high, p, p_adjusted, method
            (:func:`dallm.evaluation.statistics.comparisons`). `p_adjusted` is Holm's, over feature sets,
            models and targets within one metric.

        Raises
        ------
        UserError
            If there is no such control, or it was not run.
        """
        if against is None:
            return self._comparisons
        if against not in self._control_comparisons:
            reason = self.controls.get(against)
            if reason:
                raise UserError(f"Control {against!r} was not run, because {reason.rstrip('.')}.")
            known = list(self._control_comparisons)
            there = f"Controls that were run: {', '.join(map(repr, known))}." if known else "None was run."
            raise UserError(f"{against!r} is none of the controls.{did_you_mean(against, known)} {there}")
        return self._control_comparisons[against]

    def verdict(self) -> list[str]:
        """Return what one may say after this evaluation, in plain sentences."""
        return saying.sentences(self)

    def save(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write everything to a folder, as Parquet and JSON; :meth:`load` reads it back.

        :meth:`to_parquet` is the same.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        from dallm.evaluation.report.saving import save_report

        return save_report(self, Path(folder))

    def to_parquet(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write everything to a folder: another name of :meth:`save`, beside ``to_html`` and ``to_latex``."""
        return self.save(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> EvaluationReport:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ReaderError
            If a file is missing or cannot be read.
        """
        from dallm.evaluation.report.saving import load_report

        return load_report(Path(folder))

    def __repr__(self) -> str:
        models = list(dict.fromkeys(self.fits["model"])) if "model" in self.fits else []
        return (
            f"EvaluationReport({', '.join(self.feature_sets)}; {', '.join(models)}; "
            f"{', '.join(self.targets)})"
        )

    def __str__(self) -> str:
        return saying.as_text(self)

    @property
    def _seed(self) -> int:
        return int(self.settings.get("seed", 0))

    def _known_target(self, target: str) -> str:
        known = (*self.targets, MACRO, POOLED)
        if target not in known:
            raise UserError(
                f"There is no target {target!r}.{did_you_mean(target, known)} Targets: {', '.join(known)}."
            )
        return target

    @computed_once
    def _intervals(self) -> dict[str, pd.DataFrame]:
        return {}

    @computed_once
    def _comparisons(self) -> pd.DataFrame:
        others = [name for name in self.sets if name != self.baseline]
        if not others:
            return pd.DataFrame(columns=list(COMPARISONS))
        return self._compared(self.baseline, others, METRICS)

    @computed_once
    def _control_comparisons(self) -> dict[str, pd.DataFrame]:
        """Per control that was run how the feature sets differ from it."""
        others = [name for name in self.sets if name != self.baseline] or list(self.sets)
        there = set(self.predictions["feature_set"].unique())
        run = [name for name, reason in self.controls.items() if not reason and name in there]
        return {name: self._compared(name, others, (self.metric,)) for name in run}

    def _compared(self, baseline: str, sets: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
        wanted = self.scores[self.scores["metric"].isin(metrics)]
        return comparisons(
            self.predictions,
            self.splits,
            self.groups,
            baseline=baseline,
            metrics=metrics,
            feature_sets=sets,
            scores=wanted,
            seed=self._seed,
        )
