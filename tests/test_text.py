"""Tests of how text is cut: sentences with the role of their section, words with their offsets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dallm.engines.extractive.text import role_of_field, sentences, tokenise


def cut(text, role="body"):
    return [(text[s.start : s.end].strip(), s.role) for s in sentences(text, role)]


def test__sentences__stop_without_space__are_two():
    assert [s for s, _ in cut("Old scar in one apex.We see none elsewhere.")] == [
        "Old scar in one apex.",
        "We see none elsewhere.",
    ]


def test__sentences__abbreviation_and_decimal__are_one():
    assert len(cut("Seen by Dr. Smith, nodule of 3.5 cm vs. scar")) == 1


def test__sentences__wrapped_line__is_one_and_short_lines_are_many():
    wrapped = "There is no evidence of a pleural effusion, of a consolidation or of a\nPneumothorax."
    assert len(cut(wrapped)) == 1
    assert [s for s, _ in cut("Chest pain\nNo cough\nHeart enlarged")] == [
        "Chest pain",
        "No cough",
        "Heart enlarged",
    ]


def test__sentences__headings_in_one_line__change_the_role():
    text = "INDICATION: Fever. COMPARISON: None. FINDINGS: Clear lungs."
    assert [role for _, role in cut(text)] == ["indication", "comparison", "body"]


def test__sentences__past_history_within_paragraph__ends_with_its_sentence():
    assert [role for _, role in cut("Cough. PMH: COPD. Now wheezing.")] == ["body", "past", "body"]


def test__sentences__question_marks__ask_what_follows_or_end_a_question():
    assert [s for s, _ in cut("Any edema? ?CHF")] == ["Any edema?", "?CHF"]


@pytest.mark.parametrize(
    ("field", "role"),
    [
        ("indication", "indication"),
        ("Clinical_History", "indication"),
        ("findings", "body"),
        ("notes", "body"),
    ],
)
def test__role_of_field__name__gives_role(field, role):
    assert role_of_field(field) == role


def test__tokenise__minus_signs__deny_only_before_or_behind_an_item():
    assert tokenise("GI: -rash, pain -, left-sided - mild").words == (
        *("gi", ":", "(-)", "rash", ",", "pain", "(-)", ",", "left", "sided", "mild"),
    )


@given(st.text(max_size=300))
def test__sentences__any_text__cover_all_words_in_order(text):
    spans = [(s.start, s.end) for s in sentences(text)]
    assert spans == sorted(spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    inside = "".join(text[a:b] for a, b in spans)
    assert "".join(inside.split()) == "".join(text.split())


@given(st.text(max_size=200))
def test__tokenise__any_text__offsets_point_at_the_words(text):
    tokens = tokenise(text)
    for word, start, end in zip(tokens.words, tokens.starts, tokens.ends, strict=True):
        assert 0 <= start < end <= len(text)
        written = text[start:end].lower().replace("’", "'")
        assert written.startswith(word) or (word == "(-)" and written in "-–−")
