"""``dallm prompts``: look at the prompts for language models, and copy them to change them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dallm.cli.screen import say, table
from dallm.errors import UserError

PromptsOption = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        help="Folder of prompts that replace the built-in ones, file by file (see dallm prompts --copy).",
        metavar="FOLDER",
    ),
]


def prompts(
    name: Annotated[
        str | None, typer.Argument(help="Prompt to show; all are listed without it.", show_default=False)
    ] = None,
    folder: PromptsOption = None,
    copy: Annotated[
        Path | None,
        typer.Option("--copy", help="Write the prompts (or the one named) there.", metavar="FOLDER"),
    ] = None,
) -> None:
    """List, show or copy the prompts that go to language models.

    A copy may be changed and handed back with --prompts: each file replaces the built-in one of its name;
    those that are missing stay. A changed prompt is checked when it is read.
    """
    from dallm.engines.llm.prompts import about, copy_templates, template, template_names

    if copy is not None:
        if folder is not None:
            raise UserError("--copy writes the built-in prompts; leave --prompts out.")
        for path in copy_templates(copy, (name,) if name else ()):
            say(str(path))
        return
    if name is not None:
        used = template(name, folder)
        say(f"{{# {used.name}, version {used.version}, sha256 {used.sha256} #}}")
        say(used.source.rstrip("\n"))
        return
    read = [template(each, folder) for each in template_names()]
    rows = [(used.name, used.version, used.sha256[:12], about(used.name)) for used in read]
    table(("prompt", "version", "sha256", "what for"), rows)
