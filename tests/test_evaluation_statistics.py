"""Tests of intervals, comparisons of feature sets, their adjustment and the verdict."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from dallm.errors import UserError
from dallm.evaluation.fits import Split
from dallm.evaluation.statistics import (
    clustered_delong,
    comparisons,
    corrected_spread,
    draw,
    holm,
    intervals,
    limits,
    two_sided,
    verdict,
)
from dallm.evaluation.statistics.resampling import centred_limits, patient_weights


def cross_validated(strengths, n=120, repeats=3, folds=3, targets=("edema", "effusion"), seed=0):
    """Return predictions of feature sets of given strengths, the splits and the patients."""
    rng = np.random.default_rng(seed)
    patients = np.arange(n) // 2
    parts, splits = [], []
    for target in targets:
        truth = rng.random(n) < 0.4
        for repeat in range(repeats):
            fold = rng.permutation(n // 2)[patients] % folds
            for k in range(folds):
                splits.append(Split(target, repeat, k, np.flatnonzero(fold != k), np.flatnonzero(fold == k)))
            for name, strength in strengths.items():
                share = np.clip(0.4 + strength * (truth - 0.4) + rng.normal(0, 0.15, n), 0, 1)
                frame = {"feature_set": name, "model": "tree", "target": target, "repeat": repeat}
                frame |= {"fold": fold, "row": np.arange(n), "truth": truth}
                parts.append(pd.DataFrame(frame | {"probability": share, "decision": share > 0.45}))
    return pd.concat(parts, ignore_index=True), splits, pd.Series(patients)


def test__corrected_spread__repeats_that_agree__is_nadeau_and_bengio():
    rows = np.array([np.roll([0.1, 0.2, 0.0, 0.3, 0.1], shift) for shift in range(5)])
    spread = corrected_spread(rows, 0.2)
    expected = rows.var(ddof=1) * (1 / 25 + 0.2 / 0.8)
    assert spread.variance == pytest.approx(expected)
    assert spread.freedom == 24
    statistic = rows.mean() / math.sqrt(expected)
    assert two_sided(spread) == pytest.approx(2 * stats.t.sf(statistic, 24))
    assert limits(spread)[0] == pytest.approx(rows.mean() - stats.t.ppf(0.975, 24) * math.sqrt(expected))


def test__corrected_spread__repeats_that_disagree__is_wider_up_to_a_ceiling():
    rng = np.random.default_rng(0)
    folds = rng.normal(0.0, 1.0, (10, 5))
    folds -= folds.mean(axis=1, keepdims=True)
    plain = 0.02 + 0.25
    for between, ratio in ((0.0, 1.0), (0.3, None), (5.0, (0.02 + 0.32 / 0.68) / plain)):
        rows = folds + between * np.linspace(-1, 1, 10)[:, None]
        found = corrected_spread(rows, 0.2).variance / (rows.var(ddof=1) * plain)
        if ratio is None:
            within = rows.var(axis=1, ddof=1).mean()
            spread = 0.2 * within + 2.225 * rows.mean(axis=1).var(ddof=1)
            assert found * rows.var(ddof=1) * plain == pytest.approx(spread)
        else:
            assert found == pytest.approx(ratio)


def test__corrected_spread__products_of_training_and_test__has_their_variance():
    """Scores that are sums of x*y over trained x and tested y: the case that the second variance is for."""
    means, variances = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        values, rows = rng.normal(size=(50, 4)), np.empty((10, 5))
        for repeat in range(10):
            sums = values[rng.permutation(50)].reshape(5, 10, 4).sum(axis=1)
            rows[repeat] = (sums * (sums.sum(axis=0) - sums)).sum(axis=1)
        spread = corrected_spread(rows, 0.2)
        means.append(spread.difference)
        variances.append(spread.variance)
        plain = rows.var(ddof=1) * 0.27
        assert spread.variance >= plain - 1e-9
    assert np.mean(variances) == pytest.approx(np.mean(np.square(means)), rel=0.25)


def test__corrected_spread__too_little__says_why():
    assert corrected_spread([[0.1]], 0.2).reason == "one fold only"
    assert math.isnan(two_sided(corrected_spread([[0.1]], 0.2)))
    assert corrected_spread([[np.nan, np.nan]], 0.2).reason.startswith("no fold")
    assert corrected_spread([[0.1, 0.2]], 0.5).reason == "one repeat of two folds only"
    assert two_sided(corrected_spread(np.zeros((2, 5)), 0.2)) == 1.0
    assert two_sided(corrected_spread(np.full((2, 5), 0.1), 0.2)) == 0.5**9


def test__holm__worked_by_hand__leaves_out_what_was_not_computed():
    assert holm([0.01, 0.04, math.nan, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True
    )
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert len(holm([])) == 0


def brute_delong(truth, first, second):
    """Return the difference of two areas and its variance by pairs, case by case (DeLong 1988)."""

    def placements(share):
        positive, negative = share[truth], share[~truth]
        return np.array([[float(x > y) + 0.5 * (x == y) for y in negative] for x in positive])

    pairs = placements(first) - placements(second)
    difference = pairs.mean()
    ten, one = pairs.mean(axis=1), pairs.mean(axis=0)
    return difference, ten.var(ddof=1) / len(ten) + one.var(ddof=1) / len(one)


def test__clustered_delong__case_a_patient__is_delong_by_pairs():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = rng.random(40) < 0.4
        first, second = np.round(rng.random(40), 1), rng.random(40) + 0.3 * truth
        found = clustered_delong(truth, first, second, np.arange(40))
        assert found == pytest.approx(brute_delong(truth, first, second))
        assert found.difference == pytest.approx(roc_auc_score(truth, first) - roc_auc_score(truth, second))


def test__clustered_delong__every_case_twice__is_not_surer():
    rng = np.random.default_rng(1)
    truth = rng.random(60) < 0.4
    first, second = rng.random(60) + 0.4 * truth, rng.random(60)
    once = clustered_delong(truth, first, second, np.arange(60))
    twice = clustered_delong(*(np.repeat(x, 2) for x in (truth, first, second, np.arange(60))))
    naive = clustered_delong(*(np.repeat(x, 2) for x in (truth, first, second)), np.arange(120))
    assert twice == pytest.approx(once)
    assert naive.variance < 0.6 * once.variance
    assert math.isnan(clustered_delong(truth, first, second, np.zeros(60)).variance)


def test__patient_weights__a_patient__keeps_its_cases_together():
    weights = np.hstack(list(patient_weights(np.array([0, 1, 1, 2]), 500, seed=1)))
    assert (weights[1] == weights[2]).all()
    assert (weights[[0, 1, 3]].sum(axis=0) == 3).all()
    assert weights[0].mean() == pytest.approx(1, abs=0.15)


def test__intervals__of_a_metric__hold_the_figure_and_follow_the_seed():
    frame, _, patients = cross_validated({"original": 0.2})
    found = intervals(frame, patients, metrics=["roc_auc", "f1"], resamples=300, seed=4)
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()
    assert found.equals(intervals(frame, patients, metrics=["roc_auc", "f1"], resamples=300, seed=4))
    edema = frame[frame["target"] == "edema"].groupby(["repeat", "fold"])
    expected = np.mean([f1_score(part["truth"], part["decision"]) for _, part in edema])
    row = found[(found["target"] == "edema") & (found["metric"] == "f1")].iloc[0]
    assert row["value"] == pytest.approx(expected)
    assert set(found["target"]) == {"edema", "effusion", "macro", "pooled"}


def test__intervals__a_rare_target__hold_the_figure_and_constants_have_no_width():
    rng = np.random.default_rng(0)
    truth, fold = np.arange(120) % 10 == 0, rng.permutation(120) % 5
    said = {"mean": np.ones(120, bool), "always_no": np.zeros(120, bool), "guess": rng.random(120) < 0.5}
    frame = pd.concat(
        pd.DataFrame(
            {"feature_set": "none", "model": name, "target": "rare", "repeat": 0, "fold": fold}
            | {"row": np.arange(120), "truth": truth, "probability": one * 0.5, "decision": one}
        )
        for name, one in said.items()
    )
    found = intervals(frame, None, resamples=400).query("target == 'rare'").set_index(["model", "metric"])
    assert ((found["low"] <= found["value"]) & (found["value"] <= found["high"])).all()
    constant = ["recall", "balanced_accuracy", "roc_auc"]
    for model, recall in (("mean", 1), ("always_no", 0)):
        expected = [[recall] * 3, [0.5] * 3, [0.5] * 3]
        assert found.loc[
            [(model, name) for name in constant], ["value", "low", "high"]
        ].to_numpy().tolist() == (expected)
    assert found.loc[("guess", "recall"), "high"] - found.loc[("guess", "recall"), "low"] > 0.2


def test__centred_limits__lopsided_or_undefined_resamples__hold_the_point():
    undefined = np.concatenate([np.full(50, np.nan), np.linspace(0, 1, 50)])
    values = np.stack([np.r_[np.ones(99), 0.8], undefined, np.full(100, np.nan)])
    low, high = centred_limits(values, np.array([0.8, 0.5, 0.5]))
    assert low[0] == 0.8
    assert high[0] == pytest.approx(0.802)
    assert (low[1], high[1]) == (pytest.approx(0.025), pytest.approx(0.975))
    assert np.isnan([low[2], high[2]]).all()


def test__draw__one_resample_by_hand__agrees_with_repeated_cases():
    frame, _, patients = cross_validated({"original": 0.2}, targets=("edema",), repeats=1)
    found = draw(frame, patients, metrics=["roc_auc"], resamples=5, seed=7)
    weights = next(patient_weights(patients.to_numpy(), 5, seed=7))
    areas = []
    for k in range(3):
        part = frame[frame["fold"] == k]
        areas.append(roc_auc_score(part["truth"], part["probability"], sample_weight=weights[part["row"], 2]))
    assert found.values[0, 0, 2] == pytest.approx(np.mean(areas), abs=1e-6)
    with pytest.raises(UserError, match="two resamples"):
        draw(frame, patients, resamples=1)
    with pytest.raises(UserError, match="120"):
        draw(frame, patients[:50])


def test__comparisons__a_better_set_and_an_equal_one__tells_them_apart():
    strengths = {"original": 0.1, "better": 0.5, "equal": 0.1}
    frame, splits, patients = cross_validated(strengths, repeats=5)
    found = comparisons(frame, splits, patients, baseline="original", metrics=["roc_auc", "brier"])
    area = found[found["metric"] == "roc_auc"].set_index(["feature_set", "target"])
    assert set(area.index.get_level_values("target")) == {"edema", "effusion", "macro", "pooled"}
    assert (area.loc["better", "p_adjusted"] < 0.05).all()
    assert (area.loc["better", "low"] > 0).all()
    assert (area.loc["equal", "p_adjusted"] > 0.05).all()
    assert area["p_adjusted"].to_numpy() == pytest.approx(holm(area["p"]))
    macro = area.loc[("better", "macro"), "difference"]
    assert macro == pytest.approx(area.loc["better"].loc[["edema", "effusion"], "difference"].mean())
    lines = verdict(found, {"random": "it was not asked for"})
    assert "'better' is better than 'original' in ROC AUC in 4 of 4 comparisons" in lines[0]
    assert lines[1].startswith("There is no evidence of a difference between 'equal' and 'original'")
    assert lines[2] == "Control 'random' was not run, because it was not asked for."
    assert "'better' is better" in verdict(found, metric="brier")[0]


def test__comparisons__equal_predictions__p_is_one():
    frame, splits, patients = cross_validated({"original": 0.2})
    both = pd.concat([frame, frame.assign(feature_set="same")], ignore_index=True)
    found = comparisons(both, splits, patients, baseline="original", metrics=["roc_auc", "f1"])
    assert (found["difference"] == 0).all()
    assert (found["p_adjusted"] == 1).all()


def test__comparisons__targets_that_are_the_same__macro_is_no_surer_than_one():
    frame, splits, patients = cross_validated({"original": 0.1, "better": 0.3}, targets=("edema",), repeats=4)
    twin = [split._replace(target="copy") for split in splits]
    both = pd.concat([frame, frame.assign(target="copy")], ignore_index=True)
    found = comparisons(both, [*splits, *twin], patients, baseline="original", metrics=["roc_auc"])
    width = (found["high"] - found["low"]).set_axis(found["target"])
    assert width["macro"] == pytest.approx(width["edema"])


def test__comparisons__a_holdout__takes_delong_and_the_bootstrap():
    frame, splits, patients = cross_validated({"original": 0.1, "better": 0.4}, repeats=1, folds=3)
    frame, splits = frame[frame["fold"] == 0], [split for split in splits if split.fold == 0]
    found = comparisons(
        frame, splits, patients, baseline="original", metrics=["roc_auc", "f1", "brier"], seed=1
    )
    edema = found[found["target"] == "edema"].set_index("metric")
    assert edema.loc["roc_auc", "method"] == "clustered DeLong (Obuchowski)"
    assert edema.loc["brier", "method"] == "cluster bootstrap"
    assert edema.loc["f1", "method"].startswith("not tested: interval of these fitted models only")
    assert np.isnan(edema.loc["f1", "p"])
    assert edema.loc["f1", "low"] < edema.loc["f1", "high"]
    part = frame[frame["target"] == "edema"].set_index("row")
    sides = [part[part["feature_set"] == name] for name in ("better", "original")]
    area = clustered_delong(
        sides[0]["truth"], sides[0]["probability"], sides[1]["probability"], sides[0].index // 2
    )
    expected = 2 * stats.norm.sf(abs(area.difference) / math.sqrt(area.variance))
    assert edema.loc["roc_auc", "p"] == pytest.approx(expected)


def test__comparisons__unknown_baseline__names_those_there_are():
    frame, splits, patients = cross_validated({"original": 0.1})
    with pytest.raises(UserError, match=r"'clinical' has no predictions.*'original'"):
        comparisons(frame, splits, patients, baseline="clinical")


def test__comparisons__one_repeat_of_two_folds__is_not_computable_and_not_counted():
    frame, splits, patients = cross_validated({"original": 0.1, "better": 0.4}, repeats=1, folds=2)
    found = comparisons(frame, splits, patients, baseline="original", metrics=["roc_auc"])
    assert found["p"].isna().all()
    assert found["p_adjusted"].isna().all()
    assert "could not be tested (not tested: one repeat of two folds only)" in verdict(found)[0]


def test__corrected_spread__few_patients__is_wider_and_has_fewer_degrees_of_freedom():
    folds = np.random.default_rng(0).normal(size=(10, 5))
    many, few = corrected_spread(folds, 0.2), corrected_spread(folds, 0.2, 11)
    assert few.difference == many.difference
    assert few.variance == pytest.approx(many.variance * 1.1)
    assert few.freedom == min(many.freedom, 10)
    assert corrected_spread(folds, 0.2, 1).reason == "fewer than two patients of a class"


def test__comparisons__one_positive_patient__is_not_tested():
    rows, truth = np.arange(40), np.arange(40) < 8
    groups = pd.Series(np.where(truth, 0, np.arange(40)))
    halves = [np.flatnonzero(rows % 2 == fold) for fold in (0, 1)]
    splits = [Split("finding", r, f, halves[1 - f], halves[f]) for r in (0, 1) for f in (0, 1)]
    rng = np.random.default_rng(0)
    frames = []
    for name in ("few", "many"):
        for split in splits:
            share = rng.random(len(split.test))
            frames.append(
                pd.DataFrame(
                    {"feature_set": name, "model": "tree", "target": split.target, "repeat": split.repeat,
                     "fold": split.fold, "row": split.test, "truth": truth[split.test],
                     "probability": share, "decision": share > 0.5}
                )
            )  # fmt: skip
    found = comparisons(pd.concat(frames), splits, groups, baseline="few", metrics=["roc_auc"])
    assert found["method"].tolist() == ["not tested: fewer than two patients of a class"]


def compared(difference, p, model="forest", baseline="original"):
    return {
        "feature_set": "augmented", "baseline": baseline, "model": model, "target": "edema",
        "metric": "roc_auc", "difference": difference, "low": difference - 0.02, "high": difference + 0.02,
        "p": p, "p_adjusted": p, "method": "t",
    }  # fmt: skip


def test__verdict__a_gain_that_random_columns_give_too__says_so_in_the_same_sentence():
    better = pd.DataFrame([compared(0.04, 0.001), compared(0.05, 0.001, "tree")])
    random = pd.DataFrame(
        [compared(0.01, 0.6, baseline="random"), compared(0.05, 0.001, "tree", baseline="random")]
    )
    said = verdict(better, {"random": random, "permuted": random.assign(p_adjusted=0.001)})
    assert said[0].startswith("'augmented' is better than 'original' in ROC AUC in 2 of 2 comparisons")
    assert said[0].endswith("Of these 2, it is not shown to be better than the control 'random' in 1.")
    assert "'augmented' beats the control 'random' in ROC AUC in 1 of 2" in said[1]


def test__verdict__a_control_that_is_better__is_said_to_be():
    words = pd.DataFrame([compared(-0.4, 0.0001, baseline="tfidf")])
    said = verdict(pd.DataFrame([compared(0.0, 1.0)]), {"tfidf": words})
    assert said[1].startswith("'augmented' is worse than the control 'tfidf' in ROC AUC in 1 of 1 comparison")
    equal = verdict(pd.DataFrame([compared(0.0, 1.0)]), {"tfidf": words.assign(p_adjusted=0.5)})
    assert equal[1].startswith("There is no evidence that 'augmented' differs from the control 'tfidf'")


def test__corrected_spread__few_repeats__is_that_of_learning_with_the_degrees_of_all_folds():
    folds = np.random.default_rng(3).normal(size=(4, 5))
    spread = corrected_spread(folds[:2], 0.2)
    assert spread.freedom == 9
    assert spread.variance == pytest.approx(folds[:2].var(ddof=1) * (1 / 10 + 0.32 / 0.68))
    assert corrected_spread(folds, 0.2).freedom == 19
