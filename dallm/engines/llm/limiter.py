"""How many calls may run at once, and when: adapted to what the server says and to how it fares."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping

from dallm.engines.llm.clients.waiting import quota

_DOWN = 0.7  # what is left of the bound after the server asked for less
_UP_FAST, _UP_SLOW = 0.5, 1.0  # calls more per success: up to where it went well before; per round beyond
_KNOWN_GOOD = 0.9  # share of the bound at the last refusal that counts as having gone well
_SHORTEST_PAUSE_S = 0.02
_LOOKS = 10  # parts of the time that the first call goes alone, to tell time in which the loop was held up


class Limiter:
    """The gate that every call of a gateway passes; used in the loop's thread only.

    The bound falls when the server refuses or times out, once per round of calls, and rises with success,
    never above `most`. No call starts before a pause that the server asked for is over. Until the first call
    of all has shown that the server answers, one goes alone.

    Parameters
    ----------
    most : int
        Never more than so many calls at once.
    """

    def __init__(self, most: int) -> None:
        self._door = asyncio.Lock()
        self.most = most
        self.bound = float(most)
        self.in_flight = 0
        self.opened = False
        self.closed_until = 0.0  # in time.monotonic()
        self._good = float(most)
        self._last_cut = 0.0
        self._left = dict.fromkeys(("requests", "tokens"), (float("inf"), 0.0))
        self._tokens_per_call = 0.0
        self._waiting: tuple[deque[asyncio.Future[None]], deque[asyncio.Future[None]]] = (deque(), deque())
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no call is under way or waits."""
        return not self.in_flight and all(turn.done() for queue in self._waiting for turn in queue)

    async def enter(self, *, again: bool = False) -> None:
        """Wait until a call may start; a repeated one goes before new ones."""
        if not any(self._waiting) and self._free():
            self._take()
            return
        queue = self._waiting[0 if again else 1]
        while True:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.append(turn)
            self._let_in()
            try:
                await turn
                async with self._door:
                    # one call per turn of the loop: what has arrived is heard before the next one leaves
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.leave()
                raise
            if self.closed_until <= time.monotonic():
                return
            queue = self._waiting[0]  # the server asked for a pause between the call's turn and its start
            self.leave()

    def leave(self) -> None:
        """A call has ended."""
        self.in_flight -= 1
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._let_in()

    def open(self) -> None:
        """The server answers: calls need not go alone any more."""
        if not self.opened:
            self.opened = True
            self._let_in()

    def open_in(self, seconds: float) -> None:
        """Open after so long in which an answer to the call under way could have been heard.

        Time in which the loop was held up (imports, other threads, a loaded machine) does not count, up to
        ten times as much. A call that ends before leaves the gate as it was.
        """
        loop = asyncio.get_running_loop()
        step, latest = seconds / _LOOKS, time.monotonic() + 10 * seconds

        def look(left: int, due: float) -> None:
            now = time.monotonic()
            left -= now - due < step / 2
            if left <= 0 or now > latest:
                self.open()
            else:
                self._look = loop.call_later(step, look, left, now + step)

        self._look = loop.call_later(step, look, _LOOKS, time.monotonic() + step)

    def succeeded(self, tokens: int = 0) -> None:
        """A call was answered, at the cost of so many tokens."""
        if self.bound < self.most:
            step = _UP_FAST if self.bound < self._good * _KNOWN_GOOD else _UP_SLOW / max(1.0, self.bound)
            self.bound = min(float(self.most), self.bound + step)
        if tokens:
            self._tokens_per_call += (
                0.2 * (tokens - self._tokens_per_call) if self._tokens_per_call else tokens
            )
        self.open()

    def refused(self, started: float, *, wait_s: float | None = None) -> None:
        """The server asked for less, or could not keep up.

        Parameters
        ----------
        started : float
            When the call started, by ``time.monotonic()``: calls of one round lower the bound once.
        wait_s : float or None
            How long the server asked to be left alone; nothing is sent before that is over.
        """
        now = time.monotonic()
        if started >= self._last_cut:
            self._good, self._last_cut = self.bound, now
            self.bound = max(1.0, self.bound * _DOWN)
        if wait_s is not None:
            self.pause(wait_s)

    def pause(self, seconds: float) -> None:
        """Let nothing start for so long."""
        self.closed_until = max(self.closed_until, time.monotonic() + max(seconds, _SHORTEST_PAUSE_S))

    def saw(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer says about the quota; calls under way may not be counted in it yet."""
        if not any(name.startswith("x-ratelimit") for name in headers):
            return
        under_way = max(0, self.in_flight - 1)
        for what, each in (("requests", 1.0), ("tokens", self._tokens_per_call)):
            if (said := quota(headers, what)) is not None:
                self._left[what] = (said.remaining - under_way * each, time.monotonic() + said.resets_in_s)

    def _free(self) -> bool:
        bound = int(self.bound) if self.opened else 1
        return self.in_flight < bound and self._opens_at() <= time.monotonic()

    def _opens_at(self) -> float:
        """When the next call may start as far as the server's wishes go."""
        moment = self.closed_until
        for what, need in (("requests", 1.0), ("tokens", self._tokens_per_call)):
            remaining, resets = self._left[what]
            if remaining < need:
                moment = max(moment, resets)
        return moment

    def _take(self) -> None:
        self.in_flight += 1
        now = time.monotonic()
        for what, need in (("requests", 1.0), ("tokens", self._tokens_per_call)):
            remaining, resets = self._left[what]
            self._left[what] = (remaining - need, resets) if resets > now else (float("inf"), 0.0)

    def _let_in(self) -> None:
        while any(self._waiting) and self._free():
            queue = self._waiting[0] or self._waiting[1]
            turn = queue.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)
        if any(self._waiting):
            self._wake_later()

    def _wake_later(self) -> None:
        wait = self._opens_at() - time.monotonic()
        if wait <= 0:
            return  # the next call that ends lets the next one in
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait + 0.001, self._let_in)
