"""Ready tables from files: sheets of Excel, a set in several files, what lacks of the paper's features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dallm.cli.app import app
from dallm.cli.ready_tables import ReadyTables
from dallm.errors import ReaderError, UserError
from dallm.paper.as_published import Run
from dallm.paper.frame_parts import frame_files, merged
from dallm.paper.table4 import Table4
from dallm.paper.table4_columns import names_of, vocabulary
from dallm.paper.table4_frames import read_tables
from dallm.paper.table_files import read_frame

RUN = CliRunner()
LABELS = ["Pulmonary edema", "Enlarged cardiac silhouette", "Consolidation", "Atelectasis"]


@pytest.fixture(scope="module")
def base():
    rng = np.random.default_rng(0)
    n = 60
    made = pd.DataFrame({"id": [f"P{i:03d}" for i in range(n)], "subject_id": np.arange(n) // 2})
    for name in names_of("original")[:7]:
        made[name] = rng.normal(100, 10, n).round(1)
    made["gender"] = rng.choice(["F", "M"], n)
    for label in LABELS:
        made[label] = rng.integers(0, 2, n)
    made["Edema_chexpert"] = made["Pulmonary edema"]
    made["No Finding_chexpert"] = (np.arange(n) >= 30).astype(float)
    made["split"] = np.where(np.arange(n) % 4 == 0, "test", "train")
    return made


@pytest.fixture(scope="module")
def lesions(base, tmp_path_factory):
    """The authors' layout: a file per lesion with an index column, shared columns and a text ``reason``."""
    folder = tmp_path_factory.mktemp("aug_results")
    rng = np.random.default_rng(1)
    held = vocabulary()
    by_lesion = {**held["left_out"], **held["generated"], "doctor": names_of("expert")}
    for mark in ("", "-nopk"):
        for lesion, names in by_lesion.items():
            made = base.copy()
            for name in names:
                made[name] = rng.random(len(base)) < 0.3
            made["reason"] = [f"{lesion} {i}" for i in range(len(base))]
            made.to_csv(folder / f"{lesion}-feature-extension{mark}.csv")
    (folder / "result.csv").write_text("a,b\n1,2\n")
    return folder


def _six(folder, mark=""):
    held = vocabulary()
    return [
        folder / f"{name}-feature-extension{mark}.csv"
        for name in [*held["left_out"], *held["generated"], "doctor"]
    ]


def _merged_as_published(folder, mark=""):
    """The merge of the public code: the first file, and of each further one its features."""
    held = vocabulary()
    files = [pd.read_csv(path) for path in _six(folder, mark)]
    made = {name: files[0][name] for name in names_of("original")[:7]}
    for frame, names in zip(files[1:], [*held["generated"].values(), names_of("expert")], strict=True):
        made |= {name: frame[name] for name in names}
    return pd.DataFrame(made).astype(float)


@pytest.mark.parametrize("way", ["folder", "pattern", "commas", "repeated", "other order"])
def test__frame__files_per_lesion__are_merged_as_the_public_code_merges_them(lesions, way):
    files = _six(lesions)
    given = {
        "folder": [f"expert={lesions}"],
        "pattern": [f"expert={lesions}/*-feature-extension.csv"],
        "commas": ["expert=" + ",".join(map(str, files))],
        "repeated": [f"expert={path}" for path in files],
        "other order": [f"expert={path}" for path in reversed(files)],
    }[way]
    read = ReadyTables(frame=given, normals="all").read()
    assert {name: frame.shape[1] for name, frame in read.sets.items()} == {
        "original": 8, "augmented": 78, "expert": 91,
    }  # fmt: skip
    expected = _merged_as_published(lesions)
    assert np.allclose(read.sets["expert"][expected.columns], expected)
    assert read.gaps == ()


def test__frame__folder_for_no_knowledge__takes_the_files_called_so(lesions):
    read = ReadyTables(frame=[f"no_knowledge={lesions}"], normals="all").read()
    expected = _merged_as_published(lesions, "-nopk")
    assert np.allclose(read.sets["no_knowledge"][expected.columns], expected)


def test__frame__two_of_the_files__number_of_features_is_warned_of(lesions, tmp_path):
    files = ",".join(
        str(lesions / f"{name}-feature-extension.csv") for name in ("atelectasis", "pulmonary edema")
    )
    arguments = ["reproduce", "table4", "--out", str(tmp_path), "--models", "decision_tree", "--seeds", "2"]
    arguments += ["--repeats", "0", "--jobs", "1", "--frame", f"augmented={files}"]
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Warning: augmented: 37 features, the paper has 78; missing: 'bone fractures', " in result.output
    assert "Warning" not in RUN.invoke(app, [*arguments, "--other-cases"]).output


