"""The stores that Experiment II compares, each opened empty and gone afterwards."""

from __future__ import annotations

import secrets
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dallm.errors import DallmError, KnowledgeWarning, StoreError, UserError, did_you_mean
from dallm.knowledge.encoder import TextEncoder, make_encoder
from dallm.knowledge.stores.base import KnowledgeStore

STORES = ("networkx", "neo4j_graph", "neo4j_vector", "local")
_SERVER = ("uri", "user", "password", "database")
NO_SERVER = "no Neo4j was named; give neo4j=dict(uri=..., user=..., password=...)"


class Remembering:
    """An encoder that keeps what it encoded: the arms of an experiment hold the same passages.

    Parameters
    ----------
    encoder : TextEncoder
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.identity = encoder.identity
        self._encoder = encoder
        self._kept: dict[str, NDArray[np.float32]] = {}

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text; only new texts are encoded."""
        new = list(dict.fromkeys(text for text in sentences if text not in self._kept))
        if new:
            self._kept.update(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._kept[text] for text in sentences], dtype=np.float32)


class ArmStores:
    """Opens one empty store after the other, and remembers which kinds cannot be had.

    Parameters
    ----------
    stores : sequence of str
        Of :data:`STORES`.
    neo4j : str, mapping or None
        Address of a server, or its ``uri, user, password, database``. A namespace of its own is used per arm.
    encoder : "auto", path, object or None
        For the stores that take one.

    Raises
    ------
    UserError
        If a store or a field of `neo4j` is unknown.
    """

    def __init__(self, stores: Sequence[str], neo4j: str | Mapping[str, Any] | None, encoder: Any) -> None:
        listed = (stores,) if isinstance(stores, str) else tuple(dict.fromkeys(stores))
        for name in listed:
            if name not in STORES:
                near = did_you_mean(name, STORES)
                raise UserError(f"No store {name!r} can be compared; {', '.join(STORES)} can.{near}")
        if not listed:
            raise UserError(f"stores is empty; name at least one of {', '.join(STORES)}.")
        self.names = listed
        self._server = _server(neo4j)
        made = make_encoder(encoder)
        self.encoder = TextEncoder(made.identity, encoder=Remembering(made)) if made else None
        self.missing: dict[str, str] = {}
        if self._server is None:
            self.missing |= {name: NO_SERVER for name in listed if name.startswith("neo4j")}

    @contextmanager
    def opened(self, name: str) -> Iterator[KnowledgeStore | None]:
        """Give an empty store of a kind, or None where it cannot be had (see :attr:`missing`)."""
        if name in self.missing:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="dallm-table3-") as place:
            try:
                store = self._open(name, Path(place))
            except DallmError as error:
                self.missing[name] = str(error)
                yield None
                return
            try:
                yield store
            finally:
                _leave(store)

    def _open(self, name: str, place: Path) -> KnowledgeStore:
        if name == "local":
            from dallm.knowledge.stores.local import LocalStore

            return LocalStore(place / "documents.dallm", encoder=self.encoder)
        if name == "networkx":
            from dallm.knowledge.stores.networkx import NetworkXStore

            return NetworkXStore(place / "graph.json")
        server = dict(self._server or {})
        uri, namespace = server.pop("uri"), f"table3_{secrets.token_hex(6)}"
        if name == "neo4j_graph":
            from dallm.knowledge.stores.neo4j.graph import Neo4jGraphStore

            return Neo4jGraphStore(uri, namespace=namespace, **server)
        from dallm.knowledge.stores.neo4j.vector import Neo4jVectorStore

        return Neo4jVectorStore(uri, namespace=namespace, encoder=self.encoder, **server)


def _server(neo4j: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if neo4j is None:
        return None
    given = {"uri": neo4j} if isinstance(neo4j, str) else dict(neo4j)
    for field in given:
        if field not in _SERVER:
            raise UserError(f"neo4j has no field {field!r}; it takes {', '.join(_SERVER)}.")
    if not given.get("uri"):
        raise UserError("neo4j needs a uri, for example dict(uri='neo4j://localhost:7687', user='neo4j').")
    return given


def _leave(store: KnowledgeStore) -> None:
    """Empty the namespace that was this arm's own, and let the store go."""
    try:
        if store.kind.startswith("neo4j"):
            store.clear()
    except StoreError as error:
        warnings.warn(f"What {store!r} holds could not be removed: {error}", KnowledgeWarning, stacklevel=3)
    finally:
        store.close()
