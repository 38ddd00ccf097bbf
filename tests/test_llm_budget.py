"""Tests of budgets, prices and forecasts: never more than allowed, and what is missing comes later."""

import copy
import math
import pickle

import fault_cohort as known
import pytest

import dallm
from dallm.engines.llm.budget import Budget, HeldError, Spent
from dallm.engines.llm.prices import FREE, Price, price_of
from dallm.engines.llm.purse import ModelPurse
from dallm.engines.llm.wire import Message, Reply, Request, Usage
from dallm.errors import BudgetError, UserError

pytest_plugins = ("llm_fixtures",)

PRICES = {"openai:tiny": {"in": 2.0, "cached": 0.5, "out": 8.0}}
ASKED = Request("tiny", (Message("user", "one two three four five six"),), max_output_tokens=50)


def engine(faults, folder, **options):
    return dallm.engine(
        "openai:tiny", base_url=faults.base_url, api_key=known.KEY, cache=str(folder), **options
    )


def fill(faults, folder, n=40, **options):
    made = engine(faults, folder, **options)
    return dallm.fill_values(known.cohort(n), known.FEATURES, engine=made), made


def failed(augmented):
    cells = augmented.cells
    return cells[cells["status"] == "failed"]


# ---- the budget alone


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf, "5", True])
@pytest.mark.parametrize("name", ["cost", "tokens", "calls"])
def test__budget__bound_that_is_none__is_refused_by_name(name, wrong):
    with pytest.raises(UserError, match=f"{name} of a budget must be a number above 0"):
        Budget(**{name: wrong})


def test__budget__nothing_bounded_or_half_a_call__is_refused():
    with pytest.raises(UserError, match="give cost="):
        Budget()
    with pytest.raises(UserError, match="whole number"):
        Budget(calls=1.5)


def test__hold__more_than_is_left__held_or_refused():
    budget = Budget(tokens=100)
    first = budget.hold(Spent(0, 60, 1))
    with pytest.raises(HeldError):
        budget.hold(Spent(0, 60, 1))
    with pytest.raises(BudgetError, match="0 of 100 tokens are spent; one more call may take 101") as over:
        budget.hold(Spent(0, 101, 1))
    assert not isinstance(over.value, HeldError)
    budget.spend(first, Spent(0, 30, 1))
    budget.hold(Spent(0, 70, 1))
    assert budget.left == Spent(math.inf, 0, math.inf)


def test__budget__copied__is_the_same_pickled__goes_on_from_what_is_spent():
    budget = Budget(calls=3)
    budget.spend(budget.hold(Spent(0, 0, 1)), Spent(0, 0, 1))
    assert copy.deepcopy(budget) is budget
    assert copy.copy(budget) is budget
    assert pickle.loads(pickle.dumps(budget)).left.calls == 2


# ---- the calls to one model


def purse(price=None, **bounds):
    return ModelPurse("openai:tiny", price, Budget(**bounds))


def test__reserve__first_call_under_way__nothing_goes_beside_it():
    held = purse(tokens=10_000)
    first = held.reserve(ASKED)
    with pytest.raises(HeldError, match="first call"):
        held.look(ASKED)
    held.settle(first, Reply("x", usage=Usage(20, 0, 5)))
    held.reserve(ASKED)
    held.reserve(ASKED)


def test__settle__server_counts_more_than_estimated__later_calls_set_aside_more():
    held = purse(tokens=10_000)
    held.settle(held.reserve(ASKED), Reply("x", usage=Usage(300, 0, 5)))
    before = held.budget.left.tokens
    held.reserve(ASKED)
    assert before - held.budget.left.tokens >= 300 + 50


@pytest.mark.parametrize(
    ("kind", "worst"), [("timeout", True), ("cut_off", True), ("cancelled", True), ("rate_limit", False)]
)
def test__settle__no_answer__what_may_be_charged_counts_as_its_worst_case(kind, worst):
    held = purse(Price(2.0, 0.5, 8.0), cost=1.0)
    held.settle(held.reserve(ASKED), None, kind)
    spent = held.budget.spent
    assert (spent.cost >= 50 * 8.0 / 1e6) == worst
    assert spent.calls == 1


def test__settle__server_that_counts_nothing__is_counted_by_estimate():
    held = purse(Price(2.0, 0.5, 8.0), tokens=10_000)
    cost = held.settle(held.reserve(ASKED), Reply("one two three"))
    assert held.budget.spent.tokens >= 9
    assert cost > 0


