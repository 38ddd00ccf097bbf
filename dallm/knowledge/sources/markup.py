"""Read Markdown, plain text, HTML and PDF into a title and sections."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dallm.knowledge.passage import Section
from dallm.knowledge.sources.base import decode

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

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
_BLOCKS = frozenset(
    "p li td th dd dt pre blockquote div section article main body caption tr br".split()  # noqa: SIM905
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_NOT_ARTICLE = ["script", "style", "nav", "footer", "aside", "form", "noscript", "iframe", "svg", "button"]
_NOT_ARTICLE += ["template", "select", "canvas", "object", "menu", "dialog"]
_FURNITURE = re.compile(
    r"(^|[\s_-])(nav(bar|box|igation)?|menu|sidebar|breadcrumbs?|cookies?|advert(isement)?s?|ads?|banner|toc|"
    r"reflist|references|mw-editsection|editsection|share|social|newsletter|related|skip-link|noprint)"
    r"($|[\s_-])",
    re.IGNORECASE,
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


class Parsed(NamedTuple):
    """A title (None where the text has none) and the sections under it, empty ones left out."""

    title: str | None
    sections: tuple[Section, ...]


class _Outline:
    """Collects lines under a moving path of headings."""

    def __init__(self) -> None:
        self.title: str | None = None
        self._path: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self._sections: list[Section] = []

    def heading(self, level: int, text: str) -> None:
        text = " ".join(text.split())
        if not text:
            return
        self._close()
        if self.title is None:  # the first heading is the title, not a section
            self.title = text
            return
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, text))

    def line(self, text: str, *, item: bool = False) -> None:
        """Add a paragraph; short list items join into one sentence after the line that leads them in."""
        text = " ".join(text.split())
        if not text:
            return
        short = item and len(text.split()) <= 12 and text[-1] not in ".!?"
        last = self._lines[-1] if self._lines else ""
        if short and last.endswith((":", ";")):
            self._lines[-1] = f"{last} {text};"
        else:
            self._lines.append(f"{text};" if short else text)

    def parsed(self) -> Parsed:
        self._close()
        return Parsed(self.title, tuple(self._sections))

    def _close(self) -> None:
        # a list that became a sentence ends like one
        text = "\n".join(f"{line[:-1]}." if line.endswith(";") else line for line in self._lines).strip()
        if text:
            self._sections.append(Section(" > ".join(name for _, name in self._path), text))
        self._lines = []


def read_markdown(text: str) -> Parsed:
    """Read Markdown: headings of both kinds, lists, tables and code as text, no markup left.

    Examples
    --------
    >>> read_markdown("# Asthma\\n## Signs\\nFind:\\n- *wheezing*\\n- cough\\n")
    Parsed(title='Asthma', sections=(Section(path='Signs', text='Find: wheezing; cough.'),))
    """
    outline = _Outline()
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
    outline = _Outline()
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


def read_html(raw: bytes) -> Parsed:
    """Read the article of an HTML page: no scripts, menus, adverts, references or hidden parts.

    Markup that does not close is read as far as it goes.
    """
    from bs4 import BeautifulSoup

    declared = _CHARSET.search(raw[:4096])
    text = decode(raw, declared.group(1).decode("ascii") if declared else None)
    soup = BeautifulSoup(text, "html.parser")
    page_title = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    for tag in soup(_NOT_ARTICLE):
        tag.decompose()
    root = _article(soup)
    outline = _Outline()
    for kind, words in _blocks(root):
        if kind in _HEADINGS:
            outline.heading(int(kind[1]), words)
        else:
            outline.line(words, item=kind == "li")
    title, sections = outline.parsed()
    if title is None and soup.h1 is not None:
        title = " ".join(soup.h1.get_text(" ").split())
    return Parsed(title or page_title or None, sections)


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


def _article(soup: BeautifulSoup) -> Tag:
    candidates = [*soup.find_all("article"), *soup.find_all("main"), *soup.select("[role=main]")]
    best = max(candidates, key=lambda tag: len(tag.get_text()), default=None)
    return best or soup.body or soup


def _blocks(root: Tag) -> Iterator[tuple[str, str]]:
    """Yield ``(kind, text)`` of every block under `root`, without recursion: pages nest thousands deep."""
    from bs4 import Tag
    from bs4.element import Comment, NavigableString, PreformattedString

    kind = "p"
    words: list[str] = []
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, str) and not isinstance(node, NavigableString | Tag):
            if words:  # the end of a block, marked by its kind
                yield kind, " ".join("".join(words).split())
            kind, words = node, []
        elif isinstance(node, NavigableString):
            if not isinstance(node, Comment | PreformattedString):
                words.append(str(node))
        elif isinstance(node, Tag) and (node is root or not _is_furniture(node)):
            name = node.name
            if name in _BLOCKS or name in _HEADINGS:
                if words:
                    yield kind, " ".join("".join(words).split())
                outer = kind if name in ("br", "p", "div") and kind == "li" else "p"
                kind, words = (outer if name in ("br", "p", "div") else name), []
                stack.append("p")
            stack.extend(reversed(node.contents))
    if words:
        yield kind, " ".join("".join(words).split())


def _is_furniture(tag: Tag) -> bool:
    if tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or tag.get("role") == "navigation":
        return True
    if "display:none" in str(tag.get("style", "")).replace(" ", "").lower():
        return True
    if tag.name == "header" and tag.find("h1") is None:
        return True
    marks = [*tag.get_attribute_list("class"), str(tag.get("id") or "")]
    return any(mark and _FURNITURE.search(mark) for mark in marks)
