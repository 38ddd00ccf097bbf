"""The commands, brought together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from dallm import __version__
from dallm.cli import (
    audit_prompts,
    augment,
    cache,
    demo,
    doctor,
    evaluate,
    evaluate_retrieval,
    ingest,
    prompts,
    report,
    reproduce,
    stages,
    usage,
)
from dallm.cli.guard import GuardedGroup

app = typer.Typer(
    name="dallm",
    cls=GuardedGroup,
    help="Evidence-backed clinical features for a table of cases with free-text reports.",
    epilog="Research software, not a medical device. Exit codes: 0 done, 1 failed, 2 wrong use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dallm {__version__}")
        raise typer.Exit


def _flowing(docstring: str) -> str:
    """Join the lines of each paragraph, so that the help fits any width."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(docstring).split("\n\n"))


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error; may stand after the command, too."),
    ] = False,
) -> None:
    """Take the options that every command shares; both are acted on before a command begins."""


_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "augment": augment.augment,
    "ingest": ingest.ingest,
    "ack": stages.ack,
    "discover": stages.discover,
    "fill": augment.fill,
    "report": report.report,
    "evaluate": evaluate.evaluate,
    "evaluate-retrieval": evaluate_retrieval.evaluate_retrieval,
    "prompts": prompts.prompts,
    "audit-prompts": audit_prompts.audit_prompts,
    "usage": usage.usage,
    "doctor": doctor.doctor,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, help=_flowing(_command.__doc__ or ""))(_command)
app.add_typer(reproduce.reproduce, name="reproduce")
app.add_typer(cache.cache, name="cache")
