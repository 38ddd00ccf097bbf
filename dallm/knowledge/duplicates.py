"""Passages of several sources that say nearly the same: found by MinHash, told apart where a fact differs.

Two passages are nearly the same where four fifths of their runs of three words are common to both, or where
nothing but light words (articles, "often", "usually") differs. They are not where the difference holds a
number, a unit, a negation, a side, a direction, or where one condition stands for another: such a word turns
what a sentence says. Passages of fewer than twelve words must agree word for word. Pages about different
things are never linked, however alike: much of what several pages say in the same words is boilerplate.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.knowledge.conditions import conditions_in
from dallm.knowledge.lexical import STOPWORDS, stem
from dallm.knowledge.passage import Hit, Passage
from dallm.knowledge.sentences import sentences

BANDS = 16
"""How many bands a text has: of two texts that share 80 % of their runs of three words, 1 in 100,000 pairs
has no band in common, of two that share half of them 1 in 8."""

LIKE = 0.8
"""Share of common runs of three words (Jaccard index) from which on two passages are nearly the same."""

SHORT = 12
"""Passages of fewer words are the same word for word, or not at all."""

_ROWS = 3  # minima in a band
_CHUNK = 1 << 16  # runs of words hashed at a time: they stay in the processor's cache
_MOST_TRIED = 64  # candidates compared with one passage
_LIGHT_FROM = 0.4  # below this share of common runs, not even light words are compared

_TOKEN = re.compile(r"[^\W_]+|[<>≤≥±]|(?<!\w)[-−–](?=\d)")
_CONTRACTED = re.compile(r"\b(ca|wo)?n['’]t\b|n['’]t\b|\bcannot\b")
_PERCENT = re.compile(r"\s*%|\bper\s+cent\b")

# words that turn what a sentence says
_TURNING = frozenset(
    """
    no not nor never none neither without absent absence lack lacking lacks negative positive present deny
    denies excluded unlikely likely rarely rare seldom always common uncommon except unless before after only
    left right bilateral unilateral upper lower middle inner outer anterior posterior medial lateral proximal
    distal superior inferior apical basal above below over under up down
    high low higher lower highest lowest more less most least many few fewer increase increased increases
    decrease decreased decreases reduce reduced raise raised rise rises fall falls large small larger smaller
    big elevated greater acute chronic mild moderate severe benign malignant early late short long shorter
    longer fast slow better worse best worst safe contraindicated recommended should
    male female men women man woman boys girls child children adult adults infant infants mother father
    arterial venous artery vein systolic diastolic inspiration expiration inspiratory expiratory exudate
    transudate afferent efferent donor recipient sensitivity specificity sensitive specific
    zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty
    hundred thousand million half third quarter once twice first second single double
    """.split()
)
_HEDGES = frozenset(
    """
    often commonly usually typically generally frequently mostly mainly also however therefore thus usual
    typical about approximately roughly around including include includes well known called termed via
    """.split()
)
_PREFIXES = (
    "hyper hypo tachy brady un in im il ir ab non dis anti de uni bi mono poly endo exo ex trans intra extra "
    "inter pre post sub supra macro micro"
).split()


class Held(NamedTuple):
    """A passage that a store holds, as far as resemblance goes; `twin` is what it was linked to, if so."""

    sha256: str
    source: str
    title: str
    section: str
    text: str
    conditions: tuple[str, ...]
    twin: str | None


def bands(text: str) -> tuple[int, ...]:
    """Return what near-duplicates of a text share some of: 16 numbers below 2**32, none without a word.

    The numbers are the same in every process and on every machine.

    Examples
    --------
    >>> one = bands("Air collects between the lung and the chest wall, and the lung collapses partly.")
    >>> two = bands("Air collects between the lung and the chest wall, and the lung often collapses partly.")
    >>> len(one), bool(set(one) & set(two)), bands("...")
    (16, True, ())
    """
    return bands_of([text])[0]


def bands_of(texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return :func:`bands` of several texts; far faster than one by one."""
    keys, held = _band_matrix(texts)
    return [tuple(row) if full else () for row, full in zip(keys.tolist(), held.tolist(), strict=True)]


def nearly_same(a: str, b: str) -> bool:
    """Whether two texts say the same, but for light edits, the order of sentences, additions of a few words.

    Examples
    --------
    >>> text = "The effusion is drained through a needle when it is large or when its cause is in doubt."
    >>> nearly_same(text, text.replace("is drained", "is usually drained").upper())
    True
    >>> nearly_same(text, text.replace("is drained", "is not drained"))
    False
    """
    first, second = _words(a), _words(b)
    if first == second:
        return bool(first)
    fewer, more = sorted((len(first), len(second)))
    if fewer < SHORT or fewer < _LIGHT_FROM * more:
        return False
    share = _jaccard(first, second)
    if share < _LIGHT_FROM:
        return False
    removed, added, changed = _changes(a, b)
    if changed:
        return False
    return share >= LIKE or (removed | added) <= _light()


