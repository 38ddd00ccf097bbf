"""Tests of ``dallm reproduce table2``: published figures, layouts of files, the command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dallm
from dallm.cli.app import app
from dallm.errors import ReaderError, UserError
from dallm.fidelity.columns import VITALS
from dallm.paper.fidelity_tables import line_up, named_paths, patients_in, read_frame, truth_in
from dallm.paper.published import table2, table2_row, table4
from dallm.paper.table2 import table2_of_cohort, table2_of_tables

RUN = CliRunner()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The layout of one filled table: ids, other columns, measured values and filled ones."""
    rng = np.random.default_rng(0)
    n = 80
    made = pd.DataFrame(
        {"dicom_id": [f"d{i}" for i in range(n)], "subject_id": np.arange(n) // 2, "age": 60.5}
    )
    for name, mean, spread in zip(VITALS, (98, 85, 18, 96, 130, 75), (1, 15, 3, 2, 20, 10), strict=True):
        made[name] = np.round(mean + spread * rng.standard_normal(n), 1)
        made[f"aug_{name}"] = np.round(mean + spread * rng.standard_normal(n), 1)
    return made


def _expected(table: pd.DataFrame, rows: slice = slice(None)) -> list[float]:
    each = [((table[v] - table[f"aug_{v}"])[rows] ** 2).mean() / np.var(table[v].to_numpy()) for v in VITALS]
    return [*each, float(np.mean(each))]


def test__published__means_of_ten_rows_are_those_of_their_columns():
    paper = table2()
    off = (paper[list(VITALS)].mean(axis=1) - paper["mean"]).abs()
    assert paper.shape == (11, 7)
    assert (off <= 0.0011).sum() >= 10
    assert (paper.loc[[r for r in paper.index if r != "MMTF"], "mean"] > 1).all()
    assert table4().shape == (16, 7)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("biogpt_aug_report", "BioGPT"), ("cb_aug_report", "ClinicalBERT"), ("GPT 3.5", "GPT-3.5"),
        ("gpt3_5_aug_report", "GPT-3.5"), ("Llama 2", "Llama2"), ("multimodal-transformer-sep", "MMTF"),
        ("gaussian_aug", "Gaussian"), ("meditron_aug_report", "Meditron"), ("iterative", None),
    ],
)  # fmt: skip
def test__table2_row__names_of_files_and_of_rows(name, row):
    assert table2_row(name) == row


@pytest.mark.parametrize("suffix", ["csv", "tsv", "xlsx", "parquet", "semicolon.csv"])
def test__read_frame__every_format__same_table(tmp_path, table, suffix):
    path = tmp_path / f"gpt4.{suffix}"
    if suffix == "xlsx":
        table.to_excel(path, index=False)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep={"tsv": "\t", "semicolon.csv": ";"}.get(suffix, ","))
    pd.testing.assert_frame_equal(read_frame(path)[list(VITALS)], table[list(VITALS)])


def test__read_frame__damaged_file__is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("no")
    (tmp_path / "b.csv").write_text("a,b\n")
    with pytest.raises(ReaderError, match=r"a\.parquet"):
        read_frame(tmp_path / "a.parquet")
    with pytest.raises(ReaderError, match=r"b\.csv.*no rows"):
        read_frame(tmp_path / "b.csv")


def test__line_up__shuffled_rows_with_ids__figures_stay(table):
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    truth, tables, _ = line_up(table, {"gpt4": shuffled})
    found = table2_of_tables(truth, tables, baselines=(), n_bootstrap=0).fidelity.table()
    assert found.loc["gpt4"].tolist() == pytest.approx(_expected(table))


def test__line_up__shuffled_rows_without_ids__is_refused(table):
    shuffled = table.drop(columns="dicom_id").sample(frac=1, random_state=0)
    with pytest.raises(UserError, match=r"do not belong to those of the truth.*--id"):
        line_up(table, {"gpt4": shuffled})


