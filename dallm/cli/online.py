"""``dallm doctor --online``: whether the sites that the sources fetch from can be reached from here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from dallm.errors import DallmError


class Site(NamedTuple):
    """A site, one small page of it that any visitor may ask for, and what that page has to hold."""

    name: str
    variable: str
    base_url: str
    path: str
    holds: bytes


SITES = (
    Site(
        "Wikipedia",
        "DALLM_WIKIPEDIA_URL",
        "https://en.wikipedia.org",
        "/w/api.php?action=query&meta=siteinfo&format=json&formatversion=2&maxlag=5",
        b'"sitename"',
    ),
    Site("Radiopaedia", "DALLM_RADIOPAEDIA_URL", "https://radiopaedia.org", "/robots.txt", b"ser-agent"),
    Site(
        "PubMed",
        "DALLM_PUBMED_URL",
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils",
        "/einfo.fcgi?retmode=json",
        b"pubmed",
    ),
)


class Answer(NamedTuple):
    """What came of asking a site: `reached` or not, and in words."""

    site: str
    reached: bool
    detail: str


def ask_sites() -> Iterator[Answer]:
    """Ask each site once, without the cache; a variable of the environment may name another address."""
    from dallm.knowledge.fetch.client import HttpClient

    with HttpClient(cache=None, tries=1, timeout_s=15.0, longest_wait_s=5.0) as client:
        for site in SITES:
            base = os.environ.get(site.variable, site.base_url).rstrip("/")
            began = time.perf_counter()
            try:
                body = client.get(base + site.path).body
            except DallmError as error:
                yield Answer(site.name, False, str(error))
                continue
            took = 1000 * (time.perf_counter() - began)
            if site.holds not in body:
                yield Answer(
                    site.name, False, f"{base} answers, but not as {site.name} does ({len(body):,} bytes)"
                )
            else:
                yield Answer(site.name, True, f"{base} answers in {took:.0f} ms")
