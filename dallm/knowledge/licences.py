"""What a licence, as a source states it, says of commercial use."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

CommercialUse = Literal["forbidden", "allowed", "unknown"]

_CC_URL = re.compile(r"creativecommons\.org/licen[sc]es/([a-z-]+)(?:/([\d.]+))?", re.IGNORECASE)
_CC0_URL = re.compile(r"creativecommons\.org/publicdomain/(zero|mark)", re.IGNORECASE)
_CC_NAME = re.compile(r"\b(?:cc|creative commons)\b|\bcc[- ]?(?=by|nc)|\bby[- ]?(?:nc|sa|nd)\b")
_VERSION = re.compile(r"\b([1-4]\.0|2\.5)\b")
# elements in the order in which Creative Commons writes them, with the words that name each
_ELEMENTS = (
    (
        "BY",
        re.compile(
            r"\b(?:cc)?by(?:nc)?(?:sa|nd)?\b|attribution|namensnennung|paternite|atribucion|atribuicao"
        ),
    ),
    (
        "NC",
        re.compile(
            r"\bnc(?:sa|nd)?\b|\b(?:cc)?bync(?:sa|nd)?\b|non ?commercial|nicht ?kommerziell|"
            r"pas d ?utilisation commerciale|no ?comercial|nao ?comercial"
        ),
    ),
    (
        "SA",
        re.compile(
            r"\b(?:(?:cc)?by)?(?:nc)?sa\b|share ?alike|gleichen bedingungen|partage|"
            r"compartir ?igual|compartilha ?igual"
        ),
    ),
    (
        "ND",
        re.compile(r"\b(?:(?:cc)?by)?(?:nc)?nd\b|no ?deriv|keine bearbeitung|pas de modification|sin ?obra"),
    ),
)
_FORBIDS = re.compile(
    r"non ?commercial|nicht ?kommerziell|pas d ?utilisation commerciale|no ?comercial|nao ?comercial|"
    r"(?:no|not for|without|excluding) commercial (?:use|purposes?)|"
    r"commercial (?:use|purposes?)(?: is| are)? (?:not (?:allowed|permitted)|prohibited|forbidden|excluded)|"
    r"(?:research|personal|private|educational?|academic|teaching)(?: (?:and|or) \w+)?"
    r"(?: use| purposes?) only|"
    r"only for (?:research|personal|private|educational?|academic|teaching)|all rights reserved"
)
_ALLOWS = re.compile(
    # "mit" stands alone: it is also a German word
    r"^(?:the )?mit(?: licen[cs]e)?$|\bcc ?0\b|public domain|apache|\bbsd\b|\b[al]?gpl|\bgfdl\b|"
    r"free documentation licen[cs]e|\bodbl\b|"
    r"\bodc ?by\b|open government licen[cs]e|\bunlicense\b|\bisc\b|mozilla|\bmpl\b|"
    r"commercial use(?: is)? (?:allowed|permitted)"
)


def commercial_use(licence: str | None) -> CommercialUse:
    """Return what a licence says of commercial use.

    Where a text names several licences, the strictest counts. A licence that is not recognised, and none at
    all, is unknown: it may forbid anything.

    Parameters
    ----------
    licence : str or None
        The licence as the source states it: a name in any spelling, or the address of its text.

    Returns
    -------
    {"forbidden", "allowed", "unknown"}

    Examples
    --------
    >>> commercial_use("Creative Commons Attribution-NonCommercial 3.0"), commercial_use("CC BY-SA 4.0")
    ('forbidden', 'allowed')
    >>> commercial_use("by arrangement"), commercial_use(None)
    ('unknown', 'unknown')
    """
    if not licence or not licence.strip():
        return "unknown"
    plain, elements = _plain(licence), _elements(licence)
    if "NC" in elements or _FORBIDS.search(plain):
        return "forbidden"
    if elements or _CC0_URL.search(licence) or _ALLOWS.search(plain):
        return "allowed"
    return "unknown"


def forbids_commercial_use(licence: str | None) -> bool:
    """Whether a licence is known to forbid commercial use; see :func:`commercial_use`.

    Examples
    --------
    >>> forbids_commercial_use("CC BY-NC-SA 3.0"), forbids_commercial_use("CC BY-SA 4.0")
    (True, False)
    >>> forbids_commercial_use("https://creativecommons.org/licenses/by-nc/4.0/")
    True
    """
    return commercial_use(licence) == "forbidden"


def short_name(licence: str) -> str:
    """Return the short name of a Creative Commons licence; any other text is returned trimmed.

    Examples
    --------
    >>> short_name("https://creativecommons.org/licenses/by-nc-sa/3.0/deed.en")
    'CC BY-NC-SA 3.0'
    >>> short_name("Attribution-ShareAlike 4.0, Creative Commons"), short_name(" Apache-2.0 ")
    ('CC BY-SA 4.0', 'Apache-2.0')
    """
    elements = _elements(licence)
    if not elements:
        return "CC0 1.0" if "zero" in licence and _CC0_URL.search(licence) else licence.strip()
    url = _CC_URL.search(licence)
    version = (url.group(2) if url else None) or next(iter(_VERSION.findall(licence)), "")
    return f"CC {'-'.join(elements)} {version}".strip()


def _elements(licence: str) -> tuple[str, ...]:
    """Return the elements of a Creative Commons licence, none for another licence."""
    url = _CC_URL.search(licence)
    plain = url.group(1).casefold().replace("-", " ") if url else _plain(licence)
    if not url and not _CC_NAME.search(plain):
        return ()
    return tuple(name for name, pattern in _ELEMENTS if pattern.search(plain))


def _plain(licence: str) -> str:
    """Lower case, accents off, every run of other signs one space."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", licence) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^\w.]+|_", " ", bare.casefold()).split())
