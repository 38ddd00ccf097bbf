"""By what a report's decisions were made, and how they compare with saying the same to all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dallm.case_ids import count
from dallm.evaluation.baselines import NO_FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dallm.evaluation.report.evaluation_report import EvaluationReport

_BEST = {
    "f1": "the best F1",
    "youden": "the best sum of sensitivity and specificity",
    "accuracy": "the best accuracy",
}
_AT_STAKE = {
    "f1": ", which gives accuracy away for recall, above all where a target is rare",
    "youden": ", which weighs both classes alike and gives accuracy away where one of them is rare",
}


def decided(settings: Mapping[str, Any]) -> str:
    """Return by what decisions were made.

    Examples
    --------
    >>> decided({"operating_point": "f1"})
    'decisions at the threshold with the best F1 in the training fold'
    >>> decided({"operating_point": 0.5})
    'decisions at a probability of 0.5'
    """
    point = settings.get("operating_point")
    if point is None:
        return "decisions at an operating point that was not recorded"
    if point in _BEST:
        return f"decisions at the threshold with {_BEST[point]} in the training fold"
    return f"decisions at a probability of {float(point):g}"


def of_accuracy(report: EvaluationReport) -> list[str]:
    """Return how many rows of the table are no more accurate than saying the commoner answer to all."""
    scores = report.scores
    here = scores[(scores["metric"] == "accuracy") & (scores["target"] == report.target)]
    means = here.groupby(["feature_set", "model"], sort=False)["value"].mean()
    never = means.get((NO_FEATURES, "always_no"))
    rows = means[means.index.get_level_values("feature_set") != NO_FEATURES]
    if never is None or not len(rows):
        return []
    answer, share = ("no", float(never)) if never >= 0.5 else ("yes", 1 - float(never))
    below = int((rows <= share + 1e-12).sum())
    if not below:
        return []
    return [
        f"Always saying {answer} has an accuracy of {share:.3f}; {below} of the {count(len(rows), 'row')} of "
        f"the table do not exceed it. {_why(report.settings)}"
    ]


def _why(settings: Mapping[str, Any]) -> str:
    point = settings.get("operating_point")
    if point == "accuracy":
        return (
            f"These are {decided(settings)}: even so they are no more often right. The AUC does not depend "
            "on the threshold."
        )
    return (
        "Accuracy depends on the operating point; these are "
        f"{decided(settings)}{_AT_STAKE.get(point, '')}. "  # type: ignore[arg-type]
        "operating_point='accuracy' chooses it by accuracy; the AUC does not depend on it."
    )
