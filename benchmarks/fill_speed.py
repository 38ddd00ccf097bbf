"""How many reports a second are filled, beside negspacy and medspacy, and how much memory it takes.

    python benchmarks/fill_speed.py                     # synthetic reports, 60 features, one core
    python benchmarks/fill_speed.py --openi reports.csv # the Open-i table instead
    python benchmarks/fill_speed.py --memory 100000     # peak memory of so many reports

Each run is a fresh process on one core; the systems take turns, so that a slow minute hits all of them.
The other systems are given every surface form of the lexicon for the same features; they return entities with
a negation flag, dallm the finished table of cells with its evidence. How environments are made:
benchmarks/environments.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import rivals

FIELDS = ("indication", "comparison", "findings", "impression")
_WARM_UP = 50


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reports", type=int, default=2000, help="reports timed per run (default 2000)")
    parser.add_argument("--features", type=int, default=60, help="features filled (default 60)")
    parser.add_argument("--repeats", type=int, default=3, help="runs per system (default 3)")
    parser.add_argument("--openi", type=Path, help="Open-i table (CSV) to take the reports from")
    parser.add_argument("--systems", nargs="+", default=list(rivals.SYSTEMS), choices=rivals.SYSTEMS)
    parser.add_argument("--core", type=int, default=0, help="core that every run is bound to (default 0)")
    parser.add_argument(
        "--cache", type=Path, default=rivals.default_cache(), help="folder of the environments"
    )
    parser.add_argument(
        "--memory", type=int, metavar="N", help="measure the peak memory of N reports instead"
    )
    args = parser.parse_args()
    wanted = args.memory or args.reports
    reports = read_reports(wanted + _WARM_UP, args.openi)
    names, synonyms = lexicon_features(args.features)
    task = rivals.find_task(reports, names, synonyms, warm_up=_WARM_UP)
    with tempfile.TemporaryDirectory() as folder:
        if args.memory:
            result = rivals.run("dallm", task, args.cache, Path(folder), core=args.core)
            print(
                f"{result['timed']:,} reports x {len(names)} features: {result['seconds']:.1f} s, "
                f"peak memory {result['peak_mib'] / 1024:.2f} GiB"
            )
            return
        rates: dict[str, list[float]] = {system: [] for system in args.systems}
        for number in range(args.repeats):
            for system in args.systems:
                result = rivals.run(system, task, args.cache, Path(folder), core=args.core)
                rates[system].append(result["timed"] / result["seconds"])
                print(f"run {number + 1}, {system}: {rates[system][-1]:,.0f} reports/s", file=sys.stderr)
    show(rates, len(names), args.reports)


def read_reports(n: int, openi: Path | None) -> list[dict[str, str]]:
    """Return n reports as field to text; a table with fewer is gone through again from its start."""
    if openi is None:
        import dallm

        cohort = dallm.make_cohort(min(n, 20_000), seed=0)
        found = [dict(case.report) for case in cohort.cases()]
    else:
        import pandas as pd

        table = pd.read_csv(openi, dtype=str)
        fields = [field for field in FIELDS if field in table.columns]
        rows = table[fields].to_dict("records")
        found = [{f: t for f, t in row.items() if isinstance(t, str)} for row in rows]
    if n > len(found):
        print(
            f"{len(found):,} different reports, repeated to {n:,}: kept sentences come again, "
            "so read the rate as an upper bound",
            file=sys.stderr,
        )
    return [found[position % len(found)] for position in range(n)]


def lexicon_features(n: int) -> tuple[list[str], dict[str, list[str]]]:
    """Return the lexicon's first n boolean concepts, imaging findings and symptoms first, and their words."""
    import dallm

    order = ["imaging finding", "symptom", "sign", "history", "device"]
    concepts = [c for c in dallm.Lexicon.default().concepts if c.kind == "boolean"]
    concepts.sort(key=lambda c: order.index(c.category) if c.category in order else len(order))
    chosen = concepts[:n]
    synonyms = {c.name: [*c.terms, *c.abbreviations, *c.misspellings] for c in chosen}
    return [c.name for c in chosen], synonyms


def show(rates: dict[str, list[float]], n_features: int, n_reports: int) -> None:
    """Print the table: median rate, range, and the ratio to dallm within the same turn."""
    print(f"{n_reports:,} reports, {n_features} features, one core")
    print(f"{'system':<10}{'reports/s':>12}{'lowest':>10}{'highest':>10}{'dallm is':>12}")
    for system, values in rates.items():
        ratio = ""
        if "dallm" in rates and system != "dallm":
            turns = [ours / theirs for ours, theirs in zip(rates["dallm"], values, strict=True)]
            ratio = f"{statistics.median(turns):.1f} x"
        middle = statistics.median(values)
        print(f"{system:<10}{middle:>12,.0f}{min(values):>10,.0f}{max(values):>10,.0f}{ratio:>12}")


if __name__ == "__main__":
    main()
