"""Cut a document into passages, by section and by sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dallm.knowledge.conditions import conditions_in
from dallm.knowledge.passage import Document, Passage, digest
from dallm.knowledge.sentences import sentence_spans

MOST_WORDS = 90
"""Words in a passage, about, at most: in a trial on the development questions better than 60, 120 and 200."""

_LONGEST_SENTENCE = 150
# a run of forty characters counts as a word: scripts without spaces, and data, have no others
_WORD = re.compile(r"\S{1,40}")
_APPARATUS = re.compile(
    r"(references?|bibliography|external links|see also|further reading|notes and references|citations|"
    r"navigation( menu)?|table of contents|contents)",
    re.IGNORECASE,
)


def cut(document: Document, most_words: int = MOST_WORDS) -> list[Passage]:
    """Return the passages of a document, in its order.

    A passage never crosses a heading, and a sentence is split only where it is longer than 150 words.
    Sections of references and of navigation give none. A passage is about the conditions of its document and
    those that its headings name.

    Examples
    --------
    >>> from dallm.knowledge.passage import Section
    >>> text = "The lung falls in. Breathing hurts."
    >>> page = Document("Pneumothorax", (Section("Symptoms", text),), "folder", "ptx.md")
    >>> [(p.section, p.text) for p in cut(page)]
    [('Symptoms', 'The lung falls in. Breathing hurts.')]
    """
    passages = []
    for section in document.sections:
        headings = [h.strip() for h in section.path.split(">")]
        if any(_APPARATUS.fullmatch(heading) for heading in headings):
            continue
        conditions = tuple(dict.fromkeys((*document.conditions, *conditions_in(section.path))))
        for text in _pieces(section.text, most_words):
            passages.append(
                Passage(
                    text=text,
                    title=document.title,
                    section=section.path,
                    source=document.source,
                    url=document.url,
                    revision=document.revision,
                    licence=document.licence,
                    authors=document.authors,
                    retrieved_at=document.retrieved_at,
                    conditions=conditions,
                    sha256=digest(document.title, section.path, text),
                    notice=document.notice,
                )
            )
    return passages


def retrieval_text(passage: Passage) -> str:
    """Return what the encoder reads of a passage: the title and the headings lead its text."""
    return ". ".join(
        part for part in (passage.title, passage.section.replace(" > ", ". "), passage.text) if part
    )


def _pieces(text: str, most_words: int) -> Iterator[str]:
    spans = [piece for start, end in sentence_spans(text) for piece in _bounded(text, start, end)]
    counts = [sum(1 for _ in _WORD.finditer(text, start, end)) for start, end in spans]
    total = sum(counts)
    if not total:
        return
    # an even share per passage, so that no section ends in a passage of one short sentence
    share = total / -(-total // most_words)
    first, words, done = 0, 0, 0.0
    for i, count in enumerate(counts):
        if words and done + words + count / 2 > share * (round(done / share) + 1):
            yield text[spans[first][0] : spans[i - 1][1]]
            done += words
            first, words = i, 0
        words += count
    yield text[spans[first][0] : spans[-1][1]]


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    words = list(_WORD.finditer(text, start, end))
    for i in range(0, len(words), _LONGEST_SENTENCE):
        chunk = words[i : i + _LONGEST_SENTENCE]
        yield chunk[0].start(), chunk[-1].end()
