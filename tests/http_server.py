"""A real HTTP server on loopback for tests: it answers by a function, and fails on demand as servers do.

with serve(lambda request: Reply(body=b"page")) as server:
    server.fail(Reply(503), CutOff(b"whole page"))   # what the next two requests get
    ...
    assert [r.path for r in server.requests] == ["/a", "/a", "/a"]
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dallm.knowledge.fetch import Clock


@dataclass(frozen=True)
class Request:
    """What a client asked for; header names are in lower case."""

    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class Reply:
    """An answer. `after_s` is a pause before it, `trickle_s` one between each of its bytes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    trickle_s: float = 0.0


@dataclass(frozen=True)
class CutOff:
    """An answer that ends halfway; `how` is "length" (promises more), "chunked" or "gzip" (no length)."""

    body: bytes
    how: str = "length"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HangUp:
    """The connection is closed without an answer."""


Answer = Reply | CutOff | HangUp


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """Return an answer of JSON; header names are given with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    kind = {"content-type": "application/json; charset=utf-8"}
    return Reply(status, json.dumps(value).encode(), kind | named)


def as_html(text: str, status: int = 200, **headers: str) -> Reply:
    """Return an answer of HTML; header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, text.encode(), {"content-type": "text/html; charset=UTF-8"} | named)


class Server:
    """What a test sees of the server: its address, what it was asked, and how to make it fail."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._faults: list[Answer] = []
        self._now = 0
        self._lock = threading.Lock()

    def fail(self, *answers: Answer) -> None:
        """Give these answers to the next requests, one each, instead of the proper ones."""
        self._faults += answers

    def _begin(self, request: Request) -> Answer | None:
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            return self._faults.pop(0) if self._faults else None

    def _end(self) -> None:
        with self._lock:
            self._now -= 1


@contextmanager
def serve(answer: Callable[[Request], Answer]) -> Iterator[Server]:
    """Run a server that answers each request by `answer`, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            params = dict(parse_qsl(parts.query, keep_blank_values=True))
            request = Request(parts.path, params, headers, time.monotonic())
            reply = server._begin(request)
            try:
                _send(self, request, reply if reply is not None else answer(request))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client gave up on a slow answer, as it should
            finally:
                server._end()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(http.server_port)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(30)


def _send(handler: BaseHTTPRequestHandler, request: Request, reply: Answer) -> None:
    if isinstance(reply, HangUp):
        handler.close_connection = True
        return
    if isinstance(reply, CutOff):
        _send_part(handler, reply)
        return
    time.sleep(reply.after_s)
    body, headers = reply.body, dict(reply.headers)
    tag = headers.get("etag")
    if reply.status == 200 and tag and request.headers.get("if-none-match") == tag:
        handler.send_response(304)
        handler.send_header("etag", tag)
        handler.end_headers()
        return
    if "gzip" in request.headers.get("accept-encoding", "") and len(body) > 500:
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    handler.send_response(reply.status)
    for name, value in ({"content-length": str(len(body))} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    if reply.trickle_s:
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(reply.trickle_s)
    else:
        handler.wfile.write(body)


def _send_part(handler: BaseHTTPRequestHandler, reply: CutOff) -> None:
    body = gzip.compress(reply.body) if reply.how == "gzip" else reply.body
    half = body[: len(body) // 2]
    handler.send_response(200)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.how == "length":
        handler.send_header("content-length", str(len(body)))
    elif reply.how == "chunked":
        handler.send_header("transfer-encoding", "chunked")
        half = f"{len(body):x}\r\n".encode() + half
    else:
        handler.send_header("content-encoding", "gzip")
        handler.send_header("connection", "close")
    handler.end_headers()
    handler.wfile.write(half)
    handler.wfile.flush()
    handler.close_connection = True


class FastClock(Clock):
    """A clock whose sleep takes no time and moves the time on; it remembers how long it slept."""

    def __init__(self, start: datetime | None = None) -> None:
        self.slept: list[float] = []
        self._start = start or datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return time.monotonic() - self._began + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
