"""What the fault server answers to whom, and what it remembers of it; standard library only."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from email.utils import formatdate
from typing import Any

from fault_answers import CONTENT, MIXED, SPECIAL, Asked, asked, faulty, right

GRACE_S = 0.25
"""A request that was under way when another row's "not before ..." left is not early; so long it may be."""
PAGE = b"<!doctype html><html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>"


@dataclass
class Settings:
    """How the server behaves; each may be set by ``POST /control``.

    Attributes
    ----------
    latency_s, jitter_s : float
        Pause before an answer, and how much longer it may be.
    share, kinds, seed, times
        Of each ``1 / share`` rows in order of arrival, one drawn by `seed` is hit, by each of `kinds` in
        turn, in its first `times` requests.
    script : list of str
        Faults of the next requests, one each, before `share` is looked at; "ok" for none.
    retry_after_s : float or None
        What a 429 or 503 asks for; whole seconds are sent as they are, parts in ``retry-after-ms``.
    retry_after_date : bool
        Send a date instead.
    hang_s : float
        How long a hang lasts at most.
    json_schema, tools, temperature, max_tokens : bool
        Whether the server knows them; each is refused with status 400 where not.
    html : bool
        Every path answers with a page.
    key, models, context
        The only key, the only models, the longest prompt in tokens of four characters.
    redirect : str
        Where every call is sent on to.
    per_second : float
        Calls in a second beyond which 429 is answered, announced by the ``x-ratelimit-`` headers.
    keep : bool
        Keep the requests' bodies for ``GET /requests``.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    share: float = 0.0
    kinds: Sequence[str] = MIXED
    seed: int = 0
    times: int = 1
    script: list[str] = field(default_factory=list)
    retry_after_s: float | None = 1.0
    retry_after_date: bool = False
    hang_s: float = 60.0
    json_schema: bool = True
    tools: bool = True
    temperature: bool = True
    max_tokens: bool = True
    html: bool = False
    key: str | None = None
    models: Sequence[str] | None = None
    context: int | None = None
    redirect: str = ""
    per_second: float = 0.0
    keep: bool = False

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set some of them; an unknown name or fault is refused."""
        known = {f.name for f in fields(self)}
        kinds = {*MIXED, *SPECIAL, "ok"}
        for name, value in changes.items():
            if name not in known or (name in ("kinds", "script") and not kinds.issuperset(value)):
                raise ValueError(f"{name}={value!r}")
            setattr(self, name, value)


@dataclass
class Record:
    """One request: when it came, what it got. Times are seconds since the server's start."""

    row: str
    attempt: int
    at: float
    in_flight: int
    early_s: float = 0.0
    fault: str = ""
    status: int = 0
    done_at: float = 0.0
    whole: bool = False


class Plan:
    """Which request gets which fault."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rows: dict[str, int] = {}
        self.attempts: Counter[str] = Counter()

    def fault(self, row: str) -> tuple[int, str]:
        """Return which attempt at its row a request is, and its fault ("" for none)."""
        settings = self.settings
        number = self.rows.setdefault(row, len(self.rows))
        self.attempts[row] += 1
        attempt = self.attempts[row]
        if settings.script:
            scripted = settings.script.pop(0)
            return attempt, "" if scripted == "ok" else scripted
        if not settings.share or attempt > settings.times:
            return attempt, ""
        block, place = divmod(number, round(1 / settings.share))
        draw = random.Random(f"{settings.seed}:{block}")
        if place != draw.randrange(round(1 / settings.share)):
            return attempt, ""
        kinds = list(settings.kinds)
        random.Random(settings.seed).shuffle(kinds)
        return attempt, kinds[block % len(kinds)]


class Answer:
    """A whole HTTP answer, or one that ends early."""

    def __init__(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, cut: str = ""
    ) -> None:
        self.status, self.body, self.cut = status, body, cut
        self.headers = {"content-type": "application/json", **(headers or {})}

    def raw(self) -> bytes:
        """Return the bytes of it."""
        head = [f"HTTP/1.1 {self.status} {'OK' if self.status == 200 else 'Status'}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, f"content-length: {len(self.body)}", "", ""]).encode() + self.body


def as_json(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, cut: str = ""
) -> Answer:
    """Return an answer of JSON."""
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(), headers, cut=cut)


def refused(
    status: int, message: str, code: str | None = None, param: str | None = None, **headers: str
) -> Answer:
    """Return an error as OpenAI's servers word it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return as_json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, named)


