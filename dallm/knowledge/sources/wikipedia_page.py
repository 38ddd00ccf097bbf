"""Read the article out of the HTML that MediaWiki makes of a page."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import NamedTuple

from dallm.knowledge.passage import Section
from dallm.knowledge.sources.base import decode
from dallm.knowledge.sources.outline import Outline

_LISTING_BOX = frozenset(("disambigbox", "dmbox", "disambig"))
_LONG_TAG = 4000
_HALF_TAG = re.compile(r"<[a-zA-Z/!][^<>]*\Z")  # where a page was cut off
_MAY_REFER = re.compile(r".{1,100}\b(may|can|might)( also| commonly)? (refer to|mean)\b[^.:]{0,40}:")
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_BLOCKS = frozenset(
    "p li dd dt tr table caption ul ol dl div blockquote pre section figure h1 h2 h3 h4 h5 h6 hr".split()
)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_CELLS = frozenset(("td", "th"))
_NOT_ARTICLE = frozenset(
    "script style noscript svg math audio video figure figcaption button form input select template".split()
)
# classes that MediaWiki and its common templates give to what surrounds an article
_APPARATUS = frozenset(
    "ambox audio authority-control catlinks cite-bracket citation dablink dmbox error ext-phonos gallery "
    "gallerybox hatnote infobox infobox_v2 inline-template ipa listen metadata mbox-small mw-cite-backlink "
    "mw-editsection mw-empty-elt mw-ext-cite-error mw-indicators mw-references-wrap navbar navbox "
    "mwe-math-element navbox-styles navigation-not-searchable noexcerpt noprint portal portalbox portal-bar "
    "quotebox reference references reflist refbegin rellink selfreference shortdescription side-box "
    "sidebar sistersitebox stub succession-box thumb thumbinner toc toclimit-2 toclimit-3 tocright "
    "vertical-navbox z3988".split()
)
# sections that hold no article text, in the larger Wikipedias
_NO_TEXT = re.compile(
    r"(references?|notes( and references)?|footnotes|citations|sources|bibliography|external links|see also|"
    r"further reading|gallery|einzelnachweise|weblinks|literatur|siehe auch|quellen|notes et références|"
    r"références|liens externes|voir aussi|articles connexes|bibliographie|referencias|enlaces externos|"
    r"véase también|bibliografía|note|voci correlate|collegamenti esterni|altri progetti|referências|"
    r"ver também|ligações externas)",
    re.IGNORECASE,
)
# what is left of brackets when a pronunciation or a reference is taken out of them
_EMPTY = re.compile(r"\s*[(\[][\s,;:/–-]*[)\]]")
_LOOSE = re.compile(r"([(\[])[\s,;]+|\s+([,;.)\]])")
_IMPLIED_END = {
    "p": frozenset("p ul ol dl table div blockquote pre section figure hr".split()) | _HEADINGS,
    "li": frozenset(("li",)),
    "dt": frozenset(("dt", "dd")),
    "dd": frozenset(("dt", "dd")),
    "td": frozenset(("td", "th", "tr")),
    "th": frozenset(("td", "th", "tr")),
    "tr": frozenset(("tr",)),
}


class WikiText(NamedTuple):
    """What a page says.

    Attributes
    ----------
    sections : tuple of Section
        The article, without references, boxes and captions.
    bold : tuple of str
        What the opening section sets in bold: the names of the page's subject.
    links : tuple of str
        Titles of the pages that its list items lead to, in their order.
    is_disambiguation : bool
        Whether it only lists what its title may mean.
    """

    sections: tuple[Section, ...]
    bold: tuple[str, ...]
    links: tuple[str, ...]
    is_disambiguation: bool

    @property
    def lead(self) -> str:
        """The opening text, before the first heading."""
        return self.sections[0].text if self.sections and not self.sections[0].path else ""


def read_wiki_html(text: str, title: str = "") -> WikiText:
    """Read the HTML of a page's content, as `action=parse` gives it; markup that does not close does no harm.

    Parameters
    ----------
    text : str
        The HTML.
    title : str, optional
        The page's title, which the HTML does not hold.

    Examples
    --------
    >>> page = read_wiki_html(
    ...     '<div class="mw-parser-output"><div class="hatnote">For the album, see there.</div>'
    ...     '<p><b>Atelectasis</b> is a collapse.<sup class="reference">[1]</sup></p>'
    ...     '<div class="mw-heading mw-heading2"><h2 id="Causes">Causes</h2></div>'
    ...     '<ul><li>a plug<li>a tumour</ul></div>'
    ... )
    >>> page.sections
    (Section(path='', text='Atelectasis is a collapse.'), Section(path='Causes', text='a plug; a tumour.'))
    >>> page.bold
    ('Atelectasis',)
    """
    reader = _Reader(title)
    whole = decode(text.encode("utf-8", "replace"))
    reader.feed(whole[:-_LONG_TAG] + _HALF_TAG.sub("", whole[-_LONG_TAG:]))
    reader.close()
    return reader.finished()


class _Reader(HTMLParser):
    """Collects lines under headings; a stack of open elements and no tree."""

    def __init__(self, title: str) -> None:
        super().__init__(convert_charrefs=True)
        self._outline = Outline()
        self._outline.title = title or "page"  # so that the first heading is a section
        self._open: list[tuple[str, bool]] = []  # name, left out
        self._counts: Counter[str] = Counter()
        self._words: list[str] = []
        self._cells: list[str] = []
        self._bold: list[str] = []
        self._names: list[str] = []
        self._links: list[str] = []
        self._skipped_level = 0
        self._headed = False
        self._disambiguation = False

    def finished(self) -> WikiText:
        """Return the article after the end of the page."""
        self._flush("p")
        sections = self._outline.parsed().sections
        opening = sections[0].text if sections and not sections[0].path else ""
        return WikiText(
            sections,
            tuple(dict.fromkeys(name for name in self._names if name)),
            tuple(dict.fromkeys(self._links)),
            self._disambiguation or _MAY_REFER.match(opening) is not None,
        )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _HEADINGS and values.get("id") != "mw-toc-heading":
            self._close_all()  # a heading stands at the top, whatever before it was left open
        elif self._open and tag in _IMPLIED_END.get(self._open[-1][0], ()):
            self._close_to(self._open[-1][0])
        elif tag == "p" and self._open and self._open[-1][0] in ("table", "tbody", "tr"):
            self._close_to("table")
        if tag in _BLOCKS:
            self._flush(self._kind())
        if tag in _VOID:
            if tag == "br":
                self._words.append(" ")
            return
        if (
            not _LISTING_BOX.isdisjoint((values.get("id", ""), *values.get("class", "").split()))
            and tag != "a"
        ):
            self._disambiguation = True
        dropped = (self._open[-1][1] if self._open else False) or _is_apparatus(tag, values)
        self._open.append((tag, dropped))
        self._counts[tag] += 1
        if tag == "a" and not dropped and self._counts["li"]:
            self._link(values)

    def handle_endtag(self, tag: str) -> None:
        if self._counts[tag]:
            self._close_to(tag)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][1]:
            return
        self._words.append(data)
        if self._counts["b"] and not self._headed:
            self._bold.append(data)

    def _link(self, values: dict[str, str]) -> None:
        target, title = values.get("href", ""), values.get("title", "")
        inside = target.startswith(("/wiki/", "./")) and "redlink=1" not in target
        if title and inside and not re.match(r"\w[\w ]*:\S", title):
            self._links.append(title)

    def _kind(self) -> str:
        for name, _ in reversed(self._open):
            if name in ("li", "dd", "dt"):
                return "li"
            if name in _HEADINGS:
                return name
            if name in ("table", "blockquote"):
                break
        return "p"

    def _close_all(self) -> None:
        while self._open:
            self._close_to(self._open[-1][0])

    def _close_to(self, tag: str) -> None:
        while self._open:
            name, dropped = self._open[-1]
            if name in _CELLS and not dropped:
                self._cells.append(_tidy("".join(self._words)))
                self._words.clear()
            elif name in _BLOCKS:
                self._flush(self._kind())
            elif name == "b" and self._bold:
                self._names.append(_tidy("".join(self._bold)))
                self._bold.clear()
            self._open.pop()
            self._counts[name] -= 1
            if name == tag:
                return

    def _flush(self, kind: str) -> None:
        in_cell = any(name in _CELLS for name, _ in self._open[-6:])
        if in_cell and kind not in _HEADINGS:
            self._words.append(" ")
            return
        if not self._words and not self._cells:
            return
        text = "; ".join(cell for cell in (*self._cells, _tidy("".join(self._words))) if cell)
        self._cells.clear()
        self._words.clear()
        if not text:
            return
        if kind in _HEADINGS:
            self._headed = True
            level = int(kind[1])
            if self._skipped_level and level > self._skipped_level:
                return
            self._skipped_level = level if _NO_TEXT.fullmatch(text) else 0
            if not self._skipped_level:
                self._outline.heading(level, text)
        elif not self._skipped_level:
            self._outline.line(text, item=kind == "li")


def _is_apparatus(tag: str, values: dict[str, str]) -> bool:
    if tag in _NOT_ARTICLE or values.get("role") in ("navigation", "note"):
        return True
    if values.get("id") in ("toc", "coordinates", "disambigbox"):
        return True
    if "display:none" in values.get("style", "").replace(" ", "").lower():
        return True
    return not _APPARATUS.isdisjoint(values.get("class", "").lower().split())


def _tidy(text: str) -> str:
    text = _EMPTY.sub("", " ".join(text.split()))
    return _LOOSE.sub(r"\1\2", text).strip()
