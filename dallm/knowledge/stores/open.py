"""Open a knowledge store by its address."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError, did_you_mean
from dallm.knowledge.encoder import Encoder
from dallm.knowledge.stores.base import KnowledgeStore

if TYPE_CHECKING:
    from langchain_core.vectorstores import VectorStore

KINDS = ("local", "neo4j_vector", "neo4j_graph", "networkx", "langchain")
DEFAULT_PATH = "knowledge.dallm"
NEO4J_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]+)://", re.IGNORECASE)


def open_store(
    path: str | os.PathLike[str] | VectorStore | None = None,
    *,
    kind: str | None = None,
    namespace: str | None = None,
    encoder: str | os.PathLike[str] | Encoder | None = "auto",
    user: str | None = None,
    password: str | None = None,
    database: str | None = None,
    read_only: bool = False,
) -> KnowledgeStore:
    """Open a knowledge store, making it where it is missing.

    Parameters
    ----------
    path : path, address or VectorStore, optional
        Folder of a local store (``"knowledge.dallm"`` by default), file of a networkx graph
        (``"knowledge.json"``), address of a Neo4j database (``"neo4j://localhost:7687"``; for a Neo4j kind
        the environment's ``NEO4J_URI`` where left out), or a LangChain vector store.
    kind : {"local", "neo4j_vector", "neo4j_graph", "networkx", "langchain"}, optional
        Where the knowledge lives; told from `path` where left out.
    namespace : str, default="dallm"
        Whose passages, in a Neo4j database: several namespaces share a database without seeing each other,
        and nothing outside of the namespace is read, changed or deleted.
    encoder : "auto", path, object or None, default="auto"
        What makes retrieval dense besides lexical: the packaged encoder where it is installed (else a warning
        says what to install), the folder of a SentenceTransformer model, or an object with a method
        ``encode(list of str)`` or a LangChain ``Embeddings``. None means lexical retrieval. The graph kinds
        search by traversal and words: for them "auto" means none.
    user, password, database : str, optional
        Of a Neo4j database; ``NEO4J_USERNAME``, ``NEO4J_PASSWORD`` and ``NEO4J_DATABASE`` of the environment
        where left out.
    read_only : bool, default=False
        Refuse every write; the store must exist.

    Returns
    -------
    KnowledgeStore

    Raises
    ------
    StoreError
        If the store is broken, out of reach, of another program, read only and missing, or made with another
        encoder.
    UserError
        If `kind` is unknown, or an option does not fit it.

    Examples
    --------
    >>> import tempfile, dallm
    >>> store = dallm.open_store(tempfile.mkdtemp(), encoder=None)
    >>> report = dallm.ingest(store, sources=[dallm.Primer()], conditions=["atelectasis"])
    >>> report.added, store.conditions()
    (1, ('atelectasis',))
    >>> store.search("blood gas analysis", k=1, condition="atelectasis")[0].passage.section
    'Laboratory data'
    """
    wanted = _kind(path, kind)
    given = {"namespace": namespace, "user": user, "password": password, "database": database}
    given = {name: value for name, value in given.items() if value is not None}
    if not wanted.startswith("neo4j") and given:
        raise UserError(
            f"A store of the kind {wanted!r} takes no option {', '.join(map(repr, given))}; leave it out, or "
            "give the address of a Neo4j database such as 'neo4j://localhost:7687'."
        )
    open_it = _OPENERS[wanted]
    return open_it(path, encoder, read_only, given)


def is_address(path: object) -> bool:
    """Whether a text is the address of a server rather than a place on disk.

    Examples
    --------
    >>> is_address("neo4j://localhost:7687"), is_address("knowledge.dallm")
    (True, False)
    """
    return isinstance(path, str) and _SCHEME.match(path) is not None


def _kind(path: object, kind: str | None) -> str:
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind={kind!r} is none of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    if path is None:
        if kind == "langchain":
            raise UserError("kind='langchain' needs the vector store: open_store(your_vector_store).")
        return kind or "local"
    if not isinstance(path, str | os.PathLike):
        if not callable(getattr(path, "similarity_search_with_score", None)):
            raise UserError(
                "path is a folder, a file, an address or a LangChain vector store; "
                f"got {type(path).__name__}."
            )
        return _fitting("langchain", kind, ("langchain",), "a LangChain vector store")
    text = str(os.fspath(path))
    if not text.strip():
        raise UserError(f"path is empty; name a folder, for example {DEFAULT_PATH!r}.")
    if scheme := _SCHEME.match(text):
        if scheme.group(1).lower() not in NEO4J_SCHEMES:
            raise UserError(
                f"{text.split('@')[-1]!r} is no address of a store: it begins with one of "
                f"{', '.join(f'{s}://' for s in NEO4J_SCHEMES)}, or it is a folder such as {DEFAULT_PATH!r}."
                f"{did_you_mean(scheme.group(1), NEO4J_SCHEMES)}"
            )
        return _fitting("neo4j_vector", kind, ("neo4j_vector", "neo4j_graph"), f"the address {text!r}")
    if kind is not None and kind.startswith("neo4j"):
        raise UserError(f"kind={kind!r} needs an address such as 'neo4j://localhost:7687'; got {text!r}.")
    if kind == "langchain":
        raise UserError(f"kind='langchain' needs a LangChain vector store; got the text {text!r}.")
    return kind or ("networkx" if text.endswith(".json") else "local")


def _fitting(default: str, kind: str | None, fitting: tuple[str, ...], what: str) -> str:
    if kind is not None and kind not in fitting:
        raise UserError(f"kind={kind!r} does not fit {what}; it takes {' or '.join(map(repr, fitting))}.")
    return kind or default


def _local(path: Any, encoder: Any, read_only: bool, options: dict[str, Any]) -> KnowledgeStore:
    from dallm.knowledge.stores.local import LocalStore

    return LocalStore(path or DEFAULT_PATH, encoder=encoder, read_only=read_only)


def _networkx(path: Any, encoder: Any, read_only: bool, options: dict[str, Any]) -> KnowledgeStore:
    from dallm.knowledge.stores.networkx import NetworkXStore

    return NetworkXStore(path or "knowledge.json", encoder=_graph_encoder(encoder), read_only=read_only)


def _neo4j_vector(path: Any, encoder: Any, read_only: bool, options: dict[str, Any]) -> KnowledgeStore:
    from dallm.knowledge.stores.neo4j.vector import Neo4jVectorStore

    return Neo4jVectorStore(path, encoder=encoder, read_only=read_only, **options)


def _neo4j_graph(path: Any, encoder: Any, read_only: bool, options: dict[str, Any]) -> KnowledgeStore:
    from dallm.knowledge.stores.neo4j.graph import Neo4jGraphStore

    return Neo4jGraphStore(path, encoder=_graph_encoder(encoder), read_only=read_only, **options)


def _langchain(path: Any, encoder: Any, read_only: bool, options: dict[str, Any]) -> KnowledgeStore:
    from dallm.knowledge.stores.langchain import LangChainStore

    if encoder not in ("auto", None):
        raise UserError("A LangChain vector store embeds by itself: leave encoder= out.")
    return LangChainStore(path)


def _graph_encoder(encoder: Any) -> Any:
    return None if isinstance(encoder, str) and encoder == "auto" else encoder


_OPENERS: dict[str, Callable[[Any, Any, bool, dict[str, Any]], KnowledgeStore]] = {
    "local": _local,
    "networkx": _networkx,
    "neo4j_vector": _neo4j_vector,
    "neo4j_graph": _neo4j_graph,
    "langchain": _langchain,
}
