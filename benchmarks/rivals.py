"""The systems that the benchmarks put side by side, each run in a process and an environment of its own.

Run as a script it is the worker: ``python rivals.py SYSTEM TASK.json RESULT.json``. It then imports nothing
but the standard library and that system, so that it works in an environment without dallm.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

REQUIREMENTS = {
    "negspacy": ("negspacy==1.1.0", "spacy>=3.8,<3.9"),
    # medspacy 1.3.1 holds spacy below 3.8, whose binary wheels are built against numpy 1
    "medspacy": ("medspacy==1.3.1", "numpy<2"),
}
SYSTEMS = ("dallm", *REQUIREMENTS)


def default_cache() -> Path:
    """Folder that keeps the environments between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "dallm-benchmarks"


def python_of(system: str, cache: Path) -> str:
    """Return the interpreter that runs a system, making its environment where there is none yet."""
    if system == "dallm":
        return sys.executable
    wanted = "\n".join(REQUIREMENTS[system])
    folder = cache / system
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return str(python)
    print(f"Making the environment of {system} in {folder}", file=sys.stderr)
    uv = shutil.which("uv")
    if uv is not None:
        _quietly([uv, "venv", "--clear", "--python", sys.executable, str(folder)])
        _quietly([uv, "pip", "install", "--python", str(python), *REQUIREMENTS[system]])
    else:
        venv.create(folder, clear=True, with_pip=True)
        _quietly([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[system]])
    stamp.write_text(wanted, encoding="utf-8")
    return str(python)


