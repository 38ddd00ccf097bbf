"""Answer a question from passages with their own sentences: nothing is said that no passage says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dallm.engines.base import KnowledgeAnswer
from dallm.knowledge.lexical import terms
from dallm.knowledge.passage import Hit
from dallm.knowledge.sentences import sentence_spans

MOST_SENTENCES = 6
_SECTION, _CUE, _OVERLAP, _RANK = 1.0, 0.5, 0.6, 0.3
_ENOUGH = 0.5
_ALIKE = 0.8

# what a question is after: how it asks, the headings that promise it, the words of sentences that give it
_FOCUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        "laboratory",
        r"laborator|blood test|\btests?\b|biomarker",
        r"laborator|investigation|\btests?\b|diagnos|blood",
        r"blood|serum|white|count|protein|culture|level|elevated|raised|assay|gas analysis|troponin|peptide|"
        r"spirometry",
    ),
    (
        "history",
        r"personal history|risk factor|at risk|history|occupation",
        r"history|risk|epidemiolog|who gets|predispos",
        r"histor|smok|expos|risk|earlier|previous|recent|family|age\b|occupation|alcohol|contact",
    ),
    (
        "imaging",
        r"radiograph|x-ray|imaging|look|film|\bct\b",
        r"radiograph|imaging|x-ray|\bct\b|look|appearance",
        r"opacit|film|radiograph|x-ray|shadow|silhouette|angle|hemidiaphragm|line|blunt|lucen",
    ),
    (
        "signs",
        r"\bsigns?\b|examination|auscult",
        r"\bsigns?\b|examination|presentation|clinical features",
        r"breath sounds|percussion|crackles|tachypnea|tachycardia|auscult|dull|rub|cyanosis|edema|distension|"
        r"murmur",
    ),
    (
        "symptoms",
        r"symptom|complain|feel",
        r"symptom|complaint|presentation|clinical features|signs and symptoms",
        r"symptom|complain|cough|pain|dyspnea|breath|fever|fatigue|asymptomatic|weakness",
    ),
    (
        "causes",
        r"cause|why|etiolog|aetiolog|due to",
        r"cause|etiolog|aetiolog|pathogenesis|mechanism|risk",
        r"cause|due to|follow|result|lead|because|secondary|after",
    ),
    (
        "definition",
        r"^\s*what (is|are)(?! the)|define|definition|meaning",
        r"what it is|definition|overview|introduction|^$|summary",
        r"\b(is|are|means|refers to|describes)\b",
    ),
)
# words that nearly every question holds and that say nothing of what it asks for
_GENERAL = frozenset(
    terms(
        "patients clinical help find lies behind common possible relevant matter considered data facts many"
    )
)


@dataclass(frozen=True)
class _Candidate:
    hit: int
    start: int
    end: int
    direct: bool
    score: float
    words: frozenset[str]


def answer(question: str, hits: Sequence[Hit]) -> KnowledgeAnswer:
    """Answer a question with up to six sentences of the passages, each followed by its citation.

    A sentence counts as support where its heading promises what the question asks for, or where it holds the
    words that tell; naming the condition alone supports nothing.

    Parameters
    ----------
    question : str
        An expert query, or any question.
    hits : sequence of Hit
        Passages, the best first.

    Returns
    -------
    KnowledgeAnswer
        ``[n]`` in its text cites ``hits[n - 1]`` of the answer. Both are empty where no passage supports one.

    Examples
    --------
    >>> from dallm.knowledge.passage import Passage
    >>> text = "Mucus plugging causes atelectasis. Atelectasis is seen often."
    >>> page = Passage(text, "Atelectasis", "", "notes", "a.md", None, None, (), "", ("atelectasis",), "0f")
    >>> answer("What are the causes of atelectasis?", [Hit(page, 0.6)]).text
    'Mucus plugging causes atelectasis. [1]'
    >>> answer("Which treatment has atelectasis?", [Hit(page, 0.6)]).text
    ''
    """
    if not hits:
        return KnowledgeAnswer("")
    candidates = _candidates(question, hits)
    # a sentence from another section answers only where no section is about the question
    candidates = [c for c in candidates if c.direct] or candidates
    chosen: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.score, c.hit, c.start)):
        if len(chosen) == MOST_SENTENCES:
            break
        if all(_alike(candidate.words, other.words) < _ALIKE for other in chosen):
            chosen.append(candidate)
    # the passage with the best sentence leads; within a passage the sentences keep their order
    first: dict[int, int] = {}
    for candidate in chosen:
        first.setdefault(candidate.hit, len(first))
    chosen.sort(key=lambda c: (first[c.hit], c.start))
    pieces = [f"{hits[c.hit].passage.text[c.start : c.end]} [{first[c.hit] + 1}]" for c in chosen]
    return KnowledgeAnswer(" ".join(pieces), tuple(hits[hit] for hit in first))


def _candidates(question: str, hits: Sequence[Hit]) -> list[_Candidate]:
    asked = question.casefold()
    focuses = [focus for focus in _FOCUSES if re.search(focus[1], asked)]
    if len(focuses) > 1:  # "what are the ..." asks for no definition
        focuses = [focus for focus in focuses if focus[0] != "definition"]
    wanted = set(terms(question)) - _GENERAL
    best = max(hit.score for hit in hits) or 1.0
    found = []
    for number, hit in enumerate(hits):
        passage = hit.passage
        heading = passage.section.casefold().split(" > ")[-1].strip()
        promised = any(re.search(focus[2], heading) for focus in focuses)
        named = set(terms(" ".join((passage.title, *passage.conditions))))
        telling = wanted - named
        for start, end in sentence_spans(passage.text):
            sentence = passage.text[start:end]
            words = frozenset(terms(sentence))
            if len(words) < 2:
                continue
            cue = any(re.search(focus[3], sentence.casefold()) for focus in focuses)
            overlap = len(telling & words) / len(telling) if telling else 0.0
            support = _SECTION * promised + _CUE * cue + _OVERLAP * overlap
            # under a heading that promises something else, a cue alone is chance
            if support < _ENOUGH or (focuses and not promised and not (overlap or not heading)):
                continue
            direct = promised or not heading
            score = support + _RANK * hit.score / best
            found.append(_Candidate(number, start, end, direct, score, words))
    return found


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))
