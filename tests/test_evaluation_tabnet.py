"""TabNet as a scikit-learn classifier: the same arithmetic as pytorch-tabnet's, and no row left out."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_tabnet.tab_network import TabNet
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_validate
from sklearn.utils.estimator_checks import estimator_checks_generator

from dallm.errors import UserError
from dallm.evaluation.models import TabNetClassifier, fit_together
from dallm.evaluation.models.device import DeviceError
from dallm.evaluation.models.tabnet import together
from dallm.evaluation.models.tabnet.batches import Cells, Layout, batch_sizes, virtual_sizes
from dallm.evaluation.models.tabnet.network import Stack
from dallm.evaluation.models.tabnet.training import stopping_score

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def table(n: int = 200, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    frame["a"] = frame["a"].astype("Float64")
    frame.loc[frame.index[::7], "b"] = np.nan
    frame["flag"] = pd.array(rng.random(n) > 0.5, dtype="boolean")
    frame["sex"] = pd.Categorical(np.where(rng.random(n) > 0.5, "F", "M"))
    y = (x[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(int)
    return frame, y, np.arange(n) // 2


def small(**changes) -> TabNetClassifier:
    return TabNetClassifier(**{"max_epochs": 8, "random_state": 0, "device": "cpu", **changes})


@pytest.mark.parametrize("size", [2, 3, 5, 16, 64, 128, 256, 1024])
def test__sizes__any_number_of_rows__all_of_them_and_none_alone(size):
    for n in range(2, 301):
        batches = batch_sizes(n, size)
        assert sum(batches) == n
        assert min(batches) >= 2
        for virtual in (2, 3, 7, 128):
            for batch in set(batches):
                cut = virtual_sizes(batch, virtual)
                assert sum(cut) == batch
                assert min(cut) >= 2


def test__virtual_sizes__no_remainder_of_one__are_those_of_pytorch_tabnet():
    for n in range(2, 301):
        for size in (2, 5, 128):
            theirs = [len(part) for part in torch.zeros(n).chunk(-(-n // size))]
            if theirs[-1] > 1:
                assert virtual_sizes(n, size) == theirs


@pytest.mark.parametrize(
    ("batch", "virtual", "n"),
    [(*sizes, n) for sizes in [(1024, 128), (64, 4), (7, 3), (2, 2)] for n in [2, 3, 4, 5, 9, 17, 33]]
    + [(1024, 128, 257), (64, 4, 257)],
)
def test__fit__any_number_of_rows__each_row_reaches_the_network_once_per_epoch(
    n, batch, virtual, monkeypatch
):
    frame, y, _ = table(n)
    y[:2] = [0, 1]
    frame["row"] = np.arange(n, dtype=float)
    seen = []
    forward = Stack.forward

    def counting(self, x, weights, layout=None):
        if layout is not None:
            there = layout.share[0, 0] > 0
            assert (layout._counts != 1).all()
            seen.append(x[0][:, there].numpy().copy())
        return forward(self, x, weights, layout)

    monkeypatch.setattr(Stack, "forward", counting)
    model = small(max_epochs=2, batch_size=batch, virtual_batch_size=virtual, validation_fraction=0)
    model.fit(frame, y)
    rows = np.concatenate(seen, axis=1)
    expected = np.concatenate([model.encoder_.transform(frame).T] * 2, axis=1)
    assert rows.shape == expected.shape
    last = list(model.encoder_.get_feature_names_out()).index("row")
    assert np.array_equal(np.sort(rows[last]), np.sort(expected[last]))
    assert [epoch["rows"] for epoch in model.history_] == [n, n]


@pytest.mark.parametrize("n", [300, 256, 255, 100])
@pytest.mark.parametrize("shared", [(2, 2), (0, 1), (1, 0)])
def test__network__weights_of_pytorch_tabnet__same_loss_gradient_and_statistics(n, shared):
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(n, 10)).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, 2, n))
    torch.manual_seed(3)
    theirs = TabNet(
        10,
        2,
        n_independent=shared[0],
        n_shared=shared[1],
        virtual_batch_size=64,
        group_attention_matrix=torch.eye(10),
    )
    stack = Stack([theirs], CPU)
    cells = Cells.of([n], 64)
    places = torch.from_numpy(np.maximum(cells.rows[0], 0))
    layout = Layout(cells, CPU)
    weights = stack.weights.clone().requires_grad_(True)
    logits, sparsity, _ = stack.forward(x.T[None][:, :, places], weights, layout)
    surprise = -torch.log_softmax(logits, 1).gather(1, y[places][None, None])
    loss = ((surprise - 1e-3 * sparsity) * layout.share).sum()
    (grad,) = torch.autograd.grad(loss, weights)
    theirs.train()
    out, sparse = theirs(x)
    expected = torch.nn.functional.cross_entropy(out, y) - 1e-3 * sparse
    expected.backward()
    named = dict(theirs.named_parameters())
    reference = torch.cat([named[name].grad.reshape(-1) for name in stack.shapes])
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.allclose(grad[0], reference, atol=1e-4)
    assert torch.allclose(stack.running, Stack([theirs], CPU).running, atol=1e-5)
    theirs.eval()
    ours, _, relevance = Stack([theirs], CPU).forward(x.T[None].contiguous(), stack.weights)
    assert torch.allclose(ours[0].T, theirs(x)[0], atol=1e-3)
    assert torch.allclose(relevance[0].T, theirs.forward_masks(x)[0], atol=1e-3)


def test__fit__same_seed__bit_equal_and_global_random_state_untouched():
    frame, y, groups = table()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = small().fit(frame, y, groups=groups).predict_proba(frame)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(first, small().fit(frame, y, groups=groups).predict_proba(frame))
    assert not np.array_equal(first, small(random_state=1).fit(frame, y, groups=groups).predict_proba(frame))


def test__fit__groups__stay_together_and_held_out_rows_serve_the_operating_point():
    frame, y, groups = table()
    model = small().fit(frame, y, groups=groups)
    rows, shares = model.operating_cases_
    kept = np.setdiff1d(np.arange(len(y)), rows)
    assert not set(groups[rows]) & set(groups[kept])
    assert model.history_[0]["rows"] == len(kept)
    assert np.allclose(shares, model.predict_proba(frame.iloc[rows])[:, 1], atol=1e-6)
    best = max(epoch["score"] for epoch in model.history_)
    assert roc_auc_score(y[rows], shares) == pytest.approx(best, abs=1e-3)
    assert model.history_[model.best_epoch_]["score"] == best


def test__fit__patience__stops_early():
    frame, y, _ = table(120)
    model = small(max_epochs=60, patience=3).fit(frame, y)
    assert len(model.history_) == min(60, model.best_epoch_ + 4)


def test__fit__learnable_target__separates_it_and_names_the_column():
    frame, y, _ = table(600)
    model = small(max_epochs=40, patience=0, batch_size=128).fit(frame, y)
    fresh, truth, _ = table(300, seed=9)
    assert roc_auc_score(truth, model.predict_proba(fresh)[:, 1]) > 0.85
    assert model.feature_importances_.shape == (6,)
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert model.feature_importances_.argmax() == 0


def test__cross_validate__probability_scorers_and_tables__work():
    frame, y, _ = table()
    scores = cross_validate(
        small(max_epochs=3), frame, y, cv=2, scoring=["roc_auc", "neg_log_loss"], error_score="raise"
    )
    assert np.isfinite(scores["test_roc_auc"]).all()
    assert np.isfinite(scores["test_neg_log_loss"]).all()


def test__clone_and_pickle__fitted_model__same_settings_and_predictions():
    frame, y, _ = table()
    model = small(n_steps=2).fit(frame, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert clone(model).get_params() == model.get_params()
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.n_features_in_ == 6


@pytest.mark.parametrize("rows", [(150, 153, 156, 151), (40, 41, 60, 90), (161, 161, 161, 500)])
@pytest.mark.parametrize(
    "changes", [{"batch_size": 64}, {"virtual_batch_size": 16}, {"validation_fraction": 0}]
)
def test__fit_together__tables_of_unequal_size__the_very_results_of_one_after_the_other(rows, changes):
    given = [table(n, seed=k) for k, n in enumerate(rows)]
    changes = {"max_epochs": 6, **changes}
    alone = [small(**changes, random_state=k).fit(x, y, groups=g) for k, (x, y, g) in enumerate(given)]
    together_ = [small(**changes, random_state=k) for k in range(len(rows))]
    fit_together(together_, given)
    for one, other, (x, _, _) in zip(alone, together_, given, strict=True):
        assert one.history_ == other.history_
        assert np.array_equal(one.predict_proba(x), other.predict_proba(x))


def test__fit_together__tables_of_one_column__the_very_results_of_one_after_the_other():
    given = [(table(n, seed=n)[0].iloc[:, :1], table(n, seed=n)[1], None) for n in (70, 70, 71)]
    alone = [small(max_epochs=6, random_state=k).fit(*one) for k, one in enumerate(given)]
    together_ = [small(max_epochs=6, random_state=k) for k in range(3)]
    fit_together(together_, given)
    for one, other, (x, _, _) in zip(alone, together_, given, strict=True):
        assert np.array_equal(one.predict_proba(x), other.predict_proba(x))


def test__fit_together__different_settings__are_refused():
    with pytest.raises(UserError, match="equal settings"):
        fit_together([small(), small(n_steps=1)], [table(20), table(20)])


def test__fit__too_few_patients__trains_on_all_and_says_so():
    frame, y, _ = table(6)
    y[:] = [0, 1, 1, 1, 1, 1]
    model = small().fit(frame, y)
    assert model.operating_cases_ is None
    assert "too few patients" in model.notes_[0]
    assert model.history_[0]["rows"] == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 1}, "batch_size=1"),
        ({"virtual_batch_size": 1}, "2 rows"),
        ({"n_steps": 0}, "n_steps=0"),
    ],
)
def test__fit__impossible_setting__is_named(changes, said):
    frame, y, _ = table(20)
    with pytest.raises(UserError, match=said):
        small(**changes).fit(frame, y)


def test__stopping_score__ties__is_roc_auc():
    y = np.array([0, 1, 0, 1, 1, 0])
    p = np.array([0.1, 0.1, 0.4, 0.4, 0.9, 0.9])
    assert stopping_score(y, np.stack([1 - p, p])) == pytest.approx(roc_auc_score(y, p))


def test__fit__gpu_full__auto_goes_on_on_the_cpu_and_by_name_fails(monkeypatch):
    frame, y, _ = table(40)
    expected = small().fit(frame, y).predict_proba(frame)
    train_on = together._train_on

    def full(place, jobs, schedule):
        if place != "cpu":
            jobs[0].order.random()
            raise torch.OutOfMemoryError("CUDA out of memory")
        train_on(place, jobs, schedule)

    monkeypatch.setattr(together, "_train_on", full)
    monkeypatch.setattr("dallm.evaluation.models.device._gpus", lambda: 1)
    model = small(device="auto").fit(frame, y)
    assert model.device_ == "cpu"
    assert model.notes_ == ("TabNet on the CPU: the GPU cuda:0 was full.",)
    assert np.array_equal(model.predict_proba(frame), expected)
    with pytest.raises(DeviceError, match="cuda:0 has no memory left"):
        small(device="cuda").fit(frame, y)


@needs_gpu
def test__fit__on_the_gpu__close_to_the_cpu_and_picklable():
    frame, y, groups = table(400)
    model = small(device="cuda", validation_fraction=0, max_epochs=3).fit(frame, y, groups=groups)
    other = small(validation_fraction=0, max_epochs=3).fit(frame, y, groups=groups)
    assert model.device_ == "cuda:0"
    assert np.allclose(model.predict_proba(frame), other.predict_proba(frame), atol=0.02)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(frame), model.predict_proba(frame))


@pytest.mark.slow
def test__estimator_checks__of_scikit_learn__pass():
    failed = {}
    model = TabNetClassifier(
        max_epochs=12, batch_size=64, n_d=4, n_a=4, device="cpu", n_steps=1, momentum=0.5, learning_rate=0.1
    )
    for estimator, check in estimator_checks_generator(model):
        name = check.func.__name__
        try:
            check(estimator)
        except Exception as error:
            if type(error).__name__ != "SkipTest":
                failed[name] = f"{type(error).__name__}: {str(error)[:300]}"
    assert failed == {}
