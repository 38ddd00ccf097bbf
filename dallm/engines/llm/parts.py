"""What an engine's options stand for: the client of a chat model, and the cache of its answers."""

from __future__ import annotations

import os
from typing import Any

from dallm.engines.llm.cache.store import AnswerCache
from dallm.engines.llm.clients.faults import without_user
from dallm.engines.llm.wire import ChatClient
from dallm.errors import UserError


def client_of(chat_model: Any, timeout_s: float) -> ChatClient:
    """Return what sends to a chat model: a client as it is, a LangChain model within one."""
    if callable(getattr(chat_model, "send", None)) and hasattr(chat_model, "endpoints"):
        client: ChatClient = chat_model
        return client
    from dallm.engines.llm.clients.langchain_chat import LangChainChat

    return LangChainChat(chat_model, timeout_s=timeout_s)


def cache_of(given: Any, *, cache_text: bool) -> AnswerCache | None:
    """Return the cache that an option means: a folder, a cache, True for the user's own, None for none.

    Raises
    ------
    UserError
        If it means none of these.

    Examples
    --------
    >>> cache_of(None, cache_text=True) is None
    True
    """
    if given is None or given is False or isinstance(given, AnswerCache):
        return given or None
    if given is True:
        return AnswerCache(cache_text=cache_text)
    if not isinstance(given, str | os.PathLike):
        raise UserError(f"cache is a folder, an AnswerCache, True or None; got {given!r}.")
    return AnswerCache(given, cache_text=cache_text)


def key_of(client: ChatClient) -> str:
    """Return the name of a model and where it is served, as the cache tells answers apart.

    Examples
    --------
    >>> from dallm.engines.llm.clients.openai_chat import OpenAIChat
    >>> key_of(OpenAIChat("tiny", base_url="http://ann:secret@127.0.0.1:8000/v1"))
    'tiny@http://127.0.0.1:8000/v1'
    """
    return f"{client.model}@{','.join(sorted(map(without_user, client.endpoints)))}"
