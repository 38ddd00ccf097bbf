"""The five questions of Experiment II, and what a sentence that answers one is about."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dallm.ack.queries import ExpertQuery
from dallm.errors import UserError
from dallm.evaluation.answer_scores import Aspect
from dallm.resources import data_path

GROUP = "experiment II"
_ANY = Aspect()


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """A question about a condition, and the aspect that its answer should keep to.

    Parameters
    ----------
    id : str
        Names the question in tables, and in a rubric.
    template : str
        The question, with ``{condition}`` where the condition's name goes.
    aspect : Aspect
        What relevance is measured by.

    Examples
    --------
    >>> FIVE_QUESTIONS[2].query.question("atelectasis")
    'What causes atelectasis?'
    """

    id: str
    template: str
    aspect: Aspect = _ANY

    def __post_init__(self) -> None:
        ExpertQuery(self.id, GROUP, self.template)  # checks the texts and the variable

    @property
    def query(self) -> ExpertQuery:
        """The question as stage II asks it."""
        return ExpertQuery(self.id, GROUP, self.template)


def scored(questions: Iterable[ScoredQuestion | ExpertQuery]) -> tuple[ScoredQuestion, ...]:
    """Return questions as :class:`ScoredQuestion`, after checking that their ids differ.

    An :class:`~dallm.ExpertQuery` has no aspect of its own: its answers are held to the rubric and to the
    condition alone.

    Raises
    ------
    UserError
        If there is none, one is no question, or two share an id.
    """
    made = []
    for item in questions:
        if isinstance(item, ExpertQuery):
            made.append(ScoredQuestion(item.id, item.template))
        elif isinstance(item, ScoredQuestion):
            made.append(item)
        else:
            raise UserError(f"questions holds {item!r}; give ScoredQuestion or ExpertQuery objects.")
    ids = [question.id for question in made]
    for name in ids:
        if ids.count(name) > 1:
            raise UserError(f"Two questions have the id {name!r}; rename one.")
    if not made:
        raise UserError("questions is empty; leave it out for the five of the paper.")
    return tuple(made)


def _load(path: Path) -> tuple[ScoredQuestion, ...]:
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["question"]
    return tuple(
        ScoredQuestion(
            table["id"],
            table["template"],
            Aspect(tuple(table.get("categories", ())), tuple(table.get("words", ()))),
        )
        for table in tables
    )


FIVE_QUESTIONS = _load(data_path("rubric", "questions.toml"))
"""What it is, its symptoms, its causes, the clinical features of its diagnosis, its radiographic features."""
