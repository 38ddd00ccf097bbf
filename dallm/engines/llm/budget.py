"""What calls may cost together: set aside before a call is sent, corrected by what its answer reports."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any, NamedTuple

from dallm.engines.llm.prices import Price, unknown_price
from dallm.errors import BudgetError, UserError

_SLACK = 1e-9


class HeldError(BudgetError):
    """What is left is set aside for calls under way, which may give some of it back."""


class Spent(NamedTuple):
    """What was spent, or is left: money in the currency of the prices, tokens read and written, calls."""

    cost: float
    tokens: float
    calls: float


class Budget:
    """A bound that calls to language models never pass, however many are under way.

    Before a call its worst case is set aside: the tokens of its prompt, and as many as its answer may have.
    A call that does not fit any more is not sent; its cells are ``failed``, with a reason that begins with
    ``budget``, and a later run asks for them. A call that broke off after it was sent counts as its worst
    case, since it may be charged.

    Where money or tokens are bounded and the engine has no `max_output_tokens`, the length of answers is
    bounded by what the features asked for need. The first call to a model goes alone, to see how it counts.

    Parameters
    ----------
    cost : float, optional
        Money, in the currency of the price table.
    tokens : int, optional
        Tokens read and written together.
    calls : int, optional
        Requests sent, the repeated ones included.

    Raises
    ------
    UserError
        If nothing is bounded, or a bound is not a number above 0.

    Examples
    --------
    >>> budget = Budget(tokens=50_000)
    >>> budget
    Budget(tokens=50000)
    >>> budget.spent
    Spent(cost=0.0, tokens=0.0, calls=0.0)
    """

    def __init__(
        self, cost: float | None = None, tokens: int | None = None, calls: int | None = None
    ) -> None:
        given = {"cost": cost, "tokens": tokens, "calls": calls}
        if all(value is None for value in given.values()):
            raise UserError("A budget bounds something: give cost=, tokens= or calls=.")
        for name, value in given.items():
            if value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= 0:
                raise UserError(f"{name} of a budget must be a number above 0, got {value!r}.")
            if name != "cost" and value != int(value):
                raise UserError(f"{name} of a budget must be a whole number, got {value!r}.")
        self.cost, self.tokens, self.calls = cost, tokens, calls
        self._limits = Spent(*(math.inf if value is None else float(value) for value in given.values()))
        self._spent = Spent(0.0, 0.0, 0.0)
        self._held: dict[int, Spent] = {}
        self._numbers = itertools.count()
        self._currency = ""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        given = (("cost", self.cost), ("tokens", self.tokens), ("calls", self.calls))
        return f"Budget({', '.join(f'{name}={value}' for name, value in given if value is not None)})"

    def __copy__(self) -> Budget:
        return self

    def __deepcopy__(self, memo: object) -> Budget:
        return self  # a copied engine spends the same money

    def __getstate__(self) -> dict[str, Any]:
        """All but what is under way: another process begins with what is spent so far."""
        return {**self.__dict__, "_lock": None, "_held": {}, "_numbers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock, self._numbers = threading.Lock(), itertools.count()

    @property
    def spent(self) -> Spent:
        """What was spent so far, without calls under way."""
        return self._spent

    @property
    def left(self) -> Spent:
        """What is neither spent nor set aside; infinite where nothing bounds it."""
        with self._lock:
            return Spent(*(limit - used for limit, used in zip(self._limits, self._used(), strict=True)))

    def begin(self, model: str, price: Price | None) -> None:
        """Refuse a model whose cost would not be known, or counted in another currency.

        Raises
        ------
        BudgetError
        """
        if self.cost is None:
            return
        if price is None:
            raise BudgetError(f"A budget of money needs a price. {unknown_price(model)}")
        if not price.free:
            if self._currency not in ("", price.currency):
                raise BudgetError(
                    f"One budget cannot count {self._currency} and {price.currency} ({model}): give each one."
                )
            self._currency = price.currency

    def look(self, need: Spent) -> None:
        """Raise what `hold` would raise, and set nothing aside."""
        with self._lock:
            self._check(need)

    def hold(self, need: Spent) -> int:
        """Set something aside, and return its number.

        Raises
        ------
        HeldError
            If it does not fit beside what is set aside now.
        BudgetError
            If it does not fit into what is left at all.
        """
        with self._lock:
            self._check(need)
            number = next(self._numbers)
            self._held[number] = need
            return number

    def spend(self, number: int, spent: Spent) -> None:
        """Replace what was set aside by what was spent."""
        with self._lock:
            self._held.pop(number, None)
            self._spent = summed(self._spent, spent)

    def _used(self) -> Spent:
        used = self._spent
        for held in self._held.values():
            used = summed(used, held)
        return used

    def _check(self, need: Spent) -> None:
        with_held, without = summed(self._used(), need), summed(self._spent, need)
        for name, limit, all_in, alone in zip(Spent._fields, self._limits, with_held, without, strict=True):
            if alone > limit * (1 + _SLACK):
                spent = getattr(self._spent, name)
                unit = (self._currency or "money") if name == "cost" else name
                raise BudgetError(
                    f"{_amount(name, spent)} of {_amount(name, limit)} {unit} are spent; "
                    f"one more call may take {_amount(name, getattr(need, name))}"
                )
            if all_in > limit * (1 + _SLACK):
                raise HeldError(f"what is left of the {name} is set aside for calls under way")


def summed(first: Spent, second: Spent) -> Spent:
    return Spent(*(a + b for a, b in zip(first, second, strict=True)))


def _amount(name: str, number: float) -> str:
    return f"{number:,.4g}" if name == "cost" else f"{number:,.0f}"
