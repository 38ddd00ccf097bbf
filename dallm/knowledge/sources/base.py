"""What a source of knowledge is, and how bytes of unknown encoding become text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from dallm.knowledge.passage import Document, Problem

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")


@runtime_checkable
class Source(Protocol):
    """A source of documents: one method is all it needs.

    Two further ones are used where a source has them: ``listing()`` returns the urls of everything that the
    source holds at present, so that what has gone can be reported; ``origin`` (a text) tells two sources of
    the same name apart.
    """

    name: str

    def documents(self, conditions: Sequence[str]) -> Iterator[Document | Problem]:
        """Yield the documents on `conditions` (canonical names; none means all), or what was passed over."""
        ...


def decode(raw: bytes, declared: str | None = None) -> str:
    """Decode bytes of unknown encoding: by a byte order mark, as UTF-8, as UTF-16, as Latin-1's family.

    Parameters
    ----------
    raw : bytes
        The content of a file.
    declared : str, optional
        The encoding that the content declares, such as an HTML page's; tried before guessing.

    Raises
    ------
    ValueError
        If the bytes are no text.

    Examples
    --------
    >>> decode("Épanchement".encode("latin-1")), decode("Épanchement".encode("utf-16"))
    ('Épanchement', 'Épanchement')
    """
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return _clean(raw.decode(encoding, "replace"))
    candidates = ["utf-8"]
    zeros = raw[:4000].count(0)
    if zeros > len(raw[:4000]) / 5:
        candidates = ["utf-16-le" if raw[1:4000:2].count(0) > raw[0:4000:2].count(0) else "utf-16-be"]
    elif zeros:
        raise ValueError("it holds binary data, not text")
    if declared:
        candidates.insert(1, declared)
    for encoding in (*candidates, "cp1252", "latin-1"):
        try:
            text = raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        if sum(1 for c in text[:4000] if ord(c) < 32 and c not in "\t\n\r\f\v") > len(text[:4000]) / 20:
            break
        return _clean(text)
    raise ValueError("it holds binary data, not text")


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\xa0", " ")
    return _CONTROL.sub("", text)
