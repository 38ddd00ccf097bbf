"""Feature sets as ready tables, as the command line names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from dallm.paper.table4_frames import Table4Input

_TABLES = "Ready tables"


@dataclass(frozen=True, kw_only=True)
class ReadyTables:
    """Feature sets as files: what the command line says about them."""

    frame: Annotated[
        list[str],
        typer.Option(
            "--frame",
            help="A feature set, one row per case: CSV, Excel (FILE.xlsx:SHEET), Parquet; repeat it. Called "
            "original, augmented, expert or no_knowledge it is set beside the paper's. Several files of one "
            "name are put side by side: FILE,FILE, a folder, a pattern in quotes, or the name again.",
            metavar="[NAME=]FILES",
            rich_help_panel=_TABLES,
        ),
    ] = field(default_factory=list)
    test_frame: Annotated[
        list[str],
        typer.Option(
            "--test-frame",
            help="The test cases of a feature set, where --frame holds the training cases alone.",
            metavar="[NAME=]FILE",
            rich_help_panel=_TABLES,
        ),
    ] = field(default_factory=list)
    targets: Annotated[
        str | None,
        typer.Option(
            "--targets",
            help="Label columns, with commas between; the five lesions are found.",
            metavar="NAMES",
            rich_help_panel=_TABLES,
        ),
    ] = None
    target_frame: Annotated[
        Path | None,
        typer.Option(
            "--target-frame",
            help="File with the labels, where the tables lack them.",
            metavar="FILE",
            rich_help_panel=_TABLES,
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Column of marks train and test, or a file with ids and such marks. Default: split.",
            metavar="COLUMN|FILE",
            rich_help_panel=_TABLES,
        ),
    ] = None
    features: Annotated[
        list[str],
        typer.Option(
            "--features",
            help="Features of a set, as NAME=a,b or NAME=FILE with a name per line; repeat it.",
            metavar="NAME=COLUMNS",
            rich_help_panel=_TABLES,
        ),
    ] = field(default_factory=list)
    drop: Annotated[
        list[str],
        typer.Option(
            "--drop", help="Column that is no feature; repeat it.", metavar="COLUMN", rich_help_panel=_TABLES
        ),
    ] = field(default_factory=list)
    group: Annotated[
        str | None,
        typer.Option("--group", help="Column of patients; found.", metavar="COLUMN", rich_help_panel=_TABLES),
    ] = None
    id: Annotated[
        str | None,
        typer.Option("--id", help="Column of case ids; found.", metavar="COLUMN", rich_help_panel=_TABLES),
    ] = None
    normals: Annotated[
        str,
        typer.Option(
            "--normals",
            help="Cases without a finding to draw, where the tables say which; all keeps every one.",
            metavar="N|all",
            rich_help_panel=_TABLES,
        ),
    ] = "100"
    other_cases: Annotated[
        bool,
        typer.Option("--other-cases", help="The tables are not the paper's cases.", rich_help_panel=_TABLES),
    ] = False

    def read(self) -> Table4Input:
        """Read the files.

        Raises
        ------
        UserError
            If a file or a column cannot be used.
        """
        from dallm.cli.screen import notice, step
        from dallm.paper.table4_frames import read_tables
        from dallm.paper.table_files import read_frame

        tables = _tables(self.frame, self.id)
        tests = _tables(self.test_frame, self.id)
        split: Any = self.split
        if tests:
            tables, split = _joined(tables, tests), "split"
        elif split is not None and Path(split).is_file() and not any(split in t for t in tables.values()):
            split = _marks(read_frame(split, step), self.id, next(iter(tables.values())))
        if self.target_frame is not None:
            tables["labels of a file"] = read_frame(self.target_frame, step)
        made = read_tables(
            tables,
            targets=[name.strip() for name in (self.targets or "").split(",") if name.strip()],
            split=split,
            features=self._features(),
            drop=self.drop,
            group=self.group,
            id=self.id,
            normals=self._normals(),
            labels_only=("labels of a file",),
        )
        for gap in () if self.other_cases else made.gaps:
            notice(f"Warning: {gap}.")
        return made

    def _features(self) -> dict[str, list[str]]:
        made = {}
        for item in self.features:
            name, sign, said = item.partition("=")
            if not sign:
                raise UserError(f"--features {item!r} names no set; write NAME=a,b or NAME=FILE.")
            lines = (
                Path(said).read_text(encoding="utf-8").splitlines()
                if Path(said).is_file()
                else said.split(",")
            )
            made[name] = [line.strip() for line in lines if line.strip()]
        return made

    def _normals(self) -> int | None:
        if self.normals == "all":
            return None
        if not self.normals.isdigit():
            raise UserError(f"--normals {self.normals!r}: give a number of cases, or all.")
        return int(self.normals)


def _tables(items: list[str], id: str | None) -> dict[str, pd.DataFrame]:
    """Read the files of each feature set and put those of one set side by side."""
    from dallm.cli.screen import step
    from dallm.paper.frame_parts import frame_files, merged
    from dallm.paper.table_files import read_frame

    made = {}
    for name, files in frame_files(items).items():
        made[name], notes = merged({str(path): read_frame(path, step) for path in files}, name, id)
        for note in notes:
            step(f"  {note}")
    return made


def _joined(trained: dict[str, pd.DataFrame], tested: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Put training and test files one below the other, with marks."""
    import pandas as pd

    if len(trained) == len(tested) == 1:  # their files need not be called alike
        tested = {next(iter(trained)): next(iter(tested.values()))}
    if set(trained) != set(tested):
        lacking = sorted(set(trained) ^ set(tested))
        raise UserError(
            f"The set {lacking[0]!r} has no second file; name both, as in --test-frame NAME=FILE."
        )
    return {
        name: pd.concat([frame.assign(split="train"), tested[name].assign(split="test")], ignore_index=True)
        for name, frame in trained.items()
    }


def _marks(table: pd.DataFrame, id: str | None, cases: pd.DataFrame) -> pd.Series[Any]:
    """Return the marks of a file by case id, or in its order where it has no ids."""
    from dallm.paper.table4_columns import SPLITS

    column = next((c for c in table.columns if str(c).lower() in SPLITS), None)
    column = column if column is not None else table.columns[-1]
    keys = [id] if id is not None else [c for c in table.columns if c != column and c in cases.columns]
    key = next((c for c in keys if c in table.columns and table[c].is_unique), None)
    if key is not None:
        return table.set_index(table[key].astype(str))[column]
    if len(table) != len(cases):
        raise UserError(
            f"The file of marks has {len(table):,} rows, the tables {len(cases):,}, and they share no column "
            "of ids; name one with --id."
        )
    return table[column].reset_index(drop=True)
