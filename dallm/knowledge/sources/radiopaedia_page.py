"""Read a page of Radiopaedia: the article's text, and who wrote it; and a page of search results."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

from dallm.knowledge.passage import Section
from dallm.knowledge.sources.base import decode
from dallm.knowledge.sources.html import read_html
from dallm.knowledge.sources.radiopaedia_credits import read_credits

_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_BLOCKS = frozenset(
    "p li ul ol dl dt dd td th tr table div section article header h1 h2 h3 h4 h5 h6 br blockquote".split()
)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_NOT_TEXT = frozenset(
    "script style noscript iframe svg form button select template aside nav footer figure figcaption video "
    "audio canvas object img".split()
)
_ASIDE = re.compile(
    r"(ad|ads|advert\w*|promo\w*|sponsor\w*|banner|related|incoming|references?|quiz\w*|question|thumb\w*|captions?|"
    r"figures?|gallery|carousel|share|social|edit\w*|toolbar|toc|table-of-contents|breadcrumbs?|modal|alert|flash|"
    r"feedback|supporters?|login|signup|citation|meta|metadata|expander|tooltip|loading|spinner)([-_].*)?|hidden"
)
_APPARATUS = re.compile(
    r"references?|related (radiopaedia )?articles?|see also|external links?|further reading|incoming links?|"
    r"cases and figures|(radiopaedia )?cases?|images?|quiz( questions?)?|questions?|promoted articles.*|"
    r"adverti[sz]e?ments?.*|article information|citation.*|more articles.*|on this page:?|videos?|comments?|"
    r"support(ing)? radiopaedia.*",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"adverti[sz]e?ments?\b.{0,80}|unable to (load|process)\b.{0,120}|thank you for (updating|your)\b.{0,80}|"
    r"(updating|loading|please wait)[….\s]*(please wait)?[….]*|on this page:?|\[?edit( article)?\]?|log ?in|"
    r"sign up|show more|read more|report problem with article.{0,40}|view full size.{0,40}|"
    r"add to new playlist.{0,80}|supporters see (fewer|no).{0,40}",
    re.IGNORECASE,
)
_DROPPED = "\x00"  # where a note was; no page holds one, for decode() takes it out
_NOTE = re.compile(r"[\s\d,;–-]+|\[[\s\d,;–-]+\]")
_UNIT = re.compile(r"(\d|(?<![^\W\d_])([cmkdµμn]?m|kg|[mµμ]?s|h|min|ft|in))$")
_ARTICLE_PATH = re.compile(r"/articles/[\w%.~-]+/?")
_SAVED_FROM = re.compile(
    r"<!--\s*saved from url=\(\d+\)(\S+?)\s*-->|Page saved with SingleFile\s+url:\s*(\S+)"
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Article:
    """An article of Radiopaedia.

    `revision` says how often and when it was last revised; `revised` is that day (ISO 8601), or empty.
    """

    title: str
    sections: tuple[Section, ...]
    url: str = ""
    synonyms: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    revision: str | None = None
    revised: str = ""


class SearchHit(NamedTuple):
    """A link of a page of search results to an article."""

    title: str
    url: str


@dataclass(slots=True)
class _Page:
    """What one pass over a page collects."""

    heading: str = ""
    page_title: str = ""
    canonical: str = ""
    lines: list[str] = field(default_factory=list)
    bodies: list[tuple[bool, str]] = field(
        default_factory=list
    )  # whether it is the article's own; its markup
    links: list[tuple[bool, SearchHit]] = field(default_factory=list)  # whether it is marked as a result


def read_article(raw: bytes, *, url: str = "") -> Article:
    """Read an article's page: no menus, adverts, related articles, cases, quizzes or references.

    Markup that does not close is read as far as it goes. A page without Radiopaedia's own markup is read like
    any other page.

    Parameters
    ----------
    raw : bytes
        The page.
    url : str, optional
        Where it came from, if the page does not tell.

    Raises
    ------
    ValueError
        If the page is none of an article, or holds no text.

    Examples
    --------
    >>> page = b'''<h1 class="header-title">Atelectasis</h1><div class="author-info">Last revised by
    ... <a>Jane Doe</a> on 12 Feb 2024</div><div class="body user-generated-content"><p>Loss of volume
    ... <sup>1,2</sup>.<h4>Pathology</h4><ul><li>collapse</ul><h4>References</h4><p>1. A book.</div>'''
    >>> article = read_article(page)
    >>> [(s.path, s.text) for s in article.sections]
    [('', 'Loss of volume.'), ('Pathology', 'collapse.')]
    >>> article.authors, article.revision
    (('Jane Doe',), '2024-02-12')
    """
    text = _text(raw)
    page = _collected(text)
    title = page.heading or re.sub(r"\s*\|\s*Radiology.*|\s*[-|]\s*Radiopaedia.*", "", page.page_title)
    own = [markup for is_own, markup in page.bodies if is_own] or [markup for _, markup in page.bodies]
    if own:
        lead = f"<h1>{html.escape(title or 'Article')}</h1>"
        parsed = read_html(f"<meta charset=utf-8><article>{lead}{''.join(own)}</article>".encode())
    else:
        parsed = read_html(raw)
    saved = _SAVED_FROM.search(text[:5000])
    address = page.canonical or (saved and (saved.group(1) or saved.group(2))) or url
    is_article = bool(_ARTICLE_PATH.fullmatch(urlsplit(address).path))
    if address and not is_article:
        raise ValueError(f"it is no article of Radiopaedia ({address[:200]})")
    sections = kept_sections(parsed.sections)
    if not sections:
        raise ValueError("it holds no article text")
    credits = read_credits(page.lines, title)
    return Article(
        title=title or parsed.title or "",
        sections=sections,
        url=plain_url(address) if is_article else "",
        synonyms=credits.synonyms,
        authors=credits.authors,
        revision=credits.revision,
        revised=credits.revised,
    )


def read_search(raw: bytes, base_url: str) -> list[SearchHit]:
    """Return the articles that a page of search results links to, in its order, each once.

    Examples
    --------
    >>> page = b'''<a class="search-result search-result-article" href="/articles/atelectasis-1?lang=us">
    ... <h4 class="search-result-title-text">Atelectasis</h4></a><a href="/cases/1">A case</a>'''
    >>> read_search(page, "https://radiopaedia.org")
    [SearchHit(title='Atelectasis', url='https://radiopaedia.org/articles/atelectasis-1')]
    """
    found: dict[str, SearchHit] = {}
    host = urlsplit(base_url).netloc
    links = _collected(_text(raw)).links
    marked = any(is_result for is_result, _ in links)
    for hit in [hit for is_result, hit in links if is_result or not marked]:
        address = urlsplit(urljoin(base_url + "/", hit.url))
        if address.netloc == host and _ARTICLE_PATH.fullmatch(address.path):
            url = plain_url(urlunsplit(address))
            slug = address.path.rstrip("/").rpartition("/")[2].replace("-", " ")
            found.setdefault(url, SearchHit(hit.title or slug, url))
    return list(found.values())


def plain_url(url: str) -> str:
    """Return an address without query and fragment: the language of the menus is no part of an article.

    Examples
    --------
    >>> plain_url("https://radiopaedia.org/articles/atelectasis-1?lang=us#image")
    'https://radiopaedia.org/articles/atelectasis-1'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def kept_sections(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Return the sections of the article itself, without the lines that the site adds to them."""
    kept = []
    for section in sections:
        if any(_APPARATUS.fullmatch(heading.strip()) for heading in section.path.split(" > ")):
            continue
        lines = [line for line in section.text.split("\n") if not _CHATTER.fullmatch(line.strip(" .;"))]
        if lines:
            kept.append(Section(section.path, "\n".join(lines)))
    return tuple(kept)


def _text(raw: bytes) -> str:
    declared = _CHARSET.search(raw[:4096])
    return decode(raw, declared.group(1).decode("ascii") if declared else None)


def _collected(text: str) -> _Page:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.finished()


class _Reader(HTMLParser):
    """One pass over a page, with a stack of open elements and no tree: depth costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._page = _Page()
        self._open: list[tuple[str, bool, bool]] = []  # name, inside an article's body, left out
        self._markup: list[str] = []
        self._line: list[str] = []
        self._own = False
        self._note: list[str] | None = None
        self._link: tuple[str, bool, list[str]] | None = None
        self._named: list[str] | None = None

    def finished(self) -> _Page:
        """Return what was collected, at the end of the page."""
        while self._open:
            self._close_last()
        self._end_line()
        return self._page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _BLOCKS:
            self._end_line()
            self._end_link_line()
        if tag == "link" and values.get("rel") == "canonical":
            self._page.canonical = values.get("href", "")
        _, inside, left_out = self._open[-1] if self._open else ("", False, False)
        if tag in _VOID:
            if inside and not left_out and tag in ("br", "hr"):
                self._markup.append(f"<{tag}>")
            return
        classes = values.get("class", "").split()
        if tag == "a" and not inside:
            self._end_link()  # one that was not closed
            self._link = (values.get("href", ""), "search-result" in classes, [])
        if (tag == "h1" and not self._page.heading) or tag == "title":
            self._named = []
        if not inside and not left_out and "user-generated-content" in classes:
            inside, self._own = True, "body" in classes
        elif inside:
            # a heading is never left out: what stands under it is judged by it
            aside = tag not in _HEADINGS and _is_aside(values, classes)
            left_out = left_out or tag in _NOT_TEXT or aside
            if not left_out:
                self._begin_inside(tag)
        elif tag in ("script", "style", "template"):
            left_out = True
        self._open.append((tag, inside, left_out))

    def handle_endtag(self, tag: str) -> None:
        # an end without a beginning closes nothing; one that skips others closes them too
        if any(name == tag for name, _, _ in reversed(self._open[-200:])):
            while self._close_last() != tag:
                pass

    def handle_data(self, data: str) -> None:
        _, inside, left_out = self._open[-1] if self._open else ("", False, False)
        if left_out:
            return
        if self._named is not None:
            self._named.append(data)
        if self._link is not None:
            self._link[2].append(data)
        if self._note is not None:
            self._note.append(data)
        elif inside:
            self._markup.append(html.escape(data, quote=False))
        else:
            self._line.append(data)

    def _begin_inside(self, tag: str) -> None:
        if tag == "sup":
            self._note = []
        elif self._note is None:
            self._markup.append(f"<{tag}>")

    def _close_last(self) -> str:
        tag, inside, left_out = self._open.pop()
        if tag in _BLOCKS:
            self._end_line()
            self._end_link_line()
        if tag == "a":
            self._end_link()
        if tag in ("h1", "title") and self._named is not None:
            name = "heading" if tag == "h1" else "page_title"
            if not getattr(self._page, name):
                setattr(self._page, name, _plain("".join(self._named)))
            self._named = None
        if inside and not (self._open and self._open[-1][1]):
            markup = re.sub(rf"\s{{0,9}}{_DROPPED}(?=\s{{0,9}}[.,;:)])\s{{0,9}}", "", "".join(self._markup))
            self._page.bodies.append((self._own, markup.replace(_DROPPED, "")))
            self._markup = []
        elif inside and not left_out:
            self._end_inside(tag)
        return tag

    def _end_inside(self, tag: str) -> None:
        if tag == "sup" and self._note is not None:
            self._markup.append(
                _raised("".join(self._note), "".join(part[-12:] for part in self._markup[-3:]))
            )
            self._note = None
        elif self._note is None:
            self._markup.append(f"</{tag}>")

    def _end_link(self) -> None:
        if self._link is not None:
            href, is_result, words = self._link
            self._page.links.append((is_result, SearchHit(_title(words), href)))
        self._link = None

    def _end_link_line(self) -> None:
        if self._link is not None:
            self._link[2].append("\n")

    def _end_line(self) -> None:
        line = _plain("".join(self._line))
        self._line.clear()
        if line:
            self._page.lines.append(line)


def _is_aside(values: dict[str, str], classes: list[str]) -> bool:
    if "hidden" in values or values.get("aria-hidden") == "true" or values.get("role") == "navigation":
        return True
    if "display:none" in values.get("style", "").replace(" ", "").lower():
        return True
    return any(_ASIDE.fullmatch(name.lower()) for name in (*classes, values.get("id", "")))


def _raised(note: str, before: str) -> str:
    """A raised number is a reference, unless it is the power of a number or a unit."""
    if _NOTE.fullmatch(note) and not _UNIT.search(before):
        return _DROPPED
    return html.escape(note, quote=False)


def _title(words: list[str]) -> str:
    # a result shows its kind, its title, and the article's first lines, each in a block of its own
    lines = [line for line in (_plain(part) for part in "".join(words).split("\n")) if line]
    return next((line for line in lines if line.lower() != "article"), "")


def _plain(text: str) -> str:
    return " ".join(text.split())
