"""The result of comparing filled values with measured ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dallm.errors import ReaderError, UserError, did_you_mean
from dallm.fidelity.measures import MEASURES
from dallm.files import replacing, write_text

SCORES = ("method", "feature", "measure", "value", "low", "high", "n_filled", "n_asked", "n_truth", "unit")
MEAN = "mean"
_SHARES = ("acceptable", "coverage", "unknown_rate")
_WORDS = {
    "normalised_error": "Mean squared error divided by the variance of the measured values",
    "mae": "Mean absolute error, in the unit of the column",
    "bias": "Mean of filled minus measured, in the unit of the column",
    "correlation": "Pearson correlation of filled and measured",
    "acceptable": "Share of the filled values inside the acceptable difference",
    "coverage": "Share of the measured rows that were filled",
    "unknown_rate": "Share of the asked rows that were left unknown",
}


@dataclass(frozen=True)
class Fidelity:
    """How near filled values are to what was measured; printing it shows the table.

    Attributes
    ----------
    scores : DataFrame
        Tidy: method, feature, measure, value, low, high, n_filled, n_asked, n_truth, unit. The feature
        ``"mean"`` is the plain mean over the features, of the normalised error alone. `low` and `high` bound
        the bootstrap interval.
    acceptable : DataFrame
        Per feature: the acceptable difference, its unit, its source.
    notes : tuple of str
        What a reader has to know.
    settings : mapping
        Seed, draws, versions.
    """

    scores: pd.DataFrame
    acceptable: pd.DataFrame
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the rows, in their order."""
        return tuple(dict.fromkeys(self.scores["method"].tolist()))

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that were compared."""
        return tuple(f for f in dict.fromkeys(self.scores["feature"].tolist()) if f != MEAN)

    def table(self, measure: str = "normalised_error", *, intervals: bool = False) -> pd.DataFrame:
        """Return a row per method and a column per feature: the layout of the paper's Table 2.

        Parameters
        ----------
        measure : str, default="normalised_error"
            One of :data:`dallm.fidelity.measures.MEASURES`.
        intervals : bool, default=False
            Give texts such as ``"1.02 (0.97 to 1.08)"``.

        Raises
        ------
        UserError
            If there is no such measure.
        """
        if measure not in MEASURES:
            raise UserError(f"There is no measure {measure!r}.{did_you_mean(measure, MEASURES)}")
        chosen = self.scores[self.scores["measure"] == measure]
        if intervals:
            texts = [_with_interval(*row) for row in chosen[["value", "low", "high"]].itertuples(index=False)]
            chosen = chosen.assign(value=texts)
        wide = chosen.pivot(index="method", columns="feature", values="value")
        columns = [*self.features, *([MEAN] if MEAN in wide.columns else [])]
        wide = wide.reindex(index=list(self.methods), columns=columns)
        wide.columns.name = None
        return wide if intervals else wide.astype("Float64")

    def filled_share(self) -> pd.Series[float]:
        """Return the share of the measured values that each method filled, over all columns."""
        rows = self.scores[self.scores["measure"] == "coverage"]
        sums = rows.groupby("method", sort=False)[["n_filled", "n_truth"]].sum().astype("float64")
        return sums["n_filled"] / sums["n_truth"]

    def __str__(self) -> str:
        table = self.table()
        table["filled"] = self.filled_share()
        shown = table.map(lambda v: "" if pd.isna(v) else f"{v:.3f}").to_string()
        return "\n".join([_WORDS["normalised_error"] + ":", shown, *(f"- {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self, path: str | Path | None = None) -> str:
        """Return all measures as tables in HTML, and write them to `path` where one is given."""
        import html

        parts = [f"<h3>{html.escape(words)}</h3>{self._html_of(name)}" for name, words in _WORDS.items()]
        parts.append("<h3>Acceptable differences</h3>" + self.acceptable.to_html(index=False, na_rep=""))
        parts.append("<ul>" + "".join(f"<li>{html.escape(n)}</li>" for n in self.notes) + "</ul>")
        text = '<div class="dallm-fidelity">' + "\n".join(parts) + "</div>\n"
        if path is not None:
            page = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Value fidelity</title>\n'
            write_text(path, page + text + "</html>\n")
        return text

    def _html_of(self, measure: str) -> str:
        return self.table(measure, intervals=True).to_html(na_rep="", border=0)

    def to_latex(self, path: str | Path | None = None, *, measure: str = "normalised_error") -> str:
        """Return one measure as a LaTeX tabular, and write it to `path` where one is given."""
        table = self.table(measure)
        lines = [
            rf"\begin{{tabular}}{{l{'r' * table.shape[1]}}}",
            " & ".join(["method", *map(_latex, table.columns)]) + r" \\ \hline",
        ]
        for method, row in zip(table.index, table.itertuples(index=False), strict=True):
            cells = ["" if pd.isna(value) else f"{value:.3f}" for value in row]
            lines.append(" & ".join([_latex(method), *cells]) + r" \\")
        text = "\n".join([*lines, r"\end{tabular}", ""])
        if path is not None:
            write_text(path, text)
        return text

    def to_parquet(self, path: str | Path) -> None:
        """Write everything as one Parquet file; :meth:`from_parquet` reads it back.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        about = {
            "acceptable": json.loads(self.acceptable.to_json(orient="records")),
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }
        held = pa.Table.from_pandas(self.scores, preserve_index=False)
        held = held.replace_schema_metadata(
            {**(held.schema.metadata or {}), b"dallm": json.dumps(about).encode()}
        )
        with replacing(path) as part:
            pq.write_table(held, part)

    @classmethod
    def from_parquet(cls, path: str | Path) -> Fidelity:
        """Read back what :meth:`to_parquet` wrote.

        Raises
        ------
        ReaderError
            If the file is missing or is none of these.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            held = pq.read_table(path)
            about = json.loads((held.schema.metadata or {})[b"dallm"])
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise ReaderError(f"{str(path)!r} holds no saved comparison ({type(error).__name__}).") from error
        differences = pd.DataFrame(about["acceptable"], columns=list(_ACCEPTABLE))
        return cls(held.to_pandas(), differences, tuple(about["notes"]), about["settings"])


_ACCEPTABLE = ("feature", "difference", "unit", "share", "source", "note")


def acceptable_frame(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make the table of acceptable differences: feature, difference, unit, share, source, note."""
    made = pd.DataFrame(rows, columns=list(_ACCEPTABLE))
    return made.astype({"difference": "float64", "share": "float64"})


def _with_interval(value: Any, low: Any, high: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if pd.isna(low) else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _latex(text: object) -> str:
    made = str(text).replace("\\", r"\textbackslash{}")
    for sign in "&%$#_{}":
        made = made.replace(sign, "\\" + sign) if sign not in "{}" else made
    return made
