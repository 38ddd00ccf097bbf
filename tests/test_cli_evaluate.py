"""``dallm evaluate``, and the short table that other commands end with."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dallm
from dallm.cli.app import app
from dallm.errors import UserError
from dallm.evaluation.tables import as_labels, feature_tables, protocol_of

RUN = CliRunner()


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    n = 160
    sick = rng.random(n) < 0.4
    few = pd.DataFrame(
        {
            "case_id": [f"C{i}" for i in range(n)],
            "patient_id": rng.integers(0, 110, n),
            "age": rng.normal(60, 9, n).round(1),
            "gender": rng.choice(["F", "M"], n),
            "edema": np.where(sick, "yes", "no"),
            "split": np.where(rng.integers(0, 110, n) < 70, "train", "test"),
            "report": [f"words {i}" for i in range(n)],
        }
    )
    wide = few.assign(cough=np.where(sick ^ (rng.random(n) < 0.2), "TRUE", "FALSE"))
    return {"original": few, "augmented": wide.sample(frac=1, random_state=1)}


def _written(tables, folder):
    arguments = []
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        arguments += ["--frame", f"{name}={folder / name}.csv"]
    return arguments


def _command(tables, folder, *more):
    fast = ["--models", "logistic_regression", "--repeats", "1", "--controls", "permuted", "--jobs", "1"]
    out = ["--targets", "edema", "--group", "patient_id", "--drop", "split", "--out", str(folder / "out")]
    return ["evaluate", *_written(tables, folder), *out, *fast, *more]


def test__feature_tables__files_of_one_study__features_are_what_is_left(tables):
    read = feature_tables(tables, ["edema"], group="patient_id", split="split")
    assert list(read.sets["original"].columns) == ["age", "gender"]
    assert read.sets["augmented"]["cough"].dtype == "boolean"
    assert read.targets["edema"].dtype == "boolean"
    assert any("'report'" in note for note in read.notes)


@pytest.mark.parametrize(
    ("targets", "options", "said"),
    [
        ([], {}, "--targets"),
        (["edma"], {}, "Did you mean 'edema'"),
        (["edema"], {"group": "patient"}, "group column 'patient'"),
        (["edema"], {"id": "patient_id"}, "does not name each case once"),
        (["edema"], {"drop": ["agee"]}, "Did you mean 'age'"),
    ],
)
def test__feature_tables__what_does_not_fit__is_named(tables, targets, options, said):
    with pytest.raises(UserError, match=said):
        feature_tables(tables, targets, **options)


def test__as_labels__other_words__stay():
    assert as_labels(pd.Series(["mild", "severe"])).tolist() == ["mild", "severe"]


@pytest.mark.parametrize(("name", "said"), [("leakfree", "leak_free"), ("holdout", "--split")])
def test__protocol_of__cannot_be_had__says_what_to_give(name, said):
    with pytest.raises(UserError, match=said):
        protocol_of(name, None, 10, 5)


def test__evaluate__two_tables__report_in_the_folder(tables, tmp_path):
    result = RUN.invoke(app, _command(tables, tmp_path))
    assert result.exit_code == 0, result.output
    assert "always_no" in result.output
    out = tmp_path / "out"
    for name in ("report.html", "table.tex", "settings.json", "scores.parquet"):
        assert (out / name).is_file(), name
    assert json.loads((out / "settings.json").read_text())["seed"] == 0
    scores = pd.read_parquet(out / "scores.parquet")
    means = scores[scores["metric"] == "roc_auc"].groupby("feature_set")["value"].mean()
    assert means["augmented"] > means["original"] + 0.1


def test__evaluate__again__fits_are_taken_from_the_folder(tables, tmp_path):
    first = RUN.invoke(app, _command(tables, tmp_path))
    before = pd.read_parquet(tmp_path / "out" / "fits.parquet")
    again = RUN.invoke(app, _command(tables, tmp_path))
    assert first.exit_code == again.exit_code == 0
    # the seconds of a fit are measured: only a fit that was kept repeats them (kept to four digits)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "fits.parquet"), before, atol=6e-5)


def test__evaluate__a_copy_of_the_target__is_refused_unless_allowed(tables, tmp_path):
    leaky = {"original": tables["original"]}
    leaky["augmented"] = tables["augmented"].assign(
        finding=tables["augmented"]["edema"].map({"yes": 3, "no": 7})
    )
    refused = RUN.invoke(app, _command(leaky, tmp_path))
    assert refused.exit_code == 2
    assert "finding" in refused.output + (refused.stderr or "")
    allowed = RUN.invoke(app, _command(leaky, tmp_path, "--allow-leak", "finding"))
    assert allowed.exit_code == 0, allowed.output


def test__evaluate__nothing_named__says_what_to_name(tmp_path):
    result = RUN.invoke(app, ["evaluate", "--out", str(tmp_path)])
    assert result.exit_code == 2


def test__demo__ends_with_the_short_table(tmp_path):
    result = RUN.invoke(app, ["demo", "--cases", "120", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 0, result.output
    assert "Do the new columns help?" in result.output
    assert "always_no" in result.output
    assert " ".join(result.output.split()).count("decisions at a probability of 0.5") >= 2


def test__demo__too_few_cases__says_so_and_is_done(tmp_path):
    result = RUN.invoke(app, ["demo", "--cases", "3", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 0, result.output
    assert "Not evaluated:" in result.output


def test__augment_evaluate__without_a_target__is_refused_before_filling(tmp_path):
    dallm.make_cohort(5, 0).frame.to_csv(tmp_path / "t.csv", index=False)
    arguments = ["augment", str(tmp_path / "t.csv"), "--id", "case_id", "--report", "findings"]
    result = RUN.invoke(app, [*arguments, "--evaluate", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert not (tmp_path / "out" / "augmented.parquet").exists()


def test__augment_evaluate__with_a_target__ends_with_the_short_table(tmp_path):
    dallm.make_cohort(80, 0).frame.to_csv(tmp_path / "t.csv", index=False)
    arguments = ["augment", str(tmp_path / "t.csv"), "--id", "case_id", "--report", "findings", "--group"]
    arguments += [
        "patient_id",
        "--target",
        "atelectasis",
        "--condition",
        "atelectasis",
        "--numeric",
        "o2sat=%",
    ]
    result = RUN.invoke(app, [*arguments, "--evaluate", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "Do the new columns help?" in result.output


def test__evaluate__folder_of_demo__runs_controls_and_silent_reports_from_it(tmp_path):
    made = RUN.invoke(app, ["demo", "--cases", "90", "--no-evaluate", "--out", str(tmp_path / "demo")])
    assert made.exit_code == 0, made.output
    out = tmp_path / "evaluation"
    fast = ["--models", "logistic_regression", "--repeats", "1", "--folds", "3", "--jobs", "1"]
    result = RUN.invoke(app, ["evaluate", str(tmp_path / "demo"), "--out", str(out), *fast])
    assert result.exit_code == 0, result.output
    report = dallm.EvaluationReport.load(out)
    assert set(report.scores["feature_set"]) >= {"original", "augmented", "tfidf", "random", "permuted"}
    assert report.silent is not None
    assert report.groups is not None
    unknown = RUN.invoke(
        app, ["evaluate", str(tmp_path / "demo"), "--targets", "edemma", "--out", str(out), *fast]
    )
    assert unknown.exit_code == 2


def test__evaluate__cohort_beside_tables__gives_reports_and_subgroups(tables, tmp_path):
    tables["original"].to_csv(tmp_path / "cases.csv", index=False)
    cohort = ["--cohort", str(tmp_path / "cases.csv"), "--id", "case_id"]
    arguments = _command(tables, tmp_path, *cohort, "--subgroups", "gender", "--controls", "tfidf")
    without = RUN.invoke(app, arguments)
    assert without.exit_code == 2
    assert "--report" in without.output + (without.stderr or "")
    result = RUN.invoke(app, [*arguments, "--report", "report"])
    assert result.exit_code == 0, result.output
    report = dallm.EvaluationReport.load(tmp_path / "out")
    assert "tfidf" in set(report.scores["feature_set"])
    assert set(report.strata["gender"]) == {"F", "M"}


def test__evaluate__alias__makes_a_column_of_that_name_a_leak(tables, tmp_path):
    sick = tables["augmented"]["edema"].eq("yes").to_numpy()
    noisy = {
        **tables,
        "augmented": tables["augmented"].assign(wetlung=sick ^ (np.arange(len(sick)) % 9 == 0)),
    }
    refused = RUN.invoke(
        app, _command(noisy, tmp_path, "--alias", "edema=wet lung", "--alias", "edema=wetlung")
    )
    assert refused.exit_code == 2
    assert "wetlung" in refused.output + (refused.stderr or "")
    wrong = RUN.invoke(app, _command(noisy, tmp_path, "--alias", "edema"))
    assert wrong.exit_code == 2
    assert "TARGET=NAME" in wrong.output + (wrong.stderr or "")


def test__evaluate__operating_point__decides_and_is_said(tables, tmp_path):
    result = RUN.invoke(app, _command(tables, tmp_path, "--operating-point", "0.5"))
    assert result.exit_code == 0, result.output
    assert "decisions at a probability of 0.5" in " ".join(result.output.split())
    assert set(pd.read_parquet(tmp_path / "out" / "fits.parquet")["threshold"]) == {0.5}
    wrong = RUN.invoke(app, _command(tables, tmp_path, "--operating-point", "roc"))
    assert wrong.exit_code == 2
    assert "'roc' is not known" in wrong.output + (wrong.stderr or "")
