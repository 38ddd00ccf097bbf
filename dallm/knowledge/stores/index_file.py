"""Arrays kept in a file beside a store's database, so that opening a large store does not build them again.

The file is a copy of what the database holds: it is written whole or not at all, says which state of the
database it was made from, and is passed over where it is missing, broken or of another state.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"dallmix1"
_HEAD = struct.Struct("<8sQI")  # magic, length of the description, its checksum
_ALIGN = 64
_ABANDONED_S = 600.0


class Arrays(NamedTuple):
    """Arrays and lists of texts under their names."""

    arrays: dict[str, NDArray[Any]]
    texts: dict[str, list[str]]


def save(path: Path, version: str, content: Arrays) -> bool:
    """Keep arrays under a version; False where that cannot be done here, which costs time and no more."""
    part = path.with_name(f"{path.name}.part")
    try:
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()  # its process was killed
        with part.open("xb") as file:
            for block in _blocks(version, content):
                file.write(block)
    except FileExistsError:
        return False  # another process is at it
    except OSError:
        # a full disk, a folder that may not be written to
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    try:
        part.replace(path)
    except OSError:
        # some systems do not replace a file that another process has mapped
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


def load(path: Path, version: str) -> Arrays | None:
    """Return what was kept under a version, mapped into memory; None where that is missing or broken."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # there is none, or it is empty
        return None
    try:
        magic, length, checksum = _HEAD.unpack_from(mapped)
        described = mapped[_HEAD.size : _HEAD.size + length]
        if magic != _MAGIC or zlib.crc32(described) != checksum:
            return None
        description = json.loads(described)
        if description["version"] != version or description["order"] != sys.byteorder:
            return None
        arrays = {name: _array(mapped, **where) for name, where in description["arrays"].items()}
    except (struct.error, ValueError, KeyError, TypeError):
        return None
    return Arrays(arrays, description["texts"])


def is_kept(path: Path, version: str) -> bool:
    """Whether a file is there for this version; its arrays are not read."""
    try:
        with path.open("rb") as file:
            magic, length, checksum = _HEAD.unpack(file.read(_HEAD.size))
            described = file.read(length) if magic == _MAGIC else b""
            if zlib.crc32(described) != checksum:
                return False
            return bool(json.loads(described)["version"] == version)
    except (OSError, struct.error, ValueError, KeyError):
        return False


def _array(mapped: mmap.mmap, *, dtype: str, shape: Sequence[int], at: int, checksum: int) -> NDArray[Any]:
    kind = np.dtype(dtype)
    array = np.frombuffer(mapped, dtype=kind, count=int(np.prod(shape)), offset=at)
    if zlib.crc32(_bytes(array)) != checksum:
        raise ValueError("the array is broken")
    return array.reshape(shape)


def _blocks(version: str, content: Arrays) -> list[bytes | memoryview]:
    whole = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    sums = {name: zlib.crc32(_bytes(array)) for name, array in whole.items()}
    # where the arrays lie depends on how long their description is, and that on where they lie: room is left
    room = _described(version, content.texts, _places(whole, sums, 1 << 50))
    start = _aligned(_HEAD.size + len(room) + _ALIGN)
    places = _places(whole, sums, start)
    described = _described(version, content.texts, places).ljust(len(room))
    blocks: list[bytes | memoryview] = [_HEAD.pack(_MAGIC, len(described), zlib.crc32(described)), described]
    written = _HEAD.size + len(described)
    for name, array in whole.items():
        blocks += [bytes(places[name]["at"] - written), _bytes(array)]
        written = places[name]["at"] + array.nbytes
    return blocks


def _places(
    arrays: Mapping[str, NDArray[Any]], sums: Mapping[str, int], start: int
) -> dict[str, dict[str, Any]]:
    places = {}
    for name, array in arrays.items():
        start = _aligned(start)
        places[name] = {"dtype": array.dtype.str, "shape": array.shape, "at": start, "checksum": sums[name]}
        start += array.nbytes
    return places


def _described(version: str, texts: Mapping[str, list[str]], places: Mapping[str, Any]) -> bytes:
    told = {"version": version, "order": sys.byteorder, "texts": texts, "arrays": places}
    return json.dumps(told).encode("ascii")


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _aligned(number: int) -> int:
    return -(-number // _ALIGN) * _ALIGN
