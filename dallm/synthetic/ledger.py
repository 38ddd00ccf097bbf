"""What a synthetic report has said so far, so that it never contradicts itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dallm.synthetic.phrases import VALUE, Bank, Stance


class Claim(NamedTuple):
    """One feature in one sentence; `how` is ``stated``, ``consistent`` (with) or ``normal``."""

    feature: str
    stance: Stance
    how: str = "stated"


class Ledger:
    """The answers that a report has given, feature by feature.

    A claim is taken only together with all that follows from it, and only where nothing said before differs.
    """

    def __init__(self, bank: Bank) -> None:
        self._closure = bank.closure
        self.said: dict[str, str] = {}
        self._soft: set[str] = set()

    def allows(self, claims: Sequence[Claim]) -> bool:
        """Whether all claims fit what was said before, and each other."""
        fresh: dict[str, tuple[str, bool]] = {}
        for claim in claims:
            value = VALUE.get(claim.stance)
            if value is None:
                continue
            for feature, answer, soft in self._closure[claim.feature, value]:
                before = fresh.get(feature)
                if before is None and feature in self.said:
                    before = self.said[feature], feature in self._soft
                if before is not None and not _compatible(before, (answer, soft)):
                    return False
                if before is None or (before[1] and not soft):
                    fresh[feature] = answer, soft
        return True

    def add(self, claims: Sequence[Claim]) -> bool:
        """Take the claims if they are allowed; return whether they were."""
        if not self.allows(claims):
            return False
        for claim in claims:
            value = VALUE.get(claim.stance)
            if value is None:
                continue
            for feature, answer, soft in self._closure[claim.feature, value]:
                if feature not in self.said or (feature in self._soft and not soft):
                    self.said[feature] = answer
                    if soft:
                        self._soft.add(feature)
                    else:
                        self._soft.discard(feature)
        return True


def _compatible(before: tuple[str, bool], now: tuple[str, bool]) -> bool:
    """Equal answers agree; so do a doubt that only follows from a narrower one, and anything but a denial."""
    if before[0] == now[0]:
        return True
    return (before[1] and now[0] != "negated") or (now[1] and before[0] != "negated")
