"""Which sites of the web are sources, and how they are fetched, as the command line names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.knowledge.sources.pubmed import PubMed
    from dallm.knowledge.sources.radiopaedia import Radiopaedia
    from dallm.knowledge.sources.wikipedia import Wikipedia

SOURCES = "Sources"
_WEB = "Fetching"
_TERMS = (
    "--radiopaedia-live fetches from a site whose terms allow no bulk download: read "
    "https://radiopaedia.org/terms, then add --accept-terms; or save the pages in a browser and name their "
    "folder with --radiopaedia-pages."
)


@dataclass(frozen=True, kw_only=True)
class Sites:
    """The sites that the user named, as sources.

    Raises
    ------
    UserError
        If Radiopaedia is to be fetched and its terms are not accepted.

    Examples
    --------
    >>> Sites(wikipedia=True, offline=True).wikipedia_articles("page").pages
    'page'
    """

    wikipedia: Annotated[
        bool,
        typer.Option("--wikipedia", help="Take in Wikipedia's articles.", rich_help_panel=SOURCES),
    ] = False
    radiopaedia_pages: Annotated[
        Path | None,
        typer.Option(
            "--radiopaedia-pages",
            help="Take in pages of Radiopaedia that you have saved.",
            metavar="FOLDER",
            rich_help_panel=SOURCES,
        ),
    ] = None
    radiopaedia_live: Annotated[
        bool,
        typer.Option(
            "--radiopaedia-live",
            help="Fetch Radiopaedia's articles, one at a time; needs --accept-terms.",
            rich_help_panel=SOURCES,
        ),
    ] = False
    accept_terms: Annotated[
        bool,
        typer.Option(
            "--accept-terms",
            help="You have read Radiopaedia's terms of use, and they allow what you do.",
            rich_help_panel=SOURCES,
        ),
    ] = False
    pubmed: Annotated[
        bool, typer.Option("--pubmed", help="Take in abstracts of PubMed.", rich_help_panel=SOURCES)
    ] = False
    wikipedia_url: Annotated[
        str | None,
        typer.Option("--wikipedia-url", help="Another Wikipedia or mirror.", rich_help_panel=_WEB),
    ] = None
    radiopaedia_url: Annotated[
        str | None, typer.Option("--radiopaedia-url", help="Another address of it.", rich_help_panel=_WEB)
    ] = None
    pubmed_url: Annotated[
        str | None, typer.Option("--pubmed-url", help="Another address of it.", rich_help_panel=_WEB)
    ] = None
    contact: Annotated[
        str | None,
        typer.Option(
            "--contact",
            help="E-mail or page that a site's keepers can reach you by; sent with each request.",
            rich_help_panel=_WEB,
        ),
    ] = None
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="Folder that keeps what was fetched.", metavar="FOLDER", rich_help_panel=_WEB
        ),
    ] = None
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Use only what was fetched before.", rich_help_panel=_WEB),
    ] = False

    def __post_init__(self) -> None:
        if self.radiopaedia_live and not self.accept_terms:
            raise UserError(_TERMS)

    def wikipedia_articles(self, hits: Literal["first", "page"]) -> Wikipedia:
        """Return Wikipedia, with the first hit of a search or its first page of hits."""
        from dallm.knowledge.sources.wikipedia import Wikipedia

        return Wikipedia(pages=hits, **self._fetching(self.wikipedia_url))

    def radiopaedia_articles(
        self, hits: Literal["first", "page"], *, name: str = "Radiopaedia"
    ) -> Radiopaedia:
        """Return Radiopaedia as fetched, with the first hit of a search or its first page of hits."""
        from dallm.knowledge.sources.radiopaedia import Radiopaedia

        options = self._fetching(self.radiopaedia_url)
        return Radiopaedia(accept_terms=self.accept_terms, pages=hits, name=name, **options)

    def saved_radiopaedia(self) -> Radiopaedia:
        """Return the saved pages of Radiopaedia."""
        from dallm.knowledge.sources.radiopaedia import Radiopaedia

        return Radiopaedia(self.radiopaedia_pages)

    def abstracts(self) -> PubMed:
        """Return PubMed."""
        from dallm.knowledge.sources.pubmed import PubMed

        return PubMed(**self._fetching(self.pubmed_url))

    def _fetching(self, url: str | None) -> dict[str, Any]:
        given = {"base_url": url, "contact": self.contact, "cache": self.cache}
        return {"offline": self.offline} | {name: value for name, value in given.items() if value is not None}
