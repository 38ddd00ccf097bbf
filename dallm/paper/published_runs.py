"""Runs of the public code's computation: many seeds, several at once, kept as soon as they are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dallm.files import write_text
from dallm.paper.as_published import REFITS, TABNET_EPOCHS, Halves, Run, classifier_of, published_run


class KeptRuns:
    """Runs in a folder, so that what was computed once is not computed again.

    Parameters
    ----------
    folder : path or None
        None keeps nothing.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def get(self, key: str) -> Run | None:
        """Return the run, or None."""
        if self._folder is None:
            return None
        try:
            return Run(**json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # not there, or of an interrupted or older version
            return None

    def put(self, key: str, run: Run) -> None:
        """Keep the run."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_text(self._folder / f"{key}.json", json.dumps(asdict(run)))


def key_of(part: Halves, model: str, seed: int, epochs: int) -> str:
    """Return a digest of everything that decides a run."""
    import sklearn
    import torch
    import xgboost

    made = hashlib.sha256(
        repr((part.names, model, seed, epochs if model == "tabnet" else 0, REFITS)).encode()
    )
    made.update(f"{sklearn.__version__} {xgboost.__version__} {torch.__version__}".encode())
    for array in part[1:]:
        made.update(repr(array.shape).encode())
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:32]


def published_runs(
    parts: Mapping[str, Halves],
    models: Sequence[str],
    seeds: int,
    *,
    seed: int = 0,
    epochs: int = TABNET_EPOCHS,
    n_jobs: int | None = None,
    folder: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[tuple[str, str], list[Run]]:
    """Run every model on every feature set `seeds` times, several at once.

    Parameters
    ----------
    parts : mapping of str to Halves
    models : sequence of str
    seeds : int
        Runs per feature set and model; their seeds are `seed`, `seed` + 1, ...
    epochs : int
        Of TabNet.
    n_jobs : int, optional
        Processes; by default one per core.
    folder : path, optional
        Where runs are kept as soon as they are there.
    progress : callable, optional
        Is told in a line how far it is.
    """
    from dallm.evaluation.running.pool import ForkPool, fork_is_safe
    from dallm.evaluation.running.threads import cores, one_thread

    tasks = [(s, m, seed + i) for m in reversed(models) for s in parts for i in range(seeds)]
    kept = KeptRuns(folder)
    done: dict[int, Run] = {}
    keys = [key_of(parts[s], m, i, epochs) for s, m, i in tasks]
    for number, key in enumerate(keys):
        found = kept.get(key)
        if found is not None:
            done[number] = found
    rest = [number for number in range(len(tasks)) if number not in done]
    workers = min(n_jobs or cores(), len(rest)) if fork_is_safe() else 1

    def work(number: int) -> Run:
        name, model, own = tasks[number]
        return published_run(parts[name], model, own, epochs=epochs)

    def take(number: int, run: Run) -> None:
        done[number] = run
        kept.put(keys[number], run)
        if progress is not None and (len(done) % 20 == 0 or len(done) == len(tasks)):
            progress(f"  as published: {len(done):,} of {len(tasks):,} runs")

    with one_thread():
        for number in rest if workers <= 1 else ():
            take(number, work(number))
        if workers > 1:
            _load(models)
            with ForkPool(work, workers) as pool:
                for number, run in pool.results(rest):
                    take(number, run)
    made: dict[tuple[str, str], list[Run]] = {(s, m): [] for s in parts for m in models}
    for number, (name, model, _) in enumerate(tasks):
        made[name, model].append(done[number])
    return made


def _load(models: Sequence[str]) -> None:
    """Load the libraries once, before the processes part."""
    for model in models:
        if model == "tabnet":
            import pytorch_tabnet.multitask  # noqa: F401
        else:
            classifier_of(model, 0)
