"""Tests of the clients of chat models, against real servers on loopback."""

from __future__ import annotations

import json
import pickle
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fault_server import FaultServer, fault_server

from dallm.engines.llm.background import background_loop
from dallm.engines.llm.clients.body import body_of
from dallm.engines.llm.clients.faults import FormError, of_status
from dallm.engines.llm.clients.langchain_chat import LangChainChat
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.clients.waiting import quota, wait_of
from dallm.engines.llm.wire import CallError, Message, Reply, Request, Usage
from dallm.errors import EgressError, EngineError, UserError

SCHEMA = {
    "type": "object",
    "properties": {"fever": {"type": "boolean"}},
    "required": ["fever"],
    "additionalProperties": False,
}
PATIENT = "a rare and private finding of one patient"


def request(form: str = "text", **more: Any) -> Request:
    messages = (Message("system", "Read the report."), Message("user", PATIENT))
    return Request("tiny", messages, schema=SCHEMA, form=form, **more)


def completion(**message: Any) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return json.dumps({"id": "c1", "model": "tiny", "choices": [choice]}).encode()


@dataclass
class Scripted:
    """A server that gives set answers, the last one for ever; `raw` ones are bytes on the wire."""

    port: int = 0
    answers: list[tuple[int, Mapping[str, str], bytes]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def say(self, status: int, body: bytes | str | dict[str, Any], **headers: str) -> None:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        data = data.encode() if isinstance(data, str) else data
        self.answers.append((status, {k.replace("_", "-"): v for k, v in headers.items()}, data))

    def refuse(self, status: int, message: str, **error: Any) -> None:
        self.say(status, {"error": {"message": message, **error}})


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            script.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            script.headers.append({k.lower(): v for k, v in self.headers.items()})
            status, headers, body = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield script
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def send(client: Any, asked: Request) -> Reply:
    async def once() -> Reply:
        try:
            return await client.send(asked)
        finally:
            await client.close()

    return background_loop().submit(once()).result(30)


def fault(client: Any, asked: Request) -> CallError:
    with pytest.raises(CallError) as caught:
        send(client, asked)
    return caught.value


# --- what is sent, and what comes back ---------------------------------------------------------------------


def test__send__json_schema__is_strict_and_the_reply_is_whole(server):
    server.restart(keep=True)
    reply = send(OpenAIChat("tiny", base_url=server.base_url), request("json_schema", temperature=0.0))
    body = server.requests()[-1]
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["temperature"] == 0.0
    assert set(json.loads(reply.text)) == {"fever"}
    assert reply.usage.read > 0
    assert reply.usage.written > 0
    assert (reply.model, reply.finish, bool(reply.request_id)) == ("tiny", "stop", True)
    assert reply.latency_s > 0


def test__send__tool__one_function_is_forced_and_its_arguments_are_the_text(server):
    server.restart(keep=True)
    reply = send(OpenAIChat("tiny", base_url=server.base_url), request("tool"))
    body = server.requests()[-1]
    assert body["tool_choice"]["function"]["name"] == body["tools"][0]["function"]["name"]
    assert "response_format" not in body
    assert set(json.loads(reply.text)) == {"fever"}


def test__body_of__nothing_optional__holds_model_and_messages_only():
    assert set(body_of(request("text"))) == {"model", "messages"}
    assert body_of(request("text", extra={"seed": 3}))["seed"] == 3


def test__send__content_in_parts_and_cached_tokens__are_read(scripted):
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    parts = [{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]
    answer = json.loads(completion(content=parts)) | {"usage": usage}
    scripted.say(200, answer, x_request_id="r-7")
    reply = send(OpenAIChat("tiny", base_url=scripted.base_url), request())
    assert (reply.text, reply.usage, reply.request_id) == ("yes", Usage(90, 64, 4), "r-7")


def test__send__refusal__is_the_reply_s_not_an_error(scripted):
    scripted.say(200, completion(content=None, refusal="I would rather not."))
    reply = send(OpenAIChat("tiny", base_url=scripted.base_url), request())
    assert (reply.text, reply.refusal) == ("", "I would rather not.")


def test__send__prompt_refused_by_a_content_filter__is_a_refusal(scripted):
    scripted.refuse(400, "The response was filtered.", code="content_filter")
    reply = send(OpenAIChat("tiny", base_url=scripted.base_url), request())
    assert reply.finish == "content_filter"
    assert reply.refusal


def test__send__administrator_s_key_in_the_environment__is_never_sent(scripted, monkeypatch):
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    scripted.say(200, completion(content="yes"))
    send(OpenAIChat("tiny", base_url=scripted.base_url, api_key="sk-mine"), request())
    assert scripted.headers[0]["authorization"] == "Bearer sk-mine"
    assert "sk-admin" not in str(scripted.headers)


# --- parameters that a model refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "error", "gone", "instead"),
    [
        (
            "Unsupported value: 'temperature' does not support 0.",
            {"param": "temperature"},
            "temperature",
            None,
        ),
        ("temperature is not supported by this model", {}, "temperature", None),
        (
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            {"param": "max_tokens"},
            "max_tokens",
            "max_completion_tokens",
        ),
        ("Unknown field `seed`", {}, "seed", None),
    ],
)
def test__send__parameter_refused__is_left_out_now_and_later(scripted, message, error, gone, instead):
    scripted.refuse(400, message, **error)
    scripted.say(200, completion(content="yes"))
    client = OpenAIChat("tiny", base_url=scripted.base_url)
    asked = request(temperature=0.0, max_output_tokens=50, extra={"seed": 1})
    assert send(client, asked).text == "yes"
    assert send(client, asked).text == "yes"
    assert len(scripted.bodies) == 3
    for body in scripted.bodies[1:]:
        assert gone not in body
        assert instead is None or body[instead] == 50


def test__send__no_system_role__the_orders_head_the_first_user_message(scripted):
    scripted.refuse(400, "System role not supported")
    scripted.say(200, completion(content="yes"))
    send(OpenAIChat("tiny", base_url=scripted.base_url), request())
    assert scripted.bodies[1]["messages"] == [{"role": "user", "content": f"Read the report.\n\n{PATIENT}"}]


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ("json_schema", 400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported."),
        ("json_schema", 400, "This response_format type is unavailable now"),
        ("json_schema", 500, "failed to parse grammar"),
        ("json_schema", 422, "response_format: extra inputs are not permitted"),
        ("tool", 400, "tiny does not support tools"),
        ("tool", 404, "No endpoints found that support tool use."),
    ],
)
def test__of_status__form_unknown_to_the_server__is_a_form_error(form, status, message):
    error = of_status(status, {}, json.dumps({"error": {"message": message}}), request(form))
    assert isinstance(error, FormError)
    assert error.form == form


