"""A wiki on loopback that answers as MediaWiki's API does, with pages of the tests' own in its markup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from http_server import Answer, Reply, Request, Server, as_json, serve


@dataclass
class WikiPage:
    """A page of the wiki; `html` is what stands inside of its ``mw-parser-output``."""

    html: str
    page_id: int
    revision: int
    is_disambiguation: bool = False
    categories: tuple[str, ...] = ()


@dataclass
class Wiki:
    """What the wiki holds. `first_format` makes it answer in the first version of its JSON."""

    pages: dict[str, WikiPage] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    searches: dict[str, list[str]] = field(default_factory=dict)
    with_etag: bool = False
    first_format: bool = False
    warning: str = ""

    def add(self, title: str, html: str, *redirects: str, disambiguation: bool = False) -> WikiPage:
        """Add a page, and redirects to it."""
        number = len(self.pages) + 1
        page = WikiPage(html, 1000 + number, 990_000 + number, disambiguation)
        self.pages[title] = page
        self.redirects |= dict.fromkeys(redirects, title)
        return page

    def edit(self, title: str, html: str) -> None:
        """Change a page, which gives it a new revision."""
        self.pages[title].html = html
        self.pages[title].revision += 5000

    def answer(self, request: Request) -> Answer:
        """Answer a request as ``/w/api.php`` would."""
        if request.path != "/w/api.php":
            return Reply(404, b"<h1>Not Found</h1>", {"content-type": "text/html"})
        asked = request.params
        if asked.get("format") != "json":
            return Reply(200, b"<!DOCTYPE html><h1>MediaWiki API result</h1>", {"content-type": "text/html"})
        if asked.get("action") == "parse":
            value = self._parse(asked["page"])
        elif asked.get("action") == "query" and asked.get("list") == "search":
            value = self._search(asked["srsearch"], int(asked.get("srlimit", 10)))
        elif asked.get("action") == "query":
            value = self._query(asked)
        else:
            value = {"error": {"code": "badvalue", "info": 'Unrecognized value for parameter "action".'}}
        if self.warning:
            value["warnings"] = {"main": {"warnings": self.warning}}
        tag = {"etag": f'"{hash(str(value))}"'} if self.with_etag else {}
        return as_json(value, cache_control="private, must-revalidate, max-age=0", **tag)

    def _resolve(self, title: str) -> tuple[str, list[dict[str, Any]], list[dict[str, str]]]:
        plain = title.replace("_", " ")
        plain = plain[:1].upper() + plain[1:]
        normalized = [{"fromencoded": False, "from": title, "to": plain}] if plain != title else []
        redirects = []
        for _ in range(3):
            if plain not in self.redirects:
                break
            redirects.append({"from": plain, "to": self.redirects[plain]})
            plain = self.redirects[plain]
        return plain, normalized, redirects

    def _parse(self, asked: str) -> dict[str, Any]:
        title, _, redirects = self._resolve(asked)
        if title not in self.pages:
            return {
                "error": {
                    "code": "missingtitle",
                    "info": "The page you specified doesn't exist.",
                    "docref": "See api.php for API usage.",
                }
            }
        page = self.pages[title]
        text = f'<div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr">{page.html}</div>'
        kinds = page.categories
        marks: Any = {"disambiguation": ""} if page.is_disambiguation else {"wikibase_item": "Q1"}
        if self.first_format:
            marks = [{"name": name, "*": value} for name, value in marks.items()]
        return {
            "parse": {
                "title": title,
                "pageid": page.page_id,
                "revid": page.revision,
                "redirects": redirects,
                "text": {"*": text} if self.first_format else text,
                "properties": marks,
                "categories": [{"sortkey": "", "*" if self.first_format else "category": c} for c in kinds],
            }
        }

    def _search(self, words: str, limit: int) -> dict[str, Any]:
        rows = []
        for title in self.searches.get(words, [])[:limit]:
            page = self.pages.get(self.redirects.get(title, title))
            row: dict[str, Any] = {"ns": 0, "title": title, "pageid": page.page_id if page else 1}
            if title in self.redirects:
                row |= {"title": self.redirects[title], "redirecttitle": title}
            rows.append(row)
        return {"batchcomplete": True, "query": {"search": rows}}

    def _query(self, asked: Any) -> dict[str, Any]:
        pages: list[dict[str, Any]] = []
        query: dict[str, Any] = {}
        for name in asked["titles"].split("|"):
            title, normalized, redirects = self._resolve(name)
            if normalized:
                query.setdefault("normalized", []).extend(normalized)
            if redirects and "redirects" in asked:
                query.setdefault("redirects", []).extend(redirects)
            page = self.pages.get(title)
            if page is None:
                pages.append({"ns": 0, "title": title, "missing": True})
                continue
            row: dict[str, Any] = {"pageid": page.page_id, "ns": 0, "title": title}
            if "info" in asked["prop"]:
                row["lastrevid"] = page.revision
            pages.append(row)
        answer: dict[str, Any] = {"batchcomplete": True, "query": query}
        if asked["prop"] == "redirects":
            answer |= self._incoming(pages, int(asked.get("rdcontinue", 0)))
        if self.first_format:
            query["pages"] = {str(row.get("pageid", -i - 1)): row for i, row in enumerate(pages)}
        else:
            query["pages"] = pages
        return answer

    def _incoming(self, pages: list[dict[str, Any]], start: int) -> dict[str, Any]:
        """Give one redirect a time, so that a client has to ask for the rest."""
        for row in pages:
            leading = [name for name, target in self.redirects.items() if target == row["title"]]
            if leading[start:]:
                row["redirects"] = [{"ns": 0, "title": leading[start]}]
            if leading[start + 1 :]:
                return {"continue": {"rdcontinue": str(start + 1), "continue": "||"}}
        return {}


_AROUND = """
<div class="shortdescription nomobile noexcerpt noprint searchaux" style="display:none">Short words</div>
<div role="note" class="hatnote navigation-not-searchable">For the album, see
 <a href="/wiki/NAME_(album)" title="NAME (album)">NAME (album)</a>.</div>
