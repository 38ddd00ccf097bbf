"""Whether words speak of a feature that no rule of the lexicon finds in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from dallm.features import Feature
from dallm.lexicon import Concept

_STEM = 5  # letters that two forms of a word share: "dyspnea", "dyspneic"
_WORD = re.compile(r"[^\W\d_]+")
# Words that stand in the names of very different things: on their own they say nothing.
_GENERAL = frozenset(
    "a an the of in on at to for with without and or by from is are was be not no left right both "
    "upper lower middle mid side sided bilateral unilateral acute chronic mild moderate severe small "
    "large new old recent sudden increased decreased elevated reduced low high abnormal normal "
    "presence history past prior previous current known patient lung lungs pulmonary pleura pleural "
    "chest thoracic thorax heart cardiac lobe lobar zone base basal abdominal abdomen body level "
    "levels count rate status score finding findings sign signs disease disorder syndrome change "
    "changes abnormality type degree severity pain total test value size".split()
)
_NORMAL = frozenset(
    "normal normally clear unremarkable intact within negative stable unchanged sharp free nil absent "
    "denies denied no not none without never neither nor regular supple afebrile symmetric midline "
    "well fine ok good resolved benign expanded preserved sharply healthy non soft quiet lacks lack "
    "absence unlikely ruled excluded (-) eupneic euvolemic anicteric cleared gone ceased stopped un".split()
)


def stem(word: str) -> str:
    """Return what the forms of a word share.

    Examples
    --------
    >>> stem("effusions") == stem("effusion"), stem("rib") == stem("ribs")
    (True, True)
    """
    word = word.lower()
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:_STEM]


_GENERAL_STEMS = frozenset(map(stem, _GENERAL))


@lru_cache(maxsize=2_048)
def _stems_of(form: str) -> frozenset[str]:
    return frozenset(stem(word) for word in _WORD.findall(form) if len(word) > 1)


def forms_of(feature: Feature, concept: Concept) -> tuple[frozenset[str], ...]:
    """Return what the names and terms of a feature are made of: one set of stems for each."""
    levels = feature.levels or ()
    written: Iterable[str] = (
        feature.name,
        *feature.aliases,
        *concept.terms,
        *concept.aliases,
        *(level for level in levels if len(level) > 3),
        *(term for terms in concept.level_terms.values() for term in terms),
    )
    return tuple(dict.fromkeys(stems for stems in map(_stems_of, written) if stems))


def speaks(
    words: Sequence[str],
    forms: Collection[frozenset[str]],
    free: Collection[int],
    *,
    whole: bool = False,
) -> list[int]:
    """Return the places of the words that name a feature; empty where they do not.

    Half of the telling words of one name must stand there; of a name of general words only, all.

    Parameters
    ----------
    words : sequence of str
        Words of the sentence, lowered.
    forms : collection of frozenset of str
        As :func:`forms_of` gives them.
    free : collection of int
        Places of the words that count: those that are no other concept's.
    whole : bool, default=False
        Whether all words of a name must stand there.

    Examples
    --------
    >>> forms = (frozenset(map(stem, ("lung", "abscess"))),)
    >>> speaks(("an", "abscess", "is", "seen"), forms, range(4))
    [1]
    >>> speaks(("the", "lung", "is", "seen"), forms, range(4))
    []
    """
    at = {stem(words[place]): place for place in free}
    held = frozenset(at)
    for form in forms:
        common = form & held
        if not common:
            continue
        if whole:
            if common == form:
                return sorted(at[each] for each in common)
            continue
        telling = form - _GENERAL_STEMS
        enough = 2 * len(common & telling) >= len(telling) if telling else common == form
        if enough and (common & telling or not telling):
            return sorted(at[each] for each in common)
    return []


def denies(words: Iterable[str]) -> bool:
    """Whether any word denies something or calls it normal.

    Examples
    --------
    >>> denies(("lungs", "are", "clear")), denies(("lungs", "are", "full"))
    (True, False)
    """
    return any(word in _NORMAL or word.endswith("n't") for word in words)
