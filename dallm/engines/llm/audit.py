"""Look through the prompts of a run for what is to be predicted: names and values of the cohort's targets."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dallm.engines.base import Case
from dallm.engines.llm.briefing import plain_answer
from dallm.engines.llm.fence import case_key, safe_text, shown_name
from dallm.engines.llm.listing import ROW, feature_lines, numbered_lines, row_lines
from dallm.engines.llm.template_lines import shape_of, template_shapes
from dallm.engines.llm.wire import Message, transcript
from dallm.errors import UserError
from dallm.features import normalise_name
from dallm.knowledge.conditions import condition_names, resolve_condition

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.cohort import Cohort
    from dallm.engines.llm.prompts import Template
    from dallm.features import Feature

_OPENS = re.compile(r"<<<(.+) ([a-z]{5})")
_KEY = re.compile(r"\b[0-9a-f]{12}\b")
_NUMBER = re.compile(r"^(?:- |\d+\. )")
_SHOWN = 80  # characters of a line that a finding shows
_VALUE = r"\W{0,4}(?:is\b)?\W{0,4}(?:true|false|yes|no|present|absent|positive|negative|[01](?:\.0)?)(?!\w)"
_KNOWLEDGE = re.compile(r"knowledge|answers|passage \[\d+\]")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a prompt that only the cohort can have brought there.

    Attributes
    ----------
    prompt : int
        Place of the prompt among those given, from 0.
    case_id : str, int or None
        The case that it is about, where that is known.
    kind : {"name", "value", "foreign record", "unexplained"}
        A target's name; its name beside a value; text in a fence that is not this case's record; a line that
        comes from nothing that a prompt is made from.
    target : str
        The target's column; empty for the last two kinds.
    line : str
        The beginning of the line; empty for the last two kinds, as it may be a patient's.
    """

    prompt: int
    case_id: str | int | None
    kind: str
    target: str = ""
    line: str = ""

    def __str__(self) -> str:
        about = f"case {self.case_id!r}" if self.case_id is not None else f"prompt {self.prompt}"
        what = f" of target {self.target!r}" if self.target else ""
        return f"{about}: {self.kind}{what}{f' in {self.line!r}' if self.line else ''}"


class Block(NamedTuple):
    """A line outside of fences (`field` is None), or all that stands in one fence."""

    text: str
    field: str | None


_ANSWER = Block("[assistant]", None)


class _Target(NamedTuple):
    column: str
    name: re.Pattern[str]
    beside: re.Pattern[str]


def audit_prompts(
    cohort: Cohort,
    prompts: Iterable[Sequence[Message] | str],
    *,
    features: Iterable[Feature] = (),
    knowledge: Ack | None = None,
    templates: Iterable[Template] = (),
) -> list[Finding]:
    """Look through prompts for the cohort's targets, where only the cohort can have brought them.

    What stands in a fence must be that field, or the measured values, of the case whose key the prompt names.
    Lines of the templates, of the features and of the knowledge may name what they like. In every other line
    targets are looked for: by the column's name, by each name that the table of conditions has for it, and by
    a value beside such a name. A line that comes from none of these is a finding even if it names no target.
    What follows a model's answer in a chat is not looked at: it is made of that answer.

    Parameters
    ----------
    cohort : Cohort
    prompts : iterable of sequence of Message, or of str
        Whole chats, or their text as :func:`dallm.engines.llm.wire.transcript` gives it.
    features : iterable of Feature, default=()
        Those that the run filled: they may carry a target's name, as the user chose them.
    knowledge : Ack, optional
        What the run showed of it may name anything.
    templates : iterable of Template, default=()
        The user's own, where the run used them.

    Returns
    -------
    list of Finding
        Empty where nothing was found.

    Raises
    ------
    UserError
        If there is no prompt: an audit of nothing finds nothing.

    Examples
    --------
    >>> import pandas as pd, dallm
    >>> from dallm.engines.llm.assemble import fill_messages
    >>> frame = pd.DataFrame({"case": [1, 2], "text": ["Clear.", "Dull."], "pneumonia": [0, 1]})
    >>> cohort = dallm.Cohort(frame, id="case", report="text", targets="pneumonia", data_use="open")
    >>> cough = dallm.Feature("cough", "boolean")
    >>> prompts = [transcript(fill_messages(case, [cough])) for case in cohort.cases()]
    >>> audit_prompts(cohort, prompts, features=[cough])
    []
    >>> print(audit_prompts(cohort, [prompts[1] + "\\nLESIONS: Pneumonia: 1"], features=[cough])[0])
    case 2: value of target 'pneumonia' in 'LESIONS: Pneumonia: 1'
    """
    known = _Known(cohort, tuple(features), knowledge, tuple(templates))
    targets = [_target(name) for name in cohort.targets]
    found: list[Finding] = []
    place = -1
    for place, prompt in enumerate(prompts):
        text = prompt if isinstance(prompt, str) else transcript(prompt)
        asked = list(itertools.takewhile(lambda block: block != _ANSWER, blocks(text)))
        case = known.case_of(text, asked)
        case_id = case.case_id if case else None
        for block in asked:
            for kind, target in _looked_through(block, case, known, targets):
                line = block.text.strip()[:_SHOWN] if target and block.field is None else ""
                found.append(Finding(place, case_id, kind, target, line))
    if place < 0:
        raise UserError("There is no prompt to audit.")
    return found


