"""Findings filled from real reports against the human coding of the Open-i set.

    DALLM_REAL_DATA=DATA python benchmarks/openi_quality.py
    python benchmarks/openi_quality.py --reports indiana_reports.csv --gold gold.csv --errors 5

A report counts as 1 for a finding where its cell is ``documented`` and True, as 0 everywhere else, at default
settings. Indication and comparison are given too. The coding columns of the table itself (MeSH, Problems) are
never read. A gold 0 means "not coded", not "stated absent". With ``--beside`` other systems get the lexicon's
surface forms for the same findings, and findings and impression only, since they have no notion of a reason
for the examination.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import rivals

REPORT = ("indication", "comparison", "findings", "impression")
FINDING_OF = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltration": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "pulmonary edema",
    "Emphysema": "emphysema",
    "Fibrosis": "pulmonary fibrosis",
    "Pleural_Thickening": "pleural thickening",
}


def main() -> None:
    """Parse the command line, fill, and print the tables."""
    data = os.environ.get("DALLM_REAL_DATA")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reports", type=Path, default=data and Path(data) / "openi" / "indiana_reports.csv")
    parser.add_argument("--gold", type=Path, default=data and Path(data) / "openi" / "gold.csv")
    parser.add_argument(
        "--errors", type=int, default=0, help="ids of so many wrong cases per finding and side"
    )
    parser.add_argument("--beside", nargs="*", default=[], choices=tuple(rivals.REQUIREMENTS))
    parser.add_argument(
        "--cache", type=Path, default=rivals.default_cache(), help="folder of the environments"
    )
    args = parser.parse_args()
    if args.reports is None or args.gold is None:
        parser.error("give --reports and --gold, or set DALLM_REAL_DATA")
    table, gold = read(args.reports, args.gold)
    start = time.perf_counter()
    found = fill(table)
    seconds = time.perf_counter() - start
    print(f"dallm: {len(table):,} reports in {seconds:.1f} s\n")
    show(found, gold)
    for column in gold.columns if args.errors else ():
        show_errors(column, found[column], gold[column], args.errors)
    for system in args.beside:
        print(f"\n{system}")
        show(fill_beside(system, table, args.cache), gold)


def read(reports: Path, gold: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the report columns and the coding of the same uids, in the same order."""
    table = pd.read_csv(reports, dtype=str, usecols=["uid", *REPORT])
    coded = pd.read_csv(gold, dtype={"uid": str}).set_index("uid")
    table = table[table["uid"].isin(coded.index)].reset_index(drop=True)
    if table.empty:
        raise SystemExit("No uid stands in both files.")
    return table, coded.loc[table["uid"], list(FINDING_OF)].astype(bool)


def fill(table: pd.DataFrame) -> pd.DataFrame:
    """Return what dallm documents as present: one boolean column per finding."""
    import dallm

    lexicon = dallm.Lexicon.default()
    features = []
    for name in FINDING_OF.values():
        concept = lexicon.find(name)
        features.append(dallm.Feature(name, "boolean", category=concept and concept.category))
    cohort = dallm.Cohort(table, id="uid", report=list(REPORT), data_use="open")
    augmented = dallm.fill_values(cohort, features, engine=dallm.engine("extractive"))
    new = augmented.frame[[augmented.columns_of[name] for name in FINDING_OF.values()]]
    return new.fillna(False).astype(bool).set_axis(list(FINDING_OF), axis=1)


def fill_beside(system: str, table: pd.DataFrame, cache: Path) -> pd.DataFrame:
    """Return what another system finds present, given the lexicon's words."""
    import dallm

    lexicon = dallm.Lexicon.default()
    concepts = {name: lexicon.find(name) for name in FINDING_OF.values()}
    synonyms = {
        n: [*c.terms, *c.abbreviations, *c.misspellings] for n, c in concepts.items() if c is not None
    }
    rows = table[["findings", "impression"]].to_dict("records")
    reports = [{f: t for f, t in row.items() if isinstance(t, str)} for row in rows]
    task = rivals.find_task(reports, list(synonyms), synonyms, answers=True)
    with tempfile.TemporaryDirectory() as folder:
        present = rivals.run(system, task, cache, Path(folder))["present"]
    columns = {c: [name in found for found in present] for c, name in FINDING_OF.items()}
    return pd.DataFrame(columns, index=table["uid"])


def show(found: pd.DataFrame, gold: pd.DataFrame) -> None:
    """Print precision, recall and F1 of each finding, over all decisions (micro) and as a mean (macro)."""
    print(f"{'finding':<20}{'coded':>7}{'tp':>6}{'fp':>6}{'fn':>6}{'P':>8}{'R':>8}{'F1':>8}")
    scores = []
    for column in gold.columns:
        counts = _counts(found[column].to_numpy(), gold[column].to_numpy())
        scores.append(_scores(*counts))
        _print_row(column, counts)
    _print_row("micro", _counts(found.to_numpy().ravel(), gold.to_numpy().ravel()))
    macro = np.nanmean(np.array(scores), axis=0)
    print(f"{'macro':<45}" + "".join(f"{value:>8.3f}" for value in macro))


def show_errors(column: str, found: pd.Series, gold: pd.Series, n: int) -> None:
    """Print the ids of wrong cases; texts stay in the data."""
    extra = gold.index[found.to_numpy() & ~gold.to_numpy()][:n]
    lacking = gold.index[~found.to_numpy() & gold.to_numpy()][:n]
    print(f"{column}: found but not coded {', '.join(extra)}; coded but not found {', '.join(lacking)}")


def _counts(found: np.ndarray, gold: np.ndarray) -> tuple[int, int, int]:
    return int((found & gold).sum()), int((found & ~gold).sum()), int((~found & gold).sum())


def _scores(tp: int, fp: int, fn: int) -> tuple[float, float, float]:
    precision = tp / (tp + fp) if tp + fp else float("nan")
    recall = tp / (tp + fn) if tp + fn else float("nan")
    return precision, recall, 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")


def _print_row(name: str, counts: tuple[int, int, int]) -> None:
    tp, fp, fn = counts
    scores = "".join(f"{value:>8.3f}" for value in _scores(tp, fp, fn))
    print(f"{name:<20}{tp + fn:>7}{tp:>6}{fp:>6}{fn:>6}{scores}")


if __name__ == "__main__":
    main()
