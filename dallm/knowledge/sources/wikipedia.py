"""Wikipedia as a source of knowledge."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from dallm.errors import SourceError, did_you_mean
from dallm.knowledge.conditions import resolve_conditions
from dallm.knowledge.fetch import FetchError, HttpClient
from dallm.knowledge.fetch.address import address_of
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.matching import UNNAMED, long_names, mismatch
from dallm.knowledge.sources.wikipedia_api import MediaWiki, Page
from dallm.knowledge.sources.wikipedia_titles import Titles, read_titles

LICENCE = "CC BY-SA 4.0"
AUTHORS = ("Wikipedia contributors",)
_NO_TEXT = "it holds no text"
_RESULT_PAGE = 10  # hits on a result page, as the search shows them
_PLAIN_IN_PATHS = "/:@!$()*,;~-._'"
_MORE_NAMES = 3  # names to search by where the first finds nothing that fits


class Wikipedia:
    """Articles of Wikipedia on conditions, through its API.

    Which article is about a condition stands in a small table (``data/wikipedia_titles.toml``; see `titles`);
    a condition that it lacks is searched for. Redirects are followed, of a disambiguation page the link whose
    title names the condition. A page is taken only if its title, a redirect to it or the subject of its first
    sentence names the condition: never pericarditis for an enlarged heart. What is refused or missing is
    reported.

    Parameters
    ----------
    titles : mapping or path, optional
        Titles by condition, or a TOML file of them, instead of the table's for those conditions, e.g.
        ``{"sarcoidosis": "Sarcoidosis"}``.
    language : str, default="en"
        Which Wikipedia. The table and the names of conditions are English: for another language give `titles`
        with ``names``.
    base_url : str, optional
        Address of another wiki or of a mirror; its API is looked for under ``/w/api.php``, unless the address
        ends in ``.php``.
    pages : {"first", "page"}, default="first"
        "first" takes the pages of the table, or the first hit of the search that is about the condition.
        "page" adds every such hit on the first page of results (ten).
    contact : str, optional
        Your mail or web address, for the operators of the site; Wikimedia asks for it.
    cache : path or None, default="default"
        Folder in which everything fetched is kept; see :class:`dallm.knowledge.fetch.HttpClient`.
    offline : bool, default=False
        Use what is in the cache and ask no server.
    min_interval_s : float, default=1
        Seconds between two requests.
    client : HttpClient, optional
        A client with further settings, instead of the four above.

    Raises
    ------
    SourceError
        If the table of titles or a setting cannot be used; while reading, if the site cannot be reached.

    Examples
    --------
    >>> source = Wikipedia({"sarcoidosis": "Sarcoidosis"}, contact="me@example.org")
    >>> source.titles["sarcoidosis"].titles, source.titles["heart failure"].titles
    (('Sarcoidosis',), ('Heart failure',))
    """

    def __init__(
        self,
        titles: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        language: str = "en",
        base_url: str | None = None,
        pages: Literal["first", "page"] = "first",
        contact: str | None = None,
        cache: str | os.PathLike[str] | None = "default",
        offline: bool = False,
        min_interval_s: float = 1.0,
        client: HttpClient | None = None,
    ) -> None:
        if pages not in ("first", "page"):
            raise SourceError(
                f"pages is 'first' or 'page'; got {pages!r}.{did_you_mean(pages, ('first', 'page'))}"
            )
        if not re.fullmatch(r"[a-z]{2,}(-[a-z]+)*", language):
            raise SourceError(f"language is the code of a Wikipedia such as 'en'; got {language!r}.")
        self.name = "Wikipedia" if language == "en" else f"Wikipedia ({language})"
        self.base_url = (base_url or f"https://{language}.wikipedia.org").rstrip("/")
        address_of(self.base_url)  # refuses what is no web address
        self.pages = pages
        self.titles = read_titles(titles, own=language == "en")
        self._client = client or HttpClient(
            contact=contact, cache=cache, offline=offline, min_interval_s=min_interval_s
        )

    def __repr__(self) -> str:
        return f"Wikipedia(base_url={_shown(self.base_url)!r}, pages={self.pages!r})"

    def documents(self, conditions: Sequence[str] = ()) -> Iterator[Document | Problem]:
        """Yield the articles on `conditions`, those of the table where none is given.

        A page that is about several of them is fetched and yielded once.

        Raises
        ------
        SourceError
            If the site cannot be reached, or asks to be left alone; what was yielded before stands.
        """
        wanted = resolve_conditions(conditions) or tuple(self.titles)
        with self._client as client:
            reading = _Reading(self, MediaWiki(client, self.base_url), wanted)
            yield from reading.documents()

    def url_of(self, title: str) -> str:
        """Return the address of a page.

        Examples
        --------
        >>> Wikipedia().url_of("Pleural effusion")
        'https://en.wikipedia.org/wiki/Pleural_effusion'
        """
        site = re.sub(r"((/w)?/[\w.-]+\.php|/wiki)$", "", _shown(self.base_url))
        return f"{site}/wiki/{quote(title.replace(' ', '_'), safe=_PLAIN_IN_PATHS)}"


class _Reading:
    """One pass over the conditions: what was fetched in it, and what was yielded."""

    def __init__(self, source: Wikipedia, wiki: MediaWiki, wanted: tuple[str, ...]) -> None:
        self._source = source
        self._wiki = wiki
        self._wanted = wanted
        self._fetched: dict[str, Page | None] = {}
        self._given: dict[str, set[str]] = {}  # by title: the conditions it was yielded for

    def documents(self) -> Iterator[Document | Problem]:
        self._wiki.confirm([title for name in self._wanted for title in self._table(name).titles])
        for condition in self._wanted:
            found = False
            for item in self._of(condition):
                if isinstance(item, Problem):
                    yield item
                    continue
                found = True
                document = self._document(item, condition)
                if document is not None:
                    yield document
            if not found:
                yield Problem(f"{self._source.name}: {condition}", "no page on it was found")

    def _of(self, condition: str) -> Iterator[Page | Problem]:
        found = False
        for title in self._table(condition).titles:
            item = self._taken(condition, title)
            found = found or isinstance(item, Page)
            yield item
        if not found or self._source.pages == "page":
            yield from self._searched(condition)

    def _table(self, condition: str) -> Titles:
        return self._source.titles.get(condition, Titles())

    def _searched(self, condition: str) -> Iterator[Page | Problem]:
        """Yield the pages of the first search that finds one, by one name of the condition after another."""
        told = set(self._table(condition).titles)
        names = dict.fromkeys((condition, *self._table(condition).names, *long_names(condition)))
        for name in list(names)[: 1 + _MORE_NAMES]:
            refused: list[str] = []
            found = False
            hits = self._wiki.search(_words(name), _RESULT_PAGE)
            self._wiki.confirm([hit.title for hit in hits])
            for hit in hits:
                known = (hit.redirect,) if hit.redirect else ()
                reason = self._mismatch(condition, hit.title, known)
                # a title that says something else needs no look at the page
                item = self._taken(condition, hit.title, known) if reason in (None, UNNAMED) else None
                if isinstance(item, Problem) and item.reason == _NO_TEXT:
                    if hit.title not in told:
                        yield item
                    told.add(hit.title)
                    continue  # it may well be about the condition: it is no hit on something else
                if not isinstance(item, Page):
                    refused.append(hit.title)
                    continue
                found = True
                yield item
                if self._source.pages == "first":
                    break
            if refused:
                shown = ", ".join(repr(title) for title in refused[:5]) + (", …" if len(refused) > 5 else "")
                yield Problem(
                    f"{self._source.name}: {condition}",
                    f"{len(refused)} of the hits for {name!r} are not about it: {shown}",
                )
            if found:
                return

    def _taken(self, condition: str, title: str, synonyms: Sequence[str] = ()) -> Page | Problem:
        """Return the page of a title if it is about the condition."""
        where = f"{self._source.name}: {title}"
        try:
            page = self._page(title)
            if page is not None and page.text.is_disambiguation:
                return self._meant(condition, page)
        except FetchError as error:
            if error.is_too_large:  # concerns this page alone; a site that is away or refuses, all
                return Problem(where, str(error))
            raise
        if page is None:
            return Problem(where, f"there is no such page on {_shown(self._source.base_url)}")
        return self._checked(condition, page, synonyms)

    def _meant(self, condition: str, listing: Page) -> Page | Problem:
        """Return the page that a disambiguation page leads to for a condition."""
        where = f"{self._source.name}: {listing.title}"
        for title in listing.text.links:
            if self._mismatch(condition, title) is None:
                page = self._page(title)
                if page is not None and not page.text.is_disambiguation:
                    return self._checked(condition, page)
        return Problem(where, f"it lists several meanings, and none of their titles names {condition}")

    def _checked(self, condition: str, page: Page, synonyms: Sequence[str] = ()) -> Page | Problem:
        where = f"{self._source.name}: {page.title}"
        if not page.text.sections:
            return Problem(where, _NO_TEXT)
        reason = self._about(condition, page, synonyms)
        if reason == UNNAMED:
            reason = self._about(condition, page, self._wiki.redirects_to(page.title))
        if reason is None:
            return page
        asked = f" (asked for as {page.asked!r})" if page.asked != page.title else ""
        return Problem(where, f"refused for {condition}{asked}: {reason}")

    def _about(self, condition: str, page: Page, synonyms: Sequence[str] = ()) -> str | None:
        named = (*synonyms, *page.text.bold, *((page.asked,) if page.asked != page.title else ()))
        return self._mismatch(condition, page.title, named, page.text.lead)

    def _mismatch(
        self, condition: str, title: str, synonyms: Sequence[str] = (), lead: str = ""
    ) -> str | None:
        names = self._table(condition).names
        return mismatch(condition, title, synonyms=synonyms, lead=lead, names=names)

    def _page(self, title: str) -> Page | None:
        if title not in self._fetched:
            page = self._wiki.page(title)
            self._fetched[title] = page
            if page is not None:
                self._fetched.setdefault(page.title, page)
        return self._fetched[title]

    def _document(self, page: Page, condition: str) -> Document | None:
        """Return the page as a document on all that it is about of what is wanted; None if that was given."""
        about = {condition, *(c for c in self._wanted if c != condition and self._about(c, page) is None)}
        given = self._given.setdefault(page.title, set())
        if about <= given:
            return None
        given |= about
        return Document(
            title=page.title,
            sections=page.text.sections,
            source=self._source.name,
            url=self._source.url_of(page.title),
            revision=_revision(page),
            licence=LICENCE,
            authors=AUTHORS,
            retrieved_at=page.retrieved_at,
            conditions=tuple(c for c in self._wanted if c in given),
        )


def _revision(page: Page) -> str | None:
    if page.revision is None:
        return None
    notes = [f"page {page.page_id}"] if page.page_id else []
    if page.asked != page.title:
        notes.append(f"redirected from {page.asked!r}")
    return f"{page.revision} ({', '.join(notes)})" if notes else str(page.revision)


def _words(name: str) -> str:
    """Return a name as words to search for: without what the search reads as an operator."""
    return " ".join(re.sub(r"[^\w\s'’-]|(?<!\w)-|_", " ", name).split())


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
