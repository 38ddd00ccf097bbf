"""Tests of the scikit-learn transformer: on tables with text, and with scikit-learn's own checks."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import dallm
from dallm import Feature, FeatureAugmenter, FeatureSet
from dallm.errors import CohortError, UserError

EFFUSION = Feature("pleural effusion", "boolean")
CARDIOMEGALY = Feature("cardiomegaly", "boolean")
FEVER = Feature("fever", "boolean")
GENDER = Feature("sex", "categorical", levels=("female", "male"))
TABLE = pd.DataFrame(
    {
        "findings": [
            "No effusion. Mild cardiomegaly.",
            "Moderate pleural effusion.",
            None,
            "Possible effusion.",
        ],
        "temperature": [98.6, 101.3, None, 99.0],
        "gender": ["F", "M", "F", None],
        "patient": [1, 1, 2, 3],
        "sick": [0, 1, 0, 1],
    },
    index=["a", "b", "c", "d"],
)
REPORTS = pd.DataFrame({"findings": ["No effusion.", "Large pleural effusion."] * 10})
OUTCOME = np.array([0, 1] * 10)
# No check of scikit-learn that applies to numeric arrays has to be excused: an array's columns are x0, x1,
# ... and take roles by these names. Add a check's name and the reason here if that changes.
EXPECTED_TO_FAIL: dict[str, str] = {}


def augmenter(**settings):
    given = {
        "features": [EFFUSION, CARDIOMEGALY, FEVER],
        "report": "findings",
        "numeric": {"temperature": "degF"},
    }
    return FeatureAugmenter(**{**given, **settings})


def on_arrays(column):
    """Something that scikit-learn's numeric tables can go through: it copies one of their columns."""
    return FeatureAugmenter(features=[Feature(column, "numeric", unit="1"), FEVER], numeric={column: "1"})


@parametrize_with_checks([on_arrays("x0")], expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL)
def test__sklearn_check__on_arrays__passes(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("check", "column"),
    [
        ("check_dataframe_column_names_consistency", "col_0"),
        ("check_get_feature_names_out_error", "x0"),
        ("check_set_output_transform", "x0"),
        ("check_transformer_get_feature_names_out", "x0"),
        ("check_transformer_get_feature_names_out_pandas", "col0"),
    ],
)
def test__sklearn_check__on_named_columns__passes(check, column):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(estimator_checks, check)("FeatureAugmenter", on_arrays(column))


def test__transform__table_with_reports__gives_numbers_and_nan():
    out = augmenter().fit_transform(TABLE)
    assert out.columns.tolist() == ["pleural effusion", "cardiomegaly", "fever"]
    assert out.index.tolist() == ["a", "b", "c", "d"]
    nan = np.nan
    np.testing.assert_array_equal(out.to_numpy(), [[0, 1, 0], [1, nan, 1], [nan, nan, nan], [nan, nan, 0]])
    assert set(out.dtypes) == {np.dtype("float64")}


def test__transform__uncertain_present__is_one():
    assert augmenter(uncertain="present").fit_transform(TABLE)["pleural effusion"].tolist()[3] == 1


def test__transform__levels__become_columns_and_ranks():
    severity = Feature("grade", "ordinal", levels=("low", "high"))
    table = pd.DataFrame({"gender": ["F", "m", None], "grade": ["high", "low", "odd"]})
    out = FeatureAugmenter(features=[GENDER, severity], categorical=["gender", "grade"]).fit_transform(table)
    assert out.columns.tolist() == ["sex=female", "sex=male", "grade__filled"]
    nan = np.nan
    np.testing.assert_array_equal(out.to_numpy(), [[1, 0, 1], [0, 1, 0], [nan, nan, nan]])


def test__transform__output_all__puts_measured_columns_first():
    whole = augmenter(output="all", categorical="gender", group="patient").fit(TABLE.iloc[:2])
    out = whole.transform(TABLE)
    assert out.columns.tolist() == [
        *("temperature", "gender=F", "gender=M"),
        *("pleural effusion", "cardiomegaly", "fever"),
    ]
    assert out["gender=M"].tolist()[:3] == [0, 1, 0]
    assert out.isna()["gender=M"].tolist() == [False, False, False, True]
    assert out["temperature"].tolist()[:2] == [98.6, 101.3]


