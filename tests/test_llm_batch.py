"""Filling through the batch interface: nothing lost, nothing paid twice, nothing left at the server."""

from __future__ import annotations

import json
import time

import pytest
from batch_server import BatchServer, batch_server, error_body
from fault_cohort import FEATURES, KEY, cohort, faults_in, start
from typer.testing import CliRunner

import dallm
from dallm.cli.app import app
from dallm.engines.llm.batch import outbox
from dallm.engines.llm.cache.store import AnswerCache
from dallm.engines.llm.ledger import Ledger
from dallm.errors import BatchPendingError, EgressError, EngineError, UserError

pytest_plugins = ("llm_fixtures",)


@pytest.fixture
def server():
    with batch_server() as running:
        yield running


def engine_at(server: BatchServer, folder, **options):
    given = {"mode": "batch", "batch_wait_s": 20.0, **options}
    return dallm.engine("openai:gpt-4o", base_url=server.base_url, api_key=KEY, cache=folder, **given)


def filled(server, folder, n=6, **options):
    return dallm.fill_values(cohort(n), FEATURES, engine=engine_at(server, folder, **options))


def check(result, n, failed=0):
    wrong, refused = faults_in(result.cells, n)
    assert not wrong
    assert len(refused) == failed, refused


def test__batch__filled__is_right_costs_half_and_leaves_nothing_behind(server, tmp_path):
    check(filled(server, tmp_path), 6)
    assert server.count("POST", "/v1/batches") == 1
    assert server.count("POST", "/v1/chat") == 0
    assert not server.files
    totals = Ledger(tmp_path).totals()
    assert (totals.calls, totals.answered, totals.unanswered) == (6, 6, 0)
    full = (totals.tokens_read * 2.5 + totals.tokens_written * 10.0) / 1e6
    assert totals.cost == pytest.approx(full / 2)
    before = len(server.log)
    again = filled(server, tmp_path)
    check(again, 6)
    assert again.cells["cached"].all()
    assert len(server.log) == before


def test__answers_of_a_batch__asked_live__are_in_the_cache(server, tmp_path):
    filled(server, tmp_path)
    check(filled(server, tmp_path, mode="live"), 6)
    assert server.count("POST", "/v1/chat") == 0


def test__batch_not_there_yet__filled__says_so_and_the_same_call_collects(server, tmp_path):
    server.polls = 10_000
    with pytest.raises(BatchPendingError, match=r"0 of 6 requests done.*same call collects.*within 24 h"):
        filled(server, tmp_path, batch_wait_s=0)
    with pytest.raises(BatchPendingError):
        filled(server, tmp_path, batch_wait_s=0)
    assert len(Ledger(tmp_path).unanswered()) == 6
    server.polls = 0
    check(filled(server, tmp_path), 6)
    assert server.count("POST", "/v1/batches") == 1
    assert len(server.bodies) == 6
    assert not server.files


