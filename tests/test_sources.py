"""Sources: the primer, folders of Markdown, text, HTML and PDF, and how documents become passages."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import dallm
from dallm.errors import SourceError, UserError
from dallm.knowledge.conditions import conditions_of, resolve_condition
from dallm.knowledge.cut import MOST_WORDS, cut
from dallm.knowledge.passage import Document, Problem, Section
from dallm.knowledge.sentences import sentences
from dallm.knowledge.sources.html import read_html
from dallm.knowledge.sources.markup import read_markdown
from dallm.knowledge.sources.primer import NOTICE

SECTIONS = [
    "What it is",
    "Symptoms",
    "Signs",
    "Causes",
    "Laboratory data",
    "Personal history",
    "Radiographic look",
]


def read(folder: Path) -> tuple[dict[str, Document], dict[str, str]]:
    items = list(dallm.Folder(folder).documents([]))
    documents = {item.url: item for item in items if isinstance(item, Document)}
    return documents, {item.where: item.reason for item in items if isinstance(item, Problem)}


def text_of(document: Document) -> str:
    return "\n".join(section.text for section in document.sections)


def pdf(text: str) -> bytes:
    """A PDF of one page with one line of text, or without text."""
    stream = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET".encode() if text else b""
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(parts) + 1, table)
    return out + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(parts) + 1, start)


def test__primer__every_text__has_the_sections_and_the_notice():
    pages = list(dallm.Primer().documents([]))
    assert len(pages) >= 14
    for page in pages:
        assert [section.path for section in page.sections] == SECTIONS, page.title
        assert page.notice == page.source == NOTICE
        assert NOTICE not in text_of(page)
        assert 300 <= sum(len(section.text.split()) for section in page.sections) <= 600, page.title


def test__primer__conditions_of_the_paper__are_each_one_text():
    named = ["atelectasis", "consolidation", "cardiomegaly", "pleural effusion", "pleural abnormality"]
    assert len(list(dallm.Primer().documents([*named, "pulmonary edema"]))) == 6
    assert list(dallm.Primer().documents(["sarcoidosis"])) == []


def test__folder__kinds_and_subfolders__are_read_with_title_and_url(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.md").write_text("---\ntitle: x\n---\n## Signs\n**Dull** [note](http://e.org).\n")
    (tmp_path / "deep" / "pleural_effusion.txt").write_text("Fluid is found.\n")
    (tmp_path / "deep" / "er" / "b.htm").write_text("<title>Page</title><h1>Asthma</h1><p>Wheezing.</p>")
    (tmp_path / "c.pdf").write_bytes(pdf("Pneumothorax is air."))
    (tmp_path / ".hidden.md").write_text("# Hidden\nNot read.")
    documents, problems = read(tmp_path)
    assert problems == {}
    assert {url: d.title for url, d in documents.items()} == {
        "a.md": "x",
        "c.pdf": "c",
        "deep/pleural_effusion.txt": "pleural effusion",
        "deep/er/b.htm": "Asthma",
    }
    assert documents["a.md"].sections == (Section("Signs", "Dull note."),)
    assert documents["c.pdf"].conditions == ("pneumothorax",)
    assert documents["deep/pleural_effusion.txt"].conditions == ("pleural effusion",)


@pytest.mark.parametrize(
    "raw",
    [
        "Épanchement à gauche".encode(),
        "Épanchement à gauche".encode("utf-8-sig"),
        "Épanchement à gauche".encode("latin-1"),
        "Épanchement à gauche".encode("utf-16"),
        "Épanchement à gauche".encode("utf-16-be"),
    ],
)
def test__folder__encodings__give_the_same_text(tmp_path, raw):
    (tmp_path / "a.txt").write_bytes(raw)
    documents, _ = read(tmp_path)
    assert text_of(documents["a.txt"]) == "Épanchement à gauche"


def test__folder__broken_files__are_named_and_the_rest_goes_on(tmp_path):
    (tmp_path / "good.md").write_text("# Asthma\nWheezing.")
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "heading.md").write_text("# Only a heading\n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing follows")
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    (tmp_path / "dangling.md").symlink_to(tmp_path / "gone.md")
    documents, problems = read(tmp_path)
    assert list(documents) == ["good.md"]
    assert set(problems) == {
        "empty.md",
        "heading.md",
        "binary.txt",
        "broken.pdf",
        "scan.pdf",
        "dangling.md",
    }
    assert "empty" in problems["empty.md"]
    assert "no text layer" in problems["scan.pdf"]


def test__folder__pipe__is_named_and_not_waited_for(tmp_path):
    (tmp_path / "good.md").write_text("# Asthma\nWheezing.")
    os.mkfifo(tmp_path / "pipe.md")
    writer = os.open(tmp_path / "pipe.md", os.O_RDWR)  # so that a read of it would end at some time
    os.write(writer, b"# Asthma\nPiped.")
    closing = threading.Timer(5, os.close, [writer])
    closing.daemon = True
    closing.start()
    documents, problems = read(tmp_path)
    assert (list(documents), list(problems)) == (["good.md"], ["pipe.md"])


def test__folder__link_in_a_circle__is_followed_once(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text("# Asthma\nWheezing.")
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert list(read(tmp_path)[0]) == ["sub/a.md"]


def test__folder__missing__suggests_the_near_one(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(SourceError, match=r"no folder .*Did you mean 'notes'"):
        dallm.Folder(tmp_path / "nots")


def test__folder__no_readable_file__is_a_problem(tmp_path):
    (tmp_path / "table.xlsx").write_bytes(b"x")
    assert "no file of the kinds" in read(tmp_path)[1][str(tmp_path)]


def test__html__page_with_furniture__gives_the_article():
    page = b"""<html><head><title>Site</title><script>var x = 1;</script><style>p {}</style></head><body>
    <nav><ul><li>Home</ul></nav><div class="sidebar ad">Buy now</div><main><h1>Pleural effusion</h1>
    <p>Fluid <b>around</b> the lung.<h2>Causes</h2><ul><li>heart failure<li>cancer</ul>
    <p style="display: none">hidden</p><table><tr><td>pH<td>7.2</table><div>Loose text</main>
    <footer>Imprint</footer>"""
    title, sections = read_html(page)
    assert title == "Pleural effusion"
    text = "\n".join(section.text for section in sections)
    assert sections[0] == Section("", "Fluid around the lung.")
    assert sections[1].path == "Causes"
    for word in ("heart failure", "cancer", "7.2", "Loose text"):
        assert word in text
    for word in ("Home", "Buy", "var", "hidden", "Imprint"):
        assert word not in text


def test__html__five_megabytes_of_unclosed_markup__are_read_in_seconds():
    began = time.monotonic()
    page = b"<h1>Asthma</h1>" + b"<div><p>Wheezing <b>is</i> heard.</x>" * 130_000
    title, sections = read_html(page)
    assert (title, sections[0].text.count("Wheezing is heard.")) == ("Asthma", 130_000)
    assert time.monotonic() - began < 60


def test__html__header_outside_the_article__gives_only_the_title():
    page = (
        b"<header><a>Log in</a><h1>Asthma</h1></header><h2>Signs</h2><p>Wheezing.</p><h2>Causes</h2><p>Mites."
    )
    assert read_html(page).sections[-1].text == "Mites."
    assert "Log in" not in str(read_html(page))


def test__markdown__headings_lists_tables_code__become_plain_text():
    text = (
        "Asthma\n======\n\nIntro *one*.\n\nSigns\n-----\n\nFind:\n\n- wheezing\n- cough\n\n"
        "| a | b |\n|---|---|\n\n### Loud\n`x` & y\n"
    )
    assert read_markdown(text).sections == (
        Section("", "Intro one."),
        Section("Signs", "Find: wheezing; cough.\na b"),
        Section("Signs > Loud", "x & y"),
    )


def test__sentences__abbreviations_and_decimals__do_not_split():
    assert sentences("Seen by Dr. Hale, e.g. at 7.2 mmol. Next one.") == [
        "Seen by Dr. Hale, e.g. at 7.2 mmol.",
        "Next one.",
    ]


def test__cut__long_section__gives_even_passages_that_hold_all_words():
    text = " ".join(f"Sentence {i} has exactly six words." for i in range(100))
    passages = cut(Document("T", (Section("S", text), Section("References", "Smith 1990.")), "s", "u"))
    lengths = [len(p.text.split()) for p in passages]
    assert " ".join(p.text for p in passages) == text
    assert max(lengths) <= MOST_WORDS + 6
    assert min(lengths) >= MOST_WORDS / 2


def test__cut__no_sentence_end__is_split_all_the_same():
    text = " ".join(["word"] * 1000)
    passages = cut(Document("T", (Section("", text),), "s", "u"))
    assert max(len(p.text.split()) for p in passages) <= 150
    assert sum(len(p.text.split()) for p in passages) == 1000


@pytest.mark.parametrize(
    "text", ["x" * 300_000, "胸腔积液是胸膜腔内的液体" * 2_000], ids=["one word", "no spaces"]
)
def test__cut__text_without_spaces__gives_short_passages(text):
    passages = cut(Document("T", (Section("", text),), "s", "u"))
    assert "".join(p.text for p in passages) == text
    assert max(len(p.text) for p in passages) <= 6_000


def test__cut__heading_that_names_a_condition__tags_the_passage():
    page = Document("Chest book", (Section("Pneumothorax > Signs", "Hyperresonance."),), "s", "u")
    assert cut(page)[0].conditions == ("pneumothorax",)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("CHF", "heart failure"),
        ("Enlarged  Heart", "enlarged cardiac silhouette"),
        ("effusions", "pleural effusion"),
        ("oedema", "pulmonary edema"),
        ("hepatitis", "hepatitis"),
    ],
)
def test__resolve_condition__alias_plural_unknown__gives_one_name(name, canonical):
    assert resolve_condition(name) == canonical


def test__resolve_condition__empty__is_refused():
    with pytest.raises(UserError, match="condition is a name"):
        resolve_condition("  ")


def test__conditions_of__text_without_title_match__uses_opening_and_frequency():
    text = "Lungs in general. " + "x " * 300 + "Pneumonia. Pneumonia. Pneumonia. Asthma."
    assert conditions_of("Notes", text) == ("pneumonia",)
    assert conditions_of("Leg edema and a mass of the foot", "Nothing here.") == ()


@pytest.mark.skipif(
    "DALLM_REAL_DATA" not in os.environ, reason="DALLM_REAL_DATA names no folder of real data"
)
def test__folder__real_pages__are_all_read(tmp_path):
    import pandas as pd

    pages = pd.read_csv(Path(os.environ["DALLM_REAL_DATA"]) / "medquad_chest" / "medquad_chest.csv")
    for page in pages.itertuples():
        (tmp_path / f"{page.Index}.md").write_text(f"# {page.focus}\n\n{page.answer}\n", encoding="utf-8")
    documents, problems = read(tmp_path)
    assert (len(documents), problems) == (len(pages), {})
    words = sum(len(p.text.split()) for d in documents.values() for p in cut(d))
    assert words == pytest.approx(pages.answer.str.split().str.len().sum(), rel=0.02)