class FaultService:
    """The server's state, and its answers."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.settings = Settings()
        self.connections = 0
        self.clear()

    def clear(self) -> None:
        """Forget what was seen."""
        self.records: list[Record] = []
        self.bodies: list[Any] = []
        self.plan = Plan(self.settings)
        self.now = self.most = self.early = 0
        self.told_at = self.not_before = self.latest_to_hear = 0.0
        self.row_not_before: dict[str, float] = {}
        self.last: list[Asked] = []
        self.window: list[float] = []
        self.seen: set[int] = set()

    def clock(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    async def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Answer, Record | None]:
        """Answer one request; `Record` is there for a call to a model."""
        path = path.partition("?")[0].rstrip("/")
        if path in ("/control", "/reset", "/stats", "/records", "/requests"):
            return self._own(path, body), None
        settings = self.settings
        if settings.html:
            return Answer(200, PAGE, {"content-type": "text/html; charset=utf-8"}), None
        if settings.redirect:
            return Answer(307, b"", {"location": settings.redirect + path}), None
        if path == "/v1/models":
            names = settings.models or ("tiny",)
            return as_json({"object": "list", "data": [{"id": n, "object": "model"} for n in names]}), None
        if path != "/v1/chat/completions" or method != "POST":
            return Answer(404, b'{"detail": "Not Found"}'), None
        return await self._call(headers, json.loads(body))

    def _own(self, path: str, body: bytes) -> Answer:
        if path == "/control":
            try:
                self.settings.change(json.loads(body))
            except ValueError as error:
                return refused(400, f"no such setting: {error}")
            return as_json(asdict(self.settings))
        if path == "/reset":
            self.clear()
            return as_json({})
        if path == "/records":
            return as_json([asdict(record) for record in self.records])
        return as_json(self.bodies if path == "/requests" else self.stats())

    def stats(self) -> dict[str, Any]:
        """Sums over what was seen since the last reset."""
        good = Counter(
            r.row for r in self.records if r.whole and r.status == 200 and r.fault in ("", "fences")
        )
        return {
            "requests": len(self.records),
            "rows": len(self.plan.rows),
            "answered": len(good),
            "answered_again": sum(n - 1 for n in good.values()),
            "most_at_once": self.most,
            "now": self.now,
            "early": self.early,
            "latest_to_hear_s": round(self.latest_to_hear, 3),
            "faults": dict(Counter(r.fault for r in self.records if r.fault)),
            "not_whole": sum(1 for r in self.records if r.done_at and not r.whole),
            "connections": self.connections,
            "cpu_s": time.process_time(),
        }

    async def _call(self, headers: Mapping[str, str], body: Any) -> tuple[Answer, Record]:
        at = self.clock()
        ask = asked(body)
        no = self._no(headers, body, ask)
        attempt, fault = (0, "") if no else self.plan.fault(ask.row)
        record = Record(ask.row, attempt, at, self.now + 1, fault=fault)
        if at < self.row_not_before.get(ask.row, 0.0) or self.told_at + GRACE_S < at < self.not_before:
            record.early_s = self.not_before - at
            self.early += 1
        elif at < self.not_before:
            self.latest_to_hear = max(self.latest_to_hear, at - self.told_at)
        self.records.append(record)
        if self.settings.keep:
            self.bodies.append(body)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            answer = no or self._limited() or await self._late(ask, body, fault)
        finally:
            self.now -= 1
            record.done_at = self.clock()
        record.status = answer.status
        if "retry-after" in answer.headers or "retry-after-ms" in answer.headers:
            self.told_at = record.done_at
            milliseconds = answer.headers.get("retry-after-ms")
            told = self.settings.retry_after_s if milliseconds is None else float(milliseconds) / 1000
            until = self.told_at + (told or 0.0)
            self.not_before = max(self.not_before, until)
            self.row_not_before[ask.row] = until
        return answer, record

    def _no(self, headers: Mapping[str, str], body: Any, ask: Asked) -> Answer | None:
        """Return the refusal of a call that can never succeed."""
        settings, model = self.settings, body.get("model")
        wanted = (body.get("response_format") or {}).get("type")
        if settings.key is not None and headers.get("authorization") != f"Bearer {settings.key}":
            return refused(401, "Incorrect API key provided.", "invalid_api_key")
        if settings.models is not None and model not in settings.models:
            return refused(
                404, f"The model `{model}` does not exist or you do not have access to it.", "model_not_found"
            )
        if settings.context is not None and len(ask.prompt) // 4 > settings.context:
            said = f"This model's maximum context length is {settings.context} tokens. However, your messages"
            said += f" resulted in {len(ask.prompt) // 4} tokens. Please reduce the length of the messages."
            return refused(400, said, "context_length_exceeded", "messages")
        if not settings.json_schema and wanted == "json_schema":
            said = (
                "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
            )
            return refused(400, said, None, "response_format")
        if not settings.tools and "tools" in body:
            return refused(400, "'tools' is not supported with this model.", "unsupported_parameter", "tools")
        if not settings.temperature and "temperature" in body:
            said = "Unsupported value: 'temperature' does not support 0 with this model."
            said += " Only the default (1) value is supported."
            return refused(400, said, "unsupported_value", "temperature")
        if not settings.max_tokens and "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens' is not supported with this model."
            said += " Use 'max_completion_tokens' instead."
            return refused(400, said, "unsupported_parameter", "max_tokens")
        return None

    def _limited(self) -> Answer | None:
        if not self.settings.per_second:
            return None
        now = self.clock()
        self.window = [t for t in self.window if t > now - 1.0]
        if len(self.window) < self.settings.per_second:
            self.window.append(now)
            return None
        wait = max(0.001, self.window[0] + 1.0 - now)
        told = {"retry_after_ms": str(round(wait * 1000)), "x_ratelimit_remaining_requests": "0"}
        told |= {"x_ratelimit_reset_requests": f"{round(wait * 1000)}ms"}
        return refused(429, "Rate limit reached for requests.", "rate_limit_exceeded", **told)

    async def _late(self, ask: Asked, body: Any, fault: str) -> Answer:
        settings = self.settings
        if fault == "hang":
            await asyncio.sleep(settings.hang_s)
            return Answer(200, b"", cut="silent")
        if fault in ("rate_limit", "server", "overloaded", "quota"):
            return self._failed(fault)
        pause = settings.latency_s
        if settings.jitter_s:
            pause += random.Random(f"{settings.seed}:{ask.row}").random() * settings.jitter_s
        if pause:
            await asyncio.sleep(pause)
        return self._completion(ask, body, fault)

    def _failed(self, fault: str) -> Answer:
        if fault == "server":
            return refused(500, "The server had an error while processing your request.")
        if fault == "quota":
            return refused(
                429, "You exceeded your current quota, please check your plan.", "insufficient_quota"
            )
        wait = self.settings.retry_after_s
        told = {}
        if wait is not None and self.settings.retry_after_date:
            told = {"retry_after": formatdate(time.time() + wait, usegmt=True)}
        elif wait is not None:
            told = (
                {"retry_after": f"{wait:g}"} if wait == int(wait) else {"retry_after_ms": f"{wait * 1000:g}"}
            )
        if fault == "overloaded":
            return refused(503, "The engine is currently overloaded, please try again later.", **told)
        return refused(429, "Rate limit reached for requests.", "rate_limit_exceeded", **told)

    def _completion(self, ask: Asked, body: Any, fault: str) -> Answer:
        if fault == "html":
            return Answer(200, PAGE, {"content-type": "text/html"})
        if fault == "error_200":
            return as_json({"error": {"message": "Provider returned error", "code": 502}})
        other = next((a for a in self.last if a.row != ask.row), None) or Asked(
            "0123456789ab", "", (), ask.prompt, ask.schema, ask.tool
        )
        content, finish, refusal = faulty(fault, ask, other) if fault in CONTENT else (right(ask), "stop", "")
        self.last = [ask, *self.last[:3]]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content or ("" if fault == "empty" else None),
        }
        if refusal:
            message["refusal"] = refusal
        elif ask.tool and fault != "empty":
            call = {"id": "call_1", "type": "function", "function": {"name": ask.tool, "arguments": content}}
            message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, finish
            finish = "tool_calls" if finish == "stop" else finish
        value = {
            "id": f"chatcmpl-{len(self.records)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model"),
            "choices": []
            if fault == "no_choices"
            else [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": self._usage(body, content),
        }
        told = {"x-request-id": f"req-{len(self.records)}"}
        whole = as_json(value, 200, told)
        if fault == "cut_body":
            return Answer(200, whole.body[: len(whole.body) // 2], told)
        if fault == "not_json":
            return Answer(200, b"upstream said: ok", {"content-type": "text/plain"})
        return as_json(value, 200, told, cut="reset" if fault == "reset" else "")

    def _usage(self, body: Any, content: str) -> dict[str, Any]:
        """Tokens of four characters; leading messages seen before count as cached."""
        read = cached = mark = 0
        fresh = False
        for message in body["messages"]:
            tokens = len(str(message.get("content"))) // 4
            mark = hash((mark, str(message.get("content"))))
            fresh = fresh or mark not in self.seen
            self.seen.add(mark)
            read, cached = read + tokens, cached + (0 if fresh else tokens)
        return {
            "prompt_tokens": read,
            "completion_tokens": len(content) // 4,
            "total_tokens": read + len(content) // 4,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
