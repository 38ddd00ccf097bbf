"""Files are written whole or not at all: beside their place first, then moved there in one step."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dallm.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it to `path` when the block ends without an error.

    Folders that are missing are made. A reader sees the old file or the new one, never a part.

    Raises
    ------
    OutputError
        If the file cannot be written there; the message names the path and the cause.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "out" / "a.txt"
    >>> with replacing(target) as part:
    ...     _ = part.write_text("whole", encoding="utf-8")
    >>> target.read_text(encoding="utf-8")
    'whole'
    """
    path = Path(path)
    part: Path | None = None
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder; name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name[:80]}.{uuid.uuid4().hex}.part")
        beside.touch(exist_ok=False)
        part = beside  # only what was made is to be removed: a read-only disk refuses even that
        yield part
        part.replace(path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all (see :func:`replacing`)."""
    # surrogates come from undecodable input; refusing them would lose the whole file
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogatepass", newline="\n")


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file against other processes, and tell whether that worked.

    It is free again when the file is closed, and when the process that holds it ends in whatever way.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another holds it
        return False
    return True


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write the columns of `frame` to `path` as CSV, whole or not at all (see :func:`replacing`)."""
    with replacing(path) as part:
        frame.to_csv(part, index=False)
