"""The paper's layout: one call per lesion, a radiologist's part, prior knowledge, a list to complete."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dallm.engines.base import Case
from dallm.engines.llm.briefing import KNOWLEDGE_TOKENS, cached_knowledge_text
from dallm.engines.llm.fence import case_key, shown_name
from dallm.engines.llm.listing import numbered_lines, record_code, record_text
from dallm.engines.llm.prompts import Template
from dallm.engines.llm.prompts import template as project_template
from dallm.engines.llm.wire import Message
from dallm.features import Feature
from dallm.knowledge.conditions import resolve_condition

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.cohort import Cohort

PUBLISHED_TEMPERATURE = 0.1
NO_CONDITION = "the patient's chest condition"
"""What a call is about whose features belong to no condition."""


def published_messages(
    case: Case,
    features: Sequence[Feature],
    condition: str,
    knowledge: Ack | None = None,
    *,
    infer: bool = False,
    labels: str = "",
    template: Template | None = None,
    knowledge_tokens: int = KNOWLEDGE_TOKENS,
) -> tuple[Message, ...]:
    """Return the messages of one call of the published layout.

    Three things differ from the paper on purpose: "not stated" is offered beside True and False, the
    measured values are shown, and the LESIONS line with the targets is there only where `labels` is given.

    Parameters
    ----------
    case : Case
    features : sequence of Feature
        Those of one condition, as :func:`lesion_groups` gives them.
    condition : str
    knowledge : Ack, optional
        Only its answers about `condition` are used; None is the paper's ablation.
    labels : str, default=""
        One case's line from :func:`labels_of`. It tells the model what is to be predicted.

    Examples
    --------
    >>> case = Case("p1", {"report": "Dull at the left base."})
    >>> system, user = published_messages(case, [Feature("cough", "boolean")], "pleural effusion")
    >>> "LESIONS" in user.content, "1. cough: True / False / not stated" in user.content
    (False, True)
    """
    used = template or project_template("published")
    briefing = cached_knowledge_text(knowledge, knowledge_tokens, (condition,))
    return (
        Message("system", used.render("system", condition=shown_name(condition), infer=infer)),
        Message(
            "user",
            used.render(
                "case",
                key=case_key(case),
                code=record_code(case),
                record=record_text(case),
                features=numbered_lines(features),
                knowledge=briefing,
                labels=labels,
                condition=shown_name(condition),
                infer=infer,
                count=len(features),
            ),
        ),
    )


def lesion_groups(features: Sequence[Feature]) -> list[tuple[str, tuple[Feature, ...]]]:
    """Return the features by condition, in the order in which conditions first appear.

    A feature of several conditions is asked about once, with its first; the paper asked again with each and
    kept the last answer. Features without a condition come last, under :data:`NO_CONDITION`.

    Examples
    --------
    >>> cough = Feature("cough", "boolean", conditions=("pneumonia", "asthma"))
    >>> age = Feature("age", "numeric", unit="years")
    >>> [(name, len(group)) for name, group in lesion_groups([age, cough])]
    [('pneumonia', 1), ("the patient's chest condition", 1)]
    """
    groups: dict[str, list[Feature]] = {}
    loose: list[Feature] = []
    for feature in features:
        if feature.conditions:
            groups.setdefault(resolve_condition(feature.conditions[0]), []).append(feature)
        else:
            loose.append(feature)
    found = [(name, tuple(group)) for name, group in groups.items()]
    return [*found, (NO_CONDITION, tuple(loose))] if loose else found


def labels_of(cohort: Cohort) -> dict[str | int, str]:
    """Return each case's targets as the line that stood in the paper's prompts, to reproduce what it did.

    With it in the prompts the generated columns are made from what they are then used to predict, and every
    score that rests on them is meaningless. Nothing in the library calls this by itself.

    Warns
    -----
    UserWarning
        Always.
    """
    warnings.warn(
        "THE TARGETS GO INTO THE PROMPTS (show_labels). This repeats a leak of the published code; columns "
        "filled like this hold the targets and cannot be used to predict them. Use it for reproduction only.",
        UserWarning,
        stacklevel=2,
    )
    columns = {name: cohort.frame[name].tolist() for name in cohort.targets}
    lines: dict[str | int, str] = {}
    for place, case_id in enumerate(cohort.ids.tolist()):
        stated = (f"{shown_name(name)}: {_label(values[place])}" for name, values in columns.items())
        lines[case_id] = ", ".join(stated)
    return lines


def _label(value: object) -> str:
    if value is None or value != value or str(value) == "<NA>":
        return "unknown"
    return "True" if bool(value) else "False"
