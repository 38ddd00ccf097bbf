"""The augmented clinical knowledge (ACK): answers to expert queries, with the passages that they rest on."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dallm.errors import UserError, did_you_mean
from dallm.files import write_text
from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.passage import digest

FORMAT = "dallm-ack-1"
NO_SUPPORT = "no passage in the store supports an answer"
CITATION = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer rests on.

    `quote` is the stretch of `text` that the answer uses; `text` is the passage as the store holds it.
    """

    title: str
    section: str
    source: str
    url: str
    quote: str
    text: str
    sha256: str
    licence: str | None = None
    authors: tuple[str, ...] = ()
    revision: str | None = None
    notice: str = ""

    @property
    def reference(self) -> str:
        """The citation in one line: authors, title, section, source, url, revision, licence, notice."""
        parts = [
            ", ".join(self.authors),
            f"{self.title}: {self.section}" if self.section else self.title,
            self.source,
            self.url,
            f"revision {self.revision}" if self.revision else "",
            self.licence or "",
            self.notice if self.notice != self.source else "",
        ]
        return "; ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one query for one condition: ``[n]`` in `text` cites ``citations[n - 1]``.

    `text` is empty where no passage supports an answer; `reason` says so then.
    """

    condition: str
    query_id: str
    group: str
    question: str
    text: str
    citations: tuple[Citation, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Ack:
    """Answers to expert queries over one or more conditions; save it, edit it by hand, load it, go on.

    Parameters
    ----------
    answers : iterable of Answer
        At most one per condition and query.
    engine, model : str, optional
        Who answered.

    Raises
    ------
    UserError
        If two answers are to the same query for the same condition, or a citation mark points nowhere.

    Examples
    --------
    >>> ack = Ack([Answer("asthma", "signs", "examination", "Which signs has asthma?", "Wheezing.")])
    >>> ack.conditions, ack.answer("Asthma", "signs").text
    (('asthma',), 'Wheezing.')
    """

    answers: tuple[Answer, ...]
    engine: str = "extractive"
    model: str | None = None
    _by_key: dict[tuple[str, str], Answer] = field(init=False, repr=False, compare=False)

    def __init__(
        self, answers: Iterable[Answer] = (), engine: str = "extractive", model: str | None = None
    ) -> None:
        object.__setattr__(self, "answers", tuple(answers))
        object.__setattr__(self, "engine", engine)
        object.__setattr__(self, "model", model)
        keyed: dict[tuple[str, str], Answer] = {}
        for answer in self.answers:
            _check(answer)
            if (answer.condition, answer.query_id) in keyed:
                raise UserError(
                    f"{_where(answer.condition, answer.query_id)}: there are two answers; remove one."
                )
            keyed[answer.condition, answer.query_id] = answer
        object.__setattr__(self, "_by_key", keyed)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions, in their order."""
        return tuple(dict.fromkeys(answer.condition for answer in self.answers))

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The ids of the queries, in their order."""
        return tuple(dict.fromkeys(answer.query_id for answer in self.answers))

    @property
    def notices(self) -> tuple[str, ...]:
        """What the sources want said beside every use, each once."""
        return tuple(dict.fromkeys(c.notice for a in self.answers for c in a.citations if c.notice))

    @property
    def digest(self) -> str:
        """SHA-256 of what the answers say and rest on."""
        return digest(self.to_json())

    def answer(self, condition: str, query_id: str) -> Answer:
        """Return one answer.

        Raises
        ------
        UserError
            If there is none for that condition and query.
        """
        name = condition if condition in self.conditions else resolve_condition(condition)
        found = self._by_key.get((name, query_id))
        if found is not None:
            return found
        if name not in self.conditions:
            near = did_you_mean(condition, self.conditions)
            raise UserError(
                f"The ACK has no condition {condition!r}; it has {_listed(self.conditions)}.{near}"
            )
        near = did_you_mean(query_id, self.query_ids)
        raise UserError(
            f"The ACK has no query {query_id!r} for {name!r}; it has {_listed(self.query_ids)}.{near}"
        )

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __add__(self, other: Ack) -> Ack:
        """Return the answers of both; where both answer one query for one condition, the right one counts."""
        if not isinstance(other, Ack):
            return NotImplemented
        merged = {**self._by_key, **other._by_key}
        same = self.engine == other.engine
        return Ack(
            merged.values(),
            self.engine if same else f"{self.engine} + {other.engine}",
            self.model if self.model == other.model else None,
        )

    def __repr__(self) -> str:
        answered = sum(bool(answer.text) for answer in self.answers)
        what = f"{answered} of {len(self)} questions answered, {len(self.conditions)} conditions"
        return f"Ack({what}, {self.engine})"

    def _repr_html_(self) -> str:
        rows = "".join(_html_row(answer) for answer in self.answers)
        head = "<tr><th>condition</th><th>question</th><th>answer</th><th>rests on</th></tr>"
        notes = "".join(f"<p><b>{html.escape(notice)}</b></p>" for notice in self.notices)
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        return f"<p>{html.escape(repr(self))}</p>{notes}{table}"

    def to_json(self) -> str:
        """Return the ACK as JSON, laid out for reading and editing."""
        content = {
            "format": FORMAT,
            "engine": self.engine,
            "model": self.model,
            "answers": [asdict(answer) for answer in self.answers],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the ACK to a JSON file and return its path.

        Raises
        ------
        OutputError
            If the file cannot be written there.
        """
        path = Path(path)
        write_text(path, self.to_json())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ack:
        """Read an ACK that :meth:`save` wrote, edited by hand or not.

        Raises
        ------
        UserError
            If the file cannot be read, or is no ACK; the message names the condition, the query, the field.
        """
        path = Path(path)
        try:
            return cls.from_json(path.read_text(encoding="utf-8-sig"), where=str(path))
        except OSError as error:
            raise UserError(f"The ACK {str(path)!r} cannot be read: {error.strerror or error}.") from error
        except UnicodeDecodeError as error:
            raise UserError(f"The ACK {str(path)!r} is not UTF-8; save it as UTF-8.") from error

    @classmethod
    def from_json(cls, text: str, *, where: str = "text") -> Ack:
        """Read an ACK from JSON; `where` names it in error messages."""
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"The ACK {where!r} is no JSON: {error}.") from error
        if (
            not isinstance(raw, dict)
            or raw.get("format") != FORMAT
            or not isinstance(raw.get("answers"), list)
        ):
            raise UserError(f"{where!r} is no ACK: it needs 'format': {FORMAT!r} and a list 'answers'.")
        answers = tuple(_read_answer(item, n) for n, item in enumerate(raw["answers"], start=1))
        return cls(answers, str(raw.get("engine") or "unknown"), raw.get("model"))

    def to_markdown(self) -> str:
        """Return the ACK for reading: a heading per condition and group, references under each condition."""
        from dallm.ack.markdown import to_markdown

        return to_markdown(self)


