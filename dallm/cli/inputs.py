"""Where the cases come from: a table, a MIMIC-IV tree or the Open-i set, as the command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.cohort import Cohort

_TABLE = "Table of cases"
_ROLES = "Roles of its columns"
_TABLE_ONLY = ("id", "report", "group", "numeric", "categorical", "encoding", "separator", "sheet")


@dataclass(frozen=True, kw_only=True)
class CaseInput:
    """What the command line says about the cases.

    Exactly one of `table`, `mimic` and `openi` is given. The roles, but for targets, belong to `table`
    alone: the two readers know the columns of their data.
    """

    table: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, Parquet, Excel or JSON-lines file, one row per case.", show_default=False
        ),
    ] = None
    mimic: Annotated[
        Path | None,
        typer.Option(
            "--mimic", metavar="ROOT", help="Folder with MIMIC-IV, MIMIC-IV-ED and MIMIC-CXR as released."
        ),
    ] = None
    openi: Annotated[
        Path | None,
        typer.Option("--openi", metavar="FILE", help="Open-i reports: the CSV, or the folder of XML files."),
    ] = None
    id: Annotated[
        str | None, typer.Option("--id", help="Column of case ids.", rich_help_panel=_ROLES, metavar="COLUMN")
    ] = None
    report: Annotated[
        list[str],
        typer.Option(
            "--report", help="Column of report text; repeat it.", rich_help_panel=_ROLES, metavar="COLUMN"
        ),
    ] = field(default_factory=list)
    group: Annotated[
        str | None,
        typer.Option("--group", help="Column of patient ids.", rich_help_panel=_ROLES, metavar="COLUMN"),
    ] = None
    numeric: Annotated[
        list[str],
        typer.Option(
            "--numeric",
            help="Measured column with its unit, as o2sat=%; repeat it.",
            rich_help_panel=_ROLES,
            metavar="COLUMN=UNIT",
        ),
    ] = field(default_factory=list)
    categorical: Annotated[
        list[str],
        typer.Option(
            "--categorical", help="Category column; repeat it.", rich_help_panel=_ROLES, metavar="COLUMN"
        ),
    ] = field(default_factory=list)
    target: Annotated[
        list[str],
        typer.Option(
            "--target",
            help="Outcome: a column, or what the reader of --mimic or --openi calls one. Nothing that fills "
            "a cell ever sees it; repeat it.",
            rich_help_panel=_ROLES,
            metavar="COLUMN",
        ),
    ] = field(default_factory=list)
    data_use: Annotated[
        str | None,
        typer.Option(
            "--data-use",
            help="open: the text may leave this machine; credentialed: it may not. Default: credentialed, "
            "open for Open-i.",
            rich_help_panel=_ROLES,
            metavar="open|credentialed",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding", help="Text encoding of the file; found out when left out.", rich_help_panel=_TABLE
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            "--separator",
            help="Column separator of the file; found out when left out.",
            rich_help_panel=_TABLE,
        ),
    ] = None
    sheet: Annotated[
        str | None, typer.Option("--sheet", help="Sheet of an Excel file.", rich_help_panel=_TABLE)
    ] = None
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first N cases.", metavar="N", rich_help_panel=_TABLE),
    ] = None
    units: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", units_of(self.numeric))
        given = [name for name in ("table", "mimic", "openi") if getattr(self, name) is not None]
        if len(given) != 1:
            found = "none" if not given else " and ".join(given)
            raise UserError(
                f"Name one source of cases: a table, or --mimic ROOT, or --openi FILE. Got {found}."
            )
        if self.table is None:
            self._refuse_roles(given[0])
        elif not self.id or not self.report:
            missing = "--id COLUMN" if not self.id else "--report COLUMN"
            raise UserError(f"Say which column is which: {missing} is missing.{_columns_of(self)}")

    def _refuse_roles(self, reader: str) -> None:
        set_here = [f"--{role}" for role in _TABLE_ONLY if getattr(self, role)]
        if set_here:
            raise UserError(
                f"{', '.join(set_here)} does not go with --{reader}, which knows its columns; leave it out."
            )

    @property
    def label(self) -> str:
        """The source of the cases, as a message names it."""
        return repr(str(self.table or self.mimic or self.openi))

    def settings(self) -> dict[str, Any]:
        """Return what decides how the cases are read, for the record of a run."""
        source = self.table or self.mimic or self.openi
        return {
            "cases": str(Path(str(source)).resolve()),
            "roles": {
                "id": self.id,
                "report": list(self.report),
                "group": self.group,
                "numeric": self.units,
                "categorical": list(self.categorical),
                "target": list(self.target),
                "data_use": self.data_use,
            },
            "limit": self.limit,
        }

    def read(self) -> Cohort:
        """Read the cases.

        Raises
        ------
        UserError
            If the file or one of its columns cannot be used.
        """
        cohort = self._read_all()
        if self.limit is not None and self.limit < len(cohort):
            cohort = cohort.take(range(self.limit))
        return cohort

    def _read_all(self) -> Cohort:
        import dallm

        if self.mimic is not None:
            return dallm.read_mimic(
                self.mimic,
                targets=list(self.target) or "auto",
                data_use=self.data_use or "credentialed",
            )
        if self.openi is not None:
            return dallm.read_openi(
                self.openi, targets=list(self.target) or None, data_use=self.data_use or "open"
            )
        return dallm.read_table(
            str(self.table),
            id=str(self.id),
            report=list(self.report),
            group=self.group,
            numeric=self.units or None,
            categorical=list(self.categorical),
            targets=list(self.target),
            sheet=self.sheet,
            encoding=self.encoding,
            separator=_separator(self.separator),
            data_use=self.data_use or "credentialed",
        )


def units_of(items: Sequence[str]) -> dict[str, str]:
    """Read ``COLUMN=UNIT`` pairs; the last ``=`` divides, so that a column's name may hold one.

    Raises
    ------
    UserError
        If a pair lacks its unit, or a column comes twice.

    Examples
    --------
    >>> units_of(["temperature=degF", "o2sat=%"])
    {'temperature': 'degF', 'o2sat': '%'}
    """
    units: dict[str, str] = {}
    for item in items:
        column, _, unit = item.rpartition("=")
        if not column or not unit:
            raise UserError(f"--numeric {item!r} has no unit; write COLUMN=UNIT, as in --numeric o2sat=%.")
        if column in units:
            raise UserError(f"--numeric names the column {column!r} twice; keep one.")
        units[column] = unit
    return units


def _separator(given: str | None) -> str | None:
    r"""Take ``\t`` and ``tab`` for a tab, which a shell makes hard to type."""
    return "\t" if given in ("\\t", "tab") else given


def _columns_of(cases: CaseInput) -> str:
    """The table's columns, to choose from; empty where the file cannot be looked into."""
    from dallm.readers.delimited import header_of

    path = cases.table
    if path is None or path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return ""
    try:
        columns = header_of(path)
    except (UserError, OSError):  # the reader says what is wrong with the file, once the roles are named
        return ""
    # A first line that is no header would show a patient's text, so only short names are listed.
    if len(columns) < 2 or any(len(c) > 40 or not c for c in columns):
        return ""
    return f" The table has the columns: {', '.join(columns)}."
