"""A chat model that may be given a credentialed cohort's text."""

from __future__ import annotations

import asyncio
import copy
import functools
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dallm.egress import Allowed, AllowEgress, agreement_of, is_public
from dallm.egress.addresses import host_of, shown
from dallm.egress.connections import checked_connections
from dallm.engines.llm.clients.faults import FormError
from dallm.engines.llm.clients.langchain_chat import LangChainChat
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.tracing import patient_text, scrubbed
from dallm.engines.llm.wire import CallError, ChatClient, Reply, Request
from dallm.errors import DallmError, EgressError, EngineError

if TYPE_CHECKING:
    import httpx2
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from dallm.engines.llm.gateway import Gateway

_PROXIES = ("proxy", "proxies", "openai_proxy", "anthropic_proxy", "http_proxy", "https_proxy")
_ROOT = "root_async_client"  # of langchain-openai


def guarded(client: ChatClient, data_use: str, allow_egress: AllowEgress = None) -> GuardedChat:
    """Return a client to the same model that may be given text of a cohort.

    The connections of :class:`OpenAIChat` and of langchain-openai are made by the guard itself. Other
    packages keep their own; the guard looks at every connection that they make from Python, and refuses them
    where a proxy is set.

    Parameters
    ----------
    client : ChatClient
    data_use : str
        ``"credentialed"``.
    allow_egress : bool, str, collection or mapping of str, optional
        See :func:`dallm.egress.refuse_patient_text`, which is asked first.

    Raises
    ------
    EgressError
        If the client would go through a proxy that cannot be turned off.
    """
    if isinstance(client, GuardedChat):
        return client
    from dallm.engines.llm.guarded_http import guarded_client

    allowed = Allowed.of(allow_egress)
    http_client = functools.partial(guarded_client, data_use, allowed)
    own = False
    inner: ChatClient = client
    if isinstance(client, OpenAIChat) and client._http_client is None:
        inner, own = _openai(client, http_client), True
    elif isinstance(client, LangChainChat):
        inner = quiet = _LangChain(client, http_client)
        own = quiet.http_is_guarded
    if not own:
        _refuse_proxies(inner)
    # what leads to a named host may connect to any of its addresses, which change with every look
    named = any(is_public(address) for address in inner.endpoints) or (allowed and not inner.endpoints)
    return GuardedChat(inner, allowed, watched=not own and not named and not allowed.everywhere)


def guarded_gateway(gateway: Gateway, data_use: str, allow_egress: AllowEgress = None) -> Gateway:
    """Return a gateway to the same model for text of a cohort, within the same limits and budget."""
    made = copy.copy(gateway)
    limiter = gateway.limiter
    made.client = guarded(gateway.client, data_use, allow_egress)
    made.client.on_headers = limiter.saw
    if (at := getattr(gateway.ledger, "at", None)) is not None:
        hosts = ", ".join(dict.fromkeys(host_of(address) or address for address in gateway.client.endpoints))
        made.ledger = at(hosts, agreement_of(data_use, gateway.client, allow_egress))
    return made


class GuardedChat:
    """A chat model with its connections looked at, its logs and traces off, and its errors cut short.

    Parameters
    ----------
    inner : ChatClient
        The model.
    allowed : Allowed
        Hosts that may be public.
    watched : bool
        Whether the connections are made by others, and have to be looked at.
    """

    def __init__(self, inner: ChatClient, allowed: Allowed, *, watched: bool) -> None:
        self.inner = inner
        self._allowed = allowed
        self.model = inner.model
        self.endpoints = inner.endpoints
        self.watched = watched

    def __repr__(self) -> str:
        return repr(self.inner)

    def __reduce__(self) -> tuple[Any, ...]:
        return guarded, (
            self.inner,
            "credentialed",
            self._allowed,
        )  # connections are not copied, but made anew

    @property
    def on_headers(self) -> Any:
        """See :class:`OpenAIChat`."""
        return getattr(self.inner, "on_headers", None)

    @on_headers.setter
    def on_headers(self, saw: Any) -> None:
        if hasattr(self.inner, "on_headers"):
            self.inner.on_headers = saw

    def prepare(self) -> None:
        """Make ready what the first call would otherwise wait for."""
        if (prepare := getattr(self.inner, "prepare", None)) is not None:
            prepare()

    async def send(self, request: Request) -> Reply:
        """Make one attempt.

        Raises
        ------
        CallError
            If no answer arrived; what the error says holds no words of the prompt, and what caused it is not
            kept with it.
        """
        fault: Exception
        with patient_text(), checked_connections(active=self.watched) as watch:
            try:
                return await self.inner.send(request)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                fault = _without_words(error, request)
        if watch.refused:
            fault = CallError("egress", watch.refused)
        raise fault  # outside of the handler: the first error, which may hold the request, is let go

    async def close(self) -> None:
        """Close the connections."""
        await self.inner.close()