def twins(
    passages: Sequence[Passage],
    held: Callable[[str, list[int]], Iterable[Held]],
    keys: Sequence[tuple[int, ...]] | None = None,
) -> list[str | None]:
    """Link new passages to passages of other sources that they nearly equal.

    All that resemble one another are linked to the same passage, so that ``twin or sha256`` names their
    group. Passages are taken in their order, each against what is held and the passages before it: however
    the same passages are cut into writes, the links are the same.

    Parameters
    ----------
    passages : sequence of Passage
        What is about to be written.
    held : callable
        Called with the name of a source and a list of bands; gives the held passages of *other* sources that
        have one of the bands. It may give more. Not called for passages without words.
    keys : sequence of tuple of int, optional
        The bands of the passages, where they are known already.

    Returns
    -------
    list of str or None
        One per passage: the digest that names its group (its own, where the passage it resembles has the
        same or was linked to it before), None where it resembles none.
    """
    keys = bands_of([p.text for p in passages]) if keys is None else keys
    by_source: dict[str, set[int]] = defaultdict(set)
    for passage, own in zip(passages, keys, strict=True):
        by_source[passage.source].update(own)
    known: dict[tuple[str, str], Held] = {}
    for source, wanted in by_source.items():
        for one in held(source, sorted(wanted)) if wanted else ():
            known.setdefault((one.sha256, one.source), one)
    entries = list(known.values())
    members: dict[int, list[int]] = defaultdict(list)
    for number, theirs in enumerate(bands_of([one.text for one in entries])):
        for key in theirs:
            members[key].append(number)
    links: list[str | None] = []
    for passage, own in zip(passages, keys, strict=True):
        shared = Counter(n for key in own for n in members[key] if entries[n].source != passage.source)
        # the most alike first; equal ones in an order that does not depend on how they were found
        tried = sorted(shared, key=lambda n: (-shared[n], entries[n].sha256, entries[n].source))
        links.append(_twin(passage, (entries[n] for n in tried)))
        for key in own:
            members[key].append(len(entries))
        entries.append(_held(passage, links[-1]))
    return links


def collapsed(
    ranked: Iterable[tuple[Passage, float, str | None]], others: Iterable[tuple[Passage, str | None]] = ()
) -> list[Hit]:
    """Turn passages in the order of their scores into hits: one for what several sources say alike.

    A passage that another source's hit resembles stands in that hit's `also`; within a source only a passage
    that stands there word for word is passed over.

    Parameters
    ----------
    ranked : iterable of (Passage, score, twin)
        The best first; `twin` as :func:`twins` gave it.
    others : iterable of (Passage, twin)
        Further passages that the search's filters let through: they are no hits, but may stand in `also`.
    """
    hits: list[tuple[Passage, float, str]] = []
    groups: dict[str, list[Passage]] = defaultdict(list)
    sources: dict[str, set[str]] = defaultdict(set)  # of the hits, by group
    seen: set[tuple[str, str]] = set()
    for passage, score, twin in ranked:
        key = twin or passage.sha256
        if (passage.sha256, passage.source) in seen:
            continue
        seen.add((passage.sha256, passage.source))
        groups[key].append(passage)
        if sources[key] <= {passage.source}:
            hits.append((passage, score, key))
            sources[key].add(passage.source)
    for passage, twin in others:
        key = twin or passage.sha256
        if (passage.sha256, passage.source) not in seen:
            seen.add((passage.sha256, passage.source))
            groups[key].append(passage)
    return [
        Hit(passage, score, tuple(p for p in groups[key] if p.source != passage.source))
        for passage, score, key in hits
    ]


def _twin(passage: Passage, candidates: Iterable[Held]) -> str | None:
    for tried, other in enumerate(candidates):
        if tried == _MOST_TRIED:
            return None
        if _one_subject(passage, other) and nearly_same(passage.text, other.text):
            return other.twin or other.sha256
    return None


def _held(passage: Passage, twin: str | None) -> Held:
    p = passage
    return Held(p.sha256, p.source, p.title, p.section, p.text, p.conditions, twin)


def _one_subject(passage: Passage, other: Held) -> bool:
    """The same words under two titles about two things are two statements, as boilerplate is.

    Pages are about one thing where they share a condition, or, where one is known to be about none, where one
    title holds the other's words. A few words say something only together with their heading.
    """
    if passage.conditions and other.conditions:
        if not set(passage.conditions) & set(other.conditions):
            return False
    else:
        one, two = set(_words(passage.title)), set(_words(other.title))
        if not (one <= two or two <= one):
            return False
    if len(_words(other.text)) >= SHORT:
        return True
    return _words(passage.section.rpartition(">")[2]) == _words(other.section.rpartition(">")[2])


def _words(text: str) -> list[str]:
    plain = text.casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    if "n't" in plain or "n’t" in plain or "cannot" in plain:
        plain = _CONTRACTED.sub(_spelt_out, plain)
    plain = _PERCENT.sub(" percent", plain)
    return [_root(word) for word in _TOKEN.findall(plain)]


def _spelt_out(match: re.Match[str]) -> str:
    return {"ca": "can not", "wo": "will not"}.get(match[1], "can not" if match[0] == "cannot" else " not")


