"""Answer a question from passages with their own sentences: nothing is said that no passage says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dallm.engines.base import KnowledgeAnswer
from dallm.knowledge.lexical import terms
from dallm.knowledge.passage import Hit, Passage
from dallm.knowledge.sentences import sentence_spans

MOST_SENTENCES = 6
_SECTION, _NEAR, _CUE, _MORE_CUES, _OVERLAP, _RANK = 1.0, 0.3, 0.5, 0.1, 0.6, 0.3
_ENOUGH = 0.5
_ALIKE = 0.8


class _Focus(NamedTuple):
    """What a question is after.

    `asked` is how it asks, `headings` promise an answer, `near` headings often hold one among other things,
    and `cues` are the words of sentences that give it.
    """

    name: str
    asked: re.Pattern[str]
    headings: re.Pattern[str]
    near: re.Pattern[str]
    cues: re.Pattern[str]


def _focus(name: str, asked: str, headings: str, near: str, cues: str) -> _Focus:
    return _Focus(name, re.compile(asked), re.compile(headings), re.compile(near), re.compile(cues))


_FOCUSES = (
    _focus(
        "laboratory",
        r"laborator|blood test|\btests?\b|biomarker",
        r"laborator|investigation|\btests?\b|diagnos|blood",
        r"work-?up|evaluation|findings",
        r"\b(?:blood|serum|white|count|protein|culture|level|elevated|raised|assay|gas analysis|troponin|"
        r"peptide|spirometry|creatinine|albumin|h(?:a)?emoglobin|sputum|d-dimer|antibod|enzyme|biopsy|cytology|"
        r"electrolyte|lactate|urine)",
    ),
    _focus(
        "history",
        r"personal history|risk factor|at risk|history|occupation",
        r"history|risk|epidemiolog|who gets|predispos|susceptib",
        r"cause|inherit|famil",
        r"\b(?:histor|smok|expos|risk|earlier|previous|recent|family|aged?\b|older|occupation|work|alcohol|contact|"
        r"surgery|diabetes|asbestos|travel|obes|overweight|pregnan|inherited|cancer|immun)",
    ),
    _focus(
        "imaging",
        r"radiograph|x-ray|imaging|look|film|\bct\b",
        r"radiograph|imaging|x-ray|\bct\b|look|appearance",
        r"diagnos|\bexams?\b|examination|\btests?\b|signs|findings",
        r"\b(?:opacit|film|radiograph|x-rays?\b|shadow|silhouette|angle|hemidiaphragm|lines?\b|blunt|lucen|"
        r"ct\b|ct scan|ultrasound|echocardiogra|infiltrate|nodule|calcif|enlarged)",
    ),
    _focus(
        "signs",
        r"\bsigns?\b|examination|auscult",
        r"\bsigns?\b|examination|presentation|clinical features|findings",
        r"symptom|complaint|diagnos|\bexams?\b",
        r"\b(?:breath sounds|percussion|crackl|tachypn|tachycard|auscult|dull|rub\b|cyano|o?edema|distension|"
        r"murmur|stethoscope|swelling|swollen|rapid (?:breathing|pulse|heart)|wheez|blood pressure|clubbing|"
        r"fever|jugular|veins in (?:the|your) neck|heart ?beat|heart rate|low oxygen|bluish|tender)",
    ),
    _focus(
        "symptoms",
        r"symptom|complain|feel",
        r"symptom|complaint|presentation|clinical features",
        r"\bsigns?\b|what (?:is|are)|overview|^what it is",
        r"\b(?:cough|pain|dyspn|breath|fever|fatigue|tired|asymptomatic|weak|wheez|sputum|phlegm|mucus|chills|"
        r"sweat|swelling|nausea|vomit|headache|palpitation|dizz|light-?headed|faint|weight loss|"
        r"loss of (?:appetite|weight)|hoarse|h(?:a)?emoptysis|confus|alert|tightness|orthopn|heartburn|itch)",
    ),
    _focus(
        "causes",
        r"cause|why|etiolog|due to",
        r"cause|etiolog|pathogenesis|mechanism|risk",
        r"what (?:is|are)|overview|genetic|^what it is",
        r"\b(?:caus|due to|follow|result|leads?\b|because|secondary|after\b|bacteri|virus|viral|tumou?r|"
        r"infect|blocked|injury|trauma|mutation|smok|disease)",
    ),
    _focus(
        "definition",
        r"^\s*what (is|are)(?! the)|define|definition|meaning",
        r"what (?:is|are|it is)|definition|overview|introduction|^$|summary",
        r"about|information",
        r"\b(is|are|means|refers to|describes)\b",
    ),
)
# what a page says to its readers or of itself; it says nothing of the condition
_OF_THE_PAGE = re.compile(
    r"\b(?:see|call|ask|tell|talk to|contact|visit) (?:your|a|the) (?:doctor|health|physician)|"
    r"\b(?:animation|illustration|figure|video|picture|diagram|article|page|section|link)s? "
    r"(?:below|above|shows?|describes?|contains?)|\b(?:for more|more) information\b|\bthis information\b|"
    r"\bclick\b|\bfor information on\b|human phenotype ontology|rare disease database|"
    r"\bnumber of the fraction\b|\bfrequenc(?:y|ies)\b.{0,60}\b(?:sign|stud|available|means)|"
    r"\bsigns? or symptoms? (?:may be|occurs)\b|approximate number of patients"
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
    cues: bool
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


def promises(section: str, question: str) -> bool:
    """Tell whether a passage's heading promises what a question is after.

    Examples
    --------
    >>> promises("Causes", "What are the causes of asthma?"), promises("Signs", "What causes asthma?")
    (True, False)
    """
    heading = _heading(section)
    return any(focus.headings.search(heading) for focus in _focuses(question))


def _focuses(question: str) -> list[_Focus]:
    asked = question.casefold()
    focuses = [focus for focus in _FOCUSES if focus.asked.search(asked)]
    # "what are the ..." asks for no definition
    return focuses if len(focuses) < 2 else [focus for focus in focuses if focus.name != "definition"]


def _heading(section: str) -> str:
    return section.casefold().split(" > ")[-1].strip()


def _candidates(question: str, hits: Sequence[Hit]) -> list[_Candidate]:
    focuses = _focuses(question)
    wanted = frozenset(terms(question)) - _GENERAL
    best = max(hit.score for hit in hits) or 1.0
    found = []
    for number, hit in enumerate(hits):
        inside = _within(number, hit.passage, wanted, focuses, _RANK * hit.score / best)
        # a passage of which no sentence tells anything has the right heading and the wrong text
        if any(c.cues for c in inside) or not focuses:
            found += inside
    return found


def _within(
    number: int, passage: Passage, wanted: frozenset[str], focuses: Sequence[_Focus], rank: float
) -> list[_Candidate]:
    heading = _heading(passage.section)
    promised = any(focus.headings.search(heading) for focus in focuses)
    named = set(terms(" ".join((passage.title, *passage.conditions))))
    near = any(focus.near.search(heading) for focus in focuses)
    telling = wanted - named
    found = []
    for start, end in sentence_spans(passage.text):
        sentence = passage.text[start:end].casefold()
        words = frozenset(terms(sentence))
        cues = {cue for focus in focuses for cue in focus.cues.findall(sentence)}
        # "see your doctor if you have fever, chills and cough" tells after all
        if len(words) < 2 or (len(cues) < 3 and _OF_THE_PAGE.search(sentence)):
            continue
        # under a heading that promises it, saying "symptoms" once more tells nothing
        if not promised and any(focus.asked.search(sentence) for focus in focuses):
            cues.add("")
        overlap = len(telling & words) / len(telling) if telling and not promised else 0.0
        support = _SECTION * promised + _OVERLAP * overlap
        if cues:
            support += _CUE + _MORE_CUES * min(len(cues) - 1, 4)
        if support < _ENOUGH:
            continue
        # under a heading that promises something else, a single cue is chance
        if focuses and heading and not promised and not (overlap or (near and len(cues) > 1)):
            continue
        score = support + _NEAR * (near and not promised) + rank
        found.append(
            _Candidate(number, start, end, promised or not heading, len(cues - {""}) > 0, score, words)
        )
    return found


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))
