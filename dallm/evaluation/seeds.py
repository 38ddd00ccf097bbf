"""Seeds that follow from what they are for, so that neither order nor number of workers matters."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, *what: str | int) -> int:
    """Derive a seed below 2**31 from the evaluation's seed and the names of what it is for.

    Examples
    --------
    >>> seed_for(0, "xgboost", "edema", 0, 1) == seed_for(0, "xgboost", "edema", 0, 1)
    True
    >>> seed_for(0, "xgboost", "edema", 0, 1) == seed_for(0, "xgboost", "edema", 0, 2)
    False
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in what)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1
