"""While a client holds a patient's text: no tracing, no bodies in logs, no words of a report in errors."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar, Token
from typing import Any

from dallm.engines.llm.wire import Request

_ESCAPES = (("\\n", "\n"), ("\\r", " "), ("\\t", " "), ('\\"', '"'), ("\\'", "'"), ("\\/", "/"))
_ECHO = 12  # as many equal characters in a row are taken to be a piece of the prompt
_LONGEST = 300
_HARMLESS = ("dallm", "httpx", "httpx2", "asyncio")  # their lines from INFO on hold addresses, no bodies
_LEFT_OUT = "left out: it may hold a patient's text"

_holds_text: ContextVar[bool] = ContextVar("dallm_patient_text", default=False)
_lock = threading.Lock()
_installed = False


@contextlib.contextmanager
def patient_text() -> Iterator[None]:
    """Keep what happens in this context out of logs and traces.

    Log records that other packages make here are emptied, unless they are known to hold addresses only;
    LangSmith is off, and LangChain's callbacks are not inherited from the caller.

    Examples
    --------
    >>> with patient_text():
    ...     record = logging.getLogger("some.client").makeRecord(
    ...         "some.client", logging.DEBUG, "client.py", 1, "sent %s", ("chest pain",), None
    ...     )
    >>> record.getMessage()
    "left out: it may hold a patient's text"
    """
    _install()
    token = _holds_text.set(True)
    tokens = _callbacks_off()
    try:
        with _langsmith_off():
            yield
    finally:
        for var, before in reversed(tokens):
            var.reset(before)
        _holds_text.reset(token)


def scrubbed(text: str, request: Request) -> str:
    """Return a short form of an error's text without what it repeats of the prompt.

    Compared without regard to case, white space and the escapes of JSON.

    Examples
    --------
    >>> from dallm.engines.llm.wire import Message
    >>> asked = Request("m", (Message("user", "Report: small left pleural effusion."),))
    >>> scrubbed("cannot parse 'Small left\\\\npleural effusion' at 3", asked)
    "cannot parse '[...]' at 3"
    """
    said = [m.content for m in request.messages if m.role != "system"] or [
        m.content for m in request.messages
    ]
    prompt = _plain("\n".join(said))
    words = " ".join(_unescaped(text).split())[:_LONGEST]
    low, kept, start = words.lower(), [], 0
    if len(low) != len(words):  # letters whose lower case is longer
        words = low
    while start < len(words):
        end = start + _ECHO
        if end <= len(words) and low[start:end] in prompt:
            while end < len(words) and low[start : end + 1] in prompt:
                end += 1
            kept.append("[...]")
            start = end
        else:
            kept.append(words[start])
            start += 1
    return "".join(kept)


def _plain(text: str) -> str:
    return " ".join(_unescaped(text).split()).lower()


def _unescaped(text: str) -> str:
    for escape, meant in _ESCAPES:
        text = text.replace(escape, meant)
    return text


def _install() -> None:
    """Put a step before the making of log records; outside the context it changes nothing."""
    global _installed
    if _installed:
        return
    with _lock:
        if _installed:
            return
        make = logging.getLogRecordFactory()

        def quiet(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            if _holds_text.get() and not _harmless(record):
                record.msg, record.args = _LEFT_OUT, ()
                record.exc_info = record.exc_text = record.stack_info = None
            return record

        logging.setLogRecordFactory(quiet)
        _installed = True


def _harmless(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.INFO and record.name.split(".")[0] in _HARMLESS


def _callbacks_off() -> list[tuple[ContextVar[Any], Token[Any]]]:
    """Forget the callbacks and tracers that the caller's context hands on to LangChain."""
    config = sys.modules.get("langchain_core.runnables.config")
    context = sys.modules.get("langchain_core.tracers.context")
    found = [
        getattr(config, "var_child_runnable_config", None),
        getattr(context, "tracing_v2_callback_var", None),
        *(hook[0] for hook in getattr(context, "_configure_hooks", ())),
    ]
    return [
        (var, var.set(None)) for var in found if isinstance(var, ContextVar) and var.get(None) is not None
    ]


def _langsmith_off() -> contextlib.AbstractContextManager[Any]:
    langsmith: Any = sys.modules.get("langsmith.run_helpers")
    if langsmith is None:
        return contextlib.nullcontext()
    off: contextlib.AbstractContextManager[Any] = langsmith.tracing_context(enabled=False, parent=False)
    return off
