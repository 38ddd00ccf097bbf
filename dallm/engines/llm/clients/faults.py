"""What went wrong with a call, in the few kinds that matter to whoever decides what to do next."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping

from dallm.engines.llm.clients.waiting import wait_of
from dallm.engines.llm.wire import CallError, Form, Request

_SHOWN = 200  # characters of a server's message
_ECHO = 12  # as many equal characters in a row are taken to be a piece of the prompt
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|maximum context|too many (input )?tokens|(prompt|input|request) is "
    r"too (long|large)|exceeds?.{0,30}context|reduce the length|n_ctx|maximum.{0,20}input.{0,10}tokens",
    re.I,
)
_FILTERED = re.compile(r"content_filter|content management policy|ResponsibleAI|content_policy", re.I)
_NO_CREDIT = re.compile(r"insufficient.{0,10}(quota|balance|credit|fund)|exceeded your current quota", re.I)
_OF_FORM: Mapping[Form, re.Pattern[str]] = {
    "json_schema": re.compile(
        r"response[_ .]?format|json[_ ]?schema|guided|grammar|structured|output_config|json mode", re.I
    ),
    "tool": re.compile(r"\btools?\b|tool_choice|tool[ -]call|functions?\b", re.I),
}
_NEEDED = ("model", "messages", "response_format", "tools", "tool_choice")
_PLAIN = ("temperature", "max_tokens", "max_completion_tokens")  # no word of everyday language
_UNSUPPORTED = re.compile(r"unsupported|not (support|implement)|unknown|unavailable|fail.{0,12}grammar", re.I)


class FormError(CallError):
    """The server cannot be asked in this form; another form may do."""

    def __init__(self, form: Form, detail: str, *, status: int | None = None) -> None:
        super().__init__("request", f"the server does not take the form {form!r} ({detail})", status=status)
        self.form = form


class ParameterError(CallError):
    """The model refuses one parameter; the call may be made without it."""

    def __init__(self, parameter: str, detail: str, *, status: int | None = None) -> None:
        super().__init__(
            "request", f"the model refuses the parameter {parameter!r} ({detail})", status=status
        )
        self.parameter = parameter


class FilteredError(CallError):
    """The server's content filter refused the prompt: a refusal rather than a fault of the call."""


def of_status(
    status: int,
    headers: Mapping[str, str],
    body: str,
    request: Request,
    *,
    address: str = "",
    sent: Collection[str] = (),
) -> CallError:
    """Return the error that an HTTP status and its body stand for.

    Parameters
    ----------
    status : int
        The status; 200 for an error object in an answer that claims success.
    headers : mapping
        The answer's headers, in lower case.
    body : str
        The answer's body as text.
    request : Request
        What was asked; its words are taken out of the message.
    address : str
        Where it was asked, for the message.
    sent : collection of str
        Parameters that were sent and could be left out.

    Examples
    --------
    >>> from dallm.engines.llm.wire import Message
    >>> asked = Request("m", (Message("user", "hello"),))
    >>> of_status(429, {"retry-after": "2"}, "", asked).retry_after_s
    2.0
    >>> of_status(404, {}, '{"error": {"message": "The model `m` does not exist"}}', asked).kind
    'model'
    """
    message, code, parameter = _told(body)
    words = f"{code} {message}"
    detail = _without_prompt(message, request) or f"HTTP {status}"
    wait = wait_of(headers, message) if status in (429, 503, 529, 500, 502, 504, 408, 409, 425) else None
    spent = _NO_CREDIT.search(words) and ("insufficient_quota" in words or wait is None)
    if status in (401, 402, 403) or spent:
        return _of_access(status, bool(spent), detail)
    if status == 429:
        return CallError("rate_limit", detail, retry_after_s=wait, status=status)
    if status == 413 or (400 <= status < 600 and _TOO_LONG.search(words)):
        return CallError("context", detail, status=status)
    if status in (400, 422) and (refused := _parameter(words, parameter, sent)):
        return ParameterError(refused, detail, status=status)
    if (form_error := _of_form(status, words, detail, request)) is not None:
        return form_error
    if status in (400, 422):
        return _of_request(status, words, detail, request)
    if 300 <= status < 400 or status in (404, 405, 410, 421):
        return _of_address(status, headers, words, detail, request, address)
    if status in (408, 504, 524):
        return CallError("timeout", f"HTTP {status}: {detail}", retry_after_s=wait, status=status)
    if status in (409, 425, 503, 529):
        return CallError("overloaded", f"HTTP {status}: {detail}", retry_after_s=wait, status=status)
    if status >= 500 or status == 200:
        return CallError("server", f"HTTP {status}: {detail}", retry_after_s=wait, status=status)
    return CallError("request", f"HTTP {status}: {detail}", status=status)


def of_html(body: str, address: str) -> CallError:
    """Return the error of a server that answered a web page."""
    title = re.search(r"<title[^>]*>([^<]{1,60})", body, re.I)
    page = f"a web page ({title.group(1).strip()!r})" if title else "a web page"
    return CallError("no_api", f"{address} answers {page}, not a chat API.{_hint(address)}")


