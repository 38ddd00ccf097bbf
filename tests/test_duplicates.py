"""Near-duplicates: an edited copy is found and linked, another fact is not."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from dallm.knowledge import duplicates
from dallm.knowledge.duplicates import BANDS, Held, bands, bands_of, collapsed, nearly_same, twins
from dallm.knowledge.passage import Hit, Passage, digest

TEXT = (
    "The collapsed segment shows as a wedge of opacity on the film. Vessels and bronchi crowd together. "
    "A fissure is pulled towards the airless lobe. The trachea may shift to the same side, and the diaphragm "
    "may stand higher there. Mucus that blocks a bronchus is a usual cause after an operation."
)
SENTENCES = [f"{part.rstrip('.')}." for part in TEXT.split(". ")]

SAME = {
    "light word": TEXT.replace("is a usual cause", "is often a usual cause"),
    "punctuation, case, spaces": TEXT.upper().replace(".", " ;").replace(", AND", " –  AND"),
    "endings and spelling": TEXT.replace("shows", "showed").replace("segment", "segments"),
    "sentences in another order": " ".join(SENTENCES[2:] + SENTENCES[:2]),
    "a few words more": TEXT.replace("after an operation", "after an operation on the abdomen"),
    "another word": TEXT.replace("crowd together", "lie closely together"),
}
OTHER = {
    "negation": TEXT.replace("may shift", "does not shift"),
    "contracted negation": TEXT.replace("is pulled", "isn't pulled"),
    "number": TEXT.replace("A fissure", "3 fissures"),
    "number word": TEXT.replace("Vessels", "Two vessels"),
    "direction": TEXT.replace("higher", "lower"),
    "side": TEXT.replace("the same side", "the left side"),
    "comparison": TEXT.replace("a usual cause", "a rare cause"),
    "negation moved": TEXT.replace("may stand", "may not stand"),
    "another text": "Fluid gathers between the two sheets of the pleura and blunts the angle beside the "
    "diaphragm. It is drained where it makes breathing hard.",
}


@pytest.mark.parametrize("name", SAME)
def test__nearly_same__edited_copy__is_the_same_and_shares_a_band(name):
    assert nearly_same(TEXT, SAME[name])
    assert nearly_same(SAME[name], TEXT)
    assert set(bands(TEXT)) & set(bands(SAME[name]))


@pytest.mark.parametrize("name", OTHER)
def test__nearly_same__another_fact__is_not(name):
    assert OTHER[name] != TEXT
    assert not nearly_same(TEXT, OTHER[name])
    assert not nearly_same(OTHER[name], TEXT)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("given as 5 mg twice", "given as 5 g twice"),
        ("with a pressure of 1.5 units", "with a pressure of 15 units"),
        ("where it is <5 cm across", "where it is >5 cm across"),
        ("with hyperinflation of the base", "with hypoinflation of the base"),
        ("where a pneumothorax follows", "where a pleural effusion follows"),
        ("in 20 % of them", "in 30 % of them"),
        ("the fissure is not seen but the hilum is", "the fissure is seen but the hilum is not"),
    ],
)
def test__nearly_same__long_text_with_one_turning_word__is_not(one, two):
    assert not nearly_same(f"{TEXT} It is found {one}.", f"{TEXT} It is found {two}.")


def test__nearly_same__percent_sign_and_word__are_one():
    assert nearly_same(f"{TEXT} It is seen in 20 % of them.", f"{TEXT} It is seen in 20 per cent of them.")


def test__nearly_same__few_words__only_word_for_word():
    assert nearly_same("Fever and cough are felt.", "fever, and cough are felt")
    assert not nearly_same("Fever and cough are felt.", "Fever and cough are often felt.")
    assert not nearly_same("", "...")


def test__bands__another_process__gives_the_same():
    code = f"from dallm.knowledge.duplicates import bands; print(bands({TEXT!r}))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == str(bands(TEXT))
    assert len(bands(TEXT)) == BANDS


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 90, 5_000])
def test__bands_of__any_length_and_neighbours__gives_each_its_own(count):
    text = " ".join(f"word{i}" for i in range(count))
    assert bands_of(["", "a b c d e", text, "?", "z"]) == [
        (),
        *map(bands, ("a b c d e", text)),
        (),
        bands("z"),
    ]


def test__bands_of__many_passages__is_fast_and_rarely_shared():
    draw = random.Random(7)
    words = [f"{a}{b}" for a in ("lu", "ple", "bro", "car", "hi") for b in map(str, range(1_000))]
    texts = [" ".join(draw.choices(words, k=80)) for _ in range(2_000)]
    began = time.process_time()
    keys = bands_of(texts)
    assert len(texts) / (time.process_time() - began) > 2_000  # 8,000 on a quiet machine
    assert len({key for row in keys for key in row}) > 0.999 * BANDS * len(texts)


def passage(text: str, source: str, **changed) -> Passage:
    base = Passage(text, "Atelectasis", "Signs", source, "u", None, None, (), "", ("atelectasis",), "")
    one = replace(base, **changed)
    return replace(one, sha256=digest(one.title, one.section, one.text))


def held_of(passages: list[Passage], links: list[str | None]):
    def look_up(source: str, wanted: list[int]) -> list[Held]:
        return [
            Held(p.sha256, p.source, p.title, p.section, p.text, p.conditions, twin)
            for p, twin in zip(passages, links, strict=True)
            if p.source != source and set(bands(p.text)) & set(wanted)
        ]

    return look_up


def nothing_held(source: str, wanted: list[int]) -> list[Held]:
    return []


def test__twins__copies_in_three_sources__are_one_group():
    a, b, c = (passage(SAME[n], s) for n, s in zip(list(SAME)[:3], "xyz", strict=True))
    assert twins([a, b, c, replace(a, source="w")], nothing_held) == [None, *3 * [a.sha256]]


def test__twins__one_write_or_several__gives_the_same_links():
    sources = ("x", "y", "x", "z", "y", "z")
    pages = [passage(text, s) for text, s in zip(SAME.values(), sources, strict=True)]
    pages += [passage(text, s) for text, s in zip(OTHER.values(), "xyzxyzxyz", strict=True)]
    links: list[str | None] = []
    for i, page in enumerate(pages):
        links += twins([page], held_of(pages[:i], links))
    assert links == twins(pages, nothing_held)
    assert sum(link is not None for link in links) >= 4


def test__twins__within_a_source_or_about_another_thing__are_left_alone():
    a, near = passage(TEXT, "x"), SAME["light word"]
    assert twins([a, passage(near, "x")], nothing_held) == [None, None]
    assert twins([a, passage(near, "y", conditions=("asthma",))], nothing_held) == [None, None]
    untold = {"conditions": (), "title": "Asthma"}
    assert twins([a, passage(near, "y", **untold)], nothing_held) == [None, None]
    named = {"conditions": (), "title": "Lobar atelectasis"}
    assert twins([a, passage(near, "y", **named)], nothing_held) == [None, a.sha256]


def test__twins__few_words_under_another_heading__are_left_alone():
    a, b = passage("Chest radiograph.", "x"), passage("Chest radiograph", "y")
    assert twins([a, b], nothing_held) == [None, a.sha256]
    b = passage("Chest radiograph", "y", section="Tests > Not needed")
    assert twins([a, b], nothing_held) == [None, None]


def test__twins__the_first_comes_back_after_its_copies__leads_its_group_again():
    a, b = passage(TEXT, "x"), passage(SAME["light word"], "y")
    assert twins([a], held_of([b], [a.sha256])) == [a.sha256]


def test__twins__thousands_of_equal_passages_held__compares_few(monkeypatch):
    calls = []
    monkeypatch.setattr(duplicates, "nearly_same", lambda a, b: bool(calls.append(1)))
    many = [Held(f"{i}", "y", "Atelectasis", "Signs", TEXT, ("atelectasis",), None) for i in range(500)]
    assert twins([passage(TEXT, "x")], lambda source, wanted: many) == [None]
    assert len(calls) == duplicates._MOST_TRIED


def test__collapsed__a_group__is_one_hit_with_the_others_beside_it():
    near = list(SAME.values())
    a, b, c = passage(TEXT, "x"), passage(near[0], "y"), passage(near[2], "y")
    lone, late = passage(OTHER["another text"], "x"), passage(near[3], "z")
    ranked = [(b, 0.9, a.sha256), (c, 0.8, a.sha256), (a, 0.7, None), (lone, 0.6, None), (lone, 0.6, None)]
    # c is no hit's twin beside b: both are of one source
    assert collapsed(ranked, [(late, a.sha256), (a, None)]) == [
        Hit(b, 0.9, (a, late)),
        Hit(c, 0.8, (a, late)),
        Hit(lone, 0.6),
    ]
    assert collapsed([(a, 0.9, None), (b, 0.8, a.sha256), (c, 0.7, a.sha256)]) == [Hit(a, 0.9, (b, c))]
