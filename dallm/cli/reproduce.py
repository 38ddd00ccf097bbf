"""``dallm reproduce``: the experiments of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.cli.outputs import OutputFolder
from dallm.cli.screen import notice, say, step, table, wants_progress
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.paper.comparison import RetrievalComparison

reproduce = typer.Typer(
    name="reproduce",
    help="Run an experiment of the paper and set it beside what was published.",
    no_args_is_help=True,
)
_SOURCES = "Sources"
_STORES = "Stores"


@reproduce.callback()
def _group() -> None:
    """Run an experiment of the paper and set it beside what was published."""


@reproduce.command("table3")
def table3(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
    condition: Annotated[
        str, typer.Option("--condition", help="What the questions are about.", metavar="NAME")
    ] = "atelectasis",
    primer: Annotated[
        bool, typer.Option("--primer", help="The built-in primer.", rich_help_panel=_SOURCES)
    ] = False,
    wikipedia: Annotated[
        bool, typer.Option("--wikipedia", help="Wikipedia, over its API.", rich_help_panel=_SOURCES)
    ] = False,
    wikipedia_url: Annotated[
        str | None,
        typer.Option(
            "--wikipedia-url", help="Another address of it.", metavar="URL", rich_help_panel=_SOURCES
        ),
    ] = None,
    radiopaedia_pages: Annotated[
        Path | None,
        typer.Option(
            "--radiopaedia-pages",
            help="Radiopaedia pages that you saved.",
            metavar="FOLDER",
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    radiopaedia_live: Annotated[
        bool,
        typer.Option(
            "--radiopaedia-live",
            help="Radiopaedia itself, page by page; needs --accept-terms.",
            rich_help_panel=_SOURCES,
        ),
    ] = False,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You accept its terms.", rich_help_panel=_SOURCES)
    ] = False,
    radiopaedia_url: Annotated[
        str | None,
        typer.Option(
            "--radiopaedia-url", help="Another address of it.", metavar="URL", rich_help_panel=_SOURCES
        ),
    ] = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            "--folder", help="A folder of texts; repeat it.", metavar="NAME=FOLDER", rich_help_panel=_SOURCES
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="Where fetched pages are kept.", metavar="FOLDER", rich_help_panel=_SOURCES
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Kept pages only.", rich_help_panel=_SOURCES)
    ] = False,
    neo4j: Annotated[
        str | None,
        typer.Option(
            "--neo4j",
            help="Address of a Neo4j server; user and password from NEO4J_USERNAME and NEO4J_PASSWORD.",
            metavar="ADDRESS",
            rich_help_panel=_STORES,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option("--database", help="Database of that server.", metavar="NAME", rich_help_panel=_STORES),
    ] = None,
    stores: Annotated[
        str,
        typer.Option(
            "--stores", help="Which, with commas between.", metavar="NAMES", rich_help_panel=_STORES
        ),
    ] = "networkx,neo4j_graph,neo4j_vector,local",
    lexical: Annotated[
        bool, typer.Option("--lexical", help="Without an encoder.", rich_help_panel=_STORES)
    ] = False,
    passages: Annotated[
        int, typer.Option("-k", "--passages", min=1, help="Passages that an answer may rest on.")
    ] = 6,
    rubric: Annotated[
        Path | None, typer.Option("--rubric", help="Your own expected facts.", metavar="FILE")
    ] = None,
) -> None:
    """Answer five questions from each set of sources in each store, and measure the answers (Experiment II).

    Without a source the built-in primer is read, and no network is used. Nothing of a server's other data is
    touched: every arm has a namespace of its own, which is removed at the end.
    """
    from dallm.paper.table3 import compare_retrieval

    place = OutputFolder(out)
    live = {"cache": cache, "offline": offline or None}
    sources: dict[str, Any] = {}
    if wikipedia or wikipedia_url:
        sources["Wikipedia"] = _wikipedia(base_url=wikipedia_url, **live)
    if radiopaedia_pages is not None and radiopaedia_live:
        raise UserError("--radiopaedia-pages and --radiopaedia-live exclude each other; give one.")
    if radiopaedia_pages is not None:
        sources["Radiopaedia"] = _saved_radiopaedia(radiopaedia_pages)
    elif radiopaedia_live:
        sources["Radiopaedia"] = _radiopaedia(accept_terms=accept_terms, base_url=radiopaedia_url, **live)
    sources |= _folders(folder or ())
    if primer or not sources:
        from dallm.knowledge.sources.primer import Primer

        sources["primer"] = Primer()
    step(f"Asking about {condition!r}: {', '.join(sources)}")
    _say_what_is_missing(sources, neo4j)
    server = {"uri": neo4j, "database": database} if neo4j else None
    made = compare_retrieval(
        sources,
        stores=[name.strip() for name in stores.split(",") if name.strip()],
        condition=condition,
        neo4j={field: value for field, value in server.items() if value} if server else None,
        rubric=rubric,
        k=passages,
        encoder=None if lexical else "auto",
        progress=wants_progress(),
    )
    _show(made)
    for path in made.save(place.path):
        say(f"  {path}")


def _wikipedia(**options: Any) -> Any:
    from dallm.knowledge.sources.wikipedia import Wikipedia

    given = {name: value for name, value in options.items() if value is not None}
    return lambda hits: Wikipedia(pages=hits, **given)


def _radiopaedia(**options: Any) -> Any:
    from dallm.knowledge.sources.radiopaedia import Radiopaedia

    given = {name: value for name, value in options.items() if value is not None}
    return lambda hits: Radiopaedia(pages=hits, **given)


def _saved_radiopaedia(path: Path) -> Any:
    from dallm.knowledge.sources.radiopaedia import Radiopaedia

    return Radiopaedia(path)


def _folders(given: list[str] | tuple[str, ...]) -> dict[str, Any]:
    from dallm.knowledge.sources.folder import Folder

    made: dict[str, Any] = {}
    for item in given:
        name, _, path = item.rpartition("=")
        name = name or Path(path).name
        if name in made:
            raise UserError(f"Two folders are called {name!r}; name one as in --folder other={path}.")
        made[name] = Folder(path, name=name)
    return made


def _say_what_is_missing(sources: dict[str, Any], neo4j: str | None) -> None:
    if "Wikipedia" not in sources:
        notice("Note: Wikipedia is not read; --wikipedia reads it.")
    if "Radiopaedia" not in sources:
        notice("Note: Radiopaedia is not read; --radiopaedia-pages FOLDER reads pages that you saved.")
    if neo4j is None:
        notice("Note: no Neo4j is used; --neo4j neo4j://localhost:7687 names one.")


def _show(made: RetrievalComparison) -> None:
    found = made.table()
    columns = ["sources", "hits", "store", "score", "completeness", "support", "relevance", "answered"]
    rows = [
        [_plain(value) for value in row]
        for row in found[found["not_run"] == ""][columns].itertuples(index=False)
    ]
    table(columns, rows)
    say()
    for line in made.remarks():
        say(line)
    say()


def _plain(value: Any) -> Any:
    import pandas as pd

    return "" if value is pd.NA else value
