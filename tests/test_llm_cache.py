"""Tests of the cache of answers and cells: what arrived stays, for its owner only, whatever happens."""

import json
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zlib
from functools import partial

import fault_cohort as known
import pandas as pd
import pytest
from processes import at_once, start, start_process
from typer.testing import CliRunner

import dallm
from dallm.cli.app import app
from dallm.engines.base import Case
from dallm.engines.llm.cache.export import export
from dallm.engines.llm.cache.store import FILE, AnswerCache, context_key
from dallm.engines.llm.cache.wordless import restored, wordless
from dallm.engines.llm.wire import Message, Reply, Request, Usage
from dallm.errors import EngineError, UserError

pytest_plugins = ("llm_fixtures",)

MODEL = "tiny@http://127.0.0.1:8000/v1"
WRITER = """
import sys
from dallm.engines.llm.cache.store import AnswerCache, context_key
from dallm.engines.llm.wire import Message, Reply, Request
folder, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
cache = AnswerCache(folder)
for number in range(count):
    asked = Request("m", (Message("user", f"{name} {number}"),))
    key = cache.put_answer(asked, "m@here", Reply(f"answer {number}"))
    cache.put_cells(context_key(name, str(number)), key, {"f": {"value": number, "basis": "report"}})
    print(number, flush=True)
"""


def request(text="Is there fever?"):
    return Request("tiny", (Message("user", text),), {"type": "object"}, "json_schema")


