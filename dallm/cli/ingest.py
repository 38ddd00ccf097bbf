"""``dallm ingest``: bring sources into a knowledge store, and print what it holds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dallm.cli.augment import ConditionOption
from dallm.cli.option_groups import with_groups
from dallm.cli.screen import say, table, wants_progress
from dallm.cli.sites import SOURCES, Sites
from dallm.cli.stores import ADDRESS_HELP, KindOption, NamespaceOption, open_given
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.knowledge.stores.base import KnowledgeStore

_SHOWN = ("source", "title", "url", "revision", "licence", "authors", "retrieved_at", "sha256")
_Primer = Annotated[
    bool,
    typer.Option(
        "--primer",
        help="Take in the built-in primer (unreviewed, for trying out).",
        rich_help_panel=SOURCES,
    ),
]
_Folder = Annotated[
    list[Path] | None,
    typer.Option(
        "--folder",
        help="Take in the md, txt, html and pdf files of a folder; repeat it.",
        rich_help_panel=SOURCES,
    ),
]
_Pages = Annotated[
    str,
    typer.Option(
        "--hits",
        help="Of a site's search: its first hit, or its first page of hits.",
        metavar="first|page",
        rich_help_panel="Fetching",
    ),
]
_Prune = Annotated[bool, typer.Option("--prune", help="Remove the passages of files that are gone.")]
_Lexical = Annotated[
    bool,
    typer.Option("--lexical", help="No dense vectors: a smaller, faster store that finds words only."),
]
_Manifest = Annotated[
    bool,
    typer.Option(
        "--manifest",
        help="Print what the store holds: URL, revision, licence, authors, time, hash. Without a source "
        "nothing is taken in.",
    ),
]
_ManifestFile = Annotated[
    Path | None,
    typer.Option("--manifest-file", help="Write the manifest as CSV.", metavar="FILE"),
]


@with_groups
def ingest(
    *,
    store: Annotated[
        str,
        typer.Option(
            "--store", help=f"Knowledge store: {ADDRESS_HELP}.", metavar="STORE", show_default=False
        ),
    ],
    namespace: NamespaceOption = None,
    kind: KindOption = None,
    primer: _Primer = False,
    folder: _Folder = None,
    sites: Sites,
    pages: _Pages = "first",
    condition: ConditionOption = None,
    prune: _Prune = False,
    lexical: _Lexical = False,
    manifest: _Manifest = False,
    manifest_file: _ManifestFile = None,
) -> None:
    """Put texts about conditions into a knowledge store; what is there already is not written again.

    User, password and database of a Neo4j server are read from NEO4J_USERNAME, NEO4J_PASSWORD and
    NEO4J_DATABASE, so that they stand in no list of processes.
    """
    import dallm
    from dallm.knowledge.conditions import PAPER_CONDITIONS

    if pages not in ("first", "page"):
        raise UserError(f"--hits is first or page; got {pages!r}.")
    sources: list[Any] = [dallm.Primer()] if primer else []
    sources += [dallm.Folder(path) for path in folder or ()]
    sources += _sites(sites, "page" if pages == "page" else "first")
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


def _sites(sites: Sites, hits: Literal["first", "page"]) -> list[Any]:
    sources: list[Any] = []
    if sites.wikipedia:
        sources.append(sites.wikipedia_articles(hits))
    if sites.radiopaedia_pages is not None:
        sources.append(sites.saved_radiopaedia())
    if sites.radiopaedia_live:
        both = sites.radiopaedia_pages is not None
        name = "Radiopaedia (fetched)" if both else "Radiopaedia"
        sources.append(sites.radiopaedia_articles(hits, name=name))
    if sites.pubmed:
        sources.append(sites.abstracts())
    return sources


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
