"""Negation on annotated sentences: F1 of negated against the rest, through ``dallm.assertion_of``.

    python benchmarks/assertion_quality.py sentences.csv
    python benchmarks/assertion_quality.py sentences.csv --beside negspacy medspacy

The table has the columns text, start, end and label: the span ``text[start:end]`` counts Python code points;
label is what the annotators said ("negated", or anything else). Other names: ``--columns``, ``--negated``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
import rivals


def main() -> None:
    """Parse the command line, assert every span, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="CSV with text, start, end, label")
    parser.add_argument("--columns", nargs=4, default=["text", "start", "end", "label"], metavar="NAME")
    parser.add_argument("--negated", nargs="+", default=["negated"], help="labels that mean negated")
    parser.add_argument("--beside", nargs="*", default=[], choices=tuple(rivals.REQUIREMENTS))
    parser.add_argument(
        "--cache", type=Path, default=rivals.default_cache(), help="folder of the environments"
    )
    args = parser.parse_args()
    spans, labels = read(args.table, args.columns)
    wanted = {label.casefold() for label in args.negated}
    gold = [label.casefold() in wanted for label in labels]
    if not any(gold):
        raise SystemExit(f"No row is labelled {args.negated}; the labels are {sorted(set(labels))[:10]}.")
    print(f"{len(spans):,} spans, {sum(gold):,} negated")
    print(f"{'system':<10}{'tp':>6}{'fp':>6}{'fn':>6}{'P':>8}{'R':>8}{'F1':>8}{'spans/s':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for system in ("dallm", *args.beside):
            result = rivals.run(system, rivals.assert_task(spans), args.cache, Path(folder))
            show(system, result["negated"], gold, len(spans) / result["seconds"])
    show_labels(spans, labels)


def read(path: Path, columns: list[str]) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Return the spans and their labels; a span outside its text is refused."""
    table = pd.read_csv(path, keep_default_na=False)
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise SystemExit(f"{path} has no column {lacking[0]!r}; it has {', '.join(table.columns)}.")
    text, start, end, label = (table[column] for column in columns)
    spans = [(str(t), int(s), int(e)) for t, s, e in zip(text, start, end, strict=True)]
    for row, (words, begin, stop) in enumerate(spans):
        if not 0 <= begin < stop <= len(words):
            raise SystemExit(f"{path}, row {row}: {begin} to {stop} is no span of a text of {len(words)}.")
    return spans, [str(value) for value in label]


def show(system: str, found: list[bool], gold: list[bool], rate: float) -> None:
    """Print one system's line."""
    pairs = Counter(zip(found, gold, strict=True))
    tp, fp, fn = pairs[True, True], pairs[True, False], pairs[False, True]
    precision = tp / (tp + fp) if tp + fp else float("nan")
    f1 = 2 * tp / (2 * tp + fp + fn)
    print(f"{system:<10}{tp:>6}{fp:>6}{fn:>6}{precision:>8.3f}{tp / (tp + fn):>8.3f}{f1:>8.3f}{rate:>12,.0f}")


def show_labels(spans: list[tuple[str, int, int]], labels: list[str]) -> None:
    """Print which assertion dallm gives for which label."""
    import dallm

    given = [dallm.assertion_of(*span).assertion for span in spans]
    print("\nlabel (rows) and what dallm says (columns)")
    print(pd.crosstab(pd.Series(labels, name="label"), pd.Series(given, name="dallm")).to_string())


if __name__ == "__main__":
    main()
