"""Any LangChain chat model: one attempt per call, its own retries and its cache off."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dallm.egress import endpoints_of
from dallm.engines.llm.clients import faults
from dallm.engines.llm.clients.body import TOOL, reply_of
from dallm.engines.llm.wire import CallError, Form, Reply, Request, Usage
from dallm.errors import EgressError, UserError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

__all__ = ["LangChainChat"]

_LENGTH_FIELDS = ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict", "max_new_tokens")
_CLIENTS = ("root_async_client", "root_client")  # of langchain-openai, which make their retries themselves
_FINISH = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_STOPPED = ("stop", "end_turn", "stop_sequence", "eos", "complete", "completed", "finish_reason_unspecified")
_SOON = "unsupported form"


class LangChainChat:
    """A chat model behind LangChain's interface.

    Parameters
    ----------
    chat_model : BaseChatModel
        Works with its own settings; a copy is used, whose retries and cache are off.
    timeout_s : float
        Longest wait for one answer.

    Attributes
    ----------
    model : str
        The name that the chat model gives.
    endpoints : tuple of str
        Where it sends its text as far as its attributes tell; empty where they do not.

    Examples
    --------
    >>> from langchain_core.language_models.fake_chat_models import FakeListChatModel
    >>> LangChainChat(FakeListChatModel(responses=["yes"]))
    LangChainChat('FakeListChatModel')
    """

    def __init__(self, chat_model: BaseChatModel, *, timeout_s: float = 120.0) -> None:
        from langchain_core.language_models import BaseChatModel

        if not isinstance(chat_model, BaseChatModel):
            raise UserError(
                f"A LangChain chat model is wanted; got {type(chat_model).__name__}. For a server of "
                "your own give a name and its address: dallm.engine('openai:model', base_url=...)."
            )
        self.model = _name_of(chat_model)
        self.endpoints = endpoints_of(chat_model)
        self.timeout_s = timeout_s
        self._chat_model = _without_retries(chat_model)
        self._warm = "temperature" in type(chat_model).model_fields  # until the model refuses a temperature
        self._bound: dict[tuple[Form, int, str], Any] = {}

    def __repr__(self) -> str:
        return f"LangChainChat({self.model!r})"

    async def send(self, request: Request) -> Reply:
        """Make one attempt.

        Raises
        ------
        CallError
            If no answer arrived in full; `faults.FormError` where the model cannot be asked in this form.
        """
        warm, runnable = self._warm, self._runnable(request)
        messages = [(message.role, message.content) for message in request.messages]
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                found = await runnable.ainvoke(messages)
        except TimeoutError:
            raise CallError("timeout", f"no answer within {self.timeout_s:g} s") from None
        except (CallError, asyncio.CancelledError):
            raise
        except EgressError as error:
            raise CallError("egress", str(error)) from None
        except Exception as error:  # every provider's package has errors of its own
            if (reply := _cut_short(error, time.perf_counter() - start)) is not None:
                return reply
            fault = _fault_of(error, request, ", ".join(map(faults.without_user, self.endpoints)))
            if warm and isinstance(fault, faults.ParameterError) and fault.parameter == "temperature":
                self._cool()  # calls under way find that out one by one
                return await self.send(request)
            if isinstance(fault, faults.FilteredError):
                return Reply("", finish="content_filter", refusal=fault.detail, model=self.model)
            if fault is None:
                raise
            raise fault from None
        message = found["raw"] if isinstance(found, dict) else found
        return _reply_of(message, time.perf_counter() - start, self.model)

    async def close(self) -> None:
        """Nothing is held open here: the connections are the chat model's."""

    def _cool(self) -> None:
        """Send no temperature from now on."""
        if self._warm:
            self._warm = False
            self._chat_model = self._chat_model.model_copy(update={"temperature": None})
            self._bound.clear()

    def _runnable(self, request: Request) -> Any:
        """The model, bound to what the request asks for; one per schema rather than per call."""
        if not self._warm:
            request = replace(request, temperature=None)
        sampling = json.dumps(
            [request.temperature, request.max_output_tokens, dict(request.extra)], default=str
        )
        key = (request.form, id(request.schema), sampling)
        if key not in self._bound:
            if len(self._bound) > 64:
                self._bound.clear()
            # the schema is kept with what was bound to it, so that no other one can get its id
            self._bound[key] = (request.schema, _bound(_set_up(self._chat_model, request), request))
        return self._bound[key][1]


