"""``dallm audit-prompts``: look for the targets in every prompt of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dallm.cli.augment import AckOption
from dallm.cli.guard import FAILED
from dallm.cli.inputs import CaseInput
from dallm.cli.option_groups import Without, with_groups
from dallm.cli.prompts import PromptsOption
from dallm.cli.screen import say, step, table
from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.cohort import Cohort
    from dallm.engines.llm.assemble import Layout
    from dallm.engines.llm.prompts import Template
    from dallm.engines.llm.wire import Message
    from dallm.features import FeatureSet
_Layout = Annotated[str, typer.Option("--layout", help="Of the run.", metavar="per_case|as_published")]
_Sent = Annotated[
    Path | None,
    typer.Option(
        "--sent",
        help="JSON-lines file of prompts as sent, each with its messages; without it the prompts of the "
        "run are put together again.",
        metavar="FILE",
    ),
]


@with_groups
def audit_prompts(
    *,
    features: Annotated[
        Path, typer.Option("--features", help="File of the features that the run fills.", metavar="FILE")
    ],
    cases: Annotated[CaseInput, Without("data_use")],
    ack: AckOption = None,
    folder: PromptsOption = None,
    layout: _Layout = "per_case",
    infer: Annotated[bool, typer.Option("--infer", help="The run was allowed to infer.")] = False,
    sent: _Sent = None,
) -> None:
    """Look for the targets in every prompt of a run: nothing that is to be predicted may stand in one.

    Looked for are the column of each target, its other names and its values, wherever only the table can have
    brought them. Exit code 1 if something is found. Nothing is sent.
    """
    import dallm
    from dallm.cli.run import read_features
    from dallm.engines.llm.audit import audit_prompts as audited
    from dallm.engines.llm.prompts import OWN, template, template_names

    filled = read_features(features)
    knowledge = dallm.Ack.load(ack) if ack is not None else None
    used = [template(name, folder) for name in template_names()]
    step(f"Reading {cases.label}")
    cohort = cases.read()
    if not cohort.targets:
        raise UserError("The cases have no target to look for; name one with --target COLUMN.")
    prompts = (
        _sent(sent) if sent is not None else _assembled(cohort, filled, knowledge, used, layout, infer=infer)
    )
    count = _Count()
    found = audited(
        cohort,
        count.counting(prompts),
        features=filled,
        knowledge=knowledge,
        templates=[each for each in used if each.version == OWN],
    )
    if not found:
        say(f"{count.seen:,} prompts, {len(cohort.targets)} targets: none of them is in a prompt.")
        return
    rows: dict[tuple[str, str, str], int] = {}
    for finding in found:
        what = (finding.kind, finding.target, finding.line)
        rows[what] = rows.get(what, 0) + 1
    table(("kind", "target", "line", "prompts"), [(*what, number) for what, number in rows.items()])
    touched = len({finding.prompt for finding in found})
    say(f"Something that only the table can have brought stands in {touched:,} of {count.seen:,} prompts.")
    raise typer.Exit(FAILED)


class _Count:
    def __init__(self) -> None:
        self.seen = 0

    def counting(self, prompts: Iterator[tuple[Message, ...]]) -> Iterator[tuple[Message, ...]]:
        for prompt in prompts:
            self.seen += 1
            yield prompt


def _assembled(
    cohort: Cohort,
    features: FeatureSet,
    ack: Ack | None,
    used: list[Template],
    layout: str,
    *,
    infer: bool,
) -> Iterator[tuple[Message, ...]]:
    """Yield the prompts that a run over the cohort sends when nothing is held yet."""
    from dallm.engines.llm.assemble import LAYOUTS, FillPrompt, fill_messages
    from dallm.engines.llm.published import lesion_groups

    if layout not in LAYOUTS:
        raise UserError(
            f"--layout must be one of {list(LAYOUTS)}, got {layout!r}.{did_you_mean(layout, LAYOUTS)}"
        )
    by_name = {each.name: each for each in used}
    whole = FillPrompt(tuple(features), ack, infer=infer, template=by_name["fill"])
    for case in cohort.cases():
        if layout == "per_case":
            yield whole.messages(case)
            continue
        for condition, group in lesion_groups(features):
            yield fill_messages(
                case,
                group,
                ack,
                layout=cast("Layout", layout),
                infer=infer,
                template=by_name["published"],
                condition=condition,
            )


def _sent(path: Path) -> Iterator[tuple[Message, ...]]:
    """Yield the chats of a JSON-lines file: ``{"messages": [...]}`` a line, or the lines of a batch file."""
    from dallm.engines.llm.wire import Message

    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The prompts {str(path)!r} cannot be read: {error}.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            listed = item.get("body", item)["messages"]
            yield tuple(Message(each["role"], each["content"]) for each in listed)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f'{str(path)!r}, line {number}: needs {{"messages": [{{"role": ..., "content": ...}}]}}.'
            ) from None
