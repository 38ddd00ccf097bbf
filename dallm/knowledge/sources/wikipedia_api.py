"""The questions that are put to a MediaWiki's API, and its answers in plain terms."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dallm.errors import SourceError
from dallm.knowledge.fetch import Fetched, HttpClient, TryAgain
from dallm.knowledge.fetch.politeness import retry_after
from dallm.knowledge.sources.wikipedia_page import WikiText, read_wiki_html

_log = logging.getLogger("dallm.fetch")
_MAXLAG_S = 5
_MOST_TITLES = 50  # in one question, for those who are not logged in
_MOST_CONTINUATIONS = 20
# what the API says with status 200 although the same question may be answered a moment later
_PASSING = ("maxlag", "ratelimited", "readonly", "internal_api_error", "timeout", "cirrussearch-too-busy")
_MISSING = ("missingtitle", "nosuchpageid", "nosuchrevid", "invalidtitle", "pagecannotexist")


class Page(NamedTuple):
    """A page as it was when it was fetched.

    `asked` is the title that was asked for, `title` the one it has; they differ after a redirect.
    """

    asked: str
    title: str
    page_id: int | None
    revision: int | None
    text: WikiText
    retrieved_at: str


class SearchHit(NamedTuple):
    """A title that a search found; `redirect` is the redirect to it that matched, if it was one."""

    title: str
    redirect: str | None


class MediaWiki:
    """The API of one wiki.

    Parameters
    ----------
    client : HttpClient
        How to ask.
    site : str
        Address of the wiki, or of its ``api.php``.

    Examples
    --------
    >>> MediaWiki(HttpClient(cache=None), "https://en.wikipedia.org/").endpoint
    'https://en.wikipedia.org/w/api.php'
    """

    def __init__(self, client: HttpClient, site: str) -> None:
        self._client = client
        bare = site.rstrip("/").removesuffix("/wiki")
        self.endpoint = bare if bare.endswith(".php") else f"{bare}/w/api.php"
        self._current: dict[str, str] = {}

    def page(self, title: str) -> Page | None:
        """Return the page of that title, redirects followed; None where there is none.

        Raises
        ------
        SourceError
            If the API cannot be asked or answers with an error.
        """
        params = _page_question(title)
        # what `confirm` found to be current needs no question
        fresh = float("inf") if title in self._current else 0.0
        answer = self._ask(params, max_age_s=fresh)
        value = answer.json()
        code = _error(value)[0]
        if code in _MISSING:
            return None
        return _page(title, value, answer, self.endpoint)

    def confirm(self, titles: Sequence[str]) -> None:
        """Ask in one question which cached pages are still at their revision; those are not fetched."""
        if self._client.offline:
            return
        held: dict[str, int] = {}
        for title in dict.fromkeys(titles):
            kept = self._client.cached(self.endpoint, _page_question(title))
            value = kept.json() if kept else {}
            revision = value.get("parse", {}).get("revid")
            if isinstance(revision, int) and title not in self._current:
                held[title] = revision
        names = list(held)
        for i in range(0, len(names), _MOST_TITLES):
            part = names[i : i + _MOST_TITLES]
            question: dict[str, str | int] = {
                "action": "query",
                "titles": "|".join(part),
                "prop": "info",
                "redirects": 1,
            }
            found: dict[str, Any] = {}
            moved: dict[str, str] = {}
            for value in self._all(question, keep=False):
                query = value.get("query", {})
                found |= {p.get("title", ""): p.get("lastrevid") for p in _rows(query.get("pages", ()))}
                for step in (*query.get("normalized", ()), *query.get("redirects", ())):
                    moved[step["from"]] = step["to"]
            for title in part:
                if found.get(_end_of(title, moved)) == held[title]:
                    self._current[title] = title

    def search(self, words: str, limit: int) -> list[SearchHit]:
        """Return the titles that a full-text search finds, the best first, at most `limit`."""
        question: dict[str, str | int] = {
            "action": "query",
            "list": "search",
            "srsearch": words,
            "srlimit": limit,
            "srnamespace": 0,
            "srprop": "redirecttitle",
            "srinfo": "",
        }
        value = self._ask(question).json()
        self._complain(value)
        rows = _rows(value.get("query", {}).get("search", ()))
        return [SearchHit(row["title"], row.get("redirecttitle")) for row in rows if row.get("title")][:limit]

    def redirects_to(self, title: str) -> tuple[str, ...]:
        """Return the titles that redirect to a page."""
        question: dict[str, str | int] = {
            "action": "query",
            "titles": title,
            "prop": "redirects",
            "rdprop": "title",
            "rdnamespace": 0,
            "rdlimit": "max",
        }
        found: list[str] = []
        for value in self._all(question):
            for page in _rows(value.get("query", {}).get("pages", ())):
                found += [row["title"] for row in _rows(page.get("redirects", ())) if row.get("title")]
        return tuple(dict.fromkeys(found))

    def _all(self, question: Mapping[str, str | int], *, keep: bool = True) -> Iterator[dict[str, Any]]:
        """Yield the answer and its continuations."""
        more: dict[str, str | int] = {}
        for _ in range(_MOST_CONTINUATIONS):
            value = self._ask({**question, **more}, keep=keep).json()
            self._complain(value)
            yield value
            more = value.get("continue") or {}
            if not more:
                return
        _log.warning("%s: only the first %d parts of an answer were read", self.endpoint, _MOST_CONTINUATIONS)

    def _ask(self, question: Mapping[str, str | int], **options: Any) -> Fetched:
        params = {**question, "format": "json", "formatversion": 2, "maxlag": _MAXLAG_S}
        return self._client.get(
            self.endpoint, params, accept="application/json", check=self._check, **options
        )

    def _check(self, answer: Fetched) -> None:
        value = answer.json()
        if not isinstance(value, dict):
            raise SourceError(f"{self.endpoint} answers with JSON that is none of MediaWiki's API.")
        for module, text in _warnings(value):
            _log.warning("%s warns (%s): %s", self.endpoint, module, text)
        code, info = _error(value)
        if code.startswith(_PASSING):
            wait = retry_after(answer.headers.get("retry-after"), self._client.clock.now())
            least = float(_MAXLAG_S) if code == "maxlag" else None
            raise TryAgain(f"it answered with the error {code} ({info})", wait if wait is not None else least)
        if code and code not in _MISSING:
            raise self._refusal(code, info)

    def _complain(self, value: dict[str, Any]) -> None:
        code, info = _error(value)
        if code:
            raise self._refusal(code, info)

    def _refusal(self, code: str, info: str) -> SourceError:
        return SourceError(f"{self.endpoint} answered with the error {code!r}: {info or 'no reason given'}.")


def _page_question(title: str) -> dict[str, str | int]:
    return {
        "action": "parse",
        "page": title,
        "prop": "text|revid|properties|categories",
        "redirects": 1,
        "disablelimitreport": 1,
        "disableeditsection": 1,
        "format": "json",
        "formatversion": 2,
        "maxlag": _MAXLAG_S,
    }


def _page(asked: str, value: dict[str, Any], answer: Fetched, endpoint: str) -> Page:
    parsed = value.get("parse")
    if not isinstance(parsed, dict) or not parsed.get("title"):
        raise SourceError(f"{endpoint} answers the question for {asked!r} with neither a page nor an error.")
    text = parsed.get("text", "")
    if isinstance(text, dict):  # the first version of the format
        text = text.get("*", "")
    read = read_wiki_html(text, parsed["title"])
    if _is_disambiguation(parsed):
        read = read._replace(is_disambiguation=True)
    page_id, revision = parsed.get("pageid"), parsed.get("revid")
    return Page(asked, parsed["title"], page_id, revision or None, read, answer.retrieved_at)


def _is_disambiguation(parsed: dict[str, Any]) -> bool:
    """Whether a page is marked as a list of meanings, by a property or a category that wikis give."""
    properties = parsed.get("properties") or ()
    named = [row.get("name") for row in _rows(properties)]
    if "disambiguation" in (*properties, *named):
        return True
    categories = [str(row.get("category") or row.get("*")) for row in _rows(parsed.get("categories") or ())]
    return any(re.search(r"disambiguation[ _]pages?$", name, re.IGNORECASE) for name in categories)


def _rows(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, or of an object by id as the first version of the format has it."""
    rows = value.values() if isinstance(value, dict) else value
    return [row for row in rows if isinstance(row, dict)]


def _end_of(title: str, moved: Mapping[str, str]) -> str:
    for _ in range(len(moved) + 1):
        if title not in moved:
            break
        title = moved[title]
    return title


def _error(value: dict[str, Any]) -> tuple[str, str]:
    """Return code and text of an error, both empty where there is none."""
    error = value.get("error")
    if isinstance(error, dict):
        return str(error.get("code", "unknown")), str(error.get("info", ""))[:300]
    for row in _rows(value.get("errors", ())):
        told = row.get("text") or row.get("html") or row.get("key") or ""
        return str(row.get("code", "unknown")), str(told)[:300]
    return "", ""


def _warnings(value: dict[str, Any]) -> list[tuple[str, str]]:
    told = value.get("warnings")
    if isinstance(told, dict):
        return [(name, str(w.get("warnings") or w.get("*") or w)[:300]) for name, w in told.items()]
    return [(str(row.get("module", "")), str(row.get("text", row))[:300]) for row in _rows(told or ())]
