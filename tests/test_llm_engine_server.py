"""Tests with a real model behind a real server: it understands what we ask, we understand what it answers.

What the model says is worth nothing, so no test looks at a value. Prompts are short: on a busy machine the
server reads some 30 tokens a second.
"""

import json
import time

import pandas as pd
import pytest

import dallm
from dallm.engines.base import STATUSES
from dallm.engines.llm.background import background_loop
from dallm.engines.llm.clients.langchain_chat import LangChainChat
from dallm.engines.llm.clients.openai_chat import OpenAIChat
from dallm.engines.llm.wire import CallError, Message, Request
from dallm.errors import EngineError

pytest_plugins = ("llm_fixtures",)

SCHEMA = {
    "type": "object",
    "properties": {
        "value": {"type": ["boolean", "null"]},
        "basis": {"type": "string", "enum": ["report", "neither"]},
    },
    "required": ["value", "basis"],
    "additionalProperties": False,
}
QUESTION = (Message("system", "Answer in JSON."), Message("user", "Report: no fever. Is there fever?"))


def send(client, request):
    """Send as the gateway does, in the loop that lives as long as the process."""
    return background_loop().submit(client.send(request)).result(timeout=120)


def openai_client(server, key=None):
    return OpenAIChat(server.model, base_url=server.base_url, api_key=key or server.key)


def langchain_client(server, key=None):
    from langchain_openai import ChatOpenAI

    return LangChainChat(ChatOpenAI(model=server.model, base_url=server.base_url, api_key=key or server.key))


@pytest.mark.parametrize("client", [openai_client, langchain_client])
def test__send__json_schema__answer_fits_and_usage_is_there(real_llm, client):
    request = Request(real_llm.model, QUESTION, SCHEMA, "json_schema", max_output_tokens=60, temperature=0.0)
    reply = send(client(real_llm), request)
    answer = json.loads(reply.text)
    assert set(answer) == {"value", "basis"}
    assert answer["basis"] in ("report", "neither")
    assert (reply.finish, reply.model, reply.refusal) == ("stop", real_llm.model, "")
    assert 10 < reply.usage.read < 100
    assert 5 < reply.usage.written <= 60


@pytest.mark.parametrize("client", [openai_client, langchain_client])
def test__send__answer_longer_than_allowed__finish_is_length(real_llm, client):
    # a drawn answer to a short question may end by itself
    long = (Message("user", "Write the numbers from one to thirty as words."),)
    request = Request(real_llm.model, long, None, "text", max_output_tokens=3, temperature=0.0)
    assert send(client(real_llm), request).finish == "length"


@pytest.mark.parametrize("client", [openai_client, langchain_client])
def test__send__prompt_longer_than_context__kind_is_context(real_llm, client):
    long = (Message("user", "word " * (real_llm.context + 200)),)
    with pytest.raises(CallError) as refused:
        send(client(real_llm), Request(real_llm.model, long, max_output_tokens=5))
    assert refused.value.kind == "context"


@pytest.mark.parametrize("client", [openai_client, langchain_client])
def test__send__wrong_key__kind_is_key_and_the_key_is_not_told(real_llm, client):
    with pytest.raises(CallError) as refused:
        send(client(real_llm, "sk-nobody-has-this"), Request(real_llm.model, QUESTION))
    assert refused.value.kind == "key"
    assert "sk-nobody" not in str(refused.value)


def small_cohort():
    frame = pd.DataFrame({"case": ["a", "b"], "findings": ["No pneumothorax.", "Left pneumothorax."]})
    return dallm.Cohort(frame, id="case", report="findings", data_use="open")


def engine(server, folder, **options):
    return dallm.engine(
        f"openai:{server.model}",
        **{"base_url": server.base_url, "api_key": server.key, "cache": str(folder), "max_output_tokens": 120}
        | options,
    )


def test__fill_values__real_server__every_cell_has_a_status_and_a_rerun_asks_nothing(real_llm, tmp_path):
    features = [dallm.Feature("pneumothorax", "boolean")]
    filled = dallm.fill_values(small_cohort(), features, engine=engine(real_llm, tmp_path))
    assert filled.cells["status"].isin(STATUSES).all()
    assert len(filled.cells) == 2
    assert set(filled.cells["model"]) == {f"openai:{real_llm.model}"}
    documented = filled.cells[filled.cells["status"] == "documented"]
    assert (documented["n_evidence"] > 0).all()  # a value without a quote of the report is no finding
    if (filled.cells["status"] != "failed").all():
        start = time.perf_counter()
        again = dallm.fill_values(small_cohort(), features, engine=engine(real_llm, tmp_path))
        assert time.perf_counter() - start < 2  # the model needs longer for a single answer
        assert again.cells["value"].equals(filled.cells["value"])


def test__fill_values__real_server_wrong_key__said_within_ten_seconds(real_llm, tmp_path):
    start = time.perf_counter()
    with pytest.raises(EngineError, match="key") as refused:
        dallm.fill_values(
            small_cohort(),
            [dallm.Feature("pneumothorax", "boolean")],
            engine=engine(real_llm, tmp_path, api_key="sk-nobody-has-this"),
        )
    assert time.perf_counter() - start < 10
    assert "sk-nobody" not in str(refused.value)
    assert "\n" not in str(refused.value)
