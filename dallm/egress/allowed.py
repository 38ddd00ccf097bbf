"""What a user has allowed: hosts that patient text may be sent to, each with its agreement."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dallm.egress.addresses import host_of, literal
from dallm.errors import UserError

_WITH_AGREEMENT = re.compile(r"(\S+?):\s+(\S.*)", re.DOTALL)
_NONE_NAMED = "no agreement named"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Hosts that patient text may be sent to.

    Attributes
    ----------
    agreements : mapping of str to str
        Host, or class of a model that shows no address, to the agreement.
    everywhere : bool
        Whether every address is allowed.
    """

    agreements: Mapping[str, str] = field(default_factory=dict)
    everywhere: bool = False

    @classmethod
    def of(cls, allow_egress: AllowEgress) -> Allowed:
        """Read what a user gave as `allow_egress`.

        Raises
        ------
        UserError
            If it is none of the forms that are read.

        Examples
        --------
        >>> Allowed.of("api.openai.com: agreement of 2026-03-01").agreements
        {'api.openai.com': 'agreement of 2026-03-01'}
        >>> "llm.example.org" in Allowed.of(["https://llm.example.org/v1"])
        True
        """
        if isinstance(allow_egress, Allowed):
            return allow_egress
        if allow_egress is None or isinstance(allow_egress, bool):
            return cls(everywhere=bool(allow_egress))
        given: Collection[str] = [allow_egress] if isinstance(allow_egress, str) else allow_egress
        if not isinstance(given, Collection):
            raise _unusable(allow_egress)
        pairs = given.items() if isinstance(given, Mapping) else map(_pair, given)
        agreements: dict[str, str] = {}
        for host, agreement in pairs:
            if not isinstance(host, str) or not isinstance(agreement, str) or not _name(host):
                raise _unusable(allow_egress)
            agreements[_name(host)] = " ".join(agreement.split()) or _NONE_NAMED
        return cls(agreements)

    def __contains__(self, host: object) -> bool:
        return self.everywhere or (isinstance(host, str) and _name(host) in self.agreements)

    def __bool__(self) -> bool:
        return self.everywhere or bool(self.agreements)

    def agreement(self, host: str) -> str:
        """Return the agreement for a host."""
        return self.agreements.get(_name(host), _NONE_NAMED)


AllowEgress = bool | str | Collection[str] | Mapping[str, str] | Allowed | None
"""What a user may give as `allow_egress`."""


def _pair(text: object) -> tuple[str, str]:
    if not isinstance(text, str):
        raise _unusable(text)
    match = _WITH_AGREEMENT.fullmatch(text.strip())
    return (match[1], match[2]) if match else (text, "")


def _name(host: str) -> str:
    name = host_of(host) or ""
    ip = literal(name)
    return str(ip) if ip is not None else name


def _unusable(given: object) -> UserError:
    return UserError(
        "allow_egress is a host with the agreement that allows it, for example 'api.openai.com: agreement "
        f"of 2026-03-01', a mapping of hosts to agreements, or True; got {given!r}."
    )