def run(
    system: str, task: dict[str, Any], cache: Path, folder: Path, *, core: int | None = None
) -> dict[str, Any]:
    """Run a task with a system in a fresh process, on one core if `core` is given, and return its result."""
    asked, answered = folder / f"{system}-task.json", folder / f"{system}-result.json"
    asked.write_text(json.dumps(task), encoding="utf-8")
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

    def pin() -> None:
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})

    command = [python_of(system, cache), str(Path(__file__).resolve()), system, str(asked), str(answered)]
    done = subprocess.run(
        command, env={**os.environ, **single}, preexec_fn=pin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{system} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return result


def find_task(
    reports: Sequence[dict[str, str]],
    features: Sequence[str],
    synonyms: dict[str, list[str]],
    *,
    warm_up: int = 0,
    answers: bool = False,
) -> dict[str, Any]:
    """Task: which features does each report state as present?

    Parameters
    ----------
    reports : sequence of dict of str to str
        Field to text.
    features : sequence of str
    synonyms : dict of str to list of str
        The surface forms that the systems without a lexicon are given, by feature.
    warm_up : int, default=0
        So many reports are run before the clock starts and are left out of the result.
    answers : bool, default=False
        Whether the result holds, by report, the features found present.
    """
    return {
        "kind": "find",
        "reports": list(reports),
        "features": list(features),
        "synonyms": synonyms,
        "warm_up": warm_up,
        "answers": answers,
    }


def assert_task(spans: Iterable[tuple[str, int, int]]) -> dict[str, Any]:
    """Task: is the span ``text[start:end]`` negated?"""
    return {"kind": "assert", "spans": [list(span) for span in spans]}


def _quietly(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


# Workers: each takes a task and returns a result.


def _dallm(task: dict[str, Any]) -> dict[str, Any]:
    import dallm

    if task["kind"] == "assert":
        dallm.assertion_of("No effusion.", 3, 11)  # reads the trigger phrases
        start = time.perf_counter()
        negated = [dallm.assertion_of(*span).assertion == "negated" for span in task["spans"]]
        return {"negated": negated, "seconds": time.perf_counter() - start}
    import pandas as pd

    lexicon = dallm.Lexicon.default()
    features = []
    for name in task["features"]:
        concept = lexicon.find(name)
        features.append(
            dallm.Feature(name, "boolean", category=None if concept is None else concept.category)
        )
    fields = list(dict.fromkeys(field for report in task["reports"] for field in report))
    engine = dallm.engine("extractive", lexicon=lexicon)

    def cohort(reports: Sequence[dict[str, str]]) -> Any:
        table = pd.DataFrame(reports, columns=fields).assign(case=range(len(reports)))
        return dallm.Cohort(table, id="case", report=fields, data_use="open")

    warm, timed = task["reports"][: task["warm_up"]], task["reports"][task["warm_up"] :]
    if warm:
        dallm.fill_values(cohort(warm), features, engine=engine)
    due = cohort(timed)
    start = time.perf_counter()
    augmented = dallm.fill_values(due, features, engine=engine)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {"seconds": seconds, "timed": len(timed), "cells": len(augmented.cells)}
    if task["answers"]:
        frame = augmented.frame
        columns = [augmented.columns_of[name] for name in task["features"]]
        rows = frame[columns].fillna(False).to_numpy(dtype=bool)
        result["present"] = [[task["features"][n] for n in row.nonzero()[0]] for row in rows]
    return result


def _negspacy(task: dict[str, Any]) -> dict[str, Any]:
    import negspacy.negation  # noqa: F401  (registers the pipe)
    import spacy
    from spacy.tokens import Span

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    if task["kind"] == "assert":
        nlp.add_pipe("negex")
        return _spans(nlp, task, Span, lambda span: bool(span._.negex))
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": name, "pattern": form} for name, form in _forms(task)])
    nlp.add_pipe("negex")
    return _find(nlp, task, lambda span: not span._.negex)


def _medspacy(task: dict[str, Any]) -> dict[str, Any]:
    from loguru import logger

    logger.remove()  # its sentence splitter logs every token
    import medspacy
    from medspacy.ner import TargetRule
    from spacy.tokens import Span

    pipes = ["medspacy_pyrush", "medspacy_target_matcher", "medspacy_context"]
    nlp = medspacy.load(medspacy_enable=pipes)
    if task["kind"] == "assert":
        return _spans(nlp, task, Span, lambda span: bool(span._.is_negated))
    matcher = nlp.get_pipe("medspacy_target_matcher")
    matcher.add([TargetRule(form, name) for name, form in _forms(task)])
    flags = ("is_negated", "is_uncertain", "is_hypothetical", "is_historical", "is_family")
    return _find(nlp, task, lambda span: not any(getattr(span._, flag) for flag in flags))


def _forms(task: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, form) for name, forms in task["synonyms"].items() for form in forms]


def _find(nlp: Any, task: dict[str, Any], holds: Callable[[Any], bool]) -> dict[str, Any]:
    texts = ["\n".join(report.values()) for report in task["reports"]]
    for text in texts[: task["warm_up"]]:
        nlp(text)
    present = []
    timed = texts[task["warm_up"] :]
    start = time.perf_counter()
    for doc in nlp.pipe(timed):
        present.append(sorted({span.label_ for span in doc.ents if holds(span)}))
    result: dict[str, Any] = {"seconds": time.perf_counter() - start, "timed": len(timed)}
    if task["answers"]:
        result["present"] = present
    return result


def _spans(nlp: Any, task: dict[str, Any], span_type: Any, negated: Callable[[Any], bool]) -> dict[str, Any]:
    """Put each given span into its document as the one entity, then run what asserts entities."""
    *splitters, asserter = nlp.pipeline
    answers = []
    start = time.perf_counter()
    for text, begin, end in task["spans"]:
        doc = nlp.make_doc(text)
        for name, pipe in splitters:
            if "matcher" not in name:
                doc = pipe(doc)
        span = doc.char_span(begin, end, label="finding", alignment_mode="expand")
        doc.ents = [span_type(doc, span.start, span.end, label="finding")]
        doc = asserter[1](doc)
        answers.append(any(negated(ent) for ent in doc.ents))
    return {"negated": answers, "seconds": time.perf_counter() - start}


def _main(system: str, asked: str, answered: str) -> None:
    task = json.loads(Path(asked).read_text(encoding="utf-8"))
    result = {"dallm": _dallm, "negspacy": _negspacy, "medspacy": _medspacy}[system](task)
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(answered).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
