"""How a language-model engine asks: everything about a run but the model itself."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any, Literal

from dallm.engines.llm.assemble import LAYOUTS, Layout
from dallm.engines.llm.prompts import Template, template
from dallm.errors import UserError, did_you_mean

MODES = ("live", "batch")
PUBLISHED_TEMPERATURE = 0.1


@dataclass(frozen=True)
class Settings:
    """What decides the answers of an engine besides the model.

    Parameters
    ----------
    temperature : float, optional
        0 by default, 0.1 in the published layout; a model that takes none gets none.
    max_output_tokens : int, optional
        Per call; by default what the model allows.
    layout : {"per_case", "as_published"}
        One call per case, or one per case and lesion as in the paper.
    mode : {"live", "batch"}
        Call by call, or by the server's batch interface (``docs/batch.md``); the answers count for both.
    batch_wait_s : float
        How long one call in batch mode waits for answers before it says to come back.
    infer : bool
        Whether a value that the record does not state may be given, marked ``inferred``.
    knowledge : bool
        Whether the knowledge corpus is part of the prompt; False is the paper's ablation.
    context_tokens : int
        Estimated tokens that a prompt may take; a longer report is read in parts.
    prompts : path, optional
        Folder with prompt templates that replace the project's.
    """

    temperature: float | None = None
    max_output_tokens: int | None = None
    layout: Layout = "per_case"
    mode: Literal["live", "batch"] = "live"
    batch_wait_s: float = 60.0
    infer: bool = False
    knowledge: bool = True
    context_tokens: int = 100_000
    prompts: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("layout", self.layout, LAYOUTS), ("mode", self.mode, MODES)):
            if value not in known:
                raise UserError(
                    f"{name} must be one of {list(known)}, got {value!r}.{did_you_mean(value, known)}"
                )
        for name, least in (("max_output_tokens", 1), ("context_tokens", 500)):
            given = getattr(self, name)
            if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < least):
                raise UserError(f"{name} must be a whole number of at least {least}, got {given!r}.")
        wait = self.batch_wait_s
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not wait >= 0:
            raise UserError(f"batch_wait_s must be a number of seconds of at least 0, got {wait!r}.")
        warm = self.temperature
        if warm is not None and (isinstance(warm, bool) or not 0 <= float(warm) <= 2):
            raise UserError(f"temperature must lie between 0 and 2, got {warm!r}.")
        for name in ("fill", "published", "answer", "discover", "repair"):
            self.template(name)  # a broken file of the user's is told before anything is asked

    def template(self, name: str) -> Template:
        """Return the prompt template that is used."""
        return template(name, self.prompts)

    @property
    def sent_temperature(self) -> float:
        """The temperature of the calls."""
        if self.temperature is not None:
            return float(self.temperature)
        return PUBLISHED_TEMPERATURE if self.layout == "as_published" else 0.0

    @property
    def fill_template(self) -> Template:
        """The template that filling uses."""
        return self.template("published" if self.layout == "as_published" else "fill")

    def digest(self) -> str:
        """Digest of all that answers to filling depend on, for the keys of the cache."""
        parts: tuple[Any, ...] = (
            self.sent_temperature,
            self.max_output_tokens,
            self.layout,
            self.infer,
            self.fill_template.sha256,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()
