"""Fits in parallel: the same scores for any number of workers, kept as they finish, ended at once."""

import importlib
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from dallm.errors import OutputError, UserError
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.models import TabNetClassifier, resolve_models
from dallm.evaluation.protocols import LeakFree
from dallm.evaluation.running import run_fits
from dallm.evaluation.running.capacity import affordable
from dallm.evaluation.running.digests import model_digest
from dallm.evaluation.running.pool import ForkPool, WorkerDied
from dallm.evaluation.running.progress import TimeLeft
from dallm.evaluation.running.tasks import Plan, Task, all_tasks
from dallm.evaluation.running.units import in_units

FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Spec:
    """A model as the runner knows it."""

    name: str
    make: Any
    deep: bool = False
    device: str = "cpu"
    together: Any = None

    def build(self, seed, device):
        return self.make(seed)


class Slow(DecisionTreeClassifier):
    """Takes its time, and writes down who it was."""

    def __init__(self, seconds=0.2, log=None, random_state=None):
        super().__init__(random_state=random_state, max_depth=3)
        self.seconds = seconds
        self.log = log

    def fit(self, X, y):
        if self.log is not None:
            with Path(self.log).open("a") as log:
                log.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        return super().fit(X, y)


class Odd(ClassifierMixin, BaseEstimator):
    """Does what it is told in fit."""

    def __init__(self, act=None):
        self.act = act

    def fit(self, X, y, groups=None):
        self.classes_ = np.array([0, 1])
        self.seen_ = (X, y, groups)
        if self.act is not None:
            self.act(self)
        return self

    def predict_proba(self, X):
        return np.tile([0.4, 0.6], (len(X), 1))


TREE = Spec("tree", lambda seed: DecisionTreeClassifier(max_depth=4, max_features=2, random_state=seed))
LOGIT = Spec("logit", lambda seed: LogisticRegression(max_iter=200))


