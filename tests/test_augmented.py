"""Cells, evidence and the augmented table: types, collisions, counts, and what comes back from disk."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from dallm import Ack, Augmented, Cohort, Feature, FeatureSet, fill_values, make_cohort
from dallm.ack.ack import Answer
from dallm.augment.cells import CELL_COLUMNS, EVIDENCE_COLUMNS, CellBuilder, canonical_text
from dallm.engines.base import STATUSES, CaseAnswer, Draft, Quote
from dallm.errors import CohortError, DataQualityWarning, FeatureError, OutputError, ReaderError, UserError

FEATURES = FeatureSet(
    [
        Feature("cough", "boolean"),
        Feature("effusion", "boolean"),
        Feature("temperature", "numeric", unit="degF"),
        Feature("pain", "ordinal", levels=("mild", "moderate", "severe")),
        Feature("side", "categorical", levels=("left", "rechts é")),
        Feature("wet lung", "boolean", restates="effusion"),
    ]
)
TEXT = "Fièvre. No cough, no 🫁 effusion."


def quote(words, assertion="negated"):
    start = TEXT.index(words)
    return Quote(words, "findings", start, start + len(words), assertion, "no <scope>")


EFFUSION = quote("effusion")
DRAFTS = {
    "cough": Draft(False, "documented", "report", rationale="no", quotes=(quote("cough"),)),
    "effusion": Draft(None, "conflicting", "report", "both ways", quotes=(EFFUSION, quote("🫁 effusion"))),
    "temperature": Draft(38.50, "documented", "row"),
    "pain": Draft("Moderate", "inferred", "prior", confidence=0.25, prompt_sha256="ab", cached=True),
    "side": Draft("rechts é", "documented", "report", quotes=(quote("Fièvre", "present"),)),
    "wet lung": Draft(None, "uncertain", "report", quotes=(quote("effusion", "possible"),)),
}  # fmt: skip


def cohort_of(ids=("a", "b"), **columns):
    frame = pd.DataFrame(
        {
            "case": list(ids),
            "patient": [1, 2],
            "findings": [TEXT, None],
            "temperature": [98.6, 37.0],
            "gender": ["F", "M"],
            "effusion": [1, 0],
            **columns,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        return Cohort(
            frame,
            id="case",
            group="patient",
            report="findings",
            numeric={"temperature": "degF"},
            categorical="gender",
            targets="effusion",
            data_use="open",
            notes=["made by hand"],
        )


def augmented_of(cohort=None, drafts=DRAFTS, **settings):
    cohort = cohort or cohort_of()
    first, second = cohort.ids.tolist()
    answers = [CaseAnswer(first, drafts), CaseAnswer(second, {})]
    return Augmented.from_answers(cohort, FEATURES, answers, engine="extractive", **settings)


def equal(one, other):
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test__cells__one_row_per_case_and_feature__in_order():
    cells = augmented_of().cells
    assert tuple(cells.columns) == CELL_COLUMNS
    assert cells["case_id"].tolist() == ["a"] * 6 + ["b"] * 6
    assert cells["feature"].tolist() == [*FEATURES.names] * 2
    values = cells["value"].astype(object).where(cells["value"].notna(), None)
    assert values.tolist() == ["false", None, "38.5", "moderate", "rechts é", None] + [None] * 6
    assert cells["status"].tolist()[:6] == [d.status for d in DRAFTS.values()]
    assert set(cells["status"].tolist()[6:]) == {"not_documented"}
    assert cells["source"].isna().tolist() == [False] * 6 + [True] * 6
    assert cells["n_evidence"].tolist()[:6] == [1, 2, 0, 0, 1, 1]
    assert cells["value_type"].tolist()[:6] == [f.kind for f in FEATURES]
    pain = cells.iloc[3]
    assert (pain["confidence"], pain["prompt_sha256"], bool(pain["cached"])) == (0.25, "ab", True)
    assert cells["confidence"].isna().sum() == 11
    assert cells["reason"].tolist()[:2] == ["", "both ways"]
    assert cells["model"].isna().all()


def test__evidence__every_quote__stands_in_its_field():
    result = augmented_of()
    assert tuple(result.evidence.columns) == EVIDENCE_COLUMNS
    assert len(result.evidence) == 5
    for row in result.evidence.itertuples():
        text = result.cohort.frame.set_index("case").loc[row.case_id, row.field]
        assert text[row.start : row.end] == row.quote


@pytest.mark.parametrize(("uncertain", "value"), [("missing", pd.NA), ("present", True), ("absent", False)])
def test__uncertain__value_is_the_users_choice__status_stays(uncertain, value):
    result = augmented_of(uncertain=uncertain)
    assert result.frame["wet lung"].iloc[0] is value or result.frame["wet lung"].iloc[0] == value
    assert result.cells["status"].iloc[5] == "uncertain"


def test__uncertain__unknown_choice__is_refused():
    with pytest.raises(UserError, match="Did you mean 'missing'"):
        CellBuilder(FEATURES, engine="x", model=None, uncertain="mising")


@pytest.mark.parametrize(
    ("feature", "draft", "reason"),
    [
        ("cough", Draft(True, "documented", "report"), "no quote"),
        ("cough", Draft("yes", "inferred", "prior"), "type str.*boolean"),
        ("cough", Draft(1.0, "inferred", "prior"), "type float.*boolean"),
        ("temperature", Draft(True, "documented", "row"), "type bool.*numeric"),
        ("temperature", Draft(float("nan"), "documented", "row"), "numeric"),
        ("pain", Draft("unbearable", "inferred", "prior"), "ordinal"),
        ("pain", Draft(None, "inferred", "prior"), "no value"),
        ("pain", Draft("mild", "maybe", "prior"), "unknown status 'maybe'"),
    ],
)
def test__draft__that_does_not_fit__becomes_failed_with_the_reason(feature, draft, reason):
    result = augmented_of(drafts={feature: draft})
    [cell] = result.cells[result.cells["status"] == "failed"].to_dict("records")
    assert cell["feature"] == feature
    assert pd.isna(cell["value"])
    assert pd.Series([cell["reason"]]).str.contains(reason).all()
    assert "unbearable" not in cell["reason"]


@pytest.mark.parametrize("status", ["conflicting", "not_applicable", "not_documented", "failed"])
def test__draft__status_without_a_value__never_becomes_false(status):
    result = augmented_of(drafts={"cough": Draft(False, status, "report", quotes=(quote("cough"),))})
    assert result.frame["cough"].isna().all()


def test__answers__for_something_else__are_refused():
    cohort = cohort_of()
    with pytest.raises(FeatureError, match=r"'cogh', which was not asked. Did you mean 'cough'"):
        augmented_of(drafts={"cogh": DRAFTS["cough"]})
    for answers, said in (
        ([CaseAnswer("b", {})], "case 'b' where case 'a' was due"),
        ([CaseAnswer("a", {})], "answered 1 of 2 cases"),
        ([CaseAnswer("a", {}), CaseAnswer("b", {}), CaseAnswer("c", {})], "'c' where case None"),
    ):
        with pytest.raises(CohortError, match=said):
            Augmented.from_answers(cohort, FEATURES, answers, engine="x")


def test__canonical_text__numbers__have_no_trailing_zeros():
    assert [canonical_text(v) for v in (1.50, 2.0, np.float64(3), -0.0, 1e20, 7)] == [
        "1.5",
        "2",
        "3",
        "0",
        "1e+20",
        "7",
    ]


def test__frame__typed_columns__beside_the_given_ones():
    frame = augmented_of().frame
    assert frame.index.name == "case"
    assert frame.columns.tolist() == [
        *("patient", "findings", "temperature", "gender", "effusion"),
        *("cough", "effusion__filled", "temperature__filled", "pain", "side", "wet lung"),
    ]
    assert frame["effusion"].tolist() == [1, 0], "a target is never overwritten"
    assert frame["temperature"].tolist() == [98.6, 37.0]
    new = frame.iloc[:, 5:]
    assert [str(t) for t in new.dtypes] == [
        "boolean",
        "boolean",
        "Float64",
        "category",
        "category",
        "boolean",
    ]
    assert frame["pain"].cat.ordered
    assert not frame["side"].cat.ordered
    assert frame["pain"].cat.categories.tolist() == ["mild", "moderate", "severe"]
    assert frame.loc["a", "temperature__filled"] == 38.5
    assert new.loc["b"].isna().all()


def test__frame__filled_name_taken_too__is_refused_before_the_engine_works():
    def never():
        raise AssertionError("the engine was asked")
        yield

    with pytest.raises(FeatureError, match=r"'effusion'.*'effusion__filled'.*rename"):
        Augmented.from_answers(cohort_of(effusion__filled=[1, 2]), FEATURES, never(), engine="x")


def test__X__predictors_only__warns_of_restated_targets():  # noqa: N802
    result = augmented_of()
    original = result.X("original")
    equal(original, result.cohort.measured())
    assert original["temperature"].isna().tolist() == [False, True], "37 under degF is not used"
    with pytest.warns(
        UserWarning, match=r"'effusion__filled' \('effusion'\), 'wet lung' \('effusion'\)"
    ) as said:
        everything = result.X()
    assert said[0].filename == __file__
    assert everything.columns.tolist() == ["temperature", "gender", *result.columns_of.values()]
    with pytest.warns(UserWarning, match="restate"):
        assert result.X("new").columns.tolist() == list(result.columns_of.values())
    with pytest.raises(UserError, match="Did you mean 'original'"):
        result.X("orignal")


def test__summary__counts_every_status():
    summary = augmented_of().summary()
    assert summary.columns.tolist() == ["kind", *STATUSES, "coverage", "n_true", "n_false"]
    assert summary.index.tolist() == list(FEATURES.names)
    assert (summary[list(STATUSES)].sum(axis=1) == 2).all()
    cough = summary.loc["cough"]
    assert (cough["documented"], cough["coverage"], cough["n_true"], cough["n_false"]) == (1, 0.5, 0, 1)
    assert summary.loc["effusion", "conflicting"] == 1
    assert pd.isna(summary.loc["pain", "n_true"])


def test__case_and_conflicts__show_cells_with_quotes():
    result = augmented_of()
    conflicts = result.conflicts()
    assert conflicts["quote"].tolist() == ["effusion", "🫁 effusion"]
    assert set(conflicts["case_id"]) == {"a"}
    case = result.case("a")
    assert len(case) == 7
    assert case.loc[case["feature"] == "temperature", "start"].isna().all()
    with pytest.raises(CohortError, match=r"no case 'aa'.*Did you mean 'a'"):
        result.case("aa")
    with pytest.raises(CohortError, match="no case 1"):
        result.case(1)


@pytest.mark.parametrize(
    ("ids", "asked", "said"), [((1, 2), "1", "whole numbers, not str"), (("1", "2"), 1, "text, not int")]
)
def test__case__id_of_another_type__says_which_is_wanted(ids, asked, said):
    with pytest.raises(CohortError, match=f"no case {asked!r}. Its ids are {said}"):
        augmented_of(cohort_of(ids)).case(asked)


def test__tables__of_another_cohort__are_refused():
    result = augmented_of()
    args = (result.cohort, FEATURES)
    with pytest.raises(CohortError, match="has 11 rows"):
        Augmented(*args, result.cells.iloc[:-1], result.evidence)
    with pytest.raises(CohortError, match="not in the order"):
        Augmented(*args, result.cells.iloc[::-1], result.evidence)
    with pytest.raises(CohortError, match="'evidence' speaks in row 0"):
        Augmented(*args, result.cells, result.evidence.assign(case_id="z"))
    with pytest.raises(CohortError, match="lacks the column 'status'"):
        Augmented(*args, result.cells.drop(columns="status"), result.evidence)


ODD = {
    "mixed": pd.Series([1, "é"], dtype=object),
    "nan_text": pd.Series(["x", np.nan], dtype=object),
    "numbers": pd.Series([1, 2.5], dtype=object),
    "none_text": pd.Series([None, "x"], dtype=object),
    "levels": pd.Categorical([3, 1], categories=[3, 2, 1], ordered=True),
    "flags": pd.array([True, None], dtype="boolean"),
    "small": np.array([1, 2], dtype="int8"),
    "when": pd.to_datetime(["2020-01-01", None]).astype("datetime64[s]"),
    "day": [date(2020, 1, 1), None],
    "lists": [[1, 2], [3]],
    "control": ["a\x00\x07\r\nb", '"quoted", text'],
}


AWKWARD = {
    "whole_or_none": pd.Series([1, None], dtype=object),
    "nan_and_none": pd.Series([np.nan, None], dtype=object),
    "tuples": pd.Series([(1, 2), None], dtype=object),
    "dicts": pd.Series([{"a": 1}, {2: None}], dtype=object),
    "sets": pd.Series([{1}, None], dtype=object),
    "exact": pd.Series([Decimal("1.10"), Decimal("2")], dtype=object),
    "dates_or_text": pd.Series([pd.Timestamp("2020-01-01", tz="Europe/Paris"), "unknown"], dtype=object),
    "complex": [1j, 2.0],
    "sparse": pd.arrays.SparseArray([0.0, 1.0]),
    "text": pd.array(["a", None], dtype=pd.StringDtype("pyarrow")),
    "text_of_python": pd.array(["a", None], dtype=pd.StringDtype("python")),
    "arrow_text": pd.array(["a", None], dtype=pd.ArrowDtype(pa.string())),
    "arrow_lists": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "any_levels": pd.Categorical([1, "a"], categories=["a", 1]),
}


@pytest.mark.parametrize("column", AWKWARD)
def test__save_load__awkward_column__comes_back_equal_and_of_the_same_types(tmp_path, column):
    cohort = cohort_of(**{column: AWKWARD[column]})
    result = augmented_of(cohort)
    result.save(tmp_path)
    again = Augmented.load(tmp_path).cohort.frame
    equal(again, cohort.frame)
    assert list(map(type, again[column])) == list(map(type, cohort.frame[column]))
    assert len(pd.read_parquet(tmp_path / "augmented.parquet")) == 2


def test__save_load__category_of_whole_numbers_and_none__keeps_its_levels(tmp_path):
    frame = pd.DataFrame({"case": [1, 2], "stage": pd.Series([1, None], dtype=object)})
    result = augmented_of(Cohort(frame, id="case", categorical="stage"), drafts={})
    result.save(tmp_path)
    equal(Augmented.load(tmp_path).X("original"), result.X("original"))


def test__save__object_that_no_file_holds__names_the_column_and_no_cell(tmp_path):
    result = augmented_of(cohort_of(where=[Path("/secret"), None]))
    with pytest.raises(OutputError, match="Column 'where' holds values of type PosixPath") as caught:
        result.save(tmp_path)
    assert "secret" not in str(caught.value)


def test__save__attributes_of_the_users_frame__do_not_matter(tmp_path):
    cohort = cohort_of()
    cohort.frame.attrs["source"] = object()
    augmented_of(cohort).save(tmp_path)
    equal(Augmented.load(tmp_path).cohort.frame, cohort.frame)


@pytest.mark.parametrize("ids", [("a", "é"), (7, 3), (10.0, 11.0), ("007", "7"), (1, "b"), (2**70, 2)])
def test__save_load__gives_back_the_same(tmp_path, ids):
    result = augmented_of(cohort_of(ids, **ODD))
    assert result.save(tmp_path / "deep" / "out") == tmp_path / "deep" / "out"
    again = Augmented.load(tmp_path / "deep" / "out")
    for name in ("cells", "evidence", "frame"):
        equal(getattr(again, name), getattr(result, name))
    equal(again.cohort.frame, result.cohort.frame)
    equal(again.X("original"), result.X("original"))
    assert again.features == result.features
    assert again.run == result.run
    assert again.run["data_sha256"] == result.cohort.sha256
    assert again.columns_of == result.columns_of
    assert (again.cohort.targets, again.cohort.notes) == (("effusion",), ("made by hand",))
    assert list(again.cohort.cases()) == list(result.cohort.cases())


def test__save__files__are_the_documented_ones_and_nothing_else(tmp_path):
    result = augmented_of()
    (tmp_path / "ack.json").write_text("{}")  # of an earlier result
    result.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("augmented.csv", "augmented.parquet", "cells.parquet", "cohort.json", "cohort.parquet"),
        *("evidence.parquet", "features.json", "run.json"),
    ]
    equal(pd.read_parquet(tmp_path / "augmented.parquet"), result.frame)
    assert FeatureSet.from_json(tmp_path / "features.json") == FEATURES
    assert json.loads((tmp_path / "run.json").read_text())["engine"] == "extractive"


def test__save_load__with_knowledge__keeps_it(tmp_path):
    ack = Ack([Answer("effusion", "signs", "examination", "Which signs?", "Dullness.")])
    augmented_of(ack=ack, run={"note": "é"}).save(tmp_path)
    again = Augmented.load(tmp_path)
    assert again.ack == ack
    assert again.run["note"] == "é"


def test__save_load__nothing_filled__comes_back(tmp_path):
    cohort = cohort_of()
    for features in (FEATURES, FeatureSet()):
        answers = [CaseAnswer(i, {}) for i in cohort.ids]
        result = Augmented.from_answers(cohort, features, answers, engine="x")
        result.save(tmp_path)
        equal(Augmented.load(tmp_path).cells, result.cells)
        equal(Augmented.load(tmp_path).evidence, result.evidence)
        assert len(result.summary()) == len(features)


def test__to_csv__line_breaks_and_types__survive(tmp_path):
    result = augmented_of(cohort_of(control=["a\rb\nc", '"x", y']))
    result.to_csv(tmp_path / "a.csv")
    back = pd.read_csv(tmp_path / "a.csv", keep_default_na=False, dtype=str)
    assert back["control"].tolist() == ["a\rb\nc", '"x", y']
    assert back["cough"].tolist() == ["False", ""]
    assert back["findings"].tolist()[0] == TEXT
    assert back.columns[0] == "case"


def test__save__target_cannot_be_written__names_path_and_cause(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.*(exists|directory)") as caught:
        augmented_of().save(tmp_path / "file")
    assert isinstance(caught.value, OSError)
    with pytest.raises(OutputError, match=r"mixed\.csv"):
        augmented_of().to_csv(tmp_path / "file" / "mixed.csv")


@pytest.mark.skipif(not Path("/dev/full").exists() or os.name != "posix", reason="needs /dev/full")
def test__save__disk_full__says_so_and_keeps_the_old_file(tmp_path, monkeypatch):
    result = augmented_of()
    result.to_csv(tmp_path / "a.csv")
    before = (tmp_path / "a.csv").read_bytes()
    real = pd.DataFrame.to_csv
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda self, path, **kw: real(self, "/dev/full", **kw))
    with pytest.raises(OutputError, match=r"a\.csv.*No space left"):
        result.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1, "no part of a file is left behind"


def test__load__broken_folder__names_the_file(tmp_path):
    with pytest.raises(ReaderError, match="no folder"):
        Augmented.load(tmp_path / "none")
    result = augmented_of()
    for name in ("cells.parquet", "cohort.json", "run.json"):
        result.save(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ReaderError, match=f"{name}.*missing"):
            Augmented.load(tmp_path)
    result.save(tmp_path)
    (tmp_path / "cells.parquet").write_bytes(b"not parquet")
    with pytest.raises(ReaderError, match=r"cells\.parquet.*cannot be read"):
        Augmented.load(tmp_path)


def test__pickle__augmented__is_equal():
    result = augmented_of()
    again = pickle.loads(pickle.dumps(result))
    equal(again.frame, result.frame)
    equal(again.cells, result.cells)


def test__shown__counts_and_columns__no_report_text():
    result = augmented_of()
    assert "2 cases, 6 features, 5 quotes" in repr(result)
    assert "not_documented" in repr(result)
    for shown in (repr(result), result._repr_html_()):
        assert "Fièvre" not in shown


def test__builder__many_cases__stays_small():
    features = [Feature(f"feature {n}", "boolean") for n in range(60)]
    builder = CellBuilder(features, engine="x", model=None)
    drafts = {f.name: Draft(True, "documented", "row") for f in features[::10]}
    for case_id in range(5_000):
        builder.add(CaseAnswer(case_id, drafts))
    cells, evidence = builder.finish()
    assert cells.shape == (300_000, 14)
    assert evidence.shape == (0, 8)
    assert cells["case_id"].dtype == "int64"
    assert cells["value"].notna().sum() == 30_000
    assert cells.memory_usage(deep=True).sum() / len(cells) < 60, "bytes per cell"


def test__load__synthetic_cohort__is_still_said_to_be_synthetic(tmp_path):
    fill_values(make_cohort(3, seed=0), [Feature("fever", "boolean")]).save(tmp_path)
    loaded = Augmented.load(tmp_path)
    assert loaded.cohort.synthetic
    assert "3 synthetic cases" in repr(loaded)