def test__limited__no_bound_on_answers__is_given_by_the_features_asked_for():
    schema = {"properties": {"features": {"properties": {"fever": {}, "cough": {}}}}}
    asked = Request("tiny", ASKED.messages, schema, "json_schema")
    assert purse(tokens=10_000).limited(asked).max_output_tokens == 400 + 2 * 160
    assert purse(tokens=10_000).limited(ASKED) is ASKED
    assert purse(calls=5).limited(asked) is asked
    assert purse(FREE, cost=5).limited(asked) is asked
    assert ModelPurse("openai:o3", None, Budget(tokens=9)).limited(asked).max_output_tokens > 16_000


# ---- prices


def test__price_of__users_file__goes_before_the_projects(tmp_path, monkeypatch):
    own = tmp_path / "prices.toml"
    own.write_text(
        'currency = "EUR"\n["openai:gpt-4.1"]\nin = 1\nout = 2\n[mine]\n"a b" = {in = 3, out = 4}\n'
    )
    monkeypatch.setenv("DALLM_PRICES", str(own))
    assert price_of("openai:gpt-4.1") == Price(1.0, 1.0, 2.0, "EUR")
    assert price_of("mine:a b").written == 4.0
    assert price_of("openai:gpt-4.1-mini").currency == "USD"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[x", "is no TOML"),
        ('["openai:a"]\nin = 1\n', "'out' of 'openai:a' must be a number"),
        ('["openai:a"]\nin = -1\nout = 1\n', "'in' of 'openai:a' must be a number"),
        ('["openai:a"]\nin = nan\nout = 1\n', "must be a number"),
        ('["openai:a"]\nin = 1\nout = 1\ncahed = 1\n', "Did you mean 'cached'"),
        ("a = 5\n", "is no price"),
    ],
)
def test__own_prices__unusable__says_where(tmp_path, text, said):
    own = tmp_path / "prices.toml"
    own.write_text(text)
    with pytest.raises(UserError, match=said):
        price_of("openai:a", prices=own)


def test__price_of__paid_model_behind_loopback__is_not_free_unknown_one_is():
    here = ["http://127.0.0.1:4000/v1"]
    assert price_of("openai:gpt-4.1", here).read == 2.0
    assert price_of("openai:mine", here) == FREE
    assert price_of("openai:mine", ["https://llm.example.org/v1"]) is None
    assert price_of("gpt-4.1-mini").read == 0.4


def test__engine__cost_bounded_and_price_unknown__is_refused_with_the_remedy(tmp_path):
    with pytest.raises(BudgetError, match=r"What openai:mine costs is not known.*DALLM_PRICES"):
        dallm.engine(
            "openai:mine", base_url="https://llm.example.org/v1", cache=str(tmp_path), budget=Budget(cost=1.0)
        )
    with pytest.raises(UserError, match=r"budget is a dallm.Budget.*got 5"):
        dallm.engine("ollama:llama3.3", cache=None, budget=5)


# ---- runs


@pytest.mark.parametrize(
    "bounds", [{"tokens": 30_000}, {"cost": 0.05}, {"calls": 12}], ids=lambda bounds: next(iter(bounds))
)
def test__fill__budget_reached__ends_cleanly_and_the_next_run_goes_on(faults, tmp_path, bounds):
    faults.set(latency_s=0.05)
    budget = Budget(**bounds)
    augmented, _ = fill(faults, tmp_path / "cache", budget=budget, prices=PRICES)
    for name, bound in bounds.items():
        assert 0.5 * bound < getattr(budget.spent, name) <= bound
    missing = failed(augmented)
    assert len(augmented.frame) == 40
    assert 0 < missing["case_id"].nunique() < 40
    assert missing["reason"].str.startswith("budget").all()
    before = faults.stats()["requests"]
    assert before == budget.spent.calls == 40 - missing["case_id"].nunique()
    whole, _ = fill(faults, tmp_path / "cache")
    assert faults.stats()["requests"] - before == 40 - before
    assert not len(failed(whole))


def test__fill__checkpoint_of_a_run_that_its_budget_ended__is_no_answer(faults, tmp_path):
    cohort = known.cohort(20)
    for bounds in ({"calls": 5}, {"calls": 50}):
        made = engine(faults, tmp_path / "cache", budget=Budget(**bounds))
        augmented = dallm.fill_values(cohort, known.FEATURES, engine=made, checkpoint=tmp_path / "kept")
    assert not len(failed(augmented))
    assert faults.stats()["requests"] == 20


