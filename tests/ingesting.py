"""An ingest that the fault tests can kill: made-up sources, a cheap encoder, a process that runs them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dallm
from dallm.knowledge.passage import Document, Problem, Section

WORDS = [
    first + second
    for first in ("bra", "cle", "dro", "fi", "gu", "plo")
    for second in ("nt", "sk", "m", "ver")
]


class DigestEncoder:
    """Encodes a text as the bytes of its digest: another text, another vector, the same text the same."""

    identity = "digests"

    def encode(self, sentences: list[str], /) -> np.ndarray:
        digests = [hashlib.sha256(sentence.encode()).digest()[:16] for sentence in sentences]
        return np.array([np.frombuffer(one, dtype=np.uint8) for one in digests], dtype=np.float32) - 127.5


@dataclass(frozen=True)
class MadeUp:
    """Documents of words that mean nothing; a later `version` says something else in every fourth of them.

    With `like`, every document says nearly what one of that source's says that never changes.
    """

    name: str
    count: int
    version: int = 0
    like: str = ""

    def documents(self, conditions: Sequence[str]) -> Iterator[Document | Problem]:
        for number in range(self.count):
            yield Document(
                title=f"Page {number}",
                sections=tuple(Section(path, self._text(number, path)) for path in ("Signs", "Signs > Late")),
                source=self.name,
                url=f"made-up:{self.name}/{number}",
                retrieved_at="2026-01-01T00:00:00+00:00",
                conditions=("asthma", "pneumonia")[number % 2 :],
            )

    def _text(self, number: int, path: str) -> str:
        if self.like:
            of, version = f"{self.like} {4 * number + 1}", 0
        else:
            of, version = f"{self.name} {number}", self.version if number % 4 == 0 else 0
        chance = random.Random(f"{of} {path} {version}")
        words = [chance.choice(WORDS) for _ in range(80)]
        if self.like:
            words[40] = "otherwise"
        sentences = (" ".join(words[i : i + 10]).capitalize() + "." for i in range(0, len(words), 10))
        return " ".join(sentences)


def sources(version: int = 0) -> list[MadeUp]:
    """Several sources, which are written in turn; the last nearly repeats some of the first."""
    return [*(MadeUp(f"part {n}", 12, version) for n in range(8)), MadeUp("copy", 3, like="part 0")]


def run(address: dict[str, Any], version: int, opened: Any) -> None:
    """Open a store, say so, and ingest: what a process of its own does."""
    with dallm.open_store(**address) as store:
        opened.send("opened")
        dallm.ingest(store, sources(version))
