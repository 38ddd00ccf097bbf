"""Read single articles of Radiopaedia live: robots.txt first, one page at a time, no more after a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from dallm.errors import SourceError
from dallm.knowledge.fetch import Clock, Fetched, FetchError, HttpClient, TryAgain
from dallm.knowledge.fetch.robots import Robots, fetch_robots
from dallm.knowledge.passage import Problem
from dallm.knowledge.sources.matching import UNNAMED, long_names, mismatch
from dallm.knowledge.sources.radiopaedia_page import Article, SearchHit, plain_url, read_article, read_search

LONGEST_WAIT_S = 60.0
_LONGEST_DELAY_S = 300.0
_REFUSALS = (401, 403, 429, 451)
_MOST_SEARCHES = 3
_CHALLENGES = (
    b"just a moment...",
    b"cf-challenge",
    b"cf-chl",
    b"cf_chl",
    b"captcha",
    b"verify you are human",
    b"verifying you are human",
    b"are you a robot",
    b"unusual traffic",
)


class RefusalError(SourceError):
    """The site does not want to be read by this program, or not now: nothing more is asked of it."""


class StrictClient(HttpClient):
    """Takes a 429 that names no time for what it is: a refusal, not a request for patience."""

    def _wait(self, request, trouble: TryAgain, attempt: int, entry) -> None:  # type: ignore[no-untyped-def]
        if trouble.status == 429 and trouble.wait_s is None:
            raise FetchError(
                f"{request.shown} answered 429 (too many requests).", url=request.shown, status=429
            )
        super()._wait(request, trouble, attempt, entry)


class Live(NamedTuple):
    """An article read for a condition, where it came from in the end, and when."""

    article: Article
    url: str
    retrieved_at: str


class Visit:
    """One reading of the site.

    Parameters
    ----------
    client : HttpClient
        A :class:`StrictClient`, outside of tests.
    base_url : str
        The site, without a slash at the end.
    clock : Clock
        To wait by.
    first_only : bool
        Whether the first hit that fits is enough, or every one on the page of hits is read.

    Raises
    ------
    RefusalError
        If robots.txt cannot be read, or asks for a delay of more than five minutes.
    """

    def __init__(self, client: HttpClient, base_url: str, clock: Clock, *, first_only: bool) -> None:
        self._client = client
        self._base_url = base_url
        self._first_only = first_only
        self._read: dict[str, Live | Problem] = {}
        self._robots = Robots("")
        if client.offline:
            return
        try:
            self._robots = fetch_robots(client, base_url)
        except FetchError as error:
            raise RefusalError(f"robots.txt could not be read, so nothing else is: {error}") from error
        asked, usual = self._robots.delay_s, client.min_interval_s
        if asked > _LONGEST_DELAY_S:
            raise RefusalError(
                f"robots.txt of {base_url} asks for {asked:g} s between two pages. Save the pages that you "
                "need with your browser and give their folder."
            )
        if asked > usual:
            client.min_interval_s = asked
            clock.sleep(asked)  # the first page, too, comes that long after robots.txt

    def of_condition(self, condition: str, given: Sequence[str] = ()) -> Iterator[Live | Problem]:
        """Yield the articles on a condition, or why there is none.

        Parameters
        ----------
        condition : str
        given : sequence of str
            Addresses that the user named for it; without one the site's search is asked.

        Raises
        ------
        RefusalError
            If the site, or its robots.txt, refuses.
        FetchError
            If the site does not answer.
        """
        if given:
            for address in given:
                yield self._article(plain_url(urljoin(f"{self._base_url}/articles/", address)))
            return
        hits = self._hits(condition)
        if isinstance(hits, Problem):
            yield hits
            return
        for hit in hits:
            found = self._article(hit.url)
            if isinstance(found, Live):
                reason = mismatch_of(condition, found.article)
                yield Problem(hit.url, f"refused for {condition}: {reason}") if reason else found
            else:
                yield found

    def _hits(self, condition: str) -> Sequence[SearchHit] | Problem:
        """Return the hits to read: those whose title fits, else a first one whose title says nothing."""
        seen: list[str] = []
        silent: list[SearchHit] = []
        for name in long_names(condition)[:_MOST_SEARCHES]:
            address = f"{self._base_url}/search?lang=us&scope=articles&q={quote(name)}"
            hits = read_search(self._get(address).body, self._base_url)
            reasons = [mismatch(condition, hit.title) for hit in hits]
            fitting = [hit for hit, reason in zip(hits, reasons, strict=True) if reason is None]
            if fitting:
                return fitting[:1] if self._first_only else fitting
            # the article itself may name the condition: among its synonyms, in its first sentence
            silent += [hit for hit, reason in zip(hits[:1], reasons[:1], strict=True) if reason == UNNAMED]
            seen += [hit.title for hit in hits[:3]]
        if silent:
            return silent[:1]
        instead = f" The search gave {', '.join(repr(s) for s in dict.fromkeys(seen))}." if seen else ""
        return Problem(
            f"Radiopaedia: {condition}",
            f"no article on it was found.{instead} Name one with articles={{{condition!r}: 'its-address'}}.",
        )

    def _article(self, url: str) -> Live | Problem:
        if url not in self._read:
            self._read[url] = self._fetched(url)
        return self._read[url]

    def _fetched(self, url: str) -> Live | Problem:
        try:
            answer = self._get(url)
        except FetchError as error:
            # a page that is gone or too large concerns this page alone; a site that is away, all
            if error.is_gone or error.is_too_large:
                return Problem(url, str(error))
            raise
        try:
            article = read_article(answer.body, url=plain_url(answer.url))
        except ValueError as error:
            return Problem(url, str(error))
        return Live(article, plain_url(answer.url), answer.retrieved_at)

    def _get(self, url: str) -> Fetched:
        try:
            return self._client.get(url, accept="text/html", check=_check, permit=self._permit)
        except FetchError as error:
            if error.status in _REFUSALS:
                raise RefusalError(f"the site refuses to be read: {error}") from error
            raise

    def _permit(self, url: str) -> None:
        own, other = urlsplit(self._base_url).netloc, urlsplit(url).netloc
        if other.removeprefix("www.") != own.removeprefix("www."):
            raise RefusalError(f"{self._base_url} leads to another site, {url}, which is not followed")
        if not self._robots.allows(url):
            instead = ", or name articles with articles={...}" if "/search" in url else ""
            raise RefusalError(
                f"robots.txt does not allow {url}. Save the pages that you need with your browser and give "
                f"their folder{instead}."
            )


def mismatch_of(condition: str, article: Article) -> str | None:
    """Return why an article is not about a condition; None where it is."""
    lead = article.sections[0].text if article.sections else ""
    return mismatch(condition, article.title, synonyms=article.synonyms, lead=lead)


def _check(answer: Fetched) -> None:
    """Refuse a page that asks for proof of a human reader, whatever its status says."""
    page = answer.body[:200_000].lower()
    if b"user-generated-content" in page or b"search-result" in page:
        return
    if any(mark in page for mark in _CHALLENGES):
        raise RefusalError(f"{answer.url} asks for proof that a human reads it (a captcha)")
