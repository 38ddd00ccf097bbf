"""What a model's tokens cost: the project's table, one of the user's own, nothing on one's own machine."""

from __future__ import annotations

import functools
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dallm.engines.llm.wire import Usage
from dallm.errors import UserError, did_you_mean
from dallm.resources import data_path

VARIABLE = "DALLM_PRICES"
"""Variable of the environment that names a file of the user's own prices."""

Prices = str | os.PathLike[str] | Mapping[str, Any]

_LOCAL = ("ollama", "vllm", "llamacpp", "lmstudio")
_LOOPBACK = ("localhost", "::1")
_KEYS = ("in", "cached", "out", "batch", "currency", "as_of")
_DATED = re.compile(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|-latest)$")
_MILLION = 1_000_000.0
_EXAMPLE = '["openai:my-model"] with in = 2.0 and out = 8.0, each per million tokens'


class Price(NamedTuple):
    """What a million tokens cost.

    Attributes
    ----------
    read, cached, written : float
        Per million tokens read, read from the provider's prefix cache, and written.
    currency : str
    as_of : str
        When the price was noted down; empty where the user gave it.
    batch : float
        Share of it that the batch interface charges.

    Examples
    --------
    >>> Price(2.0, 0.5, 8.0).cost(Usage(1_000_000, 500_000, 100_000))
    2.05
    """

    read: float
    cached: float
    written: float
    currency: str = "USD"
    as_of: str = ""
    batch: float = 0.5

    @property
    def free(self) -> bool:
        """Whether nothing is charged."""
        return not (self.read or self.cached or self.written)

    def in_batch(self) -> Price:
        """Return the price of the same by the batch interface.

        Examples
        --------
        >>> Price(2.0, 0.5, 8.0, batch=0.5).in_batch().written
        4.0
        """
        share = self.batch
        return self._replace(
            read=self.read * share, cached=self.cached * share, written=self.written * share, batch=1.0
        )

    def cost(self, usage: Usage) -> float:
        """Return what a call cost, in the price's currency."""
        cached = min(usage.cached, usage.read)
        paid = (usage.read - cached) * self.read + cached * self.cached + usage.written * self.written
        return paid / _MILLION


FREE = Price(0.0, 0.0, 0.0)


def price_of(model: str, endpoints: Iterable[str] = (), prices: Prices | None = None) -> Price | None:
    """Return what a model costs; None where nobody has said.

    The user's prices go first, then the project's table; what neither names is free on this machine.

    Parameters
    ----------
    model : str
        ``"provider:model"``, or the model's name alone.
    endpoints : iterable of str
        Addresses of its server.
    prices : path or mapping, optional
        Prices of the user's own; by default the file that ``DALLM_PRICES`` names.

    Raises
    ------
    UserError
        If the user's prices cannot be used.

    Examples
    --------
    >>> price_of("openai:gpt-4.1-2025-04-14").read
    2.0
    >>> price_of("ollama:llama3.3", ["http://localhost:11434/v1"]).free
    True
    >>> price_of("openai:no-such-model", ["https://api.openai.com/v1"]) is None
    True
    >>> price_of("openai:mine", prices={"openai:mine": {"in": 1.0, "out": 3.0}}).written
    3.0
    """
    own = prices if prices is not None else os.environ.get(VARIABLE) or None
    for table in (own_prices(own) if own is not None else {}, _table()):
        for name in _names(model):
            if name in table:
                return table[name]
    addresses = list(endpoints)
    at_home = bool(addresses) and all(map(_is_loopback, addresses))
    return FREE if at_home or model.partition(":")[0] in _LOCAL else None


def own_prices(given: Prices) -> dict[str, Price]:
    """Return prices that a user gave as a TOML file or a mapping, by model.

    Raises
    ------
    UserError
        If there is no such file, or one of its prices is no price.
    """
    if isinstance(given, Mapping):
        return _read(given, "prices=")
    path = Path(given)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The file of prices {str(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"The file of prices {str(path)!r} is no TOML: {error}.") from error
    return _read(content, f"the file of prices {str(path)!r}")


def unknown_price(model: str) -> str:
    """Return how to give the price of a model that no table names."""
    return (
        f"What {model} costs is not known. Give its price in a file that {VARIABLE} or prices= names: "
        f'["{model}"] with in = ... and out = ..., each per million tokens.'
    )


@functools.cache
def _table() -> dict[str, Price]:
    return own_prices(data_path("prices.toml"))


def _names(model: str) -> list[str]:
    """The names under which a model's price may stand, the most exact first."""
    bare = model.partition(":")[2] or model
    listed = [model, bare] if ":" in model else [model]
    listed += [_DATED.sub("", name) for name in listed]
    if ":" not in model:  # of a LangChain model only its own name is known
        listed += [name for full, name in _bare_names().items() if full == _DATED.sub("", model)]
    return listed


@functools.cache
def _bare_names() -> dict[str, str]:
    return {name.partition(":")[2]: name for name in reversed(list(_table()))}


def _read(content: Mapping[str, Any], where: str) -> dict[str, Price]:
    shared = {key: content[key] for key in ("currency", "as_of") if key in content}
    found: dict[str, Price] = {}
    for name, given in content.items():
        if name in shared:
            continue
        if not isinstance(given, Mapping):
            raise UserError(f"{where} holds {name!r}, which is no price; a price reads {_EXAMPLE}.")
        if "in" in given or "out" in given:
            found[name] = _price(name, {**shared, **given}, where)
            continue
        for model, table in given.items():
            if not isinstance(table, Mapping):
                raise UserError(f"{where}: {name}:{model} is no price; a price reads {_EXAMPLE}.")
            found[f"{name}:{model}"] = _price(f"{name}:{model}", {**shared, **table}, where)
    return found


def _price(name: str, given: Mapping[str, Any], where: str) -> Price:
    for key in given:
        if key not in _KEYS:
            raise UserError(
                f"{where}: {name!r} has {key!r}; known are {list(_KEYS)}.{did_you_mean(key, _KEYS)}"
            )
    numbers: dict[str, float] = {}
    for key in ("in", "out", "cached", "batch"):
        value: Any = given.get(key)
        if value is None and key in ("cached", "batch"):
            continue
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        if not usable or not math.isfinite(value) or value < 0:
            raise UserError(f"{where}: {key!r} of {name!r} must be a number of at least 0, got {value!r}.")
        numbers[key] = float(value)
    return Price(
        numbers["in"],
        numbers.get("cached", numbers["in"]),
        numbers["out"],
        str(given.get("currency", "USD")),
        str(given.get("as_of", "")),
        numbers.get("batch", 0.5 if name.startswith("openai:") else 1.0),
    )


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in _LOOPBACK or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
