"""Opens text files whose encoding is not known beforehand, and says which one was found."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from dallm.errors import ReaderError, did_you_mean

_BLOCK = 1 << 20
_MARKS = (  # the longer marks first: the UTF-32 mark begins like the UTF-16 one
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive; give it its suffix, e.g. '.xlsx'"),
    (b"PAR1", "a Parquet file; give it the suffix '.parquet'"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of before 2007; save it as '.xlsx' or '.csv'"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
)
_CONTROL = frozenset(range(32)) - {9, 10, 12, 13}


class Encoding(NamedTuple):
    """A file's encoding, and how it was found."""

    name: str
    how: str


def existing_file(path: str | Path) -> Path:
    """Return `path` if it is a file that is not empty.

    Raises
    ------
    ReaderError
        If it is missing (with the nearest name in its folder), a folder, or empty.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        held = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        shown = f" It holds {', '.join(held[:6])}{', ...' if len(held) > 6 else ''}." if held else ""
        raise ReaderError(f"{str(path)!r} is a folder; name a file in it.{shown}")
    if not path.exists():
        folder = path.parent
        if not folder.is_dir():
            raise ReaderError(f"There is no file {str(path)!r}: the folder {str(folder)!r} does not exist.")
        near = did_you_mean(path.name, [p.name for p in folder.iterdir()])
        raise ReaderError(f"There is no file {str(path)!r} (working folder: {str(Path.cwd())!r}).{near}")
    if path.stat().st_size == 0:
        raise ReaderError(f"{str(path)!r} is empty (0 bytes).")
    return path


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, unpacking gzip, whatever its name.

    Raises
    ------
    ReaderError
        If it may not be read.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")
    except OSError as error:
        raise ReaderError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error


def find_encoding(path: Path, given: str | None = None) -> Encoding:
    """Find a text file's encoding, or check the one that is given, over the whole file.

    UTF-8, UTF-16 and UTF-32 are recognised for certain or nearly so. Bytes that are none of them are taken as
    Windows-1252, or Latin-1 where that does not fit: a guess, and named as one.

    Raises
    ------
    ReaderError
        If the file is not text, is cut off, or does not fit the encoding that was given.
    """
    try:
        with open_bytes(path) as file:
            start = file.read(_BLOCK)
    except (EOFError, OSError, zlib.error) as error:
        raise ReaderError(f"{str(path)!r} is damaged or cut off: {error}. Fetch it again.") from error
    for magic, kind in _KINDS:
        if start.startswith(magic):
            raise ReaderError(f"{str(path)!r} is not a text table but {kind}.")
    if given is not None:
        _check_given(path, given)
        return Encoding(given, "as given")
    for mark, name in _MARKS:
        if start.startswith(mark):
            _refuse_if_not(name, path)
            return Encoding(name, "by its byte order mark")
    wide = _utf16_without_mark(start)
    if wide and _fits(path, wide) is None:
        return Encoding(wide, "by its zero bytes, it has no byte order mark")
    fits_utf8 = _fits(path, "utf-8") is None
    _refuse_binary(path, start, fits_utf8)
    if fits_utf8:
        return Encoding("utf-8", "every byte fits")
    fallback = "cp1252" if _fits(path, "cp1252") is None else "latin-1"
    return Encoding(fallback, "a guess, as it is not UTF-8; pass encoding= if accents look wrong")


def open_text(path: Path, encoding: Encoding) -> io.TextIOWrapper:
    """Open a file of known encoding; line breaks are kept as they are."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding.name, newline="")


def decode_report(raw: bytes) -> tuple[str, bool]:
    """Decode a small text; the second value is False where it is not UTF-8 and was read as Windows-1252.

    Examples
    --------
    >>> decode_report("37 °C".encode("latin-1"))
    ('37 °C', False)
    """
    for mark, name in _MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(name), True
            except UnicodeDecodeError:
                break
    try:
        return raw.decode("utf-8"), True
    except UnicodeDecodeError:
        try:
            return raw.decode("cp1252"), False
        except UnicodeDecodeError:
            return raw.decode("latin-1"), False


def _check_given(path: Path, name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError:
        known = ["utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "cp1250", "cp1251", "gb18030", "shift_jis"]
        raise ReaderError(f"encoding={name!r} is not known to Python.{did_you_mean(name, known)}") from None
    _refuse_if_not(name, path)


def _refuse_if_not(name: str, path: Path) -> None:
    problem = _fits(path, name)
    if problem is not None:
        raise ReaderError(
            f"{str(path)!r} is not {name}: {problem}. Name the right encoding, or none to have it found."
        )


def _fits(path: Path, name: str) -> str | None:
    """Decode the whole file in blocks; None if it fits, else where it does not."""
    decoder = codecs.getincrementaldecoder(name)()
    line = 1
    try:
        with open_bytes(path) as file:
            while block := file.read(_BLOCK):
                line += decoder.decode(block).count("\n")
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        return f"{error.reason} on line {line}"
    except UnicodeError as error:  # UTF-16 and UTF-32 name no place
        return f"{error}"
    except (EOFError, OSError, zlib.error) as error:
        raise ReaderError(f"{str(path)!r} is damaged or cut off: {error}. Fetch it again.") from error
    return None


def _utf16_without_mark(start: bytes) -> str | None:
    sample = start[: 1 << 14]
    half = len(sample) // 2
    if half < 4:
        return None
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None


def _refuse_binary(path: Path, start: bytes, fits_utf8: bool) -> None:
    # Report text may hold stray control characters; a header line does not, nor does a tenth of any old text.
    header = start.lstrip(b"\r\n").split(b"\n", 1)[0]
    sample = start[:4096]
    share = 0.0 if fits_utf8 else sum(byte in _CONTROL for byte in sample) / max(len(sample), 1)
    if share > 0.1 or any(byte in _CONTROL for byte in header):
        raise ReaderError(
            f"{str(path)!r} is not a text table: it holds control characters as binary files do. "
            "dallm reads CSV, TSV, Parquet (.parquet), Excel (.xlsx) and JSON lines (.jsonl)."
        )
