"""Wikipedia as a source, against a wiki on loopback."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from pathlib import Path

import pytest
from http_server import CutOff, FastClock, Reply, as_json
from wiki_server import Wiki, article, heading, serve_wiki

import dallm
from dallm.errors import SourceError
from dallm.knowledge.fetch import FetchError, HttpClient
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.base import Source
from dallm.knowledge.sources.matching import mismatch
from dallm.knowledge.sources.wikipedia import Wikipedia
from dallm.knowledge.sources.wikipedia_page import read_wiki_html

CAUSES = (
    heading(2, "Causes")
    + "<p>Plugs of mucus do it:</p><ul><li>after surgery</li>"
    + "<li>in <i>asthma</i><ul><li>severe</li></ul></li></ul>"
    + heading(3, "Rare causes")
    + "<p>A tumour may press from outside.</p><table class='wikitable'><caption>Kinds</caption><tbody>"
    "<tr><th>Kind</th><th>Cause</th></tr><tr><td>Round</td><td>Asbestos<br/>dust</td></tr></tbody></table>"
)
LEAD = "is the loss of air from a part of the lung."


@pytest.fixture
def wiki():
    made = Wiki()
    made.add("Atelectasis", article("Atelectasis", LEAD, CAUSES), "Lung that fell in")
    made.add("Cardiomegaly", article("Cardiomegaly", "is a heart that is too large."), "Enlarged heart")
    made.add(
        "Pericarditis", article("Pericarditis", "is an inflamed heart sac, at times with an enlarged heart.")
    )
    made.add("Pneumothorax", article("Pneumothorax", "is air in the pleural space."))
    return made


@pytest.fixture
def server(wiki):
    with serve_wiki(wiki) as running:
        yield running


@pytest.fixture
def source_of(server, tmp_path):
    """Make a source over the wiki; all share one cache and a clock that does not wait."""
    clock = FastClock()

    def make(titles=None, *, offline=False, pages="first", **settings):
        client = HttpClient(
            cache=tmp_path / "http", offline=offline, min_interval_s=0, clock=clock, **settings
        )
        return Wikipedia(titles, base_url=server.url, pages=pages, client=client)

    return make


def split(items):
    listed = list(items)
    return [d for d in listed if isinstance(d, Document)], [str(p) for p in listed if isinstance(p, Problem)]


def asked(server, action="parse"):
    return [
        r.params.get("page", r.params.get("titles")) for r in server.requests if r.params["action"] == action
    ]


def test__page__everything_that_a_citation_needs_and_the_article_alone(server, source_of):
    source = source_of()
    assert isinstance(source, Source)
    (document,), problems = split(source.documents(["atelectasis"]))
    assert problems == []
    assert (document.title, document.source, document.conditions) == (
        "Atelectasis",
        "Wikipedia",
        ("atelectasis",),
    )
    assert document.url == f"{server.url}/wiki/Atelectasis"
    assert document.revision == "990001 (page 1001)"
    assert (document.licence, document.authors) == ("CC BY-SA 4.0", ("Wikipedia contributors",))
    assert document.retrieved_at
    assert [(s.path, s.text) for s in document.sections] == [
        ("", "Atelectasis is the loss of air from a part of the lung."),
        ("Causes", "Plugs of mucus do it: after surgery; in asthma; severe."),
        (
            "Causes > Rare causes",
            "A tumour may press from outside.\nKinds\nKind; Cause\nRound; Asbestos dust",
        ),
    ]
    request = server.requests[0]
    assert (request.params["maxlag"], request.params["formatversion"]) == ("5", "2")
    assert request.params["redirects"] == "1"
    assert request.headers["user-agent"].startswith("dallm/")


def test__old_headings_and_first_format__are_read_too(wiki, source_of):
    wiki.first_format = True
    old = (
        '<h2><span class="mw-headline" id="Signs">Signs</span><span class="mw-editsection">[edit]</span></h2>'
    )
    wiki.add("Asthma", f"<p><b>Asthma</b> narrows airways.</p>{old}<p>Wheezing.</p>")
    (document,), _ = split(source_of().documents(["asthma"]))
    assert [(s.path, s.text) for s in document.sections] == [
        ("", "Asthma narrows airways."),
        ("Signs", "Wheezing."),
    ]
    source_of_again, problems = split(source_of().documents(["asthma", "pneumonia"]))
    assert len(source_of_again) == 1
    assert "no such page" in problems[0]


def test__redirect__is_followed_and_both_titles_kept(server, source_of):
    (document,), _ = split(
        source_of({"cardiomegaly": "enlarged_heart"}).documents(["enlarged cardiac silhouette"])
    )
    assert document.title == "Cardiomegaly"
    assert document.url == f"{server.url}/wiki/Cardiomegaly"
    assert document.revision == "990002 (page 1002, redirected from 'enlarged heart')"


def test__redirect_to_another_condition__is_refused(wiki, source_of):
    wiki.redirects["Large heart shadow"] = "Pericarditis"
    source = source_of({"cardiomegaly": "Large heart shadow"})
    documents, problems = split(source.documents(["cardiomegaly"]))
    assert documents == []
    assert "refused for enlarged cardiac silhouette" in problems[0]
    assert "names pericarditis" in problems[0]


def test__table_that_names_a_wrong_page__is_refused_and_the_search_asked(wiki, source_of):
    wiki.searches["enlarged cardiac silhouette"] = ["Pericarditis", "Cardiomegaly"]
    source = source_of({"cardiomegaly": "Pericarditis"})
    (document,), problems = split(source.documents(["cardiomegaly"]))
    assert document.title == "Cardiomegaly"
    assert any("'Pericarditis'" in p and "not about it" in p for p in problems)


def test__missing_page__is_reported_and_the_rest_goes_on(source_of):
    documents, problems = split(source_of({"asthma": "No such page"}).documents(["asthma", "pneumothorax"]))
    assert [d.title for d in documents] == ["Pneumothorax"]
    assert "Wikipedia: No such page: there is no such page" in problems[0]
    assert problems[-1] == "Wikipedia: asthma: no page on it was found"


def test__disambiguation__the_link_whose_title_names_the_condition_is_followed(wiki, source_of):
    links = (
        "<p><b>Collapse</b> may refer to:</p><ul>"
        '<li><a href="/wiki/Collapse_(film)" title="Collapse (film)">film</a></li>'
        '<li><a href="/wiki/Pneumothorax_(album)" title="Pneumothorax (album)">album</a></li>'
        '<li><a href="/wiki/Atelectasis" title="Atelectasis">Atelectasis</a>, of the lung</li></ul>'
    )
    wiki.add("Collapse", links, disambiguation=True)
    titles = {"atelectasis": "Collapse", "pneumothorax": "Collapse", "asthma": "Collapse"}
    documents, problems = split(source_of(titles).documents(["atelectasis", "asthma"]))
    assert [d.title for d in documents] == ["Atelectasis"]
    assert "Collapse: it lists several meanings, and none of their titles names asthma" in problems[0]
    # the album's title names the word, not the condition
    documents, problems = split(source_of(titles).documents(["pneumothorax"]))
    assert documents == []


@pytest.mark.parametrize("first_format", [False, True])
@pytest.mark.parametrize("sign", ["box", "category", "words"])
def test__disambiguation__told_by_one_sign_alone__is_no_content(wiki, source_of, sign, first_format):
    wiki.first_format = first_format
    words = "may refer to:" if sign == "words" else "has several meanings."
    box = '<div id="disambigbox" class="metadata plainlinks dmbox"></div>' if sign == "box" else ""
    page = wiki.add("Asthma", f"<p><b>Asthma</b> {words}</p><ul><li>a film</li></ul>{box}")
    page.categories = ("All_article_disambiguation_pages",) if sign == "category" else ("Lung",)
    documents, problems = split(source_of().documents(["asthma"]))
    assert documents == []
    assert "several meanings" in problems[0]


def test__search__first_hit_that_is_about_it(wiki, server, source_of):
    wiki.add("Sarcoidosis", article("Sarcoidosis", "is a disease with granulomas."))
    wiki.add("Sarcoidosis (band)", article("Sarcoidosis", "is a band."))
    wiki.add("Granuloma", article("Granuloma", "is a knot of cells."))
    wiki.searches["sarcoidosis"] = [
        "Sarcoidosis (band)",
        "Pericarditis",
        "Granuloma",
        "Sarcoidosis",
        "Cardiomegaly",
    ]
    (document,), problems = split(source_of().documents(["Sarcoidosis"]))
    assert (document.title, document.conditions) == ("Sarcoidosis", ("sarcoidosis",))
    assert problems == [
        "Wikipedia: sarcoidosis: 3 of the hits for 'sarcoidosis' are not about it: "
        "'Sarcoidosis (band)', 'Pericarditis', 'Granuloma'"
    ]
    # a title that says something else is not even fetched
    assert asked(server) == ["Granuloma", "Sarcoidosis"]


def test__search__page_of_results__every_hit_that_is_about_it(wiki, server, source_of):
    wiki.add("Round atelectasis", article("Round atelectasis", "is folded lung."))
    wiki.searches["atelectasis"] = ["Atelectasis", "Pneumothorax", "Round atelectasis"]
    first, _ = split(source_of().documents(["atelectasis"]))
    assert len([r for r in server.requests if r.params.get("list")]) == 0
    page, problems = split(source_of(pages="page").documents(["atelectasis"]))
    assert [d.title for d in first] == ["Atelectasis"]
    assert [d.title for d in page] == ["Atelectasis", "Round atelectasis"]
    assert "1 of the hits for 'atelectasis'" in problems[0]


def test__search__other_names_are_tried_and_operators_are_not_passed_on(wiki, server, source_of):
    wiki.searches["heart enlargement"] = ["Cardiomegaly"]
    source = source_of({"cardiomegaly": "Nowhere"})
    (document,), _ = split(source.documents(["cardiomegaly"]))
    assert document.title == "Cardiomegaly"
    list(source_of().documents(['intitle:"x" -y ~z*']))
    assert server.requests[-1].params["srsearch"] == "intitle x y z"


@pytest.mark.parametrize("evidence", ["bold", "first sentence", "redirect", "search redirect", "names"])
def test__title_that_names_no_condition__needs_evidence(wiki, source_of, evidence):
    lead = {
        "bold": "<p>The <b>Ziegler lung</b> or <b>sarcoidosis</b> is rare.</p>",
        "first sentence": "<p>Ziegler lung (also known as sarcoidosis) is rare.</p>",
    }.get(evidence, "<p>Ziegler lung is rare. Some confuse it with sarcoidosis.</p>")
    redirects = ("Ziegler's lung", "Sarcoidosis") if "redirect" in evidence else ("Ziegler's lung",)
    wiki.add("Ziegler lung", lead, *redirects)
    wiki.searches["sarcoidosis"] = ["Sarcoidosis" if evidence == "search redirect" else "Ziegler lung"]
    titles = {"sarcoidosis": {"names": ["Ziegler lung"]}} if evidence == "names" else None
    (document,), problems = split(source_of(titles).documents(["sarcoidosis"]))
    assert document.title == "Ziegler lung"
    assert problems == []


def test__mere_mention_in_the_text__is_no_evidence(wiki, source_of):
    wiki.add("Granuloma", "<p><b>Granuloma</b> is a knot of cells, as in sarcoidosis.</p>")
    documents, problems = split(source_of({"sarcoidosis": "Granuloma"}).documents(["sarcoidosis"]))
    assert documents == []
    assert "refused for sarcoidosis" in problems[0]


def test__two_conditions_one_page__fetched_once_and_yielded_once(wiki, server, source_of):
    wiki.add("Heart and lung", "<p>A <b>ziegler</b>, also <b>zoster lung</b>, is rare.</p>")
    source = source_of({"ziegler": "Heart and lung", "zoster lung": "Heart and lung"})
    (document,), _ = split(source.documents(["ziegler", "zoster lung"]))
    assert document.conditions == ("ziegler", "zoster lung")
    assert asked(server) == ["Heart and lung"]


def test__no_conditions__all_of_the_table(source_of):
    documents, problems = split(source_of().documents([]))
    assert {d.title for d in documents} == {"Atelectasis", "Cardiomegaly", "Pericarditis", "Pneumothorax"}
    assert len([p for p in problems if "there is no such page" in p]) == 15


def test__second_reading__one_question_and_no_page_fetched_again(wiki, server, source_of):
    conditions = ["atelectasis", "pneumothorax"]
    first, _ = split(source_of().documents(conditions))
    server.requests.clear()
    second, _ = split(source_of().documents(conditions))
    assert second == first
    assert [r.params["action"] for r in server.requests] == ["query"]
    wiki.edit("Atelectasis", article("Atelectasis", "is new."))
    server.requests.clear()
    third, _ = split(source_of().documents(conditions))
    assert asked(server) == ["Atelectasis"]
    assert third[0].sections[0].text == "Atelectasis is new."
    assert third[0].revision == "995001 (page 1001)"
    assert third[1] == first[1]


def test__second_reading__through_a_redirect__is_found_current(server, source_of):
    titles = {"cardiomegaly": "Enlarged heart"}
    list(source_of(titles).documents(["cardiomegaly"]))
    server.requests.clear()
    list(source_of(titles).documents(["cardiomegaly"]))
    assert asked(server) == []


def test__wiki_with_etags_but_no_revisions__is_revalidated(wiki, server, source_of, monkeypatch):
    wiki.with_etag = True
    monkeypatch.setattr(Wiki, "_query", lambda *_: {"query": {"pages": []}})
    first, _ = split(source_of().documents(["atelectasis"]))
    second, _ = split(source_of().documents(["atelectasis"]))
    assert second == first
    assert "if-none-match" in server.requests[-1].headers


def test__offline__same_documents_and_problems_without_a_request(wiki, server, source_of):
    wiki.searches["sarcoidosis"] = ["Granuloma"]
    conditions = ["atelectasis", "asthma", "sarcoidosis", "cardiomegaly"]
    online = list(source_of(pages="page").documents(conditions))
    server.requests.clear()
    assert list(source_of(pages="page", offline=True).documents(conditions)) == online
    assert list(source_of(pages="page", offline=True).documents(["cardiomegaly"]))
    with pytest.raises(SourceError, match=r"Pneumothorax.* is not in the cache"):
        list(source_of(offline=True).documents(["pneumothorax"]))
    assert server.requests == []


def maxlag(status=200):
    lag = {
        "code": "maxlag",
        "info": "Waiting for 10.64.0.1: 7.2 seconds lagged.",
        "host": "10.64.0.1",
        "lag": 7.2,
    }
    return as_json({"error": lag, "servedby": "mw1"}, status, retry_after="5", x_database_lag="7")


@pytest.mark.parametrize(
    "fault",
    [
        maxlag(),
        maxlag(503),
        as_json({"error": {"code": "ratelimited", "info": "Slow down."}}),
        as_json({"errors": [{"code": "internal_api_error_DBQueryError", "text": "x", "module": "main"}]}),
        Reply(429, b"too many", {"retry-after": "5"}),
        Reply(500),
        CutOff(json.dumps({"parse": {"title": "Atelectasis", "text": LEAD * 9}}).encode()),
        Reply(200, b'{"parse":{"title":"Atelectasis","text":"<p>half'),
    ],
    ids=["maxlag-200", "maxlag-503", "ratelimited", "internal", "429", "500", "cut-off", "half-json"],
)
def test__fault__is_waited_out_and_never_cached(server, source_of, tmp_path, fault):
    server.fail(fault, fault)
    (document,), problems = split(source_of().documents(["atelectasis"]))
    assert document.title == "Atelectasis"
    assert problems == []
    assert len(server.requests) == 3
    assert len(list((tmp_path / "http").rglob("*.http"))) == 1


def test__fault_that_stays__what_was_read_is_given_then_an_error(server, source_of):
    reading = source_of().documents(["atelectasis", "pneumothorax"])
    assert next(reading).title == "Atelectasis"
    server.fail(*[maxlag()] * 9)
    with pytest.raises(FetchError, match=r"Pneumothorax.*maxlag \(Waiting for"):
        next(reading)


def test__asked_to_stay_away__says_until_when(server, source_of):
    server.fail(Reply(429, b"", {"retry-after": "3600"}))
    with pytest.raises(FetchError, match="left alone until"):
        list(source_of().documents(["atelectasis"]))
    assert len(server.requests) == 1


def test__api_error__is_named(server, source_of):
    server.fail(as_json({"error": {"code": "readapidenied", "info": "You need read permission."}}))
    with pytest.raises(SourceError, match=r"api\.php answered with the error 'readapidenied': You need read"):
        list(source_of().documents(["atelectasis"]))


@pytest.mark.parametrize("answer", [as_json([]), as_json({"batchcomplete": True})], ids=["list", "neither"])
def test__json_of_something_else__is_named(server, source_of, answer):
    server.fail(answer)
    with pytest.raises(SourceError, match=r"none of MediaWiki|neither a page nor an error"):
        list(source_of().documents(["atelectasis"]))


def test__api_warning__is_logged(wiki, source_of, caplog):
    wiki.warning = "Unrecognized parameter: x."
    with caplog.at_level(logging.WARNING, "dallm.fetch"):
        list(source_of().documents(["atelectasis"]))
    assert "Unrecognized parameter: x." in caplog.text


def test__moved_api__is_followed(wiki, server, source_of):
    server.fail(
        Reply(301, b"", {"location": f"{server.url}/w/api.php?action=parse&page=Atelectasis&format=json"})
    )
    (document,), _ = split(source_of().documents(["atelectasis"]))
    assert document.title == "Atelectasis"


def test__wrong_address__says_to_check_it(server, tmp_path):
    source = Wikipedia(base_url=f"{server.url}/elsewhere", cache=tmp_path, min_interval_s=0)
    with pytest.raises(FetchError, match=r"answered 404.*Check the address"):
        list(source.documents(["atelectasis"]))


def test__empty_page__is_reported(wiki, source_of):
    wiki.add("Asthma", '<p class="mw-empty-elt"></p>')
    wiki.add("Pneumonia", "")
    documents, problems = split(source_of().documents(["asthma", "pneumonia"]))
    assert documents == []
    assert "Wikipedia: Asthma: it holds no text" in problems
    assert "Wikipedia: Pneumonia: it holds no text" in problems
    assert not any("not about it: 'Asthma'" in problem for problem in problems)
    assert len(set(problems)) == len(problems)


def test__page_of_5_mb__is_read(wiki, source_of):
    wiki.add(
        "Asthma",
        article("Asthma", LEAD, heading(2, "Long") + "<p>Words of a long page stand here.</p>" * 130_000),
    )
    (document,), _ = split(source_of().documents(["asthma"]))
    assert len(document.sections[-1].text) > 4_000_000


def test__page_beyond_the_bound__is_reported_and_the_rest_goes_on(wiki, source_of):
    wiki.add("Asthma", article("Asthma", "x" * 60_000))
    documents, problems = split(source_of(max_bytes=50_000).documents(["asthma", "atelectasis"]))
    assert [d.title for d in documents] == ["Atelectasis"]
    assert "larger than" in problems[0]


@pytest.mark.parametrize(
    "html",
    [
        "<p><b>Asthma</b> is a<p>disease<ul><li>of the<li>airways<h2 id=Signs>Signs<p>Wheezing",
        "<table class='infobox'><tr><td>Box<p><b>Asthma</b></p><h2 id=Signs>Signs</h2><p>Wheezing",
        "<div class='navbox'><div><div><span class=reference>x<h2>Signs</h2></div></div></b></i>Wheezing</p>",
        "<h2>Signs<div><div><p>Wheezing<sup class=reference>[1]",
        "<h2>Signs</h2><p>Wheezing</p><div class='navb",
    ],
)
def test__markup_that_does_not_close__gives_the_sections_all_the_same(html):
    page = read_wiki_html(html, "Asthma")
    assert (page.sections[-1].path.removesuffix("Wheezing"), page.sections[-1].text) == ("Signs", "Wheezing")


def test__a_quarter_of_a_million_unclosed_tags__are_read():
    assert read_wiki_html("<ul><li><div><b>" * 60_000 + "lung", "x").sections[0].text == "lung"


def test__page_not_about_another_condition__matching():
    assert mismatch("consolidation", "Consolidation (business)")
    assert mismatch("consolidation", "Pulmonary consolidation") is None
    assert mismatch("pneumonia", "World Pneumonia Day")
    assert mismatch("pneumonia", "Pneumonia (disease)") is None
    assert mismatch("lung nodule or mass", "Mass", lead="Mass is a property of a body.")
    assert mismatch("cardiomegaly", "Heart", lead="The heart is an organ. An enlarged heart is weak.")
    assert mismatch("pleural effusion", "Pleural effusions") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pages": "frist"}, "pages is.*Did you mean 'first'"),
        ({"language": "English"}, "language"),
        ({"base_url": "en.wikipedia.org"}, "no http or https"),
        ({"titles": {"asthma": []}, "pages": "all"}, "pages"),
        ({"titles": {"asthma": 3}}, "'asthma' needs a title"),
        ({"titles": {"asthma": "Asthma#Signs"}}, "no page is called"),
        ({"titles": {"asthma": {"title": "Asthma"}}}, "Did you mean 'titles'"),
        ({"titles": "no_such.toml"}, r"no_such\.toml.*cannot be read"),
    ],
)
def test__settings__that_cannot_be_used__are_named(settings, message):
    with pytest.raises(SourceError, match=message):
        Wikipedia(**settings)


def test__table_of_titles__file_of_ones_own(tmp_path, wiki, source_of):
    path = tmp_path / "titles.toml"
    path.write_text(
        '["heart enlargement"]\ntitles = "Cardiomegaly"\n[lupus]\ntitles = ["A", "B"]\nnames = ["SLE"]\n'
    )
    source = source_of(path)
    assert source.titles["enlarged cardiac silhouette"].titles == ("Cardiomegaly",)
    assert source.titles["lupus"] == (("A", "B"), ("SLE",))
    assert source.titles["asthma"].titles == ("Asthma",)
    path.write_text("[x\n")
    with pytest.raises(SourceError, match="no TOML"):
        source_of(path)


def test__repr_and_messages__hold_no_password(server, tmp_path):
    address = f"http://me:hunter2@127.0.0.1:{server.port}"
    source = Wikipedia(base_url=address, cache=tmp_path, min_interval_s=0)
    items = list(source.documents(["atelectasis", "asthma"]))
    assert items[0].title == "Atelectasis"
    assert "hunter2" not in repr(source) + repr(items)


def test__other_language__no_english_titles_and_a_name_of_its_own(tmp_path):
    source = Wikipedia({"asthma": "Asthma bronchiale"}, language="de", cache=tmp_path)
    assert (source.name, list(source.titles)) == ("Wikipedia (de)", ["asthma"])
    assert source.url_of("Asthma bronchiale") == "https://de.wikipedia.org/wiki/Asthma_bronchiale"


def test__ingest__twice__keeps_licence_and_revision_and_encodes_nothing_again(server, source_of, tmp_path):
    store = dallm.open_store(tmp_path / "k.dallm", encoder=None)
    first = dallm.ingest(store, source_of(), ["atelectasis", "pneumothorax"])
    server.requests.clear()
    second = dallm.ingest(store, source_of(), ["atelectasis", "pneumothorax"])
    assert (first.added, second.added, second.unchanged, second.passages) == (2, 0, 2, 0)
    assert [r.params["action"] for r in server.requests] == ["query"]
    row = store.manifest().set_index("title").loc["Atelectasis"]
    assert (row["licence"], row["revision"]) == ("CC BY-SA 4.0", "990001 (page 1001)")
    hit = store.search("what causes atelectasis", k=1, condition="atelectasis")[0].passage
    assert hit.section.startswith("Causes")
    assert hit.url == f"{server.url}/wiki/Atelectasis"


def test__document_on_sources__examples_print_what_is_shown(tmp_path, monkeypatch):
    path = Path(dallm.__file__).resolve().parent.parent / "docs" / "sources.md"
    if not path.is_file():
        pytest.skip("the documents are only in the checkout")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    names: dict[str, object] = {}
    blocks = re.findall(
        r"```python\n((?:(?!```).)*)```\s*```text\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(blocks) >= 3
    for code, shown in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, str(path), "exec"), names)
        assert printed.getvalue().split() == shown.split()
