"""Memory of `dallm.evaluate` and `dallm.value_fidelity` on large tables, in sizes of what they are given.

Each case runs in a process of its own: peak of its resident memory from before the tables are made, imports
and a small first run left out, divided by the size of feature sets, targets and patients. Linux only.

    python benchmarks/evaluation_memory.py [--rows 1000000] [--models logistic_regression xgboost]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TABLES = ("narrow", "wide", "mixed", "two")
VITALS = ["temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp"]


def tables(kind: str, rows: int) -> dict[str, pd.DataFrame]:
    """Return feature sets: ten numbers, fifty, columns of all types, or two sets of which one has more."""
    rng = np.random.default_rng(0)
    if kind in ("narrow", "wide"):
        values = rng.normal(size=(rows, 10 if kind == "narrow" else 50))
        return {"all": pd.DataFrame(values, columns=[f"c{i}" for i in range(values.shape[1])])}
    if kind == "two":
        few = pd.DataFrame({f"c{i}": rng.normal(size=rows) for i in range(8)})
        return {"few": few, "more": few.assign(**{f"n{i}": rng.normal(size=rows) for i in range(8)})}
    gone = rng.random(rows) < 0.2
    made: dict[str, Any] = {f"f{i}": rng.normal(size=rows) for i in range(4)}
    made |= {f"i{i}": pd.Series(rng.integers(0, 90, rows), dtype="Int64").mask(gone) for i in range(6)}
    made |= {f"b{i}": pd.Series(rng.random(rows) < 0.3, dtype="boolean").mask(gone) for i in range(8)}
    made |= {f"c{i}": pd.Categorical.from_codes(rng.integers(0, 4, rows), list("abcd")) for i in range(3)}
    made |= {
        f"s{i}": pd.Series(rng.choice(np.array(["mild", "severe"], dtype=object), rows)) for i in range(2)
    }
    return {"all": pd.DataFrame(made)}


def size_of(sets: dict[str, pd.DataFrame]) -> int:
    """Return the bytes of the columns, one that two sets share counted once."""
    seen = {}
    for frame in sets.values():
        for name in frame:
            seen.setdefault(str(name), int(frame[name].memory_usage(index=False)))
    return sum(seen.values())


def status(field: str) -> int:
    """Return a figure of this process's memory in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def one_case(kind: str, model: str, rows: int) -> dict[str, float]:
    """Return the peaks of one case, in sizes of the table."""
    import dallm

    if kind == "fidelity":
        return fidelity_case(rows)
    small = pd.DataFrame({"a": np.random.default_rng(0).normal(size=300)})
    labels = pd.Series(np.arange(300) % 3 == 0, name="t")
    once = dallm.LeakFree(1, 5)
    str(dallm.evaluate({"x": small}, labels, np.arange(300), models=model, protocol=once, controls=()).scores)
    before = status("VmRSS")
    sets = tables(kind, rows)
    lead = next(iter(sets.values())).select_dtypes("float64").iloc[:, 0]
    target = pd.Series(lead + np.random.default_rng(1).normal(size=rows) > 1, name="t")
    patients = pd.Series(np.arange(rows) // 2)
    table = size_of(sets) + target.nbytes + patients.nbytes
    report = dallm.evaluate(sets, target, patients, models=model, protocol=once, controls=())
    found = {"evaluate": (status("VmHWM") - before) / table}
    str(report.scores)
    return found | {"with scores": (status("VmHWM") - before) / table}


def fidelity_case(rows: int) -> dict[str, float]:
    """Return the peak of `value_fidelity` with its baselines."""
    import dallm

    rng = np.random.default_rng(0)
    small = pd.DataFrame(rng.normal(size=(200, 6)), columns=VITALS)
    dallm.value_fidelity(small, small.add_prefix("aug_") + 1)
    before = status("VmRSS")
    truth = pd.DataFrame(rng.normal(100, 9, size=(rows, 6)), columns=VITALS)
    filled = (truth + rng.normal(size=(rows, 6))).add_prefix("aug_")
    patients = pd.Series(np.arange(rows) // 2)
    table = size_of({"truth": truth, "filled": filled}) + patients.nbytes
    dallm.value_fidelity(truth, filled, groups=patients)
    return {"value_fidelity": (status("VmHWM") - before) / table}


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--models", nargs="+", default=["logistic_regression", "decision_tree", "xgboost"])
    parser.add_argument("--tables", nargs="+", default=[*TABLES, "fidelity"])
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        print(json.dumps(one_case(*asked.case, asked.rows)))
        return
    for kind in asked.tables:
        for model in asked.models if kind != "fidelity" else ["-"]:
            command = [sys.executable, __file__, "--rows", str(asked.rows), "--case", kind, model]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            said = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            print(f"{kind:10} {model:22} {said}", flush=True)


if __name__ == "__main__":
    main()
