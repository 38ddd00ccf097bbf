"""LangChain both ways: our store as their retriever, their vector store as our store."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

import dallm
from dallm.errors import StoreError, UserError
from dallm.knowledge.stores.langchain import as_langchain


@pytest.fixture
def store(tmp_path):
    with dallm.open_store(tmp_path / "k", encoder=None) as opened:
        dallm.ingest(opened, dallm.Primer())
        yield opened


@pytest.fixture
def vectors(store):
    made = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
    made.add_documents([as_langchain(p) for p in store.passages()])
    return made


def test__retriever__in_a_chain__gives_the_stores_hits_with_their_citation(store):
    retriever = store.as_retriever(k=3, condition="asthma")
    question = "What are the symptoms?"
    found = retriever.invoke(question)
    assert [d.page_content for d in found] == [
        h.passage.text for h in store.search(question, k=3, condition="asthma")
    ]
    assert {"title", "section", "source", "url", "licence", "conditions", "score", "sha256"} <= set(
        found[0].metadata
    )
    seen = []
    chain = (
        {"context": retriever | (lambda docs: seen.append(docs) or "x"), "q": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context} {q}")
        | FakeListChatModel(responses=["done"])
        | StrOutputParser()
    )
    assert chain.invoke(question) == "done"
    assert seen[0] == found


def test__retriever__asked_asynchronously_and_in_a_batch__answers_alike(store):
    retriever = store.as_retriever(k=2)
    one, two = "What causes pneumothorax?", "Signs of asthma"
    assert asyncio.run(retriever.ainvoke(one)) == retriever.invoke(one)
    assert retriever.batch([one, two]) == [retriever.invoke(one), retriever.invoke(two)]


def test__vector_store__as_a_store__gives_passages_with_their_citation(vectors, store):
    opened = dallm.open_store(vectors)
    assert opened.kind == "langchain"
    assert opened.read_only
    hits = opened.search("anything", k=5)
    kept = {p.sha256: p for p in store.passages()}
    assert len(hits) == 5
    assert all(kept[h.passage.sha256] == h.passage for h in hits)
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


def test__vector_store__rare_condition__all_its_passages_are_found(vectors, store):
    wanted = {p.sha256 for p in store.passages("hiatal hernia")}
    hits = dallm.open_store(vectors).search("hernia", k=500, condition="hiatus hernia")
    assert {h.passage.sha256 for h in hits} == wanted


def test__vector_store__build_ack__answers_from_it(vectors):
    ack = dallm.build_ack(dallm.open_store(vectors), ["asthma"], k=12)
    assert ack.answer("asthma", "common_symptoms").citations


def test__vector_store__bare_documents__condition_is_told_from_the_text():
    vectors = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
    vectors.add_documents(
        [
            Document("Pneumothorax is air around the lung.", metadata={"source": "a.txt"}),
            Document("Gout hurts.", metadata={}),
        ]
    )
    hits = dallm.open_store(vectors).search("air", k=4, condition="collapsed lung")
    assert [h.passage.url for h in hits] == ["a.txt"]


def test__vector_store__distances_that_grow__become_scores_that_fall(vectors):
    class Distances(InMemoryVectorStore):
        def similarity_search_with_score(self, query, k=4, **kwargs):
            found = super().similarity_search_with_score(query, k=k, **kwargs)
            return [(document, 1 - score) for document, score in found]

    other = Distances(vectors.embedding)
    other.store = vectors.store
    ours, theirs = dallm.open_store(vectors).search("x", k=6), dallm.open_store(other).search("x", k=6)
    assert [h.passage.sha256 for h in ours] == [h.passage.sha256 for h in theirs]
    assert [h.score for h in theirs] == sorted((h.score for h in theirs), reverse=True)


def test__vector_store__ingest_into_it__is_refused_with_the_way(vectors):
    with pytest.raises(StoreError, match="add_documents"):
        dallm.ingest(dallm.open_store(vectors), dallm.Primer())


def test__vector_store__encoder_beside_it__is_refused(vectors, tmp_path):
    with pytest.raises(UserError, match="embeds by itself"):
        dallm.open_store(vectors, encoder=tmp_path)
