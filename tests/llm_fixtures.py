"""The two language-model servers as fixtures; a test module has ``pytest_plugins = ("llm_fixtures",)``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_server import FaultServer, fault_server
from llm_server import LlmServer, NoModelError, llm_server, model_required


@pytest.fixture(scope="session")
def real_llm() -> Iterator[LlmServer]:
    """The real server with the tiny model, started when the first test asks for it."""
    try:
        with llm_server() as server:
            yield server
    except NoModelError as error:
        if model_required():
            pytest.fail(f"{error} (CI or DALLM_REQUIRE_LLM is set, so this is a failure)", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def _fault_process() -> Iterator[FaultServer]:
    with fault_server() as server:
        yield server


@pytest.fixture
def faults(_fault_process: FaultServer) -> FaultServer:
    """The server that fails on demand: plain answers and an empty memory at the start of each test."""
    _fault_process.restart()
    return _fault_process
