"""Tests of filling by a language model when the server fails: nothing is lost, nothing is silently wrong."""

import json
import socket
import time
import urllib.error
import urllib.request
from functools import partial

import fault_cohort as known
import pandas as pd
import pytest
from fault_answers import CONTENT, MIXED, NONE_LEFT
from processes import at_once

import dallm
from dallm.errors import DallmError

pytest_plugins = ("llm_fixtures",)


def cells_of(augmented):
    """What a run found, without what tells a second run from a first."""
    return augmented.cells.drop(columns=["cached"])


def engine(faults, folder, **options):
    return dallm.engine(
        "openai:tiny", base_url=faults.base_url, api_key=known.KEY, cache=str(folder), **options
    )


# ---- the server itself


def ask(faults, text="case c0001 findings: There is fever."):
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        f"{faults.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def test__fault_server__share__hits_each_block_of_rows_once(faults):
    faults.set(share=0.1, kinds=["server"], seed=4)
    hit = 0
    for number in range(100):
        try:
            ask(faults, f"case c{number:04d} findings: clear.")
        except urllib.error.HTTPError as error:
            hit += error.code == 500
    assert (hit, faults.stats()["requests"]) == (10, 100)


def test__fault_server__request_before_retry_after__is_counted_early(faults):
    faults.set(script=["rate_limit"], retry_after_s=1)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(faults)
    assert refused.value.headers["retry-after"] == "1"
    time.sleep(0.3)
    ask(faults)
    time.sleep(0.8)
    ask(faults)
    assert faults.stats()["early"] == 1
    assert 0.5 < faults.records()[1].early_s < 0.8


def test__fault_server__calls_at_once__are_counted(faults):
    faults.set(latency_s=0.3)
    at_once(*[partial(ask, faults)] * 5)
    assert (faults.stats()["most_at_once"], faults.stats()["answered_again"]) == (5, 4)


# ---- faults that pass


def test__fill_values__tenth_of_rows_faulty__every_cell_right(faults, tmp_path):
    n = 10 * len(MIXED)
    faults.set(latency_s=0.02, share=0.1, seed=7, hang_s=20)
    filled = dallm.fill_values(
        known.cohort(n), known.FEATURES, engine=engine(faults, tmp_path, max_concurrency=8, timeout_s=2)
    )
    seen = faults.stats()
    assert set(seen["faults"]) == set(MIXED)
    assert known.faults_in(filled.cells, n) == ([], [])
    assert seen["requests"] <= 1.1 * n
    assert seen["early"] == 0
    assert seen["most_at_once"] <= 8


@pytest.mark.parametrize("kind", [kind for kind in CONTENT if kind not in NONE_LEFT])
def test__fill_values__answer_bad_twice__fails_with_reason_and_is_asked_again_later(faults, tmp_path, kind):
    faults.set(share=0.5, kinds=[kind], times=2)
    first = dallm.fill_values(known.cohort(6), known.FEATURES, engine=engine(faults, tmp_path))
    wrong, refused = known.faults_in(first.cells, 6)
    assert wrong == []
    assert refused  # of three of six cases; a fault of one cell leaves the others of its case
    failed = first.cells[first.cells["status"] == "failed"]
    assert failed["case_id"].nunique() == 3
    assert failed["reason"].notna().all()
    assert faults.stats()["requests"] == 9
    faults.restart()
    second = dallm.fill_values(known.cohort(6), known.FEATURES, engine=engine(faults, tmp_path))
    assert known.faults_in(second.cells, 6) == ([], [])
    assert faults.stats()["requests"] == 3


# ---- kills and reruns


@pytest.mark.slow
def test__fill_values__killed_twice__no_received_answer_is_asked_again(faults, tmp_path):
    n, at_once, kills = 60, 4, 2  # benchmarks/llm_throughput.py --kill: 800 cases, 32 at once, five times
    undisturbed = known.run(faults.base_url, str(tmp_path / "other"), n)
    faults.restart(latency_s=0.1, jitter_s=0.1)
    out = tmp_path / "cells.parquet"
    for kill in range(1, kills + 1):
        process = known.start(faults, tmp_path / "cache", n, out, max_concurrency=at_once)
        known.kill_at(process, faults, kill * n // (kills + 1))
        assert not out.exists()
    last = known.start(faults, tmp_path / "cache", n, out, max_concurrency=at_once)
    assert last.wait(timeout=120) == 0
    seen = faults.stats()
    assert seen["answered_again"] <= 2 * kills
    assert seen["requests"] <= n + kills * at_once
    assert seen["most_at_once"] <= at_once
    cells = pd.read_parquet(out)
    assert known.faults_in(cells, n) == ([], [])
    expected = cells_of(undisturbed).astype(object)
    pd.testing.assert_frame_equal(cells.drop(columns=["cached"]).astype(object), expected)


def test__fill_values__run_again__no_call(faults, tmp_path):
    first = known.run(faults.base_url, str(tmp_path), 100)
    asked = faults.stats()["requests"]
    start = time.perf_counter()
    second = known.run(faults.base_url, str(tmp_path), 100)
    assert time.perf_counter() - start < 3
    assert faults.stats()["requests"] == asked == 100
    pd.testing.assert_frame_equal(cells_of(first), cells_of(second))


def test__fill_values__row_moved_case_added__only_the_new_is_asked(faults, tmp_path):
    known.run(faults.base_url, str(tmp_path), 20)
    frame = known.cohort(25).frame.iloc[::-1]
    moved = dallm.Cohort(
        frame, id="case", report=["findings", "impression"], targets="label", data_use="open"
    )
    filled = dallm.fill_values(moved, known.FEATURES, engine=engine(faults, tmp_path))
    assert faults.stats()["requests"] == 25
    assert known.faults_in(filled.cells, 25) == ([], [])


# ---- faults that do not pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("setting", "base", "says"),
    [
        ({"key": "another"}, None, "key"),
        ({"models": ["large"]}, None, "tiny"),
        ({"html": True}, None, "web page"),
        ({}, "http://127.0.0.1:{port}", "/v1"),
        ({}, "http://127.0.0.1:{free}/v1", "127.0.0.1"),
    ],
    ids=["wrong key", "wrong model", "answers HTML", "no v1", "unreachable"],
)
def test__fill_values__call_that_cannot_succeed__one_line_within_ten_seconds(
    faults, tmp_path, setting, base, says
):
    known.run(faults.base_url, str(tmp_path), 5)
    faults.restart(**setting)
    base = (base or faults.base_url).format(port=faults.port, free=free_port())
    start = time.perf_counter()
    with pytest.raises(DallmError, match=says) as refused:
        known.run(base, str(tmp_path), 40)
    assert time.perf_counter() - start < 10
    text = str(refused.value)
    assert "\n" not in text
    assert known.KEY not in text
    assert "Film number" not in text
    assert faults.stats()["requests"] <= 2  # said at once, before the other cases are tried
    faults.restart()
    filled = known.run(faults.base_url, str(tmp_path), 5)  # what was there before is still there
    assert faults.stats()["requests"] == 0
    assert known.faults_in(filled.cells, 5) == ([], [])
