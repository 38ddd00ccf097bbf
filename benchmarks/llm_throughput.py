"""Cases per second and client CPU per call: our engine beside a bare client and LangChain, on the same work.

    python benchmarks/llm_throughput.py                       # 800 cases, 1.0 s latency, 32 at once, 3 turns
    python benchmarks/llm_throughput.py --cases 160 --latency 0.2 --turns 1
    python benchmarks/llm_throughput.py --faults              # a tenth of the rows is hit by a fault
    python benchmarks/llm_throughput.py --kill                # killed five times on the way, then run again

The server is that of the tests (tests/fault_server.py), in a process of its own. Our engine does all that
it does: prompts, cache, ledger, reading, verification, the finished table. The others send the very requests
that it sent and parse the JSON of the answers. Each run is a fresh process; the systems take turns. Import
and the first call are not counted; CPU is user and system time of the client's process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fault_server import MIXED, FaultServer, fault_server  # the fault server belongs to the tests

SYSTEMS = ("dallm", "bare client", "LangChain abatch")
MODEL, KEY = "tiny", "sk-only-on-loopback"


def main() -> None:
    """Parse the command line and run."""
    if sys.argv[1:2] == ["--worker"]:
        _work(*sys.argv[2:5])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=800, help="cases (default 800)")
    parser.add_argument("--features", type=int, default=60, help="features asked at once (default 60)")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds per answer (default 1.0)")
    parser.add_argument("--at-once", type=int, default=32, help="calls at once (default 32)")
    parser.add_argument("--turns", type=int, default=3, help="runs per system (default 3)")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument(
        "--faults", action="store_true", help="faults in a tenth of the rows, our engine only"
    )
    parser.add_argument("--kill", action="store_true", help="kill our engine five times on the way")
    args = parser.parse_args()
    task = {"cases": args.cases, "features": args.features, "at_once": args.at_once}
    with fault_server(latency_s=args.latency) as server, tempfile.TemporaryDirectory() as folder:
        task["base_url"] = server.base_url
        if args.faults:
            show_faults(server, task, Path(folder), args.latency)
        elif args.kill:
            show_kills(server, task, Path(folder), args.latency)
        else:
            show_rates(server, task, Path(folder), args)


# ---- what is measured


def show_rates(server: FaultServer, task: dict[str, Any], folder: Path, args: argparse.Namespace) -> None:
    """Print the share of the ideal rate and the CPU per call of each system."""
    ideal = args.cases * args.latency / args.at_once
    results: dict[str, list[dict[str, float]]] = {system: [] for system in args.systems}
    _keep_requests(server, task, folder)
    for turn in range(args.turns):
        for system in args.systems:
            server.restart(latency_s=args.latency)
            (folder / "run").mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder / "run") as cache:
                result = run(
                    system, task | {"cache": cache, "requests": str(folder / "requests.json")}, folder
                )
            seen = server.stats()
            result["calls"], result["most"] = seen["requests"] - result["before"], seen["most_at_once"]
            results[system].append(result)
            print(f"turn {turn + 1}: {system}: {result['seconds']:.2f} s", file=sys.stderr)
    print(
        f"{args.cases} cases of {args.features} features, {args.latency:g} s latency, {args.at_once} at once:"
        f" ideal {ideal:.1f} s; median of {args.turns}"
    )
    print(
        f"{'system':<18}{'of ideal':>10}{'lowest':>10}{'seconds':>10}{'ms CPU':>9}{'to bare':>9}{'calls':>7}"
    )
    bare = [1000 * r["cpu_s"] / args.cases for r in results.get("bare client", ())]
    for system, runs in results.items():
        seconds = [r["seconds"] for r in runs]
        cpu = [1000 * r["cpu_s"] / args.cases for r in runs]
        ratio = statistics.median(a / b for a, b in zip(cpu, bare, strict=True)) if bare else float("nan")
        print(
            f"{system:<18}{ideal / statistics.median(seconds):>10.1%}{ideal / max(seconds):>10.1%}"
            f"{statistics.median(seconds):>10.2f}{statistics.median(cpu):>9.2f}{ratio:>9.2f}{runs[-1]['calls']:>7.0f}"
        )


def show_faults(server: FaultServer, task: dict[str, Any], folder: Path, latency_s: float) -> None:
    """Print what becomes of the cells, and what it cost, when a tenth of the rows is hit once."""
    from fault_cohort import faults_in

    server.restart(latency_s=latency_s, share=0.1, kinds=MIXED, seed=1, hang_s=30)
    seconds = _to_the_end(server, task, folder, folder / "cells.parquet", timeout_s=10.0)
    seen = server.stats()
    wrong, refused = faults_in(pd.read_parquet(folder / "cells.parquet"), task["cases"])
    print(f"{task['cases']} rows, faults {seen['faults']}")
    print(f"{seen['requests']} requests, {seen['requests'] / task['cases']:.3f} per row, in {seconds:.1f} s")
    print(f"cells wrong without saying so {len(wrong)}, failed or conflicting {len(refused)}")
    print(f"requests before a Retry-After had passed {seen['early']}, most at once {seen['most_at_once']};")
    print(
        f"requests that were under way when it was sent came up to {seen['latest_to_hear_s']:.3f} s after it"
    )
    again = server.stats()["requests"]
    server.set(share=0.0)
    seconds = _to_the_end(server, task, folder, folder / "again.parquet")
    print(f"the same again, healthy server: {server.stats()['requests'] - again} requests in {seconds:.1f} s")


def show_kills(server: FaultServer, task: dict[str, Any], folder: Path, latency_s: float) -> None:
    """Print what was asked twice after SIGKILL at five places, and whether the result is right."""
    import fault_cohort

    n, out, kills = task["cases"], folder / "cells.parquet", 5
    options = {"max_concurrency": task["at_once"]}
    server.restart(latency_s=latency_s)
    for kill in range(1, kills + 1):
        process = fault_cohort.start(server, folder / "cache", n, out, **options)
        fault_cohort.kill_at(process, server, kill * n // (kills + 1))
        print(f"kill {kill}: {server.stats()['answered']} rows answered", file=sys.stderr)
    _to_the_end(server, task, folder, out)
    seen = server.stats()
    wrong, refused = fault_cohort.faults_in(pd.read_parquet(out), n)
    print(f"{n} rows, killed {kills} times: {seen['requests']} requests, most at once {seen['most_at_once']}")
    print(f"received answers asked again: {seen['answered_again']} in all")
    print(f"cells wrong without saying so {len(wrong)}, failed or conflicting {len(refused)}")


# ---- how it is run


def run(system: str, task: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run a system in a fresh process and return its seconds and CPU seconds."""
    asked, answered = folder / "task.json", folder / "result.json"
    asked.write_text(json.dumps(task), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", system, str(asked), str(answered)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{system} failed:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(answered.read_text(encoding="utf-8"))
    return result


def _keep_requests(server: FaultServer, task: dict[str, Any], folder: Path) -> None:
    """Have our engine send every request once, and keep them for the others."""
    server.restart(keep=True)
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        run("dallm", task | {"cache": cache}, folder)
    (folder / "requests.json").write_text(json.dumps(server.requests()[-task["cases"] :]), encoding="utf-8")


def _to_the_end(server: FaultServer, task: dict[str, Any], folder: Path, out: Path, **options: Any) -> float:
    """Run over the cohort whose answers are known, in a process of its own, and return its seconds."""
    import fault_cohort

    options = {"max_concurrency": task["at_once"], **options}
    start = time.perf_counter()
    if fault_cohort.start(server, folder / "cache", task["cases"], out, **options).wait():
        raise SystemExit("the run failed")
    return time.perf_counter() - start


def _work(system: str, asked: str, answered: str) -> None:
    """Worker: one system in this process."""
    task = json.loads(Path(asked).read_text(encoding="utf-8"))
    start: Callable[[dict[str, Any]], dict[str, float]] = {
        "dallm": _dallm,
        "bare client": _bare,
        "LangChain abatch": _langchain,
    }[system]
    Path(answered).write_text(json.dumps(start(task)), encoding="utf-8")


class _Clock:
    """Seconds and CPU seconds of a block."""

    def __enter__(self) -> _Clock:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu

    def result(self, before: int = 1) -> dict[str, float]:
        return {"seconds": self.wall, "cpu_s": self.cpu, "before": before}


def _dallm(task: dict[str, Any]) -> dict[str, float]:
    from fill_speed import FIELDS, lexicon_features, read_reports

    import dallm

    names, _ = lexicon_features(task["features"])
    features = [dallm.Feature(name, "boolean") for name in names]
    reports = read_reports(task["cases"] + 1, None)
    frame = pd.DataFrame([{"case": f"c{k:05d}", **report} for k, report in enumerate(reports)])
    frame["comparison"] = [f"Film number {k}." for k in range(len(frame))]  # no two cases are the same

    def cohort(rows: pd.DataFrame) -> dallm.Cohort:
        used = [name for name in FIELDS if name in rows]
        return dallm.Cohort(rows.reset_index(drop=True), id="case", report=used, data_use="open")

    engine = dallm.engine(
        f"openai:{MODEL}",
        base_url=task["base_url"],
        api_key=KEY,
        cache=task["cache"],
        max_concurrency=task["at_once"],
    )
    dallm.fill_values(cohort(frame[:1]), features, engine=engine)
    with _Clock() as clock:
        filled = dallm.fill_values(cohort(frame[1:]), features, engine=engine)
    # verification refuses a cell here and there, as the server's rule knows no medicine; no call may fail
    lost = int((filled.cells["status"] == "failed").groupby(filled.cells["case_id"]).all().sum())
    if lost:
        raise SystemExit(f"{lost} cases failed: {filled.cells['reason'].value_counts().head()}")
    return clock.result()


def _bare(task: dict[str, Any]) -> dict[str, float]:
    import openai

    requests = json.loads(Path(task["requests"]).read_text(encoding="utf-8"))

    async def all_of_them() -> dict[str, float]:
        client = openai.AsyncOpenAI(base_url=task["base_url"], api_key=KEY, max_retries=0)
        gate = asyncio.Semaphore(task["at_once"])

        async def one(request: dict[str, Any]) -> Any:
            async with gate:
                reply = await client.chat.completions.create(**request)
            return json.loads(reply.choices[0].message.content or "")

        await one(requests[0])
        with _Clock() as clock:
            await asyncio.gather(*(one(request) for request in requests))
        await client.close()
        return clock.result()

    return asyncio.run(all_of_them())


def _langchain(task: dict[str, Any]) -> dict[str, float]:
    from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI

    requests = json.loads(Path(task["requests"]).read_text(encoding="utf-8"))
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage}
    prompts = [[kinds[m["role"]](content=m["content"]) for m in request["messages"]] for request in requests]
    rest = {k: v for k, v in requests[0].items() if k not in ("model", "messages", "temperature")}
    model = ChatOpenAI(
        model=MODEL,
        base_url=task["base_url"],
        api_key=KEY,
        max_retries=0,
        temperature=requests[0].get("temperature"),
    ).bind(**rest)

    async def all_of_them() -> dict[str, float]:
        await model.ainvoke(prompts[0])
        with _Clock() as clock:
            replies = await model.abatch(prompts, config={"max_concurrency": task["at_once"]})
            for reply in replies:
                json.loads(str(reply.content))
        return clock.result()

    return asyncio.run(all_of_them())


if __name__ == "__main__":
    main()
