"""Which knowledge store a command means: a folder, the file of a graph, or a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dallm.errors import StoreError

if TYPE_CHECKING:
    from dallm.knowledge.stores.base import KnowledgeStore

ADDRESS_HELP = "a folder, the .json file of a graph, or a Neo4j address such as neo4j://localhost:7687"
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace", help="Whose passages, in a Neo4j database; dallm where left out.", metavar="NAME"
    ),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="Kind of store: local, networkx, neo4j_vector, neo4j_graph. Told from the address.",
        metavar="KIND",
    ),
]


def open_given(
    address: str,
    *,
    namespace: str | None = None,
    kind: str | None = None,
    read_only: bool = True,
    lexical: bool = False,
) -> KnowledgeStore:
    """Open the store that the user named; user and password of a database come from the environment."""
    import dallm

    if read_only:
        check_there(address)
    return dallm.open_store(
        address,
        kind=kind,
        namespace=namespace,
        encoder=None if lexical else "auto",
        read_only=read_only,
    )


def check_there(address: str) -> None:
    """Refuse a store on disk that does not exist, before anything long begins."""
    from dallm.knowledge.stores.open import is_address

    if not is_address(address) and not Path(address).exists():
        raise StoreError(f"There is no store {address!r}. Make one: dallm ingest --store {address} --primer")


def place_of(address: str | None) -> str | None:
    """Return the store's place for the record of a run: an address as it is, a path in full."""
    from dallm.knowledge.stores.open import is_address

    if address is None or is_address(address):
        return address
    return os.fspath(Path(address).resolve())