# --- faults ------------------------------------------------------------------------------------------------

STATUSES = [
    (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}, "key"),
    (403, {"message": "no access"}, "key"),
    (402, {"message": "Insufficient Balance"}, "key"),
    (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "key"),
    (429, {"message": "Rate limit reached"}, "rate_limit"),
    (429, {"message": "You exceeded your current quota. Please retry in 34.07s."}, "rate_limit"),
    (404, {"message": "The model `tiny` does not exist", "code": "model_not_found"}, "model"),
    (404, {"message": 'model "tiny" not found, try pulling it first'}, "model"),
    (400, {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"}, "context"),
    (400, {"message": "the request exceeds the available context size (4096 tokens)"}, "context"),
    (413, {"message": "Payload too large"}, "context"),
    (400, {"message": "messages: field required"}, "request"),
    (500, {"message": "internal error"}, "server"),
    (502, {"message": "bad gateway"}, "server"),
    (503, {"message": "loading"}, "overloaded"),
    (529, {"message": "overloaded_error"}, "overloaded"),
    (504, {"message": "gateway time-out"}, "timeout"),
]


@pytest.mark.parametrize(("status", "error", "kind"), STATUSES)
def test__send__status__has_its_kind(scripted, status, error, kind):
    scripted.say(status, {"error": error})
    assert fault(OpenAIChat("tiny", base_url=scripted.base_url), request()).kind == kind


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "told"),
    [
        (404, '{"detail": "Not Found"}', {}, "no_api", "Did you mean http://127.0.0.1:{port}/v1?"),
        (404, "<html><title>Lost</title></html>", {"content_type": "text/html"}, "no_api", "'Lost'"),
        (405, "", {}, "no_api", "has no chat API"),
        (
            200,
            "<!doctype html><title>It works</title>",
            {"content_type": "text/html"},
            "no_api",
            "a web page",
        ),
        (
            307,
            "",
            {"location": "https://elsewhere.example/v1/chat/completions"},
            "no_api",
            "elsewhere.example",
        ),
        (200, '{"choices": [{"mess', {}, "cut_off", "cut off"),
        (200, '{"error": {"message": "no memory", "code": 500}}', {}, "server", "no memory"),
        (200, '{"error": {"message": "slow down", "code": 429}}', {}, "rate_limit", "slow down"),
        (200, '{"choices": []}', {}, "server", "no choice"),
        (200, "[1, 2]", {}, "server", ""),
        (502, "<html><h1>Bad gateway</h1></html>", {"content_type": "text/html"}, "server", "Bad gateway"),
    ],
)
def test__send__no_answer_within__is_told(scripted, status, body, headers, kind, told):
    scripted.say(status, body, **headers)
    error = fault(OpenAIChat("tiny", base_url=f"http://127.0.0.1:{scripted.port}"), request())
    assert error.kind == kind
    assert told.format(port=scripted.port) in error.detail


