"""What an evaluation of retrieval found: one row per arm, each measure with its interval."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.html_page import page, paragraphs, table
from dallm.evaluation.retrieval_measures import (
    CUTOFF,
    bootstrap_means,
    interval,
    ndcg_at,
    recall_at,
    reciprocal_rank_at,
)
from dallm.files import write_csv, write_text
from dallm.lazy import computed_once

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RetrievalReport:
    """Ranks of the right documents per arm, and the measures made of them.

    Attributes
    ----------
    ranks : DataFrame
        One row per arm, question and right document: ``arm, question_id, question, document, rank, ms``.
        `rank` counts distinct documents from 1 and is ``<NA>`` beyond the depth that was looked at; `ms` is
        how long the search took, without encoding the question where the store encodes ahead.
    cutoffs : tuple of int
        Where recall is measured.
    not_run : dict
        Arms that could not be had, with the reason.
    label : str
        What was searched.
    notes : tuple of str
        What a reader of the figures has to know.
    seed, n_boot : int
        Of the resampling.
    """

    ranks: pd.DataFrame
    cutoffs: tuple[int, ...]
    not_run: dict[str, str]
    label: str
    notes: tuple[str, ...] = ()
    seed: int = field(default=0, kw_only=True)
    n_boot: int = field(default=2000, kw_only=True)

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the measures, in the order of the table."""
        return (*(f"recall@{k}" for k in self.cutoffs), f"ndcg@{CUTOFF}", f"mrr@{CUTOFF}")

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that were measured."""
        return tuple(dict.fromkeys(self.ranks["arm"]))

    @property
    def n_questions(self) -> int:
        """How many questions were asked."""
        return int(self.ranks["question_id"].nunique())

    def table(self) -> pd.DataFrame:
        """Return one row per arm: ``<measure>``, ``<measure>_low``, ``<measure>_high``, questions and ms.

        The interval is the 2.5th to 97.5th percentile over resamples of the questions.
        """
        import pandas as pd

        rows = {}
        for arm in self.arms:
            means = self._values[arm].mean(axis=0)
            low, high = interval(self._resampled[arm])
            row: dict[str, float] = {}
            for i, name in enumerate(self.measures):
                row |= {name: means[i], f"{name}_low": low[i], f"{name}_high": high[i]}
            of_arm = self.ranks[self.ranks["arm"] == arm].drop_duplicates("question_id")
            rows[arm] = row | {"questions": len(of_arm), "ms": float(of_arm["ms"].median())}
        made = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
        return made.astype({"questions": int})

    def differences(self, baseline: str = "lexical") -> pd.DataFrame:
        """Return how much every other arm differs from one, question by question, with intervals.

        Raises
        ------
        UserError
            If the baseline was not measured.
        """
        import pandas as pd

        if baseline not in self.arms:
            raise UserError(
                f"The arm {baseline!r} was not measured; here are {', '.join(self.arms)}."
                f"{did_you_mean(baseline, self.arms)}"
            )
        rows: list[tuple[Any, ...]] = []
        for arm in self.arms:
            if arm == baseline:
                continue
            means = self._values[arm].mean(axis=0) - self._values[baseline].mean(axis=0)
            low, high = interval(self._resampled[arm] - self._resampled[baseline])
            rows += [(arm, baseline, *cell) for cell in zip(self.measures, means, low, high, strict=True)]
        return pd.DataFrame(rows, columns=["arm", "baseline", "measure", "difference", "low", "high"])

    def __str__(self) -> str:
        table = self.table()
        heads = ["arm", *(f"{name} [95 %]" for name in self.measures), "ms"]
        lines = [heads]
        for arm, row in table.iterrows():
            cells = [f"{row[m]:.3f} [{row[f'{m}_low']:.3f}, {row[f'{m}_high']:.3f}]" for m in self.measures]
            lines.append([str(arm), *cells, f"{row['ms']:.1f}"])
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([f"{self.n_questions} questions; {self.label}", "", *shown, *self.remarks()])

    def __repr__(self) -> str:
        return f"RetrievalReport({', '.join(self.arms)}; {self.n_questions} questions)"

    def _repr_html_(self) -> str:
        rows: list[list[str | tuple[str, str]]] = [
            [
                str(arm),
                *(
                    (f"{row[m]:.3f}", f"{row[f'{m}_low']:.3f} to {row[f'{m}_high']:.3f}")
                    for m in self.measures
                ),
                f"{row['ms']:.1f}",
            ]
            for arm, row in self.table().iterrows()
        ]
        head = paragraphs([f"{self.n_questions} questions; {self.label}"])
        return head + table(("arm", *self.measures, "ms"), rows) + paragraphs(self.remarks())

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the report as a page of HTML; with `path`, write it there, too.

        Raises
        ------
        OutputError
            If the file cannot be written there.
        """
        made = page("Retrieval", self._repr_html_())
        if path is not None:
            write_text(Path(path), made)
        return made

    def save(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write ``retrieval.csv`` (the table), ``ranks.csv`` and ``retrieval.html`` to a folder.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written there.
        """
        place = Path(folder)
        files = (place / "retrieval.csv", place / "ranks.csv", place / "retrieval.html")
        for path, frame in zip(files, (self.table().reset_index(), self.ranks), strict=False):
            write_csv(path, frame)
        self.to_html(files[2])
        return files

    def remarks(self) -> list[str]:
        """Return how the figures were made, what was not run, and the notes, line by line."""
        how = (
            f"Distinct documents; intervals: percentiles of {self.n_boot} resamples of the questions, "
            f"seed {self.seed}; ms: median time of a search."
        )
        missing = [f"Not run: {arm}, because {reason}." for arm, reason in self.not_run.items()]
        return ["", how, *missing, *(f"Note: {note}." for note in self.notes)]

    @computed_once
    def _values(self) -> dict[str, NDArray[np.float64]]:
        """Per arm the measures of every question, shape (questions, measures)."""
        return {arm: self._of_arm(arm) for arm in self.arms}

    def _of_arm(self, arm: str) -> NDArray[np.float64]:
        of_arm = self.ranks[self.ranks["arm"] == arm]
        values = []
        for _, ranks in of_arm.groupby("question_id", sort=False)["rank"]:
            found = ranks.to_numpy(dtype=float, na_value=np.inf).tolist()
            recalls = [recall_at(found, k) for k in self.cutoffs]
            values.append([*recalls, ndcg_at(found), reciprocal_rank_at(found)])
        return np.array(values, dtype=float)

    @computed_once
    def _resampled(self) -> dict[str, NDArray[np.float64]]:
        """Per arm the means of the resamples; all arms see the same ones."""
        joined = bootstrap_means(np.hstack(list(self._values.values())), self.n_boot, self.seed)
        width = len(self.measures)
        return {arm: joined[:, i * width : (i + 1) * width] for i, arm in enumerate(self.arms)}
