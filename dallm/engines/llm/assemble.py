"""Prompts put together from plain objects: what every case shares first, the one case last."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dallm.ack.ack import Ack
from dallm.engines.base import Case
from dallm.engines.llm.briefing import KNOWLEDGE_TOKENS, Same, knowledge_text
from dallm.engines.llm.fence import case_key, safe_text
from dallm.engines.llm.listing import (
    answers_text,
    example_lines,
    feature_lines,
    numbered_lines,
    passages_text,
    record_code,
    record_text,
)
from dallm.engines.llm.prompts import Template
from dallm.engines.llm.prompts import template as project_template
from dallm.engines.llm.wire import Form, Message
from dallm.errors import UserError, did_you_mean
from dallm.features import Feature
from dallm.knowledge.passage import Hit
from dallm.lazy import computed_once

Layout = Literal["per_case", "as_published"]
LAYOUTS: tuple[Layout, ...] = ("per_case", "as_published")

EXAMPLES: tuple[Feature, ...] = (
    Feature("itching", "boolean", aliases=("pruritus",), category="symptom", conditions=("eczema",)),
    Feature(
        "extent of rash",
        "ordinal",
        levels=("localised", "widespread"),
        category="sign",
        conditions=("eczema",),
    ),
    Feature(
        "serum ferritin",
        "numeric",
        unit="ng/mL",
        low=1,
        high=20000,
        category="laboratory",
        conditions=("iron deficiency",),
    ),
    Feature(
        "type of diet",
        "categorical",
        levels=("mixed", "vegetarian", "vegan"),
        category="history",
        conditions=("iron deficiency",),
    ),
)
"""Features that discovery shows as examples; none is about the chest, so none suggests an answer."""


@dataclass(frozen=True)
class FillPrompt:
    """The prompt of one filling run: made once, then asked for the messages of each case.

    Parameters
    ----------
    features : tuple of Feature
        All that the run fills.
    knowledge : Ack, optional
    form : {"json_schema", "tool", "template", "text"}
        ``"template"`` asks for numbered lines, all others for JSON.
    infer : bool, default=False
        Whether the model may suggest values that the record does not state.
    template : Template, optional
        By default the project's ``fill``.
    knowledge_tokens : int, default=2000
        To which the knowledge is shortened.
    """

    features: tuple[Feature, ...]
    knowledge: Ack | None = None
    form: Form = "json_schema"
    infer: bool = False
    template: Template | None = None
    knowledge_tokens: int = KNOWLEDGE_TOKENS

    def __hash__(self) -> int:
        return id(self)

    @computed_once
    def used(self) -> Template:
        """The template that is filled."""
        return self.template or project_template("fill")

    @computed_once
    def briefing(self) -> str:
        """The knowledge as the prompt holds it."""
        return knowledge_text(self.knowledge, tokens=self.knowledge_tokens)

    @computed_once
    def _shared(self) -> dict[tuple[Feature, ...], tuple[str, str]]:
        return {}

    def shared(self, features: Sequence[Feature] | None = None) -> tuple[str, str]:
        """Return what all cases share: the system message, and the beginning of the user's."""
        asked = self.features if features is None else tuple(features)
        held = self._shared.get(asked)
        if held is None:
            lines = numbered_lines(asked) if self.form == "template" else feature_lines(asked)
            held = (
                self.used.render("system", infer=self.infer, form=self.form),
                self.used.render(
                    "shared",
                    features=lines,
                    knowledge=self.briefing,
                    infer=self.infer,
                    form=self.form,
                    count=len(asked),
                ),
            )
            if len(self._shared) < 256:
                self._shared[asked] = held
        return held

    def messages(self, case: Case, features: Sequence[Feature] | None = None) -> tuple[Message, ...]:
        """Return the messages for one case; `features` are those still to be asked, all by default."""
        system, shared = self.shared(features)
        count = len(self.features) if features is None else len(features)
        code = record_code(case)
        last = self.used.render(
            "case",
            key=case_key(case),
            code=code,
            record=record_text(case, code),
            infer=self.infer,
            form=self.form,
            count=count,
        )
        return Message("system", system), Message("user", f"{shared}\n\n{last}")


