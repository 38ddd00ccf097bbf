"""What the columns of a report's tables mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dallm.evaluation.report.evaluation_report import EvaluationReport

METRICS_SAID = {
    "accuracy": "share of right decisions",
    "AUC": "area under the ROC curve, of the probabilities: the chance that a case with the target gets a "
    "higher probability than one without",
    "AUC (balanced accuracy)": "what the publication prints as AUC: the balanced accuracy of the hard "
    "decisions, which is the area under the ROC curve of decisions and not of probabilities",
    "precision": "share of the cases decided yes that have the target",
    "F1": "harmonic mean of precision and recall",
    "recall": "share of the cases with the target that are decided yes",
    "average precision": "area under the curve of precision over recall, as the sum of steps",
    "balanced accuracy": "mean of the recalls of both classes",
    "Brier score": "mean squared distance of probability and truth; smaller is better",
    "calibration error": "mean distance of rate and mean probability over ten bins of equal mass; smaller is "
    "better",
}

_COLUMNS = {
    "feature set": "the columns that a model got; controls are told of below; none: no column at all",
    "always_no, prevalence, mean": "baselines without features: say no to all; say yes at random, at the "
    "rate of the training cases; give that rate as the probability of all",
    "interval": "95 %, by drawing patients with replacement from the out-of-fold predictions. It says how "
    "sure the figure is for the models as fitted; the comparisons allow for other training samples too",
    "difference": "feature set minus what it is held against, on the same folds and patients",
    "p": "of the difference with the baseline feature set in {metric}, two-sided, adjusted by Holm over "
    "feature sets, models and targets within one metric",
    "relevant features": "columns whose permutation in held-out folds costs more ROC AUC on average "
    "than that of any column of noise appended before fitting{published}; in parentheses how many would be "
    "if none told anything, at most",
    "macro": "mean over targets",
    "pooled": "decisions for all targets taken together",
    "decisions": "{operating}: yes from there on",
}

_PUBLISHED = "; under this protocol the rule of the paper's code: more than one column of noise"


def definitions(report: EvaluationReport) -> list[tuple[str, str]]:
    """Return each term of the tables with what it means here."""
    from dallm.evaluation.report.decided import decided
    from dallm.evaluation.report.paper_table import TITLES, paper_metrics

    words = {
        "metric": TITLES.get(report.metric, report.metric),
        "operating": decided(report.settings),
        "published": _PUBLISHED if report.as_published else "",
    }
    shown = paper_metrics(report.as_published)
    metrics = [(name, said) for name, said in METRICS_SAID.items() if name in shown]
    others = [
        (name, said)
        for name, said in METRICS_SAID.items()
        if name not in shown and (name != "AUC (balanced accuracy)" or report.as_published)
    ]
    return [*metrics, *others, *((name, said.format(**words)) for name, said in _COLUMNS.items())]
