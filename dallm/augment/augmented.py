"""The result: the cohort's table with new columns, and where each of their values comes from."""

from __future__ import annotations

import html
import platform
import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

import dallm
from dallm.augment import columns, storage
from dallm.augment.cells import CellBuilder, Uncertain
from dallm.case_ids import count
from dallm.cohort import Cohort
from dallm.engines.base import STATUSES, CaseAnswer
from dallm.errors import CohortError, UserError, did_you_mean
from dallm.features import Feature, FeatureSet, normalise_name
from dallm.files import replacing
from dallm.lazy import computed_once

if TYPE_CHECKING:
    from dallm.ack.ack import Ack

WHICH = ("all", "original", "new")


class Augmented:
    """A cohort with new, evidence-backed columns.

    Parameters
    ----------
    cohort : Cohort
    features : FeatureSet or sequence of Feature
        What was filled; one column each.
    cells : DataFrame of shape (n_cases * n_features, 14)
        One row per case and feature, in this order.
    evidence : DataFrame of shape (n_quotes, 8)
        One row per quote; `start` and `end` count Python code points in the field as given.
    ack : Ack, optional
        The knowledge that was used.
    run : dict, optional
        Settings, versions and the data's digest.

    Attributes
    ----------
    columns_of : dict of str to str
        Feature to its column: its name, or ``<name>__filled`` where the cohort has a column of that name.

    Raises
    ------
    CohortError
        If the tables do not belong to the cohort and the features.
    FeatureError
        If a feature can get no column of its own.

    Examples
    --------
    >>> from dallm.engines.base import Draft
    >>> cohort = Cohort(pd.DataFrame({"case": [1, 2], "fever": [1, 0]}), id="case", targets="fever")
    >>> answers = [CaseAnswer(1, {"fever": Draft(True, "documented", "row")}), CaseAnswer(2, {})]
    >>> result = Augmented.from_answers(cohort, [Feature("fever", "boolean")], answers, engine="mine")
    >>> result.columns_of, result.frame["fever__filled"].tolist()
    ({'fever': 'fever__filled'}, [True, <NA>])
    """

    def __init__(
        self,
        cohort: Cohort,
        features: FeatureSet | Sequence[Feature],
        cells: pd.DataFrame,
        evidence: pd.DataFrame,
        *,
        ack: Ack | None = None,
        run: dict[str, Any] | None = None,
    ) -> None:
        self.cohort = cohort
        self.features = FeatureSet(features)
        self.columns_of = columns.column_names(cohort, self.features)
        columns.check_tables(cohort, self.features, cells, evidence)
        self.cells = cells
        self.evidence = evidence
        self.ack = ack
        self.run = dict(run or {})

    @classmethod
    def from_answers(
        cls,
        cohort: Cohort,
        features: FeatureSet | Sequence[Feature],
        answers: Iterable[CaseAnswer],
        *,
        engine: str,
        model: str | None = None,
        uncertain: Uncertain = "missing",
        ack: Ack | None = None,
        run: dict[str, Any] | None = None,
    ) -> Augmented:
        """Make the result from an engine's answers, one per case of the cohort and in its order.

        Raises
        ------
        CohortError
            If an answer is missing, too many, or of another case than the one that is due.
        """
        features = FeatureSet(features)
        columns.column_names(cohort, features)  # refuse a collision before the engine works
        builder = CellBuilder(features, engine=engine, model=model, uncertain=uncertain)
        due = iter(cohort.ids.tolist())
        for answer in answers:
            case_id = next(due, None)
            if case_id != answer.case_id:
                raise CohortError(
                    f"Engine {engine!r} answered case {answer.case_id!r} where case {case_id!r} was due; "
                    "an engine answers every case once, in order."
                )
            builder.add(answer)
        if len(builder) < len(cohort):
            raise CohortError(f"Engine {engine!r} answered {len(builder):,} of {len(cohort):,} cases.")
        cells, evidence = builder.finish(cohort.ids)
        about = {"engine": engine, "model": model, "uncertain": uncertain, **_versions(cohort)}
        return cls(cohort, features, cells, evidence, ack=ack, run={**about, **(run or {})})

    @computed_once
    def _new(self) -> pd.DataFrame:
        return columns.feature_columns(self.cells, self.features, self.columns_of, self.cohort.ids)

    @computed_once
    def frame(self) -> pd.DataFrame:
        """The cohort's columns as given and one column per feature, indexed by id."""
        given = self.cohort.frame.drop(columns=self.cohort.id).set_axis(self.cohort.ids, axis=0)
        return pd.concat([given, self._new], axis=1)

    def X(self, which: Literal["all", "original", "new"] = "all") -> pd.DataFrame:  # noqa: N802
        """Return predictors, indexed by id: never ids, groups, reports or targets.

        Parameters
        ----------
        which : {"all", "original", "new"}, default="all"
            The measured columns and the features, the measured columns only, or the features only.

        Returns
        -------
        DataFrame of shape (n_cases, n_predictors)
            Measured values that are impossible are ``<NA>``.

        Warns
        -----
        UserWarning
            If a feature says again what a target says; a model that sees it learns nothing.
        """
        if which not in WHICH:
            raise UserError(
                f"X() takes one of {list(WHICH)}, got {which!r}.{did_you_mean(which, WHICH)} "
                "Single columns are in .frame."
            )
        if which == "original":
            return self.cohort.measured()
        again = self._restating()
        if again:
            warnings.warn(
                f"These features restate a target: {', '.join(again)}. Leave them out with "
                "X().drop(columns=[...]) unless that is what you study.",
                UserWarning,
                stacklevel=2,
            )
        if which == "new":
            return self._new.copy()
        return pd.concat([self.cohort.measured(), self._new], axis=1)

    def _restating(self) -> list[str]:
        targets = {normalise_name(t): t for t in self.cohort.targets}
        return [
            f"{self.columns_of[f.name]!r} ({(f.restates or targets[f.key])!r})"
            for f in self.features
            if f.restates is not None or f.key in targets
        ]

    def summary(self) -> pd.DataFrame:
        """Count every status per feature, and every kind of refusal.

        Returns
        -------
        DataFrame of shape (n_features, 11 or more)
            Indexed by feature: kind, one column per status, coverage (share of cases with a value), n_true
            and n_false (``<NA>`` unless boolean). Behind them a column ``refused_<kind>`` for every kind of
            refusal that occurs (``dallm.augment.verification.KINDS``): cells that are ``failed`` or
            ``conflicting`` because an answer did not pass a check.
        """
        return columns.count_statuses(self.cells, self.features)

    def conflicts(self) -> pd.DataFrame:
        """Return the conflicting cells with their quotes: one row per quote, or one per cell without any."""
        return self._with_quotes(self.cells[self.cells["status"] == "conflicting"], self.evidence)

    def case(self, case_id: str | int) -> pd.DataFrame:
        """Return one case's cells with their quotes: one row per quote, or one per cell without any.

        Raises
        ------
        CohortError
            If the cohort has no such case.
        """
        positions = self.cohort.ids.get_indexer(pd.Index([case_id]))
        position = int(positions[0])
        if position < 0:
            near = did_you_mean(case_id, self.cohort.ids[:10_000])
            whole = pd.api.types.is_integer_dtype(self.cohort.ids.dtype)
            if not isinstance(case_id, Integral if whole else str):  # numpy's whole numbers are Integral too
                wanted = "whole numbers" if whole else "text"
                near = f" Its ids are {wanted}, not {type(case_id).__name__}."
            raise CohortError(f"The cohort has no case {case_id!r}.{near}")
        width = len(self.features)
        cells = self.cells.iloc[position * width : (position + 1) * width]
        quotes = self.evidence[self.evidence["case_id"] == case_id]
        return self._with_quotes(cells, quotes).drop(columns="case_id")

    def _with_quotes(self, cells: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
        shown = ["case_id", "feature", "value", "status", "source", "reason", "rationale", "confidence"]
        texts = ("feature", "value", "status", "source", "reason", "rationale")
        left = cells[shown].astype(dict.fromkeys(texts, "string"))
        right = quotes.astype(dict.fromkeys(("feature", "quote", "field", "assertion", "rule"), "string"))
        right = right.astype({"start": "Int64", "end": "Int64"})  # a cell without a quote has <NA> there
        return left.merge(right, on=["case_id", "feature"], how="left", sort=False)

    def save(self, folder: str | Path) -> Path:
        """Write everything to a folder, each file whole or not at all, and return the folder's path.

        The files: ``augmented.parquet``, ``augmented.csv``, ``cells.parquet``, ``evidence.parquet``,
        ``features.json``, ``ack.json`` (if there is one), ``run.json``, and the cohort (``cohort.parquet``,
        ``cohort.json``).

        Raises
        ------
        OutputError
            If a file cannot be written; the message names it and the cause.
        """
        return storage.save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Augmented:
        """Read back what :meth:`save` wrote.

        Raises
        ------
        ReaderError
            If a file is missing or cannot be read; the message names it.
        """
        return cls(**storage.load(Path(folder)))

    def to_csv(self, path: str | Path) -> None:
        """Write :attr:`frame` as CSV in UTF-8; missing values are empty, booleans True and False."""
        with replacing(path) as part:
            # with both line-break characters in the terminator, a field holding either of them is quoted
            self.frame.to_csv(part, lineterminator="\r\n", encoding="utf-8")

    def to_parquet(self, path: str | Path) -> None:
        """Write :attr:`frame` as Parquet; a column of mixed types is written as text."""
        storage.write_frame(self.frame, Path(path))

    def to_html(self, path: str | Path) -> None:
        """Write the evidence page: one HTML file that shows every report with its evidence highlighted."""
        from dallm.viz.evidence_page import write_evidence_page

        write_evidence_page(self, path)

    def __repr__(self) -> str:
        counts = self.cells["status"].value_counts()
        total = max(len(self.cells), 1)
        lines = [self._headline()]
        lines += [
            f"  {status:<16}{int(counts.get(status, 0)):>10,}  {counts.get(status, 0) / total:6.1%}"
            for status in STATUSES
            if counts.get(status, 0)
        ]
        names = ", ".join(self.columns_of.values())
        lines.append(f"  columns: {names if len(names) <= 300 else names[:297] + '...'}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.summary()
        more = f"<p>... and {len(table) - 20} more features; see summary()</p>" if len(table) > 20 else ""
        shown = table.head(20).round({"coverage": 3}).to_html()
        return f"<p>{html.escape(self._headline())}</p>{shown}{more}"

    def _headline(self) -> str:
        return (
            f"Augmented: {count(len(self.cohort), 'synthetic case' if self.cohort.synthetic else 'case')}, "
            f"{count(len(self.features), 'feature')}, "
            f"{count(len(self.evidence), 'quote')}"
        )


def _versions(cohort: Cohort) -> dict[str, Any]:
    return {
        "dallm": dallm.__version__,
        "python": platform.python_version(),
        "pandas": pd.__version__,
        "cases": len(cohort),
        "data_sha256": cohort.sha256,
    }
