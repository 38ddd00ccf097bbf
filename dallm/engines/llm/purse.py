"""The calls to one model: what each may cost at most before it is sent, and what it did cost."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dallm.engines.llm.budget import Budget, HeldError, Spent
from dallm.engines.llm.jobs import Purse
from dallm.engines.llm.prices import Price, Prices, price_of
from dallm.engines.llm.tokens import estimate_messages, estimate_tokens
from dallm.engines.llm.wire import Reply, Request, Usage
from dallm.errors import UserError

MAYBE_PAID = frozenset(("timeout", "cut_off", "cancelled"))
"""Kinds of failure after which the server may have worked, and charge for it."""

_PER_FEATURE, _FRAME = 160, 400  # tokens of a cell with a long quote and its reason; of what is around cells
_UNSHAPED = 4_096  # tokens of an answer that no schema bounds
_THOUGHT = 16_384  # tokens that a model which reasons may think in, before the first word of its answer
_REASONS = re.compile(r"(?:^|[/:])(o\d|gpt-5|deepseek-r|qwq|magistral)|reason|think", re.IGNORECASE)


def purse_of(
    budget: Budget | Purse | None, model: str | None, endpoints: Iterable[str], prices: Prices | None = None
) -> Purse:
    """Return what counts the calls to a model: within a budget, or only what they cost.

    Raises
    ------
    BudgetError
        If the budget bounds money and the price of the model is not known.
    UserError
        If `budget` is none, or the prices cannot be used.
    """
    if budget is None or isinstance(budget, Budget):
        return ModelPurse(model or "", price_of(model or "", endpoints, prices), budget)
    if not callable(getattr(budget, "reserve", None)):
        raise UserError(f"budget is a dallm.Budget, such as dallm.Budget(cost=5.0); got {budget!r}.")
    return budget


class ModelPurse:
    """The calls to one model: what each costs, within a budget or without one.

    Parameters
    ----------
    model : str
        As the price table names it.
    price : Price or None
    budget : Budget or None
    first_alone : bool, default=True
        Whether the first call goes alone, to show how the server counts.

    Raises
    ------
    BudgetError
        If the budget bounds money and the price is not known.
    """

    def __init__(
        self, model: str, price: Price | None, budget: Budget | None = None, *, first_alone: bool = True
    ) -> None:
        if budget is not None:
            budget.begin(model, price)
        self.model, self.price, self.budget = model, price, budget
        self._lock = threading.Lock()
        self._shapes: dict[int, tuple[Any, tuple[int, int]]] = {}
        self._open: set[int] = set()
        self._seen = not first_alone
        self._read, self._written = 1.0, 1.0  # reported tokens per estimated one; per one allowed: the most

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_shapes": {}, "_open": set()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> ModelPurse:
        return ModelPurse(self.model, self.price, self.budget)

    def in_batch(self) -> ModelPurse:
        """Return what counts requests of the batch interface, at its prices, within the same budget."""
        price = self.price.in_batch() if self.price is not None else None
        return ModelPurse(self.model, price, self.budget, first_alone=False)

    def limited(self, request: Request) -> Request:
        """Return the request as it is sent: with a bound on its answer, where the budget needs one."""
        if request.max_output_tokens is not None or not self._counts_tokens:
            return request
        return replace(request, max_output_tokens=self._longest(request))

    def look(self, request: Request) -> None:
        """Raise what :meth:`reserve` would raise."""
        if self.budget is not None:
            self._alone()
            self.budget.look(self._worst(request))

    def reserve(self, request: Request) -> tuple[int, Request] | None:
        """Set aside what a call may cost at most.

        Raises
        ------
        HeldError
            If calls under way hold what is left.
        BudgetError
            If that is more than is left.
        """
        if self.budget is None:
            return None
        with self._lock:
            self._alone()
            number = self.budget.hold(self._worst(request))
            self._open.add(number)
        return number, request

    def settle(
        self, reservation: tuple[int, Request] | None, reply: Reply | None, kind: str = ""
    ) -> float | None:
        """Replace what was set aside by what the call did cost, and return that; None where it is not known.

        Without a reply, `kind` says why there is none: a call that may be charged counts as its worst case.
        """
        usage = reply.usage if reply is not None else Usage()
        cost = self.price.cost(usage) if self.price is not None and reply is not None else None
        if self.budget is None or reservation is None:
            return cost
        number, request = reservation
        if reply is None:
            spent = self._worst(request) if kind in MAYBE_PAID else Spent(0.0, 0.0, 1.0)
        else:
            if not usage.read and not usage.written:  # the server does not count
                usage = Usage(self._prompt(request), 0, estimate_tokens(reply.text))
                cost = self.price.cost(usage) if self.price is not None else None
            self._learn(request, usage)
            spent = Spent(cost or 0.0, float(usage.read + usage.written), 1.0)
        with self._lock:
            self._open.discard(number)
            self.budget.spend(number, spent)
        return cost

    @property
    def _counts_tokens(self) -> bool:
        budget = self.budget
        if budget is None:
            return False
        return budget.tokens is not None or (budget.cost is not None and not (self.price and self.price.free))

    def _alone(self) -> None:
        """The first call shows how the server counts; nothing goes beside it."""
        if not self._seen and self._open and self._counts_tokens:
            raise HeldError("the first call shows how the server counts tokens")

    def _worst(self, request: Request) -> Spent:
        if not self._counts_tokens:
            return Spent(0.0, 0.0, 1.0)
        read = math.ceil(self._prompt(request) * self._read)
        written = math.ceil((request.max_output_tokens or self._longest(request)) * self._written)
        # none of the tokens may come from the provider's cache
        cost = self.price.cost(Usage(read, 0, written)) if self.price is not None else 0.0
        return Spent(cost, float(read + written), 1.0)

    def _learn(self, request: Request, usage: Usage) -> None:
        allowed = request.max_output_tokens or self._longest(request)
        with self._lock:
            self._read = max(self._read, 1.02 * usage.read / max(1, self._prompt(request)))
            self._written = max(self._written, usage.written / allowed)
            self._seen = True

    def _prompt(self, request: Request) -> int:
        return estimate_messages(request.messages) + self._shape(request)[0]

    def _longest(self, request: Request) -> int:
        cells = self._shape(request)[1]
        bound = _FRAME + _PER_FEATURE * cells if cells else _UNSHAPED
        if any(message.role == "assistant" for message in request.messages):
            bound *= 2  # asked again, perhaps because the first answer was cut off
        return bound + (_THOUGHT if _REASONS.search(self.model) else 0)

    def _shape(self, request: Request) -> tuple[int, int]:
        """Estimated tokens of a request's schema, and how many features it asks for."""
        schema = request.schema
        if schema is None:
            return 0, 0
        held = self._shapes.get(id(schema))
        if held is None or held[0] is not schema:
            asked = schema.get("properties", {}).get("features", {}).get("properties", {})
            if len(self._shapes) > 256:
                self._shapes.clear()
            text = json.dumps(schema, separators=(",", ":"))
            held = self._shapes[id(schema)] = (schema, (estimate_tokens(text), len(asked)))
        return held[1]
