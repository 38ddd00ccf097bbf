"""Fills every vital sign of every case by a domain model, one masked at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from dallm.errors import UserError
from dallm.fidelity.domain.asking import candidates_between, likeliest, number_in, question_for, written
from dallm.fidelity.domain.loading import Loaded, load
from dallm.fidelity.domain.presets import Kind, preset_for
from dallm.fidelity.masking import masked_vitals
from dallm.vitals import known_vital

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.engines.base import Case

Range = Literal["observed", "possible"]


@dataclass(frozen=True)
class _Vital:
    column: str
    name: str
    unit: str
    low: float
    high: float
    decimals: int


def fill_by_domain_model(
    cohort: Cohort,
    model: str | Path,
    columns: Sequence[str] | None = None,
    *,
    kind: Kind | None = None,
    accept: Range = "observed",
    tries: int = 10,
    temperature: float = 0.7,
    batch_size: int = 8,
    device: str = "auto",
    threads: int = 1,
    download: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Ask a domain model for every vital of every case, each with itself hidden and the others shown.

    Parameters
    ----------
    cohort : Cohort
        Its targets are not shown. The model runs on this machine: no text leaves it.
    model : str or Path
        A preset such as ``"BioGPT"`` (:data:`dallm.fidelity.domain.presets.DOMAIN_MODELS`), a folder, or a
        name on the hub.
    columns : sequence of str, optional
        By default the six vitals of the paper.
    kind : {"causal", "masked"}, optional
        Needed where `model` is no preset. A masked model chooses among the numbers of the accepted range.
    accept : {"observed", "possible"}, default="observed"
        As published, a number outside the observed range of its column is rejected and asked again;
        ``"possible"`` rejects only what no living person shows.
    tries : int, default=10
        How often a causal model is asked at most; then the value stays unknown.
    temperature : float, default=0.7
        Of a causal model's first and further tries; 0 asks once.
    batch_size : int, default=8
    device : str, default="auto"
    threads : int, default=1
        Of torch on a processor.
    download : bool, default=False
        Fetch a model that is not on the disk; ``HF_HUB_OFFLINE`` forbids it in any case.
    seed : int, default=0
    progress : callable, optional
        Is told in a line what begins.

    Returns
    -------
    DataFrame of shape (n_cases, n_columns)
        Columns ``<name>__filled``, missing where no answer was accepted; for :func:`dallm.value_fidelity`.

    Raises
    ------
    EngineError
        If the model is not there.
    UserError
        If an option or a column cannot be used.
    """
    import torch

    if accept not in ("observed", "possible"):
        raise UserError(f"accept must be 'observed' or 'possible', got {accept!r}.")
    if tries < 1 or batch_size < 1 or temperature < 0:
        raise UserError("tries and batch_size must be 1 or more, temperature 0 or more.")
    preset = preset_for(model, kind)
    vitals = [_vital(cohort, name, accept) for name in masked_vitals(cohort, columns)]
    loaded = load(preset, device=device, download=download)
    cases = list(cohort.cases())
    made: dict[str, list[float]] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[] if loaded.device == "cpu" else None):
            torch.manual_seed(seed)
            for vital in vitals:
                if progress is not None:
                    progress(f"{preset.hub}: {vital.column}, masked")
                if preset.kind == "masked":
                    made[f"{vital.column}__filled"] = list(_chosen(loaded, cases, vital))
                else:
                    rounds = tries if temperature > 0 else 1
                    made[f"{vital.column}__filled"] = _generated(
                        loaded, cases, vital, rounds, temperature, batch_size
                    )
    finally:
        torch.set_num_threads(before)
    return pd.DataFrame(made, index=cohort.ids).astype("Float64")


def _vital(cohort: Cohort, column: str, accept: Range) -> _Vital:
    if column not in cohort.numeric:
        raise UserError(f"The cohort has no numeric column {column!r}; it has: {', '.join(cohort.numeric)}.")
    values = cohort.measured()[column].dropna().to_numpy(dtype=float)
    if len(values) == 0:
        raise UserError(f"Column {column!r} is all missing; leave it out.")
    unit, known = cohort.numeric[column], known_vital(column)
    low, high = float(values.min()), float(values.max())
    if accept == "possible" and known is not None:
        low, high = known.possible(unit)
    decimals = 0 if np.allclose(values, np.round(values)) else 1
    return _Vital(column, known.name if known is not None else column, unit, low, high, decimals)


def _chosen(loaded: Loaded, cases: Sequence[Case], vital: _Vital) -> Iterator[float]:
    candidates = candidates_between(vital.low, vital.high, vital.decimals)
    for case in cases:
        yield likeliest(loaded, question_for(case, vital.column, vital.name, vital.unit), candidates)


def _generated(
    loaded: Loaded,
    cases: Sequence[Case],
    vital: _Vital,
    tries: int,
    temperature: float,
    batch_size: int,
) -> list[float]:
    questions = [question_for(case, vital.column, vital.name, vital.unit) for case in cases]
    found = [np.nan] * len(cases)
    open_rows = list(range(len(cases)))
    for _ in range(tries):
        for start in range(0, len(open_rows), batch_size):
            rows = open_rows[start : start + batch_size]
            answers = written(loaded, [questions[row] for row in rows], temperature=temperature)
            for row, answer in zip(rows, answers, strict=True):
                value = number_in(answer, vital.low, vital.high)
                found[row] = np.nan if value is None else value
        open_rows = [row for row in open_rows if np.isnan(found[row])]
        if not open_rows:
            break
    return found
