"""Reads the Open-i layout of the Indiana chest X-ray reports: one XML file a report."""

from __future__ import annotations

import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dallm.errors import ReaderError

SECTIONS = ("indication", "comparison", "findings", "impression")
_NUMBERED = re.compile(r"CXR(\d+)")
_LARGEST = 16 << 20  # a report has a few kilobytes; more is no report


class OpeniReport(NamedTuple):
    """One report: its id, its text by section, and what the human coders noted of it."""

    uid: str
    texts: dict[str, str]
    image: str
    problems: tuple[str, ...]


class BrokenFile(NamedTuple):
    """A file that was passed over, and why."""

    name: str
    problem: str


def read_xml_reports(path: Path) -> Iterator[OpeniReport | BrokenFile]:
    """Read every ``.xml`` below a folder (by number) or in a ``.tgz`` or ``.tar`` archive (as it comes).

    Raises
    ------
    ReaderError
        If the archive cannot be read.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*.xml"), key=_by_number):
            try:
                raw = file.read_bytes() if file.stat().st_size <= _LARGEST else None
            except OSError as error:
                yield BrokenFile(file.name, error.strerror or str(error))
                continue
            yield _parse(file.name, raw)
        return
    if path.suffix == ".xml":
        yield _parse(path.name, path.read_bytes())
        return
    try:
        with tarfile.open(path) as archive:  # members are read in memory, nothing is unpacked to disk
            members = [m for m in archive if m.isfile() and m.name.endswith(".xml")]
            for member in members:
                file_object = archive.extractfile(member) if member.size <= _LARGEST else None
                yield _parse(PurePosixPath(member.name).name, file_object.read() if file_object else None)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ReaderError(f"{str(path)!r} is no readable archive: {error}. Fetch it again.") from error


def _by_number(file: Path) -> tuple[int, str]:
    digits = re.sub(r"\D", "", file.stem)
    return (int(digits) if digits else 0, str(file))


def _parse(name: str, raw: bytes | None) -> OpeniReport | BrokenFile:
    if raw is None:
        return BrokenFile(name, f"larger than {_LARGEST >> 20} MB")
    try:
        root = ElementTree.fromstring(raw)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return BrokenFile(name, f"no well-formed XML ({error})")
    if root.tag != "eCitation":
        return BrokenFile(name, f"no Open-i report (its root is <{root.tag}>, not <eCitation>)")
    uid_element = root.find("uId")
    uid = (uid_element.get("id") or "").strip() if uid_element is not None else ""
    if not uid:
        return BrokenFile(name, "no <uId id=...>")
    numbered = _NUMBERED.fullmatch(uid)
    parts: dict[str, list[str]] = {}
    for element in root.iter("AbstractText"):
        text = "".join(element.itertext()).strip()
        label = (element.get("Label") or "").strip().lower()
        if text:
            parts.setdefault(label if label in SECTIONS else "other", []).append(text)
    codes = ["".join(major.itertext()).strip() for mesh in root.iter("MeSH") for major in mesh.iter("major")]
    caption = root.find("parentImage/caption")
    return OpeniReport(
        uid=numbered[1] if numbered else uid,
        texts={label: "\n".join(texts) for label, texts in parts.items()},
        image=("".join(caption.itertext()).strip() if caption is not None else ""),
        problems=tuple(dict.fromkeys(code.split("/")[0].strip() for code in codes if code)),
    )
