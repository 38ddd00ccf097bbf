"""OpenAI-compatible servers through `openai.AsyncOpenAI`: one attempt per call, the answer as it arrived."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dallm.engines.llm.background import background_loop
from dallm.engines.llm.clients import faults
from dallm.engines.llm.clients.body import TOOL, body_of, encoded, reply_of
from dallm.engines.llm.keys import Key, without_key
from dallm.engines.llm.wire import CallError, Reply, Request
from dallm.errors import EgressError, EngineError

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

__all__ = ["TOOL", "OpenAIChat"]

_CONNECT_S = 4.0  # two tries of an address that swallows everything stay below ten seconds
_KEY = "OPENAI_API_KEY"
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\\\<>\"{}|^`]")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class OpenAIChat:
    """A chat model behind OpenAI's interface.

    Parameters
    ----------
    model : str
        The name that the server knows it by.
    base_url : str, optional
        Where the server is, with its ``/v1``; by default ``OPENAI_BASE_URL``, else OpenAI's own.
    api_key : str or object with ``get_secret_value()``, optional
        By default ``OPENAI_API_KEY``; a server at a `base_url` may need none.
    timeout_s : float
        Longest wait for one answer, from the first byte sent to the last byte received.
    http_client : httpx2.AsyncClient, or callable that makes one, optional
        What connects. A client that is handed in cannot be used after a fork; a callable can.

    Attributes
    ----------
    endpoints : tuple of str
        The one address that it talks to.
    on_headers : callable or None
        Called with the headers of every answer; the gateway reads the rate limits from them.

    Examples
    --------
    >>> client = OpenAIChat("llama3.3", base_url="http://127.0.0.1:11434/v1")
    >>> client
    OpenAIChat('llama3.3', base_url='http://127.0.0.1:11434/v1')
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: Any = None,
        timeout_s: float = 120.0,
        http_client: httpx2.AsyncClient | Callable[[], httpx2.AsyncClient] | None = None,
    ) -> None:
        self.model = model
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1").rstrip(
            "/"
        )
        self._new_names = _host_of(self.base_url).endswith("openai.com")  # of the parameters
        self.endpoints = (self.base_url,)
        self._shown = faults.without_user(self.base_url)
        self.timeout_s = timeout_s
        self.on_headers: Callable[[Mapping[str, str]], None] | None = None
        self._key = api_key if hasattr(api_key, "get_secret_value") else Key(api_key, variable=_KEY)
        self._http_client = http_client
        self._client: AsyncOpenAI | None = None
        self._process = 0
        self._left_out: set[str] = set()  # parameters that the model refused once
        self._at_exit = False
        self._secret()
        self.prepare()

    def __repr__(self) -> str:
        return f"OpenAIChat({self.model!r}, base_url={self._shown!r})"

    def __getstate__(self) -> dict[str, Any]:
        """All but the key, which the other process reads from its environment, and the connections."""
        key = self._key if isinstance(self._key, Key) else None  # a Key drops what it holds by itself
        dropped = {"_key": key, "_http_client": None, "_client": None, "_process": 0, "on_headers": None}
        return {**self.__dict__, **dropped}

    async def send(self, request: Request) -> Reply:
        """Make one attempt.

        A parameter that the model refuses (a temperature, ``max_tokens`` by its old name, a system message)
        is left out or renamed, at once and in every later call.

        Raises
        ------
        CallError
            If no answer arrived in full; `faults.FormError` where the server cannot be asked in this form.
        """
        while True:
            try:
                return await self._attempt(request)
            except faults.ParameterError as error:
                if error.parameter in self._left_out:
                    raise
                self._left_out.add(error.parameter)
            except faults.FilteredError as error:
                return Reply("", finish="content_filter", refusal=error.detail, model=request.model)

    def prepare(self) -> None:
        """Make ready what the first call would otherwise wait for: imports and certificates take a second."""
        importlib.import_module("openai")
        if self._http_client is None or hasattr(self._http_client, "send"):
            self._connected()  # what a callable makes is made for the first call

    async def close(self) -> None:
        """Close the connections; a later call opens new ones, unless the client was handed in."""
        client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            await client.close()

    async def _attempt(self, request: Request) -> Reply:
        client = self._connected()
        if not self._at_exit:
            background_loop().at_exit(self.close)
            self._at_exit = True
        body = body_of(request, self._left_out, new_names=self._new_names)
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                status, headers, content = await _post(client, encoded(body, request.schema))
        except TimeoutError:
            raise CallError("timeout", f"no answer within {self.timeout_s:g} s") from None
        latency = time.perf_counter() - start
        if self.on_headers is not None:
            self.on_headers(headers)
        return self._read(request, body, status, headers, content, latency)

    def _read(
        self,
        request: Request,
        body: Mapping[str, Any],
        status: int,
        headers: Mapping[str, str],
        content: bytes,
        latency: float,
    ) -> Reply:
        start = content[:64].lstrip()
        html = start.startswith(b"<") or "html" in headers.get("content-type", "")
        if html and (status == 200 or status in (404, 405)):
            raise faults.of_html(content[:2000].decode("utf-8", "replace"), self._shown)
        if status == 200:
            try:
                data = json.loads(content)
            except (ValueError, RecursionError):
                raise CallError(
                    "cut_off", "the answer's body is cut off, or not JSON", status=status
                ) from None
            if isinstance(data, dict) and not data.get("error"):
                return reply_of(data, headers.get("x-request-id", ""), latency)
        raise faults.of_status(
            _status_within(status, content),
            headers,
            without_key(content.decode("utf-8", "replace"), self._key),
            request,
            address=self._shown,
            sent=[name for name in body if name not in ("model", "messages")],
        )

    def _connected(self) -> AsyncOpenAI:
        if self._client is None or self._process != os.getpid():
            if self._process not in (0, os.getpid()) and hasattr(self._http_client, "send"):
                raise EngineError(
                    "An http_client that was handed in does not survive a fork; hand in a callable that "
                    "makes one."
                )
            self._client, self._process = self._made(), os.getpid()
            self._at_exit = False
        return self._client

    def _made(self) -> AsyncOpenAI:
        import httpx2
        from openai import AsyncOpenAI

        from dallm.engines.llm.clients.streams import quickened

        handed = self._http_client
        if handed is None:
            http_client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(None, connect=_CONNECT_S),
                limits=httpx2.Limits(
                    max_connections=None, max_keepalive_connections=None, keepalive_expiry=15.0
                ),
                follow_redirects=False,
                trust_env=_host_of(self.base_url) not in _LOOPBACK,
            )
            quickened(http_client._transport)
        else:
            http_client = handed if isinstance(handed, httpx2.AsyncClient) else handed()
        return AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._secret(),
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
            http_client=http_client,
        )

    def _secret(self) -> str:
        key = self._key if self._key is not None else Key(variable=_KEY)
        text = str(key.get_secret_value() or "")
        if not text and _host_of(self.base_url).endswith("openai.com"):
            raise EngineError(f"{self.base_url} asks for a key: set the environment variable OPENAI_API_KEY.")
        return text or "none"


