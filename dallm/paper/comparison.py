"""The result of Experiment II: a table over sources, hits and stores, and the answers behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.ack.ack import Answer
from dallm.evaluation.answer_scores import AnswerScores
from dallm.files import write_csv, write_text

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("completeness", "support", "relevance")
PUBLISHED = (
    "The paper compares NetworkX, a Neo4j graph and a Neo4j vector index, over Wikipedia, Radiopaedia and "
    "both, first hit or first result page, for the query 'atelectasis', judged for completeness, accuracy "
    "and relevance. It finds the Neo4j vector index with both sources best; the graph store could not answer "
    "questions 2 (symptoms) and 5 (radiographic features)."
)
"""What Table 3 of the paper says, as facts. The measures here are made by rule and are not its figures."""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One answer of one arm, with its scores.

    Attributes
    ----------
    sources, hits, store, question : str
        The arm, and the question's id.
    answer : Answer
        The text with its citations.
    scores : AnswerScores
    expected, in_sources : tuple of str
        Ids of the facts that the rubric expects, and of those that any passage in the store states.
    documents, passages : int
        What the store held on the condition.
    """

    sources: str
    hits: str
    store: str
    question: str
    answer: Answer
    scores: AnswerScores
    expected: tuple[str, ...]
    in_sources: tuple[str, ...]
    documents: int
    passages: int