def test__fit__other_values_and_outcome__give_the_same_features():
    other = TABLE.assign(findings=["Fever."] * 4, temperature=[97.0, 98.0, 99.0, 100.0])
    first, second = augmenter().fit(TABLE, [0, 1, 0, 1]), augmenter().fit(other, [1, 1, 0, 0])
    assert first.features_.names == second.features_.names
    np.testing.assert_array_equal(first.transform(TABLE), second.transform(TABLE))


def test__transform__case_alone__is_filled_as_among_others():
    fitted = augmenter().fit(TABLE)
    alone = pd.concat([fitted.transform(TABLE.iloc[[row]]) for row in range(len(TABLE))])
    pd.testing.assert_frame_equal(alone, fitted.transform(TABLE))


@pytest.mark.parametrize("id", [None, "patient"])
def test__transform__resampled_table__takes_repeated_cases(id):
    fitted = augmenter(id=id).fit(TABLE)
    out = fitted.transform(TABLE.iloc[[1, 1, 0]])
    assert out["pleural effusion"].tolist() == [1, 1, 0]


def test__pipeline__cross_validate_and_grid_search__work():
    model = make_pipeline(
        augmenter(numeric=None), SimpleImputer(keep_empty_features=True), LogisticRegression()
    )
    scores = cross_validate(model, REPORTS, OUTCOME, cv=2, error_score="raise")
    assert scores["test_score"].tolist() == [1.0, 1.0]
    grid = {"featureaugmenter__uncertain": ["missing", "present"]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(REPORTS, OUTCOME)
    assert search.best_score_ == 1.0


def test__pipeline__model_that_takes_nan__needs_no_imputer():
    model = make_pipeline(augmenter(numeric=None), DecisionTreeClassifier())
    assert model.fit(REPORTS, OUTCOME).score(REPORTS, OUTCOME) == 1.0


def test__set_output__pandas_and_default__keep_names_and_type():
    fitted = augmenter().fit(TABLE)
    expected = fitted.transform(TABLE)
    pd.testing.assert_frame_equal(clone(fitted).set_output(transform="pandas").fit_transform(TABLE), expected)
    array = FeatureAugmenter(features=[EFFUSION], report="x0").fit_transform(TABLE[["findings"]].to_numpy())
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array[:, 0], expected["pleural effusion"])


def test__clone_and_pickle__give_the_same_result():
    fitted = augmenter(features=FeatureSet([EFFUSION, FEVER]), engine="extractive").fit(TABLE)
    expected = fitted.transform(TABLE)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fitted)).transform(TABLE), expected)
    copy = clone(fitted)
    assert not hasattr(copy, "features_")
    pd.testing.assert_frame_equal(copy.fit_transform(TABLE), expected)


def test__init__parameters__are_kept_as_given():
    features, numeric = [EFFUSION], {"temperature": "degF"}
    made = FeatureAugmenter(features=features, numeric=numeric, report="findings")
    assert made.features is features
    assert made.numeric is numeric
    made.fit(TABLE)
    assert (made.features, made.numeric, made.report) == ([EFFUSION], {"temperature": "degF"}, "findings")


def test__feature_names__before_and_after_fit():
    fitted = augmenter().fit(TABLE)
    assert fitted.feature_names_in_.tolist() == TABLE.columns.tolist()
    assert fitted.n_features_in_ == 5
    assert fitted.get_feature_names_out().tolist() == ["pleural effusion", "cardiomegaly", "fever"]


def test__transform__renamed_column__prints_the_difference():
    fitted = augmenter().fit(TABLE)
    with pytest.raises(CohortError) as error:
        fitted.transform(TABLE.rename(columns={"temperature": "temperture"}))
    said = str(error.value)
    assert "unseen at fit time:\n- temperture" in said
    assert "now missing:\n- temperature" in said
    assert "Did you mean 'temperture'?" in said