def blocks(prompt: str) -> Iterator[Block]:
    """Yield a prompt's lines outside of fences, but for empty ones, and what stands in each fence, in order.

    A fence ends only at the line that closes it: lines inside that look like markers are text.
    """
    lines = iter(prompt.split("\n"))
    for line in lines:
        opened = _OPENS.fullmatch(line)
        if opened is None:
            if line.strip():
                yield Block(line, None)
            continue
        closing = f"{opened[2]} {opened[1]}>>>"
        inside: list[str] = []
        for within in lines:
            if within == closing:
                break
            inside.append(within)
        yield Block("\n".join(inside), opened[1])


class _Known:
    """All that may stand in a prompt, and from whom."""

    def __init__(
        self,
        cohort: Cohort,
        features: tuple[Feature, ...],
        knowledge: Ack | None,
        templates: tuple[Template, ...],
    ) -> None:
        self._cases = {case_key(case): case for case in cohort.cases()}
        listed = f"{feature_lines(features)}\n{numbered_lines(features)}".split("\n")
        self._features = {_NUMBER.sub("", line) for line in listed}
        answers = knowledge.answers if knowledge is not None else ()
        self._answers = [plain_answer(answer) for answer in answers]
        self._other = {answer.condition for answer in answers} | {
            f"Notice: {citation.notice}" for answer in answers for citation in answer.citations
        }
        self._conditions = {answer.condition for answer in answers}
        named = {name for feature in features for name in feature.conditions}
        self._conditions |= named | {resolve_condition(name) for name in named}
        self._questions = {f"Question: {answer.question}" for answer in answers}
        self._shapes = template_shapes(templates, sorted(self._conditions))

    def case_of(self, text: str, asked: Sequence[Block]) -> Case | None:
        """The case that a prompt is about: by its key, else (a part of a report) by its record."""
        for key in _KEY.findall(text):
            if key in self._cases:
                return self._cases[key]
        fences = [block for block in asked if block.field and not _KNOWLEDGE.fullmatch(block.field)]
        for case in self._cases.values() if fences else ():
            if all(is_of_record(block, case) for block in fences):
                return case
        return None

    def says(self, line: str) -> bool:
        """Whether a template or the list of features says a line outside of fences."""
        if shape_of(line) in self._shapes or _NUMBER.sub("", line) in self._features:
            return True
        listed = line.removeprefix("Conditions: ")
        return line in self._questions or (listed != line and set(listed.split(", ")) <= self._conditions)

    def teaches(self, line: str) -> bool:
        """Whether the knowledge holds a line of a fence."""
        said = line.partition(": ")[2]
        return line in self._other or any(said and said in answer for answer in self._answers)


def is_of_record(block: Block, case: Case) -> bool:
    """Whether what stands in a fence is that field of the case, a stretch of it, or its measured values."""
    if block.field == ROW and set(block.text.split("\n")) <= set(row_lines(case)):
        return True
    return any(
        shown_name(name) == block.field and block.text in safe_text(text)
        for name, text in case.report.items()
    )


def _looked_through(
    block: Block, case: Case | None, known: _Known, targets: Sequence[_Target]
) -> Iterator[tuple[str, str]]:
    if block.field is None:
        if not known.says(block.text):
            named = list(_named(block.text, targets))
            yield from named or [("unexplained", "")]
    elif _KNOWLEDGE.fullmatch(block.field):
        for line in block.text.split("\n"):
            if not known.teaches(line):
                yield from _named(line, targets)
    elif case is None or not is_of_record(block, case):
        yield "foreign record", ""


def _named(line: str, targets: Sequence[_Target]) -> Iterator[tuple[str, str]]:
    words = normalise_name(line)
    for target in targets:
        if target.name.search(words):
            yield "value" if target.beside.search(words) else "name", target.column


def _target(column: str) -> _Target:
    names = {normalise_name(name) for name in (column, *condition_names(column))}
    either = "|".join(re.escape(name) + "s?" for name in sorted(names, key=len, reverse=True))
    name = rf"(?<![^\W_])(?:{either})(?![^\W_])"
    return _Target(column, re.compile(name), re.compile(name + _VALUE))