@dataclass(frozen=True)
class RetrievalComparison:
    """Answers of every arm, scored; printing it shows the table, best arm first.

    Attributes
    ----------
    scored : tuple of ScoredAnswer
    not_run : tuple of (sources, hits, store, reason)
    condition : str
    questions : tuple of (id, question)
    says : mapping
        The expected facts in words, by question id and fact id.
    engine : str
        Who answered.
    k : int
        How many passages an answer could rest on.
    encoder : str or None
        Identity of the encoder; None means lexical retrieval.
    """

    scored: tuple[ScoredAnswer, ...]
    not_run: tuple[tuple[str, str, str, str], ...]
    condition: str
    questions: tuple[tuple[str, str], ...]
    says: Mapping[tuple[str, str], str] = field(repr=False)
    engine: str = "extractive"
    k: int = 6
    encoder: str | None = None

    @property
    def answers(self) -> pd.DataFrame:
        """One row per arm and question: the answer, what it cites, its scores, the facts that it lacks."""
        import pandas as pd

        rows = [
            {
                "sources": one.sources,
                "hits": one.hits,
                "store": one.store,
                "question_id": one.question,
                "question": one.answer.question,
                "answer": one.answer.text,
                "citations": "\n".join(
                    f"[{n}] {cited.reference}" for n, cited in enumerate(one.answer.citations, start=1)
                ),
                **{name: getattr(one.scores, name) for name in MEASURES},
                "sentences": one.scores.sentences,
                "facts_expected": len(one.expected),
                "facts_in_sources": len(one.in_sources),
                "facts_stated": len(one.scores.stated),
                "facts_missing": "; ".join(
                    self.says[one.question, fact] for fact in one.expected if fact not in one.scores.stated
                ),
            }
            for one in self.scored
        ]
        return pd.DataFrame(rows).astype(dict.fromkeys(MEASURES, "Float64"))

    @property
    def facts(self) -> pd.DataFrame:
        """One row per arm and expected fact: whether the answer states it, whether any passage does."""
        import pandas as pd

        columns = ["sources", "hits", "store", "question_id", "fact", "says", "in_sources", "stated"]
        rows = [
            (
                one.sources,
                one.hits,
                one.store,
                one.question,
                fact,
                self.says[one.question, fact],
                fact in one.in_sources,
                fact in one.scores.stated,
            )
            for one in self.scored
            for fact in one.expected
        ]
        return pd.DataFrame(rows, columns=columns)

    def table(self) -> pd.DataFrame:
        """Return one row per arm, the best first, then those that were not run.

        Columns: ``sources, hits, store``; ``score``, the mean of the three measures where an unanswered
        question counts 0; ``completeness``, and ``support`` and ``relevance`` over the answered questions;
        ``answered``; ``in_sources``, the share of the expected facts that the passages of the store state at
        all; ``completeness: <question>``; ``documents, passages``; ``not_run``, the reason.
        """
        import pandas as pd

        rows = [_row(list(group), [name for name, _ in self.questions]) for group in self._arms().values()]
        rows.sort(key=lambda row: -row["score"])
        rows += [
            {"sources": sources, "hits": hits, "store": store, "not_run": reason}
            for sources, hits, store, reason in self.not_run
        ]
        made = pd.DataFrame(rows)
        measured = [c for c in made.columns if c not in ("sources", "hits", "store", "not_run")]
        kinds = {c: "Int64" if c in ("answered", "documents", "passages") else "Float64" for c in measured}
        return made.astype(kinds).assign(not_run=made["not_run"].fillna(""))

    def best(self) -> tuple[tuple[str, str, str], ...]:
        """Return the arms with the highest score, as (sources, hits, store); several where they tie."""
        table = self.table()
        top = table[table["score"] >= table["score"].max() - 1e-9]
        return tuple((row.sources, row.hits, row.store) for row in top.itertuples())

    def unanswered(self) -> dict[tuple[str, str, str], tuple[str, ...]]:
        """Return the ids of the questions that an arm left without an answer, by arm."""
        missing = {
            arm: tuple(one.question for one in group if not one.answer.text)
            for arm, group in self._arms().items()
        }
        return {arm: ids for arm, ids in missing.items() if ids}

    def remarks(self) -> list[str]:
        """Return what a reader of the table has to know, line by line, the paper's finding among it."""
        best = "; ".join(f"{store} with {sources} ({hits})" for sources, hits, store in self.best())
        silent = [
            f"{store} with {sources} ({hits}): {', '.join(ids)}"
            for (sources, hits, store), ids in self.unanswered().items()
        ]
        lines = [
            f"Condition: {self.condition}. Answers by {self.engine} from {self.k} passages each, "
            f"{'found by words and vectors' if self.encoder else 'found by words alone'}.",
            f"Highest score here: {best}.",
            f"Left without an answer here: {'; '.join(silent) or 'no question in any arm'}.",
            f"Published: {PUBLISHED}",
        ]
        reasons: dict[str, list[str]] = {}
        for sources, hits, store, reason in self.not_run:
            reasons.setdefault(reason, []).append(f"{store} with {sources} ({hits})")
        return lines + [f"Not run, because {reason}: {', '.join(arms)}." for reason, arms in reasons.items()]

    def __str__(self) -> str:
        shown = self.table().drop(columns="not_run").head(len(self._arms()))
        text = shown.to_string(index=False, na_rep="", float_format="{:.2f}".format)
        return "\n".join([text, "", *self.remarks()])

    def __repr__(self) -> str:
        counts = f"{len(self._arms())} arms, {len(self.not_run)} not run"
        return f"RetrievalComparison({self.condition!r}, {counts})"

    def to_markdown(self) -> str:
        """Return the answers for reading: per question those of every arm, with scores and references."""
        from dallm.paper.comparison_page import to_markdown

        return to_markdown(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the three measures of every arm; with `path` (png, svg, pdf), write it there, too.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        OutputError
            If the file cannot be written there.
        """
        from dallm.evaluation.figures import write_figure
        from dallm.paper.comparison_plot import draw

        figure = draw(self)
        if path is not None:
            write_figure(figure, Path(path))
        return figure

    def save(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the table, answers and facts as CSV, the answers as Markdown, the plot as PNG and SVG.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        OutputError
            If they cannot be written there.
        """
        from dallm.evaluation.figures import write_figure
        from dallm.paper.comparison_plot import draw

        place = Path(folder)
        frames = {"table3.csv": self.table(), "answers.csv": self.answers, "facts.csv": self.facts}
        for name, frame in frames.items():
            write_csv(place / name, frame)
        write_text(place / "answers.md", self.to_markdown())
        figure = draw(self)
        for name in ("table3.png", "table3.svg"):
            write_figure(figure, place / name)
        return tuple(place / name for name in (*frames, "answers.md", "table3.png", "table3.svg"))

    def _arms(self) -> dict[tuple[str, str, str], list[ScoredAnswer]]:
        groups: dict[tuple[str, str, str], list[ScoredAnswer]] = {}
        for one in self.scored:
            groups.setdefault((one.sources, one.hits, one.store), []).append(one)
        return groups


def _row(group: list[ScoredAnswer], questions: list[str]) -> dict[str, Any]:
    def over(name: str, *, unanswered: float | None) -> float | None:
        given = [getattr(one.scores, name) for one in group]
        values = [unanswered if value is None else value for value in given]
        kept = [value for value in values if value is not None]
        return sum(kept) / len(kept) if kept else None

    first = group[0]
    expected = sum(len(one.expected) for one in group)
    counted = [name for name in MEASURES if expected or name != "completeness"]
    parts = [over(name, unanswered=0.0) or 0.0 for name in counted]
    return {
        "sources": first.sources,
        "hits": first.hits,
        "store": first.store,
        "score": sum(parts) / len(parts),
        **{name: over(name, unanswered=None) for name in MEASURES},
        "answered": sum(bool(one.answer.text) for one in group),
        "in_sources": sum(len(one.in_sources) for one in group) / expected if expected else None,
        **{
            f"completeness: {name}": one.scores.completeness
            for name in questions
            for one in group
            if one.question == name
        },
        "documents": first.documents,
        "passages": first.passages,
        "not_run": "",
    }