def test__more_than_one_batch_takes__filled__goes_in_several(server, tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_BYTES", 30_000)
    check(filled(server, tmp_path), 6)
    assert server.count("POST", "/v1/batches") > 1
    assert len(server.bodies) == 6
    assert not server.files


@pytest.mark.parametrize("kind", ["breaks_schema", "cut_off", "nan", "other_case", "empty", "refusal"])
def test__answer_that_cannot_be_read__filled__is_asked_once_more_in_the_next_batch(server, tmp_path, kind):
    bad: list[str] = []
    server.fault = lambda row, attempt, body: (
        kind if bad.append(row) or (row == bad[0] and attempt == 1) else ""
    )
    check(filled(server, tmp_path), 6)
    assert len(server.bodies) == 7
    assert server.count("POST", "/v1/batches") == 2
    assert not server.files


def test__answer_never_readable__filled__fails_alone_and_is_asked_no_further(server, tmp_path):
    bad: list[str] = []
    server.fault = lambda row, attempt, body: "breaks_schema" if bad.append(row) or row == bad[0] else ""
    result = filled(server, tmp_path)
    failed = result.cells[result.cells["status"] == "failed"]
    assert failed["case_id"].nunique() == 1
    assert failed["reason"].str.startswith("unreadable").all()
    assert len(server.bodies) == 7


def test__server_that_ignores_the_schema__filled__answers_in_words_in_the_end(server, tmp_path):
    server.fault = lambda row, attempt, body: (
        "breaks_schema" if "response_format" in body or "tools" in body else ""
    )
    check(filled(server, tmp_path, n=2), 2)
    assert not server.files


def test__requests_refused_one_by_one__filled__end_as_of_a_call(server, tmp_path):
    def fault(row, attempt, body):
        if "temperature" in body:
            said = "Unsupported value: 'temperature' does not support 0 with this model."
            return 400, error_body("unsupported_value", said, "temperature")
        return (500, error_body("server_error", "The server had an error.")) if attempt == 2 else ""

    server.fault = fault
    check(filled(server, tmp_path, n=3), 3)
    assert len(server.bodies) == 9
    server.fault = lambda row, attempt, body: ""
    check(filled(server, tmp_path, n=4), 4)
    assert "temperature" not in server.bodies[-1]  # what was learnt is kept


def test__batch_expired__filled__keeps_what_arrived_and_asks_the_rest_anew(server, tmp_path):
    server.end, server.answered = "expired", 0.5
    look = server.look

    def expire_once(made):
        found = look(made)
        if found["status"] == "expired":
            server.end, server.answered = "completed", 1.0
        return found

    server.look = expire_once
    check(filled(server, tmp_path), 6)
    assert len(server.bodies) == 9
    assert not server.files


def test__server_that_answers_no_request__filled__fails_after_three_batches(server, tmp_path):
    server.end, server.answered = "expired", 0.0
    result = filled(server, tmp_path, n=2)
    assert set(result.cells["status"]) == {"failed"}
    assert server.count("POST", "/v1/batches") == 3
    assert not server.files


def test__results_deleted_at_the_server__filled__are_asked_anew(server, tmp_path):
    look, lost = server.look, []

    def lose_results(made):
        found = look(made)
        if found["output_file_id"] and not lost:
            lost.append(server.files.pop(found["output_file_id"]))
        return found

    server.look = lose_results
    check(filled(server, tmp_path, n=2), 2)
    assert len(server.bodies) == 4
    assert not server.files


def test__batch_refused_as_a_whole__filled__says_why_and_deletes_the_file(server, tmp_path):
    server.refuse = lambda requests: ("model_not_found", "The model `gpt-4o` does not exist.")
    with pytest.raises(
        EngineError, match=r"refused a batch of 6 requests: The model `gpt-4o` does not exist"
    ):
        filled(server, tmp_path)
    assert not server.files
    assert Ledger(tmp_path).totals().maybe_paid == 0
    server.refuse = lambda requests: None
    check(filled(server, tmp_path), 6)


def test__too_many_tokens_waiting__filled__goes_in_smaller_batches(server, tmp_path):
    server.refuse = lambda requests: (
        ("token_limit_exceeded", "Enqueued token limit reached.") if len(requests) > 2 else None
    )
    check(filled(server, tmp_path), 6)
    assert len(server.bodies) == 6
    assert not server.files


@pytest.mark.parametrize("step", ["upload", "submit"])
def test__answer_of_a_step_lost__filled__the_step_is_not_made_twice(server, tmp_path, step):
    server.lose = {step}
    check(filled(server, tmp_path), 6)
    assert server.count("POST", "/v1/batches") == 1
    assert len(server.bodies) == 6
    assert not server.files


@pytest.mark.parametrize("step", ["upload", "submit"])
def test__killed_between_steps__run_again__nothing_is_asked_twice(server, tmp_path, step):
    server.stall = step
    options = {"mode": "batch", "batch_wait_s": 20}
    process = start(server, tmp_path / "cache", 6, tmp_path / "out.parquet", **options)
    try:
        assert server.stalled.wait(60)
    finally:
        process.kill()
        process.wait()
    server.stall = ""
    folder = tmp_path / "cache"
    engine = dallm.engine(
        "openai:tiny", base_url=server.base_url, api_key=KEY, cache=folder, mode="batch", batch_wait_s=20.0
    )
    check(dallm.fill_values(cohort(6), FEATURES, engine=engine), 6)
    assert len(server.bodies) == 6
    assert not server.files
    assert Ledger(folder).totals().unanswered == 0


def test__budget__batch_filled__bounds_what_is_handed_over(server, tmp_path):
    budget = dallm.Budget(calls=2)
    result = filled(server, tmp_path, budget=budget)
    assert len(server.bodies) == 2
    failed = result.cells[result.cells["status"] == "failed"]
    assert failed["case_id"].nunique() == 4
    assert failed["reason"].str.startswith("budget").all()
    assert budget.spent.calls == 2
    check(filled(server, tmp_path), 6)
    assert len(server.bodies) == 6


def test__budget_of_money__batch_filled__counts_the_batch_price(server, tmp_path):
    budget = dallm.Budget(cost=5.0)
    check(filled(server, tmp_path, budget=budget), 6)
    assert budget.spent.cost == pytest.approx(Ledger(tmp_path).totals().cost)
    assert budget.left.cost == pytest.approx(5.0 - budget.spent.cost)


def test__no_batch_interface__filled__is_one_clear_line(tmp_path, faults):
    engine = dallm.engine("openai:tiny", base_url=faults.base_url, api_key=KEY, cache=tmp_path, mode="batch")
    before = time.monotonic()
    with pytest.raises(EngineError, match="mode='live'"):
        dallm.fill_values(cohort(2), FEATURES, engine=engine)
    assert time.monotonic() - before < 10


def test__batch_without_a_cache_or_openais_interface__is_refused(tmp_path):
    from langchain_core.language_models import FakeListChatModel

    with pytest.raises(UserError, match="cache"):
        dallm.engine("openai:tiny", base_url="http://127.0.0.1:1/v1", cache=None, mode="batch")
    with pytest.raises(UserError, match="OpenAI's interface"):
        dallm.LLMEngine(FakeListChatModel(responses=[""]), cache=tmp_path, mode="batch")


def test__answers_fetched__nothing_of_them_stays_in_the_records(server, tmp_path):
    filled(server, tmp_path, cache_text=False)
    for path in tmp_path.iterdir():
        assert b"Film number" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


def test__credentialed_cohort__batch_filled__goes_to_private_addresses_only(server, tmp_path, monkeypatch):
    frame = cohort(3).frame.reset_index()
    roles = {"id": "case", "report": ["findings", "impression"], "targets": "label"}
    own = dallm.Cohort(frame, **roles, data_use="credentialed")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nothing of it goes through a proxy
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    check(dallm.fill_values(own, FEATURES, engine=engine_at(server, tmp_path / "a")), 3)
    assert not server.files
    public = dallm.engine("openai:gpt-4o", api_key=KEY, cache=tmp_path / "b", mode="batch")
    with pytest.raises(EgressError, match=r"api\.openai\.com"):
        dallm.fill_values(own, FEATURES, engine=public)


def test__forecast__batch__gives_its_price_and_its_date(server, tmp_path):
    live = str(engine_at(server, tmp_path, mode="live").forecast(cohort(6), FEATURES))
    batch = engine_at(server, tmp_path).forecast(cohort(6), FEATURES)
    said = str(batch)
    assert "list price of 20" in live
    assert "list price of 20" in said
    assert "for batches" in said
    assert "within 24.0 h" in said
    assert batch.cost is not None
    assert batch.cost.high < 5.0
    unknown = dallm.engine("openai:nobody", base_url="https://models.example.org/v1", cache=tmp_path)
    told = str(unknown.forecast(cohort(6), FEATURES))
    assert "unknown" in told
    assert "USD" not in told


def test__answer_refused_by_verification__is_kept_with_its_verdict(server, tmp_path):
    made = server.reply

    def lying(body):
        status, said = made(body)
        message = said["choices"][0]["message"]
        answer = json.loads(message["content"])
        cell = next(c for c in answer["features"].values() if isinstance(c["value"], bool))
        cell["value"] = not cell["value"]
        message["content"] = json.dumps(answer)
        return status, said

    server.reply = lying
    result = filled(server, tmp_path, n=2)
    assert (result.cells["status"] == "conflicting").sum() == 2
    kept = list(AnswerCache(tmp_path).listed("answers"))
    assert [row[-1] for row in kept] == ["1 conflicting", "1 conflicting"]
    before = len(server.log)
    again = filled(server, tmp_path, n=2)
    assert (again.cells["status"] == "conflicting").sum() == 2
    assert len(server.log) == before
    assert [row[-1] for row in AnswerCache(tmp_path).listed("answers")] == ["1 conflicting"] * 2


def test__command__batch_mode__says_when_to_come_back_then_collects(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    cohort(3).frame.reset_index().to_csv(tmp_path / "cases.csv", index=False)
    dallm.FeatureSet(FEATURES).to_json(tmp_path / "features.json")
    given = ["fill", str(tmp_path / "cases.csv"), "--id", "case", "--report", "findings"]
    given += ["--report", "impression", "--data-use", "open", "--features", str(tmp_path / "features.json")]
    given += ["--out", str(tmp_path / "out"), "--engine", "openai:gpt-4o", "--base-url", server.base_url]
    given += ["--cache", str(tmp_path / "cache"), "--mode", "batch", "--batch-wait"]
    server.polls = 10_000
    first = CliRunner().invoke(app, [*given, "0"])
    assert first.exit_code == 3, first.output
    assert "Not yet" in first.output
    server.polls = 0
    second = CliRunner().invoke(app, [*given, "20"])
    assert second.exit_code == 0, second.output
    assert len(server.bodies) == 3
