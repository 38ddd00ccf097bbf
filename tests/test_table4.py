"""Table 4: the public code's computation, ready tables in any layout, and the command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, recall_score
from typer.testing import CliRunner
from xgboost import XGBClassifier

from dallm.cli.app import app
from dallm.errors import UserError
from dallm.evaluation.seeds import seed_for
from dallm.paper import published
from dallm.paper.as_published import Halves, Run, _pooled, halves, published_run
from dallm.paper.published_runs import published_runs
from dallm.paper.table4 import Table4, table4_of
from dallm.paper.table4_columns import as_numbers, names_of
from dallm.paper.table4_frames import read_tables

RUN = CliRunner()
LABELS = [
    "Pulmonary edema",
    "Enlarged cardiac silhouette",
    "Consolidation",
    "Atelectasis",
    "Pleural abnormality",
]


@pytest.fixture(scope="module")
def authors():
    """Made-up cases in the layout of the authors' files."""
    rng = np.random.default_rng(0)
    n = 240
    made = {name: rng.normal(100, 10, n) for name in names_of("original")[:7]}
    made["gender"] = rng.choice(["F", "M"], n)
    for name in [*names_of("left_out"), *names_of("generated"), *names_of("expert")]:
        numeric = "(" in name and "ecg" not in name
        made[name] = rng.normal(50, 5, n) if numeric else rng.random(n) < 0.3
    table = pd.DataFrame(made)
    table.loc[:10, "spirometry (FVC)"] = np.nan
    for i, name in enumerate(LABELS):
        drive = table[names_of("generated")[3 * i]].astype(float) + rng.normal(0, 0.4, n)
        table[name] = (drive > 0.8).astype(float)
    table["Pneumothorax"] = rng.random(n) < 0.1  # a label, where the feature is pneumothorax
    table["Edema_chexpert"] = table["Pulmonary edema"]
    table["No Finding_chexpert"] = np.where(np.arange(n) < 100, 0.0, 1.0)
    table["split"] = rng.choice(["train", "validate", "test"], n, p=[0.7, 0.1, 0.2])
    table["subject_id"] = rng.integers(0, 150, n)
    table.insert(0, "id", [f"P{i:03d}" for i in range(n)])
    table["report"] = [f"text {i}" for i in range(n)]
    return table.copy()


@pytest.fixture(scope="module")
def small(authors):
    chosen = [*names_of("original"), *names_of("generated")[:12]]
    return authors[["id", "subject_id", "split", *chosen, *LABELS]]


def test__read_tables__authors_layout__sets_of_the_paper(authors):
    read = read_tables({"expert": authors})
    assert {name: frame.shape for name, frame in read.sets.items()} == {
        "original": (200, 8),
        "augmented": (200, 78),
        "expert": (200, 91),
    }
    assert list(read.labels.columns) == LABELS
    assert not read.sets["expert"].isna().any().any()
    mean = authors["spirometry (FVC)"].mean()
    assert read.sets["expert"]["spirometry (FVC)"].iloc[0] == pytest.approx(mean)
    assert (
        read.sets["original"]["gender"].tolist()
        == authors["gender"]
        .eq("F")
        .reindex(authors.set_index("id").index.get_indexer(read.labels.index))
        .astype(float)
        .tolist()
    )
    assert read.groups is not None
    assert set(read.split) == {"train", "validate", "test"}


def test__read_tables__normals__are_those_that_pandas_draws(authors):
    read = read_tables({"original": authors})
    drawn = authors[authors["No Finding_chexpert"] > 0].sample(n=100, random_state=0)["id"]
    assert set(read.labels.index) == {*authors.loc[:99, "id"], *drawn}
    assert len(read_tables({"original": authors}, normals=None).labels) == 240


