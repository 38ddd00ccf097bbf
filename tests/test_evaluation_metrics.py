"""Tests of the metrics, the calibration error, the operating point and the baselines."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from dallm.errors import UserError
from dallm.evaluation.baselines import BASELINES, baseline_predictions
from dallm.evaluation.calibration import calibration_error, reliability_curve
from dallm.evaluation.fits import METRICS, PREDICTIONS, Split
from dallm.evaluation.metrics import metrics_of, resampled_metrics
from dallm.evaluation.operating import choose_threshold
from dallm.evaluation.scores import MACRO, POOLED, score_predictions, undefined_notes

REFERENCES = {
    "roc_auc": lambda y, p, d, w: sk.roc_auc_score(y, p, sample_weight=w),
    "average_precision": lambda y, p, d, w: sk.average_precision_score(y, p, sample_weight=w),
    "f1": lambda y, p, d, w: sk.f1_score(y, d, sample_weight=w, zero_division=0),
    "precision": lambda y, p, d, w: sk.precision_score(y, d, sample_weight=w, zero_division=0),
    "recall": lambda y, p, d, w: sk.recall_score(y, d, sample_weight=w, zero_division=0),
    "accuracy": lambda y, p, d, w: sk.accuracy_score(y, d, sample_weight=w),
    "balanced_accuracy": lambda y, p, d, w: sk.balanced_accuracy_score(y, d, sample_weight=w),
    "brier": lambda y, p, d, w: sk.brier_score_loss(y, p, sample_weight=w),
}


def drawn(seed, n=60, ties=True):
    """Return truth, probabilities (many of them equal) and decisions."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    share = rng.random(n) * 0.7 + truth * 0.2
    return truth, np.round(share, 1) if ties else share, share > rng.random()


@pytest.mark.parametrize("name", sorted(REFERENCES))
@pytest.mark.parametrize("ties", [True, False])
def test__metrics__resampled_cases__agree_with_scikit_learn(name, ties):
    for seed in range(8):
        truth, share, decision = drawn(seed, ties=ties)
        weights = (
            np.random.default_rng([seed, 1]).multinomial(60, np.full(60, 1 / 60), size=25).T.astype(float)
        )
        found = resampled_metrics(truth, share, decision, weights, [name])[name]
        for column in (0, 24):
            expected = REFERENCES[name](truth, share, decision, weights[:, column])
            assert found[column] == pytest.approx(expected, abs=1e-12)
        assert metrics_of(truth, share, decision, [name])[name] == pytest.approx(
            REFERENCES[name](truth, share, decision, None), abs=1e-12
        )


def test__metrics__many_and_few_resamples__are_added_up_alike():
    truth, share, decision = drawn(3)
    weights = np.random.default_rng(0).integers(0, 4, size=(60, 40)).astype(np.float32)
    wide = resampled_metrics(truth, share, decision, weights)
    for name in METRICS:
        one = resampled_metrics(truth, share, decision, weights[:, [7]].astype(float), [name])[name]
        assert wide[name][7] == pytest.approx(one[0], abs=1e-5)


def test__metrics__constant_probabilities__are_those_of_scikit_learn():
    truth, share = np.arange(30) % 5 == 0, np.full(30, 0.3)
    weights = np.random.default_rng(0).integers(0, 3, size=(30, 20)).astype(float)
    weights[:, 1], weights[:, 2] = truth, ~truth
    found = resampled_metrics(truth, share, truth, weights, ["roc_auc", "average_precision"])
    expected = sk.average_precision_score(truth, share, sample_weight=weights[:, 0])
    assert found["average_precision"][:2] == pytest.approx([expected, 1])
    assert found["roc_auc"][0] == 0.5
    assert np.isnan([found["roc_auc"][1], found["roc_auc"][2], found["average_precision"][2]]).all()


def test__metrics__one_class_or_no_decision__are_defined_as_stated():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        negative = metrics_of([0, 0, 0], [0.2, 0.3, 0.4], [0, 0, 1])
        positive = metrics_of([1, 1], [0.2, 0.3], [0, 1])
        silent = metrics_of([0, 1], [0.2, 0.3], [0, 0])
        nothing = resampled_metrics([0, 1], [0.2, 0.3], [0, 1], np.zeros((2, 1)))
    assert np.isnan(negative["roc_auc"])
    assert np.isnan(positive["roc_auc"])
    for name in ("average_precision", "recall", "f1", "balanced_accuracy"):
        assert np.isnan(negative[name])
    assert negative["precision"] == 0.0
    assert np.isnan(positive["balanced_accuracy"])
    assert positive["recall"] == 0.5
    assert positive["average_precision"] == 1.0
    assert silent["precision"] == 0.0
    assert all(np.isnan(values[0]) for values in nothing.values())


def test__calibration_error__worked_by_hand__agrees_for_both_binnings():
    truth = [0, 1, 0, 1, 1, 1]
    share = [0.1, 0.2, 0.45, 0.55, 0.8, 0.95]
    mass = (abs(0.5 - 0.15) * 2 + abs(0.5 - 0.5) * 2 + abs(1 - 0.875) * 2) / 6
    width = (abs(1 / 3 - 0.25) * 3 + abs(1 - 2.3 / 3) * 3) / 6
    assert calibration_error(truth, share, bins=3) == pytest.approx(mass)
    assert calibration_error(truth, share, bins=2, binning="width") == pytest.approx(width)
    curve = reliability_curve(truth, share, bins=3)
    assert curve["cases"].tolist() == [2, 2, 2]
    assert curve["rate"].tolist() == [0.5, 0.5, 1.0]


