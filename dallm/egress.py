"""Patient text stays on the machine: which addresses are public, and who may be sent a patient's words."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dallm.errors import EgressError

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.knowledge.passage import Hit
    from dallm.knowledge.stores.base import KnowledgeStore

# where clients of the field keep the address of what they talk to, and the parts that have one of their own
_ADDRESSES = (
    "endpoint",
    "base_url",
    "openai_api_base",
    "api_base",
    "azure_endpoint",
    "endpoint_url",
    "inference_server_url",
    "server_url",
    "api_url",
    "uri",
    "url",
    "host",
)
_PARTS = (
    "vectors",
    "embeddings",
    "embedding",
    "_embedding",
    "encoder",
    "_encoder",
    "client",
    "_client",
    "_driver",
    "_pool",
)
_DEPTH = 4
# packages whose clients call their maker's servers where no address is set
_MAKERS = {
    "langchain_openai": "https://api.openai.com",
    "openai": "https://api.openai.com",
    "langchain_anthropic": "https://api.anthropic.com",
    "langchain_cohere": "https://api.cohere.com",
    "cohere": "https://api.cohere.com",
    "langchain_mistralai": "https://api.mistral.ai",
    "langchain_google_genai": "https://generativelanguage.googleapis.com",
    "langchain_google_vertexai": "https://aiplatform.googleapis.com",
    "langchain_aws": "https://amazonaws.com",
    "langchain_voyageai": "https://api.voyageai.com",
    "langchain_together": "https://api.together.xyz",
    "langchain_fireworks": "https://api.fireworks.ai",
    "langchain_nvidia_ai_endpoints": "https://integrate.api.nvidia.com",
    "langchain_pinecone": "https://api.pinecone.io",
    "langchain_astradb": "https://astra.datastax.com",
}
_MAKERS_BY_CLASS = {"HuggingFaceEndpointEmbeddings": "https://api-inference.huggingface.co"}
_PRIVATE_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".intranet", ".localdomain")


def is_public(address: str) -> bool:
    """Whether what is sent to an address may leave the premises.

    Loopback, private and link-local addresses, sockets of this machine and names without a dot or with a
    private ending are not public; a name is public if one of the addresses that it resolves to is, or if it
    does not resolve.

    Parameters
    ----------
    address : str
        A URL, or a host with or without a port.

    Examples
    --------
    >>> is_public("http://127.0.0.1:8000/v1"), is_public("neo4j://10.1.2.3:7687"), is_public("bolt://[::1]")
    (False, False, False)
    >>> is_public("https://8.8.8.8/v1"), is_public("graph.internal:7687")
    (True, False)
    """
    host = _host(address)
    if host is None:
        return False
    try:
        return _is_global(host)
    except ValueError:
        pass
    if host == "localhost" or host.endswith(_PRIVATE_ENDINGS):
        return False
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return "." in host
    return any(_is_global(literal) for literal in found)


def endpoints_of(thing: object) -> tuple[str, ...]:
    """Return the addresses that a store, a vector store, an encoder or a client of a model talks to.

    They are read from the attributes that clients keep them in, without calling anything; an object that has
    none is taken to work on this machine.

    Examples
    --------
    >>> class Client:
    ...     base_url = "https://models.example.org/v1"
    >>> endpoints_of(Client())
    ('https://models.example.org/v1',)
    """
    return tuple(dict.fromkeys(_addresses(thing, _DEPTH, set())))


def refuse_patient_text(
    cohort: Cohort, thing: object, allow_egress: bool | str | Collection[str] | None = None
) -> None:
    """Refuse to send text of a credentialed cohort to what lies at a public address.

    Parameters
    ----------
    cohort : Cohort
        Whose text it is; ``data_use="open"`` may go anywhere.
    thing : object
        What would receive it: a store, its encoder, a client of a model.
    allow_egress : bool, str or collection of str, optional
        True allows every address; a host, or several, allows these.

    Raises
    ------
    EgressError
        If a public address would receive it that is not allowed.
    """
    if cohort.data_use != "credentialed" or allow_egress is True:
        return
    allowed = {allow_egress} if isinstance(allow_egress, str) else set(allow_egress or ())
    for address in endpoints_of(thing):
        if is_public(address) and _host(address) not in allowed:
            raise EgressError(
                f"The cohort's data_use is 'credentialed', and {_shown(address)} is a public address: its "
                "text is not sent there. Use a server on your own premises, or, where the data's terms allow "
                f"it, say allow_egress={_host(address)!r}. Data that anyone may see: "
                "Cohort(..., data_use='open')."
            )


def search_with_patient_text(
    store: KnowledgeStore,
    text: str,
    cohort: Cohort,
    *,
    k: int = 4,
    condition: str | None = None,
    source: str | None = None,
    allow_egress: bool | str | Collection[str] | None = None,
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
    allow_egress : bool, str or collection of str, optional
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
    return store.search(text, k=k, condition=condition, source=source)


class GuardedStore:
    """A store as the filling of a cohort sees it: every search counts as one with a patient's words.

    Parameters
    ----------
    store : KnowledgeStore
        The store.
    cohort : Cohort
        Whose cases are filled.
    allow_egress : bool, str or collection of str, optional
        See :func:`refuse_patient_text`.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        cohort: Cohort,
        allow_egress: bool | str | Collection[str] | None = None,
    ) -> None:
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


def _addresses(thing: object, depth: int, seen: set[int]) -> Iterator[str]:
    if thing is None or isinstance(thing, str | bytes | int | float) or id(thing) in seen or depth < 0:
        return
    seen.add(id(thing))
    found = [text for name in _ADDRESSES if (text := _text(_attribute(thing, name)))]
    if address := _attribute(thing, "address"):  # the driver of Neo4j: a pair of host and port
        found.append(":".join(map(str, address)) if isinstance(address, tuple) else str(address))
    below = [part for name in _PARTS if (part := _attribute(thing, name)) is not None]
    parts = [text for part in below for text in _addresses(part, depth - 1, seen)]
    yield from found
    yield from parts
    if not found and not parts and (maker := _maker(thing)):
        yield maker


def _attribute(thing: object, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # a property of somebody else's class may raise anything; it tells no address then
        return None


def _text(value: object) -> str | None:
    if value is None or callable(value):
        return None
    text = str(getattr(value, "get_secret_value", lambda: value)())
    return text if text and not text.startswith("<") else None


def _maker(thing: object) -> str | None:
    kind = type(thing)
    by_class = _MAKERS_BY_CLASS.get(kind.__name__)
    return by_class or _MAKERS.get(kind.__module__.split(".")[0])


def _host(address: str) -> str | None:
    """The host of an address in lower case; None for a socket or a file of this machine."""
    text = address.strip()
    if text.startswith(("/", "unix:", "file:")):
        return None
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname
    except ValueError:
        return text.lower()
    return (host or text).rstrip(".").lower()


def _is_global(literal: str) -> bool:
    ip = ipaddress.ip_address(literal.split("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_global)


def _shown(address: str) -> str:
    """An address without what may be a password in it."""
    return repr(address.rsplit("@", 1)[-1] if "@" in address else address)