def fill_messages(
    case: Case,
    features: Sequence[Feature],
    knowledge: Ack | None = None,
    *,
    layout: Layout = "per_case",
    form: Form = "json_schema",
    infer: bool = False,
    template: Template | None = None,
    knowledge_tokens: int = KNOWLEDGE_TOKENS,
    condition: str | None = None,
    labels: str = "",
) -> tuple[Message, ...]:
    """Return the messages that ask for the features of one case.

    The record comes last and fenced; its id is not in them. Whoever asks for many cases makes one
    :class:`FillPrompt` and asks it, which renders what the cases share only once.

    Parameters
    ----------
    case : Case
    features : sequence of Feature
    knowledge : Ack, optional
    layout : {"per_case", "as_published"}, default="per_case"
        ``"as_published"`` asks about one condition, in the manner of the paper.
    form : {"json_schema", "tool", "template", "text"}, default="json_schema"
    infer : bool, default=False
    template : Template, optional
        By default the project's ``fill`` or ``published``.
    knowledge_tokens : int, default=2000
    condition, labels : str, optional
        For ``"as_published"``: what it asks about, and the targets, which are in no prompt unless a
        reproduction of the published leak asks for them (:func:`dallm.engines.llm.published.labels_of`).

    Raises
    ------
    UserError
        If the layout is unknown, or the template cannot be filled.

    Examples
    --------
    >>> case = Case("p1", {"findings": "No effusion."})
    >>> system, user = fill_messages(case, [Feature("cough", "boolean")])
    >>> user.content.splitlines()[-1] == f"Now answer for case {case_key(case)}, all 1 features."
    True
    """
    if layout == "as_published":
        from dallm.engines.llm.published import NO_CONDITION, published_messages

        return published_messages(
            case,
            features,
            condition or NO_CONDITION,
            knowledge,
            infer=infer,
            labels=labels,
            template=template,
            knowledge_tokens=knowledge_tokens,
        )
    if layout != "per_case":
        raise UserError(
            f"layout must be one of {list(LAYOUTS)}, got {layout!r}.{did_you_mean(layout, LAYOUTS)}"
        )
    prompt = _prompt(tuple(features), Same(knowledge), form, infer, template, knowledge_tokens)
    return prompt.messages(case)


def answer_messages(
    question: str, hits: Sequence[Hit], *, form: Form = "json_schema", template: Template | None = None
) -> tuple[Message, ...]:
    """Return the messages that ask for an answer from passages, numbered from 1 in the order of `hits`."""
    used = template or project_template("answer")
    return (
        Message("system", used.render("system", form=form)),
        Message(
            "user", used.render("case", question=safe_text(question), passages=passages_text(hits), form=form)
        ),
    )


def discover_messages(
    ack: Ack,
    examples: Iterable[Feature] = EXAMPLES,
    *,
    conditions: Sequence[str] | None = None,
    form: Form = "json_schema",
    template: Template | None = None,
) -> tuple[Message, ...]:
    """Return the messages that ask for the features that an ACK names.

    Parameters
    ----------
    ack : Ack
    examples : iterable of Feature
        Shown as the form of an answer.
    conditions : sequence of str, optional
        Only the answers about these, with the numbers that they have among all.
    """
    used = template or project_template("discover")
    return (
        Message("system", used.render("system", form=form)),
        Message(
            "user",
            used.render(
                "case",
                answers=answers_text(ack, conditions),
                examples=example_lines(examples),
                conditions=", ".join(ack.conditions if conditions is None else conditions),
                form=form,
            ),
        ),
    )


def repair_message(
    fault: str, *, missing: Sequence[str] = (), form: Form = "json_schema", template: Template | None = None
) -> Message:
    """Return the message that names what is wrong with an answer and asks once more.

    Parameters
    ----------
    fault : str
        What could not be read.
    missing : sequence of str, default=()
        Names of the features to answer again; all where empty.

    Examples
    --------
    >>> repair_message("'fever' has the value 3.", missing=["fever"]).content.splitlines()[0]
    "Your answer could not be used: 'fever' has the value 3."
    """
    used = template or project_template("repair")
    names = ", ".join(f'"{" ".join(safe_text(name).split())}"' for name in missing)
    return Message("user", used.render("case", fault=safe_text(fault), missing=names, form=form))


@functools.lru_cache(maxsize=16)
def _prompt(
    features: tuple[Feature, ...],
    knowledge: Same,
    form: Form,
    infer: bool,
    template: Template | None,
    knowledge_tokens: int,
) -> FillPrompt:
    return FillPrompt(features, knowledge.ack, form, infer, template, knowledge_tokens)