def test__read_tables__no_finding_is_one_or_nothing__nothing_counts_as_a_finding(authors):
    sparse = authors.assign(**{"No Finding_chexpert": authors["No Finding_chexpert"].replace(0.0, np.nan)})
    assert set(read_tables({"original": sparse}).labels.index) == set(
        read_tables({"original": authors}).labels.index
    )


def test__read_tables__several_files_in_other_orders__are_lined_up(authors):
    shuffled = authors.sample(frac=1, random_state=3)
    read = read_tables({"original": shuffled, "expert": authors}, normals=None)
    pd.testing.assert_frame_equal(read.sets["original"], read.sets["expert"][list(names_of("original"))])


def test__read_tables__target_of_the_paper__pulmonary_edema_stands_for_it(authors):
    read = read_tables({"original": authors}, targets=["Pleural effusion", "Atelectasis"])
    assert list(read.labels.columns) == ["Pulmonary edema", "Atelectasis"]
    assert any("stands for it" in note for note in read.notes)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda t: t, {"targets": ["Edma"]}, "no.*|No table has the target 'Edma'"),
        (lambda t: t.drop(columns="split"), {}, "--split"),
        (lambda t: t.assign(split="train"), {}, "No case is marked 'test'"),
        (lambda t: t, {"features": {"original": ["hartrate"]}}, "Did you mean 'heartrate'"),
        (lambda t: t, {"group": "patient"}, "no table has|No table has the column 'patient'"),
        (lambda t: t, {"id": "subject_id"}, "does not name each case once"),
    ],
)
def test__read_tables__what_does_not_fit__is_named(small, change, options, said):
    with pytest.raises(UserError, match=said):
        read_tables({"original": change(small)}, **options)


@pytest.mark.parametrize(
    "words",
    [
        [True, False, None],
        ["True", "False", "not stated"],
        ["TRUE", "FALSE", None],
        [1, 0, 0],
        ["1", "0", "0"],
        ["yes", "no", "unknown"],
    ],
)
def test__as_numbers__truth_in_any_words__anything_but_true_is_false(words):
    assert (
        as_numbers(pd.DataFrame({"fever": words * 2}), "augmented")["fever"].tolist() == [1.0, 0.0, 0.0] * 2
    )


def test__as_numbers__free_text__is_refused_by_name():
    with pytest.raises(UserError, match=r"'remarks'.*--drop"):
        as_numbers(pd.DataFrame({"remarks": [f"text {i}" for i in range(30)]}), "augmented")


def test__halves__one_class_among_training_cases__is_refused(small):
    labels = small[["Atelectasis"]] > 0
    labels.loc[small["split"] == "train"] = False
    with pytest.raises(UserError, match="'Atelectasis' is no for all"):
        halves(small[["age"]], labels, small["split"])


def test__published_run__forest__is_ten_joint_refits_scored_by_scikit_learn(small):
    read = read_tables({"augmented": small})
    part = halves(read.sets["augmented"], read.labels, read.split)
    run = published_run(part, "random_forest", seed=1)
    truth = part.y_test.ravel()
    rng = np.random.default_rng(5)
    train = np.column_stack([part.x_train, rng.normal(size=len(part.x_train))])
    test = np.column_stack([part.x_test, rng.normal(size=len(part.x_test))])
    accuracies = [
        accuracy_score(
            truth, RandomForestClassifier(random_state=s).fit(train, part.y_train).predict(test).ravel()
        )
        for s in range(10)
    ]
    # other seeds: the means of ten refits agree within what ten refits of the same kind differ
    assert run.accuracy == pytest.approx(np.mean(accuracies), abs=4 * np.std(accuracies))
    assert len(run.importances) == 20
    assert sum(run.importances.values()) + run.noise == pytest.approx(1.0)


