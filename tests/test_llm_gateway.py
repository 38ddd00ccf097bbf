"""Tests of the gateway: a real client against real servers on loopback, faults on demand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import MIXED, FaultServer, fault_server
from processes import at_once, start

from dallm.engines.llm.background import background_loop
from dallm.engines.llm.budget import HeldError
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.gateway import Gateway, Job, Outcome
from dallm.engines.llm.limiter import Limiter
from dallm.engines.llm.wire import AnswerError, CallError, Message, Reply, Request, Usage
from dallm.errors import BudgetError, EgressError, EngineError, UserError

SCHEMA = {
    "type": "object",
    "properties": {"fever": {"type": "boolean"}},
    "required": ["fever"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def read(reply: Reply) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    if reply.refusal or reply.finish == "length":
        raise AnswerError(reply.refusal or "the answer is cut off")
    text = reply.text.strip()
    if "```" in text:
        text = text.split("```")[1].removeprefix("json")
    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except ValueError as error:
        raise AnswerError(f"no JSON: {error}") from None
    if set(value) != {"fever"} or not isinstance(value["fever"], bool):
        raise AnswerError("not what the schema asks for")
    return dict(value)


def job(key: Any, form: str = "json_schema", **more: Any) -> Job[Any]:
    messages = (
        Message("system", "Does the patient have a fever?"),
        Message("user", f"Case {key}: no fever."),
    )
    return Job(key, Request("tiny", messages, schema=SCHEMA, form=form), more.pop("read", read), **more)


def gateway(server: FaultServer, *, timeout_s: float = 30.0, **more: Any) -> Gateway:
    return Gateway(OpenAIChat("tiny", base_url=server.base_url, timeout_s=timeout_s), **more)


class Answers:
    """A model of this process, for what no server is needed: answers by a function."""

    model, endpoints = "own", ("http://own.example/v1",)

    def __init__(self, answer: Callable[[Request], Any], pause_s: float = 0.0) -> None:
        self.answer, self.pause_s, self.sent, self.cancelled = answer, pause_s, 0, 0

    async def send(self, request: Request) -> Reply:
        self.sent += 1
        try:
            await asyncio.sleep(self.pause_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        found = self.answer(request)
        if isinstance(found, BaseException):
            raise found
        return Reply(found) if isinstance(found, str) else found

    async def close(self) -> None:
        pass


def yes(_: Request) -> str:
    return '{"fever": true}'


# --- the plain way -----------------------------------------------------------------------------------------


def test__run__many_jobs__each_has_one_outcome_and_no_more_run_at_once(server):
    server.restart(latency_s=0.05)
    outcomes = list(gateway(server, max_concurrency=8).run(job(n) for n in range(60)))
    assert sorted(o.key for o in outcomes) == list(range(60))
    assert all(set(o.value) == {"fever"} and o.kind == "" and o.attempts == 1 for o in outcomes)
    seen = server.stats()
    assert seen["most_at_once"] == 8
    assert seen["requests"] == 60


def test__run__jobs__are_drawn_as_they_are_needed():
    drawn = []

    def jobs() -> Iterator[Job[Any]]:
        for n in range(1000):
            drawn.append(n)
            yield job(n)

    run = Gateway(Answers(yes, 0.01), max_concurrency=4).run(jobs())
    for taken in range(1, 20):
        next(run)
        assert len(drawn) <= taken + 2 * 4
    run.close()


def test__run__answer_read__on_reply_comes_before_the_outcome():
    seen: list[Any] = []
    gate = Gateway(Answers(yes))
    for outcome in gate.run((job(n) for n in range(5)), on_reply=lambda j, value, reply: seen.append(j.key)):
        assert outcome.key in seen
    assert sorted(seen) == list(range(5))


def test__run__from_a_running_loop_from_threads_and_twice__works(server):
    server.restart()
    gate = gateway(server)

    async def within() -> int:
        return len(list(gate.run(job(n) for n in range(5))))

    assert asyncio.run(within()) == 5
    assert asyncio.run(within()) == 5
    found: list[int] = []

    def of_thread() -> None:
        found.append(len(list(gate.run(job(n) for n in range(10)))))

    at_once(*[of_thread] * 4, within_s=20)
    assert found == [10] * 4
    assert len(background_threads()) == 1


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dallm-gateway"]


def test__run__reading_fails_with_a_mistake_of_the_program__it_is_raised_here():
    def broken(reply: Reply) -> Any:
        return {}[reply.text]

    with pytest.raises(KeyError):
        list(Gateway(Answers(yes)).run([job(1, read=broken)]))


@pytest.mark.parametrize(("name", "number"), [("max_concurrency", 0), ("tries", 1.5), ("tries", True)])
def test__gateway__number_that_is_none__is_refused(name, number):
    with pytest.raises(UserError, match=name):
        Gateway(Answers(yes), **{name: number})


# --- answers that cannot be read ---------------------------------------------------------------------------


def test__run__unreadable_answer__is_asked_for_once_more_with_the_fault_named(server):
    server.restart(script=["nan"], keep=True)
    outcome = gateway(server).ask(job(1))
    assert (outcome.kind, outcome.attempts) == ("", 2)
    asked = server.requests()[1]["messages"]
    assert [m["role"] for m in asked] == ["system", "user", "assistant", "user"]
    assert "NaN is no number" in asked[-1]["content"]


def test__run__unreadable_twice__is_an_outcome_with_the_fault_and_the_reply():
    class PartlyError(AnswerError):
        missing = ("b",)

    def some(reply: Reply) -> Any:
        raise PartlyError("b is missing")

    outcome = Gateway(Answers(yes)).ask(job(1, read=some))
    assert (outcome.kind, outcome.error, outcome.attempts) == ("unreadable", "b is missing", 2)
    assert outcome.value is None
    assert outcome.reply is not None
    assert outcome.fault.missing == ("b",)


def test__run__answer_cut_off_at_its_length__is_given_more_room():
    rooms: list[Any] = []

    def answer(request: Request) -> Reply:
        rooms.append((request.max_output_tokens, len(request.messages)))
        return Reply("{", finish="length") if len(rooms) == 1 else Reply('{"fever": true}')

    asked = Job(1, Request("own", (Message("user", "?"),), max_output_tokens=10), read)
    assert Gateway(Answers(answer)).ask(asked).value == {"fever": True}
    assert rooms == [(10, 1), (20, 1)]


def test__run__again_of_the_job__makes_the_second_request():
    def again(request: Request, reply: Reply, fault: AnswerError) -> Request:
        return Request("own", (Message("user", f"only b: {fault}"),))

    def some(reply: Reply) -> str:
        if reply.text == "first":
            raise AnswerError("b is missing")
        return reply.text

    def answer(request: Request) -> str:
        return "second" if "only b" in request.messages[0].content else "first"

    assert Gateway(Answers(answer)).ask(job(1, read=some, again=again)).value == "second"


# --- forms -------------------------------------------------------------------------------------------------


def test__run__server_without_json_schema__is_asked_by_tool_from_then_on(server):
    server.restart(json_schema=False, keep=True)
    gate = gateway(server)
    assert all(o.value is not None for o in gate.run(job(n) for n in range(5)))
    before = server.stats()["requests"]
    assert before == 6
    list(gate.run(job(n) for n in range(5)))
    assert server.stats()["requests"] == before + 5
    assert "tools" in server.requests()[-1]


def test__run__server_without_schema_and_tools__the_job_is_made_in_words(server):
    server.restart(json_schema=False, tools=False, keep=True)
    asked = job(1)

    def in_form(form: Any) -> Request:
        return Request("tiny", (Message("user", f"in the form {form}"),), schema=SCHEMA, form=form)

    asked.in_form, asked.read = in_form, lambda reply: reply.text
    outcome = gateway(server).ask(asked)
    assert (outcome.kind, outcome.request.form) == ("", "template")
    assert server.requests()[-1]["messages"][0]["content"] == "in the form template"


def test__run__server_that_ignores_the_schema__is_asked_in_words_in_the_end():
    def answer(request: Request) -> str:
        return '{"fever": true}' if request.form == "template" else "Yes, I think so."

    gate = Gateway(Answers(answer), max_concurrency=1)
    kinds = [o.kind for o in gate.run(map(job, range(20)))]
    assert kinds.count("unreadable") == 4  # two of each form before it was given up
    assert gate.refused_forms == {"json_schema", "tool"}


def test__run__one_request_refused_among_others__fails_alone_even_as_the_first():
    def answer(request: Request) -> Any:
        refused = request.messages[-1].content.startswith("Case 0:")
        return CallError("request", "this text is refused") if refused else '{"fever": true}'

    kinds = {o.key: (o.kind, o.attempts) for o in Gateway(Answers(answer)).run(map(job, range(5)))}
    assert kinds == {0: ("request", 1)} | dict.fromkeys(range(1, 5), ("", 1))


def test__run__every_request_refused__is_said_after_three():
    client = Answers(lambda _: CallError("request", "unknown field"))
    with pytest.raises(EngineError, match="unknown field"):
        list(Gateway(client).run(map(job, range(50))))
    assert client.sent == 3


# --- faults that pass --------------------------------------------------------------------------------------


def test__run__mixed_faults__no_row_is_lost_and_no_request_is_early(server):
    rows = 130
    server.restart(latency_s=0.05, share=0.1, kinds=MIXED, seed=5, retry_after_s=0.4)
    outcomes = list(gateway(server, timeout_s=1.5, max_concurrency=16).run(job(n) for n in range(rows)))
    assert sorted(o.key for o in outcomes) == list(range(rows))
    assert [o for o in outcomes if o.kind] == []
    seen = server.stats()
    assert seen["early"] == 0
    assert seen["requests"] <= 1.1 * rows
    assert seen["most_at_once"] <= 16
    assert sum(seen["faults"].values()) >= 0.09 * rows


@pytest.mark.parametrize("date", [False, True])
def test__run__retry_after__nothing_is_sent_before_it_has_passed(server, date):
    server.restart(latency_s=0.02, script=["ok"] * 6 + ["rate_limit"], retry_after_s=2, retry_after_date=date)
    outcomes = list(gateway(server, max_concurrency=4).run(job(n) for n in range(30)))
    assert len(outcomes) == 30
    seen = server.records()
    told = next(r for r in seen if r.status == 429)
    later = [r.at for r in seen if r.at > told.done_at + 0.1]
    assert min(later) - told.done_at >= (0.9 if date else 1.99)  # a date is told in whole seconds
    assert not any(o.kind for o in outcomes)


def test__run__quota_announced_by_headers__refusals_are_few(server):
    server.restart(latency_s=0.01, per_second=20)
    outcomes = list(gateway(server, max_concurrency=8).run(job(n) for n in range(60)))
    assert not any(o.kind for o in outcomes)
    assert sum(r.status == 429 for r in server.records()) <= 8 * 4


@pytest.mark.parametrize(("kind", "tries"), [("server", 3), ("rate_limit", 2)])
def test__run__fault_that_stays__is_given_up_after_so_many_tries(server, kind, tries):
    server.restart(script=[kind] * 50, retry_after_s=0.05)
    outcome = gateway(server, tries=tries).ask(job(1))
    assert outcome.attempts == tries
    assert outcome.kind == kind
    assert outcome.error


def test__run__context_too_long__concerns_one_job(server):
    server.restart(context=60)
    jobs = [job(n) for n in range(3)]
    jobs[0].request = Request("tiny", (Message("user", "long " * 200),), schema=SCHEMA, form="json_schema")
    kinds = {o.key: (o.kind, o.attempts) for o in gateway(server).run(jobs)}
    assert kinds == {0: ("context", 1), 1: ("", 1), 2: ("", 1)}


def test__run__pause_of_an_hour__ends_the_run_with_one_line(server):
    server.restart(script=["rate_limit"], retry_after_s=3600)
    with pytest.raises(EngineError, match="pause of 60 minutes"):
        gateway(server).ask(job(1))


# --- faults that stay --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"key": "other"}, "key is refused"),
        ({"models": ["large"]}, "does not know the model 'tiny'"),
        ({"html": True}, "a web page"),
        ({"script": ["quota"]}, "no credit left"),
    ],
)
def test__run__no_call_can_succeed__one_line_after_one_request(server, settings, told):
    server.restart(latency_s=0.3, **settings)
    began = time.monotonic()
    with pytest.raises(EngineError, match=told) as caught:
        list(gateway(server).run(job(n) for n in range(100)))
    assert time.monotonic() - began < 5.0
    assert "\n" not in str(caught.value)
    assert server.stats()["requests"] <= 1


def test__run__base_url_without_v1__says_what_was_meant(server):
    server.restart()
    with pytest.raises(EngineError, match=rf"Did you mean {server.base_url}\?"):
        Gateway(OpenAIChat("tiny", base_url=server.url)).ask(job(1))


def test__run__nobody_listens__is_said_within_seconds():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        began = time.monotonic()
        with pytest.raises(EngineError, match=f"No server answers at {address}"):
            list(Gateway(OpenAIChat("tiny", base_url=address)).run(job(n) for n in range(100)))
    assert time.monotonic() - began < 5.0


def test__run__name_that_does_not_exist__is_said_within_seconds():
    began = time.monotonic()
    with pytest.raises(EngineError, match="No server answers at"):
        Gateway(OpenAIChat("tiny", base_url="http://no-such-host.invalid/v1")).ask(job(1))
    assert time.monotonic() - began < 10.0


def test__run__server_goes_away__the_run_ends_and_what_came_is_kept():
    answered = []

    def answer(request: Request) -> Any:
        if len(answered) >= 10:
            return CallError("connection", "connection refused")
        answered.append(1)
        return '{"fever": true}'

    came: list[Outcome[Any]] = []
    gate = Gateway(Answers(answer, 0.01), max_concurrency=2, tries=2)
    with pytest.raises(EngineError, match="stopped answering"):
        came.extend(gate.run(map(job, range(500))))
    assert sum(not o.kind for o in came) == 10
    assert len(came) < 20


def test__run__key_revoked_on_the_way__ends_the_run():
    client = Answers(lambda _: '{"fever": true}' if client.sent < 10 else CallError("key", "revoked"))
    with pytest.raises(EngineError, match="revoked"):
        list(Gateway(client, max_concurrency=2).run(map(job, range(500))))
    assert client.sent < 30


def test__run__egress_refused__is_the_guard_s_error_and_nothing_else_is_sent():
    client = Answers(lambda _: CallError("egress", "8.8.8.8 is public"))
    with pytest.raises(EgressError, match=r"8\.8\.8\.8"):
        list(Gateway(client).run(map(job, range(50))))
    assert client.sent == 1


# --- leaving early -----------------------------------------------------------------------------------------


def test__run__left_early__calls_are_cancelled_and_no_more_are_sent():
    class Slow(Answers):
        async def send(self, request: Request) -> Reply:
            self.pause_s = 0.0 if request.messages[-1].content.startswith("Case 0") else 60.0
            return await super().send(request)

    client = Slow(yes)
    gate = Gateway(client, max_concurrency=4)
    run = gate.run(map(job, range(1000)))
    assert next(run).key == 0
    time.sleep(0.1)
    began = time.monotonic()
    run.close()
    assert time.monotonic() - began < 0.5
    sent = client.sent
    assert client.cancelled == sent - 1
    assert gate.limiter.in_flight == 0
    time.sleep(0.1)
    assert client.sent == sent
    assert gate.ask(job(0)).value == {"fever": True}


SCRIPT = """
import sys
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.gateway import Gateway, Job
from dallm.engines.llm.wire import Message, Request
gate = Gateway(OpenAIChat("tiny", base_url=sys.argv[1]), max_concurrency=4)
def asked(count):
    for n in range(count):
        yield Job(n, Request("tiny", (Message("user", str(n)),)), lambda reply: reply.text)
