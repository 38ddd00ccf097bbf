"""What a request ends with: an answer, a reason to try again, or an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dallm.errors import SourceError


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, from the server or from the cache.

    Attributes
    ----------
    url : str
        Where it came from in the end, after redirects; without secrets.
    status : int
        The HTTP status, 200 or 203.
    headers : mapping of str to str
        The answer's headers, names in lower case.
    body : bytes
        The content, decompressed.
    retrieved_at : str
        When the content was fetched (ISO 8601, UTC); a revalidation does not change it.
    from_cache : bool
        Whether the content came from the cache.
    revalidated : bool
        Whether the server confirmed in this call that the cached content is still right.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    retrieved_at: str
    from_cache: bool = False
    revalidated: bool = False

    def json(self) -> Any:
        """Return the content as JSON.

        Raises
        ------
        TryAgain
            If it is none, as when it was cut off or a gateway answered with a page of its own.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            kind = self.headers.get("content-type", "no content type").split(";")[0]
            raise TryAgain(f"its answer is no whole JSON ({kind}, {len(self.body):,} bytes)") from error


class FetchError(SourceError):
    """A page could not be fetched.

    Attributes
    ----------
    url : str
        What was asked for, without secrets.
    status : int or None
        The status of the refusal; None where there was no answer, or an answer that is no use.
    retry_at : datetime or None
        When the server wants to be asked again, where it said so.
    is_too_large : bool
        Whether there is an answer, larger than what is read.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str,
        status: int | None = None,
        retry_at: datetime | None = None,
        is_too_large: bool = False,
    ) -> None:
        super().__init__(message)
        self.url = url
        self.status = status
        self.retry_at = retry_at
        self.is_too_large = is_too_large

    @property
    def is_gone(self) -> bool:
        """Whether the server says that there is no such page."""
        return self.status in (404, 410)


class TryAgain(Exception):  # noqa: N818 - a signal to the client, never an error that a user meets
    """Raised by a check of an answer that is no use now but may be in a moment.

    Parameters
    ----------
    reason : str
        What is wrong, to end the sentence "<address> could not be fetched: ...".
    wait_s : float, optional
        How long the server asks to wait, in seconds.
    status : int, optional
        The answer's HTTP status.
    """

    def __init__(self, reason: str, wait_s: float | None = None, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        self.status = status