def _html_row(answer: Answer) -> str:
    says = html.escape(answer.text) or f"<i>{html.escape(answer.reason or NO_SUPPORT)}</i>"
    rests = "<br>".join(f"[{n}] {html.escape(c.reference)}" for n, c in enumerate(answer.citations, start=1))
    first = f"<td>{html.escape(answer.condition)}</td><td>{html.escape(answer.question)}</td>"
    return f"<tr>{first}<td>{says}</td><td>{rests}</td></tr>"


def _check(answer: object) -> None:
    if not isinstance(answer, Answer):
        raise UserError(f"An ACK is made of Answer objects; got {type(answer).__name__}.")
    for mark in CITATION.findall(answer.text):
        if not 1 <= int(mark) <= len(answer.citations):
            raise UserError(
                f"{_where(answer.condition, answer.query_id)}, field 'text': [{mark}] cites nothing; it has "
                f"{len(answer.citations)} citations."
            )


def _read_answer(raw: object, place: int) -> Answer:
    if not isinstance(raw, Mapping):
        raise UserError(f"ACK, answer {place}: expected an object with the fields of an answer.")
    where = _where(raw.get("condition", f"number {place}"), raw.get("query_id", "?"))
    values = _read_fields(Answer, raw, where, optional=("citations", "reason"))
    cited = values.get("citations", ())
    if not isinstance(cited, list | tuple):
        raise UserError(f"{where}, field 'citations': expected a list, found {type(cited).__name__}.")
    values["citations"] = tuple(
        _read_citation(item, f"{where}, citation {n}") for n, item in enumerate(cited, start=1)
    )
    return Answer(**values)


def _read_citation(raw: object, where: str) -> Citation:
    if not isinstance(raw, Mapping):
        raise UserError(f"{where}: expected an object with the fields of a citation.")
    values = _read_fields(Citation, raw, where, optional=("licence", "authors", "revision", "notice"))
    authors = values.get("authors", ())
    if not isinstance(authors, list | tuple) or not all(isinstance(name, str) for name in authors):
        raise UserError(f"{where}, field 'authors': expected a list of names.")
    values["authors"] = tuple(authors)
    return Citation(**values)


def _read_fields(
    kind: type[Answer] | type[Citation], raw: Mapping[str, Any], where: str, *, optional: tuple[str, ...]
) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    for name in raw:
        if name not in names:
            raise UserError(f"{where}: unknown field {name!r}.{did_you_mean(name, names)}")
    for name in names:
        if name not in raw and name not in optional:
            raise UserError(f"{where}: the field {name!r} is missing.")
        value = raw.get(name, "")
        nullable = name in ("licence", "revision") and value is None
        if name not in ("citations", "authors") and not isinstance(value, str) and not nullable:
            raise UserError(f"{where}, field {name!r}: expected a text, found {type(value).__name__}.")
    return dict(raw)


def _where(condition: object, query_id: object) -> str:
    return f"ACK, condition {condition!r}, query {query_id!r}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
