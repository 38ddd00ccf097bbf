"""Answers read strictly into typed values; what cannot be read is a fault, named so that it can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dallm.engines.base import Case
from dallm.engines.llm.cell_answer import CellAnswer as CellAnswer
from dallm.engines.llm.cell_answer import FillError as FillError
from dallm.engines.llm.fence import case_key
from dallm.engines.llm.json_cells import cells_of
from dallm.engines.llm.numbered import read_lines
from dallm.engines.llm.reading_knowledge import read_citations as read_citations
from dallm.engines.llm.reading_knowledge import read_features as read_features
from dallm.engines.llm.strict_json import CutOffError, complete_members, holds_object, loads, without_thoughts
from dallm.engines.llm.wire import AnswerError, Form, Reply
from dallm.errors import did_you_mean
from dallm.features import Feature

_LISTED = 12  # names that a fault lists
_KEY_LIKE = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6,64}\b", re.IGNORECASE)
_STOPPED = ("content_filter", "safety", "refusal")
_CUT = ("length", "max_tokens")


@dataclass
class Naming:
    """Whether a model was seen to name the case that its answers are about.

    From one that was, an answer that names none and quotes nothing is a fault. From one that never does, it
    is what it says: that the report is silent. All answers of a run share one.
    """

    seen: bool = False


class FillReader:
    """Reads the answers to one filling request: the first one, and the second one to what was missing.

    Parameters
    ----------
    form : {"json_schema", "tool", "template", "text"}
        How the answer was asked for.
    features : sequence of Feature
        What was asked.
    case : Case
        About whom.
    naming : Naming, optional
        What the run knows of its model; without it, answers have to name their case or to quote.

    Attributes
    ----------
    read : dict of str to CellAnswer
        The cells read so far, in the order of `features`.
    missing : tuple of str
        The features that have none yet.
    ignored : int
        Answers for features that were not asked.

    Examples
    --------
    >>> case = Case(1, {"findings": "Fever."})
    >>> reader = FillReader("template", [Feature("fever", "boolean"), Feature("cough", "boolean")], case)
    >>> reader(Reply('1. fever: True, because "Fever" [findings]'))
    Traceback (most recent call last):
    ...
    dallm.engines.llm.cell_answer.FillError: the answer lacks 'cough'
    >>> reader.missing
    ('cough',)
    >>> reader(Reply(f"case {case_key(case)}\\n1. cough: not stated"))["fever"].quote
    'Fever'
    """

    def __init__(
        self, form: Form, features: Sequence[Feature], case: Case, naming: Naming | None = None
    ) -> None:
        self.form, self.features, self.case = form, tuple(features), case
        self.naming = naming or Naming(seen=True)
        self.read: dict[str, CellAnswer] = {}
        self.missing = tuple(feature.name for feature in self.features)
        self.ignored = 0

    def __call__(self, reply: Reply) -> dict[str, CellAnswer]:
        """Return the cells of all features.

        Raises
        ------
        FillError
            If cells are still missing; it names the fault and holds what was read.
        """
        wanted = [feature for feature in self.features if feature.name not in self.read]
        try:
            found, ignored = _read(reply, self.form, wanted, self.case, self.naming)
        except FillError as error:
            self._keep(error.read)
            raise FillError(str(error), error.kind, self.missing, self.read) from None
        self.ignored += ignored
        self._keep(found)
        return self.read

    def _keep(self, found: Mapping[str, CellAnswer]) -> None:
        known = {**self.read, **found}
        self.read = {feature.name: known[feature.name] for feature in self.features if feature.name in known}
        self.missing = tuple(feature.name for feature in self.features if feature.name not in known)


def read_fill(reply: Reply, form: Form, features: Sequence[Feature], case: Case) -> dict[str, CellAnswer]:
    """Return what an answer says of each feature of a case.

    Parameters
    ----------
    reply : Reply
    form : {"json_schema", "tool", "template", "text"}
        How it was asked for. JSON in place of numbered lines is read, and the other way round.
    features : sequence of Feature
        What was asked.
    case : Case
        About whom: the answer must not name another case.

    Raises
    ------
    FillError
        If not every feature has a value that can be read; it holds those that have.

    Examples
    --------
    >>> case = Case(1, {"findings": "Fever to 101.3 this morning."})
    >>> text = '{"case": "%s", "features": {"Fever": {"value": true, "quote": "Fever to 101.3", "field": ' \\
    ...     '"findings", "rationale": "", "basis": "report"}}}' % case_key(case)
    >>> read_fill(Reply(text), "json_schema", [Feature("fever", "boolean")], case)["fever"].quote
    'Fever to 101.3'
    """
    return _read(reply, form, features, case, Naming(seen=True))[0]


def _read(
    reply: Reply, form: Form, features: Sequence[Feature], case: Case, naming: Naming
) -> tuple[dict[str, CellAnswer], int]:
    names = [feature.name for feature in features]
    if reply.refusal or reply.finish in _STOPPED:
        raise FillError("the model refused to answer", "refusal", names)
    text = reply.text
    if not text.strip():
        raise FillError("the answer is empty", "empty", names)
    try:
        text = without_thoughts(text)
        if _is_lines(text, form):
            return _from_lines(reply, text, form, features, case, naming)
        return _from_json(reply, text, features, case, naming)
    except FillError:
        raise
    except AnswerError as error:
        cut = isinstance(error, CutOffError)
        raise FillError(str(error), "cut_off" if cut else "format", names) from None


def _is_lines(text: str, form: Form) -> bool:
    if form == "template":
        return not text.lstrip().removeprefix("```json").removeprefix("```").lstrip().startswith("{")
    return not holds_object(text)


def _from_lines(
    reply: Reply, text: str, form: Form, features: Sequence[Feature], case: Case, naming: Naming
) -> tuple[dict[str, CellAnswer], int]:
    cut = reply.finish in _CUT
    if cut:  # the last line may lack its end
        text = text[: text.rfind("\n") + 1]
    lines = read_lines(text, features, case.report)
    names = [feature.name for feature in features]
    if not lines.cells and not lines.faults and not cut:
        what = "line for any of the features" if form == "template" else "JSON object"
        raise FillError(f"the answer holds no {what}", "format", names)
    _check_case(lines.keys, lines.cells, case, names, naming)
    if cut:
        missing = [name for name in names if name not in lines.cells] or names
        raise FillError(
            f"the answer is cut off after {len(lines.cells)} of {len(names)} features",
            "cut_off",
            missing,
            {} if missing == names else lines.cells,
        )
    return _complete(lines.cells, lines.faults, features, []), lines.ignored


def _from_json(
    reply: Reply, text: str, features: Sequence[Feature], case: Case, naming: Naming
) -> tuple[dict[str, CellAnswer], int]:
    names = [feature.name for feature in features]
    try:
        answer = loads(text)
    except CutOffError as error:
        raise _cut_off(error, features, case, naming) from None
    if reply.finish in _CUT:
        raise FillError("the answer is cut off: the model reached its limit of tokens", "cut_off", names)
    given = answer.get("features")
    if given is None and not {"case", "features"} & answer.keys():
        given = answer  # the features at the top
    if not isinstance(given, dict):
        raise FillError('the answer lacks the object "features"', "format", names)
    echoed = answer.get("case")
    cells, faults, strangers = cells_of(given, features)
    _check_case(_keys_in(echoed, case), cells, case, names, naming)
    return _complete(cells, faults, features, strangers), len(strangers)


def _cut_off(error: CutOffError, features: Sequence[Feature], case: Case, naming: Naming) -> FillError:
    """The fault of JSON that ends in the middle, with the cells that are complete."""
    names = [feature.name for feature in features]
    members, key, at = complete_members(error.text, error.start)
    given: list[tuple[str, Any]] = []
    if key == "features" and error.text[at : at + 1] == "{":
        given, _, _ = complete_members(error.text, at)
    distinct = dict(given)
    if not distinct or len(distinct) < len(given):
        return FillError(str(error), "cut_off", names)
    cells, _, _ = cells_of(distinct, features)
    _check_case(_keys_in(dict(members).get("case"), case), cells, case, names, naming)
    missing = [name for name in names if name not in cells]
    if not missing:
        return FillError(str(error), "cut_off", names)
    fault = f"the answer is cut off after {len(cells)} of {len(names)} features"
    return FillError(fault, "cut_off", missing, cells)


def _keys_in(echoed: object, case: Case) -> tuple[str, ...]:
    if not isinstance(echoed, str):
        return ()
    said = echoed.strip().lower()
    if said == case_key(case):
        return (said,)
    return tuple(found.lower() for found in _KEY_LIKE.findall(echoed))


def _check_case(
    keys: Sequence[str], cells: Mapping[str, CellAnswer], case: Case, names: list[str], naming: Naming
) -> None:
    """Refuse the answer for another case.

    An answer names its case. Where the key is left out or cannot be recognised, quotes must tell: there is
    one, and all of them stand in the report. Silence about every feature fits any case; it is taken from
    models alone that never name one.
    """
    own = case_key(case)
    if keys:
        if any(key != own for key in keys):
            raise FillError("the answer is for another case", "other_case", names)
        naming.seen = True
        return
    quotes = [_folded(cell.quote) for cell in cells.values() if cell.quote]
    texts = [_folded(text) for text in case.report.values()]
    if quotes and all(any(quote in text for text in texts) for quote in quotes):
        return
    silent = all(cell.value is None and not cell.quote for cell in cells.values())
    if silent and not naming.seen:
        return
    what = "its quotes do not stand in the report" if quotes else "no quote shows whose it is"
    raise FillError(f"the answer does not name its case by the key given, and {what}", "other_case", names)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _complete(
    cells: dict[str, CellAnswer], faults: Mapping[str, str], features: Sequence[Feature], strangers: list[str]
) -> dict[str, CellAnswer]:
    """Return the cells in the order of the features, all of them."""
    if len(cells) == len(features):
        return {feature.name: cells[feature.name] for feature in features}
    missing = [feature.name for feature in features if feature.name not in cells]
    lacking = [name for name in missing if name not in faults]
    said = [f"the answer lacks {_listed(lacking)}"] if lacking else []
    said += [f"{name!r} {why}" for name, why in list(faults.items())[:_LISTED]]
    if len(faults) > _LISTED:
        said.append(f"{len(faults) - _LISTED} more cannot be read")
    if lacking and strangers:
        near = did_you_mean(strangers[0][:200], lacking)
        said.append(f"{len(strangers)} of its names were not asked for{'.' if near else ''}{near}")
    raise FillError("; ".join(said), "cells", missing, cells)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(repr, names[:_LISTED])) + more
