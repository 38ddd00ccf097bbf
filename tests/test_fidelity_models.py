"""Tests of MMTF and of domain models: tiny ones, trained or made here, nothing fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dallm
from dallm.errors import EngineError, UserError
from dallm.fidelity.baselines import FillTask, run_baseline
from dallm.fidelity.compare import value_fidelity
from dallm.fidelity.domain.filling import fill_by_domain_model
from dallm.fidelity.domain.presets import DOMAIN_MODELS, preset_for
from dallm.fidelity.inputs import report_texts
from dallm.fidelity.mmtf import MMTFSettings

QUICK = MMTFSettings(epochs=25, learning_rate=3e-3, width=16, layers=1, heads=2, words=8, dropout=0.0)


def _task(n: int = 120, *, shuffled: bool = False, **options) -> FillTask:
    rng = np.random.default_rng(0)
    sbp = 130 + 20 * rng.standard_normal(n)
    truth = pd.DataFrame({"sbp": sbp, "dbp": sbp * 0.6 + rng.standard_normal(n)})
    text = [f"blood pressure {'high' if v > 130 else 'low'}" for v in sbp]
    if shuffled:
        truth = truth.apply(lambda column: rng.permutation(column.to_numpy()))
    given = {"text": text, "folds": 2, "mmtf": QUICK, **options}
    return FillTask(truth, np.arange(n), **given)


def _error(task: FillTask) -> float:
    filled = run_baseline("mmtf", task)
    return float((((filled - task.truth) ** 2).mean() / task.truth.var(ddof=0)).mean())


def test__mmtf__related_vitals_and_text__learns_them():
    assert _error(_task()) < 0.4


def test__mmtf__shuffled_truth__has_no_skill():
    assert _error(_task(shuffled=True)) > 0.85


def test__mmtf__value_that_is_filled_changed__its_own_fill_stays_and_seed_decides():
    once = run_baseline("mmtf", _task(40))
    changed = _task(40)
    changed.truth.iloc[5, 0] += 400.0
    again = run_baseline("mmtf", changed)
    assert again.iloc[5, 0] == pytest.approx(once.iloc[5, 0])
    pd.testing.assert_frame_equal(once, run_baseline("mmtf", _task(40)))
    assert not once.equals(run_baseline("mmtf", _task(40, seed=1)))


def test__mmtf__image_embeddings__are_read():
    task = _task(text=None)
    task.truth["dbp"] = np.random.default_rng(1).standard_normal(120)
    seen = FillTask(task.truth, task.groups, images=task.truth[["sbp"]].to_numpy(), folds=2, mmtf=QUICK)
    with_images, without = (
        ((run_baseline("mmtf", one)["sbp"] - one.truth["sbp"]) ** 2).mean() for one in (seen, task)
    )
    assert with_images < 0.4 * without


def test__mmtf__early_stop_and_missing_values__fill_every_row():
    task = _task(60, mmtf=MMTFSettings(**{**QUICK.__dict__, "patience": 2}))
    task.truth.iloc[::3, 1] = np.nan
    assert run_baseline("mmtf", task).notna().all(axis=None)


def test__mmtf__in_the_table_of_value_fidelity__stands_beside_the_rest():
    task = _task(40)
    found = value_fidelity(
        task.truth, baselines=["mean", "mmtf"], text=task.text, folds=2, mmtf=QUICK, n_bootstrap=0
    )
    assert found.methods == ("mean", "mmtf")


def test__mmtf__torch_settings_of_the_caller__are_left_alone():
    import torch

    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    run_baseline("mmtf", _task(20, mmtf=MMTFSettings(epochs=1, width=8, heads=2, layers=1)))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"width": 10, "heads": 4}, {"patience": 0}, {"dropout": 1}]
)
def test__mmtf_settings__impossible__are_refused(options):
    with pytest.raises(UserError, match="MMTFSettings"):
        MMTFSettings(**options)


def test__mmtf__gpu_by_name_where_there_is_none__is_refused():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="finds no GPU"):
        run_baseline("mmtf", _task(20, device="cuda"))


def test__mmtf__on_a_gpu__is_as_good_as_on_a_processor():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    assert _error(_task(device="cuda")) < 0.4


@pytest.fixture(scope="module")
def cohort():
    return dallm.make_cohort(12, seed=0)


@pytest.fixture(scope="module")
def models(cohort, tmp_path_factory) -> Path:
    """A masked and a causal model of a few thousand weights, with tokenizers of their own."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models")
    texts = [*report_texts(cohort), *(str(i) for i in range(200))]
    torch.manual_seed(0)
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(special.values()))
    words.train_from_iterator(texts, trainer)
    named = {f"{name}_token": token for name, token in special.items()}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **named)
    tokenizer.save_pretrained(folder / "bert")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    small = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=96, **shape)
    BertForMaskedLM(small).save_pretrained(folder / "bert")

    # a vocabulary of digits and blanks alone writes numbers whatever its weights
    signs = Tokenizer(models.WordLevel({"<end>": 0, **{str(d): d + 1 for d in range(10)}}, unk_token="<end>"))
    signs.pre_tokenizer, signs.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    ends = {"bos_token": "<end>", "eos_token": "<end>", "unk_token": "<end>"}
    PreTrainedTokenizerFast(tokenizer_object=signs, **ends).save_pretrained(folder / "gpt")
    config = GPT2Config(
        vocab_size=11, n_embd=32, n_layer=1, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder / "gpt")
    return folder


