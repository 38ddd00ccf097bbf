"""The figures that the paper prints in its Tables 2 and 4."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

from dallm.resources import data_path

if TYPE_CHECKING:
    import pandas as pd


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(data_path("paper", "published.toml").read_text(encoding="utf-8"))


def table2() -> pd.DataFrame:
    """Return Table 2: a row per model, a column per vital sign and their mean.

    Examples
    --------
    >>> float(table2().loc["GPT-4", "mean"])
    1.548
    """
    import pandas as pd

    held = _tables()["table2"]
    made = pd.DataFrame.from_dict(held["rows"], orient="index", columns=held["columns"], dtype="float64")
    return made.rename_axis("model")


def table4() -> pd.DataFrame:
    """Return Table 4: indexed by feature set (original, augmented, expert, no_knowledge) and model.

    The column ``AUC`` is called so in the paper; it is the balanced accuracy of hard decisions. What the
    column ``p`` tests is not published.

    Examples
    --------
    >>> float(table4().loc[("augmented", "XGBoost"), "accuracy"])
    0.7865
    """
    import pandas as pd

    held = _tables()["table4"]
    rows = {(s, model): figures for s, models in held["rows"].items() for model, figures in models.items()}
    made = pd.DataFrame(list(rows.values()), columns=held["columns"], dtype="float64")
    made.index = pd.MultiIndex.from_tuples(list(rows), names=["feature_set", "model"])
    return made.astype({"relevant": "int64"})


def table4_feature_counts() -> dict[str, int]:
    """Return how many features each feature set of Table 4 has, as printed."""
    return dict(_tables()["table4"]["feature_sets"])


def table2_row(name: str) -> str | None:
    """Return the row of Table 2 that a name means, or None.

    Examples
    --------
    >>> table2_row("gpt3_5_aug_report"), table2_row("bcb_aug_report"), table2_row("mean")
    ('GPT-3.5', 'BioClinicalBERT', None)
    """
    said = re.sub(r"(?i)(?:^|(?<=_))(?:aug|report|text|filled|imputed)(?=_|$)", "", name).lower()
    squeezed = re.sub(r"[^a-z0-9]", "", said)
    for row, aliases in _tables()["table2"]["aliases"].items():
        if squeezed in aliases or squeezed == re.sub(r"[^a-z0-9]", "", row.lower()):
            return str(row)
    return None
