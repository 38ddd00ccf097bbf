"""Radiopaedia as a source: pages that the user saved, or, after accepting its terms, a few live ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dallm.errors import SourceError, UserError
from dallm.knowledge.conditions import conditions_in, conditions_of, resolve_condition, resolve_conditions
from dallm.knowledge.fetch import Clock
from dallm.knowledge.fetch.address import address_of
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.radiopaedia_live import LONGEST_WAIT_S, StrictClient, Visit, mismatch_of
from dallm.knowledge.sources.radiopaedia_page import Article
from dallm.knowledge.sources.radiopaedia_saved import Saved, saved_articles

LICENCE = "CC BY-NC-SA 3.0, modified by Radiopaedia's terms of use"
_TERMS = (
    "Radiopaedia's terms of use allow no bulk automated download, and its articles are licensed CC BY-NC-SA "
    "3.0 with modifications: no commercial use, authors and rID to be named. Save the pages that you need "
    "with your browser and give their folder, dallm.Radiopaedia('saved_pages/'). For more than a few pages "
    "ask its editors (https://radiopaedia.org/terms). If you have read the terms and your use is within "
    "them, dallm.Radiopaedia(accept_terms=True) reads single pages, slowly, as its robots.txt allows."
)


class Radiopaedia:
    """Articles of Radiopaedia: text, authors, revision and licence; no adverts, menus, cases or references.

    The usual way is a folder of pages that were saved with a browser (HTML, "complete" or in a single file,
    MHTML) or an export as JSON or CSV, whose form is described in ``docs/sources.md``: nothing is fetched
    then. Without one, pages are read live, which needs `accept_terms`: robots.txt is read first and obeyed,
    there is one request at a time with a delay between, and the first refusal (403, 429, a captcha, a rule
    of robots.txt) ends the reading; what was read until then is kept.

    Parameters
    ----------
    path : path, optional
        A saved page or export, or a folder of such. Of several pages of one article the latest counts.
    accept_terms : bool, default=False
        That you have read Radiopaedia's terms of use and your use of live pages is within them. Not needed
        for saved pages.
    articles : mapping of str to str or sequence of str, optional
        Condition to addresses of articles ("atelectasis-1" is enough); no search is made for these.
    pages : {"first", "page"}, default="first"
        Live: the first hit of the search, or every hit of its first page, whose title fits the condition.
    base_url : str
        The site.
    delay_s : float, default=5
        Live: seconds between two requests; a longer ``Crawl-delay`` of robots.txt counts instead.
    cache : path or None, default="default"
        Folder of fetched pages; None keeps nothing.
    offline : bool, default=False
        Live: use the cache alone.
    max_age_s : float, default=86400
        Live: a page fetched within this time is not asked for again.
    contact : str, optional
        A mail or web address of yours, told to the site.
    timeout_s : float, default=30
        Seconds to wait for an answer.
    name : str, default="Radiopaedia"
        What the source is called in citations.
    clock : Clock, optional
        Time and sleep; for tests.

    Raises
    ------
    SourceError
        If neither a path nor ``accept_terms=True`` is given, or the path does not exist; while reading live,
        if the site refuses or cannot be reached before the first article.
    UserError
        If a setting is out of range.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> article = '{"title": "Atelectasis", "text": "Loss of volume.", "authors": ["J Doe"]}'
    >>> _ = (place / "a.json").write_text(article)
    >>> page = next(iter(Radiopaedia(place).documents(["lung collapse"])))
    >>> page.title, page.authors, page.conditions
    ('Atelectasis', ('J Doe',), ('atelectasis',))
    >>> Radiopaedia()
    Traceback (most recent call last):
    ...
    dallm.errors.SourceError: Radiopaedia's terms of use allow no bulk automated download...
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        accept_terms: bool = False,
        articles: Mapping[str, str | Sequence[str]] | None = None,
        pages: Literal["first", "page"] = "first",
        base_url: str = "https://radiopaedia.org",
        delay_s: float = 5.0,
        cache: str | os.PathLike[str] | None = "default",
        offline: bool = False,
        max_age_s: float = 86_400.0,
        contact: str | None = None,
        timeout_s: float = 30.0,
        name: str = "Radiopaedia",
        clock: Clock | None = None,
    ) -> None:
        if path is None and accept_terms is not True:
            raise SourceError(_TERMS)
        if pages not in ("first", "page"):
            raise UserError(f"pages is 'first' (hit) or 'page' (of hits); got {pages!r}.")
        self.path = None if path is None else Path(path)
        if self.path is not None and not self.path.exists():
            raise SourceError(f"There is no saved page or folder {str(path)!r}.")
        address_of(base_url)  # refuses what is no web address
        if not delay_s >= 0:
            raise UserError(f"delay_s is a number from 0 on; got {delay_s!r}.")
        self.name = name
        self.pages = pages
        self.base_url = base_url.rstrip("/")
        self.delay_s = delay_s
        self.articles = {
            resolve_condition(condition): (given,) if isinstance(given, str) else tuple(given)
            for condition, given in (articles or {}).items()
        }
        self._clock = clock or Clock()
        self._settings: dict[str, Any] = {
            "contact": contact,
            "cache": cache,
            "offline": offline,
            "max_age_s": max_age_s,
            "timeout_s": timeout_s,
        }
        self._client()  # refuses settings that are out of range

    def __repr__(self) -> str:
        if self.path is not None:
            return f"Radiopaedia({str(self.path)!r})"
        return f"Radiopaedia(accept_terms=True, pages={self.pages!r})"

    def documents(self, conditions: Sequence[str] = ()) -> Iterator[Document | Problem]:
        """Yield the articles on `conditions`; of saved pages all where none is given."""
        wanted = resolve_conditions(conditions)
        if self.path is not None:
            yield from self._saved(self.path, wanted)
        elif wanted:
            yield from self._live(wanted)
        else:
            yield Problem(self.name, "its terms allow no download of everything; name the conditions")

    def _saved(self, path: Path, wanted: tuple[str, ...]) -> Iterator[Document | Problem]:
        newest: dict[str, Saved] = {}
        for item in saved_articles(path):
            if isinstance(item, Problem):
                yield item
                continue
            url = item.article.url or item.where
            held = newest.get(url)
            if held:
                held, item = sorted((held, item), key=lambda s: (s.article.revised, s.retrieved_at))
                yield Problem(held.where, f"{item.where} holds the same article, saved or revised later")
            newest[url] = item
        found: set[str] = set()
        for url, (article, _, moment) in newest.items():
            about = _about(article, wanted)
            if not wanted or set(wanted) & set(about):
                found.update(about)
                yield self._document(article, url, moment, about)
        for condition in wanted:
            if condition not in found:
                yield Problem(str(path), f"no page in it is about {condition}")

    def _live(self, wanted: tuple[str, ...]) -> Iterator[Document | Problem]:
        documents: dict[str, Document] = {}
        with self._client() as client:
            try:
                visit = Visit(client, self.base_url, self._clock, first_only=self.pages == "first")
                for condition in wanted:
                    for item in visit.of_condition(condition, self.articles.get(condition, ())):
                        if isinstance(item, Problem):
                            yield item
                            continue
                        held = documents.get(item.url)
                        about = (*held.conditions, condition) if held else (condition,)
                        if held and condition in held.conditions:
                            continue
                        documents[item.url] = self._document(item.article, item.url, item.retrieved_at, about)
                        yield documents[item.url]
            except SourceError as error:
                if not documents:
                    raise
                read = {about for document in documents.values() for about in document.conditions}
                left = ", ".join(condition for condition in wanted if condition not in read)
                unread = f" Not read: {left}." if left else ""
                yield Problem(self.name, f"reading ended early: {error}{unread}")

    def _client(self) -> StrictClient:
        return StrictClient(
            min_interval_s=self.delay_s,
            tries=3,
            longest_wait_s=LONGEST_WAIT_S,
            clock=self._clock,
            **self._settings,
        )

    def _document(self, article: Article, url: str, moment: str, about: tuple[str, ...]) -> Document:
        return Document(
            title=article.title or urlsplit(url).path.rpartition("/")[2].replace("-", " "),
            sections=article.sections,
            source=self.name,
            url=url,
            revision=article.revision,
            licence=LICENCE,
            authors=article.authors,
            retrieved_at=moment,
            conditions=about,
        )


def _about(article: Article, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an article is about: the title decides, then its other names, then its text."""
    named = conditions_in(article.title, wanted) or conditions_in("\n".join(article.synonyms), wanted)
    if not named:
        text = "\n".join(section.text for section in article.sections)
        headings = "\n".join(section.path for section in article.sections)
        named = conditions_of(article.title, text, headings=headings, also=wanted)
    return tuple(dict.fromkeys((*named, *(c for c in wanted if mismatch_of(c, article) is None))))
