"""Answers of batches: fetched when they are there, kept before anything is deleted at the server."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

from dallm.engines.llm.batch.outbox import NOT_SENT
from dallm.engines.llm.batch.records import Batch, BatchRecords
from dallm.engines.llm.batch.seen import Seen
from dallm.engines.llm.batch.service import BatchService
from dallm.engines.llm.clients.body import reply_of
from dallm.engines.llm.jobs import CallLog
from dallm.engines.llm.prices import Price
from dallm.engines.llm.wire import CallError, Reply
from dallm.errors import DallmError, EngineError

TOO_MUCH = ("token_limit_exceeded", "rate_limit_exceeded")
"""Codes of batches that were not begun since others wait already; smaller ones, or later ones, are."""


class Inbox:
    """Fetches answers, and deletes the files at the server.

    Parameters
    ----------
    service : BatchService
    records : BatchRecords
    model_key : str
    ledger : CallLog or None
    price : Price or None
        Of the batch interface.

    Attributes
    ----------
    with_server : list of Seen
        Batches that were not over when they were last looked at.
    too_much : int
        Requests of the smallest batch that was refused since too many wait; 0 for none.
    """

    def __init__(
        self,
        service: BatchService,
        records: BatchRecords,
        model_key: str,
        ledger: CallLog | None,
        price: Price | None,
    ) -> None:
        self.service, self.records, self.model_key = service, records, model_key
        self.ledger, self.price = ledger, price
        self.with_server: list[Seen] = []
        self.too_much = 0

    def look(self) -> int:
        """Fetch what is there, and return how many batches are over.

        Raises
        ------
        EngineError
            If the server refused a batch as a whole.
        """
        self.with_server, over, refused = [], 0, ""
        for batch in self.records.batches(self.model_key, "submitted"):
            seen = self.service.status(batch.batch)
            if seen is not None and not seen.over:
                self.with_server.append(seen._replace(requests=batch.requests))
                continue
            over += 1
            if seen is not None and seen.status == "failed":
                refused = self._not_begun(batch, seen) or refused
            else:
                self._fetch(batch, seen)
        self.tidy()
        if refused:
            raise EngineError(refused)
        return over

    def tidy(self) -> None:
        """Delete at the server what was fetched; what cannot be deleted now is deleted by the next call."""
        for batch in self.records.batches(self.model_key, "collected"):
            try:
                for file in dict.fromkeys((batch.file, *batch.results)):
                    if file:
                        self.service.delete(file)
            except DallmError as error:
                warnings.warn(
                    f"Files of a batch could not be deleted at {self.service.address} ({error}) "
                    "The next call in batch mode tries it again.",
                    UserWarning,
                    stacklevel=2,
                )
                return
            self.records.forget(batch.id, with_requests=False)

    def _fetch(self, batch: Batch, seen: Seen | None) -> None:
        files = seen.files if seen is not None else ()
        calls = self.records.calls(batch.id)
        for file in files:
            for line in self.service.lines(file):
                self._keep(line, batch, calls)
        left = [key for key in calls if (row := self.records.row(key)) is not None and row.state == "asked"]
        self.records.lose_unanswered(batch.id)
        for key in left:
            self._failed(calls[key], seen.status if seen is not None else "lost")
        self.records.becomes(batch.id, "collected", results=files)

    def _keep(self, line: bytes, batch: Batch, calls: Mapping[str, int | None]) -> None:
        """Keep one line of results; one that is broken, or of nobody's request, is passed over."""
        try:
            said = json.loads(line)
            key, response, error = said["custom_id"], said.get("response"), said.get("error")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return
        if key not in calls:
            return
        if not isinstance(response, dict):
            what = error.get("code") if isinstance(error, dict) else None
            if what not in ("batch_expired", "batch_cancelled"):
                self.records.arrived(key, batch.id, {"status": 0, "body": {"error": error}})
                self._failed(calls[key], "server")
            return  # it is asked anew
        status, body = response.get("status_code"), response.get("body")
        self.records.arrived(
            key,
            batch.id,
            {"status": status, "body": body, "request_id": str(response.get("request_id") or "")},
        )
        try:
            reply = reply_within(status, body, str(response.get("request_id") or ""))
        except CallError as fault:
            self._failed(calls[key], fault.kind)
            return
        if self.ledger is not None and (call := calls[key]) is not None:
            self.ledger.done(call, reply, self.price.cost(reply.usage) if self.price is not None else None, 0)

    def _not_begun(self, batch: Batch, seen: Seen) -> str:
        """Forget a batch that its server refused as a whole; return why, where asking again is of no use."""
        for call in self.records.calls(batch.id).values():
            self._failed(call, NOT_SENT)
        self.records.becomes(batch.id, "collected", results=seen.files)
        self.records.lose_all(batch.id)
        if seen.code in TOO_MUCH and batch.requests > 1:
            self.too_much = min(self.too_much or batch.requests, batch.requests)
            return ""
        why = " ".join(seen.fault.split())[:300] or "no reason given"
        return (
            f"{self.service.address} refused a batch of {batch.requests:,} requests: {why.rstrip('.')}. "
            "Nothing of it was answered or charged, and its files are deleted."
        )

    def _failed(self, call: int | None, kind: str) -> None:
        if self.ledger is not None and call is not None:
            self.ledger.failed(call, kind)


def reply_within(status: Any, body: Any, request_id: str) -> Reply:
    """Return the answer that a line of results holds.

    Raises
    ------
    CallError
        If it holds an error, or no answer that has the form of one.
    """
    if status != 200 or not isinstance(body, dict) or body.get("error"):
        raise CallError("server", f"status {status}", status=status if isinstance(status, int) else None)
    return reply_of(body, request_id, 0.0)


def ends_in(batches: list[Seen]) -> str:
    """Return in words when the last of some batches will be over, or an empty text."""
    last = max((batch.ends for batch in batches), default=0.0)
    hours = (last - time.time()) / 3_600
    return f", within {max(1, math.ceil(hours))} h" if last and hours > 0 else ""
