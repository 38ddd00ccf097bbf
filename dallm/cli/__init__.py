"""The command line: a thin layer over the calls of the library."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name, and exit with 0 (done), 1 (failed) or 2 (wrong use)."""
    from dallm.cli.app import app

    app(prog_name="dallm")