<style data-mw-deduplicate="TemplateStyles:r1">.mw-parser-output .infobox{width:22em}</style>
<table class="infobox vevent"><tbody><tr><th colspan="2" class="infobox-above">Infobox of NAME</th></tr>
<tr><th scope="row">Specialty</th><td>Infobox cell<br />second</td></tr></tbody></table>
<p class="mw-empty-elt"></p>
<p><b>NAME</b> (<span class="IPA nowrap"><a href="/wiki/Help:IPA" title="Help:IPA">/eɪ/</a></span>) LEAD<sup
 id="cite_ref-1" class="reference"><a href="#cite_note-1"><span class="cite-bracket">[</span>1<span
 class="cite-bracket">]</span></a></sup><sup class="noprint Inline-Template Template-Fact">[<i>citation
 needed</i>]</sup></p>
<figure class="mw-default-size" typeof="mw:File/Thumb"><a href="/wiki/File:X.png"><img src="x.png"
 alt="alt text"/></a><figcaption>Caption of a figure</figcaption></figure>
<div id="toc" class="toc" role="navigation"><div class="toctitle"><h2 id="mw-toc-heading">Contents</h2></div>
<ul><li class="toclevel-1"><a href="#Causes">Contents entry</a></li></ul></div>
<meta property="mw:PageProp/toc" />BODY
<div class="mw-heading mw-heading2"><h2 id="See_also">See also</h2>
<span class="mw-editsection">[edit]</span></div>
<ul><li><a href="/wiki/Other" title="Other">Other page of note</a></li></ul>
<div class="mw-heading mw-heading2"><h2 id="References">References</h2></div>
<div class="mw-references-wrap"><ol class="references"><li id="cite_note-1"><cite>Reference text</cite></li>
</ol></div><div class="navbox-styles"></div>
<div role="navigation" class="navbox"><table><tr><td>Navigation box</td></tr></table></div>
<div class="catlinks">Category words</div>"""


def article(name: str, lead: str, body: str = "") -> str:
    """Return a page with everything that stands around an article's text."""
    return _AROUND.replace("NAME", name).replace("LEAD", lead).replace("BODY", body)


def heading(level: int, name: str) -> str:
    """Return a heading as MediaWiki writes it now."""
    return (
        f'<div class="mw-heading mw-heading{level}">'
        f'<h{level} id="{name.replace(" ", "_")}">{name}</h{level}><span class="mw-editsection">'
        '<span class="mw-editsection-bracket">[</span><a href="#">edit</a></span></div>'
    )


@contextmanager
def serve_wiki(wiki: Wiki) -> Iterator[Server]:
    """Run a server over a wiki."""
    with serve(wiki.answer) as server:
        yield server