def test__calibration_error__metric__is_the_one_of_the_curve():
    truth, share, decision = drawn(5)
    assert metrics_of(truth, share, decision, ["ece"])["ece"] == pytest.approx(
        calibration_error(truth, share)
    )
    with pytest.raises(UserError, match="at least one bin"):
        calibration_error(truth, share, bins=0)


@pytest.mark.parametrize("criterion", ["f1", "youden", "accuracy"])
def test__choose_threshold__random_cases__nothing_is_better(criterion):
    def worth(truth, decision):
        if criterion == "f1":
            return sk.f1_score(truth, decision, zero_division=0)
        if criterion == "accuracy":
            return sk.accuracy_score(truth, decision)
        return 2 * sk.balanced_accuracy_score(truth, decision) - 1

    for seed in range(6):
        truth, share, _ = drawn(seed, n=40)
        threshold = choose_threshold(truth, share, criterion)
        tried = [worth(truth, share >= t) for t in [*np.unique(share), 2.0]]
        assert worth(truth, share >= threshold) == pytest.approx(max(tried))
        assert choose_threshold(truth[::-1], share[::-1], criterion) == threshold


def test__choose_threshold__nothing_to_choose__is_one_half_or_as_given():
    assert choose_threshold([0, 0, 0], [0.1, 0.2, 0.9]) == 0.5
    assert choose_threshold([1, 1], [0.1, 0.2]) == 0.5
    assert choose_threshold([0, 1], [0.1, 0.2], 0.3) == 0.3
    for bad in ("best", 1.5, True):
        with pytest.raises(UserError, match="operating point"):
            choose_threshold([0, 1], [0.1, 0.2], bad)


def two_targets():
    """Return predictions of one model for two targets, two repeats of two folds."""
    parts = []
    for t, target in enumerate(("edema", "effusion")):
        for repeat in range(2):
            truth, share, decision = drawn(10 * t + repeat, n=40)
            truth = drawn(10 * t, n=40)[0]
            frame = {"feature_set": "all", "model": "tree", "target": target, "repeat": repeat}
            frame |= {"fold": np.arange(40) % 2, "row": np.arange(40)}
            frame |= {"truth": truth, "probability": share, "decision": decision}
            parts.append(pd.DataFrame(frame))
    return pd.concat(parts, ignore_index=True)[list(PREDICTIONS)]


def test__score_predictions__two_targets__folds_macro_and_pooled():
    frame = two_targets()
    scores = score_predictions(frame).set_index(["target", "repeat", "fold", "metric"])["value"]
    part = frame[(frame["target"] == "edema") & (frame["repeat"] == 1) & (frame["fold"] == 0)]
    expected = sk.roc_auc_score(part["truth"], part["probability"])
    assert scores["edema", 1, 0, "roc_auc"] == pytest.approx(expected)
    means = [scores[target, 1, :, "f1"].mean() for target in ("edema", "effusion")]
    assert scores[MACRO, 1, -1, "f1"] == pytest.approx(np.mean(means))
    repeat = frame[frame["repeat"] == 1]
    assert scores[POOLED, 1, -1, "f1"] == pytest.approx(sk.f1_score(repeat["truth"], repeat["decision"]))
    assert len(scores) == 9 * (2 * 2 * 2 + 2 + 2)


def test__score_predictions__fold_of_one_class__is_nan_with_a_note():
    frame = two_targets()
    where = (frame["target"] == "edema") & (frame["fold"] == 0)
    frame.loc[where, "truth"] = False
    scores = score_predictions(frame)
    assert undefined_notes(scores) == (
        "roc_auc, average_precision, f1, recall, balanced_accuracy of edema are not defined in 2 of 4 test "
        "folds: their cases are of one class.",
    )
    macro = scores[(scores["target"] == MACRO) & (scores["metric"] == "roc_auc")]["value"]
    assert macro.notna().all()


def test__score_predictions__bad_frame__names_what_is_wrong():
    frame = two_targets()
    with pytest.raises(UserError, match="lack the column 'decision'"):
        score_predictions(frame.drop(columns="decision"))
    with pytest.raises(UserError, match=r"'macro'.*rename"):
        score_predictions(frame.assign(target="macro"))


def test__baselines__a_rare_target__score_what_follows_from_its_rate():
    truth = np.arange(200) % 5 == 0
    targets = pd.DataFrame({"edema": pd.array(truth, dtype="boolean")})
    rows = np.arange(200)
    folds = (rows // 5) % 4
    splits = [Split("edema", 0, k, rows[folds != k], rows[folds == k]) for k in range(4)]
    frame = baseline_predictions(targets, splits, seed=3)
    assert set(frame["model"]) == set(BASELINES)
    assert frame.equals(
        baseline_predictions(targets, splits[::-1], seed=3).sort_values(
            ["fold", "model"],
            key=lambda c: c.map({m: i for i, m in enumerate(BASELINES)}) if c.name == "model" else c,
            kind="stable",
            ignore_index=True,
        )
    )
    scores = score_predictions(frame).groupby(["model", "target", "metric"])["value"].mean()
    assert scores["always_no", "edema", "accuracy"] == pytest.approx(0.8)
    assert scores["always_no", "edema", "roc_auc"] == 0.5
    assert scores["prevalence", "edema", "brier"] == pytest.approx(0.16)
    assert scores["mean", "edema", "f1"] == pytest.approx(2 * 0.2 / 1.2)
    guesses = frame[frame["model"] == "prevalence"]["decision"]
    assert 0.1 < guesses.mean() < 0.3
