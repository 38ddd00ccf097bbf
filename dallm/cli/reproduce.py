"""``dallm reproduce``: the experiments of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.cli import reproduce_figures, reproduce_table2, reproduce_table4
from dallm.cli.option_groups import Without, with_groups
from dallm.cli.outputs import OutputFolder
from dallm.cli.screen import notice, say, step, table, wants_progress
from dallm.cli.sites import SOURCES, Sites
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.paper.comparison import RetrievalComparison

reproduce = typer.Typer(
    name="reproduce",
    help="Run an experiment of the paper and set it beside what was published.",
    no_args_is_help=True,
)
_STORES = "Stores"


@reproduce.callback()
def _group() -> None:
    """Run an experiment of the paper and set it beside what was published."""


_Condition = Annotated[str, typer.Option("--condition", help="What the questions are about.", metavar="NAME")]
_Primer = Annotated[bool, typer.Option("--primer", help="The built-in primer.", rich_help_panel=SOURCES)]
_Folder = Annotated[
    list[str] | None,
    typer.Option(
        "--folder", help="A folder of texts; repeat it.", metavar="NAME=FOLDER", rich_help_panel=SOURCES
    ),
]
_Neo4j = Annotated[
    str | None,
    typer.Option(
        "--neo4j",
        help="Address of a Neo4j server; user and password from NEO4J_USERNAME and NEO4J_PASSWORD.",
        metavar="ADDRESS",
        rich_help_panel=_STORES,
    ),
]
_Database = Annotated[
    str | None,
    typer.Option("--database", help="Database of that server.", metavar="NAME", rich_help_panel=_STORES),
]
_Stores = Annotated[
    str,
    typer.Option("--stores", help="Which, with commas between.", metavar="NAMES", rich_help_panel=_STORES),
]
_Lexical = Annotated[bool, typer.Option("--lexical", help="Without an encoder.", rich_help_panel=_STORES)]
_Passages = Annotated[
    int, typer.Option("-k", "--passages", min=1, help="Passages that an answer may rest on.")
]
_Rubric = Annotated[Path | None, typer.Option("--rubric", help="Your own expected facts.", metavar="FILE")]


@reproduce.command("table3")
@with_groups
def table3(
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")],
    condition: _Condition = "atelectasis",
    primer: _Primer = False,
    sites: Annotated[Sites, Without("pubmed", "pubmed_url")],
    folder: _Folder = None,
    neo4j: _Neo4j = None,
    database: _Database = None,
    stores: _Stores = "networkx,neo4j_graph,neo4j_vector,local",
    lexical: _Lexical = False,
    passages: _Passages = 6,
    rubric: _Rubric = None,
) -> None:
    """Answer five questions from each set of sources in each store, and measure the answers (Experiment II).

    Without a source the built-in primer is read, and no network is used. Nothing of a server's other data is
    touched: every arm has a namespace of its own, which is removed at the end.
    """
    from dallm.paper.table3 import compare_retrieval

    place = OutputFolder(out)
    sources = _sites(sites) | _folders(folder or ())
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


def _sites(sites: Sites) -> dict[str, Any]:
    """The sites by their names; one that is searched as a function of which hits are wanted."""
    if sites.radiopaedia_pages is not None and sites.radiopaedia_live:
        raise UserError("--radiopaedia-pages and --radiopaedia-live exclude each other; give one.")
    made: dict[str, Any] = {}
    if sites.wikipedia or sites.wikipedia_url:
        made["Wikipedia"] = sites.wikipedia_articles
    if sites.radiopaedia_pages is not None:
        made["Radiopaedia"] = sites.saved_radiopaedia()
    elif sites.radiopaedia_live:
        made["Radiopaedia"] = sites.radiopaedia_articles
    return made


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


reproduce.command("table2")(reproduce_table2.table2)
reproduce.command("table4")(reproduce_table4.table4)
reproduce.command("figure3")(reproduce_figures.figure3)
reproduce.command("figure4")(reproduce_figures.figure4)
reproduce.command("figure5")(reproduce_figures.figure5)
