"""The batch interface of a server: files up and down, batches begun and looked at. No step is made twice."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from dallm.egress.connections import checked_connections
from dallm.engines.llm.background import background_loop
from dallm.engines.llm.batch.seen import Seen, seen_in
from dallm.engines.llm.clients import faults
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.keys import without_key
from dallm.engines.llm.tracing import patient_text
from dallm.engines.llm.wire import CallError, Request
from dallm.errors import EgressError, EngineError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ENDPOINT: Final = "/v1/chat/completions"
WINDOW: Final = "24h"
MARK = "dallm"
"""Under this key the name of a batch stands in its metadata."""

T = TypeVar("T")

_CALL_S = 120.0
_FILE_S = 1_800.0  # 200 MB over a slow line
_TRIES = 5
_FIRST_S = 0.5
_AMBIGUOUS = frozenset(("timeout", "cut_off", "server"))
_PAGE = 100
_PAGES = 100


class BatchService:
    """The batch interface at a client's address.

    Parameters
    ----------
    chat : OpenAIChat
        Whose connections and key are used; the guarded one for a credentialed cohort.
    watched : bool, default=False
        Whether its connections were made by others, and have to be looked at.
    """

    def __init__(self, chat: OpenAIChat, *, watched: bool = False) -> None:
        self.chat, self.watched = chat, watched
        self.address = faults.without_user(chat.base_url)

    def upload(self, file: IO[bytes], name: str) -> str:
        """Send a file of requests, and return what the server calls it."""

        async def send(client: AsyncOpenAI) -> Any:
            file.seek(0)
            return await client.files.with_raw_response.create(
                file=(name, file, "application/jsonl"), purpose="batch"
            )

        return self._id(self._once(send, lambda: self.file_named(name), "the file of requests", _FILE_S))

    def submit(self, file: str, token: str) -> str:
        """Begin the batch of a file, and return what the server calls it."""

        async def send(client: AsyncOpenAI) -> Any:
            return await client.batches.with_raw_response.create(
                input_file_id=file,
                endpoint=ENDPOINT,
                completion_window=WINDOW,
                metadata={MARK: token},
            )

        return self._id(self._once(send, lambda: self.batch_named(token, file), "the batch", _CALL_S))

    def status(self, batch: str) -> Seen | None:
        """Return how far a batch is; None where the server does not know it."""
        found = self._asked(
            lambda client: client.batches.with_raw_response.retrieve(batch), "the batch", missing=True
        )
        return None if found is None else seen_in(found)

    def lines(self, file: str) -> Iterator[bytes]:
        """Yield the lines of a file of results; none where the server has deleted it."""
        content = self._content(
            lambda client: client.files.with_raw_response.content(file), "the results", _FILE_S, missing=True
        )
        for line in (content or b"").splitlines():
            if line.strip():
                yield line

    def delete(self, file: str) -> None:
        """Delete a file at the server; one that is not there is deleted."""
        self._asked(lambda client: client.files.with_raw_response.delete(file), "a file", missing=True)

    def file_named(self, name: str) -> dict[str, Any] | None:
        """Return the file of that name."""
        return self._listed(
            lambda client, page: client.files.with_raw_response.list(purpose="batch", **page),
            lambda entry: entry.get("filename") == name,
        )

    def batch_named(self, token: str, file: str = "") -> dict[str, Any] | None:
        """Return the batch that was begun under a name, or of a file."""
        return self._listed(
            lambda client, page: client.batches.with_raw_response.list(**page),
            lambda entry: (
                (entry.get("metadata") or {}).get(MARK) == token
                or bool(file and entry.get("input_file_id") == file)
            ),
        )

    def _listed(
        self,
        ask: Callable[[AsyncOpenAI, dict[str, Any]], Awaitable[Any]],
        fits: Callable[[Mapping[str, Any]], bool],
    ) -> dict[str, Any] | None:
        page: dict[str, Any] = {"limit": _PAGE}
        for _ in range(_PAGES):
            asked = dict(page)
            found = self._asked(lambda client, asked=asked: ask(client, asked), "the list")  # type: ignore[misc]
            entries = found.get("data") or [] if found is not None else []
            for entry in entries:
                if isinstance(entry, dict) and fits(entry):
                    return entry
            last = entries[-1].get("id") if entries and isinstance(entries[-1], dict) else None
            if found is None or not found.get("has_more") or not last or page.get("after") == last:
                return None
            page["after"] = last
        return None

    def _once(
        self,
        send: Callable[[AsyncOpenAI], Awaitable[Any]],
        look: Callable[[], dict[str, Any] | None],
        what: str,
        limit_s: float,
    ) -> dict[str, Any]:
        """Make something at the server; after a fault that leaves it open whether it was made, look first."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return _object(self._run(send, limit_s), what, self.address)
            except CallError as error:
                if error.kind in _AMBIGUOUS and (there := look()) is not None:
                    return there
                self._pause_or_raise(error, what, attempt)

    def _asked(
        self, send: Callable[[AsyncOpenAI], Awaitable[Any]], what: str, *, missing: bool = False
    ) -> dict[str, Any] | None:
        content = self._content(send, what, _CALL_S, missing=missing)
        return None if content is None else _object(content, what, self.address)

    def _content(
        self,
        send: Callable[[AsyncOpenAI], Awaitable[Any]],
        what: str,
        limit_s: float,
        *,
        missing: bool = False,
    ) -> bytes | None:
        """Ask what may be asked twice; None for what is not there, where that is an answer."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._run(send, limit_s)
            except CallError as error:
                if missing and error.status == 404:
                    return None
                self._pause_or_raise(error, what, attempt)

    def _pause_or_raise(self, error: CallError, what: str, attempt: int) -> None:
        if error.kind == "egress":
            raise EgressError(error.detail) from None
        if not error.may_pass or attempt >= _TRIES:
            none = error.status in (404, 405)
            hint = " Perhaps it has no batch interface; mode='live' asks call by call." if none else ""
            raise EngineError(
                f"{self.address}: {what} cannot be had: {error.kind}: {error.detail.rstrip('.')}.{hint} "
                "What was handed over or answered is kept: the same call goes on from there."
            ) from None
        wait = error.retry_after_s if error.retry_after_s is not None else _FIRST_S * 2.0 ** (attempt - 1)
        _wait(asyncio.sleep(min(wait, 120.0)))

    def _run(self, send: Callable[[AsyncOpenAI], Awaitable[Any]], limit_s: float) -> bytes:
        return _wait(self._attempt(send, limit_s))

    async def _attempt(self, send: Callable[[AsyncOpenAI], Awaitable[Any]], limit_s: float) -> bytes:
        import httpx2
        import openai

        client = self.chat._connected()
        fault: CallError
        with patient_text(), checked_connections(active=self.watched) as watch:
            try:
                async with asyncio.timeout(limit_s):
                    return bytes((await send(client)).http_response.content)
            except TimeoutError:
                fault = CallError("timeout", f"no answer within {limit_s:g} s")
            except openai.APIStatusError as error:
                body = without_key(error.response.text, self.chat._key)
                headers = dict(error.response.headers)
                fault = faults.of_status(
                    error.status_code, headers, body, Request(self.chat.model, ()), address=self.address
                )
            except (openai.APIConnectionError, httpx2.HTTPError, OSError) as error:
                refused = next((e for e in faults.causes(error) if isinstance(e, EgressError)), None)
                fault = faults.of_transport(error) if refused is None else CallError("egress", str(refused))
        raise CallError("egress", watch.refused) if watch.refused else fault

    def _id(self, found: Mapping[str, Any]) -> str:
        made = found.get("id")
        if not isinstance(made, str) or not made:
            raise EngineError(
                f"{self.address} gave no id where its batch interface has one; use mode='live'."
            )
        return made


def _object(content: bytes, what: str, address: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise EngineError(
            f"{address} answers no JSON object where {what} is asked for: it has no batch interface."
        )
    return found


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine in the background loop; an interrupt from the keyboard ends it."""
    future = background_loop().submit(work)
    try:
        while True:
            try:
                return future.result(timeout=0.5)
            except TimeoutError:
                if future.done():
                    return future.result()
    except BaseException:
        future.cancel()
        raise


def name_of(token: str) -> str:
    """Return the name of a batch's file."""
    return f"{token}.jsonl"


def new_token() -> str:
    """Return a name that no other batch has; it says nothing of what is in it.

    Examples
    --------
    >>> new_token().startswith("dallm-"), new_token() == new_token()
    (True, False)
    """
    return f"{MARK}-{os.urandom(12).hex()}"
