"""The evidence page: what it holds, and what a real browser makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from browser import Browser, find_browser

from dallm import Ack, Augmented, Cohort, Feature
from dallm.ack.ack import Answer, Citation
from dallm.engines.base import CaseAnswer, Draft, Quote
from dallm.errors import OutputError, UserError
from dallm.viz.evidence_page import json_for_html, write_evidence_page
from dallm.viz.evidence_payload import Utf16Offsets

FEATURES = [
    Feature("effusion", "boolean", conditions=("pleural effusion",)),
    Feature("pneumothorax", "boolean"),
    Feature("edema", "boolean"),
    Feature("nodule size", "numeric", unit="mm"),
    Feature("fever", "boolean"),
]
HOSTILE = "<script>window.bad = 1</script><img src=x onerror='window.bad = 1'> &amp; </script> <!-- "
TEXTS = {
    "emoji": "\U0001fac1\U0001f469\u200d\u2695\ufe0f effusion \U0001f600 no pneumothorax \U0001f937",
    "combining": "Cafe\u0301 au lait; e\u0301panchement pleural; n\u0303 effusion\u0301 and no pneumothorax.",
    "newlines": "line one\r\nsmall effusion\r\nwraps\rold Mac\n\tno pneumothorax\u2028end\u2029",
    "controls": "nul \x00 bell \x07 effusion\x00 esc \x1b[0m \x7f no pneumothorax \ufffe",
    "rtl": "\u05d0\u05d9\u05df effusion \u202e\u0627\u0646 no pneumothorax\u202c \u062c\u0646\u0628",
    "hostile": HOSTILE + "effusion & no pneumothorax",
}
NOTICE = "dallm primer, unreviewed, for trying out, not for care"
CITATION = Citation(
    "Effusion", "Signs", NOTICE, "primer/effusion", "Dullness", "Dullness.", "0" * 64, notice=NOTICE
)
LONE = "lone \ud83d high, low \ude00 and effusion \udc80 no pneumothorax"  # a cohort refuses such a text

MARKS = """
[...document.querySelectorAll('#report mark')].map((m) => [m.dallmQuotes.map((q) => q.id), m.textContent])
"""


def quote(text: str, words: str, *, field: str = "findings", assertion: str = "present") -> Quote:
    """Quote the first place of some words."""
    start = text.index(words)
    return Quote(words, field, start, start + len(words), assertion, f"rule of {words!r}")


def make(answers: dict[str, dict[str, Draft]], reports: dict[str, str], **roles: Any) -> Augmented:
    """Make an Augmented from answers by case, the reports in one field."""
    frame = pd.DataFrame({"case": list(reports)}, dtype=object)
    frame["findings"] = pd.Series(list(reports.values()), dtype=object)
    for name, values in roles.pop("columns", {}).items():
        frame[name] = values
    cohort = Cohort(frame, id="case", report="findings", **roles)
    filled = (CaseAnswer(case, answers.get(case, {})) for case in reports)
    return Augmented.from_answers(cohort, FEATURES, filled, engine="extractive")


def one_of_each(text: str) -> dict[str, Draft]:
    """Answer for a text that says effusion and denies pneumothorax; a third quote is all of it."""
    denied = quote(text, "no pneumothorax", assertion="negated")
    return {
        "effusion": Draft(True, "documented", "report", quotes=(quote(text, "effusion"),)),
        "pneumothorax": Draft(False, "documented", "report", quotes=(denied,)),
        "edema": Draft(None, "uncertain", "report", quotes=(quote(text, text, assertion="possible"),)),
    }


def payload_of(path: Path) -> dict[str, Any]:
    """Read back what the page holds."""
    found = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@pytest.fixture(scope="module")
def mixed() -> Augmented:
    reports = {
        "case-1": "Small effusion. There is edema. The edema has resolved. A 6 mm nodule.",
        "case-2": "No effusion or pneumothorax.",
        "case-3": "May represent edema.",
        "case-4": "",
        "a/b #5%": "Febrile.",
    }
    one, two, three = reports["case-1"], reports["case-2"], reports["case-3"]
    answers = {
        "case-1": {
            "effusion": Draft(True, "documented", "report", quotes=(quote(one, "Small effusion"),)),
            "edema": Draft(
                None,
                "conflicting",
                "report",
                reason="present and resolved",
                quotes=(quote(one, "edema"), quote(one, "edema has resolved", assertion="resolved")),
            ),
            "nodule size": Draft(6.0, "documented", "report", quotes=(quote(one, "6 mm"),)),
            "fever": Draft(
                True, "documented", "row", rationale="temp 101.3 degF >= 100.4 degF (a guideline)"
            ),
        },
        "case-2": {
            "effusion": Draft(
                False, "documented", "report", quotes=(quote(two, "No effusion", assertion="negated"),)
            ),
            # the wider quote lies around the narrower one
            "pneumothorax": Draft(
                False, "documented", "report", quotes=(quote(two, two, assertion="negated"),)
            ),
        },
        "case-3": {
            "edema": Draft(
                None,
                "uncertain",
                "report",
                rationale="one cause of several",
                quotes=(quote(three, "May represent edema", assertion="possible"),),
            )
        },
        "a/b #5%": {"fever": Draft(None, "failed", "report", reason="no usable answer")},
    }
    columns = {"temp": [101.3, 98.6, None, 98.0, 99.0], "sex": ["F", "M", "F", None, "F"]}
    made = make(answers, reports, columns=columns, numeric={"temp": "degF"}, categorical=["sex"])
    made.ack = Ack([Answer("effusion", "signs", "examination", "Which signs?", "Dullness [1].", (CITATION,))])
    return made


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no Chromium on this machine (or set DALLM_BROWSER)")
    with Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(mixed: Augmented, tmp_path: Path, browser: Browser) -> Browser:
    browser.requests.clear()
    browser.console.clear()
    browser.open(write_evidence_page(mixed, tmp_path / "evidence.html").as_uri())
    return browser


def shown_case(page: Browser) -> Any:
    return page.evaluate("document.getElementById('case-id').textContent")


def listed(page: Browser) -> Any:
    return page.evaluate("[...document.querySelectorAll('.item-id')].map((e) => e.textContent)")


def choose(page: Browser, control: str, value: object) -> None:
    page.evaluate(
        f"(e => {{ e.value = {json.dumps(str(value))}; e.dispatchEvent(new Event('change')); }})"
        f"(document.getElementById('{control}'))"
    )


# --- what the page holds ---


@pytest.mark.parametrize("text", [*TEXTS.values(), LONE], ids=[*TEXTS, "lone surrogates"])
def test__offsets__any_text__cut_the_same_words_from_utf16(text: str) -> None:
    at = Utf16Offsets(text)
    units = text.encode("utf-16-le", "surrogatepass")
    for start in range(len(text)):
        piece = units[2 * at(start) : 2 * at(start + 1)]
        assert piece == text[start].encode("utf-16-le", "surrogatepass")


def test__json_for_html__hostile_text__cannot_leave_its_element() -> None:
    text = "</script><!-- \u2028 \x00 &" + LONE
    escaped = json_for_html(text)
    assert escaped.isascii()
    assert not set(escaped) & set("<>&")
    assert json.loads(escaped) == text


def test__payload__undocumented_cells__are_implied(mixed: Augmented, tmp_path: Path) -> None:
    held = payload_of(write_evidence_page(mixed, tmp_path / "e.html"))
    said = mixed.cells[mixed.cells["status"] != "not_documented"]
    names = [held["features"][f]["name"] for f in held["cells"]["feature"]]
    assert names == said["feature"].tolist()
    assert held["cells"]["start"] == [0, 4, 6, 7, 7, 8]
    assert held["stray"] == []


def test__payload__quote_not_at_its_offsets__is_listed_apart(mixed: Augmented, tmp_path: Path) -> None:
    evidence = mixed.evidence.copy()
    evidence.loc[0, "start"] += 1
    broken = Augmented(mixed.cohort, mixed.features, mixed.cells, evidence)
    with pytest.warns(UserWarning, match="1 quotes do not stand"):
        held = payload_of(write_evidence_page(broken, tmp_path / "e.html"))
    assert [s["quote"] for s in held["stray"]] == ["Small effusion"]
    assert len(held["evidence"]["feature"]) == len(evidence) - 1


def test__write__more_cases_than_allowed__shows_the_first_and_warns(mixed: Augmented, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="first 2 of 5 cases"):
        held = payload_of(write_evidence_page(mixed, tmp_path / "e.html", max_cases=2))
    assert held["ids"] == ["case-1", "case-2"]
    assert held["total"] == 5
    assert len(held["cells"]["feature"]) == held["cells"]["start"][-1] == 6


def test__write__rows_in_another_order__same_page(mixed: Augmented, tmp_path: Path) -> None:
    shuffled = SimpleNamespace(**vars(mixed))
    shuffled.cells = mixed.cells.sample(frac=1, random_state=0)
    shuffled.evidence = mixed.evidence.sample(frac=1, random_state=0)
    expected = payload_of(write_evidence_page(mixed, tmp_path / "a.html"))
    got = payload_of(write_evidence_page(shuffled, tmp_path / "b.html"))  # type: ignore[arg-type]

    def told(held: dict[str, Any], table: str, key: str) -> list[str]:
        return [held["strings"][i] if i >= 0 else "" for i in held[table][key]]

    for table, keys in (("cells", ("value", "reason", "rationale")), ("evidence", ("assertion", "rule"))):
        for key in keys:
            assert told(got, table, key) == told(expected, table, key)


def test__write__cells_of_another_cohort__are_refused_by_case(mixed: Augmented, tmp_path: Path) -> None:
    wrong = SimpleNamespace(**vars(mixed))
    wrong.cohort = mixed.cohort.take([1, 2, 3, 4])
    with pytest.raises(UserError, match="'case-1', which the cohort does not have"):
        write_evidence_page(wrong, tmp_path / "e.html")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test__write__unusable_arguments__say_what_to_do(mixed: Augmented, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        write_evidence_page(mixed, tmp_path)
    with pytest.raises(UserError, match="max_cases must be at least 1"):
        write_evidence_page(mixed, tmp_path / "e.html", max_cases=0)


def test__payload__features_that_cite_the_primer__carry_its_notice(mixed: Augmented, tmp_path: Path) -> None:
    features = [replace(FEATURES[0], citations=(CITATION.reference,)), *FEATURES[1:]]
    without_ack = Augmented(mixed.cohort, features, mixed.cells, mixed.evidence)
    assert payload_of(write_evidence_page(without_ack, tmp_path / "a.html"))["notices"] == [NOTICE]
    neither = Augmented(mixed.cohort, FEATURES, mixed.cells, mixed.evidence)
    assert payload_of(write_evidence_page(neither, tmp_path / "b.html"))["notices"] == []


# --- in a browser ---


def test__browser__any_text__marks_exactly_the_quotes(browser: Browser, tmp_path: Path) -> None:
    augmented = make({name: one_of_each(text) for name, text in TEXTS.items()}, TEXTS)
    url = write_evidence_page(augmented, tmp_path / "evidence.html").as_uri()
    for name, text in TEXTS.items():
        browser.open(f"{url}#case={name}")
        assert browser.evaluate("document.querySelector('.field-text').textContent") == text
        pieces: dict[int, str] = {}
        for ids, piece in browser.evaluate(MARKS):
            for number in ids:
                pieces[number] = pieces.get(number, "") + piece
        assert sorted(pieces.values()) == sorted([text, "effusion", "no pneumothorax"]), name
    assert browser.evaluate("typeof window.bad") == "undefined"
    assert browser.evaluate("document.querySelectorAll('#report img, #report script').length") == 0


def test__browser__opened__requests_nothing_and_reports_nothing(page: Browser) -> None:
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1
    assert page.console == []
    blocked = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')"
    assert (
        page.call("Runtime.evaluate", expression=blocked, awaitPromise=True)["result"]["value"] == "blocked"
    )


def test__browser__banners__say_what_the_data_are(page: Browser) -> None:
    banners = page.evaluate("document.getElementById('banners').textContent")
    assert "credentialed: this page holds report text; keep it where the reports may be kept" in banners
    assert NOTICE in banners
    assert "synthetic" not in banners


def test__browser__overlapping_quotes__are_cut_into_segments(page: Browser) -> None:
    page.press("j")
    assert page.evaluate(
        "[...document.querySelectorAll('#report mark')].map((m) => [m.textContent, m.dallmQuotes.length])"
    ) == [["No effusion", 2], [" or pneumothorax.", 1]]


def test__browser__mark__note_by_pointer_and_by_keyboard(page: Browser) -> None:
    page.evaluate("location.hash = '#case=case-3'")
    page.wait_for("document.getElementById('case-id').textContent === 'case-3'")
    page.hover("#report mark")
    page.wait_for("!document.getElementById('tip').hidden")
    note = page.evaluate("document.getElementById('tip').innerText")
    for part in (
        "edema",
        "NA",
        "uncertain",
        "possible",
        "rule of 'May represent edema'",
        "one cause of several",
    ):
        assert part in note
    page.press("Escape")
    assert page.evaluate("document.getElementById('tip').hidden")
    page.evaluate("document.querySelector('#report mark').focus()")
    assert not page.evaluate("document.getElementById('tip').hidden")


def test__browser__table__shows_every_cell_and_the_row(page: Browser) -> None:
    rows = page.evaluate(
        "[...document.querySelectorAll('.cells tbody tr')].map((r) => [...r.cells].map((c) => c.innerText))"
    )
    assert rows == [
        ["edema", "NA", "±conflicting", "report (2)", "present and resolved"],
        ["effusion", "true", "✓documented", "report (1)", ""],
        ["nodule size", "6 mm", "✓documented", "report (1)", ""],
        ["fever", "true", "✓documented", "row", "temp 101.3 degF >= 100.4 degF (a guideline)"],
    ]
    assert "1 feature not documented" in page.evaluate("document.getElementById('absent').textContent")
    page.evaluate("document.querySelector('[data-columns]').click()")
    assert page.evaluate("document.querySelector('tr[data-column].on').innerText").split() == [
        "temp",
        "101.3",
        "degF",
    ]


def test__browser__filters__leave_only_cases_with_such_a_cell(page: Browser) -> None:
    choose(page, "feature", 0)  # effusion
    assert listed(page) == ["case-1", "case-2"]
    page.evaluate("document.querySelector('[data-status=\"3\"]').click()")  # not documented
    assert listed(page) == ["case-3", "case-4", "a/b #5%"]
    choose(page, "feature", -1)
    page.evaluate("document.querySelector('[data-status=\"3\"]').click()")
    page.evaluate("document.querySelector('[data-status=\"2\"]').click()")  # uncertain
    assert listed(page) == ["case-3"]
    page.evaluate("document.getElementById('reset').click()")
    page.call("Input.insertText", text="CASE-2")  # the search field has the focus now
    assert listed(page) == ["case-2"]
    assert shown_case(page) == "case-2"


def test__browser__keys__walk_through_the_cases_but_not_while_typing(page: Browser) -> None:
    seen = [shown_case(page)]
    for key in ("j", "ArrowDown", "ArrowRight", "k", "ArrowUp", "ArrowLeft", "ArrowLeft"):
        page.press(key)
        seen.append(shown_case(page))
    assert seen == ["case-1", "case-2", "case-3", "case-4", "case-3", "case-2", "case-1", "case-1"]
    page.press("/")
    page.press("j")
    assert page.evaluate("document.activeElement.id") == "search"
    assert page.evaluate("document.getElementById('search').value") == "j"


def test__browser__link_to_a_case__opens_it(page: Browser) -> None:
    page.evaluate("location.hash = '#case=' + encodeURIComponent('a/b #5%')")
    page.wait_for("document.getElementById('case-id').textContent === 'a/b #5%'")
    page.evaluate("location.hash = '#case=nobody'")
    page.wait_for("document.getElementById('banners').textContent.includes('no case with the id \"nobody\"')")
    assert shown_case(page) == "a/b #5%"


def test__browser__theme__follows_the_system_until_chosen(page: Browser) -> None:
    theme, background = (
        "document.documentElement.dataset.theme",
        "getComputedStyle(document.body).backgroundColor",
    )
    colours = {}
    for scheme in ("dark", "light"):
        page.prefer(scheme)
        page.wait_for(f"{theme} === '{scheme}'")
        colours[scheme] = page.evaluate(background)
    assert colours["dark"] != colours["light"]
    for expected in ("light", "dark", "light"):  # chosen light, chosen dark, the system's again
        page.evaluate("document.getElementById('theme').click()")
        assert page.evaluate(background) == colours[expected]


def test__browser__many_cases__keeps_few_rows_in_the_page(browser: Browser, tmp_path: Path) -> None:
    reports = {f"c{i}": "Small effusion, no pneumothorax." for i in range(3000)}
    augmented = make({case: one_of_each(text) for case, text in reports.items()}, reports)
    browser.open(write_evidence_page(augmented, tmp_path / "evidence.html").as_uri())
    assert browser.evaluate("document.querySelectorAll('.item').length") < 60
    browser.evaluate("document.getElementById('list').focus()")
    browser.press("End")
    assert shown_case(browser) == "c2999"
    assert listed(browser)[-1] == "c2999"