@lru_cache(maxsize=1 << 17)
def _root(word: str) -> str:
    """A word without its endings, in one spelling: oedema and edema, tumours and tumor."""
    return stem(word).replace("ae", "e").replace("oe", "e").replace("our", "or")


@lru_cache(maxsize=1 << 17)
def _word_id(root: str) -> int:
    return zlib.crc32(root.encode("utf-8", "replace"))


@lru_cache(maxsize=1)
def _turning() -> frozenset[str]:
    return frozenset(map(_root, _TURNING))


@lru_cache(maxsize=1)
def _light() -> frozenset[str]:
    return frozenset(map(_root, STOPWORDS | _HEDGES)) - _turning()


def _jaccard(a: list[str], b: list[str]) -> float:
    one, two = (set(zip(words, words[1:], words[2:], strict=False)) for words in (a, b))
    return len(one & two) / len(one | two)


def _changes(a: str, b: str) -> tuple[set[str], set[str], bool]:
    """Return the words that only one of two texts has in a place, and whether they turn what is said."""
    first, second = ([(sentence, _words(sentence)) for sentence in sentences(text)] for text in (a, b))
    # a sentence that stands in both, wherever, is no change
    common = Counter(tuple(words) for _, words in first) & Counter(tuple(words) for _, words in second)
    (text_a, left_a), (text_b, left_b) = _without(first, common), _without(second, common)
    removed: list[int] = []
    added: list[int] = []
    matcher = SequenceMatcher(None, left_a, left_b, autojunk=False)
    for kind, start_a, end_a, start_b, end_b in matcher.get_opcodes():
        if kind != "equal":
            removed += range(start_a, end_a)
            added += range(start_b, end_b)
    gone, new = {left_a[i] for i in removed}, {left_b[i] for i in added}
    turned = (
        any(_turns(left_a, i) for i in removed)
        or any(_turns(left_b, i) for i in added)
        or any(_opposed(x, y) for x in gone for y in new)
        or _other_condition(text_a, text_b)
    )
    return gone, new, turned


def _without(listed: list[tuple[str, list[str]]], common: Counter[tuple[str, ...]]) -> tuple[str, list[str]]:
    left, texts, words = Counter(common), [], []
    for text, tokens in listed:
        if left[tuple(tokens)] > 0:
            left[tuple(tokens)] -= 1
        else:
            texts.append(text)
            words += tokens
    return " ".join(texts), words


def _turns(words: list[str], place: int) -> bool:
    word = words[place]
    if word in _turning() or not word.isalpha():  # a number, a grade such as 3b, a sign
        return True
    return place > 0 and words[place - 1].isdigit()  # what is counted, and in which unit


def _opposed(one: str, two: str) -> bool:
    return any(
        one != two and one.removeprefix(p) == two.removeprefix(q)
        for p in (*_PREFIXES, "")
        for q in (*_PREFIXES, "")
        if p != q and one.startswith(p) and two.startswith(q)
    )


def _other_condition(a: str, b: str) -> bool:
    one, two = set(conditions_in(a)), set(conditions_in(b))
    return bool(one - two) and bool(two - one)


def _band_matrix(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    ids = [[_word_id(word) for word in _words(text)] for text in texts]
    counts = np.array([len(one) for one in ids], dtype=np.int64)
    keys = np.zeros((len(texts), BANDS), dtype=np.uint32)
    start = 0
    while start < len(texts):
        total = np.cumsum(counts[start:])
        end = start + max(1, int(np.searchsorted(total, _CHUNK)))
        full = np.flatnonzero(counts[start:end]) + start
        if len(full):
            keys[full] = _chunk_bands([ids[i] for i in full])
        start = end
    return keys, counts > 0


def _chunk_bands(ids: list[list[int]]) -> NDArray[np.uint32]:
    """MinHash over runs of three words; two blank words at the end give even a single word a run."""
    flat = np.array([i for one in ids for i in (*one, 0, 0)], dtype=np.uint64)
    lengths = np.array([len(one) + 2 for one in ids])
    runs = _mixed(flat[:-2] * _ODD[0] + flat[1:-1] * _ODD[1] + flat[2:] * _ODD[2])
    counts = np.maximum(lengths - 4, 1)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    runs = runs[(place < np.repeat(counts, lengths))[:-2]]
    starts = np.cumsum(counts) - counts
    keys = np.empty((len(ids), BANDS), dtype=np.uint32)
    for band in range(BANDS):
        key = np.full(len(ids), band + 1, dtype=np.uint64)
        for row in range(band * _ROWS, band * _ROWS + _ROWS):
            key = _mixed(key * _ODD[3] + np.minimum.reduceat((runs * _FACTORS[row]) >> _HALF, starts))
        keys[:, band] = (key >> _HALF).astype(np.uint32)
    return keys


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread what numbers differ in over all their bits."""
    values = (values ^ (values >> np.uint64(33))) * _ODD[4]
    return values ^ (values >> np.uint64(29))


_HALF = np.uint64(32)
_ODD = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD],
    dtype=np.uint64,
)
_FACTORS = _mixed(np.arange(1, BANDS * _ROWS + 1, dtype=np.uint64) * _ODD[0]) | np.uint64(1)
