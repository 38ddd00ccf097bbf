"""Time of a query and of writing in a local store and in Neo4j, the encoder excluded.

The passages are made up: sentences of invented words whose frequencies fall as those of a language do.
Vectors are made of the words by a fixed random projection, so that questions have neighbours, and cost next
to nothing; a vector index finds them harder to search than those of a language model.

Run with the address of a server (it writes to the namespace ``benchmark``, and clears it at the end), or
without any: then the local store alone is measured.

    NEO4J_PASSWORD=... python benchmarks/stores.py --passages 10000 --uri neo4j://localhost:7687
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dallm.knowledge.lexical import term_ids
from dallm.knowledge.passage import Document, Section
from dallm.knowledge.stores.base import KnowledgeStore
from dallm.knowledge.stores.local import LocalStore
from dallm.knowledge.stores.neo4j import kept
from dallm.knowledge.stores.neo4j.vector import Neo4jVectorStore

DIMENSION = 384
SECTIONS = 10
COMMON = ("asthma", "pneumonia", "heart failure", "pneumothorax")
RARE = "sarcoidosis"
RARE_EVERY = 100  # documents


class Projection:
    """Encodes a text as the sum of its words' vectors; knows how long it took."""

    identity = "benchmark projection"

    def __init__(self) -> None:
        self._table = np.random.default_rng(0).normal(size=(8192, DIMENSION)).astype(np.float32)
        self.seconds = 0.0

    def encode(self, sentences: list[str]) -> np.ndarray:
        began = time.perf_counter()
        vectors = np.array([self._table[term_ids(text) % len(self._table)].sum(axis=0) for text in sentences])
        self.seconds += time.perf_counter() - began
        return vectors


class Words:
    """Invented words, some far more common than others."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        parts = [f"{a}{b}" for a in "bdfgklmnprstvz" for b in "aeiou"]
        self._words = [f"{a}{b}{c}" for a in parts for b in parts for c in parts[:4]]
        random.Random(0).shuffle(self._words)
        self._weights = list(np.cumsum(1 / np.arange(10, len(self._words) + 10)))

    def some(self, count: int) -> str:
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=count))

    def documents(self, passages: int) -> Iterator[Document]:
        for number in range(passages // SECTIONS):
            about = RARE if number % RARE_EVERY == 0 else COMMON[number % len(COMMON)]
            # nine sentences of nine words: one passage a section
            sections = tuple(
                Section(self.some(2), " ".join(f"{self.some(9).capitalize()}." for _ in range(9)))
                for _ in range(SECTIONS)
            )
            title = self.some(2).capitalize()
            yield Document(title, sections, "made up", f"{number:06}", conditions=(about,))


def written(store: KnowledgeStore, documents: Sequence[Document], encoder: Projection) -> str:
    """Write documents in batches as an ingest does; return how long that took."""
    encoder.seconds = 0.0
    began, passages = time.perf_counter(), 0
    for start in range(0, len(documents), 32):
        passages += store.write(documents[start : start + 32]).passages
    store.embed_missing()  # as an ingest ends
    spent = time.perf_counter() - began - encoder.seconds
    return f"{1e6 * spent / max(passages, 1):.0f} ms per 1,000 passages ({passages} passages)"


def medians(store: KnowledgeStore, questions: Sequence[str], encoder: Projection) -> dict[str, str]:
    """Time searches of several kinds; milliseconds, the encoder excluded."""
    kinds: dict[str, Callable[[str], object]] = {
        "no filter": lambda q: store.search(q),
        "no filter, k=20": lambda q: store.search(q, k=20),
        "common condition": lambda q: store.search(q, condition=COMMON[0]),
        "rare condition": lambda q: store.search(q, condition=RARE),
        "rare condition, k=1000": lambda q: store.search(q, k=1000, condition=RARE),
        "source and condition": lambda q: store.search(q, condition=RARE, source="made up"),
        "words alone": lambda q: store.search(q, arm="lexical"),  # type: ignore[call-arg]
    }
    shown = {}
    for name, search in kinds.items():
        times = []
        for question in questions:
            encoder.seconds = 0.0
            began = time.perf_counter()
            search(question)
            times.append(1e3 * (time.perf_counter() - began - encoder.seconds))
        times = times[len(times) // 4 :]  # the first ones warm caches
        low, high = np.percentile(times, [10, 90])
        shown[name] = f"{statistics.median(times):.1f} ({low:.1f} to {high:.1f})"
    return shown


def by_indexes(
    store: KnowledgeStore, local: KnowledgeStore, questions: Sequence[str], encoder: Projection
) -> None:
    """Print what searches take that the server's indexes answer, as those of a large store are."""
    most, kept.MOST_KEPT = kept.MOST_KEPT, 0
    for kind, median in medians(store, questions, encoder).items():
        print(f"neo4j_vector by its indexes: query, {kind}: median {median} ms")
    print(f"local and neo4j_vector by its indexes: {agreement(local, store, questions)}")
    kept.MOST_KEPT = most


def agreement(one: KnowledgeStore, two: KnowledgeStore, questions: Sequence[str]) -> str:
    """Count the questions to which two stores give the same hits with the same scores."""
    same = 0
    for question in questions:
        found = [store.search(question, k=10) for store in (one, two)]
        keys = [[hit.passage.sha256 for hit in hits] for hits in found]
        scores = [[hit.score for hit in hits] for hits in found]
        same += keys[0] == keys[1] and np.allclose(scores[0], scores[1], atol=1e-4)
    return f"the same 10 hits and scores for {same} of {len(questions)} questions"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--uri")
    options = parser.parse_args()
    documents = list(Words(1).documents(options.passages))
    asked = Words(2)
    questions = [f"What are the symptoms of {asked.some(6)}?" for _ in range(options.questions)]
    encoder = Projection()
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, KnowledgeStore] = {"local": LocalStore(folder, encoder=encoder)}
        if options.uri:
            remote = Neo4jVectorStore(options.uri, namespace="benchmark", encoder=encoder)
            remote.clear()
            stores["neo4j_vector"] = remote
        for name, store in stores.items():
            print(f"{name}: written, the encoder excluded: {written(store, documents, encoder)}")
            if name == "neo4j_vector":
                by_indexes(store, stores["local"], questions, encoder)
            for kind, median in medians(store, questions, encoder).items():
                print(f"{name}: query, {kind}: median {median} ms")
        if options.uri:
            print(f"local and neo4j_vector: {agreement(stores['local'], remote, questions)}")
            remote.clear()
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