def test__masked_model__number_candidates__every_value_is_observed_and_repeats(cohort, models):
    columns = ["temperature", "o2sat"]
    filled = fill_by_domain_model(cohort, models / "bert", columns, kind="masked", device="cpu")
    measured = cohort.measured()
    for name in columns:
        values = filled[f"{name}__filled"]
        assert values.notna().all()
        assert values.between(measured[name].min(), measured[name].max()).all()
    again = fill_by_domain_model(cohort, models / "bert", columns, kind="masked", device="cpu")
    pd.testing.assert_frame_equal(filled, again)
    assert value_fidelity(cohort, {"BERT": filled}, baselines=(), n_bootstrap=0).methods == ("BERT",)


def test__causal_model__numbers_outside_the_range__are_asked_again(cohort, models):
    def filled(tries: int, seed: int = 0) -> pd.Series:
        options = {"kind": "causal", "device": "cpu", "tries": tries, "temperature": 1.5, "seed": seed}
        return fill_by_domain_model(cohort, models / "gpt", ["sbp"], accept="possible", **options)[
            "sbp__filled"
        ]

    once, often = filled(1), filled(40)
    assert often.notna().sum() > once.notna().sum()
    assert often.dropna().between(20, 350).all()
    pd.testing.assert_series_equal(once, filled(1))


def test__masked_vital__stands_in_no_question(cohort):
    from dallm.fidelity.domain.asking import question_for

    for case in cohort.cases():
        question = question_for(case, "sbp", "systolic blood pressure", "mmHg")
        assert "sbp" not in question.before
        assert not any(target in question.before for target in cohort.targets)


def test__domain_model__not_on_this_disk__says_how_to_get_it(cohort, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(EngineError, match=r"nobody/no-such-model.*cannot be loaded.*download=True"):
        fill_by_domain_model(cohort, "nobody/no-such-model", ["sbp"], kind="causal", device="cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError, match="HF_HUB_OFFLINE is set"):
        fill_by_domain_model(
            cohort, "nobody/no-such-model", ["sbp"], kind="causal", device="cpu", download=True
        )


def test__domain_model__masked_named_causal_by_mistake__is_refused(cohort, models):
    with pytest.raises(EngineError, match=r"no mask token|cannot be loaded"):
        fill_by_domain_model(cohort, models / "gpt", ["sbp"], kind="masked", device="cpu")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("Zephir", {}, "Did you mean 'Zephyr'"),
        ("owner/model", {}, "kind='causal'"),
        ("BioGPT", {"accept": "all"}, "accept must be"),
        ("BioGPT", {"tries": 0}, "tries"),
        ("BioGPT", {"columns": ["gender"]}, "no numeric column 'gender'"),
    ],
)
def test__domain_model__bad_option__is_refused_before_loading(cohort, model, options, message):
    with pytest.raises(UserError, match=message):
        fill_by_domain_model(cohort, model, **{"columns": ["sbp"], **options})


def test__presets__cover_the_seven_open_models_of_table_2():
    from dallm.paper.published import table2

    assert set(DOMAIN_MODELS) == set(table2().index) - {"GPT-3.5", "GPT-4", "MMTF", "Gaussian"}
    assert preset_for("bioclinicalbert").kind == "masked"
