"""What the gateway adds to a bare client: share of the ideal rate, CPU per call, fairness to the server.

    python benchmarks/llm_gateway.py                       # 800 calls of 1.0 s, 32 at once, three rounds
    python benchmarks/llm_gateway.py --faults 0.1          # one row in ten hit by a fault

A bare asynchronous `openai.AsyncOpenAI` and the gateway take turns in one process, against the tests' server
in another one; both read the answers as JSON. Ideal is calls x latency / calls at once. The gateway's time
includes the moment in which its first call goes alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.gateway import Gateway, Job
from dallm.engines.llm.wire import AnswerError, Message, Reply, Request

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fault_server import FaultServer, fault_server

_WORDS = 2500  # of knowledge at the head of every prompt
_FEATURES = 60


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=800)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds per answer (default 1.0)")
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faults", type=float, default=0.0, help="share of rows hit by a fault")
    args = parser.parse_args()
    ideal = args.calls * args.latency / args.at_once
    systems: dict[str, Callable[..., Any]] = {"gateway": through_gateway}
    if not args.faults:
        systems = {"bare client": through_bare_client, **systems}
    rows: dict[str, list[tuple[float, float, dict[str, Any]]]] = {name: [] for name in systems}
    with fault_server() as server:
        for system in systems.values():  # imports, certificates
            system(server, args.at_once, args.at_once)
        for _ in range(args.rounds):
            for name, system in systems.items():
                server.restart(latency_s=args.latency, share=args.faults)
                began, cpu = time.perf_counter(), time.process_time()
                read = system(server, args.calls, args.at_once)
                used = time.process_time() - cpu
                took = time.perf_counter() - began
                if read != args.calls:
                    raise SystemExit(f"{name}: {read} of {args.calls} answers were read")
                rows[name].append((took, used / args.calls, server.stats()))
    print(f"{args.calls} calls of {args.latency:g} s, {args.at_once} at once: ideal {ideal:.1f} s")
    for name, runs in rows.items():
        share = [ideal / took for took, _, _ in runs]
        cpu_ms = [1000 * used for _, used, _ in runs]
        seen = runs[-1][2]
        print(
            f"{name:12} {100 * statistics.median(share):5.1f} % of the ideal rate ({shown(share, 100)}), "
            f"{statistics.median(cpu_ms):.2f} ms CPU per call ({shown(cpu_ms, 1)}); "
            f"{seen['requests']} requests, at most {seen['most_at_once']} at once, {seen['early']} early"
        )


def shown(values: list[float], factor: float) -> str:
    """Lowest to highest."""
    return f"{factor * min(values):.1f} to {factor * max(values):.1f}"


def schema() -> dict[str, Any]:
    """An answer's schema of the usual size."""
    cell = {
        "type": "object",
        "properties": {
            "value": {"type": ["boolean", "null"]},
            "quote": {"type": ["string", "null"]},
            "basis": {"type": "string", "enum": ["report", "knowledge", "neither"]},
        },
        "required": ["value", "quote", "basis"],
        "additionalProperties": False,
    }
    names = [f"feature_{n}" for n in range(_FEATURES)]
    return {
        "type": "object",
        "properties": dict.fromkeys(names, cell),
        "required": names,
        "additionalProperties": False,
    }


def messages(number: int) -> tuple[Message, ...]:
    """A prompt of the usual size; only its end differs."""
    knowledge = " ".join(f"word{n}" for n in range(_WORDS))
    return (Message("system", knowledge), Message("user", f"Case {number}: no fever, no cough."))


def read(reply: Reply) -> dict[str, Any]:
    """Make a dict of an answer, strictly enough that no fault passes."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    text = reply.text.strip()
    if "```" in text:
        text = text.split("```")[1].removeprefix("json")
    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
        fits = len(value) == _FEATURES and all({"value", "quote", "basis"} == set(v) for v in value.values())
    except (ValueError, AttributeError, TypeError) as error:
        raise AnswerError(str(error)) from None
    if not fits:
        raise AnswerError("a feature is missing")
    return dict(value)


def through_gateway(server: FaultServer, calls: int, at_once: int) -> int:
    """Ask through the gateway; return how many answers were read."""
    asked = schema()
    gateway = Gateway(OpenAIChat("tiny", base_url=server.base_url, timeout_s=10.0), max_concurrency=at_once)
    jobs = (Job(n, Request("tiny", messages(n), asked, "json_schema", 4000, 0.0), read) for n in range(calls))
    return sum(not outcome.kind for outcome in gateway.run(jobs))


def through_bare_client(server: FaultServer, calls: int, at_once: int) -> int:
    """Ask through `AsyncOpenAI` and a semaphore; return how many answers were read."""
    from openai import AsyncOpenAI

    asked = schema()

    async def course() -> int:
        gate = asyncio.Semaphore(at_once)
        async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:

            async def one(number: int) -> int:
                async with gate:
                    answer: Any = await client.chat.completions.create(
                        model="tiny",
                        messages=[{"role": m.role, "content": m.content} for m in messages(number)],  # type: ignore[misc]
                        response_format={
                            "type": "json_schema",
                            "json_schema": {"name": "answer", "schema": asked, "strict": True},
                        },
                        max_tokens=4000,
                        temperature=0.0,
                    )
                return len(json.loads(answer.choices[0].message.content)) == _FEATURES

            return sum(await asyncio.gather(*(one(number) for number in range(calls))))

    return asyncio.run(course())


if __name__ == "__main__":
    main()
