"""Negation on the annotated sentences: F1 of negated against the rest stays above a floor."""

import json
from pathlib import Path

import pytest

import dallm

FOLDER = Path(__file__).parent / "data"


def f1_of_negated(name):
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    given = [dallm.assertion_of(r["text"], r["start"], r["end"]).assertion == "negated" for r in rows]
    wanted = [r["assertion"] == "negated" for r in rows]
    both = sum(g and w for g, w in zip(given, wanted, strict=True))
    return 2 * both / (sum(given) + sum(wanted))


# The figures themselves stand in docs/assertion.md; the floors leave room for one or two sentences.
@pytest.mark.parametrize(
    ("name", "floor"), [("assertion_dev.jsonl", 0.965), ("assertion_check.jsonl", 0.925)]
)
def test__assertion_of__annotated_sentences__f1_of_negated_above_floor(name, floor):
    assert f1_of_negated(name) >= floor
