"""Tests of ``read_table``: real files of every format, and every kind of bad input."""

from __future__ import annotations

import gzip
import random

import pandas as pd
import pytest

import dallm
from dallm.errors import CohortError, ReaderError

FRAME = pd.DataFrame(
    {"case": ["007", "008"], "findings": ["No effusion; 37 °C, stable.", None], "sbp": [120, 95]}
)


def write(folder, name, content, encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.xlsx", "t.jsonl", "t.json"])
def test__read_table__each_format__gives_the_same_cohort(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".parquet"):
        FRAME.to_parquet(path)
    elif name.endswith(".xlsx"):
        FRAME.to_excel(path, index=False)
    elif ".json" in name:
        FRAME.to_json(path, orient="records", lines=name.endswith("l"), force_ascii=False)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    cohort = dallm.read_table(path, id="case", report="findings", numeric={"sbp": "mmHg"})
    assert list(cohort.ids) == ["007", "008"]
    assert [case.report for case in cohort.cases()] == [{"findings": "No effusion; 37 °C, stable."}, {}]
    assert cohort.measured()["sbp"].tolist() == [120, 95]


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-32", "utf-32"),
        ("latin-1", "cp1252"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test__read_table__encoding_and_separator__are_found_and_said(tmp_path, encoding, named, separator):
    text = f'uid{separator}findings\n1{separator}"37 °C, a; b | c\t"\n2{separator}x\n'
    cohort = dallm.read_table(write(tmp_path, "t.csv", text, encoding), id="uid", report="findings")
    assert cohort.frame["findings"].tolist() == ["37 °C, a; b | c\t", "x"]
    assert f"as {named} (" in cohort.notes[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "no header"),
        (b"uid,findings\n", "no row below"),
        (b"uid,findngs\n1,x\n", "no column 'findings' .report.*Did you mean 'findngs'"),
        (b"uid,findings\n1,a\n2,b,c\n3\n", "2 columns, but line 3 has 3; line 4 has 1"),
        (b'uid,findings\n1,ok\n2,"never closed\n3,x\n', "begins on line 3: a quote is opened"),
        (b'uid,findings\n1,"a"b\n', "line 2: text follows a closing quote"),
        (b"uid,findings,findings\n1,a,b\n", "'findings' more than once"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (random.Random(0).randbytes(5000), "not a text table"),
        (gzip.compress(b"uid,findings\n" + random.Random(1).randbytes(900).hex().encode())[:-200], "cut off"),
    ],
)
def test__read_table__bad_file__is_refused_with_file_and_line(tmp_path, content, said):
    with pytest.raises(ReaderError, match=said) as raised:
        dallm.read_table(write(tmp_path, "cases.csv", content), id="uid", report="findings")
    assert "cases.csv" in str(raised.value)


def test__read_table__missing_file__names_the_near_one(tmp_path):
    write(tmp_path, "reports.csv", "uid\n1\n")
    with pytest.raises(ReaderError, match=r"Did you mean 'reports\.csv'"):
        dallm.read_table(tmp_path / "report.csv", id="uid")
    with pytest.raises(ReaderError, match=r"is a folder.*reports\.csv"):
        dallm.read_table(tmp_path, id="uid")


@pytest.mark.parametrize(
    ("name", "said"), [("a.parquet", "Parquet"), ("a.xlsx", "Excel"), ("a.jsonl", "line 2 is no JSON")]
)
def test__read_table__damaged_format__is_refused(tmp_path, name, said):
    path = write(tmp_path, name, '{"uid": 1, "findings": "x"}\n{"uid": 2, "findi\n')
    with pytest.raises(ReaderError, match=said):
        dallm.read_table(path, id="uid", report="findings")


def test__read_table__wrong_encoding_given__names_the_line(tmp_path):
    path = write(tmp_path, "t.csv", "uid,findings\n1,ok\n2,37 °C\n", "latin-1")
    with pytest.raises(ReaderError, match=r"not utf-8: .* on line 3"):
        dallm.read_table(path, id="uid", report="findings", encoding="utf-8")


def test__read_table__hard_reports__pass_through_unchanged(tmp_path):
    texts = [
        "x " * 600_000,
        "".join(map(chr, range(1, 32))) + "\x00",
        "None",
        "胸水なし 😀",
        'say "ah"\r\nnext',
    ]
    table = pd.DataFrame({"uid": range(len(texts)), "findings": texts})
    table.to_csv(tmp_path / "t.csv", index=False, lineterminator="\n", quoting=1)
    cohort = dallm.read_table(tmp_path / "t.csv", id="uid", report="findings")
    assert cohort.frame["findings"].tolist() == texts


def test__read_table__cells__get_types_without_loss(tmp_path):
    text = "id,site,flag,x,y,late\n1,01,true,1.5,3,NA\n2,02,False,2,,\n"
    frame = dallm.read_table(write(tmp_path, "t.csv", text), id="id").frame
    assert frame["site"].tolist() == ["01", "02"]
    assert frame["flag"].tolist() == [True, False]
    assert frame["x"].tolist() == [1.5, 2.0]
    assert frame["y"].isna().tolist() == [False, True]
    assert frame["late"].isna().all()


def test__read_table__decimal_commas__are_read_only_where_they_can_be_nothing_else(tmp_path):
    write(tmp_path, "a.csv", "id;temp\n1;36,7\n2;37\n")
    write(tmp_path, "b.csv", "id;temp\n1;1,234\n2;37\n")
    cohort = dallm.read_table(tmp_path / "a.csv", id="id", numeric={"temp": "degC"})
    assert cohort.frame["temp"].tolist() == [36.7, 37.0]
    with pytest.raises(CohortError, match="temp"):
        dallm.read_table(tmp_path / "b.csv", id="id", numeric={"temp": "degC"})


def test__read_table__workbook_of_several_sheets__takes_the_one_with_the_id(tmp_path):
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame({"about": ["x"]}).to_excel(book, sheet_name="Notes", index=False)
        FRAME.to_excel(book, sheet_name="Cases", index=False)
    cohort = dallm.read_table(tmp_path / "t.xlsx", id="case", report="findings")
    assert cohort.notes[0] == "Read sheet 'Cases' of t.xlsx."
    with pytest.raises(ReaderError, match="Did you mean 'Cases'"):
        dallm.read_table(tmp_path / "t.xlsx", id="case", sheet="Case")


@pytest.mark.parametrize(
    "text", ['{"case": 1, "note": "a", "note": "b"}', '[{"case": 1, "note": "a", "note": "b"}]']
)
def test__read_table__json_key_twice__is_refused(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ReaderError, match="'note' comes twice in one object"):
        dallm.read_table(tmp_path / "a.jsonl", id="case")


def test__read_table__lone_surrogate_in_json__is_mended_and_told(tmp_path):
    path = write(tmp_path, "t.jsonl", '{"uid": 1, "findings": "a\\ud800b"}\n')
    cohort = dallm.read_table(path, id="uid", report="findings")
    assert cohort.frame["findings"][0] == "a?b"
    assert "half characters" in " ".join(cohort.notes)