class _LangChain(LangChainChat):
    """A LangChain chat model that is called beneath LangChain's callbacks."""

    def __init__(self, client: LangChainChat, http_client: Callable[[], httpx2.AsyncClient]) -> None:
        self.__dict__.update(client.__dict__)
        self._bound = {}
        self._http: httpx2.AsyncClient | None = None
        root: Any = getattr(self._chat_model, _ROOT, None)
        if type(root).__module__.split(".")[0] == "openai" and hasattr(root, "with_options"):
            self._http = http_client()
            root = root.with_options(http_client=self._http, max_retries=0)
            update = {_ROOT: root, "async_client": root.chat.completions}
            self._chat_model = self._chat_model.model_copy(update=update)

    @property
    def http_is_guarded(self) -> bool:
        """Whether its connections are made by the guard."""
        return self._http is not None

    async def close(self) -> None:
        """Close the connections that are the guard's."""
        if self._http is not None:
            await self._http.aclose()

    def _runnable(self, request: Request) -> Any:
        return _Bare(super()._runnable(request), request)


class _Bare:
    """A chat model, perhaps bound to a schema, called without callbacks, tracers, debugging or a cache."""

    def __init__(self, runnable: Any, request: Request) -> None:
        bound: dict[str, Any] = {}
        while hasattr(runnable, "bound") and hasattr(runnable, "kwargs"):
            bound = {**runnable.kwargs, **bound}
            runnable = runnable.bound
        if not hasattr(runnable, "_agenerate_with_cache"):
            raise FormError(request.form, "LangChain wraps the model in more than its settings")
        for name in ("ls_structured_output_format", "structured_output_format"):
            bound.pop(name, None)
        self._model: BaseChatModel = runnable
        self._bound = bound

    async def ainvoke(self, messages: Any) -> BaseMessage:
        model = self._model
        chat = model._convert_input(messages).to_messages()
        result = await model._agenerate_with_cache(chat, **self._bound)
        return result.generations[0].message


def _openai(client: OpenAIChat, http_client: Callable[[], httpx2.AsyncClient]) -> OpenAIChat:
    """A client of the same server that knows what the other has learnt of it, with connections of its own."""
    made = object.__new__(type(client))
    made.__dict__.update(client.__dict__)
    made._http_client, made._client, made._process, made._at_exit = http_client, None, 0, False
    return made


def _without_words(error: Exception, request: Request) -> Exception:
    """An error that says as much, without the prompt and without what caused it."""
    if isinstance(error, CallError):
        if error.kind != "egress":
            error.detail = scrubbed(error.detail, request)
        error.args = (f"{error.kind}: {error.detail}",)
    elif isinstance(error, EgressError):
        error = CallError("egress", str(error))
    elif not isinstance(error, DallmError):
        words = scrubbed(str(error), request)
        error = EngineError(f"The client of {request.model} failed: {type(error).__name__}: {words}")
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _refuse_proxies(client: ChatClient) -> None:
    """Refuse a client that would hand text to a proxy, whoever that would hand it on to."""
    who = f"The cohort's data_use is 'credentialed', and the client of {client.model}"
    handed = getattr(client, "_http_client", None)
    own = getattr(client, "_chat_model", client)
    if any(getattr(own, name, None) for name in _PROXIES) or _has_proxy(handed):
        raise EgressError(f"{who} has a proxy of its own: its text is not sent through one.")
    if getattr(handed, "trust_env", True) is False:
        return
    proxies = urllib.request.getproxies()
    for address in client.endpoints:
        host, scheme = host_of(address), urlsplit(address).scheme or "http"
        proxy = proxies.get(scheme) or proxies.get("all")
        if host and proxy and not urllib.request.proxy_bypass(host):
            raise EgressError(
                f"{who} would send its text to {shown(address)} through the proxy {shown(proxy)}. Add {host} "
                "to NO_PROXY, or name the server itself: dallm.engine('openai:model', base_url=...) uses no "
                "proxy for such data."
            )


def _has_proxy(http_client: Any) -> bool:
    """Whether a client of httpx2 was made with a proxy."""
    routes = [getattr(http_client, "_transport", None), *getattr(http_client, "_mounts", {}).values()]
    return any("Proxy" in type(getattr(route, "_pool", None)).__name__ for route in routes)
