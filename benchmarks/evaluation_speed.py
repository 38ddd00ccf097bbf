"""How fast an evaluation's fits run: one after the other, in parallel, and with the libraries' own threads.

    python benchmarks/evaluation_speed.py                       # one target, 5 folds, the paper's four models
    python benchmarks/evaluation_speed.py --models decision_tree xgboost --cases 400
    python benchmarks/evaluation_speed.py --full                # 4 sets x 4 models x 50 folds x 5 targets

The same fits run three ways in one go, alternating `--rounds` times: in sequence with one thread per fit, as
`run_fits` does by default, and in sequence with the threads that the libraries take by themselves. The table
says how long each took, how much CPU that was, and by how much it is faster than the first. The line above it
says what two processes that only count gain here at the same time: less than 2 where other programs keep the
cores busy. The last line extrapolates to the full grid, with the standard error over the folds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pandas as pd

import dallm.evaluation.running.run as run
from dallm.evaluation.fits import Inputs, Outcome, Split
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.models import ModelSpec, resolve_models
from dallm.evaluation.protocols import LeakFree
from dallm.evaluation.running import run_fits
from dallm.evaluation.running.threads import cores

FULL = {"sets": 4, "folds": 50, "targets": 5}


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument(
        "--models", nargs="+", default=["decision_tree", "random_forest", "xgboost", "tabnet"]
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=None, help="fits at once; all cores by default")
    parser.add_argument("--full", action="store_true", help="the whole grid, in parallel only")
    args = parser.parse_args()
    models = resolve_models(args.models, device="cpu")
    print(f"{cores()} cores, {args.cases:,} cases, models {', '.join(models)}")
    if args.full:
        inputs = synthetic(args.cases, (8, 78, 91, 91), targets=FULL["targets"])
        splits = folds_of(inputs, 10, 5)
        took, _, outcomes = timed(lambda: run_fits(inputs, splits, models, seed=0, progress=True))
        print(f"{len(outcomes):,} fits in {took:,.0f} s")
        return
    inputs = synthetic(args.cases, (8, 78), targets=1)
    compare(inputs, folds_of(inputs, 1, args.folds), models, args.rounds, args.jobs)


def synthetic(cases: int, widths: Sequence[int], targets: int) -> Inputs:
    """Make feature sets that know something of the targets, and patients with one or two cases."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(cases, max(widths)))
    table[:, 8:] = table[:, 8:] > 0.8
    names = [f"f{i}" for i in range(max(widths))]
    labels = {
        f"t{t}": table[:, t] + table[:, -1 - t] + rng.normal(size=cases) * 1.5 > 1.2 for t in range(targets)
    }
    whole = pd.DataFrame(table, columns=names)
    sets = {f"set {i}": whole.iloc[:, :width] for i, width in enumerate(widths)}
    return check_inputs(sets, pd.DataFrame(labels), list(rng.integers(0, int(cases * 0.8), cases)))


def folds_of(inputs: Inputs, repeats: int, folds: int) -> list[Split]:
    """Return the splits of the default protocol."""
    return LeakFree(repeats, folds).splits(inputs, 0)[0]


def timed(work: Callable[[], list[Outcome]]) -> tuple[float, float, list[Outcome]]:
    """Return the seconds that it took, those of CPU with its workers', and what it gave."""
    started, before = time.perf_counter(), os.times()[:4]
    given = work()
    return time.perf_counter() - started, sum(os.times()[:4]) - sum(before), given


def compare(
    inputs: Inputs, splits: Sequence[Split], models: Mapping[str, ModelSpec], rounds: int, jobs: int | None
) -> None:
    """Run the three ways and print the table."""
    ways: dict[str, Callable[[], list[Outcome]]] = {
        "in sequence, one thread": lambda: run_fits(inputs, splits, models, seed=0, n_jobs=1),
        "in parallel": lambda: run_fits(inputs, splits, models, seed=0, n_jobs=jobs),
        "in sequence, libraries' threads": lambda: unpinned(inputs, splits, models),
    }
    run_fits(inputs, splits[:1], models, seed=0, n_jobs=1)  # libraries are loaded before time is taken
    took: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    given: dict[str, list[Outcome]] = {}
    for _ in range(rounds):
        for name, work in ways.items():
            seconds, busy, given[name] = timed(work)
            took[name].append(seconds)
            cpu[name].append(busy)
    first = "in sequence, one thread"
    print(f"\ntwo processes that count: {counting(1) * 2 / counting(2):.2f} times faster than one")
    print(f"\n{'':34}{'seconds':>10}{'CPU s':>10}{'faster by':>11}{'same scores':>13}")
    for name in ways:
        same = scores(given[name]) == scores(given[first])
        ratio = statistics.median(a / b for a, b in zip(took[first], took[name], strict=True))
        shown = f"{statistics.median(took[name]):10.1f}{statistics.median(cpu[name]):10.1f}{ratio:11.2f}"
        print(f"{name:34}{shown}{'yes' if same else 'no':>13}")
    grid(given[first], statistics.median(took[first]) / statistics.median(took["in parallel"]))


def counting(processes: int) -> float:
    """Return the seconds that processes take which count, side by side."""
    context = multiprocessing.get_context("fork")
    started = time.perf_counter()
    running = [context.Process(target=sum, args=(range(60_000_000),)) for _ in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    return time.perf_counter() - started


def unpinned(inputs: Inputs, splits: Sequence[Split], models: Mapping[str, ModelSpec]) -> list[Outcome]:
    """Run the fits in sequence with the threads that the libraries take by themselves."""
    with mock.patch.object(run, "one_thread", nullcontext):
        return run_fits(inputs, splits, models, seed=0, n_jobs=1)


def scores(outcomes: Sequence[Outcome]) -> list[tuple[float, bytes]]:
    """Return what must be equal."""
    return [(o.threshold, o.probability.tobytes()) for o in outcomes]


def grid(outcomes: Sequence[Outcome], faster: float) -> None:
    """Print the seconds per fit of each model, and what the full grid would take."""
    per_model: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        per_model[outcome.model].append(outcome.seconds)
    fits = FULL["sets"] * FULL["folds"] * FULL["targets"]
    total, variance = 0.0, 0.0
    print(f"\n{'model':24}{'s per fit':>10}{'full grid, h':>14}")
    for model, seconds in per_model.items():
        mean = statistics.mean(seconds)
        error = statistics.stdev(seconds) / len(seconds) ** 0.5 if len(seconds) > 1 else 0.0
        total, variance = total + fits * mean, variance + (fits * error) ** 2
        print(f"{model:24}{mean:10.2f}{fits * mean / 3600:14.2f}")
    print(
        f"full grid ({fits * len(per_model):,} fits): {total / 3600:.1f} h in sequence (standard error "
        f"{variance**0.5 / 3600:.1f} h), {total / faster / 3600:.1f} h in parallel here"
    )


if __name__ == "__main__":
    main()
