"""A draft as plain JSON and back, for whatever keeps answers on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dallm.engines.base import Draft, Quote


def draft_to_plain(draft: Draft) -> dict[str, Any]:
    """Return a draft as a dict of JSON values; fields that hold nothing are left out.

    Examples
    --------
    >>> quote = Quote("fever", "findings", 0, 5, "present", "stated")
    >>> draft_to_plain(Draft(True, "documented", "report", quotes=(quote,)))["quotes"]
    [['fever', 'findings', 0, 5, 'present', 'stated']]
    >>> draft_to_plain(Draft(None, "not_documented", None))
    {'value': None, 'status': 'not_documented'}
    """
    plain: dict[str, Any] = {"value": draft.value, "status": draft.status}
    if draft.source is not None:
        plain["source"] = draft.source
    if draft.reason:
        plain["reason"] = draft.reason
    if draft.rationale:
        plain["rationale"] = draft.rationale
    if draft.confidence is not None:
        plain["confidence"] = draft.confidence
    if draft.quotes:
        plain["quotes"] = [list(quote) for quote in draft.quotes]
    if draft.prompt_sha256 is not None:
        plain["prompt_sha256"] = draft.prompt_sha256
    if draft.cached:
        plain["cached"] = True
    return plain


def plain_to_draft(plain: Mapping[str, Any]) -> Draft:
    """Return the draft that :func:`draft_to_plain` made plain.

    Raises
    ------
    KeyError, TypeError
        If it is none.

    Examples
    --------
    >>> draft = Draft(38.5, "inferred", "knowledge", rationale="pneumonia", prompt_sha256="a1")
    >>> plain_to_draft(draft_to_plain(draft)) == draft
    True
    """
    return Draft(
        plain["value"],
        plain["status"],
        plain.get("source"),
        plain.get("reason", ""),
        plain.get("rationale", ""),
        plain.get("confidence"),
        tuple(Quote(*quote) for quote in plain.get("quotes", ())),
        plain.get("prompt_sha256"),
        plain.get("cached", False),
    )