@pytest.mark.parametrize(
    ("script", "kind"), [("reset", "cut_off"), ("cut_body", "cut_off"), ("hang", "timeout")]
)
def test__send__broken_on_the_way__may_pass(server, script, kind):
    server.restart(script=[script])
    error = fault(OpenAIChat("tiny", base_url=server.base_url, timeout_s=0.5), request())
    assert error.kind == kind
    assert error.may_pass


def test__send__nobody_listens__is_a_connection_error_with_its_cause():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        error = fault(OpenAIChat("tiny", base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1"), request())
    assert error.kind == "connection"
    assert "connect" in error.detail.lower()


def test__send__answer_that_trickles__ends_at_the_timeout():
    listener = socket.create_server(("127.0.0.1", 0))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n"

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(head)
            for _ in range(100):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return
                time.sleep(0.05)

    threading.Thread(target=trickle, daemon=True).start()
    began = time.monotonic()
    client = OpenAIChat("tiny", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout_s=0.5)
    assert fault(client, request()).kind == "timeout"
    assert time.monotonic() - began < 2.0
    listener.close()


def test__send__server_repeats_the_prompt__the_error_does_not(scripted):
    scripted.refuse(400, f"Cannot read messages: {PATIENT} is no number")
    error = fault(OpenAIChat("tiny", base_url=scripted.base_url), request())
    assert "private finding" not in str(error)
    assert "is no number" in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


def test__send__guard_in_the_transport_refuses__is_an_egress_error(server):
    import httpx2

    class Guard(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise EgressError("8.8.8.8 is public")

    client = OpenAIChat("tiny", base_url=server.base_url, http_client=httpx2.AsyncClient(transport=Guard()))
    assert fault(client, request()).kind == "egress"


# --- how long to wait --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "message", "low", "high"),
    [
        ({"retry-after": "7"}, "", 7, 7),
        ({"retry-after": "0.5"}, "", 0.5, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5, 1.5),
        ({"retry-after": formatdate(0, usegmt=True)}, "", 0, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0.5s"}, "", 60.5, 60.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "750ms"}, "", 0.75, 0.75),
        ({}, "Please try again in 20ms.", 0.02, 0.02),
        ({}, "Please retry after 26 seconds.", 26, 26),
    ],
)
def test__wait_of__server_asks__in_seconds(headers, message, low, high):
    wait = wait_of(headers, message)
    assert wait is not None
    assert low <= wait <= high


def test__wait_of__date__is_a_span():
    wait = wait_of({"retry-after": formatdate(time.time() + 300, usegmt=True)})
    assert wait is not None
    assert 290 < wait <= 300


@pytest.mark.parametrize("told", ["soon", "", "nan", "inf"])
def test__wait_of__nothing_that_can_be_read__is_none(told):
    assert wait_of({"retry-after": told}) is None


def test__quota__reset_as_a_moment__is_a_span():
    found = quota({"x-ratelimit-remaining": "4", "x-ratelimit-reset": str(time.time() + 30)}, "requests")
    assert found is not None
    assert found.remaining == 4
    assert 28 < found.resets_in_s <= 30


# --- making one --------------------------------------------------------------------------------------------


def test__openai_chat__repr_and_pickle__hold_no_key(server):
    client = OpenAIChat("tiny", base_url="http://ann:pw@127.0.0.1:1/v1", api_key="sk-secret")
    assert "secret" not in repr(client)
    assert "pw" not in repr(client)
    assert b"sk-secret" not in pickle.dumps(client)
    assert pickle.loads(pickle.dumps(OpenAIChat("tiny", base_url=server.base_url))).model == "tiny"


def test__openai_chat__no_key_for_openai__names_the_variable(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(EngineError, match="OPENAI_API_KEY"):
        OpenAIChat("gpt-4.1")


@pytest.mark.parametrize(
    "address",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://two words/v1",
        "http://host\\@other/v1",
        "http://0313.0.0161.07/v1",
        "http://[::1/v1",
        "http://[::g]/v1",
        "http://::1:8000/v1",
        "   ",
    ],
)
def test__openai_chat__no_address__is_refused(address):
    with pytest.raises(EngineError, match="no address of a server"):
        OpenAIChat("tiny", base_url=address)


# --- LangChain ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chat_openai(server):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="tiny", base_url=server.base_url, api_key="none", max_retries=4)


@pytest.mark.parametrize("form", ["json_schema", "tool"])
def test__langchain__form__gives_the_text_and_the_usage(server, chat_openai, form):
    server.restart(keep=True)
    reply = send(LangChainChat(chat_openai), request(form, temperature=0.0, max_output_tokens=99))
    body = server.requests()[-1]
    assert set(json.loads(reply.text)) == {"fever"}
    assert reply.usage.read > 0
    assert reply.finish == ("stop" if form == "json_schema" else "tool_calls")
    assert ("tools" in body) == (form == "tool")
    assert ("response_format" in body) == (form == "json_schema")
    assert body["temperature"] == 0.0
    assert 99 in (body.get("max_tokens"), body.get("max_completion_tokens"))


def test__langchain__server_fails__is_asked_once_and_the_user_s_model_keeps_its_retries(server, chat_openai):
    server.restart(script=["server"])
    assert fault(LangChainChat(chat_openai), request()).kind == "server"
    assert server.stats()["requests"] == 1
    assert chat_openai.max_retries == chat_openai.root_async_client.max_retries == 4


@pytest.mark.parametrize(
    ("settings", "form", "kind"),
    [
        ({"script": ["rate_limit"]}, "text", "rate_limit"),
        ({"script": ["overloaded"]}, "text", "overloaded"),
        ({"script": ["quota"]}, "text", "key"),
        ({"script": ["reset"]}, "text", "cut_off"),
        ({"script": ["hang"]}, "text", "timeout"),
        ({"script": ["error_200"]}, "text", "server"),
        ({"script": ["no_choices"]}, "text", "server"),
        ({"key": "other"}, "text", "key"),
        ({"models": ["large"]}, "text", "model"),
        ({"context": 1}, "text", "context"),
    ],
)
def test__langchain__fault__has_the_same_kind_as_without_langchain(server, chat_openai, settings, form, kind):
    server.restart(**settings)
    assert fault(LangChainChat(chat_openai, timeout_s=1.0), request(form)).kind == kind
    server.restart(**settings)
    plain = OpenAIChat("tiny", base_url=server.base_url, timeout_s=1.0)
    assert fault(plain, request(form)).kind == kind


def test__langchain__retry_after__is_handed_on(server, chat_openai):
    server.restart(script=["rate_limit"], retry_after_s=3)
    assert fault(LangChainChat(chat_openai), request()).retry_after_s == 3


def test__langchain__no_json_schema__is_a_form_error(server, chat_openai):
    server.restart(json_schema=False)
    assert isinstance(fault(LangChainChat(chat_openai), request("json_schema")), FormError)


def test__langchain__model_without_schema_or_tools__is_asked_in_words():
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    client = LangChainChat(FakeListChatModel(responses=["1. fever: True"]))
    for form in ("json_schema", "tool"):
        assert isinstance(fault(client, request(form)), FormError)
    assert send(client, request("template")).text == "1. fever: True"


def test__langchain__its_global_cache__is_neither_asked_nor_filled(server, chat_openai):
    from langchain_core.caches import InMemoryCache
    from langchain_core.globals import get_llm_cache, set_llm_cache

    before, cache = get_llm_cache(), InMemoryCache()
    set_llm_cache(cache)
    try:
        server.restart()
        client = LangChainChat(chat_openai)
        for _ in range(2):
            send(client, request())
    finally:
        set_llm_cache(before)
    assert server.stats()["requests"] == 2
    assert not cache._cache


def test__langchain__something_else__is_refused():
    with pytest.raises(UserError, match="LangChain chat model"):
        LangChainChat("gpt-4.1")  # type: ignore[arg-type]
