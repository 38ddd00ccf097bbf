"""The local store at many passages: writing, opening, searching, memory; the encoder's time is left out.

Words, texts and vectors are drawn at random (words as often as natural ones are, by Zipf's law), so that no
data and no model is needed. Every opening is a process of its own.

    python benchmarks/local_store.py [--passages 10000 100000]
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dallm.knowledge.passage import Document, Section
from dallm.knowledge.stores.local import LocalStore

DIMENSION = 384
PER_DOCUMENT = 10
SOURCES = 3
QUESTIONS = 60


class RandomVectors:
    """Stands for an encoder: vectors of the right size at no cost."""

    identity = "random"

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return one vector per text."""
        return np.random.default_rng(len(texts)).standard_normal((len(texts), DIMENSION), dtype=np.float32)


def main() -> int:
    """Print one table per number of passages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.search:
        _search(given.search)
        return 0
    for passages in given.passages:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder) / "store", passages)
            again = [sys.executable, __file__, "--search", str(Path(folder) / "store")]
            for label in ("index built", "index mapped"):
                print(f"  opened, {label}", flush=True)
                subprocess.run(again, check=True)
    return 0


def _write(place: Path, passages: int) -> None:
    wall = cpu = 0.0
    written = 0
    with LocalStore(place, encoder=RandomVectors()) as store:
        for batch in _batches(passages):
            began = time.perf_counter(), time.process_time()
            written += store.write(batch).passages
            wall += time.perf_counter() - began[0]
            cpu += time.process_time() - began[1]
        size = sum(file.stat().st_size for file in place.iterdir()) / 1e6
    print(f"{written:,} passages in {SOURCES} sources, {size:.0f} MB on disk without index files")
    print(
        f"  written in {1000 * wall / written:.2f} ms a passage ({1000 * cpu / written:.2f} ms of processor)"
    )


def _search(place: Path) -> None:
    began = time.perf_counter()
    store = LocalStore(place, encoder=RandomVectors())
    questions = list(_questions())
    store.search(questions[0])
    print(f"    opening and first search  {time.perf_counter() - began:8.3f} s")
    store.prepare(questions)
    asked: dict[str, dict[str, Any]] = {
        "all": {},
        "one source": {"source": "source 1"},
        "one condition (2 %)": {"condition": "condition 7"},
        "all, 60 hits": {"k": 60},
    }
    for label, options in asked.items():
        times = []
        for question in questions:
            began = time.perf_counter()
            store.search(question, **options)
            times.append(1000 * (time.perf_counter() - began))
        median, high = np.median(times), np.quantile(times, 0.95)
        print(
            f"    {label:<22}median {median:8.2f} ms, 95 % below {high:.2f} ms, fastest {min(times):.2f} ms"
        )
    told = Path("/proc/self/status")
    if told.exists():
        rows = dict(line.split(":", 1) for line in told.read_text().splitlines() if line.startswith("Rss"))
        mapped, own = (int(rows[name].split()[0]) / 1024 for name in ("RssFile", "RssAnon"))
        print(f"    memory: {own:.0f} MB of its own, {mapped:.0f} MB mapped from files (shared)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"    most memory at any time: {peak:.0f} MB", flush=True)


def _words() -> list[str]:
    draw = random.Random(1)
    syllables = [a + b for a in "bcdfglmnprst" for b in "aeiou"]
    return list(dict.fromkeys("".join(draw.choices(syllables, k=draw.randint(2, 4))) for _ in range(40_000)))


def _batches(passages: int) -> Iterator[list[Document]]:
    words, draw = np.array(_words()), np.random.default_rng(2)
    often = 1 / np.arange(1, len(words) + 1)
    often /= often.sum()
    batch: list[Document] = []
    for number in range(passages // PER_DOCUMENT):
        texts = [" ".join(draw.choice(words, 80, p=often)) + "." for _ in range(PER_DOCUMENT)]
        sections = tuple(Section(f"Part {i}", text) for i, text in enumerate(texts))
        title = " ".join(draw.choice(words, 2))
        about = (f"condition {number % 50}",)
        batch.append(Document(title, sections, f"source {number % SOURCES}", f"{number}", conditions=about))
        if len(batch) == 40:
            yield batch
            batch = []
    if batch:
        yield batch


def _questions() -> Iterator[str]:
    words, draw = _words(), random.Random(3)
    for number in range(QUESTIONS):
        asked = [words[number], words[37 * number], *draw.choices(words, k=2)]
        yield f"What causes {' '.join(asked)}?"


if __name__ == "__main__":
    raise SystemExit(main())
