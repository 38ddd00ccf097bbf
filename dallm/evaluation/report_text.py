"""The report as a column of its own, and its words as numbers, learnt inside the training fold."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dallm.cohort import Cohort

REPORT_TEXT = "report text (TF-IDF)"
"""Name of the column that models read as text: one column of a feature set, many numbers for a model."""

COMPONENTS = 50
"""Into at most so many numbers the words of a report are condensed."""

_MOST_TERMS = 20_000


def joined_reports(cohort: Cohort) -> pd.Series[Any]:
    """Return each case's report in one text, indexed by id; missing where the report is empty.

    Examples
    --------
    >>> import dallm
    >>> table = pd.DataFrame({"case": [1, 2], "findings": ["Clear.", ""], "impression": ["Normal.", None]})
    >>> cohort = dallm.Cohort(table, id="case", report=["findings", "impression"])
    >>> [None if pd.isna(text) else text for text in joined_reports(cohort)]
    ['Clear.\\nNormal.', None]
    """
    texts = ["\n".join(case.report.values()) or None for case in cohort.cases()]
    return pd.Series(pd.array(texts, dtype="string"), index=cohort.ids, name=REPORT_TEXT)


class ReportWords:
    """TF-IDF of words and pairs of words, condensed by a singular value decomposition.

    Parameters
    ----------
    components : int
        At most; fewer where the training reports have fewer terms.

    Examples
    --------
    >>> texts = pd.Series(["small effusion", "no effusion seen", "clear lungs", "clear lungs seen"] * 3)
    >>> ReportWords().fit(texts).transform(pd.Series(["effusion", None])).shape[0]
    2
    """

    def __init__(self, components: int = COMPONENTS) -> None:
        self.components = components

    @property
    def width(self) -> int:
        """How many numbers a report becomes; 0 where the training reports share no term."""
        return int(self._axes.shape[0])

    def fit(self, texts: pd.Series[Any]) -> ReportWords:
        """Learn terms, their weights and the axes from the training reports."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._axes = np.zeros((0, 0))
        self._words: Any = TfidfVectorizer(
            ngram_range=(1, 2), min_df=2, max_features=_MOST_TERMS, sublinear_tf=True, dtype=np.float32
        )
        try:
            weights = self._words.fit_transform(_plain(texts))
        except ValueError:  # sklearn's word for training reports without a term that two of them hold
            return self
        most = min(self.components, *(side - 1 for side in weights.shape))
        if most < 1:
            self._axes = np.eye(weights.shape[1])[:1]
            return self
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="invalid value encountered")  # reports all alike
            self._axes = TruncatedSVD(most, random_state=0).fit(weights).components_
        return self

    def transform(self, texts: pd.Series[Any]) -> NDArray[np.float64]:
        """Return the numbers, shape (n_cases, width); a missing report is all zeros."""
        if not self.width:
            return np.zeros((len(texts), 0))
        return np.asarray(self._words.transform(_plain(texts)) @ self._axes.T, dtype=np.float64)


def _plain(texts: pd.Series[Any]) -> list[str]:
    return ["" if missing else str(text) for text, missing in zip(texts, texts.isna(), strict=True)]