def _bound(model: BaseChatModel, request: Request) -> Any:
    if request.schema is None or request.form not in ("json_schema", "tool"):
        return model
    from langchain_core.language_models import BaseChatModel

    try:
        if request.form == "tool":
            function = {"name": TOOL, "description": "Give the answer.", "parameters": dict(request.schema)}
            return model.bind_tools([{"type": "function", "function": function}], tool_choice=TOOL)
        if type(model).with_structured_output is BaseChatModel.with_structured_output:
            raise NotImplementedError("it has no JSON schema of its own")
        schema = {"title": TOOL, "description": "The answer.", **request.schema}
        chain = model.with_structured_output(schema, method="json_schema", include_raw=True)
    except (NotImplementedError, TypeError, ValueError, AttributeError) as error:
        raise faults.FormError(request.form, str(error)[:100] or _SOON) from None
    # what follows the model only reads the answer, which is done elsewhere
    steps: Mapping[str, Any] = getattr(getattr(chain, "first", None), "steps__", {})
    return steps.get("raw", chain)


def _set_up(model: BaseChatModel, request: Request) -> BaseChatModel:
    """The model with the request's settings, as far as it has such settings."""
    fields, update = type(model).model_fields, {}
    if request.temperature is not None and "temperature" in fields:
        update["temperature"] = request.temperature
    if request.max_output_tokens is not None:
        name = next((name for name in _LENGTH_FIELDS if name in fields), None)
        if name is not None:
            update[name] = request.max_output_tokens
    update |= {name: value for name, value in request.extra.items() if name in fields}
    return model.model_copy(update=update) if update else model


def _without_retries(model: BaseChatModel) -> BaseChatModel:
    """A copy that asks once, and never takes an answer from LangChain's cache or puts one there."""
    fields = type(model).model_fields
    update: dict[str, Any] = {"cache": False}
    if "max_retries" in fields:
        update["max_retries"] = 0
    for name in _CLIENTS:
        client: Any = getattr(model, name, None)
        if name in fields and hasattr(client, "with_options"):
            update[name] = client.with_options(max_retries=0)
            short = name.removeprefix("root_")
            if short in fields:
                update[short] = update[name].chat.completions
    copy = model.model_copy(update=update)
    for name in list(vars(copy)):  # clients that were made with the old settings when first used
        if isinstance(getattr(type(model), name, None), functools.cached_property):
            del copy.__dict__[name]
    return copy


def _name_of(model: BaseChatModel) -> str:
    for name in ("model_name", "model", "model_id", "deployment_name", "repo_id"):
        value = getattr(model, name, None)
        if isinstance(value, str) and value:
            return value
    return type(model).__name__


def _reply_of(message: AIMessage, latency_s: float, model: str) -> Reply:
    facts: Mapping[str, Any] = message.response_metadata or {}
    used: Mapping[str, Any] = message.usage_metadata or {}
    details = used.get("input_token_details") or {}
    usage = Usage(
        int(used.get("input_tokens") or 0),
        int(details.get("cache_read") or 0),
        int(used.get("output_tokens") or 0),
    )
    return Reply(
        _text_of(message),
        finish=_finish_of(facts, bool(message.tool_calls)),
        refusal=str(message.additional_kwargs.get("refusal") or ""),
        usage=usage,
        request_id=str(facts.get("id") or message.id or ""),
        model=str(facts.get("model_name") or facts.get("model") or model),
        latency_s=latency_s,
    )


