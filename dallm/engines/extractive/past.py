"""Times of life that make a finding history: "in 1998", "as a child", "ten years before admission"."""

from __future__ import annotations

_CUES = frozenset(
    "child teenager adolescent teen infancy childhood adolescence twenties thirties forties fifties "
    "sixties youth school college war years year decades age recalls remotely".split()
)
_PERIODS = frozenset(
    "infancy childhood adolescence twenties thirties forties fifties sixties youth school college".split()
)
_LIVES = frozenset(("child", "teenager", "adolescent", "teen"))
_PAST = frozenset(
    "had has underwent contracted sustained suffered developed used treated received completed "
    "recalls mention mentions survived broke fractured experienced".split()
)
# A disease that was found then and lasts, or a film that is compared, is about now.
_LASTING = frozenset(
    "since diagnosed known is are remains unchanged stable compared comparison now still currently "
    "from today persistent chronic dated prior".split()
)
_YEARS = frozenset(map(str, range(1900, 2100)))
_NEAR = 12


def _time(words: tuple[str, ...], at: int) -> tuple[int, int] | None:
    """Return the range of the time phrase whose telling word stands at `at`."""
    word = words[at]
    before = words[at - 1] if at else ""
    following = words[at + 1] if at + 1 < len(words) else ""
    if word in _YEARS:
        if before == "the" and following == "s" and at > 1 and words[at - 2] == "in":
            return at - 2, at + 2
        return (at - 1, at + 1) if before == "in" else (at, at + 1)
    if word in _LIVES and before in ("a", "an") and at > 1 and words[at - 2] == "as":
        return at - 2, at + 1
    if word in _PERIODS and ("in" in words[max(0, at - 2) : at] or "during" in words[max(0, at - 2) : at]):
        return max(0, at - 2), at + 1
    if word in ("years", "decades") and following in ("before", "prior", "earlier", "ago", "previously"):
        return max(0, at - 1), at + 2
    if word == "age" and before == "at" and following.isdigit():
        return at - 1, at + 2
    if word == "war" and "during" in words[max(0, at - 3) : at]:
        return max(0, at - 3), at + 1
    return None


def dated(words: tuple[str, ...]) -> bool:
    """Whether a sentence names any time of life or year at all; most do not."""
    return not (_CUES.isdisjoint(words) and _YEARS.isdisjoint(words))


def long_ago(words: tuple[str, ...], start: int, end: int) -> tuple[int, int] | None:
    """Return the words that put the finding into an earlier time of life, None where it is about now.

    Examples
    --------
    >>> long_ago(("in", "1998", "she", "had", "a", "stroke"), 4, 6)
    (0, 2)
    >>> long_ago(("stroke", "is", "unchanged", "since", "1998"), 0, 1) is None
    True
    """
    low = max((k + 1 for k in range(start) if words[k] in (";", "but", ".")), default=0)
    high = next((k for k in range(end, len(words)) if words[k] in (";", "but", ".", "now")), len(words))
    clause = words[low:high]
    if not _LASTING.isdisjoint(clause):
        return None
    for at in range(low, high):
        phrase = _time(words, at) if start > at or at >= end else None
        if phrase is None:
            continue
        adjacent = phrase[0] == end
        if adjacent or not _PAST.isdisjoint(words[low:start]):
            return phrase if min(abs(phrase[0] - end), abs(start - phrase[1])) <= _NEAR else None
    return None
