"""Tests of the ledger: a call is written down before it is sent, and nothing of a case ever is."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import fault_cohort as known
import pandas as pd
import pytest
from processes import start
from typer.testing import CliRunner

import dallm
from dallm.cli.app import app
from dallm.engines.llm.ledger import FILE, Ledger, ledger_of
from dallm.engines.llm.usage import Totals
from dallm.engines.llm.wire import Message, Reply, Request, Usage
from dallm.errors import EngineError, UserError

pytest_plugins = ("llm_fixtures",)

SENDER = """
import sys, time
from dallm.engines.llm.ledger import Ledger
from dallm.engines.llm.wire import Message, Reply, Request
ledger = Ledger(sys.argv[1], endpoint="10.0.0.1")
for number in range(5):
    call = ledger.intend(Request("tiny", (Message("user", str(number)),)))
    if number < 3:
        ledger.done(call, Reply("yes"), 0.5)
print("sent", flush=True)
time.sleep(600)
"""


def request(text="Is there fever?", model="tiny"):
    return Request(model, (Message("user", text),))


def engine(faults, folder, **options):
    return dallm.engine(
        "openai:tiny", base_url=faults.base_url, api_key=known.KEY, cache=str(folder), **options
    )


def test__done__call__is_a_row_with_all_of_it(tmp_path):
    ledger = Ledger(tmp_path, endpoint="10.0.0.1", agreement="of 2026-03-01")
    call = ledger.intend(request(), key=("Jane Doe", 17))
    reply = Reply("yes", usage=Usage(100, 80, 7), request_id="req-1", latency_s=1.25)
    ledger.done(call, reply, 0.002, retries=2)
    assert ledger.to_parquet(tmp_path / "calls.parquet") == 1
    row = pd.read_parquet(tmp_path / "calls.parquet").iloc[0].to_dict()
    assert abs(row.pop("time").timestamp() - time.time()) < 60
    assert row == {
        "model": "tiny",
        "endpoint": "10.0.0.1",
        "agreement": "of 2026-03-01",
        "request_sha256": request().sha256,
        "outcome": "ok",
        "latency_s": 1.25,
        "tokens_read": 100,
        "tokens_cached": 80,
        "tokens_written": 7,
        "cost": 0.002,
        "retries": 2,
        "request_id": "req-1",
        "process": os.getpid(),
    }


def test__totals__of_each_kind_of_outcome__count_what_may_be_paid(tmp_path):
    ledger = Ledger(tmp_path)
    assert ledger.totals() == Totals()
    ledger.done(ledger.intend(request()), Reply("a", usage=Usage(10, 5, 1), latency_s=2), 0.5, retries=1)
    ledger.done(ledger.intend(request()), Reply("b", usage=Usage(20, 0, 2), latency_s=1), None)
    for kind in ("rate_limit", "timeout", "cut_off", "key"):
        ledger.failed(ledger.intend(request()), kind)
    ledger.intend(request())
    total = ledger.totals()
    assert total == Totals(7, 2, 4, 1, 3, 30, 5, 3, 0.5, 1, 1, 3.0)


def test__dallm_usage__cost_of_some_calls_unknown__says_so(tmp_path):
    ledger = Ledger(tmp_path)
    for model, costs in (("none", (None,)), ("some", (0.25, None)), ("all", (0.25, 0.5))):
        for cost in costs:
            ledger.done(ledger.intend(request(model=model)), Reply("a"), cost)
    lines = CliRunner().invoke(app, ["usage", "--folder", str(tmp_path)]).stdout.splitlines()
    costs = {line.split()[1]: line.split()[8] for line in lines[1:4]}
    assert costs == {"none": "unknown", "some": "0.2500+", "all": "0.7500"}


def test__summed__by_day_and_model__has_a_group_each(tmp_path):
    ledger = Ledger(tmp_path)
    for model in ("small", "large", "small"):
        ledger.done(ledger.intend(request(model=model)), Reply("a", usage=Usage(10)), None)
    with sqlite3.connect(ledger.path) as db:
        db.execute("update calls set sent = sent - 10 * 86400 where id = 1")
    db.close()
    groups = ledger.summed()
    assert [(key[1], total.calls) for key, total in groups.items()] == [
        ("small", 1),
        ("large", 1),
        ("small", 1),
    ]
    assert len({key[0] for key in groups}) == 2
    assert ledger.summed(("model",), since=time.time() - 86400)[("small",)].calls == 1
    assert ledger.summed((), model="large")[()].calls == 1
    with pytest.raises(UserError, match="Did you mean"):
        ledger.summed(("days",))


def test__sigkill__between_intent_and_answer__names_the_calls(tmp_path):
    process = start([sys.executable, "-c", SENDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "sent\n"
    ledger = Ledger(tmp_path)
    assert [call.running for call in ledger.unanswered()] == [True, True]
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    left = ledger.unanswered()
    assert [call.request_sha256 for call in left] == [request(str(n)).sha256 for n in (3, 4)]
    assert {(call.model, call.endpoint, call.running) for call in left} == {("tiny", "10.0.0.1", False)}
    assert ledger.totals().cost == 1.5


def test__file__made_with_an_open_umask__is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        ledger = Ledger(tmp_path / "new")
        ledger.intend(request())
        ledger.to_parquet(tmp_path / "new" / "calls.parquet")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}
    assert len(list((tmp_path / "new").iterdir())) == 4


def test__file__of_the_cache_or_damaged__is_refused(tmp_path):
    from dallm.engines.llm.cache.store import AnswerCache

    AnswerCache(tmp_path).close()
    with pytest.raises(EngineError, match="another program"):
        Ledger(tmp_path / "answers.sqlite")
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    with pytest.raises(EngineError, match="move the file aside"):
        Ledger(tmp_path)


def test__ledger_of__each_option__means_what_it_says(tmp_path):
    addresses = ("https://user:secret@Models.example.org/v1",)
    beside = ledger_of(True, tmp_path, addresses)
    assert (beside.path, beside.endpoint) == (tmp_path / FILE, "models.example.org")
    assert ledger_of(True, None, addresses) is ledger_of(None, tmp_path, addresses) is None
    assert ledger_of(tmp_path / "own.sqlite", None, ()).path == tmp_path / "own.sqlite"
    assert ledger_of(beside, None, ("http://10.0.0.1",)).endpoint == "10.0.0.1"
    with pytest.raises(UserError, match="ledger"):
        ledger_of(3, tmp_path, ())


# ---- through the engine


def test__fill_values__with_faults__writes_every_request_and_no_case(faults, tmp_path):
    faults.set(share=0.3, kinds=["server", "rate_limit", "breaks_schema"], seed=2)
    asker = engine(faults, tmp_path, max_concurrency=4)
    dallm.fill_values(known.cohort(30), known.FEATURES, engine=asker)
    seen = faults.stats()
    total = asker.ledger.totals()
    assert (total.calls, total.unanswered) == (seen["requests"], 0)
    assert total.failed > 0
    assert total.tokens_read > 0
    asker.ledger.to_parquet(tmp_path / "calls.parquet")
    calls = pd.read_parquet(tmp_path / "calls.parquet")
    assert set(calls["endpoint"]) == {"127.0.0.1"}
    assert set(calls["outcome"]) == {"ok", "server", "rate_limit"}
    held = (tmp_path / FILE).read_bytes() + (tmp_path / f"{FILE}-wal").read_bytes()
    for number in range(30):
        assert f"c{number:04d}".encode() not in held
    assert b"Film number" not in held
    assert known.KEY.encode() not in held


@pytest.mark.parametrize("given", [None, False])
def test__fill_values__ledger_off__writes_none(faults, tmp_path, given):
    dallm.fill_values(known.cohort(2), known.FEATURES, engine=engine(faults, tmp_path, ledger=given))
    assert not (tmp_path / FILE).exists()


def test__sigkill__in_a_run__in_flight_calls_are_named(faults, tmp_path):
    faults.set(latency_s=1.0)
    process = known.start(faults, tmp_path, 40, tmp_path / "cells.parquet", max_concurrency=4)
    until = time.monotonic() + 60
    while faults.stats()["now"] < 4 and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait(30)
    seen = faults.stats()["requests"]
    ledger = Ledger(tmp_path)
    assert 4 <= len(ledger.unanswered()) <= 8
    assert ledger.totals().calls == seen
    shown = CliRunner().invoke(app, ["usage", "--folder", str(tmp_path)]).stdout
    assert "without any word of an answer: perhaps paid" in shown
    assert ledger.unanswered()[0].request_sha256[:16] in shown


def test__dallm_usage__of_a_ledger__sums_and_exports(faults, tmp_path):
    dallm.fill_values(known.cohort(5), known.FEATURES, engine=engine(faults, tmp_path))
    call = CliRunner().invoke
    shown = call(app, ["usage", "--folder", str(tmp_path), "--parquet", str(tmp_path / "calls.parquet")])
    assert shown.exit_code == 0
    row = next(line.split() for line in shown.stdout.splitlines() if " tiny " in line)
    assert row[1:5] == ["tiny", "5", "5", "0"]
    assert len(pd.read_parquet(tmp_path / "calls.parquet")) == 5
    assert " tiny " not in call(app, ["usage", "--folder", str(tmp_path), "--model", "large"]).stdout
    assert call(app, ["usage", "--folder", str(tmp_path), "--since", "soon"]).exit_code == 2
