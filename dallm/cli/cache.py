"""``dallm cache``: what is kept of models' answers; look at it, hand it on, throw it away."""

from __future__ import annotations

import re
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dallm.cli.screen import notice, say, table
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.engines.llm.cache.store import AnswerCache

cache = typer.Typer(
    help="Look at, export or clear the kept answers of language models.", no_args_is_help=True
)

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Folder of the cache; by default the user's own.",
        metavar="FOLDER",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Only answers of this model.", metavar="MODEL", show_default=False),
]
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@cache.command("info")
def info(folder: FolderOption = None) -> None:
    """Say how many answers are kept, of which models, how old they are and how much room they take."""
    found = _open(folder)
    if found is None:
        return
    with closing(found):
        told = found.info()
    say(f"folder     {told['folder']}")
    say(f"size       {told['bytes'] / 1e6:,.1f} MB")
    say(f"answers    {told['answers']:,} ({told['without text']:,} of them without their text)")
    say(f"cells      of {told['case answers']:,} answers")
    say(f"rejected   {told['rejected']:,} that could not be read; kept for looking at, never used")
    if told["answers"]:
        say(f"arrived    {_when(told['oldest'])} to {_when(told['newest'])}")
        table(("model", "answers"), list(told["models"].items()))


@cache.command("clear")
def clear(
    folder: FolderOption = None,
    model: ModelOption = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Only answers that arrived longer ago, such as 12h, 30d or 8w.",
            metavar="AGE",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove kept answers with their cells, all of them or of one model or age; they have to be paid again.

    The ledger of calls stays.
    """
    age = _age(older_than)
    found = _open(folder)
    if found is None:
        return
    with closing(found):
        if not yes and sys.stdin.isatty():
            which = "the chosen" if model or age is not None else f"all {found.info()['answers']:,}"
            typer.confirm(f"Remove {which} answers in {str(found.folder)!r}?", abort=True)
        gone = found.clear(model=model, older_than_s=age)
    say(f"{gone:,} answer{'s' * (gone != 1)} removed.")


@cache.command("export")
def export(
    path: Annotated[Path, typer.Argument(help="File to write: .jsonl or .parquet.", metavar="FILE")],
    folder: FolderOption = None,
    model: ModelOption = None,
    what: Annotated[
        str, typer.Option("--what", help="answers, cells or rejected.", metavar="KIND")
    ] = "answers",
) -> None:
    """Write kept answers, cells, or answers that could not be read into a file.

    Answers hold words of reports: the file can be read by its owner only, and is to be kept like the reports.
    """
    from dallm.engines.llm.cache.export import export as write

    found = _open(folder)
    if found is None:
        return
    with closing(found):
        count = write(found, path, what, model=model)
    say(f"{count:,} row{'s' * (count != 1)} in {str(path)!r}.")
    if count:
        notice("Note: it may hold words of reports; keep it where they may be kept.")


def _open(folder: Path | None) -> AnswerCache | None:
    from dallm.engines.llm.cache.store import FILE, AnswerCache, default_folder

    place = folder if folder is not None else default_folder()
    if not (place / FILE).exists():
        say(f"Nothing is kept in {str(place)!r}.")
        return None
    return AnswerCache(place)


def _age(given: str | None) -> float | None:
    """An age in seconds."""
    if given is None:
        return None
    found = _AGE.fullmatch(given.strip().lower())
    if found is None:
        raise UserError(f"--older-than takes a number with s, m, h, d or w, such as 30d; got {given!r}.")
    return float(found[1]) * _SECONDS[found[2]]


def _when(time: float) -> str:
    return datetime.fromtimestamp(time).astimezone().isoformat(" ", "minutes")
