"""Who is trained on and who is tested."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from dallm.errors import UserError
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.protocols import AsPublished, Holdout, LeakFree, Protocol
from dallm.evaluation.protocols.folds import deal_folds


def inputs_of(labels, patients, **more):
    labels = pd.DataFrame(labels) if isinstance(labels, dict) else pd.Series(labels, name="t")
    table = pd.DataFrame({"x": np.arange(len(labels), dtype=float), **more})
    return check_inputs({"a": table}, labels, None if patients is None else list(patients))


@st.composite
def grouped(draw):
    n = draw(st.integers(6, 60))
    labels = draw(st.lists(st.sampled_from([0, 1, None]), min_size=n, max_size=n))
    patients = draw(st.lists(st.integers(0, max(1, n // 2)), min_size=n, max_size=n))
    return labels, patients


@settings(max_examples=60, deadline=None)
@given(grouped(), st.integers(1, 3), st.integers(2, 6), st.integers(0, 10))
def test__leak_free__any_labels_and_patients__keeps_patients_apart_and_tests_each_row_once(
    data, repeats, folds, seed
):
    labels, patients = data
    try:
        inputs = inputs_of([np.nan if v is None else v for v in labels], patients)
        splits, notes = LeakFree(repeats, folds).splits(inputs, seed)
    except UserError:
        return
    known = [i for i, v in enumerate(labels) if v is not None]
    held = np.array([np.nan if v is None else v for v in labels])
    used = {s.fold for s in splits}
    assert (len(used) < folds) == bool(notes)
    for repeat in range(repeats):
        ours = [s for s in splits if s.repeat == repeat]
        assert {s.fold for s in ours} == used
        assert sorted(np.concatenate([s.test for s in ours]).tolist()) == known
        for split in ours:
            assert sorted([*split.train, *split.test]) == known
            assert not {patients[i] for i in split.train} & {patients[i] for i in split.test}
            assert set(held[split.train]) == set(held[split.test]) == {0.0, 1.0}


def test__leak_free__same_seed__same_folds_and_another_seed_others():
    rng = np.random.default_rng(0)
    inputs = inputs_of(rng.integers(0, 2, 90), rng.integers(0, 40, 90))
    first, again, other = (LeakFree(2, 5).splits(inputs, seed)[0] for seed in (0, 0, 1))
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert any(
        len(a.test) != len(b.test) or (a.test != b.test).any() for a, b in zip(first, other, strict=True)
    )


def test__leak_free__a_target_more__leaves_the_folds_of_the_others():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    alone = LeakFree(1, 5).splits(inputs_of({"b": b}, range(60)), 0)[0]
    both = [s for s in LeakFree(1, 5).splits(inputs_of({"a": a, "b": b}, range(60)), 0)[0] if s.target == "b"]
    assert all((x.test == y.test).all() for x, y in zip(alone, both, strict=True))


def test__leak_free__few_positive_patients__fewer_folds_with_a_line():
    labels = [1, 1, 1, 1, *[0] * 40]
    patients = [0, 0, 1, 2, *range(3, 43)]
    splits, notes = LeakFree(2, 5).splits(inputs_of(labels, patients), 0)
    assert {s.fold for s in splits} == {0, 1, 2}
    assert notes == (
        "Target 't': 3 folds instead of 5, because only 3 patients of 43 have a case labelled yes.",
    )


@pytest.mark.parametrize(
    ("labels", "patients"), [([1, 1, 0, 0, 0], [0, 0, 1, 2, 3]), ([1, 0, 1, 0], [0, 0, 0, 1])]
)
def test__leak_free__one_patient_of_a_class__is_refused_by_name(labels, patients):
    with pytest.raises(UserError, match="'t' cannot be cross-validated: only 1 patient of"):
        LeakFree().splits(inputs_of(labels, patients), 0)


def test__leak_free__three_patients__three_folds_or_an_error_but_never_one_on_both_sides():
    splits, notes = LeakFree(1, 5).splits(inputs_of([1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 2, 2]), 0)
    assert [sorted(s.test.tolist()) for s in splits] in (
        [[a, a + 1] for a in order]
        for order in ([0, 2, 4], [0, 4, 2], [2, 0, 4], [2, 4, 0], [4, 0, 2], [4, 2, 0])
    )
    assert "3 folds instead of 5" in notes[0]


def test__deal_folds__against_scikit_learn__balances_no_worse():
    rng = np.random.default_rng(3)
    spread = {"ours": [], "theirs": []}
    for seed in range(10):
        patients = rng.integers(0, 150, 400)
        labels = rng.random(400) < 0.2
        folds = deal_folds(labels, patients, 5, np.random.default_rng(seed))
        spread["ours"].append(np.std([labels[folds == f].mean() for f in range(5)]))
        theirs = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, patients)
        spread["theirs"].append(np.std([labels[test].mean() for _, test in theirs]))
    assert np.mean(spread["ours"]) <= 1.2 * np.mean(spread["theirs"])


def test__deal_folds__half_a_million_patients__takes_no_loop_over_them():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 500_000, 1_000_000)
    folds = deal_folds(rng.random(1_000_000) < 0.1, patients, 5, rng)
    sizes = np.bincount(folds) / 1_000_000
    assert sizes.max() - sizes.min() < 0.001
    first = np.unique(patients, return_index=True)[1]
    of_patient = np.zeros(500_000, dtype=folds.dtype)
    of_patient[patients[first]] = folds[first]
    assert (of_patient[patients] == folds).all()


def test__protocols__all__have_the_interface():
    assert all(isinstance(p, Protocol) for p in (LeakFree(), Holdout("x"), AsPublished("x")))


MARKS = pd.Series(["train", "Train", "train", "test", "test", "validation"], name="split")


def test__holdout__marks__are_the_split_and_others_left_out_with_a_line():
    splits, notes = Holdout(MARKS).splits(inputs_of([1, 0, 1, 0, 1, 1], [0, 0, 1, 2, 3, 4]), 0)
    assert [(s.train.tolist(), s.test.tolist()) for s in splits] == [([0, 1, 2], [3, 4])]
    assert notes == ("Holdout: 1 case marked neither train nor test left out.",)


def test__holdout__patient_on_both_sides__is_refused_unless_allowed():
    inputs = inputs_of([1, 0, 1, 0, 1, 1], ["p", "q", "r", "r", "s", "t"])
    with pytest.raises(UserError, match="1 patient on both sides, for example 'r'"):
        Holdout(MARKS).splits(inputs, 0)
    _, notes = Holdout(MARKS, allow_shared_patients=True).splits(inputs, 0)
    assert any("as allowed" in note for note in notes)


def test__holdout__column_name__is_looked_up_in_the_tables():
    bound = Holdout("split").bind([pd.DataFrame({"a": [1]}), MARKS.to_frame()])
    splits, _ = bound.splits(inputs_of([1, 0, 1, 0, 1, 1], None), 0)
    assert splits[0].test.tolist() == [3, 4]
    with pytest.raises(UserError, match="Did you mean 'split'"):
        Holdout("splits").bind([MARKS.to_frame()])


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (pd.Series([True, False] * 3, name="part"), "does not say which means test"),
        (
            pd.Series(["a", "b"] * 3, name="part"),
            "no case is marked 'train'; the marks in 'part' are 'a', 'b'",
        ),
        (pd.Series(["train"] * 3 + ["test"] * 3, index=range(1, 7)), "1 case without a mark, for example 0"),
        (pd.Series(["train"] * 5 + ["test"]), "'t' has no test case labelled no"),
    ],
)
def test__holdout__unusable_marks__say_what_to_do(marks, said):
    with pytest.raises(UserError, match=said):
        Holdout(marks).splits(inputs_of([1, 0, 1, 0, 1, 1], None), 0)


def test__holdout__true_and_false_under_a_telling_name__are_read():
    marks = pd.Series([False, False, False, True, True, False], name="is_test")
    splits, _ = Holdout(marks).splits(inputs_of([1, 0, 1, 0, 1, 1], None), 0)
    assert splits[0].test.tolist() == [3, 4]


def test__as_published__patients_on_both_sides__are_kept_with_a_line_and_refitted():
    inputs = inputs_of([1, 0, 1, 0, 1, 1], ["p", "q", "r", "r", "s", "t"])
    splits, notes = AsPublished(MARKS, refits=3).splits(inputs, 0)
    assert [s.repeat for s in splits] == [0, 1, 2]
    assert all(s.test.tolist() == [3, 4] for s in splits)
    assert "1 patient on both sides of the split, kept as published: 1 test case of 2" in notes[-1]


def test__deal_folds__patients_of_unlike_size__meet_as_by_chance_and_folds_stay_even():
    rng = np.random.default_rng(1)
    patients = np.concatenate([np.arange(30), rng.choice(30, 270)])
    labels = rng.random(300) < 0.35
    together = np.zeros((30, 30))
    for seed in range(200):
        folds = deal_folds(labels, patients, 5, np.random.default_rng(seed))
        of_patient = np.zeros(30, dtype=int)
        of_patient[patients] = folds
        together += of_patient[:, None] == of_patient[None]
        assert np.bincount(folds, minlength=5).min() > 40
        assert np.bincount(folds, weights=labels, minlength=5).min() > 0.12 * labels.sum()
    met = together[np.triu_indices(30, 1)] / 200
    assert met.std() < 0.06, "by chance alone .027; in order of size .25"
