"""``dallm reproduce figure3`` to ``figure5``, on synthetic cases and on ready tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dallm.cli.app import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame({name: rng.normal(size=n) for name in ("told", "untold", "also untold", "age")})
    frame["Atelectasis"] = frame["told"] + rng.normal(0, 0.4, n) > 0
    frame["split"] = rng.choice(["train", "test"], n)
    path = tmp_path_factory.mktemp("tables") / "augmented.csv"
    frame.to_csv(path, index=False)
    return path


def _command(figure, table, out, *more):
    fast = ["--models", "decision_tree", "--repeats", "1", "--jobs", "1"]
    return ["reproduce", figure, "--frame", str(table), "--out", str(out), *fast, *more]


def test__figure3__ready_table__what_tells_stands_above_the_noise(table, tmp_path):
    result = RUN.invoke(app, _command("figure3", table, tmp_path))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "figure3-atelectasis.png").stat().st_size > 10_000
    found = pd.read_csv(tmp_path / "figure3.csv").set_index("feature")
    assert found.loc["told", "relevant"]
    assert found["drop"].idxmax() == "told"


def test__figure5__ratings_that_agree__correlate(table, tmp_path):
    ratings = pd.DataFrame({"feature": ["Told", "untold", "also untold", "age"], "rater": "A"})
    ratings["plausibility"], ratings["relevance"] = [5, 1, 1, 2], [1, 5, 4, 5]
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    more = ["--ratings", str(tmp_path / "ratings.csv")]
    result = RUN.invoke(app, _command("figure5", table, tmp_path, *more))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "figure5.png").is_file()
    found = pd.read_csv(tmp_path / "figure5.csv").set_index("question")
    assert found.loc["plausibility", "r"] > 0.9
    assert found.loc["relevance", "r"] < -0.7


def test__figure5__without_ratings__writes_a_table_to_fill(table, tmp_path):
    result = RUN.invoke(app, _command("figure5", table, tmp_path))
    assert result.exit_code == 0, result.output
    assert "published nowhere" in result.output
    rows = pd.read_csv(tmp_path / "ratings_to_fill.csv")
    assert rows["feature"].tolist() == ["told", "untold", "also untold", "age"]
    assert rows["plausibility"].isna().all()


def test__figure4__a_set_that_is_not_there__is_named(table, tmp_path):
    result = RUN.invoke(app, _command("figure4", table, tmp_path, "--set", "augmentd"))
    assert result.exit_code == 2
    assert "augmented" in result.output


@pytest.fixture(scope="module")
def report(table):
    """Importances of a tree on a table of which it never uses the column that one case has."""
    from dallm.cli.ready_tables import ReadyTables
    from dallm.paper.figures import importance_report

    frame = pd.read_csv(table)
    frame["never used"] = np.arange(len(frame)) == 3
    path = table.parent / "wide.csv"
    frame.to_csv(path, index=False)
    read = ReadyTables(frame=[f"augmented={path}"], other_cases=True).read()
    return importance_report(read, "augmented", ["decision_tree"], repeats=1, n_jobs=1)


def _titles_of(monkeypatch):
    from dallm.evaluation.figures import write_figure
    from dallm.paper import figures

    drawn = []

    def keep(figure, path):
        drawn.append(figure)
        write_figure(figure, path)

    monkeypatch.setattr(figures, "write_figure", keep)
    return drawn


def test__save_importances__feature_of_importance_zero__stands_in_the_csv_alone(
    report, tmp_path, monkeypatch
):
    from dallm.paper.figures import save_importances

    drawn = _titles_of(monkeypatch)
    save_importances(report, "figure3", tmp_path, synthetic=True)
    kept = pd.read_csv(tmp_path / "figure3.csv").set_index("feature")["drop"]
    unused = kept[kept == 0].index.tolist()
    assert "never used" in unused
    labels = [text.get_text() for text in drawn[0].axes[0].get_yticklabels()]
    assert set(labels) == set(kept.index) - set(unused)
    assert "of importance 0 not drawn" in drawn[0].get_suptitle()
    assert drawn[0].get_suptitle().endswith("(synthetic cases)")


def test__save_ratings_plot__features_without_a_rating__are_counted(report, tmp_path, monkeypatch):
    from dallm.paper.figures import save_ratings_plot

    ratings = pd.DataFrame({"feature": ["told", "untold", "also untold", "age"], "rater": "A"})
    ratings["plausibility"], ratings["relevance"] = [5, 1, 1, 2], [1, 5, 4, 5]
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    drawn = _titles_of(monkeypatch)
    _, notes = save_ratings_plot(report, tmp_path / "ratings.csv", tmp_path)
    assert drawn[0].get_suptitle() == "Importances and ratings; 1 feature not rated"
    assert any("1 feature not rated: never used" in note for note in notes)
    sizes = {
        text.get_size()
        for axis in drawn[0].axes
        for text in (*axis.get_xticklabels(), *axis.get_yticklabels())
    }
    assert sizes == {8.0}
