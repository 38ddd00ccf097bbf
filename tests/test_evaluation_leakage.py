"""The leakage audit on real public tables, with and without planted leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import UserError
from dallm.evaluation.fits import Inputs, Split
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.leakage import LEAKAGE, audit, raise_leaks
from dallm.evaluation.leakage.names import TargetNames
from dallm.lexicon import Lexicon


def inputs_of(table: pd.DataFrame, labels: pd.Series | pd.DataFrame) -> Inputs:
    return check_inputs({"all": table}, labels, np.arange(len(table)))


def found_for(found: pd.DataFrame, column: str) -> set[str]:
    return set(found.loc[found["column"] == column, "severity"])


@pytest.fixture(scope="module")
def clean() -> tuple[pd.DataFrame, pd.Series]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    return data.data, (data.target == 0).rename("malignant")


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine", "diabetes", "digits"])
def test__audit__clean_public_table__refuses_nothing_and_suspects_little(name):
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")(as_frame=True)
    if name == "diabetes":
        labels = (data.target > 140).to_frame("diabetes")
    else:
        labels = pd.DataFrame({f"class {k}": data.target == k for k in sorted(data.target.unique())})
    found = audit(inputs_of(data.data, labels))
    assert tuple(found.columns) == LEAKAGE
    assert not (found["severity"] == "refuse").any()
    assert len(found) <= max(10, data.data.shape[1] // 3)
    raise_leaks(found)


RECODED = {
    "flag": lambda y: y,
    "inverted": lambda y: (~y).astype(float),
    "scaled": lambda y: y * 3.7 - 1,
    "nullable": lambda y: y.astype("boolean"),
    "words": lambda y: y.map({True: "yes", False: "no"}),
    "spellings": lambda y: pd.Series([("Yes", "y ", "TRUE")[i % 3] if v else "No" for i, v in enumerate(y)]),
    "category": lambda y: pd.Categorical(y.map({True: "bad", False: "good"})),
    "gaps": lambda y: y.astype("boolean").mask(np.arange(len(y)) % 3 == 0),
    "said unknown": lambda y: y.map({True: "a", False: "b"}).mask(np.arange(len(y)) % 5 == 0, "unknown"),
    "present or missing": lambda y: pd.Series("positive", index=y.index).where(y),
    "graded": lambda y: y.map({True: "mild", False: "none"}).mask(y & (np.arange(len(y)) % 2 == 0), "severe"),
    "jitter": lambda y: y + np.random.default_rng(0).normal(0, 1e-3, len(y)),
}


@pytest.mark.parametrize("coding", RECODED)
def test__audit__recoded_copy__is_refused_by_name(clean, coding):
    table, labels = clean
    found = audit(inputs_of(table.assign(q7=RECODED[coding](labels)), labels))
    refused = found[found["severity"] == "refuse"]
    assert refused[["kind", "column", "target"]].to_numpy().tolist() == [["identical", "q7", "malignant"]]


def test__audit__copy_where_labels_are_missing__is_refused(clean):
    table, labels = clean
    gaps = labels.astype("boolean").mask(np.arange(len(labels)) % 4 == 0)
    assert found_for(audit(inputs_of(table.assign(q7=gaps), gaps)), "q7") == {"refuse"}
    assert found_for(audit(inputs_of(table.assign(q7=labels), gaps)), "q7") == {"refuse"}


@pytest.mark.parametrize("seed", range(4))
def test__audit__noisy_copies__are_refused_by_name_and_suspected_without(seed):
    rng = np.random.default_rng(seed)
    truth = pd.Series(rng.random(300) < 0.3, name="pleural effusion")
    noisy = truth ^ (rng.random(300) < 0.02)
    names = ["Pleural_Effusion_label", "hydrothorax", "pleural abnormality", "plural efusion", "q7"]
    table = pd.DataFrame(dict.fromkeys(names, noisy)).assign(age=rng.normal(60, 9, 300))
    found = audit(inputs_of(table, truth), aliases={"pleural effusion": ["fluid_pl"]})
    assert [found_for(found, name) for name in names] == [{"refuse"}] * 4 + [{"suspect"}]
    assert not found_for(found, "age")
    called = audit(
        inputs_of(pd.DataFrame({"fluid_pl": noisy}), truth), aliases={"pleural effusion": ["fluid_pl"]}
    )
    assert found_for(called, "fluid_pl") == {"refuse"}


@pytest.mark.parametrize(
    ("target", "column"), [("y", "y_again"), ("edema", "edema seen by reader"), ("target", "target_noisy")]
)
def test__audit__name_with_other_words__is_refused_where_it_tells_the_target(target, column):
    rng = np.random.default_rng(0)
    truth = pd.Series(rng.random(400) < 0.3, name=target)
    told = audit(inputs_of(pd.DataFrame({column: truth ^ (rng.random(400) < 0.1)}), truth))
    assert told[["severity", "kind"]].to_numpy().tolist() == [["refuse", "name"]]
    assert audit(inputs_of(pd.DataFrame({"q7": truth ^ (rng.random(400) < 0.15)}), truth)).empty


SYNONYMS = [
    ("cardiomegaly", "enlarged heart"),
    ("cardiomegaly", "heart_enlarged"),
    ("cardiomegaly", "EnlargedHeart_by_reader_2"),
    ("pulmonary embolism", "PE"),
    ("pulmonary embolism", "pe_on_ct"),
    ("dx_PE", "pulmonary embolus"),
    ("cxr edema", "pulmonary oedema"),
    ("MI", "acute heart attack"),
    ("reader 1 enlarged cardiac silhouette", "cardiomegaly"),
]


@pytest.mark.parametrize(("target", "column"), SYNONYMS)
def test__evaluate__synonym_of_target_in_the_lexicon__is_refused_by_name(target, column):
    rng = np.random.default_rng(3)
    truth = pd.Series(rng.random(300) < 0.3, name=target)
    few = pd.DataFrame({"heart rate": rng.normal(80, 9, 300), "spo2": rng.normal(95, 2, 300)})
    more = few.assign(**{column: truth ^ (rng.random(300) < 0.08)})
    with pytest.raises(UserError, match=f"^'{column}' gives away the target '{target}': its name"):
        dallm.evaluate({"original": few, "more": more}, truth, np.arange(300), models="logistic_regression")
    alone = audit(inputs_of(more, truth))
    assert alone[["severity", "kind", "column"]].to_numpy().tolist() == [["refuse", "name", column]]
    # the name alone, without what it tells, stops nothing
    other = audit(inputs_of(few.assign(**{column: rng.random(300) < 0.3}), truth))
    assert not (other["severity"] == "refuse").any()


def test__evaluate__aliases_given__are_names_of_the_target():
    rng = np.random.default_rng(3)
    truth = pd.Series(rng.random(240) < 0.4, name="cardiomegaly")
    few = pd.DataFrame({"age": rng.normal(60, 9, 240)})
    sets = {"original": few, "more": few.assign(CMG=truth ^ (rng.random(240) < 0.1))}
    asked = {"models": "logistic_regression", "protocol": dallm.LeakFree(repeats=1, folds=3), "controls": ()}
    assert dallm.evaluate(sets, truth, np.arange(240), **asked).leakage().empty
    for names in ("CMG", ["heart", "cmg"]):
        with pytest.raises(UserError, match="'CMG' gives away the target 'cardiomegaly': its name is that"):
            dallm.evaluate(sets, truth, np.arange(240), aliases={"cardiomegaly": names}, **asked)
    with pytest.raises(UserError, match=r"target 'cardiomegalie'; the targets .*Did you mean 'cardiomegaly'"):
        dallm.evaluate(sets, truth, np.arange(240), aliases={"cardiomegalie": "CMG"}, **asked)
    with pytest.raises(UserError, match="aliases= is a list; give a mapping"):
        dallm.evaluate(sets, truth, np.arange(240), aliases=["CMG"], **asked)
    with pytest.raises(UserError, match="aliases= gives 3 as a name of 'cardiomegaly'"):
        dallm.evaluate(sets, truth, np.arange(240), aliases={"cardiomegaly": [3]}, **asked)


def test__evaluate__names_of_a_feature_that_means_the_target__are_names_of_the_target():
    cohort = dallm.make_cohort(120, seed=0)
    feats = [dallm.Feature("cardiomegaly", "boolean", aliases=("CMG", "wide heart shadow"))]
    augmented = dallm.fill_values(cohort, feats)
    truth = pd.Series(np.arange(120) % 3 == 0, index=cohort.ids, name="enlarged heart")
    few = pd.DataFrame({"age": np.arange(120.0) % 7}, index=cohort.ids)
    noisy = truth ^ (np.arange(120) % 12 == 0)
    sets = {"original": few, "more": few.assign(wide_heart_shadow=noisy)}
    with pytest.raises(UserError, match="'wide_heart_shadow' gives away the target 'enlarged heart'"):
        dallm.evaluate(sets, truth, np.arange(120), cohort=cohort, augmented=augmented, controls=())
    assert not (audit(inputs_of(sets["more"], truth))["severity"] == "refuse").any()


FORMS = [
    ("pleural effusion", "Pleural effusion seen"),
    ("pleural effusion", "effusion, pleural"),
    ("pleural effusion", "pleurl effusion"),
    ("pleural effusion", "bilateral effusions"),
    ("pleural effusion", "hydrothoraces"),
    ("enlarged cardiac silhouette", "Cardiac silhouette enlarged"),
    ("enlarged cardiac silhouette", "ECS"),
    ("consolidation", "Consolidated lung"),
    ("pleural abnormality", "abnormal pleura"),
    ("REFLACX: Pleural effusion", "effusions on the left"),
    ("REFLACX: Pleural effusion", "hydrothorax"),
    ("hydrothoraces", "pleural effusion"),
    ("fibrotic lesion", "lesions, fibrosis"),
]


@pytest.mark.parametrize(("target", "name"), FORMS)
def test__audit__word_form_as_name_or_alias__is_refused_alike(target, name):
    cohort = dallm.make_cohort(200, seed=0)
    rng = np.random.default_rng(0)
    sick = pd.Series(rng.random(200) < 0.4, name=target, index=cohort.ids)
    seen = sick ^ (rng.random(200) < 0.02)
    inputs = check_inputs({"all": pd.DataFrame({name: seen, "zz": seen})}, sick, np.arange(200))
    filled = dallm.fill_values(cohort, [dallm.Feature("zz", "boolean", aliases=(name,))])
    found = audit(inputs, augmented=filled).query("severity == 'refuse'")
    assert found["column"].tolist() == [name, "zz"]
    assert "zz" not in audit(inputs).query("severity == 'refuse'")["column"].tolist()


def test__audit__features_of_other_findings__are_not_refused_for_their_words():
    names = ["pneumothorax", "lung volume", "pleural line", "normal heart", "cardiac device", "opaque tube"]
    lexicon = Lexicon.default()
    for target in ("pleural effusion", "consolidation", "enlarged cardiac silhouette", "atelectasis"):
        target_names = TargetNames(target, [], lexicon)
        assert [name for name in names if target_names.match(name) is not None] == []


def test__audit__name_of_target_without_association__is_listed_only():
    rng = np.random.default_rng(0)
    truth = pd.Series(rng.random(300) < 0.3, name="diabetes")
    table = pd.DataFrame({"diabetes_flag": rng.random(300) < 0.3, "diabetes pedigree": rng.normal(size=300)})
    found = audit(inputs_of(table, truth))
    assert found[["severity", "kind", "column"]].to_numpy().tolist() == [["suspect", "name", "diabetes_flag"]]


def test__audit__missingness_one_class_and_middle_values__are_suspects(clean):
    labels = clean[1]
    rng = np.random.default_rng(1)
    noise = pd.Series(rng.normal(size=len(labels)))
    marked = labels & (rng.random(len(labels)) < 0.3)
    found = audit(
        inputs_of(
            pd.DataFrame(
                {
                    "gone": noise.mask(labels & (rng.random(len(labels)) < 0.9)),
                    "level": pd.Series(rng.choice(["a", "b"], len(labels))).mask(marked, "c"),
                    "range": noise.mask(marked, 900 + noise),
                    "middle": np.where(
                        labels, rng.normal(0, 0.2, len(labels)), rng.choice([-9.0, 9.0], len(labels))
                    ),
                    "honest": noise,
                }
            ),
            labels,
        )
    )
    assert set(found["severity"]) == {"suspect"}
    kinds = dict(zip(found["column"], found["kind"], strict=True))
    assert kinds == {
        "gone": "missingness",
        "level": "one class",
        "range": "one class",
        "middle": "association",
    }


def test__audit__chance_in_few_cases_or_many_columns__is_no_leak():
    rng = np.random.default_rng(0)
    three = pd.DataFrame({"a": [1, 0, 1], "b": [0.1, 0.2, 0.3]})
    assert audit(inputs_of(three, pd.Series([1, 0, 1], name="edema"))).query("severity == 'refuse'").empty
    wide = pd.DataFrame(rng.random((60, 1000)) < 0.03, columns=[f"f{k}" for k in range(1000)])
    rare = pd.Series(np.arange(60) < 1, name="edema")
    assert audit(inputs_of(wide, rare)).query("severity == 'refuse'").empty


def test__audit__patient_and_row_on_both_sides__are_refused():
    labels = pd.Series([True, False] * 6, name="edema")
    table = pd.DataFrame({"age": np.arange(12.0)})
    inputs = check_inputs({"all": table}, labels, [f"p{k // 2}" for k in range(12)])
    good = Split("edema", 0, 0, np.arange(8), np.arange(8, 12))
    assert audit(inputs, splits=[good]).empty
    bad = Split("edema", 0, 1, np.arange(7), np.arange(6, 12))
    found = audit(inputs, splits=[good, bad])
    assert found[["severity", "kind", "column", "target"]].to_numpy().tolist() == [
        ["refuse", "shared row", "row", "edema"],
        ["refuse", "shared patient", "patient", "edema"],
    ]
    assert "'p3'" in found.loc[1, "detail"]
    with pytest.raises(UserError, match=r"'row' gives away the target 'edema'"):
        raise_leaks(found, allow_leaks=["patient"])
    raise_leaks(found, allow_leaks=["patient", "row"])


def test__audit__copied_cases_under_other_patients__are_suspected(clean):
    table, labels = clean
    twice = pd.concat([table, table.head(40)], ignore_index=True)
    found = audit(inputs_of(twice, pd.concat([labels, labels.head(40)], ignore_index=True)))
    assert found.loc[found["kind"] == "duplicate rows", "detail"].str.startswith(
        "80 of 609 cases"
    ).tolist() == [True]


def test__audit__copied_cases_without_patients__are_suspected(clean):
    table, labels = clean
    twice = pd.concat([table, table.head(40)], ignore_index=True)
    again = pd.concat([labels, labels.head(40)], ignore_index=True)
    found = audit(check_inputs({"all": twice}, again))
    assert found.loc[found["kind"] == "duplicate rows", "severity"].tolist() == ["suspect"]


@pytest.mark.parametrize("copied", [1, 30])
def test__audit__test_cases_that_are_training_cases_again__are_refused_with_their_share(clean, copied):
    table, labels = clean
    twice = pd.concat([table, table.head(copied)], ignore_index=True)
    again = pd.concat([labels, labels.head(copied)], ignore_index=True)
    inputs = inputs_of(twice, again)
    splits = [Split("malignant", r, 0, np.arange(400), np.arange(400, len(twice))) for r in range(2)]
    refused = audit(inputs, splits=splits).query("severity == 'refuse'")
    assert refused[["kind", "column", "target"]].to_numpy().tolist() == [
        ["duplicate rows", "row", "malignant"]
    ]
    share = f"{100 * copied / (169 + copied):.2g} %"
    assert f"{copied} of {169 + copied} test cases ({share})" in refused["detail"].iloc[0]
    with pytest.raises(UserError, match=r"Drop the copies.*allow_leaks=\['row'\]"):
        raise_leaks(refused)
    folds = [Split("malignant", 0, k, np.arange(300), np.arange(300, len(twice))) for k in range(2)]
    assert "refuse" not in audit(inputs, splits=folds)["severity"].tolist()
    other = inputs_of(twice, pd.concat([labels, ~labels.head(copied)], ignore_index=True))
    assert "refuse" not in audit(other, splits=splits)["severity"].tolist()


def test__audit__honest_twins__are_not_refused_and_gaps_are_no_agreement():
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True)
    labels = (data.target == 2).rename("virginica")
    rows = np.arange(150)
    test = np.array([20, 142])  # the latter has a twin, case 101
    splits = [Split("virginica", 0, 0, np.delete(rows, test), test)]
    found = audit(inputs_of(data.data, labels), splits=splits)
    assert "refuse" not in found["severity"].tolist()
    cohort = dallm.make_cohort(800, seed=1)  # most of its measured values are missing in some cases
    table = cohort.measured()
    assert table.duplicated().sum() > 5
    found = audit(inputs_of(table, cohort.frame.set_index("case_id")[list(cohort.targets)]))
    assert "duplicate rows" not in found["kind"].tolist()
    flags = pd.DataFrame(np.random.default_rng(0).random((300, 6)) < 0.5, columns=list("abcdef"))
    found = audit(inputs_of(flags, pd.Series(rows.repeat(2) % 7 < 3, name="edema")))
    assert "duplicate rows" not in found["kind"].tolist()


def test__audit__column_in_two_sets__stands_once_with_both(clean):
    table, labels = clean
    few = table.iloc[:, :2].assign(q7=labels)
    found = audit(check_inputs({"few": few, "many": few.assign(age=1.0)}, labels, np.arange(len(labels))))
    assert found["feature_set"].tolist() == ["few, many"]


def test__audit__million_rows__needs_no_copy_and_checks_all_rows():
    import tracemalloc

    rng = np.random.default_rng(0)
    n = 1_000_000
    truth = rng.random(n) < 0.1
    table = pd.DataFrame(rng.normal(size=(n, 12)), columns=[f"c{k}" for k in range(12)])
    near = truth.copy()
    near[::100_003] = ~near[::100_003]
    table["copy"], table["near"] = truth, near
    inputs = Inputs({"all": table}, pd.DataFrame({"edema": pd.array(truth, dtype="boolean")}), None)
    tracemalloc.start()
    found = audit(inputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[["severity", "column"]].to_numpy().tolist() == [["refuse", "copy"], ["suspect", "near"]]
    assert peak < 1.5 * table.memory_usage().sum()


def test__audit__augmented__uses_marks_and_aliases_of_features():
    cohort = dallm.make_cohort(200, seed=0)
    feats = [
        dallm.Feature("q7", "boolean", aliases=("pleural effusion",)),
        dallm.Feature("q8", "boolean", aliases=("cardiomegaly",), restates="enlarged cardiac silhouette"),
        dallm.Feature("dyspnea", "boolean"),
    ]
    with pytest.warns(UserWarning, match="restate a target: q8"):
        augmented = dallm.fill_values(cohort, feats)
    labels = cohort.frame[list(cohort.targets)].set_axis(cohort.ids)
    patients = cohort.frame[cohort.group].set_axis(cohort.ids)
    found = audit(check_inputs({"all": augmented}, labels, patients, cohort=cohort), augmented=augmented)
    refused = found[found["severity"] == "refuse"]
    assert {("q7", "pleural effusion"), ("q8", "enlarged cardiac silhouette")} <= set(
        zip(refused["column"], refused["target"], strict=True)
    )
    assert not found_for(found, "dyspnea")


def test__raise_leaks__refused_column__names_column_target_and_remedy(clean):
    table, labels = clean
    found = audit(inputs_of(table.assign(q7=labels, q8=~labels), labels))
    with pytest.raises(
        UserError, match=r"'q7' gives away the target 'malignant'.*'q8'.*allow_leaks=\['q7', 'q8'\]"
    ):
        raise_leaks(found)
    with pytest.raises(UserError, match="'q8' gives away"):
        raise_leaks(found, allow_leaks=["q7"])
    raise_leaks(found, allow_leaks=["q7", "q8"])
    raise_leaks(found, "report")
    with pytest.raises(UserError, match=r"on_leak= is 'raise' or 'report', got 'rais'. Did you mean 'raise'"):
        raise_leaks(found, "rais")
