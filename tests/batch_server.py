"""OpenAI's files and batches on loopback, as the real ones answer; lines by the fault server's plain rule.

with batch_server() as server:
    server.polls = 2                      # a batch is over when it was looked at so often
    server.faults["pneumonia"] = ...      # see `BatchServer`
    ...                                   # a client at server.base_url
    assert not server.files               # nothing is left
"""

from __future__ import annotations

import email
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fault_answers import CONTENT, Asked, asked, faulty, right

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
_OTHER = Asked("0123456789ab", "", (), "", None, "")


class BatchServer(ThreadingHTTPServer):
    """What a test sees of the server, and how it makes it fail.

    Attributes
    ----------
    polls : int
        A batch is over when it was looked at so often.
    end : str
        How it ends: ``completed`` or ``expired``; `answered` is the share of requests answered by then.
    fault : callable
        ``fault(row, attempt, body)``: of a line's answer: "" for none, one of the fault server's kinds, or
        (status, error object).
    refuse : callable
        ``refuse(requests)``: the code and words of the error that refuses a batch as a whole, or None.
    lose : set of {"upload", "submit"}
        The next request of this kind is carried out, and its connection closed without an answer.
    stall : str
        One of the two: it is carried out, and never answered; `stalled` says that it came so far.
    files, batches : dict
        What is there now, by id.
    log : list of (str, str)
        Method and path of all requests.
    bodies : list
        Requests of all batches that were begun, in order.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.polls, self.end, self.answered = 0, "completed", 1.0
        self.fault: Callable[[str, int, Any], Any] = lambda row, attempt, body: ""
        self.refuse: Callable[[list[Any]], tuple[str, str] | None] = lambda requests: None
        self.lose: set[str] = set()
        self.stall, self.stalled = "", threading.Event()
        self.files: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.attempts: dict[str, int] = {}
        self.lock = threading.Lock()
        self.number = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def count(self, method: str, path: str) -> int:
        """How many requests there were whose path begins so."""
        return sum(1 for m, p in self.log if m == method and p.startswith(path))

    def new(self, kind: str) -> str:
        self.number += 1
        return f"{kind}-{self.number:06d}"

    def keep_file(self, name: str, content: bytes, purpose: str) -> dict[str, Any]:
        made = self.new("file")
        about = {
            "id": made,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
        }
        self.files[made] = {"about": about, "content": content}
        return about

    def begin(self, asked_for: Any) -> tuple[int, dict[str, Any]]:
        file = self.files.get(str(asked_for.get("input_file_id")))
        if file is None or asked_for.get("completion_window") != "24h":
            return 400, error_body("invalid_request", "Invalid input_file_id or completion_window.")
        made = self.new("batch")
        now = int(time.time())
        batch = {
            "id": made,
            "object": "batch",
            "endpoint": asked_for["endpoint"],
            "errors": None,
            "input_file_id": asked_for["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": asked_for.get("metadata"),
        }
        lines = [json.loads(line) for line in file["content"].splitlines()]
        keys = [line["custom_id"] for line in lines]
        refused = self.refuse(lines)
        if len(lines) > MOST_REQUESTS or len(file["content"]) > MOST_BYTES:
            refused = ("too_large", "The batch is too large.")
        if len(set(keys)) < len(keys) or any(line["url"] != batch["endpoint"] for line in lines):
            refused = ("invalid_line", "A custom_id is not unique, or a url does not match.")
        self.batches[made] = {"about": batch, "lines": lines, "looks": 0, "refused": refused}
        self.bodies += [line["body"] for line in lines] if refused is None else []
        return 200, batch

    def look(self, made: str) -> dict[str, Any]:
        held = self.batches[made]
        about = held["about"]
        held["looks"] += 1
        if about["status"] in ("validating", "in_progress"):
            if held["refused"] is not None:
                code, words = held["refused"]
                said = {"object": "list", "data": [{"code": code, "message": words, "line": None}]}
                about.update(status="failed", errors=said)
            elif held["looks"] > self.polls:
                self._answer(held)
            else:
                about["status"] = "in_progress"
        return dict(about)

    def _answer(self, held: dict[str, Any]) -> None:
        about, lines = held["about"], held["lines"]
        done = lines[: round(len(lines) * self.answered)]
        good, bad = [], []
        for line in reversed(done):  # in no order that anybody may rely on
            status, body = self.reply(line["body"])
            response = {"status_code": status, "request_id": f"req-{line['custom_id'][:8]}", "body": body}
            entry = {"id": self.new("batch_req"), "custom_id": line["custom_id"], "response": response}
            (good if status == 200 else bad).append({**entry, "error": None})
        for line in lines[len(done) :]:
            what = {"code": "batch_expired", "message": "This request could not be executed in time."}
            bad.append({"id": self.new("r"), "custom_id": line["custom_id"], "response": None, "error": what})
        about.update(
            status=self.end, request_counts={"total": len(lines), "completed": len(good), "failed": len(bad)}
        )
        for name, entries in (("output_file_id", good), ("error_file_id", bad)):
            if entries:
                text = "".join(json.dumps(entry) + "\n" for entry in entries)
                about[name] = self.keep_file(f"{about['id']}_{name}.jsonl", text.encode(), "batch_output")[
                    "id"
                ]

    def reply(self, body: Any) -> tuple[int, Any]:
        ask = asked(body)
        self.attempts[ask.row] = self.attempts.get(ask.row, 0) + 1
        fault = self.fault(ask.row, self.attempts[ask.row], body)
        if isinstance(fault, tuple):
            return fault
        content, finish, refusal = (right(ask), "stop", "") if not fault else faulty(fault, ask, _OTHER)
        assert not fault or fault in CONTENT
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal or None}
        if ask.tool and content:
            call = {"id": "c", "type": "function", "function": {"name": ask.tool, "arguments": content}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        read = sum(len(str(m["content"])) for m in body["messages"]) // 4
        return 200, {
            "id": self.new("chatcmpl"),
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": read, "completion_tokens": len(content) // 4},
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BatchServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, query = self._path()
        with self.server.lock:
            parts = path.split("/")[2:]
            if parts[-1] == "content" and parts[1] in self.server.files:
                self._send(200, raw=self.server.files[parts[1]]["content"])
            elif parts[0] == "batches" and len(parts) == 2 and parts[1] in self.server.batches:
                self._send(200, self.server.look(parts[1]))
            elif parts in (["files"], ["batches"]):
                held = getattr(self.server, parts[0])
                listed = [entry["about"] for entry in reversed(held.values())]
                if "purpose" in query:
                    listed = [entry for entry in listed if entry["purpose"] == query["purpose"]]
                ids = [entry["id"] for entry in listed]
                start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
                page = listed[start : start + 2]
                more = start + 2 < len(listed)
                self._send(200, {"object": "list", "data": page, "has_more": more})
            else:
                self._send(404, error_body("not_found", f"No such object: {path}"))

    def do_DELETE(self) -> None:
        path, _ = self._path()
        with self.server.lock:
            gone = self.server.files.pop(path.split("/")[-1], None)
            if gone is None:
                self._send(404, error_body("not_found", "No such File object"))
            else:
                self._send(200, {"id": gone["about"]["id"], "object": "file", "deleted": True})

    def do_POST(self) -> None:
        path, _ = self._path()
        data = self._body()
        server = self.server
        if path == "/v1/chat/completions":
            self._send(*server.reply(json.loads(data)))
            return
        with server.lock:
            if path == "/v1/files":
                head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
                parts = email.message_from_bytes(head + data).get_payload()
                named = {p.get_param("name", header="content-disposition"): p for p in parts}  # type: ignore
                content = named["file"].get_payload(decode=True)
                purpose = named["purpose"].get_payload()
                what, status, said = (
                    "upload",
                    200,
                    server.keep_file(named["file"].get_filename(), content, purpose),
                )
            elif path == "/v1/batches":
                what, (status, said) = "submit", server.begin(json.loads(data))
            else:
                what, status, said = "", 404, error_body("not_found", path)
        if what and server.stall == what:
            server.stalled.set()
            time.sleep(600)
        if what in server.lose:
            server.lose.discard(what)
            self.close_connection = True
            self.connection.close()
            return
        self._send(status, said)

    def _path(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        self.server.log.append((self.command, parts.path))
        return parts.path, dict(parse_qsl(parts.query))

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers["content-length"]))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _send(self, status: int, value: Any = None, raw: bytes | None = None) -> None:
        data = json.dumps(value).encode() if raw is None else raw
        self.send_response(status)
        self.send_header("content-type", "application/json" if raw is None else "application/octet-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def error_body(code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's servers word it."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


@contextmanager
def batch_server() -> Iterator[BatchServer]:
    """Run a server until the block ends."""
    server = BatchServer()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
