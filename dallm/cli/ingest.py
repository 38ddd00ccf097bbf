"""``dallm ingest``: bring sources into a knowledge store, and print what it holds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dallm.cli.augment import ConditionOption
from dallm.cli.screen import say, table, wants_progress
from dallm.cli.stores import ADDRESS_HELP, KindOption, NamespaceOption, open_given
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.knowledge.stores.base import KnowledgeStore

_SOURCES = "Sources"
_WEB = "Fetching"
_TERMS = (
    "--radiopaedia-live fetches from a site whose terms allow no bulk download: read "
    "https://radiopaedia.org/terms, then add --accept-terms; or save the pages in a browser and name their "
    "folder with --radiopaedia-pages."
)
_SHOWN = ("source", "title", "url", "revision", "licence", "authors", "retrieved_at", "sha256")


def ingest(
    store: Annotated[
        str,
        typer.Option(
            "--store", help=f"Knowledge store: {ADDRESS_HELP}.", metavar="STORE", show_default=False
        ),
    ],
    namespace: NamespaceOption = None,
    kind: KindOption = None,
    primer: Annotated[
        bool,
        typer.Option(
            "--primer",
            help="Take in the built-in primer (unreviewed, for trying out).",
            rich_help_panel=_SOURCES,
        ),
    ] = False,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            help="Take in the md, txt, html and pdf files of a folder; repeat it.",
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    wikipedia: Annotated[
        bool,
        typer.Option("--wikipedia", help="Take in Wikipedia's articles.", rich_help_panel=_SOURCES),
    ] = False,
    radiopaedia_pages: Annotated[
        Path | None,
        typer.Option(
            "--radiopaedia-pages",
            help="Take in pages of Radiopaedia that you have saved.",
            metavar="FOLDER",
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    radiopaedia_live: Annotated[
        bool,
        typer.Option(
            "--radiopaedia-live",
            help="Fetch Radiopaedia's articles, one at a time; needs --accept-terms.",
            rich_help_panel=_SOURCES,
        ),
    ] = False,
    accept_terms: Annotated[
        bool,
        typer.Option(
            "--accept-terms",
            help="You have read Radiopaedia's terms of use, and they allow what you do.",
            rich_help_panel=_SOURCES,
        ),
    ] = False,
    pubmed: Annotated[
        bool, typer.Option("--pubmed", help="Take in abstracts of PubMed.", rich_help_panel=_SOURCES)
    ] = False,
    pages: Annotated[
        str,
        typer.Option(
            "--hits",
            help="Of a site's search: its first hit, or its first page of hits.",
            metavar="first|page",
            rich_help_panel=_WEB,
        ),
    ] = "first",
    wikipedia_url: Annotated[
        str | None,
        typer.Option("--wikipedia-url", help="Another Wikipedia or mirror.", rich_help_panel=_WEB),
    ] = None,
    radiopaedia_url: Annotated[
        str | None, typer.Option("--radiopaedia-url", help="Another address of it.", rich_help_panel=_WEB)
    ] = None,
    pubmed_url: Annotated[
        str | None, typer.Option("--pubmed-url", help="Another address of it.", rich_help_panel=_WEB)
    ] = None,
    contact: Annotated[
        str | None,
        typer.Option(
            "--contact",
            help="E-mail or page that a site's keepers can reach you by; sent with each request.",
            rich_help_panel=_WEB,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="Folder that keeps what was fetched.", metavar="FOLDER", rich_help_panel=_WEB
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Use only what was fetched before.", rich_help_panel=_WEB),
    ] = False,
    condition: ConditionOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the passages of files that are gone.")
    ] = False,
    lexical: Annotated[
        bool,
        typer.Option("--lexical", help="No dense vectors: a smaller, faster store that finds words only."),
    ] = False,
    manifest: Annotated[
        bool,
        typer.Option(
            "--manifest",
            help="Print what the store holds: URL, revision, licence, authors, time, hash. Without a source "
            "nothing is taken in.",
        ),
    ] = False,
    manifest_file: Annotated[
        Path | None,
        typer.Option("--manifest-file", help="Write the manifest as CSV.", metavar="FILE"),
    ] = None,
) -> None:
    """Put texts about conditions into a knowledge store; what is there already is not written again.

    User, password and database of a Neo4j server are read from NEO4J_USERNAME, NEO4J_PASSWORD and
    NEO4J_DATABASE, so that they stand in no list of processes.
    """
    import dallm
    from dallm.cli.run import PAPER_CONDITIONS

    web: dict[str, Any] = {"offline": offline, "contact": contact}
    if cache is not None:
        web["cache"] = cache
    if pages not in ("first", "page"):
        raise UserError(f"--hits is first or page; got {pages!r}.")
    sources: list[Any] = [dallm.Primer()] if primer else []
    sources += [dallm.Folder(path) for path in folder or ()]
    if wikipedia:
        sources.append(dallm.Wikipedia(pages=_hits(pages), **web, **_at(wikipedia_url)))
    if radiopaedia_pages is not None:
        sources.append(dallm.Radiopaedia(radiopaedia_pages))
    if radiopaedia_live:
        if not accept_terms:
            raise UserError(_TERMS)
        name = "Radiopaedia (fetched)" if radiopaedia_pages is not None else "Radiopaedia"
        options = web | _at(radiopaedia_url)
        sources.append(dallm.Radiopaedia(accept_terms=True, pages=_hits(pages), name=name, **options))
    if pubmed:
        sources.append(dallm.PubMed(**web, **_at(pubmed_url)))
    only_shown = not sources and (manifest or manifest_file is not None)
    if not sources and not only_shown:
        raise UserError(
            "Name at least one source: --primer, --folder FOLDER, --wikipedia, --radiopaedia-pages FOLDER, "
            "--radiopaedia-live, --pubmed; or --manifest to see what the store holds."
        )
    # a store that is only looked at needs no encoder
    lexical = lexical or only_shown
    opened = open_given(store, namespace=namespace, kind=kind, read_only=only_shown, lexical=lexical)
    with closing(opened):
        if sources:
            about = list(condition or PAPER_CONDITIONS)
            report = dallm.ingest(
                opened, sources=sources, conditions=about, progress=wants_progress(), prune=prune
            )
            say(str(report))
        say(repr(opened))
        _show_manifest(opened, printed=manifest, file=manifest_file)


def _at(url: str | None) -> dict[str, Any]:
    return {} if url is None else {"base_url": url}


def _hits(given: str) -> Literal["first", "page"]:
    return "page" if given == "page" else "first"


def _show_manifest(store: KnowledgeStore, *, printed: bool, file: Path | None) -> None:
    if not printed and file is None:
        return
    held = store.manifest()
    if file is not None:
        from dallm.files import write_text

        write_text(file, held.to_csv(index=False))
        say(f"  {file}")
    if printed:
        rows = held.fillna("")[list(_SHOWN)].itertuples(index=False, name=None)
        table(_SHOWN, [tuple(map(str, row)) for row in rows])
