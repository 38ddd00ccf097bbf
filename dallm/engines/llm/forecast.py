"""What a run will take before it begins: calls, tokens, money and time."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dallm.engines.base import Case
from dallm.engines.llm.filling import Filling
from dallm.engines.llm.prices import Price, unknown_price
from dallm.engines.llm.tokens import TokenCount, estimate_messages, estimate_tokens
from dallm.engines.llm.units import Unit, look_up
from dallm.engines.llm.wire import Reply, Request, Usage

_SAMPLE = 200  # calls whose prompts are counted; the others are taken to be like them
_STRETCH = 5_000
_CELL = (20, 90)  # tokens of a cell of an answer: nothing stated, a quote and a reason
_AGAIN = 1.1  # calls per unit where one answer in ten has to be asked for once more
_SPEED = (150.0, 25.0)  # tokens a second that a model writes
_START_S = (0.3, 2.0)  # until its first word
_DAY_S = 86_400.0  # in which a batch is answered
_SPREAD = 0.3  # how far the mean of a few measured calls may lie from that of all


class Range(NamedTuple):
    """A quantity between two bounds."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = f"{self.low:,.0f}", f"{self.high:,.0f}"
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    model : str
    cases, held, calls : int
        Cases in all, calls whose cells the cache holds, calls to be made.
    read, cached, written : Range
        Tokens read; those of them that the server's prefix cache may hold; tokens written.
    cost : Range or None
        In the price's currency; None where the price is not known.
    price : Price or None
    seconds : Range
        At `concurrency` calls at once.
    concurrency, measured : int
        Calls at once; calls that were made for the forecast, 0 where it rests on estimates alone.
    batch : bool
        Whether the batch interface is asked, whose price and time these are.

    Examples
    --------
    >>> some = Range(1000, 1000)
    >>> print(Forecast("openai:m", 2, 0, 2, some, Range(0, 800), Range(50, 90), None, None, Range(1, 4), 32))
    openai:m: 2 calls for 2 cases
      tokens  1,000 read (up to 800 from the prefix cache), 50 to 90 written
      cost    unknown. What openai:m costs is not known. Give its price in a file that DALLM_PRICES or \
