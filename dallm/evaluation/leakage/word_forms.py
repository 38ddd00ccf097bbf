"""Forms of one word: plurals, adjectives and nouns of a finding, and the words of its side."""

from __future__ import annotations

_SHORTEST_STEM = 4

_ENDINGS = sorted(
    "ifications ification ifying ified ations ation ating ated ates ate ities ity ments ment ions ion ives "
    "ive atous atic asis ases osis oses otic aces ax ancies ancy ant ings ing ous ed al ic ia ies y es s e "
    "a".split(),
    key=len,
    reverse=True,
)

SIDES = frozenset("bilateral bilat unilateral both left right lt rt sided side l r".split())
"""Words that say on which side something is."""


def stem(word: str) -> str:
    """Return what the forms of a word have in common, at least four letters.

    Examples
    --------
    >>> [stem(word) for word in ("consolidated", "consolidation", "abnormal", "abnormality", "pleura")]
    ['consolid', 'consolid', 'abnorm', 'abnorm', 'pleur']
    >>> stem("hydrothoraces") == stem("hydrothorax"), stem("age")
    (True, 'age')
    """
    word = "e" + word[2:] if word.startswith("oe") else word
    shorter = True
    while shorter:
        shorter = False
        for ending in _ENDINGS:
            plural = ending != "s" or not word.endswith(("ss", "us", "is"))
            if plural and word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
                word, shorter = word.removesuffix(ending), True
                break
    return word


def stems(key: str) -> frozenset[str]:
    """Return the stems of a name's words without those of its side; all of them where nothing else is left.

    Examples
    --------
    >>> sorted(stems("bilateral pleural effusions"))
    ['effus', 'pleur']
    """
    words = key.split()
    return frozenset(stem(word) for word in words if word not in SIDES) or frozenset(map(stem, words))


def plain_forms(key: str) -> tuple[str, ...]:
    """Return ways to write a name more plainly: without its side, in the singular.

    Examples
    --------
    >>> plain_forms("bilateral hydrothoraces")
    ('hydrothoraces', 'bilateral hydrothorax', 'hydrothorax')
    """
    without = " ".join(word for word in key.split() if word not in SIDES)
    found = [without] if without else []
    for name in (key, without):
        for plural, single in (("aces", "ax"), ("ases", "asis"), ("oses", "osis")):
            if name.endswith(plural):
                found.append(name.removesuffix(plural) + single)
    return tuple(name for name in dict.fromkeys(found) if name != key)
