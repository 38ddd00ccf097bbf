"""Controls, control fills, subgroups and silent reports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import CohortError, UserError
from dallm.evaluation.control_fills import control_fills, with_other_reports
from dallm.evaluation.controls import CONTROLS, control_sets, other_patients, patients_of
from dallm.evaluation.fits import Inputs
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.models.encoding import TableEncoder
from dallm.evaluation.on_cases import on_cases
from dallm.evaluation.report_text import REPORT_TEXT, ReportWords, joined_reports
from dallm.evaluation.silent import FEWEST, mentions, silent_reports
from dallm.evaluation.subgroups import strata, subgroup_scores

FEATURES = [dallm.Feature("dyspnea", "boolean"), dallm.Feature("chest pain", "boolean")]


@pytest.fixture(scope="module")
def cohort() -> dallm.Cohort:
    return dallm.make_cohort(240, seed=0)


@pytest.fixture(scope="module")
def inputs(cohort) -> Inputs:
    old = cohort.measured()
    rng = np.random.default_rng(0)
    new = pd.DataFrame(
        {
            "pain": pd.array(rng.random(240) < 0.2, dtype="boolean"),
            "grade": pd.Categorical(rng.choice(["mild", "severe"], 240), ["mild", "severe"], ordered=True),
            "size": pd.array(rng.normal(size=240), dtype="Float64"),
        },
        index=old.index,
    )
    new.loc[new.index[::7], ["pain", "size"]] = pd.NA
    labels = cohort.frame[list(cohort.targets)].set_axis(cohort.ids)
    sets = {"original": old, "augmented": pd.concat([old, new], axis=1)}
    return check_inputs(sets, labels, cohort=cohort, groups=cohort.group)


def predicted(inputs: Inputs, tells: dict[str, float]) -> pd.DataFrame:
    """Out-of-fold predictions that tell a target by so much, per feature set."""
    rng = np.random.default_rng(0)
    n = len(inputs.targets)
    parts = []
    for name, much in tells.items():
        for target in inputs.targets.columns:
            truth = inputs.targets[target].to_numpy(dtype=bool)
            for repeat in range(2):
                shares = np.clip(rng.random(n) * 0.6 + much * truth, 0, 1)
                parts.append(
                    pd.DataFrame(
                        {
                            "feature_set": name,
                            "model": "tree",
                            "target": target,
                            "repeat": repeat,
                            "fold": rng.permutation(n) % 5,
                            "row": np.arange(n),
                            "truth": truth,
                            "probability": shares,
                            "decision": shares > 0.5,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


def test__control_sets__random_and_permuted__keep_kinds_and_the_baseline(inputs):
    made, missing = control_sets(inputs, ["random", "permuted"], baseline="original", seed=3)
    assert not missing
    truth = inputs.sets["augmented"]
    for name in ("random", "permuted"):
        table = made[name]
        assert table.dtypes.equals(truth.dtypes)
        assert table.index.equals(truth.index)
        pd.testing.assert_frame_equal(table[inputs.sets["original"].columns], inputs.sets["original"])
        assert not table["size"].equals(truth["size"])
    again, _ = control_sets(inputs, ["random", "permuted"], baseline="original", seed=3)
    other, _ = control_sets(inputs, ["random"], baseline="original", seed=4)
    assert all(made[name].equals(again[name]) for name in made)
    assert not other["random"].equals(made["random"])


def test__control_sets__permuted__moves_whole_rows_between_patients(inputs):
    made, _ = control_sets(inputs, ["permuted"], baseline="original")
    names = ["pain", "grade", "size"]
    known = {tuple(row): patient for row, patient in _rows(inputs.sets["augmented"][names], inputs.groups)}
    pairs: dict[object, set[object]] = {}
    for row, patient in _rows(made["permuted"][names], inputs.groups):
        if row[2] != "<NA>":  # rows without a measured value occur twice
            pairs.setdefault(patient, set()).add(known[tuple(row)])
    assert all(len(givers) == 1 and patient not in givers for patient, givers in pairs.items())


def _rows(table: pd.DataFrame, groups: pd.Series) -> list[tuple[tuple[str, ...], object]]:
    texts = table.astype("string").fillna("<NA>")
    return [(tuple(row), group) for row, group in zip(texts.to_numpy(), groups, strict=True)]


@pytest.mark.parametrize("sizes", [[1, 1], [3, 1], [1, 2, 5, 1], [2] * 50])
def test__other_patients__any_sizes__never_the_same_and_one_giver(sizes):
    patients = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    for seed in range(5):
        given = patients[other_patients(patients, seed)]
        assert (given != patients).all()
        assert all(len(set(given[patients == p])) == 1 for p in range(len(sizes)))


def test__control_sets__what_cannot_be_made__is_said(inputs):
    made, missing = control_sets(inputs, CONTROLS, baseline="original")
    assert set(made) == {"random", "permuted"}
    assert set(missing) == {"original", "tfidf", "no_knowledge", "other_report"}
    assert missing["tfidf"] == "it needs the reports; give cohort="
    assert "dallm.control_fills" in missing["other_report"]
    alone = Inputs({"original": inputs.sets["original"]}, inputs.targets, inputs.groups)
    assert control_sets(alone, ["random"], baseline="original")[1] == {
        "random": "no feature set has a column that 'original' lacks"
    }


def test__control_sets__two_sets_with_new_columns__each_has_its_own(inputs):
    more = {**inputs.sets, "more": inputs.sets["augmented"].drop(columns="size")}
    made, _ = control_sets(Inputs(more, inputs.targets, inputs.groups), ["random"], baseline="original")
    assert {name: "size" in table for name, table in made.items()} == {
        "random (augmented)": True,
        "random (more)": False,
    }


def test__control_sets__wrong_names__are_refused(inputs):
    with pytest.raises(UserError, match=r"no control 'tf-idf'.*Did you mean 'tfidf'"):
        control_sets(inputs, ["tf-idf"], baseline="original")
    with pytest.raises(UserError, match="baseline 'orig' is no feature set"):
        control_sets(inputs, ["random"], baseline="orig")
    taken = Inputs({**inputs.sets, "random": inputs.sets["original"]}, inputs.targets, inputs.groups)
    with pytest.raises(UserError, match="called 'random' like a control"):
        control_sets(taken, ["random"], baseline="original")


def test__tfidf__column_of_reports__is_learnt_from_the_training_rows_alone(inputs, cohort):
    made, _ = control_sets(inputs, ["tfidf"], baseline="original", cohort=cohort)
    table = made["tfidf"]
    assert list(table) == [*inputs.sets["original"], REPORT_TEXT]
    train, test = table.iloc[:200], table.iloc[200:]
    encoder = TableEncoder().fit(train)
    numbers = encoder.transform(test)
    assert numbers.shape == (40, len(encoder.get_feature_names_out()))
    words = [i for i, name in enumerate(encoder.get_feature_names_out()) if name.startswith(REPORT_TEXT)]
    assert 10 <= len(words) <= 50
    assert np.array_equal(encoder.origin_[words], np.full(len(words), table.shape[1] - 1))
    assert np.linalg.matrix_rank(numbers[:, words]) > 5
    changed = test.assign(**{REPORT_TEXT: "quite other words"})
    assert np.array_equal(TableEncoder().fit(train).transform(test), numbers, equal_nan=True)
    assert not encoder.transform(changed)[:, words].any()


@pytest.mark.parametrize("texts", [[None] * 4, ["", "one", "two", "three"], ["same words here"] * 6])
def test__report_words__poor_reports__give_finite_numbers(texts):
    given = pd.Series(pd.array(texts, dtype="string"))
    words = ReportWords().fit(given)
    numbers = words.transform(given)
    assert numbers.shape == (len(texts), words.width)
    assert np.isfinite(numbers).all()


def test__control_fills__other_report__rows_and_ids_stay_reports_change(cohort):
    other = with_other_reports(cohort, seed=1)
    assert other.ids.equals(cohort.ids)
    pd.testing.assert_frame_equal(other.measured(), cohort.measured())
    assert other.targets == cohort.targets
    patients = patients_of(cohort.frame[cohort.group], len(cohort))
    texts = joined_reports(cohort).to_numpy()
    owner = dict(zip(texts, patients, strict=True))
    given = [owner[text] for text in joined_reports(other)]
    assert sum(a == b for a, b in zip(given, patients, strict=True)) <= 2  # equal texts of two patients
    assert with_other_reports(cohort, seed=1).sha256 == other.sha256 != with_other_reports(cohort, 2).sha256


def test__control_fills__both_kinds__become_controls(inputs, cohort):
    filled = control_fills(cohort, FEATURES, seed=1)
    assert list(filled) == ["no_knowledge", "other_report"]
    direct = dallm.fill_values(cohort, FEATURES)
    pd.testing.assert_frame_equal(filled["no_knowledge"].X("new"), direct.X("new"))
    assert not filled["other_report"].X("new").equals(direct.X("new"))
    quoted = filled["other_report"].evidence.iloc[0]
    text = filled["other_report"].frame.loc[quoted["case_id"], quoted["field"]]
    assert text[quoted["start"] : quoted["end"]] == quoted["quote"]
    made, missing = control_sets(inputs, ["no_knowledge", "other_report"], baseline="original", fills=filled)
    assert not missing
    assert list(made["other_report"]) == [*inputs.sets["original"], "dyspnea", "chest pain"]


def test__control_fills__targets__are_not_shown_to_the_engine(cohort):
    seen: list[dallm.Case] = []

    class Seen(type(dallm.engine("extractive"))):
        def fill(self, cases, features, knowledge=None):
            assert knowledge is None
            given = list(cases)
            seen.extend(given)
            return super().fill(given, features)

    engine = Seen()
    control_fills(cohort, FEATURES, engine=engine, kinds=["no_knowledge"])
    control_fills(cohort, FEATURES, engine=engine, kinds=["other_report"])
    shown = set(cohort.numeric) | set(cohort.categorical)
    assert len(seen) == 2 * len(cohort)
    assert all(set(case.row) <= shown and set(case.report) <= set(cohort.report) for case in seen)


def test__control_fills__bad_input__is_refused(cohort):
    with pytest.raises(UserError, match="no kind 'other'"):
        control_fills(cohort, FEATURES, kinds=["other"])
    one = cohort.take(np.flatnonzero(cohort.frame[cohort.group] == cohort.frame[cohort.group].iloc[0]))
    with pytest.raises(CohortError, match="one patient only"):
        control_fills(one, FEATURES)
    table = dallm.Cohort(cohort.frame, id=cohort.id, numeric=cohort.numeric)
    with pytest.raises(CohortError, match="no report column"):
        control_fills(table, FEATURES)


def test__subgroups__gain_in_one_group_only__is_found_there(inputs, cohort):
    labels = strata(inputs, cohort, ["gender", "age_band"])
    rows = predicted(inputs, {"original": 0.1, "augmented": 0.1})
    women = (labels["gender"] == "F").to_numpy()
    helped = (rows["feature_set"] == "augmented") & rows["truth"] & women[rows["row"]]
    rows["probability"] = np.clip(rows["probability"] + 0.4 * helped, 0, 1)
    found = subgroup_scores(
        rows, labels[["gender"]], inputs.groups, "original", metrics=["roc_auc", "brier"], resamples=200
    )
    macro = found[(found["target"] == "macro") & (found["metric"] == "roc_auc")]
    gains = macro[macro["feature_set"] == "augmented"].set_index("level")
    assert gains.loc["F", "difference_low"] > 0.1
    assert gains.loc["M", "difference_low"] < 0 < gains.loc["M", "difference_high"]
    assert macro.loc[macro["feature_set"] == "original", "difference"].isna().all()
    assert (found["low"] <= found["value"]).all()
    first = found[(found["target"] == cohort.targets[0]) & (found["level"] == "F")].iloc[0]
    assert first["cases"] == int(women.sum())
    assert first["patients"] == inputs.groups[women].nunique()


def test__on_cases__models_that_know_nothing__have_an_auc_of_one_half():
    rng = np.random.default_rng(0)
    n, parts = 400, []
    truth = rng.random(n) < 0.15
    for repeat in range(20):
        fold = rng.permutation(n) % 5
        rate = np.array([truth[fold != k].mean() for k in range(5)])[fold]  # all that such a model can say
        shares = rate + rng.normal(0, 1e-4, n)
        rows = {"feature_set": "a", "model": "tree", "target": "t", "repeat": repeat, "fold": fold}
        rows |= {"row": np.arange(n), "truth": truth, "probability": shares, "decision": shares > 0.5}
        parts.append(pd.DataFrame(rows))
    found = on_cases(
        pd.concat(parts), np.arange(n) % 2 == 0, None, None, metrics=["brier", "roc_auc"], resamples=50
    )
    told = found[found["target"] == "t"].set_index("metric")["value"]
    assert list(told.index) == ["brier", "roc_auc"]
    assert told["roc_auc"] == pytest.approx(0.5, abs=0.02)


def test__subgroups__small_unknown_and_missing_columns__are_told(inputs, cohort):
    labels = strata(inputs, cohort, {"site": pd.Series("a", index=cohort.ids).where(np.arange(240) > 11)})
    assert labels["site"].value_counts().to_dict() == {"a": 228, "unknown": 12}
    rows = predicted(inputs, {"original": 0.1, "augmented": 0.3})
    found = subgroup_scores(rows, labels, inputs.groups, "original", metrics=["f1"], resamples=50)
    assert found.groupby("level")["small"].agg(["min", "max"]).loc["unknown"].tolist() == [True, True]
    assert strata(inputs, cohort, ["sbp"])["sbp"].nunique() <= 5
    with pytest.raises(UserError, match=r"Subgroup 'gendr'.*Did you mean 'gender'"):
        strata(inputs, cohort, ["gendr"])
    with pytest.raises(UserError, match=r"'findings' has .* values"):
        strata(inputs, cohort, ["findings"])
    assert strata(inputs, cohort, None) is None


def test__mentions__affirmed_denied_asked_and_kin__count():
    texts = [
        "No pleural effusion.",
        "Rule out effusion.",
        "Pleural thickening.",
        "Loculated effusion.",
        "Pericardial effusion.",
        "Clear lungs.",
        None,
    ]
    table = pd.DataFrame({"case": range(len(texts)), "findings": texts})
    cohort = dallm.Cohort(table, id="case", report="findings")
    said = mentions(cohort, ["pleural effusion", "fracture_x"], aliases={"fracture_x": ["clear lungs"]})
    assert said["pleural effusion"].tolist() == [True, True, False, True, False, False, False]
    assert said["fracture_x"].tolist() == [False] * 5 + [True, False]


def test__silent_reports__columns_that_know_the_label__are_told(inputs, cohort):
    augmented = dallm.fill_values(cohort, FEATURES)
    rows = predicted(inputs, {"original": 0.0, "augmented": 0.3})
    found = silent_reports(rows, cohort, augmented, inputs.groups, "original", resamples=200)
    silent = ~mentions(cohort, list(cohort.targets), augmented=augmented).loc[inputs.targets.index]
    for target, part in found.groupby("target"):
        of_target = inputs.targets[target].to_numpy(dtype=bool)[silent[target]]
        assert part["cases"].iloc[0] == int(silent[target].sum())
        if min(of_target.sum(), (~of_target).sum()) < FEWEST:
            assert part["verdict"].str.startswith("too few").tolist() == [True]
            continue
        told = part.set_index("feature_set")
        assert told.loc["augmented", "difference_low"] > 0
        assert "though the report is silent" in told.loc["augmented", "verdict"]
    assert found["value"].notna().any()


def test__silent_reports__cohort_of_other_cases__is_refused(inputs, cohort):
    rows = predicted(inputs, {"original": 0.0})
    with pytest.raises(UserError, match="The cohort lacks 10 of 240 cases"):
        silent_reports(rows, cohort.take(range(10, 240)), None, inputs.groups, "original")