def test__line_up__fewer_rows_without_ids__are_the_first_and_it_is_said(table):
    few = table[[f"aug_{v}" for v in VITALS]].iloc[:50]
    truth, tables, notes = line_up(table, {"few": few})
    assert "50 of 80 rows" in notes[0]
    found = table2_of_tables(truth, tables, baselines=(), n_bootstrap=0).fidelity.table()
    assert found.loc["few"].tolist() == pytest.approx(_expected(table, slice(50)))


def test__line_up__more_rows_and_no_ids__is_refused(table):
    twice = pd.concat([table.drop(columns="dicom_id")] * 2)
    with pytest.raises(UserError, match="160 rows, the truth 80"):
        line_up(table, {"twice": twice})


def test__line_up__ids_of_two_types__are_one(table):
    truth, filled = table.assign(study_id=range(80)), table.assign(study_id=[f"{i}" for i in range(80)])
    _, tables, _ = line_up(truth.drop(columns="dicom_id"), {"a": filled.iloc[::-1]})
    assert tables["a"].index.tolist() == list(range(80))[::-1]


def test__line_up__bad_id_column__says_so(table):
    with pytest.raises(UserError, match=r"no column 'dicomid'\. Did you mean 'dicom_id'"):
        line_up(table, {"a": table}, id="dicomid")
    with pytest.raises(UserError, match="does not name each row once"):
        line_up(table, {"a": table}, id="subject_id")


def test__named_paths__same_name_twice__is_refused():
    with pytest.raises(UserError, match="called 'a'"):
        named_paths(["x/a.csv", "y/a.csv"])


def test__truth_in__table_without_measured_values__is_refused(table):
    with pytest.raises(UserError, match="--truth"):
        truth_in({"a": table[[f"aug_{v}" for v in VITALS]]})


def test__table2_of_tables__figures_of_the_paper__agree_and_others_do_not(table):
    paper = table2().loc["GPT-4"]
    planted = table[list(VITALS)].copy()
    for name in VITALS:  # a constant distance whose square is the published share of the variance
        planted[f"aug_{name}"] = planted[name] + np.sqrt(paper[name] * np.var(planted[name].to_numpy()))
    made = table2_of_tables(planted, {"gpt4": planted, "gpt3_5": table}, baselines="mean", n_bootstrap=0)
    cells = made.cells().set_index(["method", "feature"])
    assert cells.loc["gpt4", "agrees"].all()
    assert not cells.loc["gpt3_5", "agrees"].any()
    assert cells.loc["mean", "published"].isna().all()
    assert made.remarks()[0] == "1 of 2 rows agree with the paper to .001 in every column."
    assert any("Filling the mean scores 1.000" in line for line in made.remarks())
    assert made.table().loc[("gpt4", "published")].tolist() == paper.tolist()


def test__table2_of_tables__two_tables_of_one_row__is_refused(table):
    with pytest.raises(UserError, match="row 'GPT-4'"):
        table2_of_tables(table, {"gpt4": table, "GPT-4": table}, baselines=(), n_bootstrap=0)


def test__table2_of_cohort__synthetic_cases__have_every_row():
    made = table2_of_cohort(dallm.make_cohort(60, seed=0), baselines=["gaussian", "mean"], n_bootstrap=0)
    assert made.fidelity.methods == ("extractive", "gaussian", "mean")
    assert made.fidelity.features == VITALS
    assert made.row_of == {"gaussian": "Gaussian"}
    assert made.fidelity.table().loc["mean"].tolist() == pytest.approx([1.0] * 7)
    assert "other cases" in made.remarks()[0]


def test__command__ready_tables__measured_beside_published(tmp_path, table):
    for name in ("gpt4_aug_report", "gaussian_aug"):
        table.to_csv(tmp_path / f"{name}.csv")
    arguments = ["reproduce", "table2", "--out", str(tmp_path / "out"), "--baselines", "mean"]
    for name in ("gpt4_aug_report", "gaussian_aug"):
        arguments += ["--filled", str(tmp_path / f"{name}.csv")]
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    figures = [f"{figure:,.3f}" for figure in [*_expected(table), 1.0]]
    assert ["gpt4_aug_report", "measured", *figures] in lines
    assert [
        "gpt4_aug_report",
        "published",
        "1.966",
        "1.344",
        "1.298",
        "1.722",
        "1.251",
        "1.705",
        "1.548",
    ] in lines
    assert ["mean", "measured", *["1.000"] * 8] in lines
    saved = pd.read_csv(tmp_path / "out" / "table2.csv")
    assert {"method", "feature", "measured", "published", "difference", "agrees"} <= set(saved.columns)