def _text_of(message: AIMessage) -> str:
    """The content, or the arguments of the tool call as near to how they arrived as LangChain leaves them."""
    raw = message.additional_kwargs.get("tool_calls")
    if raw:
        arguments = raw[0].get("function", {}).get("arguments")
        return arguments if isinstance(arguments, str) else json.dumps(arguments)
    if message.tool_calls:
        return json.dumps(message.tool_calls[0]["args"])
    if message.invalid_tool_calls:
        return str(message.invalid_tool_calls[0].get("args") or "")
    return str(message.text)


def _finish_of(facts: Mapping[str, Any], called: bool) -> str:
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason")
    reason = str(next((facts[name] for name in names if facts.get(name)), "stop")).lower().rpartition(".")[2]
    if reason in _STOPPED:
        return "tool_calls" if called else "stop"
    return _FINISH.get(reason, reason)


def _cut_short(error: Exception, latency_s: float) -> Reply | None:
    """The answer within an error that openai's parser raises for an answer that is cut off or filtered."""
    finish = {"LengthFinishReasonError": "length", "ContentFilterFinishReasonError": "content_filter"}.get(
        type(error).__name__
    )
    if finish is None:
        return None
    completion = getattr(error, "completion", None)
    if completion is None:  # the filter's error carries nothing
        return Reply("", finish=finish, latency_s=latency_s)
    return replace(reply_of(completion.model_dump(), "", latency_s), finish=finish)


def _fault_of(error: Exception, request: Request, address: str) -> CallError | None:
    """The kind of a provider's error by its status, else by its class; None for a mistake in a program."""
    response = getattr(error, "response", None)
    status = next(
        (
            value
            for thing in (error, response)
            for name in ("status_code", "http_status", "code", "status")
            if isinstance(value := getattr(thing, name, None), int) and 300 <= value < 600
        ),
        None,
    )
    headers = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
    lower = {str(k).lower(): str(v) for k, v in dict(headers).items()} if isinstance(headers, Mapping) else {}
    body = getattr(error, "body", None)
    told = json.dumps(body, default=str) if isinstance(body, dict | list) else str(body or error)
    if status is not None:
        return faults.of_status(status, lower, told, request, address=address, sent=("temperature",))
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    by_name = (
        ("ContextOverflow", 413),
        ("RateLimit", 429),
        ("ResourceExhausted", 429),
        ("Throttling", 429),
        ("Authentication", 401),
        ("Permission", 403),
        ("Unauthenticated", 401),
        ("ModelNotFound", 404),
        ("ServiceUnavailable", 503),
        ("Overloaded", 503),
        ("InternalServer", 500),
    )
    for name, meant in by_name:
        if name in names:
            return faults.of_status(meant, lower, told, request, address=address)
    if any(word in names for word in ("Timeout", "Connect", "Network", "Transport", "Protocol", "ReadError")):
        return faults.of_transport(error)
    if isinstance(error, OSError):
        return faults.of_transport(error)
    if isinstance(error, json.JSONDecodeError):
        return CallError("cut_off", "the answer's body is cut off, or not JSON")
    if isinstance(error, NotImplementedError) and request.form in ("json_schema", "tool"):
        return faults.FormError(request.form, "not implemented")
    if type(error).__module__.split(".")[0] in ("builtins", "dallm"):
        # LangChain says so of an error object, of empty choices, of a page that is no JSON
        if isinstance(error, ValueError | TypeError | LookupError) and _from_provider(error):
            return faults.of_status(200, lower, told, request, address=address)
        return None
    return faults.of_status(200, lower, told, request, address=address)


def _from_provider(error: Exception) -> bool:
    """Whether it was raised within a package of LangChain's rather than in this project."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""
    return name.startswith("langchain")
