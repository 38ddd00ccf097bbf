"""Where a model computes, and what happens when a GPU is missing or full."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from dallm.errors import DallmError, UserError


class DeviceError(DallmError, RuntimeError):
    """The GPU that was asked for by name is missing or full."""


class Place(NamedTuple):
    """Where a model computes.

    Attributes
    ----------
    device : str
        ``cpu`` or ``cuda:0``.
    note : str
        Why it is not where one might expect it; empty otherwise.
    """

    device: str
    note: str = ""


def resolve_device(device: str = "auto", model: str | None = None) -> Place:
    """Say where a model computes.

    Parameters
    ----------
    device : str
        ``auto`` takes a GPU where there is one, ``cpu`` none, ``cuda`` or ``cuda:1`` must be there.
    model : str, optional
        A name such as ``xgboost``. A model that has no GPU version computes on the CPU, whatever is asked.

    Raises
    ------
    UserError
        If `device` is none of these.
    DeviceError
        If a GPU is asked for by name and there is none.

    Examples
    --------
    >>> resolve_device("cpu", "tabnet")
    Place(device='cpu', note='')
    >>> resolve_device("cuda:0", "decision_tree")
    Place(device='cpu', note='')
    """
    if device == "cpu":
        return Place("cpu")
    number = device.removeprefix("cuda").removeprefix(":")
    if device != "auto" and not (device.startswith("cuda") and (device == "cuda" or number.isdigit())):
        raise UserError(f"device={device!r} is not known; give 'auto', 'cpu', 'cuda' or 'cuda:1'.")
    kind = None if model is None else model.partition(":")[0]
    if kind is not None and kind not in ("xgboost", "tabnet", "tabpfn", "random_forest"):
        return Place("cpu")
    wanted = int(number) if device != "auto" and number else 0
    there = _gpus()
    if there <= wanted:
        if device == "auto":
            return Place("cpu")
        seen = "torch sees none" if there == 0 else f"torch sees {there}, numbered from 0"
        raise DeviceError(
            f"device={device!r}: there is no such GPU ({seen}). Give device='auto' to compute on the CPU."
        )
    if kind == "random_forest" and importlib.util.find_spec("cuml") is None:
        return Place("cpu", "Random forest on the CPU: its GPU version needs cuML, which is not installed.")
    return Place(f"cuda:{wanted}")


def is_full(error: BaseException) -> bool:
    """Whether an error says that a GPU has no memory left or has stopped working."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OutOfMemoryError", "AcceleratorError", "CUDARuntimeError", "MemoryError"}:
        return not isinstance(error, MemoryError) or "cuda" in str(error).lower()
    said = str(error).lower()
    return (
        isinstance(error, (RuntimeError, ValueError)) or "XGBoostError" in names
        if _names_gpu(said)
        else False
    )


def _names_gpu(said: str) -> bool:
    about = any(word in said for word in ("cuda", "gpu", "bad_alloc", "rmm"))
    return about and any(word in said for word in ("out of memory", "alloc", "memory", "busy", "unavailable"))


def _gpus() -> int:
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