def test__merged__rows_in_another_order__by_id_or_refused(base):
    other = base[["id", "sbp"]].assign(fever=np.arange(len(base))).sample(frac=1, random_state=0)
    table, notes = merged({"a": base, "b": other}, "augmented")
    assert table["fever"].tolist() == list(range(len(base)))
    assert "by 'id'" in notes[0]
    with pytest.raises(UserError, match="agrees with that of 'a' in"):
        merged({"a": base.drop(columns="id"), "b": other.drop(columns="id")}, "augmented")
    with pytest.raises(UserError, match="lacks 10 cases of the first file"):
        merged({"a": base, "b": other.iloc[10:]}, "augmented")


def test__frame_files__what_cannot_be_meant__is_named(lesions, tmp_path):
    with pytest.raises(UserError, match="name it"):
        frame_files([str(lesions)])
    with pytest.raises(UserError, match="No file is called like"):
        frame_files([f"augmented={tmp_path}/*.csv"])
    with pytest.raises(UserError, match="holds no table"):
        frame_files([f"augmented={tmp_path}"])


def test__gap__renamed_original_column__is_named_with_what_may_be_meant(base):
    read = read_tables({"original": base.rename(columns={"heartrate": "heart_rate"})})
    assert read.gaps == (
        "original: 7 features, the paper has 8; missing: 'heartrate' (did you mean 'heart_rate'?)",
    )


def test__notes__index_that_was_written_along__is_not_listed(lesions):
    read = ReadyTables(frame=[f"augmented={_six(lesions)[-2]}"]).read()
    assert not [note for note in read.notes if "''" in note]


def test__normals__order_of_the_frames__draws_the_same_cases(base):
    extra = base.assign(**dict.fromkeys(names_of("generated"), 1.0))
    shuffled = base.sample(frac=1, random_state=3)
    one = read_tables({"original": shuffled, "augmented": extra}, normals=10)
    two = read_tables({"augmented": extra, "original": shuffled}, normals=10)
    alone = read_tables({"augmented": extra}, normals=10)
    assert one.labels.index.tolist() == two.labels.index.tolist()
    assert one.sets["augmented"]["sbp"].tolist() == alone.sets["augmented"]["sbp"].tolist()


def test__table4__all_figures_inside__no_asterisk_is_explained():
    runs = [Run(a, 0.5666, 0.367, 0.3591, 0.352, {"age": 0.1}, 0.9) for a in (0.66, 0.67, 0.675)]
    made = Table4(
        runs={("original", "decision_tree"): runs},
        row_of={"original": "original"},
        widths={"original": 8},
        always_no=0.7,
        same_data=True,
    )
    line = next(line for line in made.remarks() if "published figures lie" in line)
    assert line == "6 of 6 published figures lie where a further run would (95 %)."


# ---- sheets


def _book(path, **sheets):
    with pd.ExcelWriter(path) as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    return path


def test__read_frame__several_sheets__the_only_table_is_read_and_it_is_said(base, tmp_path):
    notes = pd.DataFrame({"what": ["made in May"], "who": ["me"]})
    said = []
    path = _book(tmp_path / "a.xlsx", notes=notes, data=base)
    pd.testing.assert_frame_equal(read_frame(path, said.append), base, check_dtype=False)
    assert said == [f"{str(path)!r}: the sheet 'data' is read; no table stands in 'notes'."]


def test__read_frame__two_tables_in_one_file__asks_for_the_sheet(base, tmp_path):
    path = _book(tmp_path / "a.xlsx", one=base, two=base.iloc[:7])
    with pytest.raises(ReaderError, match=r"'one' \(60 rows, 17 columns\), 'two' .* a\.xlsx:one"):
        read_frame(path)
    assert len(read_frame(f"{path}:two")) == 7
    with pytest.raises(ReaderError, match=r"no sheet 'tow'; it has 'one', 'two'\. Did you mean 'two'"):
        read_frame(f"{path}:tow")
    assert list(frame_files([f"{path}:two"])) == ["two"]


@pytest.mark.parametrize("layout", ["title", "merged"])
def test__read_frame__header_not_in_the_first_row__says_what_stands_there(base, tmp_path, layout):
    path = tmp_path / "a.xlsx"
    if layout == "title":
        base.to_excel(path, index=False, startrow=2)
    else:
        made = base.copy()
        made.columns = pd.MultiIndex.from_tuples([("case", c) for c in base])
        made.to_excel(path)
    with pytest.raises(ReaderError, match="the first row does not name the columns") as told:
        read_frame(path)
    row = 3 if layout == "title" else 2
    assert f"names of columns seem to stand in row {row} ('id', 'subject_id', 'temperature', ...)" in str(
        told.value
    )
    assert "P000" not in str(told.value)
