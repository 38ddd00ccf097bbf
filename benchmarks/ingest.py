"""What ingest costs beside the encoder, the first time and the second, and beside langchain-neo4j.

In one run every way brings the same pages into an empty place with the same encoder, in turn, for several
rounds. "waiting" is what is not spent within the encoder, over the encoder's seconds of the first time in
the same round, so that other users of the machine blur it less. Neo4j is written to while the encoder works
on, which slows the encoder where both need the processor; so "over alone" is all that a way takes longer than
the encoder takes for the same texts with nothing beside it. The pages are those under DALLM_REAL_DATA
(medquad_chest). Neo4j is measured where NEO4J_URI (NEO4J_USERNAME, NEO4J_PASSWORD) names a server; what
is written there is removed again, nothing else is touched. langchain-neo4j gets the passages cut already. The
first round warms the server up and is left out where there are several.

    DALLM_REAL_DATA=... NEO4J_URI=... python benchmarks/ingest.py [--pages 100] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

import dallm
from dallm.knowledge.cut import cut, retrieval_text
from dallm.knowledge.encoder import TextEncoder, packaged_encoder
from dallm.knowledge.passage import Document
from dallm.knowledge.stores.base import KnowledgeStore


class Timed:
    """The packaged encoder, which counts texts and seconds."""

    def __init__(self) -> None:
        packaged = packaged_encoder()
        if packaged is None:
            raise SystemExit("The packaged encoder is not installed: pip install 'dallm[offline]'.")
        self._packaged = packaged
        self.identity = packaged.identity
        self.texts, self.seconds = 0, 0.0

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Encode, counting."""
        began = time.perf_counter()
        vectors = self._packaged.encode(sentences)
        self.seconds += time.perf_counter() - began
        self.texts += len(sentences)
        return vectors


