"""Where a store, an encoder or a client of a model sends what it is given, as far as its attributes tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

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
    "async_client",
    "_async_client",
    "root_client",
    "root_async_client",
    "llm",
    "chat_model",
    "_chat_model",
    "meta",  # of boto3's clients
    "_driver",
    "_pool",
)
_LIKE_AN_ADDRESS = re.compile(r"(.*_)?(url|uri|endpoint|host|api_base)")
_DEPTH = 4
# packages whose clients call their maker's servers where no address is set
_MAKERS = {
    "langchain_openai": "https://api.openai.com",
    "openai": "https://api.openai.com",
    "langchain_anthropic": "https://api.anthropic.com",
    "anthropic": "https://api.anthropic.com",
    "langchain_cohere": "https://api.cohere.com",
    "cohere": "https://api.cohere.com",
    "langchain_mistralai": "https://api.mistral.ai",
    "langchain_google_genai": "https://generativelanguage.googleapis.com",
    "langchain_google_vertexai": "https://aiplatform.googleapis.com",
    "langchain_aws": "https://amazonaws.com",
    "langchain_voyageai": "https://api.voyageai.com",
    "langchain_together": "https://api.together.xyz",
    "langchain_fireworks": "https://api.fireworks.ai",
    "langchain_groq": "https://api.groq.com",
    "langchain_deepseek": "https://api.deepseek.com",
    "langchain_xai": "https://api.x.ai",
    "langchain_perplexity": "https://api.perplexity.ai",
    "langchain_nvidia_ai_endpoints": "https://integrate.api.nvidia.com",
    "langchain_pinecone": "https://api.pinecone.io",
    "langchain_astradb": "https://astra.datastax.com",
}
_MAKERS_BY_CLASS = {"HuggingFaceEndpointEmbeddings": "https://api-inference.huggingface.co"}


def endpoints_of(thing: object) -> tuple[str, ...]:
    """Return the addresses that a store, a vector store, an encoder or a client of a model talks to.

    They are read from the attributes that clients keep them in, without calling anything.

    Examples
    --------
    >>> class Client:
    ...     base_url = "https://models.example.org/v1"
    >>> endpoints_of(Client())
    ('https://models.example.org/v1',)
    """
    return tuple(dict.fromkeys(_addresses(thing, _DEPTH, set(), frozenset())))


def is_chat_model(thing: object) -> bool:
    """Whether a thing is a chat model: it sends text away unless it says where it works."""
    client = callable(_attribute(thing, "send")) and _attribute(thing, "endpoints") is not None
    return client or any(kind.__name__ == "BaseLanguageModel" for kind in type(thing).__mro__)


def name_of(thing: object) -> str:
    """Return the name of the class that a client stands for."""
    for part in ("inner", "_chat_model"):  # the guard around a client, the client around a chat model
        thing = _attribute(thing, part) or thing
    return type(thing).__name__


def _addresses(thing: object, depth: int, seen: set[int], without: frozenset[str]) -> Iterator[str]:
    if thing is None or isinstance(thing, str | bytes | int | float) or id(thing) in seen or depth < 0:
        return
    seen.add(id(thing))
    found = list(_own_addresses(thing))
    maker = _maker(thing)
    if found and maker:
        without = without | {maker}  # its parts do not call the maker either
    below = [part for name in _PARTS if (part := _attribute(thing, name)) is not None]
    parts = [text for part in below for text in _addresses(part, depth - 1, seen, without)]
    yield from found
    yield from parts
    if not found and not parts and maker and maker not in without:
        yield maker


def _own_addresses(thing: object) -> Iterator[str]:
    declared = _attribute(thing, "endpoints")
    if isinstance(declared, tuple | list):
        yield from (text for text in declared if isinstance(text, str) and text)
    names = list(_ADDRESSES)
    if is_chat_model(thing):
        names += [name for name in _names(thing) if _LIKE_AN_ADDRESS.fullmatch(name) and name not in names]
    yield from (text for name in names if (text := _text(_attribute(thing, name))))
    if address := _attribute(thing, "address"):  # the driver of Neo4j: a pair of host and port
        yield ":".join(map(str, address)) if isinstance(address, tuple) else str(address)


def _names(thing: object) -> list[str]:
    own = _attribute(thing, "__dict__")
    return [name for name in own if isinstance(own[name], str)] if isinstance(own, dict) else []


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
