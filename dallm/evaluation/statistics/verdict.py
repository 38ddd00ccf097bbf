"""What the comparisons say, in a few plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dallm.evaluation.scores import MACRO, POOLED
from dallm.evaluation.statistics.resampling import gain

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_TITLES = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "ece": "calibration error",
}
_SHOWN = 3  # comparisons that one sentence names


def verdict(
    comparisons: pd.DataFrame,
    controls: Mapping[str, pd.DataFrame | str] | None = None,
    *,
    metric: str = "roc_auc",
    alpha: float = 0.05,
) -> list[str]:
    """Return what one may say after these comparisons, feature set by feature set.

    Parameters
    ----------
    comparisons : DataFrame
        As :func:`.comparing.comparisons` returns it.
    controls : mapping of str to DataFrame or str, optional
        Per control the comparisons of the feature sets with it as the baseline, or why it was not run.
    metric : str
        The one the sentences speak of.
    alpha : float
        Up to which adjusted p a difference is claimed.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"feature_set": "augmented", "baseline": "original", "model": "tree", "target": "finding",
    ...        "metric": "roc_auc", "difference": 0.04, "low": -0.01, "high": 0.09, "p": 0.1,
    ...        "p_adjusted": 0.2, "method": "t"}
    >>> lines = verdict(pd.DataFrame([row]), {"random": "it was not asked for"})
    >>> print(lines[0].replace(" (", chr(10) + "("))
    There is no evidence of a difference between 'augmented' and 'original' in ROC AUC
    (1 comparison; the largest: +0.040, 95 % interval -0.010 to +0.090, adjusted p 0.20: tree, finding).
    >>> lines[1]
    "Control 'random' was not run, because it was not asked for."
    """
    of_metric = comparisons[comparisons["metric"] == metric]
    beaten = {
        control: _gained(found[found["metric"] == metric], metric, alpha)
        for control, found in (controls or {}).items()
        if not isinstance(found, str)
    }
    lines: list[str] = []
    for (name, baseline), part in of_metric.groupby(["feature_set", "baseline"], sort=False):
        lines += _of_set(str(name), str(baseline), part, metric, alpha, beaten)
    if not lines:
        lines = [f"No feature set was compared with another in {_title(metric)}."]
    for control, found in (controls or {}).items():
        if isinstance(found, str):
            lines.append(f"Control {control!r} was not run, because {found}.")
        else:
            lines += _of_control(control, found[found["metric"] == metric], metric, alpha)
    return lines


def _gained(part: pd.DataFrame, metric: str, alpha: float) -> set[tuple[str, str, str]]:
    """Return feature set, model and target of the comparisons that are gains."""
    sure = part[(part["p_adjusted"] < alpha) & (part["difference"] * gain(metric) > 0)]
    return set(sure[["feature_set", "model", "target"]].astype(str).itertuples(index=False, name=None))


def _of_set(
    name: str,
    baseline: str,
    part: pd.DataFrame,
    metric: str,
    alpha: float,
    beaten: Mapping[str, set[tuple[str, str, str]]],
) -> list[str]:
    """Return what is to be said of one feature set; `beaten` holds the gains over each control."""
    known = part[part["p_adjusted"].notna()]
    skipped = len(part) - len(known)
    lines: list[str] = []
    sure = known[known["p_adjusted"] < alpha]
    for word, sign in (("better", 1), ("worse", -1)):
        found = sure[sure["difference"] * gain(metric) * sign > 0]
        if len(found):
            lines.append(
                f"{name!r} is {word} than {baseline!r} in {_title(metric)} in {len(found)} of "
                f"{_counted(len(known))}: {_named(found)}.{_unless(found, beaten) if sign > 0 else ''}"
            )
    if len(known) and not lines:
        largest = known.loc[[known["difference"].abs().idxmax()]]
        lines.append(
            f"There is no evidence of a difference between {name!r} and {baseline!r} in {_title(metric)} "
            f"({_counted(len(known))}; the largest: {_named(largest)})."
        )
    if skipped:
        reason = part.loc[part["p_adjusted"].isna(), "method"].iloc[0]
        lines.append(
            f"{_counted(skipped)} of {name!r} with {baseline!r} in {_title(metric)} could not be tested "
            f"({reason})."
        )
    return lines


def _unless(found: pd.DataFrame, beaten: Mapping[str, set[tuple[str, str, str]]]) -> str:
    """Return which controls these gains do not exceed."""
    of = found[["feature_set", "model", "target"]].astype(str).itertuples(index=False, name=None)
    claimed = list(of)
    not_beaten = {control: sum(one not in over for one in claimed) for control, over in beaten.items()}
    said = [f"{control!r} in {count}" for control, count in not_beaten.items() if count]
    if not said:
        return ""
    return f" Of these {len(claimed)}, it is not shown to be better than the control {', '.join(said)}."


def _of_control(control: str, part: pd.DataFrame, metric: str, alpha: float) -> list[str]:
    """Return which feature sets beat a control, and which it beats."""
    lines: list[str] = []
    for name, rows in part.groupby("feature_set", sort=False):
        known = rows[rows["p_adjusted"].notna()]
        sure = known[known["p_adjusted"] < alpha]
        told = f"the control {control!r} in {_title(metric)}"
        found = len(lines)
        for word, sign in (("beats", 1), ("is worse than", -1)):
            those = sure[sure["difference"] * gain(metric) * sign > 0]
            if len(those):
                lines.append(
                    f"{str(name)!r} {word} {told} in {len(those)} of {_counted(len(known))}: {_named(those)}."
                )
        if len(known) and len(lines) == found:
            largest = known.loc[[known["difference"].abs().idxmax()]]
            lines.append(
                f"There is no evidence that {str(name)!r} differs from {told} ({_counted(len(known))}; the "
                f"largest: {_named(largest)}): its gain, if any, may be due to what the control has too."
            )
    return lines or [f"Control {control!r} gave no comparison in {_title(metric)}."]


def _named(rows: pd.DataFrame) -> str:
    """Return the first few comparisons: those over all targets first, then by size."""
    over_all = rows["target"].isin([MACRO, POOLED])
    size = rows["difference"].abs()
    ranked = rows.assign(_over=over_all, _size=size).sort_values(["_over", "_size"], ascending=False)
    parts = [
        f"{row['difference']:+.3f}, 95 % interval {row['low']:+.3f} to {row['high']:+.3f}, adjusted p "
        f"{_p(row['p_adjusted'])}: {row['model']}, {_target(row['target'])}"
        for row in ranked.head(_SHOWN).to_dict("records")
    ]
    more = len(rows) - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more else "")


def _target(name: str) -> str:
    """Return a target in words."""
    return {MACRO: "mean over targets", POOLED: "all decisions together"}.get(name, name)


def _title(metric: str) -> str:
    """Return a metric in words."""
    return _TITLES.get(metric, metric)


def _counted(count: int) -> str:
    """Return a number of comparisons in words."""
    return f"{count} comparison" + ("" if count == 1 else "s")


def _p(value: float) -> str:
    """Return a p value as tables print it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
