"""PubMed's abstracts as a source, through NCBI's E-utilities."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dallm.errors import SourceError, UserError
from dallm.knowledge.conditions import conditions_in, known_conditions, resolve_conditions
from dallm.knowledge.fetch import Clock, Fetched, HttpClient, TryAgain
from dallm.knowledge.fetch.address import address_of
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.matching import long_names
from dallm.knowledge.sources.pubmed_xml import Record, XmlError, api_error, read_xml, records

_KEY = "NCBI_API_KEY"
_MOST = 1000
_PER_REQUEST = 100
_OF_RIGHTS = "abstract; copyright of its authors or publisher"
# three requests a second are allowed, ten with a key; the pause counts from the end of one to the next
_PAUSE_S, _PAUSE_WITH_KEY_S = 0.34, 0.1
# errors that NCBI answers with status 200, and that pass
_PASSING = (
    "rate limit",
    "backend failed",
    "temporarily",
    "timeout",
    "timed out",
    "try again",
    "unable to obtain",
)


class _Read(NamedTuple):
    """A record, None if PubMed gave none for its number, and when it was fetched."""

    record: Record | None
    retrieved_at: str


class PubMed:
    """Abstracts of articles that have a condition in their title, the most relevant first.

    Sections of an abstract (Background, Methods, ...) stay sections. Retracted articles and articles without
    an abstract are passed over and reported. Each abstract keeps its authors, journal, year and address; its
    rights are its publisher's or authors'.

    Parameters
    ----------
    n : int, default=20
        How many articles per condition, at most 1000.
    reviews_only : bool, default=False
        Only reviews.
    include_retracted : bool, default=False
        Keep retracted articles, with a notice.
    base_url : str
        Address of the E-utilities.
    email : str, optional
        Your mail address, which NCBI asks for, also told in the User-Agent; never kept in the cache.
    api_key : str, optional
        A key of NCBI's, for ten requests a second instead of three; else the environment's ``NCBI_API_KEY``.
        It is never shown or kept.
    tool : str, default="dallm"
        The name of the program that asks.
    cache : path or None, default="default"
        Folder of what was fetched; None keeps nothing.
    offline : bool, default=False
        Use the cache alone.
    timeout_s : float, default=30
        Seconds to wait for an answer.
    clock : Clock, optional
        Time and sleep; for tests.

    Raises
    ------
    UserError
        If a setting is out of range.
    SourceError
        While reading: if PubMed cannot be reached or refuses; what was yielded before stands.

    Examples
    --------
    >>> PubMed(n=5, reviews_only=True).query("pleural effusion")
    '("pleural effusion"[ti] OR ...) AND hasabstract AND english[la] AND review[pt]'
    """

    name = "PubMed"

    def __init__(
        self,
        n: int = 20,
        *,
        reviews_only: bool = False,
        include_retracted: bool = False,
        base_url: str = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils",
        email: str | None = None,
        api_key: str | None = None,
        tool: str = "dallm",
        cache: str | os.PathLike[str] | None = "default",
        offline: bool = False,
        timeout_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= _MOST:
            raise UserError(f"n is a whole number from 1 to {_MOST}; got {n!r}.")
        address_of(base_url)  # refuses what is no web address
        self.n = n
        self.reviews_only = reviews_only
        self.include_retracted = include_retracted
        self.base_url = base_url.rstrip("/")
        key = api_key or os.environ.get(_KEY, "")
        self._secret = {name: value for name, value in (("api_key", key), ("email", email or "")) if value}
        self._tool = tool
        self._settings: dict[str, Any] = {
            "contact": email,
            "cache": cache,
            "offline": offline,
            "timeout_s": timeout_s,
            "min_interval_s": _PAUSE_WITH_KEY_S if key else _PAUSE_S,
            "clock": clock or Clock(),
        }
        HttpClient(**self._settings)  # refuses settings that are out of range

    def __repr__(self) -> str:
        return f"PubMed(n={self.n})"

    def query(self, condition: str) -> str:
        """Return what is searched for: the condition's names in titles, English, with an abstract."""
        names = " OR ".join(f'"{name}"[ti]' for name in (n.replace('"', " ") for n in long_names(condition)))
        reviews = " AND review[pt]" if self.reviews_only else ""
        return f"({names}) AND hasabstract AND english[la]{reviews}"

    def documents(self, conditions: Sequence[str] = ()) -> Iterator[Document | Problem]:
        """Yield the abstracts on `conditions`, on every condition of the table where none is given."""
        wanted = resolve_conditions(conditions) or known_conditions()
        read: dict[str, _Read] = {}
        given: dict[str, tuple[str, ...]] = {}
        with HttpClient(**self._settings) as client:
            for condition in wanted:
                found = self._search(client, condition)
                if not found:
                    yield Problem(f"{self.name}: {condition}", "no article was found")
                fresh = [pmid for pmid in found if pmid not in read]
                for i in range(0, len(fresh), _PER_REQUEST):
                    read |= self._fetch(client, fresh[i : i + _PER_REQUEST])
                for pmid in found:
                    record, moment = read[pmid]
                    reason = self._unfit(record, condition)
                    if record is None or reason:
                        yield Problem(_url(pmid), reason)
                        continue
                    given[pmid] = (*given.get(pmid, ()), condition)
                    yield self._document(record, moment, given[pmid])

    def _search(self, client: HttpClient, condition: str) -> list[str]:
        params = self._params(term=self.query(condition), retmax=self.n, retmode="json", sort="relevance")
        answer = client.get(
            f"{self.base_url}/esearch.fcgi",
            params,
            accept="application/json",
            secret=self._secret,
            check=_whole_list,
        )
        return _ids(answer)[: self.n]

    def _fetch(self, client: HttpClient, pmids: Sequence[str]) -> dict[str, _Read]:
        params = self._params(id=",".join(pmids), retmode="xml", rettype="abstract")
        answer = client.get(
            f"{self.base_url}/efetch.fcgi",
            params,
            accept="text/xml",
            secret=self._secret,
            check=_whole_records,
        )
        found = {record.pmid: record for record in records(read_xml(answer.body))}
        return {pmid: _Read(found.get(pmid), answer.retrieved_at) for pmid in pmids}

    def _params(self, **params: str | int) -> dict[str, str | int]:
        return {"db": "pubmed", "tool": self._tool, **params}

    def _unfit(self, record: Record | None, condition: str) -> str:
        if record is None:
            return "PubMed found it and gave no record of it"
        if record.status == "retraction notice" or (
            record.status == "retracted" and not self.include_retracted
        ):
            return f"it is passed over: {record.status}"
        if not record.sections:
            return "it has no abstract"
        if condition not in conditions_in(record.title, long_names(condition)):
            return f"its title does not name {condition}"
        return ""

    def _document(self, record: Record, moment: str, about: tuple[str, ...]) -> Document:
        rights = f"abstract; {record.copyright}" if record.copyright else _OF_RIGHTS
        return Document(
            title=record.title,
            sections=record.sections,
            source=self.name,
            url=_url(record.pmid),
            revision=", ".join(part for part in (record.journal, record.year) if part) or None,
            licence=rights,
            authors=record.authors,
            retrieved_at=moment,
            conditions=about,
            notice=record.status,
        )


