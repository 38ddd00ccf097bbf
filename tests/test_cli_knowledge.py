"""The commands of stage I: stores by address, sources of the web, the manifest, the doctor's questions."""

from __future__ import annotations

import pandas as pd
import pytest
from http_server import Reply, as_json, serve
from test_cli import dallm_


@pytest.fixture
def store(tmp_path):
    return tmp_path / "k"


def test__ingest__manifest__shows_where_each_document_comes_from(store, tmp_path):
    done = dallm_("ingest", "--store", store, "--primer", "--lexical", "--condition", "asthma", "--manifest")
    assert done.exit_code == 0, done.stderr
    assert "primer/asthma.md" in done.stdout
    table = tmp_path / "manifest.csv"
    again = dallm_("ingest", "--store", store, "--manifest-file", table)
    assert again.exit_code == 0, again.stderr
    held = pd.read_csv(table)
    assert held.url.tolist() == ["primer/asthma.md"]
    assert held.sha256.str.fullmatch("[0-9a-f]{64}").all()
    assert {"licence", "authors", "revision", "retrieved_at"} <= set(held)


def test__ingest__manifest_of_no_store__is_wrong_and_makes_none(store):
    done = dallm_("ingest", "--store", store, "--manifest")
    assert done.exit_code == 1
    assert "There is no store" in done.stderr
    assert not store.exists()


def test__ingest__radiopaedia_live_without_terms__says_what_they_are(store):
    done = dallm_("ingest", "--store", store, "--radiopaedia-live")
    assert done.exit_code == 2
    assert "terms" in done.stderr
    assert "--radiopaedia-pages" in done.stderr
    assert not store.exists()


def test__ingest__graph_file_by_its_name__is_written(tmp_path):
    done = dallm_("ingest", "--store", tmp_path / "k.json", "--primer", "--condition", "asthma")
    assert done.exit_code == 0, done.stderr
    answers = dallm_(
        "ack", "--store", tmp_path / "k.json", "--condition", "asthma", "--out", tmp_path / "a.json"
    )
    assert answers.exit_code == 0, answers.stderr


def test__stages__neo4j_by_address__password_from_the_environment(
    neo4j_server, neo4j_namespace, tmp_path, monkeypatch
):
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.user)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password)
    where = ("--store", neo4j_server.uri, "--namespace", neo4j_namespace)
    done = dallm_("ingest", *where, "--primer", "--lexical", "--condition", "asthma", "--manifest")
    assert done.exit_code == 0, done.stderr
    assert "primer/asthma.md" in done.stdout
    asked = dallm_("doctor", *where, "--no-load")
    assert neo4j_namespace in asked.stdout
    assert neo4j_server.password not in done.output + asked.output
    monkeypatch.setenv("NEO4J_PASSWORD", "wrong-" + neo4j_server.password)
    refused = dallm_("ack", *where, "--condition", "asthma", "--out", tmp_path / "a.json")
    assert refused.exit_code == 1
    assert "password" in refused.stderr
    assert "wrong-" not in refused.output


def test__doctor__online__says_which_site_answers(monkeypatch):
    def answer(request):
        if request.path.endswith("robots.txt"):
            return Reply(body=b"User-agent: *\nDisallow: /private\n")
        if "api.php" in request.path:
            return as_json({"query": {"general": {"sitename": "Wikipedia"}}})
        return Reply(body=b"<html>Please log in to this network</html>")

    with serve(answer) as server:
        for name in ("WIKIPEDIA", "RADIOPAEDIA", "PUBMED"):
            monkeypatch.setenv(f"DALLM_{name}_URL", server.url)
        done = dallm_("doctor", "--online", "--no-load")
        assert len(server.requests) == 3
    assert done.exit_code == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert " ok " in lines["Wikipedia"]
    assert " ok " in lines["Radiopaedia"]
    assert "but not as PubMed does" in done.stdout


def test__doctor__online_without_a_network__names_what_cannot_be_reached(monkeypatch):
    for name in ("WIKIPEDIA", "RADIOPAEDIA", "PUBMED"):
        monkeypatch.setenv(f"DALLM_{name}_URL", "http://127.0.0.1:9")
    done = dallm_("doctor", "--online", "--no-load")
    assert done.exit_code == 0
    assert done.stdout.count("127.0.0.1:9") >= 3
    assert "not reached: Wikipedia, Radiopaedia, PubMed" in " ".join(done.stdout.split())
    assert "--offline" in done.stdout
