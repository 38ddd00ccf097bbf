"""What the user sees when a command cannot go on: one clear line, and an exit code for scripts.

0: done. 1: it could not be done (a full disk, a store that does not open, a fault of the program).
2: the command or its input has to change first (an unknown option, a misspelled column, an empty file).
3: asked in a batch whose answers are not there yet; the same command collects them. 130: interrupted.
"""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from dallm.cli.screen import notice
from dallm.errors import BatchPendingError, DallmError, UserError

FAILED = 1
WRONG_USE = 2
PENDING = 3
INTERRUPTED = 130
_DEBUG = "dallm.debug"


class GuardedGroup(TyperGroup):
    """A command group that turns every error of a command into one line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--debug`` wherever it stands: who repeats a failed command adds it at the end."""
        ctx.meta[_DEBUG] = "--debug" in args
        result: list[str] = super().parse_args(ctx, [a for a in args if a != "--debug"])
        return result

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error leaves as :class:`typer.Exit`."""
        debug = bool(ctx.meta.get(_DEBUG))
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if debug:
                return self._invoke_traced(ctx)
            return self._invoke_quiet(ctx)

    def _invoke_traced(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DallmError as error:
            traceback.print_exc()
            raise typer.Exit(exit_code(error)) from error

    def _invoke_quiet(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            notice("Interrupted. What is done is kept; the same command goes on from there.")
            raise typer.Exit(INTERRUPTED) from error
        except BatchPendingError as error:
            notice(f"Not yet: {error}")
            raise typer.Exit(PENDING) from error
        except DallmError as error:
            notice(f"Error: {error}")
            raise typer.Exit(exit_code(error)) from error
        except MemoryError as error:
            notice("Error: the memory did not suffice. Give a part of the table at a time.")
            raise typer.Exit(FAILED) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            notice(f"Error: {_system_message(error)}")
            raise typer.Exit(FAILED) from error
        except Exception as error:
            if _is_cli_flow(error):
                raise
            notice(_unexpected(error))
            raise typer.Exit(FAILED) from error


def exit_code(error: DallmError) -> int:
    """Return 2 where the user has to change something in the command or its input, else 1.

    Examples
    --------
    >>> from dallm.errors import CohortError, StoreError
    >>> exit_code(CohortError("no column 'x'")), exit_code(StoreError("the folder is locked"))
    (2, 1)
    """
    return WRONG_USE if isinstance(error, UserError) else FAILED


def _is_cli_flow(error: Exception) -> bool:
    """Whether the parser of the command line raised it (its classes move between versions)."""
    return type(error).__module__.split(".")[0] in {"typer", "click"}


def _system_message(error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    where = f": {error.filename!r}" if error.filename is not None else ""
    remedy = {
        errno.ENOSPC: " Free some space, or choose another folder; the same command goes on from there.",
        errno.EACCES: " Choose a place that you may read and write.",
        errno.EROFS: " Choose a place that you may write.",
    }.get(error.errno or 0, " Repeat with --debug to see where it happened.")
    return f"{reason}{where}.{remedy}"


def _unexpected(error: Exception) -> str:
    # The message of a foreign exception may quote a report, so only its type and place are shown.
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "dallm" in Path(f.filename).parts]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return (
        f"Error: an unexpected {type(error).__name__}{place}. This is a fault of dallm, not of your input; "
        "repeat with --debug to see all of it (it may show report text)."
    )


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of ours as one line, and one of another package as Python would, on standard error."""
    if category.__module__.startswith("dallm") or "dallm" in Path(filename).parts:
        notice(f"Note: {message}")
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))
