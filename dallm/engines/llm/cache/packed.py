"""The cells of one answer as the cache keeps them: what is the same in many of them stands there once."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any


def packed(records: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return cells, by the feature's digest, as bytes.

    Of most features a report says nothing: records that are one object are written once.

    Examples
    --------
    >>> nothing = {"value": None}
    >>> unpacked(packed({"fever": {"value": True}, "cough": nothing, "rash": nothing}))["rash"]
    {'value': None}
    """
    numbers: dict[int, int] = {}
    listed: list[Mapping[str, Any]] = []
    places: list[int] = []
    for record in records.values():
        number = numbers.setdefault(id(record), len(listed))
        if number == len(listed):
            listed.append(record)
        places.append(number)
    text = json.dumps([listed, list(records), places], ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 1)


def unpacked(body: bytes) -> dict[str, dict[str, Any]]:
    """Return the cells that were packed; those that are alike are one object, which is not to be changed."""
    listed, names, places = json.loads(zlib.decompress(body).decode("utf-8", "surrogatepass"))
    return {name: listed[place] for name, place in zip(names, places, strict=True)}
