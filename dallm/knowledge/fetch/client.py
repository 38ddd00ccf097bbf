"""The one HTTP client of all sources: polite, patient to a bound, and with a cache on disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError
from dallm.knowledge.fetch.address import Address, address_of, hidden, origin_of, redirected
from dallm.knowledge.fetch.body import ENCODINGS, read_body
from dallm.knowledge.fetch.cache import Entry, HttpCache, default_folder
from dallm.knowledge.fetch.outcome import Fetched, FetchError, TryAgain
from dallm.knowledge.fetch.politeness import SYSTEM_CLOCK, Clock, pause_before, turn, user_agent
from dallm.knowledge.fetch.refusal import no_answer, refusal

if TYPE_CHECKING:
    import httpx2

_log = logging.getLogger("dallm.fetch")
_MOST_REDIRECTS = 5
_CONTENT = (200, 203)
_MOVED = (301, 302, 303, 307, 308)
_WORTH_SAYING_S = 5.0


@dataclass(frozen=True, slots=True)
class _Request:
    """One thing to fetch: `shown` is its address without secrets, `key` its place in the cache."""

    url: str
    shown: str
    key: str
    headers: Mapping[str, str]
    secret: Mapping[str, str]
    keep: bool
    check: Callable[[Fetched], None] | None
    permit: Callable[[str], None] | None


class HttpClient:
    """Fetches pages by GET: politely, with retries, and with a cache on disk that also serves offline.

    To one host there is one request at a time in this process, and a pause after each. Answers of 429 and
    5xx, connections that fail and answers that are cut off or too slow are tried again, after the time that
    the server asks for or a growing pause. What succeeded is cached with its headers, and later asked for
    anew by ETag or Last-Modified: an answer of 304 is served from the cache. Errors are never cached.

    Parameters
    ----------
    contact : str, optional
        A mail or web address that the operators of a site can write to; part of the User-Agent. Where it is
        not given, the environment variable ``DALLM_CONTACT`` is used.
    cache : path or None, default="default"
        Folder of the cache; "default" is below the user's cache folder, None keeps nothing.
    offline : bool, default=False
        Serve from the cache alone and ask no server.
    max_age_s : float, default=0
        A cached answer younger than this is used without asking the server.
    min_interval_s : float, default=1
        Seconds between the end of a request to a host and the next one's start.
    timeout_s : float, default=30
        Seconds to wait for a connection, and for the next part of an answer; a whole answer may take four
        times as long.
    tries : int, default=5
        How often a request is made before giving up.
    longest_wait_s : float, default=120
        The longest wait a server may ask for; one that asks for more is left alone, with an error that says
        when to come back.
    max_bytes : int, default=20 MB
        The largest answer that is read.
    clock : Clock, optional
        Time and sleep; for tests.

    Raises
    ------
    UserError
        If a setting is out of range, or `contact` cannot stand in a header.

    Examples
    --------
    >>> import tempfile
    >>> with HttpClient(contact="me@example.org", cache=tempfile.mkdtemp(), offline=True) as client:
    ...     client.get("https://example.org/page", params={"q": "lung"})
    Traceback (most recent call last):
    ...
    dallm.knowledge.fetch.outcome.FetchError: https://example.org/page?q=lung is not in the cache ...
    """

    def __init__(
        self,
        *,
        contact: str | None = None,
        cache: str | os.PathLike[str] | None = "default",
        offline: bool = False,
        max_age_s: float = 0.0,
        min_interval_s: float = 1.0,
        timeout_s: float = 30.0,
        tries: int = 5,
        longest_wait_s: float = 120.0,
        max_bytes: int = 20 * 2**20,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        for name, value, least in (
            ("min_interval_s", min_interval_s, 0),
            ("max_age_s", max_age_s, 0),
            ("longest_wait_s", longest_wait_s, 0),
            ("tries", tries, 1),
            ("max_bytes", max_bytes, 1),
        ):
            if not value >= least:
                raise UserError(f"{name} is a number from {least} on; got {value!r}.")
        if not timeout_s > 0:
            raise UserError(f"timeout_s is a number above 0; got {timeout_s!r}.")
        self.user_agent = user_agent(contact)
        self.offline = offline
        self.max_age_s = max_age_s
        self.min_interval_s = min_interval_s
        self.timeout_s = timeout_s
        self.tries = tries
        self.longest_wait_s = longest_wait_s
        self.max_bytes = max_bytes
        self.cache = None if cache is None else HttpCache(default_folder() if cache == "default" else cache)
        self.clock = clock
        self._client: httpx2.Client | None = None

    def __repr__(self) -> str:
        return f"HttpClient(cache={self.cache!r}, offline={self.offline})"

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def get(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: str = "*/*",
        *,
        secret: Mapping[str, str] | None = None,
        version: str = "",
        max_age_s: float | None = None,
        keep: bool = True,
        check: Callable[[Fetched], None] | None = None,
        permit: Callable[[str], None] | None = None,
    ) -> Fetched:
        """Fetch a page.

        Parameters
        ----------
        url : str
            Its address, http or https.
        params : mapping, optional
            Parameters of the query, added to those in `url`.
        headers : mapping, optional
            Further headers.
        accept : str, default="*/*"
            The kinds of content wanted.
        secret : mapping of str to str, optional
            Parameters such as a key: sent, but neither kept in the cache nor shown in a message.
        version : str, optional
            The version of the page that is wanted, where it is known; an answer cached for another one is not
            used.
        max_age_s : float, optional
            Instead of the client's own.
        keep : bool, default=True
            Whether the answer is cached.
        check : callable, optional
            Called with each answer of the server before it is cached. It raises :class:`TryAgain` for one
            that is no use now, or a SourceError to give up.
        permit : callable, optional
            Called with each address before it is asked, those of redirects too; it raises a SourceError to
            refuse.

        Returns
        -------
        Fetched

        Raises
        ------
        FetchError
            If the page cannot be had: its message names the address and says what to do.
        """
        wanted = {"accept": accept, **(headers or {})}
        request = self._request(url, params, wanted, secret, version, keep, check, permit)
        entry = self.cache.load(request.key) if self.cache else None
        age = self.clock.now().timestamp() - entry.validated_at if entry else 0.0
        if entry and (self.offline or age < (self.max_age_s if max_age_s is None else max_age_s)):
            return _from(entry)
        if self.offline:
            place = self.cache.folder if self.cache else "cache=None"
            raise FetchError(
                f"{request.shown} is not in the cache ({place}), and offline=True asks no server. "
                "Fetch it once with offline=False.",
                url=request.shown,
            )
        return self._patiently(request, entry)

    def cached(
        self, url: str, params: Mapping[str, str | int] | None = None, *, version: str = ""
    ) -> Fetched | None:
        """Return what the cache holds of a page, however old, or None."""
        entry = self.cache.load(_key(address_of(url, params), version)) if self.cache else None
        return _from(entry) if entry else None

    def get_json(self, url: str, params: Mapping[str, str | int] | None = None, **options: Any) -> Any:
        """Fetch JSON and return it decoded; see :meth:`get`. What is no whole JSON is tried again."""
        check = options.pop("check", None)

        def whole(answer: Fetched) -> None:
            answer.json()
            if check:
                check(answer)

        return self.get(url, params, accept="application/json", check=whole, **options).json()

    def _request(
        self,
        url: str,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
        secret: Mapping[str, str] | None,
        version: str,
        keep: bool,
        check: Callable[[Fetched], None] | None,
        permit: Callable[[str], None] | None,
    ) -> _Request:
        known = address_of(url, params)
        full = address_of(url, {**(params or {}), **(secret or {})})
        return _Request(
            full.url, known.shown, _key(known, version), headers, secret or {}, keep, check, permit
        )

    def _patiently(self, request: _Request, entry: Entry | None) -> Fetched:
        for attempt in range(1, self.tries + 1):
            try:
                return self._once(request, entry)
            except TryAgain as trouble:
                self._wait(request, trouble, attempt, entry)
        raise AssertionError("the last failure raises")

    def _wait(self, request: _Request, trouble: TryAgain, attempt: int, entry: Entry | None) -> None:
        why = f"{request.shown} could not be fetched: {hidden(trouble.reason, request.secret)}"
        if trouble.wait_s is not None and trouble.wait_s > self.longest_wait_s:
            when = self.clock.now() + timedelta(seconds=trouble.wait_s)
            raise FetchError(
                f"{why}; it asks to be left alone until {when:%Y-%m-%d %H:%M:%S} UTC "
                f"({trouble.wait_s:,.0f} s). Do the same again then: what was fetched is kept in the cache.",
                url=request.shown,
                status=trouble.status,
                retry_at=when,
            )
        if attempt >= self.tries:
            cached = " offline=True uses the answer that is in the cache." if entry else ""
            raise FetchError(
                f"{why} ({attempt} tries). Check the address and the connection, or try again later.{cached}",
                url=request.shown,
                status=trouble.status,
            )
        pause = pause_before(attempt, trouble.wait_s)
        said = _log.warning if pause >= _WORTH_SAYING_S else _log.info
        said("%s; waiting %.0f s (try %d of %d)", why, pause, attempt, self.tries)
        self.clock.sleep(pause)

    def _once(self, request: _Request, entry: Entry | None) -> Fetched:
        url = request.url
        for _ in range(_MOST_REDIRECTS + 1):
            shown = hidden(address_of(url).shown, request.secret)
            if request.permit:
                request.permit(shown)
            answer, moved_to = self._ask(request, url, shown, entry)
            if answer is not None:
                return answer
            url = redirected(url, moved_to, shown)
        raise FetchError(
            f"{request.shown} redirects more than {_MOST_REDIRECTS} times, at last to {shown}.",
            url=request.shown,
        )

    def _ask(
        self, request: _Request, url: str, shown: str, entry: Entry | None
    ) -> tuple[Fetched | None, str]:
        """Make one request; return the answer, or where it redirects to."""
        import httpx2

        # validators belong to the address that gave them
        validators = _validators(entry) if entry and entry.url == shown else {}
        headers = {**request.headers, **validators}
        try:
            with (
                turn(origin_of(url), self.min_interval_s, self.clock),
                self._http().stream("GET", url, headers=headers) as response,
            ):
                status = response.status_code
                if status in _MOVED and response.headers.get("location"):
                    return None, response.headers["location"]
                if status not in _CONTENT and not (status == 304 and validators):
                    raise refusal(response, shown, self.clock.now())
                deadline = self.clock.monotonic() + 4 * self.timeout_s
                body = read_body(response, shown, self.max_bytes, deadline, self.clock)
                told = {k.lower(): hidden(v, request.secret) for k, v in response.headers.items()}
        except httpx2.TransportError as error:
            raise no_answer(error, shown, self.timeout_s) from error
        except httpx2.InvalidURL as error:
            raise FetchError(f"{shown} is no address that can be fetched ({error}).", url=shown) from error
        return self._accepted(request, entry, status, told, body, shown), ""

    def _accepted(
        self,
        request: _Request,
        entry: Entry | None,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        shown: str,
    ) -> Fetched:
        now = self.clock.now()
        if status == 304 and entry:
            kept = replace(
                entry,
                # a 304 has no content: what it says of its content is of no use
                headers={**entry.headers, **{k: v for k, v in headers.items() if k[:8] != "content-"}},
                validated_at=now.timestamp(),
            )
            answer = replace(_from(kept), revalidated=True)
        else:
            moment = now.isoformat(timespec="seconds")
            kept = Entry(request.shown, shown, status, headers, moment, now.timestamp(), body)
            answer = Fetched(shown, status, headers, body, moment)
            if request.check:
                request.check(answer)
        if self.cache and request.keep:
            self.cache.save(request.key, kept)
        return answer

    def _http(self) -> httpx2.Client:
        if self._client is None:
            import httpx2

            agent = f"{self.user_agent} httpx2/{httpx2.__version__}"
            self._client = httpx2.Client(
                headers={"user-agent": agent, "accept-encoding": ENCODINGS},
                timeout=self.timeout_s,
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=8, max_keepalive_connections=4),
            )
        self._client.cookies.clear()  # nothing is remembered of one request in the next
        return self._client


def _key(address: Address, version: str) -> str:
    return f"GET {address.shown} {version}".rstrip()


def _from(entry: Entry) -> Fetched:
    return Fetched(entry.url, entry.status, entry.headers, entry.body, entry.retrieved_at, from_cache=True)


def _validators(entry: Entry) -> dict[str, str]:
    found = {
        "if-none-match": entry.headers.get("etag", ""),
        "if-modified-since": entry.headers.get("last-modified", ""),
    }
    return {name: value for name, value in found.items() if value}
