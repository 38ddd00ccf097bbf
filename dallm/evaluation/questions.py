"""Questions with the documents that answer them: read from a table, checked before anything is measured."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dallm.errors import KnowledgeWarning, UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("question_id", "question", "document")
_SHOWN = 5
_ENDING = re.compile(r"\.\w{1,9}$")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the documents that answer it, named as the store names them (``Passage.url``)."""

    id: str
    text: str
    documents: tuple[str, ...]


def read_questions(given: str | os.PathLike[str] | pd.DataFrame) -> tuple[Question, ...]:
    """Read questions from a CSV file or a frame with the columns ``question_id, question, document``.

    Rows that are wholly alike count once, with a warning. Rows with one id and several documents are one
    question with several right documents. Further columns are left alone.

    Parameters
    ----------
    given : path or DataFrame
        The table; a file may be of any encoding and separator that :func:`dallm.read_table` reads.

    Returns
    -------
    tuple of Question
        In the order of the table.

    Raises
    ------
    UserError
        If the table is missing or empty, lacks a column or a value, or gives one id to two questions.

    Warns
    -----
    KnowledgeWarning
        If rows stand in the table more than once.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [("q1", "What is asthma?", "a.md"), ("q1", "What is asthma?", "b.md")]
    >>> read_questions(pd.DataFrame(rows, columns=list(COLUMNS)))
    (Question(id='q1', text='What is asthma?', documents=('a.md', 'b.md')),)
    """
    frame, where = _frame(given)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        near = did_you_mean(missing[0], map(str, frame.columns))
        raise UserError(
            f"{where} lacks the column {', '.join(map(repr, missing))}; it needs {', '.join(COLUMNS)} and "
            f"has {', '.join(map(repr, frame.columns))}.{near}"
        )
    rows = [tuple(_text(value) for value in row) for row in frame[list(COLUMNS)].itertuples(index=False)]
    if not rows:
        raise UserError(f"{where} holds no question.")
    for place, row in enumerate(rows, start=1):
        for name, value in zip(COLUMNS, row, strict=True):
            if not value:
                raise UserError(f"{where}, row {place}: {name!r} is empty; fill it in or take the row out.")
    distinct = list(dict.fromkeys(rows))
    if len(distinct) < len(rows):
        twice = next(row[0] for i, row in enumerate(rows) if row in rows[:i])
        warnings.warn(
            f"{where}: {len(rows) - len(distinct)} rows stand there more than once and count once "
            f"(the first: question_id {twice!r}).",
            KnowledgeWarning,
            stacklevel=3,
        )
    return _grouped(distinct, where)


def located(questions: Sequence[Question], urls: Collection[str], place: str) -> tuple[Question, ...]:
    """Return the questions with their documents named as in `urls`.

    A name may lack its ending (``.md``), begin with ``./``, or have backslashes.

    Parameters
    ----------
    questions : sequence of Question
    urls : collection of str
        What there is.
    place : str
        What holds the documents, for the message.

    Raises
    ------
    UserError
        If a document is not there, or its name fits several; it names the question, the document, near names.

    Examples
    --------
    >>> asked = [Question("q1", "What is asthma?", ("asthma",))]
    >>> located(asked, {"asthma.md"}, "notes")[0].documents
    ('asthma.md',)
    """
    known = set(urls)
    by_stem: dict[str, list[str]] = {}
    for url in sorted(known):
        by_stem.setdefault(_ENDING.sub("", url), []).append(url)
    found, faults = [], []
    for question in questions:
        names = []
        for document in question.documents:
            fitting = _fitting(document, known, by_stem)
            if len(fitting) == 1:
                names.append(fitting[0])
            else:
                faults.append((question, document, fitting))
        found.append(Question(question.id, question.text, tuple(dict.fromkeys(names))))
    if faults:
        raise UserError(_unknown_documents(faults, sorted(known), place))
    return tuple(found)


def _frame(given: str | os.PathLike[str] | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    if isinstance(given, pd.DataFrame):
        return given, "The table of questions"
    if not isinstance(given, str | os.PathLike):
        raise UserError(
            f"questions is a CSV file or a DataFrame with the columns {', '.join(COLUMNS)}; "
            f"got {type(given).__name__}."
        )
    path = Path(given)
    if not path.is_file():
        what = "is a folder; name the file in it" if path.is_dir() else "is not there"
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"The file of questions {str(path)!r} {what}.{did_you_mean(path.name, siblings)}")
    from dallm.readers.delimited import read_delimited

    return read_delimited(path, expected=COLUMNS).frame, f"The file of questions {str(path)!r}"


def _text(value: object) -> str:
    missing = value is None or value != value  # NaN is not equal to itself
    return "" if missing else " ".join(str(value).split())


def _grouped(rows: Sequence[tuple[str, ...]], where: str) -> tuple[Question, ...]:
    texts: dict[str, str] = {}
    documents: dict[str, list[str]] = {}
    for number, text, document in rows:
        if texts.setdefault(number, text) != text:
            raise UserError(f"{where}: two questions have the question_id {number!r}; give each its own.")
        documents.setdefault(number, []).append(document)
    return tuple(Question(number, texts[number], tuple(names)) for number, names in documents.items())


def _fitting(document: str, known: set[str], by_stem: dict[str, list[str]]) -> list[str]:
    name = document.replace("\\", "/").removeprefix("./")
    for candidate in (document, name, f"{name}.md"):
        if candidate in known:
            return [candidate]
    return by_stem.get(name, [])


def _unknown_documents(
    faults: Sequence[tuple[Question, str, list[str]]], known: Sequence[str], place: str
) -> str:
    lines = []
    for question, document, fitting in faults[:_SHOWN]:
        if fitting:
            lines.append(f"question {question.id!r} names {document!r}, which may be {' or '.join(fitting)}")
            continue
        near = difflib.get_close_matches(document, known, n=3, cutoff=0.5)
        hint = f" (near: {', '.join(near)})" if near else ""
        lines.append(f"question {question.id!r} names {document!r}{hint}")
    rest = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return (
        f"{len(faults)} documents that questions name are not among the {len(known)} of {place}: "
        f"{'; '.join(lines)}{rest}. Correct the column 'document', or add the files."
    )
