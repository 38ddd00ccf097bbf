"""What a model's name means: ``openai:gpt-4.1``, ``ollama:llama3.3``, a server of one's own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from dallm.errors import ExtraMissingError, UserError, did_you_mean

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class Server(NamedTuple):
    """A kind of server that speaks OpenAI's interface: its usual address, and where its key stands.

    `key` is a variable of the environment; None where the server asks for none.
    """

    base_url: str | None
    key: str | None


SERVERS = {
    "openai": Server("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "ollama": Server("http://localhost:11434/v1", None),
    "vllm": Server("http://localhost:8000/v1", None),
    "llamacpp": Server("http://localhost:8080/v1", None),
    "lmstudio": Server("http://localhost:1234/v1", None),
    "openrouter": Server("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": Server("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "deepseek": Server("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "together": Server("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "fireworks": Server("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "xai": Server("https://api.x.ai/v1", "XAI_API_KEY"),
}
"""Asked directly; every other provider is asked through LangChain."""

_OPENAI_NAMES = re.compile(r"(gpt-|chatgpt|o\d\b|o\d-)", re.IGNORECASE)
_BASE_URL = "OPENAI_BASE_URL"


class Named(NamedTuple):
    """What a name means: the provider, the model as its server knows it, and where that server is."""

    provider: str
    model: str
    base_url: str | None
    api_key: str | None
    direct: bool

    def __repr__(self) -> str:
        return f"Named({self.provider!r}, {self.model!r}, {self.base_url!r})"


def resolve_name(name: str, *, base_url: str | None = None, api_key: str | None = None) -> Named:
    """Say what a model's name means; nothing is asked yet.

    Parameters
    ----------
    name : str
        ``"provider:model"``, as LangChain's ``init_chat_model`` takes it. A bare model name means OpenAI's
        for its own models, and the server at `base_url` where that is given.
    base_url : str, optional
        Address of a server that speaks OpenAI's interface; it usually ends in ``/v1``.
    api_key : str, optional
        From the provider's variable of the environment where left out.

    Raises
    ------
    UserError
        If the name is empty, or the key that the provider asks for is nowhere.

    Examples
    --------
    >>> resolve_name("ollama:llama3.3")
    Named('ollama', 'llama3.3', 'http://localhost:11434/v1')
    >>> resolve_name("my-model", base_url="http://127.0.0.1:8000/v1")
    Named('openai', 'my-model', 'http://127.0.0.1:8000/v1')
    """
    provider, mark, model = name.strip().partition(":")
    provider = provider.strip().lower().replace("-", "_")
    tagged = base_url is not None and provider not in SERVERS and not _is_provider(provider)
    if not mark or tagged:
        # a bare name, or the name of a local model with a tag such as "llama3.3:70b"
        provider, model = "openai" if base_url or _OPENAI_NAMES.match(name) else "", name
    model = model.strip()
    if not model:
        raise UserError(
            f"{name!r} names no model; write 'provider:model', for example 'openai:gpt-4.1' or "
            "'ollama:llama3.3'."
        )
    if not provider:
        near = did_you_mean(name, SERVERS)
        raise UserError(
            f"{name!r} names no provider; write 'provider:model', for example 'openai:{name}', or give "
            f"base_url= of a server that speaks OpenAI's interface.{near}"
        )
    server = SERVERS.get(provider)
    if server is None and base_url is None:
        return Named(provider, model, None, api_key, direct=False)
    server = server or Server(None, None)
    address = base_url or (os.environ.get(_BASE_URL) if provider == "openai" else None) or server.base_url
    key = api_key or (os.environ.get(server.key) if server.key else None)
    if not key and server.key and base_url is None:
        raise UserError(
            f"{provider} asks for a key: set {server.key} in the environment (or give api_key=). A server of "
            "your own needs none: give base_url=."
        )
    return Named(provider, model, address, key or "none", direct=True)


def chat_model(named: Named, **options: Any) -> BaseChatModel:
    """Return LangChain's chat model for a provider that is not asked directly.

    Raises
    ------
    ExtraMissingError
        If the provider's package is not installed; the message holds the command.
    UserError
        If LangChain knows no such provider.
    """
    from langchain.chat_models import init_chat_model

    given = {name: value for name, value in options.items() if value is not None}
    if named.api_key:
        given["api_key"] = named.api_key
    try:
        made: BaseChatModel = init_chat_model(named.model, model_provider=named.provider, **given)
    except ImportError as error:
        package = re.search(r"langchain[-_][\w-]+", str(error))
        name = (
            package.group().replace("_", "-") if package else f"langchain-{named.provider.replace('_', '-')}"
        )
        raise ExtraMissingError(f"{named.provider} needs another package: pip install {name}") from error
    except ValueError as error:
        raise UserError(
            f"{named.provider!r} is no provider that LangChain or dallm knows."
            f"{did_you_mean(named.provider, SERVERS)} For a server that speaks OpenAI's interface give "
            "base_url=."
        ) from error
    return made


def _is_provider(name: str) -> bool:
    """Whether LangChain knows a provider of this name."""
    from langchain.chat_models import base

    return name in getattr(base, "_BUILTIN_PROVIDERS", {})