def test__augment__keeps_ids_and_evidence():
    fitted = augmenter().fit(TABLE)
    result = fitted.augment(TABLE)
    assert result.cohort.ids.tolist() == ["a", "b", "c", "d"]
    assert set(result.evidence["quote"]) >= {"cardiomegaly", "effusion"}
    by_column = augmenter(id="patient").fit(TABLE).augment(TABLE.iloc[[0, 2]])
    assert by_column.cohort.ids.tolist() == [1, 2]
    repeated = fitted.augment(TABLE.iloc[[0, 0]])
    assert repeated.cohort.ids.tolist() == [0, 1]


def test__fit__column_of_the_features_name__is_not_overwritten():
    table = TABLE.assign(fever=[1, 1, 1, 1])
    assert augmenter().fit_transform(table).columns.tolist()[-1] == "fever__filled"


@pytest.fixture(scope="module")
def primer(tmp_path_factory):
    """A store that holds the primer, lexical only."""
    folder = tmp_path_factory.mktemp("store") / "primer.dallm"
    with dallm.open_store(folder, encoder=None) as store:
        dallm.ingest(store, sources=[dallm.Primer()], conditions=["pneumonia"])
    return folder


def test__fit__conditions__discovers_from_the_store_by_names_only(primer):
    with dallm.open_store(primer, encoder=None) as store:
        ack = dallm.build_ack(store, ["pneumonia"])
    settings = {"features": [CARDIOMEGALY], "targets": ["pneumonia", "sick"]}
    first = augmenter(ack=ack, **settings).fit(TABLE, [0, 1, 0, 1])
    other = TABLE.assign(findings=["Wheeze."] * 4, temperature=[97.0, 98.0, 99.0, 100.0], sick=[0.5, 2, 3, 4])
    second = augmenter(ack=ack, **settings).fit(other, [1, 1, 0, 0])
    assert first.features_ == second.features_
    assert {"cardiomegaly", "cough", "fever"} <= set(first.features_.names)
    assert not {"pneumonia", "temperature"} & set(first.features_.names)
    assert first.transform(TABLE)["fever"].tolist()[:2] == [0, 1]


def test__fit__store_by_path_or_object__gives_the_same_features(primer):
    with dallm.open_store(primer, encoder=None) as store:
        by_object = augmenter(conditions=["pneumonia"], features=None, store=store).fit(TABLE)
    by_path = augmenter(conditions=["pneumonia"], features=None, store=primer).fit(TABLE)
    assert "cough" in by_path.features_.names
    assert "pneumonia" not in by_path.features_.names  # it may be the target, since none is named
    targets = augmenter(conditions=["pneumonia"], features=None, store=primer, targets="death").fit(TABLE)
    assert "pneumonia" in targets.features_.names
    assert by_object.features_.names == by_path.features_.names


def test__fit__feature_that_restates_a_target__warns():
    with pytest.warns(UserWarning, match="restate a target: pleural effusion"):
        augmenter(targets="pleural_effusion").fit(TABLE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "al"}, "output must be one of .*Did you mean 'all'"),
        ({"uncertain": "no"}, "uncertain must be one of"),
        ({"report": "finding"}, "no column 'finding'. Did you mean 'findings'"),
        ({"id": "case"}, "id: the table has no column 'case'"),
        ({"report": (), "numeric": None}, "told of no column to read"),
        ({"targets": "findings"}, "'findings' is named as a target and as a column to read"),
        ({"features": []}, "no feature to fill"),
        ({"engine": "extractiv"}, "Did you mean 'extractive'"),
    ],
)
def test__fit__parameter_of_no_use__is_named(settings, message):
    with pytest.raises(UserError, match=message):
        augmenter(**settings).fit(TABLE)


def test__targets__in_the_table__reach_no_engine():
    class Watching:
        name, model = "watching", None

        def fill(self, cases, features, knowledge=None):
            from dallm.engines.base import CaseAnswer

            for case in cases:
                assert set(case.row) <= {"temperature"}
                assert set(case.report) <= {"findings"}
                yield CaseAnswer(case.case_id, {})

    out = augmenter(engine=Watching(), targets="sick", group="patient").fit_transform(TABLE)
    assert out.isna().all(axis=None)
