"""Patient text and language models: what leaves, where it goes, and what is said of it."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import httpx2
import pandas as pd
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

import dallm
from dallm.egress import Allowed, agreement_of, endpoints_of, is_public, refuse_patient_text
from dallm.egress.connections import checked_connections
from dallm.engines.llm.background import background_loop
from dallm.engines.llm.clients.langchain_chat import LangChainChat
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.guarded_chat import guarded
from dallm.engines.llm.guarded_http import guarded_client
from dallm.engines.llm.keys import Key, without_key
from dallm.engines.llm.tracing import scrubbed
from dallm.engines.llm.wire import CallError, Message, Request
from dallm.errors import DallmError, EgressError, EngineError, UserError

WORDS = "Small left apical pneumothorax after the fall from a ladder."
PUBLIC = "203.0.113.7"
FEATURES = [dallm.Feature("pneumothorax", "boolean")]
ASKED = Request("tiny", (Message("system", "Read the report."), Message("user", f"Report: {WORDS}")))


def cohort(data_use: str = "credentialed") -> dallm.Cohort:
    frame = pd.DataFrame({"id": ["a", "b"], "report": [WORDS, WORDS + " No effusion."]})
    return dallm.Cohort(frame, id="id", report="report", data_use=data_use)


def answer() -> str:
    """A fill's answer as the server would write it; nothing is found, which every form can say."""
    cell = {"value": None, "quote": None, "field": None, "rationale": "", "basis": "neither"}
    return json.dumps({"features": {"pneumothorax": cell}})