def test__published_run__xgboost__equals_one_plain_fit_of_the_library(small):
    read = read_tables({"augmented": small})
    part = halves(read.sets["augmented"], read.labels, read.split)
    run = published_run(part, "xgboost", seed=0)
    noise = np.random.default_rng(seed_for(0, "noise"))
    train = np.column_stack([part.x_train, noise.standard_normal(len(part.x_train))]).astype(np.float32)
    test = np.column_stack([part.x_test, noise.standard_normal(len(part.x_test))]).astype(np.float32)
    for _ in range(2):  # nothing is drawn: ten refits are one
        plain = XGBClassifier(n_jobs=1).fit(train, part.y_train.astype(int)).predict(test).ravel()
        assert run.accuracy == accuracy_score(part.y_test.ravel(), plain)


@pytest.mark.parametrize("model", ["decision_tree", "xgboost", "tabnet"])
def test__published_run__one_label__works(small, model):
    read = read_tables({"original": small}, targets=["Atelectasis"])
    run = published_run(halves(read.sets["original"], read.labels, read.split), model, seed=0, epochs=3)
    assert 0.3 < run.accuracy <= 1


def test__published_run__decisions__measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    y = x[:, :2] + rng.normal(0, 0.8, (120, 2)) > 0.5
    part = Halves(("a", "b", "c"), x[:80], x[80:], y[:80], y[80:])
    run = published_run(part, "tabnet", seed=0, epochs=5)
    again = published_run(part, "tabnet", seed=0, epochs=5)
    assert run == again
    truth, said = y[80:], rng.random((40, 2)) < 0.4
    assert _pooled(truth, said) == pytest.approx(
        {
            "accuracy": accuracy_score(truth.ravel(), said.ravel()),
            "balanced_accuracy": balanced_accuracy_score(truth.ravel(), said.ravel()),
            "precision": precision_score(truth.ravel(), said.ravel()),
            "f1": f1_score(truth.ravel(), said.ravel()),
            "recall": recall_score(truth.ravel(), said.ravel()),
        }
    )


