"""The language-model engine against servers that know only a part of the interface."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import dallm
from dallm.engines.llm.limiter import Limiter
from dallm.errors import EngineError

FEATURES = [dallm.Feature(name, "boolean") for name in ("fever", "cough")]


class Server(ThreadingHTTPServer):
    """Answers chat completions by a function of the request's body: (status, body)."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.bodies = answer, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        status, answer = self.server.answer(body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def completion(text=None, call=None):
    message = {"role": "assistant", "content": text}
    if call is not None:
        message["tool_calls"] = [
            {"id": "1", "type": "function", "function": {"name": call[0], "arguments": call[1]}}
        ]
    return {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def key_in(body):
    """The key of the case that a request is about; an answer echoes it."""
    return re.search(r"answer for case ([0-9a-f]{12})", body["messages"][1]["content"]).group(1)


def not_stated(key):
    cell = {"value": None, "quote": None, "field": None, "rationale": "", "basis": "neither"}
    return json.dumps({"case": key, "features": {feature.name: cell for feature in FEATURES}})


@pytest.mark.parametrize("cases", [1, 2, 12])
def test__server_that_ignores_schemas_but_calls_tools__filled__loses_no_row(serve, tmp_path, cases):
    def answer(body):
        if "tools" in body:
            return 200, completion(call=(body["tools"][0]["function"]["name"], not_stated(key_in(body))))
        return 200, completion("Gladly! What may I do for you?")

    server = serve(answer)
    engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path)
    filled = dallm.fill_values(dallm.make_cohort(cases), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"not_documented"}
    assert len(filled.cells) == 2 * cases


def test__server_that_knows_words_only__one_row_filled__is_read_from_lines(serve, tmp_path):
    def answer(body):
        if "response_format" in body or "tools" in body:
            return 200, completion("Gladly! What may I do for you?")
        return 200, completion(f"case {key_in(body)}\n1. fever: not stated\n2. cough: not stated")

    server = serve(answer)
    engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path)
    filled = dallm.fill_values(dallm.make_cohort(1), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"not_documented"}
    assert len(server.bodies) == 5  # twice in each form that it ignores


def test__answer_that_no_form_helps__filled__fails_and_the_forms_stay_known(serve, tmp_path):
    cell = {
        "value": True,
        "quote": "words of nobody",
        "field": "findings",
        "rationale": "",
        "basis": "report",
    }
    wrong = json.dumps({"case": "somebody", "features": {feature.name: cell for feature in FEATURES}})
    server = serve(lambda body: (200, completion(wrong)))
    engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path)
    filled = dallm.fill_values(dallm.make_cohort(1), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"failed"}
    assert filled.cells["reason"].str.contains("does not name its case").all()
    server.answer = lambda body: (200, completion(not_stated(key_in(body))))
    filled = dallm.fill_values(dallm.make_cohort(1), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"not_documented"}
    assert "response_format" in server.bodies[-1]


def test__model_that_names_no_case__filled__is_taken_at_its_word(serve, tmp_path):
    server = serve(lambda body: (200, completion(not_stated(""))))
    engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path)
    filled = dallm.fill_values(dallm.make_cohort(6), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"not_documented"}
    assert len(server.bodies) == 6


def test__model_that_names_cases__names_none_once__is_asked_again(serve, tmp_path):
    seen = []

    def answer(body):
        seen.append(key_in(body))
        return 200, completion(not_stated("" if len(seen) == 5 else seen[-1]))

    server = serve(answer)
    engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path, max_concurrency=1)
    filled = dallm.fill_values(dallm.make_cohort(6), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"not_documented"}
    assert len(server.bodies) == 7


def test__wrong_key__filled__is_told_before_other_cases_are_tried(serve, tmp_path):
    server = serve(lambda body: (401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}))
    engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path)
    with pytest.raises(EngineError, match="key is refused"):
        dallm.fill_values(dallm.make_cohort(12), FEATURES, engine=engine)
    assert len(server.bodies) == 1


def test__loop_held_up__first_call_goes_alone__that_time_does_not_count():
    async def opened_after_being_held_up():
        limiter = Limiter(4)
        await limiter.enter()
        limiter.open_in(0.1)
        time.sleep(0.3)  # an import, say: no answer could have been heard
        await asyncio.sleep(0.02)
        early = limiter.opened
        await asyncio.sleep(0.3)
        return early, limiter.opened

    assert asyncio.run(opened_after_being_held_up()) == (False, True)


def test__first_call_over_without_an_answer__gate__stays_as_it_was():
    async def opened():
        limiter = Limiter(4)
        await limiter.enter()
        limiter.open_in(0.02)
        limiter.leave()
        await asyncio.sleep(0.1)
        return limiter.opened

    assert not asyncio.run(opened())


def test__report_too_long_for_its_model__filled_again__asks_nothing(serve, tmp_path):
    def answer(body):
        if sum(len(message["content"]) for message in body["messages"]) > 8000:
            return 400, {"error": {"message": "too long", "code": "context_length_exceeded"}}
        return 200, completion(not_stated(key_in(body)))

    server = serve(answer)
    cases = [dallm.Case(n, {"findings": f"Case {n}. " + "The lungs are clear. " * 600}) for n in range(2)]
    cases.append(dallm.Case(2, {"findings": "Clear."}))

    def filled():
        cohort = dallm.make_cohort(2)
        engine = dallm.engine("openai:x", base_url=server.url, cache=tmp_path).for_cohort(cohort)
        return list(engine.fill(cases, FEATURES))

    first = filled()
    assert {d.status for answer in first for d in answer.drafts.values()} == {"not_documented"}
    asked = len(server.bodies)
    again = filled()
    assert len(server.bodies) == asked
    assert [answer.case_id for answer in again] == [0, 1, 2]


def test__langchain_model_that_takes_no_temperature__filled__is_asked_without(serve):
    openai = pytest.importorskip("langchain_openai")

    def answer(body):
        if "temperature" in body:
            told = "Unsupported value: 'temperature' does not support 0.0 with this model."
            return 400, {"error": {"message": told, "param": "temperature", "code": "unsupported_value"}}
        return 200, completion(not_stated(key_in(body)))

    server = serve(answer)
    model = openai.ChatOpenAI(model="x", base_url=server.url, api_key="none", temperature=0)
    engine = dallm.LLMEngine(model, cache=None)
    filled = dallm.fill_values(dallm.make_cohort(5), FEATURES, engine=engine)
    assert set(filled.cells["status"]) == {"not_documented"}
    assert len(server.bodies) <= 10
