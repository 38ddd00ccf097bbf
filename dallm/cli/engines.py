"""Who answers: the extractive engine, or a language model with its bounds, as the command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort
    from dallm.features import FeatureSet
    from dallm.lexicon import Lexicon

_MODEL = "Language model"
EXTRACTIVE = "extractive"


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """The engine that the user chose.

    Raises
    ------
    UserError
        If an option needs a language model and none is named.

    Examples
    --------
    >>> EngineChoice().settings()
    {}
    >>> EngineChoice(name="ollama:llama3.3").settings()
    {'engine': 'ollama:llama3.3'}
    """

    name: Annotated[
        str,
        typer.Option(
            "--engine",
            help="Who answers: extractive, or a chat model such as openai:gpt-4.1 or ollama:llama3.3.",
            metavar="NAME",
            rich_help_panel=_MODEL,
        ),
    ] = EXTRACTIVE
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            help="Server of the model that speaks OpenAI's interface.",
            metavar="URL",
            rich_help_panel=_MODEL,
        ),
    ] = None
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Folder for the model's answers. Default: the user's cache.",
            metavar="DIR",
            rich_help_panel=_MODEL,
        ),
    ] = None
    allow_egress: Annotated[
        list[str],
        typer.Option(
            "--allow-egress",
            help="Public host that credentialed text may go to, with the agreement as HOST=WORDS; repeat it.",
            metavar="HOST",
            rich_help_panel=_MODEL,
        ),
    ] = field(default_factory=list)
    budget_cost: Annotated[
        float | None,
        typer.Option(
            "--budget-cost", help="Money that is never passed.", metavar="AMOUNT", rich_help_panel=_MODEL
        ),
    ] = None
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            "--budget-tokens", help="Tokens that are never passed.", metavar="N", rich_help_panel=_MODEL
        ),
    ] = None
    budget_calls: Annotated[
        int | None,
        typer.Option(
            "--budget-calls", help="Calls that are never passed.", metavar="N", rich_help_panel=_MODEL
        ),
    ] = None
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            help="Fill call by call, or by the server's batch interface: come back later, for less money.",
            metavar="live|batch",
            rich_help_panel=_MODEL,
        ),
    ] = "live"
    batch_wait: Annotated[
        float | None,
        typer.Option(
            "--batch-wait",
            help="How long to wait for a batch before leaving it. Default: a minute.",
            metavar="SECONDS",
            rich_help_panel=_MODEL,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what filling will take, in calls, tokens, money and time, and stop there.",
            rich_help_panel=_MODEL,
        ),
    ] = False

    def __post_init__(self) -> None:
        if self.is_model:
            return
        given = (
            ("--base-url", self.base_url),
            ("--cache", self.cache),
            ("--allow-egress", self.allow_egress),
            ("--budget-cost", self.budget_cost),
            ("--budget-tokens", self.budget_tokens),
            ("--budget-calls", self.budget_calls),
            ("--mode", self.mode if self.mode != "live" else None),
            ("--batch-wait", self.batch_wait),
            ("--dry-run", self.dry_run),
        )
        for option, value in given:
            if value is not None and value is not False and value != []:
                raise UserError(
                    f"{option} is for language models, and the engine is extractive, which sends nothing and "
                    "costs nothing. Name a model, for example --engine openai:gpt-4.1."
                )

    @property
    def is_model(self) -> bool:
        """Whether a language model answers."""
        return self.name.strip().lower() != EXTRACTIVE

    def settings(self) -> dict[str, Any]:
        """Return what decides the result; a budget or the mode does not."""
        if not self.is_model:
            return {}
        return {"engine": self.name} | ({"base url": self.base_url} if self.base_url else {})

    def open(self, lexicon: Lexicon | None = None, *, infer: bool = False) -> Any:
        """Make the engine.

        Parameters
        ----------
        lexicon : Lexicon, optional
            Of the extractive engine.
        infer : bool, default=False
            Whether a language model may give values that no report states.
        """
        import dallm
        from dallm.engines.llm.budget import Budget

        if not self.is_model:
            return dallm.engine(EXTRACTIVE, **({} if lexicon is None else {"lexicon": lexicon}))
        options: dict[str, Any] = {"cache": str(self.cache) if self.cache is not None else True}
        if infer:
            options["infer"] = True
        bounds = {"cost": self.budget_cost, "tokens": self.budget_tokens, "calls": self.budget_calls}
        if any(bound is not None for bound in bounds.values()):
            options["budget"] = Budget(**bounds)  # type: ignore[arg-type]  # whole numbers by their options
        if self.base_url is not None:
            options["base_url"] = self.base_url
        if self.mode != "live":
            options["mode"] = self.mode
        if self.batch_wait is not None:
            options["batch_wait_s"] = self.batch_wait
        if self.allow_egress:
            options["allow_egress"] = _agreements(self.allow_egress)
        return dallm.engine(self.name, **options)


def show_forecast(engine: Any, cohort: Cohort, features: FeatureSet, ack: Ack | None) -> None:
    """Show what filling will take."""
    from dallm.cli.screen import say

    say(str(engine.forecast(cohort, features, ack)))


def left_open(augmented: Augmented) -> int:
    """Return how many cells a budget left open, and say how to go on."""
    from dallm.cli.screen import notice

    cells = augmented.cells
    missing = int(((cells["status"] == "failed") & cells["reason"].str.startswith("budget")).sum())
    if missing:
        notice(
            f"Note: the budget is reached; {missing:,} cells are failed. What was answered is kept: the same "
            "command with another budget goes on from there."
        )
    return missing


def _agreements(given: Sequence[str]) -> Any:
    pairs = [text.partition("=")[::2] for text in given]
    if all(words for _, words in pairs):
        return dict(pairs)
    return [host for host, _ in pairs]
