"""Files are written whole or not at all: beside their place first, then moved there in one step."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dallm.errors import OutputError


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
