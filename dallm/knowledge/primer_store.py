"""The built-in primer as a store that lasts as long as it is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dallm.knowledge.stores.base import KnowledgeStore


@contextmanager
def primer_store(conditions: Sequence[str], *, progress: bool = False) -> Iterator[KnowledgeStore]:
    """Give a temporary store with what the primer says of these conditions, searched by words.

    On so small a text the encoder finds what words find, and takes half a minute to load.

    Examples
    --------
    >>> with primer_store(["atelectasis"]) as store:
    ...     store.conditions()
    ('atelectasis',)
    """
    from dallm.knowledge.ingest import ingest
    from dallm.knowledge.sources.primer import Primer
    from dallm.knowledge.stores.open import open_store

    with (
        tempfile.TemporaryDirectory(prefix="dallm-") as folder,
        closing(open_store(Path(folder) / "primer.dallm", encoder=None)) as store,
    ):
        ingest(store, [Primer()], conditions, progress=progress)
        yield store
