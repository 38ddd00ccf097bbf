"""Open a knowledge store by its address."""

from __future__ import annotations

import os
import re
from typing import Any

from dallm.errors import UserError, did_you_mean
from dallm.knowledge.encoder import Encoder
from dallm.knowledge.stores.base import KnowledgeStore

KINDS = ("local",)
_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]+)://", re.IGNORECASE)


def open_store(
    path: str | os.PathLike[str] = "knowledge.dallm",
    *,
    kind: str | None = None,
    encoder: str | os.PathLike[str] | Encoder | None = "auto",
    read_only: bool = False,
    **options: Any,
) -> KnowledgeStore:
    """Open a knowledge store, making it where it is missing.

    Parameters
    ----------
    path : path, default="knowledge.dallm"
        Folder of a local store.
    kind : {"local"}, optional
        Where the knowledge lives; told from `path` where left out.
    encoder : "auto", path, object or None, default="auto"
        What makes retrieval dense besides lexical: the packaged encoder where it is installed (else a warning
        says what to install), the folder of a SentenceTransformer model, or an object with a method
        ``encode(list of str)``. None means lexical retrieval.
    read_only : bool, default=False
        Refuse every write; the store must exist.
    **options
        Options of one kind of store; the local one has none.

    Returns
    -------
    KnowledgeStore

    Raises
    ------
    StoreError
        If the store is broken, of another program, read only and missing, or made with another encoder.
    UserError
        If `kind` or an option is unknown.

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
    address = os.fspath(path)
    if not str(address).strip():
        raise UserError("path is empty; name a folder, for example 'knowledge.dallm'.")
    scheme = _SCHEME.match(str(address))
    wanted = kind or ("local" if not scheme else scheme.group(1).lower())
    if wanted not in KINDS:
        raise UserError(
            f"This version has no store of the kind {wanted!r} (asked for by "
            f"{'kind=' if kind else 'the address'}); it has: {', '.join(KINDS)}. Give a folder, for example "
            f"'knowledge.dallm'.{did_you_mean(wanted, KINDS)}"
        )
    if options:
        raise UserError(f"A local store takes no option {', '.join(map(repr, options))}; leave it out.")
    from dallm.knowledge.stores.local import LocalStore

    return LocalStore(address, encoder=encoder, read_only=read_only)
