"""Read PubMed's XML: titles, abstracts and what a citation needs; entities of its own are refused."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from dallm.knowledge.passage import Section

_MOST_AUTHORS = 6


class XmlError(ValueError):
    """The text is no XML that can be read; `is_partial` if it seems to have been cut off."""

    def __init__(self, message: str, *, is_partial: bool) -> None:
        super().__init__(message)
        self.is_partial = is_partial


@dataclass(frozen=True, slots=True)
class Record:
    """One record of PubMed.

    `status` is "" or "retracted", "retraction notice" or "expression of concern".
    """

    pmid: str
    title: str
    sections: tuple[Section, ...]
    authors: tuple[str, ...] = ()
    journal: str = ""
    year: str = ""
    copyright: str = ""
    status: str = ""


def read_xml(raw: bytes) -> ET.Element:
    """Parse XML without entities of its own: neither files nor other addresses are read, nor blown up.

    Raises
    ------
    XmlError
        If it is cut off or no XML, or declares an entity.

    Examples
    --------
    >>> read_xml(b"<a><b>1</b></a>").find("b").text
    '1'
    >>> read_xml(b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>')
    Traceback (most recent call last):
    ...
    dallm.knowledge.sources.pubmed_xml.XmlError: it declares the entity 'x', which PubMed's answers never do
    """
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refused
    try:
        parser.Parse(raw, True)
        return builder.close()
    except (expat.ExpatError, AssertionError) as error:
        raise XmlError(f"it is no whole XML ({error}, {len(raw):,} bytes)", is_partial=True) from error


def records(root: ET.Element) -> Iterator[Record]:
    """Yield the records of an answer of efetch.

    Examples
    --------
    >>> answer = read_xml(b'''<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>7</PMID><Article>
    ... <ArticleTitle>Asthma in <i>adults</i>.</ArticleTitle><Abstract><AbstractText Label="METHODS">We
    ... looked.</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle></PubmedArticleSet>''')
    >>> [(r.pmid, r.title, r.sections) for r in records(answer)]
    [('7', 'Asthma in adults', (Section(path='Methods', text='We looked.'),))]
    """
    for article in root:
        if article.tag in ("PubmedArticle", "PubmedBookArticle"):
            yield _record(article)


def api_error(root: ET.Element) -> str:
    """Return the error that an answer holds instead of records, or an empty text."""
    found = root if root.tag == "ERROR" else next(root.iter("ERROR"), None)
    return _text(found)[:300] if found is not None else ""


def _record(article: ET.Element) -> Record:
    # the first of each kind belongs to the record itself; those of its references come later
    return Record(
        pmid=_text(article.find(".//PMID")),
        title=_title(article),
        sections=tuple(_sections(article)),
        authors=_authors(article),
        journal=_first(article, ".//Journal/Title", ".//Journal/ISOAbbreviation", ".//Book/BookTitle"),
        year=_year(article),
        copyright=_first(article, ".//Abstract/CopyrightInformation"),
        status=_status(article),
    )


def _title(article: ET.Element) -> str:
    title = _first(article, ".//ArticleTitle", ".//Book/BookTitle", ".//VernacularTitle")
    # a title in brackets was translated
    return re.sub(r"^\[(.*)\]$", r"\1", title.rstrip(". ")).rstrip(". ")


def _sections(article: ET.Element) -> Iterator[Section]:
    abstract = article.find(".//Abstract")
    parts: dict[str, list[str]] = {}
    for part in abstract.findall("AbstractText") if abstract is not None else ():
        label = " ".join(part.get("Label", "").split())
        heading = label.capitalize() if label.isupper() else label
        if heading.upper() in ("", "UNLABELLED"):
            heading = "Abstract"
        text = _text(part)
        if text:
            parts.setdefault(heading, []).append(text)
    for heading, texts in parts.items():
        yield Section(heading, "\n".join(texts))


def _authors(article: ET.Element) -> tuple[str, ...]:
    names = []
    for author in article.findall(".//AuthorList[1]/Author"):
        last, short = _first(author, "LastName"), _first(author, "Initials", "ForeName")
        name = f"{last} {short}".strip() or _first(author, "CollectiveName")
        if name and author.get("ValidYN", "Y") == "Y":
            names.append(name)
    names = list(dict.fromkeys(names))
    return tuple(names) if len(names) <= _MOST_AUTHORS else (*names[:_MOST_AUTHORS], "et al.")


def _year(article: ET.Element) -> str:
    told = _first(
        article,
        ".//JournalIssue/PubDate/Year",
        ".//JournalIssue/PubDate/MedlineDate",
        ".//ArticleDate/Year",
        ".//Book/PubDate/Year",
    )
    found = re.search(r"\d{4}", told)
    return found.group() if found else ""


def _status(article: ET.Element) -> str:
    kinds = {_text(kind).casefold() for kind in article.iter("PublicationType")}
    links = {link.get("RefType", "") for link in article.iter("CommentsCorrections")}
    title = _first(article, ".//ArticleTitle")
    if (
        "retracted publication" in kinds
        or "RetractionIn" in links
        or re.match(r"\W*retracted\W", title, re.I)
    ):
        return "retracted"
    if "retraction of publication" in kinds or "RetractionOf" in links:
        return "retraction notice"
    return "expression of concern" if "ExpressionOfConcernIn" in links else ""


def _first(element: ET.Element, *paths: str) -> str:
    for path in paths:
        text = _text(element.find(path))
        if text:
            return text
    return ""


def _text(element: ET.Element | None) -> str:
    return " ".join("".join(element.itertext()).split()) if element is not None else ""


def _refused(name: str, *_: object) -> NoReturn:
    raise XmlError(f"it declares the entity {name!r}, which PubMed's answers never do", is_partial=False)
