"""The annotated assertion sentences: well formed, no line twice, and the two sets apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent / "data"
SETS = ("dev", "check")
LABELS = {"present", "negated", "possible", "hypothetical", "historical", "other_person", "resolved"}


def rows(name: str) -> list[dict[str, Any]]:
    lines = (DATA / f"assertion_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def wording(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()


@pytest.mark.parametrize("name", SETS)
def test__rows__each_line__has_the_five_fields_and_a_known_label(name):
    for row in rows(name):
        assert set(row) == {"text", "start", "end", "assertion", "kind"}
        assert row["assertion"] in LABELS
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row["kind"])


@pytest.mark.parametrize("name", SETS)
def test__offsets__each_line__mark_whole_words_of_the_text(name):
    for row in rows(name):
        text, start, end = row["text"], row["start"], row["end"]
        assert 0 <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        # a span that cuts a word was shifted when the sentence was edited
        assert not (text[start].isalnum() and text[start - 1 : start].isalnum())
        assert not (text[end - 1].isalnum() and text[end : end + 1].isalnum())


@pytest.mark.parametrize("name", SETS)
def test__rows__same_text_and_span__appear_once(name):
    seen = Counter((row["text"], row["start"], row["end"]) for row in rows(name))
    assert [key for key, count in seen.items() if count > 1] == []


@pytest.mark.parametrize("name", SETS)
def test__rows__every_label__occurs_at_least_twenty_times(name):
    counts = Counter(row["assertion"] for row in rows(name))
    assert {label: n for label in LABELS if (n := counts[label]) < 20} == {}


def test__sets__wording__shares_no_sentence():
    dev, check = ({wording(row["text"]) for row in rows(name)} for name in SETS)
    assert dev & check == set()
