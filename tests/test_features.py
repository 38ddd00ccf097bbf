"""Features and sets of them: what is refused, and JSON that can be edited by hand."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest

from dallm import Feature, FeatureSet
from dallm.errors import FeatureError, OutputError
from dallm.features import normalise_name

FEVER = Feature("fever", "boolean", aliases=("febrile", "fièvre"), conditions=("pneumonia",), category="sign")
PAIN = Feature("chest pain severity", "ordinal", levels=("mild", "moderate", "severe"), origin="expert")
WBC = Feature("wbc", "numeric", unit="10^9/L", low=0, high=500.5, citations=("primer#pneumonia",))
SIDE = Feature("side", "categorical", levels=("left", "right", "both"), restates="pleural effusion")

BAD = [
    ({"name": "", "kind": "boolean"}, "name"),
    ({"name": "a\nb", "kind": "boolean"}, "name"),
    ({"name": "fever", "kind": "bool"}, "kind"),
    ({"name": "fever", "kind": "boolean", "unit": "degC"}, "unit"),
    ({"name": "fever", "kind": "boolean", "levels": ["a", "b"]}, "levels"),
    ({"name": "fever", "kind": "boolean", "origin": "guess"}, "origin"),
    ({"name": "fever", "kind": "boolean", "aliases": [1]}, "aliases"),
    ({"name": "wbc", "kind": "numeric"}, "unit"),
    ({"name": "wbc", "kind": "numeric", "unit": "1", "low": 5, "high": 5}, "low"),
    ({"name": "wbc", "kind": "numeric", "unit": "1", "high": "many"}, "high"),
    ({"name": "wbc", "kind": "numeric", "unit": "1", "low": float("inf")}, "low"),
    ({"name": "pain", "kind": "ordinal"}, "levels"),
    ({"name": "pain", "kind": "ordinal", "levels": ["mild"]}, "levels"),
    ({"name": "pain", "kind": "categorical", "levels": ["mild", "Mild", "bad"]}, "levels"),
    ({"name": "pain", "kind": "ordinal", "levels": ["a", "b"], "low": 1}, "low"),
]


@pytest.mark.parametrize(("fields", "field"), BAD)
def test__feature__field_that_does_not_fit__names_feature_and_field(fields, field):
    name = fields["name"] if field != "name" else "(unnamed)"
    said = re.escape(f"Feature '{name}', field '{field}': ")
    with pytest.raises(FeatureError, match=said) as caught:
        Feature(**fields)
    assert isinstance(caught.value, ValueError)


def test__feature__single_alias_as_text__is_one_alias():
    assert Feature("fever", "boolean", aliases="febrile").aliases == ("febrile",)


def test__normalise_name__dashes_underscores_spaces__compare_equal():
    assert normalise_name(" X-Ray__Finding \u2013 Two") == "x ray finding two"


def test__set__json_round_trip__keeps_order_and_leaves_out_defaults(tmp_path):
    features = FeatureSet([FEVER, PAIN, WBC, SIDE])
    path = tmp_path / "sub" / "features.json"
    text = features.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    assert (
        FeatureSet.from_json(path)
        == FeatureSet.from_json(str(path))
        == FeatureSet.from_json(text)
        == features
    )
    items = json.loads(text)
    assert [list(item) for item in items][:1] == [["name", "kind", "aliases", "conditions", "category"]]
    assert "fièvre" in text
    assert '"high": 500.5' in text
    assert '"low": 0,' in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"name": "fever", "kind": "boolean", "alias": []}]', "'fever'.*'alias'.*Did you mean 'aliases'"),
        ('[{"name": "fever"}]', "'fever'.*'kind'.*missing"),
        ('[{"kind": "boolean"}]', "number 1.*'name'.*missing"),
        ('[{"name": "a", "kind": "boolean"}, 3]', "number 2"),
        ('[{"name": "fever", "kind": "boolean", "aliases": "hot"}]', "'fever'.*'aliases'.*list"),
        ('[{"name": "fever", "kind": "boolean", "kind": "numeric"}]', "'fever'.*'kind'.*twice"),
        ('[{"name": "fever" "kind": "boolean"}]', "not JSON.*line 1, column"),
        ('{"name": "fever", "kind": "boolean"}', "list of features"),
        ('[{"name": "a b", "kind": "boolean"}, {"name": "A_b", "kind": "boolean"}]', "'A_b'.*already"),
    ],
)
def test__from_json__wrong_text__says_where(text, said):
    with pytest.raises(FeatureError, match=said):
        FeatureSet.from_json(text)


def test__from_json__missing_or_undecodable_file__names_it(tmp_path):
    with pytest.raises(FeatureError, match=r"none\.json"):
        FeatureSet.from_json(tmp_path / "none.json")
    latin = tmp_path / "latin.json"
    latin.write_bytes('[{"name": "fièvre", "kind": "boolean"}]'.encode("latin-1"))
    with pytest.raises(FeatureError, match=r"latin\.json.*UTF-8"):
        FeatureSet.from_json(latin)


def test__to_json__folder_in_the_way__is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match=tmp_path.name):
        FeatureSet([FEVER]).to_json(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test__set__duplicate_name_in_another_spelling__is_refused_and_nothing_added():
    features = FeatureSet([FEVER])
    with pytest.raises(FeatureError, match=r"'FEVER'.*already"):
        features.add(PAIN, Feature("FEVER", "boolean"))
    assert features.names == ("fever",)
    with pytest.raises(FeatureError, match="already"):
        _ = features + FeatureSet([Feature("_fever ", "boolean")])


def test__set__edit__adds_removes_and_slices():
    features = FeatureSet([FEVER, PAIN]).add(WBC)
    assert features["Chest_Pain severity"] is PAIN
    assert "WBC" in features
    assert FEVER in features
    assert "cough" not in features
    assert features.without("fever").names == ("chest pain severity", "wbc")
    assert features[1:].names == ("chest pain severity", "wbc")
    assert features.names[0] == "fever", "without() leaves the set as it was"
    with pytest.raises(FeatureError, match=r"'fevr'.*Did you mean 'fever'"):
        features.without("fevr")


@pytest.mark.parametrize("wrong", ["fever", FEVER, ["fever"], [{"name": "fever"}]])
def test__set__of_something_else__says_what_to_write(wrong):
    with pytest.raises(FeatureError, match="Feature\\('fever', 'boolean'\\)"):
        FeatureSet(wrong)


def test__set__shown__is_short_and_escaped():
    many = FeatureSet(Feature(f"<b>{n}</b>", "boolean") for n in range(40))
    assert repr(many).startswith("FeatureSet of 40 features: 40 boolean")
    assert len(repr(many).splitlines()) < 20
    assert "<b>0" not in many._repr_html_()
    frame = FeatureSet([FEVER, WBC]).to_frame()
    assert frame["aliases"].tolist() == ["febrile; fièvre", ""]
    assert frame["high"].tolist()[1] == 500.5


def test__set__pickled__is_equal():
    features = FeatureSet([FEVER, PAIN, WBC, SIDE])
    assert pickle.loads(pickle.dumps(features)) == features


def test__to_json__path_as_text__is_written_there(tmp_path):
    FeatureSet([FEVER]).to_json(str(tmp_path / "f.json"))
    assert FeatureSet.from_json(Path(tmp_path / "f.json")).names == ("fever",)
