"""How sure the figures of an evaluation are: intervals, differences, adjustments, a verdict in words."""

from dallm.evaluation.statistics.comparing import COMPARISONS, comparisons
from dallm.evaluation.statistics.delong import clustered_delong
from dallm.evaluation.statistics.holm import holm
from dallm.evaluation.statistics.resampled import Spread, corrected_spread, limits, two_sided
from dallm.evaluation.statistics.resampling import Draws, draw, intervals, intervals_of
from dallm.evaluation.statistics.verdict import verdict

__all__ = [
    "COMPARISONS",
    "Draws",
    "Spread",
    "clustered_delong",
    "comparisons",
    "corrected_spread",
    "draw",
    "holm",
    "intervals",
    "intervals_of",
    "limits",
    "two_sided",
    "verdict",
]
