"""What a report is drawn and written as: figures, a page, LaTeX."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dallm.evaluation.scores import POOLED
from dallm.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dallm.evaluation.report.evaluation_report import EvaluationReport


class Drawn:
    """The methods of :class:`EvaluationReport` that give figures and pages."""

    @property
    def _report(self) -> EvaluationReport:
        return cast("EvaluationReport", self)

    def plot_gains(self, metric: str | None = None) -> Figure:
        """Draw the differences of the feature sets with their intervals.

        Raises
        ------
        UserError
            If there is no such metric.
        """
        from dallm.evaluation.report.paper_table import check_metric
        from dallm.evaluation.report.plots import plot_gains

        if metric is not None:
            check_metric(metric)
        return plot_gains(self._report.comparisons(), metric or self._report.metric)

    def plot_reliability(self, target: str = POOLED) -> Figure:
        """Draw the reliability curves of the user's feature sets, one panel per model."""
        from dallm.evaluation.report.plots import plot_reliability

        found = self._report.calibration()
        chosen = found[(found["target"] == target) & found["feature_set"].isin(self._report.sets)]
        return plot_reliability(chosen, self._report.sets)

    def plot_importances(
        self, feature_set: str | None = None, target: str | None = None, most: int | None = None
    ) -> Figure:
        """Draw importances, one panel per model: Figures 3 and 4 of the paper.

        Raises
        ------
        UserError
            If none were measured.
        """
        from dallm.evaluation.importance.plots import plot_importances

        return plot_importances(
            self._report.importances(),
            feature_set=feature_set or self._report.sets[-1],
            target=target,
            most=most,
        )

    def plot_ratings(self, path: str | os.PathLike[str], feature_set: str | None = None) -> Figure:
        """Draw the correlations of importances with ratings: Figure 5 of the paper."""
        from dallm.evaluation.importance.plots import plot_ratings

        found = self._report.ratings(path)
        chosen = found.table["feature_set"] == (feature_set or self._report.sets[-1])
        return plot_ratings(found.table[chosen], found.notes)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as one page with tables and plots; with `path`, write it there, too.

        Raises
        ------
        OutputError
            If the file cannot be written there.
        """
        from dallm.evaluation.report.page import to_page

        made = to_page(self._report)
        if path is not None:
            write_text(Path(path), made)
        return made

    def to_latex(
        self,
        path: str | os.PathLike[str] | None = None,
        target: str | None = None,
        *,
        intervals: bool = True,
    ) -> str:
        """Return the table in LaTeX (``booktabs``); with `path`, write it there, too.

        Parameters
        ----------
        path : path, optional
        target : str, optional
            As in :meth:`EvaluationReport.table`.
        intervals : bool
            Whether they stand below the figures.

        Raises
        ------
        OutputError
            If the file cannot be written there.
        """
        from dallm.evaluation.report.latex import to_latex
        from dallm.evaluation.report.saying import head

        made = to_latex(self._report.table(target), f"{head(self._report, target)}.", intervals=intervals)
        if path is not None:
            write_text(Path(path), made)
        return made

    def _repr_html_(self) -> str:
        from dallm.evaluation.report.page import short

        return short(self._report)