def writer(folder, name, count):
    return start(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def everything(folder):
    """All bytes of all files, and all that is compressed in them, as one text."""
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    texts = [raw.decode("latin-1")]
    for path in folder.glob("*.sqlite"):
        with sqlite3.connect(path) as db:
            for (table,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
                rows = db.execute(f"select * from {table}")
                for row in rows:
                    for (column, *_), value in zip(rows.description, row, strict=True):
                        unpacked = column == "body" and value is not None
                        texts.append(zlib.decompress(value).decode() if unpacked else str(value))
        db.close()
    return "\n".join(texts)


# ---- answers and cells


def test__answer__kept_before__comes_back_whole(tmp_path):
    cache = AnswerCache(tmp_path)
    given = Reply('{"fever": "\ud800 é"}', "stop", usage=Usage(10, 4, 2), request_id="r1")
    cache.put_answer(request(), MODEL, given)
    assert AnswerCache(tmp_path).answer(request(), MODEL) == given


def test__answer__other_request_or_place__is_not_given(tmp_path):
    cache = AnswerCache(tmp_path)
    cache.put_answer(request(), MODEL, Reply("yes"))
    warmer = Request("tiny", request().messages, request().schema, "json_schema", None, 0.7)
    assert cache.answer(request("And cough?"), MODEL) is None
    assert cache.answer(warmer, MODEL) is None
    assert cache.answer(request(), "tiny@http://10.0.0.1/v1") is None


def test__cells__of_several_answers__newest_of_each_feature(tmp_path):
    cache = AnswerCache(tmp_path)
    key = context_key("a case", "knowledge")
    cache.put_cells(key, "one", {"fever": {"value": None}, "cough": {"value": False}})
    cache.put_cells(key, "two", {"fever": {"value": True}})
    held = cache.cells([key, context_key("another")])
    assert {name: cell.record["value"] for name, cell in held[key].items()} == {"fever": True, "cough": False}
    assert list(held) == [key]


def test__rejected__answer__is_kept_and_never_given(tmp_path):
    cache = AnswerCache(tmp_path)
    cache.put_rejected(request(), MODEL, Reply("no JSON at all"), "holds no JSON")
    assert cache.answer(request(), MODEL) is None
    assert cache.raw(request().sha256) == ["no JSON at all"]
    assert cache.info()["rejected"] == 1


def test__verdict__set__is_exported(tmp_path):
    cache = AnswerCache(tmp_path)
    cache.set_verdict(cache.put_answer(request(), MODEL, Reply("yes")), "1 conflicting")
    export(cache, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["verdict"] == "1 conflicting"


# ---- who may read, who may write


def test__files__made_with_an_open_umask__are_their_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        cache = AnswerCache(tmp_path / "new")
        cache.put_answer(request(), MODEL, Reply("yes"))
        assert modes(tmp_path / "new") == dict.fromkeys((FILE, f"{FILE}-wal", f"{FILE}-shm"), 0o600)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        export(cache, tmp_path / "out.jsonl")
        assert modes(tmp_path)["out.jsonl"] == 0o600
    finally:
        os.umask(before)


def test__files__found_readable_by_all__are_closed_to_others(tmp_path):
    AnswerCache(tmp_path).close()
    (tmp_path / FILE).chmod(0o644)
    AnswerCache(tmp_path)
    assert modes(tmp_path)[FILE] == 0o600


def test__two_processes__writing_at_once__lose_nothing(tmp_path):
    folder = tmp_path / "made by whoever is first"
    writers = [writer(folder, name, 60) for name in "abc"]
    for process in writers:
        assert process.communicate(timeout=60)[0].split()[-1] == "59"
        assert process.returncode == 0
    cache = AnswerCache(folder)
    assert cache.info()["answers"] == cache.info()["case answers"] == 180


def test__sigkill__while_writing__keeps_every_answer_that_was_put(tmp_path):
    held = 0
    for attempt in range(3):
        process = writer(tmp_path, f"run {attempt}", 100_000)
        for line in process.stdout:
            if int(line) >= 30:
                break
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait(30)
        put = (said[-1] if said else 30) + 1
        cache = AnswerCache(tmp_path)
        keys = [context_key(f"run {attempt}", str(number)) for number in range(put)]
        assert set(cache.cells(keys)) == set(keys)
        now = cache.info()["answers"]
        assert put <= now - held <= put + 1
        held = now
        cache.close()


def test__threads__of_one_cache__write_and_read(tmp_path):
    cache = AnswerCache(tmp_path)

    def work(name):
        for number in range(40):
            asked = request(f"{name} {number}")
            cache.put_answer(asked, MODEL, Reply(f"{name}{number}"))
            assert cache.answer(asked, MODEL).text == f"{name}{number}"

    at_once(*(partial(work, name) for name in "abcd"))
    assert cache.info()["answers"] == 160


def _in_child(cache, number):
    cache.put_answer(request(f"child {number}"), MODEL, Reply("from the child"))
    os._exit(0 if cache.answer(request("parent"), MODEL) is not None else 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test__fork__while_another_thread_writes__both_go_on(tmp_path):
    cache = AnswerCache(tmp_path)
    cache.put_answer(request("parent"), MODEL, Reply("from the parent"))
    over = threading.Event()
    long = "word " * 100_000  # so that the thread is mostly amid its digest when the process is forked

    def write_on():
        number = 0
        while not over.is_set():
            cache.put_answer(request(f"parent {number} {long}"), MODEL, Reply("more"))
            number += 1

    thread = threading.Thread(target=write_on, daemon=True)
    thread.start()
    context = multiprocessing.get_context("fork")
    arguments = [(cache, number) for number in range(6)]
    children = [context.Process(target=_in_child, args=given) for given in arguments]
    try:
        for child in children:
            start_process(child)
        for child in children:
            child.join(30)
    finally:
        over.set()
        thread.join(30)
    assert not thread.is_alive()
    assert [child.exitcode for child in children] == [0] * 6
    assert all(cache.answer(request(f"child {number}"), MODEL) for number in range(6))
    cache.put_answer(request("after"), MODEL, Reply("still"))


# ---- files that cannot be used


def test__corrupt_file__opened__is_named_and_left_alone(tmp_path):
    cache = AnswerCache(tmp_path)
    cache.put_answer(request(), MODEL, Reply("yes" * 5000))
    cache.close()
    damaged = b"no database " * 4000
    (tmp_path / FILE).write_bytes(damaged)
    with pytest.raises(EngineError, match=r"answers\.sqlite.*move the file aside"):
        AnswerCache(tmp_path)
    assert (tmp_path / FILE).read_bytes() == damaged


def test__other_programs_file__opened__is_refused_and_unchanged(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("create table bookmarks (address text)")
    db.close()
    (tmp_path / FILE).chmod(0o644)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(EngineError, match="another program"):
        AnswerCache(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    assert modes(tmp_path) == {FILE: 0o644}


def test__later_format__opened__is_refused(tmp_path):
    AnswerCache(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(EngineError, match="later version of dallm"):
        AnswerCache(tmp_path)


def test__folder__that_is_a_file__is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(EngineError, match="taken"):
        AnswerCache(tmp_path / "taken")


# ---- clearing and exporting


def filled(folder):
    cache = AnswerCache(folder)
    for number, model in enumerate((MODEL, MODEL, "large@http://127.0.0.1:8000/v1")):
        asked = request(f"question {number}")
        key = cache.put_answer(asked, model, Reply(f"answer {number}"))
        cell = {"value": number, "quote": "fever", "field": "f", "rationale": "", "basis": "report"}
        cache.put_cells(context_key(str(number)), key, {"f" * 32: {**cell, "request": asked.sha256}})
    cache.put_rejected(request("bad"), MODEL, Reply("?"), "holds no JSON")
    return cache


@pytest.mark.parametrize("model", [MODEL, "tiny"])
def test__clear__of_a_model__leaves_the_others(tmp_path, model):
    cache = filled(tmp_path)
    assert cache.clear(model=model) == 2
    told = cache.info()
    assert (told["answers"], told["case answers"], told["rejected"]) == (1, 1, 0)
    assert list(cache.cells([context_key(str(number)) for number in range(3)])) == [context_key("2")]


def test__clear__of_an_age__leaves_the_younger(tmp_path):
    cache = filled(tmp_path)
    assert cache.clear(older_than_s=3600) == 0
    time.sleep(0.05)
    cache.put_answer(request("new"), MODEL, Reply("young"))
    assert cache.clear(older_than_s=0.04) == 3
    assert cache.answer(request("new"), MODEL).text == "young"


def test__clear__all__leaves_no_trace_in_the_files(tmp_path):
    cache = AnswerCache(tmp_path)
    reply = Reply("febrile to 39.2 since Monday")
    for number in range(50):
        cache.put_answer(request(str(number)), MODEL, reply)
    body = zlib.compress(reply.text.encode(), 1)
    assert body in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    cache.clear()
    assert body not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert cache.info()["answers"] == 0


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test__export__of_each_kind__holds_the_rows(tmp_path, suffix):
    cache = filled(tmp_path)
    for what, rows in (("answers", 3), ("cells", 3), ("rejected", 1)):
        path = tmp_path / f"{what}.{suffix}"
        assert export(cache, path, what) == rows
        frame = pd.read_parquet(path) if suffix == "parquet" else pd.read_json(path, lines=True, dtype=False)
        assert len(frame) == rows
    assert sorted(pd.read_parquet(path)["text"] if suffix == "parquet" else ["?"]) == ["?"]
    assert export(cache, tmp_path / "some.jsonl", "cells", model="large") == 1


def test__export__more_rows_than_a_part__holds_all(tmp_path):
    cache = AnswerCache(tmp_path)
    for number in range(1203):
        cache.put_cells(context_key(str(number)), "a", {"f": {"value": number, "basis": "row"}})
    assert export(cache, tmp_path / "cells.jsonl", "cells") == 1203
    values = {json.loads(line)["value"] for line in (tmp_path / "cells.jsonl").read_text().splitlines()}
    assert len(values) == 1203


def test__export__unknown_kind_or_ending__is_refused(tmp_path):
    cache = filled(tmp_path)
    with pytest.raises(UserError, match="answers"):
        export(cache, tmp_path / "a.jsonl", "answer")
    with pytest.raises(UserError, match=r"\.parquet"):
        export(cache, tmp_path / "a.csv")


def test__dallm_cache__info_export_clear__do_as_they_say(tmp_path):
    folder = tmp_path / "cache"
    filled(folder).close()
    call = CliRunner().invoke
    told = call(app, ["cache", "info", "--folder", str(folder)])
    assert told.exit_code == 0
    assert MODEL in told.stdout
    assert "answers    3" in told.stdout
    out = tmp_path / "out.parquet"
    assert call(app, ["cache", "export", str(out), "--folder", str(folder), "--what", "cells"]).exit_code == 0
    assert len(pd.read_parquet(out)) == 3
    assert call(app, ["cache", "clear", "--folder", str(folder), "--older-than", "x"]).exit_code == 2
    assert call(app, ["cache", "clear", "--folder", str(folder), "--older-than", "30d"]).stdout.startswith(
        "0 "
    )
    assert call(app, ["cache", "clear", "--folder", str(folder), "--model", "tiny"]).stdout.startswith("2 ")
    assert call(app, ["cache", "clear", "--folder", str(folder)]).stdout.startswith("1 answer removed")
    nothing = call(app, ["cache", "info", "--folder", str(tmp_path / "none")])
    assert "Nothing is kept" in nothing.stdout
    assert not (tmp_path / "none").exists()


# ---- without words


CASE = Case("", {"findings": "Febrile since Monday. No  cough."}, {"temp": 39.0})


def record(**given):
    return {"value": True, "quote": None, "field": "findings", "rationale": "w", "basis": "report", **given}


@pytest.mark.parametrize("quote", ["Febrile since Monday", "febrile SINCE monday", "no cough", None])
def test__wordless__record_of_a_quote__comes_back_from_the_case(quote):
    kept = wordless(record(quote=quote), CASE)
    assert not any(word in json.dumps(kept).lower() for word in ("monday", "cough", '"w"'))
    again = restored(kept, CASE)
    assert (again.quote or "").lower().split() == (quote or "").lower().split()
    assert (again.value, again.field, again.basis, again.rationale) == (True, "findings", "report", "")


def test__wordless__quote_that_stands_nowhere__is_refused_again_and_not_asked_again():
    kept = wordless(record(quote="massive haemoptysis", field="the text about haemoptysis"), CASE)
    assert "haemoptysis" not in json.dumps(kept)
    from dallm.engines.llm.drafts import NOT_QUOTED, to_draft

    draft = to_draft(restored(kept, CASE), CASE, dallm.Feature("haemoptysis", "boolean"), infer=False)
    assert (draft.status, draft.reason) == ("failed", NOT_QUOTED)


def test__wordless__report_changed__is_not_restored():
    kept = wordless(record(quote="Febrile since Monday"), CASE)
    assert restored(kept, Case("", {"findings": "Afebrile now, since Monday."})) is None


def test__cache_text__false__no_word_in_any_file_and_no_second_call(faults, tmp_path):
    def run(folder, *, text):
        return known.run(faults.base_url, str(folder), 20, cache_text=text)

    words, wordless_ = tmp_path / "words", tmp_path / "wordless"
    run(words, text=True)
    assert "There is " in everything(words)  # what is looked for below can be found at all
    first = run(wordless_, text=False)
    asked = faults.stats()["requests"]
    again = run(wordless_, text=False)
    assert faults.stats()["requests"] == asked
    assert known.faults_in(again.cells, 20) == ([], [])
    same = ["case_id", "feature", "value", "status", "prompt_sha256"]
    pd.testing.assert_frame_equal(first.cells[same], again.cells[same])
    pd.testing.assert_frame_equal(first.evidence, again.evidence)
    faults.restart(share=0.5, kinds=["breaks_schema"], times=2)
    other = known.run(faults.base_url, str(wordless_), 30, cache_text=False)
    assert "failed" in set(other.cells["status"])
    held = everything(wordless_)
    for text in ("There is", "Film number", "Ejection", "ejection", "As above", "No pleural", "effusion"):
        assert text not in held


def test__answer__to_a_second_request__is_the_same_when_held(faults, tmp_path):
    faults.set(share=1.0, kinds=["breaks_schema"], times=1)
    first = known.run(faults.base_url, str(tmp_path), 4)
    assert faults.stats()["requests"] == 8
    again = known.run(faults.base_url, str(tmp_path), 4)
    assert faults.stats()["requests"] == 8
    pd.testing.assert_frame_equal(first.cells.drop(columns="cached"), again.cells.drop(columns="cached"))
    cache = AnswerCache(tmp_path)
    assert all(cache.raw(sha256) for sha256 in set(again.cells["prompt_sha256"]))


def test__unread_answer__after_a_run__can_be_looked_at(faults, tmp_path):
    faults.set(share=1.0, kinds=["breaks_schema"], times=2)
    engine = dallm.engine("openai:tiny", base_url=faults.base_url, api_key=known.KEY, cache=str(tmp_path))
    filled = dallm.fill_values(known.cohort(2), known.FEATURES, engine=engine)
    failed = filled.cells[filled.cells["status"] == "failed"]
    for sha256 in set(failed["prompt_sha256"]):
        assert engine.cache.raw(sha256)
