"""How often a gain that is there is found: by its size and the number of cases.

Every run simulates patients with one or two cases and one target (27 of 100 positive). The first set has
columns that allow a ROC AUC of .70; the second has `--columns` more, which allow `gain` beyond it. A linear
model is fitted 10 x 5-fold by patient on both, and the corrected resampled t-test compares them. Counted are
runs that claim an improvement: of a single comparison (p below .05), and of one that stands among twenty (p
below .05/20: the first step of Holm's adjustment). Prints the tables of docs/power.md.

    python benchmarks/evaluation_power.py [--seeds 100] [--cases 150 300 800 3000]
        [--gains 0 0.02 0.05 0.1] [--columns 8] [--jobs 2]
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
from evaluation_trials import MODELS, Trial, compare_once
from threadpoolctl import threadpool_limits

FAMILY = 20
"""Comparisons among which the second figure stands: four models and five targets."""


def main() -> int:
    """Print one table per claim, in Markdown."""
    parser = argparse.ArgumentParser(description="Power of the comparisons.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--cases", type=int, nargs="+", default=[150, 300, 800, 3000])
    parser.add_argument("--gains", type=float, nargs="+", default=[0, 0.02, 0.05, 0.1])
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--model", default="linear", choices=sorted(MODELS))
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    started = time.perf_counter()
    rows = []
    with ProcessPoolExecutor(given.jobs, initializer=threadpool_limits, initargs=(1,)) as pool:
        for gain in given.gains:
            for cases in given.cases:
                trial = Trial(
                    "gain",
                    cases,
                    given.columns,
                    targets=1,
                    models=(given.model,),
                    gain=gain,
                    metrics=("roc_auc",),
                )
                found = pd.DataFrame(pool.map(compare_once, [trial] * given.seeds, range(given.seeds)))
                rows.append({"gain": gain, "cases": cases} | claimed(found))
    table = pd.DataFrame(rows)
    titles = {
        "single": "Claimed, a single comparison (p < .05)",
        "family": f"Claimed, one of {FAMILY} comparisons (p < .05/{FAMILY})",
        "measured": "Mean measured difference",
        "width": "Mean width of the 95 % interval",
    }
    for column, title in titles.items():
        print(f"\n{title}\n")
        print(as_markdown(table.pivot(index="gain", columns="cases", values=column)))
    print(f"\n{given.model}, {given.seeds} runs a cell, {time.perf_counter() - started:.0f} s")
    return 0


def claimed(found: pd.DataFrame) -> dict[str, float]:
    """Return the shares of runs that claim an improvement, the mean difference and width of its interval."""
    better = found["difference"] > 0
    return {
        "single": float((better & (found["p"] < 0.05)).mean()),
        "family": float((better & (found["p"] < 0.05 / FAMILY)).mean()),
        "measured": float(found["difference"].mean()),
        "width": float((found["high"] - found["low"]).mean()),
    }


def as_markdown(table: pd.DataFrame) -> str:
    """Return a table of gains by cases, two decimals."""
    lines = [
        "| true gain in ROC AUC | " + " | ".join(f"{cases:,} cases" for cases in table.columns) + " |",
        "|---" * (len(table.columns) + 1) + "|",
    ]
    for gain, row in table.iterrows():
        cells = " | ".join(f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}" for value in row)
        lines.append(f"| {float(str(gain)):.2f} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
