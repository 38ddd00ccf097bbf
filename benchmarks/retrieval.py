"""Retrieval by the local store, measured on question and answer pages that the project does not ship.

The pages are read from the folder that DALLM_REAL_DATA names (medquad_chest/medquad_chest.csv): an answer is
a Markdown file under its page's title, and the text of no question is indexed. Hits are collapsed to distinct
documents. Many pages share a title, and one question fits several of them while one counts as right: a figure
of 1 cannot be reached.

    DALLM_REAL_DATA=... python benchmarks/retrieval.py
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import dallm
from dallm.knowledge import ranking
from dallm.knowledge.stores.local import LocalStore

DEPTH = 60
WEIGHTS = {
    "LEXICAL_WEIGHT": (0.0, 0.2, 0.4, 0.6),
    "ASPECT_WEIGHT": (0.0, 0.3, 0.45, 0.8),
    "TITLE_WEIGHT": (0.0, 0.1, 0.3),
}


def main() -> int:
    """Print recall@4 and MRR@10 of every arm, and of the fused arm with one weight changed at a time."""
    root = os.environ.get("DALLM_REAL_DATA")
    if not root:
        print("DALLM_REAL_DATA is not set: nothing to measure.", file=sys.stderr)
        return 1
    pages = pd.read_csv(Path(root) / "medquad_chest" / "medquad_chest.csv")
    pages["document"] = [_name(title, text) for title, text in zip(pages.focus, pages.answer, strict=True)]
    questions = pages.drop_duplicates(["question", "document"])
    with tempfile.TemporaryDirectory() as place:
        notes = Path(place) / "pages"
        notes.mkdir()
        for page in pages.drop_duplicates("document").itertuples():
            (notes / str(page.document)).write_text(f"# {page.focus}\n\n{page.answer}\n", encoding="utf-8")
        began = time.perf_counter()
        with LocalStore(Path(place) / "store") as store:
            print(dallm.ingest(store, dallm.Folder(notes)))
            print(f"{store!r}; ingest took {time.perf_counter() - began:.1f} s; {len(questions)} questions")
            again = time.perf_counter()
            dallm.ingest(store, dallm.Folder(notes))
            print(f"second ingest: {time.perf_counter() - again:.2f} s")
        _measure(Path(place) / "store", questions)
    return 0


def _measure(path: Path, questions: pd.DataFrame) -> None:
    print(f"{'arm':<44}{'recall@4':>10}{'MRR@10':>10}{'ms/query':>10}")
    with LocalStore(path) as store:
        # the encoder's time is not the store's: every question is encoded beforehand
        store.prepare(questions.question)
        for arm in ("lexical", "dense", "fused"):
            _row(arm, store, questions, arm)
        chosen = {name: getattr(ranking, name) for name in WEIGHTS}
        for name, others in WEIGHTS.items():
            for weight in others:
                setattr(ranking, name, weight)
                _row(
                    f"fused, {name.lower().replace('_', ' ')} {weight} (chosen: {chosen[name]})",
                    store,
                    questions,
                )
            setattr(ranking, name, chosen[name])
    with LocalStore(path, encoder=None) as store:
        _row("without an encoder", store, questions)


def _row(label: str, store: LocalStore, questions: pd.DataFrame, arm: str = "fused") -> None:
    ranks, times = [], []
    for question, document in zip(questions.question, questions.document, strict=True):
        began = time.perf_counter()
        hits = store.search(question, k=DEPTH, arm=arm)
        times.append(time.perf_counter() - began)
        documents = list(dict.fromkeys(hit.passage.url for hit in hits))
        ranks.append(documents.index(document) + 1 if document in documents else np.inf)
    rank = np.array(ranks)
    mrr = np.where(rank <= 10, 1 / rank, 0).mean()
    print(f"{label:<44}{(rank <= 4).mean():>10.3f}{mrr:>10.3f}{1000 * np.median(times):>10.2f}", flush=True)


def _name(title: str, text: str) -> str:
    return hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16] + ".md"


if __name__ == "__main__":
    raise SystemExit(main())
