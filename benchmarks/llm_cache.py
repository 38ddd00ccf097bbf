"""What the cache and the ledger cost: CPU per call, bytes per answer, and the time of a rerun.

    python benchmarks/llm_cache.py                      # 800 cases, 60 features
    python benchmarks/llm_cache.py --cases 5000 --no-text

One run over the cases through the engine against the tests' server, then the same run again: the second asks
nothing. Before that the parts alone, on answers of the same size.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dallm
from dallm.engines.llm.cache.store import AnswerCache, context_key
from dallm.engines.llm.ledger import Ledger
from dallm.engines.llm.wire import Message, Reply, Request, Usage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import fault_cohort as known
from fault_server import fault_server

_CALLS = 2000


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--no-text", action="store_true", help="cache_text=False")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts(Path(folder) / "parts", args.features)
    with tempfile.TemporaryDirectory() as folder:
        rerun(folder, args.cases, args.features, cache_text=not args.no_text)


def parts(folder: Path, features: int) -> None:
    """CPU per call of the ledger and of the cache alone."""
    ledger, cache = Ledger(folder), AnswerCache(folder)
    record = {"value": True, "quote": "There is a small pleural effusion.", "field": "findings"}
    cells = {f"{n:032x}": {**record, "rationale": "stated", "basis": "report"} for n in range(features)}
    reply = Reply(json.dumps(cells), usage=Usage(6000, 5000, 1500), request_id="chatcmpl-0123456789")
    requests = [Request("tiny", (Message("user", f"case {n} {'word ' * 600}"),)) for n in range(_CALLS)]

    def log(number: int) -> None:
        ledger.done(ledger.intend(requests[number]), reply, 0.01, 0)

    def keep(number: int) -> None:
        key = cache.put_answer(requests[number], "tiny@here", reply)
        cache.put_cells(context_key(str(number)), key, cells)

    print(f"ledger  {timed(log):.3f} ms of CPU a call")
    print(f"cache   {timed(keep):.3f} ms of CPU a call, answers of {len(reply.text):,} characters")
    print(f"        {cache.info()['bytes'] / _CALLS:,.0f} bytes an answer with its {features} cells")
    began = time.process_time()
    cache.cells([context_key(str(number)) for number in range(_CALLS)])
    used = (time.process_time() - began) / _CALLS * 1000
    print(f"        {used:.3f} ms of CPU to find and read the cells of an answer again")


def timed(work: Callable[[int], None]) -> float:
    """Milliseconds of CPU per call."""
    began = time.process_time()
    for number in range(_CALLS):
        work(number)
    return (time.process_time() - began) / _CALLS * 1000


def rerun(folder: str, cases: int, features: int, *, cache_text: bool) -> None:
    """Run through the engine twice."""
    asked = [*known.FEATURES]
    asked += [dallm.Feature(f"further finding {n}", "boolean") for n in range(features - len(asked))]
    cohort = known.cohort(cases)
    with fault_server() as server:
        for what in ("first run", "rerun"):
            before = server.stats()["requests"]
            began, cpu = time.perf_counter(), time.process_time()
            engine = dallm.engine(
                "openai:tiny",
                base_url=server.base_url,
                api_key=known.KEY,
                cache=folder,
                cache_text=cache_text,
            )
            dallm.fill_values(cohort, asked, engine=engine)
            took, used = time.perf_counter() - began, time.process_time() - cpu
            calls = server.stats()["requests"] - before
            print(
                f"{what:9}  {took:6.2f} s, {used:.2f} s of CPU, {calls} calls, {cases} x {len(asked)} cells"
            )
            engine.close()


if __name__ == "__main__":
    main()
