"""What every store does the same way: checks of what is asked for, and the handle's manners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever


class StoreHandle(ABC):
    """Base of the stores: closes at the end of a block, is shared when copied, makes retrievers."""

    kind: str
    read_only: bool
    endpoint: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a handle: scikit-learn's clone copies parameters deeply

    @abstractmethod
    def close(self) -> None:
        """Release the store; it cannot be used afterwards."""

    def as_retriever(
        self, k: int = 4, condition: str | None = None, source: str | None = None
    ) -> BaseRetriever:
        """Return a LangChain retriever over the store, for use in a chain.

        Parameters
        ----------
        k : int, default=4
            At most so many documents.
        condition, source : str, optional
            As in ``search``.
        """
        from dallm.knowledge.stores.langchain import StoreRetriever

        return StoreRetriever(store=self, k=k, condition=condition, source=source)


def check_question(query: object, k: object) -> None:
    """Refuse a query that is no text, and a number of hits that is none.

    Raises
    ------
    UserError
        If `query` is no str, or `k` no positive int.
    """
    if not isinstance(query, str):
        raise UserError(f"A query is a text; got {type(query).__name__}.")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k is the number of hits, 1 or more; got {k!r}.")


def one_source(source: str, names: Sequence[str]) -> str:
    """Return the name of the source that is meant: the name itself, or the only one that holds this text.

    Raises
    ------
    UserError
        If none or several hold it.

    Examples
    --------
    >>> one_source("primer", ["dallm primer, unreviewed", "notes"])
    'dallm primer, unreviewed'
    """
    if source in names:
        return source
    holding = [name for name in names if str(source).casefold() in name.casefold()]
    if len(holding) == 1:
        return holding[0]
    listed = ", ".join(map(repr, names)) or "none"
    raise UserError(f"No one source is called {source!r}; here are {listed}.{did_you_mean(source, names)}")
