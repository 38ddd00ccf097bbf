"""Passages and documents as properties of nodes, and back."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.cut import cut
from dallm.knowledge.duplicates import bands_of
from dallm.knowledge.lexical import term_ids
from dallm.knowledge.passage import Document, Passage, digest

SHOWN = (
    "text",
    "title",
    "section",
    "source",
    "url",
    "revision",
    "licence",
    "authors",
    "retrieved_at",
    "conditions",
    "sha256",
    "notice",
)
"""The properties of a passage's node that make a :class:`Passage`."""

_ID_LENGTH = 32
_TOKEN_LENGTH = 8


def document_id(source: str, url: str) -> str:
    """Return the key of a document: a digest, since an index takes no text of any length."""
    return digest(source, url)[:_ID_LENGTH]


def tokens(text: str) -> str:
    """Return a text's terms as the full-text index holds them: hashes, parted by spaces.

    A hash has eight digits whatever the word, so that no word is too long for the index, and none means
    anything to the parser of its queries.

    Examples
    --------
    >>> tokens("What causes a Pleural Effusion?")
    'da868bd3 6c96a34c 8c334f7b'
    """
    return term_ids(text).astype(">u4").tobytes().hex(" ", 4)


def token_count(joined: str) -> int:
    """Return how many tokens a text of :func:`tokens` holds."""
    return (len(joined) + 1) // (_TOKEN_LENGTH + 1)


def condition_token(condition: str) -> str:
    """Return the token of the passages about a condition."""
    return f"c{_hash(condition)}"


def source_token(source: str) -> str:
    """Return the token of the passages of a source."""
    return f"s{_hash(source)}"


def document_row(document: Document, conditions: Sequence[str], passages: int) -> dict[str, Any]:
    """Return the properties of a document's node."""
    return {
        "id": document_id(document.source, document.url),
        "source": plain(document.source),
        "url": plain(document.url),
        "title": plain(document.title),
        "revision": document.revision,
        "licence": document.licence,
        "authors": list(document.authors),
        "retrieved_at": document.retrieved_at,
        "conditions": list(conditions),
        "notice": document.notice,
        "sha256": document.sha256,
        "passages": passages,
    }


class Prepared(NamedTuple):
    """A passage with all that can be worked out before a transaction: its node's properties, and bands."""

    passage: Passage
    bands: tuple[int, ...]
    row: dict[str, Any]


def prepared(documents: Sequence[Document]) -> list[list[Prepared]]:
    """Cut documents into passages, ready to be written; one list per document."""
    cuts = [cut(document) for document in documents]
    bands = iter(bands_of([passage.text for passages in cuts for passage in passages]))
    return [[_prepared(passage, number, next(bands)) for number, passage in enumerate(own)] for own in cuts]


def passage_row(
    passage: Passage, number: int, conditions: Sequence[str], bands: Sequence[int], twin: str | None
) -> dict[str, Any]:
    """Return the properties of a passage's node, its vector aside.

    Parameters
    ----------
    passage : Passage
    number : int
        Its place in the document, from 0.
    conditions : sequence of str
        What its document is about.
    bands : sequence of int
        What near-duplicates share some of; see :mod:`dallm.knowledge.duplicates`.
    twin : str or None
        What it is linked to; see :func:`dallm.knowledge.duplicates.twins`.
    """
    about = tuple(dict.fromkeys((*conditions, *passage.conditions)))
    return tagged_row(_prepared(passage, number, tuple(bands)), about, twin)


def tagged_row(piece: Prepared, conditions: Sequence[str], twin: str | None) -> dict[str, Any]:
    """Return the properties of a passage's node, its vector aside.

    Parameters
    ----------
    piece : Prepared
    conditions : sequence of str
        What the passage is about.
    twin : str or None
        What it is linked to; see :func:`dallm.knowledge.duplicates.twins`.
    """
    return piece.row | {
        "conditions": list(conditions),
        "filter": " ".join([source_token(piece.passage.source), *map(condition_token, conditions)]),
        "twin": twin,
        "group": twin or piece.passage.sha256,
    }


def _prepared(passage: Passage, number: int, bands: tuple[int, ...]) -> Prepared:
    document = document_id(passage.source, passage.url)
    row = {name: getattr(passage, name) for name in SHOWN}
    row |= {name: plain(row[name]) for name in ("text", "title", "section", "source", "url", "notice")}
    row |= {
        "id": f"{document}-{number}",
        "document": document,
        "place": number,
        "authors": [plain(name) for name in passage.authors],
        "head": tokens(f"{passage.title} {passage.section}"),
        "title_terms": token_count(tokens(passage.title)),
        "body": tokens(passage.text),
        "bands": " ".join(f"{band:08x}" for band in bands),
    }
    return Prepared(passage, bands, row)


def passage_of(node: Mapping[str, Any]) -> Passage:
    """Return the passage that a node holds."""
    values: dict[str, Any] = {name: node.get(name) for name in SHOWN}
    for name in ("authors", "conditions"):
        values[name] = tuple(values[name] or ())
    return Passage(**values)


def passages_with(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count in how many passages each term stands, and how many each condition and source have."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update({*row["head"].split(), *row["body"].split(), *row["filter"].split()})
    return counts


def numbers(vector: NDArray[np.float32]) -> str:
    """Return a vector as text, without loss; ``toFloatList(split(text, ' '))`` reads it.

    Sent as text, a vector costs a client a tenth of the time that its driver takes for a list.

    Examples
    --------
    >>> numbers(np.float32([0.5, -0.1]))
    '0.5 -0.100000001'
    """
    return " ".join(["%.9g"] * len(vector)) % tuple(vector.tolist())


def packed(vector: NDArray[np.float32]) -> str:
    """Return a vector as a passage's node keeps it for exact comparison: base64 of little-endian float32.

    The server takes fifty times as long to compute one cosine as it takes to send this.

    Examples
    --------
    >>> packed(np.float32([0.5, -1]))
    'AAAAPwAAgL8='
    """
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def unpacked(texts: Sequence[str], dimension: int) -> NDArray[np.float32]:
    """Return the vectors of :func:`packed`, shape ``(len(texts), dimension)``; zeros for an empty text.

    Examples
    --------
    >>> unpacked(["AAAAPwAAgL8=", ""], 2).tolist()
    [[0.5, -1.0], [0.0, 0.0]]
    """
    blank = bytes(4 * dimension)
    joined = b"".join(base64.b64decode(text) if text else blank for text in texts)
    return np.frombuffer(joined, dtype="<f4").reshape(len(texts), dimension)


def plain(text: str) -> str:
    """Return a text without halves of characters, which no database takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _hash(name: str) -> str:
    return f"{zlib.crc32(name.encode('utf-8', 'replace')):08x}"
