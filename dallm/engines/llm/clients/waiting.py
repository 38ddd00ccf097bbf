"""How long a server asks to be left alone: Retry-After in its forms, and the x-ratelimit headers."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|[hmsd])")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_IN_WORDS = re.compile(
    r"(?:try again|retry)(?: in| after)\s+(\d+(?:\.\d+)?(?:ms|[hms]|\b)(?:\d+(?:\.\d+)?(?:ms|[ms]))*)"
    r"(?:\s*(seconds?|minutes?|milliseconds?))?",
    re.I,
)
_WORDS = {"second": 1.0, "minute": 60.0, "millisecond": 1e-3}


class Quota(NamedTuple):
    """What a server says is left: so many until `resets_in_s` have passed."""

    remaining: float
    resets_in_s: float


def wait_of(headers: Mapping[str, str], message: str = "") -> float | None:
    """Return the seconds that an error's headers, or else its words, ask to wait; None if they ask for none.

    Examples
    --------
    >>> wait_of({"retry-after": "3"}), wait_of({"retry-after-ms": "250"})
    (3.0, 0.25)
    >>> wait_of({}, "Rate limit reached. Please try again in 1m2.5s."), wait_of({})
    (62.5, None)
    """
    if (ms := _number(headers.get("retry-after-ms"))) is not None:
        return ms / 1000
    if (asked := headers.get("retry-after")) is not None:
        if (seconds := _number(asked)) is not None:
            return seconds
        if (seconds := duration(asked)) is not None:
            return seconds
        if (moment := _date(asked)) is not None:
            return max(0.0, moment - time.time())
    waits = [
        q.resets_in_s for what in ("requests", "tokens") if (q := quota(headers, what)) and q.remaining < 1
    ]
    if waits:
        return max(waits)
    if found := _IN_WORDS.search(message):
        number, word = found.group(1), (found.group(2) or "second").lower().rstrip("s")
        plain = _number(number)
        return plain * _WORDS[word] if plain is not None else duration(number)
    return None


def quota(headers: Mapping[str, str], what: str) -> Quota | None:
    """Return what is left of ``"requests"`` or ``"tokens"`` by the x-ratelimit headers; None where not said.

    Examples
    --------
    >>> headers = {"x-ratelimit-remaining-requests": "12", "x-ratelimit-reset-requests": "6m0.5s"}
    >>> quota(headers, "requests")
    Quota(remaining=12.0, resets_in_s=360.5)
    """
    remaining = _number(headers.get(f"x-ratelimit-remaining-{what}"))
    asked = headers.get(f"x-ratelimit-reset-{what}")
    if what == "requests":
        remaining = _number(headers.get("x-ratelimit-remaining")) if remaining is None else remaining
        asked = headers.get("x-ratelimit-reset") if asked is None else asked
    if remaining is None or asked is None:
        return None
    reset = _number(asked)
    if reset is None:
        reset = duration(asked)
    elif reset > 1e9:  # a moment rather than a span: seconds, or milliseconds, since 1970
        reset = max(0.0, (reset / 1000 if reset > 1e11 else reset) - time.time())
    return None if reset is None else Quota(remaining, reset)


def duration(text: str) -> float | None:
    """Return the seconds of a span like ``6m0s`` or ``20ms``; None if it is none.

    Examples
    --------
    >>> duration("1h0m1.5s"), duration("20ms"), duration("soon")
    (3601.5, 0.02, None)
    """
    text = text.strip().lower()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
