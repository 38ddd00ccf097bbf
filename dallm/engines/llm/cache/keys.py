"""The keys under which answers and cells stand in the cache."""

from __future__ import annotations

import hashlib

from dallm.engines.llm.wire import Request


def context_key(*parts: str) -> bytes:
    """Return the key under which the cells of a case stand: what it shows, knowledge, prompt, model.

    Examples
    --------
    >>> context_key("case", "knowledge") == context_key("caseknow", "ledge")
    False
    """
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def answer_key(request: Request, model_key: str) -> str:
    """Return the digest of a request to one model at one place."""
    return key_of_digest(request.sha256, model_key)


def key_of_digest(request_sha256: str, model_key: str) -> str:
    """Return the key of the answer to the request that has this digest."""
    return hashlib.sha256(f"{model_key}\x1f{request_sha256}".encode()).hexdigest()