def test__fill__faults__spend_no_more_than_allowed(faults, tmp_path):
    faults.set(latency_s=0.02, share=0.3, kinds=["server", "reset"])
    budget = Budget(calls=25)
    augmented, _ = fill(faults, tmp_path / "cache", budget=budget)
    assert faults.stats()["requests"] == 25 == budget.spent.calls
    assert failed(augmented)["reason"].str.startswith("budget").any()


def test__fill__one_budget_of_two_engines__holds_for_both(faults, tmp_path):
    budget = Budget(calls=10)
    fill(faults, tmp_path / "a", n=6, budget=budget)
    second, _ = fill(faults, tmp_path / "b", n=6, budget=budget)
    assert faults.stats()["requests"] == 10
    assert failed(second)["case_id"].nunique() == 2


def test__fill__price_known__the_ledger_holds_what_it_cost(faults, tmp_path):
    _, made = fill(faults, tmp_path / "cache", n=5, prices=PRICES)
    totals = made.ledger.totals()
    assert totals.priced == 5
    assert totals.cost == pytest.approx(
        (totals.tokens_read * 2.0 + totals.tokens_written * 8.0) / 1e6, rel=0.6
    )
    assert totals.cost > 0


# ---- forecasts


def test__forecast__nothing_sent__the_run_lies_within_it(faults, tmp_path):
    made = engine(faults, tmp_path / "cache", prices=PRICES)
    told = made.forecast(known.cohort(30), known.FEATURES)
    assert faults.stats()["requests"] == 0
    assert (told.cases, told.calls, told.held, told.measured) == (30, 30, 0, 0)
    assert 0 < told.cost.low < told.cost.high
    assert told.cached.high > 0.5 * told.read.low
    assert "30 calls for 30 cases" in str(told)
    dallm.fill_values(known.cohort(30), known.FEATURES, engine=made)
    assert faults.stats()["requests"] == 30
    again = made.forecast(known.cohort(40), known.FEATURES)
    assert (again.calls, again.held) == (10, 30)


def test__forecast__measured_calls__are_kept_for_the_run(faults, tmp_path):
    made = engine(faults, tmp_path / "cache", prices=PRICES)
    told = made.forecast(known.cohort(20), known.FEATURES, measure=4)
    assert (told.calls, told.measured, faults.stats()["requests"]) == (16, 4, 4)
    before = made.ledger.totals()
    dallm.fill_values(known.cohort(20), known.FEATURES, engine=made)
    after = made.ledger.totals()
    assert faults.stats()["requests"] == 20
    assert 0.6 * told.read.low < after.tokens_read - before.tokens_read < 1.4 * told.read.high
    assert told.cost.low < after.cost - before.cost < told.cost.high


def test__forecast__price_unknown__says_so_and_gives_tokens(tmp_path):
    made = dallm.engine("openai:mine", base_url="https://llm.example.org/v1", cache=str(tmp_path))
    told = made.forecast(known.cohort(3), known.FEATURES)
    assert told.cost is None
    assert told.read.low > 0
    assert "What openai:mine costs is not known" in str(told)


# ---- the command line


def command(faults, tmp_path, *more):
    from typer.testing import CliRunner

    from dallm.cli.app import app

    table, features = tmp_path / "cases.csv", tmp_path / "features.json"
    known.cohort(12).frame.to_csv(table, index=False)
    dallm.FeatureSet(known.FEATURES).to_json(features)
    given = f"fill {table} --id case --report findings --report impression --target label --data-use open"
    model = f"--engine openai:tiny --base-url {faults.base_url} --cache {tmp_path / 'cache'}"
    words = f"{given} --features {features} --out {tmp_path / 'out'} {model}".split()
    return CliRunner().invoke(app, [*words, *more])


def test__fill__dry_run__shows_the_forecast_and_sends_nothing(faults, tmp_path):
    done = command(faults, tmp_path, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "12 calls for 12 cases" in done.output
    assert faults.stats()["requests"] == 0


def test__fill__budget_calls__the_same_command_goes_on(faults, tmp_path):
    first = command(faults, tmp_path, "--budget-calls", "5")
    assert first.exit_code == 0, first.output
    assert "the budget is reached; 63 cells are failed" in first.output
    assert faults.stats()["requests"] == 5
    second = command(faults, tmp_path)
    assert second.exit_code == 0, second.output
    assert faults.stats()["requests"] == 12
    assert not len(failed(dallm.Augmented.load(tmp_path / "out")))


def test__fill__budget_of_the_extractive_engine__is_refused(faults, tmp_path):
    done = command(faults, tmp_path, "--engine", "extractive")
    assert done.exit_code == 2
    assert "--base-url is for language models" in done.output
