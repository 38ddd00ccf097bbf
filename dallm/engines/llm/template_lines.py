"""The lines that a template itself brings into a prompt, with what varies from case to case blotted out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from dallm.engines.llm.fence import shown_name
from dallm.engines.llm.listing import EMPTY_RECORD, example_lines
from dallm.engines.llm.prompts import Template, template, template_names

_KEY = re.compile(r"\b[0-9a-f]{12}\b")
_CODE = re.compile(r"\bcode [a-z]{5}\b(?![-'])")
_DIGITS = re.compile(r"\d+")
_CHOICES: dict[str, tuple[Any, ...]] = {
    "infer": (False, True),
    "form": ("json_schema", "template", "text"),
    "knowledge": ("", "-"),
    "examples": ("", "-"),
    "missing": ("", "-"),
}
_KEPT = ("infer", "form", "knowledge", "examples", "missing", "condition")


def shape_of(line: str) -> str:
    """Return a line with the case's key, the fence's code and all numbers blotted out.

    Examples
    --------
    >>> shape_of("Now answer for case 3fa94c1200de, all 60 features.")
    'Now answer for case KEY, all # features.'
    """
    return _DIGITS.sub("#", _CODE.sub("code CODE", _KEY.sub("KEY", line.strip())))


def template_shapes(templates: Iterable[Template], conditions: Sequence[str]) -> frozenset[str]:
    """Return the shapes of all lines that templates write, in every form that they have.

    Parameters
    ----------
    templates : iterable of Template
        Besides the project's own.
    conditions : sequence of str
        What the published layout may ask about, or discovery be told.
    """
    from dallm.engines.llm.assemble import EXAMPLES
    from dallm.engines.llm.published import NO_CONDITION

    shapes = {"[system]", "[user]", "-", EMPTY_RECORD}
    shapes.update(map(shape_of, example_lines(EXAMPLES).split("\n")))
    named = [*dict.fromkeys([NO_CONDITION, *map(shown_name, conditions)])]
    for used in [*map(template, template_names()), *templates]:
        for block in used.blocks:
            for variables in _settings(used, block, named):
                shapes.update(shape_of(line) for line in used.render(block, **variables).split("\n"))
    return frozenset(shapes - {""})


def _settings(used: Template, block: str, conditions: Sequence[str]) -> Iterable[dict[str, Any]]:
    """The combinations of variables that change which lines a block writes."""
    allowed = used.variables(block)
    fixed: dict[str, Any] = {name: "-" for name in allowed if name not in _KEPT}
    fixed |= {name: "" for name in ("labels",) if name in allowed}
    fixed |= {"key": "0" * 12, "code": "aaaaa", "count": 1} if "key" in allowed or "count" in allowed else {}
    choices = {name: _CHOICES[name] for name in allowed if name in _CHOICES}
    if "condition" in allowed:
        choices["condition"] = tuple(conditions)
    for values in itertools.product(*choices.values()):
        yield {**fixed, **dict(zip(choices, values, strict=True))}
