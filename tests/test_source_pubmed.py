"""PubMed: abstracts from a loopback server that answers as the E-utilities do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from http_server import CutOff, FastClock, Reply, as_json, serve

import dallm
from dallm.errors import SourceError, UserError
from dallm.knowledge.licences import commercial_use
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.pubmed import PubMed
from dallm.knowledge.sources.pubmed_xml import XmlError, read_xml, records

RECORDS = (Path(__file__).parent / "pages" / "pubmed_efetch.xml").read_bytes()
IDS = [f"9000000{i}" for i in range(1, 7)]
XML = {"content-type": "text/xml; charset=UTF-8"}
KEY = "0123456789abcdef-secret"


def found(*ids: str) -> Reply:
    """Return an answer of esearch."""
    result = {"count": str(len(ids)), "retmax": str(len(ids)), "retstart": "0", "idlist": list(ids)}
    if not ids:
        result["errorlist"] = {"phrasesnotfound": ["x"], "fieldsnotfound": []}
    return as_json({"header": {"type": "esearch", "version": "0.3"}, "esearchresult": result})


def record(pmid: str, title: str, abstract: str) -> bytes:
    """Return an answer of efetch with one record."""
    return (
        f"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>{pmid}</PMID><Article><ArticleTitle>{title}"
        f"</ArticleTitle><Abstract><AbstractText>{abstract}</AbstractText></Abstract></Article></MedlineCitation>"
        "</PubmedArticle></PubmedArticleSet>"
    ).encode()


@pytest.fixture
def api():
    hits = {"atelectasis": IDS, "pneumonia": ["90000002"]}

    def answer(request):
        if request.path.endswith("/esearch.fcgi"):
            about = next((name for name in hits if f'"{name}"[ti]' in request.params["term"]), None)
            return found(*(hits[about] if about else ())[: int(request.params["retmax"])])
        if request.path.endswith("/efetch.fcgi"):
            return Reply(200, RECORDS, XML)
        return Reply(404)

    with serve(answer) as server:
        server.hits = hits
        yield server


@pytest.fixture
def pubmed(api, tmp_path, monkeypatch):
    monkeypatch.delenv("NCBI_API_KEY", raising=False)

    def make(**options):
        settings = {"base_url": f"{api.url}/entrez/eutils", "cache": tmp_path / "cache", "clock": FastClock()}
        return PubMed(**(settings | options))

    return make


def split(items):
    items = list(items)
    documents = [item for item in items if isinstance(item, Document)]
    return documents, {p.where: p.reason for p in items if isinstance(p, Problem)}


def test__documents__search_and_records__become_abstracts(api, pubmed):
    documents, problems = split(pubmed(n=6).documents(["atelectasis"]))
    assert [d.title for d in documents] == [
        "Postoperative atelectasis in adults: an invented review",
        "Round atelectasis and pneumonia",
        "Atelectasis (invented chapter)",
    ]
    first = documents[0]
    assert [(s.path, s.text) for s in first.sections] == [
        ("Background", "Air leaves the alveoli after <10% of operations & more."),
        ("Materials and methods", "We measured PaO2 in 12 adults."),
        ("Conclusions", "Breathing exercises ≥ 3 times a day help."),
    ]
    assert first.url == "https://pubmed.ncbi.nlm.nih.gov/90000001/"
    assert first.authors == ("Doe J", "Müller AM", "Invented Lung Group")
    assert first.revision == "Journal of invented lungs, 2022"
    assert first.licence == "abstract; Copyright © 2022 Invented Society."
    assert commercial_use(documents[1].licence) == "unknown"
    assert (documents[1].revision, documents[1].sections[0].path) == ("Invented chest, 2019", "Abstract")
    assert problems == {
        "https://pubmed.ncbi.nlm.nih.gov/90000003/": "it is passed over: retracted",
        "https://pubmed.ncbi.nlm.nih.gov/90000004/": "it has no abstract",
        "https://pubmed.ncbi.nlm.nih.gov/90000005/": "it is passed over: retraction notice",
    }


def test__documents__questions__are_asked_as_ncbi_wants_them(api, pubmed):
    split(pubmed(n=6, email="me@example.org", reviews_only=True).documents(["atelectasis"]))
    search, fetch = (request.params for request in api.requests)
    assert search["db"] == fetch["db"] == "pubmed"
    assert search["tool"] == fetch["tool"] == "dallm"
    assert search["email"] == fetch["email"] == "me@example.org"
    assert search["retmax"] == "6"
    assert '"atelectasis"[ti] OR "atelectases"[ti]' in search["term"]
    assert search["term"].endswith("AND review[pt]")
    assert fetch["id"] == ",".join(IDS)
    assert fetch["retmode"] == "xml"


def test__documents__retracted_asked_for__comes_with_a_notice(pubmed):
    documents, _ = split(pubmed(n=6, include_retracted=True).documents(["atelectasis"]))
    assert [d.notice for d in documents if "music" in d.title] == ["retracted"]


def test__documents__two_conditions__one_article_is_fetched_once(api, pubmed):
    documents, _ = split(pubmed(n=6).documents(["atelectasis", "pneumonia"]))
    assert [request.path.rpartition("/")[2] for request in api.requests] == [
        "esearch.fcgi",
        "efetch.fcgi",
        "esearch.fcgi",
    ]
    assert [d.conditions for d in documents if "Round" in d.title] == [
        ("atelectasis",),
        ("atelectasis", "pneumonia"),
    ]


def test__documents__nothing_found__is_reported(pubmed):
    documents, problems = split(pubmed().documents(["sarcoidosis"]))
    assert documents == []
    assert problems == {"PubMed: sarcoidosis": "no article was found"}


def test__documents__title_about_something_else__is_refused(api, pubmed):
    api.fail(found("7"), Reply(200, record("7", "Pericarditis with a large heart", "Text."), XML))
    documents, problems = split(pubmed().documents(["cardiomegaly"]))
    assert documents == []
    assert (
        problems["https://pubmed.ncbi.nlm.nih.gov/7/"]
        == "its title does not name enlarged cardiac silhouette"
    )


def test__documents__number_without_a_record__is_reported(api, pubmed):
    api.fail(found("7", "8"), Reply(200, record("7", "Asthma", "Airways."), XML))
    documents, problems = split(pubmed().documents(["asthma"]))
    assert [d.title for d in documents] == ["Asthma"]
    assert "no record" in problems["https://pubmed.ncbi.nlm.nih.gov/8/"]


def test__documents__many_articles__are_fetched_in_parts(api, pubmed):
    api.hits["asthma"] = [str(i) for i in range(1, 251)]
    _, problems = split(pubmed(n=250).documents(["asthma"]))
    asked = [request.params["id"].split(",") for request in api.requests if "id" in request.params]
    assert [len(part) for part in asked] == [100, 100, 50]
    assert len(problems) == 250


@pytest.mark.parametrize(
    "fault",
    [
        Reply(429, b'{"error":"API rate limit exceeded","api-key":"1.2.3.4","count":"4","limit":"3"}'),
        Reply(429, headers={"retry-after": "2"}),
        as_json({"error": "API rate limit exceeded", "api-key": "1.2.3.4", "count": "4", "limit": "3"}),
        as_json({"esearchresult": {"ERROR": "Search Backend failed: read failed"}}),
        Reply(500),
        Reply(200, b'{"header": {"type": "esea', {"content-type": "application/json"}),
        Reply(200, b"<html>a gateway's page</html>"),
        CutOff(b"{" + b" " * 500 + b"}"),
        Reply(after_s=1.5),
    ],
    ids=["429", "429-later", "429-in-200", "backend", "500", "cut-json", "gateway", "cut-off", "slow"],
)
def test__documents__search_that_fails_once__is_asked_again(api, pubmed, fault):
    api.fail(fault)
    documents, _ = split(pubmed(timeout_s=1).documents(["atelectasis"]))
    assert len(documents) == 3
    assert [request.path.rpartition("/")[2] for request in api.requests].count("esearch.fcgi") == 2


@pytest.mark.parametrize(
    "fault",
    [
        Reply(200, RECORDS[: len(RECORDS) // 2], XML),
        CutOff(RECORDS, "chunked"),
        Reply(200, b"", XML),
        Reply(200, b"<eFetchResult><ERROR>Unable to obtain query #1</ERROR></eFetchResult>", XML),
        Reply(200, b'{"error":"API rate limit exceeded","count":"4","limit":"3"}', XML),
    ],
    ids=["half", "cut-off", "empty", "error-element", "rate-limit"],
)
def test__documents__records_that_fail_once__are_asked_again(api, pubmed, fault):
    api.fail(found(*IDS), fault)
    documents, _ = split(pubmed().documents(["atelectasis"]))
    assert len(documents) == 3


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([as_json({"esearchresult": {"ERROR": "Invalid db name specified: pubmeds"}})], "Invalid db name"),
        ([Reply(400, b'{"error":"API key invalid"}')], "400"),
        ([found("1"), Reply(200, b"<x><ERROR>ID list is empty!</ERROR></x>", XML)], "ID list is empty"),
    ],
)
def test__documents__error_that_stays__is_told(api, pubmed, answers, said):
    api.fail(*answers)
    with pytest.raises(SourceError, match=said):
        list(pubmed().documents(["atelectasis"]))
    assert len(api.requests) == len(answers)


def test__documents__server_that_stays_busy__ends_with_its_address(api, pubmed):
    api.fail(*[Reply(429)] * 9)
    with pytest.raises(SourceError, match=r"esearch\.fcgi.*429"):
        list(pubmed().documents(["atelectasis"]))


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/hostname">',
        '<!ENTITY % a SYSTEM "http://127.0.0.1:9/x">',
    ],
    ids=["expanding", "file", "address"],
)
def test__documents__xml_with_entities__is_refused_and_not_asked_again(api, pubmed, declared):
    api.fail(found("1"), Reply(200, f"<!DOCTYPE x [{declared}]><x>&a;</x>".encode(), XML))
    with pytest.raises(SourceError, match="declares the entity"):
        list(pubmed().documents(["atelectasis"]))
    assert len(api.requests) == 2


def test__documents__key_and_mail__are_sent_and_nowhere_kept_or_shown(api, pubmed, tmp_path):
    source = pubmed(api_key=KEY, email="me@example.org")
    split(source.documents(["atelectasis"]))
    assert {request.params["api_key"] for request in api.requests} == {KEY}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*.http"))
    assert b"esearch.fcgi" in kept
    assert KEY.encode() not in kept
    assert b"me@example.org" not in kept
    assert KEY not in repr(source)
    api.fail(Reply(403))
    with pytest.raises(SourceError) as error:
        list(source.documents(["pneumothorax"]))
    assert KEY not in str(error.value)


@pytest.mark.parametrize(("options", "pause"), [({}, 0.33), ({"api_key": KEY}, 0.09)])
def test__documents__pause_between_requests__keeps_the_rate(api, pubmed, options, pause):
    clock = FastClock()
    split(pubmed(clock=clock, **options).documents(["atelectasis", "pneumonia"]))
    assert len(clock.slept) == len(api.requests) - 1
    assert min(clock.slept) > pause / 2  # what the answer before took is part of the pause
    assert sum(clock.slept) < (pause + 0.02) * len(clock.slept)


def test__documents__key_from_the_environment__is_used(api, pubmed, monkeypatch):
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    split(pubmed().documents(["atelectasis"]))
    assert api.requests[0].params["api_key"] == KEY


def test__documents__offline__uses_the_cache_alone(api, pubmed):
    first = list(pubmed().documents(["atelectasis"]))
    asked = len(api.requests)
    assert list(pubmed(offline=True).documents(["atelectasis"])) == first
    with pytest.raises(SourceError, match="not in the cache"):
        list(pubmed(offline=True).documents(["pneumonia"]))
    assert len(api.requests) == asked


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"n": 5000}, {"n": "20"}, {"timeout_s": 0}, {"base_url": "ftp://x"}]
)
def test__init__setting_out_of_range__is_refused(options):
    with pytest.raises(UserError):
        PubMed(**options)


def test__read_xml__five_megabytes_and_deep_nesting__are_read_in_time():
    began = time.perf_counter()
    large = record("7", "Asthma", "Airways narrow. " * 330_000)
    assert len(large) > 5_000_000
    assert next(records(read_xml(large))).sections[0].text.startswith("Airways")
    deep = read_xml(
        b"<PubmedArticleSet><PubmedArticle>"
        + b"<i>" * 5000
        + b"</i>" * 5000
        + b"</PubmedArticle></PubmedArticleSet>"
    )
    assert next(records(deep)).sections == ()
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("raw", [b"", b"plain", b"<a>", b"<a></b>", b"<a/><b/>", b"\xff\xfe\x00"])
def test__read_xml__no_whole_xml__says_so(raw):
    with pytest.raises(XmlError, match="no whole XML"):
        read_xml(raw)


def test__ingest__into_a_store__keeps_journal_rights_and_address(pubmed, tmp_path):
    store = dallm.open_store(tmp_path / "store", encoder=None)
    with pytest.warns(dallm.errors.KnowledgeWarning):
        report = dallm.ingest(store, pubmed(n=6), conditions=["atelectasis", "pneumonia"])
    manifest = store.manifest().set_index("url")
    row = manifest.loc["https://pubmed.ncbi.nlm.nih.gov/90000002/"]
    assert (report.added, len(manifest)) == (3, 3)
    assert (row["revision"], row["licence"]) == (
        "Invented chest, 2019",
        "abstract; copyright of its authors or publisher",
    )
    assert {hit.passage.url for hit in store.search("folded lung", condition="pneumonia")} == {row.name}
    store.close()
