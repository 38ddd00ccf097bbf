"""Read an answer's content whole: bounded in size and time, and never taken for whole when it was cut off."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from dallm.knowledge.fetch.outcome import FetchError, TryAgain
from dallm.knowledge.fetch.politeness import Clock

if TYPE_CHECKING:
    import httpx2

ENCODINGS = "gzip"
"""What the client accepts; the standard library reads no more."""


def read_body(response: httpx2.Response, url: str, limit: int, deadline: float, clock: Clock) -> bytes:
    """Return the decompressed content of an answer that is being streamed.

    Parameters
    ----------
    response : httpx2.Response
        The answer, its content not read yet.
    url : str
        What to call it in messages.
    limit : int
        The most bytes, as sent and decompressed.
    deadline : float
        The latest time by `clock.monotonic()`: a server that sends a byte now and then is not waited for.
    clock : Clock
        Where the time comes from.

    Raises
    ------
    TryAgain
        If the content is cut off or takes too long.
    FetchError
        If it is too large, or compressed in a way that was not asked for.
    """
    told = response.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise _too_large(url, limit)
    sent = 0
    parts: list[bytes] = []
    size = 0
    inflate = _decompressor(response.headers.get("content-encoding", ""), url)
    for chunk in response.iter_raw():
        if clock.monotonic() > deadline:
            raise TryAgain("it sends its answer too slowly")
        sent += len(chunk)
        try:
            part = inflate.decompress(chunk, limit + 1 - size) if inflate else chunk
        except zlib.error as error:
            raise TryAgain(f"its compressed answer is broken ({error})") from error
        size += len(part)
        if size > limit or sent > limit:
            raise _too_large(url, limit)
        parts.append(part)
    if told.isdigit() and sent != int(told):
        raise TryAgain(f"its answer was cut off ({sent:,} of {int(told):,} bytes)")
    if inflate and sent and not inflate.eof:
        raise TryAgain("its compressed answer was cut off")
    return b"".join(parts)


def _decompressor(encoding: str, url: str) -> zlib._Decompress | None:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=47)  # either header
    raise FetchError(
        f"{url} is compressed with {name[:40]!r}, which was not asked for; a proxy may be in the way.",
        url=url,
    )


def _too_large(url: str, limit: int) -> FetchError:
    return FetchError(
        f"{url} is larger than {limit / 2**20:,.1f} MB, the most that is read.", url=url, is_too_large=True
    )
