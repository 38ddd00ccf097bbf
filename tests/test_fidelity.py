"""Tests of ``dallm.fidelity``: the published error, layouts, intervals, baselines, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import ReaderError, UserError
from dallm.fidelity.acceptable import Acceptable, acceptable_differences
from dallm.fidelity.baselines import FillTask, run_baseline
from dallm.fidelity.columns import VITALS
from dallm.fidelity.compare import value_fidelity
from dallm.fidelity.masking import fill_one_by_one
from dallm.fidelity.measures import MEASURES
from dallm.fidelity.result import Fidelity

BARE = {"baselines": (), "n_bootstrap": 0}


def _vitals(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Six columns, the first two strongly related, so that the others can be filled from each other."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1))
    values = 0.9 * common + 0.44 * rng.standard_normal((n, 6))
    means, spreads = np.array([98.5, 85, 18, 96, 130, 75]), np.array([1, 15, 3, 2, 20, 10])
    return pd.DataFrame(means + spreads * values, columns=list(VITALS), index=[f"c{i}" for i in range(n)])


def _noisy(truth: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return truth + truth.std().to_numpy() * rng.standard_normal(truth.shape)


def _by_hand(truth: pd.DataFrame, filled: pd.DataFrame) -> list[float]:
    each = []
    for name in truth:
        rows = filled.index[filled[name].notna()]
        error = np.mean([(truth.loc[r, name] - filled.loc[r, name]) ** 2 for r in rows])
        each.append(error / np.var(truth[name].to_numpy()))
    return [*each, float(np.mean(each))]


def test__value_fidelity__published_error__is_the_formula_by_hand():
    truth = _vitals()
    filled = _noisy(truth).iloc[10:90]
    filled.iloc[3, 2] = np.nan
    found = value_fidelity(truth, filled, **BARE).table().loc["filled"]
    assert found.index.tolist() == [*VITALS, "mean"]
    assert found.tolist() == pytest.approx(_by_hand(truth, filled), abs=1e-9)


def test__value_fidelity__mean_of_the_table__scores_one_and_gaussian_two():
    table = value_fidelity(_vitals(2000), baselines=["mean", "gaussian"], n_bootstrap=0).table()
    assert table.loc["mean"].tolist() == pytest.approx([1.0] * 7, abs=1e-9)
    assert table.loc["gaussian", "mean"] == pytest.approx(2.0, abs=0.1)


def test__value_fidelity__other_measures__are_those_of_numpy():
    truth, filled = _vitals(), _noisy(_vitals())
    found = value_fidelity(truth, filled, **BARE)
    t, f = truth["sbp"].to_numpy(), filled["sbp"].to_numpy()
    assert found.table("mae").loc["filled", "sbp"] == pytest.approx(np.abs(t - f).mean())
    assert found.table("bias").loc["filled", "sbp"] == pytest.approx((f - t).mean())
    assert found.table("correlation").loc["filled", "sbp"] == pytest.approx(np.corrcoef(t, f)[0, 1])
    assert found.table("acceptable").loc["filled", "sbp"] == pytest.approx((np.abs(t - f) <= 10).mean())


def test__value_fidelity__rows_without_value__coverage_and_unknown_rate():
    truth = _vitals(100)
    filled = truth[["sbp"]].iloc[:80].add(1.0)
    filled.iloc[:20] = np.nan
    found = value_fidelity(truth, filled, **BARE)
    assert found.table("coverage").loc["filled", "sbp"] == pytest.approx(0.6)
    assert found.table("unknown_rate").loc["filled", "sbp"] == pytest.approx(0.25)
    assert found.filled_share()["filled"] == pytest.approx(0.6)
    assert any("filled 60.0% of the measured values" in note for note in found.notes)


def test__value_fidelity__truth_missing_in_places__variance_over_the_rows_that_have_it():
    truth = _vitals(100)[["sbp"]]
    filled = truth + 5.0
    truth.iloc[:30] = np.nan
    found = value_fidelity(truth, filled, **BARE).table().loc["filled", "sbp"]
    assert found == pytest.approx(25 / np.var(truth["sbp"].dropna().to_numpy()))


@pytest.mark.parametrize(
    "pattern", ["aug_{}", "{}__filled", "{}_filled", "imputed_{}", "{} (predicted)", "{}"]
)
def test__value_fidelity__names_of_columns__all_are_found(pattern):
    truth = _vitals(30)
    pattern = pattern.replace("(", "").replace(")", "")
    filled = _noisy(truth).rename(columns=lambda name: pattern.format(name))
    found = value_fidelity(truth, filled, **BARE).table().loc["filled"]
    assert found.tolist() == pytest.approx(_by_hand(truth, _noisy(truth)))


def test__value_fidelity__published_layout__repeated_truth_is_not_taken_for_filled():
    truth = _vitals(40).reset_index(names="dicom_id")
    table = truth.copy()
    table["age"], table["subject_id"] = 60, range(40)
    for name in VITALS[:5]:
        table[f"aug_{name}"] = truth[name] + 3.0
    truth["aug_sbp"] = 0.0  # the measured table may be a filled one itself
    found = value_fidelity(truth, {"a": table}, features=VITALS, **BARE)
    assert found.table().loc["a", "sbp"] == pytest.approx(9 / np.var(truth["sbp"].to_numpy()))
    assert pd.isna(found.table().loc["a", "dbp"])  # its plain column is the measured one, not a perfect fill
    assert pd.isna(found.table().loc["a", "mean"])
    assert any("nothing for dbp" in note for note in found.notes)
    assert value_fidelity(truth, {"a": table}, **BARE).features == VITALS[:5]


def test__value_fidelity__one_row_per_masked_cell__same_figures_as_wide():
    truth = _vitals(50)
    wide = _noisy(truth)
    long = wide.reset_index(names="case_id").melt(id_vars="case_id", var_name="feature", value_name="value")
    long = long.sample(frac=1, random_state=0)
    found = value_fidelity(truth, {"wide": wide, "long": long}, **BARE).table()
    assert found.loc["long"].tolist() == pytest.approx(found.loc["wide"].tolist())


def test__value_fidelity__augmented_of_masked_columns__stand_in_the_table():
    cohort = dallm.make_cohort(30, seed=2)
    parts = [dallm.fill_existing(cohort, [name], which="masked") for name in ("temperature", "o2sat")]
    found = value_fidelity(cohort, {"extractive": parts}, **BARE)
    assert found.features == ("temperature", "o2sat")
    assert found.table("coverage").loc["extractive"].between(0, 1).all()


def test__value_fidelity__numbers_as_text_and_words_for_unknown__are_read():
    truth = _vitals(20)[["sbp"]]
    texts = [f"{v:.6f}" for v in truth["sbp"]]
    texts[:5] = ["n/a", "unknown", "", "None", "not documented"]
    found = value_fidelity(truth, pd.DataFrame({"sbp": texts}, index=truth.index), **BARE)
    assert found.table("unknown_rate").loc["filled", "sbp"] == 0.25


def test__intervals__same_rows_many_times_over_one_patient__are_wider_than_by_row():
    truth = _vitals(60)
    filled = _noisy(truth)
    repeated, patients = pd.concat([truth] * 8, ignore_index=True), np.tile(np.arange(60), 8)
    again = pd.concat([filled] * 8, ignore_index=True)

    def width(**options):
        scores = value_fidelity(repeated, again, baselines=(), n_bootstrap=300, **options).scores
        row = scores[(scores["feature"] == "sbp") & (scores["measure"] == "normalised_error")].iloc[0]
        assert row["low"] < row["value"] < row["high"]
        return row["high"] - row["low"]

    assert width(groups=patients) > 2 * width()


def test__value_fidelity__same_seed__same_scores():
    truth = _vitals(60)
    once, again = (
        value_fidelity(
            truth, _noisy(truth), baselines=["gaussian", "iterative"], folds=2, n_bootstrap=50, seed=3
        ).scores
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(once, again)


def test__baselines__related_vitals__others_tell_more_than_the_mean():
    table = value_fidelity(_vitals(200), n_bootstrap=0).table()["mean"]
    assert table["iterative"] < 0.5
    assert table["knn"] < 0.6
    assert table["mean_in_fold"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["knn", "iterative", "ridge_text"])
def test__baselines__shuffled_truth__no_skill(name):
    truth = _vitals(200)
    rng = np.random.default_rng(0)
    text = [f"pressure {'high' if v > 130 else 'low'} word{i % 7}" for i, v in enumerate(truth["sbp"])]
    for column in truth:
        truth[column] = rng.permutation(truth[column].to_numpy())
    task = FillTask(truth, np.arange(200), text)
    filled = run_baseline(name, task)
    errors = ((filled - truth) ** 2).mean() / truth.var(ddof=0)
    assert errors.min() > 0.9


@pytest.mark.parametrize("name", ["mean_in_fold", "median", "knn", "iterative", "ridge_text"])
def test__baselines__value_that_is_filled_changed__its_own_fill_stays(name):
    truth = _vitals(60)
    text = [f"report number{i % 5} pressure {'high' if i % 2 else 'low'}" for i in range(60)]
    groups = np.arange(60) // 2
    other = truth.copy()
    other.iloc[7, 4] += 500.0
    once = run_baseline(name, FillTask(truth, groups, text))
    again = run_baseline(name, FillTask(other, groups, text))
    assert again.iloc[7, 4] == pytest.approx(once.iloc[7, 4])
    assert again.iloc[6, 4] == pytest.approx(once.iloc[6, 4])  # of the same patient, in the same fold


def test__baselines__ridge_on_text__reads_what_the_report_says():
    truth = _vitals(150)[["sbp"]]
    text = ["blood pressure high today" if v > 130 else "blood pressure low today" for v in truth["sbp"]]
    table = value_fidelity(truth, baselines=["ridge_text"], text=text, n_bootstrap=0).table()
    assert table.loc["ridge_text", "sbp"] < 0.5


def test__baselines__that_cannot_be_made__stand_in_the_notes():
    found = value_fidelity(_vitals(20)[["sbp"]], baselines=["mean", "knn", "ridge_text"], n_bootstrap=0)
    assert found.methods == ("mean",)
    notes = " ".join(found.notes)
    assert "knn was not run: there is no other vital" in notes
    assert "ridge_text was not run: there are no reports" in notes


def test__splits__patients_with_several_rows__stand_on_one_side_and_folds_are_even():
    groups = np.repeat(np.arange(30), np.arange(30) % 4 + 1)
    held = [(train, test) for train, test in FillTask(_vitals(len(groups)), groups).splits()]
    assert all(not set(groups[train]) & set(groups[test]) for train, test in held)
    assert sorted(np.concatenate([test for _, test in held])) == list(range(len(groups)))
    assert max(len(t) for _, t in held) - min(len(t) for _, t in held) <= 4


BAD = {
    "strange_row": (lambda t, f: (t, f.rename(index={"c3": "x"})), "1 of 30 rows .* 'x'.*set_index"),
    "no_common_row": (lambda t, f: (t, f.reset_index(drop=True)), "30 of 30 rows .*set_index"),
    "row_twice": (lambda t, f: (t, pd.concat([f, f.iloc[:1]])), "row 'c0' twice"),
    "truth_row_twice": (lambda t, f: (pd.concat([t, t.iloc[:1]]), f), "truth has row 'c0' twice"),
    "text": (lambda t, f: (t, f.assign(sbp="high")), "'sbp'.*30 of 30 values are no numbers"),
    "truth_text": (lambda t, f: (t.assign(sbp="high"), f), "'sbp' of the truth.*no numbers"),
    "infinite": (lambda t, f: (t, f.assign(sbp=np.inf)), "'sbp'.*30 values are infinite"),
    "truth_infinite": (lambda t, f: (t.assign(sbp=np.inf), f), "truth: 30 values are infinite"),
    "all_missing": (lambda t, f: (t.assign(sbp=np.nan), f), "'sbp' of the truth is all missing"),
    "constant": (lambda t, f: (t.assign(sbp=120.0), f), "'sbp' of the truth is 120 in all"),
    "other_columns": (lambda t, f: (t, f.add_prefix("x_")), "no column for any of .*aug_<name>"),
    "no_rows": (lambda t, f: (t.iloc[:0], f), "no rows"),
    "not_a_table": (lambda t, f: (t, 3), "must be a DataFrame or an Augmented, got int"),
    "truth_not_a_table": (lambda t, f: ([1], f), "truth must be a DataFrame"),
    "column_twice": (
        lambda t, f: (t, pd.concat([f, f[["sbp"]]], axis=1)),
        "'filled' has the column 'sbp' twice",
    ),
    "yes_and_no": (lambda t, f: (t, f.assign(sbp=True)), "True and False"),
}


@pytest.mark.parametrize("case", BAD)
def test__value_fidelity__bad_input__says_what_and_where(case):
    change, message = BAD[case]
    truth, filled = change(_vitals(30), _noisy(_vitals(30)))
    with pytest.raises(UserError, match=f"(?s){message}"):
        value_fidelity(truth, filled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baselines": "meen"}, "no baseline 'meen'. Did you mean"),
        ({"groups": [1, 2]}, "groups has 2 entries"),
        ({"groups": [None] * 30}, "30 rows have no patient"),
        ({"features": ["spb"]}, "no column 'spb'. Did you mean"),
        ({"folds": 1}, "folds"),
        ({"confidence": 95}, "0.95"),
        ({"images": np.zeros((3, 2))}, r"images .* \(3, 2\)"),
    ],
)
def test__value_fidelity__bad_option__says_what(options, message):
    with pytest.raises(UserError, match=message):
        value_fidelity(_vitals(30), _noisy(_vitals(30)), **options)


def test__value_fidelity__ids_of_another_type__says_so():
    truth, filled = _vitals(5).reset_index(drop=True), _noisy(_vitals(5)).reset_index(drop=True)
    filled.index = filled.index.astype(str)
    with pytest.raises(UserError, match="one table holds text"):
        value_fidelity(truth, filled)


def test__value_fidelity__nothing_filled__is_told_and_not_an_error():
    truth = _vitals(30)[["sbp", "dbp"]]
    found = value_fidelity(truth, truth * np.nan, **BARE)
    assert found.table("coverage").loc["filled"].tolist()[:2] == [0.0, 0.0]
    assert pd.isna(found.table().loc["filled", "mean"])
    assert any("unknown" in note for note in found.notes)


def test__value_fidelity__one_patient__figures_without_intervals():
    found = value_fidelity(_vitals(6), _noisy(_vitals(6)), groups=[1] * 6)
    assert found.scores["low"].isna().all()
    assert found.table().loc["filled"].notna().all()
    assert any("two patients" in note for note in found.notes)


def test__value_fidelity__the_measured_table_itself__is_told():
    found = value_fidelity(_vitals(30), {"copy": _vitals(30)}, **BARE)
    assert any("copy equals the measured values" in note for note in found.notes)


def test__acceptable__every_row__has_a_source_or_says_convention():
    table = acceptable_differences()
    assert {one.source for one in table.values()} >= {"ISO 81060-2", "convention"}
    assert all(one.difference > 0 and one.note for one in table.values())


def test__acceptable__own_table_and_own_number__are_used(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[[acceptable]]\nvital = "systolic blood pressure"\nunit = "kPa"\ndifference = 1\n')
    truth = _vitals(30)[["sbp"]]
    found = value_fidelity(truth, truth + 7.4, acceptable=acceptable_differences(own), **BARE)
    assert found.table("acceptable").loc["filled", "sbp"] == 1.0  # 1 kPa are 7.5 mmHg
    assert (
        value_fidelity(truth, truth + 7.4, acceptable={"sbp": 7}, **BARE).table("acceptable").iloc[0, 0] == 0
    )
    limits = {"sbp": Acceptable(1, "mmHg", share=0.5, source="mine")}
    assert value_fidelity(truth, truth + 7.4, acceptable=limits, **BARE).acceptable["source"].tolist() == [
        "mine"
    ]


@pytest.mark.parametrize(
    "text",
    ["[[acceptable]]\nvital = 'x'\n", "no toml", "[[acceptable]]\nvital='x'\nunit='1'\ndifference=0\n"],
)
def test__acceptable__damaged_table__names_the_file(tmp_path, text):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(UserError, match=r"own\.toml"):
        acceptable_differences(tmp_path / "own.toml")


def test__fidelity__saved__comes_back_whole(tmp_path):
    found = value_fidelity(_vitals(40), _noisy(_vitals(40)), n_bootstrap=20, baselines=["mean"])
    found.to_parquet(tmp_path / "f.parquet")
    again = Fidelity.from_parquet(tmp_path / "f.parquet")
    pd.testing.assert_frame_equal(again.table(), found.table())
    pd.testing.assert_frame_equal(again.acceptable, found.acceptable)
    assert (again.notes, again.settings) == (found.notes, found.settings)
    (tmp_path / "other.parquet").write_text("no")
    with pytest.raises(ReaderError, match="no saved comparison"):
        Fidelity.from_parquet(tmp_path / "other.parquet")


def test__fidelity__pages__hold_every_method_escaped(tmp_path):
    found = value_fidelity(_vitals(30), {"a<b_1": _noisy(_vitals(30))}, n_bootstrap=20, baselines=["mean"])
    page = found.to_html(tmp_path / "f.html")
    assert "a&lt;b_1" in page
    assert "a<b" not in (tmp_path / "f.html").read_text()
    assert r"a<b\_1" in found.to_latex(tmp_path / "f.tex")
    assert "mean" in str(found)
    assert set(found.scores["measure"]) == set(MEASURES)
    with pytest.raises(UserError, match="no measure 'mse'"):
        found.table("mse")


def test__fill_one_by_one__value_outside_the_observed_range__is_rejected():
    frame = pd.DataFrame(
        {
            "case": range(4),
            "o2sat": [93.0, 97.0, 95.0, 96.0],
            "text": ["Saturating 92 % on room air.", "Saturating 95 % on room air.", "Well.", "Well."],
        }
    )
    cohort = dallm.Cohort(frame, id="case", report="text", numeric={"o2sat": "%"}, data_use="open")
    assert fill_one_by_one(cohort)["o2sat__filled"].tolist()[:2] == [92.0, 95.0]
    bounded = fill_one_by_one(cohort, within_observed=True)["o2sat__filled"]
    assert bounded.isna().tolist() == [True, False, True, True]


def test__value_fidelity__many_rows__stays_quick():
    truth = pd.concat([_vitals(1000)] * 20, ignore_index=True)
    found = value_fidelity(truth, truth + 1.0, baselines=["mean", "median"], n_bootstrap=20)
    assert found.table().loc["mean", "mean"] == pytest.approx(1.0)


def test__intervals__blocks_of_patients__as_wide_as_patients(monkeypatch):
    from dallm.fidelity import scoring

    truth = _vitals(3000)

    def width():
        scores = value_fidelity(truth, _noisy(truth), baselines=(), n_bootstrap=300).scores
        row = scores[(scores["feature"] == "sbp") & (scores["measure"] == "mae")].iloc[0]
        return row["high"] - row["low"]

    exact = width()
    monkeypatch.setattr(scoring, "_MOST_BLOCKS", 300)
    assert width() == pytest.approx(exact, rel=0.25)


def test__gaussian__data_made_from_the_same_seed__is_not_drawn_again():
    values = 100 + np.random.default_rng(0).standard_normal((400, 6))
    table = value_fidelity(pd.DataFrame(values, columns=list(VITALS)), baselines="gaussian", n_bootstrap=0)
    assert table.table().loc["gaussian", "mean"] == pytest.approx(2, abs=0.3)


def test__acceptable__one_row_given__the_others_keep_theirs():
    truth = _vitals(30)
    common = value_fidelity(truth, {"a": _noisy(truth)}, n_bootstrap=0, baselines=()).acceptable
    own = value_fidelity(
        truth, {"a": _noisy(truth)}, n_bootstrap=0, baselines="none", acceptable={"SBP": 5, "dbp": None}
    ).acceptable.set_index("feature")
    assert own.loc["sbp", "difference"] == 5
    assert np.isnan(own.loc["dbp", "difference"])
    rest = common.set_index("feature").drop(["sbp", "dbp"])
    pd.testing.assert_frame_equal(own.loc[rest.index], rest)


def test__acceptable__own_file__its_rows_replace_theirs_alone(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('[[acceptable]]\nvital = "sbp"\nunit = "mmHg"\ndifference = 5\n')
    made = acceptable_differences(path)
    assert made["sbp"].difference == 5
    assert "systolic blood pressure" not in made
    assert made["heart rate"] == acceptable_differences()["heart rate"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sbpp": 5}, r"names 'sbpp'.*Did you mean 'sbp'\?"),
        ({"sbp": -5}, r"acceptable\['sbp'\] must be a number above 0, got -5"),
        ({"sbp": float("nan")}, "must be a number above 0"),
        ({"sbp": "5"}, "must be a number above 0"),
    ],
)
def test__acceptable__misspelt_or_impossible__is_refused(given, said):
    with pytest.raises(UserError, match=said):
        value_fidelity(_vitals(30), {"a": _noisy(_vitals(30))}, baselines=(), acceptable=given)


def test__value_fidelity__another_unit__is_told_and_nothing_converted():
    truth = _vitals(60)
    filled = _noisy(truth)
    plain = value_fidelity(truth, {"a": filled}, baselines=(), n_bootstrap=0)
    assert not [note for note in plain.notes if "look like" in note]
    strange = filled.assign(
        temperature=(filled["temperature"] - 32) / 1.8, o2sat=filled["o2sat"].clip(upper=100) / 100
    )
    found = value_fidelity(truth, {"a": strange}, baselines=(), n_bootstrap=0)
    notes = [note for note in found.notes if "look like" in note]
    assert (
        "60 of 60 filled values of temperature look like degC, where the measured ones are in degF"
        in notes[0]
    )
    assert "60 of 60 filled values of o2sat look like fraction, where the measured ones are in %" in notes[1]
    assert found.table().loc["a", "temperature"] > 100


def test__value_fidelity__fractions_of_a_column_that_nobody_knows__are_told():
    rng = np.random.default_rng(0)
    truth = pd.DataFrame({"ejection": rng.uniform(20, 70, 40).round()})
    found = value_fidelity(truth, {"a": truth / 100}, features=["ejection"], baselines=(), n_bootstrap=0)
    assert any("look like fractions, where the measured ones are in per cent" in note for note in found.notes)
