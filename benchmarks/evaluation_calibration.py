"""How often the comparisons claim a difference that is not there.

Every run simulates a cohort, fits fast models 10 x 5-fold by patient on two sets of columns, and makes the
comparisons with Holm's adjustment. `null`: both sets are independent noise of equal width; counted are runs
with any adjusted p below .05. `noise`: the second set has the columns of the first, which tell of the
targets, and as many of pure noise; counted are runs that claim an improvement. Per metric, and over all.

    python benchmarks/evaluation_calibration.py [--seeds 200] [--cases 200] [--columns 8] [--targets 2]
        [--models linear bayes] [--kinds null noise] [--jobs 2] [--single]
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pandas as pd
from evaluation_trials import MODELS, Trial, compare_once, evaluate_many
from threadpoolctl import threadpool_limits

from dallm.evaluation.fits import METRICS
from dallm.evaluation.statistics.resampling import gain


def main() -> int:
    """Print one table per kind."""
    parser = argparse.ArgumentParser(description="False claims of the comparisons.")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--targets", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=["linear", "bayes"], choices=sorted(MODELS))
    parser.add_argument("--kinds", nargs="+", default=["null", "noise"], choices=["null", "noise"])
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), choices=METRICS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--single", action="store_true", help="single comparisons, beside the plain test")
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    for kind in given.kinds:
        trial = Trial(
            kind,
            given.cases,
            given.columns,
            given.targets,
            tuple(given.models),
            metrics=tuple(given.metrics),
        )
        if given.single:
            print(singles(trial, seeds, given.jobs).round(3).to_string(index=False), flush=True)
            continue
        started = time.perf_counter()
        found = pd.concat(evaluate_many(trial, seeds, given.jobs), ignore_index=True)
        print(f"{trial}\n{given.seeds} runs, {time.perf_counter() - started:.0f} s")
        print(claims(found, kind).round(3).to_string(index=False), flush=True)
    return 0


def singles(trial: Trial, seeds: range, jobs: int) -> pd.DataFrame:
    """Return the share of families of m independent comparisons with a claim, by the test and the plain one.

    Independence makes it 1 - (1 - s)^m, with s the share of single p below .05/m (Holm's first step).
    """
    rows = []
    for model in trial.models:
        alone = replace(trial, models=(model,), targets=1)
        with ProcessPoolExecutor(jobs, initializer=threadpool_limits, initargs=(1,)) as pool:
            found = pd.DataFrame(pool.map(compare_once, [alone] * len(seeds), seeds))
        counts = found["difference"] > 0 if trial.kind == "noise" else found["difference"].notna()
        for m in (1, 2, 5, 10):
            row = {"kind": trial.kind, "model": model, "runs": len(found), "m": m}
            for title, column in (("Nadeau and Bengio", "plain p"), ("dallm", "p")):
                share = ((found[column] < 0.05 / m) & counts).mean()
                row[title] = 1 - (1 - share) ** m
            rows.append(row)
    return pd.DataFrame(rows)


def claims(found: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the share of runs with a false claim, per metric and over all.

    Parameters
    ----------
    found : DataFrame
        Comparisons of many runs, with a column ``seed``.
    kind : {"null", "noise"}
        Any difference is a false claim, or an improvement only.
    """
    better = found["difference"] * found["metric"].map(gain) > 0
    counts = better if kind == "noise" else pd.Series(True, index=found.index)
    made = {
        "single p < .05": (found["p"] < 0.05) & counts,
        "adjusted p < .05 anywhere": (found["p_adjusted"] < 0.05) & counts,
    }
    rows = []
    for metric, part in [*found.groupby("metric", sort=False), ("any of these", found)]:
        single = made["single p < .05"][part.index].mean()
        adjusted = made["adjusted p < .05 anywhere"][part.index].groupby(part["seed"]).any().mean()
        rows.append({"metric": metric, "single p < .05": single, "adjusted p < .05 anywhere": adjusted})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    sys.exit(main())
