"""What an evaluation found: figures with intervals, comparisons, and a page of them."""

from __future__ import annotations

from dallm.evaluation.report.evaluation_report import EvaluationReport
from dallm.evaluation.report.outcomes import from_outcomes

__all__ = ["EvaluationReport", "from_outcomes"]
