"""Tests of filling: targets stay out, answers are checked, an interrupted run goes on."""

import pandas as pd
import pytest

import dallm
from dallm.engines.base import CaseAnswer, Draft, Quote
from dallm.errors import CohortError, FeatureError, UserError

FEATURES = [dallm.Feature("pleural effusion", "boolean"), dallm.Feature("fever", "boolean")]


def cohort(n=5, **roles):
    frame = pd.DataFrame(
        {
            "case": [f"c{k}" for k in range(n)],
            "findings": ["No effusion." if k % 2 else "Small effusion, febrile." for k in range(n)],
            "label": [k % 2 for k in range(n)],
        }
    )
    return dallm.Cohort(
        frame, id="case", data_use="open", **{"report": "findings", "targets": "label", **roles}
    )


class Recorder:
    """An engine that keeps what it is shown and answers with the quotes it is told to give."""

    name, model = "recorder", None

    def __init__(self, draft=None, stop_after=None):
        self.seen, self.draft, self.stop_after = [], draft, stop_after

    def answer(self, question, passages):
        raise AssertionError("not asked here")

    propose_features = answer

    def fill(self, cases, features, knowledge=None):
        for case in cases:
            if self.stop_after is not None and len(self.seen) >= self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(case)
            yield CaseAnswer(case.case_id, {"fever": self.draft} if self.draft else {})


def test__fill_values__engine__never_sees_target_or_group():
    engine = Recorder()
    dallm.fill_values(cohort(), FEATURES, engine=engine)
    assert all(set(case.report) == {"findings"} and not case.row for case in engine.seen)
    assert len(engine.seen) == 5


@pytest.mark.parametrize(
    "quote",
    [
        Quote("invented", "findings", 0, 8, "present", "stated"),
        Quote("effusion", "findings", 0, 8, "present", "stated"),
        Quote("effusion", "nowhere", 0, 8, "present", "stated"),
        Quote("", "findings", 0, 0, "present", "stated"),
    ],
)
def test__fill_values__quote_that_does_not_stand_there__fails_the_cell(quote):
    engine = Recorder(Draft(True, "documented", "report", quotes=(quote,)))
    filled = dallm.fill_values(cohort(), FEATURES, engine=engine)
    fever = filled.cells[filled.cells.feature == "fever"]
    assert set(fever.status) == {"failed"}
    assert fever.value.isna().all()
    assert len(filled.evidence) == 0
    assert filled.frame["fever"].isna().all()


def test__fill_values__number_out_of_the_features_range__fails_the_cell():
    feature = dallm.Feature("heart rate", "numeric", unit="/min", low=100, high=200)
    frame = pd.DataFrame({"case": [1], "findings": ["HR 88"]})
    filled = dallm.fill_values(dallm.Cohort(frame, id="case", report="findings"), [feature])
    assert filled.frame["heart rate"].isna().all()


@pytest.mark.parametrize(("uncertain", "value"), [("missing", None), ("present", True), ("absent", False)])
def test__fill_values__uncertain__value_as_chosen_status_kept(uncertain, value):
    frame = pd.DataFrame({"case": [1], "findings": ["Effusion cannot be excluded."]})
    filled = dallm.fill_values(
        dallm.Cohort(frame, id="case", report="findings"), FEATURES[:1], uncertain=uncertain
    )
    assert filled.cells.status.tolist() == ["uncertain"]
    got = filled.frame["pleural effusion"].iloc[0]
    assert got is pd.NA if value is None else got == value


def test__fill_values__interrupted__goes_on_where_it_stopped(tmp_path):
    undisturbed = dallm.fill_values(cohort(9), FEATURES, engine=Recorder())
    with pytest.raises(KeyboardInterrupt):
        dallm.fill_values(cohort(9), FEATURES, engine=Recorder(stop_after=4), checkpoint=tmp_path / "kept")
    second = Recorder()
    filled = dallm.fill_values(cohort(9), FEATURES, engine=second, checkpoint=tmp_path / "kept")
    assert [case.case_id for case in second.seen] == ["c4", "c5", "c6", "c7", "c8"]
    pd.testing.assert_frame_equal(filled.cells, undisturbed.cells)


def test__fill_values__checkpoint_with_quotes__gives_the_same_result(tmp_path):
    plain = dallm.fill_values(cohort(6), FEATURES)
    dallm.fill_values(cohort(6), FEATURES, checkpoint=tmp_path)
    again = dallm.fill_values(cohort(6), FEATURES, checkpoint=tmp_path)
    pd.testing.assert_frame_equal(again.cells, plain.cells)
    pd.testing.assert_frame_equal(again.evidence, plain.evidence)


def test__fill_values__checkpoint_of_other_features_or_damaged__is_not_used(tmp_path):
    dallm.fill_values(cohort(6), FEATURES, engine=Recorder(), checkpoint=tmp_path)
    other = Recorder()
    dallm.fill_values(cohort(6), FEATURES[1:], engine=other, checkpoint=tmp_path)
    assert len(other.seen) == 6
    part = next(tmp_path.glob("*.answers.gz"))
    part.write_bytes(part.read_bytes()[:20])
    third = Recorder()
    dallm.fill_values(cohort(6), FEATURES[1:], engine=third, checkpoint=tmp_path)
    assert len(third.seen) == 6


def test__fill_values__restating_feature__warns_and_gets_its_own_column():
    with pytest.warns(UserWarning, match="restate a target: label"):
        filled = dallm.fill_values(cohort(), [dallm.Feature("label", "boolean")])
    assert "label__filled" in filled.frame.columns


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: dallm.fill_values(cohort().frame, FEATURES), CohortError, "dallm.Cohort"),
        (lambda: dallm.fill_values(cohort(), []), FeatureError, "no feature"),
        (
            lambda: dallm.fill_values(cohort(), FEATURES, uncertain="mising"),
            UserError,
            "Did you mean 'missing'",
        ),
        (lambda: dallm.fill_values(cohort(report=()), FEATURES), CohortError, "nothing to fill from"),
    ],
)
def test__fill_values__wrong_use__is_refused_before_work(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test__augment__conditions__gives_discovered_and_own_features():
    made = dallm.make_cohort(12, seed=1)
    own = dallm.Feature("zebra stripe sign", "boolean", origin="expert")
    result = dallm.augment(made, ["pleural effusion"], features=[own])
    assert "zebra stripe sign" in result.features.names
    assert len(result.features) > 10
    assert result.ack is not None
    assert not set(result.X("new").columns) & set(made.targets)


def test__augment__no_condition__is_refused():
    with pytest.raises(UserError, match="at least one condition"):
        dallm.augment(dallm.make_cohort(3), [])
