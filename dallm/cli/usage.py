"""``dallm usage``: what calls to language models came to, and which may have been paid for nothing."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from dallm.cli.screen import notice, say, table
from dallm.engines.llm.usage import Totals
from dallm.errors import UserError

_SHOWN = 20
_Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Folder of the cache, or a ledger's file; by default the user's own.",
        metavar="FOLDER",
        show_default=False,
    ),
]
_Model = Annotated[
    str | None,
    typer.Option("--model", help="Only calls to this model.", metavar="MODEL", show_default=False),
]
_Since = Annotated[
    str | None,
    typer.Option("--since", help="Only calls of this day or later.", metavar="DATE", show_default=False),
]
_Parquet = Annotated[
    Path | None,
    typer.Option(
        "--parquet", help="Also write every call into this file.", metavar="FILE", show_default=False
    ),
]


def usage(
    folder: _Folder = None,
    model: _Model = None,
    since: _Since = None,
    parquet: _Parquet = None,
) -> None:
    """Sum the calls to language models by day and model: tokens, cost, time.

    Names the calls that were begun and have no answer: after a crash they may have been paid.
    """
    from dallm.engines.llm.cache.store import default_folder
    from dallm.engines.llm.ledger import Ledger, ledger_file

    path = ledger_file(folder if folder is not None else default_folder())
    start = _day(since)
    if not path.exists():
        say(f"No call is written down in {str(path)!r}.")
        return
    with closing(Ledger(path)) as ledger:
        found = ledger.summed(since=start, model=model)
        rows = [(*key, *_columns(total)) for key, total in found.items()]
        if len(rows) > 1:
            rows += [
                ("all", "", *_columns(total))
                for total in ledger.summed((), since=start, model=model).values()
            ]
        columns = ("day", "model", "calls", "answered", "failed", "tokens in", "cached", "out", "cost")
        table((*columns, "retries", "s/call"), rows)
        begun = [
            call
            for call in ledger.unanswered()
            if call.time >= (start or 0.0) and model in (None, call.model)
        ]
        broken = sum(total.maybe_paid - total.unanswered for total in found.values())
        if broken:
            say(f"{_calls(broken)} broke off without an answer (timeout, lost connection): perhaps paid.")
        if begun:
            say(f"{_calls(len(begun))} without any word of an answer: perhaps paid, unless still under way.")
            shown = [
                (_when(c.time), c.model, c.endpoint, c.request_sha256[:16], "yes" if c.running else "no")
                for c in begun[-_SHOWN:]
            ]
            table(("begun", "model", "endpoint", "request", "its process runs"), shown)
            if len(begun) > _SHOWN:
                say(f"... and {len(begun) - _SHOWN} before these; --parquet has all.")
        if parquet is not None:
            count = ledger.to_parquet(parquet)
            notice(f"{_calls(count)} in {str(parquet)!r}.")


def _columns(total: Totals) -> tuple[object, ...]:
    return (
        total.calls,
        total.answered,
        total.failed,
        total.tokens_read,
        total.tokens_cached,
        total.tokens_written,
        _cost(total),
        total.retries,
        f"{total.latency_s / total.answered:.2f}" if total.answered else "",
    )


def _cost(total: Totals) -> str:
    """The cost; with a plus sign where that of some answers is not known."""
    if not total.priced:
        return "unknown" if total.answered else ""
    return f"{total.cost:.4f}" + "+" * (total.priced < total.answered)


def _calls(count: int) -> str:
    return f"{count:,} call{'s' * (count != 1)}"


def _day(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        return datetime.fromisoformat(given).astimezone().timestamp()
    except ValueError:
        raise UserError(f"--since takes a date such as 2026-01-31; got {given!r}.") from None


def _when(time: float) -> str:
    return datetime.fromtimestamp(time).astimezone().isoformat(" ", "seconds")
