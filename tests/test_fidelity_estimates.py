"""Experiment I with a language model: estimates are measured; an engine that gives none is told early."""

from __future__ import annotations

import http.server
import json
import re
import threading
import warnings
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd
import pytest
from typer.testing import CliRunner

import dallm
from dallm.cli.app import app
from dallm.errors import UserError
from dallm.fidelity.masking import fill_one_by_one

RUN = CliRunner()
USUAL = {"temperature": 98, "heartrate": 85, "resprate": 18, "o2sat": 97, "sbp": 130, "dbp": 75}


@dataclass
class Guesser:
    """A loopback server whose model guesses: `first` for a cell at first, then what is usual."""

    url: str
    first: dict[str, float] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def reply(self, body: dict) -> str:
        text = "\n".join(message["content"] for message in body["messages"])
        case = re.search(r"record of case (\w+)", text).group(1)
        cells = {}
        for name in body["response_format"]["json_schema"]["schema"]["properties"]["features"]["properties"]:
            self.asked[case, name] += 1
            value = self.first.get(name, USUAL[name]) if self.asked[case, name] == 1 else USUAL[name]
            cells[name] = {"value": value, "quote": None, "field": None, "rationale": "", "basis": "neither"}
        return json.dumps({"case": case, "features": cells})


@pytest.fixture
def guesser():
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": made.reply(body)}
            answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
            answer |= {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
            answer |= {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
            raw = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Guesser(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def _engine(guesser, cache, **options):
    return dallm.engine("openai:tiny", base_url=guesser.url, api_key="x", cache=str(cache), **options)


def _table2(guesser, folder, *more):
    arguments = ["reproduce", "table2", "--out", str(folder / "out"), "--cases", "20", "--baselines", "none"]
    arguments += ["--engine", "openai:tiny", "--base-url", guesser.url, "--cache", str(folder / "cache")]
    return RUN.invoke(app, [*arguments, *more], env={"OPENAI_API_KEY": "x"})


def _filled(output):
    return next(line for line in output.splitlines() if line.startswith("openai:tiny")).split()[-1]


def test__command__chat_model_that_guesses__its_estimates_are_measured(guesser, tmp_path):
    result = _table2(guesser, tmp_path)
    assert result.exit_code == 0, result.output
    assert _filled(result.output) == "1.000"
    assert sum(guesser.asked.values()) == 120


def test__command__no_infer__takes_what_reports_state_and_says_so(guesser, tmp_path):
    result = _table2(guesser, tmp_path, "--no-infer")
    assert result.exit_code == 0, result.output
    assert "of 120 values it gives those that the reports state" in result.output
    assert _filled(result.output) == "0.000"


def test__command__help__says_that_a_model_may_estimate_here():
    shown = " ".join(
        RUN.invoke(app, ["reproduce", "table2", "--help"], env={"COLUMNS": "200"}).output.split()
    )
    assert "--no-infer" in shown
    assert "may estimate" in shown


def test__fill_one_by_one__model_that_may_not_infer__is_told_before_the_first_call(guesser, tmp_path):
    cohort = dallm.make_cohort(10, seed=1)
    told = []
    engine = _engine(guesser, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=r"infer=True"):
            fill_one_by_one(cohort, engine=engine, progress=told.append)
    assert not told
    assert not guesser.asked
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = fill_one_by_one(cohort, ["sbp"], _engine(guesser, tmp_path, infer=True))
    assert filled["sbp__filled"].tolist() == [130.0] * 10


def test__fill_one_by_one__no_reports_and_no_inference__is_refused(guesser, tmp_path):
    frame = pd.DataFrame({"case": ["a", "b"], "sbp": [120.0, 130.0], "dbp": [70.0, 80.0]})
    cohort = dallm.Cohort(frame, id="case", numeric={"sbp": "mmHg", "dbp": "mmHg"}, data_use="open")
    with pytest.raises(UserError, match="all 4 values would stay unknown"):
        fill_one_by_one(cohort, engine=_engine(guesser, tmp_path))
    assert not guesser.asked


class _Silent:
    """An engine of a user's own that does not tell whether it infers."""

    name, model = "silent", None

    def fill(self, cases, features, knowledge=None):
        from dallm.engines.base import CaseAnswer, Draft

        for case in cases:
            yield CaseAnswer(case.case_id, {f.name: Draft(None, "not_documented", None) for f in features})


def test__fill_one_by_one__first_cases_all_unknown__is_told():
    with pytest.warns(UserWarning, match="first 20 values unknown"):
        fill_one_by_one(dallm.make_cohort(25, seed=1), ["sbp", "dbp"], _Silent())


@pytest.mark.parametrize("first", [90, 5], ids=["outside the observed range", "outside what is possible"])
def test__within_observed__value_outside__is_asked_anew_past_the_cache(guesser, tmp_path, first):
    cohort = dallm.make_cohort(10, seed=1)
    low = float(cohort.measured()["temperature"].min())
    assert low > 90
    guesser.first = {"temperature": first}
    for _ in range(2):  # the second run finds every answer in the cache
        engine = _engine(guesser, tmp_path, infer=True)
        filled = fill_one_by_one(cohort, ["temperature"], engine, within_observed=True)
        assert filled["temperature__filled"].tolist() == [98.0] * 10
        assert set(guesser.asked.values()) == {2}
    plain = fill_one_by_one(cohort, ["temperature"], _engine(guesser, tmp_path, infer=True))
    assert set(plain["temperature__filled"].dropna()) <= {float(first)}
    assert set(guesser.asked.values()) == {2}