def _url(pmid: str) -> str:
    return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"


def _whole_list(answer: Fetched) -> None:
    _ids(answer)


def _ids(answer: Fetched) -> list[str]:
    """Return the identifiers that a search found; an error that NCBI answers with status 200 is raised."""
    value = answer.json()
    _no_error(value, answer.url)
    result = value.get("esearchresult") if isinstance(value, dict) else None
    if not isinstance(result, dict) or not isinstance(result.get("idlist", result.get("ERROR")), list | str):
        raise TryAgain("its answer is no list of articles")
    _no_error(result, answer.url)
    return [str(pmid) for pmid in result.get("idlist", ()) if str(pmid).isdigit()]


def _whole_records(answer: Fetched) -> None:
    if answer.body.lstrip()[:1] == b"{":
        _no_error(answer.json(), answer.url)
    try:
        root = read_xml(answer.body)
    except XmlError as error:
        if error.is_partial:
            raise TryAgain(str(error)) from error
        raise SourceError(f"{answer.url} cannot be read: {error}.") from error
    _raise_for(api_error(root), answer.url)


def _no_error(value: object, url: str) -> None:
    told = (value.get("error") or value.get("ERROR")) if isinstance(value, dict) else None
    _raise_for(str(told)[:300] if told else "", url)


def _raise_for(told: str, url: str) -> None:
    if not told:
        return
    if any(word in told.casefold() for word in _PASSING):
        raise TryAgain(f"it answered {told!r}")
    raise SourceError(f"{url} answered with an error: {told!r}. Check the settings of PubMed(...).")
