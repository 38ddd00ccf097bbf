"""Table 2 of the paper (Experiment I): measured beside published, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.errors import UserError
from dallm.fidelity.columns import VITALS
from dallm.fidelity.compare import value_fidelity
from dallm.fidelity.masking import fill_one_by_one, masked_vitals
from dallm.fidelity.result import MEAN, Fidelity
from dallm.files import replacing
from dallm.paper import published
from dallm.paper.table2_columns import lacking_vitals, named_as_published

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.engines.base import Engine
    from dallm.fidelity.mmtf import MMTFSettings

_SAME = 0.0010001  # figures that were rounded to three decimals
_LINES = {"gaussian": "Gaussian", "mmtf": "MMTF"}  # baselines that are rows of the published table, too


@dataclass(frozen=True)
class Table2:
    """Experiment I beside the paper's Table 2; printing it shows both.

    Attributes
    ----------
    fidelity : Fidelity
        Everything that was measured.
    row_of : mapping of str to str
        Method to the row of the published table that it is set beside.
    same_data : bool
        Whether the figures are of the authors' own cases, so that they should agree.
    """

    fidelity: Fidelity
    row_of: Mapping[str, str]
    same_data: bool = False

    def cells(self) -> pd.DataFrame:
        """Return one row per method and column: measured, its interval, published, difference, agrees.

        Published figures are missing where the paper has no such row; `agrees` says whether the two differ
        by .001 at most.
        """
        scores = self.fidelity.scores
        chosen = scores[scores["measure"] == "normalised_error"]
        made = chosen[["method", "feature", "value", "low", "high"]].rename(columns={"value": "measured"})
        paper = published.table2()
        shown = self._published_columns()
        figures = [
            paper.loc[self.row_of[m], f] if m in self.row_of and f in shown else pd.NA
            for m, f in zip(made["method"], made["feature"], strict=True)
        ]
        made["published"] = pd.array(figures, dtype="Float64")
        made["difference"] = made["measured"] - made["published"]
        made["agrees"] = (made["difference"].abs() <= _SAME).astype("boolean")
        return made.reset_index(drop=True)

    def table(self) -> pd.DataFrame:
        """Return the paper's layout with two lines per row where both figures are there."""
        measured, paper = self.fidelity.table(), published.table2()
        shown = self._published_columns()
        lines: list[tuple[str, str]] = []
        rows: list[list[Any]] = []
        for method in measured.index:
            lines.append((method, "measured"))
            rows.append(measured.loc[method].tolist())
            if method in self.row_of:
                lines.append((method, "published"))
                rows.append(_of_paper(self.row_of[method], measured.columns, shown))
        for row in paper.index:
            if row not in self.row_of.values():
                lines.append((row, "published"))
                rows.append(_of_paper(str(row), measured.columns, shown))
        index = pd.MultiIndex.from_tuples(lines, names=["method", "figures"])
        return pd.DataFrame(rows, index=index, columns=measured.columns).astype("Float64")

    def _published_columns(self) -> set[str]:
        """The columns in which both figures mean the same: the mean only where all six vitals are there."""
        here = {feature for feature in self.fidelity.features if feature in VITALS}
        return here | ({MEAN} if here == set(VITALS) else set())

    def remarks(self) -> list[str]:
        """Return what a reader of the table has to know."""
        said = []
        if self.same_data:
            cells = self.cells()
            both = cells[cells["published"].notna() & cells["method"].isin(list(self.row_of))]
            rows = both.groupby("method", sort=False)["agrees"].agg(lambda a: bool(a.fillna(False).all()))
            n = len([f for f in self.fidelity.features if f in VITALS])
            which = "every column" if n == len(VITALS) else f"each of {n} columns; the paper has six"
            said.append(
                f"{int(rows.sum())} of {len(rows)} rows agree with the paper to .001 in {which}."
                if len(rows)
                else "No filled table is called like a row of the paper, so none is set beside one; name it, "
                "as in --filled GPT-4=FILE."
            )
            other = [m for m, agrees in rows.items() if not agrees]
            if other:
                said.append(f"Not in every column: {', '.join(map(str, other))}.")
        else:
            said.append(
                "These are other cases than the paper's: the figures stand side by side, not for equal."
            )
        table = self.fidelity.table()
        if "mean" in table.index and "mean" in table.columns:
            said.append(
                f"Filling the mean scores {float(table['mean'].to_dict()['mean']):.3f}; "
                "the paper leaves that line out, and none of its language models is below it."
            )
        return [*said, *self.fidelity.notes]

    def __str__(self) -> str:
        shown = self.table().map(lambda v: "" if pd.isna(v) else f"{v:.3f}").to_string()
        return "\n".join([shown, *(f"- {line}" for line in self.remarks())])

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``table2.csv`` (cell by cell), ``table2.html``, ``table2.tex`` and ``fidelity.parquet``."""
        folder = Path(folder)
        paths = [folder / name for name in ("table2.csv", "table2.html", "table2.tex", "fidelity.parquet")]
        with replacing(paths[0]) as part:
            self.cells().to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
        self.fidelity.to_html(paths[1])
        self.fidelity.to_latex(paths[2])
        self.fidelity.to_parquet(paths[3])
        return paths


def _of_paper(row: str, columns: pd.Index[Any], shown: set[str]) -> list[Any]:
    figures = dict(published.table2().loc[row])
    return [figures[column] if column in shown else pd.NA for column in columns]


def table2_of_tables(
    truth: pd.DataFrame,
    filled: Mapping[str, pd.DataFrame],
    *,
    groups: Any = None,
    same_data: bool = True,
    **options: Any,
) -> Table2:
    """Set ready tables beside Table 2.

    Parameters
    ----------
    truth : DataFrame
    filled : mapping of str to DataFrame
        Names are matched with the rows of the paper: ``"GPT-4"``, ``"gpt4_aug_report"``.
    groups : sequence, optional
        Patients.
    same_data : bool, default=True
        Whether these are the paper's cases.
    **options
        For :func:`dallm.value_fidelity`.
    """
    truth = named_as_published(truth)
    found = value_fidelity(truth, filled, groups=groups, **options)
    found = replace(found, notes=(*lacking_vitals(truth, filled, found), *found.notes))
    row_of: dict[str, str] = {}
    for name in found.methods:
        row = published.table2_row(name) if name in filled else None
        if row is not None and row in row_of.values():
            raise UserError(f"Two filled tables are the row {row!r} of Table 2; leave one out.")
        if row is not None:
            row_of[name] = row
    if not same_data:
        row_of |= {m: r for m, r in _LINES.items() if m in found.methods and r not in row_of.values()}
    return Table2(found, row_of, same_data)


def table2_of_cohort(
    cohort: Cohort,
    *,
    engines: Mapping[str, Engine | None] | None = None,
    filled: Mapping[str, pd.DataFrame] | None = None,
    within_observed: bool = False,
    mmtf: MMTFSettings | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Table2:
    """Run Experiment I on a cohort: one vital at a time is masked, and every engine is asked for it.

    Parameters
    ----------
    cohort : Cohort
    engines : mapping of str to Engine, optional
        By default the extractive engine alone.
    filled : mapping of str to DataFrame, optional
        Further tables, for example of a domain model (:mod:`dallm.fidelity.domain`).
    within_observed : bool, default=False
        Reject values outside the observed range and ask again, as published.
    mmtf : MMTFSettings, optional
    progress : callable, optional
        Is told in a line what begins.
    **options
        For :func:`dallm.value_fidelity`.
    """
    columns = masked_vitals(cohort)
    tables: dict[str, pd.DataFrame] = {}
    for name, engine in (engines if engines is not None else {"extractive": None}).items():
        tables[name] = fill_one_by_one(
            cohort, columns, engine, within_observed=within_observed, progress=progress
        )
    tables |= dict(filled or {})
    options.setdefault("features", columns)
    found = value_fidelity(cohort, tables, mmtf=mmtf, progress=progress, **options)
    row_of = {name: row for name in found.methods if (row := published.table2_row(name)) is not None}
    return Table2(found, row_of)
