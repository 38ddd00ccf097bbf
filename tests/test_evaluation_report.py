"""The report of an evaluation: its figures, its page, LaTeX and folder, importances and ratings."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser, find_browser
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from dallm.errors import ReaderError, UserError
from dallm.evaluation.baselines import baseline_predictions
from dallm.evaluation.fits import Inputs, Split
from dallm.evaluation.importance import (
    PermutationImportance,
    correlate_ratings,
    read_ratings,
    relevant_counts,
    summarise,
)
from dallm.evaluation.importance.permutation import NOISE, permutation_drops
from dallm.evaluation.importance.plots import plot_importances, plot_ratings
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.models import resolve_models
from dallm.evaluation.protocols import AsPublished, LeakFree
from dallm.evaluation.report import EvaluationReport, from_outcomes
from dallm.evaluation.running import run_fits

HOSTILE = '<script>alert("x")</script> & 5 %_{cost}'
AUDIT = ["severity", "kind", "column", "target", "detail", "feature_set"]


def inputs_for(n: int = 160, second: str = "augmented") -> Inputs:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=n)
    original = pd.DataFrame(
        {"age": rng.normal(60, 10, n), "sex": rng.choice(["F", "M"], n)},
        index=[f"secret-case-{i}" for i in range(n)],
    )
    told = pd.Series(pd.array(hidden + 0.4 * rng.normal(size=n) > 0, dtype="boolean"), index=original.index)
    wider = original.assign(told=told.mask(rng.random(n) < 0.1), untold=rng.random(n) < 0.5)
    targets = pd.DataFrame(
        {"edema": hidden > 0.5, "effusion": hidden + rng.normal(size=n) > 0.8}, index=original.index
    )
    noise = original.assign(noise=rng.normal(size=n))
    patients = pd.Series([f"secret-patient-{i}" for i in rng.integers(0, 100, n)], index=original.index)
    return check_inputs({"original": original, second: wider, "random": noise}, targets, patients)


def report_of(
    inputs: Inputs,
    protocol: LeakFree | AsPublished | None = None,
    importances: PermutationImportance | None = None,
    **more: object,
) -> EvaluationReport:
    protocol = LeakFree(2, 3) if protocol is None else protocol
    splits, notes = protocol.splits(inputs, 0)
    models = resolve_models(["decision_tree", "logistic_regression"], device="cpu")
    outcomes = run_fits(inputs, splits, models, seed=0, importances=importances, n_jobs=1)
    predictions, fits, importance = from_outcomes(outcomes, inputs.targets)
    guesses = baseline_predictions(inputs.targets, splits)
    given: dict[str, object] = {
        "predictions": pd.concat([predictions, guesses], ignore_index=True),
        "splits": splits,
        "cases": inputs.targets.index,
        "groups": inputs.groups,
        "baseline": "original",
        "sets": tuple(name for name in inputs.sets if name != "random"),
        "controls": {"random": "", "tfidf": "no cohort was given"},
        "fits": fits,
        "importance": importance,
        "audit": pd.DataFrame(
            [("suspect", "strong association", "told", "edema", "AUC .9", "augmented")], columns=AUDIT
        ),
        "strata": pd.DataFrame({"sex": inputs.sets["original"]["sex"]}),
        "settings": {"protocol": protocol.name, "seed": 0, "versions": {"dallm": "0.1.0"}},
        "notes": notes,
    }
    return EvaluationReport(**(given | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    return report_of(inputs_for(), importances=PermutationImportance(noise=4, permutations=3, repeats=1))


def part_of(report: EvaluationReport, name: str, model: str, target: str) -> pd.DataFrame:
    frame = report.predictions
    here = (frame["feature_set"] == name) & (frame["model"] == model) & (frame["target"] == target)
    return frame[here]


def test__scores__one_fold__are_those_of_scikit_learn(report):
    part = part_of(report, "augmented", "decision_tree", "edema")
    part = part[(part["repeat"] == 1) & (part["fold"] == 2)]
    found = report.scores.set_index(["feature_set", "model", "target", "repeat", "fold", "metric"])["value"]
    key = ("augmented", "decision_tree", "edema", 1, 2)
    assert found[(*key, "roc_auc")] == pytest.approx(roc_auc_score(part["truth"], part["probability"]))
    assert found[(*key, "accuracy")] == pytest.approx(accuracy_score(part["truth"], part["decision"]))


def test__table__of_a_target__holds_means_over_folds_inside_their_intervals(report):
    table = report.table("edema")
    part = part_of(report, "augmented", "logistic_regression", "edema")
    folds = [roc_auc_score(f["truth"], f["probability"]) for _, f in part.groupby(["repeat", "fold"])]
    row = table.loc[("augmented", "logistic_regression")]
    assert row["AUC"] == pytest.approx(np.mean(folds))
    assert row["AUC_low"] < row["AUC"] < row["AUC_high"]


def test__table__by_default__is_the_mean_over_targets_with_baselines_last(report):
    table = report.table()
    both = [report.table(t).loc[("original", "decision_tree"), "recall"] for t in report.targets]
    assert table.loc[("original", "decision_tree"), "recall"] == pytest.approx(np.mean(both))
    assert [key[0] for key in table.index[-3:]] == ["none"] * 3
    assert table.index[-3:].get_level_values("model").tolist() == ["always_no", "prevalence", "mean"]
    assert list(dict.fromkeys(table.index.get_level_values(0))) == ["original", "augmented", "random", "none"]


def test__table__p__is_that_of_the_comparisons_and_stands_for_compared_sets_alone(report):
    table, found = report.table("edema"), report.comparisons()
    here = found[(found["target"] == "edema") & (found["metric"] == "roc_auc")].set_index("model")
    assert table.loc[("augmented", "decision_tree"), "p"] == here.loc["decision_tree", "p_adjusted"]
    assert table["p"].notna().sum() == 2


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda r: r.table("edemaa"), "no target 'edemaa'. Did you mean 'edema'"),
        (lambda r: r.table(metrics=["auc_roc"]), "no metric 'auc_roc'.*average_precision"),
        (lambda r: r.comparisons("tfidf"), "'tfidf' was not run, because no cohort was given"),
        (lambda r: r.comparisons("permuted"), "'permuted' is none of the controls.*run: 'random'"),
        (lambda r: r.plot_gains("auc"), "no metric 'auc'.*roc_auc"),
        (lambda r: r.plot_importances(target="oedema"), "target 'oedema'.*mean 'edema'.*'effusion'"),
        (lambda r: r.plot_importances("augmentd"), "feature set 'augmentd'.*Did you mean 'augmented'"),
    ],
)
def test__report__what_is_not_there__is_named(report, ask, words):
    with pytest.raises(UserError, match=words):
        ask(report)


def test__comparisons__against_a_control__hold_the_new_set_against_it(report):
    found = report.comparisons("random")
    assert set(found["baseline"]) == {"random"}
    assert set(found["feature_set"]) == {"augmented"}
    assert set(report.comparisons()["baseline"]) == {"original"}


def test__verdict__tells_of_gain_controls_suspects_and_accuracy(report):
    said = " ".join(report.verdict())
    assert "'augmented' is better than 'original'" in said
    assert "beats the control 'random'" in said
    assert "Control 'tfidf' was not run, because no cohort was given." in said
    assert "1 column is suspect ('told')" in said
    assert "No patients were named" not in said


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("f1", "decisions at the threshold with the best F1 in the training fold"),
        ("youden", "the threshold with the best sum of sensitivity and specificity in the training fold"),
        ("accuracy", "the threshold with the best accuracy in the training fold"),
        (0.3, "decisions at a probability of 0.3"),
    ],
)
def test__operating_point__is_said_wherever_the_table_is(report, point, words):
    told = replace(report, settings={**report.settings, "operating_point": point})
    assert words in str(told)
    assert words in " ".join(told.to_latex().split())
    assert words in told._repr_html_()


@pytest.mark.parametrize("answer", ["no", "yes"])
def test__verdict__rows_below_the_commoner_answer__say_that_the_threshold_counts(report, answer):
    frame = report.predictions
    truth = frame["truth"] & (frame["row"] % 2 == 0)
    frame = frame.assign(truth=truth if answer == "no" else ~truth)
    flipped = replace(report, predictions=frame, settings={**report.settings, "operating_point": "f1"})
    (said,) = (line for line in flipped.verdict() if "accuracy of" in line)
    found = flipped.table()
    share = found.loc[("none", "always_no"), "accuracy"]
    share = share if answer == "no" else 1 - share
    below = int((found.drop("none", level=0)["accuracy"] <= share).sum())
    assert said.startswith(f"Always saying {answer} has an accuracy of {share:.3f}; {below} of the 6 rows")
    assert "Accuracy depends on the operating point" in said
    assert "operating_point='accuracy'" in said


def silent(*rows: tuple[object, ...]) -> pd.DataFrame:
    names = ["target", "feature_set", "model", "cases", "value", "difference", "difference_low"]
    return pd.DataFrame(rows, columns=names).assign(difference_high=0.3)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("edema", "augmented", "tree", 50, 0.7, 0.1, 0.02)],
            "tell the target better than 'original' in 1 of",
        ),
        ([("edema", "augmented", "tree", 50, 0.7, 0.1, -0.02)], "no better than 'original' in 1 comparison"),
        ([("edema", None, None, 5, None, None, None)], "too few to tell anything (edema: fewer than 10"),
    ],
)
def test__verdict__silent_reports__are_told_of_in_one_sentence(report, rows, words):
    (said,) = (line for line in replace(report, silent=silent(*rows)).verdict() if "Silent reports" in line)
    assert words in said
    assert "too few" in said or "intervals are not adjusted" in said
    assert not [line for line in report.verdict() if "Silent" in line]


def test__verdict__findings_about_rows__are_called_no_column(report):
    found = [
        ("suspect", "duplicate rows", "row", "", "3 of 90 cases agree", "original"),
        ("refuse", "shared patient", "patient", "edema", "2 patients on both sides", ""),
    ]
    said = " ".join(replace(report, audit=pd.DataFrame(found, columns=AUDIT)).verdict())
    assert "To be looked at: some cases agree in every column with a case of another patient" in said
    assert "Leakage: some patients stand on both sides of a split" in said
    assert "1 column" not in said


def test__verdict__without_patients__warns():
    inputs = inputs_for(90)
    bare = Inputs(inputs.sets, inputs.targets, None)
    assert "No patients were named" in " ".join(report_of(bare).verdict())


def test__as_published__auc__is_the_balanced_accuracy_of_pooled_decisions_and_says_so():
    inputs = inputs_for()
    marks = pd.Series(np.where(np.arange(160) < 110, "train", "test"), index=inputs.targets.index)
    report = report_of(inputs, AsPublished(marks, refits=2))
    table = report.table()
    assert "AUC" not in table.columns
    frame = report.predictions
    part = frame[(frame["feature_set"] == "augmented") & (frame["model"] == "decision_tree")]
    refits = [balanced_accuracy_score(p["truth"], p["decision"]) for _, p in part.groupby("repeat")]
    found = table.loc[("augmented", "decision_tree"), "AUC (balanced accuracy)"]
    assert found == pytest.approx(np.mean(refits))
    assert "balanced accuracy of the hard decisions" in report.to_html()


def test__save__and_load__give_the_same_report(report, tmp_path):
    report.save(tmp_path / "out")
    again = EvaluationReport.load(tmp_path / "out")
    pd.testing.assert_frame_equal(again.table(), report.table())
    pd.testing.assert_frame_equal(again.comparisons(), report.comparisons())
    pd.testing.assert_frame_equal(again.importances(), report.importances())
    for held, read in zip(report.splits, again.splits, strict=True):
        assert (held.target, held.repeat, held.fold) == (read.target, read.repeat, read.fold)
        np.testing.assert_array_equal(held.train, read.train)
        np.testing.assert_array_equal(held.test, read.test)
    assert again.to_html() == report.to_html()
    assert pd.read_parquet(tmp_path / "out" / "scores.parquet").columns.tolist() == list(report.scores)


def test__load__what_is_no_report__is_named(report, tmp_path):
    with pytest.raises(ReaderError, match=r"holds no saved evaluation: there is no report\.json"):
        EvaluationReport.load(tmp_path)
    report.save(tmp_path)
    about = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(ReaderError, match="has format 99"):
        EvaluationReport.load(tmp_path)


def test__page__has_no_reference_no_ids_and_no_markup_of_the_users():
    hostile = report_of(inputs_for(90, second=HOSTILE))
    page = hostile.to_html()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(", re.sub(r'src="data:image/png;base64,[^"]*"', "", page)
    )
    assert "secret-case" not in page
    assert "secret-patient" not in page


def test__page__in_a_browser__loads_nothing_and_fits(report, tmp_path):
    if find_browser() is None:
        pytest.skip("no Chromium found: set DALLM_BROWSER")
    path = tmp_path / "report.html"
    report.to_html(path)
    with Browser(tmp_path / "profile") as browser:
        browser.call("Page.navigate", url=path.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.images.length > 2")
        assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 300)")
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert [r for r in browser.requests if not r.startswith(("data:", "file:", "about:"))] == []
        assert browser.console == []


def test__page__on_a_phone__keeps_its_width_and_tables_scroll(report, tmp_path):
    path = tmp_path / "report.html"
    page = report.to_html(path)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "<title>Evaluation: edema, effusion</title>" in page
    assert page.count("<table>") == page.count('<div class="wide"><table>')
    assert "positives of decisions (2 targets)" in page
    assert '<th class="t">model</th><th>accuracy</th>' in page
    if find_browser() is None:
        pytest.skip("no Chromium found: set DALLM_BROWSER")
    with Browser(tmp_path / "profile") as browser:
        size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        browser.call("Emulation.setDeviceMetricsOverride", **size)
        browser.call("Page.navigate", url=path.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.images.length > 2")
        browser.evaluate("document.querySelectorAll('details').forEach(d => {d.open = true})")
        assert browser.evaluate("document.documentElement.scrollWidth") == 390
        assert browser.evaluate("window.innerWidth") == 390
        wide = "[...document.querySelectorAll('.wide')].some(d => d.scrollWidth > d.clientWidth)"
        assert browser.evaluate(wide)


def test__page__settings__are_tables_with_explanations(report):
    told = replace(report, settings={**report.settings, "cases": 160}, run={"date": "2001-02-03T04:05:06"})
    page = told.to_html()
    assert (
        '<td class="t">cases</td><td class="t">160</td><td class="t long">rows of the feature sets</td>'
        in page
    )
    assert "2001-02-03" in page
    assert "<pre" not in page
    assert '<td class="t">dallm</td><td class="t">0.1.0</td>' in page


def test__latex__hostile_names__are_escaped_and_rows_are_even(tmp_path):
    hostile = report_of(inputs_for(90, second=HOSTILE))
    text = hostile.to_latex(tmp_path / "table.tex")
    assert (tmp_path / "table.tex").read_text(encoding="utf-8") == text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {7}
    assert r"\textless{}script\textgreater{}" in body
    assert r"\& 5 \%\_\{cost\}" in body
    assert not re.search(r"(?<!\\)[%#_]", body)


def test__latex__of_the_papers_columns__fits_the_width_of_a_text(report):
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    def width(cell: str, points: float) -> float:
        points = 7 if cell.lstrip().startswith(r"\scriptsize") else points
        plain = re.sub(r"\\(scriptsize|quad|textit|shortstack\[r\])|[{}\\]", "", cell).strip()
        face = FontProperties(family="cmr10")
        return TextPath((0, 0), plain, size=points, prop=face).get_extents().width if plain else 0.0

    with_p = report.to_latex()
    body = with_p[with_p.index(r"\toprule") : with_p.index(r"\bottomrule")]
    rows = [re.split(r"(?<!\\)&", line[:-2]) for line in body.splitlines() if line.endswith(r"\\")]
    rows[0] = [max(head.split(r"\\"), key=len) for head in rows[0]]
    columns = [
        max(width(cell, 8) + 8 * (r"\quad" in cell) for cell in column) for column in zip(*rows, strict=True)
    ]
    assert 200 < sum(columns) + 6 * len(columns) < 450
    assert len(report.to_latex(intervals=False)) < len(with_p)
    caption = with_p[with_p.index(r"\caption") : with_p.index(r"\begin{tabular}")]
    for words in ("160 cases of", "patients", "mean over targets", "Holm over 8 comparisons", "ROC AUC"):
        assert words in caption
        assert words in str(report)


def test__relevant_features__stand_beside_those_expected_by_chance(report):
    table = report.table()
    counted = relevant_counts(report.importances(), noise=4).set_index(["feature_set", "model", "target"])
    features = report.importances().groupby("feature_set")["feature"].nunique()
    for name in ("original", "augmented", "random"):
        row = table.loc[(name, "decision_tree")]
        assert row["relevant_by_chance"] == pytest.approx(features[name] / 5)
        assert counted.loc[(name, "decision_tree", "macro"), "by_chance"] == row["relevant_by_chance"]
        assert f"{row['relevant']:g} ({row['relevant_by_chance']:.1f})" in str(report)
    assert "relevant features (by chance)" in report.to_html()


def test__str__and_notebook__are_short(report):
    assert len(str(report).splitlines()) < 40
    assert "logistic_regression" in str(report)
    assert len(report._repr_html_()) < 10_000
    assert "secret" not in repr(report) + str(report)


def test__ran_on__counts_every_fit(report):
    ran = report.ran_on().set_index("model")
    assert ran["fits"].tolist() == [36, 36]
    assert set(ran["device"]) == {"cpu"}


def test__subgroups__are_measured_over_the_baseline(report):
    found = report.subgroups()
    assert set(found["level"]) == {"F", "M"}
    assert set(found["metric"]) >= {"roc_auc", "brier"}


def test__importances__a_column_that_tells__is_relevant_and_noise_is_no_row(report):
    found = report.importances()
    assert not found["feature"].str.startswith(NOISE).any()
    here = found[(found["feature_set"] == "augmented") & (found["target"] == "edema")]
    told = here[here["feature"] == "told"]
    assert told["relevant"].all()
    assert (found["sure"] == (found["relevant"] & (found["low"] > 0))).all()
    assert (told["low"] < told["drop"]).all()
    assert here.groupby("model")["feature"].first().tolist() == ["told", "told"]
    assert set(found["target"]) == {"edema", "effusion", "macro"}


def test__importances__rules__hold_what_they_say(report):
    raw, found = report.importance, report.importances()
    noise = raw[raw["feature"].str.startswith(NOISE)]
    keys = ["feature_set", "model", "target"]
    means = noise.groupby([*keys, "feature"])["drop"].mean()
    top, first = means.groupby(keys).max(), means.xs(f"{NOISE}1", level="feature")
    for row in found[found["target"] != "macro"].to_dict("records"):
        key = tuple(row[name] for name in keys)
        assert row["relevant"] == (row["drop"] > top[key])
        assert row["published_rule"] == (row["drop"] > first[key])
    half = report.importances(quantile=0.5)
    assert (half["noise"] <= found["noise"]).all()
    counts = relevant_counts(found).set_index(keys)["relevant"]
    assert counts[("augmented", "decision_tree", "pooled")] == counts[("augmented", "decision_tree", "macro")]
    assert report.table("edema")["relevant"].dropna().tolist() == [
        counts[(name, model, "edema")]
        for name in ("original", "augmented", "random")
        for model in ("decision_tree", "logistic_regression")
    ]


def test__summarise__drops_that_agree__are_sure_and_others_are_not():
    splits = [Split("edema", 0, k, np.arange(80), np.arange(80, 100)) for k in range(5)]
    drops = {"told": [0.2, 0.21, 0.19, 0.2, 0.22], "once": [0.5, 0, 0, 0, 0.01], f"{NOISE}1": [0.01] * 5}
    frame = pd.DataFrame(
        [("all", "tree", "edema", 0, k, name, d) for name, ds in drops.items() for k, d in enumerate(ds)],
        columns=["feature_set", "model", "target", "repeat", "fold", "feature", "drop"],
    )
    found = summarise(frame, splits).set_index("feature")
    assert found["relevant"].all()
    assert found["sure"].to_dict() == {"told": True, "once": False}


def test__permutation__drops__agree_with_scikit_learn():
    inputs = inputs_for(400)
    table, truth = inputs.sets["augmented"], inputs.targets["edema"].to_numpy(dtype=bool)
    model = resolve_models("logistic_regression", device="cpu")["logistic_regression"].build(0, "cpu")
    model.fit(table.iloc[:200], truth[:200].astype(int))
    test, known = table.iloc[200:], truth[200:]
    drops = permutation_drops(model, test, known, 40, np.random.default_rng(0))
    theirs = permutation_importance(
        model, test, known.astype(int), scoring="roc_auc", n_repeats=40, random_state=1
    ).importances_mean
    assert list(drops) == list(test.columns)  # a column of levels is one column
    np.testing.assert_allclose(list(drops.values()), theirs, atol=0.02)


def test__permutation__many_columns__do_not_depend_on_how_many_are_asked_at_once(monkeypatch):
    inputs = inputs_for(200)
    table, truth = inputs.sets["augmented"], inputs.targets["edema"].to_numpy(dtype=bool)
    model = resolve_models("decision_tree", device="cpu")["decision_tree"].build(0, "cpu")
    model.fit(table, truth.astype(int))
    whole = permutation_drops(model, table, truth, 3, np.random.default_rng(0))
    monkeypatch.setattr("dallm.evaluation.importance.permutation._ROWS_AT_ONCE", 1)
    assert permutation_drops(model, table, truth, 3, np.random.default_rng(0)) == whole
    monkeypatch.setattr("dallm.evaluation.importance.permutation._encodes_rows", lambda _: False)
    assert permutation_drops(model, table, truth, 3, np.random.default_rng(0)) == whole


def test__summarise__without_noise__is_refused(report):
    bare = report.importance[~report.importance["feature"].str.startswith(NOISE)]
    with pytest.raises(UserError, match="no column of noise"):
        summarise(bare, report.splits)


def test__plot_importances__of_91_features__has_labels_that_do_not_touch():
    names = [f"feature number {i}" for i in range(91)]
    rows = pd.DataFrame({"feature": names, "drop": np.linspace(0.1, 0, 91)})
    rows = rows.assign(feature_set="all", target="edema", low=-0.01, high=0.12, noise=0.02)
    rows["relevant"] = rows["drop"] > 0.02
    summary = pd.concat([rows.assign(model=m) for m in ("tree", "forest", "boosting", "tabnet")])
    figure = plot_importances(summary, feature_set="all", target="edema")
    figure.canvas.draw()
    labels = figure.axes[0].get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == 91
    assert all(a.y0 >= b.y1 - 1 for a, b in pairwise(boxes))
    with pytest.raises(UserError, match=r"No importances of feature set 'al' .* Did you mean 'all'"):
        plot_importances(summary, feature_set="al", target="edema")


def ratings_file(folder: Path, text: str) -> Path:
    path = folder / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test__ratings__names_in_another_case__are_matched_and_others_named(report, tmp_path):
    path = ratings_file(
        tmp_path,
        "Feature,Rater,Plausibility,Relevance\nAGE (years),A,2,1\nSex,A,1,2\nTold,A,5,5\nUNTOLD,A,1,1\n"
        "gout,A,3,3\nage,B,1,\n",
    )
    found = report.ratings(path)
    assert found.unmatched == ("gout",)
    assert found.unrated == ("noise",)
    rows = found.table.set_index(["feature_set", "model", "target", "rater", "question"])
    row = rows.loc[("augmented", "decision_tree", "edema", "A", "plausibility")]
    drops = report.importances()
    here = drops[(drops["feature_set"] == "augmented") & (drops["model"] == "decision_tree")]
    mean = here[here["target"] == "edema"].set_index("feature")["drop"]
    assert row["r"] == pytest.approx(np.corrcoef(mean[["age", "sex", "told", "untold"]], [2, 1, 5, 1])[0, 1])
    assert row["low"] < row["r"] < row["high"]
    few = rows.loc[("augmented", "decision_tree", "edema", "B", "plausibility")]
    assert np.isnan(few["r"])
    assert "Fewer than 4 rated features" in few["note"]
    assert len(report.plot_ratings(path).axes) == 2 * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("feature,rater,plausibility\nage,A,1\n", "lack the column 'relevance'"),
        ("feature,rater,plausibility,relevance\nage,A,high,1\n", "plausibility of 'age' is 'high'"),
        ("feature,rater,plausibility,relevance\nage,A,1,1\nAge,A,2,1\n", "rater 'A' rates 'Age' twice"),
    ],
)
def test__read_ratings__what_cannot_be_read__is_named(tmp_path, text, words):
    with pytest.raises(ReaderError, match=words):
        read_ratings(ratings_file(tmp_path, text))


def test__ratings__names_of_one_concept__are_matched_and_the_rest_is_named(tmp_path):
    columns = ["o2sat", "heartrate", "temperature", "cough", "Dyspnoea"]
    drops = pd.DataFrame(
        {"feature_set": "all", "model": "tree", "target": "edema", "feature": columns}
        | {"drop": [0.5, 0.4, 0.3, 0.2, 0.1]}
    )
    names = ["Oxygen saturation (%)", "Heart rate (bpm)", "Temperature", "cough", "SpO2", "Blood on Tuesday"]
    rated = pd.DataFrame({"feature": names, "rater": "A", "plausibility": [5, 4, 3, 2, 1, 1], "relevance": 1})
    found = correlate_ratings(drops, rated)
    row = found.table.iloc[0]
    assert (row["n_features"], row["r"]) == (4, 1.0)
    assert found.unmatched == ("SpO2", "Blood on Tuesday")
    assert found.unrated == ("Dyspnoea",)
    figure = plot_ratings(found.table, found.notes)
    assert "Blood on Tuesday" in figure.get_supxlabel()
    figure.canvas.draw()
    sizes = {label.get_fontsize() for axis in figure.axes for label in axis.get_yticklabels()}
    assert sizes == {8.0}


def test__plot_ratings__of_several_feature_sets__is_refused(report, tmp_path):
    path = ratings_file(tmp_path, "feature,rater,plausibility,relevance\nage,A,1,2\n")
    with pytest.raises(UserError, match="3 feature sets; choose one"):
        plot_ratings(correlate_ratings(report.importances(), read_ratings(path)).table)


def test__importances__run_twice__are_equal():
    first, second = (
        report_of(inputs_for(90), importances=PermutationImportance(noise=2, permutations=2, repeats=1))
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.importance, second.importance)
    pd.testing.assert_frame_equal(first.importances(), second.importances())