"""


def script(server: FaultServer, more: str) -> subprocess.Popen[str]:
    return start(
        [sys.executable, "-c", SCRIPT + more, server.base_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


def test__run__keyboard_interrupt__returns_within_a_second(server):
    server.restart(latency_s=0.05, hang_s=30, script=["ok"] * 4 + ["hang"] * 50)
    more = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
try:
    for outcome in gate.run(asked(100)):
        print("one", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    process = script(server, more)
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline() == "one\n"
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - began < 1.0
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - began < 3.0
    assert process.returncode == 0
    assert errors == ""


def test__run__script_ends_in_the_middle__without_noise(server):
    server.restart(latency_s=0.2)
    more = "print(len(list(gate.run(asked(8)))), next(gate.run(asked(50))).kind)"
    out, errors = script(server, more).communicate(timeout=60)
    assert (out.strip(), errors) == ("8", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test__run__after_a_fork__parent_and_child_both_go_on(server):
    server.restart()
    more = """
import os
print(len(list(gate.run(asked(8)))), flush=True)
child = os.fork()
if not child:
    print("child", len(list(gate.run(asked(5)))), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("parent", len(list(gate.run(asked(5)))), flush=True)
"""
    out, errors = script(server, more).communicate(timeout=60)
    assert out.split() == ["8", "child", "5", "parent", "5"]
    assert errors == ""


# --- ledger and budget -------------------------------------------------------------------------------------


class Log:
    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []

    def intend(self, request: Request, key: Any) -> int:
        self.rows.append(("intend", key))
        return len(self.rows)

    def done(self, call_id: int, reply: Reply, cost: float | None, retries: int) -> None:
        self.rows.append(("done", call_id, cost, retries))

    def failed(self, call_id: int, kind: str) -> None:
        self.rows.append(("failed", call_id, kind))


class Purse:
    """So many calls, each of which sets aside twice what it needs in the end."""

    def __init__(self, units: int) -> None:
        self.left, self.least, self.held = units, units, 0

    def limited(self, request: Request) -> Request:
        return request

    def look(self, request: Request) -> None:
        if self.left < 2:
            raise (HeldError if self.held else BudgetError)("the budget is reached")

    def reserve(self, request: Request) -> int:
        self.look(request)
        self.left -= 2
        self.held += 1
        self.least = min(self.least, self.left)
        return 2

    def settle(self, reservation: int, reply: Reply | None, kind: str = "") -> float | None:
        self.left += reservation if reply is None else reservation - 1
        self.held -= 1
        return None if reply is None else 1.0


def test__run__ledger__the_intent_is_written_before_the_call(server):
    server.restart(script=["server"])
    log = Log()
    assert gateway(server, ledger=log, budget=Purse(10)).ask(job("a")).kind == ""
    assert log.rows == [("intend", "a"), ("failed", 1, "server"), ("intend", "a"), ("done", 3, 1.0, 1)]


def test__run__call_cancelled__stays_unanswered_in_the_ledger():
    client, log = Answers(yes, 0.01), Log()
    run = Gateway(client, max_concurrency=2, ledger=log).run(map(job, range(50)))
    next(run)
    client.pause_s = 60.0
    time.sleep(0.1)
    run.close()
    assert sum(row[0] == "intend" for row in log.rows) > sum(row[0] != "intend" for row in log.rows)
    assert not any(row[0] == "failed" for row in log.rows)


def test__run__budget_reached__the_rest_are_outcomes_without_a_call():
    client, purse = Answers(yes, 0.005), Purse(21)
    outcomes: list[Outcome[Any]] = list(
        Gateway(client, max_concurrency=8, budget=purse).run(map(job, range(60)))
    )
    assert len(outcomes) == 60
    assert client.sent == sum(not o.kind for o in outcomes) == 20  # all that it can pay for
    assert {o.kind for o in outcomes} == {"", "budget"}
    assert purse.least >= 0


# --- the limiter -------------------------------------------------------------------------------------------


def test__limiter__refused__falls_once_per_round_and_comes_back_with_success():
    async def course() -> None:
        limiter = Limiter(32)
        limiter.open()
        started = time.monotonic()
        for _ in range(10):
            limiter.refused(started)
        assert limiter.bound == pytest.approx(32 * 0.7)
        for _ in range(200):
            limiter.succeeded()
        assert limiter.bound == 32

    asyncio.run(course())


def test__limiter__tokens_left_for_no_other_call__waits_for_the_reset():
    async def course() -> float:
        limiter = Limiter(4)
        await limiter.enter()
        usage = Usage(900, 0, 100)
        limiter.saw({"x-ratelimit-remaining-tokens": "500", "x-ratelimit-reset-tokens": "300ms"})
        limiter.succeeded(usage.read + usage.written)
        limiter.leave()
        began = time.monotonic()
        await limiter.enter()
        return time.monotonic() - began

    assert asyncio.run(course()) >= 0.29


def test__limiter__waiting_call_cancelled__its_turn_goes_to_the_next():
    async def course() -> None:
        limiter = Limiter(1)
        await limiter.enter()
        first = asyncio.create_task(limiter.enter())
        second = asyncio.create_task(limiter.enter())
        await asyncio.sleep(0)
        first.cancel()
        limiter.leave()
        await asyncio.wait_for(second, 1.0)
        assert limiter.in_flight == 1

    asyncio.run(course())


def test__background_loop__asked_twice__is_one():
    assert background_loop() is background_loop()
