"""Which features a model needs: measured on held-out folds, against columns of noise."""

from __future__ import annotations

from dallm.evaluation.importance.permutation import PermutationImportance
from dallm.evaluation.importance.ratings import correlate_ratings, read_ratings
from dallm.evaluation.importance.summary import relevant_counts, summarise

__all__ = [
    "PermutationImportance",
    "correlate_ratings",
    "read_ratings",
    "relevant_counts",
    "summarise",
]