def test__published_runs__again_from_the_folder__same_and_not_computed_anew(small, tmp_path):
    read = read_tables({"original": small})
    parts = {"original": halves(read.sets["original"], read.labels, read.split)}
    first = published_runs(parts, ["decision_tree"], 3, n_jobs=2, folder=tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = published_runs(parts, ["decision_tree"], 3, n_jobs=1, folder=tmp_path)
    assert first == again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    assert published_runs(parts, ["decision_tree"], 3, n_jobs=1) == first


def test__table4__figures_planted_from_the_paper__inside_and_outside_are_told():
    paper = published.table4().loc[("original", "XGBoost")]
    wiggle = [-0.01, 0.0, 0.01]
    runs = [
        Run(
            accuracy=paper["accuracy"] + w,
            balanced_accuracy=paper["AUC"] + w,
            precision=paper["precision"] + w,
            f1=paper["F1"] + 0.2,
            recall=paper["recall"] + w,
            importances={f"f{i}": float(i < 8) for i in range(9)},
            noise=0.5,
        )
        for w in wiggle
    ]
    made = Table4(
        runs={("original", "xgboost"): runs},
        row_of={"original": "original"},
        widths={"original": 8},
        always_no=0.7351,
        same_data=True,
    )
    cells = made.cells().set_index("measure")
    assert cells["inside"].astype(bool).to_dict() == {
        "accuracy": True,
        "AUC": True,
        "precision": True,
        "F1": False,
        "recall": True,
        "relevant": True,
    }
    table = made.table().xs(("original", "XGBoost"))
    assert table.loc["published", "F1"] == "0.2411 *"
    assert table.loc["published", "p"] == "0.0000 (definition not published)"
    assert table.loc["as published, measured", "p"] == "definition not published"
    assert any("5 of 6" in line for line in made.remarks())


def test__published_figures__always_saying_no__is_better_than_nine_rows():
    table = published.table4()
    tabnet = table.xs(
        "TabNet", level="model"
    )  # a single fit each, so that the printed figures belong together
    alarms = tabnet["recall"] * (1 - tabnet["precision"]) / tabnet["precision"]
    yes = (1 - tabnet["accuracy"]) / (alarms + 1 - tabnet["recall"])
    assert yes.round(3).tolist() == [0.265] * 4
    assert int((table["accuracy"] < 1 - yes.mean()).sum()) == 9


def test__table4_of__leak_free_figures__stand_beside(small, tmp_path):
    read = read_tables({"augmented": small}, targets=["Atelectasis", "Consolidation"])
    made = table4_of(read, models=["decision_tree"], seeds=2, repeats=1, n_jobs=1, folder=tmp_path)
    found = made.leak_free
    assert found is not None
    assert set(found["measure"]) >= {"balanced_accuracy", "roc_auc"}
    table = made.table()
    assert table.loc[("augmented", "DecisionTree", "leak-free"), "ROC AUC"].startswith("0.")
    cells = made.cells().set_index(["feature_set", "measure"])
    own = found[(found["feature_set"] == "augmented") & (found["measure"] == "balanced_accuracy")]
    assert cells.loc[("augmented", "AUC"), "leak_free"] == own["value"].iloc[0]


@pytest.mark.parametrize("layout", ["csv", "xlsx", "parquet", "two files", "file of marks"])
def test__command__ready_tables_in_any_layout__same_table(small, tmp_path, layout):
    arguments = ["reproduce", "table4", "--out", str(tmp_path / "out"), "--models", "decision_tree"]
    arguments += ["--seeds", "2", "--repeats", "0", "--jobs", "1", "--targets", "Atelectasis,Consolidation"]
    path = tmp_path / f"augmented.{layout if layout in ('xlsx', 'parquet') else 'csv'}"
    if layout == "xlsx":
        small.to_excel(path, index=False)
    elif layout == "parquet":
        small.to_parquet(path)
    elif layout == "two files":
        for side in ("train", "test"):
            small[small["split"] == side].drop(columns="split").to_csv(tmp_path / f"{side}.csv", index=False)
        arguments += ["--test-frame", str(tmp_path / "test.csv")]
        path = tmp_path / "train.csv"
    elif layout == "file of marks":
        small.drop(columns="split").to_csv(path, index=False)
        small[["id", "split"]].sample(frac=1, random_state=1).to_csv(tmp_path / "marks.csv", index=False)
        arguments += ["--split", str(tmp_path / "marks.csv")]
    else:
        small.to_csv(path, index=False)
    result = RUN.invoke(app, [*arguments, "--frame", f"augmented={path}"])
    assert result.exit_code == 0, result.output
    saved = pd.read_csv(tmp_path / "out" / "table4.csv").set_index(["feature_set", "measure"])
    read = read_tables({"augmented": small}, targets=["Atelectasis", "Consolidation"])
    part = halves(read.sets["augmented"], read.labels, read.split)
    expected = [published_run(part, "decision_tree", seed) for seed in (0, 1)]
    if layout != "two files":  # which lack the validation cases, and keep another order
        measured = saved.loc[("augmented", "accuracy"), "measured"]
        assert measured == pytest.approx(np.mean([run.accuracy for run in expected]))
    assert "definition not published" in result.output


def test__command__synthetic_cohort__by_default(tmp_path):
    arguments = ["reproduce", "table4", "--out", str(tmp_path), "--cases", "60", "--seeds", "2"]
    result = RUN.invoke(app, [*arguments, "--repeats", "1", "--models", "decision_tree", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert "other cases than the paper's" in result.output
    assert (tmp_path / "table4.html").is_file()
    assert (tmp_path / "leak_free.csv").is_file()


def test__command__unknown_model__is_refused(tmp_path):
    result = RUN.invoke(app, ["reproduce", "table4", "--out", str(tmp_path), "--models", "tabnett"])
    assert result.exit_code != 0
    assert isinstance(result.exception, UserError | SystemExit)