def given(n=120, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    labels = pd.DataFrame({"t": table["a"] + rng.normal(size=n) > 0.5, "u": rng.random(n) < 0.4})
    return check_inputs({"one": table[["a", "b"]], "all": table}, labels, list(rng.integers(0, n // 2, n)))


def run(inputs, *models, folds=3, repeats=1, **more):
    splits, _ = LeakFree(repeats, folds).splits(inputs, 0)
    return run_fits(inputs, splits, {m.name: m for m in models}, **{"seed": 0, **more})


def scores(outcomes):
    return [
        (o.feature_set, o.model, o.split.target, o.split.fold, o.threshold, o.probability.tobytes())
        for o in outcomes
    ]


def test__run_fits__any_number_of_workers__gives_the_same_scores_in_the_same_order():
    inputs = given()
    boosted = Spec(
        "boosted", lambda seed: HistGradientBoostingClassifier(max_iter=5, random_state=seed), deep=True
    )
    one, two, three = (scores(run(inputs, TREE, boosted, n_jobs=n)) for n in (1, 2, 3))
    assert one == two == three
    assert [s[:4] for s in one] == [
        (s, m, t, f)
        for s in ("one", "all")
        for m in ("tree", "boosted")
        for t in ("t", "u")
        for f in range(3)
    ]


def test__run_fits__one_model_alone__gets_the_scores_it_has_among_others():
    inputs = given()
    alone = scores(run(inputs, TREE, n_jobs=1))
    assert alone == [s for s in scores(run(inputs, LOGIT, TREE, n_jobs=1)) if s[1] == "tree"]


def test__run_fits__another_seed__fits_otherwise():
    inputs = given()
    assert scores(run(inputs, TREE, n_jobs=1)) != scores(run(inputs, TREE, n_jobs=1, seed=1))


def test__run_fits__after_threads_in_this_process__workers_do_not_hang():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 20)), rng.random(3000) < 0.5
    HistGradientBoostingClassifier(max_iter=3).fit(X, y)  # leaves OpenMP's threads behind
    X.T @ X
    boosted = Spec("boosted", lambda seed: HistGradientBoostingClassifier(max_iter=3), deep=True)
    assert len(run(given(), boosted, n_jobs=2)) == 12


def test__run_fits__labels_of_the_test_cases__do_not_move_the_operating_point():
    inputs = given()
    splits, _ = LeakFree(1, 3).splits(inputs, 0)
    flipped = inputs.targets.copy()
    rows = splits[0].test
    flipped.iloc[rows, 0] = ~flipped.iloc[rows, 0].astype(bool)
    other = type(inputs)(inputs.sets, flipped, inputs.groups)
    a, b = (run_fits(i, splits[:1], {"tree": TREE}, seed=0)[0] for i in (inputs, other))
    assert a.threshold == b.threshold != 0.5
    assert (a.probability == b.probability).all()


def test__run_fits__threshold_given__is_used_and_no_inner_fit_made(tmp_path):
    log = tmp_path / "pids"
    slow = Spec("slow", lambda seed: Slow(0, str(log)))
    outcomes = run(given(), slow, operating_point=0.3, n_jobs=1)
    assert {o.threshold for o in outcomes} == {0.3}
    assert len(log.read_text().split()) == len(outcomes)


def test__run_fits__model_with_cases_of_its_own__sets_the_operating_point_by_them():
    def keep(model):
        truth = model.seen_[1]
        model.operating_cases_ = np.array([truth.argmin(), truth.argmax()]), np.array([0.2, 0.3])

    inputs = given()
    outcomes = run(inputs, Spec("odd", lambda seed: Odd(keep)), n_jobs=1)
    assert all(o.threshold == pytest.approx(0.25) for o in outcomes)


def test__run_fits__fit_that_takes_groups__gets_the_patients_of_its_cases():
    seen = []
    inputs = given()
    outcomes = run(
        inputs, Spec("odd", lambda seed: Odd(lambda m: seen.append(m.seen_))), n_jobs=1, operating_point=0.5
    )
    table, truth, patients = seen[0]
    split = outcomes[0].split
    assert (table.index == inputs.targets.index[split.train]).all()
    assert (truth == inputs.targets[split.target].iloc[split.train]).all()
    expected = inputs.groups.iloc[split.train].to_numpy()
    assert (pd.factorize(patients)[0] == pd.factorize(expected)[0]).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test__run_fits__a_fit_that_fails__is_named_whole(n_jobs):
    def fail(model):
        raise RuntimeError("no such thing")

    with pytest.raises(UserError) as caught:
        run(given(), Spec("odd", lambda seed: Odd(fail), deep=True), n_jobs=n_jobs)
    said = str(caught.value)
    assert "model 'odd' on feature set 'all', target 't', repeat 0, fold" in said
    assert "RuntimeError: no such thing" in said
    assert "in fail" in str(caught.value.__cause__)


def test__run_fits__worker_killed_from_outside__says_which_fit_and_what_to_do():
    kill = Spec("odd", lambda seed: Odd(lambda m: os.kill(os.getpid(), signal.SIGKILL)), deep=True)
    with pytest.raises(UserError, match=r"'odd' on feature set 'all'.*by signal 9.*smaller n_jobs"):
        run(given(), kill, n_jobs=2)


def test__run_fits__model_that_warns__leaves_a_few_notes_and_no_flood():
    def warn(model):
        for i in range(100):
            warnings.warn(f"number {i}", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcomes = run(given(), Spec("odd", lambda seed: Odd(warn)), n_jobs=1)
    assert all(len(o.notes) == 3 for o in outcomes)
    assert outcomes[0].notes[0] == "UserWarning: number 0"


def test__run_fits__impossible_probabilities__are_refused():
    def spoil(model):
        model.predict_proba = lambda X: np.full((len(X), 2), np.nan)

    with pytest.raises(UserError, match="missing or impossible probabilities"):
        run(given(), Spec("odd", lambda seed: Odd(spoil)), n_jobs=1)


def test__run_fits__afterwards__libraries_have_their_threads_back():
    import torch
    from threadpoolctl import threadpool_info

    before = (
        torch.get_num_threads(),
        [p["num_threads"] for p in threadpool_info()],
        os.environ.get("OMP_NUM_THREADS"),
    )
    inside = []
    run(given(), Spec("odd", lambda s: Odd(lambda m: inside.append(torch.get_num_threads()))), n_jobs=1)
    assert set(inside) == {1}
    after = (
        torch.get_num_threads(),
        [p["num_threads"] for p in threadpool_info()],
        os.environ.get("OMP_NUM_THREADS"),
    )
    assert after == before


@pytest.mark.parametrize("n_jobs", [0, 1.5, True])
def test__run_fits__no_number_of_workers__is_refused(n_jobs):
    with pytest.raises(UserError, match="n_jobs="):
        run(given(), TREE, n_jobs=n_jobs)


def test__run_fits__importances__measure_with_fits_of_their_own():
    def importances(fit, train, test, truth, split, seed):
        noisy = fit(train.assign(noise=0.0))
        return {"noise": float(noisy.n_features_in_ == train.shape[1] + 1), "n": float(len(truth))}

    outcomes = run(given(), TREE, n_jobs=1, importances=importances)
    assert all(o.importances == {"noise": 1.0, "n": float(len(o.split.test))} for o in outcomes)


# --- kept fits ---------------------------------------------------------------------------------------------


def fits_in(folder):
    path = folder / "fits.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(path) as database:
        try:
            return database.execute("SELECT count(*) FROM fits").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test__run_fits__killed_in_the_middle__loses_fits_in_flight_alone_and_ends_the_same(tmp_path):
    inputs, log = given(), tmp_path / "pids"
    slow = Spec("slow", lambda seed: Slow(0.1, str(log), seed), deep=True)
    process = FORK.Process(target=run, args=(inputs, slow), kwargs={"n_jobs": 2, "folder": tmp_path})
    process.start()
    until(lambda: fits_in(tmp_path) >= 4)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    workers = {int(pid) for pid in log.read_text().split()}
    until(lambda: not any(alive(pid) for pid in workers), 5)
    kept = fits_in(tmp_path)
    assert 4 <= kept < 12
    log.unlink()
    resumed = scores(run(inputs, slow, n_jobs=2, folder=tmp_path))
    assert len(log.read_text().split()) == 2 * (12 - kept)  # each with its inner fit
    assert resumed == scores(run(inputs, slow, n_jobs=1))
    log.unlink(missing_ok=True)
    assert scores(run(inputs, slow, n_jobs=1, folder=tmp_path)) == resumed
    assert not log.exists()


def run_until_interrupted(*args, **more):
    # a run that was started in the background inherits SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(*args, **more)


def test__run_fits__interrupted__ends_its_workers_at_once(tmp_path):
    log = tmp_path / "pids"
    slow = Spec("slow", lambda seed: Slow(60, str(log)), deep=True)
    process = FORK.Process(target=run_until_interrupted, args=(given(), slow), kwargs={"n_jobs": 2})
    process.start()
    until(lambda: log.exists() and len(log.read_text().split()) == 2)
    started = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    process.join(10)
    assert not process.is_alive()
    until(lambda: not any(alive(int(pid)) for pid in log.read_text().split()), 5)
    assert time.monotonic() - started < 5


def test__run_fits__other_data_settings_or_model_in_the_folder__do_not_mix(tmp_path):
    inputs = given()
    first = scores(run(inputs, TREE, n_jobs=1, folder=tmp_path))
    assert fits_in(tmp_path) == 12
    changed = inputs.sets["all"].copy()
    changed.iloc[0, 3] += 1
    sets = {**inputs.sets, "all": changed}
    run(type(inputs)(sets, inputs.targets, inputs.groups), TREE, n_jobs=1, folder=tmp_path)
    assert fits_in(tmp_path) == 18  # the untouched set was found
    run(inputs, TREE, n_jobs=1, folder=tmp_path, seed=1)
    assert fits_in(tmp_path) == 30
    run(inputs, TREE, n_jobs=1, folder=tmp_path, operating_point=0.5)
    assert fits_in(tmp_path) == 42
    deeper = Spec("tree", lambda seed: DecisionTreeClassifier(max_depth=5, max_features=2, random_state=seed))
    run(inputs, deeper, n_jobs=1, folder=tmp_path)
    assert fits_in(tmp_path) == 54
    assert scores(run(inputs, TREE, n_jobs=1, folder=tmp_path)) == first
    assert fits_in(tmp_path) == 54


def test__run_fits__file_that_is_no_database__is_named(tmp_path):
    (tmp_path / "fits.sqlite").write_text("something else, long enough to be read as a header" * 10)
    with pytest.raises(OutputError, match=r"fits\.sqlite.*Take another folder"):
        run(given(), TREE, folder=tmp_path)


def test__run_fits__progress__tells_fits_kept_and_done(tmp_path, capsys):
    run(given(), TREE, n_jobs=1, folder=tmp_path, progress=True)
    run(given(), TREE, n_jobs=1, folder=tmp_path, progress=True)
    said = capsys.readouterr().err
    assert "Fits: 12 of 12, done" in said
    assert "Fits: 12 of 12 were kept" in said


def test__time_left__models_of_unlike_length__counts_each_with_its_own():
    split = run(given(), TREE, n_jobs=1)[0].split
    slow, fast = Spec("slow", None), Spec("fast", None)
    left = TimeLeft([Task(i, "x", m, split) for i, m in enumerate([slow, slow, fast, fast, fast])], 2)
    assert left.seconds() is None
    left.finished("slow", 10.0)
    left.finished("fast", 1.0)
    assert left.seconds() == pytest.approx((10 + 2 * 1) / 2)


def test__affordable__long_tables__bound_the_fits_at_once():
    inputs = given()
    long = pd.DataFrame({"a": np.zeros(400_000)})
    assert affordable(inputs) > 64
    assert affordable(type(inputs)({"x": long}, inputs.targets, None)) == 1


def test__fork_pool__worker_dies__is_told_with_its_number():
    with ForkPool(lambda n: os._exit(3) if n == 2 else n, 2) as pool, pytest.raises(WorkerDied) as caught:
        list(pool.results([1, 2, 3, 4]))
    assert (caught.value.item, caught.value.exitcode) == (2, 3)


def test__fork_pool__work_for_this_process__is_done_in_between():
    with ForkPool(lambda n: (n, os.getpid()), 2) as pool:
        given_back = dict(pool.results(range(6), here=[10, 11]))
    assert {n for n, (_, pid) in given_back.items() if pid == os.getpid()} == {10, 11}
    assert set(given_back) == {*range(6), 10, 11}


@pytest.mark.slow
def tabnet(name="tabnet", **changes):
    model = TabNetClassifier(max_epochs=4, batch_size=32, **changes)
    return resolve_models({name: model}, device="cpu")[name]


def test__run_fits__tabnets_in_one_loop__the_scores_of_one_after_the_other(tmp_path):
    inputs = given()
    alone = run(inputs, tabnet(), TREE, n_jobs=1)
    together = run(inputs, tabnet(), TREE, n_jobs=2, folder=tmp_path)
    assert scores(alone) == scores(together)
    assert [o.notes for o in alone] == [o.notes for o in together]
    again = run(inputs, tabnet(), TREE, n_jobs=1, folder=tmp_path)
    assert scores(again) == scores(alone)
    assert [o.seconds for o in again] == [round(o.seconds, 4) for o in together], "kept"


def test__in_units__tabnets_and_trees__loops_share_out_the_fits_and_trees_stand_alone():
    inputs = given()
    splits, _ = LeakFree(3, 3).splits(inputs, 0)
    tasks = all_tasks(inputs, splits, {m.name: m for m in (tabnet(), TREE)})
    plan = Plan(inputs, np.arange(120), tasks, 0, 0.5, None)
    for workers in (1, 2, 16):
        units = in_units(plan, tasks, workers)
        assert sorted(n for unit in units for n in unit) == list(range(len(tasks)))
        for unit in units:
            assert len({(tasks[n].feature_set, tasks[n].model.name) for n in unit}) == 1
        sizes = {
            name: [len(u) for u in units if tasks[u[0]].model.name == name] for name in ("tabnet", "tree")
        }
        assert set(sizes["tree"]) == {1}
        assert max(sizes["tabnet"]) == {1: 10, 2: 9, 16: 2}[workers]


def test__run_fits__one_fit_of_a_loop_fails__is_named_as_alone():
    inputs = given()
    labels = inputs.targets["t"].to_numpy(dtype=bool)
    splits, _ = LeakFree(1, 3).splits(inputs, 0)
    bad = splits[1]._replace(train=np.flatnonzero(labels)[:20])
    splits = [splits[0], bad, splits[2]]
    with pytest.raises(UserError, match=r"'tabnet' on feature set '(one|all)', target 't', repeat 0, fold 1"):
        run_fits(inputs, splits, {"tabnet": tabnet()}, seed=0, n_jobs=2)


def test__fresh_results__where_nothing_can_be_forked__gives_the_same_scores(monkeypatch):
    import dallm.evaluation.running.run as module

    inputs = given()
    expected = scores(run(inputs, TREE, n_jobs=1))
    deep = Spec("tree", TREE.make, deep=True)
    monkeypatch.setattr(module, "fork_is_safe", lambda: False)
    assert scores(run(inputs, deep, n_jobs=2)) == expected


def test__keys__model_whose_class_is_in_no_file__is_not_kept_and_warned_of(tmp_path):
    home = {"__name__": "a_notebook"}
    exec("from sklearn.tree import DecisionTreeClassifier\nclass Own(DecisionTreeClassifier): pass", home)
    sys.modules["a_notebook"] = types.ModuleType("a_notebook")
    sys.modules["a_notebook"].Own = home["Own"]
    try:
        with pytest.warns(UserWarning, match="keeps no fits of model 'own'"):
            run(given(), Spec("own", lambda seed: home["Own"](random_state=seed)), n_jobs=1, folder=tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(given(), TREE, n_jobs=1, folder=tmp_path)
    finally:
        del sys.modules["a_notebook"]


def test__model_digest__a_function_beside_the_class_is_changed__differs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for depth in (1, 8, 8):
        (tmp_path / "own_model.py").write_text(
            "from sklearn.tree import DecisionTreeClassifier\n"
            f"def depth(): return {depth}\n"
            "class Own(DecisionTreeClassifier):\n"
            "    def fit(self, X, y): return self.set_params(max_depth=depth()).fit_tree(X, y)\n"
        )
        module = importlib.import_module("own_model")
        digests.append(model_digest(Spec("own", lambda seed, made=module.Own: made(random_state=seed))))
        del sys.modules["own_model"]
    assert digests[0] != digests[1] == digests[2]


def test__run_fits__numpy_number_of_jobs__is_taken():
    assert len(run(given(), TREE, n_jobs=np.int64(1), folds=2)) == 8


def test__time_left__only_deep_models_seen__does_not_take_all_fits_for_deep():
    tasks = [
        Task(i, "one", Spec(name, None, deep=name == "deep"), None)
        for i, name in enumerate(["deep", "tree"] * 20)
    ]
    left = TimeLeft(tasks, 2)
    left.finished("deep", 10.0)
    assert left.seconds() == pytest.approx((19 * 10 + 20 * 1) / 2)
