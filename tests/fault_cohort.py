"""A cohort whose right answers are known, and a run over it that may be killed.

    python tests/fault_cohort.py '{"base_url": ..., "cache": ..., "n": 200, "out": ..., "options": {}}'

The reports are plain enough for the fault server's rule: any other value than the right one is the fault of
what lies between.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import processes
from fault_server import FaultServer

import dallm

FINDINGS = (
    "pleural effusion",
    "pneumothorax",
    "pulmonary edema",
    "cardiomegaly",
    "atelectasis",
    "rib fracture",
    "scoliosis",
    "hiatal hernia",
)
NUMBER = "ejection fraction"
FEATURES = (
    *(dallm.Feature(name, "boolean") for name in FINDINGS),
    dallm.Feature(NUMBER, "numeric", unit="%", low=5, high=90),
)
KEY = "sk-only-for-the-fault-server"


def row(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return one case's row, and the right value of each feature (None: the report does not say)."""
    draw = random.Random(number)
    truth: dict[str, Any] = {name: draw.choice((True, False, None)) for name in FINDINGS}
    truth[NUMBER] = draw.choice((float(draw.randint(20, 70)), None))
    said = [
        f"There is {name}." if truth[name] else f"No {name}." for name in FINDINGS if truth[name] is not None
    ]
    seen = [] if truth[NUMBER] is None else [f"Ejection fraction {truth[NUMBER]:g} %."]
    half = len(said) // 2
    shown = {
        "case": f"c{number:04d}",
        "findings": " ".join([f"Film number {number}.", *said[:half]]),
        "impression": " ".join([*said[half:], *seen]) or "As above.",
        "label": number % 2,
    }
    return shown, truth


def cohort(n: int, start: int = 0) -> dallm.Cohort:
    """Return `n` cases, each with a report of its own."""
    frame = pd.DataFrame([row(number)[0] for number in range(start, start + n)])
    return dallm.Cohort(frame, id="case", report=["findings", "impression"], targets="label", data_use="open")


def faults_in(cells: pd.DataFrame, n: int) -> tuple[list[str], list[str]]:
    """Return the cells that are wrong without saying so, and those that failed or were refused, as text."""
    wrong, refused = [], []
    by_cell = {(case, name): (value, status) for case, name, value, status in _of(cells)}
    for number in range(n):
        shown, truth = row(number)
        for name, right in truth.items():
            value, status = by_cell.pop((shown["case"], name), (None, "lost"))
            text = f"{shown['case']} {name}: {value!r} {status}, right is {right!r}"
            if status in ("failed", "conflicting"):
                refused.append(text)
            elif value != right or status != ("not_documented" if right is None else "documented"):
                wrong.append(text)
    return wrong + [f"invented: {key}" for key in by_cell], refused


def _of(cells: pd.DataFrame) -> list[tuple[str, str, Any, str]]:
    found = []
    for case, name, value, status in zip(
        cells["case_id"], cells["feature"], cells["value"], cells["status"], strict=True
    ):
        found.append((case, name, _plain(value), status))
    return found


def _plain(value: Any) -> Any:
    """A cell's value as bool, float or None; cells hold it as JSON text."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    return json.loads(value) if isinstance(value, str) else value


def run(base_url: str, cache: str, n: int, **options: Any) -> dallm.Augmented:
    """Fill the cohort by the engine at an address."""
    engine = dallm.engine("openai:tiny", base_url=base_url, api_key=KEY, cache=cache, **options)
    return dallm.fill_values(cohort(n), FEATURES, engine=engine)


def start(server: FaultServer, cache: Path, n: int, out: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start such a run in a process of its own; `out` appears when it is done."""
    task = {"base_url": server.base_url, "cache": str(cache), "n": n, "out": str(out), "options": options}
    return processes.start([sys.executable, str(Path(__file__).resolve()), json.dumps(task)])


def kill_at(
    process: subprocess.Popen[bytes], server: FaultServer, answered: int, wait_s: float = 120.0
) -> None:
    """End a run by SIGKILL when the server has answered for so many rows."""
    until = time.monotonic() + wait_s
    while server.stats()["answered"] < answered:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the run ended ({process.returncode}) before {answered} rows were answered")
        time.sleep(0.005)
    time.sleep(
        random.uniform(0.0, 0.1)
    )  # the count rises as an answer leaves: no better and no worse a moment
    process.kill()
    process.wait(30)
    while server.stats()["now"] and time.monotonic() < until:
        time.sleep(0.005)


def main() -> None:
    """Run as told by the command line's JSON; the cells are written when all are there."""
    task = json.loads(sys.argv[1])
    out = Path(task["out"])
    cells = run(task["base_url"], task["cache"], task["n"], **task["options"]).cells
    cells.to_parquet(out.with_suffix(".part"))
    out.with_suffix(".part").rename(out)


if __name__ == "__main__":
    main()
