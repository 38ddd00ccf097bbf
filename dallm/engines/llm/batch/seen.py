"""A batch as its server tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """A batch as its server sees it.

    Attributes
    ----------
    status : str
        ``validating``, ``in_progress``, ``finalizing``, ``cancelling``; at its end ``completed``,
        ``expired``, ``cancelled``, or ``failed``: not begun at all.
    files : tuple of str
        With answers and with errors, as far as there are any.
    done, requests : int
        Requests answered or refused, and all.
    ends : float
        When the server gives up, in seconds since 1970; 0 where it does not say.
    fault, code : str
        Why it was not begun.
    """

    id: str
    status: str
    files: tuple[str, ...] = ()
    done: int = 0
    requests: int = 0
    ends: float = 0.0
    fault: str = ""
    code: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ("completed", "expired", "cancelled", "failed")


def seen_in(found: Mapping[str, Any]) -> Seen:
    """Return what the object of a batch says."""
    counts = found.get("request_counts") or {}
    errors = (found.get("errors") or {}).get("data") or []
    first = errors[0] if errors and isinstance(errors[0], dict) else {}
    files = tuple(
        str(found[name]) for name in ("output_file_id", "error_file_id") if isinstance(found.get(name), str)
    )
    return Seen(
        str(found.get("id") or ""),
        str(found.get("status") or ""),
        files,
        int(counts.get("completed") or 0) + int(counts.get("failed") or 0),
        int(counts.get("total") or 0),
        float(found.get("expires_at") or 0.0),
        str(first.get("message") or first.get("code") or ""),
        str(first.get("code") or ""),
    )
