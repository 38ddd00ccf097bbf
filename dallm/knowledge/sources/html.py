"""Read the article of an HTML page in one pass, whatever its markup lacks."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import NamedTuple

from dallm.knowledge.sources.base import decode
from dallm.knowledge.sources.outline import Outline, Parsed

_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_BLOCKS = frozenset(
    "p li td th dd dt pre blockquote div section article main body caption tr br table ul ol dl figure "
    "figcaption summary details address hr".split()
)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_NOT_ARTICLE = frozenset(
    "script style nav footer aside form noscript iframe svg button template select canvas object "
    "menu dialog head math".split()
)
# closed by the next of their kind where the page leaves their end out
_IMPLIED_END = {
    "p": _BLOCKS - {"br"} | _HEADINGS,
    "li": {"li"},
    "td": {"td", "th", "tr"},
    "th": {"td", "th", "tr"},
}
_IMPLIED_END |= {"tr": {"tr"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "option": {"option"}}
_FURNITURE = re.compile(
    r"(^|[\s_-])(nav(bar|box|igation)?|menu|sidebar|breadcrumbs?|cookies?|advert(isement)?s?|ads?|banner|toc|"
    r"reflist|references|mw-editsection|editsection|share|social|newsletter|related|skip-link|noprint)"
    r"($|[\s_-])",
    re.IGNORECASE,
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


class _Block(NamedTuple):
    kind: str
    text: str
    article: int  # number of the article or main element around it, 0 outside of any


def read_html(raw: bytes) -> Parsed:
    """Read the article of an HTML page: no scripts, menus, adverts, references or hidden parts.

    Of several articles the longest is read. Markup that does not close is read as far as it goes.

    Parameters
    ----------
    raw : bytes
        The page; its encoding is told by a byte order mark, its own declaration, or its content.

    Returns
    -------
    Parsed
        The title is the first heading, else the page's title.

    Examples
    --------
    >>> read_html(b"<title>Site</title><nav>Home</nav><h1>Asthma<h2>Signs</h2><li>wheezing<li>cough").sections
    (Section(path='Signs', text='wheezing; cough.'),)
    """
    declared = _CHARSET.search(raw[:4096])
    reader = _Reader()
    reader.feed(decode(raw, declared.group(1).decode("ascii") if declared else None))
    reader.close()
    blocks = reader.finished()
    sizes: Counter[int] = Counter()
    for block in blocks:
        sizes[block.article] += len(block.text)
    longest = max((n for n in sizes if n), key=lambda n: sizes[n], default=0)
    outline = Outline()
    for block in blocks:
        if block.article == longest:
            if block.kind in _HEADINGS:
                outline.heading(int(block.kind[1]), block.text)
            else:
                outline.line(block.text, item=block.kind == "li")
    title, sections = outline.parsed()
    return Parsed(title or reader.heading or reader.page_title or None, sections)


class _Reader(HTMLParser):
    """Collects blocks of text; a stack of open elements and no tree: depth costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page_title = ""
        self.heading = ""
        self._blocks: list[_Block] = []
        self._words: list[str] = []
        self._open: list[tuple[str, bool, int]] = []  # name, left out, article around it
        self._counts: Counter[str] = Counter()
        self._articles = 0
        self._kind = "p"
        self._in: str | None = None

    def finished(self) -> list[_Block]:
        """Return the blocks after the end of the page."""
        self._flush()
        return self._blocks

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._open and tag in _IMPLIED_END.get(self._open[-1][0], ()):
            self._close_to(self._open[-1][0])
        if tag in _BLOCKS or tag in _HEADINGS:
            self._flush()
            inside_item = tag in ("p", "div", "br") and self._kind == "li"
            self._kind = tag if tag in _HEADINGS or tag == "li" or inside_item else "p"
            if inside_item:
                self._kind = "li"
        if tag in ("title", "h1") and not (self.heading if tag == "h1" else self.page_title):
            self._in = tag
        if tag in _VOID:
            return
        _, left_out, article = self._open[-1] if self._open else ("", False, 0)
        values = {name: value or "" for name, value in attrs}
        if tag in ("article", "main") or values.get("role") == "main":
            if not article:
                self._articles += 1
                article = self._articles
        elif tag not in ("body", "html"):
            left_out = left_out or _is_furniture(tag, values, inside=bool(article))
        self._open.append((tag, left_out, article))
        self._counts[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if self._counts[tag]:
            self._close_to(tag)

    def handle_data(self, data: str) -> None:
        if self._in == "title":
            self.page_title = f"{self.page_title} {' '.join(data.split())}".strip()
            return
        if self._in == "h1":
            self.heading = f"{self.heading} {' '.join(data.split())}".strip()
        if not (self._open and self._open[-1][1]):
            self._words.append(data)

    def _close_to(self, tag: str) -> None:
        while self._open:
            name = self._open[-1][0]
            if name in _BLOCKS or name in _HEADINGS:
                self._flush()
                self._kind = "p"
            if name == self._in:
                self._in = None
            self._open.pop()
            self._counts[name] -= 1
            if name == tag:
                return

    def _flush(self) -> None:
        text = " ".join("".join(self._words).split())
        self._words.clear()
        if text:
            self._blocks.append(_Block(self._kind, text, self._open[-1][2] if self._open else 0))


def _is_furniture(tag: str, values: dict[str, str], *, inside: bool) -> bool:
    if tag in _NOT_ARTICLE or (tag == "header" and not inside):
        return True
    if "hidden" in values or values.get("aria-hidden") == "true" or values.get("role") == "navigation":
        return True
    if "display:none" in values.get("style", "").replace(" ", "").lower():
        return True
    return any(_FURNITURE.search(values.get(name, "")) for name in ("class", "id"))
