"""What was fetched, kept on disk with its headers, to be revalidated or used without a network."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dallm.errors import KnowledgeWarning, OutputError
from dallm.files import replacing

_FORMAT = 1


def default_folder() -> Path:
    """Return the folder of the cache where none is named: below the user's cache folder on this system.

    Examples
    --------
    >>> default_folder().parts[-2:]
    ('dallm', 'http')
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named and Path(named).is_absolute():  # the convention says to ignore a relative one
        base = Path(named)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        base = Path(os.environ["LOCALAPPDATA"])
    else:
        base = Path.home() / ".cache"
    return base / "dallm" / "http"


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached answer: what was asked for, where it came from in the end, and when.

    `validated_at` is when the server last said that the content is right, in seconds since 1970.
    """

    asked: str
    url: str
    status: int
    headers: Mapping[str, str]
    retrieved_at: str
    validated_at: float
    body: bytes = field(repr=False)


class HttpCache:
    """A folder with one file per request: a digest, a line of JSON with the headers, the content.

    A file is written beside its place and moved there, so several processes may share the folder. One whose
    digest is wrong counts as missing, and is fetched again.

    Parameters
    ----------
    folder : path
        The folder; it is made when the first answer is kept.

    Examples
    --------
    >>> import tempfile
    >>> cache = HttpCache(tempfile.mkdtemp())
    >>> cache.save("k", Entry("http://a/", "http://a/", 200, {}, "2026-01-01T00:00:00+00:00", 0.0, b"text"))
    >>> cache.load("k").body
    b'text'
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._warned = False

    def __repr__(self) -> str:
        return f"HttpCache({str(self.folder)!r})"

    def load(self, key: str) -> Entry | None:
        """Return what is kept under `key`; None where there is nothing, or nothing whole."""
        try:
            raw = self._path(key).read_bytes()
        except OSError:  # not there, or not readable: both mean that it has to be fetched
            return None
        told, _, rest = raw.partition(b"\n")
        if told.decode("ascii", "replace") != hashlib.sha256(rest).hexdigest():
            return None
        head, _, body = rest.partition(b"\n")
        values = json.loads(head)
        if values.pop("format", None) != _FORMAT or values.pop("key", None) != key:
            return None
        return Entry(**values, body=body)

    def save(self, key: str, entry: Entry) -> None:
        """Keep an answer; a folder that cannot be written is warned about once, and fetching goes on.

        Warns
        -----
        KnowledgeWarning
            If the folder cannot be written.
        """
        values = {
            "format": _FORMAT,
            "key": key,
            "asked": entry.asked,
            "url": entry.url,
            "status": entry.status,
            "headers": dict(entry.headers),
            "retrieved_at": entry.retrieved_at,
            "validated_at": entry.validated_at,
        }
        rest = json.dumps(values, sort_keys=True).encode("ascii") + b"\n" + entry.body
        try:
            with replacing(self._path(key)) as part:
                part.write_bytes(hashlib.sha256(rest).hexdigest().encode("ascii") + b"\n" + rest)
        except OutputError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"What is fetched is not kept: {error} Name another folder with cache=.",
                    KnowledgeWarning,
                    stacklevel=2,
                )

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.http"
