"""Read Markdown, plain text and PDF into a title and sections."""

from __future__ import annotations

import io
import logging
import re

from dallm.knowledge.passage import Section
from dallm.knowledge.sources.base import decode
from dallm.knowledge.sources.outline import Outline, Parsed

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t]*#*[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+(.*)")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:|-]+\|[ \t:|-]*$")
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
_INLINE = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\[[^\]]*\]"), r"\1"),
    (re.compile(r"<(https?://[^>\s]+)>"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>]*>"), ""),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])([*_])(?=\S)([^*_]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"`+([^`]+)`+"), r"\1"),
)


def read_markdown(text: str) -> Parsed:
    """Read Markdown: headings of both kinds, lists, tables and code as text, no markup left.

    Examples
    --------
    >>> read_markdown("# Asthma\\n## Signs\\nFind:\\n- *wheezing*\\n- cough\\n")
    Parsed(title='Asthma', sections=(Section(path='Signs', text='Find: wheezing; cough.'),))
    """
    outline = Outline()
    front = _FRONT.match(text)
    if front:
        titled = re.search(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", front.group(1), re.MULTILINE)
        outline.title = titled.group(1) if titled else None
        text = text[front.end() :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    paragraph: list[str] = []
    is_item, fenced = False, False

    def flush() -> None:
        nonlocal is_item
        outline.line(_plain(" ".join(paragraph)), item=is_item)
        paragraph.clear()
        is_item = False

    for line in text.split("\n"):
        if _FENCE.match(line):
            flush()
            fenced = not fenced
            continue
        if fenced:
            outline.line(line)
            continue
        atx, setext, item = _ATX.match(line), _SETEXT.match(line), _ITEM.match(line)
        if atx:
            flush()
            outline.heading(len(atx.group(1)), _plain(atx.group(2) or ""))
        elif setext and paragraph and not is_item:
            words = _plain(" ".join(paragraph))
            paragraph.clear()
            outline.heading(1 if line.strip()[0] == "=" else 2, words)
        elif not line.strip() or _RULE.match(line) or _TABLE_RULE.match(line):
            flush()
        elif item:
            flush()
            is_item = True
            paragraph.append(item.group(1))
        elif line.lstrip().startswith("|"):
            flush()
            outline.line(_plain(" ".join(c.strip() for c in line.strip().strip("|").split("|"))))
        else:
            paragraph.append(
                line.strip().lstrip("> ").strip() if line.lstrip().startswith(">") else line.strip()
            )
    flush()
    return outline.parsed()


def read_text(text: str) -> Parsed:
    """Read plain text: paragraphs stand between empty lines; it has no title and one section.

    Examples
    --------
    >>> read_text("One\\nparagraph.\\n\\nAnother.").sections
    (Section(path='', text='One paragraph.\\nAnother.'),)
    """
    outline = Outline()
    paragraph: list[str] = []
    for line in [*text.split("\n"), ""]:
        item = _ITEM.match(line)
        if item or not line.strip():
            outline.line(" ".join(paragraph))
            paragraph.clear()
        if item:
            outline.line(item.group(1), item=True)
        elif line.strip():
            paragraph.append(line.strip())
    return outline.parsed()


def read_pdf(raw: bytes) -> Parsed:
    """Read a PDF's text layer, a section per page.

    Raises
    ------
    ValueError
        If the file is broken, locked with a password or holds no text.
    """
    import pypdf
    from pypdf.errors import PyPdfError

    log = logging.getLogger("pypdf")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it would say becomes the reason in our own report
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("it is locked with a password")
        pages = [page.extract_text() or "" for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except ValueError:
        raise
    # pypdf raises whatever a malformed object makes it meet, recursion included
    except (PyPdfError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError) as error:
        raise ValueError(f"it is no readable PDF ({type(error).__name__}: {error})") from error
    except (ImportError, NotImplementedError) as error:
        raise ValueError(f"its encryption needs another package ({error})") from error
    finally:
        log.setLevel(level)
    sections = []
    for number, page in enumerate(pages, start=1):
        text = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", decode(page.encode("utf-8", "replace")))
        body = "\n".join(section.text for section in read_text(text).sections)
        if body:
            sections.append(Section(f"page {number}" if len(pages) > 1 else "", body))
    if not sections:
        raise ValueError("it has no text layer (a scan?); recognise its text first")
    return Parsed(" ".join(str(title).split()) or None if title else None, tuple(sections))


def _plain(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return re.sub(r"\\([\\`*_{}\[\]()#+\-.!|>])", r"\1", text)
