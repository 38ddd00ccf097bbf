"""What a site's robots.txt allows, read before anything else of the site (RFC 9309)."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dallm.knowledge.fetch.client import HttpClient
from dallm.knowledge.fetch.outcome import FetchError

AGENT = "dallm"
_MOST_CHARACTERS = 500_000


class _Group(NamedTuple):
    agents: list[str]
    rules: list[tuple[bool, str]]  # whether it allows, and the path's pattern
    delays: list[float]


class Robots:
    """The rules that a robots.txt holds for one program.

    The longest rule that fits a path decides, of two equally long ones the one that allows; ``*`` and ``$``
    are understood. (The standard library's reader takes the first rule that fits and knows no ``*``.)

    Parameters
    ----------
    text : str
        The file; one that is none, such as a web page, holds no rules.
    agent : str, default="dallm"
        The program's name.

    Attributes
    ----------
    delay_s : float
        Seconds between two requests that the site asks for (``Crawl-delay``), 0 if it does not.

    Examples
    --------
    >>> rules = Robots("User-agent: *\\nAllow: /\\nDisallow: /search\\nCrawl-delay: 2.5")
    >>> rules.allows("https://example.org/articles/a"), rules.allows("https://example.org/search?q=a")
    (True, False)
    >>> rules.delay_s
    2.5
    """

    def __init__(self, text: str, agent: str = AGENT) -> None:
        groups = _groups(text[:_MOST_CHARACTERS])
        own = [g for g in groups if agent.lower() in g.agents] or [g for g in groups if "*" in g.agents]
        self._rules = [rule for group in own for rule in group.rules]
        self.delay_s = max((delay for group in own for delay in group.delays), default=0.0)

    def allows(self, url: str) -> bool:
        """Whether the program may ask for an address."""
        parts = urlsplit(url)
        path = unquote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")
        fitting = [(len(pattern), allow) for allow, pattern in self._rules if _fits(pattern, path)]
        return max(fitting)[1] if fitting else True


def fetch_robots(client: HttpClient, base_url: str) -> Robots:
    """Fetch the rules of a site for this program.

    A site that has no such file allows everything.

    Parameters
    ----------
    client : HttpClient
    base_url : str
        Any address of the site.

    Raises
    ------
    FetchError
        If the site refuses the file or does not answer: what it allows is not known then, so nothing is.
    """
    parts = urlsplit(base_url)
    try:
        answer = client.get(f"{parts.scheme}://{parts.netloc}/robots.txt", accept="text/plain")
    except FetchError as error:
        # without an answer, after an error of the server or a refusal the rules are unknown, not absent
        if error.status is None or error.status >= 500 or error.status in (401, 403, 429):
            raise
        return Robots("")
    return Robots(answer.body.decode("utf-8", "replace"))


def _groups(text: str) -> list[_Group]:
    groups: list[_Group] = []
    naming = False
    for line in text.lstrip("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            if not naming:
                groups.append(_Group([], [], []))
            groups[-1].agents.append(value.lower())
            naming = True
            continue
        if key in ("allow", "disallow") and groups:
            if value:  # an empty one says nothing
                groups[-1].rules.append((key == "allow", unquote(value)))
            naming = False
        elif key == "crawl-delay" and groups:
            if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value):
                groups[-1].delays.append(float(value))
            naming = False
    return groups


def _fits(pattern: str, path: str) -> bool:
    """Match a path from its start against a pattern with ``*`` and a closing ``$``, without backtracking."""
    ends = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    for part in others:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    if not ends or at == len(path):
        return True
    # the last part may stand again at the very end
    last = others[-1] if others else first
    return bool(others) and path.endswith(last) and len(path) - len(last) >= at - len(last)