def of_transport(error: BaseException) -> CallError:
    """Return the error of a connection that was not made, or that broke; the causes are told by their names.

    Parameters
    ----------
    error : BaseException
        An exception of an HTTP client, or one that such an exception caused.
    """
    chain = list(causes(error))
    names = [type(link).__name__ for link in chain]
    told = next((str(link) for link in reversed(chain) if str(link)), names[-1])[:_SHOWN]
    if any(
        name in ("ConnectError", "ConnectTimeout", "gaierror", "ConnectionRefusedError") for name in names
    ):
        return CallError("connection", "the connection timed out" if "ConnectTimeout" in names else told)
    if any("Timeout" in name for name in names):
        return CallError("timeout", "no answer in time")
    return CallError("cut_off", f"the connection broke off ({told})")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _told(body: str) -> tuple[str, str, str]:
    """What an error's body says: message, code, and the parameter at fault."""
    try:
        data = json.loads(body)
    except ValueError:
        text = re.sub(r"<[^>]*>", " ", body)
        return " ".join(text.split())[: 2 * _SHOWN], "", ""
    if isinstance(data, list) and data:  # Google wraps its error in a list
        data = data[0]
    error = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(error, dict):
        return str(error)[: 2 * _SHOWN], "", ""
    message = next((error[name] for name in ("message", "detail", "msg", "error") if error.get(name)), "")
    code = " ".join(str(error[name]) for name in ("code", "type", "status") if error.get(name))
    text = message if isinstance(message, str) else json.dumps(message)
    return text[: 2 * _SHOWN], code, str(error.get("param") or "")


def _without_prompt(message: str, request: Request) -> str:
    """A server's message, shortened, without what it repeats of the prompt."""
    text = " ".join(message.split())[:_SHOWN]
    prompt = "\n".join(" ".join(m.content.split()) for m in request.messages)
    kept, start = [], 0
    while start < len(text):
        if len(text) - start >= _ECHO and text[start : start + _ECHO] in prompt:
            end = start + _ECHO
            while end < len(text) and text[start : end + 1] in prompt:
                end += 1
            kept.append("[...]")
            start = end
        else:
            kept.append(text[start])
            start += 1
    return "".join(kept)


def _of_access(status: int, spent: bool, detail: str) -> CallError:
    if spent or status == 402:
        return CallError("key", f"the account has no credit left: {detail}", status=status)
    what = "the key is refused" if status == 401 else "access is refused"
    return CallError("key", f"{what} (HTTP {status}): {detail}", status=status)


def _of_form(status: int, words: str, detail: str, request: Request) -> CallError | None:
    """A form that the server does not know; some servers say so with a 500 or a 404."""
    pattern = _OF_FORM.get(request.form)
    if pattern is None or status not in (400, 404, 422, 500, 501) or not pattern.search(words):
        return None
    if status >= 500 and not _UNSUPPORTED.search(words):
        return None
    return FormError(request.form, detail, status=status)


def _parameter(words: str, parameter: str, sent: Collection[str]) -> str | None:
    """The parameter that a model refuses, of those that a call can do without."""
    if re.search(r"system.{0,20}role.{0,20}not|not support.{0,20}system", words, re.I):
        return "system"
    optional = [name for name in sent if name not in _NEEDED]
    if parameter in optional:
        return parameter
    return next(
        (name for name in optional if re.search(rf"[`'\"]{re.escape(name)}[`'\"]", words)), None
    ) or next((name for name in optional if name in _PLAIN and re.search(rf"\b{name}\b", words)), None)


def _of_request(status: int, words: str, detail: str, request: Request) -> CallError:
    if _FILTERED.search(words):
        return FilteredError("request", detail, status=status)
    if re.search(
        r"model.{0,80}(not exist|not found|invalid|unknown)|(invalid|unknown).{0,12}model", words, re.I
    ):
        return CallError(
            "model", f"the server does not know the model {request.model!r}: {detail}", status=status
        )
    return CallError("request", f"the server refuses the request (HTTP {status}): {detail}", status=status)


def _of_address(
    status: int, headers: Mapping[str, str], words: str, detail: str, request: Request, address: str
) -> CallError:
    if 300 <= status < 400:
        there = headers.get("location", "elsewhere").split("?")[0][:_SHOWN]
        return CallError(
            "no_api", f"{address} redirects to {there}; give that address as base_url.", status=status
        )
    if (
        status == 404
        and "<" not in words[:20]
        and (re.search("model", words, re.I) or request.model in words)
    ):
        return CallError(
            "model", f"the server does not know the model {request.model!r}: {detail}", status=status
        )
    return CallError("no_api", f"{address} has no chat API (HTTP {status}).{_hint(address)}", status=status)


def _hint(address: str) -> str:
    """What the base URL should perhaps have been."""
    base = address.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models", "/responses"):
        if base.endswith(ending):
            return f" Did you mean {base[: -len(ending)]}?"
    return "" if re.search(r"/v\d+\w*$|/openai$", base) else f" Did you mean {base}/v1?"


def without_user(address: str) -> str:
    """Return an address without the name and password that may stand in it.

    Examples
    --------
    >>> without_user("https://ann:secret@models.example.org/v1")
    'https://models.example.org/v1'
    """
    head, sep, rest = address.partition("://")
    return head + sep + rest.rpartition("@")[2] if sep else address
