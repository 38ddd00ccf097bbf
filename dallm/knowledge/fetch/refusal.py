"""What it means when a server refuses, or no answer comes at all."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dallm.knowledge.fetch.outcome import FetchError, TryAgain
from dallm.knowledge.fetch.politeness import retry_after

if TYPE_CHECKING:
    import httpx2

_PASSING = (408, 425, 429)
_HINTS = {
    401: "It wants a login, which dallm does not do.",
    403: "It refuses this program; see the site's terms, and give contact='you@example.org'.",
    404: "Check the address.",
    410: "The page was taken away.",
}


def refusal(response: httpx2.Response, shown: str, now: datetime) -> TryAgain | FetchError:
    """Return what to raise for an answer whose status is no success.

    Parameters
    ----------
    response : httpx2.Response
        The answer; its content is not read.
    shown : str
        The address to name.
    now : datetime
        The present, with a time zone.
    """
    status = response.status_code
    phrase = " ".join(response.reason_phrase.split())[:60] or "no reason given"
    if status in _PASSING or status >= 500:
        asked = retry_after(response.headers.get("retry-after"), now)
        return TryAgain(f"it answered {status} ({phrase})", asked, status)
    hint = _HINTS.get(status, "The request is not one that it accepts.")
    return FetchError(f"{shown} answered {status} ({phrase}). {hint}", url=shown, status=status)


def no_answer(error: httpx2.TransportError, shown: str, timeout_s: float) -> TryAgain | FetchError:
    """Return what to raise for a connection that failed."""
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return TryAgain(f"no answer within {timeout_s:g} s")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return FetchError(
            f"{shown} could not be fetched: its certificate is not trusted here ({error}). Behind a proxy of "
            "your own, name its certificates with SSL_CERT_FILE.",
            url=shown,
        )
    return TryAgain(f"the connection failed ({error or type(error).__name__})")
