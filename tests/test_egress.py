"""Patient text and public addresses."""

from __future__ import annotations

import pandas as pd
import pytest

import dallm
from dallm.egress import GuardedStore, endpoints_of, is_public, refuse_patient_text, search_with_patient_text
from dallm.errors import EgressError

PUBLIC = "https://8.8.8.8/v1"


def cohort(data_use: str) -> dallm.Cohort:
    frame = pd.DataFrame({"id": ["a"], "report": ["Small left effusion."]})
    return dallm.Cohort(frame, id="id", report="report", data_use=data_use)


class Remote:
    """An encoder that would send texts to a server, and counts how often it is asked to."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.sent: list[str] = []

    def encode(self, texts: list[str]) -> list[list[float]]:
        self.sent += texts
        return [[1.0, float(len(text))] for text in texts]


@pytest.fixture
def stored(tmp_path):
    def make(base_url: str) -> tuple[dallm.KnowledgeStore, Remote]:
        encoder = Remote(base_url)
        store = dallm.open_store(tmp_path / "k", encoder=encoder)
        dallm.ingest(store, dallm.Primer(), conditions=["pleural effusion"])
        encoder.sent.clear()
        return store, encoder

    return make


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8000/v1",
        "localhost:7687",
        "bolt://[::1]:7687",
        "neo4j://10.0.0.4",
        "http://192.168.1.9:11434",
        "http://172.16.3.4",
        "https://[fd00::1]/",
        "http://169.254.1.1",
        "graph.hospital.internal:7687",
        "http://box.local",
        "unix:/run/model.sock",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test__is_public__addresses_of_ones_own__are_not(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://8.8.8.8",
        "neo4j+s://1.1.1.1:7687",
        "http://172.32.0.1",
        "http://[2606:4700::1111]/",
        "http://[::ffff:8.8.8.8]/",
        "http://user:pw@9.9.9.9:80/x",
        "https://no-such-host.invalid/v1",
    ],
)
def test__is_public__addresses_of_others_and_names_unknown__are(address):
    assert is_public(address)


def test__search__credentialed_text_and_public_encoder__refused_before_anything_is_sent(stored):
    store, encoder = stored(PUBLIC)
    with pytest.raises(EgressError, match=r"credentialed.*8\.8\.8\.8.*allow_egress='8\.8\.8\.8'"):
        search_with_patient_text(store, "Small left effusion.", cohort("credentialed"))
    with pytest.raises(EgressError):
        GuardedStore(store, cohort("credentialed")).search("Small left effusion.")
    assert encoder.sent == []


@pytest.mark.parametrize(
    ("data_use", "url", "allow"),
    [
        ("open", PUBLIC, None),
        ("credentialed", "http://127.0.0.1:1/v1", None),
        ("credentialed", PUBLIC, "8.8.8.8"),
        ("credentialed", PUBLIC, True),
    ],
)
def test__search__text_that_may_go_there__is_searched_with(stored, data_use, url, allow):
    store, encoder = stored(url)
    hits = search_with_patient_text(store, "Small left effusion.", cohort(data_use), k=2, allow_egress=allow)
    assert len(hits) == 2
    assert any("Small left effusion." in text for text in encoder.sent)


def test__allow_egress__another_host__stays_refused(stored):
    store, encoder = stored(PUBLIC)
    with pytest.raises(EgressError):
        search_with_patient_text(store, "x", cohort("credentialed"), allow_egress=["9.9.9.9"])
    assert encoder.sent == []


def test__stage_two__public_encoder_and_credentialed_cohort__its_queries_hold_no_patient_text(stored):
    store, encoder = stored(PUBLIC)
    ack = dallm.build_ack(store, ["pleural effusion"])
    dallm.discover_features(ack, cohort=cohort("credentialed"))
    assert encoder.sent
    assert not any("Small left" in text for text in encoder.sent)


def test__refusal__password_in_the_address__is_not_shown():
    client = Remote("https://me:secret@8.8.8.8/v1")
    with pytest.raises(EgressError) as error:
        refuse_patient_text(cohort("credentialed"), client)
    assert "secret" not in str(error.value)


def test__endpoints_of__client_within_a_client_and_a_vector_store__are_found():
    class Client:
        _client = Remote("https://models.example.org/v1/")

    class Vectors:
        embedding = Remote("http://127.0.0.1:9")
        _client = Client()

    assert endpoints_of(Vectors()) == ("http://127.0.0.1:9", "https://models.example.org/v1/")
    assert endpoints_of(object()) == ()


def test__endpoints_of__client_without_an_address__is_at_its_makers():
    kind = type("OpenAIEmbeddings", (), {"__module__": "langchain_openai.embeddings.base"})
    assert endpoints_of(kind()) == ("https://api.openai.com",)