prices= names: ["openai:m"] with in = ... and out = ..., each per million tokens.
      time    1 s to 4 s at 32 calls at once
      estimated; no call was made
    """

    model: str
    cases: int
    held: int
    calls: int
    read: Range
    cached: Range
    written: Range
    cost: Range | None
    price: Price | None
    seconds: Range
    concurrency: int
    measured: int = 0
    batch: bool = False

    def __str__(self) -> str:
        held = f" ({self.held:,} more are in the cache)" if self.held else ""
        rests = f"from {self.measured} measured calls" if self.measured else "estimated; no call was made"
        time = f"{_time(self.seconds.low)} to {_time(self.seconds.high)} at {self.concurrency} calls at once"
        if self.batch:
            time = f"within {_time(self.seconds.high)}, as the batch interface promises"
        return "\n".join(
            (
                f"{self.model}: {self.calls:,} calls for {self.cases:,} cases{held}",
                f"  tokens  {self.read} read (up to {self.cached.high:,.0f} from the prefix cache), "
                f"{self.written} written",
                f"  cost    {self._money()}",
                f"  time    {time}",
                f"  {rests}",
            )
        )

    def _money(self) -> str:
        if self.cost is None or self.price is None:
            return f"unknown. {unknown_price(self.model)}"
        if self.price.free:
            return "none: the model runs on your own machine"
        noted = f"list price of {self.price.as_of}" if self.price.as_of else "by the price that you gave"
        noted = f", {noted}{' for batches' if self.batch else ''}"
        return f"{self.cost.low:,.2f} to {self.cost.high:,.2f} {self.price.currency}{noted}"


def forecast(
    filling: Filling,
    cases: Iterable[Case],
    *,
    model: str,
    price: Price | None,
    concurrency: int,
    measure: int = 0,
    batch: bool = False,
) -> Forecast:
    """Say what filling will take; of a large cohort, some calls stand for all.

    Parameters
    ----------
    filling : Filling
        The run; what its cache holds costs nothing.
    cases : iterable of Case
    model : str
        As the price table names it.
    price : Price or None
    concurrency : int
    measure : int, default=0
        Calls to be made for the forecast. They are paid; their answers are kept in the cache for the run.
    batch : bool, default=False
        Whether the run goes through the batch interface.
    """
    count = TokenCount()
    open_units, number, held = _open_units(filling, cases)
    replies: list[Reply] = []
    if measure and open_units:
        first = _spread(open_units, measure)
        replies = _measured(filling, first, count)
        asked = set(map(id, first))
        open_units = [unit for unit in open_units if id(unit) not in asked]
    calls = len(open_units)
    sample = [filling.planner.job(unit).request for unit in _spread(open_units, _SAMPLE)]
    share = calls / max(1, len(sample))
    read = share * sum(count.corrected(_prompt(request)) for request in sample)
    shared = share * sum(count.corrected(_prefix(request)) for request in sample[1:])
    cells = share * sum(len(unit.missing) for unit in _spread(open_units, _SAMPLE))
    if replies:
        mean = sum(reply.usage.written for reply in replies) / len(replies)
        written = Range(calls * mean * (1 - _SPREAD), calls * mean * (1 + _SPREAD))
        latency = sum(reply.latency_s for reply in replies) / len(replies)
        one = Range(latency * (1 - _SPREAD), latency * (1 + _SPREAD))
    else:
        written = Range(cells * _CELL[0], cells * _CELL[1])
        each = (written.low / max(1, calls), written.high / max(1, calls))
        one = Range(_START_S[0] + each[0] / _SPEED[0], _START_S[1] + each[1] / _SPEED[1])
    if batch and price is not None:
        price = price.in_batch()
    rounds = math.ceil(calls / concurrency)
    cost = None
    if price is not None:
        low = price.cost(Usage(round(read), round(shared), round(written.low)))
        cost = Range(low, _AGAIN * price.cost(Usage(round(read), 0, round(written.high))))
    return Forecast(
        model,
        number,
        held,
        calls,
        Range(read, read * _AGAIN),
        Range(0.0, shared),
        written,
        cost,
        price,
        Range(0.0, _DAY_S) if batch else Range(rounds * one.low, rounds * one.high * _AGAIN),
        concurrency,
        len(replies),
        batch,
    )


def _open_units(filling: Filling, cases: Iterable[Case]) -> tuple[list[Unit], int, int]:
    """The calls that a run would make, the number of cases, and the calls that the cache spares."""
    found: list[Unit] = []
    number, held, waiting = 0, 0, iter(cases)
    while stretch := list(itertools.islice(waiting, _STRETCH)):
        units = [unit for place, case in enumerate(stretch) for unit in filling.planner.units(place, case)]
        if filling.cache is not None:
            look_up(units, filling.planner, filling.cache.cells)
        missing = [unit for unit in units if unit.missing]
        number, held = number + len(stretch), held + len(units) - len(missing)
        found += missing
    return found, number, held


def _measured(filling: Filling, units: Sequence[Unit], count: TokenCount) -> list[Reply]:
    replies = []
    for outcome in filling.gateway.run(map(filling.planner.job, units), on_reply=filling._keep):
        if outcome.reply is not None and outcome.value is not None and outcome.request is not None:
            count.observe(_prompt(outcome.request), outcome.reply.usage.read)
            replies.append(outcome.reply)
    return replies


def _spread(units: Sequence[Unit], most: int) -> list[Unit]:
    """At most so many, evenly spread."""
    step = max(1.0, len(units) / most)
    return [units[int(place * step)] for place in range(min(most, len(units)))]


def _prompt(request: Request) -> int:
    return estimate_messages(request.messages) + _schema(request)


def _prefix(request: Request) -> int:
    """Tokens before the case, which stands in the last message."""
    return estimate_messages(request.messages[:-1]) + _schema(request)


def _schema(request: Request) -> int:
    return 0 if request.schema is None else estimate_tokens(json.dumps(request.schema))


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"
