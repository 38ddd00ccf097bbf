"""What the test on silent reports says, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dallm.case_ids import count
from dallm.evaluation.silent import FEWEST

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3


def of_silent(found: pd.DataFrame | None, baseline: str) -> list[str]:
    """Return whether new columns tell a target of which the report says nothing; nothing if not run.

    Parameters
    ----------
    found : DataFrame or None
        Columns :data:`dallm.evaluation.silent.SILENT`.
    baseline : str

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"target": "edema", "feature_set": "new", "model": "tree", "value": 0.7, "low": 0.6,
    ...        "high": 0.8, "difference": 0.1, "difference_low": -0.02, "difference_high": 0.22}
    >>> print(of_silent(pd.DataFrame([row]), "old")[0].replace("; ", ";" + chr(10)))
    Silent reports: new columns tell the target no better than 'old' in 1 comparison;
    see silent_reports(). Its intervals are not adjusted for the number of comparisons.
    """
    if found is None or found.empty:
        return []
    tested = found[found["difference"].notna()]
    few = list(dict.fromkeys(found.loc[found["value"].isna(), "target"]))
    lacking = f"{', '.join(few)}: fewer than {FEWEST} silent reports with it, or without it" if few else ""
    if tested.empty:
        return [f"Silent reports: too few to tell anything ({lacking})."] if few else []
    better = tested[tested["difference_low"] > 0].sort_values("difference", ascending=False, kind="stable")
    many = count(len(tested), "comparison")
    if better.empty:
        said = f"new columns tell the target no better than {baseline!r} in {many}"
    else:
        named = "; ".join(
            f"{row['feature_set']}, {row['model']}, {row['target']}: AUC {row['difference']:+.3f}, "
            f"95 % interval {row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            for row in better.head(_SHOWN).to_dict("records")
        )
        more = f"; and {len(better) - _SHOWN} more" if len(better) > _SHOWN else ""
        said = (
            f"though the report says nothing of it, new columns tell the target better than {baseline!r} in "
            f"{len(better)} of {many} ({named}{more}): they may hold what stands in no report, the label "
            "itself included"
        )
    also = f" Too few to tell: {lacking}." if few else ""
    return [
        f"Silent reports: {said}; see silent_reports(). Its intervals are not adjusted for the number of "
        f"comparisons.{also}"
    ]