def test__command__two_sources_of_cases__is_refused(tmp_path):
    arguments = ["reproduce", "table2", "--out", str(tmp_path), "--mimic", "x", "--filled", "y.csv"]
    assert RUN.invoke(app, arguments).exit_code != 0


def test__command__mimic_iv_ed_demo__runs_on_the_users_folder(tmp_path):
    if not os.environ.get("DALLM_REAL_DATA"):
        pytest.skip("DALLM_REAL_DATA names no folder with the MIMIC-IV-ED demo")
    root = Path(os.environ["DALLM_REAL_DATA"]) / "mimic_iv_ed_demo"
    arguments = [
        "reproduce",
        "table2",
        "--out",
        str(tmp_path),
        "--mimic",
        str(root),
        "--baselines",
        "mean,knn",
    ]
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Filling the mean scores 1.000" in result.output


def test__table2__vital_that_a_table_lacks__is_named_and_the_mean_not_compared(table):
    made = table2_of_tables(
        table, {"gpt4": table.rename(columns={"aug_dbp": "aug_bdp"})}, baselines=(), n_bootstrap=0
    )
    assert made.remarks()[0].endswith("in each of 5 columns; the paper has six.")
    note = next(line for line in made.remarks() if "no filled column" in line)
    assert note.startswith("gpt4 has no filled column for 'dbp' (did you mean 'aug_bdp'?).")
    assert made.cells().set_index("feature").loc["mean", ["published"]].isna().all()
    assert pd.isna(made.table().loc[("gpt4", "published"), "mean"])
    assert not any("no filled column" in line for line in _made(table).remarks())


def _made(truth, filled=None, **options):
    filled = truth if filled is None else filled
    return table2_of_tables(truth, {"gpt4": filled}, baselines="none", n_bootstrap=0, **options)


def test__table2__names_of_other_case_and_separators__are_matched(table):
    truth = table[["dicom_id", *VITALS]]
    names = {f"aug_{v}": f"aug{v}" for v in VITALS} | {"aug_sbp": "AugSBP", "aug_o2sat": "O2Sat-AUG"}
    shouted = truth.rename(columns={v: v.upper() for v in VITALS} | {"heartrate": "Heart Rate"})
    for one in (truth, shouted):
        made = _made(one, table[["dicom_id", *names]].rename(columns=names))
        assert made.fidelity.features == VITALS
        assert made.fidelity.table().loc["gpt4"].tolist() == pytest.approx(_expected(table))
        assert made.cells()["published"].notna().all()


def test__line_up__names_of_ids_and_patients__differ_by_case(table):
    shuffled = table.sample(frac=1, random_state=0).rename(columns={"dicom_id": "DICOM_ID"})
    truth, tables, _ = line_up(table, {"a": shuffled})
    made = table2_of_tables(truth, tables, baselines=(), n_bootstrap=0)
    assert made.fidelity.table().loc["a"].tolist() == pytest.approx(_expected(table))
    assert patients_in(table.rename(columns={"subject_id": "SUBJECT_ID"})) is not None


def test__line_up__id_that_names_two_rows__is_told(table):
    twice = pd.concat([table.rename(columns={"dicom_id": "id"})] * 2).iloc[: len(table) + 1]
    _, _, notes = line_up(twice, {"a": twice})
    assert notes[0].startswith(
        "Column 'id' of the truth names 1 row that another row has named; 1 of them is"
    )
    assert line_up(table, {"a": table})[2] == []


def test__remarks__no_table_of_the_papers_rows__says_so_without_a_count_of_none(table):
    made = table2_of_tables(table, {"mine": table}, baselines=(), n_bootstrap=0)
    assert "0 of 0" not in str(made)
    assert made.remarks()[0].startswith("No filled table is called like a row of the paper")
