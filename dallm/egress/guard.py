"""The one guard before everything that can send text: chat models, encoders, stores, uploads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from dallm.egress.addresses import host_of, is_public, shown
from dallm.egress.allowed import Allowed, AllowEgress
from dallm.egress.connections import checked_connections
from dallm.egress.endpoints import endpoints_of, is_chat_model, name_of
from dallm.errors import EgressError

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.knowledge.passage import Hit
    from dallm.knowledge.stores.base import KnowledgeStore


class HasDataUse(Protocol):
    """What the guard needs of a cohort."""

    @property
    def data_use(self) -> str:
        """``"open"`` or ``"credentialed"``."""
        ...


def refuse_patient_text(cohort: HasDataUse, thing: object, allow_egress: AllowEgress = None) -> None:
    """Refuse to send text of a credentialed cohort to what lies at a public address.

    Parameters
    ----------
    cohort : Cohort
        Whose text it is; ``data_use="open"`` may go anywhere.
    thing : object
        What would receive it: a store, its encoder, a client of a model. A chat model whose address cannot be
        established counts as public; a store or an encoder without one works on this machine.
    allow_egress : bool, str, collection or mapping of str, optional
        A host, a host with its agreement (``"host: agreement"``), several of either, or a mapping of hosts to
        agreements; True allows every address.

    Raises
    ------
    EgressError
        If a public address would receive it that is not allowed.
    """
    if cohort.data_use != "credentialed":
        return
    allowed = Allowed.of(allow_egress)
    for host, place in _public_places(thing):
        if host not in allowed:
            raise EgressError(
                f"The cohort's data_use is 'credentialed', and {place}: its text is not sent there. Use a "
                "server on your own premises, or, where the data's terms allow it, name the host and the "
                f"agreement: allow_egress={host!r}, or {{{host!r}: 'the agreement'}}. Data that anyone may "
                "see: Cohort(..., data_use='open')."
            )


def agreement_of(data_use: str, thing: object, allow_egress: AllowEgress = None) -> str:
    """Return under which agreement text of a cohort leaves the premises; empty where none is needed.

    Examples
    --------
    >>> class Client:
    ...     base_url = "https://8.8.8.8/v1"
    >>> agreement_of("credentialed", Client(), "8.8.8.8: agreement of 2026-03-01")
    '8.8.8.8: agreement of 2026-03-01'
    """
    if data_use != "credentialed":
        return ""
    allowed = Allowed.of(allow_egress)
    hosts = dict.fromkeys(host for host, _ in _public_places(thing))
    return "; ".join(f"{host}: {allowed.agreement(host)}" for host in hosts)


def search_with_patient_text(
    store: KnowledgeStore,
    text: str,
    cohort: Cohort,
    *,
    k: int = 4,
    condition: str | None = None,
    source: str | None = None,
    allow_egress: AllowEgress = None,
) -> list[Hit]:
    """Search a store with words of a patient's report; nothing is sent where they may not go.

    Parameters
    ----------
    store : KnowledgeStore
        Where to search; neither it nor its encoder may be at a public address if the cohort is credentialed.
    text : str
        The patient's words.
    cohort : Cohort
        Whose words they are.
    k, condition, source
        As in the store's ``search``.
    allow_egress : bool, str, collection or mapping of str, optional
        See :func:`refuse_patient_text`.

    Returns
    -------
    list of Hit

    Raises
    ------
    EgressError
        If the text may not be sent there.
    """
    refuse_patient_text(cohort, store, allow_egress)
    # a store of this machine alone may load its encoder from anywhere: that sends no text
    held = cohort.data_use == "credentialed" and not Allowed.of(allow_egress) and bool(endpoints_of(store))
    with checked_connections(active=held) as watch:
        try:
            return store.search(text, k=k, condition=condition, source=source)
        except Exception:
            if not watch.refused:
                raise
    raise EgressError(watch.refused)


class GuardedStore:
    """A store as the filling of a cohort sees it: every search counts as one with a patient's words.

    Parameters
    ----------
    store : KnowledgeStore
        The store.
    cohort : Cohort
        Whose cases are filled.
    allow_egress : bool, str, collection or mapping of str, optional
        See :func:`refuse_patient_text`.
    """

    def __init__(self, store: KnowledgeStore, cohort: Cohort, allow_egress: AllowEgress = None) -> None:
        self._store = store
        self._cohort = cohort
        self._allow_egress = allow_egress

    def __repr__(self) -> str:
        return repr(self._store)

    def search(
        self, query: str, k: int = 4, condition: str | None = None, source: str | None = None
    ) -> list[Hit]:
        """Search, unless the words may not be sent there."""
        return search_with_patient_text(
            self._store,
            query,
            self._cohort,
            k=k,
            condition=condition,
            source=source,
            allow_egress=self._allow_egress,
        )


def _public_places(thing: object) -> Iterator[tuple[str, str]]:
    """Hosts that are public, or classes that show none, each with the words that say so."""
    addresses = endpoints_of(thing)
    for address in addresses:
        if is_public(address):
            yield host_of(address) or shown(address), f"{shown(address)!r} is a public address"
    if not addresses and is_chat_model(thing):
        name = name_of(thing)
        yield name, f"{name} does not show where it sends its text, which counts as a public address"
