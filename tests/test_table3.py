"""Experiment II: the rubric, the scores of an answer, and sources and stores compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner
from wiki_server import Wiki, article, serve_wiki

import dallm
from dallm.cli.guard import GuardedGroup
from dallm.cli.reproduce import reproduce
from dallm.engines.base import KnowledgeAnswer
from dallm.errors import UserError
from dallm.evaluation.answer_scores import Aspect, backs, score, split_answer
from dallm.evaluation.rubric import Fact, FactFinder, Rubric, check_concepts
from dallm.knowledge.passage import Hit, Passage
from dallm.paper.five_questions import FIVE_QUESTIONS, ScoredQuestion
from dallm.paper.table3 import compare_retrieval

PAPER_CONDITIONS = (
    "atelectasis",
    "consolidation",
    "enlarged cardiac silhouette",
    "pleural abnormality",
    "pleural effusion",
)
SHORT = (
    "# Atelectasis\n## Symptoms\nDyspnea and cough are common.\n## Causes\nA mucus plug causes atelectasis."
)
LONG = f"{SHORT} Pneumothorax causes it, too.\n## Radiographic look\nThe film shows a displaced fissure."


@pytest.fixture(scope="module")
def finder() -> FactFinder:
    return FactFinder()


def passage(text: str, title: str = "Atelectasis", section: str = "") -> Passage:
    return Passage(text, title, section, "notes", "a.md", None, "CC0", (), "", ("atelectasis",), text)


# the rubric


@pytest.mark.parametrize("condition", PAPER_CONDITIONS)
def test__rubric__each_condition__six_to_eleven_facts_a_question_of_known_concepts(finder, condition):
    rubric = Rubric.default(condition)
    check_concepts(rubric.facts, finder.lexicon)
    assert [6 <= len(rubric.of(question.id)) <= 11 for question in FIVE_QUESTIONS] == [True] * 5


def test__rubric__own_words_of_a_fact__state_it_and_hardly_any_other(finder):
    unstated, of_others, pairs = [], 0, 0
    for condition in PAPER_CONDITIONS:
        rubric = Rubric.default(condition)
        for fact in rubric.facts:
            if not finder.stated(fact, fact.says):
                unstated.append((condition, fact.question, fact.id))
            others = [other for other in rubric.of(fact.question) if other is not fact]
            of_others += sum(finder.stated(fact, other.says) for other in others)
            pairs += len(others)
    assert unstated == []
    assert of_others / pairs < 0.01


@pytest.mark.parametrize(
    ("concepts", "phrases", "sentence", "expected"),
    [
        (("fever",), (), "Fever is common.", True),
        (("fever",), (), "There is no fever.", False),
        (("dyspnea",), (), "Dyspnea on exertion comes first.", True),  # a kind of it
        ((), ("mucus plug*",), "A plug of thick mucus lies in the bronchus.", True),
        ((), ("mucus plug*",), "No mucus plug is found.", False),
        ((), ("mucus plug*",), "Mucus is thin. A plug is rare.", False),
        ((), ("breath sounds absen*|reduc*",), "Breath sounds are absent.", True),
        ((), ("breath sounds absen*|reduc*",), "Breath sounds are loud.", False),
        ((), ("!bronchogram*",), "Air bronchograms are absent.", True),
        ((), ("!bronchogram*",), "Air bronchograms are seen.", False),
        ((), ("no|few symptom*",), "It often causes no symptoms.", True),
        ((), ("volume loss",), f"Volume {'and more ' * 10} is a loss.", False),
    ],
)
def test__stated__wording_and_denial__as_read(finder, concepts, phrases, sentence, expected):
    assert finder.stated(Fact("q", "f", "", concepts, phrases), sentence) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("causes.a = {says='x', phrases=['y']}", "needs condition"),
        ("condition='x'\n[causes]\na = {says='x'}", "nothing would count"),
        ("condition='x'\n[causes]\na = {says='x', phrase=['y']}", "unknown field 'phrase'.*'phrases'"),
        ("condition='x'\n[causes]\na = {phrases=['y']}", "'says' must be a text"),
        ("condition='x'\n[causes]\na = {says='x', phrases=['a*b']}", "cannot be read"),
        ("condition='x'\ncauses = 1", "'causes' must be a table"),
        ("condition=", "is no TOML"),
    ],
)
def test__rubric__file_that_cannot_be_used__says_where(tmp_path, text, message):
    path = tmp_path / "rubric.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Rubric.load(path)


def test__rubric__unknown_concept__names_the_nearest(finder):
    with pytest.raises(UserError, match=r"no concept 'dyspnoea on exertion'.*'dyspnea on exertion'"):
        check_concepts([Fact("q", "f", "", ("dyspnoea on exertion",))], finder.lexicon)


# the scores of an answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two three. [1] Four five six. [2]", [("One two three.", (1,)), ("Four five six.", (2,))]),
        ("One two three [1]. Four five six [2].", [("One two three.", (1,)), ("Four five six.", (2,))]),
        ("One two. Three four. [1][2]", [("One two.", (1, 2)), ("Three four.", (1, 2))]),
        (
            "A list without stops [1] Another line here [2]",
            [("A list without stops", (1,)), ("Another line here", (2,))],
        ),
        ("One [1] and two [2] are three.", [("One and two are three.", (1, 2))]),
        ("Cited here. [1] Not cited.", [("Cited here.", (1,)), ("Not cited.", ())]),
        ("", []),
    ],
)
def test__split_answer__styles_of_citing__each_sentence_has_its_own(text, expected):
    assert [(s.text, s.cites) for s in split_answer(text)] == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Fever over 38 degrees is common after surgery.", True),
        ("fever over 38 degrees is common, after surgery", True),
        ("After surgery, fever over 38 degrees is a common thing.", True),
        ("Fever over 39 degrees is common after surgery.", False),
        ("Fever over 38 degrees is not seen after surgery.", False),
        ("Hemoptysis is common after surgery.", False),
        ("Pneumothorax follows trauma.", False),
    ],
)
def test__backs__own_words_other_words_other_facts__told_apart(finder, sentence, expected):
    held = passage("Fever over 38 degrees is common after surgery. There is no hemoptysis.")
    assert backs(held, sentence, finder) is expected


def test__score__answer_with_a_foreign_sentence__each_measure_falls_by_its_share(finder):
    facts = (Fact("symptoms", "cough", "", ("cough",)), Fact("symptoms", "fever", "", ("fever",)))
    hits = (
        Hit(passage("Cough is common."), 1.0),
        Hit(passage("The left kidney is smaller.", "Kidney"), 0.9),
    )
    answer = KnowledgeAnswer("Cough is common. [1] The left kidney is smaller. [2] Gout hurts.", hits)
    found = score(answer, "atelectasis", facts, Aspect(("symptom",)), finder)
    assert (found.completeness, found.stated) == (0.5, ("cough",))
    assert found.support == pytest.approx(2 / 3)
    assert found.relevance == pytest.approx(1 / 3)


def test__score__no_answer__completeness_0_the_rest_undefined(finder):
    found = score(KnowledgeAnswer(""), "atelectasis", (Fact("q", "f", "", ("cough",)),), Aspect(), finder)
    assert (found.completeness, found.support, found.relevance) == (0.0, None, None)


def test__score__no_rubric__completeness_undefined(finder):
    hits = (Hit(passage("Cough is common."), 1.0),)
    found = score(KnowledgeAnswer("Cough is common. [1]", hits), "atelectasis", (), Aspect(), finder)
    assert (found.completeness, found.support, found.relevance) == (None, 1.0, 1.0)


# the comparison


@pytest.fixture
def folders(tmp_path) -> dict[str, Path]:
    for name, text in {"short": SHORT, "long": LONG, "other": "# Asthma\nWheezing at night."}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.md").write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in ("short", "long", "other")}


def two_sources(folders) -> dict[str, object]:
    def wiki(hits: str) -> dallm.Folder:
        return dallm.Folder(folders["short" if hits == "first" else "long"], name="wiki")

    return {"wiki": wiki, "primer": dallm.Primer()}


def test__compare__two_sources__every_set_hits_and_store_has_a_row(folders):
    made = compare_retrieval(two_sources(folders), stores=["local", "networkx"], encoder=None)
    table = made.table()
    arms = set(zip(table["sources"], table["hits"], table["store"], strict=True))
    sets = {("wiki", "first"), ("wiki", "page"), ("primer", "as given")}
    sets |= {("wiki + primer", "first"), ("wiki + primer", "page")}
    assert arms == {(*one, store) for one in sets for store in ("local", "networkx")}
    assert (table["not_run"] == "").all()
    assert len(made.answers) == len(arms) * 5
    local = table[table["store"] == "local"].set_index(["sources", "hits"])
    assert local.loc[("wiki", "page"), "in_sources"] > local.loc[("wiki", "first"), "in_sources"]
    assert local.loc[("wiki", "page"), "score"] > local.loc[("wiki", "first"), "score"]
    assert local.loc[("primer", "as given"), "completeness"] > local.loc[("wiki", "page"), "completeness"]
    assert (table["support"] == 1).all()  # the extractive engine quotes


def test__compare__answers__cite_their_passages_and_name_what_is_missing(folders):
    made = compare_retrieval({"wiki": dallm.Folder(folders["short"])}, stores=["local"], encoder=None)
    answers = made.answers.set_index("question_id")
    causes = answers.loc["causes"]
    assert causes["answer"] == "A mucus plug causes atelectasis. [1]"
    assert causes["citations"] == "[1] Atelectasis: Causes; short; page.md"
    assert causes["facts_stated"] == 1
    assert "An inhaled foreign body." in causes["facts_missing"]
    assert answers.loc["radiographic_features", "answer"] == ""
    assert answers.loc["radiographic_features", "completeness"] == 0
    assert pd.isna(answers.loc["radiographic_features", "support"])
    (unanswered,) = made.unanswered().values()
    assert "radiographic_features" in unanswered
    facts = made.facts
    assert facts[facts["stated"]]["in_sources"].all()


def test__compare__no_server_and_a_source_that_fails__stand_as_not_run(folders):
    sources = {
        "lost": lambda hits: dallm.Folder(folders["short"] / "nowhere"),
        "asthma": dallm.Folder(folders["other"]),
        "notes": dallm.Folder(folders["short"]),
    }
    made = compare_retrieval(sources, stores=["neo4j_vector", "local"], hits=["first"], encoder=None)
    reasons = {(row[0], row[2]): row[3] for row in made.not_run}
    assert "There is no folder" in reasons["lost", "local"]
    assert "no document on atelectasis" in reasons["asthma", "local"]
    assert "no Neo4j was named" in reasons["notes", "neo4j_vector"]
    assert "lost: There is no folder" in reasons["lost + asthma + notes", "local"]
    assert [(one.sources, one.store) for one in made.scored] == [("notes", "local")] * 5
    table = made.table()
    assert list(table["not_run"] == "") == [True] + [False] * (len(table) - 1)
    assert "Published: The paper compares" in str(made)


def test__compare__own_questions_and_rubric__are_used(folders, tmp_path):
    path = tmp_path / "rubric.toml"
    path.write_text(
        "condition = 'Atelectasis'\n[outlook]\nplug = {says = 'A plug.', phrases = ['mucus plug*']}\n",
        encoding="utf-8",
    )
    made = compare_retrieval(
        {"notes": dallm.Folder(folders["short"])},
        stores=["local"],
        questions=[ScoredQuestion("outlook", "What causes {condition}?")],
        rubric=path,
        encoder=None,
    )
    assert made.table().loc[0, "completeness: outlook"] == 1


def test__compare__condition_without_a_rubric__is_measured_by_the_rest():
    made = compare_retrieval(
        {"primer": dallm.Primer()}, stores=["local"], condition="pneumothorax", encoder=None
    )
    table = made.table()
    assert table["completeness"].isna().all()
    assert table.loc[0, "relevance"] > 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": {}}, "sources is a dict"),
        ({"sources": {"a": "notes/"}}, "'a' is no source"),
        ({"sources": {"a": dallm.Primer}}, "'a' is a class"),
        ({"sources": {"a": dallm.Primer(), "b": dallm.Primer()}}, "both called"),
        ({"stores": ["redis"]}, "No store 'redis' can be compared"),
        ({"stores": ["neo4j_vector"]}, "None of the stores can be had: neo4j_vector: no Neo4j was named"),
        ({"hits": ["second"]}, "hits is a list"),
        ({"k": 0}, "k is the number of passages"),
        ({"neo4j": {"url": "neo4j://x"}}, "no field 'url'"),
        ({"neo4j": {"user": "neo4j"}}, "needs a uri"),
        ({"questions": []}, "questions is empty"),
        ({"condition": "asthma", "rubric": Rubric.default("atelectasis")}, "The rubric is for 'atelectasis'"),
        ({"condition": "gout"}, "No source could be read: primer: it gave no document on gout"),
    ],
)
def test__compare__wrong_argument__is_refused(options, message):
    with pytest.raises(UserError, match=message):
        compare_retrieval(**{"encoder": None, **options})


def test__save__folder__holds_tables_answers_and_plot(folders, tmp_path):
    made = compare_retrieval(two_sources(folders), stores=["local"], hits=["first"], encoder=None)
    names = [path.name for path in made.save(tmp_path / "out")]
    assert names == ["table3.csv", "answers.csv", "facts.csv", "answers.md", "table3.png", "table3.svg"]
    page = (tmp_path / "out" / "answers.md").read_text(encoding="utf-8")
    assert "unreviewed, for trying out, not for care" in page
    assert "## 3. What causes atelectasis?" in page
    assert (tmp_path / "out" / "table3.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UserError, match="a plot is written as one of"):
        made.plot(tmp_path / "plot.docx")


def test__compare__four_stores_on_a_server__answers_agree_and_nothing_stays(folders, neo4j_server):
    from neo4j import GraphDatabase

    access = {"uri": neo4j_server.uri, "user": neo4j_server.user, "password": neo4j_server.password}
    with GraphDatabase.driver(access["uri"], auth=(access["user"], access["password"])) as driver:

        def left() -> tuple[int, int]:
            nodes = driver.execute_query("MATCH (n) RETURN count(n) AS n").records[0]["n"]
            return nodes, len(driver.execute_query("SHOW INDEXES").records)

        before = left()
        made = compare_retrieval(
            {"notes": dallm.Folder(folders["long"])}, encoder=None, neo4j=access, hits=["first"]
        )
        assert left() == before
    assert made.not_run == ()
    texts = made.answers.pivot(index="question_id", columns="store", values="answer")
    assert (texts["local"] == texts["neo4j_vector"]).all()
    assert (texts["networkx"] == texts["neo4j_graph"]).all()


def test__compare__server_that_is_down__other_stores_run(folders):
    made = compare_retrieval(
        {"notes": dallm.Folder(folders["short"])},
        stores=["neo4j_vector", "local"],
        neo4j={"uri": "bolt://127.0.0.1:1", "user": "neo4j", "password": "secret-word"},
        encoder=None,
    )
    (missing,) = made.not_run
    assert "127.0.0.1:1" in missing[3]
    assert "secret-word" not in str(made)


# the command


def test__command__table3_offline__primer_alone_with_what_did_not_run(tmp_path):
    app = typer.Typer(cls=GuardedGroup)
    app.add_typer(reproduce, name="reproduce")
    app.command("other")(lambda: None)
    arguments = ["reproduce", "table3", "--lexical", "--stores", "local,networkx,neo4j_graph"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "table3.csv")
    assert table["not_run"].notna().sum() == 1
    assert (table["answered"].dropna() == 5).all()
    assert (table["completeness"].dropna() > 0.7).all()


def test__command__table3_wikipedia_and_saved_pages__reads_each_source_once(tmp_path):
    wiki = Wiki()
    lead = "is a lung or lobe that has collapsed."
    wiki.add("Atelectasis", article("Atelectasis", lead, "<p>A mucus plug causes atelectasis.</p>"))
    (tmp_path / "saved").mkdir()
    shutil.copy(Path(__file__).parent / "pages" / "radiopaedia_article.html", tmp_path / "saved")
    app = typer.Typer(cls=GuardedGroup)
    app.add_typer(reproduce, name="reproduce")
    app.command("other")(lambda: None)
    with serve_wiki(wiki) as server:
        arguments = ["reproduce", "table3", "--lexical", "--stores", "local,networkx"]
        arguments += ["--wikipedia-url", server.url]
        arguments += ["--radiopaedia-pages", str(tmp_path / "saved"), "--cache", str(tmp_path / "cache")]
        done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
        asked = [request for request in server.requests if request.params.get("action") == "parse"]
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "table3.csv")
    both = table[table["sources"] == "Wikipedia + Radiopaedia"]
    assert set(zip(both["hits"], both["store"], strict=True)) == {
        (hits, store) for hits in ("first", "page") for store in ("local", "networkx")
    }
    assert both["not_run"].isna().all()
    assert len(asked) == 1  # whatever the number of stores and of kinds of hits
    page = (tmp_path / "out" / "answers.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in page
    assert "CC BY-NC-SA" in page
