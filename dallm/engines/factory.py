"""``dallm.engine``: an engine by its name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.engines.base import Engine

_EXTRACTIVE = ("lexicon", "row_rules")
_OF_THE_NAME = ("base_url", "api_key")


def engine(name: str = "extractive", **options: Any) -> Engine:
    """Return an engine by name.

    Parameters
    ----------
    name : str, default="extractive"
        ``"extractive"``: no language model, deterministic, evidence only. ``"provider:model"``: a chat model,
        for example ``"openai:gpt-4.1"``, ``"ollama:llama3.3"``, or any model of a server that speaks OpenAI's
        interface with ``base_url=``; other providers are asked through their LangChain package.
    **options
        For ``"extractive"``: `lexicon` (a :class:`dallm.Lexicon`) and `row_rules`. For a chat model:
        `base_url`, `api_key` (by default the provider's variable of the environment) and the keywords of
        :class:`dallm.LLMEngine`.

    Raises
    ------
    UserError
        If there is no engine of this name, it does not take an option, or the key of a provider is missing.
    ExtraMissingError
        If the provider needs a package that is not installed.

    Examples
    --------
    >>> import dallm
    >>> dallm.engine("extractive").name
    'extractive'
    >>> dallm.engine("ollama:llama3.3", cache=None).model
    'ollama:llama3.3'
    """
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"An engine has a name such as 'extractive' or 'openai:gpt-4.1'; got {name!r}.")
    if name.strip().lower() == "extractive":
        return _extractive(options)
    if ":" not in name and "base_url" not in options and did_you_mean(name, ("extractive",)):
        raise UserError(f"There is no engine {name!r}.{did_you_mean(name, ('extractive',))}")
    return _language_model(name, options)


def _extractive(options: dict[str, Any]) -> Engine:
    from dallm.engines.extractive.engine import ExtractiveEngine

    _check_options("extractive", options, _EXTRACTIVE)
    return ExtractiveEngine(**options)


def _language_model(name: str, options: dict[str, Any]) -> Engine:
    from dallm.engines.llm.engine import LLMEngine
    from dallm.engines.llm.naming import SERVERS, chat_model, resolve_name

    known = [p for p in inspect.signature(LLMEngine).parameters if p not in ("chat_model", "label")]
    _check_options(name, options, (*_OF_THE_NAME, *known))
    named = resolve_name(name, **{key: options.pop(key, None) for key in _OF_THE_NAME})
    client: Any
    if named.direct:
        from dallm.engines.llm.clients.openai_chat import OpenAIChat
        from dallm.engines.llm.keys import Key

        client = OpenAIChat(
            named.model,
            base_url=named.base_url,
            api_key=Key(
                named.api_key, variable=SERVERS[named.provider].key if named.provider in SERVERS else None
            ),
            timeout_s=options.get("timeout_s", 120.0),
        )
    else:
        client = chat_model(named)
    return LLMEngine(client, label=f"{named.provider}:{named.model}", **options)


def _check_options(name: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise UserError(
            f"Engine {name!r} takes no option {unknown[0]!r}; it takes {', '.join(sorted(known))}.{hint}"
        )
