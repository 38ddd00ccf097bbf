"""An OpenAI-compatible server on loopback that answers by a plain rule, and fails on demand.

A process of its own, so that its work is not counted as the client's::

    with fault_server(latency_s=0.1) as server:
        server.set(share=0.1, kinds=MIXED, seed=3)      # one row in ten, once each
        ...                                              # a client at server.base_url
        assert server.stats()["early"] == 0

``python tests/fault_server.py`` starts one by hand until Ctrl-C; ``POST /control`` sets it, ``GET /stats``
shows what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import processes
from fault_answers import MIXED, SPECIAL
from fault_service import FaultService, Record, Settings, refused

__all__ = ["MIXED", "SPECIAL", "FaultServer", "Record", "Settings", "fault_server"]


class Connection(asyncio.Protocol):
    """One connection with keep-alive."""

    transport: asyncio.Transport

    def __init__(self, service: FaultService) -> None:
        self.service = service
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.service.connections += 1
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._next()

    def _next(self) -> None:
        if self.task is not None:
            return
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = first.split(" ", 2)
        self.task = asyncio.ensure_future(self._serve(method, path, headers, rest[:length]))

    async def _serve(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        try:
            answer, record = await self.service.answer(method, path, headers, body)
        except (ValueError, KeyError, TypeError) as error:
            answer, record = refused(400, f"the fault server cannot read this: {error!r}"), None
        if self.transport.is_closing():
            return
        raw = answer.raw()
        if answer.cut:
            if answer.cut == "reset":
                self.transport.write(raw[: len(raw) - len(answer.body) // 2])
            # closed without having been told so: the client sees a reset
            linger = struct.pack("ii", 1, 0)
            await asyncio.sleep(0.005)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
            return
        self.transport.write(raw)
        if record is not None:
            record.whole = True
        self.task = None
        self._next()


async def _run(port: int) -> None:
    loop = asyncio.get_running_loop()
    service = FaultService()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    if not sys.stdin.isatty():  # the input of a server that a test started closes with the test's process
        threading.Thread(
            target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(done.set)), daemon=True
        ).start()
    await done.wait()


class FaultServer:
    """What a test sees of the server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.url}/v1"

    def set(self, **settings: Any) -> None:
        """Change some of the `Settings`; what was seen stays."""
        self._ask("/control", settings)

    def restart(self, **settings: Any) -> None:
        """Back to plain answers, with these settings; what was seen is forgotten."""
        self._ask("/control", asdict(Settings()) | settings)
        self._ask("/reset", {})

    def stats(self) -> dict[str, Any]:
        """Return the sums over what was seen."""
        return dict(self._ask("/stats"))

    def records(self) -> list[Record]:
        """Return what was seen, request by request."""
        return [Record(**record) for record in self._ask("/records")]

    def requests(self) -> list[Any]:
        """Return the bodies of the requests, where `keep` was set."""
        return list(self._ask("/requests"))

    def _ask(self, path: str, value: Any = None) -> Any:
        data = None if value is None else json.dumps(value).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=30) as reply:
            return json.load(reply)


@contextlib.contextmanager
def fault_server(**settings: Any) -> Iterator[FaultServer]:
    """Run a server in a process of its own until the block ends."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        server = FaultServer(process, json.loads(process.stdout.readline())["port"])
        server.restart(**settings)
        yield server
    finally:
        processes.stop(process)


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
