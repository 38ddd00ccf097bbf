"""Whether a call that failed is made again, and after how long."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from dallm.engines.llm.wire import CallError
from dallm.errors import DallmError, EgressError, EngineError

_FIRST_S, _LONGEST_S = 0.5, 20.0
_BROKEN_S = 0.1  # a connection that broke says nothing of the server: the first repetition comes soon
_CONTACT_TRIES, _CONTACT_S = 3, 4.5  # of an address where nothing has answered yet
_REFUSALS = 5  # times `tries`: refusals for too many calls, once the server has answered others
_LONGEST_PAUSE_S = 600.0
_STRIKES = 3  # errors in a row that should not pass, from a server that has answered before
_DEAD = {"connection": 3}  # calls given up in a row, with nothing answered meanwhile, that end a run
_DEAD_OTHERS = 10


class Standing:
    """What a gateway knows of its server: whether it ever answered, and what has failed since it last did."""

    def __init__(self) -> None:
        self.answers = 0
        self.strikes = 0
        self.given_up = 0

    def answered(self) -> None:
        """An answer arrived."""
        self.answers += 1
        self.strikes = self.given_up = 0


@dataclass
class Course:
    """One call and its repetitions: what failed so far.

    Parameters
    ----------
    standing : Standing
        Of the gateway's server.
    tries : int
        Failures after which it is given up.
    patience_s : float
        Time after which it is not begun again.
    """

    standing: Standing
    tries: int
    patience_s: float
    failures: int = 0
    refusals: int = 0
    began: float = field(default_factory=time.monotonic)
    _answers: int = field(init=False)

    def __post_init__(self) -> None:
        self._answers = self.standing.answers

    def wait_after(self, error: CallError, model: str, address: str) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none.

        Raises
        ------
        EngineError
            If no other call can succeed either; EgressError where text may not be sent there.
        """
        if error.kind == "egress":
            raise EgressError(error.detail)
        known = self.standing.answers > 0
        if error.kind in ("key", "model", "no_api") or (error.kind == "request" and not known):
            self.standing.strikes += 1
            # one request may be refused for what its case holds: of an unknown server three are made
            if self.standing.strikes >= _STRIKES or not (known or error.kind == "request"):
                raise _hopeless(error, model, address)
        if error.kind in ("request", "context"):
            return None
        if error.retry_after_s is not None and error.retry_after_s > min(_LONGEST_PAUSE_S, self.patience_s):
            raise EngineError(
                f"{address} asks for a pause of {error.retry_after_s / 60:.0f} minutes ({error.detail}). "
                "What was answered is kept: run again then."
            )
        if error.kind == "rate_limit":
            self.refusals += 1
        else:
            self.failures += 1
        if error.kind == "connection" and not known:
            return self._contact(error, address)
        wait = self._wait(error)
        if self._spent(known) or time.monotonic() + wait - self.began > self.patience_s:
            self._give_up(error, address)
            return None
        return wait

    def _spent(self, known: bool) -> bool:
        allowed = self.tries * (_REFUSALS if known else 1)
        return self.failures >= self.tries or self.refusals >= allowed

    def _wait(self, error: CallError) -> float:
        if error.retry_after_s is not None:
            return random.uniform(0.0, 0.05)  # the gate itself stays closed for as long as the server asked
        count = self.failures + self.refusals
        first = _BROKEN_S if error.kind == "cut_off" and count == 1 else _FIRST_S
        return min(_LONGEST_S, first * 2.0 ** (count - 1)) * random.uniform(0.5, 1.0)

    def _contact(self, error: CallError, address: str) -> float:
        if self.failures >= min(_CONTACT_TRIES, self.tries) or time.monotonic() - self.began > _CONTACT_S:
            raise EngineError(
                f"No server answers at {address}: {error.detail}. Is it running, and is the address right?"
            )
        return 0.25 * self.failures

    def _give_up(self, error: CallError, address: str) -> None:
        """Count a call that is given up; a server that answers nobody any more ends the run."""
        if self.standing.answers != self._answers:
            return
        self.standing.given_up += 1
        if self.standing.given_up >= _DEAD.get(error.kind, _DEAD_OTHERS):
            raise EngineError(
                f"{address} has stopped answering: {self.standing.given_up} calls in a row were given up, "
                f"the last one for {error}. What was answered is kept: run again when it is back."
            )


def _hopeless(error: CallError, model: str, address: str) -> DallmError:
    what = {
        "key": "Check the key (environment variable or api_key) and what it may use.",
        "model": "Check the model's name; the server lists what it has under /models.",
        "no_api": "",
        "request": "",
    }[error.kind]
    lead = f"{model} at {address}: " if error.kind != "no_api" else ""
    return EngineError(f"{lead}{error.kind}: {error.detail.rstrip('.')}. {what}".rstrip().replace("?.", "?"))
