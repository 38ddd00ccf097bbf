"""By what a kept fit is known again: the data, the model, the split, the settings and the versions."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from dallm.evaluation.running.tasks import Model, Plan, Task

PACKAGES = ("dallm", "numpy", "pandas", "scikit-learn", "scipy", "torch", "xgboost", "pytorch-tabnet")
_INSTALLED = (
    "sklearn",
    "xgboost",
    "torch",
    "pytorch_tabnet",
    "numpy",
    "scipy",
    "dallm",
    "builtins",
    "abc",
)


def versions() -> dict[str, str]:
    """Return the version of each package that a fit rests on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def table_digest(frame: pd.DataFrame) -> str:
    """Return a digest of names, types and values of a table, made column by column.

    Examples
    --------
    >>> table_digest(pd.DataFrame({"a": [1, 2]})) == table_digest(pd.DataFrame({"a": [1, 3]}))
    False
    """
    total = hashlib.sha256(str(frame.shape).encode())
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        total.update(f"\x1e{name}\x1f{column.dtype}\x1f".encode("utf-8", "surrogatepass"))
        _add_values(total, column)
    return total.hexdigest()


def _add_values(total: Any, column: pd.Series[Any]) -> None:
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = repr((column.cat.categories.tolist(), column.cat.ordered))
        total.update(levels.encode("utf-8", "surrogatepass"))
        total.update(np.ascontiguousarray(column.cat.codes.to_numpy()))
    elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        total.update(np.ascontiguousarray(column.to_numpy()))
    elif pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_float_dtype(column.dtype):
        total.update(column.to_numpy(dtype="float64", na_value=np.nan))
    else:
        missing = column.isna().to_numpy(dtype=bool)
        total.update(missing)
        texts = column.astype(object).where(~missing, "")
        total.update(pd.util.hash_pandas_object(texts, index=False).to_numpy())


def model_digest(model: Model) -> str | None:
    """Return a digest of a model's class, parameters and source; None where it has no stable one.

    The source is the whole file of the class, as it may call anything there. A class typed into a notebook or
    a console has no file, and nothing would show that it was changed.
    """
    import joblib

    estimator = model.build(0, model.device)
    try:
        settings = joblib.hash(estimator)
    except Exception:  # of any type: it comes from pickling what a user gave
        return None
    source = _source_of(estimator)
    if source is None:
        return None
    return hashlib.sha256(f"{model.name}\x1f{model.device}\x1f{settings}\x1f{source}".encode()).hexdigest()


def _source_of(estimator: Any) -> str | None:
    """Return a digest of the files that hold the user's classes; None where one is in no file."""
    parts = [estimator, *(v for v in _parameters(estimator).values() if hasattr(v, "fit"))]
    homes = {kind.__module__: None for part in parts for kind in type(part).__mro__}
    total = hashlib.sha256()
    for home in homes:
        package = home.split(".")[0]
        if package in _INSTALLED:
            continue
        file = getattr(sys.modules.get(home), "__file__", None)
        if file is None or not Path(file).is_file():
            return None
        total.update(str(getattr(sys.modules.get(package), "__version__", "")).encode())
        total.update(Path(file).read_bytes())
    return total.hexdigest()


def _parameters(estimator: Any) -> Mapping[str, Any]:
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return dict(parameters)


class Keys:
    """Gives each fit of a plan the key under which it is kept; None for what cannot be known again.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self._sets = {name: table_digest(frame) for name, frame in plan.inputs.sets.items()}
        self._targets = {
            str(name): table_digest(plan.inputs.targets[[name]]) for name in plan.inputs.targets.columns
        }
        self._patients = hashlib.sha256(plan.patients.tobytes()).hexdigest()
        self._models: dict[str, str | None] = {}
        self._splits: dict[int, str] = {}
        asked = (plan.seed, plan.operating_point, repr(plan.importances))
        self._settings = repr((asked, sorted(versions().items())))

    def of(self, task: Task) -> str | None:
        """Return the key of a fit."""
        name, split = task.model.name, task.split
        if name not in self._models:
            self._models[name] = model_digest(task.model)
            if self._models[name] is None:
                warnings.warn(
                    f"folder= keeps no fits of model {name!r}: it cannot be pickled, or its class is in no "
                    "file, and a change of it would go unseen. Define it in a module to have its fits kept.",
                    stacklevel=2,
                )
        model = self._models[name]
        if model is None:
            return None
        if id(split) not in self._splits:  # the plan holds the splits, so an id stays theirs
            parts = hashlib.sha256(split.train.tobytes())
            parts.update(b"\x1f")
            parts.update(split.test.tobytes())
            self._splits[id(split)] = parts.hexdigest()
        text = "\x1e".join(
            (
                self._sets[task.feature_set],
                self._targets[split.target],
                self._patients,
                self._splits[id(split)],
                f"{split.target}\x1f{split.repeat}\x1f{split.fold}",
                model,
                self._settings,
            )
        )
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
