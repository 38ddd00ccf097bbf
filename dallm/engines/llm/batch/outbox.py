"""Requests on their way into batches: collected into files, each handed over when it is full."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from dallm.engines.llm.batch.records import Batch, BatchRecords
from dallm.engines.llm.batch.service import ENDPOINT, BatchService, name_of, new_token
from dallm.engines.llm.jobs import CallLog
from dallm.engines.llm.wire import Request
from dallm.errors import DallmError

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""Limits of one batch: the interface takes 50,000 requests in 200 MB."""

NOT_SENT = "not_sent"
"""Outcome in the ledger of a request whose batch was not begun; nothing was paid for it."""


class Outbox:
    """Hands requests over, in as many batches as it takes.

    A file is written down before it is sent, a batch before it is begun: whoever comes after a process that
    was ended in between looks at the server what became of it (:meth:`recover`), and begins nothing twice.

    Parameters
    ----------
    service : BatchService
    records : BatchRecords
    model_key : str
        The name of model and place.
    ledger : CallLog or None
    """

    def __init__(
        self, service: BatchService, records: BatchRecords, model_key: str, ledger: CallLog | None
    ) -> None:
        self.service, self.records, self.model_key, self.ledger = service, records, model_key, ledger
        self.most = MOST_REQUESTS
        self._requests: dict[str, Request] = {}
        self._file: IO[bytes] | None = None
        self._bytes = 0

    def __contains__(self, key: str) -> bool:
        return key in self._requests

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, key: str, request: Request, body: Mapping[str, Any]) -> None:
        """Take a request; where it would be too much for one batch, the others are handed over first."""
        said = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
        line = json.dumps(said, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        if self._requests and (len(self) >= self.most or self._bytes + len(line) > MOST_BYTES):
            self.hand_over()
        if self._file is None:
            # without a name, so that nobody opens it and nothing of it stays when the process ends
            self._file = tempfile.TemporaryFile(dir=self.records.folder)  # noqa: SIM115  # it is closed by clear()
        self._file.write(line)
        self._bytes += len(line)
        self._requests[key] = request

    def hand_over(self) -> None:
        """Send what was taken, and begin its batch."""
        if self._file is None:
            return
        token = new_token()
        number = self.records.begin(token, self.model_key, self._requests)
        try:
            self._file.flush()
            file = self.service.upload(self._file, name_of(token))
            self._intend()
            self.records.becomes(number, "submitting", file=file)
            batch = self.service.submit(file, token)
        except DallmError:
            with contextlib.suppress(DallmError):  # else the next call does it
                self.recover()
            raise
        finally:
            self.clear()
        self.records.becomes(number, "submitted", batch=batch)

    def recover(self) -> None:
        """Find out what became of batches whose process ended while it handed them over."""
        for batch in self.records.batches(self.model_key, "uploading", "submitting"):
            if batch.state == "submitting":
                there = self.service.batch_named(batch.token, batch.file)
                if there is not None:
                    self.records.becomes(batch.id, "submitted", batch=str(there.get("id")))
                    continue
            self._withdraw(batch)

    def clear(self) -> None:
        """Forget what was taken and not handed over."""
        if self._file is not None:
            self._file.close()
        self._file, self._bytes, self._requests = None, 0, {}

    def _withdraw(self, batch: Batch) -> None:
        """Delete the file of a batch that was not begun; its requests are asked anew."""
        file = batch.file
        if not file:
            found = self.service.file_named(name_of(batch.token))
            file = str(found.get("id") or "") if found is not None else ""
        if file:
            self.service.delete(file)
        if self.ledger is not None:
            for call in self.records.calls(batch.id).values():
                if call is not None:
                    self.ledger.failed(call, NOT_SENT)
        self.records.forget(batch.id, with_requests=True)

    def _intend(self) -> None:
        if self.ledger is not None:
            self.records.set_calls(
                {key: self.ledger.intend(request, None) for key, request in self._requests.items()}
            )