async def _post(client: AsyncOpenAI, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """One POST through the client; its pydantic models are passed by, which halves the CPU of a call."""
    import httpx2
    import openai

    try:
        response = await client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=body,
            options={"security": {"bearer_auth": True}},  # never an administrator's key
        )
    except openai.APIStatusError as error:
        response = error.response
    except openai.APIConnectionError as error:
        raise faults.of_transport(error) from None
    except EgressError as error:
        raise CallError("egress", str(error)) from None
    except (httpx2.HTTPError, OSError) as error:  # while the body is read, outside what the client translates
        raise faults.of_transport(error) from None
    return response.status_code, response.headers, response.content


def _status_within(status: int, content: bytes) -> int:
    """The status that an error object names where the answer itself claims success."""
    if status != 200:
        return status
    try:
        error = json.loads(content)["error"]
        code = int(error.get("code") or error.get("status") or 200)
    except (ValueError, TypeError, KeyError, AttributeError):
        return 200
    return code if 400 <= code < 600 else 200


def _host_of(base_url: str) -> str:
    """The host of an address; EngineError where it is none that can be connected to.

    Both parsers have to agree that it is one: what follows asks the one, and connects by the other.
    """
    import httpx2

    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
        usable = parts.scheme in ("http", "https") and bool(httpx2.URL(base_url).host) and port != 0
    except (ValueError, httpx2.InvalidURL):  # of a host, a port or a character that no address has
        host, usable = "", False
    if not usable or not host or _NOT_IN_URLS.search(base_url):
        raise EngineError(
            f"base_url {faults.without_user(base_url)!r} is no address of a server; give e.g. "
            "'http://localhost:8000/v1'."
        )
    return host
