"""What a result follows from, and when and where it was computed."""

from __future__ import annotations

import dataclasses
import math
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dallm.evaluation.on_cases import RESAMPLES as PART_RESAMPLES
from dallm.evaluation.running.digests import table_digest, versions
from dallm.evaluation.statistics.comparing import RESAMPLES as COMPARED_RESAMPLES
from dallm.evaluation.statistics.resampling import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dallm.cohort import Cohort
    from dallm.evaluation.fits import Inputs
    from dallm.evaluation.models import ModelSpec

_PLAIN = (str, int, float, bool, type(None))


def settings_of(
    inputs: Inputs,
    specs: Mapping[str, ModelSpec],
    *,
    seed: int,
    cohort: Cohort | None = None,
    importances: Any = None,
    **asked: Any,
) -> dict[str, Any]:
    """Return what the result follows from: the same call on the same data gives the same.

    Parameters
    ----------
    inputs : Inputs
        The user's feature sets, without controls.
    specs : mapping of str to ModelSpec
    seed : int
    cohort : Cohort, optional
    importances : PermutationImportance, optional
    **asked
        What else was asked for, as it is.
    """
    tables = {"targets": inputs.targets, **inputs.sets}
    if inputs.groups is not None:
        tables["groups"] = inputs.groups.to_frame("patient")
    if cohort is not None:
        tables["cohort"] = cohort.frame
    return {
        **{name: _plain(value) for name, value in asked.items()},
        "cases": len(inputs.targets),
        "patients": None if inputs.groups is None else int(inputs.groups.nunique()),
        "positives": {str(name): int(inputs.targets[name].sum()) for name in inputs.targets.columns},
        "columns": {name: frame.shape[1] for name, frame in inputs.sets.items()},
        "models": {name: _model(spec, seed) for name, spec in specs.items()},
        "importances": _plain(importances),
        "bootstrap_draws": {
            "intervals": RESAMPLES,
            "comparisons": COMPARED_RESAMPLES,
            "subgroups and silent reports": PART_RESAMPLES,
        },
        "seed": seed,
        "versions": {"python": platform.python_version(), **versions()},
        "data_sha256": {name: table_digest(frame) for name, frame in tables.items()},
    }


def circumstances() -> dict[str, str]:
    """Return when and where the run was: what differs between two runs with one result."""
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "platform": platform.platform()}


def _model(spec: ModelSpec, seed: int) -> dict[str, Any]:
    """Return where a model computes and with which parameters; those that are None are the library's."""
    found = spec.build(seed, spec.device).get_params(deep=True)
    inner = [name for name in found if hasattr(found[name], "get_params")]
    there = [name for name in sorted(found) if name not in inner and found[name] is not None]
    parameters = {name: _plain(found[name]) for name in there}
    classes = {name: type(found[name]).__name__ for name in sorted(inner)}
    return {"device": spec.device, "notes": list(spec.notes), "parameters": classes | parameters}


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it, without addresses in memory."""
    if isinstance(value, _PLAIN):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        found = [_plain(one) for one in value]
        return found if isinstance(value, (list, tuple)) else sorted(map(str, found))
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    said = repr(value)
    return type(value).__name__ if " at 0x" in said else said