class Server:
    """A chat server on loopback that remembers what it was sent; `redirect` sends everybody elsewhere."""

    def __init__(self, redirect: str = "", refuse: str = "", status: int = 307) -> None:
        self.bodies: list[str] = []
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                outer.bodies.append(body)
                outer.paths.append(self.path)
                if redirect:
                    self._say(status, b"", location=redirect)
                elif refuse:
                    self._say(400, json.dumps({"error": {"message": refuse.format(body=body)}}).encode())
                else:
                    message = {"role": "assistant", "content": answer()}
                    choice = {"index": 0, "finish_reason": "stop", "message": message}
                    reply = {"id": "c", "object": "chat.completion", "created": 1, "model": "tiny"}
                    self._say(200, json.dumps({**reply, "choices": [choice]}).encode())

            do_GET = do_PATCH = do_POST  # noqa: N815 - named by the base class

            def _say(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        servers.append(Server(**settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Spy:
    """Every connection that is tried, and names that resolve to what a test says."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []

    @property
    def public(self) -> list[str]:
        return [host for host in self.tried if is_public(host)]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen = Spy()
    resolve, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    def looked_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name in seen.names:
            seen.asked.append(name)
            found = seen.names[name]
            host = found.pop(0) if len(found) > 1 else found[0]
        return resolve(host, port, *args, **kwargs)

    def tried(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            seen.tried.append(address[0])
        return connect(self, address)

    def tried_ex(self: socket.socket, address: Any) -> int:
        if isinstance(address, tuple):
            seen.tried.append(address[0])
        return connect_ex(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    monkeypatch.setattr(socket.socket, "connect", tried)
    monkeypatch.setattr(socket.socket, "connect_ex", tried_ex)
    return seen


def engine(base_url: str, **options: Any) -> Any:
    options = {"api_key": "sk-not-a-key", "cache": None, "ledger": None} | options
    return dallm.engine("openai:tiny", base_url=base_url, **options)


def langchain(base_url: str, **options: Any) -> Any:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="tiny", base_url=base_url, api_key="sk-not-a-key", **options)
    return dallm.LLMEngine(model, cache=None, ledger=None)


MADE = pytest.mark.parametrize("make", [engine, langchain])


def send(client: Any, request: Request = ASKED) -> Any:
    return background_loop().submit(client.send(request)).result(20)


def fault(client: Any, request: Request = ASKED) -> Exception:
    with pytest.raises((CallError, DallmError)) as caught:
        send(client, request)
    return caught.value


# --- addresses


@pytest.mark.parametrize(
    "base_url",
    [
        f"https://{PUBLIC}/v1",
        "https://api.openai.com/v1",
        "https://api.openai.com./v1",
        "http://[::ffff:203.0.113.7]:80/v1",
        "http://[2001:db8::7]/v1",
        "http://3405803783/v1",
        "http://0xcb007107/v1",
        "http://127.0.0.1@203.0.113.7/v1",
        "http://127.0.0.1:80@203.0.113.7/v1",
        "http://127.0.0.1.example.org/v1",
        "http://100.64.0.1/v1",
        "http://models.example.org/v1",
        "http://models.hospital.internal/v1",
        "http://model/v1",
    ],
)
@MADE
def test__fill_values__credentialed_and_public_address__refused_and_nothing_is_connected(spy, make, base_url):
    for name in ("api.openai.com", "api.openai.com.", "127.0.0.1.example.org", "models.example.org"):
        spy.names[name] = [PUBLIC]
    spy.names["models.hospital.internal"] = spy.names["model"] = [PUBLIC]  # a name tells nothing
    with pytest.raises((EgressError, EngineError)):
        dallm.fill_values(cohort(), FEATURES, engine=make(base_url))
    assert spy.tried == []


@pytest.mark.parametrize(
    "address",
    [
        "http://0313.0.0161.07/v1",
        "http://127.0.0.1%2f@203.0.113.7/v1",
        "http://203.0.113.7\\@127.0.0.1/v1",
        "http://203.0.113.7:80#@127.0.0.1/v1",
        "http://127.0.0.1%.example.invalid/v1",
        "http://127.0.0.1 .example.invalid/v1",
        "http:///v1",
        "192.0.2.1",
        "198.51.100.1:443",
        "http://[64:ff9b::7f00:1]/",
    ],
)
def test__is_public__what_can_be_read_in_two_ways__is(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address", ["http://2130706433/v1", "http://127.1/v1", "http://127.0.0.1./v1", "0.0.0.0"]
)
def test__is_public__this_machine_in_other_words__is_not(address):
    assert not is_public(address)


def test__is_public__every_address_of_a_name_counts(monkeypatch):
    both = [(0, 0, 0, "", ("10.0.0.1", 0)), (0, 0, 0, "", (PUBLIC, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert is_public("http://models.example.org")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both[:1])
    assert not is_public("http://models.example.org")


def test__fill__cases_whose_cohort_nobody_named__count_as_credentialed(spy):
    made = engine(f"https://{PUBLIC}/v1")
    with pytest.raises(EgressError):
        list(made.fill(cohort("open").cases(), FEATURES))
    assert spy.tried == []


# --- connections


@MADE
def test__fill_values__private_server__is_asked(serve, spy, make):
    server = serve()
    filled = dallm.fill_values(cohort(), FEATURES, engine=make(server.url))
    assert set(filled.cells["status"]) == {"not_documented"}
    assert len(server.bodies) == 2
    assert set(spy.tried) == {"127.0.0.1"}


@MADE
def test__fill_values__redirect_to_a_public_address__is_not_followed(serve, spy, make):
    server = serve(redirect=f"http://{PUBLIC}/v1/chat/completions")
    with pytest.raises(EngineError, match="redirects"):
        dallm.fill_values(cohort(), FEATURES, engine=make(server.url))
    assert spy.public == []


@MADE
def test__fill_values__proxy_in_the_environment__is_not_used(serve, spy, make, monkeypatch):
    server = serve()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{PUBLIC}:3128")
        monkeypatch.setenv(name.lower(), f"http://{PUBLIC}:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    dallm.fill_values(cohort(), FEATURES, engine=make(server.url))
    assert len(server.bodies) == 2
    assert spy.public == []


def test__fill_values__engine_copied_to_another_process__is_guarded_as_well(serve, spy):
    server = serve()
    first = engine(f"http://models.example.org:{server.port}/v1")
    spy.names["models.example.org"] = ["127.0.0.1"]
    bound = pickle.loads(pickle.dumps(first.for_cohort(cohort())))
    spy.names["models.example.org"] = [PUBLIC]
    assert isinstance(fault(bound.client), CallError)
    assert spy.tried == []


@MADE
def test__fill_values__name_that_changes_after_the_check__is_refused_without_a_connection(serve, spy, make):
    server = serve()
    made = make(f"http://models.example.org:{server.port}/v1")
    spy.names["models.example.org"] = ["127.0.0.1"]
    bound = made.for_cohort(cohort())
    spy.names["models.example.org"] = [PUBLIC]
    refused = fault(bound.client)
    assert isinstance(refused, CallError)
    assert (refused.kind, refused.detail[:29]) == ("egress", "models.example.org leads to t")
    assert spy.tried == []
    assert server.bodies == []


def test__guarded_client__name__is_resolved_once_and_what_was_checked_is_connected_to(serve, spy):
    server = serve()
    spy.names["models.example.org"] = ["127.0.0.1", PUBLIC]  # the second look would lead elsewhere

    async def ask() -> int:
        async with guarded_client("credentialed") as client:
            reply = await client.post(f"http://models.example.org:{server.port}/v1", json={})
        return reply.status_code

    assert asyncio.run(ask()) == 200
    assert spy.asked == ["models.example.org"]
    assert set(spy.tried) == {"127.0.0.1"}


def test__guarded_client__socket_of_this_machine__is_connected_to(tmp_path):
    path = str(tmp_path / "s")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def address_string(self) -> str:
            return "local"

        def log_message(self, *args: Any) -> None:
            pass

    class UnixServer(HTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self) -> None:
            self.socket.bind(self.server_address)

    server = UnixServer(path, Handler)  # type: ignore[arg-type]
    threading.Thread(target=server.handle_request, daemon=True).start()

    async def ask() -> int:
        async with guarded_client("credentialed", uds=path) as client:
            return (await client.get("http://model/v1")).status_code

    assert asyncio.run(ask()) == 204
    server.server_close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test__guarded_client__tls__is_verified_by_name(tmp_path, spy, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=models.example.org "
        f"-addext subjectAltName=DNS:models.example.org -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server()
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    spy.names["models.example.org"] = spy.names["other.example.org"] = ["127.0.0.1"]

    async def ask(host: str) -> int:
        async with guarded_client("credentialed") as client:
            return (await client.post(f"https://{host}:{server.port}/v1", json={})).status_code

    assert asyncio.run(ask("models.example.org")) == 200
    with pytest.raises(httpx2.ConnectError):
        asyncio.run(ask("other.example.org"))
    server.close()


@pytest.mark.parametrize(
    ("allow", "told"), [(None, EgressError), ("models.example.org: yes", httpx2.ConnectError)]
)
def test__guarded_client__public_host__only_where_allowed(spy, monkeypatch, allow, told):
    spy.names["models.example.org"] = [PUBLIC]

    def unreachable(self: socket.socket, address: Any) -> None:
        spy.tried.append(address[0])
        raise OSError("no network in a test")

    monkeypatch.setattr(socket.socket, "connect", unreachable)

    async def ask() -> None:
        async with guarded_client("credentialed", allow) as client:
            await client.post("http://models.example.org/v1", json={})

    with pytest.raises(told):
        asyncio.run(ask())
    assert spy.tried == ([PUBLIC] if allow else [])


# --- other people's clients


class Caller(BaseChatModel):
    """A chat model that sends what it is given to an address, whatever it says of itself."""

    base_url: str = "http://127.0.0.1:1/v1"
    really: str = ""

    @property
    def _llm_type(self) -> str:
        return "caller"

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if self.really == "mistake":
            raise KeyError(f"no such thing as {messages[-1].content}")
        data = json.dumps([str(m.content) for m in messages]).encode()
        with urllib.request.urlopen(urllib.request.Request(self.really, data), timeout=5) as reply:
            reply.read()
        logging.getLogger("caller.wire").debug("sent %s", data)
        logging.getLogger("caller.wire").warning("slow answer to %s", data)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(answer()))])


def test__fill_values__model_whose_address_cannot_be_established__counts_as_public():
    model = FakeListChatModel(responses=[answer()])
    made = dallm.LLMEngine(model, cache=None, ledger=None)
    with pytest.raises(EgressError, match="FakeListChatModel does not show where"):
        dallm.fill_values(cohort(), FEATURES, engine=made)
    allowed = dallm.LLMEngine(model, cache=None, ledger=None, allow_egress="FakeListChatModel: runs here")
    assert len(dallm.fill_values(cohort(), FEATURES, engine=allowed).cells) == 2
    assert len(dallm.fill_values(cohort("open"), FEATURES, engine=made).cells) == 2


@pytest.mark.parametrize("really", [f"http://{PUBLIC}/v1", "redirect"])
def test__fill_values__model_that_connects_elsewhere_than_it_says__is_stopped(serve, really):
    if really == "redirect":
        really = serve(redirect=f"http://{PUBLIC}/", status=302).url
    made = dallm.LLMEngine(Caller(really=really), cache=None, ledger=None, timeout_s=10)
    with pytest.raises(EgressError, match=r"203\.0\.113\.7 was not made"):
        dallm.fill_values(cohort(), FEATURES, engine=made)


def test__fill_values__model_behind_a_proxy_that_cannot_be_turned_off__is_refused(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:secret@10.0.0.9:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    made = dallm.LLMEngine(Caller(base_url="http://10.0.0.4/v1"), cache=None, ledger=None)
    with pytest.raises(EgressError, match=r"through the proxy .*NO_PROXY") as refused:
        dallm.fill_values(cohort(), FEATURES, engine=made)
    assert "secret" not in str(refused.value)


def test__checked_connections__outside_of_the_context__are_let_alone(serve):
    server = serve()
    with checked_connections():
        socket.create_connection(("127.0.0.1", server.port)).close()
        with pytest.raises(EgressError):
            socket.create_connection((PUBLIC, 9), timeout=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.connect((PUBLIC, 9))  # of a datagram: nothing is sent


def test__endpoints_of__chat_models__only_what_they_call():
    from langchain_openai import AzureChatOpenAI, ChatOpenAI

    own = ChatOpenAI(model="m", base_url="http://127.0.0.1:9/v1", api_key="k")
    assert not any(is_public(address) for address in endpoints_of(own))
    assert any("api.openai.com" in address for address in endpoints_of(ChatOpenAI(model="m", api_key="k")))
    azure = AzureChatOpenAI(
        azure_endpoint="https://clinic.openai.azure.com", azure_deployment="d", api_version="1", api_key="k"
    )
    assert any("clinic.openai.azure.com" in address for address in endpoints_of(azure))


# --- what the user allowed


@pytest.mark.parametrize(
    ("allow", "agreement"),
    [
        (PUBLIC, "no agreement named"),
        (f"{PUBLIC}: agreement of 2026-03-01", "agreement of 2026-03-01"),
        ({PUBLIC: "agreement of 2026-03-01"}, "agreement of 2026-03-01"),
        ([f"https://{PUBLIC}/v1", "example.org: other"], "no agreement named"),
        (True, "no agreement named"),
    ],
)
def test__allow_egress__host__is_allowed_and_its_agreement_is_told(allow, agreement):
    client = OpenAIChat("m", base_url=f"https://{PUBLIC}/v1", api_key="k")
    refuse_patient_text(cohort(), client, allow)
    assert agreement_of("credentialed", client, allow) == f"{PUBLIC}: {agreement}"
    assert agreement_of("open", client, allow) == ""


def test__allow_egress__agreement__stands_in_the_ledger_before_a_call_is_sent(tmp_path, spy, monkeypatch):
    def unreachable(self: socket.socket, address: Any) -> None:
        raise ConnectionRefusedError("no network in a test")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    allow = {PUBLIC: "agreement of 2026-03-01"}
    made = dallm.engine(
        "openai:m", base_url=f"http://{PUBLIC}/v1", api_key="k", cache=str(tmp_path), allow_egress=allow
    )
    with pytest.raises(EngineError, match="No server answers"):
        dallm.fill_values(cohort(), FEATURES, engine=made)
    made.ledger.to_parquet(tmp_path / "calls.parquet")
    calls = pd.read_parquet(tmp_path / "calls.parquet")
    assert set(calls["agreement"]) == {f"{PUBLIC}: agreement of 2026-03-01"}
    assert set(calls["endpoint"]) == {PUBLIC}


@pytest.mark.parametrize("allow", [False, "", [], {}, "example.org: x", {"203.0.113.8": "x"}])
def test__allow_egress__something_else__does_not_allow_it(allow):
    client = OpenAIChat("m", base_url=f"https://{PUBLIC}/v1", api_key="k")
    with pytest.raises((EgressError, UserError)):
        refuse_patient_text(cohort(), client, allow)


@pytest.mark.parametrize("allow", [3, [4], {"example.org": 5}, {"": "x"}])
def test__allow_egress__of_another_kind__is_a_user_error(allow):
    with pytest.raises(UserError, match="allow_egress is a host"):
        Allowed.of(allow)


# --- logs, traces, errors


class Listener(BaseCallbackHandler):
    """A callback that keeps all that it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.heard.append(str(messages))


@MADE
def test__fill_values__debugging_logs__hold_no_words_of_a_report(serve, make, caplog):
    logging.getLogger("openai").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        dallm.fill_values(cohort(), FEATURES, engine=make(serve().url))
    logging.getLogger("openai").setLevel(logging.NOTSET)
    assert caplog.records
    assert "apical" not in caplog.text
    assert not any("apical" in str(vars(record)) for record in caplog.records)


def test__fill_values__logs_of_an_unknown_client__hold_no_words_of_a_report(serve, caplog):
    made = dallm.LLMEngine(Caller(really=serve().url), cache=None, ledger=None)
    with caplog.at_level(logging.DEBUG):
        dallm.fill_values(cohort("open"), FEATURES, engine=made)
        assert "apical" in caplog.text
        caplog.clear()
        dallm.fill_values(cohort(), FEATURES, engine=made)
    assert "caller.wire" in caplog.text
    assert "apical" not in caplog.text


@pytest.mark.parametrize("data_use", ["open", "credentialed"])
def test__fill_values__langsmith_and_callbacks_and_debugging__see_open_text_only(
    serve, monkeypatch, capsys, data_use
):
    from langchain_core.globals import set_debug
    from langchain_core.tracers.langchain import wait_for_all_tracers
    from langsmith import utils

    tracer, listener = serve(), Listener()
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", tracer.url)
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    utils.get_env_var.cache_clear()
    set_debug(True)
    try:
        made = langchain(serve().url, callbacks=[listener], verbose=True)
        dallm.fill_values(cohort(data_use), FEATURES, engine=made)
        wait_for_all_tracers()
    finally:
        set_debug(False)
        utils.get_env_var.cache_clear()
    seen = data_use == "open"
    assert bool(listener.heard) is seen
    assert ("apical" in capsys.readouterr().out) is seen
    assert bool(tracer.paths) is seen


@MADE
def test__send__server_repeats_the_prompt__the_error_does_not(serve, make):
    server = serve(refuse="bad request: {body} is too odd")
    client = guarded(make(server.url).client, "credentialed")
    error: BaseException | None = fault(client)
    while error is not None:
        assert "apical" not in str(error)
        assert "ladder" not in repr(error)
        error = error.__cause__ or error.__context__


def test__send__mistake_in_somebody_s_client__is_told_without_the_prompt():
    error = fault(guarded(LangChainChat(Caller(really="mistake")), "credentialed"))
    assert isinstance(error, EngineError)
    assert "KeyError: 'no such thing as " in str(error)
    assert "apical" not in str(error)
    assert error.__context__ is None


@pytest.mark.parametrize("echo", [WORDS, WORDS.upper(), WORDS.replace(" ", "\\n"), json.dumps({"r": WORDS})])
def test__scrubbed__echo_of_the_prompt__is_left_out(echo):
    assert "apical" not in scrubbed(f"cannot read {echo} here", ASKED).lower()
    assert scrubbed("rate limit reached", ASKED) == "rate limit reached"


# --- keys


def test__key__copies_and_texts__never_hold_it(monkeypatch):
    key = Key("sk-1234567890", variable="MY_KEY")
    assert "1234" not in f"{key!r} {key} {[key]}"
    assert b"1234" not in pickle.dumps(key)
    assert copy.deepcopy(key).get_secret_value() == "sk-1234567890"
    assert not pickle.loads(pickle.dumps(key))
    monkeypatch.setenv("MY_KEY", "sk-other")
    assert pickle.loads(pickle.dumps(key)).get_secret_value() == "sk-other"
    assert without_key("wrong key sk-1234567890!", key) == "wrong key [key]!"


def test__engine__its_repr_and_its_client_s_pickle__hold_no_key():
    made = engine("http://127.0.0.1:1/v1")
    assert "sk-not-a-key" not in f"{made!r} {made.client!r}"
    assert b"sk-not-a-key" not in pickle.dumps(made.client)


def test__engine__server_that_repeats_the_key__is_told_of_without_it(serve):
    client = engine(serve(refuse="bad key sk-not-a-key").url).client
    assert "sk-not" not in str(fault(client))


def test__engine__pickle_of_a_client__reads_the_variable_of_its_provider_again(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-first")
    made = dallm.engine("groq:llama", cache=None, ledger=None).client
    data = pickle.dumps(made)
    assert b"gsk-first" not in data
    monkeypatch.setenv("GROQ_API_KEY", "gsk-second")
    assert pickle.loads(data)._secret() == "gsk-second"
