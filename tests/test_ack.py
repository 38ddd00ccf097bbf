"""Stage II: expert queries, extractive answers, the ACK and its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dallm
from dallm.ack.ack import CITATION, Ack, Answer, Citation
from dallm.ack.queries import EXPERT_QUERIES, GROUPS, ExpertQuery, load_queries
from dallm.engines.base import KnowledgeAnswer
from dallm.engines.extractive.answer import answer
from dallm.errors import KnowledgeWarning, UserError
from dallm.knowledge.passage import Hit, Passage
from dallm.knowledge.sources.primer import NOTICE
from dallm.knowledge.stores.local import LocalStore

HEADINGS = {
    "common_symptoms": "Symptoms",
    "possible_causes": "Causes",
    "patient_symptoms": "Symptoms",
    "clinical_signs": "Signs",
    "clinical_characteristics": "Radiographic look",
    "laboratory_data": "Laboratory data",
    "personal_history": "Personal history",
}


def hit(text: str, section: str = "", score: float = 0.5, title: str = "Asthma") -> Hit:
    passage = Passage(
        text, title, section, "notes", f"{title}.md", None, None, (), "", (title.lower(),), f"{hash(text)}"
    )
    return Hit(passage, score)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with LocalStore(tmp_path_factory.mktemp("ack") / "s", encoder=None) as made:
        dallm.ingest(made, dallm.Primer())
        yield made


@pytest.fixture(scope="module")
def ack(store):
    with pytest.warns(KnowledgeWarning, match="holds nothing on 'sarcoidosis'"):
        return dallm.build_ack(store, [*store.conditions(), "sarcoidosis"])


def test__expert_queries__are_seven_in_the_groups_of_the_paper():
    groups = [query.group for query in EXPERT_QUERIES]
    assert [groups.count(name) for name in GROUPS] == [2, 1, 2, 1, 1]
    assert set(groups) == set(GROUPS)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("Which signs?", r"Query 'mine': its template lacks \{condition\}"),
        ("Which signs of {lesion} in {condition}?", r"Query 'mine': its template holds \{lesion\}"),
        ("Signs of {condition} {", "Query 'mine': its template cannot be read"),
        ("Signs of {condition!r}?", "Query 'mine': its template holds a format"),
        ("", "Query 'mine': its field 'template'"),
    ],
)
def test__expert_query__bad_template__names_query_and_variable(template, message):
    with pytest.raises(UserError, match=message):
        ExpertQuery("mine", "signs", template)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[[query]]\nid = "a"\ngroup = "g"\n', "Query 'a'.*lacks the field 'template'"),
        (
            '[[query]]\nid = "a"\ngroup = "g"\ntemplat = "{condition}"\ntemplate = "{condition}"\n',
            "Query 'a'.*unknown field 'templat'.*Did you mean 'template'",
        ),
        ('[[query]]\nid = "a"\ngroup = "g"\ntemplate = "{condition}"\n' * 2, "Two queries have the id 'a'"),
        ("query = [", "is no TOML"),
        ("x = 1", r"holds no \[\[query\]\]"),
    ],
)
def test__load_queries__bad_file__names_query_and_field(tmp_path, toml, message):
    path = tmp_path / "q.toml"
    path.write_text(toml)
    with pytest.raises(UserError, match=message):
        load_queries(path)


def test__build_ack__primer__answers_each_query_from_its_section(ack):
    for condition in ack.conditions[:-1]:
        for query_id, heading in HEADINGS.items():
            found = ack.answer(condition, query_id)
            assert [c.section for c in found.citations] == [heading], (condition, query_id)
            assert {c.title.lower() for c in found.citations} == {condition}


def test__build_ack__every_sentence__stands_in_the_passage_that_it_cites(ack):
    for given in ack:
        pieces = CITATION.split(given.text)
        for said, number in zip(pieces[:-1:2], pieces[1::2], strict=True):
            citation = given.citations[int(number) - 1]
            assert said.strip()
            assert said.strip() in citation.quote
            assert citation.quote in citation.text


def test__build_ack__nothing_on_the_condition__says_so(ack):
    found = ack.answer("sarcoidosis", "possible_causes")
    assert (found.text, found.citations, found.reason) == ("", (), "the store holds nothing on sarcoidosis")
    assert "No answer: the store holds nothing on sarcoidosis" in ack.to_markdown()


def test__build_ack__same_store__gives_the_same_digest(store, ack):
    with pytest.warns(KnowledgeWarning):
        assert dallm.build_ack(store, ack.conditions).digest == ack.digest


def test__build_ack__aliases_and_own_query__are_resolved(store):
    query = ExpertQuery("outlook", "own group", "Which treatment cures {condition}?")
    made = dallm.build_ack(store, "enlarged heart", query)
    assert made.conditions == ("enlarged cardiac silhouette",)
    assert made.answer("cardiomegaly", "outlook").text == ""
    assert "no passage in the store supports an answer" in made.to_markdown()


@pytest.mark.parametrize("options", [{"conditions": []}, {"queries": []}, {"queries": ["x"]}, {"k": 0}])
def test__build_ack__bad_argument__is_refused(store, options):
    with pytest.raises(UserError, match=next(iter(options))):
        dallm.build_ack(store, **{"conditions": ["asthma"], **options})


def test__build_ack__engine_in_other_words__keeps_what_it_cites_and_no_mark_without_one(store):
    class Engine:
        name, model = "stub", "m1"

        def answer(self, question, passages):
            return KnowledgeAnswer("In my words. [2] And more. [9]", tuple(passages))

    made = dallm.build_ack(store, ["asthma"], EXPERT_QUERIES[:1], engine=Engine())
    found = made.answers[0]
    assert found.text == "In my words. [1] And more."
    assert found.citations[0].quote == found.citations[0].text
    assert (made.engine, made.model) == ("stub", "m1")


def test__answer__text_without_headings__needs_words_that_tell():
    page = hit("Asthma is common. Viral infections cause attacks of asthma. The sky is wide and blue.")
    assert answer("What are the possible causes of asthma?", [page]).text == (
        "Viral infections cause attacks of asthma. [1]"
    )
    assert answer("Which treatment helps in asthma?", [page]) == KnowledgeAnswer("")
    assert answer("What causes asthma?", []) == KnowledgeAnswer("")


def test__answer__two_passages__are_numbered_and_near_copies_are_said_once():
    one = hit("Smoke causes attacks at work.", "Causes", 0.9)
    two = hit("Smoke causes attacks at work. Mites cause attacks at home.", "Causes", 0.8)
    given = answer("What causes asthma?", [one, two])
    assert given.text == "Smoke causes attacks at work. [1] Mites cause attacks at home. [2]"
    assert given.hits == (one, two)


def test__answer__page_about_itself__is_no_answer():
    page = hit(
        "The frequency of each sign is a rough guess of ours. This information was gathered in spring. "
        "Wheezing and cough are usual.",
        "What are the symptoms of asthma?",
    )
    empty = hit("The upper number of the fraction counts those with the symptom.", "Symptoms", 0.9)
    given = answer("Which symptoms are most common in asthma?", [empty, page])
    assert given.text == "Wheezing and cough are usual. [1]"
    assert given.hits == (page,)


def test__answer__advice_that_lists_symptoms__counts():
    page = hit("See your doctor if you have a fever, chills, a cough or chest pain.", "Symptoms")
    assert answer("Which symptoms are common in asthma?", [page]).hits == (page,)


def test__answer__no_heading_promises_signs__takes_sentences_that_hold_several():
    page = hit(
        "Your doctor listens with a stethoscope for wheezing and crackles. The cost differs.",
        "How is asthma diagnosed?",
    )
    given = answer("Which clinical signs on physical examination help to find asthma?", [page])
    assert given.text == "Your doctor listens with a stethoscope for wheezing and crackles. [1]"


def test__build_ack__page_on_a_rarer_kind__goes_after_the_condition_itself(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    text = "The symptoms most common in this pneumonia are fever, cough, pain and fatigue."
    (notes / "rare.md").write_text(f"# Eosinophilic pneumonia\n\n## Symptoms\n\n{text}\n")
    (notes / "own.md").write_text(
        "# Pneumonia\n\n## Presentation\n\nSymptoms such as chills and rigors come on within hours.\n"
    )
    with LocalStore(tmp_path / "s", encoder=None) as made:
        dallm.ingest(made, dallm.Folder(notes))
        question = EXPERT_QUERIES[0].question("pneumonia")
        assert made.search(question, k=1)[0].passage.url == "rare.md"
        found = dallm.build_ack(made, "pneumonia", EXPERT_QUERIES[:1], k=1).answers[0]
    assert found.citations[0].url == "own.md"


def test__build_ack__misspelled_condition__warns_with_the_near_name(store):
    with pytest.warns(KnowledgeWarning, match="'atelectsis'.*Did you mean 'atelectasis'"):
        dallm.build_ack(store, ["atelectsis"])


def test__save_load__round_trip__is_equal(tmp_path, ack):
    path = ack.save(tmp_path / "deep" / "ack.json")
    assert Ack.load(path) == ack
    assert Ack.load(path).digest == ack.digest


def edited(ack: Ack, tmp_path: Path, change) -> Path:
    raw = json.loads(ack.to_json())
    change(raw["answers"][0])
    path = tmp_path / "ack.json"
    path.write_text(json.dumps(raw))
    return path


def test__load__edited_text__changes_the_digest(tmp_path, ack):
    path = edited(ack, tmp_path, lambda a: a.update(text="My own words. [1]"))
    assert Ack.load(path).answers[0].text == "My own words. [1]"
    assert Ack.load(path).digest != ack.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("text"), "query 'common_symptoms': the field 'text' is missing"),
        (lambda a: a.update(text=3), "query 'common_symptoms', field 'text': expected a text, found int"),
        (lambda a: a.update(txt="x"), "query 'common_symptoms': unknown field 'txt'.*Did you mean 'text'"),
        (lambda a: a.update(text="x [7]"), r"query 'common_symptoms', field 'text': \[7\] cites nothing"),
        (
            lambda a: a["citations"][0].pop("quote"),
            "query 'common_symptoms', citation 1: the field 'quote' is missing",
        ),
        (lambda a: a.update(citations="x"), "query 'common_symptoms', field 'citations': expected a list"),
        (lambda a: a.update(query_id="possible_causes"), "query 'possible_causes': there are two answers"),
    ],
)
def test__load__edit_gone_wrong__names_condition_query_and_field(tmp_path, ack, change, message):
    with pytest.raises(UserError, match=f"condition 'asthma', {message}"):
        Ack.load(edited(ack, tmp_path, change))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "other"}'])
def test__load__no_ack__is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json"):
        Ack.load(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot be read"):
        Ack.load(tmp_path / "missing.json")


def test__answer_of__unknown_name__suggests_the_near_one(ack):
    with pytest.raises(UserError, match="Did you mean 'common_symptoms'"):
        ack.answer("asthma", "comon_symptoms")
    with pytest.raises(UserError, match="Did you mean 'pneumonia'"):
        ack.answer("pneumonai", "common_symptoms")


def test__add__same_query__takes_the_right_one():
    left = Ack([Answer("asthma", "q", "g", "Q?", "left"), Answer("asthma", "r", "g", "R?", "kept")])
    right = Ack([Answer("asthma", "q", "g", "Q?", "right"), Answer("pneumonia", "q", "g", "Q?", "new")])
    assert [a.text for a in left + right] == ["right", "kept", "new"]


def test__to_markdown__references__are_numbered_once_per_condition_with_notice(ack):
    page = ack.to_markdown()
    asthma = page.split("## Asthma\n")[1].split("\n## ")[0]
    assert page.startswith(f"# Augmented clinical knowledge\n\n> **{NOTICE}**")
    for group in GROUPS:
        assert f"### {group.capitalize()}" in asthma
    references = asthma.split("### References")[1].strip().splitlines()
    assert len(references) == 6  # two of the seven queries rest on one passage
    assert references[0].startswith("1. Asthma: Symptoms; dallm primer")


def test__to_markdown__sentences_of_one_passage__are_cited_once():
    one, two = (Citation(t, "", "s", f"{t}.md", "q", "q", t) for t in "ab")
    made = Ack([Answer("asthma", "q", "g", "Q?", "A. [1] B. [1] C. [2] D. [1]", (one, two))])
    assert "\nA. B. [1] C. [2] D. [1]\n" in made.to_markdown()


def test__to_markdown_and_html__text_of_others__is_no_markup():
    citation = Citation("T", "", "s", "u", "q", "q", "0f", authors=("A. Author",), licence="CC BY 4.0")
    made = Ack([Answer("asthma", "q", "g", "Q?", "# Not\n\n<script>x</script> **b** [1]", (citation,))])
    page, html = made.to_markdown(), made._repr_html_()
    assert "\n# Not" not in page
    assert "<script>" not in page + html
    assert "A. Author; T; s; u; CC BY 4.0" in page