class ForLangChain(Embeddings):
    """The same encoder as LangChain calls it."""

    def __init__(self, encoder: Timed) -> None:
        self._encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode the passages."""
        return self._encoder.encode(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        """Encode a question."""
        return self.embed_documents([text])[0]


@dataclass
class Run:
    """One way, once: seconds in all and in the encoder, texts encoded, writes."""

    seconds: float
    encoding: float
    texts: int
    writes: int | None


def main() -> int:
    """Print a row per way."""
    parser = argparse.ArgumentParser(description="What ingest costs beside the encoder.")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    root = os.environ.get("DALLM_REAL_DATA")
    if not root:
        print("DALLM_REAL_DATA is not set: nothing to measure.", file=sys.stderr)
        return 1
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        notes = write_pages(Path(root), Path(place) / "pages", given.pages)
        encoder = Timed()
        encoder.encode(["The model is loaded before the clock runs."])
        ways: dict[str, Callable[[], list[Run]]] = {
            ALONE: lambda: encoded_alone(encoder, notes),
            "local": lambda: into_local(encoder, notes),
        }
        if os.environ.get("NEO4J_URI"):
            ways["neo4j_vector"] = lambda: into_neo4j(encoder, notes)
            ways["langchain-neo4j"] = lambda: by_langchain(encoder, notes)
        else:
            print("NEO4J_URI is not set: the local store only.", file=sys.stderr)
        runs: dict[str, list[list[Run]]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, way in ways.items():
                runs[name].append(way())
            print(f"round: {', '.join(f'{n} {r[-1][0].seconds:.1f} s' for n, r in runs.items())}", flush=True)
    show({name: rounds[1:] or rounds for name, rounds in runs.items()})
    return 0


def show(runs: dict[str, list[list[Run]]]) -> None:
    """Print the median round of every way, first and second time."""
    print(
        f"{'way':<28}{'s':>8}{'encoding s':>12}{'waiting':>9}{'over alone':>12}{'passages/s':>12}"
        f"{'encoded':>9}{'writes':>8}"
    )
    alone = [round_[0].seconds for round_ in runs[ALONE]]
    for name, rounds in runs.items():
        for i, label in enumerate(("", ", again")[: len(rounds[0])]):
            seconds, encoding = (np.median([getattr(r[i], what) for r in rounds]) for what in FIELDS)
            first = np.median([r[0].seconds for r in rounds])
            rest = np.median([(r[i].seconds - r[i].encoding) / r[0].encoding for r in rounds])
            over = np.median([r[i].seconds / own - 1 for r, own in zip(rounds, alone, strict=True)])
            told = "" if i else f"{over:.1%}"
            one = rounds[-1][i]
            rate = f"{one.texts / seconds:.1f}" if one.texts else f"{seconds / first:.1%} of 1st"
            writes = "" if one.writes is None else str(one.writes)
            row = f"{seconds:>8.2f}{encoding:>12.2f}{rest:>9.1%}{told:>12}{rate:>12}{one.texts:>9}{writes:>8}"
            print(f"{name + label:<28}{row}")


FIELDS = ("seconds", "encoding")
ALONE = "encoder alone"
AT_ONCE = 600  # texts given to the encoder alone: about what an ingest gives it


def write_pages(root: Path, folder: Path, most: int) -> Path:
    """Write the pages as Markdown files and return their folder."""
    folder.mkdir()
    pages = pd.read_csv(root / "medquad_chest" / "medquad_chest.csv").drop_duplicates(["focus", "answer"])
    for i, (focus, answer) in enumerate(zip(pages.focus[:most], pages.answer[:most], strict=True)):
        (folder / f"{i:05}.md").write_text(f"# {focus}\n\n{answer}\n", encoding="utf-8")
    return folder


def timed(encoder: Timed, work: Callable[[], Any], writes: Callable[[], int] | None = None) -> Run:
    """Run `work` and return what it cost."""
    seconds, texts, written = encoder.seconds, encoder.texts, writes() if writes else 0
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    done = writes() - written if writes else None
    return Run(took, encoder.seconds - seconds, encoder.texts - texts, done)


def encoded_alone(encoder: Timed, notes: Path) -> list[Run]:
    """Encode the passages, and nothing else."""
    pages = [page for page in dallm.Folder(notes).documents() if isinstance(page, Document)]
    texts = list(dict.fromkeys(retrieval_text(passage) for page in pages for passage in cut(page)))

    def work() -> None:
        for start in range(0, len(texts), AT_ONCE):
            encoder.encode(texts[start : start + AT_ONCE])

    return [timed(encoder, work)]


def into_local(encoder: Timed, notes: Path) -> list[Run]:
    """Ingest into a new local store, twice."""
    own = TextEncoder(encoder.identity, encoder=encoder)
    with tempfile.TemporaryDirectory() as place:
        store: Any = dallm.open_store(Path(place) / "s", encoder=own)
        try:
            return twice(encoder, store, notes, lambda: store._db.total_changes)
        finally:
            store.close()


def into_neo4j(encoder: Timed, notes: Path) -> list[Run]:
    """Ingest into a new namespace, twice, and clear it."""
    own = TextEncoder(encoder.identity, encoder=encoder)
    name = f"bench_{secrets.token_hex(4)}"
    store: Any = dallm.open_store(os.environ["NEO4J_URI"], namespace=name, encoder=own)
    try:
        return twice(encoder, store, notes, lambda: store._connection.writes)
    finally:
        store.clear()
        store.close()


def twice(encoder: Timed, store: KnowledgeStore, notes: Path, writes: Callable[[], int]) -> list[Run]:
    """Ingest the same pages two times."""
    return [timed(encoder, lambda: dallm.ingest(store, dallm.Folder(notes)), writes) for _ in range(2)]


def by_langchain(encoder: Timed, notes: Path) -> list[Run]:
    """Run ``Neo4jVector.from_documents`` on the same passages, and remove what it made."""
    from langchain_neo4j import Neo4jVector

    documents = []
    for page in dallm.Folder(notes).documents():
        if isinstance(page, Document):
            for passage in cut(page):
                about = {"source": passage.source, "url": passage.url, "sha256": passage.sha256}
                documents.append(LangChainDocument(retrieval_text(passage), metadata=about))
    label = f"Bench{secrets.token_hex(4)}"
    made: list[Any] = []

    def work() -> None:
        made.append(
            Neo4jVector.from_documents(
                documents,
                ForLangChain(encoder),
                url=os.environ["NEO4J_URI"],
                username=os.environ.get("NEO4J_USERNAME", "neo4j"),
                password=os.environ.get("NEO4J_PASSWORD", ""),
                index_name=label,
                node_label=label,
            )
        )

    try:
        return [timed(encoder, work)]
    finally:
        for vector in made:
            vector.query(f"MATCH (n:`{label}`) DETACH DELETE n")
            vector.query(f"DROP INDEX `{label}` IF EXISTS")
            found = vector.query(
                "SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE $label IN labelsOrTypes RETURN name",
                params={"label": label},
            )
            for row in found:
                vector.query(f"DROP CONSTRAINT `{row['name']}`")


if __name__ == "__main__":
    raise SystemExit(main())
